//! Being told to stop: the first time gracefully, the second time at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens for SIGINT and SIGTERM. The token is cancelled by the first; the second ends the process
/// with 128 + its number. Must be called within a tokio runtime.
pub(crate) fn on_signals() -> anyhow::Result<CancellationToken> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        let first = signals.next().await;
        tracing::info!(
            "{} received: finishing requests in flight; once more ends at once",
            first.name
        );
        stopping.cancel();
        let second = signals.next().await;
        tracing::warn!("{} received again: ending at once", second.name);
        std::process::exit(128 + second.number);
    });
    Ok(stop)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

struct Received {
    name: &'static str,
    number: i32,
}

impl Signals {
    async fn next(&mut self) -> Received {
        let (name, kind) = tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate()),
        };
        Received {
            name,
            number: kind.as_raw_value(),
        }
    }
}
