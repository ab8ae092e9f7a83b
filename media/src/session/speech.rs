//! What speaks in one call. It can be got ready before the call is answered.

use shared::voice_agent::VoiceAgentSettings;
use tokio::{sync::mpsc, task::JoinSet};

use super::mouth::Mouth;
use crate::{
    providers::Providers,
    realtime::{self, Link, RealtimeHandle},
    tts::TtsEvent,
    usage::Meter,
};

/// A call's voice, what it tells, and what it has used. Dropping it ends its tasks.
pub(crate) struct Speech {
    pub(super) mouth: Mouth,
    pub(super) events: mpsc::Receiver<TtsEvent>,
    pub(super) model: Option<Model>,
    pub(super) meter: Meter,
    pub(super) tasks: JoinSet<()>,
    /// The voice says the first words, and not the model.
    greets: bool,
}

/// A model that hears and speaks by itself.
pub(super) struct Model {
    pub(super) handle: RealtimeHandle,
    pub(super) events: mpsc::Receiver<realtime::Event>,
}

impl Speech {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// No provider can speak for this voice agent.
    pub(crate) fn new(providers: &Providers, agent: &VoiceAgentSettings, language: &str) -> anyhow::Result<Self> {
        let meter = Meter::default();
        let mut tasks = JoinSet::new();
        let (told, events) = mpsc::channel(64);
        let mouth = Mouth::standing_by(providers.voices(agent, language)?, meter.clone(), told);
        let model = providers.speech_to_speech(agent, language).map(|(address, connect)| {
            let (told, events) = mpsc::channel(256);
            let (handle, linking) = realtime::link(connect, address, realtime::Timing::default(), meter.clone(), told);
            tasks.spawn(linking);
            Model { handle, events }
        });
        let greets = model.is_none() || agent.tts.is_some();
        Ok(Self { mouth, events, model, meter, tasks, greets })
    }

    /// Connects.
    pub(crate) fn open(&mut self) {
        if let Some(model) = &self.model {
            // It has just been made: its queue is empty. And it connects when it is needed, if not before.
            let _ = model.handle.orders.try_send(Link::Connect);
        }
        if self.greets {
            self.mouth.open(&mut self.tasks);
        }
    }
}
