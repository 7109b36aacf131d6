//! From a form's fields to what is put: the policy first, then the object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::policy::{Policy, SizeRange};
use super::reader::FilePart;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::name::{BucketName, ObjectKey};
use crate::s3::op::{PostObjectInput, SuccessAction, Tagged};
use crate::s3::parse;
use crate::s3::sigv4::PolicyClaim;
use crate::s3::time::Timestamp;
use crate::s3::xml::tags::tagging;

/// A form's fields, names in lower case, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

/// What a form puts, once its policy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostObject {
    /// The object, and what is answered.
    pub input: PostObjectInput,
    /// How long the file may be.
    pub size: Option<SizeRange>,
}

impl Form {
    /// Takes the fields, as they are sent to `bucket`: the path's, whatever the form says.
    ///
    /// # Errors
    /// `InvalidArgument` for a field given twice, and without a key; `AccessDenied` for a form that
    /// names another bucket.
    pub fn new(
        sent: Vec<(String, String)>,
        file: &FilePart,
        bucket: &BucketName,
    ) -> Result<Self, S3Error> {
        let mut fields: Vec<(String, String)> = Vec::with_capacity(sent.len() + 1);
        for (name, value) in sent {
            let name = name.to_ascii_lowercase();
            if fields.iter().any(|(known, _)| *known == name) {
                let message = "A form's field must be given once.";
                return Err(S3Error::invalid_argument(message, &name, "").closing());
            }
            fields.push((name, value));
        }
        match fields.iter().find(|(name, _)| name == "bucket") {
            Some((_, named)) if named != bucket.as_str() => {
                return Err(S3Error::message(
                    ErrorCode::AccessDenied,
                    "The form names another bucket than the one it is sent to.",
                )
                .closing());
            }
            Some(_) => {}
            None => fields.push(("bucket".to_owned(), bucket.as_str().to_owned())),
        }
        let key = fields.iter_mut().find(|(name, _)| name == "key");
        let Some((_, key)) = key.filter(|(_, key)| !key.is_empty()) else {
            let message = "Bucket POST must contain a field named 'key'.  If it is specified, \
                           please check the order of the fields.";
            return Err(S3Error::invalid_argument(message, "key", "").closing());
        };
        // The policy is about the key that is written.
        *key = key.replace("${filename}", &file.filename);
        Ok(Self { fields })
    }

    /// What is signed, and with what.
    #[must_use]
    pub fn claim(&self) -> PolicyClaim<'_> {
        PolicyClaim {
            policy: self.get("policy"),
            algorithm: self.get("x-amz-algorithm"),
            credential: self.get("x-amz-credential"),
            date: self.get("x-amz-date"),
            signature: self.get("x-amz-signature"),
            has_session_token: self.get("x-amz-security-token").is_some(),
            is_version_2: self.get("signature").is_some() || self.get("awsaccesskeyid").is_some(),
        }
    }

    /// What is put, if the policy, whose signature has been checked, allows it now.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`, `AccessDenied`, and what is wrong with the fields.
    pub fn put(&self, bucket: &BucketName, now: Timestamp) -> Result<PostObject, S3Error> {
        let encoded = self.get("policy").unwrap_or_default();
        let document = STANDARD.decode(encoded).map_err(|_| {
            let message = "Invalid Policy: Invalid Base64.";
            S3Error::message(ErrorCode::InvalidPolicyDocument, message).closing()
        })?;
        let policy = Policy::parse(&document)?;
        policy.check(now, &self.fields)?;
        let put = || {
            let headers = Headers::of_form(self.headers()?)?;
            let key = ObjectKey::parse(self.get("key").unwrap_or_default())?;
            let mut put = parse::post_object(bucket.clone(), key, &headers)?;
            if let Some(document) = self.get("tagging") {
                put.attributes.tags = tagging(document.as_bytes(), Tagged::Object)?;
            }
            Ok(put)
        };
        Ok(PostObject {
            input: PostObjectInput {
                put: put().map_err(S3Error::closing)?,
                success: self.success(),
            },
            size: policy.size(),
        })
    }

    /// The value of a field, named in lower case.
    fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The fields that are headers of a PUT.
    fn headers(&self) -> Result<HeaderMap, S3Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.fields {
            let Some(header) = header_of(name) else {
                continue;
            };
            if header == header::COPY_SOURCE {
                return Err(S3Error::header_not_implemented(name, value));
            }
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| S3Error::invalid_argument("Invalid field", name, ""))?;
            headers.insert(header, value);
        }
        Ok(headers)
    }

    fn success(&self) -> SuccessAction {
        let page = self
            .get("success_action_redirect")
            .or_else(|| self.get("redirect"));
        if let Some(page) = page.filter(|page| is_page(page)) {
            return SuccessAction::Redirect(page.to_owned());
        }
        match self.get("success_action_status") {
            Some("200") => SuccessAction::Ok,
            Some("201") => SuccessAction::Created,
            // Any other value counts as none, as at AWS.
            _ => SuccessAction::NoContent,
        }
    }
}

/// The header that a field is.
fn header_of(field: &str) -> Option<HeaderName> {
    const OF_THE_SIGNATURE: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-trailer",
    ];
    match field {
        "acl" => Some(header::ACL),
        "content-type" => Some(CONTENT_TYPE),
        "cache-control" => Some(CACHE_CONTROL),
        "content-disposition" => Some(CONTENT_DISPOSITION),
        "content-encoding" => Some(CONTENT_ENCODING),
        "content-language" => Some(CONTENT_LANGUAGE),
        "content-md5" => Some(header::CONTENT_MD5),
        "expires" => Some(EXPIRES),
        field if field.starts_with("x-amz-") && !OF_THE_SIGNATURE.contains(&field) => {
            HeaderName::from_bytes(field.as_bytes()).ok()
        }
        _ => None,
    }
}

/// Whether it is the address of a page that a browser can be sent to. What is none counts as not
/// given, as at AWS.
fn is_page(text: &str) -> bool {
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    !text.contains('#')
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text
            .parse::<Uri>()
            .is_ok_and(|uri| is_web(&uri) && uri.host().is_some())
}
