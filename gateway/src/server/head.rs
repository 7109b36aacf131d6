//! Whether a request's head has one meaning and a bounded size.
//!
//! hyper refuses what is no HTTP: differing lengths, a last encoding other than chunked, folded
//! lines, bad names; where both lengths and an encoding are given it takes the encoding and closes
//! the connection behind it, as RFC 9112 (6.1) demands. What is left to us is what HTTP allows and
//! an object store has no use for, or could read in two ways: who is asked, and in which form.

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Version};

use super::limits::{MAX_HEAD_BYTES, MAX_HEAD_LINE_BYTES, MAX_HEADERS};
use super::service::Refusal;

/// Checks a head, and makes sure that it has its `Host`.
pub(super) fn check(head: &mut Parts) -> Result<(), Refusal> {
    check_size(head)?;
    if head.method == Method::CONNECT {
        return Err(Refusal::Malformed("CONNECT is not for us."));
    }
    if !head.uri.path().starts_with('/') {
        return Err(Refusal::Malformed("The request's target must be a path."));
    }
    check_encoding(head)?;
    check_host(head)
}

fn check_size(head: &Parts) -> Result<(), Refusal> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let request_line = head.method.as_str().len() + target + " HTTP/1.1  \r\n".len();
    let mut total = request_line;
    let mut longest = request_line;
    for (name, value) in &head.headers {
        let line = name.as_str().len() + value.len() + ": \r\n".len();
        total += line;
        longest = longest.max(line);
    }
    let fits = total <= MAX_HEAD_BYTES
        && longest <= MAX_HEAD_LINE_BYTES
        && head.headers.len() <= MAX_HEADERS;
    if fits {
        Ok(())
    } else {
        Err(Refusal::HeadTooLarge)
    }
}

/// One `chunked` and nothing else: `gzip, chunked` is legal, and a body that we would not decode.
fn check_encoding(head: &Parts) -> Result<(), Refusal> {
    let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal::Malformed("The only Transfer-Encoding is chunked.")),
    }
}

/// One host, whether it stands in `Host`, in `:authority` or in an absolute target; where it stands
/// twice, the same.
fn check_host(head: &mut Parts) -> Result<(), Refusal> {
    let authority = head.uri.authority().map(Authority::as_str);
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), authority) {
        (Some(_), Some(_), _) => Err(Refusal::Malformed("There must be one Host.")),
        (Some(host), None, Some(authority))
            if !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
        {
            Err(Refusal::Malformed(
                "The Host is not that of the request's target.",
            ))
        }
        (Some(_), None, _) => Ok(()),
        (None, _, Some(authority)) if head.version >= Version::HTTP_2 => {
            let host = HeaderValue::from_str(authority)
                .map_err(|_| Refusal::Malformed("The authority is not a host."))?;
            head.headers.insert(HOST, host);
            Ok(())
        }
        // Load balancers ask for our health so.
        (None, _, None) if head.version < Version::HTTP_11 => {
            head.headers.insert(HOST, HeaderValue::from_static(""));
            Ok(())
        }
        (None, ..) => Err(Refusal::Malformed("There must be one Host.")),
    }
}
