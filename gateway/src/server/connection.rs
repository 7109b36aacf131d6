//! One connection, from accept to close.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error};

use super::activity::{Activity, Verdict};
use super::crowd::{ConnectionPlace, Connections, Requests};
use super::exchange::Exchange;
use super::head;
use super::limits::{
    DRAIN_BYTES, DRAIN_TIMEOUT, H2_CONNECTION_WINDOW_BYTES, H2_MAX_LOCAL_RESETS,
    H2_MAX_PENDING_RESETS, H2_MAX_STREAMS, H2_PING_INTERVAL, H2_PING_TIMEOUT, H2_SEND_BUFFER_BYTES,
    H2_STREAM_WINDOW_BYTES, Limits, MAX_HEAD_BYTES, MAX_PARSED_HEADERS, READ_BUFFER_BYTES,
    UNPLACED_TIMEOUT,
};
use super::request_body::{BodyState, RequestBody};
use super::response_body::ResponseBody;
use super::service::{HttpService, Refusal, RequestId};
use super::socket::Socket;
use super::streams::Streams;
use super::transport::{Peer, Transport, TransportError};
use super::wire::Wire;

/// What the connections of a listener share.
pub(super) struct Shared<S> {
    pub(super) service: Arc<S>,
    pub(super) limits: Limits,
    pub(super) transport: Transport,
    pub(super) connections: Arc<Connections>,
    pub(super) requests: Arc<Requests>,
    /// Of connections without a place.
    pub(super) unplaced: Arc<Semaphore>,
    /// Finish what is in flight, then close.
    pub(super) stop: CancellationToken,
    /// Close now.
    pub(super) abort: CancellationToken,
}

/// Serves one connection until it ends, for whatever reason.
pub(super) async fn run<S: HttpService>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<S>>,
) {
    let activity = Arc::new(Activity::new());
    let socket = match Socket::new(stream, Arc::clone(&activity)) {
        Ok(socket) => socket,
        Err(error) => {
            debug!(%peer, %error, "the connection was gone before it began");
            return;
        }
    };
    serve(socket.clone(), peer, &shared, &activity).await;
    if activity.has_unread_input() {
        socket.linger().await;
    }
}

/// Finds a place for the connection, and serves it there; or says that there is none.
async fn serve<S: HttpService>(
    mut socket: Socket,
    peer: SocketAddr,
    shared: &Arc<Shared<S>>,
    activity: &Arc<Activity>,
) {
    let transport = &shared.transport;
    let deadline = Instant::now() + shared.limits.handshake_timeout;
    // A proxy's connection is the proxy's until it has said whose it is.
    let announced = transport.announced(&mut socket, peer);
    let Some(client) = in_time(announced, deadline, peer, shared).await else {
        return;
    };
    let place = shared.connections.enter(transport.sharer(client), activity);
    let Some(place) = place else {
        return turn_away(socket, client, shared, activity).await;
    };
    let serving = async {
        let secured = transport.secured(socket, client, activity);
        let (wire, peer) = in_time(secured, deadline, client, shared).await?;
        drive(wire, peer, shared, activity, Some(&place)).await;
        Some(())
    };
    let given_up = async {
        place.taken().await;
        // Requests in flight are finished; there are none on most.
        if activity.idle_for().is_none() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _done = serving => {}
        () = given_up => debug!(peer = %client, "an idle connection gave way"),
    }
}

/// Tells a client for whose connection there is no place to slow down, if that can be done soon.
async fn turn_away<S: HttpService>(
    socket: Socket,
    client: SocketAddr,
    shared: &Arc<Shared<S>>,
    activity: &Arc<Activity>,
) {
    let Ok(_turn) = shared.unplaced.try_acquire() else {
        debug!(peer = %client, "too many connections: closed without a word");
        return;
    };
    let telling = async {
        let secured = shared.transport.secured(socket, client, activity).await;
        if let Ok((wire, peer)) = secured {
            drive(wire, peer, shared, activity, None).await;
        }
    };
    let _too_slow = timeout(UNPLACED_TIMEOUT, telling).await;
}

/// What comes before HTTP, with its deadline. `None` if it did not come.
async fn in_time<T, S>(
    work: impl Future<Output = Result<T, TransportError>>,
    deadline: Instant,
    peer: SocketAddr,
    shared: &Shared<S>,
) -> Option<T> {
    tokio::select! {
        () = shared.stop.cancelled() => None,
        done = timeout_at(deadline, work) => match done {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error)) => {
                debug!(%peer, %error, "the connection was given up before its first request");
                None
            }
            Err(_) => {
                debug!(%peer, "what comes before the first request takes too long");
                None
            }
        },
    }
}

async fn drive<S: HttpService>(
    wire: Wire,
    peer: Peer,
    shared: &Arc<Shared<S>>,
    activity: &Arc<Activity>,
    place: Option<&ConnectionPlace>,
) {
    let has_place = place.is_some();
    let taken = async {
        match place {
            Some(place) => place.taken().await,
            None => std::future::pending().await,
        }
    };
    let mut taken = pin!(taken);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, activity) = (Arc::clone(shared), Arc::clone(activity));
        let (head, body) = request.into_parts();
        let observer = Arc::clone(&shared.service);
        let client = shared.transport.client_of(&head.headers, peer);
        // Begins before the first await: from here on input belongs to this request.
        let exchange = Exchange::begin(
            Arc::clone(&activity),
            &head,
            client.address,
            Box::new(move |o| observer.observe(o)),
        );
        let request = Request::from_parts(head, body);
        async move {
            let span = exchange.span().clone();
            let answer = answer(request, client, has_place, &shared, &activity, exchange)
                .instrument(span)
                .await;
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let builder = builder(&shared.limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
    let mut tick = ticks(&shared.limits);
    let mut stopping = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(peer = %peer.address, error = %error, "the connection broke");
                }
                return;
            }
            () = shared.stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = taken.as_mut(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shared.abort.cancelled() => return,
            _ = tick.tick() => match activity.verdict(&shared.limits) {
                Verdict::GoOn => {}
                Verdict::Idle if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Idle => return,
                Verdict::Stuck(reason) => {
                    debug!(peer = %peer.address, reason, "the connection is given up");
                    return;
                }
            },
        }
    }
}

async fn answer<S: HttpService>(
    request: Request<Incoming>,
    client: Peer,
    has_place: bool,
    shared: &Arc<Shared<S>>,
    activity: &Activity,
    mut exchange: Exchange,
) -> Response<ResponseBody<S::Body>> {
    let id = exchange.id();
    let (mut head, incoming) = request.into_parts();
    let version = head.version;
    let expects_continue = head.headers.contains_key(EXPECT);
    // There is nothing to go on with, so hyper never says so. botocore, answered without the 100
    // that it asked for, misreads the next answer on the same connection and waits for ever.
    let never_continued = expects_continue && incoming.is_end_stream();
    let (body, state) = RequestBody::new(incoming, &shared.limits);
    exchange.has_body(Arc::clone(&state));
    let place = if has_place {
        shared
            .requests
            .enter(shared.transport.sharer(client.address))
    } else {
        None
    };
    let checked = head::check(&mut head).and(place.ok_or(Refusal::TooMany));
    let mut response = match checked {
        Err(refusal) => {
            drop(body);
            shared.service.refuse(refusal, id)
        }
        Ok(place) => {
            exchange.has_place(place);
            head.extensions.insert(id);
            head.extensions.insert(client.address);
            head.extensions.insert(client.scheme);
            call(&*shared.service, Request::from_parts(head, body), id).await
        }
    };
    let unread = !finish_body(&state, expects_continue).await;
    if version < Version::HTTP_2 && (unread || never_continued || !has_place) {
        if unread {
            activity.leaves_input_unread();
        }
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    exchange.answered(response.status(), response.body().size_hint().exact());
    response.map(|body| ResponseBody::new(body, exchange))
}

/// Calls the service. A panic in it is this request's misfortune and nobody else's.
async fn call<S: HttpService>(
    service: &S,
    request: Request<RequestBody>,
    id: RequestId,
) -> Response<S::Body> {
    match AssertUnwindSafe(service.call(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_panic) => {
            error!("a request's handler panicked");
            service.refuse(Refusal::Panicked, id)
        }
    }
}

/// Reads to its end a body that the service left, if that is quickly done. Whether it has ended.
///
/// Not where the client waits for a 100: reading would ask it to send what nobody wants.
async fn finish_body(state: &BodyState, expects_continue: bool) -> bool {
    if state.ended() {
        return true;
    }
    let Some(mut rest) = state.take_leftover() else {
        return false;
    };
    if expects_continue && !state.touched() {
        return false;
    }
    let drain = async {
        let mut drained = 0;
        while let Some(frame) = rest.frame().await {
            drained += frame.ok()?.data_ref().map_or(0, bytes::Bytes::len);
            if drained > DRAIN_BYTES {
                return None;
            }
        }
        Some(())
    };
    matches!(timeout(DRAIN_TIMEOUT, drain).await, Ok(Some(())))
}

fn builder(limits: &Limits) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams(limits.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Activity` watches heads: hyper's timeout would also end a connection that is only idle.
        .header_read_timeout(None)
        .max_headers(MAX_PARSED_HEADERS)
        .max_buf_size(READ_BUFFER_BYTES)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_concurrent_streams(H2_MAX_STREAMS)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(H2_MAX_PENDING_RESETS)
        .max_local_error_reset_streams(H2_MAX_LOCAL_RESETS)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT);
    builder
}

/// Often enough to keep each timeout within a quarter of it.
fn ticks(limits: &Limits) -> Interval {
    let shortest = limits
        .head_timeout
        .min(limits.idle_timeout)
        .min(limits.write_timeout)
        .min(limits.write_rate_window);
    let mut ticks = interval((shortest / 4).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
