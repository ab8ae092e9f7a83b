use serde_json::{Value, json};

use super::{Settings, router_with};
use crate::loopback::Service;

async fn service() -> Service {
    Service::start(router_with(Settings { ttft_ms: 5, tokens_per_second: 2_000 })).await
}

async fn ask(service: &Service, more: Value) -> reqwest::Response {
    let mut body = json!({
        "model": "claude-haiku-5-5", "max_tokens": 400, "stream": true,
        "system": [{ "type": "text", "text": "You are Meera, an AI assistant of Lake View Homes.", "cache_control": { "type": "ephemeral" } }],
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Who's this?" }] }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = reqwest::Client::new().post(service.url("/anthropic/v1/messages")).bearer_auth("key");
    request.header("anthropic-version", "2023-06-01").json(&body).send().await.unwrap()
}

async fn events(response: reqwest::Response) -> Vec<Value> {
    let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_stream_starts_speaks_block_by_block_and_stops() {
    let service = service().await;
    let events = events(ask(&service, json!({})).await).await;
    assert_eq!(events[0]["type"], "message_start");
    assert!(events[0]["message"]["usage"]["cache_read_input_tokens"].as_u64() > Some(0));
    let text: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert!(text.starts_with("I am Meera"), "{text}");
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "end_turn");
    assert_eq!(events[events.len() - 1]["type"], "message_stop");
}

#[tokio::test]
async fn a_tool_is_called_in_fragments_and_its_result_goes_back_with_the_humans_message() {
    let service = service().await;
    let tools = json!([{ "name": "mark_do_not_call", "description": "d", "input_schema": { "type": "object",
        "properties": { "note": { "type": ["string", "null"] } }, "required": ["note"], "additionalProperties": false } }]);
    let messages = json!([{ "role": "user", "content": "Do not call me again." }]);
    let asked = json!({ "tools": tools, "messages": messages });
    let events = events(ask(&service, asked).await).await;
    let start = events.iter().find(|event| event["content_block"]["type"] == "tool_use").unwrap();
    assert_eq!(start["content_block"]["name"], "mark_do_not_call");
    let arguments: String = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    let input: Value = serde_json::from_str(&arguments).unwrap();
    let id = &start["content_block"]["id"];
    let answered = json!({ "tools": tools, "stream": false, "messages": [
        { "role": "user", "content": "Do not call me again." },
        { "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "mark_do_not_call", "input": input }] },
        { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "ok" }] },
    ] });
    let answer: Value = ask(&service, answered).await.json().await.unwrap();
    assert_eq!((&answer["type"], &answer["role"]), (&json!("message"), &json!("assistant")), "{answer}");
}

#[tokio::test]
async fn what_anthropic_refuses_is_refused() {
    let service = service().await;
    for (more, why) in [
        (json!({ "messages": [{ "role": "assistant", "content": "Hello" }] }), "the human begins"),
        (
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "user", "content": "b" }] }),
            "roles alternate",
        ),
        (json!({ "prompt_cache_key": "x" }), "an unknown field"),
        (json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "" }] }] }), "an empty block"),
        (json!({ "max_tokens": null }), "no limit"),
    ] {
        let response = ask(&service, more).await;
        assert_eq!(response.status(), 400, "{why}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["type"], "invalid_request_error", "{why}");
    }
    assert_eq!(ask(&service, json!({ "model": "gpt-6-luna" })).await.status(), 404);
    service.arm("anthropic.refuse", json!(529));
    let refused = ask(&service, json!({})).await;
    assert_eq!(refused.status(), 529);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["type"], "overloaded_error");
    service.arm("anthropic.error_midstream", json!(1));
    let events = events(ask(&service, json!({})).await).await;
    assert_eq!(events.last().unwrap()["error"]["type"], "overloaded_error");
    let newer = reqwest::Client::new().post(service.url("/v1/messages")).header("x-api-key", "k");
    let newer =
        newer.header("anthropic-version", "2026-10-21").json(&json!({ "model": "claude-haiku-5-5", "max_tokens": 5,
        "temperature": 1.0, "messages": [{ "role": "user", "content": "hi" }] }));
    assert_eq!(newer.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn characters_and_arguments_are_cut_apart_on_request() {
    let service = service().await;
    service.arm("anthropic.utf8_split", json!(null));
    let mut response = ask(&service, json!({})).await;
    let (mut bytes, mut cut_apart) = (Vec::new(), false);
    while let Some(piece) = response.chunk().await.unwrap() {
        cut_apart |= std::str::from_utf8(&piece).is_err();
        bytes.extend_from_slice(&piece);
    }
    assert!(cut_apart && String::from_utf8(bytes).unwrap().contains('“'));

    service.arm("anthropic.args_by_letter", json!(null));
    let tools = json!([{ "name": "mark_do_not_call", "input_schema": { "type": "object", "properties": { "note": { "type": "string" } } } }]);
    let asked = json!({ "tools": tools, "messages": [{ "role": "user", "content": "Do not call me again." }] });
    let events = events(ask(&service, asked).await).await;
    let fragments: Vec<&str> = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert!(fragments.len() > 5 && fragments.iter().all(|fragment| fragment.chars().count() == 1), "{fragments:?}");
}

#[tokio::test]
async fn it_asks_for_patience_and_stops_for_reasons_of_its_own() {
    let service = service().await;
    service.arm("anthropic.refuse", json!({ "status": 429, "retry_after": 1 }));
    let limited = ask(&service, json!({})).await;
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    for reason in ["pause_turn", "stop_sequence", "model_context_window_exceeded"] {
        service.arm("anthropic.finish", json!(reason));
        let events = events(ask(&service, json!({})).await).await;
        assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], reason);
    }
    service.arm("anthropic.truncated", json!(2));
    let events = events(ask(&service, json!({})).await).await;
    assert!(events.iter().all(|event| event["type"] != "message_stop" && event["delta"]["stop_reason"].is_null()));
}
