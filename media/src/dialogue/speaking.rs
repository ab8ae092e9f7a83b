//! The agent's voice: clauses to speech, audio to playout, and what has been heard when it is over.

use super::input::CharAt;
use super::output::{Output, Speaker, TurnRecord};
use super::reply::{Kind, Reply};
use super::{Cut, Dialogue, clauses};
use shared::conversation_event::{CallEvent, EndReason};
use shared::spoken;

/// After a false alarm without a word, when the model had not finished.
const CARRY_ON: &str =
    "The person made a sound but said nothing. Carry on from where you were cut off, without repeating yourself.";

impl Dialogue {
    /// Speaks a fixed text as a reply of its own.
    pub(super) fn say(&mut self, text: &str, kind: Kind, then_end: Option<EndReason>) {
        let mut reply = self.new_reply(kind);
        reply.then_end = then_end;
        reply.protected = then_end.is_some();
        self.reply = Some(reply);
        self.speak_whole(text);
        self.complete_reply();
    }

    /// By sentence: the phrase cache is keyed by clause, and the position in the text is better known.
    pub(super) fn speak_whole(&mut self, text: &str) {
        let mut splitter = clauses::Splitter::by_sentence();
        splitter.push(text);
        while let Some(clause) = splitter.next_clause() {
            self.speak(clause);
        }
        if let Some(clause) = splitter.finish(false) {
            self.speak(clause);
        }
    }

    pub(super) fn speak(&mut self, text: String) {
        let now = self.now;
        // What is said is what is noted: the transcript has words where the model wrote figures.
        let text = spoken::spoken(&text, &self.settings.language).into_owned();
        let Some(reply) = &mut self.reply else { return };
        reply.latency.first_clause.get_or_insert(now);
        reply.speech_moved = now;
        reply.speech_done = false;
        let (epoch, clause) = (reply.epoch, reply.speech.add(text.clone(), reply.round()));
        self.emit(Output::Speak { epoch, clause, text });
    }

    /// No more text will come.
    pub(super) fn complete_reply(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        reply.flushed = true;
        let epoch = reply.epoch;
        if reply.speech.is_empty() {
            // A line that was configured to be empty: nothing to say, nothing to wait for.
            reply.speech_done = true;
            reply.drained = true;
            return;
        }
        self.emit(Output::FlushSpeech { epoch });
    }

    pub(super) fn on_tts_audio(&mut self, clause: u32, samples: u32, alignment: &[CharAt]) {
        let now = self.now;
        let Some(reply) = &mut self.reply else { return };
        if samples == 0 {
            return;
        }
        reply.latency.first_tts_byte.get_or_insert(now);
        let first = reply.speech.samples() == 0;
        reply.audio_arrives(now);
        let left_out = reply.speech.audio(clause, u64::from(samples), alignment);
        // The pacer may not have known this reply yet when it was told to pause.
        if first && reply.paused {
            let epoch = reply.epoch;
            self.emit(Output::PausePlayout { epoch });
        }
        if left_out {
            self.metric("clause_left_out");
        }
    }

    pub(super) fn on_tts_done(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        match reply.speech.first_silent() {
            // It says that it is done and left something out ("sentences silently missing").
            Some(clause) if reply.flushed => self.speech_failed(clause),
            Some(_) => {}
            None => {
                reply.speech.all_complete();
                reply.speech_done = reply.flushed;
            }
        }
    }

    pub(super) fn on_tts_failed(&mut self, clause: u32) {
        self.speech_failed(clause);
    }

    pub(super) fn first_audio_late(&mut self) {
        let Some(reply) = &self.reply else { return };
        let (epoch, clause) = (reply.epoch, reply.speech.first_silent());
        self.emit(Output::CancelSpeech { epoch });
        if let Some(clause) = clause {
            self.speech_failed(clause);
        }
    }

    /// What is missing is spoken again, once per reply. An agent that cannot speak ends the call.
    fn speech_failed(&mut self, clause: u32) {
        let Some(reply) = &mut self.reply else { return };
        let retried = reply.speech_retried;
        self.outputs.push_back(Output::Event(CallEvent::SpeechFailed { retried }));
        // What stands for a recording is not to be read out.
        if retried || reply.recorded {
            let reason = reply.then_end.unwrap_or(EndReason::SpeechUnavailable);
            return self.end(reason, true);
        }
        reply.speech_retried = true;
        reply.speech_done = false;
        reply.speech_moved = self.now;
        let (epoch, flushed) = (reply.epoch, reply.flushed);
        let missing = reply.speech.take_missing(clause);
        if missing.is_empty() {
            reply.speech_done = flushed;
        }
        for (round, text) in missing {
            let clause = reply.speech.add(text.clone(), round);
            self.outputs.push_back(Output::Speak { epoch, clause, text });
        }
        if flushed {
            self.emit(Output::FlushSpeech { epoch });
        }
    }

    pub(super) fn on_playout_started(&mut self) {
        let now = self.now;
        if let Some(reply) = self.reply.as_mut().filter(|reply| reply.started.is_none()) {
            reply.playout_at(now, 0);
        }
    }

    pub(super) fn on_played(&mut self, samples: u64) {
        let now = self.now;
        let Some(reply) = &mut self.reply else { return };
        reply.playout_at(now, samples);
        self.note_heard();
    }

    pub(super) fn on_playout_drained(&mut self) {
        let now = self.now;
        let Some(reply) = &mut self.reply else { return };
        reply.playout_at(now, reply.speech.samples());
        reply.drained = true;
        self.note_heard();
    }

    /// With the first word heard the human's turn is answered and can no longer grow.
    fn note_heard(&mut self) {
        let Some(reply) = &self.reply else { return };
        let heard = (self.turn.is_some() || !self.greeting_heard) && !reply.heard_text(self.now).is_empty();
        if heard {
            self.greeting_heard = true;
            self.settle_turn();
        }
    }

    /// The voice has stopped in the middle of a clause, and nobody says why. Little more than its last word may be missing;
    /// otherwise the rest is spoken again.
    pub(super) fn speech_stalled(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        let epoch = reply.epoch;
        let clause = reply.speech.broken_off();
        if clause.is_none() {
            reply.speech.all_complete();
            reply.speech_done = true;
        }
        self.emit(Output::CancelSpeech { epoch });
        self.event(CallEvent::TimedOut { waiting_for: "speech" });
        if let Some(clause) = clause {
            self.speech_failed(clause);
        }
    }

    /// The playout clock has stood still long after everything should have been heard.
    pub(super) fn playout_stuck(&mut self) {
        let now = self.now;
        let Some(reply) = &mut self.reply else { return };
        reply.playout_at(now, reply.speech.samples());
        reply.speech.all_complete();
        reply.speech_done = true;
        reply.drained = true;
        let epoch = reply.epoch;
        self.event(CallEvent::TimedOut { waiting_for: "playout" });
        // Should it sound after all, it must not sound over the next reply.
        self.emit(Output::ClearPlayout { epoch });
        self.note_heard();
    }

    /// Everything was heard: into history, and it is the human's turn (or the end).
    pub(super) fn finish_reply(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        let asked = reply.speech.sent_all().ends_with('?');
        self.settle_turn();
        self.keep_heard(&reply, false);
        self.greeting_heard = true;
        self.cut = None;
        self.quiet_since = self.now;
        self.last_interaction = self.now;
        match reply.then_end {
            Some(reason) => self.end(reason, true),
            None => self.sift_over_talk(reply.kind, asked),
        }
    }

    /// History and storage get what was heard of a reply.
    pub(super) fn keep_heard(&mut self, reply: &Reply, cut: bool) {
        let position = if cut { reply.heard(self.now) } else { reply.speech.samples().max(reply.heard(self.now)) };
        for entry in reply.entries(Some(position), cut) {
            self.history.push(entry);
        }
        let text = reply.speech.heard_all(position);
        debug_assert!(reply.speech.sent_all().starts_with(&text), "only what was sent can have been heard");
        if text.is_empty() {
            return;
        }
        self.agent_turns += 1;
        let interrupted = cut && (text.len() < reply.speech.sent_all().len() || !reply.flushed);
        let seq = self.next_seq();
        self.emit(Output::Record(TurnRecord {
            seq,
            speaker: Speaker::Agent,
            text,
            interrupted,
            started: reply.started.unwrap_or(self.now),
            ended: self.now,
            latency: reply.latency,
        }));
    }

    /// Goes on after something that only looked like an interruption.
    pub(super) fn continue_after(&mut self, cut: Cut) {
        self.event(CallEvent::FalseBargeIn);
        if cut.whole {
            return self.say(&cut.unheard, Kind::Continuation, None);
        }
        let mut reply = self.new_reply(Kind::Answer);
        if self.turn.is_none() {
            reply.note = Some(CARRY_ON);
        }
        self.reply = Some(reply);
        self.ask();
    }
}
