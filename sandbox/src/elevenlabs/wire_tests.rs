use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Settings, router_with};
use crate::{
    loopback::{Got, Service, Socket},
    speech::Heard,
};

const QUERY: &str = "model_id=eleven_flash_v2_5&output_format=pcm_8000&auto_mode=true";
const LINE: &str = "Hello, this is Asha from Lake View Homes.";

async fn service(other_spelling: bool) -> Service {
    Service::start(router_with(Settings { handshake_ms: 0, ttfb_ms: 10, speed: 50.0, chunk_ms: 150, other_spelling }))
        .await
}

async fn multi(service: &Service, more: &str) -> Socket {
    let path = format!("/v1/text-to-speech/slt/multi-stream-input?{QUERY}{more}");
    service.connect(&path, ("xi-api-key", "key")).await.unwrap()
}

fn audio(message: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(message["audio"].as_str()?).ok()
}

fn pcm(messages: &[Value]) -> Vec<i16> {
    let bytes: Vec<u8> = messages.iter().filter_map(audio).flatten().collect();
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

async fn say(socket: &mut Socket, context: &str, text: &str) {
    socket.send(json!({ "text": " ", "context_id": context, "voice_settings": { "stability": 0.5 } })).await;
    socket.send(json!({ "text": text, "context_id": context, "flush": true })).await;
    socket.send(json!({ "context_id": context, "close_context": true })).await;
}

#[tokio::test]
async fn what_is_spoken_is_known_to_every_ear_and_ends_with_is_final() {
    let service = service(false).await;
    let mut socket = multi(&service, "").await;
    say(&mut socket, "c1", LINE).await;
    socket.send(json!({ "close_socket": true })).await;
    let (messages, end) = socket.rest().await;
    let mut ear = service.world.speech.ear();
    let mut heard = ear.hear(&pcm(&messages));
    heard.extend(ear.flush());
    assert!(matches!(heard.last(), Some(Heard::Ended { text, .. }) if text == LINE), "{heard:?}");
    assert!(messages.len() > 5 && messages.iter().all(|message| message["contextId"] == "c1"));
    let chars: String = messages
        .iter()
        .flat_map(|message| message["alignment"]["chars"].as_array().cloned().unwrap_or_default())
        .filter_map(|c| c.as_str().map(str::to_owned))
        .collect();
    assert_eq!(chars, LINE);
    assert_eq!(messages.last().unwrap(), &json!({ "isFinal": true, "contextId": "c1" }));
    assert_eq!(end, Got::Closed { code: 1000, reason: String::new() });
}

#[tokio::test]
async fn two_contexts_speak_at_once_and_each_in_its_own_name() {
    let service = service(true).await;
    let mut socket = multi(&service, "").await;
    say(&mut socket, "a", "The first context speaks.").await;
    say(&mut socket, "b", "And the second one too.").await;
    socket.send(json!({ "close_socket": true })).await;
    let (messages, _) = socket.rest().await;
    for context in ["a", "b"] {
        let own: Vec<Value> = messages.iter().filter(|message| message["context_id"] == context).cloned().collect();
        assert_eq!(own.last().unwrap()["is_final"], true);
        assert!(own[0]["alignment"]["charsStartTimesMs"].is_array());
        assert!(pcm(&own).len() > 8_000);
    }
}

#[tokio::test]
async fn violations_are_named_and_closed_with_1008() {
    let service = service(false).await;
    let mut socket = multi(&service, "").await;
    socket.send(json!({ "text": "", "context_id": "never opened" })).await;
    let (messages, end) = socket.rest().await;
    assert_eq!(messages[0]["code"], 1008);
    assert!(matches!(&end, Got::Closed { code: 1008, reason } if reason.contains("policy_violation")), "{end:?}");

    let mut socket = multi(&service, "&inactivity_timeout=1").await;
    let (messages, end) = socket.rest().await;
    assert_eq!(messages[0]["error"], "input_timeout_exceeded");
    assert!(matches!(end, Got::Closed { code: 1008, .. }));

    service.arm("elevenlabs.quota", json!(null));
    let mut socket = multi(&service, "").await;
    say(&mut socket, "a", LINE).await;
    assert_eq!(socket.rest().await.0.last().unwrap()["error"], "quota_exceeded");
}

#[tokio::test]
async fn faults_strike_as_announced() {
    let service = service(false).await;
    service.arm("elevenlabs.late_audio_after_close", json!(null));
    let mut socket = multi(&service, "").await;
    say(&mut socket, "a", LINE).await;
    let messages = socket.within(Duration::from_millis(1_500)).await;
    let is_final = messages.iter().position(|message| message["isFinal"] == true).unwrap();
    assert!(messages[is_final + 1..].iter().any(|message| audio(message).is_some()));

    service.arm("elevenlabs.odd_chunks", json!(null));
    say(&mut socket, "b", LINE).await;
    let messages = socket.within(Duration::from_millis(800)).await;
    assert!(messages.iter().filter_map(audio).any(|bytes| bytes.len() % 2 == 1));

    service.arm("elevenlabs.stall", json!(300));
    say(&mut socket, "c", LINE).await;
    let messages = socket.within(Duration::from_millis(800)).await;
    assert_eq!((messages.len(), messages.iter().any(|message| message["isFinal"] == true)), (2, false));

    service.arm("elevenlabs.cut", json!(300));
    say(&mut socket, "d", LINE).await;
    assert_eq!(socket.rest().await.1, Got::Broken);
}

#[tokio::test]
async fn over_http_errors_are_details_and_audio_is_raw() {
    let service = service(false).await;
    let ask = async |path: &str, key: &str, body: Value| {
        let request = reqwest::Client::new().post(service.url(path)).header("xi-api-key", key).json(&body);
        request.send().await.unwrap()
    };
    let path = "/v1/text-to-speech/slt/stream?output_format=ulaw_8000";
    let spoken = ask(path, "key", json!({ "text": LINE, "model_id": "eleven_flash_v2_5" })).await;
    assert_eq!(spoken.headers()["character-cost"], LINE.len().to_string().as_str());
    assert!(spoken.bytes().await.unwrap().len() > 8_000);
    for (path, key, body, status, named) in [
        (path, "bad-key", json!({ "text": "a" }), 401, "invalid_api_key"),
        (path, "key", json!({ "model_id": "eleven_flash_v2_5" }), 422, "Field required"),
        (path, "key", json!({ "text": "a", "voice": "b" }), 422, "not permitted"),
        (path, "key", json!({ "text": "a", "model_id": "tts-1" }), 400, "model_not_found"),
        ("/v1/text-to-speech/slt/stream?output_format=ulaw_8000&speed=2", "key", json!({ "text": "a" }), 422, "speed"),
        (
            "/v1/text-to-speech/missing-voice/stream?output_format=ulaw_8000",
            "key",
            json!({ "text": "a" }),
            404,
            "voice_not_found",
        ),
    ] {
        let refused = ask(path, key, body).await;
        assert_eq!(refused.status().as_u16(), status, "{named}");
        assert!(refused.text().await.unwrap().contains(named));
    }
}
