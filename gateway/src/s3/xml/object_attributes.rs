//! GetObjectAttributes' answer.

use super::writer::XmlWriter;
use crate::s3::op::{
    GetObjectAttributesInput, GetObjectAttributesOutput, ObjectAttribute, ObjectPartsPage,
};

/// The document: what was asked for, and no more. The tag has no quotes here, as at AWS.
#[must_use]
pub fn get_object_attributes(
    input: &GetObjectAttributesInput,
    output: &GetObjectAttributesOutput,
) -> String {
    XmlWriter::document("GetObjectAttributesResponse", |xml| {
        if input.wants(ObjectAttribute::ETag) {
            xml.leaf("ETag", output.etag.as_str());
        }
        if input.wants(ObjectAttribute::Checksum)
            && let Some(object) = &output.checksum
        {
            xml.element("Checksum", |xml| {
                // Without the number of parts, which has an element of its own.
                xml.leaf(object.checksum.algorithm.element(), &object.checksum.text());
                xml.leaf("ChecksumType", object.kind.as_str());
            });
        }
        if let Some(page) = &output.parts {
            parts(xml, input, page);
        }
        if input.wants(ObjectAttribute::StorageClass) {
            xml.leaf("StorageClass", output.storage_class.as_str());
        }
        if input.wants(ObjectAttribute::ObjectSize) {
            xml.number("ObjectSize", output.object_len);
        }
    })
}

fn parts(xml: &mut XmlWriter, input: &GetObjectAttributesInput, page: &ObjectPartsPage) {
    xml.element("ObjectParts", |xml| {
        // AWS's TotalPartsCount of the SDKs is this element.
        xml.number("PartsCount", page.total.into());
        xml.number("PartNumberMarker", input.part_number_marker.into());
        if let Some(next) = page.next_part_number_marker {
            xml.number("NextPartNumberMarker", next.into());
        }
        xml.number("MaxParts", input.max_parts.into());
        xml.boolean("IsTruncated", page.next_part_number_marker.is_some());
        for part in &page.parts {
            xml.element("Part", |xml| {
                xml.number("PartNumber", part.part_number.get().into());
                xml.number("Size", part.size);
                if let Some(checksum) = &part.checksum {
                    xml.leaf(checksum.algorithm.element(), &checksum.text());
                }
            });
        }
    });
}
