use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::{
    loopback::{Got, Service, Socket},
    openai::{Settings, router_with},
    speech::ulaw,
};

const PATH: &str = "/v1/realtime?model=gpt-realtime-2.1";

async fn service() -> Service {
    Service::start(router_with(Settings::default())).await
}

async fn connect(service: &Service) -> Socket {
    let mut socket = service.connect(PATH, ("authorization", "Bearer key")).await.unwrap();
    let session = json!({"type": "realtime", "instructions": "You are Meera, an AI assistant of Lake View Homes.",
        "output_modalities": ["audio"], "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "gpt-transcribe"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 500, "interrupt_response": false}},
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}});
    socket.send(json!({"type": "session.update", "session": session})).await;
    until(&mut socket, "session.updated").await;
    socket
}

async fn say(service: &Service, socket: &mut Socket, line: &str) {
    let said = service.world.speech.say(line, "slt").await;
    for chunk in [&vec![0; 2_400], &said.pcm[..], &vec![0; 6_400]].concat().chunks(800) {
        let codes: Vec<u8> = chunk.iter().map(|sample| ulaw::encode(*sample)).collect();
        socket.send(json!({"type": "input_audio_buffer.append", "audio": STANDARD.encode(codes)})).await;
    }
}

/// All up to the first event of this kind, which is the last.
async fn until(socket: &mut Socket, kind: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        match socket.get().await {
            Got::Json(event) => {
                let is_it = event["type"] == kind;
                seen.push(event);
                if is_it {
                    return seen;
                }
            }
            other => panic!("{other:?} before {kind}; {seen:?}"),
        }
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

#[tokio::test]
async fn a_turn_is_heard_answered_in_sound_and_written_down_behind_it() {
    let service = service().await;
    let mut socket = connect(&service).await;
    say(&service, &mut socket, "Who is this?").await;
    let seen = until(&mut socket, "response.done").await;
    let order: Vec<&str> = kinds(&seen).into_iter().filter(|kind| kind.starts_with("input_audio_buffer")).collect();
    assert_eq!(
        order,
        ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    );
    let said: String = seen
        .iter()
        .filter(|event| event["type"] == "response.output_audio_transcript.delta")
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert!(said.starts_with("I am Meera"), "{said}");
    let response = &seen.last().unwrap()["response"];
    assert_eq!(response["output"][0]["content"][0]["transcript"], said);
    assert!(response["usage"]["output_token_details"]["audio_tokens"].as_u64() > Some(20), "{response}");
}

#[tokio::test]
async fn what_was_not_heard_is_forgotten_and_more_than_there_was_cannot_have_been() {
    let service = service().await;
    let mut socket = connect(&service).await;
    socket.send(json!({"type": "response.create", "response": {"instructions": "Say exactly the following words:\nOne two three four five."}})).await;
    let done = until(&mut socket, "response.done").await.pop().unwrap();
    let id = done["response"]["output"][0]["id"].clone();
    let truncate =
        |ms: u64| json!({"type": "conversation.item.truncate", "item_id": id, "content_index": 0, "audio_end_ms": ms});
    socket.send(truncate(600_000)).await;
    assert_eq!(until(&mut socket, "error").await.pop().unwrap()["error"]["param"], "audio_end_ms");
    socket.send(truncate(700)).await;
    until(&mut socket, "conversation.item.truncated").await;
    let filter = crate::log::Filter { kind: Some("item.truncated".into()), ..Default::default() };
    let left = service.world.log.entries(&filter)[0].data["text"].as_str().unwrap().to_owned();
    assert!("One two three four five.".starts_with(&left) && left.len() < 20, "{left}");
}

#[tokio::test]
async fn one_answer_is_made_at_a_time_and_can_be_cancelled() {
    let service = service().await;
    let mut socket = connect(&service).await;
    for _ in 0..2 {
        socket.send(json!({"type": "response.create"})).await;
    }
    let seen = until(&mut socket, "error").await;
    assert_eq!(seen.last().unwrap()["error"]["code"], "conversation_already_has_active_response");
    socket.send(json!({"type": "response.cancel"})).await;
    let done = until(&mut socket, "response.done").await.pop().unwrap();
    assert_eq!(done["response"]["status"], "cancelled");
    socket.send(json!({"type": "response.cancel"})).await;
    assert_eq!(until(&mut socket, "error").await.pop().unwrap()["error"]["code"], "response_cancel_not_active");
}

#[tokio::test]
async fn an_output_of_a_call_that_was_not_made_is_refused() {
    let service = service().await;
    let mut socket = connect(&service).await;
    let item = json!({"type": "function_call_output", "call_id": "call_9", "output": "noted"});
    socket.send(json!({"type": "conversation.item.create", "item": item})).await;
    assert_eq!(until(&mut socket, "error").await.pop().unwrap()["error"]["param"], "item.call_id");
}

#[tokio::test]
async fn who_may_not_come_in_is_told_so_and_a_fault_breaks_the_socket() {
    let service = service().await;
    let status = |error: Option<Error>| match error {
        Some(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    let refused = service.connect(PATH, ("authorization", "Bearer bad-key")).await.err();
    assert_eq!(status(refused), 401);
    let unknown = service.connect("/v1/realtime?model=gpt-5", ("authorization", "Bearer key")).await.err();
    assert_eq!(status(unknown), 404);
    let mut socket = connect(&service).await;
    service.arm("openai_realtime.cut_answer", json!(300));
    socket.send(json!({"type": "response.create"})).await;
    let (seen, end) = socket.rest().await;
    assert_eq!(end, Got::Broken);
    assert!(kinds(&seen).contains(&"response.output_audio.delta"), "{seen:?}");
    let mut socket = connect(&service).await;
    service.arm("openai_realtime.expire", Value::Null);
    say(&service, &mut socket, "Who is this?").await;
    let (seen, end) = socket.rest().await;
    assert_eq!(seen.last().unwrap()["error"]["code"], "session_expired");
    assert!(matches!(end, Got::Closed { .. }), "{end:?}");
}
