//! Sarvam on loopback: realtime transcription ([`listen`]), speech over a socket and over REST ([`speak`]). Its chat speaks OpenAI's
//! wire and is found there. Faults are those of [`crate::listening`] under `sarvam`, and of [`crate::speaking`] under `sarvam_tts`.

mod listen;
mod speak;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;

use crate::world::World;

/// The languages that are spoken; transcription knows more.
const SPOKEN: &[&str] =
    &["bn-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "ml-IN", "mr-IN", "od-IN", "pa-IN", "ta-IN", "te-IN"];

pub fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/speech-to-text-realtime/ws", get(listen::realtime))
        .route("/text-to-speech/ws", get(speak::socket))
        .route("/text-to-speech", post(speak::rest))
}

/// `{"error": {request_id, message, code}}`; a bad key is a 403 here.
fn refusal(status: u16, message: &str) -> Response {
    let code = match status {
        400 | 413 => "invalid_request_error",
        403 => "invalid_api_key_error",
        404 => "not_found_error",
        422 => "unprocessable_entity_error",
        429 | 503 => "rate_limit_exceeded_error",
        _ => "internal_server_error",
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = crate::deepgram::uuid();
    (status, Json(json!({ "error": { "request_id": request_id, "message": message, "code": code } }))).into_response()
}

fn is_authorized(headers: &HeaderMap) -> bool {
    let key = headers.get("api-subscription-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    !key.trim().is_empty() && key != "bad-key"
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
