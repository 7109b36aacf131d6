//! Documents: for every operation that takes one, whether it comes to mind here or not.

use std::collections::BTreeMap;

use holdfast_gateway::s3::address::Addressing;
use holdfast_gateway::s3::head::Headers;
use holdfast_gateway::s3::op::OperationKind;
use holdfast_gateway::s3::parse::{self, BodyUse};
use holdfast_gateway::s3::route::{Entry, Level, OPERATIONS, Route, Verb};

use super::fuzz;
use super::signing::head;

const WORDS: [&str; 24] = [
    "<",
    ">",
    "</",
    "/>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a [<!ENTITY e \"x\">]>",
    "&e;",
    "&#0;",
    "&#x10FFFF;",
    "&amp;",
    "<?xml version=\"1.0\"?>",
    "<a>",
    "</a>",
    " xmlns=\"u\"",
    "<Key>",
    "<Object>",
    "<Part>",
    "<PartNumber>",
    "<ETag>",
    "<VersionId>",
    "<Status>Enabled</Status>",
];

/// A document of each kind that parses. A kind without one is fed all of them.
const DOCUMENTS: [&str; 9] = [
    "<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>",
    "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>",
    "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>null</VersionId></Object><Object><Key>c</Key></Object></Delete>",
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag></Part></CompleteMultipartUpload>",
    "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>",
    "<LifecycleConfiguration><Rule><Filter><Prefix>a</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    "<NotificationConfiguration><QueueConfiguration><Id>a</Id><Queue>arn:holdfast:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name><Value>a/</Value></FilterRule></S3Key></Filter></QueueConfiguration></NotificationConfiguration>",
    "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType></BlockedEncryptionTypes></Rule></ServerSideEncryptionConfiguration>",
];

/// Requests for all operations that take a document.
fn takers() -> BTreeMap<OperationKind, (Route, Headers)> {
    OPERATIONS.iter().filter_map(taker).collect()
}

fn taker(entry: &Entry) -> Option<(OperationKind, (Route, Headers))> {
    let kind = entry.built?;
    if !matches!(parse::body_use(kind), BodyUse::Document { .. }) {
        return None;
    }
    let method = match entry.verb {
        Verb::Put => "PUT",
        Verb::Post => "POST",
        _ => return None,
    };
    let path = match entry.level {
        Level::Service => "/",
        Level::Bucket => "/bucket",
        Level::Object => "/bucket/key",
    };
    let words: Vec<String> = entry.words.iter().map(|word| format!("{word}=1")).collect();
    let text = format!("{method} {path}?{}\nhost:h\n", words.join("&"));
    let head = head(text.as_bytes()).unwrap();
    let route = Route::of(&head, &Addressing::default()).unwrap();
    let headers = Headers::of(&head, &route.query).unwrap();
    Some((kind, (route, headers)))
}

#[test]
fn documents() {
    let takers = takers();
    assert!(takers.len() >= 4, "{:?}", takers.keys());
    // All of them see it: none may stumble over what is meant for another.
    let takers_of = |document: &[u8]| {
        takers
            .values()
            .filter(|(route, headers)| parse::operation(route, headers, document).is_ok())
            .count()
    };
    // Some requests have a body that nothing is read from.
    let indifferent = takers_of(b"\xFF no document");
    let parses = |document: &[u8]| takers_of(document) > indifferent;
    let seeds: Vec<Vec<u8>> = DOCUMENTS
        .iter()
        .map(|document| document.as_bytes().to_vec())
        .filter(|document| parses(document))
        .collect();
    assert!(seeds.len() >= 4, "the valid documents are valid");
    fuzz("documents", &seeds, &WORDS, parses);
}
