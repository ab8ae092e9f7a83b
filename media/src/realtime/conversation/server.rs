//! What the server says of the conversation it holds. What belongs to something given up is dropped here, by the response's id.

use super::reply::{Kind, Source};
use super::speaking::MOST_SAMPLES;
use super::{Conversation, MOST_REPLIES, Order};
use crate::dialogue::{CallTime, Epoch, LlmFailure};
use crate::realtime::wire::{ClientEvent, ServerEvent, Status};

impl Conversation {
    /// Takes one message of the server's. For sound, the reply that its samples belong to, unless nobody wants them.
    pub fn hear(&mut self, now: CallTime, event: ServerEvent) -> Option<Epoch> {
        self.at(now);
        if self.ended {
            return None;
        }
        let wanted = self.take(event);
        self.advance();
        wanted
    }

    fn take(&mut self, event: ServerEvent) -> Option<Epoch> {
        match event {
            ServerEvent::Audio { response_id, item_id, samples } => {
                return self.on_sound(&response_id, &item_id, samples);
            }
            ServerEvent::SpeechStarted { item_id } => self.on_speech_started(&item_id),
            ServerEvent::SpeechStopped { .. } => self.on_speech_stopped(),
            ServerEvent::Committed { item_id } => self.on_committed(&item_id),
            ServerEvent::TranscriptDelta { item_id, delta } => self.on_words(&item_id, &delta, false),
            ServerEvent::Transcribed { item_id, text } => self.on_words(&item_id, &text, true),
            ServerEvent::NotTranscribed { item_id } => {
                self.metric("not_transcribed");
                self.turns.no_more_words(&item_id);
            }
            ServerEvent::ResponseCreated { response_id, epoch } => self.on_response(response_id, epoch),
            ServerEvent::TextDelta { response_id, item_id, delta } => {
                self.on_text(&response_id, &item_id, |text| text.push_str(&delta));
            }
            ServerEvent::Text { response_id, item_id, text } => {
                self.on_text(&response_id, &item_id, |known| known.clone_from(&text));
            }
            ServerEvent::Call { response_id, call_id, name, arguments } => {
                self.on_call(&response_id, call_id, name, arguments);
            }
            ServerEvent::ResponseDone { response_id, status, .. } => self.on_response_done(&response_id, status),
            ServerEvent::Complaint { .. } => self.metric("complaint"),
            ServerEvent::Ready | ServerEvent::Failed(_) | ServerEvent::Noted | ServerEvent::Unknown => {}
        }
        None
    }

    fn on_response(&mut self, response_id: String, epoch: Option<Epoch>) {
        let now = self.now;
        if let Some(epoch) = epoch {
            let awaiting = self.reply(epoch).filter(|reply| reply.awaits_response);
            return match awaiting {
                Some(reply) => {
                    reply.awaits_response = false;
                    reply.asked = now;
                    reply.response = Some(response_id);
                }
                None => self.tell(ClientEvent::Cancel { response_id }),
            };
        }
        let owed = self.awaited.take().is_some();
        // Two answers to one turn would be one too many: ours was asked for because the server's was late.
        let asked_anew = self.replies.iter().any(|reply| reply.kind == Kind::Answer && reply.awaits_response);
        if !owed || !self.may_answer() || asked_anew || self.replies.len() >= MOST_REPLIES {
            return self.refuse(response_id);
        }
        let mut reply = self.new_reply(Kind::Answer, Source::Model);
        reply.response = Some(response_id);
        self.replies.push_back(reply);
    }

    /// An answer that nobody wants. While it was being made the server has refused whatever we asked for.
    fn refuse(&mut self, response_id: String) {
        self.tell(ClientEvent::Cancel { response_id });
        let awaiting = self.replies.iter().find(|reply| reply.awaits_response);
        let asked = awaiting.map(|reply| {
            let words = if reply.awaits_tools { Some(&self.lines.filler) } else { reply.exactly.as_ref() };
            (reply.epoch, words.cloned())
        });
        if let Some((epoch, exactly)) = asked {
            self.tell(ClientEvent::Ask { epoch, exactly });
        }
    }

    fn on_sound(&mut self, response_id: &str, item_id: &str, samples: u32) -> Option<Epoch> {
        let now = self.now;
        let reply = self.replies.iter_mut().find(|reply| reply.response.as_deref() == Some(response_id))?;
        if samples == 0 {
            return None;
        }
        let epoch = reply.epoch;
        if reply.samples() + u64::from(samples) > MOST_SAMPLES {
            self.metric("answer_too_long");
            self.model_failed(epoch, LlmFailure::Unavailable);
            return None;
        }
        reply.sound(now, item_id, samples);
        Some(epoch)
    }

    fn on_text(&mut self, response_id: &str, item_id: &str, change: impl FnOnce(&mut String)) {
        let now = self.now;
        let making = self.replies.iter_mut().find(|reply| reply.response.as_deref() == Some(response_id));
        let Some(reply) = making else { return };
        reply.latency.first_token.get_or_insert(now);
        reply.moved = now;
        change(&mut reply.piece(item_id).text);
    }

    fn on_response_done(&mut self, response_id: &str, status: Status) {
        let making = self.replies.iter_mut().find(|reply| reply.response.as_deref() == Some(response_id));
        let Some(reply) = making else { return };
        reply.response = None;
        reply.finish_pieces();
        let epoch = reply.epoch;
        if !reply.calls.is_empty() {
            return self.after_calls(epoch);
        }
        // Nothing more to say after what was said with the calls is no failure.
        if reply.samples() > 0 || reply.called > 0 && status == Status::Completed {
            return self.complete(epoch);
        }
        let failure = match status {
            Status::Failed | Status::Cancelled => LlmFailure::Unavailable,
            Status::Incomplete => LlmFailure::Refused,
            Status::Completed => LlmFailure::Empty,
        };
        self.reply_failed(epoch, failure);
    }

    /// All its sound has come.
    pub(super) fn complete(&mut self, epoch: Epoch) {
        if let Some(reply) = self.reply(epoch) {
            reply.complete();
            self.orders.push_back(Order::Complete(epoch));
        }
    }
}
