use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::router;
use crate::{
    loopback::{Got, Service, Socket},
    speech::ulaw,
};

const KEY: (&str, &str) = ("api-subscription-key", "key");
const LISTEN: &str = "/speech-to-text-realtime/ws?language_code=hi-IN&model=saaras:v3-realtime&encoding=linear16\
    &sample_rate=8000&endpointing=vad&silence_duration_ms=300";
const SPEAK: &str = "/text-to-speech/ws?model=bulbul:v3&send_completion_event=true";

async fn next(socket: &mut Socket) -> Value {
    match socket.get().await {
        Got::Json(message) => message,
        other => panic!("{other:?}"),
    }
}

fn config() -> Value {
    json!({ "type": "config", "data": { "language_code": "hi-IN", "speaker": "shubh", "speech_sample_rate": 8000,
        "output_audio_codec": "mulaw" } })
}

#[tokio::test]
async fn what_is_spoken_on_one_socket_is_heard_on_the_other() {
    for (text, language) in [("I am looking for a flat", "en-IN"), ("मुझे फ़्लैट चाहिए।", "hi-IN")]
    {
        assert_eq!(spoken_and_heard(text).await, (text.to_owned(), language.to_owned()));
    }
}

/// The transcript of what was spoken, and the language it is told to be in.
async fn spoken_and_heard(said: &str) -> (String, String) {
    let service = Service::start(router()).await;
    let mut mouth = service.connect(SPEAK, KEY).await.unwrap();
    mouth.send(config()).await;
    mouth.send(json!({ "type": "text", "data": { "text": said } })).await;
    mouth.send(json!({ "type": "flush" })).await;
    let mut pcm = Vec::new();
    loop {
        let message = next(&mut mouth).await;
        match message["type"].as_str().unwrap() {
            "audio" => pcm.extend(
                STANDARD.decode(message["data"]["audio"].as_str().unwrap()).unwrap().into_iter().map(ulaw::decode),
            ),
            "event" => break assert_eq!(message["data"]["event_type"], "final"),
            other => panic!("{other}"),
        }
    }
    let mut ear = service.connect(LISTEN, KEY).await.unwrap();
    assert_eq!(next(&mut ear).await["event"], "session.begin");
    pcm.extend([0; 8 * 600]);
    for chunk in pcm.chunks(800) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        ear.send(json!({ "event": "audio_input", "audio": STANDARD.encode(bytes) })).await;
    }
    ear.send(json!({ "event": "end" })).await;
    let mut names = Vec::new();
    let transcript = loop {
        let message = next(&mut ear).await;
        names.push(message["event"].as_str().unwrap().to_owned());
        if message["event"] == "transcript.final" {
            break (message["text"].as_str().unwrap().to_owned(), message["language"].as_str().unwrap().to_owned());
        }
    };
    assert_eq!(names.first().map(String::as_str), Some("vad.speech_start"));
    assert!(
        names.contains(&"transcript.partial".to_owned()) && names.contains(&"vad.speech_end".to_owned()),
        "{names:?}"
    );
    assert_eq!(next(&mut ear).await["event"], "session.end");
    transcript
}

#[tokio::test]
async fn what_sarvam_refuses_is_refused_in_its_own_way() {
    let service = Service::start(router()).await;
    let refused = service.connect(LISTEN, ("api-subscription-key", "bad-key")).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("403")), "a bad key is a 403 here");
    let wrong_language = LISTEN.replace("hi-IN", "xx-IN");
    let mut socket = service.connect(&wrong_language, KEY).await.unwrap();
    socket.send(json!({ "event": "ping" })).await;
    assert!(matches!(socket.get().await, Got::Closed { code: 4000, .. }));
    let mut unconfigured = service.connect(SPEAK, KEY).await.unwrap();
    unconfigured.send(json!({ "type": "flush" })).await;
    assert_eq!(next(&mut unconfigured).await["data"]["code"], 422);

    service.arm("sarvam.idle", json!(200));
    let mut idle = service.connect(LISTEN, KEY).await.unwrap();
    assert_eq!(next(&mut idle).await["event"], "session.begin");
    for _ in 0..4 {
        idle.send(json!({ "event": "ping" })).await;
        assert_eq!(next(&mut idle).await["event"], "pong", "a ping keeps it open");
    }
    assert_eq!(idle.get().await, Got::Closed { code: 1008, reason: "inactivity".into() });

    service.arm("sarvam_tts.cut", json!(0));
    let mut cut = service.connect(SPEAK, KEY).await.unwrap();
    cut.send(config()).await;
    cut.send(json!({ "type": "text", "data": { "text": "Hello there" } })).await;
    cut.send(json!({ "type": "flush" })).await;
    assert!(matches!(cut.get().await, Got::Broken));
}
