//! How Exotel says no: `{"RestException":{"Status":403,"Message":"..."}}`.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::exotel::answer::{Format, answer};

/// A refusal with the message that a client may match on.
#[derive(Debug, Clone)]
pub struct RestError {
    pub status: StatusCode,
    pub message: String,
}

impl RestError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "The requested resource was not found")
    }

    /// In the format that the request's path asked for.
    pub fn respond(&self, format: Format) -> Response {
        let body = json!({"RestException": {"Status": self.status.as_u16(), "Message": self.message}});
        answer(format, self.status, &body)
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        self.respond(Format::Json)
    }
}
