//! Anthropic's Messages, `POST /v1/messages`, and the same on Bedrock, `POST /anthropic/v1/messages`, on loopback. The model behind
//! them is [`crate::brain`].
//!
//! Faults, keyed by the model:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `anthropic.refuse` | an error before the first byte | HTTP status, or `{"status", "retry_after"}` in seconds (529) |
//! | `anthropic.slow` | the first token comes late | milliseconds (5 000) |
//! | `anthropic.stall` | the stream goes silent but stays open | pieces that come before (0) |
//! | `anthropic.cut` | the connection breaks in the middle | pieces that come before (3) |
//! | `anthropic.error_midstream` | an `error` event, then the end | pieces that come before (3) |
//! | `anthropic.length` | `stop_reason` is `max_tokens`, the answer is cut | pieces that are kept (4) |
//! | `anthropic.finish` | `stop_reason` is this one | its name (`pause_turn`) |
//! | `anthropic.truncated` | the stream ends as if it were whole, without saying why | pieces that come before (3) |
//! | `anthropic.refusal` | the model refuses | – |
//! | `anthropic.utf8_split` | typographic quotes, sent in pieces of 1 to 7 bytes | – |
//! | `anthropic.args_by_letter` | the arguments of calls come letter by letter | – |

mod request;
mod stream;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use clap::Args;
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{environment, openai::in_small_pieces, world::World};
use request::Request;

/// How fast the simulated model is.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// From the request to the first token, in ms.
    #[arg(long = "anthropic-ttft-ms", env = "SANDBOX_ANTHROPIC_TTFT_MS", default_value_t = Settings::default().ttft_ms)]
    pub ttft_ms: u64,
    /// Tokens per second after the first.
    #[arg(long = "anthropic-tokens-per-second", env = "SANDBOX_ANTHROPIC_TOKENS_PER_SECOND", default_value_t = Settings::default().tokens_per_second)]
    pub tokens_per_second: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ttft_ms: 250, tokens_per_second: 80 }
    }
}

/// The service, with its settings from the environment.
pub fn router() -> Router<Arc<World>> {
    router_with(environment::read())
}

/// The service with these settings.
pub fn router_with(settings: Settings) -> Router<Arc<World>> {
    Router::new()
        .route("/v1/messages", post(create))
        .route("/anthropic/v1/messages", post(create))
        .layer(DefaultBodyLimit::max(4 << 20))
        .layer(Extension(Arc::new(settings)))
}

/// A status and `{"type": "error", "error": {type, message}}`.
#[derive(Debug)]
struct Error {
    status: u16,
    message: String,
    /// Seconds.
    retry_after: Option<u64>,
}

impl Error {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    fn body(&self) -> Value {
        let kind = match self.status {
            400 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        json!({ "type": "error", "error": { "type": kind, "message": self.message }, "request_id": random_id("req_") })
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

fn random_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::rng().random::<u128>())
}

async fn create(
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    world.log.record("anthropic", "message.asked", json!({ "body": body }));
    let mut response = match answer(&world, &settings, &headers, &body).await {
        Ok(response) => response,
        Err(error) => {
            world.log.record("anthropic", "message.refused", json!({ "status": error.status, "error": error.body() }));
            error.into_response()
        }
    };
    if let Ok(id) = HeaderValue::from_str(&random_id("req_")) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

async fn answer(world: &Arc<World>, settings: &Settings, headers: &HeaderMap, body: &Value) -> Result<Response, Error> {
    let version = authorize(headers)?;
    let request = Request::read(body, version)?;
    let fault = |name: &str| world.faults.take(name, &request.model);
    if let Some(value) = fault("anthropic.refuse") {
        let status = value.as_u64().or(value["status"].as_u64());
        let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(529);
        return Err(Error { retry_after: value["retry_after"].as_u64(), ..Error::new(status, "refused by a fault") });
    }
    let answer = stream::Answer::to(&request, world);
    world.log.record(
        "anthropic",
        "message.answered",
        json!({ "text": answer.text, "stop_reason": answer.stop_reason }),
    );
    let ttft_ms = fault("anthropic.slow").map_or(settings.ttft_ms, |value| value.as_u64().unwrap_or(5_000));
    sleep(Duration::from_millis(ttft_ms)).await;
    if !request.stream {
        return Ok(Json(answer.body(&request)).into_response());
    }
    let body = stream::body(&request, &answer, settings.tokens_per_second, world);
    let body = if answer.split_bytes { Body::from_stream(in_small_pieces(body)) } else { Body::from_stream(body) };
    Ok(([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response())
}

/// `Authorization: Bearer` or `x-api-key`, and one of the two versions; gives the version.
fn authorize(headers: &HeaderMap) -> Result<&str, Error> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = text("authorization").strip_prefix("Bearer ").unwrap_or_else(|| text("x-api-key"));
    if key.trim().is_empty() || key == "bad-key" {
        return Err(Error::new(401, "invalid x-api-key"));
    }
    match text("anthropic-version") {
        version @ ("2023-06-01" | "2026-10-21") => Ok(version),
        "" => Err(Error::invalid("anthropic-version: header is required")),
        _ => Err(Error::invalid("anthropic-version: unknown version")),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
