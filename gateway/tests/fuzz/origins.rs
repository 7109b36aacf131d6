//! Preflights: whoever asks, only what a rule allows is allowed.

use holdfast_gateway::s3::address::{Addressing, Target};
use holdfast_gateway::s3::cors::Preflight;
use holdfast_gateway::s3::xml::cors::cors_configuration;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ORIGIN,
};

use super::fuzz;
use super::signing::head;

const RULES: &str = "<CORSConfiguration>\
 <CORSRule><AllowedOrigin>https://*.example.org</AllowedOrigin><AllowedMethod>GET</AllowedMethod>\
 <AllowedHeader>x-amz-*</AllowedHeader></CORSRule>\
 <CORSRule><AllowedOrigin>https://one.test</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>\
 <MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>";

const WORDS: [&str; 14] = [
    "origin:",
    "origin:https://one.test\n",
    "https://evil.test",
    ".example.org",
    "https://",
    "null",
    "*",
    "access-control-request-method:PUT\n",
    "access-control-request-method:",
    "access-control-request-headers:x-amz-date, authorization\n",
    "x-amz-",
    "authorization",
    ",,",
    "\t",
];

#[test]
fn preflights() {
    let rules = cors_configuration(RULES.as_bytes()).unwrap();
    let seeds: Vec<Vec<u8>> = [
        "OPTIONS /bucket/key\nhost:h\norigin:https://a.example.org\n\
         access-control-request-method:GET\naccess-control-request-headers:x-amz-date, x-amz-a\n",
        "OPTIONS /bucket\nhost:h\norigin:https://one.test\naccess-control-request-method:PUT\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let addressing = Addressing::default();
    fuzz("preflights", &seeds, &WORDS, |input| {
        let Some(head) = head(input) else {
            return false;
        };
        let Ok(target) = Target::of(&head, &addressing) else {
            return false;
        };
        let Ok(preflight) = Preflight::of(&head.headers, &target) else {
            return false;
        };
        let Ok(answer) = preflight.answer(Some(&rules), &target) else {
            return false;
        };
        let headers = answer.headers();
        let allowed = headers[ACCESS_CONTROL_ALLOW_ORIGIN].to_str().unwrap();
        assert_eq!(
            Some(allowed.as_bytes()),
            head.headers.get(ORIGIN).map(http::HeaderValue::as_bytes),
            "another origin is allowed than the one that asks"
        );
        let is_named = allowed == "https://one.test";
        let fits = allowed.starts_with("https://") && allowed.ends_with(".example.org");
        assert!(is_named || fits, "{allowed} is allowed");
        assert!(
            is_named || !headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS),
            "credentials for what only fits a pattern"
        );
        if let Some(names) = headers.get(ACCESS_CONTROL_ALLOW_HEADERS) {
            let names = names.to_str().unwrap().to_ascii_lowercase();
            assert!(
                names
                    .split(',')
                    .all(|name| name.trim().starts_with("x-amz-"))
            );
        }
        true
    });
}
