//! The answer of the model as OpenAI words it, before it is cut into a stream.

use rand::RngExt;
use serde_json::{Value, json};

use super::{
    completions::Flavor,
    gemini,
    request::{Format, Request},
};
use crate::{
    brain::{self, Call},
    world::World,
};

/// Why the answer ended.
pub(super) type FinishReason = &'static str;

/// The whole answer to one request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub id: String,
    pub created: i64,
    pub text: Option<String>,
    pub refusal: Option<String>,
    /// Calls with their ids.
    pub calls: Vec<(String, Call)>,
    pub finish_reason: FinishReason,
    pub completion_tokens: usize,
    /// To be sent in pieces that cut characters apart.
    pub split_bytes: bool,
    pub flavor: Flavor,
}

impl Answer {
    pub(super) fn to(request: &Request, world: &World, flavor: Flavor) -> Self {
        let fault = |name: &str| world.faults.take(name, &request.fault_key);
        let mut answer = Self {
            id: random_id("chatcmpl-"),
            created: chrono::Utc::now().timestamp(),
            text: None,
            refusal: None,
            calls: Vec::new(),
            finish_reason: "stop",
            completion_tokens: 0,
            split_bytes: fault("openai.utf8_split").is_some(),
            flavor,
        };
        if fault("openai.refusal").is_some() {
            answer.refusal = Some("I'm sorry, but I can't help with that.".into());
        } else {
            answer.think(request, fault("openai.bad_json").is_some());
        }
        if answer.split_bytes {
            answer.text = answer.text.map(|text| format!("“{}” …", text.replace('\'', "’")));
        }
        let limit = fault("openai.length").map(|value| value.as_u64().unwrap_or(4) as usize).or(request.max_tokens);
        answer.cut(limit);
        answer
    }

    fn think(&mut self, request: &Request, bad_json: bool) {
        let schema = match &request.format {
            Format::Text => {
                let reply = brain::reply(&request.conversation);
                self.text = Some(reply.text).filter(|text| !text.is_empty());
                let id = || match self.flavor {
                    Flavor::OpenAi => random_id("call_"),
                    Flavor::Gemini => format!("function-call-{}", rand::rng().random::<u64>()),
                };
                self.calls = reply.calls.into_iter().map(|call| (id(), call)).collect();
                if !self.calls.is_empty() {
                    self.finish_reason = "tool_calls";
                }
                return;
            }
            Format::JsonObject => {
                json!({ "type": "object", "properties": { "summary": { "type": "string" }, "disposition": { "type": "string" } } })
            }
            Format::JsonSchema(schema) => schema.clone(),
        };
        let mut filled = brain::fill(&schema, &request.conversation);
        if bad_json {
            violate(&mut filled);
        }
        self.text = Some(filled.to_string());
    }

    /// Counts tokens, and keeps as many as are allowed. A cut answer says so.
    fn cut(&mut self, limit: Option<usize>) {
        let of_calls: usize = self.calls.iter().map(|(_, call)| tokens(&call.arguments.to_string()).count() + 4).sum();
        let text = self.text.as_deref().or(self.refusal.as_deref()).unwrap_or_default();
        let of_text = tokens(text).count();
        self.completion_tokens = of_text + of_calls;
        let Some(limit) = limit.filter(|limit| *limit < self.completion_tokens) else { return };
        self.text = Some(tokens(text).take(limit).collect());
        self.calls.clear();
        self.completion_tokens = limit;
        self.finish_reason = "length";
    }

    pub(super) fn usage(&self, request: &Request) -> Value {
        json!({
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": request.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": { "cached_tokens": request.prompt_tokens / 128 * 128 / 2, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0 },
        })
    }

    /// The body of an answer that is not streamed.
    pub(super) fn body(&self, request: &Request) -> Value {
        let mut message =
            json!({ "role": "assistant", "content": self.text, "refusal": self.refusal, "annotations": [] });
        if !self.calls.is_empty() && self.flavor == Flavor::Gemini {
            message["tool_calls"] = gemini::calls(&self.calls);
        } else if !self.calls.is_empty() {
            let call = |(id, call): &(String, Call)| json!({ "id": id, "type": "function", "function": { "name": call.name, "arguments": call.arguments.to_string() } });
            message["tool_calls"] = self.calls.iter().map(call).collect();
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": request.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason }],
            "usage": self.usage(request),
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
        })
    }
}

/// A text in pieces like a model's tokens: a word with the space before it, long words in parts.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    const LONGEST: usize = 6;
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest
            .char_indices()
            .enumerate()
            .skip(1)
            .find(|(count, (_, c))| *c == ' ' || *count >= LONGEST)
            .map_or(rest.len(), |(_, (at, _))| at);
        let (token, later) = rest.split_at(end);
        rest = later;
        Some(token)
    })
}

/// Breaks the schema in the ways a weak model does: a wrong type, and a missing property.
fn violate(filled: &mut Value) {
    if let Some(object) = filled.as_object_mut() {
        let names: Vec<String> = object.keys().cloned().collect();
        if let Some(name) = names.first() {
            object.insert(name.clone(), json!({ "unexpected": true }));
        }
        if let Some(name) = names.get(1) {
            object.remove(name);
        }
    }
}

fn random_id(prefix: &str) -> String {
    let bits: u128 = rand::rng().random();
    format!("{prefix}{bits:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_small_and_lose_nothing() {
        for text in ["Hello there, wonderfully long words", "“quotes” और हिन्दी", ""] {
            assert_eq!(tokens(text).collect::<String>(), text);
            assert!(tokens(text).all(|token| (1..=7).contains(&token.chars().count())));
        }
    }
}
