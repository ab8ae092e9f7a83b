//! Our conversation in the wire's words.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Dialect;
use crate::{
    dialogue::{Message, ToolCall, ToolSpec},
    llm::LlmRequest,
};

/// A spoken answer is short; a longer one is a runaway.
const MAX_COMPLETION_TOKENS: u32 = 400;

/// The request's body. Built once and shared by its tries.
pub(super) fn body(request: &LlmRequest, model: &str, dialect: Dialect) -> Bytes {
    let mut body = json!({
        "model": model,
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": messages(&request.messages, dialect),
    });
    if dialect != Dialect::Plain {
        // Models that reason by default would think for seconds; some take tools only without it.
        body["reasoning_effort"] = "none".into();
    }
    if dialect == Dialect::OpenAi {
        body["stream_options"]["include_obfuscation"] = false.into();
        body["max_completion_tokens"] = MAX_COMPLETION_TOKENS.into();
        body["prompt_cache_key"] = request.cache_key.as_str().into();
    } else {
        body["max_tokens"] = MAX_COMPLETION_TOKENS.into();
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(|spec| tool(spec, dialect)).collect();
        body["tool_choice"] = "auto".into();
        if dialect == Dialect::OpenAi {
            body["parallel_tool_calls"] = false.into();
        }
    }
    body.to_string().into()
}

fn tool(spec: &ToolSpec, dialect: Dialect) -> Value {
    let mut function = json!({"name": spec.name, "description": spec.description, "parameters": spec.parameters});
    if dialect == Dialect::OpenAi {
        function["strict"] = true.into();
    }
    json!({"type": "function", "function": function})
}

fn messages(messages: &[Message], dialect: Dialect) -> Vec<Value> {
    messages
        .iter()
        .map(|message| match message {
            Message::System { text } => json!({"role": "system", "content": text}),
            Message::User { text } => json!({"role": "user", "content": text}),
            Message::Assistant { text, tool_calls } if tool_calls.is_empty() => {
                json!({"role": "assistant", "content": text})
            }
            Message::Assistant { text, tool_calls } => {
                let mut calls: Vec<Value> = tool_calls
                    .iter()
                    .map(|call| {
                        json!({"id": call.id, "type": "function",
                            "function": {"name": call.name, "arguments": call.arguments}})
                    })
                    .collect();
                if dialect == Dialect::Gemini {
                    sign(&mut calls, tool_calls);
                }
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

/// Gives each call back what came with it. Gemini signs the first call of an answer and refuses (400) an answer whose first call
/// has no signature; for calls that another model made, which have none, its documentation names this word in its place.
fn sign(calls: &mut [Value], made: &[ToolCall]) {
    const MADE_BY_ANOTHER: &str = "skip_thought_signature_validator";
    for (at, (call, ToolCall { extra, .. })) in calls.iter_mut().zip(made).enumerate() {
        match extra {
            Some(extra) => call["extra_content"] = extra.clone(),
            None if at == 0 => {
                call["extra_content"] = json!({"google": {"thought_signature": MADE_BY_ANOTHER}});
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_holds_what_the_wire_asks_for() {
        let request = LlmRequest {
            messages: vec![
                Message::System { text: "s".into() },
                Message::User { text: "u".into() },
                Message::Assistant {
                    text: String::new(),
                    tool_calls: vec![ToolCall {
                        id: "call_1".into(),
                        name: "end_call".into(),
                        arguments: r#"{"reason":"bye"}"#.into(),
                        // Of another provider, whose calls were taken over.
                        extra: Some(json!({"google": {"thought_signature": "c2ln"}})),
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
        let body: Value = serde_json::from_slice(&body(&request, "gpt-6-luna", Dialect::OpenAi)).unwrap();
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
        let request = LlmRequest { messages: vec![], tools: [].into(), cache_key: "k".into() };
        let body: Value = serde_json::from_slice(&body(&request, "m", Dialect::OpenAi)).unwrap();
        assert_eq!(body["model"], "m");
        for field in ["tools", "tool_choice", "parallel_tool_calls"] {
            assert!(body.get(field).is_none(), "{field}");
        }
    }

    #[test]
    fn gemini_is_given_its_signatures_back_and_a_word_for_calls_that_others_made() {
        let signed = json!({"google": {"thought_signature": "c2ln"}});
        let call = |id: &str, extra: Option<&Value>| ToolCall {
            id: id.into(),
            name: "record_answer".into(),
            arguments: "{}".into(),
            extra: extra.cloned(),
        };
        let asks = |calls: Vec<ToolCall>| Message::Assistant { text: String::new(), tool_calls: calls };
        let messages =
            vec![asks(vec![call("a", Some(&signed)), call("b", None)]), asks(vec![call("c", None), call("d", None)])];
        let request = LlmRequest { messages, tools: [].into(), cache_key: "k".into() };
        let sent = |dialect| -> Vec<Value> {
            let body: Value = serde_json::from_slice(&body(&request, "m", dialect)).unwrap();
            let calls = body["messages"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|message| message["tool_calls"].as_array().unwrap());
            calls.map(|call| call["extra_content"].clone()).collect()
        };
        let skipped = json!({"google": {"thought_signature": "skip_thought_signature_validator"}});
        assert_eq!(sent(Dialect::Gemini), [signed, Value::Null, skipped, Value::Null]);
        for other in [Dialect::OpenAi, Dialect::Plain] {
            assert!(sent(other).iter().all(Value::is_null), "{other:?} would refuse an unknown field");
        }
    }

    #[test]
    fn others_are_sent_no_field_that_only_openai_knows() {
        let tools =
            [ToolSpec { name: "end_call".into(), description: "d".into(), parameters: json!({"type": "object"}) }];
        let request = LlmRequest { messages: vec![], tools: tools.into(), cache_key: "k".into() };
        let gemini: Value = serde_json::from_slice(&body(&request, "gemini-3.8-flash", Dialect::Gemini)).unwrap();
        let expected = json!({"model": "gemini-3.8-flash", "stream": true, "stream_options": {"include_usage": true},
            "messages": [], "reasoning_effort": "none", "max_tokens": 400, "tool_choice": "auto",
            "tools": [{"type": "function", "function": {"name": "end_call", "description": "d", "parameters": {"type": "object"}}}]});
        assert_eq!(gemini, expected);
        let plain: Value = serde_json::from_slice(&body(&request, "sarvam-105b", Dialect::Plain)).unwrap();
        assert!(plain.get("reasoning_effort").is_none(), "{plain}");
    }
}
