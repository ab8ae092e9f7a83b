//! Asking the language model that fills the form: OpenAI's wire and whoever else speaks it, or Anthropic's Messages.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::ledger::{Unit, Used};
use shared::provider::{LlmProvider, Provider as _, Vendor};

use super::{Conversation, Problem, SummaryError, prompt, schema};
use crate::config::LlmConfig;

/// A summary is a few hundred words; a model that writes more is cut off, and asked again.
const MAX_COMPLETION_TOKENS: u32 = 1_500;
/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 500_000;
const TIMEOUT: Duration = Duration::from_secs(60);
/// As live conversations use it.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// A client of one API.
#[derive(Debug)]
pub(super) struct Model {
    http: reqwest::Client,
    endpoint: url::Url,
    key: SecretString,
    vendor: Vendor,
    pub(super) name: String,
}

/// What one request came to, and what it used where the provider said so.
pub(super) struct Asked {
    pub(super) text: Result<String, SummaryError>,
    pub(super) used: Vec<Used>,
}

impl Model {
    /// `None` where there is a key for nobody.
    ///
    /// # Errors
    /// A base URL that takes no path, or a TLS stack that does not start.
    pub(super) fn new(config: &LlmConfig) -> anyhow::Result<Option<Self>> {
        let Some((provider, key)) = config.writer() else { return Ok(None) };
        let (base, variable, path): (_, _, &[&str]) = match provider {
            LlmProvider::OpenAi => (&config.openai_base_url, "OPENAI_BASE_URL", &["chat", "completions"]),
            LlmProvider::Gemini => (&config.gemini_base_url, "GEMINI_BASE_URL", &["chat", "completions"]),
            LlmProvider::Sarvam => (&config.sarvam_url, "SARVAM_URL", &["v1", "chat", "completions"]),
            LlmProvider::Anthropic => (&config.anthropic_base_url, "ANTHROPIC_BASE_URL", &["v1", "messages"]),
            LlmProvider::Bedrock => (&config.bedrock_base_url, "BEDROCK_BASE_URL", &["v1", "messages"]),
        };
        let mut endpoint = base.clone();
        let takes_no_path = |()| anyhow::anyhow!("{variable} takes no path");
        endpoint.path_segments_mut().map_err(takes_no_path)?.pop_if_empty().extend(path);
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        let (key, name) = (key.clone(), config.summary_model(provider).to_owned());
        Ok(Some(Self { http, endpoint, key, vendor: provider.vendor(), name }))
    }

    fn speaks_messages(&self) -> bool {
        matches!(self.vendor, Vendor::Anthropic | Vendor::Bedrock)
    }

    /// Asks once. Asking again is safe; it costs tokens.
    pub(super) async fn ask(&self, conversation: &Conversation) -> Asked {
        let mut used = Vec::new();
        let text = self.try_to_ask(conversation, &mut used).await;
        Asked { text, used }
    }

    async fn try_to_ask(&self, conversation: &Conversation, used: &mut Vec<Used>) -> Result<String, SummaryError> {
        let unreachable = |error: reqwest::Error| SummaryError::Unreachable(error.without_url());
        let mut response = self.request(conversation).send().await.map_err(unreachable)?;
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
        // Paid for, whatever it is worth.
        used.extend(usage(&answer).into_iter().map(|(unit, quantity)| Used {
            provider: self.vendor.as_str().to_owned(),
            model: self.name.clone(),
            unit,
            quantity,
        }));
        let text = if self.speaks_messages() { message(&answer) } else { completion(&answer) };
        text.map_err(SummaryError::Unusable)
    }

    fn request(&self, conversation: &Conversation) -> RequestBuilder {
        let (system, transcript) = prompt::parts(conversation);
        let request = self.http.post(self.endpoint.clone()).bearer_auth(self.key.expose_secret());
        if self.speaks_messages() {
            let body = json!({
                "model": self.name,
                "max_tokens": MAX_COMPLETION_TOKENS,
                "thinking": { "type": "disabled" },
                "system": system,
                "messages": [{ "role": "user", "content": transcript }],
                "output_config": { "format": { "type": "json_schema", "schema": schema::json_schema_without_bounds() } },
            });
            return request.header("anthropic-version", ANTHROPIC_VERSION).json(&body);
        }
        let mut body = json!({
            "model": self.name,
            "messages": [{ "role": "system", "content": system }, { "role": "user", "content": transcript }],
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": "call_summary", "strict": true, "schema": schema::json_schema() },
            },
        });
        let limit = if self.vendor == Vendor::OpenAi { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = MAX_COMPLETION_TOKENS.into();
        if self.vendor != Vendor::Sarvam {
            body["reasoning_effort"] = "none".into();
        }
        request.json(&body)
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
        // Gemini's is a number.
        code: Option<Value>,
        #[serde(rename = "type")]
        kind: Option<String>,
        status: Option<String>,
    }
    // Gemini wraps its error in a list. It is looked for first: a list is also read as an object's fields in their order.
    let wrapped = serde_json::from_slice::<[Failure; 1]>(answer).map(|[failure]| failure);
    let failure = wrapped.or_else(|_no_list| serde_json::from_slice::<Failure>(answer));
    let Detail { code, kind, status: name } = failure.unwrap_or_default().error;
    let code = code.and_then(|code| code.as_str().map(str::to_owned)).or(kind).or(name);
    let code = code.unwrap_or_else(|| "no code".into());
    // A spent quota comes as 429 too, and no patience helps against it.
    if status == 429 && code != "insufficient_quota" {
        return SummaryError::RateLimited { retry_after };
    }
    SummaryError::Status { status, code }
}

/// Tokens as either wire counts them. What Anthropic read from its cache or wrote to it is not part of its input.
fn usage(answer: &[u8]) -> Vec<(Unit, i64)> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let tokens = |path: &str| answer.pointer(path).and_then(Value::as_i64).unwrap_or_default().max(0);
    let (input, cached, output) = if answer.pointer("/usage/prompt_tokens").is_some() {
        let cached = tokens("/usage/prompt_tokens_details/cached_tokens");
        ((tokens("/usage/prompt_tokens") - cached).max(0), cached, tokens("/usage/completion_tokens"))
    } else {
        let input = tokens("/usage/input_tokens") + tokens("/usage/cache_creation_input_tokens");
        (input, tokens("/usage/cache_read_input_tokens"), tokens("/usage/output_tokens"))
    };
    let counted = [(Unit::LlmInputToken, input), (Unit::LlmCachedToken, cached), (Unit::LlmOutputToken, output)];
    counted.into_iter().filter(|(_, quantity)| *quantity > 0).collect()
}

/// The text of the one choice.
fn completion(answer: &[u8]) -> Result<String, Problem> {
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

/// The text of the first block that has some.
fn message(answer: &[u8]) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Block>,
        stop_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct Block {
        text: Option<String>,
    }
    let message: Message = serde_json::from_slice(answer).map_err(|error| Problem::NotTheSchema(error.to_string()))?;
    match message.stop_reason.as_deref() {
        Some("refusal") => return Err(Problem::Refused),
        Some("max_tokens" | "model_context_window_exceeded") => return Err(Problem::CutOff),
        _ => {}
    }
    message
        .content
        .into_iter()
        .filter_map(|block| block.text)
        .find(|text| !text.trim().is_empty())
        .ok_or(Problem::Empty)
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
        let gemini = br#"[{"error":{"code":400,"message":"..","status":"INVALID_ARGUMENT"}}]"#;
        assert!(matches!(refused(400, gemini, None), SummaryError::Status { code, .. } if code == "INVALID_ARGUMENT"));
    }

    #[test]
    fn a_refusal_a_cut_and_an_empty_answer_are_told_apart() {
        let answer = |message: &str, finish: &str| {
            completion(format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{finish}"}}]}}"#).as_bytes())
        };
        assert!(matches!(answer(r#"{"content":null,"refusal":"no"}"#, "stop"), Err(Problem::Refused)));
        assert!(matches!(answer(r#"{"content":"{"}"#, "length"), Err(Problem::CutOff)));
        assert!(matches!(answer(r#"{"content":" "}"#, "stop"), Err(Problem::Empty)));
        assert!(answer(r#"{"content":"{}"}"#, "stop").is_ok());

        let answer = |content: &str, stop: &str| {
            message(format!(r#"{{"content":{content},"stop_reason":"{stop}"}}"#).as_bytes())
        };
        assert!(matches!(answer("[]", "refusal"), Err(Problem::Refused)));
        assert!(matches!(answer(r#"[{"type":"text","text":"{"}]"#, "max_tokens"), Err(Problem::CutOff)));
        assert!(matches!(answer("[]", "end_turn"), Err(Problem::Empty)));
        assert_eq!(answer(r#"[{"type":"text","text":"{}"}]"#, "end_turn").unwrap(), "{}");
    }

    #[test]
    fn tokens_are_counted_once_in_either_wire() {
        let openai =
            br#"{"usage":{"prompt_tokens":100,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":60}}}"#;
        let expected = [(Unit::LlmInputToken, 40), (Unit::LlmCachedToken, 60), (Unit::LlmOutputToken, 7)];
        assert_eq!(usage(openai), expected);
        let anthropic = br#"{"usage":{"input_tokens":30,"cache_creation_input_tokens":10,"cache_read_input_tokens":60,"output_tokens":7}}"#;
        assert_eq!(usage(anthropic), expected);
        assert_eq!(usage(b"{}"), []);
    }
}
