//! One of the voices a call can be spoken with.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    TtsEvent, TtsHandle,
    aura::Aura,
    by_clause::{self, Timing},
    cache::PhraseCache,
    elevenlabs::{ElevenLabs, Sound},
    fail_over::Speaking,
    openai::OpenAi,
    sarvam::Sarvam,
    synth::{SocketSynth, Synth},
};
use crate::{
    provider::{Connect, Provider},
    usage::Meter,
};

/// A provider's voice, chosen for one call and not yet connected.
pub enum Voice {
    /// Many contexts on one socket.
    ElevenLabs {
        /// The process' client.
        client: ElevenLabs,
        /// How the call sounds.
        sound: Sound,
    },
    /// One clause after the other.
    ByClause {
        /// Whose wire.
        wire: ClauseWire,
        /// Makes connections.
        connect: Connect,
        /// Shared by all calls.
        phrases: PhraseCache,
    },
}

/// The voices that speak one clause after the other.
pub enum ClauseWire {
    /// A socket.
    Sarvam(Sarvam),
    /// A socket.
    Aura(Aura),
    /// A request per clause.
    OpenAi(OpenAi),
}

impl Voice {
    /// Whose it is.
    pub fn provider(&self) -> Provider {
        match self {
            Self::ElevenLabs { .. } => Provider::ElevenLabs,
            Self::ByClause { wire: ClauseWire::Sarvam(_), .. } => Provider::Sarvam,
            Self::ByClause { wire: ClauseWire::Aura(_), .. } => Provider::Deepgram,
            Self::ByClause { wire: ClauseWire::OpenAi(_), .. } => Provider::OpenAi,
        }
    }

    /// The call's handle, and the task to spawn. `hurried`: somebody stands by to take over.
    pub(super) fn speak(self, hurried: bool, meter: &Meter, events: mpsc::Sender<TtsEvent>) -> (TtsHandle, Speaking) {
        match self {
            Self::ElevenLabs { client, sound } => {
                let client = if hurried { client.hurried() } else { client };
                let (handle, run) = client.speak(&sound, meter, events);
                (handle, Box::pin(run))
            }
            Self::ByClause { wire, connect, phrases } => {
                let timing = if hurried { Timing::default().impatient() } else { Timing::default() };
                let synth = wire.synth(connect, timing.connect);
                let (handle, run) = by_clause::speak(synth, timing, phrases, meter, events);
                (handle, Box::pin(run))
            }
        }
    }
}

impl ClauseWire {
    fn synth(self, connect: Connect, within: Duration) -> Box<dyn Synth> {
        match self {
            Self::Sarvam(wire) => Box::new(SocketSynth::new(wire, connect, within)),
            Self::Aura(wire) => Box::new(SocketSynth::new(wire, connect, within)),
            Self::OpenAi(synth) => Box::new(synth),
        }
    }
}
