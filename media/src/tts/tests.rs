//! The clause-by-clause voices and the change from one voice to another, against small servers that speak the wires.

mod aura_limits;

use std::net::SocketAddr;

use axum::{Router, body::Body, http::StatusCode, response::IntoResponse, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use super::{
    aura::Aura,
    by_clause::Timing,
    cache::PhraseCache,
    elevenlabs::{ElevenLabs, Sound},
    fail_over,
    sarvam::Sarvam,
    synth::{SocketSynth, Synth},
    *,
};
use crate::{
    health::Health,
    llm::http_client,
    provider::{Connect, Part},
    usage::Meter,
};

const BOUND: Duration = Duration::from_secs(5);

struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

struct Peer(WebSocketStream<TcpStream>);

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { listener, addr }
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = timeout(BOUND, self.listener.accept()).await.unwrap().unwrap();
        Peer(accept_async(stream).await.unwrap())
    }

    async fn refuse(&self, status: u16) {
        self.refuse_with(status, "{}").await;
    }

    async fn refuse_with(&self, status: u16, body: &str) {
        let (mut stream, _) = timeout(BOUND, self.listener.accept()).await.unwrap().unwrap();
        let response = format!("HTTP/1.1 {status} No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        tokio::io::AsyncWriteExt::write_all(&mut stream, response.as_bytes()).await.unwrap();
    }

    fn url(&self) -> url::Url {
        format!("http://{}", self.addr).parse().unwrap()
    }

    fn aura(&self) -> Box<dyn Synth> {
        let wire = Aura::new(&self.url(), &"k".into(), "aura-2-thalia-en");
        Box::new(SocketSynth::new(wire, Connect::new().unwrap(), Duration::from_secs(1)))
    }

    fn sarvam(&self) -> Box<dyn Synth> {
        let wire = Sarvam::new(&self.url(), &"k".into(), "bulbul:v3", "shubh", "hi-IN").unwrap();
        Box::new(SocketSynth::new(wire, Connect::new().unwrap(), Duration::from_secs(1)))
    }

    fn aura_voice(&self) -> Voice {
        let wire = ClauseWire::Aura(Aura::new(&self.url(), &"k".into(), "aura-2-thalia-en"));
        Voice::ByClause { wire, connect: Connect::new().unwrap(), phrases: PhraseCache::default() }
    }

    fn elevenlabs_voice(&self) -> Voice {
        let client = ElevenLabs::new(Connect::new().unwrap(), self.url(), "k".into(), PhraseCache::default());
        let sound = Sound { voice_id: "v1".into(), model: "eleven_flash_v2_5".into(), language: None };
        Voice::ElevenLabs { client, sound }
    }
}

impl Peer {
    /// The next text message; `Null` when the client has gone.
    async fn said(&mut self) -> Value {
        loop {
            match timeout(BOUND, self.0.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Value::Null,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The context of ElevenLabs' next clause.
    async fn context(&mut self) -> String {
        loop {
            let said = self.said().await;
            if said["flush"] == true {
                return said["context_id"].as_str().unwrap().to_owned();
            }
        }
    }

    /// As ElevenLabs does, each character a time of 10 ms.
    async fn speak(&mut self, context: &str, text: &str) {
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let starts: Vec<usize> = (0..chars.len()).map(|n| n * 10).collect();
        let audio = STANDARD.encode(vec![0; chars.len() * 160]);
        let alignment = json!({"chars": chars, "charStartTimesMs": starts});
        self.send(json!({"audio": audio, "contextId": context, "alignment": alignment})).await;
    }

    /// The text of Aura's next clause.
    async fn clause(&mut self) -> String {
        let speak = self.said().await;
        assert_eq!(speak["type"], "Speak", "{speak}");
        assert_eq!(self.said().await, json!({"type": "Flush"}));
        speak["text"].as_str().unwrap().to_owned()
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn sound(&mut self, samples: usize) {
        self.0.send(Message::Binary(vec![0xff; samples].into())).await.unwrap();
    }

    async fn flushed(&mut self) {
        self.send(json!({"type": "Flushed", "sequence_id": 1})).await;
    }
}

struct Call {
    handle: TtsHandle,
    events: mpsc::Receiver<TtsEvent>,
    meter: Meter,
}

fn call(synth: Box<dyn Synth>, timing: Timing) -> Call {
    let (outbox, events) = mpsc::channel(64);
    let meter = Meter::default();
    let (handle, run) = by_clause::speak(synth, timing, PhraseCache::default(), &meter, outbox);
    tokio::spawn(run);
    Call { handle, events, meter }
}

fn two_voices(first: Voice, second: Voice) -> Call {
    let (outbox, events) = mpsc::channel(64);
    let meter = Meter::default();
    let (handle, run) = fail_over::speak(first, Some(second), Health::default(), meter.clone(), outbox);
    tokio::spawn(run);
    Call { handle, events, meter }
}

impl Call {
    async fn speak(&self, epoch: u32, clause: u32, text: &str) {
        let (epoch, text) = (Epoch(epoch), text.to_owned());
        self.handle.commands.send(TtsCommand::Speak { epoch, clause, text, repeats: false }).await.unwrap();
    }

    async fn finish(&self, epoch: u32) {
        self.handle.commands.send(TtsCommand::Finish { epoch: Epoch(epoch) }).await.unwrap();
    }

    async fn cancel(&self, epoch: u32) {
        self.handle.commands.send(TtsCommand::Cancel { epoch: Epoch(epoch) }).await.unwrap();
    }

    /// The next event that is not about a connection.
    async fn event(&mut self) -> TtsEvent {
        loop {
            match timeout(BOUND, self.events.recv()).await.unwrap().unwrap() {
                TtsEvent::Connected { .. } => {}
                event => return event,
            }
        }
    }

    /// Clauses and samples of a reply, to its end.
    async fn heard(&mut self, epoch: u32) -> Vec<(u32, usize)> {
        let mut heard: Vec<(u32, usize)> = Vec::new();
        loop {
            match self.event().await {
                TtsEvent::Audio { epoch: of, clause, audio, .. } => {
                    assert_eq!(of, Epoch(epoch), "sound of another reply");
                    match heard.last_mut().filter(|(last, _)| *last == clause) {
                        Some((_, samples)) => *samples += audio.samples.len(),
                        None => heard.push((clause, audio.samples.len())),
                    }
                }
                TtsEvent::Done { epoch: of } => {
                    assert_eq!(of, Epoch(epoch));
                    return heard;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn quick() -> Timing {
    Timing { backoff: vec![Duration::from_millis(10); 2], stall: Duration::from_millis(300), ..Timing::default() }
}

#[tokio::test]
async fn clauses_are_spoken_one_after_the_other_and_counted() {
    let server = Server::new().await;
    let mut call = call(server.aura(), Timing::default());
    let mut peer = server.accept().await;
    peer.send(json!({"type": "Metadata", "request_id": "r"})).await;
    call.speak(1, 0, "Hello there, ").await;
    call.speak(1, 1, "who is this?").await;
    call.finish(1).await;
    assert_eq!(peer.clause().await, "Hello there,");
    peer.sound(800).await;
    peer.sound(800).await;
    peer.flushed().await;
    assert_eq!(peer.clause().await, "who is this?");
    peer.sound(400).await;
    peer.flushed().await;
    assert_eq!(call.heard(1).await, [(0, 1_600), (1, 400)]);
    let used = call.meter.used();
    assert_eq!((used[0].provider.as_str(), used[0].quantity), ("deepgram", 24));
}

#[tokio::test]
async fn after_a_barge_in_nothing_is_heard_until_the_provider_has_cleared() {
    let server = Server::new().await;
    let mut call = call(server.aura(), Timing::default());
    let mut peer = server.accept().await;
    call.speak(1, 0, "A long story.").await;
    peer.clause().await;
    peer.sound(800).await;
    assert!(matches!(call.event().await, TtsEvent::Audio { .. }));
    call.cancel(1).await;
    assert_eq!(peer.said().await, json!({"type": "Clear"}));
    call.speak(2, 0, "Yes?").await;
    call.finish(2).await;
    // Late sound and a late end of the old reply.
    peer.sound(800).await;
    peer.flushed().await;
    peer.send(json!({"type": "Cleared", "sequence_id": 2})).await;
    assert_eq!(peer.clause().await, "Yes?");
    peer.sound(320).await;
    peer.flushed().await;
    assert_eq!(call.heard(2).await, [(0, 320)]);
}

#[tokio::test]
async fn a_voice_that_cannot_be_told_to_stop_is_left_and_a_new_one_is_warm_at_once() {
    let server = Server::new().await;
    let mut call = call(server.sarvam(), Timing::default());
    let mut peer = server.accept().await;
    call.speak(1, 0, "एक लंबी कहानी").await;
    assert_eq!(peer.said().await["type"], "config");
    assert_eq!(peer.said().await["data"]["text"], "एक लंबी कहानी");
    assert_eq!(peer.said().await, json!({"type": "flush"}));
    call.cancel(1).await;
    assert_eq!(peer.said().await, Value::Null);
    // Connected before anything is to be said.
    let mut peer = server.accept().await;
    call.speak(2, 0, "जी?").await;
    call.finish(2).await;
    assert_eq!(peer.said().await["type"], "config");
    peer.said().await;
    peer.said().await;
    let audio = STANDARD.encode([0xff; 160]);
    peer.send(json!({"type": "audio", "data": {"content_type": "audio/mulaw", "audio": audio}})).await;
    peer.send(json!({"type": "event", "data": {"event_type": "final"}})).await;
    assert_eq!(call.heard(2).await, [(0, 160)]);
}

#[tokio::test]
async fn an_idle_voice_gives_signs_of_life() {
    let server = Server::new().await;
    let _call = call(server.sarvam(), Timing { keep_alive: Duration::from_millis(30), ..quick() });
    let mut peer = server.accept().await;
    for _ in 0..3 {
        assert_eq!(peer.said().await, json!({"type": "ping"}));
    }
}

#[tokio::test]
async fn a_broken_connection_says_the_rest_of_the_clause_once_more() {
    let server = Server::new().await;
    let mut call = call(server.aura(), quick());
    let mut peer = server.accept().await;
    call.speak(1, 0, "who is there now").await;
    call.finish(1).await;
    peer.clause().await;
    // Four characters' time.
    peer.sound(4 * 560).await;
    assert!(matches!(call.event().await, TtsEvent::Audio { .. }));
    drop(peer);
    let mut peer = server.accept().await;
    assert_eq!(peer.clause().await, "is there now");
    peer.sound(100).await;
    peer.flushed().await;
    assert_eq!(call.heard(1).await, [(0, 100)]);

    call.speak(2, 0, "again").await;
    peer.clause().await;
    drop(peer);
    let mut peer = server.accept().await;
    peer.clause().await;
    drop(peer);
    assert!(matches!(call.event().await, TtsEvent::Failed { epoch: Epoch(2), clause: 0, .. }));
}

#[tokio::test]
async fn silence_fails_the_clause_unless_about_all_of_it_was_heard() {
    let server = Server::new().await;
    let mut call = call(server.aura(), quick());
    let mut peer = server.accept().await;
    call.speak(1, 0, "Hello?").await;
    call.finish(1).await;
    peer.clause().await;
    let TtsEvent::Failed { error, .. } = call.event().await else { panic!("not failed") };
    assert_eq!(error.kind(), "timed_out");
    // The end is missing, the sound is not.
    call.speak(2, 0, "Hello?").await;
    call.finish(2).await;
    let mut peer = server.accept().await;
    peer.clause().await;
    peer.sound(6 * 560).await;
    assert_eq!(call.heard(2).await, [(0, 6 * 560)]);
}

#[tokio::test]
async fn a_refused_key_fails_every_reply_at_once() {
    let server = Server::new().await;
    let mut call = call(server.sarvam(), quick());
    server.refuse(403).await;
    for epoch in 1..3 {
        call.speak(epoch, 0, "Hello.").await;
        let TtsEvent::Failed { error, .. } = call.event().await else { panic!("not failed") };
        assert_eq!(error.kind(), "rejected");
    }
}

#[tokio::test]
async fn speech_over_http_is_brought_to_the_telephones_rate_and_can_be_refused() {
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let answer = {
        let refused = std::sync::Arc::clone(&refused);
        move |body: axum::Json<Value>| {
            let refuse = refused.load(std::sync::atomic::Ordering::SeqCst);
            async move {
                assert_eq!((&body["input"], &body["response_format"]), (&json!("Hello."), &json!("pcm")));
                if refuse {
                    let error = r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#;
                    return (StatusCode::TOO_MANY_REQUESTS, error).into_response();
                }
                // A tenth of a second at 24 kHz, in pieces that end inside samples.
                let pieces = vec![1u8; 4_800]
                    .chunks(77)
                    .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
                    .collect::<Vec<_>>();
                Body::from_stream(stream::iter(pieces)).into_response()
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/audio/speech", post(answer))).await });
    let synth = || openai::OpenAi::new(http_client().unwrap(), &url, &"k".into(), "tts-1", "coral").unwrap();
    let mut fine = call(Box::new(synth()), quick());
    fine.speak(1, 0, "Hello.").await;
    fine.finish(1).await;
    let heard = fine.heard(1).await;
    assert!(matches!(heard[..], [(0, samples)] if (770..=800).contains(&samples)), "{heard:?}");

    refused.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut poor = call(Box::new(synth()), quick());
    poor.speak(1, 0, "Hello.").await;
    assert!(matches!(poor.event().await, TtsEvent::Failed { error: ProviderError::Rejected { .. }, .. }));
}

#[tokio::test]
async fn the_second_voice_takes_over_when_the_first_is_refused() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = two_voices(first.elevenlabs_voice(), second.aura_voice());
    first.refuse(401).await;
    call.speak(1, 0, "Hello there,").await;
    call.speak(1, 1, "who is this?").await;
    call.finish(1).await;
    let TtsEvent::FailedOver(over) = call.event().await else { panic!("not over") };
    assert_eq!((over.part, over.from, over.to), (Part::Tts, Provider::ElevenLabs, Provider::Deepgram));
    let mut peer = second.accept().await;
    for text in ["Hello there,", "who is this?"] {
        assert_eq!(peer.clause().await, text);
        peer.sound(160).await;
        peer.flushed().await;
    }
    assert_eq!(call.heard(1).await, [(0, 160), (1, 160)]);
    // For the rest of the call.
    call.speak(2, 0, "Yes?").await;
    assert_eq!(peer.clause().await, "Yes?");
}

#[tokio::test]
async fn the_second_voice_goes_on_at_the_word_that_was_not_heard() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = two_voices(first.elevenlabs_voice(), second.aura_voice());
    let mut peer = first.accept().await;
    call.speak(1, 0, "First one.").await;
    call.speak(1, 1, "Second clause here.").await;
    call.finish(1).await;
    let context = peer.context().await;
    // The first clause and one word of the second.
    peer.speak(&context, "First one. Second cl").await;
    assert!(matches!(call.event().await, TtsEvent::Audio { clause: 0, .. }));
    assert!(matches!(call.event().await, TtsEvent::Audio { clause: 1, .. }));
    drop(peer);
    // Its own try again is refused for good.
    first.refuse(401).await;
    let TtsEvent::FailedOver(_) = call.event().await else { panic!("not over") };
    let mut peer = second.accept().await;
    assert_eq!(peer.clause().await, "clause here.");
    peer.sound(160).await;
    peer.flushed().await;
    assert_eq!(call.heard(1).await, [(1, 160)]);
}

#[tokio::test]
async fn the_second_voice_says_the_rest_of_a_last_clause_that_the_first_one_ended_too_soon() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = two_voices(first.elevenlabs_voice(), second.aura_voice());
    let mut peer = first.accept().await;
    call.speak(1, 0, "Good.").await;
    call.speak(1, 1, "When can you come to see it?").await;
    call.finish(1).await;
    let context = peer.context().await;
    peer.speak(&context, "Good. When can y").await;
    peer.send(json!({"isFinal": true, "contextId": context})).await;
    assert!(matches!(call.event().await, TtsEvent::Audio { clause: 0, .. }));
    assert!(matches!(call.event().await, TtsEvent::Audio { clause: 1, .. }));
    assert!(matches!(call.event().await, TtsEvent::FailedOver(_)));
    let mut peer = second.accept().await;
    assert_eq!(peer.clause().await, "you come to see it?");
    peer.sound(160).await;
    peer.flushed().await;
    assert_eq!(call.heard(1).await, [(1, 160)]);
}
