//! `docs/s3-compat.md` says of each query parameter and header what becomes of it, operation by
//! operation: here each is tried on each, and nothing of AWS's may be missing.
//!
//! `model.txt` has a line for every parameter, request header and answer's header of AWS's model of
//! S3 (2006-03-01) with the built operations that have it there: `kind name operation operation ...`.
//! What a page's row says is compared with what a request is without the parameter and with it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::s3::address::Addressing;
use crate::s3::error::ErrorCode;
use crate::s3::route::{Entry, Level, OPERATIONS, Verb, WORDS};

const MODEL: &str = include_str!("compatibility/model.txt");

/// What became of a request: the operation with all that was read, and what is claimed of its body.
type Outcome = Result<(Operation, Option<String>), S3Error>;

struct Asked {
    entry: &'static Entry,
    kind: OperationKind,
    query: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
}

/// Every built operation as a client asks for it. A form's fields count as PutObject's headers.
fn operations() -> Vec<Asked> {
    let built = OPERATIONS
        .iter()
        .filter_map(|entry| Some((entry, entry.built?)));
    built
        .filter(|(_, kind)| *kind != OperationKind::PostObject)
        .map(|(entry, kind)| Asked {
            entry,
            kind,
            query: base_query(entry),
            headers: base_headers(kind),
        })
        .collect()
}

fn base_query(entry: &'static Entry) -> Vec<(&'static str, &'static str)> {
    let value = |word| match word {
        "list-type" => "2",
        "partNumber" => "1",
        "uploadId" => "u1",
        _ => "",
    };
    let mut query: Vec<_> = entry
        .words
        .iter()
        .map(|word| (*word, value(*word)))
        .collect();
    if ["ListMultipartUploads", "ListObjectVersions"].contains(&entry.name) {
        // Without it the other marker means nothing.
        query.push(("key-marker", "k"));
    }
    query
}

/// Without them it is refused, or they decide whether others are looked at.
fn base_headers(kind: OperationKind) -> Vec<(&'static str, &'static str)> {
    match kind {
        OperationKind::CopyObject => vec![
            ("x-amz-copy-source", "/src/k"),
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-tagging-directive", "REPLACE"),
        ],
        OperationKind::UploadPartCopy => vec![("x-amz-copy-source", "/src/k")],
        OperationKind::GetObjectAttributes => vec![("x-amz-object-attributes", "ETag")],
        OperationKind::PutObjectLockConfiguration
        | OperationKind::PutObjectRetention
        | OperationKind::PutObjectLegalHold => {
            vec![("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")]
        }
        _ => vec![],
    }
}

fn document(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::PutBucketVersioning => {
            "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        }
        OperationKind::PutObjectTagging | OperationKind::PutBucketTagging => {
            "<Tagging><TagSet></TagSet></Tagging>"
        }
        OperationKind::PutObjectLockConfiguration => {
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
             </ObjectLockConfiguration>"
        }
        OperationKind::PutObjectRetention => {
            "<Retention><Mode>GOVERNANCE</Mode>\
             <RetainUntilDate>2040-01-01T00:00:00Z</RetainUntilDate></Retention>"
        }
        OperationKind::PutObjectLegalHold => "<LegalHold><Status>ON</Status></LegalHold>",
        OperationKind::PutBucketEncryption => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
             <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
             </ServerSideEncryptionConfiguration>"
        }
        OperationKind::PutBucketNotificationConfiguration => "<NotificationConfiguration/>",
        OperationKind::PutBucketLifecycleConfiguration => {
            "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter/>\
             <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>"
        }
        OperationKind::PutBucketOwnershipControls => {
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>\
             </Rule></OwnershipControls>"
        }
        OperationKind::PutBucketCors => {
            "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>\
             <AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
        }
        OperationKind::DeleteObjects => "<Delete><Object><Key>k</Key></Object></Delete>",
        OperationKind::CompleteMultipartUpload => {
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>\
             </CompleteMultipartUpload>"
        }
        _ => "",
    }
}

impl Asked {
    fn outcome(
        &self,
        query: Option<(&'static str, &'static str)>,
        header: Option<(&str, &'static str)>,
    ) -> Outcome {
        let path = match self.entry.level {
            Level::Service => "/",
            Level::Bucket => "/buc",
            Level::Object => "/buc/key",
        };
        let pairs = self.query.iter().chain(query.as_ref());
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let method = match self.entry.verb {
            Verb::Get => "GET",
            Verb::Head => "HEAD",
            Verb::Put => "PUT",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        };
        let uri = format!("{path}?{}", pairs.join("&"));
        let mut request = http::Request::builder().method(method).uri(uri);
        let replaced = header.map(|(name, _)| name);
        for (name, value) in &self.headers {
            if Some(*name) != replaced {
                request = request.header(*name, *value);
            }
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let route = Route::of(&head, &Addressing::default())?;
        let headers = Headers::of(&head, &route.query)?;
        let claims = match body_use(route.kind) {
            BodyUse::None => None,
            BodyUse::Object => Some(body_claims(&headers)?),
            BodyUse::Document { .. } => Some(document_claims(route.kind, &headers)?),
        };
        let operation = operation(&route, &headers, document(self.kind).as_bytes())?;
        Ok((operation, claims.map(|claims| format!("{claims:?}"))))
    }

    fn has_a_body(&self) -> bool {
        body_use(self.kind) != BodyUse::None
    }
}

/// What a parameter did to a request, in the page's words.
fn status(without: &Outcome, with: &Outcome) -> &'static str {
    match (without, with) {
        (_, Err(error)) if error.code() == ErrorCode::NotImplemented => "501",
        (_, Err(error)) if error.code() == ErrorCode::AccessControlListNotSupported => "400",
        (Ok(one), Ok(other)) if one == other => "ignored",
        _ => "works",
    }
}

/// A value that asks for something: what is read makes a difference by it.
fn sample_of_query(name: &str) -> &'static str {
    match name {
        "encoding-type" => "url",
        "fetch-owner" => "true",
        "partNumber" => "2",
        "continuation-token" => "x",
        name if name.starts_with("max-") || name.ends_with("-number-marker") => "7",
        _ => "v",
    }
}

fn sample_of_header(name: &str) -> &'static str {
    match name {
        "content-md5" => "1B2M2Y8AsgTpgAmY7PhCfg==",
        "if-none-match" => "*",
        "if-match" | "x-amz-copy-source-if-match" | "x-amz-copy-source-if-none-match" => "abc",
        "range" | "x-amz-copy-source-range" => "bytes=0-1",
        "x-amz-acl" => "public-read",
        "x-amz-bucket-namespace" => "account-regional",
        "x-amz-bucket-object-lock-enabled" | "x-amz-bypass-governance-retention" => "true",
        "x-amz-skip-destination-validation" => "true",
        "x-amz-server-side-encryption-bucket-key-enabled" => "true",
        "x-amz-checksum-algorithm" => "SHA256",
        "x-amz-checksum-mode" => "ENABLED",
        "x-amz-checksum-crc32" | "x-amz-checksum-crc32c" => "AAAAAQ==",
        "x-amz-checksum-crc64nvme" => "AAAAAAAAAAA=",
        "x-amz-checksum-sha1" => "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "x-amz-checksum-sha256" => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "x-amz-copy-source" => "/other/k",
        "x-amz-max-parts" | "x-amz-part-number-marker" | "x-amz-mp-object-size" => "7",
        "x-amz-metadata-directive" | "x-amz-tagging-directive" => "COPY",
        "x-amz-object-annotation-directive" => "COPY",
        "x-amz-object-attributes" => "ObjectSize",
        "x-amz-object-lock-event-hold" | "x-amz-object-lock-legal-hold" => "ON",
        "x-amz-object-ownership" => "ObjectWriter",
        "x-amz-server-side-encryption" => "AES256",
        "x-amz-storage-class" => "COLD",
        "x-amz-tagging" => "a=b",
        "x-amz-transition-default-minimum-object-size" => "varies_by_storage_class",
        name if name.ends_with("modified-since") => "Thu, 01 Dec 1994 16:00:00 GMT",
        _ => "v",
    }
}

/// A row of the page's tables: names, where, what happens.
struct Row {
    names: Vec<String>,
    place: String,
    status: String,
}

impl Row {
    /// Whether the row says something of an operation.
    fn is_about(&self, asked: &Asked) -> bool {
        match self.place.as_str() {
            "everywhere" => true,
            "with a body" => asked.has_a_body(),
            _ => self.names_it(asked),
        }
    }

    fn names_it(&self, asked: &Asked) -> bool {
        self.place.split(", ").any(|name| name == asked.entry.name)
    }
}

/// The rows of the tables below a heading.
fn rows(heading: &str) -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/s3-compat.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter(|line| line.starts_with("| `"));
    cells
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{line}");
            let names = cells[0].split(", ");
            Row {
                names: names
                    .map(|name| name.trim_matches('`').to_owned())
                    .collect(),
                place: cells[1].replace('`', ""),
                status: cells[2].to_owned(),
            }
        })
        .collect()
}

/// name -> the operations that have it.
fn model(kind: &str) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let lines = MODEL.lines().filter_map(|line| line.strip_prefix(kind));
    lines
        .filter_map(|line| line.strip_prefix(' '))
        .map(|line| {
            let mut words = line.split(' ');
            (words.next().unwrap(), words.collect())
        })
        .collect()
}

/// What the page says of `name` on an operation, and whether it says it of that operation.
fn says<'r>(rows: &'r [Row], name: &str, asked: &Asked) -> (&'r str, bool) {
    let about: Vec<&Row> = rows
        .iter()
        .filter(|row| {
            row.names
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        })
        .collect();
    // The row that names the operation counts more than one for all that have a body.
    let named = about.iter().find(|row| row.names_it(asked));
    let own = named.or_else(|| about.iter().find(|row| row.is_about(asked)));
    if let Some(own) = own {
        return (&own.status, true);
    }
    let elsewhere = about.iter().find(|row| row.place == "elsewhere");
    (elsewhere.map_or("ignored", |row| &row.status), false)
}

/// Compares each name on each operation, and tells all that differs.
fn compare(
    kind: &str,
    rows: &[Row],
    tried: impl Fn(&Asked, &'static str) -> Option<(Outcome, Outcome)>,
) {
    let (model, operations) = (model(kind), operations());
    let mut wrong = Vec::new();
    let described: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| row.names.iter().map(|name| name.to_ascii_lowercase()))
        .collect();
    for (name, of_it) in &model {
        if !described.contains(&name.to_ascii_lowercase()) {
            wrong.push(format!("{name} is not on the page"));
        }
        for asked in &operations {
            let Some((without, with)) = tried(asked, name) else {
                continue;
            };
            if with
                .as_ref()
                .is_ok_and(|(other, _)| other.kind() != asked.kind)
            {
                // With it another operation is asked for, which has its own row.
                continue;
            }
            let (says, is_said) = says(rows, name, asked);
            let found = status(&without, &with);
            let operation = asked.entry.name;
            if says != found {
                let with = with.map_err(|error| error.code());
                wrong.push(format!(
                    "{name} of {operation}: {says} on the page, {found}: {with:?}"
                ));
            }
            if of_it.contains(operation) && !is_said {
                wrong.push(format!(
                    "{name} of {operation} is AWS's and not on the page"
                ));
            }
        }
    }
    for row in rows {
        let named = row.place.split(", ").filter(|name| *name != "everywhere");
        for name in named.filter(|name| !["elsewhere", "with a body"].contains(name)) {
            let exists = OPERATIONS.iter().any(|entry| entry.name == name);
            assert!(exists, "{name} of {:?} is no operation", row.names);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_operation_is_understood_as_it_is_asked_for_here() {
    for asked in operations() {
        let found = asked.outcome(None, None);
        let kind = found.as_ref().map(|(operation, _)| operation.kind());
        assert_eq!(kind.ok(), Some(asked.kind), "{found:?}");
        // What is no parameter of S3's is ignored, in the query and as a header.
        let unknown = asked.outcome(Some(("unknown", "v")), None);
        assert_eq!(unknown.ok(), asked.outcome(None, None).ok());
        let unknown = asked.outcome(Some(("x-id", asked.entry.name)), None);
        assert_eq!(unknown.ok(), asked.outcome(None, None).ok());
        let unknown = asked.outcome(None, Some(("x-amz-unknown", "v")));
        assert_eq!(unknown.ok(), asked.outcome(None, None).ok());
    }
}

#[test]
fn the_page_says_what_becomes_of_each_query_parameter() {
    compare("query", &rows("Query parameters"), |asked, name| {
        let mut plain = Asked {
            entry: asked.entry,
            kind: asked.kind,
            query: asked.query.clone(),
            headers: asked.headers.clone(),
        };
        let without = plain.outcome(None, None);
        // One that the operation needs is given another value.
        plain.query.retain(|(own, _)| *own != name);
        let with = plain.outcome(Some((name, sample_of_query(name))), None);
        Some((without, with))
    });
}

#[test]
fn the_page_says_what_becomes_of_each_header() {
    compare("header", &rows("Request headers"), |asked, name| {
        // The length is the body's reader's business.
        if name == "content-length" {
            return None;
        }
        let header = if name == "x-amz-meta-" {
            "x-amz-meta-a"
        } else {
            name
        };
        let without = asked.outcome(None, None);
        let with = asked.outcome(None, Some((header, sample_of_header(name))));
        Some((without, with))
    });
}

#[test]
fn the_page_has_each_header_of_an_answer() {
    let rows = rows("Response headers");
    let described: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| row.names.iter().map(|name| name.to_ascii_lowercase()))
        .collect();
    let missing: Vec<&str> = model("answer")
        .into_keys()
        .filter(|name| !described.contains(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for row in rows {
        let is_known = ["sent", "never"].contains(&row.status.as_str());
        assert!(is_known, "{:?}: {}", row.names, row.status);
    }
}

#[test]
fn the_page_has_the_words_that_choose_an_operation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/s3-compat.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, words) = page.split_once("\n<!-- words -->\n").unwrap();
    let words = words.split("\n\n").next().unwrap();
    let found: BTreeSet<&str> = words.split('`').skip(1).step_by(2).collect();
    assert_eq!(found, WORDS.iter().copied().collect());
}
