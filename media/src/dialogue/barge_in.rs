//! Both talk at once. In two stages: voice pauses the playout at once; words, or enough voice, give the reply up; otherwise
//! it goes on from the word where it was paused.

use shared::conversation_event::CallEvent;

use super::input::{CallTime, ToolOutcome};
use super::output::Output;
use super::reply::{Kind, Reply};
use super::{Cut, Dialogue, Duck, ms, phrases};

/// A VAD without news is sure of an end by then.
const HANGOVER_MS: u64 = 300;
/// So often may voice alone turn out to have been nothing: then it is the agent's own echo, or a street, and only words count. Every
/// turn of the human's forgives one. Otherwise an agent on a loudspeaker would stop at its own first word for ever.
const MOST_FALSE_ALARMS: u32 = 2;
/// Voice before the first sound of an answer: shorter, it is a noise, and asking the model again would cost another second.
const BEFORE_SOUND_MS: u64 = 1_000;
/// So many of the agent's own words in a row, said over it, are its echo and no answer; on a line that is known to echo, so few.
const ECHO_WORDS: usize = 4;
const ECHO_WORDS_KNOWN: usize = 2;

impl Dialogue {
    /// First stage: nothing is lost yet, but the human hears silence.
    pub(super) fn suspect_barge_in(&mut self, began: CallTime) {
        let now = self.now;
        let believed = self.believes_voice();
        let Some(reply) = self.reply.as_mut().filter(|reply| !reply.protected && believed) else { return };
        if self.duck.is_some() {
            return;
        }
        self.duck = Some(Duck { since: now });
        reply.pause(now);
        reply.latency.barge_in_voice = Some(began);
        reply.latency.barge_in_paused = Some(now);
        let epoch = reply.epoch;
        self.emit(Output::PausePlayout { epoch });
    }

    /// The agent hears itself: from now on only words count.
    pub(super) fn voice_is_echo(&mut self) {
        self.echo = true;
        self.metric("echo");
    }

    fn believes_voice(&self) -> bool {
        !self.echo && self.false_alarms < MOST_FALSE_ALARMS
    }

    /// Second stage, by words.
    pub(super) fn judge_words(&mut self) {
        let (Some(reply), Some(utterance)) = (&self.reply, &self.utterance) else { return };
        let words = utterance.new_words();
        if reply.protected || self.echoes(&words, &reply.speech.sent_all()) {
            return;
        }
        let meaningful = phrases::meaningful_words(&words);
        let has_voice = utterance.voice_since.is_some() || utterance.voice_ended.is_some();
        let interrupts = if reply.kind.yields_to_any_word() {
            !words.is_empty()
        } else if reply.started.is_none() && phrases::is_in_passing(&words) {
            // "Hello?", to an agent that thinks: the answer is what they wait for.
            false
        } else if has_voice || reply.started.is_none() {
            meaningful > 0
        } else {
            // Without voice it may be an echo or an invention of the STT: one odd word is not enough.
            meaningful > 1 || phrases::demands_to_stop(&words)
        };
        if interrupts {
            self.false_alarms = 0;
            self.echo = false;
            self.interrupt();
        }
    }

    /// When a pause ends: (time, is it an interruption?).
    pub(super) fn duck_ends(&self) -> Option<(CallTime, bool)> {
        let duck = self.duck?;
        let settings = &self.settings.barge_in;
        let Some(utterance) = &self.utterance else { return Some((duck.since, false)) };
        let acknowledges = phrases::is_acknowledgement(&utterance.new_words());
        let unheard = self.reply.as_ref().is_some_and(|reply| reply.started.is_none());
        Some(match utterance.voice_since {
            Some(since) => {
                let enough = match (acknowledges, unheard) {
                    (true, _) => settings.acknowledgement_ms,
                    (false, true) => settings.interrupt_ms.max(BEFORE_SOUND_MS),
                    (false, false) => settings.interrupt_ms,
                };
                let enough = since + ms(enough);
                // Until the VAD confirms so much voice it may only be the hangover of a short sound.
                let confirmed = utterance.voice_until.is_some_and(|until| until >= enough);
                (if confirmed { enough } else { enough + ms(HANGOVER_MS) }, true)
            }
            None if acknowledges => (duck.since, false),
            None => (duck.since + ms(settings.resume_ms), false),
        })
    }

    /// It was nothing: go on.
    pub(super) fn resume(&mut self) {
        let now = self.now;
        self.duck = None;
        let Some(reply) = &mut self.reply else { return };
        let (epoch, from_samples) = (reply.epoch, reply.resume(now));
        reply.latency.barge_in_voice = None;
        reply.latency.barge_in_paused = None;
        self.emit(Output::ResumePlayout { epoch, from_samples });
        self.metric("barge_in_forgotten");
        if self.utterance.as_ref().is_none_or(|utterance| !utterance.has_new_words()) {
            self.false_alarms += 1;
        }
        // A cough is forgotten; "haan" may yet turn out to be the answer to the question being asked.
        if self.utterance.as_ref().is_some_and(|utterance| !utterance.has_new_words() && !utterance.has_keys()) {
            self.utterance = None;
        }
    }

    /// Voice has gone on for so long that it must be an interruption, unless it was one before and nothing was said.
    pub(super) fn voice_insists(&mut self) {
        let unheard = self.reply.as_ref().is_some_and(|reply| reply.started.is_none());
        let wordless = self.utterance.as_ref().is_some_and(|utterance| !utterance.has_new_words());
        if unheard && wordless {
            if self.noise_before_sound {
                return self.resume();
            }
            self.noise_before_sound = true;
        }
        self.interrupt();
    }

    /// Are these words the agent's own, come back over the line? What people answer is in the question, too, but not so much of it.
    pub(super) fn echoes(&self, words: &[String], said: &str) -> bool {
        let least = if self.echo { ECHO_WORDS_KNOWN } else { ECHO_WORDS };
        if words.len() < least || phrases::demands_to_stop(words) {
            return false;
        }
        phrases::words(said).windows(words.len()).any(|run| run == words)
    }

    /// It is an interruption: the reply ends with the last word heard, and the human has the turn.
    pub(super) fn interrupt(&mut self) {
        let Some(mut reply) = self.reply.take() else { return };
        reply.latency.barge_in_cleared = Some(self.now);
        self.silence(&reply);
        let heard = reply.heard_text(self.now);
        self.withdraw_end(&reply);
        self.quiet_since = self.now;
        // By voice alone, or by "haan": it may prove to be a backchannel after all.
        let may_be_nothing = self.utterance.as_ref().is_some_and(|utterance| {
            let words = utterance.new_words();
            !utterance.has_keys() && (words.is_empty() || phrases::is_acknowledgement(&words))
        });
        if heard.is_empty() {
            if may_be_nothing {
                self.cut = reply.owes_the_rest();
            }
            if !reply.called_tools() {
                return self.take_turn_back();
            }
        }
        self.settle_turn();
        self.keep_heard(&reply, true);
        if heard.is_empty() {
            return;
        }
        self.barge_ins += 1;
        self.greeting_heard = true;
        let heard_ms = |samples: u64| samples / super::SAMPLES_PER_MS;
        self.event(CallEvent::BargeIn {
            heard_ms: heard_ms(reply.heard(self.now)),
            of_ms: heard_ms(reply.speech.samples()),
        });
        if may_be_nothing && !reply.kind.yields_to_any_word() {
            let unheard = reply.speech.unheard(reply.heard(self.now));
            self.cut = Some(Cut { whole: reply.flushed && !unheard.is_empty(), unheard });
        }
    }

    /// Nothing of the answer was heard, so that to the human their turn has never ended: it goes on growing.
    fn take_turn_back(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        let Some(utterance) = &mut self.utterance else {
            self.turn = Some(turn);
            return self.settle_turn();
        };
        self.endpointing.observe_pause(utterance.began.since(turn.ended));
        utterance.take_up(turn.spoken, turn.keys, turn.began);
        self.metric("turn_taken_back");
    }

    /// Stops everything that belongs to the reply. Cancelling saves work; the epoch makes it right.
    pub(super) fn silence(&mut self, reply: &Reply) {
        self.duck = None;
        if let Some(ask) = reply.ask {
            self.emit(Output::CancelLlm { ask: ask.id });
        }
        if !reply.speech.is_empty() || reply.paused {
            self.emit(Output::CancelSpeech { epoch: reply.epoch });
            self.emit(Output::ClearPlayout { epoch: reply.epoch });
        }
    }

    /// An `end_call` whose goodbye was not finished does not end the call.
    pub(super) fn withdraw_end(&mut self, reply: &Reply) {
        if reply.wants_end.is_none() {
            return;
        }
        for call in
            reply.rounds.iter().flatten().filter(|call| matches!(call.name.as_str(), "end_call" | "transfer_to_human"))
        {
            self.ledger.answer(&call.id, ToolOutcome::Failed("not done: the person went on talking".to_owned()));
        }
    }

    /// Gives the reply up for something more urgent than the human's words. Their turn settles.
    pub(super) fn drop_reply(&mut self) {
        self.discard_draft();
        self.settle_turn();
        let Some(reply) = self.reply.take() else { return };
        self.silence(&reply);
        self.withdraw_end(&reply);
        self.keep_heard(&reply, true);
        if reply.kind == Kind::Greeting && !reply.heard_text(self.now).is_empty() {
            self.greeting_heard = true;
        }
    }
}
