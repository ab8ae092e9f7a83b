//! OpenAI's chat completions and model list, `/v1/chat/completions` and `/v1/models`, on loopback, and its sound: speech, files and
//! live. The model behind them is [`crate::brain`]. Sarvam's chat has the same path; Gemini's endpoint that speaks this wire has its own.
//!
//! Faults, keyed by `"{model} {prompt_cache_key} {user}"` of the request:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `openai.refuse` | an error before the first byte | HTTP status, or `{"status", "code", "retry_after", "retry_after_ms"}` (429) |
//! | `openai.slow` | the first token comes late | milliseconds (5 000) |
//! | `openai.stall` | the stream goes silent but stays open | pieces that come before (0) |
//! | `openai.cut` | the connection breaks in the middle | pieces that come before (3) |
//! | `openai.error_midstream` | an `error` object instead of a chunk, then the end | pieces that come before (3) |
//! | `openai.nonsense` | a `data:` line that is not JSON | pieces that come before (2) |
//! | `openai.length` | `finish_reason` is `length`, the answer is cut | pieces that are kept (4) |
//! | `openai.refusal` | the model refuses | – |
//! | `openai.bad_json` | structured output that violates its schema | – |
//! | `openai.truncated` | the stream ends as if it were whole, without saying why | pieces that come before (3) |
//! | `openai.utf8_split` | typographic quotes, sent in pieces of 1 to 7 bytes | – |
//! | `openai.args_by_letter` | the arguments of calls come letter by letter | – |
//! | `openai.shut_down` | the model has been shut down: 404 `model_not_found` | – |
//! | `openai.shutdown_date` | the list of models says this day of the model that `match` names | `"YYYY-MM-DD"` |
//! | `openai.models_refused` | the list of models is refused | HTTP status (503) |

pub(crate) mod answer;
mod completions;
mod converse;
mod error;
mod gemini;
mod models;
mod realtime;
mod request;
mod speech;
mod stream;
mod transcriptions;

pub(crate) use stream::in_small_pieces;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::HeaderMap,
    routing::{get, post},
};
use clap::Args;

use crate::{environment, world::World};

/// How fast the simulated model is.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// From the request to the first token, in ms; each request varies by up to a fifth.
    #[arg(long = "openai-ttft-ms", env = "SANDBOX_OPENAI_TTFT_MS", default_value_t = Settings::default().ttft_ms)]
    pub ttft_ms: u64,
    /// Tokens per second after the first.
    #[arg(long = "openai-tokens-per-second", env = "SANDBOX_OPENAI_TOKENS_PER_SECOND", default_value_t = Settings::default().tokens_per_second)]
    pub tokens_per_second: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ttft_ms: 250, tokens_per_second: 80 }
    }
}

/// A request with long transcripts and schemas is some 100 kB.
const MAX_BODY_BYTES: usize = 4 << 20;

/// The service, with its settings from the environment.
pub fn router() -> Router<Arc<World>> {
    router_with(environment::read())
}

/// The service with these settings.
pub fn router_with(settings: Settings) -> Router<Arc<World>> {
    Router::new()
        .route("/v1/chat/completions", post(completions::create))
        .route("/v1beta/openai/chat/completions", post(completions::create_at_gemini))
        .route("/v1/audio/speech", post(speech::speak))
        .route("/v1/audio/transcriptions", post(transcriptions::create))
        .route("/v1/realtime", get(realtime::connect))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::retrieve))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(Arc::new(settings)))
}

/// `Authorization: Bearer <key>`, or Sarvam's own header.
fn authorize(headers: &HeaderMap) -> Result<(), error::Error> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|header| header.strip_prefix("Bearer "));
    match bearer.or(text("api-subscription-key")).map(str::trim) {
        None | Some("") => Err(error::Error::no_key()),
        Some("bad-key") => Err(error::Error::bad_key()),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
