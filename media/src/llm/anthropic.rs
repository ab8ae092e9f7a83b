//! Anthropic's Messages, of Anthropic itself (`/v1/messages`) and of Bedrock (`bedrock-mantle.{region}`, the same wire under
//! `/anthropic` with a Bedrock API key as bearer).

mod event;
mod request;

use http::{
    HeaderName,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue},
};
use secrecy::SecretString;

use super::{LlmRequest, answer::Assemble, openai::bearer};

/// The version before 2026-10-21: the only one that models older than 4.7 take on Bedrock, and every newer one takes it as well.
/// What it allows and the later one forbids (temperature and the like) is not sent.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

#[derive(Clone)]
pub(super) struct Messages;

impl Messages {
    pub(super) fn body(&self, request: &LlmRequest, model: &str) -> bytes::Bytes {
        request::body(request, model)
    }

    pub(super) fn assembler(&self) -> Box<dyn Assemble> {
        Box::new(event::Assembler::default())
    }
}

pub(super) fn headers(api_key: &SecretString) -> Result<HeaderMap, InvalidHeaderValue> {
    Ok(HeaderMap::from_iter([
        (AUTHORIZATION, bearer(api_key)?),
        (HeaderName::from_static("anthropic-version"), VERSION),
        (ACCEPT, HeaderValue::from_static("text/event-stream")),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ]))
}
