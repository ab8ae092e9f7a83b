//! Text to speech in a call: from its beginning where every answer is spoken by it, and from the first line that needs it where a model
//! speaks for itself.

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    health::Health,
    tts::{self, TtsCommand, TtsEvent, TtsHandle, Voice},
    usage::Meter,
};

/// A first choice, and who takes over.
type Voices = (Voice, Option<Voice>);

/// The call's voice.
pub(super) struct Mouth {
    /// Who would speak.
    standing_by: Option<Voices>,
    running: Option<TtsHandle>,
    health: Health,
    meter: Meter,
    events: mpsc::Sender<TtsEvent>,
}

impl Mouth {
    /// Nothing is connected before there is something to say.
    pub(super) fn standing_by(voices: Voices, health: Health, meter: Meter, events: mpsc::Sender<TtsEvent>) -> Self {
        Self { standing_by: Some(voices), running: None, health, meter, events }
    }

    /// Others speak from the next word on; what the ones before them still say is their last.
    pub(super) fn change(&mut self, tasks: &mut JoinSet<()>, voices: Voices) {
        self.standing_by = Some(voices);
        // The old ones end with their handle.
        if self.running.take().is_some() {
            self.open(tasks);
        }
    }

    pub(super) fn open(&mut self, tasks: &mut JoinSet<()>) {
        if let Some((first, second)) = self.standing_by.take() {
            let (health, meter, events) = (self.health.clone(), self.meter.clone(), self.events.clone());
            let (handle, speaking) = tts::fail_over::speak(first, second, health, meter, events);
            tasks.spawn(speaking);
            self.running = Some(handle);
        }
    }

    /// `false`: the voice takes no more.
    pub(super) fn order(&mut self, tasks: &mut JoinSet<()>, command: TtsCommand) -> bool {
        if let TtsCommand::Speak { .. } = command {
            self.open(tasks);
        }
        self.running.as_ref().is_none_or(|voice| voice.commands.try_send(command).is_ok())
    }
}
