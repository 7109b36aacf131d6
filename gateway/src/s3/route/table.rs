//! Every operation of S3 and how a request asks for it: the allow-list, and the compatibility table.
//!
//! A request names an operation by its method, what it is about (service, bucket, object) and the
//! *sub-resource words* in its query, all of them. `docs/s3-compat.md` has a row for each entry here;
//! a test compares the two.

use Level::{Bucket, Object, Service};
use Verb::{Delete, Get, Head, Post, Put};

use crate::s3::op::OperationKind;
use crate::s3::op::OperationKind as Kind;

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The service.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// The methods that S3 uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// PUT.
    Put,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// AWS's name.
    pub name: &'static str,
    /// Its method.
    pub verb: Verb,
    /// What it is about.
    pub level: Level,
    /// The words that its query has, no more and no fewer.
    pub words: &'static [&'static str],
    /// Words that it may also have.
    pub optional: &'static [&'static str],
    /// Whether `x-amz-copy-source` must be there. Elsewhere it must not.
    pub copies: bool,
    /// What answers it; `None`: 501.
    pub built: Option<OperationKind>,
}

const fn entry(
    name: &'static str,
    verb: Verb,
    level: Level,
    words: &'static [&'static str],
) -> Entry {
    Entry {
        name,
        verb,
        level,
        words,
        optional: &[],
        copies: false,
        built: None,
    }
}

impl Entry {
    const fn built(mut self, kind: OperationKind) -> Self {
        self.built = Some(kind);
        self
    }

    const fn may_have(mut self, optional: &'static [&'static str]) -> Self {
        self.optional = optional;
        self
    }

    const fn copies(mut self) -> Self {
        self.copies = true;
        self
    }
}

/// Every operation.
pub const OPERATIONS: &[Entry] = &[
    // What is built.
    entry("ListBuckets", Get, Service, &[]).built(Kind::ListBuckets),
    entry("CreateBucket", Put, Bucket, &[]).built(Kind::CreateBucket),
    entry("DeleteBucket", Delete, Bucket, &[]).built(Kind::DeleteBucket),
    entry("HeadBucket", Head, Bucket, &[]).built(Kind::HeadBucket),
    entry("GetBucketLocation", Get, Bucket, &["location"]).built(Kind::GetBucketLocation),
    entry("PutBucketVersioning", Put, Bucket, &["versioning"]).built(Kind::PutBucketVersioning),
    entry("GetBucketVersioning", Get, Bucket, &["versioning"]).built(Kind::GetBucketVersioning),
    entry("ListObjects", Get, Bucket, &[]).built(Kind::ListObjects),
    entry("ListObjectsV2", Get, Bucket, &["list-type"]).built(Kind::ListObjectsV2),
    entry("ListObjectVersions", Get, Bucket, &["versions"]).built(Kind::ListObjectVersions),
    entry("ListMultipartUploads", Get, Bucket, &["uploads"]).built(Kind::ListMultipartUploads),
    entry("DeleteObjects", Post, Bucket, &["delete"]).built(Kind::DeleteObjects),
    entry("PutObject", Put, Object, &[]).built(Kind::PutObject),
    entry("CopyObject", Put, Object, &[])
        .copies()
        .built(Kind::CopyObject),
    entry("GetObject", Get, Object, &[])
        .may_have(&["partNumber"])
        .built(Kind::GetObject),
    entry("HeadObject", Head, Object, &[])
        .may_have(&["partNumber"])
        .built(Kind::HeadObject),
    entry("DeleteObject", Delete, Object, &[]).built(Kind::DeleteObject),
    entry("CreateMultipartUpload", Post, Object, &["uploads"]).built(Kind::CreateMultipartUpload),
    entry("UploadPart", Put, Object, &["partNumber", "uploadId"]).built(Kind::UploadPart),
    entry("ListParts", Get, Object, &["uploadId"]).built(Kind::ListParts),
    entry("CompleteMultipartUpload", Post, Object, &["uploadId"])
        .built(Kind::CompleteMultipartUpload),
    entry("AbortMultipartUpload", Delete, Object, &["uploadId"]).built(Kind::AbortMultipartUpload),
    entry("UploadPartCopy", Put, Object, &["partNumber", "uploadId"])
        .copies()
        .built(Kind::UploadPartCopy),
    entry("GetObjectAttributes", Get, Object, &["attributes"]).built(Kind::GetObjectAttributes),
    entry("PutObjectTagging", Put, Object, &["tagging"]).built(Kind::PutObjectTagging),
    entry("GetObjectTagging", Get, Object, &["tagging"]).built(Kind::GetObjectTagging),
    entry("DeleteObjectTagging", Delete, Object, &["tagging"]).built(Kind::DeleteObjectTagging),
    entry("PutBucketTagging", Put, Bucket, &["tagging"]).built(Kind::PutBucketTagging),
    entry("GetBucketTagging", Get, Bucket, &["tagging"]).built(Kind::GetBucketTagging),
    entry("DeleteBucketTagging", Delete, Bucket, &["tagging"]).built(Kind::DeleteBucketTagging),
    entry("GetBucketAcl", Get, Bucket, &["acl"]).built(Kind::GetBucketAcl),
    entry("PutBucketAcl", Put, Bucket, &["acl"]).built(Kind::PutBucketAcl),
    entry("GetObjectAcl", Get, Object, &["acl"]).built(Kind::GetObjectAcl),
    entry("PutObjectAcl", Put, Object, &["acl"]).built(Kind::PutObjectAcl),
    entry(
        "PutBucketOwnershipControls",
        Put,
        Bucket,
        &["ownershipControls"],
    )
    .built(Kind::PutBucketOwnershipControls),
    entry(
        "GetBucketOwnershipControls",
        Get,
        Bucket,
        &["ownershipControls"],
    )
    .built(Kind::GetBucketOwnershipControls),
    entry(
        "DeleteBucketOwnershipControls",
        Delete,
        Bucket,
        &["ownershipControls"],
    )
    .built(Kind::DeleteBucketOwnershipControls),
    entry("GetBucketPolicy", Get, Bucket, &["policy"]).built(Kind::GetBucketPolicy),
    entry("GetBucketPolicyStatus", Get, Bucket, &["policyStatus"])
        .built(Kind::GetBucketPolicyStatus),
    entry("GetBucketEncryption", Get, Bucket, &["encryption"]).built(Kind::GetBucketEncryption),
    entry("PutBucketEncryption", Put, Bucket, &["encryption"]).built(Kind::PutBucketEncryption),
    entry("DeleteBucketEncryption", Delete, Bucket, &["encryption"])
        .built(Kind::DeleteBucketEncryption),
    entry("GetObjectLockConfiguration", Get, Bucket, &["object-lock"])
        .built(Kind::GetObjectLockConfiguration),
    entry("PutObjectLockConfiguration", Put, Bucket, &["object-lock"])
        .built(Kind::PutObjectLockConfiguration),
    entry("PutObjectRetention", Put, Object, &["retention"]).built(Kind::PutObjectRetention),
    entry("GetObjectRetention", Get, Object, &["retention"]).built(Kind::GetObjectRetention),
    entry("PutObjectLegalHold", Put, Object, &["legal-hold"]).built(Kind::PutObjectLegalHold),
    entry("GetObjectLegalHold", Get, Object, &["legal-hold"]).built(Kind::GetObjectLegalHold),
    entry(
        "GetBucketLifecycleConfiguration",
        Get,
        Bucket,
        &["lifecycle"],
    )
    .built(Kind::GetBucketLifecycleConfiguration),
    entry(
        "PutBucketLifecycleConfiguration",
        Put,
        Bucket,
        &["lifecycle"],
    )
    .built(Kind::PutBucketLifecycleConfiguration),
    entry("DeleteBucketLifecycle", Delete, Bucket, &["lifecycle"])
        .built(Kind::DeleteBucketLifecycle),
    entry("GetBucketReplication", Get, Bucket, &["replication"]).built(Kind::GetBucketReplication),
    entry("GetBucketWebsite", Get, Bucket, &["website"]).built(Kind::GetBucketWebsite),
    entry("GetPublicAccessBlock", Get, Bucket, &["publicAccessBlock"])
        .built(Kind::GetPublicAccessBlock),
    entry(
        "GetBucketNotificationConfiguration",
        Get,
        Bucket,
        &["notification"],
    )
    .built(Kind::GetBucketNotificationConfiguration),
    entry(
        "PutBucketNotificationConfiguration",
        Put,
        Bucket,
        &["notification"],
    )
    .built(Kind::PutBucketNotificationConfiguration),
    entry("GetBucketLogging", Get, Bucket, &["logging"]).built(Kind::GetBucketLogging),
    entry("GetBucketRequestPayment", Get, Bucket, &["requestPayment"])
        .built(Kind::GetBucketRequestPayment),
    entry(
        "GetBucketAccelerateConfiguration",
        Get,
        Bucket,
        &["accelerate"],
    )
    .built(Kind::GetBucketAccelerateConfiguration),
    entry("DeleteBucketCors", Delete, Bucket, &["cors"]).built(Kind::DeleteBucketCors),
    entry("GetBucketCors", Get, Bucket, &["cors"]).built(Kind::GetBucketCors),
    entry("PutBucketCors", Put, Bucket, &["cors"]).built(Kind::PutBucketCors),
    entry("PostObject", Post, Bucket, &[]).built(Kind::PostObject),
    // What is not.
    entry(
        "CreateBucketMetadataConfiguration",
        Post,
        Bucket,
        &["metadataConfiguration"],
    ),
    entry(
        "CreateBucketMetadataTableConfiguration",
        Post,
        Bucket,
        &["metadataTable"],
    ),
    entry("CreateSession", Get, Bucket, &["session"]),
    entry("DeleteObjectAnnotation", Delete, Object, ANNOTATION),
    entry("GetObjectAnnotation", Get, Object, ANNOTATION),
    entry("ListObjectAnnotations", Get, Object, &["annotation"]),
    entry("PutObjectAnnotation", Put, Object, ANNOTATION),
    entry(
        "DeleteBucketAnalyticsConfiguration",
        Delete,
        Bucket,
        &["analytics"],
    ),
    entry(
        "DeleteBucketIntelligentTieringConfiguration",
        Delete,
        Bucket,
        &["intelligent-tiering"],
    ),
    entry(
        "DeleteBucketInventoryConfiguration",
        Delete,
        Bucket,
        &["inventory"],
    ),
    entry(
        "DeleteBucketMetadataConfiguration",
        Delete,
        Bucket,
        &["metadataConfiguration"],
    ),
    entry(
        "DeleteBucketMetadataTableConfiguration",
        Delete,
        Bucket,
        &["metadataTable"],
    ),
    entry(
        "DeleteBucketMetricsConfiguration",
        Delete,
        Bucket,
        &["metrics"],
    ),
    entry("DeleteBucketPolicy", Delete, Bucket, &["policy"]),
    entry("DeleteBucketReplication", Delete, Bucket, &["replication"]),
    entry("DeleteBucketWebsite", Delete, Bucket, &["website"]),
    entry(
        "DeletePublicAccessBlock",
        Delete,
        Bucket,
        &["publicAccessBlock"],
    ),
    entry("GetBucketAbac", Get, Bucket, &["abac"]),
    entry(
        "GetBucketAnalyticsConfiguration",
        Get,
        Bucket,
        &["analytics", "id"],
    ),
    entry(
        "GetBucketIntelligentTieringConfiguration",
        Get,
        Bucket,
        &["id", "intelligent-tiering"],
    ),
    entry(
        "GetBucketInventoryConfiguration",
        Get,
        Bucket,
        &["id", "inventory"],
    ),
    entry(
        "GetBucketMetadataConfiguration",
        Get,
        Bucket,
        &["metadataConfiguration"],
    ),
    entry(
        "GetBucketMetadataTableConfiguration",
        Get,
        Bucket,
        &["metadataTable"],
    ),
    entry(
        "GetBucketMetricsConfiguration",
        Get,
        Bucket,
        &["id", "metrics"],
    ),
    entry("GetObjectTorrent", Get, Object, &["torrent"]),
    entry(
        "ListBucketAnalyticsConfigurations",
        Get,
        Bucket,
        &["analytics"],
    ),
    entry(
        "ListBucketIntelligentTieringConfigurations",
        Get,
        Bucket,
        &["intelligent-tiering"],
    ),
    entry(
        "ListBucketInventoryConfigurations",
        Get,
        Bucket,
        &["inventory"],
    ),
    entry("ListBucketMetricsConfigurations", Get, Bucket, &["metrics"]),
    entry("PutBucketAbac", Put, Bucket, &["abac"]),
    entry(
        "PutBucketAccelerateConfiguration",
        Put,
        Bucket,
        &["accelerate"],
    ),
    entry(
        "PutBucketAnalyticsConfiguration",
        Put,
        Bucket,
        &["analytics"],
    ),
    entry(
        "PutBucketIntelligentTieringConfiguration",
        Put,
        Bucket,
        &["intelligent-tiering"],
    ),
    entry(
        "PutBucketInventoryConfiguration",
        Put,
        Bucket,
        &["inventory"],
    ),
    entry("PutBucketLogging", Put, Bucket, &["logging"]),
    entry("PutBucketMetricsConfiguration", Put, Bucket, &["metrics"]),
    entry("PutBucketPolicy", Put, Bucket, &["policy"]),
    entry("PutBucketReplication", Put, Bucket, &["replication"]),
    entry("PutBucketRequestPayment", Put, Bucket, &["requestPayment"]),
    entry("PutBucketWebsite", Put, Bucket, &["website"]),
    entry("PutPublicAccessBlock", Put, Bucket, &["publicAccessBlock"]),
    entry("RenameObject", Put, Object, &["renameObject"]),
    entry("RestoreObject", Post, Object, &["restore"]),
    entry(
        "SelectObjectContent",
        Post,
        Object,
        &["select", "select-type"],
    ),
    entry(
        "UpdateBucketMetadataAnnotationTableConfiguration",
        Put,
        Bucket,
        &["metadataAnnotationTable"],
    ),
    entry(
        "UpdateBucketMetadataInventoryTableConfiguration",
        Put,
        Bucket,
        &["metadataInventoryTable"],
    ),
    entry(
        "UpdateBucketMetadataJournalTableConfiguration",
        Put,
        Bucket,
        &["metadataJournalTable"],
    ),
    entry("UpdateObjectEncryption", Put, Object, &["encryption"]),
];

/// `annotationName` names one of an object's annotations.
const ANNOTATION: &[&str] = &["annotation", "annotationName"];

/// Operations that AWS serves at endpoints of their own (S3 Express control, Object Lambda): no
/// request to an S3 endpoint asks for them.
pub const ELSEWHERE: &[&str] = &["ListDirectoryBuckets", "WriteGetObjectResponse"];

/// The words that choose an operation. One that is here and in no built entry is 501 wherever it
/// stands; a word that is not here is a parameter, and ignored where it means nothing, as at AWS.
pub const WORDS: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotations",
    "append",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "list-type",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];
