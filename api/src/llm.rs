//! A small client of one OpenAI-compatible API, for conversations that are held turn by turn: a whole answer, not a stream of it.
//!
//! `media` has its own, which streams; what the two share is the wire alone.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::agent_tool::ToolSpec;
use shared::conversation_event::LlmFailure;
use shared::ledger::{Unit, Used};
use shared::provider::Vendor;
use url::Url;

/// A spoken answer is short; a longer one is a runaway.
const MAX_COMPLETION_TOKENS: u32 = 400;
const MAX_ANSWER_BYTES: usize = 200_000;

#[derive(Clone, Debug)]
pub struct Llm {
    http: reqwest::Client,
    endpoint: Url,
    key: SecretString,
    model: String,
}

/// What the model says, and calls: one, the other, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub calls: Vec<ToolCall>,
    /// What the answer cost, in tokens.
    pub used: Vec<Used>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// JSON text as the model wrote it.
    pub arguments: String,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// In the wire's words, system prompt first.
    pub messages: &'a [Value],
    pub tools: &'a [ToolSpec],
    /// Instead of the installation's.
    pub model: Option<&'a str>,
    /// Requests that begin alike share it.
    pub cache_key: &'a str,
}

#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    #[error("the language model is out of reach")]
    Unreachable(#[source] reqwest::Error),
    #[error("the language model answered with status {0}")]
    Status(u16),
    #[error("the language model's answer cannot be used")]
    Unusable,
    #[error("the language model will not answer")]
    Refused,
    #[error("the language model said nothing")]
    Empty,
}

impl LlmError {
    /// By what may be done next.
    #[must_use]
    pub const fn failure(&self) -> LlmFailure {
        match self {
            Self::Status(429) => LlmFailure::RateLimited,
            Self::Status(408 | 500..) | Self::Unreachable(_) | Self::Unusable => LlmFailure::Unavailable,
            Self::Status(_) => LlmFailure::Misconfigured,
            Self::Refused => LlmFailure::Refused,
            Self::Empty => LlmFailure::Empty,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: i64,
    completion_tokens: i64,
    prompt_tokens_details: Option<PromptTokens>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PromptTokens {
    cached_tokens: i64,
}

impl Usage {
    fn of(self, model: &str) -> Vec<Used> {
        let cached = self.prompt_tokens_details.unwrap_or_default().cached_tokens;
        let units = [
            (Unit::LlmInputToken, self.prompt_tokens - cached),
            (Unit::LlmCachedToken, cached),
            (Unit::LlmOutputToken, self.completion_tokens),
        ];
        let used = |(unit, quantity)| Used {
            provider: Vendor::OpenAi.as_str().to_owned(),
            model: model.to_owned(),
            unit,
            quantity,
        };
        units.map(used).into_iter().filter(|used| used.quantity > 0).collect()
    }
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Called>>,
}

#[derive(Debug, Deserialize)]
struct Called {
    id: String,
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    arguments: String,
}

impl Llm {
    /// # Errors
    /// A base URL that takes no path, or a TLS stack that does not start.
    pub fn new(base: &Url, key: SecretString, model: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        let mut endpoint = base.clone();
        endpoint
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("OPENAI_BASE_URL takes no path"))?
            .pop_if_empty()
            .extend(["chat", "completions"]);
        Ok(Self { http, endpoint, key, model: model.to_owned() })
    }

    /// The model's answer to one request. Bound it by a timeout.
    ///
    /// # Errors
    /// See [`LlmError`].
    pub async fn ask(&self, question: Question<'_>) -> Result<Said, LlmError> {
        let body = self.body(question);
        let request = self.http.post(self.endpoint.clone()).bearer_auth(self.key.expose_secret()).json(&body);
        let unreachable = |error: reqwest::Error| LlmError::Unreachable(error.without_url());
        let mut response = request.send().await.map_err(unreachable)?;
        if !response.status().is_success() {
            return Err(LlmError::Status(response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(LlmError::Unusable);
            }
            answer.extend_from_slice(&chunk);
        }
        let completion: Completion = serde_json::from_slice(&answer).map_err(|_error| LlmError::Unusable)?;
        let mut said = said(completion.choices.into_iter().next().ok_or(LlmError::Unusable)?)?;
        said.used = completion.usage.of(question.model.unwrap_or(&self.model));
        Ok(said)
    }

    /// As `media` asks the same wire.
    fn body(&self, question: Question<'_>) -> Value {
        let mut body = json!({
            "model": question.model.unwrap_or(&self.model),
            "messages": question.messages,
            // Models that reason by default would think for seconds.
            "reasoning_effort": "none",
            "max_completion_tokens": MAX_COMPLETION_TOKENS,
            "prompt_cache_key": question.cache_key,
        });
        if !question.tools.is_empty() {
            body["tools"] = question.tools.iter().map(tool).collect();
            body["tool_choice"] = "auto".into();
            body["parallel_tool_calls"] = false.into();
        }
        body
    }
}

fn tool(spec: &ToolSpec) -> Value {
    json!({"type": "function", "function": {"name": spec.name, "description": spec.description, "strict": true,
        "parameters": spec.parameters}})
}

fn said(Choice { message, finish_reason }: Choice) -> Result<Said, LlmError> {
    let is_cut = finish_reason.as_deref() == Some("length");
    let text = message.content.as_deref().unwrap_or_default().trim();
    let text = if is_cut { whole_sentences(text) } else { text }.to_owned();
    let call =
        |called: Called| ToolCall { id: called.id, name: called.function.name, arguments: called.function.arguments };
    let calls: Vec<ToolCall> = message.tool_calls.unwrap_or_default().into_iter().map(call).collect();
    match (text.is_empty(), calls.is_empty()) {
        (true, true) if message.refusal.is_some() || finish_reason.as_deref() == Some("content_filter") => {
            Err(LlmError::Refused)
        }
        (true, true) => Err(LlmError::Empty),
        _ => Ok(Said { text, calls, used: Vec::new() }),
    }
}

/// Without the sentence in which the tokens ran out; all of it where it is the only one.
fn whole_sentences(text: &str) -> &str {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '।');
    let end = text.rfind(ends).map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    if end == 0 { text } else { &text[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(value: Value) -> Choice {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_answer_that_was_cut_off_ends_with_its_last_whole_sentence() {
        let cut = json!({"message": {"content": "It is near the lake. You can see"}, "finish_reason": "length"});
        assert_eq!(said(choice(cut)).unwrap().text, "It is near the lake.");
        assert_eq!(whole_sentences("यह झील के पास है। और"), "यह झील के पास है।");
        assert_eq!(whole_sentences("no end to it"), "no end to it");
    }

    #[test]
    fn nothing_is_an_error_that_tells_why() {
        let silent = said(choice(json!({"message": {"content": null, "tool_calls": null}})));
        assert_eq!(silent.unwrap_err().failure(), LlmFailure::Empty);
        let refused = said(choice(json!({"message": {"content": null, "refusal": "I cannot."}})));
        assert_eq!(refused.unwrap_err().failure(), LlmFailure::Refused);
        for (status, failure) in [
            (429, LlmFailure::RateLimited),
            (503, LlmFailure::Unavailable),
            (401, LlmFailure::Misconfigured),
            (404, LlmFailure::Misconfigured),
        ] {
            assert_eq!(LlmError::Status(status).failure(), failure, "{status}");
        }
    }
}
