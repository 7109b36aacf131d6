//! GetObjectAttributes.

use super::{Request, count, encryption};
use crate::s3::error::S3Error;
use crate::s3::header;
use crate::s3::op::{GetObjectAttributesInput, MAX_KEYS, ObjectAttribute};

pub(super) fn get(request: &Request<'_>) -> Result<GetObjectAttributesInput, S3Error> {
    let headers = request.headers;
    let number = |name: &http::HeaderName| {
        headers
            .get(name)?
            .filter(|text| !text.is_empty())
            .map(|text| count(name.as_str(), text))
            .transpose()
    };
    Ok(GetObjectAttributesInput {
        bucket: request.bucket()?,
        key: request.key()?,
        version_id: request.version_id()?,
        wanted: wanted(request)?,
        max_parts: number(&header::MAX_PARTS)?.map_or(MAX_KEYS, |most| most.min(MAX_KEYS)),
        part_number_marker: number(&header::PART_NUMBER_MARKER)?.unwrap_or(0),
        customer_key: encryption::customer_key(headers)?,
    })
}

fn wanted(request: &Request<'_>) -> Result<Vec<ObjectAttribute>, S3Error> {
    let text = request.headers.joined(&header::OBJECT_ATTRIBUTES)?;
    let text = text.unwrap_or_default();
    let mut wanted = Vec::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        let attribute = ObjectAttribute::from_name(name).ok_or_else(|| {
            let message = "Invalid attribute name specified.";
            S3Error::invalid_argument(message, header::OBJECT_ATTRIBUTES.as_str(), &text)
        })?;
        if !wanted.contains(&attribute) {
            wanted.push(attribute);
        }
    }
    if wanted.is_empty() {
        return Err(S3Error::invalid_request(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is \
             either missing or empty",
        ));
    }
    Ok(wanted)
}
