//! What a form's sender is told.

use http::header::{ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use crate::s3::op::{PostObjectInput, PutObjectOutput, SuccessAction};
use crate::s3::response::{ResponseBody, bare, document, put_object};
use crate::s3::sigv4::encode_query_component;
use crate::s3::xml::post_response;

/// The answer. `location`: where the object is now.
#[must_use]
pub fn post_object(
    input: &PostObjectInput,
    output: &PutObjectOutput,
    location: &str,
) -> Response<ResponseBody> {
    let put = &input.put;
    let (status, location) = match &input.success {
        SuccessAction::Redirect(page) => {
            let separator = if page.contains('?') { '&' } else { '?' };
            let encoded = |text: &str| encode_query_component(text.as_bytes());
            let page = format!(
                "{page}{separator}bucket={}&key={}&etag={}",
                encoded(put.bucket.as_str()),
                encoded(put.key.as_str()),
                encoded(&output.etag.quoted()),
            );
            (StatusCode::SEE_OTHER, page)
        }
        SuccessAction::Ok => (StatusCode::OK, location.to_owned()),
        SuccessAction::Created => (StatusCode::CREATED, location.to_owned()),
        SuccessAction::NoContent => (StatusCode::NO_CONTENT, location.to_owned()),
    };
    let mut response = match &input.success {
        SuccessAction::Created => document(post_response(
            &location,
            put.bucket.as_str(),
            put.key.as_str(),
            &output.etag.quoted(),
        )),
        _ => bare(status),
    };
    *response.status_mut() = status;
    // Tag, version and checksum, as a PUT says them.
    for (name, value) in put_object(output).headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, value);
    }
    debug_assert!(response.headers().contains_key(ETAG));
    response
}
