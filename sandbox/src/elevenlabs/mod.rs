//! ElevenLabs' text-to-speech on loopback: the HTTP stream, `stream-input` and `multi-stream-input`.
//!
//! Whatever it says, it says through the [`SpeechBank`](crate::speech::SpeechBank), one utterance per
//! generated piece, so that every ear recognises it. Start reading at [`contexts`], the rules.
//!
//! Faults, keyed by `"{voice} {query} {context}"`:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `elevenlabs.refuse` | the request or handshake fails | HTTP status (429) |
//! | `elevenlabs.quota` | `quota_exceeded`: 401, or 1008 at the first piece | – |
//! | `elevenlabs.slow_accept` | a socket's handshake is answered late | milliseconds (3 000) |
//! | `elevenlabs.slow` | the first audio of a piece comes late | milliseconds (3 000) |
//! | `elevenlabs.stall` | a context goes silent for good | milliseconds of its piece's audio that come before (0) |
//! | `elevenlabs.cut` | the connection breaks without a close frame | milliseconds of the piece's audio that come before (200) |
//! | `elevenlabs.late_audio_after_close` | audio of a context follows its `isFinal` | – |
//! | `elevenlabs.odd_chunks` | a piece's chunks end inside samples | – |

mod audio;
mod contexts;
mod error;
mod http;
mod query;
mod socket;
mod speaker;

use std::sync::Arc;

use axum::{
    Extension, Router,
    routing::{get, post},
};
use clap::Args;

use crate::{environment, world::World};

/// How the simulated ElevenLabs behaves.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// What a socket's handshake takes, in ms: over an ocean, TCP, TLS and WebSocket are three round trips.
    #[arg(long = "elevenlabs-handshake-ms", env = "SANDBOX_ELEVENLABS_HANDSHAKE_MS", default_value_t = Settings::default().handshake_ms)]
    pub handshake_ms: u64,
    /// From the text to the first audio, in ms.
    #[arg(long = "elevenlabs-ttfb-ms", env = "SANDBOX_ELEVENLABS_TTFB_MS", default_value_t = Settings::default().ttfb_ms)]
    pub ttfb_ms: u64,
    /// How many times faster than it is spoken audio is made.
    #[arg(long = "elevenlabs-speed", env = "SANDBOX_ELEVENLABS_SPEED", default_value_t = Settings::default().speed)]
    pub speed: f64,
    /// Audio in one message, in ms.
    #[arg(long = "elevenlabs-chunk-ms", env = "SANDBOX_ELEVENLABS_CHUNK_MS", default_value_t = Settings::default().chunk_ms)]
    pub chunk_ms: u64,
    /// The other spelling, seen in some builds: `context_id`, `is_final`, `charsStartTimesMs`.
    #[arg(long = "elevenlabs-other-spelling", env = "SANDBOX_ELEVENLABS_OTHER_SPELLING", default_value_t = Settings::default().other_spelling, action = clap::ArgAction::Set)]
    pub other_spelling: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { handshake_ms: 0, ttfb_ms: 120, speed: 5.0, chunk_ms: 150, other_spelling: false }
    }
}

/// The service, with its settings from the environment.
pub fn router() -> Router<Arc<World>> {
    router_with(environment::read())
}

/// The service with these settings.
pub fn router_with(settings: Settings) -> Router<Arc<World>> {
    Router::new()
        .route("/v1/text-to-speech/{voice}", post(http::convert))
        .route("/v1/text-to-speech/{voice}/stream", post(http::convert))
        .route("/v1/text-to-speech/{voice}/stream-input", get(socket::single))
        .route("/v1/text-to-speech/{voice}/multi-stream-input", get(socket::multi))
        .layer(Extension(Arc::new(settings)))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
