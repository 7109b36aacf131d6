//! The way of a request, from its head to its answer.
//!
//! Route (cheap, an allow-list) -> authentication -> rate limits -> headers whose feature is not
//! built -> body (a document is read whole, an object's bytes become a stream) -> operation ->
//! store -> answer. A request that is not authenticated learns nothing but that, and uses up
//! nobody's limit. All keys may do everything: what a key may do will be asked between
//! authentication and rate limits, with the route at hand.
//! Every answer carries `x-amz-request-id` and `x-amz-id-2`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use holdfast_types::Clock;
use http::header::{AUTHORIZATION, CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::address::{Addressing, Target, host};
use super::cors::{self, Preflight};
use super::dispatch::dispatch;
use super::error::{ErrorCode, S3Error};
use super::head::Headers;
use super::header;
use super::name::{BucketName, ObjectKey};
use super::op::{ObjectBody, Operation, OperationKind, RequestContext, S3Service};
use super::parse::{self, BodyUse};
use super::post::{Form, FormReader, PostObject, file_body};
use super::response::{self, ResponseBody};
use super::route::Route;
use super::sigv4::{AuthError, Authenticated, Verifier, encode_query_component};
use super::time::Timestamp;
use crate::metrics::Metrics;
use crate::rate::{Metered, Meters, RateLimits};
use crate::s3::body::{object_body, read_small};
use crate::server::{BodyError, HttpService, Refusal, RequestBody, RequestId, Scheme};

/// What a pipeline is made of.
pub struct PipelineParts {
    /// The store.
    pub service: Arc<dyn S3Service>,
    /// Who may ask.
    pub verifier: Verifier,
    /// How requests name buckets.
    pub addressing: Addressing,
    /// The region that is served.
    pub region: String,
    /// This gateway's name in answers (`x-amz-id-2`): no path, no address.
    pub host_id: String,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// What buckets and keys may have in a second.
    pub limits: RateLimits,
}

/// Serves S3 over a store.
pub struct Pipeline {
    service: Arc<dyn S3Service>,
    verifier: Verifier,
    addressing: Addressing,
    region: Arc<str>,
    host_id: String,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    limits: RateLimits,
}

impl Pipeline {
    /// Puts a pipeline together.
    #[must_use]
    pub fn new(parts: PipelineParts) -> Self {
        Self {
            service: parts.service,
            verifier: parts.verifier,
            addressing: parts.addressing,
            region: parts.region.into(),
            host_id: parts.host_id,
            clock: parts.clock,
            metrics: parts.metrics,
            limits: parts.limits,
        }
    }

    /// Answers one request, under the id that the server gave it.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let id = head
            .extensions
            .get::<RequestId>()
            .copied()
            .unwrap_or_else(RequestId::generate);
        let id = id.to_string();
        let route = Route::of(&head, &self.addressing);
        let is_preflight = head.method == Method::OPTIONS;
        let operation = match &route {
            _ if is_preflight => PREFLIGHT,
            Ok(route) => route.kind.name(),
            Err(_) => UNROUTED,
        };
        let timer = self.metrics.request(operation);
        // The server's span around this one has the request's id, method and path.
        let span = tracing::info_span!("s3", operation);
        let answer = if is_preflight {
            self.preflight(&head).instrument(span.clone()).await
        } else {
            self.answer(&head, route, body, &id)
                .instrument(span.clone())
                .await
        };
        let mut response = answer.unwrap_or_else(|error| {
            let _entered = span.enter();
            log(&error);
            let is_head = head.method == Method::HEAD;
            response::error(&error, is_head, head.uri.path(), &id, &self.host_id)
        });
        if !is_preflight {
            self.let_page_read(&head, &mut response).await;
        }
        if head.version >= Version::HTTP_2 {
            // There a connection is shared, and the header that would close it is an error.
            response.headers_mut().remove(CONNECTION);
        }
        self.identify(&mut response, &id);
        timer.finish(response.status().as_u16());
        response
    }

    async fn answer<B>(
        &self,
        head: &Parts,
        route: Result<Route, S3Error>,
        body: B,
        id: &str,
    ) -> Result<Response<ResponseBody>, S3Error>
    where
        B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        if let Ok(route) = &route
            && route.kind == OperationKind::PostObject
            && FormReader::is_form(head)
        {
            return self.post(head, &route.target, body, id).await;
        }
        let authenticated = self.verifier.authenticate(head).await?;
        let route = route?;
        let meters = self.admit(&authenticated.access_key, &route.target)?;
        let body = Metered::new(body, meters.clone());
        let headers = Headers::of(head, &route.query)?;
        check_customer_key(head, headers.carry_customer_key())?;
        if route.kind == OperationKind::PostObject {
            return Err(FormReader::no_form());
        }
        let context = self.context(head, id, &authenticated.access_key);
        let (operation, bytes) = take(head, &headers, &route, &authenticated, body).await?;
        let location = location(head, &route);
        let answer = dispatch(self.service.as_ref(), &context, operation, bytes, &location).await?;
        Ok(metered(answer, meters))
    }

    /// Takes a browser's form: its signature is in its fields, and covers its policy.
    async fn post<B>(
        &self,
        head: &Parts,
        target: &Target,
        body: B,
        id: &str,
    ) -> Result<Response<ResponseBody>, S3Error>
    where
        B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        if head.headers.contains_key(AUTHORIZATION) {
            return Err(S3Error::from(AuthError::SeveralMechanisms).closing());
        }
        let bucket = target.bucket().ok_or(S3Error::new(ErrorCode::InvalidURI))?;
        let mut reader = FormReader::new(head, body)?;
        let (fields, file) = reader.fields().await?;
        let form = Form::new(fields, &file, bucket)?;
        let signed = self.verifier.authenticate_policy(form.claim()).await;
        let access_key = signed.map_err(|error| S3Error::from(error).closing())?;
        let meters = self.admit(&access_key, target).map_err(S3Error::closing)?;
        let context = self.context(head, id, &access_key);
        let PostObject { input, size } = form.put(bucket, context.received)?;
        check_customer_key(head, input.put.encryption.customer_key().is_some())
            .map_err(S3Error::closing)?;
        let mut body = file_body(reader, input.put.claims.clone(), size)?;
        let take = move |piece: &Bytes| meters.take_bytes(piece.len() as u64, Instant::now());
        body.stream = body.stream.inspect_ok(take).boxed();
        let location = location_of(head, &input.put.key);
        let operation = Operation::PostObject(input);
        dispatch(
            self.service.as_ref(),
            &context,
            operation,
            Some(body),
            &location,
        )
        .await
    }

    /// Lets a request in whose signature was found good, or says how long its key or bucket must
    /// wait.
    fn admit(&self, access_key: &str, target: &Target) -> Result<Meters, S3Error> {
        let bucket = target.bucket().map(BucketName::as_str);
        let admitted = self.limits.admit(access_key, bucket, Instant::now());
        admitted.map_err(|exceeded| {
            self.metrics.rate_limited(&exceeded);
            S3Error::slow_down(&exceeded.to_string(), exceeded.retry_after_seconds())
        })
    }

    fn context(&self, head: &Parts, id: &str, access_key: &str) -> RequestContext {
        let client = head.extensions.get::<SocketAddr>();
        RequestContext {
            request_id: id.into(),
            access_key_id: access_key.into(),
            // There always is one where a server is in front.
            client: client.map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip),
            region: Arc::clone(&self.region),
            received: Timestamp::from_ms(self.clock.now_ms()),
        }
    }

    /// Answers what a browser asks before a page's script may ask. It is not signed: see `cors`.
    async fn preflight(&self, head: &Parts) -> Result<Response<ResponseBody>, S3Error> {
        let target = Target::of(head, &self.addressing)?;
        let preflight = Preflight::of(&head.headers, &target)?;
        let configuration = match target.bucket() {
            Some(bucket) => self.service.cors_rules(bucket).await?,
            None => None,
        };
        preflight.answer(configuration.as_ref(), &target)
    }

    /// Adds what lets a browser show the answer, of an error too, to the page whose script asked.
    async fn let_page_read(&self, head: &Parts, response: &mut Response<ResponseBody>) {
        let Some((method, origin)) = cors::asked_by(&head.method, &head.headers) else {
            return;
        };
        let target = Target::of(head, &self.addressing);
        let Some(bucket) = target.as_ref().ok().and_then(Target::bucket) else {
            return;
        };
        match self.service.cors_rules(bucket).await {
            Ok(Some(rules)) => cors::let_read(response, &rules, method, &origin),
            Ok(None) => {}
            // The answer stands; the page's script can't read it.
            Err(error) => tracing::info!(%error, "cross-origin rules could not be read"),
        }
    }

    fn identify(&self, response: &mut Response<ResponseBody>, id: &str) {
        for (name, text) in [(header::REQUEST_ID, id), (header::HOST_ID, &self.host_id)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("region", &self.region)
            .field("addressing", &self.addressing)
            .finish_non_exhaustive()
    }
}

impl HttpService for Pipeline {
    type Body = ResponseBody;

    async fn call(&self, request: Request<RequestBody>) -> Response<ResponseBody> {
        self.serve(request).await
    }

    fn refuse(&self, refusal: Refusal, id: RequestId) -> Response<ResponseBody> {
        let code = match refusal {
            Refusal::HeadTooLarge => ErrorCode::RequestHeaderSectionTooLarge,
            Refusal::Malformed(_) => ErrorCode::BadRequest,
            Refusal::TooMany => ErrorCode::SlowDown,
            Refusal::Panicked => ErrorCode::InternalError,
        };
        let error = S3Error::message(code, refusal.to_string());
        let id = id.to_string();
        let mut response = response::error(&error, false, "/", &id, &self.host_id);
        self.identify(&mut response, &id);
        response
    }
}

/// What a browser's questions are counted as.
const PREFLIGHT: &str = "Preflight";
/// What requests that ask for nothing we have are counted as.
const UNROUTED: &str = "Unrouted";

/// Parses the operation, its document read, and opens the body that the store will read.
async fn take<B>(
    head: &Parts,
    headers: &Headers,
    route: &Route,
    authenticated: &Authenticated,
    body: B,
) -> Result<(Operation, Option<ObjectBody>), S3Error>
where
    B: Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    match parse::body_use(route.kind) {
        BodyUse::None => Ok((parse::operation(route, headers, b"")?, None)),
        BodyUse::Object => {
            let operation = parse::operation(route, headers, b"")?;
            let claims = parse::body_claims(headers)?;
            let body = object_body(&head.headers, authenticated, claims, body)?;
            Ok((operation, Some(body)))
        }
        BodyUse::Document { max_len } => {
            let claims = parse::document_claims(route.kind, headers)?;
            let max_len = max_len as u64;
            let document = read_small(&head.headers, authenticated, claims, body, max_len).await?;
            Ok((parse::operation(route, headers, &document)?, None))
        }
    }
}

/// Takes what the answer's body sends off of the request's limits, if it has any.
fn metered(answer: Response<ResponseBody>, meters: Meters) -> Response<ResponseBody> {
    if meters.is_none() {
        return answer;
    }
    answer.map(|body| Metered::new(body, meters).boxed_unsync())
}

/// Refuses a customer's key that came over a network unencrypted: whoever listens has it too.
fn check_customer_key(head: &Parts, carries_one: bool) -> Result<(), S3Error> {
    let is_secure = head.extensions.get() == Some(&Scheme::Https);
    let client = head.extensions.get::<SocketAddr>().map(SocketAddr::ip);
    let is_here = client.is_some_and(|client| client.to_canonical().is_loopback());
    if !carries_one || is_secure || is_here {
        return Ok(());
    }
    Err(S3Error::invalid_request(
        "Requests specifying Server Side Encryption with Customer provided keys must be made over \
         a secure connection.",
    ))
}

/// Where the request's object is, as its client reached it.
fn location(head: &Parts, route: &Route) -> String {
    if route.kind != OperationKind::CompleteMultipartUpload {
        return String::new();
    }
    format!(
        "{}://{}{}",
        scheme(head),
        host(head).unwrap_or("localhost"),
        head.uri.path()
    )
}

/// How the client reached it: a proxy in front may speak HTTPS for it.
fn scheme(head: &Parts) -> &'static str {
    let scheme = head.extensions.get::<Scheme>();
    scheme.map_or("http", |scheme| scheme.as_str())
}

/// Where the object of a form that is sent to its bucket is.
fn location_of(head: &Parts, key: &ObjectKey) -> String {
    let encoded: Vec<String> = key
        .as_str()
        .split('/')
        .map(|name| encode_query_component(name.as_bytes()))
        .collect();
    format!(
        "{}://{}{}/{}",
        scheme(head),
        host(head).unwrap_or("localhost"),
        head.uri.path().trim_end_matches('/'),
        encoded.join("/")
    )
}

/// Once, here: below, errors are only passed on.
fn log(error: &S3Error) {
    let cause = std::error::Error::source(error);
    let (code, message) = (error.code().as_str(), error.text());
    match error.code() {
        ErrorCode::InternalError => tracing::error!(code, message, cause, "request failed"),
        // A limit did what it is for: who asks too much is not to fill the log as well.
        ErrorCode::SlowDown if error.headers().any(|(name, _)| name == RETRY_AFTER) => {
            tracing::debug!(code, message, "request refused");
        }
        ErrorCode::ServiceUnavailable | ErrorCode::SlowDown => {
            tracing::warn!(code, message, cause, "request refused");
        }
        _ => tracing::debug!(code, message, cause, "request refused"),
    }
}

#[cfg(test)]
mod tests;
