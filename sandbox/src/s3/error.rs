//! How S3 says no: `<Error><Code>…</Code>…</Error>`.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// A refusal with S3's own code.
#[derive(Debug, Clone)]
pub struct S3Error {
    pub status: StatusCode,
    pub code: &'static str,
}

impl S3Error {
    pub fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code }
    }

    /// Whoever asks is not who they say, or asks for something else than they signed.
    pub fn forbidden(code: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, code)
    }

    pub fn bad_request(code: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code)
    }
}

impl IntoResponse for S3Error {
    fn into_response(self) -> Response {
        let code = self.code;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>"
        );
        (self.status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
    }
}
