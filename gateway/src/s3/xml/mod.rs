//! The documents of S3: those that clients send, those that they get.

pub mod configuration;
pub mod cors;
pub mod encryption;
mod error;
pub mod lifecycle;
mod listing;
pub mod notification;
mod object_attributes;
pub mod object_lock;
mod reader;
pub mod request;
mod response;
pub mod tags;
mod writer;

pub use error::error_document;
pub use listing::{list_multipart_uploads, list_object_versions, list_objects, list_objects_v2};
pub use object_attributes::get_object_attributes;
pub use reader::Element;
pub use response::{
    complete_multipart_upload, copy_object, create_multipart_upload, delete_objects,
    get_bucket_location, get_bucket_versioning, list_buckets, list_parts, post_response,
    upload_part_copy,
};
pub use writer::{NAMESPACE, XmlWriter};
