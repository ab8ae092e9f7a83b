//! A small client of one OpenAI-compatible API, for conversations that are held turn by turn: a whole answer, not a stream of it.
//!
//! `media` has its own, which streams; what the two share is the wire alone.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

/// A spoken answer is short; a longer one is a runaway.
const MAX_COMPLETION_TOKENS: u32 = 300;
const MAX_ANSWER_BYTES: usize = 200_000;
/// Requests for one answer: each function that is called costs one.
const MAX_ROUNDS: usize = 3;

#[derive(Clone, Debug)]
pub struct Llm {
    http: reqwest::Client,
    endpoint: Url,
    key: SecretString,
    model: String,
}

/// What the model says, and does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub text: String,
    /// It has said goodbye.
    pub ends: bool,
    /// The human forbids further calls, in these words.
    pub opts_out: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    #[error("the language model is out of reach")]
    Unreachable(#[source] reqwest::Error),
    #[error("the language model answered with status {0}")]
    Status(u16),
    #[error("the language model's answer cannot be used")]
    Unusable,
}

#[derive(Debug, Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    tool_calls: Vec<ToolCall>,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
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

    /// The answer to a conversation, system prompt first. Bound it by a timeout.
    ///
    /// # Errors
    /// See [`LlmError`].
    pub async fn reply(&self, mut messages: Vec<Value>, model: Option<&str>) -> Result<Reply, LlmError> {
        let mut reply = Reply::default();
        for _ in 0..MAX_ROUNDS {
            let said = self.ask(&messages, model).await?;
            if let Some(text) = said.content.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                reply.text = text.to_owned();
            }
            for call in &said.tool_calls {
                match call.function.name.as_str() {
                    "end_call" => reply.ends = true,
                    "mark_do_not_call" => {
                        let arguments: Value = serde_json::from_str(&call.function.arguments).unwrap_or_default();
                        let note = arguments["note"].as_str().unwrap_or("asked in the call");
                        reply.opts_out = Some(note.to_owned());
                    }
                    _ => {}
                }
            }
            if said.tool_calls.is_empty() || !reply.text.is_empty() {
                break;
            }
            messages.push(json!({
                "role": "assistant", "content": null,
                "tool_calls": said.tool_calls.iter().map(|call| json!({
                    "id": call.id, "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                })).collect::<Vec<_>>(),
            }));
            messages.extend(
                said.tool_calls.iter().map(|call| json!({"role": "tool", "tool_call_id": call.id, "content": "ok"})),
            );
        }
        // Without a word there is nothing to say, unless the conversation is over.
        if reply.text.is_empty() && !reply.ends { Err(LlmError::Unusable) } else { Ok(reply) }
    }

    async fn ask(&self, messages: &[Value], model: Option<&str>) -> Result<Message, LlmError> {
        let body = json!({
            "model": model.unwrap_or(&self.model),
            "messages": messages,
            "reasoning_effort": "none",
            "max_completion_tokens": MAX_COMPLETION_TOKENS,
            "tools": tools(),
        });
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
        completion.choices.into_iter().next().map(|choice| choice.message).ok_or(LlmError::Unusable)
    }
}

fn tools() -> Value {
    let tool = |name: &str, description: &str, properties: Value| {
        let required: Vec<&String> = properties.as_object().into_iter().flat_map(|map| map.keys()).collect();
        json!({"type": "function", "function": {
            "name": name, "description": description, "strict": true,
            "parameters": {"type": "object", "required": required, "properties": properties, "additionalProperties": false},
        }})
    };
    json!([
        tool("end_call", "Ends the call after your goodbye.", json!({"reason": {"type": "string"}})),
        tool(
            "mark_do_not_call",
            "The person does not want to be called again.",
            json!({"note": {"type": ["string", "null"]}}),
        ),
    ])
}
