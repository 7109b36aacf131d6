//! Every operation of S3, asked for as AWS's SDKs do: what works and what is 501.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn route(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Route, S3Error> {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    Route::of(&head, &Addressing::default())
}

fn outcome(method: &str, uri: &str) -> Result<&'static str, ErrorCode> {
    outcome_with(method, uri, &[])
}

fn outcome_with(
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
) -> Result<&'static str, ErrorCode> {
    route(method, uri, headers)
        .map(|route| route.kind.name())
        .map_err(|error| error.code())
}

const fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Head => "HEAD",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
    }
}

fn request_of(entry: &Entry) -> (String, Vec<(&'static str, &'static str)>) {
    let path = match entry.level {
        Level::Service => "/",
        Level::Bucket => "/buc",
        Level::Object => "/buc/some/key",
    };
    let words: Vec<String> = entry
        .words
        .iter()
        .map(|word| match *word {
            "list-type" => "list-type=2".to_owned(),
            "partNumber" => "partNumber=1".to_owned(),
            "uploadId" => "uploadId=u".to_owned(),
            "id" => "id=x".to_owned(),
            "annotationName" => "annotationName=x".to_owned(),
            "select-type" => "select-type=2".to_owned(),
            word => word.to_owned(),
        })
        .collect();
    let headers = if entry.copies {
        vec![("x-amz-copy-source", "/src/k")]
    } else {
        vec![]
    };
    // The SDKs add the operation's name, which chooses nothing.
    (
        format!("{path}?{}&x-id={}", words.join("&"), entry.name),
        headers,
    )
}

#[test]
fn every_operation_works_or_is_501() {
    for entry in OPERATIONS {
        let (uri, headers) = request_of(entry);
        let expected = entry
            .built
            .map(OperationKind::name)
            .ok_or(ErrorCode::NotImplemented);
        let found = outcome_with(method(entry.verb), &uri, &headers);
        assert_eq!(found, expected, "{} {uri}", method(entry.verb));
        if let Some(kind) = entry.built {
            assert_eq!(kind.name(), entry.name);
        } else {
            let error = route(method(entry.verb), &uri, &headers).unwrap_err();
            assert_eq!(
                error.extra("Operation"),
                Some(entry.name),
                "the answer says which"
            );
        }
    }
}

#[test]
fn every_built_operation_has_one_way_to_ask_for_it() {
    let mut asked = BTreeMap::new();
    for entry in OPERATIONS {
        if let Some(kind) = entry.built {
            *asked.entry(kind).or_insert(0) += 1;
        }
    }
    let once: BTreeMap<OperationKind, i32> =
        OperationKind::ALL.iter().map(|kind| (*kind, 1)).collect();
    assert_eq!(asked, once);
}

#[test]
fn every_word_of_the_table_is_known_as_a_word() {
    for entry in OPERATIONS {
        for word in entry.words.iter().chain(entry.optional) {
            // These name one of several things; they come only beside another word.
            assert!(
                WORDS.contains(word) || ["id", "annotationName"].contains(word),
                "{word} of {}",
                entry.name
            );
        }
    }
    let mut sorted = WORDS.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted, WORDS, "sorted, none twice");
}

#[test]
fn a_sub_resource_never_falls_back_to_the_bare_operation() {
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        for path in ["/", "/buc", "/buc/k"] {
            let bare = outcome(method, path);
            for word in WORDS {
                let uri = format!("{path}?{word}");
                let Ok(found) = outcome(method, &uri) else {
                    continue;
                };
                assert_ne!(
                    Ok(found),
                    bare.map(|name| match name {
                        // The one word that only narrows what is read.
                        "GetObject" | "HeadObject" if *word == "partNumber" => "",
                        name => name,
                    }),
                    "{method} {uri}"
                );
                let entry = OPERATIONS.iter().find(|entry| entry.name == found).unwrap();
                let mut allowed = entry.words.iter().chain(entry.optional);
                assert!(
                    allowed.any(|known| known == word),
                    "{method} {uri} is {found}"
                );
            }
        }
    }
}

#[test]
fn requests_that_look_like_others_are_refused() {
    const NOT_BUILT: Result<&str, ErrorCode> = Err(ErrorCode::NotImplemented);
    const NO_SUCH_METHOD: Result<&str, ErrorCode> = Err(ErrorCode::MethodNotAllowed);
    for (method, uri, expected) in [
        ("DELETE", "/buc?acl", NOT_BUILT),
        ("DELETE", "/buc?versioning", NOT_BUILT),
        ("DELETE", "/buc?uploads", NOT_BUILT),
        ("DELETE", "/buc?delete", NOT_BUILT),
        ("DELETE", "/buc/k?acl", NOT_BUILT),
        (
            "DELETE",
            "/buc/k?tagging&versionId=null",
            Ok("DeleteObjectTagging"),
        ),
        ("DELETE", "/buc/k?uploads", NOT_BUILT),
        ("DELETE", "/buc/k?uploadId=u&tagging", NOT_BUILT),
        ("PUT", "/buc?acl", Ok("PutBucketAcl")),
        ("PUT", "/buc?versioning&acl", NOT_BUILT),
        ("PUT", "/buc/k?acl", Ok("PutObjectAcl")),
        ("PUT", "/buc/k?partNumber=1", NOT_BUILT),
        ("PUT", "/buc/k?uploadId=u", NOT_BUILT),
        ("PUT", "/buc/k?append", NOT_BUILT),
        ("PUT", "/buc?metadataAnnotationTable", NOT_BUILT),
        ("PUT", "/buc/k?annotation", NOT_BUILT),
        ("POST", "/buc", Ok("PostObject")),
        ("POST", "/buc/k", NOT_BUILT),
        ("POST", "/buc/k?uploads&uploadId=u", NOT_BUILT),
        ("POST", "/buc/k?select&select-type=2", NOT_BUILT),
        ("POST", "/buc/k?restore", NOT_BUILT),
        ("GET", "/buc?versions&uploads", NOT_BUILT),
        ("GET", "/buc/k?versions", NOT_BUILT),
        ("GET", "/buc/k?torrent", NOT_BUILT),
        ("GET", "/buc/k?attributes", Ok("GetObjectAttributes")),
        ("GET", "/?acl", NOT_BUILT),
        ("HEAD", "/buc?acl", NOT_BUILT),
        ("DELETE", "/", NO_SUCH_METHOD),
        ("PUT", "/", NO_SUCH_METHOD),
        ("POST", "/", NO_SUCH_METHOD),
        ("HEAD", "/", NO_SUCH_METHOD),
        ("OPTIONS", "/buc/k", NO_SUCH_METHOD),
        ("PATCH", "/buc/k", NO_SUCH_METHOD),
        ("TRACE", "/buc", NO_SUCH_METHOD),
        ("GET", "/buc?list-type=1", Err(ErrorCode::InvalidArgument)),
        ("GET", "/buc?list-type", Err(ErrorCode::InvalidArgument)),
        ("GET", "/BUC?acl", Err(ErrorCode::InvalidBucketName)),
        // Encoded words are the same words.
        ("DELETE", "/buc?%61cl", NOT_BUILT),
        ("DELETE", "/buc?ACL", NOT_BUILT),
        ("PUT", "/buc/k?UploadId=u&partnumber=1", NOT_BUILT),
        ("DELETE", "/buc?acl=&x-id=DeleteBucket", NOT_BUILT),
        // What is no word is ignored, as at AWS.
        ("DELETE", "/buc?x-id=DeleteBucket", Ok("DeleteBucket")),
        ("GET", "/buc?prefix=acl&unknown=1", Ok("ListObjects")),
        ("GET", "/buc/?list-type=2&prefix=x", Ok("ListObjectsV2")),
        (
            "GET",
            "/buc/k?versionId=null&partNumber=2&response-expires=x",
            Ok("GetObject"),
        ),
        ("GET", "/buc/acl", Ok("GetObject")),
        (
            "PUT",
            "/buc/k?X-Amz-Algorithm=A&X-Amz-Signature=s",
            Ok("PutObject"),
        ),
    ] {
        assert_eq!(outcome(method, uri), expected, "{method} {uri}");
    }
}

#[test]
fn a_copy_source_makes_a_copy_and_nothing_else() {
    let copies = [("x-amz-copy-source", "/src/k")];
    for (method, uri, expected) in [
        ("PUT", "/buc/k", Ok("CopyObject")),
        ("PUT", "/buc/k?x-id=CopyObject", Ok("CopyObject")),
        (
            "PUT",
            "/buc/k?partNumber=1&uploadId=u",
            Ok("UploadPartCopy"),
        ),
        ("PUT", "/buc/k?acl", Err(ErrorCode::NotImplemented)),
        ("GET", "/buc/k", Ok("GetObject")),
        ("PUT", "/buc", Ok("CreateBucket")),
    ] {
        assert_eq!(
            outcome_with(method, uri, &copies),
            expected,
            "{method} {uri}"
        );
    }
    let hoisted = "/buc/k?X-Amz-Copy-Source=%2Fsrc%2Fk";
    assert_eq!(
        outcome("PUT", hoisted),
        Ok("CopyObject"),
        "a presigner may put it there"
    );
}

#[test]
fn a_refused_method_is_told_which_are_allowed() {
    let error = route("PATCH", "/buc/k", &[]).unwrap_err();
    let allow = error
        .headers()
        .find(|(name, _)| *name == ALLOW)
        .map(|(_, value)| value);
    assert_eq!(allow.unwrap(), "GET, HEAD, PUT, POST, DELETE");
    assert_eq!(error.extra("ResourceType"), Some("OBJECT"));
}

/// The rows of the compatibility page: name -> what it says.
fn documented() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/s3-compat.md");
    let page = std::fs::read_to_string(path).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | "))
        .filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect()
}

#[test]
fn the_compatibility_page_says_what_the_table_does() {
    let page = documented();
    let known: BTreeSet<&str> = OPERATIONS
        .iter()
        .map(|entry| entry.name)
        .chain(ELSEWHERE.iter().copied())
        .collect();
    let described: BTreeSet<&str> = page.keys().map(String::as_str).collect();
    assert_eq!(
        described, known,
        "docs/s3-compat.md has a row for each operation"
    );
    for entry in OPERATIONS {
        let says = if entry.built.is_some() {
            "works"
        } else {
            "501"
        };
        let row = &page[entry.name];
        assert!(
            row.starts_with(says),
            "{} {says}, the page: {row}",
            entry.name
        );
    }
}
