//! Speech to text: a live stream of the human's audio in, transcripts out.

mod audio_queue;
mod connection;
pub mod deepgram;
pub mod flux;
pub mod openai;
mod run;
pub mod sarvam;
mod track;
mod utterances;
pub mod wire;

use std::time::Duration;

use tokio::sync::mpsc;

pub use audio_queue::{AudioSink, AudioSource, audio_queue};
pub use run::{Timing, Transcriber};

use crate::provider::{FailOver, Provider, ProviderError};

/// What one call wants from its transcriber, whoever that is.
#[derive(Debug, Clone)]
pub struct Options {
    /// BCP 47 (`en-IN`, `ta`); `hi-en` for speech that mixes Hindi and English.
    pub language: String,
    /// Other languages (BCP 47) that may be heard; understood where the provider can tell several apart.
    pub others: Vec<String>,
    /// Words worth listening for: names, products, places.
    pub keyterms: Vec<String>,
}

impl Options {
    /// The bare languages that may be heard, each once, the call's own first. One for `en-IN`, two for `hi-en`.
    pub(crate) fn languages(&self) -> Vec<String> {
        let mut languages = Vec::new();
        for tag in std::iter::once(&self.language).chain(&self.others) {
            let (base, rest) = wire::language_parts(tag);
            for language in [Some(base), rest.eq_ignore_ascii_case("en").then(|| "en".to_owned())].into_iter().flatten()
            {
                if !languages.contains(&language) {
                    languages.push(language);
                }
            }
        }
        languages
    }
}

impl Default for Options {
    fn default() -> Self {
        Self { language: "en".into(), others: Vec::new(), keyterms: Vec::new() }
    }
}

/// What the transcriber tells the call. Times are positions in the call's inbound audio, whatever connection they
/// came over: after a reconnect the provider counts from zero again, and the client adds the offset.
#[derive(Debug, Clone)]
pub enum SttEvent {
    /// A connection is up; `after` is how long it took.
    Connected {
        /// With whom.
        provider: Provider,
        /// From the attempt to the end of the handshake.
        after: Duration,
    },
    /// The provider hears speech. Later and less exact than our own VAD.
    SpeechStarted {
        /// Where in the audio.
        at: Duration,
    },
    /// The open segment so far. The next one repeats all of it, perhaps corrected.
    Interim {
        /// Never empty.
        text: String,
        /// End of the audio it covers.
        until: Duration,
    },
    /// A closed segment: its text will not change.
    Final(Transcript),
    /// No word for a while, judged by the gaps between words: the end of turn where noise hides the silence.
    UtteranceEnd {
        /// End of the last word.
        last_word_end: Duration,
    },
    /// A turn model believes that the turn is about over; its text came as an interim.
    EagerEndOfTurn,
    /// The turn model takes that back.
    TurnResumed,
    /// The turn model's verdict; the text came as a final.
    EndOfTurn,
    /// Another provider transcribes from now on, beginning with what the first one left open.
    FailedOver(FailOver),
    /// The connection broke; audio is kept and will be replayed.
    Reconnecting {
        /// Attempt about to be made, from 1.
        attempt: u32,
    },
    /// No transcript will come any more in this call.
    Lost(ProviderError),
}

/// One closed segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// May be empty: silence is closed off as well.
    pub text: String,
    /// Where the segment begins.
    pub start: Duration,
    /// Where it ends; the next one begins there.
    pub end: Duration,
    /// 0 to 1.
    pub confidence: f32,
    /// The provider saw the silence that ends an utterance.
    pub speech_final: bool,
    /// It answers our request to flush.
    pub from_finalize: bool,
    /// Languages heard, most used first; empty unless the model detects them.
    pub languages: Vec<String>,
}

/// What the call asks of the transcriber besides hearing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SttControl {
    /// Close the open segment now: our own VAD is sure that the human paused.
    Finalize,
    /// The human was audibly speaking, and no words came of it.
    NoWords,
}

/// The call's end of a running transcriber.
pub struct SttHandle {
    /// The human's audio. Never blocks.
    pub audio: AudioSink,
    /// Requests. A full queue means that one is already on its way.
    pub control: mpsc::Sender<SttControl>,
}

#[cfg(test)]
mod tests;
