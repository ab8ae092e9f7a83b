//! Every error of the API is an RFC 9457 problem with a stable `code`; what happened inside stays in the log.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// One mistake in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Where it is in the JSON body (RFC 6901), such as `/calling_hours/mon/0/1`.
    pub pointer: String,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

/// The body of every error (`application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    pub detail: String,
    /// Stable, for programs.
    pub code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The caller can do something about it.
    #[error("{code}: {detail}")]
    Refused { status: StatusCode, code: &'static str, detail: String, errors: Vec<FieldProblem> },
    #[error("the database is out of reach")]
    DatabaseUnavailable(#[source] sqlx::Error),
    #[error("the request could not be carried out")]
    Internal(#[source] anyhow::Error),
}

impl ApiError {
    pub fn refused(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused { status, code, detail: detail.into(), errors: Vec::new() }
    }

    /// `what` is such as "campaign". Somebody else's is not found either.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::refused(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::CONFLICT, code, detail)
    }

    pub fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::refused(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    #[must_use]
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match &errors[..] {
            [only] => format!("{}: {}", only.pointer, only.detail),
            many => format!("{} fields cannot be accepted; see `errors`", many.len()),
        };
        Self::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, code: "invalid_request", detail, errors }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
                Self::DatabaseUnavailable(error)
            }
            error => Self::Internal(error.into()),
        }
    }
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused { status, code, detail, errors } => problem(status, code, detail, errors),
            Self::DatabaseUnavailable(source) => {
                tracing::error!(error = %source, "the database is out of reach");
                let detail = "the database is out of reach; try again shortly";
                let mut response =
                    problem(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail.into(), Vec::new());
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                response
            }
            Self::Internal(source) => {
                tracing::error!(error = format!("{source:#}"), "a request failed");
                let detail = "something went wrong here; the log of this request has the reason";
                problem(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail.into(), Vec::new())
            }
        }
    }
}

fn problem(status: StatusCode, code: &'static str, detail: String, errors: Vec<FieldProblem>) -> Response {
    let body = Problem {
        kind: format!("urn:trunkline:problem:{code}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
        code,
        errors,
    };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
