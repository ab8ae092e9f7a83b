//! Who decides in a call: the dialogue over transcriber, language model and voice, or the conversation of one model that hears and
//! speaks. To the session they are the same.

use crate::{
    dialogue::{CallTime, Dialogue, Epoch, Input, Phase, Snapshot},
    provider::ProviderError,
    realtime::{Conversation, Order, ServerEvent},
};

pub(super) enum Engine {
    Cascade(Box<Dialogue>),
    SpeechToSpeech(Box<Conversation>),
}

impl Engine {
    pub(super) fn handle(&mut self, now: CallTime, input: Input) {
        match self {
            Self::Cascade(dialogue) => dialogue.handle(now, input),
            Self::SpeechToSpeech(conversation) => conversation.handle(now, input),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Order> {
        match self {
            Self::Cascade(dialogue) => dialogue.poll_output().map(Order::Do),
            Self::SpeechToSpeech(conversation) => conversation.poll(),
        }
    }

    pub(super) fn deadline(&self) -> Option<CallTime> {
        match self {
            Self::Cascade(dialogue) => dialogue.deadline().map(|(at, _)| at),
            Self::SpeechToSpeech(conversation) => conversation.deadline(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Cascade(dialogue) => dialogue.phase(),
            Self::SpeechToSpeech(conversation) => conversation.phase(),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        match self {
            Self::Cascade(dialogue) => dialogue.snapshot(),
            Self::SpeechToSpeech(conversation) => conversation.snapshot(),
        }
    }

    // ---- of speech to speech alone ------------------------------------------------------------------------------------

    pub(super) fn audible(&self) -> Option<Epoch> {
        match self {
            Self::Cascade(_) => None,
            Self::SpeechToSpeech(conversation) => conversation.audible(),
        }
    }

    pub(super) fn hear(&mut self, now: CallTime, event: ServerEvent) -> Option<Epoch> {
        match self {
            Self::Cascade(_) => None,
            Self::SpeechToSpeech(conversation) => conversation.hear(now, event),
        }
    }

    pub(super) fn ready(&mut self, now: CallTime) {
        if let Self::SpeechToSpeech(conversation) = self {
            conversation.ready(now);
        }
    }

    pub(super) fn lost(&mut self, now: CallTime, error: &ProviderError) {
        if let Self::SpeechToSpeech(conversation) = self {
            conversation.lost(now, error);
        }
    }
}
