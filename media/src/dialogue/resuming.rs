//! A conversation that was broken off is taken up where it was: no second greeting, nothing asked that is known, no word lost
//! that the human said.

use shared::conversation_event::{CallEvent, EndReason};
use shared::turn::push_words;

use super::clauses::Splitter;
use super::history::{Entry, Gap};
use super::reply::Kind;
use super::{Dialogue, phrases};

/// A question of so few words ("Is that still right?") says nothing without the sentence before it.
const SHORT_QUESTION_WORDS: usize = 5;

/// For the model, behind the bridge.
const BACK_AGAIN: &str = "The line had dropped and is back; you have just apologised for that. Do not greet again. If the person's \
                          last words were not answered yet, answer them; otherwise say again what they could not hear of your \
                          last message, and go on.";
/// For the model, without a bridge: the human heard a sentence break off, and a moment of silence.
pub(super) const CARRY_ON: &str =
    "Your last message was cut off for a moment by the line. Carry on from there, without repeating yourself.";

impl Dialogue {
    /// The first thing on the new stream.
    pub(super) fn take_up(&mut self, gap: Gap) {
        self.event(CallEvent::Resumed);
        if self.is_wrapping_up() {
            return self.say_time_is_up();
        }
        let bridge = self.lines.bridge.clone();
        if gap == Gap::Goodbye {
            let mut line = bridge;
            push_words(&mut line, &self.lines.goodbye);
            return self.close(&line, EndReason::AgentFinished);
        }
        match self.history.last() {
            // What the greeting discloses must be heard to its end.
            Some(Entry::Agent { cut: true, .. }) if !self.history.human_spoke() => self.greet_behind(&bridge),
            None => self.greet_behind(if gap == Gap::Lost { &bridge } else { "" }),
            Some(Entry::Agent { cut: false, text, .. }) if gap == Gap::Lost => match self.question_in(text) {
                // Word for word: no model is as quick, and none could fail less.
                Some(question) => {
                    let mut line = bridge;
                    push_words(&mut line, &question);
                    self.say(&line, Kind::Continuation, None);
                }
                None => self.ask_behind(&bridge, BACK_AGAIN),
            },
            Some(_) if gap == Gap::Lost => self.ask_behind(&bridge, BACK_AGAIN),
            Some(Entry::Human(_)) => self.ask_anew(None),
            Some(Entry::Agent { cut: true, .. }) => self.ask_anew(Some(CARRY_ON)),
            // Everything was said: it is the human's turn, as it was.
            Some(Entry::Agent { cut: false, .. }) => {}
        }
    }

    /// Bridges the gap while the model thinks.
    fn ask_behind(&mut self, bridge: &str, note: &'static str) {
        // Asked first: the apology is not part of what the model has to go on from.
        self.ask_anew(Some(note));
        self.speak_whole(bridge);
        if let Some(reply) = &mut self.reply {
            reply.only_bridged = true;
        }
    }

    fn ask_anew(&mut self, note: Option<&'static str>) {
        let mut reply = self.new_reply(Kind::Answer);
        reply.note = note;
        self.reply = Some(reply);
        self.ask();
    }

    /// The last question of a text, with the sentence before it where it needs one.
    fn question_in(&self, text: &str) -> Option<String> {
        let mut splitter = Splitter::by_sentence();
        splitter.push(text);
        let mut sentences: Vec<String> = std::iter::from_fn(|| splitter.next_clause()).collect();
        sentences.extend(splitter.finish(false));
        let at = sentences.iter().rposition(|sentence| sentence.ends_with('?'))?;
        let mut question = String::new();
        if phrases::words(&sentences[at]).len() <= SHORT_QUESTION_WORDS
            && let Some(before) = sentences[..at].last().filter(|before| **before != self.lines.bridge)
        {
            question.push_str(before);
        }
        push_words(&mut question, &sentences[at]);
        Some(question)
    }
}
