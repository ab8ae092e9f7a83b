//! The socket's life. A call outlives it: what was heard goes to a new one, once; if that does not open, the call ends politely.

use super::reply::{Reply, Source};
use super::{Conversation, Order, ms};
use crate::dialogue::{CallEvent, CallTime, LlmFailure};
use crate::provider::ProviderError;

/// A socket that has not opened by then will not: its own deadlines are shorter.
const OPEN_WITHIN_MS: u64 = 8_000;
/// Sockets lost in one call before the model is given up.
const MOST_LOSSES: u32 = 4;

/// For the model, where it may not have heard what was said.
const NOT_HEARD: &str = "The line was gone for a moment and the person's last words were lost. Apologise in a few words and ask them \
                         to say it again. Do not greet again.";
/// For the model, where it broke off.
const CARRY_ON: &str =
    "Your last message was cut off for a moment by the line. Carry on from there, without repeating yourself.";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Never opened.
    None,
    Opening {
        since: CallTime,
    },
    Up,
    /// Given up.
    Gone,
}

/// What is owed to the human by the model when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Answer,
    /// What they said was not heard.
    Ears,
    /// It broke off.
    Rest,
}

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    losses: u32,
    /// The one that is being opened replaces one that was lost.
    again: bool,
    owed: Option<Owed>,
}

impl Default for Link {
    fn default() -> Self {
        Self { state: State::None, losses: 0, again: false, owed: None }
    }
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// When an opening is given up.
    pub(super) fn deadline(&self) -> Option<CallTime> {
        match self.state {
            State::Opening { since } => Some(since + ms(OPEN_WITHIN_MS)),
            State::None | State::Up | State::Gone => None,
        }
    }
}

impl Conversation {
    pub(super) fn open_link(&mut self) {
        self.link.state = State::Opening { since: self.now };
        let session = Box::new(self.session());
        self.orders.push_back(Order::Open(session));
    }

    /// The session is as we asked.
    pub fn ready(&mut self, now: CallTime) {
        self.at(now);
        if self.ended || !matches!(self.link.state, State::Opening { .. }) {
            return;
        }
        self.link.state = State::Up;
        self.link.again = false;
        self.begin();
        let owed = self.link.owed.take().filter(|_| self.may_answer());
        match owed {
            Some(Owed::Answer) => self.ask(None),
            Some(Owed::Ears) => self.ask(Some(NOT_HEARD)),
            Some(Owed::Rest) => self.ask(Some(CARRY_ON)),
            None => {}
        }
        self.advance();
    }

    /// The socket is gone, or did not open.
    pub fn lost(&mut self, now: CallTime, error: &ProviderError) {
        self.at(now);
        if self.ended {
            return;
        }
        self.on_lost(error);
        self.advance();
    }

    pub(super) fn opening_late(&mut self) {
        let after = std::time::Duration::from_millis(OPEN_WITHIN_MS);
        self.on_lost(&ProviderError::TimedOut { stage: "open", after });
    }

    fn on_lost(&mut self, error: &ProviderError) {
        self.link.losses += 1;
        let again = error.is_worth_another_try() && !self.link.again && self.link.losses <= MOST_LOSSES;
        self.event(CallEvent::SpeechToSpeechLost { cause: error.to_string(), again });
        let heard_nothing = self.turns.deaf() || self.voice.speaking.is_some();
        let answer_owed = self.awaited.take().is_some();
        self.voice.speaking = None;
        self.quiet_since = self.now;
        self.link.state = State::Gone;
        let broken = self.break_off();
        if !again {
            return self.give_up_model();
        }
        self.link.again = true;
        let owed = match broken {
            _ if heard_nothing => Some(Owed::Ears),
            Some(owed) => Some(owed),
            None => answer_owed.then_some(Owed::Answer),
        };
        self.link.owed = owed.or(self.link.owed);
        self.open_link();
    }

    /// No more sound comes of what was being made. What did come is played to its end.
    fn break_off(&mut self) -> Option<Owed> {
        let mut owed = None;
        // The next session does not know these items.
        for piece in self.replies.iter_mut().flat_map(|reply| &mut reply.pieces) {
            piece.item_id.clear();
        }
        let is_open = |reply: &Reply| reply.source == Source::Model && !reply.made;
        let open: Vec<_> = self.replies.iter().filter(|reply| is_open(reply)).map(|reply| reply.epoch).collect();
        for epoch in open {
            let Some(reply) = self.reply(epoch) else { continue };
            reply.response = None;
            reply.awaits_tools = false;
            reply.calls.clear();
            let (exact, has_sound) = (reply.exactly.is_some(), reply.samples() > 0);
            if has_sound {
                reply.broken = true;
                owed = Some(Owed::Rest);
                self.complete(epoch);
            } else if exact {
                // A line of ours: a voice says it.
                self.reply_failed(epoch, LlmFailure::Unavailable);
            } else {
                self.replies.retain(|reply| reply.epoch != epoch);
                owed = owed.or(Some(Owed::Answer));
            }
        }
        owed
    }

    fn give_up_model(&mut self) {
        // Whoever is saying goodbye already goes on doing so.
        if self.is_closing() {
            return;
        }
        self.begun = true;
        self.close_after_failure();
    }
}
