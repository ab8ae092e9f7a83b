//! The voice of one context: makes the audio of its texts, one after the other, faster than it is
//! spoken but not at once.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Settings,
    audio::{self, Chunk, Format},
    contexts::Kind,
    error::Error,
};
use crate::world::World;

/// What a speaker hands to its socket.
#[derive(Debug)]
pub(super) enum Out {
    Message(Value),
    /// The socket is to be closed with 1008.
    Violation(Error),
    /// The connection is to break.
    Cut,
}

/// A text to speak, and when it was asked for.
pub(super) struct Piece {
    pub text: String,
    pub asked_at: Instant,
}

pub(super) struct Speaker {
    pub world: Arc<World>,
    pub settings: Arc<Settings>,
    pub kind: Kind,
    pub voice: String,
    pub format: Format,
    pub context: String,
    /// `"{voice} {query} {context}"`.
    pub fault_key: String,
    pub out: mpsc::Sender<Out>,
}

/// The socket is gone, or shall not hear more from this context.
struct Silenced;

impl Speaker {
    /// Speaks until the context is closed, then says that it is final.
    pub(super) async fn run(self, mut pieces: mpsc::Receiver<Piece>) {
        let mut last = None;
        while let Some(piece) = pieces.recv().await {
            match self.speak(piece).await {
                Ok(chunk) => last = chunk.or(last),
                Err(Silenced) => return,
            }
        }
        let data = json!({ "voice": self.voice, "context": self.context });
        self.world.log.record("elevenlabs", "context.final", data);
        let is_final = if self.settings.other_spelling { "is_final" } else { "isFinal" };
        let told = self.send(self.named(json!({ is_final: true }))).await;
        if told.is_ok()
            && let Some(chunk) = last
            && self.fault("elevenlabs.late_audio_after_close").is_some()
        {
            sleep(Duration::from_millis(150)).await;
            // Whether it is still wanted is the client's business; that is what the fault is for.
            let _silenced = self.send(self.audio(&chunk)).await.is_err();
        }
    }

    async fn speak(&self, piece: Piece) -> Result<Option<Chunk>, Silenced> {
        if self.fault("elevenlabs.quota").is_some() {
            // A socket that is gone needs no reason.
            let _gone = self.out.send(Out::Violation(Error::quota())).await.is_err();
            return Err(Silenced);
        }
        let utterance = self.world.speech.say(&piece.text, &self.voice).await;
        let data = json!({
            "voice": self.voice,
            "context": self.context,
            "text": piece.text,
            "characters": piece.text.chars().count(),
            "audio_ms": utterance.duration_ms(),
        });
        self.world.log.record("elevenlabs", "piece.spoken", data);

        let ms = |value: Value, otherwise: u64| value.as_u64().unwrap_or(otherwise);
        let ttfb_ms = self.fault("elevenlabs.slow").map_or(self.settings.ttfb_ms, |value| ms(value, 3_000));
        let stall_at = self.fault("elevenlabs.stall").map(|value| ms(value, 0));
        let cut_at = self.fault("elevenlabs.cut").map(|value| ms(value, 200));
        let odd = self.fault("elevenlabs.odd_chunks").is_some();

        let begins = (piece.asked_at + Duration::from_millis(ttfb_ms)).max(Instant::now());
        let mut last = None;
        for chunk in audio::chunks(&utterance, self.format, self.settings.chunk_ms, odd) {
            let made_after = chunk.starts_at_ms as f64 / self.settings.speed.max(0.1);
            sleep_until(begins + Duration::from_millis(made_after as u64)).await;
            if stall_at.is_some_and(|at| chunk.starts_at_ms >= at) {
                std::future::pending::<()>().await;
            }
            if cut_at.is_some_and(|at| chunk.starts_at_ms >= at) {
                let _gone = self.out.send(Out::Cut).await.is_err();
                return Err(Silenced);
            }
            self.send(self.audio(&chunk)).await?;
            last = Some(chunk);
        }
        Ok(last)
    }

    fn audio(&self, chunk: &Chunk) -> Value {
        let alignment = audio::alignment(&chunk.chars, self.settings.other_spelling);
        let is_final = if self.settings.other_spelling { "is_final" } else { "isFinal" };
        self.named(json!({
            "audio": STANDARD.encode(&chunk.bytes),
            is_final: null,
            "normalizedAlignment": alignment,
            "alignment": alignment,
        }))
    }

    /// With the name of the context, where there are names.
    fn named(&self, mut message: Value) -> Value {
        if self.kind == Kind::Multi {
            let name = if self.settings.other_spelling { "context_id" } else { "contextId" };
            message[name] = json!(self.context);
        }
        message
    }

    async fn send(&self, message: Value) -> Result<(), Silenced> {
        self.out.send(Out::Message(message)).await.map_err(|_closed| Silenced)
    }

    fn fault(&self, name: &str) -> Option<Value> {
        self.world.faults.take(name, &self.fault_key)
    }
}
