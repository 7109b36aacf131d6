//! What is read as which rule, what is written of it, and what is refused with which words.

use super::*;
use crate::s3::error::ErrorCode;

const ONE_OF_EACH: &str = "<LifecycleConfiguration>\
    <Rule><ID>legacy</ID><Prefix>logs/</Prefix><Status>Enabled</Status>\
    <Expiration><Days>3</Days></Expiration></Rule>\
    <Rule><ID>all</ID><Filter></Filter><Status>Disabled</Status>\
    <Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration></Rule>\
    <Rule><ID>prefix</ID><Filter><Prefix>a&amp;b/</Prefix></Filter><Status>Enabled</Status>\
    <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
    <NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays>\
    <NewerNoncurrentVersions>100</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
    <AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>\
    </AbortIncompleteMultipartUpload></Rule>\
    <Rule><ID>tag</ID><Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>\
    <Status>Enabled</Status><Expiration><Days>2147483647</Days></Expiration></Rule>\
    <Rule><ID>and</ID><Filter><And><Prefix>p</Prefix><Tag><Key>a</Key><Value>1</Value></Tag>\
    <Tag><Key>b</Key><Value>2</Value></Tag><ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>\
    <ObjectSizeLessThan>1024</ObjectSizeLessThan></And></Filter><Status>Enabled</Status>\
    <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
    </NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";

fn read(document: &str) -> Result<LifecycleConfiguration, S3Error> {
    lifecycle_configuration(document.as_bytes(), TransitionMinimum::default())
}

#[test]
fn rules_are_read_as_they_are_written() {
    let configuration = read(ONE_OF_EACH).unwrap();
    assert_eq!(configuration.rules().len(), 5);
    let written = lifecycle_document(&configuration);
    let body = |document: &str| document.replace("<Filter/>", "<Filter></Filter>");
    let root = "<LifecycleConfiguration>".len();
    assert!(body(&written).ends_with(&ONE_OF_EACH[root..]), "{written}");
    assert_eq!(read(&written).unwrap(), configuration);
    let kept = serde_json::to_string(&configuration).unwrap();
    assert_eq!(
        serde_json::from_str::<LifecycleConfiguration>(&kept).unwrap(),
        configuration
    );
    let and = configuration.rules()[4].filter();
    assert_eq!(and.conditions(), 5);
    assert_eq!((and.larger_than, and.smaller_than), (Some(0), Some(1024)));
    assert_eq!(
        configuration.rules()[0].filter().prefix.as_deref(),
        Some("logs/")
    );
}

#[test]
fn a_day_is_a_date_and_white_space_is_nothing() {
    let rule = |expiration: &str| {
        let document = format!(
            "<LifecycleConfiguration><Rule><Filter/><Status>Enabled</Status>\
             <Expiration>{expiration}</Expiration></Rule></LifecycleConfiguration>"
        );
        read(&document).map(|read| read.rules()[0].clone())
    };
    let expiration = |text: &str| rule(text).unwrap().expiration.unwrap();
    let new_year = LifecycleExpiration::Date(1_893_456_000_000);
    for text in [
        "2030-01-01",
        "2030-01-01T00:00:00Z",
        "2030-01-01T00:00:00.000Z",
        "2030-01-01T01:00:00+01:00",
    ] {
        assert_eq!(
            expiration(&format!("<Date>{text}</Date>")),
            new_year,
            "{text}"
        );
    }
    assert_eq!(expiration("<Days> 3 </Days>"), LifecycleExpiration::Days(3));
    let never = "<ExpiredObjectDeleteMarker>false</ExpiredObjectDeleteMarker>";
    assert_eq!(
        expiration(&format!("<Days>3</Days>{never}")),
        LifecycleExpiration::Days(3)
    );
    assert_eq!(rule(never).unwrap_err().code(), ErrorCode::InvalidRequest);
    assert_eq!(rule("<Days>1</Days>").unwrap().id, "rule-1");
}

/// A rule of a filter and actions, and what AWS says to it.
type Refused = (&'static str, &'static str, ErrorCode, &'static str);

const DAYS: &str = "<Expiration><Days>1</Days></Expiration>";
const TAG: &str = "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>";
const SIZE: &str = "<Filter><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan></Filter>";
const ALL: &str = "<Filter/>";
const ABORT: &str = "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
                     </AbortIncompleteMultipartUpload>";
const MARKER: &str =
    "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
const XML: &str = "The XML you provided was not well-formed or did not validate";

const REFUSED: &[Refused] = &[
    (
        ALL,
        "",
        ErrorCode::InvalidRequest,
        "At least one action needs to be specified",
    ),
    ("", DAYS, ErrorCode::MalformedXML, XML),
    (
        "<Filter/><Prefix>a</Prefix>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    ("<Filter/><Filter/>", DAYS, ErrorCode::MalformedXML, XML),
    (
        "<Filter><Prefix>a</Prefix><Tag><Key>a</Key><Value/></Tag></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><Prefix>a</Prefix><And><Prefix>a</Prefix></And></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><Tag><Key>a</Key><Value/></Tag><Tag><Key>b</Key><Value/></Tag></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><And/></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><And><And/></And></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><Other/></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    ("<Filter>a</Filter>", DAYS, ErrorCode::MalformedXML, XML),
    (
        "<Filter><Tag><Key>a</Key></Tag></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><Tag><Key/><Value/></Tag></Filter>",
        DAYS,
        ErrorCode::InvalidTag,
        "The TagKey",
    ),
    (
        "<Filter><And><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag>\
      </And></Filter>",
        DAYS,
        ErrorCode::InvalidRequest,
        "Duplicate Tag Keys",
    ),
    (
        "<Filter><ObjectSizeLessThan>0</ObjectSizeLessThan></Filter>",
        DAYS,
        ErrorCode::InvalidArgument,
        "'ObjectSizeLessThan' should be between 1",
    ),
    (
        "<Filter><ObjectSizeGreaterThan>-1</ObjectSizeGreaterThan></Filter>",
        DAYS,
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        "<Filter><ObjectSizeGreaterThan>9223372036854775808</ObjectSizeGreaterThan></Filter>",
        DAYS,
        ErrorCode::InvalidArgument,
        "'ObjectSizeGreaterThan' should be between 0",
    ),
    (
        "<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>5\
      </ObjectSizeLessThan></And></Filter>",
        DAYS,
        ErrorCode::InvalidRequest,
        "'ObjectSizeLessThan' has to be",
    ),
    (ALL, "<Expiration/>", ErrorCode::MalformedXML, XML),
    (
        ALL,
        "<Expiration><Days>0</Days></Expiration>",
        ErrorCode::InvalidArgument,
        "'Days' for Expiration action must be a positive integer",
    ),
    (
        ALL,
        "<Expiration><Days>-1</Days></Expiration>",
        ErrorCode::InvalidArgument,
        "'Days' for",
    ),
    (
        ALL,
        "<Expiration><Days>2147483648</Days></Expiration>",
        ErrorCode::InvalidArgument,
        "'Days'",
    ),
    (
        ALL,
        "<Expiration><Days>1.5</Days></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Days/></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Days>1</Days><Days>2</Days></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Days>1</Days><Date>2030-01-01</Date></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>\
      </Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><ExpiredObjectDeleteMarker>yes</ExpiredObjectDeleteMarker></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Date>2030-01-01T00:00:01Z</Date></Expiration>",
        ErrorCode::InvalidArgument,
        "'Date' must be at midnight GMT",
    ),
    (
        ALL,
        "<Expiration><Date>20300101</Date></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Date>2030-13-01</Date></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Date>1969-01-01</Date></Expiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<NoncurrentVersionExpiration/>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<NoncurrentVersionExpiration><NoncurrentDays>0</NoncurrentDays>\
      </NoncurrentVersionExpiration>",
        ErrorCode::InvalidArgument,
        "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
    ),
    (
        ALL,
        "<NoncurrentVersionExpiration><NewerNoncurrentVersions>1</NewerNoncurrentVersions>\
      </NoncurrentVersionExpiration>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
      <NewerNoncurrentVersions>0</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
        ErrorCode::InvalidArgument,
        "'NewerNoncurrentVersions' must be between 1 and 100",
    ),
    (
        ALL,
        "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>\
      <NewerNoncurrentVersions>101</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
        ErrorCode::InvalidArgument,
        "'NewerNoncurrentVersions'",
    ),
    (
        ALL,
        "<AbortIncompleteMultipartUpload/>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>0</DaysAfterInitiation>\
      </AbortIncompleteMultipartUpload>",
        ErrorCode::InvalidArgument,
        "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive",
    ),
    (
        TAG,
        ABORT,
        ErrorCode::InvalidRequest,
        "AbortIncompleteMultipartUpload cannot be specified with Tags.",
    ),
    (
        SIZE,
        ABORT,
        ErrorCode::InvalidRequest,
        "AbortIncompleteMultipartUpload cannot be specified with Object Size.",
    ),
    (
        TAG,
        MARKER,
        ErrorCode::InvalidRequest,
        "ExpiredObjectDeleteMarker cannot be specified with Tags.",
    ),
    (
        SIZE,
        MARKER,
        ErrorCode::InvalidRequest,
        "ExpiredObjectDeleteMarker cannot be specified with Object Size.",
    ),
    (
        ALL,
        "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>",
        ErrorCode::NotImplemented,
        "Transitions are not implemented",
    ),
    (
        ALL,
        "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>GLACIER\
      </StorageClass></NoncurrentVersionTransition>",
        ErrorCode::NotImplemented,
        "Transitions are",
    ),
    (
        ALL,
        "<Expiration><Days>1</Days></Expiration><Other/>",
        ErrorCode::MalformedXML,
        XML,
    ),
    (
        ALL,
        "<Expiration><Days>1</Days></Expiration>text",
        ErrorCode::MalformedXML,
        XML,
    ),
];

#[test]
fn what_is_no_rule_is_refused_in_awss_words() {
    for (filter, actions, code, message) in REFUSED {
        let document = format!(
            "<LifecycleConfiguration><Rule><ID>a</ID>{filter}<Status>Enabled</Status>{actions}\
             </Rule></LifecycleConfiguration>"
        );
        let refused = read(&document).expect_err(&document);
        assert_eq!(refused.code(), *code, "{document}");
        let found = refused.text().to_owned();
        assert!(found.starts_with(message), "{document}: {found}");
    }
}

#[test]
fn the_document_itself_is_checked() {
    for document in [
        "",
        "<LifecycleConfiguration/>",
        "<LifecycleConfiguration><Other/></LifecycleConfiguration>",
        "<Lifecycle><Rule/></Lifecycle>",
        "<LifecycleConfiguration><Rule><Filter/><Expiration><Days>1</Days></Expiration></Rule>\
         </LifecycleConfiguration>",
        "<LifecycleConfiguration><Rule><Filter/><Status>enabled</Status><Expiration><Days>1</Days>\
         </Expiration></Rule></LifecycleConfiguration>",
    ] {
        assert_eq!(
            read(document).unwrap_err().code(),
            ErrorCode::MalformedXML,
            "{document}"
        );
    }
}
