//! ElevenLabs' errors: over HTTP `{"detail": {"status", "message"}}`, on a socket a message and 1008.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Error {
    pub http: StatusCode,
    pub status: &'static str,
    pub message: String,
    /// Where a field is wrong, FastAPI tells it in its own form.
    field: Option<String>,
}

impl Error {
    pub(super) fn new(http: StatusCode, status: &'static str, message: impl Into<String>) -> Self {
        Self { http, status, message: message.into(), field: None }
    }

    pub(super) fn bad_request(status: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, status, message)
    }

    /// 422: a field is missing or wrong.
    pub(super) fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "value_error", message);
        Self { field: Some(name.into()), ..error }
    }

    pub(super) fn invalid_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", "Invalid API key")
    }

    pub(super) fn quota() -> Self {
        let message = "This request exceeds your quota. You have 0 credits remaining.";
        Self::new(StatusCode::UNAUTHORIZED, "quota_exceeded", message)
    }

    /// What the `elevenlabs.refuse` fault asks for.
    pub(super) fn from_fault(value: &Value) -> Self {
        let status = value.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(429);
        let http = StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        match status {
            401 => Self::invalid_key(),
            429 => Self::new(http, "too_many_concurrent_requests", "Too many concurrent requests."),
            _ => Self::new(http, "system_busy", "The system is experiencing heavy traffic, please try again."),
        }
    }

    fn body(&self) -> Value {
        match &self.field {
            Some(field) => json!({ "detail": [{ "loc": ["body", field], "msg": self.message, "type": self.status }] }),
            None => json!({ "detail": { "status": self.status, "message": self.message } }),
        }
    }

    /// The last message of a socket that is closed with 1008.
    pub(super) fn message(&self) -> Value {
        json!({ "message": self.message, "error": self.status, "code": 1008 })
    }

    /// The reason of the close frame: JSON as far as 123 bytes allow.
    pub(super) fn close_reason(&self) -> String {
        let whole = json!({ "error": self.status, "message": self.message }).to_string();
        if whole.len() <= 123 { whole } else { json!({ "error": self.status }).to_string() }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.http, Json(self.body())).into_response()
    }
}
