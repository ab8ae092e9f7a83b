use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::{Settings, router_with};
use crate::loopback::{Got, Service, Socket};

const PATH: &str =
    "/v1/listen?model=nova-3&encoding=linear16&sample_rate=8000&interim_results=true&endpointing=300&vad_events=true";
const FLUX: &str = "/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=8000&eager_eot_threshold=0.5";
const SPEAK: &str = "/v1/speak?model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000";
const LINE: &str = "Yes, I am looking for a flat in Whitefield.";

async fn service(idle_ms: u64) -> Service {
    Service::start(router_with(Settings {
        final_latency_ms: 10,
        interim_latency_ms: 5,
        idle_ms,
        ..Settings::default()
    }))
    .await
}

async fn connect(service: &Service) -> Socket {
    service.connect(PATH, ("authorization", "Token key")).await.unwrap()
}

async fn speak(service: &Service, socket: &mut Socket) {
    let said = service.world.speech.say(LINE, "slt").await;
    socket.send_pcm(&[&vec![0; 1_600], &said.pcm[..], &vec![0; 4_000]].concat()).await;
}

fn finals(messages: &[Value]) -> Vec<(&str, bool)> {
    messages
        .iter()
        .filter(|message| message["is_final"] == true)
        .map(|message| {
            (message["channel"]["alternatives"][0]["transcript"].as_str().unwrap(), message["speech_final"] == true)
        })
        .filter(|(transcript, _)| !transcript.is_empty())
        .collect()
}

const HEARD: &str = "yes i am looking for a flat in whitefield";

#[tokio::test]
async fn a_line_is_transcribed_and_the_stream_is_closed_properly() {
    let service = service(10_000).await;
    let mut socket = connect(&service).await;
    speak(&service, &mut socket).await;
    socket.send(json!({ "type": "CloseStream" })).await;
    let (messages, end) = socket.rest().await;
    assert_eq!(finals(&messages), [(HEARD, true)]);
    assert_eq!(messages[0]["type"], "SpeechStarted");
    assert!(messages.iter().filter(|message| message["is_final"] == false).count() >= 3);
    let metadata = messages.last().unwrap();
    assert_eq!((&metadata["type"], metadata["sha256"].as_str().map(str::len)), (&json!("Metadata"), Some(64)));
    assert_eq!(end, Got::Closed { code: 1000, reason: String::new() });
    assert_eq!((service.logged("stream.opened"), service.logged("transcript.final")), (1, 1));
}

#[tokio::test]
async fn audio_much_faster_than_life_is_noted() {
    let service = service(10_000).await;
    let mut socket = connect(&service).await;
    socket.send_pcm(&vec![0; 80_000]).await;
    socket.send(json!({ "type": "CloseStream" })).await;
    socket.rest().await;
    assert_eq!(service.logged("stream.too_fast"), 1);
}

#[tokio::test]
async fn silence_on_the_wire_ends_in_net_0001_and_keep_alive_helps_only_after_audio() {
    let service = service(300).await;
    let (mut idle, mut kept) = (connect(&service).await, connect(&service).await);
    kept.send_pcm(&[0; 160]).await;
    for _ in 0..5 {
        idle.send(json!({ "type": "KeepAlive" })).await;
        kept.send(json!({ "type": "KeepAlive" })).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, end) = idle.rest().await;
    assert!(matches!(&end, Got::Closed { code: 1011, reason } if reason.starts_with("NET-0001")), "{end:?}");
    kept.send(json!({ "type": "CloseStream" })).await;
    assert_eq!(kept.rest().await.1, Got::Closed { code: 1000, reason: String::new() });
}

#[tokio::test]
async fn garbage_is_answered_and_punished_and_an_empty_frame_closes() {
    let service = service(10_000).await;
    let mut socket = connect(&service).await;
    socket.send_text("{\"type\":\"Hello\"}").await;
    let (messages, end) = socket.rest().await;
    assert_eq!(messages[0]["variant"], "SchemaError");
    assert!(matches!(end, Got::Closed { code: 1008, .. }));

    let mut socket = connect(&service).await;
    socket.send_empty().await;
    let (messages, end) = socket.rest().await;
    assert_eq!(messages[0]["type"], "Metadata");
    assert!(matches!(end, Got::Closed { code: 1000, .. }));
}

#[tokio::test]
async fn a_refused_handshake_says_why_in_body_and_header() {
    let service = service(10_000).await;
    let refused = async |path: &str, key: &str| match service.connect(path, ("authorization", key)).await {
        Err(Error::Http(response)) => {
            let body: Value = serde_json::from_slice(response.body().as_deref().unwrap_or_default()).unwrap();
            assert_eq!(response.headers()["dg-request-id"], body["request_id"].as_str().unwrap());
            assert_eq!(response.headers()["dg-error"], body["err_msg"].as_str().unwrap());
            (response.status().as_u16(), body["err_code"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("not refused: {:?}", other.map(|_| ())),
    };
    assert_eq!(refused(PATH, "Token bad-key").await, (401, "INVALID_AUTH".into()));
    assert_eq!(refused(PATH, "Basic key").await.0, 401);
    assert_eq!(
        refused("/v1/listen?model=nova-3&sample_rate=8000&encoding=mulaw&punct=true", "Token k").await,
        (400, "Bad Request".into())
    );
    for (status, code) in [(429, "TOO_MANY_REQUESTS"), (403, "INSUFFICIENT_PERMISSIONS"), (402, "ASR_PAYMENT_REQUIRED")]
    {
        service.arm("deepgram.refuse", json!(status));
        assert_eq!(refused(PATH, "Token k").await, (status, code.into()));
    }
    assert_eq!(service.logged("stream.refused"), 6);
    for (status, code) in [(429, "Too Many Requests"), (415, "UNSUPPORTED_MEDIA_TYPE"), (401, "INVALID_AUTH")] {
        service.arm("aura.refuse", json!(status));
        assert_eq!(refused(SPEAK, "Token k").await, (status, code.into()));
    }
}

#[tokio::test]
async fn faults_strike_as_announced() {
    let service = service(10_000).await;
    let heard = async |fault: &str, value: Value| {
        service.arm(fault, value);
        let mut socket = connect(&service).await;
        speak(&service, &mut socket).await;
        if fault != "deepgram.cut" {
            socket.send(json!({ "type": "CloseStream" })).await;
        }
        socket.rest().await
    };
    assert_eq!(finals(&heard("deepgram.duplicate_final", json!(null)).await.0), [(HEARD, true); 2]);
    assert_eq!(finals(&heard("deepgram.no_speech_final", json!(null)).await.0), [(HEARD, false)]);
    assert!(
        heard("deepgram.unknown_message", json!(null)).await.0.iter().any(|message| message["type"] == "Sentiment")
    );
    assert!(heard("deepgram.nonsense", json!(null)).await.0.iter().any(|message| message["not_json"].is_string()));
    let (stalled, _) = heard("deepgram.stall", json!(600)).await;
    assert!(finals(&stalled).is_empty() && stalled.iter().any(|message| message["is_final"] == false), "{stalled:#?}");
    assert_eq!(heard("deepgram.cut", json!(600)).await.1, Got::Broken);
    let (deaf, _) = heard("deepgram.deaf", json!(null)).await;
    assert!(finals(&deaf).is_empty() && deaf.iter().any(|message| message["speech_final"] == true), "{deaf:#?}");
    let (changing, _) = heard("deepgram.changing_interims", json!(null)).await;
    let misheard = |message: &&Value| message.to_string().contains("misheard");
    assert!(changing.iter().filter(misheard).all(|message| message["is_final"] == false));
    assert_eq!((changing.iter().filter(misheard).count(), finals(&changing)), (1, vec![(HEARD, true)]));
    assert!(service.world.faults.armed().is_empty());
}

#[tokio::test]
async fn audio_that_cannot_be_decoded_is_a_violation() {
    let service = service(10_000).await;
    service.arm("deepgram.undecodable", json!(null));
    let mut socket = connect(&service).await;
    speak(&service, &mut socket).await;
    let (_, end) = socket.rest().await;
    assert_eq!(end, Got::Closed { code: 1008, reason: "DATA-0000".into() });
}

#[tokio::test]
async fn every_handshake_can_be_slow() {
    let service = service(10_000).await;
    for (fault, path) in [("deepgram.slow_accept", PATH), ("flux.slow_accept", FLUX), ("aura.slow_accept", SPEAK)] {
        service.arm(fault, json!(150));
        let began = tokio::time::Instant::now();
        service.connect(path, ("authorization", "Token key")).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(150), "{fault}");
    }
}

#[tokio::test]
async fn the_twenty_first_flush_in_a_minute_is_not_processed() {
    let service = service(10_000).await;
    let mut socket = service.connect(SPEAK, ("authorization", "Token key")).await.unwrap();
    for _ in 0..20 {
        socket.send(json!({ "type": "Flush" })).await;
    }
    socket.send(json!({ "type": "Speak", "text": "Nobody hears this" })).await;
    socket.send(json!({ "type": "Flush" })).await;
    let messages = socket.within(Duration::from_millis(500)).await;
    let count = |kind: &str| messages.iter().filter(|message| message["type"] == kind).count();
    assert_eq!((count("Flushed"), count("Warning"), service.logged("text.spoken")), (20, 1, 0), "{messages:?}");
}

#[tokio::test]
async fn a_clear_may_go_unconfirmed() {
    let service = service(10_000).await;
    let mut socket = service.connect(SPEAK, ("authorization", "Token key")).await.unwrap();
    service.arm("aura.no_cleared", json!(null));
    for _ in 0..2 {
        socket.send(json!({ "type": "Clear" })).await;
    }
    let messages = socket.within(Duration::from_millis(300)).await;
    assert_eq!(messages.iter().filter(|message| message["type"] == "Cleared").count(), 1);
}

#[tokio::test]
async fn a_flux_turn_says_what_ended_it_and_a_change_can_fail() {
    let service = service(10_000).await;
    let said = service.world.speech.say(LINE, "slt").await;
    let audio = [&vec![0; 1_600], &said.pcm[..], &vec![0; 8_000]].concat();
    for (fault, trigger) in [(None, "model"), (Some("flux.timeout"), "timeout")] {
        if let Some(fault) = fault {
            service.arm(fault, json!(null));
        }
        let mut socket = service.connect(FLUX, ("authorization", "Token key")).await.unwrap();
        socket.send_pcm(&audio).await;
        socket.send(json!({ "type": "CloseStream" })).await;
        let (messages, _) = socket.rest().await;
        let ended = messages.iter().find(|message| message["event"] == "EndOfTurn").unwrap();
        assert_eq!(ended["trigger"], trigger);
        let numbers: Vec<u64> = messages.iter().map(|message| message["sequence_id"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    }
    let mut socket = service.connect(FLUX, ("authorization", "Token key")).await.unwrap();
    socket.send_pcm(&audio[..audio.len() - 8_000]).await;
    socket.send(json!({ "type": "ForceEndTurn" })).await;
    socket.send(json!({ "type": "CloseStream" })).await;
    let (messages, _) = socket.rest().await;
    assert_eq!(messages.iter().find(|message| message["event"] == "EndOfTurn").unwrap()["trigger"], "manual");
    service.arm("flux.configure_failure", json!(null));
    let mut socket = service.connect(FLUX, ("authorization", "Token key")).await.unwrap();
    socket.send(json!({ "type": "Configure", "keyterms": ["a"] })).await;
    socket.send(json!({ "type": "CloseStream" })).await;
    assert!(socket.rest().await.0.iter().any(|message| message["type"] == "ConfigureFailure"));
}

#[tokio::test]
async fn ears_can_be_mute_from_the_beginning() {
    let service = service(10_000).await;
    service.arm("flux.mute", json!(null));
    let mut socket = service.connect(FLUX, ("authorization", "Token key")).await.unwrap();
    speak(&service, &mut socket).await;
    assert_eq!(socket.within(Duration::from_millis(300)).await, [] as [Value; 0]);
}

#[tokio::test]
async fn finalize_is_answered_unless_a_fault_forbids_it() {
    let service = service(10_000).await;
    let said = service.world.speech.say(LINE, "slt").await;
    let mut socket = connect(&service).await;
    for silent in [false, true] {
        if silent {
            service.arm("deepgram.finalize_silent", json!(null));
        }
        socket.send_pcm(&said.pcm).await;
        socket.send(json!({ "type": "Finalize" })).await;
        let messages = socket.within(Duration::from_millis(300)).await;
        assert_eq!(messages.iter().filter(|message| message["from_finalize"] == true).count(), usize::from(!silent));
    }
}

/// Everything that a socket in this language makes of Hindi.
async fn hindi_on(language: &str) -> Vec<Value> {
    let service = service(10_000).await;
    let path = format!("{PATH}&language={language}&punctuate=true");
    let mut socket = service.connect(&path, ("authorization", "Token key")).await.unwrap();
    let said = service.world.speech.say("हाँ, मेरी तरफ़ बजट अस्सी लाख है।", "slt").await;
    socket.send_pcm(&[&vec![0; 1_600], &said.pcm[..], &vec![0; 4_000]].concat()).await;
    socket.send(json!({ "type": "CloseStream" })).await;
    socket.rest().await.0
}

#[tokio::test]
async fn hindi_is_understood_where_it_may_be_spoken_and_its_words_say_so() {
    let heard = hindi_on("multi").await;
    assert_eq!(finals(&heard), [("हाँ, मेरी तरफ़ बजट अस्सी लाख है।", true)]);
    let best =
        heard.iter().rfind(|message| message["speech_final"] == true).unwrap()["channel"]["alternatives"][0].clone();
    assert_eq!(best["languages"], json!(["hi"]));
    assert_eq!((&best["words"][2]["word"], &best["words"][2]["language"]), (&json!("तरफ़"), &json!("hi")));
    assert_eq!(finals(&hindi_on("hi").await).len(), 1);
}

#[tokio::test]
async fn a_socket_for_english_hears_that_hindi_is_spoken_and_no_word_of_it() {
    let heard = hindi_on("en-IN").await;
    assert_eq!(heard[0]["type"], "SpeechStarted");
    assert!(heard.iter().any(|message| message["speech_final"] == true) && finals(&heard).is_empty(), "{heard:?}");
}
