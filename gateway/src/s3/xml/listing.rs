//! The documents of listings of keys.
//!
//! Where a page holds a name that XML 1.0 can't carry (a control character), all its names are
//! url-encoded and EncodingType says so, whether the client asked or not: a document that no reader
//! takes would hide the whole page.

use super::writer::XmlWriter;
use crate::s3::encode::{encode_name, fits_xml, token};
use crate::s3::op::{
    ChecksumAlgorithm, ChecksumType, Encoding, ListFilter, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ObjectEntry,
    Owner, UploadEntry, VersionEntry, VersionKind,
};

/// How the names of one page are written.
#[derive(Clone, Copy)]
struct Names(Encoding);

impl Names {
    fn for_page<'n>(filter: &ListFilter, mut names: impl Iterator<Item = &'n str>) -> Self {
        let mut of_filter = [
            filter.prefix.as_str(),
            filter.delimiter.as_deref().unwrap_or(""),
        ]
        .into_iter();
        let fit = names.all(fits_xml) && of_filter.all(fits_xml);
        Self(if fit { filter.encoding } else { Encoding::Url })
    }

    fn leaf(self, xml: &mut XmlWriter, element: &str, name: &str) {
        match self.0 {
            Encoding::Plain => xml.leaf(element, name),
            Encoding::Url => xml.leaf(element, &encode_name(name)),
        }
    }

    fn leaf_if(self, xml: &mut XmlWriter, element: &str, name: Option<&str>) {
        if let Some(name) = name {
            self.leaf(xml, element, name);
        }
    }

    fn encoding_type(self, xml: &mut XmlWriter) {
        if self.0 == Encoding::Url {
            xml.leaf("EncodingType", "url");
        }
    }

    fn common_prefixes(self, xml: &mut XmlWriter, prefixes: &[String]) {
        for prefix in prefixes {
            xml.element("CommonPrefixes", |xml| self.leaf(xml, "Prefix", prefix));
        }
    }

    fn object(self, xml: &mut XmlWriter, object: &ObjectEntry, owner: Option<&Owner>) {
        xml.element("Contents", |xml| {
            self.leaf(xml, "Key", object.key.as_str());
            xml.leaf("LastModified", &object.last_modified.iso8601());
            xml.leaf("ETag", &object.etag.quoted());
            checksum(xml, object.checksum);
            xml.number("Size", object.size);
            if let Some(who) = owner {
                owner_element(xml, "Owner", who);
            }
            xml.leaf("StorageClass", object.storage_class.as_str());
        });
    }
}

fn checksum(xml: &mut XmlWriter, checksum: Option<(ChecksumAlgorithm, ChecksumType)>) {
    if let Some((algorithm, kind)) = checksum {
        xml.leaf("ChecksumAlgorithm", algorithm.as_str());
        xml.leaf("ChecksumType", kind.as_str());
    }
}

pub(super) fn owner_element(xml: &mut XmlWriter, element: &str, owner: &Owner) {
    xml.element(element, |xml| {
        xml.leaf("ID", &owner.id);
        xml.leaf("DisplayName", &owner.display_name);
    });
}

fn all_names<'n>(
    objects: &'n [ObjectEntry],
    prefixes: &'n [String],
    more: impl IntoIterator<Item = &'n str>,
) -> impl Iterator<Item = &'n str> {
    objects
        .iter()
        .map(|object| object.key.as_str())
        .chain(prefixes.iter().map(String::as_str))
        .chain(more)
}

/// ListObjects' answer.
#[must_use]
pub fn list_objects(input: &ListObjectsInput, output: &ListObjectsOutput) -> String {
    let filter = &input.filter;
    let names = Names::for_page(
        filter,
        all_names(
            &output.objects,
            &output.common_prefixes,
            [input.marker.as_str()],
        ),
    );
    // AWS names the next marker only with a delimiter; without one it is the last key, and naming
    // it all the same would be harmless but would not be AWS's answer.
    let next = output
        .next_marker
        .as_deref()
        .filter(|_| filter.delimiter.is_some());
    XmlWriter::document("ListBucketResult", |xml| {
        xml.leaf("Name", input.bucket.as_str());
        names.leaf(xml, "Prefix", &filter.prefix);
        names.leaf(xml, "Marker", &input.marker);
        names.leaf_if(xml, "NextMarker", next);
        xml.number("MaxKeys", filter.max_keys.into());
        names.leaf_if(xml, "Delimiter", filter.delimiter.as_deref());
        names.encoding_type(xml);
        xml.boolean("IsTruncated", output.next_marker.is_some());
        let owner = Owner::default();
        for object in &output.objects {
            names.object(xml, object, Some(&owner));
        }
        names.common_prefixes(xml, &output.common_prefixes);
    })
}

/// ListObjectsV2's answer.
#[must_use]
pub fn list_objects_v2(input: &ListObjectsV2Input, output: &ListObjectsV2Output) -> String {
    let filter = &input.filter;
    let names = Names::for_page(
        filter,
        all_names(
            &output.objects,
            &output.common_prefixes,
            [input.start_after.as_str()],
        ),
    );
    let next = output.next.as_ref().map(|position| token(&position.0));
    let start_after = Some(input.start_after.as_str()).filter(|after| !after.is_empty());
    XmlWriter::document("ListBucketResult", |xml| {
        xml.leaf("Name", input.bucket.as_str());
        names.leaf(xml, "Prefix", &filter.prefix);
        xml.leaf_if("ContinuationToken", input.continuation_token.as_deref());
        xml.leaf_if("NextContinuationToken", next.as_deref());
        names.leaf_if(xml, "StartAfter", start_after);
        xml.number(
            "KeyCount",
            (output.objects.len() + output.common_prefixes.len()) as u64,
        );
        xml.number("MaxKeys", filter.max_keys.into());
        names.leaf_if(xml, "Delimiter", filter.delimiter.as_deref());
        names.encoding_type(xml);
        xml.boolean("IsTruncated", next.is_some());
        let owner = input.fetch_owner.then(Owner::default);
        for object in &output.objects {
            names.object(xml, object, owner.as_ref());
        }
        names.common_prefixes(xml, &output.common_prefixes);
    })
}

/// ListObjectVersions' answer.
#[must_use]
pub fn list_object_versions(
    input: &ListObjectVersionsInput,
    output: &ListObjectVersionsOutput,
) -> String {
    let filter = &input.filter;
    let keys = output.versions.iter().map(|version| version.key.as_str());
    let prefixes = output.common_prefixes.iter().map(String::as_str);
    let names = Names::for_page(
        filter,
        keys.chain(prefixes).chain([input.key_marker.as_str()]),
    );
    XmlWriter::document("ListVersionsResult", |xml| {
        xml.leaf("Name", input.bucket.as_str());
        names.leaf(xml, "Prefix", &filter.prefix);
        names.leaf(xml, "KeyMarker", &input.key_marker);
        let marker = input
            .version_id_marker
            .as_ref()
            .map_or("", |version| version.as_str());
        xml.leaf("VersionIdMarker", marker);
        if let Some((key, version)) = &output.next {
            names.leaf(xml, "NextKeyMarker", key);
            xml.leaf_if(
                "NextVersionIdMarker",
                version.as_ref().map(|version| version.as_str()),
            );
        }
        xml.number("MaxKeys", filter.max_keys.into());
        names.leaf_if(xml, "Delimiter", filter.delimiter.as_deref());
        names.encoding_type(xml);
        xml.boolean("IsTruncated", output.next.is_some());
        let owner = Owner::default();
        for entry in &output.versions {
            version(xml, names, entry, &owner);
        }
        names.common_prefixes(xml, &output.common_prefixes);
    })
}

fn version(xml: &mut XmlWriter, names: Names, entry: &VersionEntry, owner: &Owner) {
    let element = match entry.kind {
        VersionKind::Object { .. } => "Version",
        VersionKind::DeleteMarker => "DeleteMarker",
    };
    xml.element(element, |xml| {
        names.leaf(xml, "Key", entry.key.as_str());
        xml.leaf("VersionId", entry.version_id.as_str());
        xml.boolean("IsLatest", entry.is_latest);
        xml.leaf("LastModified", &entry.last_modified.iso8601());
        if let VersionKind::Object {
            etag,
            size,
            checksum: stored,
            ..
        } = &entry.kind
        {
            xml.leaf("ETag", &etag.quoted());
            checksum(xml, *stored);
            xml.number("Size", *size);
        }
        owner_element(xml, "Owner", owner);
        if let VersionKind::Object { storage_class, .. } = &entry.kind {
            xml.leaf("StorageClass", storage_class.as_str());
        }
    });
}

/// ListMultipartUploads' answer.
#[must_use]
pub fn list_multipart_uploads(
    input: &ListMultipartUploadsInput,
    output: &ListMultipartUploadsOutput,
) -> String {
    let filter = &input.filter;
    let keys = output.uploads.iter().map(|upload| upload.key.as_str());
    let prefixes = output.common_prefixes.iter().map(String::as_str);
    let names = Names::for_page(
        filter,
        keys.chain(prefixes).chain([input.key_marker.as_str()]),
    );
    XmlWriter::document("ListMultipartUploadsResult", |xml| {
        xml.leaf("Bucket", input.bucket.as_str());
        names.leaf(xml, "KeyMarker", &input.key_marker);
        let marker = input
            .upload_id_marker
            .as_ref()
            .map_or("", |upload| upload.as_str());
        xml.leaf("UploadIdMarker", marker);
        if let Some((key, upload)) = &output.next {
            names.leaf(xml, "NextKeyMarker", key);
            xml.leaf_if(
                "NextUploadIdMarker",
                upload.as_ref().map(|upload| upload.as_str()),
            );
        }
        names.leaf_if(xml, "Delimiter", filter.delimiter.as_deref());
        names.leaf(xml, "Prefix", &filter.prefix);
        names.encoding_type(xml);
        xml.number("MaxUploads", filter.max_keys.into());
        xml.boolean("IsTruncated", output.next.is_some());
        for entry in &output.uploads {
            upload(xml, names, entry);
        }
        names.common_prefixes(xml, &output.common_prefixes);
    })
}

fn upload(xml: &mut XmlWriter, names: Names, entry: &UploadEntry) {
    xml.element("Upload", |xml| {
        names.leaf(xml, "Key", entry.key.as_str());
        xml.leaf("UploadId", entry.upload_id.as_str());
        owner_element(xml, "Initiator", &entry.owner);
        owner_element(xml, "Owner", &entry.owner);
        xml.leaf("StorageClass", entry.storage_class.as_str());
        xml.leaf("Initiated", &entry.initiated.iso8601());
        checksum(xml, entry.checksum);
    });
}

#[cfg(test)]
mod tests;
