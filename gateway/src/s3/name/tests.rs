//! Which names are taken and which are refused.

use super::*;

#[test]
fn bucket_names_follow_aws_rules() {
    let longest = "a".repeat(63);
    for good in [
        "abc",
        "my-bucket",
        "my.bucket.1",
        "1bucket",
        &longest,
        "a-.b",
        "1.2.3",
        "1.2.3.4.5",
    ] {
        assert_eq!(BucketName::parse(good).unwrap().as_str(), good);
    }
    let too_long = "a".repeat(64);
    let bad = [
        "",
        "ab",
        &too_long,
        "Abc",
        "a_b",
        "-abc",
        "abc-",
        ".abc",
        "abc.",
        "a..b",
        "192.168.5.4",
        "999.01.2.3",
        "xn--abc",
        "sthree-abc",
        "amzn-s3-demo-abc",
        "abc-s3alias",
        "abc--ol-s3",
        "abc.mrap",
        "abc--x-s3",
        "abc--table-s3",
        "a b",
        "a/b",
        "ünder",
        "abc\n",
        "a\0b",
    ];
    for bad in bad {
        let error = BucketName::parse(bad).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidBucketName, "{bad:?}");
        assert_eq!(error.extra("BucketName"), Some(bad));
    }
}

#[test]
fn a_key_is_any_text_of_1_to_1024_bytes() {
    let longest = "é".repeat(512);
    for good in [
        "a",
        "../../etc/passwd",
        "/lead",
        "a//b",
        ".",
        "..",
        "\0",
        "\u{1}\n",
        "🦀",
        &longest,
    ] {
        assert_eq!(ObjectKey::parse(good).unwrap().as_bytes(), good.as_bytes());
    }
    let error = ObjectKey::parse(&"k".repeat(1025)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::KeyTooLongError);
    assert_eq!(error.extra("MaxSizeAllowed"), Some("1024"));
    assert_eq!(error.extra("Size"), Some("1025"));
    let error = ObjectKey::parse(&format!("{}é", "k".repeat(1023))).unwrap_err();
    assert_eq!(
        error.code(),
        ErrorCode::KeyTooLongError,
        "bytes count, not characters"
    );
    assert_eq!(
        ObjectKey::parse("").unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
}

#[test]
fn versions_uploads_and_part_numbers_are_bounded() {
    assert!(VersionId::parse("null").unwrap().is_null());
    assert!(!VersionId::parse("0a1b").unwrap().is_null());
    for bad in ["", "a b", "é", &"v".repeat(1025)] {
        assert_eq!(
            VersionId::parse(bad).unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
        assert_eq!(
            UploadId::parse(bad).unwrap_err().code(),
            ErrorCode::NoSuchUpload
        );
    }
    assert_eq!(PartNumber::parse("10000").unwrap().get(), 10_000);
    for bad in ["", "0", "10001", "-1", "x", "1.0", "99999999999"] {
        assert_eq!(
            PartNumber::parse(bad).unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
    }
}
