//! What speaks in one call. It can be got ready before the call is answered.

use shared::voice_agent::VoiceAgentSettings;
use tokio::{sync::mpsc, task::JoinSet};

use super::mouth::Mouth;
use crate::{providers::Providers, tts::TtsEvent, usage::Meter};

/// A call's voice, what it tells, and what it has used. Dropping it ends its tasks.
pub(crate) struct Speech {
    pub(super) mouth: Mouth,
    pub(super) events: mpsc::Receiver<TtsEvent>,
    pub(super) meter: Meter,
    pub(super) tasks: JoinSet<()>,
}

impl Speech {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// No provider can speak for this voice agent.
    pub(crate) fn new(providers: &Providers, agent: &VoiceAgentSettings, language: &str) -> anyhow::Result<Self> {
        let meter = Meter::default();
        let (told, events) = mpsc::channel(64);
        let voices = providers.voices(agent, language)?;
        let mouth = Mouth::standing_by(voices, providers.health.clone(), meter.clone(), told);
        Ok(Self { mouth, events, meter, tasks: JoinSet::new() })
    }

    /// Connects.
    pub(crate) fn open(&mut self) {
        self.mouth.open(&mut self.tasks);
    }
}
