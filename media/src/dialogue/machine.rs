//! A machine answers. It is known by what it says, and by nothing else: a person taken for a machine would be hung up on, and
//! waiting for silence or a beep would make every person wait.

use super::input::CallTime;
use super::output::{CallEvent, EndReason, Output};
use super::reply::Kind;
use super::settings::OnMachine;
use super::{Dialogue, ms, phrases};
use crate::playbook::prompt;

/// A machine speaks first. Later on, such words are a person's, about machines.
const LISTEN_FOR_MS: u64 = 25_000;
/// Turns in which it may have said it: its greeting may be heard in two pieces.
const MOST_TURNS: u32 = 2;
/// Without a beep the message follows this much silence after the greeting.
const SILENCE_MS: u64 = 2_500;
/// A greeting that goes on for longer is not waited for.
const LONGEST_GREETING_MS: u64 = 30_000;

/// May somebody whose words these are be a machine?
pub(crate) fn may_be(now: CallTime, human_turns: u32) -> bool {
    now <= CallTime::from_millis(LISTEN_FOR_MS) && human_turns <= MOST_TURNS
}

/// When the message is left although no beep was heard. `silent_since`: `None` while the machine, found at `since`, talks.
pub(crate) fn message_due(since: CallTime, silent_since: Option<CallTime>) -> CallTime {
    let latest = since + ms(LONGEST_GREETING_MS);
    silent_since.map_or(latest, |silent| (silent.max(since) + ms(SILENCE_MS)).min(latest))
}

/// Waiting for the beep, to leave what there is to leave.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    since: CallTime,
    message: Option<String>,
    /// The recording's title, and whether it is here.
    recording: Option<String>,
    is_ready: bool,
}

impl Dialogue {
    /// After new words: are they a machine's?
    pub(super) fn look_for_machine(&mut self) {
        if !may_be(self.now, self.human_turns) || self.machine_found || self.history.gap.is_some() {
            return;
        }
        let mut words = phrases::words(&self.history.human_text());
        words.extend(self.turn.iter().flat_map(|turn| phrases::words(&turn.spoken)));
        words.extend(self.utterance.iter().flat_map(|utterance| utterance.new_words()));
        let Some(machine) = phrases::machine(&words) else { return };
        self.machine_found = true;
        self.event(CallEvent::MachineAnswered { machine });
        self.opening = None;
        self.cut = None;
        self.drop_reply();
        match (&self.settings.on_machine, machine) {
            (OnMachine::LeaveMessage(message), phrases::Machine::Voicemail) => {
                let message = message.clone();
                self.wait_for_beep(Some(message), None);
            }
            (OnMachine::PlayRecording { title, otherwise }, phrases::Machine::Voicemail) => {
                let (title, otherwise) = (title.clone(), otherwise.clone());
                self.emit(Output::PrepareRecording);
                self.wait_for_beep(otherwise, Some(title));
            }
            _ => self.end(EndReason::MachineAnswered, true),
        }
    }

    fn wait_for_beep(&mut self, message: Option<String>, recording: Option<String>) {
        let message = message.map(|message| prompt::render(&message, &self.settings.facts));
        self.machine = Some(Waiting { since: self.now, message, recording, is_ready: false });
        self.emit(Output::ListenForBeep);
    }

    pub(super) fn on_recording_ready(&mut self) {
        if let Some(waiting) = &mut self.machine {
            waiting.is_ready = true;
        }
    }

    /// When the message is left although no beep was heard.
    pub(super) fn machine_waited(&self) -> Option<CallTime> {
        let waiting = self.machine.as_ref()?;
        let silent_since = self.utterance.as_ref().map_or(Some(waiting.since), |utterance| utterance.silent_since());
        Some(message_due(waiting.since, silent_since))
    }

    /// The beep, or what stands for it.
    pub(super) fn leave_message(&mut self) {
        let Some(waiting) = self.machine.take() else { return };
        if let Some(utterance) = self.utterance.take().filter(|utterance| !utterance.text().is_empty()) {
            self.open_turn(utterance);
        }
        match (waiting.recording.filter(|_| waiting.is_ready), waiting.message) {
            (Some(title), _) => self.play_recording(&title),
            (None, Some(message)) => self.close(&message, EndReason::MachineAnswered),
            (None, None) => self.end(EndReason::MachineAnswered, true),
        }
    }

    /// A reply like any other, except that nobody has to speak it.
    fn play_recording(&mut self, title: &str) {
        self.opening = None;
        self.cut = None;
        self.drop_reply();
        let mut reply = self.new_reply(Kind::Goodbye);
        reply.then_end = Some(EndReason::MachineAnswered);
        reply.protected = true;
        reply.recorded = true;
        reply.flushed = true;
        reply.speech_moved = self.now;
        let (epoch, clause) = (reply.epoch, reply.speech.add(format!("[Recording: {title}]"), reply.round()));
        self.reply = Some(reply);
        self.emit(Output::PlayRecording { epoch, clause });
    }
}
