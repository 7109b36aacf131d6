//! Browser uploads: a form of `multipart/form-data` whose policy is signed in its place.
//!
//! The fields come first and are bounded; from them the policy's signature, its expiry and every
//! one of its conditions are checked before a byte of the file is passed on. Then the file streams
//! into the store in bounded memory. The bucket is that of the path, whatever the form says.
//!
//! A form does not say how long its file is: that is known at its end. So the stream that the store
//! gets is as long as the file can be at most, padded with zeros behind the file (some hundred
//! bytes), and `BodyDigests::object_len` says how much of it the file was.

mod answer;
mod file;
mod form;
mod policy;
mod reader;

pub use answer::post_object;
pub use file::file_body;
pub use form::{Form, PostObject};
pub use policy::{Policy, SizeRange};
pub use reader::{FilePart, FormReader};

use super::error::{ErrorCode, S3Error};

/// The body is no form, or no form that a browser sends.
fn malformed() -> S3Error {
    S3Error::new(ErrorCode::MalformedPOSTRequest).closing()
}
