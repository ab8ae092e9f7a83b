use super::*;

fn good() -> Value {
    json!({
        "model": "gpt-6-luna", "stream": true, "stream_options": { "include_usage": true, "include_obfuscation": false },
        "reasoning_effort": "none", "max_completion_tokens": 300, "temperature": 0.4, "prompt_cache_key": "agent-42",
        "messages": [
            { "role": "system", "content": "You are Asha." },
            { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "c1", "type": "function", "function": { "name": "end_call", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "c1", "content": "ok" },
        ],
        "tools": [{ "type": "function", "function": { "name": "end_call", "strict": true,
            "parameters": { "type": "object", "properties": { "reason": { "type": "string" } }, "required": ["reason"], "additionalProperties": false } } }],
        "tool_choice": "auto", "parallel_tool_calls": false,
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut body = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(object) => {
            object.insert(name.into(), value);
        }
        Value::Array(array) => array[name.parse::<usize>().unwrap()] = value,
        _ => panic!("nothing to change at {pointer}"),
    }
    body
}

#[test]
fn a_request_for_a_voice_call_is_understood() {
    let request = Request::read(&good()).unwrap();
    assert!(request.stream && request.include_usage && !request.conversation.parallel);
    assert_eq!(request.fault_key, "gpt-6-luna agent-42 ");
    assert_eq!(request.conversation.messages[1].text, "hi");
    assert_eq!(request.conversation.messages[2].calls.len(), 1);
}

#[test]
fn what_openai_would_refuse_is_refused() {
    for (pointer, value, status, named) in [
        ("/max_tokens", json!(100), 400, "max_completion_tokens"),
        ("/modell", json!("x"), 400, "modell"),
        ("/model", json!("gpt-7"), 404, "gpt-7"),
        ("/model", json!("gpt-4o-2023"), 404, "does not exist"),
        ("/messages", json!([]), 400, "non-empty"),
        ("/messages/3", json!({ "role": "user", "content": "x" }), 400, "c1"),
        ("/messages/2", json!({ "role": "user", "content": "x" }), 400, "preceeding"),
        ("/messages/1", json!({ "role": "customer", "content": "x" }), 400, "customer"),
        ("/messages/1", json!({ "role": "user", "content": null }), 400, "content"),
        ("/reasoning_effort", json!("low"), 400, "none"),
        ("/temperature", json!(3), 400, "temperature"),
        ("/stream", json!(false), 400, "stream_options"),
        ("/tools/0/function/parameters/required", json!([]), 400, "reason"),
        ("/tools/0/function/name", json!("end call"), 400, "name"),
        (
            "/response_format",
            json!({ "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": { "type": "object" } } }),
            400,
            "additionalProperties",
        ),
    ] {
        let error = Request::read(&changed(pointer, value.clone())).expect_err(pointer);
        assert_eq!(error.status.as_u16(), status, "{pointer} {value}");
        assert!(error.body().to_string().contains(named), "{pointer}: {}", error.body());
    }
    let mut older = changed("/model", json!("gpt-4o-mini"));
    older.as_object_mut().unwrap().remove("reasoning_effort");
    older["max_tokens"] = json!(50);
    assert!(Request::read(&older).is_ok());
}
