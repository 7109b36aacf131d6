//! Which operations the model knows: all that work. One that is added is neither in `STEPS` nor in
//! `LEFT_OUT`, and a test says so; and what `STEPS` claims is counted while the seeds run.

use std::collections::BTreeSet;

use holdfast_gateway::s3::route::{Entry, Level, OPERATIONS, Verb, WORDS};

use crate::support::client::Call;

/// Operations that steps ask for, in the order of their names.
const STEPS: &[&str] = &[
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteBucketCors",
    "DeleteBucketEncryption",
    "DeleteBucketLifecycle",
    "DeleteBucketOwnershipControls",
    "DeleteBucketTagging",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetBucketAccelerateConfiguration",
    "GetBucketAcl",
    "GetBucketCors",
    "GetBucketEncryption",
    "GetBucketLifecycleConfiguration",
    "GetBucketLocation",
    "GetBucketLogging",
    "GetBucketNotificationConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketReplication",
    "GetBucketRequestPayment",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectLockConfiguration",
    "GetObjectRetention",
    "GetObjectTagging",
    "GetPublicAccessBlock",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjectVersions",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PostObject",
    "PutBucketAcl",
    "PutBucketCors",
    "PutBucketEncryption",
    "PutBucketLifecycleConfiguration",
    "PutBucketNotificationConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectLockConfiguration",
    "PutObjectRetention",
    "PutObjectTagging",
    "UploadPart",
    "UploadPartCopy",
];

/// Operations that work and are no step, each with the reason. There is none today.
const LEFT_OUT: &[(&str, &str)] = &[];

/// AWS's name of what a request asks for.
pub(crate) fn name_of(call: &Call) -> &'static str {
    let verb = match call.method.as_str() {
        "GET" => Verb::Get,
        "HEAD" => Verb::Head,
        "PUT" => Verb::Put,
        "POST" => Verb::Post,
        "DELETE" => Verb::Delete,
        other => panic!("S3 has no {other}"),
    };
    let level = match call.path.trim_start_matches('/').split_once('/') {
        _ if call.path == "/" => Level::Service,
        Some((_, key)) if !key.is_empty() => Level::Object,
        _ => Level::Bucket,
    };
    let words = call.query.iter().map(|(name, _)| name.as_str());
    let words: BTreeSet<&str> = words.filter(|word| WORDS.contains(word)).collect();
    let copies = call
        .headers
        .iter()
        .any(|(name, _)| name == "x-amz-copy-source");
    let is_meant = |entry: &&Entry| {
        let known: BTreeSet<&str> = entry.words.iter().copied().collect();
        (entry.verb, entry.level, entry.copies) == (verb, level, copies)
            && known.is_subset(&words)
            && words
                .difference(&known)
                .all(|word| entry.optional.contains(word))
    };
    let entry = OPERATIONS.iter().find(is_meant);
    entry.map_or_else(
        || panic!("no operation: {}", call.shown()),
        |entry| entry.name,
    )
}

/// Fails unless seeds that ask for enough have asked for every step's operation.
pub(crate) fn assert_all_asked(asked: &BTreeSet<&'static str>) {
    let missing: Vec<&&str> = STEPS.iter().filter(|name| !asked.contains(*name)).collect();
    assert!(missing.is_empty(), "no seed asked for {missing:?}");
}

#[test]
fn every_operation_that_works_is_a_step_or_is_left_out_with_its_reason() {
    let works: BTreeSet<&str> = OPERATIONS
        .iter()
        .filter(|entry| entry.built.is_some())
        .map(|entry| entry.name)
        .collect();
    let mut known: BTreeSet<&str> = STEPS.iter().copied().collect();
    assert_eq!(known.len(), STEPS.len(), "each is named once");
    for (name, reason) in LEFT_OUT {
        assert!(known.insert(name), "{name} is a step");
        assert!(!reason.is_empty(), "{name} has a reason");
    }
    let unknown: Vec<&&str> = works.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "the model knows nothing of {unknown:?}: make each a step, or name it in LEFT_OUT"
    );
    let gone: Vec<&&str> = known.difference(&works).collect();
    assert!(gone.is_empty(), "{gone:?} don't work");
}
