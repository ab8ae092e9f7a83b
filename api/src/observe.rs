//! Around every request: its id, its span, its metrics, its deadline, and what browsers must not do with the answer.

use std::any::Any;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::Instrument;

use crate::error::ApiError;

const REQUEST_ID: &str = "x-request-id";

/// Gives the request an id and a span, counts it and logs one line. Neither holds a query string or a path's parameters.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", %method, route, request_id = id, account_id = tracing::field::Empty);
    let started = Instant::now();
    async move {
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        let took = started.elapsed();
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Probes would drown everything else.
        if matches!(route.as_str(), "/health" | "/ready" | "/metrics") {
            tracing::debug!(status, took_ms, "answered");
        } else {
            tracing::info!(status, took_ms, "answered");
        }
        let (method, status) = (method.to_string(), status.to_string());
        metrics::counter!("http_requests_total", "route" => route.clone(), "method" => method.clone(), "status" => status)
            .increment(1);
        metrics::histogram!("http_request_duration_seconds", "route" => route, "method" => method).record(took);
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

/// The caller's own id for the request, if it is a modest one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let modest = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(modest).map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned)
}

/// Ends a request that has no answer after `bound`.
pub async fn bounded(bound: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(bound, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(bound_secs = bound.as_secs(), "a request took too long");
            ApiError::refused(StatusCode::GATEWAY_TIMEOUT, "timeout", "this took too long, and was given up")
                .into_response()
        }
    }
}

/// Answers a panic with a problem; the panic hook has printed where it was.
pub fn after_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    metrics::counter!("http_panics_total").increment(1);
    ApiError::Internal(anyhow::anyhow!("a handler panicked: {}", message.unwrap_or("without a text"))).into_response()
}

/// Nobody frames our answers, guesses their type or keeps them.
pub async fn secure(request: Request, next: Next) -> Response {
    let is_viewer = request.uri().path().starts_with("/docs");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let policy = if is_viewer {
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    } else {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        "default-src 'none'; frame-ancestors 'none'"
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
