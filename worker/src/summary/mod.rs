//! What a finished conversation came to: a language model reads the transcript and fills a strict schema; where it cannot,
//! rules read what was noted while the call ran.
//!
//! Start with [`Summarizer::summarize`]; [`rules::judge`] is the fallback.

mod callback_time;
mod prompt;
pub mod rules;
mod schema;

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::conversation::{Disposition, Notes, Summary};
use shared::turn::Turn;

use crate::config::LlmConfig;

pub use callback_time::callback_time;
pub use schema::Problem;

/// A summary is a few hundred words; a model that writes more is cut off, and asked again.
const MAX_COMPLETION_TOKENS: u32 = 1_500;
/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 500_000;
const TIMEOUT: Duration = Duration::from_secs(60);

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
    #[error("no language model is configured (OPENAI_API_KEY)")]
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

/// A client of one OpenAI-compatible API.
#[derive(Debug)]
pub struct Summarizer {
    http: reqwest::Client,
    endpoint: url::Url,
    key: Option<SecretString>,
    model: String,
}

impl Summarizer {
    /// # Errors
    /// A base URL that takes no path, or a TLS stack that does not start.
    pub fn new(config: &LlmConfig) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        let mut endpoint = config.openai_base_url.clone();
        endpoint
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("OPENAI_BASE_URL takes no path"))?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        let key = config.openai_api_key.clone().filter(|key| !key.expose_secret().is_empty());
        Ok(Self { http, endpoint, key, model: config.summary_model().to_owned() })
    }

    /// Asks the model once.
    ///
    /// # Errors
    /// See [`SummaryError`]. Asking again is safe; it costs tokens.
    pub async fn summarize(&self, conversation: &Conversation) -> Result<Summary, SummaryError> {
        let key = self.key.as_ref().ok_or(SummaryError::NotConfigured)?;
        let body = serde_json::json!({
            "model": self.model,
            "messages": prompt::messages(conversation),
            "reasoning_effort": "none",
            "max_completion_tokens": MAX_COMPLETION_TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": "call_summary", "strict": true, "schema": schema::json_schema() },
            },
        });
        let request = self.http.post(self.endpoint.clone()).bearer_auth(key.expose_secret()).json(&body);
        let unreachable = |error: reqwest::Error| SummaryError::Unreachable(error.without_url());
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(SummaryError::Unusable(Problem::NotTheSchema("the answer is far too long".into())));
            }
            answer.extend_from_slice(&chunk);
        }
        if status != 200 {
            return Err(refused(status, &answer, retry_after));
        }
        let text = content(&answer).map_err(SummaryError::Unusable)?;
        let filled = schema::read(&text).map_err(SummaryError::Unusable)?;
        Ok(filled.into_summary(conversation, self.model.clone()))
    }
}

/// `retry-after-ms`, else `retry-after` in whole seconds.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number("retry-after-ms").map(Duration::from_millis).or_else(|| number("retry-after").map(Duration::from_secs))
}

fn refused(status: u16, answer: &[u8], retry_after: Option<Duration>) -> SummaryError {
    #[derive(Default, Deserialize)]
    struct Failure {
        error: Detail,
    }
    #[derive(Default, Deserialize)]
    struct Detail {
        code: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let detail = serde_json::from_slice::<Failure>(answer).unwrap_or_default().error;
    let code = detail.code.or(detail.kind).unwrap_or_else(|| "no code".into());
    // A spent quota comes as 429 too, and no patience helps against it.
    if status == 429 && code != "insufficient_quota" {
        return SummaryError::RateLimited { retry_after };
    }
    SummaryError::Status { status, code }
}

/// The text of the one choice.
fn content(answer: &[u8]) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Completion {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        message: Message,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Option<String>,
        refusal: Option<String>,
    }
    let completion: Completion =
        serde_json::from_slice(answer).map_err(|error| Problem::NotTheSchema(error.to_string()))?;
    let choice = completion.choices.into_iter().next().ok_or(Problem::Empty)?;
    if choice.message.refusal.is_some() || choice.finish_reason.as_deref() == Some("content_filter") {
        return Err(Problem::Refused);
    }
    if choice.finish_reason.as_deref() == Some("length") {
        return Err(Problem::CutOff);
    }
    choice.message.content.filter(|content| !content.trim().is_empty()).ok_or(Problem::Empty)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_quota_is_not_a_rate_limit() {
        let quota = br#"{"error":{"message":"..","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert!(matches!(refused(429, quota, None), SummaryError::Status { status: 429, .. }));
        let rate = br#"{"error":{"message":"..","type":"requests","code":"rate_limit_exceeded"}}"#;
        assert!(matches!(refused(429, rate, None), SummaryError::RateLimited { .. }));
    }

    #[test]
    fn a_refusal_a_cut_and_an_empty_answer_are_told_apart() {
        let answer = |message: &str, finish: &str| {
            content(format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{finish}"}}]}}"#).as_bytes())
        };
        assert!(matches!(answer(r#"{"content":null,"refusal":"no"}"#, "stop"), Err(Problem::Refused)));
        assert!(matches!(answer(r#"{"content":"{"}"#, "length"), Err(Problem::CutOff)));
        assert!(matches!(answer(r#"{"content":" "}"#, "stop"), Err(Problem::Empty)));
        assert!(answer(r#"{"content":"{}"}"#, "stop").is_ok());
    }
}
