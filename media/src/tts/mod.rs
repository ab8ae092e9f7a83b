//! Text to speech: clauses in, audio out, one reply (epoch) after the other.

pub mod aura;
pub mod by_clause;
pub mod cache;
pub mod elevenlabs;
pub mod fail_over;
pub mod openai;
mod progress;
pub mod sarvam;
pub mod synth;
mod voice;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use crate::{
    carrier::SAMPLES_PER_MS,
    dialogue::{CharAt, Epoch},
    provider::{FailOver, Provider, ProviderError},
};

pub use voice::{ClauseWire, Voice};

/// Sound that may lie between a provider and the carrier, in milliseconds.
const MAX_AHEAD_MS: usize = 3_000;
/// No single chunk takes more of what may be ahead than half of it, or it would wait for silence.
const MAX_PERMITS_PER_CHUNK: usize = MAX_AHEAD_MS / 2;

/// What the call asks of its voice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TtsCommand {
    /// Say this clause after the ones before it in its epoch.
    Speak {
        /// The reply.
        epoch: Epoch,
        /// Rises within the reply.
        clause: u32,
        /// Never empty.
        text: String,
        /// Every call says it (a greeting): worth caching at first use.
        repeats: bool,
    },
    /// No more clauses will come; answered by [`TtsEvent::Done`].
    Finish {
        /// The reply.
        epoch: Epoch,
    },
    /// Nothing of this reply is wanted any more. Not answered.
    Cancel {
        /// The reply.
        epoch: Epoch,
    },
}

/// What the voice tells the call.
#[derive(Debug)]
pub enum TtsEvent {
    /// A connection is up; `after` is how long it took.
    Connected {
        /// With whom.
        provider: Provider,
        /// From the attempt to the end of the handshake.
        after: Duration,
    },
    /// Audio, in order.
    Audio {
        /// The reply.
        epoch: Epoch,
        /// The clause it belongs to.
        clause: u32,
        /// The sound.
        audio: SpeechAudio,
        /// Where its characters stand in it; may be empty.
        alignment: Vec<CharAt>,
        /// On the first sound of a reply: how long the provider took for it.
        first: Option<FirstSound>,
    },
    /// All audio of the reply has been given.
    Done {
        /// The reply.
        epoch: Epoch,
    },
    /// Another voice speaks from now on, beginning with what the first one left unsaid.
    FailedOver(FailOver),
    /// This clause, and what comes after it in the reply, will not be spoken.
    Failed {
        /// The reply.
        epoch: Epoch,
        /// The first clause that is not complete.
        clause: u32,
        /// Why.
        error: ProviderError,
    },
}

/// When a reply was first asked of the provider, and when its first sound came: what lies between is the provider's share of
/// the latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstSound {
    /// The first clause was written to the socket.
    pub asked_at: Instant,
    /// Its first sound was read from it. The same instant for a cached phrase.
    pub received_at: Instant,
}

/// 8 kHz mono samples on their way to the human.
///
/// Holds its share of the audio that may be ahead of the playout (about three seconds): while nobody drops it, the client
/// reads no more from the provider.
#[derive(Debug, Clone)]
pub struct SpeechAudio {
    /// Shared, because cached phrases are played in many calls at once.
    pub samples: Arc<[i16]>,
    /// Given back when the audio is sent or thrown away.
    pub permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// The call's end of a running voice. Dropping it ends the task.
pub struct TtsHandle {
    /// Never full in practice: a reply is a few dozen clauses. When it is, the speech has failed.
    pub commands: mpsc::Sender<TtsCommand>,
}

impl TtsEvent {
    /// The reply it is about, if it is about one.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Audio { epoch, .. } | Self::Done { epoch } | Self::Failed { epoch, .. } => Some(*epoch),
            Self::Connected { .. } | Self::FailedOver(_) => None,
        }
    }
}

/// How much of what may be ahead of the playout an event still has to take.
fn permits_of(event: &TtsEvent) -> u32 {
    match event {
        TtsEvent::Audio { audio, .. } if audio.permit.is_none() => {
            (audio.samples.len() / SAMPLES_PER_MS).min(MAX_PERMITS_PER_CHUNK) as u32
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
