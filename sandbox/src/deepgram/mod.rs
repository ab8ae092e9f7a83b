//! Deepgram on loopback: live transcription (`GET /v1/listen`), [`flux`] (`GET /v2/listen`) and Aura's [`speak`] (`GET /v1/speak`).
//!
//! It knows a line only because a [`SpeechBank`](crate::speech::SpeechBank) said it, and tells it only
//! in step with the audio that it really received. Start reading at [`recogniser`](crate::speech::recogniser).
//!
//! Faults, keyed by the raw query string:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `deepgram.refuse` | the handshake fails | HTTP status (503) |
//! | `deepgram.slow_accept` | the handshake is answered late | milliseconds (3 000) |
//! | `deepgram.stall` | nothing more is sent, though the socket stays open | milliseconds of audio after an utterance begins (300) |
//! | `deepgram.cut` | the connection breaks without a close frame | milliseconds of audio after an utterance begins (300) |
//! | `deepgram.no_speech_final` | an endpoint is noticed too late: its final lacks `speech_final` | – |
//! | `deepgram.finalize_silent` | a `Finalize` is not answered | – |
//! | `deepgram.duplicate_final` | a final is sent twice | – |
//! | `deepgram.changing_interims` | the last word of an interim is another one than that of the next | – |
//! | `deepgram.deaf` | from here on it hears that somebody speaks, and no words | – |
//! | `deepgram.undecodable` | the audio of an utterance cannot be decoded: 1008, `DATA-0000` | – |
//! | `deepgram.unknown_message` | a message of an unknown type is sent when an utterance begins | – |
//! | `deepgram.nonsense` | text that is not JSON is sent when an utterance begins | – |

mod flux;
mod handshake;
mod query;
mod session;
mod speak;
mod wire;

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use clap::Args;

use crate::{environment, world::World};

pub(crate) use wire::uuid;

/// How the simulated Deepgram behaves. Times in ms.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Distance between interim results while somebody speaks.
    #[arg(long = "deepgram-interim-ms", env = "SANDBOX_DEEPGRAM_INTERIM_MS", default_value_t = Settings::default().interim_every_ms)]
    pub interim_every_ms: u64,
    /// From the audio's arrival to the interim that contains it.
    #[arg(long = "deepgram-interim-latency-ms", env = "SANDBOX_DEEPGRAM_INTERIM_LATENCY_MS", default_value_t = Settings::default().interim_latency_ms)]
    pub interim_latency_ms: u64,
    /// From the end of the endpointing silence to the final.
    #[arg(long = "deepgram-final-latency-ms", env = "SANDBOX_DEEPGRAM_FINAL_LATENCY_MS", default_value_t = Settings::default().final_latency_ms)]
    pub final_latency_ms: u64,
    /// Without audio and KeepAlive for this long the connection is closed (NET-0001).
    #[arg(long = "deepgram-idle-ms", env = "SANDBOX_DEEPGRAM_IDLE_MS", default_value_t = Settings::default().idle_ms)]
    pub idle_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interim_every_ms: 300, interim_latency_ms: 80, final_latency_ms: 150, idle_ms: 10_000 }
    }
}

/// The service, with its settings from the environment.
pub fn router() -> Router<Arc<World>> {
    router_with(environment::read())
}

/// The service with these settings.
pub fn router_with(settings: Settings) -> Router<Arc<World>> {
    Router::new()
        .route("/v1/listen", get(handshake::listen))
        .route("/v2/listen", get(flux::listen))
        .route("/v1/speak", get(speak::speak))
        .layer(Extension(Arc::new(settings)))
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
