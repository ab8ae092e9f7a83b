//! The transcriber against small servers that speak Deepgram's wire: what is sent is checked as bytes and JSON.

mod failing;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{deepgram::Nova, flux::Flux, sarvam::Sarvam, wire::Wire, *};
use crate::{
    provider::{Connect, Part},
    test_server::{self, BOUND, Peer, frame, say, text},
    usage::Meter,
};

/// A server that speaks Deepgram's wire.
struct Server(test_server::Server);

impl Server {
    async fn new() -> Self {
        Self(test_server::Server::new().await)
    }

    async fn accept(&self) -> (Peer, String) {
        self.0.accept("authorization", "Token k").await
    }

    async fn refuse(&self, status: u16, body: &str) {
        self.0.refuse(status, body).await;
    }

    fn wire(&self) -> Box<dyn Wire> {
        Box::new(Nova::new(&self.0.url(), &"k".into(), "nova-3", &Options::default()))
    }

    fn flux(&self) -> Box<dyn Wire> {
        Box::new(Flux::new(&self.0.url(), &"k".into(), None, &Options::default()))
    }

    fn sarvam(&self) -> Box<dyn Wire> {
        Box::new(Sarvam::new(&self.0.url(), &"k".into(), "saaras:v3-realtime", &Options::default()))
    }

    async fn accept_sarvam(&self) -> Peer {
        self.0.accept("api-subscription-key", "k").await.0
    }

    fn call(&self, timing: Timing) -> Call {
        call(self.wire(), None, timing)
    }
}

fn quick() -> Timing {
    Timing { backoff: vec![Duration::from_millis(10); 3], close: Duration::from_millis(300), ..Timing::default() }
}

struct Call {
    handle: SttHandle,
    events: mpsc::Receiver<SttEvent>,
    task: tokio::task::JoinHandle<()>,
    meter: Meter,
}

fn call(first: Box<dyn Wire>, second: Option<Box<dyn Wire>>, timing: Timing) -> Call {
    let (outbox, events) = mpsc::channel(64);
    let transcriber = Transcriber::new(Connect::new().unwrap()).with_timing(timing);
    let meter = Meter::default();
    let (handle, run) = transcriber.transcribe(first, second, meter.clone(), outbox);
    Call { handle, events, task: tokio::spawn(run), meter }
}

impl Call {
    async fn event(&mut self) -> SttEvent {
        timeout(BOUND, self.events.recv()).await.unwrap().unwrap()
    }
}

/// The next `samples` samples of audio.
async fn audio(peer: &mut Peer, samples: usize) -> Vec<i16> {
    let mut heard = Vec::new();
    while heard.len() < samples {
        if let Message::Binary(bytes) = frame(peer).await {
            assert!(!bytes.is_empty(), "an empty frame would end the stream");
            assert!(bytes.len() <= 250 * 16, "at most 250 ms");
            heard.extend(bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b)));
        }
    }
    heard
}

fn results(start: f64, duration: f64, transcript: &str, is_final: bool) -> Value {
    json!({"type": "Results", "start": start, "duration": duration, "is_final": is_final, "speech_final": is_final,
        "channel": {"alternatives": [{"transcript": transcript, "confidence": 0.9}]}})
}

#[tokio::test]
async fn audio_goes_out_as_it_comes_and_transcripts_come_back() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let (mut peer, asked) = server.accept().await;
    assert!(asked.starts_with("/v1/listen?model=nova-3&"), "{asked}");
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));

    call.handle.audio.push(&[7; 800]);
    assert_eq!(audio(&mut peer, 800).await, [7; 800]);
    say(&mut peer, json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.05})).await;
    say(&mut peer, results(0.0, 0.1, "who is", false)).await;
    say(&mut peer, results(0.0, 0.1, "", false)).await;
    say(&mut peer, json!({"type": "SomethingNew"})).await;
    say(&mut peer, results(0.0, 0.1, "who is this", true)).await;
    assert!(matches!(call.event().await, SttEvent::SpeechStarted { at } if at.as_millis() == 50));
    assert!(matches!(call.event().await, SttEvent::Interim { text, .. } if text == "who is"));
    let SttEvent::Final(transcript) = call.event().await else { panic!("not final") };
    assert_eq!((&*transcript.text, transcript.speech_final, transcript.end.as_millis()), ("who is this", true, 100));

    call.handle.control.send(SttControl::Finalize).await.unwrap();
    assert_eq!(text(&mut peer).await, json!({"type": "Finalize"}));
    drop(call.handle);
    assert_eq!(text(&mut peer).await, json!({"type": "CloseStream"}));
    say(&mut peer, results(0.1, 0.1, "bye", true)).await;
    assert!(matches!(call.events.recv().await, Some(SttEvent::Final(t)) if t.text == "bye"));
    peer.close(None).await.unwrap();
    timeout(BOUND, call.task).await.unwrap().unwrap();
    let used: Vec<_> = call.meter.used().into_iter().map(|used| (used.model, used.quantity)).collect();
    assert_eq!(used, [("nova-3".to_owned(), 100)], "milliseconds of audio, not of connection");
}

#[tokio::test]
async fn finalize_never_overtakes_audio_that_was_heard_before_it() {
    let server = Server::new().await;
    let call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    call.handle.audio.push(&[1; 1_600]);
    call.handle.control.send(SttControl::Finalize).await.unwrap();
    let mut heard = 0;
    loop {
        match frame(&mut peer).await {
            Message::Binary(bytes) => heard += bytes.len() / 2,
            Message::Text(_) => break,
            _ => {}
        }
    }
    assert_eq!(heard, 1_600);
}

#[tokio::test]
async fn silence_is_bridged_with_keep_alives() {
    let server = Server::new().await;
    let call = server.call(Timing { keep_alive: Duration::from_millis(50), ..quick() });
    let (mut peer, _) = server.accept().await;
    call.handle.audio.push(&[1; 160]);
    audio(&mut peer, 160).await;
    for _ in 0..3 {
        assert_eq!(text(&mut peer).await, json!({"type": "KeepAlive"}));
    }
}

#[tokio::test]
async fn a_broken_connection_replays_what_no_final_has_covered_and_keeps_the_calls_time() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    let sound: Vec<i16> = (0..2_400).collect();
    call.handle.audio.push(&sound);
    audio(&mut peer, 2_400).await;
    // The first 100 ms are settled; the last 200 ms are not.
    say(&mut peer, results(0.0, 0.1, "yes", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(_)));
    let close = CloseFrame { code: CloseCode::Error, reason: "NET-0000".into() };
    peer.close(Some(close)).await.unwrap();
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));

    let (mut peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.audio.push(&[-1; 800]);
    let heard = audio(&mut peer, 2_400).await;
    assert_eq!(heard[..1_600], sound[800..]);
    assert_eq!(heard[1_600..], [-1; 800]);
    // The provider counts from zero again.
    say(&mut peer, results(0.0, 0.25, "go on", true)).await;
    let SttEvent::Final(transcript) = call.event().await else { panic!("not final") };
    assert_eq!((transcript.start.as_millis(), transcript.end.as_millis()), (100, 350));
}

#[tokio::test]
async fn a_replay_keeps_to_the_providers_rate() {
    let server = Server::new().await;
    let call = server.call(quick());
    let (mut peer, _) = server.accept().await;
    // Everything the queue holds: two seconds at once.
    call.handle.audio.push(&[1; 16_000]);
    let began = Instant::now();
    audio(&mut peer, 16_000).await;
    // 500 ms may go at once, and the last frame of 100 ms leaves as soon as it may; the rest takes 1/1.25 of its length.
    assert!(began.elapsed() >= Duration::from_millis(1_050), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(2_000), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_dead_socket_is_noticed_by_its_silence() {
    let server = Server::new().await;
    let mut call = server.call(Timing { silence: Duration::from_millis(50), ..quick() });
    // Accepted, and then never read from again: no pong.
    let (_peer, _) = server.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
}

#[tokio::test]
async fn reconnecting_is_bounded() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    for attempt in 1..=3 {
        server.refuse(503, r#"{"error_code":"Service Unavailable"}"#).await;
        assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: a } if a == attempt));
    }
    server.refuse(429, r#"{"err_code":"TOO_MANY_REQUESTS"}"#).await;
    assert!(matches!(call.event().await, SttEvent::Lost(ProviderError::RateLimited { .. })));
    timeout(BOUND, call.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_bad_key_is_not_tried_again() {
    let server = Server::new().await;
    let mut call = server.call(quick());
    server.refuse(401, r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}"#).await;
    assert!(matches!(call.event().await, SttEvent::Lost(ProviderError::Rejected { code }) if code == "INVALID_AUTH"));
}

#[tokio::test]
async fn the_second_choice_takes_over_with_all_that_the_first_left_open() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = call(first.wire(), Some(second.wire()), quick());
    let (mut peer, _) = first.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    let sound: Vec<i16> = (0..2_400).collect();
    call.handle.audio.push(&sound);
    audio(&mut peer, 2_400).await;
    say(&mut peer, results(0.0, 0.1, "yes", true)).await;
    assert!(matches!(call.event().await, SttEvent::Final(_)));
    drop(peer);
    // One try again, and no more: somebody stands by.
    assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: 1 }));
    first.refuse(503, "{}").await;
    let SttEvent::FailedOver(over) = call.event().await else { panic!("not over") };
    assert_eq!((over.part, over.error.kind()), (Part::Stt, "unavailable"));

    let (mut peer, _) = second.accept().await;
    assert!(matches!(call.event().await, SttEvent::Connected { .. }));
    call.handle.audio.push(&[-1; 800]);
    let heard = audio(&mut peer, 2_400).await;
    assert_eq!(heard[..1_600], sound[800..]);
    assert_eq!(heard[1_600..], [-1; 800]);
    say(&mut peer, results(0.0, 0.25, "go on", true)).await;
    let SttEvent::Final(transcript) = call.event().await else { panic!("not final") };
    assert_eq!((transcript.start.as_millis(), transcript.end.as_millis()), (100, 350));
}

#[tokio::test]
async fn a_first_choice_that_is_refused_is_not_asked_twice_and_the_last_one_is_asked_patiently() {
    let (first, second) = (Server::new().await, Server::new().await);
    let mut call = call(first.wire(), Some(second.wire()), quick());
    first.refuse(402, r#"{"err_code":"ASR_PAYMENT_REQUIRED"}"#).await;
    assert!(matches!(call.event().await, SttEvent::FailedOver(over) if over.error.kind() == "rejected"));
    for attempt in 1..=3 {
        second.refuse(503, "{}").await;
        assert!(matches!(call.event().await, SttEvent::Reconnecting { attempt: a } if a == attempt));
    }
    second.refuse(503, "{}").await;
    assert!(matches!(call.event().await, SttEvent::Lost(_)));
}
