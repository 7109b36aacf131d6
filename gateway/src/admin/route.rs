//! The routes there are: one place that a reviewer reads, and a test that knows each of them.

mod policies;
mod upkeep;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::backups::BackupRoute;
use super::error::AdminError;
use super::verification::VerifyRoute;
use super::webhooks::WebhookRoute;

pub(super) use self::policies::{PolicyRoute, Tell};
pub(super) use self::upkeep::{DriveRoute, UpkeepRoute, WorkerRoute};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Route {
    /// `GET /healthz`: the process answers.
    Health,
    /// `GET /readyz`, with `?writes` also asking for writes.
    Ready { writes: bool },
    /// `GET /metrics`.
    Metrics,
    /// `GET /admin/v1/status`.
    Status,
    /// `GET /admin/v1/drives`.
    Drives,
    /// `GET /admin/v1/buckets?after=NAME&limit=N`.
    Buckets { after: Option<String>, limit: usize },
    /// `PUT /admin/v1/buckets/NAME/quota`.
    SetQuota { bucket: String },
    /// `PUT /admin/v1/buckets/NAME/rate-limit`.
    LimitBucket { bucket: String },
    /// `PUT /admin/v1/keys/KEY/rate-limit`.
    LimitKey { access_key: String },
    /// `GET /admin/v1/policies`.
    Policies,
    /// `GET /admin/v1/master-keys`.
    MasterKeys,
    /// `POST /admin/v1/master-keys`: a new one, which wraps from then on.
    RotateMasterKey,
    /// `DELETE /admin/v1/master-keys/ID`: one by which nothing is wrapped any more.
    RetireMasterKey { id: String },
    /// `GET /admin/v1/keys`.
    Keys,
    /// `POST /admin/v1/keys`.
    CreateKey,
    /// `DELETE /admin/v1/keys/KEY`.
    DeleteKey { access_key: String },
    /// Background work, and drives that come and go.
    Upkeep(UpkeepRoute),
    /// Backups of the metadata.
    Backup(BackupRoute),
    /// A verification of the store.
    Verify(VerifyRoute),
    /// Who is told what happens in buckets.
    Webhook(WebhookRoute),
    /// Policies, buckets that follow them, and re-encodes.
    Policy(PolicyRoute),
}

/// Buckets on one page: each costs a read of its totals.
pub(super) const MAX_BUCKETS: usize = 100;

impl Route {
    /// The route of a request.
    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, AdminError> {
        let segments: Vec<&str> = uri.path().split('/').skip(1).collect();
        let query = uri.query().unwrap_or_default();
        let get = method == Method::GET;
        Ok(match segments.as_slice() {
            ["healthz"] if get => Self::Health,
            ["readyz"] if get => Self::Ready {
                writes: parameter(query, "writes").is_some(),
            },
            ["metrics"] if get => Self::Metrics,
            ["admin", "v1", "status"] if get => Self::Status,
            ["admin", "v1", "drives"] if get => Self::Drives,
            ["admin", "v1", "buckets"] if get => Self::Buckets {
                after: parameter(query, "after"),
                limit: limit(query)?,
            },
            ["admin", "v1", "buckets", name, "quota"] if method == Method::PUT => Self::SetQuota {
                bucket: percent_decode_str(name).decode_utf8_lossy().into_owned(),
            },
            ["admin", "v1", "buckets", name, "rate-limit"] if method == Method::PUT => {
                Self::LimitBucket {
                    bucket: percent_decode_str(name).decode_utf8_lossy().into_owned(),
                }
            }
            ["admin", "v1", "keys", key, "rate-limit"] if method == Method::PUT => Self::LimitKey {
                access_key: percent_decode_str(key).decode_utf8_lossy().into_owned(),
            },
            ["admin", "v1", "policies"] if get => Self::Policies,
            ["admin", "v1", "master-keys"] if get => Self::MasterKeys,
            ["admin", "v1", "master-keys"] if method == Method::POST => Self::RotateMasterKey,
            ["admin", "v1", "master-keys", id] if method == Method::DELETE && !id.is_empty() => {
                Self::RetireMasterKey {
                    id: percent_decode_str(id).decode_utf8_lossy().into_owned(),
                }
            }
            ["admin", "v1", "webhooks", below @ ..] => WebhookRoute::of(method, below, query)?
                .map(Self::Webhook)
                .ok_or_else(|| nothing(method, uri))?,
            ["admin", "v1", "keys"] if get => Self::Keys,
            ["admin", "v1", "keys"] if method == Method::POST => Self::CreateKey,
            ["admin", "v1", "keys", key] if method == Method::DELETE && !key.is_empty() => {
                Self::DeleteKey {
                    access_key: percent_decode_str(key).decode_utf8_lossy().into_owned(),
                }
            }
            ["admin", "v1", "metadata", below @ ..] => BackupRoute::of(method, below)
                .map(Self::Backup)
                .ok_or_else(|| nothing(method, uri))?,
            ["admin", "v1", "verify"] if get => Self::Verify(VerifyRoute::Look),
            ["admin", "v1", "verify"] if method == Method::POST => Self::Verify(VerifyRoute::Begin),
            ["admin", "v1", "verify"] if method == Method::DELETE => {
                Self::Verify(VerifyRoute::Stop)
            }
            others => {
                if let ["admin", "v1", rest @ ..] = others
                    && let Some(route) = PolicyRoute::of(method, rest, query)?
                {
                    return Ok(Self::Policy(route));
                }
                let upkeep = match others {
                    ["admin", "v1", rest @ ..] => UpkeepRoute::of(method, rest, query)?,
                    _ => None,
                };
                Self::Upkeep(upkeep.ok_or_else(|| nothing(method, uri))?)
            }
        })
    }

    /// Whether it is answered without a signature on the same machine.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Health | Self::Ready { .. } | Self::Metrics)
    }
}

fn nothing(method: &Method, uri: &Uri) -> AdminError {
    AdminError::not_found(format!("there is no {method} {}", uri.path()))
}

fn limit(query: &str) -> Result<usize, AdminError> {
    match parameter(query, "limit") {
        None => Ok(MAX_BUCKETS),
        Some(text) => match text.parse() {
            Ok(limit) if (1..=MAX_BUCKETS).contains(&limit) => Ok(limit),
            _ => Err(AdminError::invalid(format!("limit is 1 to {MAX_BUCKETS}"))),
        },
    }
}

pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, uri: &str) -> Result<Route, AdminError> {
        Route::of(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn each_route_is_found() {
        for (method, uri, expected) in [
            ("GET", "/healthz", Route::Health),
            ("GET", "/readyz", Route::Ready { writes: false }),
            ("GET", "/readyz?writes", Route::Ready { writes: true }),
            ("GET", "/metrics", Route::Metrics),
            ("GET", "/admin/v1/status", Route::Status),
            ("GET", "/admin/v1/drives", Route::Drives),
            (
                "GET",
                "/admin/v1/buckets",
                Route::Buckets {
                    after: None,
                    limit: MAX_BUCKETS,
                },
            ),
            (
                "GET",
                "/admin/v1/buckets?limit=2&after=a%2Db",
                Route::Buckets {
                    after: Some("a-b".to_owned()),
                    limit: 2,
                },
            ),
            (
                "PUT",
                "/admin/v1/buckets/b%2D1/quota",
                Route::SetQuota {
                    bucket: "b-1".to_owned(),
                },
            ),
            (
                "PUT",
                "/admin/v1/buckets/b%2D1/rate-limit",
                Route::LimitBucket {
                    bucket: "b-1".to_owned(),
                },
            ),
            (
                "PUT",
                "/admin/v1/keys/AB%2FC/rate-limit",
                Route::LimitKey {
                    access_key: "AB/C".to_owned(),
                },
            ),
            ("GET", "/admin/v1/policies", Route::Policies),
            ("GET", "/admin/v1/verify", Route::Verify(VerifyRoute::Look)),
            (
                "POST",
                "/admin/v1/verify",
                Route::Verify(VerifyRoute::Begin),
            ),
            (
                "DELETE",
                "/admin/v1/verify",
                Route::Verify(VerifyRoute::Stop),
            ),
            ("GET", "/admin/v1/master-keys", Route::MasterKeys),
            ("POST", "/admin/v1/master-keys", Route::RotateMasterKey),
            (
                "DELETE",
                "/admin/v1/master-keys/0123456789abcdef",
                Route::RetireMasterKey {
                    id: "0123456789abcdef".to_owned(),
                },
            ),
            ("GET", "/admin/v1/keys", Route::Keys),
            ("POST", "/admin/v1/keys", Route::CreateKey),
            (
                "DELETE",
                "/admin/v1/keys/AB%2FC",
                Route::DeleteKey {
                    access_key: "AB/C".to_owned(),
                },
            ),
        ] {
            assert_eq!(route(method, uri), Ok(expected), "{method} {uri}");
        }
    }

    #[test]
    fn anything_else_is_not_there() {
        for (method, uri) in [
            ("GET", "/"),
            ("POST", "/healthz"),
            ("GET", "/healthz/"),
            ("GET", "//healthz"),
            ("GET", "/admin/v1"),
            ("GET", "/admin/v2/status"),
            ("DELETE", "/admin/v1/keys"),
            ("DELETE", "/admin/v1/keys/"),
            ("DELETE", "/admin/v1/master-keys"),
            ("DELETE", "/admin/v1/master-keys/"),
            ("PUT", "/admin/v1/master-keys"),
            ("GET", "/admin/v1/master-keys/0123456789abcdef"),
            ("GET", "/admin/v1/keys/KEY"),
            ("GET", "/admin/v1/keys/KEY/rate-limit"),
            ("POST", "/admin/v1/buckets/b-1/rate-limit"),
            ("PUT", "/admin/v1/status"),
        ] {
            assert_eq!(
                route(method, uri).unwrap_err().status,
                404,
                "{method} {uri}"
            );
        }
        for limit in ["0", "101", "-1", "x", ""] {
            let uri = format!("/admin/v1/buckets?limit={limit}");
            assert_eq!(route("GET", &uri).unwrap_err().status, 400, "{uri}");
        }
    }
}
