//! The conversation as the server holds it: items, of which only what was heard is remembered.

use serde_json::{Value, json};

use super::config::{Config, Wrong};
use crate::brain::{Call, Choice, Conversation, Message, Role};

/// Where a word ends in its item's audio.
pub(super) type Words = Vec<(String, u64)>;

#[derive(Debug, Clone)]
pub(super) enum What {
    Said {
        role: Role,
        text: String,
        /// Of the server's own audio: its words and its length.
        spoken: Option<(Words, u64)>,
    },
    Call {
        call_id: String,
        call: Call,
    },
    Output {
        call_id: String,
        output: String,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub id: String,
    pub what: What,
}

impl Item {
    /// One that the client made.
    pub(super) fn read(id: String, item: &Value) -> Result<Self, Wrong> {
        let wrong = |param: &str, message: &str| Err((format!("item.{param}"), message.to_owned()));
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let id = item["id"].as_str().map_or(id, str::to_owned);
        let what = match item["type"].as_str() {
            Some("function_call_output") => {
                if text("call_id").is_empty() || !item["output"].is_string() {
                    return wrong("call_id", "an output has a call_id and a text");
                }
                What::Output { call_id: text("call_id"), output: text("output") }
            }
            Some("message") => {
                let (role, kind) = match item["role"].as_str() {
                    Some("user") => (Role::User, "input_text"),
                    Some("system") => (Role::System, "input_text"),
                    Some("assistant") => (Role::Assistant, "output_text"),
                    _ => return wrong("role", "user, system or assistant"),
                };
                let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
                if parts.is_empty() || parts.iter().any(|part| part["type"] != kind || !part["text"].is_string()) {
                    return wrong("content", "the parts of this role's messages are text of its own kind");
                }
                let text = parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" ");
                What::Said { role, text, spoken: None }
            }
            _ => return wrong("type", "message or function_call_output"),
        };
        Ok(Self { id, what })
    }

    pub(super) fn shown(&self, status: &str) -> Value {
        let mut shown = match &self.what {
            What::Said { role, text, spoken } => {
                let (role, content) = match (role, spoken) {
                    (Role::Assistant, Some(_)) => ("assistant", json!({"type": "output_audio", "transcript": text})),
                    (Role::Assistant, None) => ("assistant", json!({"type": "output_text", "text": text})),
                    (Role::System, _) => ("system", json!({"type": "input_text", "text": text})),
                    _ => ("user", json!({"type": "input_text", "text": text})),
                };
                json!({"type": "message", "role": role, "content": [content]})
            }
            What::Call { call_id, call } => json!({"type": "function_call", "call_id": call_id, "name": call.name,
                "arguments": call.arguments.to_string()}),
            What::Output { call_id, output } => {
                json!({"type": "function_call_output", "call_id": call_id, "output": output})
            }
        };
        shown["id"] = self.id.clone().into();
        shown["object"] = "realtime.item".into();
        shown["status"] = status.into();
        shown
    }
}

#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Item>,
}

impl Items {
    pub(super) fn push(&mut self, item: Item) -> Option<String> {
        let previous = self.items.last().map(|item| item.id.clone());
        self.items.push(item);
        previous
    }

    /// Fails for an output of a call that was never made, as it does in life.
    pub(super) fn knows_call(&self, id: &str) -> bool {
        self.items.iter().any(|item| matches!(&item.what, What::Call { call_id, .. } if call_id == id))
    }

    /// Only so much of an item was heard: gives the text that is left.
    pub(super) fn truncate(&mut self, id: &str, audio_end_ms: u64) -> Result<String, Wrong> {
        let item = self.items.iter_mut().find(|item| item.id == id);
        let Some(Item { what: What::Said { text, spoken: Some((words, length_ms)), .. }, .. }) = item else {
            return Err(("item_id".into(), format!("Item with item_id '{id}' has no audio to truncate.")));
        };
        if audio_end_ms > *length_ms {
            let message = format!("Audio content of {length_ms}ms is already shorter than {audio_end_ms}ms");
            return Err(("audio_end_ms".into(), message));
        }
        words.retain(|(_, ends_ms)| *ends_ms <= audio_end_ms);
        *length_ms = audio_end_ms;
        let left: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        *text = left.join(" ");
        Ok(text.clone())
    }

    /// As the brain reads it.
    pub(super) fn conversation(&self, config: &Config, choice: Choice) -> Conversation {
        let mut messages = vec![Message { role: Role::System, text: config.instructions.clone(), calls: Vec::new() }];
        for item in &self.items {
            match &item.what {
                What::Said { text, .. } if text.is_empty() => {}
                What::Said { role, text, .. } => {
                    messages.push(Message { role: *role, text: text.clone(), calls: Vec::new() });
                }
                What::Call { call, .. } => match messages.last_mut() {
                    Some(last) if last.role == Role::Assistant => last.calls.push(call.clone()),
                    _ => {
                        let calls = vec![call.clone()];
                        messages.push(Message { role: Role::Assistant, text: String::new(), calls });
                    }
                },
                What::Output { output, .. } => {
                    messages.push(Message { role: Role::Tool, text: output.clone(), calls: Vec::new() });
                }
            }
        }
        Conversation { messages, tools: config.tools.clone(), choice, parallel: true }
    }

    /// About a quarter of all its characters.
    pub(super) fn tokens(&self) -> u64 {
        let chars: usize = self.items.iter().map(|item| item.shown("completed").to_string().len()).sum();
        chars as u64 / 4
    }
}
