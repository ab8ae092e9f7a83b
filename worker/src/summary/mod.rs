//! What a finished conversation came to: a language model reads the transcript and fills a strict schema; where it cannot,
//! rules read what was noted while the call ran.
//!
//! Start with [`Summarizer::summarize`]; [`rules::judge`] is the fallback.

mod callback_time;
mod model;
mod prompt;
pub mod rules;
mod schema;

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use shared::conversation::{Disposition, Notes, Summary};
use shared::ledger::Used;
use shared::turn::Turn;

use crate::config::LlmConfig;
use model::Model;

pub use callback_time::callback_time;
pub use schema::Problem;

/// All there is to know about a finished conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub turns: Vec<Turn>,
    pub notes: Option<Notes>,
    /// What the list says about the human, as the agent knew it.
    pub lead: serde_json::Map<String, serde_json::Value>,
    /// The end of the call, in the lead's own zone.
    pub ended_at: DateTime<Tz>,
}

/// Why there is no summary, by what may be done next.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    #[error("no language model is configured: there is a key for none")]
    NotConfigured,
    #[error("the language model asks for patience")]
    RateLimited { retry_after: Option<Duration> },
    #[error("the language model is out of reach")]
    Unreachable(#[source] reqwest::Error),
    #[error("the language model answered with status {status} ({code})")]
    Status { status: u16, code: String },
    #[error("the language model's answer cannot be used")]
    Unusable(#[source] Problem),
}

/// What the model made of a conversation, and what it used for that: also where it is of no use.
pub struct Attempt {
    pub summary: Result<Summary, SummaryError>,
    pub used: Vec<Used>,
}

/// Has conversations read by the language model of this installation.
#[derive(Debug)]
pub struct Summarizer {
    model: Option<Model>,
}

impl Summarizer {
    /// # Errors
    /// A base URL that takes no path, or a TLS stack that does not start.
    pub fn new(config: &LlmConfig) -> anyhow::Result<Self> {
        Ok(Self { model: Model::new(config)? })
    }

    /// Asks the model once. Asking again is safe; it costs tokens.
    pub async fn summarize(&self, conversation: &Conversation) -> Attempt {
        let Some(model) = &self.model else {
            return Attempt { summary: Err(SummaryError::NotConfigured), used: Vec::new() };
        };
        let asked = model.ask(conversation).await;
        let filled = asked.text.and_then(|text| schema::read(&text).map_err(SummaryError::Unusable));
        let summary = filled.map(|filled| filled.into_summary(conversation, model.name.clone()));
        Attempt { summary, used: asked.used }
    }
}

/// What is written of a callback, whoever judged the conversation.
struct Callback {
    disposition: Disposition,
    wanted: bool,
    at: Option<DateTime<Utc>>,
}

impl Callback {
    /// A wish that was noted while the human spoke outvotes the judgement of it afterwards: they were told when they will be
    /// called. Qualified they may be all the same, and somebody who must not be called is not. The moment that was understood
    /// in the call comes first, then the model's, then the words.
    fn weigh(
        conversation: &Conversation,
        judged: Disposition,
        from_model: Option<DateTime<Utc>>,
        words: Option<&str>,
    ) -> Self {
        let notes = conversation.notes.as_ref();
        let live = notes.is_some_and(Notes::wants_callback);
        let disposition = match judged {
            Disposition::Qualified | Disposition::DoNotCall => judged,
            _ if live => Disposition::CallbackRequested,
            _ => judged,
        };
        let wanted = disposition == Disposition::CallbackRequested || (live && disposition != Disposition::DoNotCall);
        // What was noted and taken back names no moment any more.
        let noted = notes.filter(|_| live).and_then(|notes| {
            notes.callback_at.or_else(|| callback_time(notes.callback_text.as_deref()?, conversation.ended_at))
        });
        let at = noted.or(from_model).or_else(|| callback_time(words?, conversation.ended_at)).filter(|_| wanted);
        Self { disposition, wanted, at }
    }
}
