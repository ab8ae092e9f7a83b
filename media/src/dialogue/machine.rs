//! A machine answers. It is known by what it says; where its words leave a doubt, by its beep, by how long it talks without a pause
//! for an answer, and by the carrier's own verdict. No person is made to wait for any of it, and nobody who has answered like a
//! person is hung up on because a carrier thinks otherwise.

use shared::answering_machine::{OnMachine, as_text, may_be};
use shared::conversation_event::{CallEvent, EndReason};
use shared::playbook::prompt;

use super::input::CallTime;
use super::output::Output;
use super::reply::Kind;
use super::settings::DialogueSettings;
use super::{Dialogue, ms, phrases};

/// Without a beep the message follows this much silence after the greeting.
const SILENCE_MS: u64 = 2_500;
/// A greeting that goes on for longer is not waited for.
const LONGEST_GREETING_MS: u64 = 30_000;

/// Waiting for the beep, to leave what there is to leave.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    since: CallTime,
    message: Option<String>,
    /// The recording's title, and whether it is here.
    recording: Option<String>,
    is_ready: bool,
}

/// What a machine gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Left {
    /// The campaign's recording, by its title.
    Recording(String),
    Message(String),
    Nothing,
}

impl Waiting {
    /// For a machine found at `since`. `None`: there is nothing to leave it.
    pub(crate) fn begin(settings: &DialogueSettings, machine: phrases::Machine, since: CallTime) -> Option<Self> {
        let (recording, message) = match (&settings.on_machine, machine) {
            (OnMachine::LeaveMessage(message), phrases::Machine::Voicemail) => (None, Some(message)),
            (OnMachine::PlayRecording { title, otherwise }, phrases::Machine::Voicemail) => {
                (Some(title.clone()), otherwise.as_ref())
            }
            _ => return None,
        };
        let message = message.map(|message| prompt::render(message, &settings.facts));
        Some(Self { since, message, recording, is_ready: false })
    }

    /// There is a recording to be fetched.
    pub(crate) fn wants_recording(&self) -> bool {
        self.recording.is_some()
    }

    pub(crate) fn recording_is_here(&mut self) {
        self.is_ready = true;
    }

    pub(crate) fn since(&self) -> CallTime {
        self.since
    }

    /// When it is over although no beep was heard. `silent_since`: `None` while the machine talks.
    pub(crate) fn until(&self, silent_since: Option<CallTime>) -> CallTime {
        let latest = self.since + ms(LONGEST_GREETING_MS);
        silent_since.map_or(latest, |silent| (silent.max(self.since) + ms(SILENCE_MS)).min(latest))
    }

    /// The beep, or what stands for it.
    pub(crate) fn leave(self) -> Left {
        match (self.recording.filter(|_| self.is_ready), self.message) {
            (Some(title), _) => Left::Recording(title),
            (None, Some(message)) => Left::Message(message),
            (None, None) => Left::Nothing,
        }
    }
}

impl Dialogue {
    /// After new words, or something else that speaks for one: is it a machine?
    pub(super) fn look_for_machine(&mut self) {
        if self.may_be_machine()
            && let Some(machine) = self.suspicion.machine(&self.first_words())
        {
            self.machine_answered(machine);
        }
    }

    fn may_be_machine(&self) -> bool {
        may_be(self.now.as_duration(), self.human_turns) && !self.machine_found && self.history.gap.is_none()
    }

    fn first_words(&self) -> Vec<String> {
        let mut words = phrases::words(&self.history.human_text());
        words.extend(self.turn.iter().flat_map(|turn| phrases::words(&turn.spoken)));
        words.extend(self.utterance.iter().flat_map(|utterance| utterance.new_words()));
        words
    }

    /// How long did whoever is there talk?
    pub(super) fn note_voice(&mut self) {
        if let Some(utterance) = &self.utterance {
            self.suspicion.voice = self.suspicion.voice.max(utterance.voiced(self.now));
        }
    }

    /// With the carrier's verdict, voice that goes on and on is enough.
    pub(super) fn suspect_voice(&mut self) {
        if self.suspicion.carrier {
            self.note_voice();
            self.look_for_machine();
        }
    }

    pub(super) fn on_beep(&mut self) {
        if self.machine.is_none() {
            if !self.may_be_machine() {
                return self.metric("beep_ignored");
            }
            self.suspicion.beeped = true;
            self.note_voice();
            self.look_for_machine();
        }
        self.leave_message();
    }

    /// The carrier has listened, too.
    pub(super) fn on_machine_verdict(&mut self) {
        if !self.may_be_machine() {
            return self.metric("machine_verdict_ignored");
        }
        let words = self.first_words();
        // Whoever has said something that no machine says, and stopped for an answer, is a person.
        let answered = self.human_turns > 0 || self.turn.is_some();
        if answered && !phrases::may_be_a_machines(&words) {
            return self.event(CallEvent::MachineDoubted);
        }
        self.suspicion.carrier = true;
        self.note_voice();
        self.look_for_machine();
    }

    fn machine_answered(&mut self, machine: phrases::Machine) {
        self.machine_found = true;
        self.event(CallEvent::MachineAnswered { machine });
        self.opening = None;
        self.cut = None;
        self.drop_reply();
        self.machine = Waiting::begin(&self.settings, machine, self.now);
        match &self.machine {
            Some(waiting) => {
                if waiting.wants_recording() {
                    self.emit(Output::PrepareRecording);
                }
                self.emit(Output::ListenForBeep);
            }
            None => self.end(EndReason::MachineAnswered, true),
        }
    }

    pub(super) fn on_recording_ready(&mut self) {
        if let Some(waiting) = &mut self.machine {
            waiting.recording_is_here();
        }
    }

    /// When the message is left although no beep was heard.
    pub(super) fn machine_waited(&self) -> Option<CallTime> {
        let waiting = self.machine.as_ref()?;
        let silent_since = self.utterance.as_ref().map_or(Some(waiting.since()), |utterance| utterance.silent_since());
        Some(waiting.until(silent_since))
    }

    /// The beep, or what stands for it.
    pub(super) fn leave_message(&mut self) {
        let Some(waiting) = self.machine.take() else { return };
        if let Some(utterance) = self.utterance.take().filter(|utterance| !utterance.text().is_empty()) {
            self.open_turn(utterance);
        }
        match waiting.leave() {
            Left::Recording(title) => self.play_recording(&title),
            Left::Message(message) => self.close(&message, EndReason::MachineAnswered),
            Left::Nothing => self.end(EndReason::MachineAnswered, true),
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
        let (epoch, clause) = (reply.epoch, reply.speech.add(as_text(title), reply.round()));
        self.reply = Some(reply);
        self.emit(Output::PlayRecording { epoch, clause });
    }
}
