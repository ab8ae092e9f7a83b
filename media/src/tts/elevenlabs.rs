//! ElevenLabs' multi-context socket: one connection for the call's life, one context per reply.
//!
//! Rules of the wire that cost others their calls (`wire/speech-and-llm.md` §5.1): `voice_settings` only in a context's
//! first message; at most five contexts, of which we use four; a context counts until its `isFinal` comes back, also
//! after `close_context`; audio of a closed context still arrives and must be ignored.

mod context;
mod message;
mod run;

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use super::{TtsEvent, TtsHandle, cache::PhraseCache};
use crate::{
    provider::{Connect, Provider},
    usage::Meter,
};
use shared::ledger::Unit;

/// Contexts open at once. The provider allows five and answers a sixth with 1008.
pub const MAX_OPEN_CONTEXTS: usize = 4;

/// Commands waiting for the task: more than any reply has clauses.
const COMMANDS: usize = 64;

/// How the client behaves in time. Tests shorten it.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Handshake deadline of one attempt.
    pub connect: Duration,
    /// A send that takes longer is a dead socket.
    pub send: Duration,
    /// A keep-alive after this long without a word from us; the provider's own patience is 20 s by default.
    pub keep_alive: Duration,
    /// Waits before each reconnection in a row; after the last one speech fails until it is asked for again.
    pub backoff: Vec<Duration>,
    /// A clause that brings no sound for this long has failed.
    pub stall: Duration,
    /// A reply whose every character has become sound is over after this long, whether the provider says so or not.
    pub tail: Duration,
    /// How long a closed context holds its place without `isFinal`.
    pub linger: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            send: Duration::from_secs(2),
            keep_alive: Duration::from_secs(10),
            backoff: [0, 250, 1_000].map(Duration::from_millis).to_vec(),
            stall: Duration::from_secs(4),
            tail: Duration::from_millis(600),
            linger: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// While somebody stands by to take over: the human must not hear the change.
    fn impatient(&self) -> Self {
        Self {
            connect: self.connect.min(Duration::from_millis(800)),
            backoff: self.backoff.iter().take(1).copied().collect(),
            stall: self.stall.min(Duration::from_millis(1_500)),
            ..self.clone()
        }
    }
}

/// What a process needs to use the provider. Cheap to clone.
#[derive(Clone)]
pub struct ElevenLabs {
    connect: Connect,
    base_url: Url,
    api_key: Arc<SecretString>,
    phrases: PhraseCache,
    timing: Arc<Timing>,
}

/// How one call sounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// The provider's id of the voice.
    pub voice_id: String,
    /// `eleven_flash_v2_5`, …
    pub model: String,
    /// ISO 639-1, to hold the model to a language; `None` lets it guess from the text.
    pub language: Option<String>,
}

impl Sound {
    /// Everything that decides the sound of a text.
    fn fingerprint(&self) -> Arc<str> {
        format!("{}/{}/{}", self.voice_id, self.model, self.language.as_deref().unwrap_or("-")).into()
    }
}

impl ElevenLabs {
    /// A client for `base_url` (`https://api.elevenlabs.io`, a residency host, or a simulator).
    pub fn new(connect: Connect, base_url: Url, api_key: SecretString, phrases: PhraseCache) -> Self {
        Self { connect, base_url, api_key: Arc::new(api_key), phrases, timing: Arc::default() }
    }

    /// The same client with other timing.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = Arc::new(timing);
        self
    }

    /// The same client, hurried because somebody stands by.
    #[must_use]
    pub fn hurried(&self) -> Self {
        self.clone().with_timing(self.timing.impatient())
    }

    /// A voice for one call: the call's handle, and the task to spawn, which connects at once and ends when the handle
    /// is dropped.
    pub fn speak(
        &self,
        voice: &Sound,
        meter: &Meter,
        events: mpsc::Sender<TtsEvent>,
    ) -> (TtsHandle, impl Future<Output = ()> + Send + 'static) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let characters = meter.counter(Provider::ElevenLabs, &voice.model, Unit::TtsCharacter);
        let url = stream_url(&self.base_url, voice);
        let run = run::Run::new(self.clone(), url, voice.fingerprint(), characters, inbox, events);
        (TtsHandle { commands }, run.run())
    }
}

/// The multi-context endpoint. `auto_mode` starts on every whole clause instead of waiting for 120 characters.
fn stream_url(base: &Url, voice: &Sound) -> Url {
    let mut url = base.clone();
    let scheme = match base.scheme() {
        "https" | "wss" => "wss",
        _ => "ws",
    };
    // Cannot fail between special schemes; were it to, the connection would say so.
    let _ = url.set_scheme(scheme);
    url.set_path(&format!(
        "{}/v1/text-to-speech/{}/multi-stream-input",
        base.path().trim_end_matches('/'),
        voice.voice_id
    ));
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model_id", &voice.model)
        .append_pair("output_format", "pcm_8000")
        .append_pair("auto_mode", "true")
        .append_pair("sync_alignment", "true")
        .append_pair("inactivity_timeout", "180")
        .append_pair("apply_text_normalization", "auto");
    if let Some(language) = &voice.language {
        query.append_pair("language_code", language);
    }
    drop(query);
    url
}

#[cfg(test)]
mod tests;
