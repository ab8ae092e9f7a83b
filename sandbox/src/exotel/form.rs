//! Request bodies as Exotel takes them: urlencoded or multipart, arrays in any PHP spelling.

use axum::{
    RequestExt,
    extract::{Multipart, Request},
    http::header::CONTENT_TYPE,
};
use url::form_urlencoded;

use crate::exotel::error::RestError;

/// A body beyond this is refused; the largest documented request is a few kilobytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The parameters of one request, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// Reads a request's body by its content type. No body is an empty form.
    pub async fn read(request: Request) -> Result<Self, RestError> {
        let content_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        if content_type.starts_with("multipart/form-data") {
            return Self::read_multipart(request).await;
        }
        if content_type.is_empty() || content_type.starts_with("application/x-www-form-urlencoded") {
            let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
                .await
                .map_err(|error| RestError::bad_request(format!("Unreadable body: {error}")))?;
            return Ok(Self::from_urlencoded(&body));
        }
        Err(RestError::bad_request(format!("Unsupported content type {content_type}")))
    }

    async fn read_multipart(request: Request) -> Result<Self, RestError> {
        let unreadable =
            |error: &dyn std::fmt::Display| RestError::bad_request(format!("Unreadable multipart: {error}"));
        let mut parts: Multipart = request.extract().await.map_err(|error| unreadable(&error))?;
        let mut fields = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(|error| unreadable(&error))? {
            let name = part.name().unwrap_or_default().to_owned();
            let value = part.text().await.map_err(|error| unreadable(&error))?;
            fields.push((name, value));
        }
        Ok(Self { fields })
    }

    pub fn from_urlencoded(body: &[u8]) -> Self {
        Self { fields: form_urlencoded::parse(body).into_owned().collect() }
    }

    /// The value of a plain parameter; empty counts as absent. The last one wins, as in PHP.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .rev()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// Every value of an array parameter, written `name`, `name[]`, `name[0]` or as a comma list.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.fields
            .iter()
            .filter(|(field, _)| {
                field.strip_prefix(name).is_some_and(|index| {
                    index.is_empty()
                        || index
                            .strip_prefix('[')
                            .and_then(|index| index.strip_suffix(']'))
                            .is_some_and(|index| index.chars().all(|c| c.is_ascii_digit()))
                })
            })
            .flat_map(|(_, value)| value.split(','))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// A whole number, or why it is none.
    pub fn number(&self, name: &str) -> Result<Option<u64>, RestError> {
        self.get(name)
            .map(|value| {
                value.parse().map_err(|_error| RestError::bad_request(format!("{name} must be a number, not {value}")))
            })
            .transpose()
    }

    /// `true` or `false`; `default` when absent.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool, RestError> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(RestError::bad_request(format!("{name} must be true or false, not {other}"))),
        }
    }

    /// Everything that was sent, for the log.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn every_spelling_of_an_array_is_read() {
        for body in [
            "E[]=terminal&E[]=answered",
            "E%5B0%5D=terminal&E%5B1%5D=answered",
            "E=terminal&E=answered",
            "E=terminal,answered",
        ] {
            assert_eq!(Form::from_urlencoded(body.as_bytes()).list("E"), ["terminal", "answered"], "{body}");
        }
        assert!(Form::from_urlencoded(b"Extra[]=a&E[x]=b").list("E").is_empty());
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_a_space_as_on_the_wire() {
        assert_eq!(Form::from_urlencoded(b"From=%2B91999").get("From"), Some("+91999"));
        assert_eq!(Form::from_urlencoded(b"From=+91999").get("From"), Some("91999"));
        assert_eq!(Form::from_urlencoded(b"From=").get("From"), None);
    }

    #[tokio::test]
    async fn multipart_is_read_like_urlencoded() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"From\"\r\n\r\n+919999900001\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"StatusCallbackEvents[]\"\r\n\r\nterminal\r\n--x--\r\n";
        let request =
            Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=x").body(Body::from(body)).unwrap();
        let form = Form::read(request).await.unwrap();
        assert_eq!(form.get("From"), Some("+919999900001"));
        assert_eq!(form.list("StatusCallbackEvents"), ["terminal"]);
    }

    #[tokio::test]
    async fn json_is_refused() {
        let request = Request::post("/").header(CONTENT_TYPE, "application/json").body(Body::from("{}")).unwrap();
        assert!(Form::read(request).await.is_err());
    }
}
