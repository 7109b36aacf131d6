//! The log: to standard error, for people or (HOLDFAST_LOG_FORMAT=json) for programs.
//!
//! HOLDFAST_LOG chooses what is written, in tracing's filter language (`info`,
//! `holdfast_gateway=debug,info`). Secrets are never given to the log: the types that hold them
//! don't show them.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Begins to log. To be called once, before anything logs.
pub(crate) fn start() -> anyhow::Result<()> {
    let filter = filter(std::env::var("HOLDFAST_LOG").ok().as_deref())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    match std::env::var("HOLDFAST_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().flatten_event(true).init(),
        Ok("text") | Err(_) => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
        Ok(other) => anyhow::bail!("HOLDFAST_LOG_FORMAT is `text` or `json`, not `{other}`"),
    }
    Ok(())
}

/// `info`, but for a chatty library, unless something else is asked for.
fn filter(asked: Option<&str>) -> anyhow::Result<EnvFilter> {
    let text = asked
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .unwrap_or(DEFAULT_FILTER);
    EnvFilter::try_new(text).with_context(|| format!("HOLDFAST_LOG is no filter: `{text}`"))
}

/// sqlx logs each slow statement at WARN with its text; the metadata logs what matters itself.
const DEFAULT_FILTER: &str = "info,sqlx=error";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_or_refused() {
        assert_eq!(
            filter(None).unwrap().to_string(),
            filter(Some(" ")).unwrap().to_string()
        );
        assert!(filter(Some("holdfast_gateway=debug,warn")).is_ok());
        assert!(filter(Some("holdfast=loud")).is_err());
    }
}
