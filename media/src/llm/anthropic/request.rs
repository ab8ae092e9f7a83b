//! Our conversation in the wire's words: the system prompt apart, roles that alternate, tool results in the human's message.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    dialogue::{Message, ToolSpec},
    llm::LlmRequest,
};

/// A spoken answer is short; a longer one is a runaway.
const MAX_TOKENS: u32 = 400;
/// A conversation must begin with the human, and an agent that calls speaks first.
const ANSWERED: &str = "(The call has been answered.)";

/// The request's body. Built once and shared by its tries.
pub(super) fn body(request: &LlmRequest, model: &str) -> Bytes {
    let (system, rest) = match request.messages.split_first() {
        Some((Message::System { text }, rest)) => (text.as_str(), rest),
        _ => ("", &request.messages[..]),
    };
    let mut body = json!({
        "model": model,
        "max_tokens": MAX_TOKENS,
        "stream": true,
        "thinking": {"type": "disabled"},
        "messages": messages(rest),
    });
    if !system.is_empty() {
        // The prompt and the tools before it are the same in every request of the call.
        body["system"] = json!([{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]);
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
        body["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
    }
    body.to_string().into()
}

fn tool(spec: &ToolSpec) -> Value {
    json!({"name": spec.name, "description": spec.description, "input_schema": spec.parameters})
}

fn messages(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut add = |role: &'static str, block: Value| match turns.last_mut() {
        Some((last, blocks)) if *last == role => blocks.push(block),
        _ => {
            if turns.is_empty() && role == "assistant" {
                turns.push(("user", vec![text(ANSWERED)]));
            }
            turns.push((role, vec![block]));
        }
    };
    for message in messages {
        match message {
            // A note for this request: there is no such role in the middle, so that it goes with the human's last words.
            Message::System { text: note } if !is_blank(note) => add("user", text(note)),
            Message::User { text: said } if !is_blank(said) => add("user", text(said)),
            Message::System { .. } | Message::User { .. } => {}
            Message::Assistant { text: said, tool_calls } => {
                if !is_blank(said) {
                    add("assistant", text(said.trim_end()));
                }
                for call in tool_calls {
                    // A model may be shown its own broken arguments only as an object.
                    let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                    let input = if input.is_object() { input } else { json!({}) };
                    add("assistant", json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
                }
            }
            Message::Tool { call_id, content } => {
                add("user", json!({"type": "tool_result", "tool_use_id": call_id, "content": content}));
            }
        }
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// The provider refuses empty blocks.
fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::ToolCall;

    #[test]
    fn a_conversation_with_a_tool_alternates_and_keeps_results_with_their_calls() {
        let call = |id: &str, arguments: &str| ToolCall {
            id: id.into(),
            name: "record_answer".into(),
            arguments: arguments.into(),
            // Of another provider, whose calls were taken over.
            extra: Some(json!({"google": {"thought_signature": "c2ln"}})),
        };
        let request = LlmRequest {
            messages: vec![
                Message::System { text: "You are Asha.".into() },
                Message::Assistant { text: "Hello? ".into(), tool_calls: vec![] },
                Message::User { text: "Two crore.".into() },
                Message::Assistant {
                    text: String::new(),
                    tool_calls: vec![call("t1", r#"{"f":"budget"}"#), call("t2", "{broken")],
                },
                Message::Tool { call_id: "t1".into(), content: "ok".into() },
                Message::Tool { call_id: "t2".into(), content: "not JSON".into() },
                Message::System { text: "Say goodbye now.".into() },
            ],
            tools: [ToolSpec {
                name: "record_answer".into(),
                description: "d".into(),
                parameters: json!({"type": "object"}),
            }]
            .into(),
            cache_key: "c".into(),
        };
        let body: Value = serde_json::from_slice(&body(&request, "claude-haiku-5-5")).unwrap();
        let text = |text: &str| json!({"type": "text", "text": text});
        assert_eq!(
            body,
            json!({
                "model": "claude-haiku-5-5", "max_tokens": 400, "stream": true, "thinking": {"type": "disabled"},
                "system": [{"type": "text", "text": "You are Asha.", "cache_control": {"type": "ephemeral"}}],
                "tools": [{"name": "record_answer", "description": "d", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
                "messages": [
                    {"role": "user", "content": [text(ANSWERED)]},
                    {"role": "assistant", "content": [text("Hello?")]},
                    {"role": "user", "content": [text("Two crore.")]},
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "t1", "name": "record_answer", "input": {"f": "budget"}},
                        {"type": "tool_use", "id": "t2", "name": "record_answer", "input": {}},
                    ]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "ok"},
                        {"type": "tool_result", "tool_use_id": "t2", "content": "not JSON"},
                        text("Say goodbye now."),
                    ]},
                ],
            })
        );
    }

    #[test]
    fn nothing_that_the_newer_version_forbids_is_sent() {
        let request = LlmRequest { messages: vec![], tools: [].into(), cache_key: "c".into() };
        let body: Value = serde_json::from_slice(&body(&request, "m")).unwrap();
        for field in ["temperature", "top_p", "top_k", "tools", "tool_choice", "system"] {
            assert!(body.get(field).is_none(), "{field}");
        }
    }
}
