//! Accepts connections until told to stop, then lets them finish.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::connection::{self, Shared};
use super::crowd::{Connections, Requests};
use super::limits::{ACCEPT_RETRY, Limits, MAX_UNPLACED, OPEN_AND_CLOSING};
use super::service::HttpService;
use super::transport::Transport;

/// How a listener stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that still had a request in flight at the deadline, and were cut.
    pub cut_connections: usize,
}

/// Serves until `stop` is ready; then accepts no more, lets requests in flight finish until the
/// deadline, and reports.
pub async fn serve<S: HttpService>(
    listener: TcpListener,
    transport: Transport,
    service: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) -> Stopped {
    let stop_deadline = limits.stop_deadline;
    // Sockets, as opposed to places: those that gave way and those that are refused still have one.
    let sockets = limits.max_connections * OPEN_AND_CLOSING + MAX_UNPLACED;
    let sockets = Arc::new(Semaphore::new(sockets));
    let shared = Arc::new(Shared {
        connections: Connections::new(limits.max_connections),
        requests: Requests::new(limits.max_requests),
        unplaced: Arc::new(Semaphore::new(MAX_UNPLACED)),
        service,
        limits,
        transport,
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    });
    let connections = TaskTracker::new();
    let mut stop = pin!(stop);
    loop {
        let socket = Arc::clone(&sockets).acquire_owned();
        let accepted = async {
            let socket = socket
                .await
                .expect("the semaphore of sockets is never closed");
            (accept(&listener).await, socket)
        };
        tokio::select! {
            () = stop.as_mut() => break,
            ((stream, peer), socket) = accepted => {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    connection::run(stream, peer, shared).await;
                    drop(socket);
                });
            }
        }
    }
    // The kernel refuses new connections from here on.
    drop(listener);
    shared.stop.cancel();
    connections.close();
    let mut cut_connections = 0;
    if timeout(stop_deadline, connections.wait()).await.is_err() {
        cut_connections = connections.len();
        warn!(
            cut_connections,
            "requests in flight are cut at the deadline"
        );
        shared.abort.cancel();
        connections.wait().await;
    }
    info!(cut_connections, "stopped");
    Stopped { cut_connections }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
