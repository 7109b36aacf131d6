//! PostObject: a PutObject whose every word came in a form.

use super::object::PutObjectInput;

/// What a form's sender is told in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuccessAction {
    /// 303 to this page, which is told bucket, key and tag.
    Redirect(String),
    /// 200 without a document.
    Ok,
    /// 201 with one.
    Created,
    /// 204.
    NoContent,
}

/// PostObject. The file comes beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostObjectInput {
    /// What is put.
    pub put: PutObjectInput,
    /// What is answered.
    pub success: SuccessAction,
}
