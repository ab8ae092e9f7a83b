//! The human's turn: from the first sound to the decision that it is over.

use shared::conversation_event::{CallEvent, EndReason, Evidence};
use shared::playbook::prompt;
use shared::turn::push_words;

use super::output::{Output, Speaker, TurnRecord};
use super::reply::{Draft, Kind};
use super::settings::Opening;
use super::utterance::{Utterance, without_taken};
use super::{CallTime, Dialogue, HumanTurn, Latency, ms, phrases};

/// Speculative requests per turn: a hesitant speaker must not cost a request per breath.
const MOST_DRAFTS: u32 = 3;
/// Voice shorter than this without a word is a click or a cough.
const SHORTEST_SPEECH_MS: u64 = 400;
/// In a row; afterwards noise is left to the silence rules.
const MOST_NOT_UNDERSTOOD: u32 = 2;
/// A provider corrects its open segment for about this long after we stopped waiting for it.
const TAKEN_MS: u64 = 4_000;

impl Dialogue {
    pub(super) fn on_started(&mut self) {
        self.started = true;
        self.quiet_since = self.now;
        self.last_interaction = self.now;
        if let Some(gap) = self.history.gap {
            return self.take_up(gap);
        }
        self.emit(Output::ListenForBeep);
        match self.settings.opening {
            Opening::SpeakAtOnce => self.greet(),
            Opening::WaitForHello { up_to_ms } => self.opening = Some(self.now + ms(up_to_ms)),
        }
    }

    pub(super) fn greet(&mut self) {
        self.greet_behind("");
    }

    /// The greeting, behind other words.
    pub(super) fn greet_behind(&mut self, before: &str) {
        self.opening = None;
        let mut text = before.to_owned();
        push_words(&mut text, &prompt::render(self.settings.greeting(), &self.settings.facts));
        let protected = self.settings.barge_in.protect_greeting;
        self.say(&text, Kind::Greeting, None);
        if let Some(reply) = &mut self.reply {
            reply.protected = protected;
        }
    }

    /// In the language that the human turned out to speak. What it must disclose has been said once: it can be interrupted.
    fn greet_again(&mut self) {
        self.greet();
        if let Some(reply) = &mut self.reply {
            reply.protected = false;
        }
    }

    /// The wait for a hello is over, with or without one.
    pub(super) fn hello_waited(&mut self) {
        match self.utterance.take() {
            Some(utterance) if utterance.has_new_words() => self.open_turn(utterance),
            _ => {}
        }
        self.greet();
    }

    pub(super) fn on_voice_started(&mut self, began: CallTime) {
        self.last_interaction = self.now;
        let utterance = self.utterance.get_or_insert_with(|| Utterance::open(began));
        let pause = utterance.voice_started(began);
        if let (Some(pause), None, true) = (pause, &self.reply, utterance.has_new_words()) {
            self.endpointing.observe_pause(pause);
        }
        self.suspect_barge_in(began);
    }

    pub(super) fn on_voice_goes_on(&mut self, until: CallTime) {
        if let Some(utterance) = &mut self.utterance {
            utterance.voice_goes_on(until);
        }
        self.suspect_voice();
    }

    pub(super) fn on_voice_stopped(&mut self, ended: CallTime) {
        self.last_interaction = self.now;
        if let Some(utterance) = &mut self.utterance {
            utterance.voice_stopped(ended);
        }
        self.note_voice();
        self.suspect_voice();
    }

    pub(super) fn on_interim(&mut self, text: &str) {
        let Some(new) = self.untaken(text) else { return };
        let now = self.now;
        self.endpointing.observe_interim();
        self.utterance.get_or_insert_with(|| Utterance::open(now)).interim(new, now);
        self.words_arrived();
    }

    pub(super) fn on_final(&mut self, text: &str, speech_final: bool) {
        let new = self.untaken(text);
        self.taken = None;
        let now = self.now;
        match (&mut self.utterance, new) {
            // "Nothing more was said" is an answer, too.
            (Some(utterance), None) => {
                utterance.finished_segment("", speech_final, now);
                // What was being answered may have been taken back.
                self.drop_outdated_draft();
            }
            (_, Some(new)) => {
                self.utterance.get_or_insert_with(|| Utterance::open(now)).finished_segment(&new, speech_final, now);
                self.words_arrived();
            }
            (None, None) => {}
        }
    }

    /// The text without words that a closed turn has already used. `None` if there is nothing new in it.
    fn untaken(&mut self, text: &str) -> Option<String> {
        let taken = match &self.taken {
            Some((at, taken)) if self.now.since(*at) < ms(TAKEN_MS) => taken.as_slice(),
            _ => &[],
        };
        if phrases::words(text).is_empty() {
            return None;
        }
        without_taken(text, taken).map(|new| new.trim().to_owned())
    }

    fn words_arrived(&mut self) {
        self.last_interaction = self.now;
        self.stt_down = None;
        self.drop_outdated_draft();
        self.judge_words();
        self.look_for_machine();
    }

    fn drop_outdated_draft(&mut self) {
        let Some(utterance) = &self.utterance else { return };
        let words = phrases::words(&utterance.text());
        if self.draft.as_ref().is_some_and(|draft| draft.answers != words) {
            self.discard_draft();
        }
    }

    pub(super) fn on_words_ended(&mut self) {
        if let Some(utterance) = self.utterance.as_mut().filter(|utterance| utterance.has_new_words()) {
            utterance.words_ended = Some(self.now);
        }
    }

    pub(super) fn on_eager(&mut self, eager: bool) {
        if let Some(utterance) = &mut self.utterance {
            utterance.eager = eager;
        }
        if !eager {
            self.discard_draft();
        }
    }

    pub(super) fn on_turn_model_ended(&mut self) {
        if let Some(utterance) = self.utterance.as_mut().filter(|utterance| utterance.has_new_words()) {
            utterance.turn_model_ended = Some(self.now);
        }
    }

    pub(super) fn on_stt_unavailable(&mut self) {
        if self.stt_down.is_none() {
            self.stt_down = Some(self.now);
            self.event(CallEvent::TranscriptUnavailable);
        }
    }

    pub(super) fn on_stt_recovered(&mut self) {
        if self.stt_down.take().is_some() {
            self.event(CallEvent::TranscriptRecovered);
        }
    }

    pub(super) fn on_dtmf(&mut self, digit: char) {
        if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
            return self.metric("unknown_key");
        }
        let now = self.now;
        self.last_interaction = now;
        if digit == '0' && self.asks_for_human_by_key() {
            self.event(CallEvent::TransferRequested { note: Some("pressed 0".to_owned()) });
            let mut utterance = self.utterance.take().unwrap_or_else(|| Utterance::open(now));
            utterance.key(digit, now);
            self.open_turn(utterance);
            let line = self.lines.transfer.clone();
            return self.close(&line, EndReason::TransferToHuman);
        }
        self.utterance.get_or_insert_with(|| Utterance::open(now)).key(digit, now);
        self.discard_draft();
        if self.reply.as_ref().is_some_and(|reply| !reply.protected) {
            self.interrupt();
        }
    }

    /// A zero is a wish for a human, unless it is part of a number.
    fn asks_for_human_by_key(&self) -> bool {
        let closing = self.reply.as_ref().is_some_and(|reply| reply.then_end.is_some());
        let in_a_number = self.utterance.as_ref().is_some_and(Utterance::has_keys) || self.expects_pieces();
        self.settings.can_transfer && !closing && !in_a_number
    }

    /// Starts the answer already, while the end of the turn is only likely.
    pub(super) fn consider_draft(&mut self) {
        let idle = self.reply.is_none()
            && self.opening.is_none()
            && self.draft.is_none()
            && self.cut.is_none()
            && self.machine.is_none()
            && self.started;
        if !self.settings.speculate
            || !idle
            || self.drafts_this_turn >= MOST_DRAFTS
            || self.is_wrapping_up()
            || !self.greeting_heard
        {
            return;
        }
        let Some(utterance) = &self.utterance else { return };
        let text = utterance.text();
        if !self.endpointing.is_eager(utterance, self.expects_pieces(), self.now) {
            return;
        }
        self.drafts_this_turn += 1;
        let (epoch, ask) = (self.new_epoch(), self.new_ask());
        self.draft = Some(Draft {
            epoch,
            ask,
            asked: self.now,
            answers: phrases::words(&text),
            text: String::new(),
            calls: Vec::new(),
            first_token: None,
            last_token: None,
            end: None,
        });
        let messages = self.messages(Some(&text), None);
        self.emit(Output::AskLlm { ask, epoch, messages, tools: self.tools.clone(), speculative: true });
    }

    pub(super) fn discard_draft(&mut self) {
        if let Some(draft) = self.draft.take() {
            if draft.end.is_none() {
                self.emit(Output::CancelLlm { ask: draft.ask });
            }
            self.metric("speculation_dropped");
        }
    }

    /// The human's turn is over: answer it.
    pub(super) fn end_turn(&mut self) {
        let Some(utterance) = self.utterance.take() else { return };
        if let Some(cut) = self.cut.take_if(|_| utterance.carried.is_empty() && !utterance.has_keys()) {
            if self.echoes(&utterance.new_words(), self.history.last_agent_text()) {
                self.voice_is_echo();
                self.discard_draft();
                self.take_words_of(&utterance);
                return self.continue_after(cut);
            }
            self.cut = Some(cut);
        }
        self.reprompts = 0;
        self.not_understood = 0;
        self.drafts_this_turn = 0;
        self.noise_before_sound &= !utterance.has_new_words();
        self.false_alarms = self.false_alarms.saturating_sub(1);
        let only_acknowledged = utterance.carried.is_empty() && phrases::is_acknowledgement(&utterance.new_words());
        let cut = self.cut.take();
        let is_first = self.only_greeted();
        let changed = self.follow_language(&utterance.spoken());
        self.open_turn(utterance);
        match cut {
            // The greeting was not understood, or not well: all of it once more, and nothing of it is owed any longer.
            _ if changed && is_first && self.settings.greets_in_language() && !self.is_wrapping_up() => {
                self.greet_again()
            }
            Some(cut) if only_acknowledged => self.continue_after(cut),
            _ if !self.greeting_heard => self.greet(),
            _ if self.is_wrapping_up() => self.say_time_is_up(),
            _ => self.answer(),
        }
    }

    /// Closes the utterance into a turn that waits for its answer.
    pub(super) fn open_turn(&mut self, utterance: Utterance) {
        self.settle_turn();
        self.take_words_of(&utterance);
        let spoken = utterance.spoken();
        self.look_for_do_not_call(&spoken);
        self.turn = Some(HumanTurn {
            spoken,
            keys: utterance.keys.clone(),
            began: utterance.began,
            ended: utterance.ended(),
            stt_final: utterance.final_at,
            decided: self.now,
        });
    }

    /// The provider will say the words of its open segment again.
    fn take_words_of(&mut self, utterance: &Utterance) {
        let words = phrases::words(utterance.open_segment());
        if !words.is_empty() {
            self.taken = Some((self.now, words));
        }
    }

    pub(super) fn look_for_do_not_call(&mut self, text: &str) {
        if phrases::forbids_calls(&phrases::words(text)) {
            self.forbid_calls(Evidence::Phrase, None);
        }
    }

    pub(super) fn forbid_calls(&mut self, evidence: Evidence, note: Option<String>) {
        if !self.do_not_call {
            self.do_not_call = true;
            self.event(CallEvent::DoNotCallRequested { evidence, note });
        }
    }

    /// The human's turn can no longer grow: history and storage get it.
    pub(super) fn settle_turn(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        // The turn holds them now.
        self.unsettled = None;
        let text = turn.text();
        if !turn.keys.is_empty() {
            self.event(CallEvent::KeyPressed { digits: turn.keys });
        }
        self.human_turns += 1;
        let seq = self.next_seq();
        self.emit(Output::Record(TurnRecord {
            seq,
            speaker: Speaker::Human,
            text: text.clone(),
            interrupted: false,
            started: turn.began,
            ended: turn.ended,
            latency: Latency::default(),
        }));
        self.history.push(super::history::Entry::Human(text));
    }

    /// Voice, then silence, and the STT has nothing to say about it.
    pub(super) fn nothing_transcribed(&mut self) {
        let Some(utterance) = self.utterance.take() else { return };
        self.discard_draft();
        if let Some(cut) = self.cut.take() {
            self.false_alarms += 1;
            return self.continue_after(cut);
        }
        // Over the agent it is the agent's own echo, or a sound of attention.
        let matters = utterance.voiced(self.now) >= ms(SHORTEST_SPEECH_MS) && !utterance.over_agent;
        if !matters || self.not_understood >= MOST_NOT_UNDERSTOOD {
            return self.metric("voice_without_words");
        }
        self.not_understood += 1;
        self.event(CallEvent::NothingUnderstood { count: self.not_understood });
        let line = self.lines.not_understood.clone();
        self.say(&line, Kind::NotUnderstood, None);
    }

    /// The VAD has heard voice for so long that it cannot be one turn.
    pub(super) fn turn_too_long(&mut self) {
        self.event(CallEvent::TimedOut { waiting_for: "end_of_turn" });
        match &self.utterance {
            Some(utterance) if !utterance.text().is_empty() => self.end_turn(),
            _ => self.nothing_transcribed(),
        }
    }

    pub(super) fn human_silent(&mut self) {
        if self.is_wrapping_up() {
            return self.say_time_is_up();
        }
        let line = self.lines.reprompts.get(self.reprompts as usize).or(self.lines.reprompts.last()).cloned();
        match line {
            Some(line) if self.reprompts < self.settings.limits.reprompts => {
                self.reprompts += 1;
                self.event(CallEvent::SilencePrompted { count: self.reprompts });
                self.say(&line, Kind::Reprompt, None);
            }
            _ => {
                let line = self.lines.silence_goodbye.clone();
                self.close(&line, EndReason::Silence);
            }
        }
    }

    /// After a reply has been heard: is what was said over it the next turn?
    pub(super) fn sift_over_talk(&mut self, over: Kind, ended_with_question: bool) {
        /// An answer may come while the question is still being said.
        const ANSWER_MS: u64 = 1_500;
        self.suspect_echo(over);
        let Some(utterance) = &mut self.utterance else { return };
        utterance.over_agent = true;
        if utterance.voice_since.is_some() || !utterance.carried.is_empty() || utterance.has_keys() {
            return;
        }
        let (words, ago) = (utterance.new_words(), self.now.since(utterance.ended()));
        let in_passing = phrases::is_in_passing(&words);
        let is_answered = over == Kind::Greeting && phrases::opens_a_call(&words);
        let answers = ended_with_question && ago < ms(ANSWER_MS);
        // Words may still be on their way for voice that ended just now.
        let awaited = words.is_empty() && ago < ms(self.settings.endpointing.no_text_ms);
        if (words.is_empty() && !awaited) || (in_passing && !answers) {
            self.utterance = None;
            self.heard_language = None;
            self.metric("backchannel");
        } else if is_answered && !answers {
            // The greeting has said who calls: the human's answer to it comes now, and must not be talked over.
            if let Some(utterance) = self.utterance.take() {
                self.open_turn(utterance);
                self.settle_turn();
            }
        }
    }

    /// Nobody can stop a protected greeting, and nothing but its echo talks under it for so long and says nothing.
    fn suspect_echo(&mut self, over: Kind) {
        const ECHO_MS: u64 = 1_500;
        let is_echo = over == Kind::Greeting
            && self.settings.barge_in.protect_greeting
            && self
                .utterance
                .as_ref()
                .is_some_and(|heard| !heard.has_new_words() && heard.voiced(self.now) >= ms(ECHO_MS));
        if is_echo {
            self.voice_is_echo();
        }
    }

    /// When the turn ends if nothing else happens.
    pub(super) fn end_of_turn_at(&self, utterance: &Utterance) -> Option<CallTime> {
        self.endpointing.end_of_turn(utterance, self.expects_pieces())
    }
}
