//! What tells one transcriber's socket from another: addresses, words and messages. No sockets, no clock.

use http::HeaderName;
use secrecy::SecretString;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use crate::provider::{Provider, ProviderError};

/// One provider's live socket for one call. Times are seconds of the audio sent over the present connection.
pub trait Wire: Send {
    /// Whose socket it is.
    fn provider(&self) -> Provider;
    /// As the provider names it.
    fn model(&self) -> &str;
    /// Where, and the header that carries the key.
    fn address(&self) -> (&Url, HeaderName, &SecretString);
    /// A connection is up: forget the last one. What is returned is said before any audio.
    fn begin(&mut self) -> Option<String> {
        None
    }
    /// 8 kHz audio, never empty.
    fn audio(&mut self, samples: &[i16]) -> Frame;
    /// Whether the provider says by [`Heard::Ready`] that it has begun.
    fn greets(&self) -> bool {
        false
    }
    /// Whether it says something of all audio, be it that nothing was said. Then one that says nothing at all hears nothing.
    fn answers_silence(&self) -> bool {
        false
    }
    /// What keeps an idle connection open.
    fn keep_alive(&self) -> KeepAlive;
    /// What closes the open segment at once, where the provider can.
    fn finalize(&self) -> Option<&'static str> {
        None
    }
    /// What asks for the last words.
    fn farewell(&self) -> Option<&'static str> {
        None
    }
    /// Reads one message; `sent_secs` of audio have been sent so far. What cannot be read is an error.
    fn read(&mut self, text: &str, sent_secs: f64, heard: &mut Vec<Heard>) -> Result<(), serde_json::Error>;
    /// What a close frame means.
    fn closed(&self, code: u16, reason: &str) -> ProviderError {
        let _ = reason;
        ProviderError::Cut { cause: format!("closed_{code}") }
    }
}

/// How an idle connection is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// A message.
    Text(&'static str),
    /// Silence, because only audio counts.
    Silence,
}

/// Something a provider said.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// It has begun to listen.
    Ready,
    /// It hears speech since then.
    SpeechStarted(f64),
    /// The open segment so far, never empty.
    Interim {
        /// All of it.
        text: String,
        /// How far the audio is covered.
        until: f64,
    },
    /// A closed segment.
    Final(Segment),
    /// No word since then.
    UtteranceEnd(f64),
    /// The turn is about over; its text came as an interim.
    EagerEndOfTurn,
    /// It is not.
    TurnResumed,
    /// It is; its text came as a final.
    EndOfTurn,
    /// All that was asked for by [`Wire::farewell`] has been said.
    Over,
    /// It complains, and cannot go on.
    Failed(ProviderError),
    /// Nothing this version knows.
    Unknown,
}

/// A closed segment, in the connection's time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segment {
    /// May be empty.
    pub text: String,
    /// Where it begins.
    pub start: f64,
    /// Where it ends: audio before this needs no replay.
    pub end: f64,
    /// 0 to 1.
    pub confidence: f32,
    /// The provider saw the end of an utterance.
    pub speech_final: bool,
    /// It answers [`Wire::finalize`].
    pub from_finalize: bool,
    /// Languages heard.
    pub languages: Vec<String>,
}

/// `path` under `base`, as a WebSocket address.
pub(crate) fn socket_url(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let scheme = match base.scheme() {
        "https" | "wss" => "wss",
        _ => "ws",
    };
    // Cannot fail between special schemes; were it to, the connection would say so.
    let _ = url.set_scheme(scheme);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The base of a language tag, in lower case, and what follows it.
pub(crate) fn language_parts(tag: &str) -> (String, &str) {
    let (base, rest) = tag.split_once(['-', '_']).unwrap_or((tag, ""));
    (base.to_ascii_lowercase(), rest)
}

/// Little-endian PCM.
pub(super) fn pcm(samples: &[i16]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(samples.len() * 2);
    for sample in samples {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    bytes
}
