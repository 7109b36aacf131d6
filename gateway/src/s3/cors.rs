//! Cross-origin requests: a browser's preflight, and the headers by which it lets a page's script
//! read an answer.
//!
//! A preflight is not signed, so its answer says only whether a rule fits: a bucket that is not
//! there looks like one without rules. Credentials (cookies) are allowed to origins that a rule
//! names in full, never to one that a pattern happened to fit.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::address::Target;
use super::error::{ErrorCode, S3Error};
use super::op::{CorsConfiguration, CorsMethod, CorsRule, OriginMatch};
use super::response::{self, ResponseBody};

/// The most headers that a preflight may ask for: a request has no more.
const MAX_REQUESTED_HEADERS: usize = 100;

/// What a browser asks before a script's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    origin: HeaderValue,
    method: CorsMethod,
    headers: Vec<HeaderName>,
}

impl Preflight {
    /// Reads it from the headers of an OPTIONS request.
    ///
    /// # Errors
    /// `BadRequest` without an origin or a method; `AccessForbidden` for headers that none can have.
    pub fn of(headers: &HeaderMap, target: &Target) -> Result<Self, S3Error> {
        let origin = origin(headers).ok_or_else(|| {
            let message = "Insufficient information. Origin request header needed.";
            S3Error::message(ErrorCode::BadRequest, message)
        })?;
        let method = headers
            .get(ACCESS_CONTROL_REQUEST_METHOD)
            .and_then(|value| value.to_str().ok());
        let method = method.and_then(CorsMethod::parse).ok_or_else(|| {
            let method = method.unwrap_or("null");
            let message = format!("Invalid Access-Control-Request-Method: {method}");
            S3Error::message(ErrorCode::BadRequest, message)
        })?;
        Ok(Self {
            origin: origin.clone(),
            method,
            headers: requested(headers).ok_or_else(|| not_allowed(target))?,
        })
    }

    /// The answer under a bucket's rules.
    ///
    /// # Errors
    /// `AccessForbidden` if there are none, or none fits.
    pub fn answer(
        &self,
        configuration: Option<&CorsConfiguration>,
        target: &Target,
    ) -> Result<Response<ResponseBody>, S3Error> {
        let configuration = configuration.ok_or_else(|| {
            let message = "CORSResponse: CORS is not enabled for this bucket.";
            forbidden(message, target)
        })?;
        let origin = self.origin.to_str().unwrap_or_default();
        let (rule, matched) = configuration
            .find(origin, self.method, &self.headers)
            .ok_or_else(|| not_allowed(target))?;
        let mut response = response::bare(StatusCode::OK);
        let headers = response.headers_mut();
        allow(headers, rule, matched, &self.origin);
        if !self.headers.is_empty() {
            let names = self.headers.iter().map(HeaderName::as_str);
            put(headers, ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        Ok(response)
    }
}

/// Which method and origin a request has, if a page's script may have sent it.
#[must_use]
pub fn asked_by(method: &Method, headers: &HeaderMap) -> Option<(CorsMethod, HeaderValue)> {
    let method = CorsMethod::parse(method.as_str())?;
    origin(headers).map(|origin| (method, origin.clone()))
}

/// Adds to an answer what lets the browser show it to the script that asked, if a rule fits.
pub fn let_read(
    response: &mut Response<ResponseBody>,
    configuration: &CorsConfiguration,
    method: CorsMethod,
    origin: &HeaderValue,
) {
    let text = origin.to_str().unwrap_or_default();
    match configuration.find(text, method, &[]) {
        Some((rule, matched)) => allow(response.headers_mut(), rule, matched, origin),
        // Another origin may get another answer: a cache must know.
        None => vary(response.headers_mut()),
    }
}

fn allow(headers: &mut HeaderMap, rule: &CorsRule, matched: OriginMatch, origin: &HeaderValue) {
    let shown = match matched {
        OriginMatch::Any => HeaderValue::from_static("*"),
        OriginMatch::Pattern | OriginMatch::Exact => origin.clone(),
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, shown);
    if matched == OriginMatch::Exact {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    let methods = rule.methods.iter().map(|method| method.as_str());
    put(headers, ACCESS_CONTROL_ALLOW_METHODS, methods);
    if !rule.expose.is_empty() {
        let names = rule.expose.iter().map(String::as_str);
        put(headers, ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
    if let Some(seconds) = rule.max_age_seconds {
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
    vary(headers);
}

fn vary(headers: &mut HeaderMap) {
    let names = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
    headers.insert(VARY, HeaderValue::from_static(names));
}

/// A list. Its names were checked when the rule was put.
fn put<'n>(headers: &mut HeaderMap, header: HeaderName, names: impl Iterator<Item = &'n str>) {
    let list: Vec<&str> = names.collect();
    if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(header, value);
    }
}

/// The one origin of a request, if it is text.
fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(ORIGIN).iter();
    match (values.next(), values.next()) {
        (Some(origin), None) => origin.to_str().is_ok().then_some(origin),
        _ => None,
    }
}

/// The headers that a preflight asks for; `None` if one could be no header, or they are too many.
fn requested(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let list = value.to_str().ok()?;
        for name in list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            names.push(HeaderName::from_bytes(name.as_bytes()).ok()?);
        }
    }
    (names.len() <= MAX_REQUESTED_HEADERS).then_some(names)
}

fn not_allowed(target: &Target) -> S3Error {
    let message = "CORSResponse: This CORS request is not allowed. This is usually because the \
                   evalution of Origin, request method / Access-Control-Request-Method or \
                   Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";
    forbidden(message, target)
}

fn forbidden(message: &'static str, target: &Target) -> S3Error {
    let resource = match target {
        Target::Service => "SERVICE",
        Target::Bucket(_) => "BUCKET",
        Target::Object(..) => "OBJECT",
    };
    S3Error::message(ErrorCode::AccessForbidden, message)
        .with("Method", "OPTIONS")
        .with("ResourceType", resource)
}
