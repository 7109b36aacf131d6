//! Steps on what a bucket can be configured with: put, read back, deleted; and on what it can't be,
//! which is told the same way each time.

use super::outcome::Refusal;
use super::run::Run;
use crate::support::client::Call;
use crate::support::xml::Element;

/// A configuration that is kept.
struct Kind {
    /// What its requests are told by.
    word: &'static str,
    /// What may be put, as it is read back.
    documents: &'static [&'static str],
    put_status: u16,
    /// What a bucket says that was never told anything.
    at_first: Option<&'static str>,
    /// What is answered where there is none, if it can be deleted.
    absent: Option<Refusal>,
}

const ENFORCED: &str = "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced\
    </ObjectOwnership></Rule></OwnershipControls>";

const NOBODY_IS_TOLD: &str = "<NotificationConfiguration></NotificationConfiguration>";

const KINDS: [Kind; 5] = [
    Kind {
        word: "tagging",
        documents: &[
            "<Tagging><TagSet><Tag><Key>team</Key><Value>a b</Value></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Tag><Key>a</Key><Value></Value></Tag><Tag><Key>b</Key>\
             <Value>1+1</Value></Tag></TagSet></Tagging>",
        ],
        put_status: 204,
        at_first: None,
        absent: Some((404, "NoSuchTagSet")),
    },
    Kind {
        word: "cors",
        documents: &[
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>\
             <AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
            "<CORSConfiguration><CORSRule><ID>one</ID>\
             <AllowedMethod>PUT</AllowedMethod>\
             <AllowedOrigin>https://*.example.com</AllowedOrigin></CORSRule></CORSConfiguration>",
        ],
        put_status: 200,
        at_first: None,
        absent: Some((404, "NoSuchCORSConfiguration")),
    },
    Kind {
        word: "encryption",
        documents: &[
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
             <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
            "<ServerSideEncryptionConfiguration><Rule><BucketKeyEnabled>false</BucketKeyEnabled>\
             <BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType>\
             </BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>",
        ],
        put_status: 200,
        at_first: None,
        absent: Some((404, "ServerSideEncryptionConfigurationNotFoundError")),
    },
    Kind {
        word: "ownershipControls",
        documents: &[ENFORCED],
        put_status: 200,
        at_first: Some(ENFORCED),
        absent: Some((404, "OwnershipControlsNotFoundError")),
    },
    Kind {
        word: "notification",
        documents: &[
            "<NotificationConfiguration><QueueConfiguration><Id>few</Id>\
             <Queue>arn:holdfast:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:Put</Event>\
             <Filter><S3Key><FilterRule><Name>prefix</Name><Value>b/</Value></FilterRule></S3Key>\
             </Filter></QueueConfiguration></NotificationConfiguration>",
            NOBODY_IS_TOLD,
        ],
        put_status: 200,
        at_first: Some(NOBODY_IS_TOLD),
        absent: None,
    },
];

/// Questions about a bucket whose answer is always the same: status, and the code or the root.
const FIXED: [(&str, &str, u16, &str); 10] = [
    ("GET", "acl", 200, "AccessControlPolicy"),
    ("PUT", "acl", 400, "AccessControlListNotSupported"),
    ("GET", "policy", 404, "NoSuchBucketPolicy"),
    ("GET", "policyStatus", 404, "NoSuchBucketPolicy"),
    (
        "GET",
        "replication",
        404,
        "ReplicationConfigurationNotFoundError",
    ),
    ("GET", "website", 404, "NoSuchWebsiteConfiguration"),
    (
        "GET",
        "publicAccessBlock",
        404,
        "NoSuchPublicAccessBlockConfiguration",
    ),
    ("GET", "logging", 200, "BucketLoggingStatus"),
    ("GET", "requestPayment", 200, "RequestPaymentConfiguration"),
    ("GET", "accelerate", 200, "AccelerateConfiguration"),
];

impl Run {
    /// A target for notifications that nobody listens at.
    pub(crate) fn create_webhook(&mut self) {
        let url = "http://127.0.0.1:9/";
        let words = [
            "webhook",
            "create",
            "hook",
            "--url",
            url,
            "--allow-loopback",
        ];
        self.server.admin_does(&words);
    }

    pub(crate) fn configurations(&mut self) {
        let bucket = self.some_bucket();
        match self.random.below(10) {
            0..7 => self.configure(&bucket),
            7 => self.ask_for_access_lists(),
            _ => self.ask_what_is_fixed(&bucket),
        }
    }

    fn configure(&mut self, bucket: &str) {
        let kind = self.random.pick(&KINDS);
        let call = |method| Call::new(method, &format!("/{bucket}")).flag(kind.word);
        let said = match self.random.percent(50) {
            true => {
                let document = *self.random.pick(kind.documents);
                let call = call("PUT").body(document.as_bytes());
                let call = call.header("x-amz-skip-destination-validation", "true");
                let answer = self.call(&call);
                assert_eq!(answer.status, kind.put_status, "{}", answer.shown());
                Some(document)
            }
            false if kind.absent.is_none() => return,
            false => {
                let answer = self.call(&call("DELETE"));
                assert_eq!(answer.status, 204, "{}", answer.shown());
                None
            }
        };
        let held = &mut self.bucket_mut(bucket).configurations;
        held.insert(kind.word, said);
        self.compare_configurations(bucket);
    }

    /// Compares all configurations of a bucket.
    pub(crate) fn compare_configurations(&mut self, bucket: &str) {
        for kind in &KINDS {
            let call = Call::new("GET", &format!("/{bucket}")).flag(kind.word);
            let answer = self.call(&call);
            let said = self.buckets[bucket].configurations.get(kind.word);
            match (said.copied().unwrap_or(kind.at_first), kind.absent) {
                (Some(document), _) => {
                    assert_eq!(answer.status, 200, "{}", answer.shown());
                    let expected = Element::parse(document.as_bytes());
                    assert_eq!(Element::parse(&answer.body), expected);
                }
                (None, Some(absent)) => self.refused(&answer, absent),
                (None, None) => panic!("{} can't be deleted", kind.word),
            }
        }
    }

    fn ask_what_is_fixed(&mut self, bucket: &str) {
        for (method, word, status, said) in FIXED {
            let call = Call::new(method, &format!("/{bucket}")).flag(word);
            let call = match method {
                "PUT" => call.header("x-amz-acl", "public-read"),
                _ => call,
            };
            let answer = self.call(&call);
            assert_eq!(answer.status, status, "{}", answer.shown());
            let root = Element::parse(&answer.body);
            let found = match status {
                200 => root.name.as_str(),
                _ => answer.code(),
            };
            assert_eq!(found, said, "{}", answer.shown());
        }
    }

    /// An object's access list says what its bucket's says, and can't be changed either.
    fn ask_for_access_lists(&mut self) {
        let Some((bucket, key, id, _)) = self.some_object() else {
            return;
        };
        for (method, status) in [("GET", 200), ("PUT", 400)] {
            let mut call = Call::object(method, &bucket, &key).flag("acl");
            if let Some(id) = &id {
                call = call.query("versionId", id);
            }
            if method == "PUT" {
                call = call.header("x-amz-acl", "public-read");
            }
            let answer = self.call(&call);
            assert_eq!(answer.status, status, "{}", answer.shown());
        }
    }
}
