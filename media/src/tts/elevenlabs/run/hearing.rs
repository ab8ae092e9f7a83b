//! What the provider sends: sound, the ends of contexts, complaints.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message as Frame, protocol::CloseFrame};

use super::{Gone, Run};
use crate::{
    provider::{Provider, ProviderError, count_error},
    tts::{
        FirstSound, SpeechAudio, TtsEvent,
        cache::PhraseKey,
        elevenlabs::{
            context::{Completed, Stretch},
            message::{self, Message},
        },
    },
};

/// Messages that could not be read before the connection is given up.
const MAX_MALFORMED: u32 = 20;

impl Run {
    pub(super) async fn heard(&mut self, frame: Option<Result<Frame, Error>>) -> Result<(), Gone> {
        match frame {
            Some(Ok(Frame::Text(text))) => match message::parse(&text) {
                Ok(message) => self.message(message).await,
                Err(_malformed) => self.unreadable().await,
            },
            Some(Ok(Frame::Close(close))) => self.lost(closed(close.as_ref())).await,
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => self.lost(ProviderError::Cut { cause: "socket".into() }).await,
            None => self.lost(ProviderError::Cut { cause: "closed".into() }).await,
        }
    }

    async fn unreadable(&mut self) -> Result<(), Gone> {
        metrics::counter!("malformed_frames_total", "from" => "elevenlabs").increment(1);
        self.malformed += 1;
        if self.malformed > MAX_MALFORMED {
            return self.lost(ProviderError::Cut { cause: "malformed".into() }).await;
        }
        Ok(())
    }

    async fn message(&mut self, message: Message<'_>) -> Result<(), Gone> {
        let at = match &message.context {
            Some(id) => self.contexts.iter().position(|context| context.id == **id),
            None => None,
        };
        if let Some(code) = message.error {
            return match at {
                Some(at) => self.fail_context(at, complaint(code)).await,
                None => self.lost(complaint(code)).await,
            };
        }
        let Some(at) = at else {
            if message.audio.is_some() {
                metrics::counter!("tts_late_audio_total").increment(1);
            }
            return Ok(());
        };
        let context = &mut self.contexts[at];
        context.active_at = Instant::now();
        if let (Some(audio), Some(epoch), false) = (&message.audio, context.epoch, context.cancelled) {
            let Ok(samples) = context.decode(audio) else { return self.unreadable().await };
            self.failures = 0;
            let (phrases, voice) = (&self.client.phrases, &self.voice);
            let keep = |done: Completed| {
                phrases.put(PhraseKey { voice: Arc::clone(voice), text: done.text.into() }, done.samples)
            };
            let stretches = context.attribute(&samples, message.alignment, keep);
            let received_at = context.active_at;
            let mut first = context.asked_at.take().map(|asked_at| FirstSound { asked_at, received_at });
            for Stretch { clause, samples, alignment } in stretches {
                let audio = SpeechAudio { samples: samples.into(), permit: None };
                self.emit(TtsEvent::Audio { epoch, clause, audio, alignment, first: first.take() }).await?;
            }
        } else if message.audio.is_some() {
            metrics::counter!("tts_late_audio_total").increment(1);
        }
        if message.is_final {
            self.context_ended(at).await?;
            self.send_due().await?;
        }
        Ok(())
    }

    /// The provider has closed a context: its place is free again.
    pub(super) async fn context_ended(&mut self, at: usize) -> Result<(), Gone> {
        let mut context = self.contexts.remove(at);
        let Some(epoch) = context.epoch.filter(|_| !context.cancelled) else { return Ok(()) };
        // A clause that was not heard was not spoken, whatever the provider says.
        if let Some(unheard) = context.clauses.iter().find(|c| !c.is_about_heard()) {
            let error = ProviderError::Cut { cause: "ended_early".into() };
            count_error(Provider::ElevenLabs, &error);
            return self.emit(TtsEvent::Failed { epoch, clause: unheard.number, error }).await;
        }
        let (phrases, voice) = (&self.client.phrases, &self.voice);
        context.complete_all(|done| {
            phrases.put(PhraseKey { voice: Arc::clone(voice), text: done.text.into() }, done.samples);
        });
        // Otherwise the reply goes on in a new context when its next clause comes.
        if context.finished { self.emit(TtsEvent::Done { epoch }).await } else { Ok(()) }
    }

    pub(super) async fn fail_context(&mut self, at: usize, error: ProviderError) -> Result<(), Gone> {
        count_error(Provider::ElevenLabs, &error);
        let context = &mut self.contexts[at];
        let failed = context.epoch.filter(|_| !context.cancelled).zip(context.current());
        context.cancelled = true;
        context.clauses.clear();
        if let Some((epoch, clause)) = failed {
            self.emit(TtsEvent::Failed { epoch, clause, error }).await?;
        }
        self.send_due().await
    }
}

/// An error message of the provider, by its code.
fn complaint(code: String) -> ProviderError {
    match &*code {
        "too_many_concurrent_requests" | "system_busy" | "rate_limit_exceeded" => {
            ProviderError::RateLimited { retry_after: None }
        }
        "quota_exceeded"
        | "invalid_api_key"
        | "voice_not_found"
        | "only_for_creator"
        | "max_character_limit_exceeded" => ProviderError::Rejected { code },
        _ => ProviderError::Cut { cause: code },
    }
}

/// A close frame; 1008 carries the error as JSON in its reason.
fn closed(frame: Option<&CloseFrame>) -> ProviderError {
    let Some(frame) = frame else { return ProviderError::Cut { cause: "closed_1005".into() } };
    match crate::provider::error_code(frame.reason.as_bytes()) {
        Some(code) => complaint(code),
        None => ProviderError::Cut { cause: format!("closed_{}", u16::from(frame.code)) },
    }
}
