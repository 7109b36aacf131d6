//! From a request's head to the operation it asks for: an allow-list, never a fallback.
//!
//! All sub-resource words of the query must be exactly those of one entry of the table. So
//! `DELETE /b?acl` is not DeleteBucket with something to ignore, it is DeleteBucketAcl, which S3
//! does not have: 501. It looks at method, path, query and whether `x-amz-copy-source` is there,
//! and is cheap: it runs before the signature is checked.

mod table;

use http::HeaderValue;
use http::Method;
use http::header::ALLOW;
use http::request::Parts;

use super::address::{Addressing, Target};
use super::error::{ErrorCode, S3Error};
use super::header;
use super::op::OperationKind;
use super::query::Query;

pub use table::{ELSEWHERE, Entry, Level, OPERATIONS, Verb, WORDS};

/// What a request asks for, before its headers and body are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The operation.
    pub kind: OperationKind,
    /// What it is about.
    pub target: Target,
    /// The query.
    pub query: Query,
}

impl Route {
    /// Finds the operation.
    ///
    /// # Errors
    /// `NotImplemented` for whatever is not built, `MethodNotAllowed` for a method that S3 does not
    /// have there, and what is wrong with the path.
    pub fn of(head: &Parts, addressing: &Addressing) -> Result<Self, S3Error> {
        let target = Target::of(head, addressing)?;
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let level = level(&target);
        let verb = verb(&head.method).ok_or_else(|| method_not_allowed(&head.method, level))?;
        let copies = names_a_copy(head, &query);
        let kind = find(verb, level, &query, copies, &head.method)?;
        if kind == OperationKind::ListObjectsV2 && query.get("list-type")? != Some("2") {
            let value = query.get("list-type")?.unwrap_or_default();
            return Err(S3Error::invalid_argument(
                "Invalid List Type",
                "list-type",
                value,
            ));
        }
        Ok(Self {
            kind,
            target,
            query,
        })
    }
}

const fn level(target: &Target) -> Level {
    match target {
        Target::Service => Level::Service,
        Target::Bucket(_) => Level::Bucket,
        Target::Object(..) => Level::Object,
    }
}

fn verb(method: &Method) -> Option<Verb> {
    match *method {
        Method::GET => Some(Verb::Get),
        Method::HEAD => Some(Verb::Head),
        Method::PUT => Some(Verb::Put),
        Method::POST => Some(Verb::Post),
        Method::DELETE => Some(Verb::Delete),
        _ => None,
    }
}

/// In a header, or hoisted into the query by a presigner.
fn names_a_copy(head: &Parts, query: &Query) -> bool {
    head.headers.contains_key(header::COPY_SOURCE)
        || query
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("x-amz-copy-source"))
}

fn find(
    verb: Verb,
    level: Level,
    query: &Query,
    copies: bool,
    method: &Method,
) -> Result<OperationKind, S3Error> {
    let words: Vec<&str> = query
        .iter()
        .map(|(name, _)| name)
        .filter(|name| is_word(name))
        .collect();
    let asks_for = |entry: &&Entry| {
        entry.verb == verb
            && entry.level == level
            // Only writes of an object look at a copy's source: elsewhere it means nothing.
            && (entry.copies == copies || verb != Verb::Put || level != Level::Object)
            && entry.words.iter().all(|word| query.has(word))
            && words.iter().all(|word| entry.words.contains(word) || entry.optional.contains(word))
    };
    if let Some(entry) = OPERATIONS.iter().find(asks_for) {
        return entry.built.ok_or_else(|| not_implemented(entry.name));
    }
    let exists = OPERATIONS
        .iter()
        .any(|entry| entry.verb == verb && entry.level == level);
    if words.is_empty() && !exists {
        return Err(method_not_allowed(method, level));
    }
    let asked = if words.is_empty() {
        method.as_str().to_owned()
    } else {
        words.join("&")
    };
    Err(not_implemented(&asked))
}

/// In any case: `?ACL` is no entry's word and so 501, where ignoring it would do something else than
/// was meant.
fn is_word(name: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

fn not_implemented(what: &str) -> S3Error {
    S3Error::not_implemented("The requested operation is not implemented")
        .with("Operation", what.to_owned())
}

fn method_not_allowed(method: &Method, level: Level) -> S3Error {
    let (resource, allowed) = match level {
        Level::Service => ("SERVICE", "GET"),
        Level::Bucket => ("BUCKET", "GET, HEAD, PUT, POST, DELETE"),
        Level::Object => ("OBJECT", "GET, HEAD, PUT, POST, DELETE"),
    };
    S3Error::new(ErrorCode::MethodNotAllowed)
        .with("Method", method.as_str())
        .with("ResourceType", resource)
        .with_header(ALLOW, HeaderValue::from_static(allowed))
}

#[cfg(test)]
mod tests;
