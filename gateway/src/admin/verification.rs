//! A verification of the live store, begun, looked at and stopped over the admin API.
//!
//! It may take hours, so no request waits for it: one begins it, others ask how far it is. One runs
//! at a time. The gateway does not know what is verified: the process hands in a [`Verification`].

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;

use super::error::AdminError;
use super::view::{BeginVerify, VerifyDepth, VerifyView};
use super::{Admin, json};

/// What is asked of the process.
pub trait Verification: Send + Sync + 'static {
    /// Begins one; `None` if one goes on.
    fn begin(&self, depth: VerifyDepth) -> Option<VerifyView>;

    /// The one that goes on, or the last.
    fn look(&self) -> VerifyView;

    /// Stops the one that goes on, if one does.
    fn stop(&self) -> VerifyView;
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VerifyRoute {
    /// `GET /admin/v1/verify`.
    Look,
    /// `POST /admin/v1/verify`.
    Begin,
    /// `DELETE /admin/v1/verify`.
    Stop,
}

impl Admin {
    pub(super) fn verification(
        &self,
        route: VerifyRoute,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, AdminError> {
        let verification = self
            .surroundings
            .verification()
            .ok_or_else(|| AdminError::not_found("this process verifies nothing"))?;
        match route {
            VerifyRoute::Look => Ok(json(StatusCode::OK, &verification.look())),
            VerifyRoute::Stop => Ok(json(StatusCode::OK, &verification.stop())),
            VerifyRoute::Begin => {
                let asked: BeginVerify = if body.is_empty() {
                    BeginVerify::default()
                } else {
                    serde_json::from_slice(body).map_err(|error| {
                        AdminError::invalid(format!("the body can't be read: {error}"))
                    })?
                };
                let begun = verification.begin(asked.depth).ok_or_else(|| {
                    AdminError::exists("a verification goes on: look at it, or stop it first")
                })?;
                tracing::info!(depth = ?asked.depth, "a verification was begun");
                Ok(json(StatusCode::ACCEPTED, &begun))
            }
        }
    }
}
