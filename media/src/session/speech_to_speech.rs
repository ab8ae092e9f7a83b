//! What a call does for a model that hears and speaks: its socket's events in, its sound to the pacer, orders to it out.

use tokio::sync::mpsc;

use super::{actor::Actor, reservoir::Feed};
use crate::{
    pacer::PacerCommand,
    provider::{Provider, ProviderError},
    realtime::{Event, Link, Order, ServerEvent},
    tts::SpeechAudio,
};

impl Actor {
    pub(super) fn model_said(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Ready { after } => {
                let provider = Provider::OpenAi.as_str();
                metrics::histogram!("provider_connect_seconds", "provider" => provider).record(after);
                self.dialogue.ready(now);
            }
            Event::Lost(error) => {
                tracing::warn!(call_id = %self.held.call_id, kind = error.kind(), %error, "the model's socket is gone");
                self.dialogue.lost(now, &error);
            }
            Event::Said(event) => {
                if let ServerEvent::Committed { .. } = event {
                    self.asked_model_at = Some(now);
                }
                if let ServerEvent::Complaint { code } = &event {
                    metrics::counter!("speech_to_speech_complaints_total", "code" => code.clone()).increment(1);
                    tracing::warn!(call_id = %self.held.call_id, code, "the model's server complains");
                }
                self.dialogue.hear(now, event);
            }
            Event::Sound { event, codes } => {
                if let Some(epoch) = self.dialogue.hear(now, event) {
                    if let Some(asked_at) = self.asked_model_at {
                        self.clock.sounded(epoch, asked_at, now);
                    }
                    self.reservoir.push(epoch, codes);
                }
            }
        }
        self.carry_out();
    }

    /// What only such a model is asked.
    pub(super) fn perform_order(&mut self, order: Order) {
        match order {
            Order::Do(output) => self.perform(self.now(), output),
            Order::Open(session) => self.order_model(Link::Open(session)),
            Order::Tell(event) => self.order_model(Link::Tell(event)),
            Order::Complete(epoch) => self.reservoir.complete(epoch),
            Order::Discard(epoch) => self.reservoir.discard(epoch),
        }
    }

    /// Its queue holds far more than can be meant at once: full means that the socket has stopped.
    fn order_model(&mut self, order: Link) {
        let Some(orders) = &self.model else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = orders.try_send(order) {
            metrics::counter!("orders_lost_total", "to" => "speech_to_speech").increment(1);
            self.dialogue.lost(self.now(), &ProviderError::Cut { cause: "queue".into() });
        }
    }

    /// Gives the pacer what it should have of the reply that is heard.
    pub(super) fn feed(&mut self) {
        let Some(audible) = self.dialogue.audible() else { return };
        while let Some(feed) = self.reservoir.next(audible) {
            self.order(match feed {
                Feed::Play(epoch, samples) => {
                    PacerCommand::Play { epoch, clause: 0, audio: SpeechAudio { samples, permit: None } }
                }
                Feed::End(epoch) => PacerCommand::End { epoch },
            });
        }
    }
}
