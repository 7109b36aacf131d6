//! How long a day is to lifecycle rules: a day, unless somebody tests them or tries them out.
//!
//! What is set is taken or the start is refused, and is said loudly: objects go early by it, and
//! whoever set it for a test must not forget it.

use std::ffi::OsString;

use anyhow::anyhow;
use holdfast_replication::WorkerConfig;

/// Says how long a lifecycle day is; wins over the file.
pub(crate) const LIFECYCLE_DAY_SECONDS: &str = "HOLDFAST_LIFECYCLE_DAY_SECONDS";

/// What the environment says, else what the file says.
pub(super) fn over(set: Option<OsString>, file: WorkerConfig) -> anyhow::Result<WorkerConfig> {
    let Some(set) = set.filter(|set| !set.is_empty()) else {
        return Ok(file);
    };
    let text = set.to_string_lossy();
    let seconds = text.parse().map_err(|_| {
        anyhow!("{LIFECYCLE_DAY_SECONDS}: `{text}` is not a whole number of seconds")
    })?;
    let config = WorkerConfig {
        lifecycle_day_seconds: Some(seconds),
        ..file
    };
    match config.check() {
        Ok(()) => Ok(config),
        Err(error) if error.field == "lifecycle_day_seconds" => {
            Err(anyhow!("{LIFECYCLE_DAY_SECONDS}: {}", error.reason))
        }
        // What the file says was checked with the file.
        Err(error) => Err(error.into()),
    }
}

/// Says it in the log where it is not a day, and gives what the metadata is told.
pub(super) fn announce(config: &WorkerConfig) -> Option<u64> {
    if let Some(seconds) = config.short_lifecycle_day() {
        tracing::warn!(
            lifecycle_day_seconds = seconds,
            "A LIFECYCLE DAY LASTS {seconds} SECONDS: lifecycle rules remove objects {} times as \
             early as they say. Unless this is a test, unset worker.lifecycle_day_seconds and \
             {LIFECYCLE_DAY_SECONDS}",
            WorkerConfig::DAY_SECONDS / seconds
        );
    }
    config.lifecycle_day_seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_and_nonsense_is_refused() {
        let of = |set: &str| over(Some(set.into()), WorkerConfig::default());
        assert_eq!(of("10").unwrap().lifecycle_day_seconds, Some(10));
        assert_eq!(of("").unwrap().lifecycle_day_seconds, None);
        let file = WorkerConfig {
            lifecycle_day_seconds: Some(5),
            ..WorkerConfig::default()
        };
        assert_eq!(over(None, file.clone()).unwrap(), file);
        assert_eq!(
            over(Some("7".into()), file).unwrap().lifecycle_day_seconds,
            Some(7)
        );
        for bad in ["0", "-1", "a day", "86401", "1.5"] {
            let message = of(bad).unwrap_err().to_string();
            assert!(
                message.starts_with("HOLDFAST_LIFECYCLE_DAY_SECONDS: "),
                "{message}"
            );
        }
    }
}
