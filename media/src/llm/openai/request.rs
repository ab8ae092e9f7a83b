//! Our conversation in the wire's words.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    dialogue::{Message, ToolSpec},
    llm::LlmRequest,
};

/// A spoken answer is short; a longer one is a runaway.
const MAX_COMPLETION_TOKENS: u32 = 400;

/// The request's body. Built once and shared by its tries.
pub(super) fn body(request: &LlmRequest, default_model: &str) -> Bytes {
    let mut body = json!({
        "model": request.model.as_deref().unwrap_or(default_model),
        "stream": true,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
        // Models that reason by default would think for seconds; some take tools only without it.
        "reasoning_effort": "none",
        "max_completion_tokens": MAX_COMPLETION_TOKENS,
        "prompt_cache_key": request.cache_key,
        "messages": messages(&request.messages),
    });
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(tool).collect();
        body["tool_choice"] = "auto".into();
        body["parallel_tool_calls"] = false.into();
    }
    body.to_string().into()
}

fn tool(spec: &ToolSpec) -> Value {
    json!({"type": "function", "function": {
        "name": spec.name, "description": spec.description, "parameters": spec.parameters, "strict": true,
    }})
}

fn messages(messages: &[Message]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| match message {
            Message::System { text } => json!({"role": "system", "content": text}),
            Message::User { text } => json!({"role": "user", "content": text}),
            Message::Assistant { text, tool_calls } if tool_calls.is_empty() => {
                json!({"role": "assistant", "content": text})
            }
            Message::Assistant { text, tool_calls } => {
                let calls: Vec<Value> = tool_calls
                    .iter()
                    .map(|call| {
                        json!({"id": call.id, "type": "function",
                            "function": {"name": call.name, "arguments": call.arguments}})
                    })
                    .collect();
                // An assistant that only calls says null, not "".
                let content = if text.is_empty() { Value::Null } else { text.as_str().into() };
                json!({"role": "assistant", "content": content, "tool_calls": calls})
            }
            Message::Tool { call_id, content } => {
                json!({"role": "tool", "tool_call_id": call_id, "content": content})
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::ToolCall;

    #[test]
    fn the_body_holds_what_the_wire_asks_for() {
        let request = LlmRequest {
            model: None,
            messages: vec![
                Message::System { text: "s".into() },
                Message::User { text: "u".into() },
                Message::Assistant {
                    text: String::new(),
                    tool_calls: vec![ToolCall {
                        id: "call_1".into(),
                        name: "end_call".into(),
                        arguments: r#"{"reason":"bye"}"#.into(),
                    }],
                },
                Message::Tool { call_id: "call_1".into(), content: "ok".into() },
                Message::Assistant { text: "bye".into(), tool_calls: vec![] },
            ],
            tools: [ToolSpec {
                name: "end_call".into(),
                description: "d".into(),
                parameters: json!({"type": "object"}),
            }]
            .into(),
            cache_key: "agent-42".into(),
        };
        let body: Value = serde_json::from_slice(&body(&request, "gpt-6-luna")).unwrap();
        assert_eq!(
            body,
            json!({
                "model": "gpt-6-luna", "stream": true,
                "stream_options": {"include_usage": true, "include_obfuscation": false},
                "reasoning_effort": "none", "max_completion_tokens": 400, "prompt_cache_key": "agent-42",
                "tool_choice": "auto", "parallel_tool_calls": false,
                "tools": [{"type": "function", "function": {"name": "end_call", "description": "d",
                    "parameters": {"type": "object"}, "strict": true}}],
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "u"},
                    {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
                        "function": {"name": "end_call", "arguments": "{\"reason\":\"bye\"}"}}]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
                    {"role": "assistant", "content": "bye"},
                ],
            })
        );
    }

    #[test]
    fn without_tools_no_tool_field_is_sent() {
        let request = LlmRequest { model: Some("m".into()), messages: vec![], tools: [].into(), cache_key: "k".into() };
        let body: Value = serde_json::from_slice(&body(&request, "d")).unwrap();
        assert_eq!(body["model"], "m");
        for field in ["tools", "tool_choice", "parallel_tool_calls"] {
            assert!(body.get(field).is_none(), "{field}");
        }
    }
}
