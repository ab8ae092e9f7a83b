//! Chat completions as OpenAI, Gemini's compatible endpoint and Sarvam speak them.

mod chunk;
mod request;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{LlmRequest, answer::Assemble};
use crate::provider::Provider;

/// Which of OpenAI's own fields somebody who speaks its wire takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// All of them.
    OpenAi,
    /// Those that every documented version knows, and no reasoning.
    Gemini,
    /// Those that every documented version knows.
    Plain,
}

impl Dialect {
    pub(super) fn of(provider: Provider) -> Self {
        match provider {
            Provider::OpenAi => Self::OpenAi,
            Provider::Gemini => Self::Gemini,
            _ => Self::Plain,
        }
    }
}

#[derive(Clone)]
pub(super) struct ChatCompletions {
    pub dialect: Dialect,
}

impl ChatCompletions {
    pub(super) fn body(&self, request: &LlmRequest, model: &str) -> bytes::Bytes {
        request::body(request, model, self.dialect)
    }

    pub(super) fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(chunk::Assembler::default())
    }
}

pub(super) fn headers(api_key: &SecretString) -> Result<HeaderMap, InvalidHeaderValue> {
    Ok(HeaderMap::from_iter([
        (AUTHORIZATION, bearer(api_key)?),
        (ACCEPT, HeaderValue::from_static("text/event-stream")),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]))
}

/// `Bearer <key>`, which no debug output shows.
pub(crate) fn bearer(api_key: &SecretString) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", api_key.expose_secret()))?;
    value.set_sensitive(true);
    Ok(value)
}
