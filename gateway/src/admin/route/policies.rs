//! The routes of policies, of the buckets that follow them, and of re-encodes.

use http::Method;
use percent_encoding::percent_decode_str;

use super::parameter;
use crate::admin::error::AdminError;
use crate::admin::policy_check::CheckInputs;

/// What a request asks of policies.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::admin) enum PolicyRoute {
    /// `POST /admin/v1/policies`.
    Create,
    /// `GET /admin/v1/policies/NAME`.
    Show { name: String },
    /// `PATCH /admin/v1/policies/NAME`.
    Update { name: String },
    /// `DELETE /admin/v1/policies/NAME`.
    Delete { name: String },
    /// `GET /admin/v1/policies/NAME/check`.
    Check { name: String, inputs: CheckInputs },
    /// `POST /admin/v1/buckets`.
    CreateBucket,
    /// `PUT /admin/v1/buckets/NAME/policy`.
    SetBucketPolicy { bucket: String },
    /// `GET /admin/v1/reencodes`.
    Reencodes,
    /// `GET /admin/v1/buckets/NAME/reencode`.
    Reencode { bucket: String },
    /// `POST /admin/v1/buckets/NAME/reencode`.
    StartReencode { bucket: String },
    /// `POST /admin/v1/buckets/NAME/reencode/pause`, `resume`, `cancel`.
    TellReencode { bucket: String, what: Tell },
}

/// What an open re-encode is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Tell {
    Pause,
    Resume,
    Cancel,
}

impl PolicyRoute {
    /// The route of a request whose path begins with `/admin/v1`, without that; `None`: it is none
    /// of these.
    pub(super) fn of(
        method: &Method,
        segments: &[&str],
        query: &str,
    ) -> Result<Option<Self>, AdminError> {
        let text = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let tell = |bucket: &str, what| Self::TellReencode {
            bucket: text(bucket),
            what,
        };
        let (get, post) = (method == Method::GET, method == Method::POST);
        Ok(Some(match segments {
            ["policies"] if post => Self::Create,
            ["policies", name] if !name.is_empty() => {
                let name = text(name);
                match method.as_str() {
                    "GET" => Self::Show { name },
                    "PATCH" => Self::Update { name },
                    "DELETE" => Self::Delete { name },
                    _ => return Ok(None),
                }
            }
            ["policies", name, "check"] if get => Self::Check {
                name: text(name),
                inputs: inputs(query)?,
            },
            ["buckets"] if post => Self::CreateBucket,
            ["buckets", name, "policy"] if method == Method::PUT => {
                Self::SetBucketPolicy { bucket: text(name) }
            }
            ["reencodes"] if get => Self::Reencodes,
            ["buckets", name, "reencode"] if get => Self::Reencode { bucket: text(name) },
            ["buckets", name, "reencode"] if post => Self::StartReencode { bucket: text(name) },
            ["buckets", name, "reencode", "pause"] if post => tell(name, Tell::Pause),
            ["buckets", name, "reencode", "resume"] if post => tell(name, Tell::Resume),
            ["buckets", name, "reencode", "cancel"] if post => tell(name, Tell::Cancel),
            _ => return Ok(None),
        }))
    }
}

fn inputs(query: &str) -> Result<CheckInputs, AdminError> {
    let number = |name: &str, least: f64, most: f64| match parameter(query, name) {
        None => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(AdminError::invalid(format!(
                "{name} is a number from {least} to {most}"
            ))),
        },
    };
    Ok(CheckInputs {
        afr: number("afr", 0.0001, 0.9999)?,
        repair_hours: number("repair_hours", 0.001, 100_000.0)?,
        scrub_days: number("scrub_days", 0.001, 100_000.0)?,
        rot_per_year: number("rot_per_year", 0.0, 1.0)?,
        zone_loss_years: number("zone_loss_years", 1.0, 1e9)?,
        zone_rebuild_days: number("zone_rebuild_days", 0.001, 100_000.0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Option<PolicyRoute> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let segments: Vec<&str> = path.split('/').collect();
        PolicyRoute::of(&method.parse().unwrap(), &segments, query).unwrap()
    }

    #[test]
    fn each_route_is_found() {
        let name = || "video".to_owned();
        let bucket = || "films".to_owned();
        for (method, path, expected) in [
            ("POST", "policies", PolicyRoute::Create),
            ("GET", "policies/video", PolicyRoute::Show { name: name() }),
            (
                "PATCH",
                "policies/video",
                PolicyRoute::Update { name: name() },
            ),
            (
                "DELETE",
                "policies/v%69deo",
                PolicyRoute::Delete { name: name() },
            ),
            (
                "GET",
                "policies/video/check?afr=0.05",
                PolicyRoute::Check {
                    name: name(),
                    inputs: CheckInputs {
                        afr: Some(0.05),
                        ..CheckInputs::default()
                    },
                },
            ),
            ("POST", "buckets", PolicyRoute::CreateBucket),
            (
                "PUT",
                "buckets/films/policy",
                PolicyRoute::SetBucketPolicy { bucket: bucket() },
            ),
            ("GET", "reencodes", PolicyRoute::Reencodes),
            (
                "GET",
                "buckets/films/reencode",
                PolicyRoute::Reencode { bucket: bucket() },
            ),
            (
                "POST",
                "buckets/films/reencode",
                PolicyRoute::StartReencode { bucket: bucket() },
            ),
            (
                "POST",
                "buckets/films/reencode/cancel",
                PolicyRoute::TellReencode {
                    bucket: bucket(),
                    what: Tell::Cancel,
                },
            ),
        ] {
            assert_eq!(route(method, path), Some(expected), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "policies"),
            ("PUT", "policies/video"),
            ("GET", "policies/"),
            ("DELETE", "buckets/films/reencode"),
            ("GET", "buckets/films/reencode/pause"),
            ("POST", "buckets/films/reencode/stop"),
        ] {
            assert_eq!(route(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for query in [
            "afr=x",
            "afr=0",
            "afr=1",
            "repair_hours=-1",
            "scrub_days=nan",
        ] {
            let segments = ["policies", "video", "check"];
            let refused = PolicyRoute::of(&Method::GET, &segments, query);
            assert_eq!(refused.unwrap_err().status, 400, "{query}");
        }
    }
}
