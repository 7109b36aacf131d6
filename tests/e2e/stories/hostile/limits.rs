//! Each limit of the edge, met exactly and passed by one.

use std::time::Duration;

use super::mistake;
use super::{Case, md5_hex};
use crate::support::client::{Call, Client};
use crate::support::digest::md5_base64;
use crate::support::http;
use crate::support::server::Server;
use crate::support::xml::Element;

const BUCKET: &str = "limits";

/// A limit: what is just within it, and what is just beyond.
struct Limit {
    name: &'static str,
    within: Vec<u8>,
    /// The status of what is within.
    taken: u16,
    beyond: Vec<u8>,
    /// Status and code of what is beyond.
    refused: (u16, &'static str),
    method: String,
}

#[test]
fn every_limit_is_where_it_is_said_to_be() {
    let server = Server::start("hostile-limits");
    let client = server.client();
    client.create_bucket(BUCKET);
    let mut limits = Vec::new();
    limits.extend(heads(&client));
    limits.extend(names(&client));
    limits.extend(documents(&client));
    limits.extend(tags_and_rules(&client));
    limits.extend(uploads(&client));
    let mut wrong = Vec::new();
    let count = limits.len();
    for limit in limits {
        let within = http::exchange(client.address, &limit.method, &limit.within);
        match within {
            Ok(answer) if answer.status == limit.taken => {}
            Ok(answer) => wrong.push(format!("within {}: {}", limit.name, answer.shown())),
            Err(error) => wrong.push(format!("within {}: {error}", limit.name)),
        }
        let (status, code) = limit.refused;
        let beyond = Case::raw(limit.name, &limit.method, limit.beyond, status, code);
        match http::exchange(client.address, &beyond.method, &beyond.request) {
            Ok(answer) => wrong.extend(mistake(&beyond, &answer)),
            Err(error) => wrong.push(format!("beyond {}: {error}", limit.name)),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{count} limits, each met exactly and passed by one");
}

fn object(method: &str) -> Call {
    Call::object(method, BUCKET, "object").body(b"")
}

fn bucket(method: &str, word: &str, document: &str) -> Call {
    Call::new(method, &format!("/{BUCKET}"))
        .flag(word)
        .header("content-md5", &md5_base64(document.as_bytes()))
        .body(document.as_bytes())
}

/// A limit of calls that `make` makes of a size.
fn limit(
    client: &Client,
    name: &'static str,
    most: usize,
    taken: u16,
    refused: (u16, &'static str),
    make: impl Fn(usize) -> Call,
) -> Limit {
    let within = make(most);
    Limit {
        name,
        method: within.method.clone(),
        within: client.signed(&within),
        taken,
        beyond: client.signed(&make(most + 1)),
        refused,
    }
}

fn heads(client: &Client) -> Vec<Limit> {
    let too_large = (400, "RequestHeaderSectionTooLarge");
    let list = Call::new("GET", "/");
    let plain = client.signed(&list);
    // What stands in it anyway: the request line and five headers, and an empty line.
    let lines = plain.split(|&byte| byte == b'\n').count() - 2;
    let headers = lines - 1;
    let head_len = plain.len() - "\r\n".len();
    let filler = |len: usize| "f".repeat(len);
    // The server counts one byte more for the request line than there is.
    let for_filler = (16 << 10) - head_len - 1 - 3 * "x-1: \r\n".len();
    vec![
        limit(
            client,
            "100 headers",
            100 - headers,
            200,
            too_large,
            |count| {
                (0..count).fold(list.clone(), |call, number| {
                    call.unsigned_header(&format!("x-{number}"), "v")
                })
            },
        ),
        limit(
            client,
            "a line of 8 KiB",
            8192 - "x-f: \r\n".len(),
            200,
            too_large,
            |len| list.clone().unsigned_header("x-f", &filler(len)),
        ),
        limit(
            client,
            "a head of 16 KiB",
            for_filler,
            200,
            too_large,
            |len| {
                list.clone()
                    .unsigned_header("x-1", &filler(6000))
                    .unsigned_header("x-2", &filler(4000))
                    .unsigned_header("x-3", &filler(len - 10_000))
            },
        ),
        limit(
            client,
            "2 KiB of metadata",
            2048 - "a".len(),
            200,
            (400, "MetadataTooLarge"),
            |len| object("PUT").header("x-amz-meta-a", &filler(len)),
        ),
        limit(
            client,
            "256 tags of a condition",
            256,
            412,
            (400, "InvalidArgument"),
            |count| object("GET").header("if-match", &vec!["\"a\""; count].join(",")),
        ),
    ]
}

fn names(client: &Client) -> Vec<Limit> {
    let presigned = |seconds: u64| {
        let list = Call::new("GET", "/");
        client.presigned(&list, Duration::from_secs(seconds))
    };
    vec![
        limit(
            client,
            "a key of 1024 bytes",
            1024,
            200,
            (400, "KeyTooLongError"),
            |len| Call::object("PUT", BUCKET, &"k".repeat(len)),
        ),
        limit(
            client,
            "a bucket's name of 63",
            63,
            200,
            (400, "InvalidBucketName"),
            |len| Call::new("PUT", &format!("/{}", "b".repeat(len))),
        ),
        limit(
            client,
            "a part's number of 10000",
            10_000,
            404,
            (400, "InvalidArgument"),
            |number| {
                let upload = uuid_of_nothing();
                let part = object("PUT").query("partNumber", &number.to_string());
                part.query("uploadId", &upload)
            },
        ),
        Limit {
            name: "presigned for 7 days",
            method: "GET".to_owned(),
            within: presigned(604_800),
            taken: 200,
            beyond: presigned(604_801),
            refused: (400, "AuthorizationQueryParametersError"),
        },
    ]
}

/// An upload's id that no upload has.
fn uuid_of_nothing() -> String {
    md5_hex(b"no such upload")
}

fn documents(client: &Client) -> Vec<Limit> {
    let too_long = (400, "MaxMessageLengthExceeded");
    let padded = |start: &str, end: &str, len: usize| {
        let padding = " ".repeat(len - start.len() - end.len());
        format!("{start}{padding}{end}")
    };
    let malformed = (400, "MalformedXML");
    vec![
        limit(client, "256 KiB of tags", 256 << 10, 204, too_long, |len| {
            let start = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet>";
            bucket("PUT", "tagging", &padded(start, "</Tagging>", len))
        }),
        limit(
            client,
            "64 KiB of CORS rules",
            64 << 10,
            200,
            too_long,
            |len| {
                let start = "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin>\
                         <AllowedMethod>GET</AllowedMethod></CORSRule>";
                bucket("PUT", "cors", &padded(start, "</CORSConfiguration>", len))
            },
        ),
        limit(
            client,
            "8 MiB of objects to delete",
            8 << 20,
            200,
            too_long,
            |len| {
                let start = "<Delete><Object><Key>absent</Key></Object>";
                bucket("POST", "delete", &padded(start, "</Delete>", len))
            },
        ),
        limit(
            client,
            "1000 objects to delete",
            1000,
            200,
            malformed,
            |count| {
                let objects = "<Object><Key>absent</Key></Object>".repeat(count);
                bucket("POST", "delete", &format!("<Delete>{objects}</Delete>"))
            },
        ),
    ]
}

fn tags_and_rules(client: &Client) -> Vec<Limit> {
    let tagging = |tags: &[(String, String)]| {
        let tags: String = tags
            .iter()
            .map(|(key, value)| format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"))
            .collect();
        format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
    };
    let many = |count: usize| -> Vec<(String, String)> {
        (0..count)
            .map(|number| (format!("k{number}"), String::new()))
            .collect()
    };
    let put = |document: String| {
        let call = Call::object("PUT", BUCKET, "tagged").flag("tagging");
        call.header("content-md5", &md5_base64(document.as_bytes()))
            .body(document.as_bytes())
    };
    client.put(BUCKET, "tagged", b"");
    let invalid = (400, "InvalidTag");
    let rules = |count: usize, id: &str| {
        let rule = format!(
            "<CORSRule><ID>{id}</ID><AllowedOrigin>*</AllowedOrigin>\
             <AllowedMethod>GET</AllowedMethod></CORSRule>"
        );
        let rules = rule.repeat(count);
        bucket(
            "PUT",
            "cors",
            &format!("<CORSConfiguration>{rules}</CORSConfiguration>"),
        )
    };
    vec![
        limit(
            client,
            "10 tags of an object",
            10,
            200,
            (400, "BadRequest"),
            |count| put(tagging(&many(count))),
        ),
        limit(
            client,
            "50 tags of a bucket",
            50,
            204,
            (400, "BadRequest"),
            |count| bucket("PUT", "tagging", &tagging(&many(count))),
        ),
        limit(client, "a tag's key of 128", 128, 200, invalid, |len| {
            put(tagging(&[("k".repeat(len), String::new())]))
        }),
        limit(client, "a tag's value of 256", 256, 200, invalid, |len| {
            put(tagging(&[("k".to_owned(), "v".repeat(len))]))
        }),
        limit(
            client,
            "100 CORS rules",
            100,
            200,
            (400, "InvalidRequest"),
            |count| rules(count, ""),
        ),
        limit(
            client,
            "a CORS rule's id of 255",
            255,
            200,
            (400, "InvalidRequest"),
            |len| rules(1, &"i".repeat(len)),
        ),
    ]
}

fn uploads(client: &Client) -> Vec<Limit> {
    let begun = client.expect(200, &Call::object("POST", BUCKET, "up").flag("uploads"));
    let upload = Element::parse(&begun.body).text_of("UploadId").to_owned();
    let complete = |parts: usize| {
        let listed: String = (1..=parts)
            .map(|number| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{upload}\"</ETag></Part>")
            })
            .collect();
        let document = format!("<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>");
        Call::object("POST", BUCKET, "up")
            .query("uploadId", &upload)
            .body(document.as_bytes())
    };
    // None of these parts is there: that is found out only once the list is taken.
    let mut listed = limit(
        client,
        "10000 parts to complete",
        10_000,
        400,
        (400, "MalformedXML"),
        complete,
    );
    listed.taken = 400;
    vec![listed]
}
