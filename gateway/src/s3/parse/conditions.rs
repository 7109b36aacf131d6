//! The conditions of reads and writes.

use http::HeaderName;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use crate::s3::error::S3Error;
use crate::s3::head::Headers;
use crate::s3::header;
use crate::s3::op::{ETag, ETagCondition, ReadConditions, WriteCondition};

/// The most tags that one condition may list: a header has no room for many more.
const MAX_ETAGS: usize = 256;

/// How tags are compared, by RFC 9110 (8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// For If-Match: ours are strong, so a weak tag equals none of them.
    Strong,
    /// For If-None-Match: the mark of a weak tag does not count.
    Weak,
}

/// Reads `*` or a list of tags. Quotes may be left out, as clients of S3 do.
///
/// # Errors
/// `InvalidArgument` for an empty list or one of too many.
pub fn etag_condition(text: &str, comparison: Comparison) -> Result<ETagCondition, S3Error> {
    let text = text.trim();
    if text == "*" {
        return Ok(ETagCondition::Any);
    }
    let unmarked = |tag| match comparison {
        // With its mark it stays a text that no tag of ours has.
        Comparison::Strong => tag,
        Comparison::Weak => str::strip_prefix(tag, "W/").unwrap_or(tag),
    };
    let tags: Vec<ETag> = text
        .split(',')
        .map(|tag| unmarked(tag.trim()))
        .filter(|tag| !tag.is_empty())
        .map(ETag::from_text)
        .collect();
    if tags.is_empty() || tags.len() > MAX_ETAGS {
        return Err(S3Error::invalid_argument(
            "Invalid list of entity tags",
            "ETag",
            text,
        ));
    }
    Ok(ETagCondition::OneOf(tags))
}

/// The conditions of a read.
pub(super) fn read(headers: &Headers) -> Result<ReadConditions, S3Error> {
    of(
        headers,
        [
            IF_MATCH,
            IF_NONE_MATCH,
            IF_MODIFIED_SINCE,
            IF_UNMODIFIED_SINCE,
        ],
    )
}

/// The conditions of a copy on its source.
pub(super) fn copy_source(headers: &Headers) -> Result<ReadConditions, S3Error> {
    of(
        headers,
        [
            header::COPY_SOURCE_IF_MATCH,
            header::COPY_SOURCE_IF_NONE_MATCH,
            header::COPY_SOURCE_IF_MODIFIED_SINCE,
            header::COPY_SOURCE_IF_UNMODIFIED_SINCE,
        ],
    )
}

fn of(headers: &Headers, names: [HeaderName; 4]) -> Result<ReadConditions, S3Error> {
    let [if_match, if_none_match, modified, unmodified] = names;
    let tags = |name, comparison| {
        let text = headers.joined(name)?;
        text.map(|text| etag_condition(&text, comparison))
            .transpose()
    };
    Ok(ReadConditions {
        if_match: tags(&if_match, Comparison::Strong)?,
        if_none_match: tags(&if_none_match, Comparison::Weak)?,
        if_modified_since: headers.date(&modified)?,
        if_unmodified_since: headers.date(&unmodified)?,
    })
}

/// The condition of a write that makes an object: `If-None-Match: *`, or one tag in If-Match.
pub(super) fn publish(headers: &Headers) -> Result<WriteCondition, S3Error> {
    let if_match = headers.joined(&IF_MATCH)?;
    let if_none_match = headers.joined(&IF_NONE_MATCH)?;
    match (if_match.as_deref(), if_none_match.as_deref()) {
        (None, None) => Ok(WriteCondition::Always),
        (None, Some("*")) => Ok(WriteCondition::IfAbsent),
        (Some(text), None) => match one_tag(text)? {
            Some(etag) => Ok(WriteCondition::IfETag(etag)),
            None => Err(S3Error::header_not_implemented("If-Match", text)),
        },
        (_, Some(text)) => Err(S3Error::header_not_implemented("If-None-Match", text)),
    }
}

/// The condition of a delete: If-Match with `*` or one tag.
pub(super) fn delete(headers: &Headers) -> Result<WriteCondition, S3Error> {
    if let Some(text) = headers.joined(&IF_NONE_MATCH)? {
        return Err(S3Error::header_not_implemented("If-None-Match", &text));
    }
    let Some(text) = headers.joined(&IF_MATCH)? else {
        return Ok(WriteCondition::Always);
    };
    Ok(match one_tag(&text)? {
        Some(etag) => WriteCondition::IfETag(etag),
        None => WriteCondition::IfPresent,
    })
}

/// One tag, or `*`.
fn one_tag(text: &str) -> Result<Option<ETag>, S3Error> {
    match etag_condition(text, Comparison::Strong)? {
        ETagCondition::Any => Ok(None),
        ETagCondition::OneOf(tags) => match <[ETag; 1]>::try_from(tags) {
            Ok([etag]) => Ok(Some(etag)),
            Err(_) => Err(S3Error::header_not_implemented("If-Match", text)),
        },
    }
}
