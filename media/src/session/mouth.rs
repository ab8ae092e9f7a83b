//! Text to speech in a call: from its beginning where every answer is spoken by it, and from the first line that needs it where a model
//! speaks for itself.

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    tts::{self, TtsCommand, TtsEvent, TtsHandle, Voice},
    usage::Meter,
};

/// Who would speak.
struct StandingBy {
    first: Voice,
    second: Option<Voice>,
    meter: Meter,
    events: mpsc::Sender<TtsEvent>,
}

/// The call's voice.
pub(super) struct Mouth {
    standing_by: Option<StandingBy>,
    running: Option<TtsHandle>,
}

impl Mouth {
    /// Nothing is connected before there is something to say.
    pub(super) fn standing_by(
        (first, second): (Voice, Option<Voice>),
        meter: Meter,
        events: mpsc::Sender<TtsEvent>,
    ) -> Self {
        Self { standing_by: Some(StandingBy { first, second, meter, events }), running: None }
    }

    pub(super) fn open(&mut self, tasks: &mut JoinSet<()>) {
        if let Some(StandingBy { first, second, meter, events }) = self.standing_by.take() {
            let (handle, speaking) = tts::fail_over::speak(first, second, meter, events);
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
