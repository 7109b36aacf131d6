//! Documents about what a bucket is configured with: access control, ownership, and configurations
//! of which an empty one is the truth.

use super::listing::owner_element;
use super::reader::Element;
use super::writer::XmlWriter;
use crate::s3::error::{ErrorCode, S3Error};
use crate::s3::op::Owner;

/// The answer of GetBucketAcl and GetObjectAcl: the owner may do everything, nobody else anything.
#[must_use]
pub fn access_control_policy(owner: &Owner) -> String {
    XmlWriter::document("AccessControlPolicy", |xml| {
        owner_element(xml, "Owner", owner);
        xml.element("AccessControlList", |xml| {
            xml.element("Grant", |xml| {
                xml.typed_element("Grantee", "CanonicalUser", |xml| {
                    xml.leaf("ID", &owner.id);
                    xml.leaf("DisplayName", &owner.display_name);
                });
                xml.leaf("Permission", "FULL_CONTROL");
            });
        });
    })
}

/// Reads an OwnershipControls, whose one rule must be `BucketOwnerEnforced`.
///
/// # Errors
/// `MalformedXML`; `NotImplemented` for AWS's other rules.
pub fn ownership_controls(body: &[u8]) -> Result<(), S3Error> {
    let mut root = Element::parse(body, "OwnershipControls")?;
    let mut rule = root.take("Rule")?.ok_or_else(S3Error::malformed_xml)?;
    root.finish()?;
    let ownership = rule.require_text("ObjectOwnership")?;
    rule.finish()?;
    match ownership.as_str() {
        ENFORCED => Ok(()),
        "BucketOwnerPreferred" | "ObjectWriter" => Err(S3Error::message(
            ErrorCode::NotImplemented,
            "Objects always belong to the owner of their bucket: BucketOwnerEnforced",
        )
        .with("ObjectOwnership", ownership)),
        _ => Err(S3Error::malformed_xml()),
    }
}

/// GetBucketOwnershipControls' answer.
#[must_use]
pub fn ownership_controls_document() -> String {
    XmlWriter::document("OwnershipControls", |xml| {
        xml.element("Rule", |xml| xml.leaf("ObjectOwnership", ENFORCED));
    })
}

/// GetBucketRequestPayment's answer.
#[must_use]
pub fn request_payment() -> String {
    XmlWriter::document("RequestPaymentConfiguration", |xml| {
        xml.leaf("Payer", "BucketOwner");
    })
}

/// A configuration that says nothing.
#[must_use]
pub fn empty(root: &str) -> String {
    XmlWriter::document(root, |_| {})
}

const ENFORCED: &str = "BucketOwnerEnforced";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_may_do_everything() {
        let document = access_control_policy(&Owner::default());
        let grantee = "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                       xsi:type=\"CanonicalUser\"><ID>d1580d2d";
        assert!(document.contains(grantee), "{document}");
        assert!(document.contains("<Permission>FULL_CONTROL</Permission></Grant></Access"));
    }

    #[test]
    fn only_the_enforced_owner_is_built() {
        let of = |rule: &str| {
            let document = format!(
                "<OwnershipControls><Rule><ObjectOwnership>{rule}</ObjectOwnership></Rule>\
                 </OwnershipControls>"
            );
            ownership_controls(document.as_bytes()).map_err(|error| error.code())
        };
        assert_eq!(of("BucketOwnerEnforced"), Ok(()));
        assert_eq!(of("ObjectWriter"), Err(ErrorCode::NotImplemented));
        assert_eq!(of("BucketOwnerPreferred"), Err(ErrorCode::NotImplemented));
        assert_eq!(of("Nobody"), Err(ErrorCode::MalformedXML));
        assert!(ownership_controls(ownership_controls_document().as_bytes()).is_ok());
        assert!(ownership_controls(b"<OwnershipControls/>").is_err());
    }
}
