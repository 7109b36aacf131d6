//! AWS's own examples of documents, and what is wrong with others.

use super::*;

const MALFORMED: ErrorCode = ErrorCode::MalformedXML;

#[test]
fn a_location_constraint_is_read() {
    let example = br#"<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <LocationConstraint>Europe</LocationConstraint></CreateBucketConfiguration >"#;
    assert_eq!(
        create_bucket_configuration(example).unwrap().as_deref(),
        Some("Europe")
    );
    assert_eq!(create_bucket_configuration(b"").unwrap(), None);
    let empty = b"<CreateBucketConfiguration/>";
    assert_eq!(create_bucket_configuration(empty).unwrap(), None);
    for (body, code) in [
        (&b"<Other/>"[..], MALFORMED),
        (
            b"<CreateBucketConfiguration><Nope/></CreateBucketConfiguration>",
            MALFORMED,
        ),
        (
            b"<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>",
            ErrorCode::NotImplemented,
        ),
    ] {
        assert_eq!(create_bucket_configuration(body).unwrap_err().code(), code);
    }
}

#[test]
fn versioning_is_enabled_or_suspended() {
    let document = |inner: &str| {
        let xmlns = "http://s3.amazonaws.com/doc/2006-03-01/";
        let text =
            format!("<VersioningConfiguration xmlns=\"{xmlns}\">{inner}</VersioningConfiguration>");
        versioning_configuration(text.as_bytes()).map_err(|error| error.code())
    };
    assert_eq!(
        document("<Status>Enabled</Status>"),
        Ok(VersioningStatus::Enabled)
    );
    assert_eq!(
        document("<MfaDelete>Disabled</MfaDelete><Status>Suspended</Status>"),
        Ok(VersioningStatus::Suspended)
    );
    for (inner, code) in [
        ("", ErrorCode::IllegalVersioningConfigurationException),
        ("<Status>enabled</Status>", MALFORMED),
        (
            "<Status>Enabled</Status><Status>Enabled</Status>",
            MALFORMED,
        ),
        ("<Status>Enabled</Status><X/>", MALFORMED),
        (
            "<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>",
            ErrorCode::NotImplemented,
        ),
    ] {
        assert_eq!(document(inner), Err(code), "{inner}");
    }
    assert_eq!(versioning_configuration(b"").unwrap_err().code(), MALFORMED);
}

fn delete_of(inner: &str) -> Result<(Vec<ObjectToDelete>, bool), ErrorCode> {
    delete(format!("<Delete>{inner}</Delete>").as_bytes()).map_err(|error| error.code())
}

#[test]
fn a_delete_names_objects_and_versions() {
    let (objects, quiet) = delete_of(
        "<Quiet>true</Quiet><Object><Key>sample1.txt</Key></Object>\
         <Object><Key>a&#13;&amp;&#x1;/../</Key><VersionId>null</VersionId></Object>\
         <Object><Key>c</Key><ETag>\"aa\"</ETag></Object>",
    )
    .unwrap();
    assert!(quiet);
    let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["sample1.txt", "a\r&\u{1}/../", "c"]);
    assert_eq!(objects[0].version_id, None);
    assert!(objects[1].version_id.as_ref().unwrap().is_null());
    assert_eq!(
        objects[2].condition,
        WriteCondition::IfETag(ETag::from_text("aa"))
    );
}

#[test]
fn a_delete_has_1_to_1000_objects() {
    let object = "<Object><Key>k</Key></Object>";
    assert_eq!(delete_of(&object.repeat(1000)).unwrap().0.len(), 1000);
    for (inner, code) in [
        ("", MALFORMED),
        (&*object.repeat(1001), MALFORMED),
        ("<Object/>", MALFORMED),
        ("<Object><Key></Key></Object>", MALFORMED),
        ("<Object><Key>k</Key><Unknown/></Object>", MALFORMED),
        (
            "<Quiet>maybe</Quiet><Object><Key>k</Key></Object>",
            MALFORMED,
        ),
        (
            "<Object><Key>k</Key><Size>1</Size></Object>",
            ErrorCode::NotImplemented,
        ),
        (
            &*format!("<Object><Key>{}</Key></Object>", "k".repeat(1025)),
            ErrorCode::KeyTooLongError,
        ),
    ] {
        assert_eq!(
            delete_of(inner).unwrap_err(),
            code,
            "{}",
            &inner[..inner.len().min(80)]
        );
    }
}

fn complete_of(inner: &str) -> Result<Vec<CompletedPart>, ErrorCode> {
    let text = format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
    complete_multipart_upload(text.as_bytes()).map_err(|error| error.code())
}

fn part(number: u32) -> String {
    format!("<Part><PartNumber>{number}</PartNumber><ETag>\"aa\"</ETag></Part>")
}

#[test]
fn a_complete_lists_parts_in_rising_order() {
    let parts = complete_of(
        "<Part><ChecksumCRC32>AAAAAQ==</ChecksumCRC32><ETag>&quot;aa&quot;</ETag>\
         <PartNumber>1</PartNumber></Part><Part><PartNumber>7</PartNumber><ETag>bb</ETag></Part>",
    )
    .unwrap();
    let numbers: Vec<u16> = parts.iter().map(|part| part.part_number.get()).collect();
    assert_eq!(numbers, [1, 7]);
    assert_eq!(parts[0].etag.as_str(), "aa");
    assert_eq!(
        parts[0].checksum.as_ref().unwrap().algorithm,
        ChecksumAlgorithm::Crc32
    );
    assert_eq!(parts[1].checksum, None);
    let most: String = (1..=10_000).map(part).collect();
    assert_eq!(complete_of(&most).unwrap().len(), 10_000);
}

#[test]
fn parts_out_of_order_or_out_of_range_are_refused() {
    let too_many: String = (1..=10_001).map(part).collect();
    for (inner, code) in [
        (String::new(), MALFORMED),
        (too_many, MALFORMED),
        (part(2) + &part(1), ErrorCode::InvalidPartOrder),
        (part(1) + &part(1), ErrorCode::InvalidPartOrder),
        (part(0), ErrorCode::InvalidArgument),
        (part(10_001), ErrorCode::InvalidArgument),
        (
            "<Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>".to_owned(),
            MALFORMED,
        ),
        (
            "<Part><PartNumber>1</PartNumber></Part>".to_owned(),
            MALFORMED,
        ),
        ("<Part><ETag>a</ETag></Part>".to_owned(), MALFORMED),
        (
            "<Part><PartNumber>1</PartNumber><ETag>a</ETag><ChecksumCRC32>!</ChecksumCRC32></Part>"
                .to_owned(),
            ErrorCode::InvalidRequest,
        ),
    ] {
        assert_eq!(complete_of(&inner).unwrap_err(), code);
    }
    assert_eq!(
        complete_multipart_upload(b"").unwrap_err().code(),
        ErrorCode::InvalidRequest
    );
}
