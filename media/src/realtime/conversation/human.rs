//! The human: their voice over the agent's, their words as far as something follows from them here, and the keys they press. Also the
//! machine that may be in their place.

use shared::answering_machine;
use shared::language::Language;
use shared::turn::{push_words, with_keys};

use super::{Asked, Conversation, ms, phrases, turns::Settled};
use crate::dialogue::{
    CallEvent, CallTime, EndReason, Evidence, Latency, Output, Speaker, StreamEnd,
    machine::{Left, Waiting},
};
use crate::realtime::wire::{ClientEvent, Item};

/// So often may our own ear pause the agent for nothing: then only the server's word counts, until it says that somebody spoke.
const MOST_FALSE_ALARMS: u32 = 2;
/// So long are the last words of somebody who has hung up waited for.
const LAST_WORDS_MS: u64 = 1_500;
/// A short word may be over before the server says that it has begun.
const SAME_SPEECH_MS: u64 = 1_000;

/// A machine has answered.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Until its beep.
    waiting: Option<Waiting>,
}

impl Machine {
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.is_some()
    }
}

impl Conversation {
    // ---- voice ------------------------------------------------------------------------------------------------------

    /// Our own ear is quicker than the server's: the agent is silent at once, and nothing is lost yet.
    pub(super) fn on_voice_started(&mut self, began: CallTime) {
        self.last_interaction = self.now;
        self.voice.since = Some(began);
        self.voice.began = Some(began);
        self.voice.ended = None;
        let (now, believed) = (self.now, self.voice.false_alarms < MOST_FALSE_ALARMS);
        let Some(reply) = self.replies.front_mut().filter(|reply| !reply.protected && reply.started.is_some()) else {
            return;
        };
        if !believed || self.voice.duck.is_some() {
            return;
        }
        reply.pause(now);
        reply.latency.barge_in_voice = Some(began);
        reply.latency.barge_in_paused = Some(now);
        let epoch = reply.epoch;
        self.voice.duck = Some(now);
        self.emit(Output::PausePlayout { epoch });
    }

    pub(super) fn on_voice_goes_on(&mut self, until: CallTime) {
        self.suspect_voice(until);
        let enough = ms(self.settings.barge_in.interrupt_ms);
        let confirmed = self.voice.since.is_some_and(|since| until.since(since) >= enough);
        if self.voice.duck.is_some() && confirmed {
            self.interrupt();
        }
    }

    pub(super) fn on_voice_stopped(&mut self, ended: CallTime) {
        self.last_interaction = self.now;
        if let Some(since) = self.voice.since.take() {
            self.suspicion.voice = self.suspicion.voice.max(ended.since(since));
        }
        self.voice.ended = Some(ended);
    }

    /// When a pause that came to nothing ends.
    pub(super) fn duck_ends(&self) -> Option<CallTime> {
        let since = self.voice.duck?;
        let silent_since = match (self.voice.since, self.voice.ended) {
            // An ear without news is sure of an end by then.
            (Some(voice), _) => voice + ms(self.settings.barge_in.interrupt_ms) + ms(300),
            (None, ended) => ended.unwrap_or(since).max(since),
        };
        Some(silent_since + ms(self.settings.barge_in.resume_ms))
    }

    pub(super) fn resume(&mut self) {
        let now = self.now;
        if self.voice.duck.take().is_none() {
            return;
        }
        self.voice.false_alarms += 1;
        let Some(reply) = self.replies.front_mut().filter(|reply| reply.paused) else { return };
        let (epoch, from_samples) = (reply.epoch, reply.resume(now));
        reply.latency.barge_in_voice = None;
        reply.latency.barge_in_paused = None;
        self.emit(Output::ResumePlayout { epoch, from_samples });
        self.metric("barge_in_forgotten");
    }

    /// The human has the turn: the agent's words end with the last one heard.
    pub(super) fn interrupt(&mut self) {
        if let Some((heard_ms, of_ms)) = self.take_back(false) {
            self.barge_ins += 1;
            self.event(CallEvent::BargeIn { heard_ms, of_ms });
        }
        if self.replies.is_empty() {
            self.quiet_since = self.now;
        }
    }

    // ---- what the server hears --------------------------------------------------------------------------------------

    pub(super) fn on_speech_started(&mut self, item_id: &str) {
        let now = self.now;
        self.last_interaction = now;
        self.voice.ended = self.voice.ended.filter(|ended| now.since(*ended) < ms(SAME_SPEECH_MS));
        // A short word may have been over before the server heard it.
        let just_heard = self.voice.ended.and(self.voice.began);
        let began = self.voice.since.or(just_heard).unwrap_or(now);
        self.voice.speaking = Some(began);
        self.voice.false_alarms = 0;
        // The turn goes on: what would have answered it is out of date.
        self.awaited = None;
        self.turns.human(item_id, began);
        self.interrupt();
    }

    pub(super) fn on_speech_stopped(&mut self) {
        self.voice.speaking = None;
        self.last_interaction = self.now;
        self.quiet_since = self.now;
    }

    /// The human's turn is over, and the server begins to answer it.
    pub(super) fn on_committed(&mut self, item_id: &str) {
        let now = self.now;
        let speech_end = self.voice.ended.unwrap_or(now);
        self.voice.speaking = None;
        self.quiet_since = now;
        self.reprompts = 0;
        self.turns.committed(item_id, now, speech_end);
        self.asked = Some(Asked { speech_end, decided: now });
        if self.opening.is_some() {
            self.greet("");
        } else if self.may_answer() {
            self.awaited = Some(now);
        } else if self.greeted && self.is_wrapping_up() && !self.is_closing() && self.machine.is_none() {
            self.say_time_is_up();
        }
    }

    pub(super) fn on_words(&mut self, item_id: &str, words: &str, all: bool) {
        self.last_interaction = self.now;
        if !self.turns.words(item_id, words, all) {
            return;
        }
        if all && phrases::forbids_calls(&phrases::words(words)) {
            self.forbid_calls(Evidence::Phrase, None);
        }
        self.look_for_machine();
    }

    pub(super) fn forbid_calls(&mut self, evidence: Evidence, note: Option<String>) {
        if !std::mem::replace(&mut self.do_not_call, true) {
            self.event(CallEvent::DoNotCallRequested { evidence, note });
        }
    }

    /// The human has hung up. What they said last is worth a moment: it may be that nobody is to call again.
    pub(super) fn line_is_gone(&mut self, reason: StreamEnd) {
        let speaks = self.voice.speaking.take().is_some();
        if self.lingering.is_some() {
            return;
        }
        // A line that broke may be back at once, and whoever takes the call up must not wait for us.
        let hung_up = reason == StreamEnd::HungUp;
        if !hung_up || !self.link.is_up() || !speaks && !self.turns.awaits_words() {
            return self.end(reason.into(), false);
        }
        if speaks {
            self.tell(ClientEvent::Commit);
        }
        self.opening = None;
        self.awaited = None;
        self.take_back(true);
        self.lingering = Some((self.now + ms(LAST_WORDS_MS), reason.into()));
    }

    /// The human speaks another of the agent's languages, as its letters tell. The model follows by itself; what we say follows here.
    pub(super) fn follow_language(&mut self, said: &str) {
        let scripts = Language::of_script(said);
        let speaks = |tag: &str| Language::parse(tag).is_some_and(|language| scripts.contains(&language));
        if scripts.is_empty() || speaks(&self.settings.language) {
            return;
        }
        let Some(tag) = self.settings.also_speaks.iter().find(|tag| speaks(tag)).cloned() else { return };
        let before = std::mem::replace(&mut self.settings.language, tag.clone());
        // It may have to find its way back.
        if !self.settings.also_speaks.contains(&before) {
            self.settings.also_speaks.push(before);
        }
        self.lines = self.settings.fixed_lines();
        self.tell(ClientEvent::Instruct(self.settings.system_prompt(&self.history.collected)));
        if self.exact_by_voice {
            self.emit(Output::SpeakLanguage { language: tag.clone() });
        }
        self.event(CallEvent::LanguageChanged { language: tag });
    }

    // ---- machines ---------------------------------------------------------------------------------------------------

    fn look_for_machine(&mut self) {
        if self.may_be_machine()
            && let Some(machine) = self.suspicion.machine(&self.first_words())
        {
            self.machine_answered(machine);
        }
    }

    fn may_be_machine(&self) -> bool {
        answering_machine::may_be(self.now.as_duration(), self.human_turns)
            && self.machine.is_none()
            && self.history.gap.is_none()
    }

    fn first_words(&self) -> Vec<String> {
        let mut said = self.history.human_text();
        push_words(&mut said, &self.turns.said());
        phrases::words(&said)
    }

    pub(super) fn on_beep(&mut self) {
        if self.machine.is_none() {
            if !self.may_be_machine() {
                return self.metric("beep_ignored");
            }
            self.suspicion.beeped = true;
            self.look_for_machine();
        }
        self.leave_message();
    }

    /// The carrier has listened, too. Whoever has answered as a person is one.
    pub(super) fn on_machine_verdict(&mut self) {
        if !self.may_be_machine() {
            return self.metric("machine_verdict_ignored");
        }
        let words = self.first_words();
        let answered = self.human_turns > 0 || !words.is_empty() && self.voice.speaking.is_none();
        if answered && !phrases::may_be_a_machines(&words) {
            return self.event(CallEvent::MachineDoubted);
        }
        self.suspicion.carrier = true;
        self.suspect_voice(self.now);
    }

    /// With the carrier's verdict, voice that goes on and on is enough.
    fn suspect_voice(&mut self, until: CallTime) {
        if let Some(since) = self.voice.since {
            self.suspicion.voice = self.suspicion.voice.max(until.since(since));
        }
        if self.suspicion.carrier {
            self.look_for_machine();
        }
    }

    fn machine_answered(&mut self, machine: phrases::Machine) {
        self.event(CallEvent::MachineAnswered { machine });
        self.opening = None;
        self.awaited = None;
        self.take_back(true);
        let waiting = Waiting::begin(&self.settings, machine, self.now);
        match &waiting {
            Some(waiting) => {
                if waiting.wants_recording() {
                    self.emit(Output::PrepareRecording);
                }
                self.emit(Output::ListenForBeep);
            }
            None => self.end(EndReason::MachineAnswered, true),
        }
        self.machine = Some(Machine { waiting });
    }

    pub(super) fn on_recording_ready(&mut self) {
        if let Some(waiting) = self.machine.as_mut().and_then(|machine| machine.waiting.as_mut()) {
            waiting.recording_is_here();
        }
    }

    /// When the message is left although no beep was heard.
    pub(super) fn machine_waited(&self) -> Option<CallTime> {
        let waiting = self.machine.as_ref()?.waiting.as_ref()?;
        let silent_since = self.voice.since.is_none().then(|| self.voice.ended.unwrap_or(waiting.since()));
        Some(waiting.until(silent_since))
    }

    /// The beep, or what stands for it.
    pub(super) fn leave_message(&mut self) {
        let Some(waiting) = self.machine.as_mut().and_then(|machine| machine.waiting.take()) else { return };
        match waiting.leave() {
            Left::Recording(title) => self.play_recording(&title),
            Left::Message(message) => self.close(&message, EndReason::MachineAnswered),
            Left::Nothing => self.end(EndReason::MachineAnswered, true),
        }
    }

    // ---- keys -------------------------------------------------------------------------------------------------------

    pub(super) fn on_dtmf(&mut self, digit: char) {
        if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            return self.metric("unknown_key");
        }
        self.last_interaction = self.now;
        let in_a_number = self.voice.keys.is_some() || phrases::asks_piecewise(self.history.last_agent_text());
        if digit == '0' && self.settings.can_transfer && !in_a_number && !self.is_closing() {
            self.event(CallEvent::TransferRequested { note: Some("pressed 0".to_owned()) });
            self.keep_keys("0".to_owned());
            let line = self.lines.transfer.clone();
            return self.close(&line, EndReason::TransferToHuman);
        }
        let (keys, at) = self.voice.keys.get_or_insert_with(|| (String::new(), self.now));
        *at = self.now;
        keys.push(digit);
        self.interrupt();
    }

    /// No further key came: the model is told of them, and answers.
    pub(super) fn keys_pressed(&mut self) {
        let Some((keys, _)) = self.voice.keys.take() else { return };
        self.reprompts = 0;
        self.keep_keys(keys.clone());
        self.tell(ClientEvent::Create(Item::Said(Speaker::Human, with_keys("", &keys))));
        if self.may_answer() {
            self.ask(None);
        }
    }

    fn keep_keys(&mut self, digits: String) {
        self.event(CallEvent::KeyPressed { digits: digits.clone() });
        self.settle_turns(false);
        self.keep(Settled {
            speaker: Speaker::Human,
            text: with_keys("", &digits),
            interrupted: false,
            started: self.now,
            ended: self.now,
            latency: Latency::default(),
        });
    }
}
