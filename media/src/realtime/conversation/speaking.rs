//! The agent's voice: what it is asked to say, what of it is heard, and what is left of it when it is over.

use shared::{answering_machine, spoken};

use super::reply::{Kind, Reply, Source};
use super::turns::Settled;
use super::{Conversation, MOST_REPLIES, Order, phrases};
use crate::dialogue::{
    CallEvent, EndReason, Epoch, Evidence, Latency, LlmFailure, Output, SAMPLES_PER_MS, Speaker, ToolOutcome,
    TurnRecord, history::Entry,
};
use crate::realtime::wire::{ClientEvent, Item};

/// Longest answer that is kept: nobody listens to more, and it would lie in memory.
pub(super) const MOST_SAMPLES: u64 = 90_000 * SAMPLES_PER_MS;

impl Conversation {
    pub(super) fn new_reply(&mut self, kind: Kind, source: Source) -> Reply {
        let mut reply = Reply::new(self.new_epoch(), kind, source, self.now);
        if let (Kind::Answer, Some(asked)) = (kind, self.asked) {
            reply.latency =
                Latency { speech_end: Some(asked.speech_end), end_of_turn: Some(asked.decided), ..Latency::default() };
        }
        reply
    }

    pub(super) fn reply(&mut self, epoch: Epoch) -> Option<&mut Reply> {
        self.replies.iter_mut().find(|reply| reply.epoch == epoch)
    }

    /// Says these words: by the chosen voice, or by the model, or by whatever voice there is while the model is away.
    pub(super) fn say(&mut self, text: &str, kind: Kind, protected: bool, then_end: Option<EndReason>) {
        let by_model = !self.exact_by_voice && self.link.is_up();
        let mut reply = self.new_reply(kind, if by_model { Source::Model } else { Source::Voice });
        // Figures are said, and noted, as words: a voice reads them as nobody would say them.
        reply.exactly = Some(spoken::spoken(text, &self.settings.language).into_owned());
        reply.protected = protected;
        reply.then_end = then_end;
        self.begin_saying(reply);
    }

    fn begin_saying(&mut self, mut reply: Reply) {
        let (epoch, text) = (reply.epoch, reply.exactly.clone().unwrap_or_default());
        reply.asked = self.now;
        reply.moved = self.now;
        if text.trim().is_empty() {
            // A line that was configured to be empty: nothing to say, nothing to wait for.
            reply.complete();
            return self.replies.push_back(reply);
        }
        reply.latency.first_clause.get_or_insert(self.now);
        match reply.source {
            Source::Model => {
                reply.awaits_response = true;
                self.replies.push_back(reply);
                self.tell(ClientEvent::Ask { epoch, exactly: Some(text) });
            }
            Source::Voice => {
                reply.piece("").text.clone_from(&text);
                self.replies.push_back(reply);
                self.emit(Output::Speak { epoch, clause: 0, text });
                self.emit(Output::FlushSpeech { epoch });
            }
            Source::Recording => {}
        }
    }

    /// The model did not say it: a voice does.
    pub(super) fn say_by_voice(&mut self, mut reply: Reply) {
        self.stop_making(&mut reply);
        reply.epoch = self.new_epoch();
        reply.source = Source::Voice;
        reply.awaits_response = false;
        reply.retried = true;
        reply.pieces.clear();
        self.begin_saying(reply);
    }

    /// Asks the model to go on, with a note for it.
    pub(super) fn ask(&mut self, note: Option<&str>) {
        self.awaited = None;
        if self.replies.len() >= MOST_REPLIES || self.is_closing() {
            return;
        }
        if let Some(note) = note {
            self.tell(ClientEvent::Create(Item::Note(note.to_owned())));
        }
        let mut reply = self.new_reply(Kind::Answer, Source::Model);
        reply.awaits_response = true;
        let epoch = reply.epoch;
        self.replies.push_back(reply);
        self.tell(ClientEvent::Ask { epoch, exactly: None });
    }

    /// Says a last line and hangs up behind it.
    pub(super) fn close(&mut self, line: &str, reason: EndReason) {
        self.opening = None;
        self.awaited = None;
        self.take_back(true);
        self.say(line, Kind::Goodbye, true, Some(reason));
    }

    /// The campaign's recording, and nothing behind it.
    pub(super) fn play_recording(&mut self, title: &str) {
        self.opening = None;
        self.awaited = None;
        self.take_back(true);
        let mut reply = self.new_reply(Kind::Goodbye, Source::Recording);
        reply.protected = true;
        reply.then_end = Some(EndReason::MachineAnswered);
        reply.piece("").text = answering_machine::as_text(title);
        let epoch = reply.epoch;
        self.replies.push_back(reply);
        self.emit(Output::PlayRecording { epoch, clause: 0 });
    }

    pub(super) fn close_after_failure(&mut self) {
        let line = self.lines.failure_goodbye.clone();
        self.close(&line, EndReason::LlmUnavailable);
    }

    /// An answer that is no answer. What was already said stands; otherwise one more try, an apology, and in the next turn the end.
    pub(super) fn reply_failed(&mut self, epoch: Epoch, failure: LlmFailure) {
        let Some(at) = self.replies.iter().position(|reply| reply.epoch == epoch) else { return };
        let Some(mut reply) = self.replies.remove(at) else { return };
        self.stop_making(&mut reply);
        if reply.samples() > 0 {
            reply.complete();
            reply.broken = true;
            self.replies.insert(at, reply);
            return self.orders.push_back(Order::Complete(epoch));
        }
        self.event(CallEvent::ReplyFailed { failure, retried: reply.retried });
        if reply.exactly.is_some() {
            return self.say_by_voice(reply);
        }
        if !reply.retried && self.link.is_up() {
            reply.retried = true;
            reply.awaits_response = true;
            (reply.asked, reply.moved) = (self.now, self.now);
            self.replies.insert(at, reply);
            return self.tell(ClientEvent::Ask { epoch, exactly: None });
        }
        self.failed_turns += 1;
        if self.failed_turns > 1 {
            return self.close_after_failure();
        }
        let line = self.lines.apology.clone();
        self.say(&line, Kind::Apology, false, None);
    }

    /// Stops whatever still makes the reply's sound.
    pub(super) fn stop_making(&mut self, reply: &mut Reply) {
        match reply.source {
            Source::Model => {
                if let Some(response_id) = reply.response.take() {
                    self.tell(ClientEvent::Cancel { response_id });
                }
            }
            Source::Voice if !reply.made => self.emit(Output::CancelSpeech { epoch: reply.epoch }),
            Source::Voice | Source::Recording => {}
        }
    }

    // ---- text to speech ---------------------------------------------------------------------------------------------

    pub(super) fn on_voice_sound(&mut self, epoch: Epoch, samples: u32) {
        let now = self.now;
        if let Some(reply) = self.reply(epoch).filter(|reply| reply.source != Source::Model) {
            reply.sound(now, "", samples);
        }
    }

    pub(super) fn on_voice_done(&mut self, epoch: Epoch) {
        match self.reply(epoch).filter(|reply| reply.source != Source::Model) {
            Some(reply) if reply.samples() > 0 => reply.complete(),
            Some(_) => self.on_voice_failed(epoch),
            None => {}
        }
    }

    pub(super) fn on_voice_failed(&mut self, epoch: Epoch) {
        let Some(reply) = self.reply(epoch).filter(|reply| reply.source != Source::Model) else { return };
        if reply.samples() > 0 {
            // Most of a line is better than none of it.
            reply.complete();
            reply.broken = true;
            return self.emit(Output::CancelSpeech { epoch });
        }
        // Nobody can say what was recorded.
        let retried = reply.retried || reply.source == Source::Recording;
        self.event(CallEvent::SpeechFailed { retried });
        let at = self.replies.iter().position(|reply| reply.epoch == epoch);
        let Some(mut reply) = at.and_then(|at| self.replies.remove(at)) else { return };
        self.emit(Output::CancelSpeech { epoch });
        if retried || !self.link.is_up() {
            // Nobody can say it.
            let reason = reply.then_end.unwrap_or(EndReason::SpeechUnavailable);
            return self.end(reason, true);
        }
        reply.epoch = self.new_epoch();
        reply.source = Source::Model;
        reply.retried = true;
        reply.pieces.clear();
        self.begin_saying(reply);
    }

    // ---- playout ----------------------------------------------------------------------------------------------------

    pub(super) fn on_playout_started(&mut self, epoch: Epoch) {
        let now = self.now;
        let Some(reply) = self.reply(epoch).filter(|reply| reply.started.is_none()) else { return };
        reply.playout_at(now, 0);
        self.turns.agent(epoch);
    }

    pub(super) fn on_played(&mut self, epoch: Epoch, samples: u64) {
        let now = self.now;
        if let Some(reply) = self.reply(epoch) {
            reply.playout_at(now, samples);
        }
    }

    pub(super) fn on_playout_drained(&mut self, epoch: Epoch) {
        let now = self.now;
        if let Some(reply) = self.reply(epoch) {
            reply.playout_at(now, reply.samples());
            reply.drained = true;
        }
    }

    /// The playout clock has stood still long after everything should have been heard.
    pub(super) fn playout_stuck(&mut self, epoch: Epoch) {
        self.on_playout_drained(epoch);
        if let Some(reply) = self.reply(epoch) {
            reply.complete();
            self.event(CallEvent::TimedOut { waiting_for: "playout" });
            // Should it sound after all, it must not sound over the next reply.
            self.emit(Output::ClearPlayout { epoch });
        }
    }

    /// Everything was heard: it is the human's turn, or the next reply's, or the end.
    pub(super) fn finish_replies(&mut self) {
        while !self.ended && self.replies.front().is_some_and(Reply::is_finished) {
            let Some(reply) = self.replies.pop_front() else { return };
            let said = reply.text();
            if let Some(wanted) = reply.exactly.as_deref().filter(|_| reply.kind == Kind::Greeting)
                && reply.source == Source::Model
                && !Self::are_same_words(&said, wanted)
            {
                self.event(CallEvent::GreetingChanged);
            }
            if reply.source == Source::Voice && !said.is_empty() {
                // The model did not hear it.
                self.tell(ClientEvent::Create(Item::Said(Speaker::Agent, said)));
            }
            if reply.kind == Kind::Answer && reply.samples() > 0 && !reply.broken {
                self.failed_turns = 0;
            }
            let position = reply.samples();
            self.settle_agent(&reply, position, reply.broken);
            self.quiet_since = self.now;
            self.last_interaction = self.now;
            if let Some(reason) = reply.then_end {
                self.end(reason, true);
            }
        }
    }

    /// Takes replies away, from the last one on: all, or only as far as nothing protects them. What was heard stays. Gives how much of
    /// how much was heard of the one that was cut off, in milliseconds.
    pub(super) fn take_back(&mut self, protected_too: bool) -> Option<(u64, u64)> {
        self.voice.duck = None;
        let mut cut = None;
        while self.replies.back().is_some_and(|reply| protected_too || !reply.protected) {
            let Some(mut reply) = self.replies.pop_back() else { break };
            self.stop_making(&mut reply);
            let heard = reply.heard(self.now);
            if reply.source == Source::Model {
                for piece in reply.pieces.iter().filter(|piece| piece.is_unheard(heard) && !piece.item_id.is_empty()) {
                    let (item_id, audio_end_ms) = (piece.item_id.clone(), piece.heard_ms(heard));
                    self.tell(ClientEvent::Truncate { item_id, audio_end_ms });
                }
            }
            let epoch = reply.epoch;
            if self.replies.is_empty() {
                if reply.latency.barge_in_voice.is_some() {
                    reply.latency.barge_in_cleared = Some(self.now);
                }
                self.emit(Output::ClearPlayout { epoch });
            } else {
                self.orders.push_back(Order::Discard(epoch));
            }
            self.withdraw_calls(&reply);
            let text = reply.heard_text(heard);
            if reply.source == Source::Voice && !text.is_empty() {
                self.tell(ClientEvent::Create(Item::Said(Speaker::Agent, text.clone())));
            }
            if !text.is_empty() {
                cut = Some((heard / SAMPLES_PER_MS, reply.samples() / SAMPLES_PER_MS));
            }
            self.settle_agent(&reply, heard, text != reply.text() || !reply.made);
        }
        cut
    }

    fn settle_agent(&mut self, reply: &Reply, position: u64, interrupted: bool) {
        let whole = position >= reply.samples() || reply.source == Source::Recording;
        let text = if whole { reply.text() } else { reply.heard_text(position) };
        let text = if reply.started.is_none() && reply.samples() > 0 { String::new() } else { text };
        let started = reply.started.unwrap_or(self.now);
        if !text.is_empty() || reply.started.is_some() {
            self.turns.settle(
                reply.epoch,
                Settled {
                    speaker: Speaker::Agent,
                    text,
                    interrupted,
                    started,
                    ended: self.now,
                    latency: reply.latency,
                },
            );
        }
    }

    /// A settled turn: into history and storage.
    pub(super) fn keep(&mut self, turn: Settled) {
        match turn.speaker {
            Speaker::Human => {
                if phrases::forbids_calls(&phrases::words(&turn.text)) {
                    self.forbid_calls(Evidence::Phrase, None);
                }
                self.follow_language(&turn.text);
                self.human_turns += 1;
                // The turn holds them now.
                self.unsettled = None;
                self.history.push(Entry::Human(turn.text.clone()));
            }
            Speaker::Agent => {
                self.agent_turns += 1;
                let (text, cut) = (turn.text.clone(), turn.interrupted);
                self.history.push(Entry::Agent { text, cut, calls: Vec::new() });
            }
        }
        let seq = self.history.next_seq;
        self.history.next_seq += 1;
        self.emit(Output::Record(TurnRecord {
            seq,
            speaker: turn.speaker,
            text: turn.text,
            interrupted: turn.interrupted,
            started: turn.started,
            ended: turn.ended,
            latency: turn.latency,
        }));
    }

    /// The end. `by_us`: the carrier's stream is still open and has to be closed.
    pub(super) fn end(&mut self, reason: EndReason, by_us: bool) {
        if self.ended {
            return;
        }
        self.opening = None;
        self.take_back(true);
        self.settle_turns(true);
        while let Some((_, id, _)) = self.ledger.oldest_running() {
            self.ledger.answer(&id, ToolOutcome::Failed("the call has ended".to_owned()));
        }
        self.ended = true;
        if by_us {
            self.emit(Output::HangUp { reason });
        }
        self.emit(Output::Ended { reason });
    }
}
