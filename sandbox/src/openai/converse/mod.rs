//! `GET /v1/realtime?model=gpt-realtime-2.1`: a model that hears and speaks. It understands what an ear recognises, answers with
//! [`crate::brain`], and speaks through the [`SpeechBank`](crate::speech::SpeechBank), so that callees understand it in turn.
//!
//! Faults, keyed by the raw query:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `openai_realtime.refuse` | the handshake fails | as `openai.refuse` (503) |
//! | `openai_realtime.cut` | the socket breaks without a close frame | milliseconds of audio after an utterance begins (300) |
//! | `openai_realtime.cut_answer` | the same, while it speaks | milliseconds of the answer's audio that come before (400) |
//! | `openai_realtime.stall` | an answer goes silent, though the socket stays open | milliseconds of its audio that come before (0) |
//! | `openai_realtime.slow` | the first audio of an answer comes late | milliseconds (3 000) |
//! | `openai_realtime.unanswered` | a turn is over, and no answer is begun | – |
//! | `openai_realtime.failed` | an answer ends at once with `failed` | – |
//! | `openai_realtime.say_otherwise` | what should be said exactly is not | – |
//! | `openai_realtime.complaint` | an error that changes nothing, when an utterance begins | – |
//! | `openai_realtime.unknown_message` | a message of an unknown kind, when an utterance begins | – |
//! | `openai_realtime.error` | a server error when an utterance begins, then the end | – |
//! | `openai_realtime.expire` | the session is over when an utterance begins | – |
//! | `openai_realtime.no_transcript` | what was heard is not written down | – |

mod answer;
mod config;
mod items;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    extract::{WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::error::Error;
use crate::world::World;

/// The service's name in the log and before its faults.
const SERVICE: &str = "openai_realtime";
const MODELS: &[&str] = &["gpt-realtime-2.1", "gpt-realtime-2.1-mini"];

/// The handshake of a query that asks for a model.
pub(super) fn connect(
    world: Arc<World>,
    raw: String,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if let Some(value) = world.faults.take("openai_realtime.refuse", &raw) {
        let value = if value.is_null() { json!(503) } else { value };
        return Error::from_fault(&value).into_response();
    }
    let Some(model) = raw.strip_prefix("model=").filter(|rest| !rest.contains('&')) else {
        return Error::invalid("model", "the simulator takes model, and nothing else").into_response();
    };
    let Some(model) = MODELS.iter().find(|known| **known == model) else {
        return Error::unknown_model(model).into_response();
    };
    match upgrade {
        Err(rejection) => rejection.into_response(),
        Ok(upgrade) => upgrade.on_upgrade(move |socket| Box::pin(session::Session::new(world, model, raw).run(socket))),
    }
}
