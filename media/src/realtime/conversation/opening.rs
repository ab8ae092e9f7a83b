//! How a call begins, and how a conversation that was broken off is taken up: no second greeting, no word lost that the human said.

use shared::turn::push_words;

use super::reply::Kind;
use super::{Conversation, ms, phrases, prompt};
use crate::dialogue::{CallEvent, EndReason, Gap, Opening, Output, history::Entry};

/// For the model, without a bridge: the human heard a sentence break off, and a moment of silence.
const CARRY_ON: &str =
    "Your last message was cut off for a moment by the line. Carry on from there, without repeating yourself.";

impl Conversation {
    pub(super) fn on_started(&mut self) {
        if self.started {
            return;
        }
        self.started = true;
        self.quiet_since = self.now;
        self.last_interaction = self.now;
        if self.history.gap.is_none() {
            self.emit(Output::ListenForBeep);
        }
        self.open_link();
        // A voice of its own need not wait for the model.
        if self.exact_by_voice && self.history.gap.is_none() {
            self.begin();
        }
    }

    /// The first thing on this stream, once somebody can say it.
    pub(super) fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(gap) = self.history.gap {
            return self.take_up(gap);
        }
        match self.settings.opening {
            Opening::SpeakAtOnce => self.greet(""),
            Opening::WaitForHello { up_to_ms } => self.opening = Some(self.now + ms(up_to_ms)),
        }
    }

    /// The greeting, behind other words.
    pub(super) fn greet(&mut self, before: &str) {
        self.opening = None;
        self.greeted = true;
        let template = self.settings.greeting();
        let mut text = before.to_owned();
        push_words(&mut text, &prompt::render(template, &self.settings.facts));
        let protected = self.settings.barge_in.protect_greeting;
        self.say(&text, Kind::Greeting, protected, None);
    }

    fn take_up(&mut self, gap: Gap) {
        self.event(CallEvent::Resumed);
        self.quiet_since = self.now;
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
            Some(Entry::Agent { cut: true, .. }) if !self.history.human_spoke() => self.greet(&bridge),
            None => self.greet(if gap == Gap::Lost { &bridge } else { "" }),
            Some(_) if gap == Gap::Lost => {
                self.ask(Some(&format!(
                    "The line had dropped and is back. Begin with: \"{bridge}\" Do not greet again. If the person's last words were not \
                     answered yet, answer them; otherwise say again what they could not hear of your last message, and go on."
                )));
            }
            Some(Entry::Human(_)) => self.ask(None),
            Some(Entry::Agent { cut: true, .. }) => self.ask(Some(CARRY_ON)),
            // Everything was said: it is the human's turn, as it was.
            Some(Entry::Agent { cut: false, .. }) => {}
        }
    }

    /// Are these the words, whatever their spelling?
    pub(super) fn are_same_words(said: &str, wanted: &str) -> bool {
        phrases::words(said) == phrases::words(wanted)
    }
}
