//! What a handler takes from a request, with problems instead of bare texts where it does not fit.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ApiError, FieldProblem};

/// Problems told of one request.
const MAX_PROBLEMS: usize = 50;

/// A path parameter; what cannot be an id names nothing.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(ApiError::not_found("resource")),
        }
    }
}

/// The query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            ApiError::refused(StatusCode::BAD_REQUEST, "invalid_query", format!("the query string: {cause}"))
        })
    }
}

/// The fields of a JSON body, taken one by one, so that one answer tells every mistake. No body is an empty one.
#[derive(Debug)]
pub struct Fields {
    /// The body as it came.
    raw: Bytes,
    map: Map<String, Value>,
    problems: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let is_json = content_type.is_none_or(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json" || essence.ends_with("+json")
        });
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large")
            }
            status => ApiError::refused(status, "unreadable_body", "the body could not be read to its end"),
        })?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { raw: bytes, map: Map::new(), problems: Vec::new() });
        }
        if !is_json {
            return Err(ApiError::refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "json_expected",
                "send JSON, with the header Content-Type: application/json",
            ));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Self { raw: bytes, map, problems: Vec::new() }),
            Ok(_) => {
                Err(ApiError::refused(StatusCode::BAD_REQUEST, "object_expected", "the body must be a JSON object"))
            }
            Err(error) => Err(ApiError::refused(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body is not JSON: {error}"),
            )),
        }
    }
}

impl Fields {
    /// The body as it came; two requests with the same say the same.
    #[must_use]
    pub fn raw(&self) -> Bytes {
        self.raw.clone()
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// A field, if it is there and has the right shape; if it has not, the mistake is noted. For a field that may be null
    /// take an `Option`: the outer one says whether it was there.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.map.remove(name)?;
        match serde_path_to_error::deserialize(value) {
            Ok(value) => Some(value),
            Err(error) => {
                let pointer = format!("/{}{}", escape(name), pointer_of(error.path()));
                self.refuse(pointer, "invalid_value", error.into_inner().to_string());
                None
            }
        }
    }

    /// A field as it was written.
    pub fn take_raw(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    pub fn refuse(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(FieldProblem { pointer: pointer.into(), code, detail: detail.into() });
        }
    }

    /// # Errors
    /// Every mistake noted, and every field that nobody took.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for name in std::mem::take(&mut self.map).keys() {
            let shown: String = name.chars().take(80).collect();
            self.refuse(format!("/{}", escape(&shown)), "unknown_field", format!("there is no field `{shown}` here"));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.problems)) }
    }
}

/// `~` and `/` as RFC 6901 wants them.
#[must_use]
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A path of `serde_path_to_error` as an RFC 6901 pointer; the root is empty.
#[must_use]
pub fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Unknown => {}
        }
    }
    pointer
}
