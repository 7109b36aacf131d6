//! The documents of answers other than listings of keys.

use super::listing::owner_element;
use super::writer::XmlWriter;
use crate::s3::encode::token;
use crate::s3::op::{
    Checksum, CompleteMultipartUploadOutput, CopyObjectOutput, CreateMultipartUploadOutput,
    DeleteObjectsOutput, DeleteResult, GetBucketLocationOutput, GetBucketVersioningOutput,
    ListBucketsInput, ListBucketsOutput, ListPartsInput, ListPartsOutput, ObjectChecksum,
    UploadPartCopyOutput,
};

/// ListBuckets' answer.
#[must_use]
pub fn list_buckets(input: &ListBucketsInput, output: &ListBucketsOutput) -> String {
    let shows_region =
        input.max_buckets.is_some() || input.prefix.is_some() || input.region.is_some();
    XmlWriter::document("ListAllMyBucketsResult", |xml| {
        owner_element(xml, "Owner", &output.owner);
        xml.element("Buckets", |xml| {
            for bucket in &output.buckets {
                xml.element("Bucket", |xml| {
                    xml.leaf("Name", bucket.name.as_str());
                    xml.leaf("CreationDate", &bucket.created.iso8601());
                    if shows_region {
                        xml.leaf("BucketRegion", &bucket.region);
                    }
                });
            }
        });
        let next = output
            .next_after
            .as_deref()
            .map(|after| token(after.as_bytes()));
        xml.leaf_if("ContinuationToken", next.as_deref());
        xml.leaf_if("Prefix", input.prefix.as_deref());
    })
}

/// GetBucketLocation's answer: the region, of which the first one has no name here.
#[must_use]
pub fn get_bucket_location(output: &GetBucketLocationOutput) -> String {
    // The document is one element: its text stands where other documents have elements.
    let region = if output.region == "us-east-1" {
        ""
    } else {
        &output.region
    };
    let mut xml = XmlWriter::new();
    xml.leaf_in_namespace("LocationConstraint", region);
    xml.finish()
}

/// GetBucketVersioning's answer.
#[must_use]
pub fn get_bucket_versioning(output: &GetBucketVersioningOutput) -> String {
    XmlWriter::document("VersioningConfiguration", |xml| {
        xml.leaf_if("Status", output.status.map(|status| status.as_str()));
    })
}

/// CopyObject's answer.
#[must_use]
pub fn copy_object(output: &CopyObjectOutput) -> String {
    XmlWriter::document("CopyObjectResult", |xml| {
        xml.leaf("LastModified", &output.last_modified.iso8601());
        xml.leaf("ETag", &output.etag.quoted());
        object_checksum(xml, output.checksum.as_ref());
    })
}

/// UploadPartCopy's answer.
#[must_use]
pub fn upload_part_copy(output: &UploadPartCopyOutput) -> String {
    XmlWriter::document("CopyPartResult", |xml| {
        xml.leaf("LastModified", &output.last_modified.iso8601());
        xml.leaf("ETag", &output.etag.quoted());
        checksum(xml, output.checksum.as_ref());
    })
}

/// PostObject's answer, where it has one. Unlike all others it is in no namespace.
#[must_use]
pub fn post_response(location: &str, bucket: &str, key: &str, etag: &str) -> String {
    let mut xml = XmlWriter::new();
    xml.element("PostResponse", |xml| {
        xml.leaf("Location", location);
        xml.leaf("Bucket", bucket);
        xml.leaf("Key", key);
        xml.leaf("ETag", etag);
    });
    xml.finish()
}

/// DeleteObjects' answer.
#[must_use]
pub fn delete_objects(output: &DeleteObjectsOutput, quiet: bool) -> String {
    XmlWriter::document("DeleteResult", |xml| {
        for result in &output.results {
            if result.outcome.is_err() || !quiet {
                delete_result(xml, result);
            }
        }
    })
}

fn delete_result(xml: &mut XmlWriter, result: &DeleteResult) {
    let version_id = result.version_id.as_ref().map(|version| version.as_str());
    match &result.outcome {
        Ok(deleted) => xml.element("Deleted", |xml| {
            xml.leaf("Key", result.key.as_str());
            xml.leaf_if("VersionId", version_id);
            if deleted.delete_marker {
                xml.boolean("DeleteMarker", true);
                let marker = deleted.version_id.as_ref().map(|version| version.as_str());
                xml.leaf_if("DeleteMarkerVersionId", marker);
            }
        }),
        Err(error) => xml.element("Error", |xml| {
            xml.leaf("Key", result.key.as_str());
            xml.leaf_if("VersionId", version_id);
            xml.leaf("Code", error.code().as_str());
            xml.leaf("Message", error.text());
        }),
    }
}

/// CreateMultipartUpload's answer.
#[must_use]
pub fn create_multipart_upload(output: &CreateMultipartUploadOutput) -> String {
    XmlWriter::document("InitiateMultipartUploadResult", |xml| {
        xml.leaf("Bucket", output.bucket.as_str());
        xml.leaf("Key", output.key.as_str());
        xml.leaf("UploadId", output.upload_id.as_str());
    })
}

/// ListParts' answer.
#[must_use]
pub fn list_parts(input: &ListPartsInput, output: &ListPartsOutput) -> String {
    XmlWriter::document("ListPartsResult", |xml| {
        xml.leaf("Bucket", input.bucket.as_str());
        xml.leaf("Key", input.key.as_str());
        xml.leaf("UploadId", input.upload_id.as_str());
        owner_element(xml, "Initiator", &output.owner);
        owner_element(xml, "Owner", &output.owner);
        xml.leaf("StorageClass", output.storage_class.as_str());
        xml.number("PartNumberMarker", input.part_number_marker.into());
        if let Some(next) = output.next_part_number_marker {
            xml.number("NextPartNumberMarker", next.into());
        }
        xml.number("MaxParts", input.max_parts.into());
        xml.boolean("IsTruncated", output.next_part_number_marker.is_some());
        if let Some((algorithm, kind)) = output.checksum {
            xml.leaf("ChecksumAlgorithm", algorithm.as_str());
            xml.leaf("ChecksumType", kind.as_str());
        }
        for part in &output.parts {
            xml.element("Part", |xml| {
                xml.number("PartNumber", part.part_number.get().into());
                xml.leaf("LastModified", &part.last_modified.iso8601());
                xml.leaf("ETag", &part.etag.quoted());
                xml.number("Size", part.size);
                checksum(xml, part.checksum.as_ref());
            });
        }
    })
}

/// CompleteMultipartUpload's answer. `location`: where the object is now.
#[must_use]
pub fn complete_multipart_upload(output: &CompleteMultipartUploadOutput, location: &str) -> String {
    XmlWriter::document("CompleteMultipartUploadResult", |xml| {
        xml.leaf("Location", location);
        xml.leaf("Bucket", output.bucket.as_str());
        xml.leaf("Key", output.key.as_str());
        xml.leaf("ETag", &output.etag.quoted());
        object_checksum(xml, output.checksum.as_ref());
    })
}

fn checksum(xml: &mut XmlWriter, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        xml.leaf(checksum.algorithm.element(), &checksum.text());
    }
}

fn object_checksum(xml: &mut XmlWriter, checksum: Option<&ObjectChecksum>) {
    if let Some(object) = checksum {
        xml.leaf(object.checksum.algorithm.element(), &object.text());
        xml.leaf("ChecksumType", object.kind.as_str());
    }
}

#[cfg(test)]
mod tests;
