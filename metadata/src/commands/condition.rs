//! Decides conditional writes, under the key's lock.

use crate::command::WriteCondition;
use crate::commands::write::Existing;
use crate::error::MetadataError;

/// Whether a write or a delete of what is there (`None`: nothing) may happen. A marker counts as
/// nothing.
///
/// `If-Match` and the conditions of deletes on an absent key are `NoSuchKey`, as AWS answers them.
pub(crate) fn check(
    condition: &WriteCondition,
    existing: Option<&Existing>,
) -> Result<(), MetadataError> {
    let object = existing.filter(|existing| !existing.is_marker);
    if let Some(object) = object
        && let Some(etags) = &condition.if_none_match
        && etags.contains(&object.etag)
    {
        return failed("If-None-Match");
    }
    let needs_object = condition.if_match.is_some()
        || condition.if_last_modified_s.is_some()
        || condition.if_size.is_some();
    if !needs_object {
        return Ok(());
    }
    let object = object.ok_or(MetadataError::NoSuchKey)?;
    if let Some(etags) = &condition.if_match
        && !etags.contains(&object.etag)
    {
        return failed("If-Match");
    }
    if let Some(seconds) = condition.if_last_modified_s
        && seconds != object.last_modified_ms / 1000
    {
        return failed("x-amz-if-match-last-modified-time");
    }
    if let Some(size) = condition.if_size
        && size != object.size
    {
        return failed("x-amz-if-match-size");
    }
    Ok(())
}

const fn failed(condition: &'static str) -> Result<(), MetadataError> {
    Err(MetadataError::PreconditionFailed { condition })
}
