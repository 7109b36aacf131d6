//! The routes of background work and of drives that come and go.

use http::Method;
use percent_encoding::percent_decode_str;

use super::parameter;
use crate::admin::error::AdminError;
use crate::admin::upkeep::Leaving;

/// What a request asks of background work or of the set of drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) enum UpkeepRoute {
    /// `GET /admin/v1/workers`.
    Workers,
    /// `POST /admin/v1/workers/NAME/pace`, `pause`, `resume`, `run`.
    Worker { name: String, what: WorkerRoute },
    /// `GET /admin/v1/repair`.
    Repair,
    /// `POST /admin/v1/drives`.
    AddDrive,
    /// `POST /admin/v1/drives/ID/drain`, `undrain`, `replace`; `DELETE /admin/v1/drives/ID`, with
    /// `?lost=tell` or `?lost=accept` of a dead one.
    Drive { drive: String, what: DriveRoute },
}

/// See [`UpkeepRoute::Worker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum WorkerRoute {
    Pace,
    Pause,
    Resume,
    Run,
}

/// See [`UpkeepRoute::Drive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum DriveRoute {
    Drain,
    Undrain,
    Replace,
    Remove(Leaving),
}

impl UpkeepRoute {
    /// The route of a request whose path begins with `/admin/v1`, without that; `None`: it is none
    /// of these.
    pub(super) fn of(
        method: &Method,
        segments: &[&str],
        query: &str,
    ) -> Result<Option<Self>, AdminError> {
        let text = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
        let worker = |name: &str, what| {
            let name = text(name);
            Some(Self::Worker { name, what })
        };
        let drive = |id: &str, what| {
            let drive = text(id);
            Some(Self::Drive { drive, what })
        };
        let (get, post) = (method == Method::GET, method == Method::POST);
        Ok(match segments {
            ["workers"] if get => Some(Self::Workers),
            ["workers", name, "pace"] if post => worker(name, WorkerRoute::Pace),
            ["workers", name, "pause"] if post => worker(name, WorkerRoute::Pause),
            ["workers", name, "resume"] if post => worker(name, WorkerRoute::Resume),
            ["workers", name, "run"] if post => worker(name, WorkerRoute::Run),
            ["repair"] if get => Some(Self::Repair),
            ["drives"] if post => Some(Self::AddDrive),
            ["drives", id, "drain"] if post => drive(id, DriveRoute::Drain),
            ["drives", id, "undrain"] if post => drive(id, DriveRoute::Undrain),
            ["drives", id, "replace"] if post => drive(id, DriveRoute::Replace),
            ["drives", id] if method == Method::DELETE => {
                let how = match parameter(query, "lost").as_deref() {
                    None => Leaving::Drained,
                    Some("tell") => Leaving::TellLoss,
                    Some("accept") => Leaving::Lost,
                    Some(_) => return Err(AdminError::invalid("lost is `tell` or `accept`")),
                };
                drive(id, DriveRoute::Remove(how))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str, query: &str) -> Option<UpkeepRoute> {
        let segments: Vec<&str> = path.split('/').collect();
        UpkeepRoute::of(&method.parse().unwrap(), &segments, query).unwrap()
    }

    #[test]
    fn each_route_is_found() {
        let worker = |what| {
            let name = "lost-drives".to_owned();
            Some(UpkeepRoute::Worker { name, what })
        };
        let drive = |what| {
            let drive = "ab".to_owned();
            Some(UpkeepRoute::Drive { drive, what })
        };
        for (method, path, query, expected) in [
            ("GET", "workers", "", Some(UpkeepRoute::Workers)),
            (
                "POST",
                "workers/lost-drives/pace",
                "",
                worker(WorkerRoute::Pace),
            ),
            (
                "POST",
                "workers/lost-drives/pause",
                "",
                worker(WorkerRoute::Pause),
            ),
            (
                "POST",
                "workers/lost-drives/resume",
                "",
                worker(WorkerRoute::Resume),
            ),
            (
                "POST",
                "workers/lost-drives/run",
                "",
                worker(WorkerRoute::Run),
            ),
            ("GET", "repair", "", Some(UpkeepRoute::Repair)),
            ("POST", "drives", "", Some(UpkeepRoute::AddDrive)),
            ("POST", "drives/ab/drain", "", drive(DriveRoute::Drain)),
            ("POST", "drives/ab/undrain", "", drive(DriveRoute::Undrain)),
            ("POST", "drives/ab/replace", "", drive(DriveRoute::Replace)),
            (
                "DELETE",
                "drives/ab",
                "",
                drive(DriveRoute::Remove(Leaving::Drained)),
            ),
            (
                "DELETE",
                "drives/ab",
                "lost=tell",
                drive(DriveRoute::Remove(Leaving::TellLoss)),
            ),
            (
                "DELETE",
                "drives/ab",
                "lost=accept",
                drive(DriveRoute::Remove(Leaving::Lost)),
            ),
            ("GET", "workers/x", "", None),
            ("POST", "workers/x", "", None),
            ("GET", "workers/x/pause", "", None),
            ("POST", "repair", "", None),
            ("GET", "drives/ab/drain", "", None),
        ] {
            assert_eq!(
                route(method, path, query),
                expected,
                "{method} {path}?{query}"
            );
        }
        let refused = UpkeepRoute::of(&Method::DELETE, &["drives", "ab"], "lost=yes");
        assert_eq!(refused.unwrap_err().status, 400);
    }
}
