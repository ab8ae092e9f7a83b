use std::time::Duration;

use serde_json::{Value, json};

use super::{Settings, router_with};
use crate::loopback::Service;

async fn service() -> Service {
    Service::start(router_with(Settings { ttft_ms: 5, tokens_per_second: 2_000 })).await
}

async fn ask(service: &Service, more: Value) -> reqwest::Response {
    let mut body = json!({
        "model": "gpt-6-luna", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "system", "content": "You are Meera, an AI assistant of Lake View Homes." }, { "role": "user", "content": "Who's this?" }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = reqwest::Client::new().post(service.url("/v1/chat/completions")).bearer_auth("key").json(&body);
    request.send().await.unwrap()
}

/// The data lines of a stream that ends well.
async fn lines(response: reqwest::Response) -> Vec<String> {
    let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
    text.split("\n\n").filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

fn text(lines: &[String]) -> String {
    let chunks = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

const ANSWER: &str = "I am Meera, an AI assistant from Lake View Homes, calling about your property enquiry. Are you looking for a home to live in, or to invest?";

#[tokio::test]
async fn a_stream_has_role_pieces_finish_usage_and_done_in_this_order() {
    let service = service().await;
    let response = ask(&service, json!({})).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert!(response.headers().contains_key("x-request-id"));
    let lines = lines(response).await;
    let chunk = |at: usize| serde_json::from_str::<Value>(&lines[at]).unwrap();
    assert_eq!(chunk(0)["choices"][0]["delta"], json!({ "role": "assistant", "content": "", "refusal": null }));
    assert_eq!(text(&lines), ANSWER);
    assert_eq!(chunk(lines.len() - 3)["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunk(lines.len() - 2)["choices"], json!([]));
    assert!(chunk(lines.len() - 2)["usage"]["completion_tokens"].as_u64() > Some(10));
    assert_eq!(lines.last().unwrap(), "[DONE]");
    assert_eq!((service.logged("chat.asked"), service.logged("chat.answered")), (1, 1));
}

#[tokio::test]
async fn a_stream_that_is_cut_or_stalled_never_says_done() {
    let service = service().await;
    service.arm("openai.cut", json!(3));
    assert!(ask(&service, json!({})).await.bytes().await.is_err());
    service.arm("openai.stall", json!(2));
    let mut response = ask(&service, json!({})).await;
    let mut seen = String::new();
    let end = tokio::time::timeout(Duration::from_millis(500), async {
        while let Some(bytes) = response.chunk().await.unwrap() {
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    });
    assert!(end.await.is_err());
    assert_eq!(seen.matches("\"content\"").count(), 3, "{seen}");
}

#[tokio::test]
async fn broken_answers_come_as_announced() {
    let service = service().await;
    service.arm("openai.error_midstream", json!(2));
    let failed = lines(ask(&service, json!({})).await).await;
    assert!(failed.last().unwrap().contains("server_error") && !failed.contains(&"[DONE]".to_owned()));
    service.arm("openai.nonsense", json!(1));
    let strange = lines(ask(&service, json!({})).await).await;
    assert_eq!(strange.iter().filter(|line| serde_json::from_str::<Value>(line).is_err()).count(), 2);
    assert_eq!(text(&strange), ANSWER);
    service.arm("openai.length", json!(4));
    let cut = lines(ask(&service, json!({})).await).await;
    assert!(
        ANSWER.starts_with(&text(&cut))
            && text(&cut).len() < 30
            && cut.iter().any(|line| line.contains("\"finish_reason\":\"length\""))
    );
    service.arm("openai.refusal", json!(null));
    let refused = lines(ask(&service, json!({})).await).await;
    assert!(
        text(&refused).is_empty() && refused.iter().any(|line| line.contains("\"delta\":{\"refusal\":\"I'm\"}")),
        "{refused:#?}"
    );
}

#[tokio::test]
async fn characters_are_cut_apart_on_request() {
    let service = service().await;
    service.arm("openai.utf8_split", json!(null));
    let mut response = ask(&service, json!({})).await;
    let (mut bytes, mut cut_apart) = (Vec::new(), false);
    while let Some(piece) = response.chunk().await.unwrap() {
        cut_apart |= std::str::from_utf8(&piece).is_err();
        bytes.extend_from_slice(&piece);
    }
    assert!(cut_apart && String::from_utf8(bytes).unwrap().contains('“'));
}

#[tokio::test]
async fn refusals_have_their_status_code_and_headers() {
    let service = service().await;
    service.arm("openai.refuse", json!({ "status": 429, "retry_after": 2 }));
    let limited = ask(&service, json!({})).await;
    assert_eq!((limited.status().as_u16(), &limited.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    assert_eq!(limited.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    service.arm("openai.refuse", json!(503));
    assert_eq!(ask(&service, json!({})).await.json::<Value>().await.unwrap()["error"]["type"], "server_error");
    let unknown = ask(&service, json!({ "model": "gpt-2" })).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(service.logged("chat.refused"), 3);
}

#[tokio::test]
async fn structured_output_fits_its_schema_unless_a_fault_forbids_it() {
    let service = service().await;
    let schema = json!({ "type": "object", "additionalProperties": false, "required": ["score", "summary"],
        "properties": { "summary": { "type": "string" }, "score": { "type": "integer" } } });
    let more = json!({ "stream": false, "stream_options": null,
        "response_format": { "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": schema } } });
    let answer = async || {
        let body: Value = ask(&service, more.clone()).await.json().await.unwrap();
        serde_json::from_str::<Value>(body["choices"][0]["message"]["content"].as_str().unwrap()).unwrap()
    };
    assert!(answer().await["score"].is_i64());
    service.arm("openai.bad_json", json!(null));
    assert!(!answer().await["score"].is_i64());
}

/// A tool that the model calls at once.
fn with_a_tool() -> Value {
    json!([{ "type": "function", "function": { "name": "mark_do_not_call",
        "parameters": { "type": "object", "properties": { "note": { "type": ["string", "null"] } } } } }])
}

const DO_NOT_CALL: &str = "Do not call me again.";

#[tokio::test]
async fn gemini_signs_whole_calls_and_refuses_them_unsigned() {
    let service = service().await;
    let ask = async |messages: Value| {
        let body = json!({ "model": "gemini-3.8-flash", "stream": true, "stream_options": { "include_usage": true },
            "messages": messages, "tools": with_a_tool() });
        let request = reqwest::Client::new().post(service.url("/v1beta/openai/chat/completions"));
        request.bearer_auth("key").json(&body).send().await.unwrap()
    };
    let human = json!({ "role": "user", "content": DO_NOT_CALL });
    let lines = lines(ask(json!([human])).await).await;
    let chunks: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(chunks.iter().all(|chunk| chunk["usage"]["prompt_tokens"].is_u64()), "usage on every chunk: {chunks:?}");
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"])
        .filter(|calls| !calls.is_null())
        .collect();
    let [calls] = &calls[..] else { panic!("whole, in one chunk: {calls:?}") };
    let call = &calls[0];
    assert!(serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).is_ok());
    let signature = call["extra_content"]["google"]["thought_signature"].as_str().unwrap();

    let shown_again = async |extra: Option<&str>| {
        let mut call = call.clone();
        call.as_object_mut().unwrap().remove("extra_content");
        if let Some(signature) = extra {
            call["extra_content"] = json!({ "google": { "thought_signature": signature } });
        }
        let answer = json!({ "role": "tool", "tool_call_id": call["id"], "content": "ok" });
        ask(json!([human, { "role": "assistant", "content": null, "tool_calls": [call] }, answer])).await
    };
    assert_eq!(shown_again(Some(signature)).await.status(), 200);
    assert_eq!(shown_again(Some("skip_thought_signature_validator")).await.status(), 200);
    for (extra, why) in [(None, "missing"), (Some("c2ln"), "changed")] {
        let refused = shown_again(extra).await;
        assert_eq!(refused.status(), 400, "{why}");
        assert_eq!(refused.json::<Value>().await.unwrap()[0]["error"]["status"], "INVALID_ARGUMENT", "{why}");
    }
}

#[tokio::test]
async fn arguments_come_letter_by_letter_on_request() {
    let service = service().await;
    service.arm("openai.args_by_letter", json!(null));
    let messages = json!([{ "role": "user", "content": DO_NOT_CALL }]);
    let asked = json!({ "messages": messages, "tools": with_a_tool(), "reasoning_effort": "none" });
    let chunks: Vec<Value> =
        lines(ask(&service, asked).await).await.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let fragments: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .filter(|fragment| !fragment.is_empty())
        .collect();
    assert!(fragments.len() > 5 && fragments.iter().all(|fragment| fragment.chars().count() == 1), "{fragments:?}");
    assert!(serde_json::from_str::<Value>(&fragments.concat()).is_ok());
}

#[tokio::test]
async fn a_stream_may_end_without_saying_why() {
    let service = service().await;
    service.arm("openai.truncated", json!(2));
    let lines = lines(ask(&service, json!({})).await).await;
    assert!(!text(&lines).is_empty() && lines.iter().all(|line| !line.contains("\"finish_reason\":\"")), "{lines:?}");
}

#[tokio::test]
async fn models_tell_when_they_end_and_are_gone_when_they_have() {
    let service = service().await;
    let listed = async || {
        let request = reqwest::Client::new().get(service.url("/v1/models")).bearer_auth("key");
        request.send().await.unwrap()
    };
    let date = |models: &Value, id: &str| {
        let row = models["data"].as_array().unwrap().iter().find(|row| row["id"] == id);
        row.unwrap_or_else(|| panic!("{id} is not listed"))["shutdown_date"].clone()
    };
    let models: Value = listed().await.json().await.unwrap();
    assert_eq!(date(&models, "gpt-live-transcribe"), Value::Null);
    assert_eq!(date(&models, "gpt-realtime-2.1"), Value::Null);
    service.world.faults.arm(crate::faults::Fault {
        name: "openai.shutdown_date".into(),
        count: 1,
        matching: Some("gpt-6-luna".into()),
        value: json!("2030-01-31"),
    });
    let models: Value = listed().await.json().await.unwrap();
    assert_eq!((date(&models, "gpt-6-luna"), date(&models, "gpt-6-sol")), (json!("2030-01-31"), Value::Null));
    service.arm("openai.models_refused", json!(null));
    assert_eq!(listed().await.status(), 503);
    service.arm("openai.shut_down", json!(null));
    let gone = ask(&service, json!({})).await;
    assert_eq!(gone.status(), 404);
    assert_eq!(gone.json::<Value>().await.unwrap()["error"]["code"], "model_not_found");
    assert_eq!(ask(&service, json!({ "model": "gpt-transcribe" })).await.status(), 404, "it does not chat");
}
