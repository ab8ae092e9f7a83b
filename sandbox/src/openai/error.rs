//! OpenAI's errors: a status and `{"error": {message, type, param, code}}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub(super) struct Error {
    pub status: StatusCode,
    pub message: String,
    kind: &'static str,
    param: Option<String>,
    pub code: Option<String>,
    wait: Option<Wait>,
}

/// How long the client is asked to wait, and in which header's unit.
#[derive(Debug, Clone, Copy)]
enum Wait {
    Secs(u32),
    Ms(u32),
}

impl Wait {
    fn of(fault: &Value) -> Option<Self> {
        let number = |name: &str| fault[name].as_u64().and_then(|number| u32::try_from(number).ok());
        number("retry_after_ms").map(Self::Ms).or_else(|| number("retry_after").map(Self::Secs))
    }
}

impl Error {
    pub(super) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            kind: "invalid_request_error",
            param: Some(param.into()).filter(|param| !param.is_empty()),
            code: None,
            wait: None,
        }
    }

    pub(super) fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    pub(super) fn no_key() -> Self {
        let message = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.";
        Self { status: StatusCode::UNAUTHORIZED, ..Self::invalid("", message) }
    }

    pub(super) fn bad_key() -> Self {
        let error = Self::invalid("", "Incorrect API key provided: bad-key.").with_code("invalid_api_key");
        Self { status: StatusCode::UNAUTHORIZED, ..error }
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self { status: StatusCode::NOT_FOUND, ..Self::invalid("", message).with_code("model_not_found") }
    }

    /// What the `openai.refuse` fault asks for: a status, or an object with status, code, retry_after, retry_after_ms.
    pub(super) fn from_fault(value: &Value) -> Self {
        let status = value.as_u64().or(value["status"].as_u64()).unwrap_or(429);
        let status = u16::try_from(status)
            .ok()
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let (kind, code, message) = match (status.as_u16(), value["code"].as_str()) {
            (429, Some("insufficient_quota")) => (
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            (429, _) => ("requests", Some("rate_limit_exceeded"), "Rate limit reached for requests."),
            (401, _) => ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided."),
            (404, _) => (
                "invalid_request_error",
                Some("model_not_found"),
                "The model does not exist or you do not have access to it.",
            ),
            (500.., _) => {
                ("server_error", None, "The server had an error while processing your request. Sorry about that!")
            }
            (_, code) => ("invalid_request_error", code, "The request was refused."),
        };
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code: code.map(str::to_owned),
            wait: Wait::of(value),
        }
    }

    /// The failure that takes the place of a chunk.
    pub(super) fn midstream() -> Value {
        Self::from_fault(&json!(500)).body()
    }

    pub(super) fn body(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self.wait {
            Some(Wait::Secs(secs)) => drop(headers.insert("retry-after", HeaderValue::from(secs))),
            Some(Wait::Ms(ms)) => drop(headers.insert("retry-after-ms", HeaderValue::from(ms))),
            None => {}
        }
        response
    }
}
