//! The client against a small server that keeps the provider's rules: a sixth context, a keep-alive of an unknown one or
//! voice settings on an open one fail the test.

mod failing;

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::*;
use crate::{
    dialogue::Epoch,
    provider::ProviderError,
    test_server::{self, BOUND},
    tts::TtsCommand,
};

struct Server(test_server::Server);

/// One accepted connection, and what is open on it.
struct Peer {
    socket: test_server::Peer,
    asked: String,
    /// Text received per open context.
    open: HashMap<String, String>,
    most_open: usize,
    final_due: Vec<String>,
}

/// What the client said, as far as a test cares.
#[derive(Debug, PartialEq)]
enum Said {
    Text(String, String),
    Close(String),
    KeepAlive(String),
    Gone,
}

impl Server {
    async fn new() -> Self {
        Self(test_server::Server::new().await)
    }

    async fn accept(&self) -> Peer {
        let (socket, asked) = self.0.accept("xi-api-key", "k").await;
        Peer { socket, asked, open: HashMap::new(), most_open: 0, final_due: Vec::new() }
    }

    fn client(&self, timing: Timing) -> ElevenLabs {
        ElevenLabs::new(Connect::new().unwrap(), self.0.url(), "k".into(), PhraseCache::default()).with_timing(timing)
    }
}

impl Peer {
    async fn said(&mut self) -> Said {
        loop {
            let message = match timeout(BOUND, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => serde_json::from_str::<Value>(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Said::Gone,
                Some(Ok(_)) => continue,
            };
            let Some(id) = message["context_id"].as_str().map(str::to_owned) else {
                assert_eq!(message, json!({"close_socket": true}));
                return Said::Gone;
            };
            if message["close_context"] == true {
                self.open.remove(&id).expect("only an open context is closed");
                self.final_due.push(id.clone());
                return Said::Close(id);
            }
            let text = message["text"].as_str().unwrap_or_default().to_owned();
            match self.open.get_mut(&id) {
                None => {
                    assert_eq!(text, " ", "a context begins with a space");
                    assert!(message["voice_settings"].is_object());
                    self.open.insert(id, String::new());
                    // A closed context counts until its end has been said.
                    self.most_open = self.most_open.max(self.open.len() + self.final_due.len());
                    assert!(self.most_open <= 5, "a sixth context");
                }
                Some(_) if text.is_empty() => return Said::KeepAlive(id),
                Some(all) => {
                    assert!(message["voice_settings"].is_null(), "voice settings on an open context");
                    assert_eq!(message["flush"], true);
                    assert!(text.ends_with(' '));
                    all.push_str(&text);
                    return Said::Text(id, text);
                }
            }
        }
    }

    async fn clause(&mut self) -> (String, String) {
        match self.said().await {
            Said::Text(id, text) => (id, text),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Speaks `text`: 10 ms of sound a character, in base64 chunks that end inside samples, with its alignment.
    async fn speak(&mut self, id: &str, text: &str) {
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let starts: Vec<usize> = (0..chars.len()).map(|n| n * 10).collect();
        let durations = vec![10; chars.len()];
        let bytes = vec![1u8; chars.len() * 160];
        let (head, tail) = bytes.split_at(77.min(bytes.len()));
        self.send(json!({"audio": STANDARD.encode(head), "contextId": id, "isFinal": null})).await;
        self.send(json!({"audio": STANDARD.encode(tail), "contextId": id,
            "alignment": {"chars": chars, "charStartTimesMs": starts, "charDurationsMs": durations}}))
            .await;
    }

    async fn end(&mut self, id: &str) {
        self.final_due.retain(|due| due != id);
        self.send(json!({"isFinal": true, "contextId": id})).await;
    }
}

struct Call {
    handle: TtsHandle,
    events: mpsc::Receiver<TtsEvent>,
}

fn call(client: &ElevenLabs) -> Call {
    let (outbox, events) = mpsc::channel(64);
    let voice = Sound { voice_id: "v1".into(), model: "eleven_flash_v2_5".into(), language: Some("en".into()) };
    let (handle, run) = client.speak(&voice, &Meter::default(), outbox);
    tokio::spawn(run);
    Call { handle, events }
}

impl Call {
    async fn tell(&self, command: TtsCommand) {
        self.handle.commands.send(command).await.unwrap();
    }

    async fn speak(&self, epoch: u32, clause: u32, text: &str) {
        self.tell(TtsCommand::Speak { epoch: Epoch(epoch), clause, text: text.into(), repeats: false }).await;
    }

    async fn finish(&self, epoch: u32) {
        self.tell(TtsCommand::Finish { epoch: Epoch(epoch) }).await;
    }

    async fn cancel(&self, epoch: u32) {
        self.tell(TtsCommand::Cancel { epoch: Epoch(epoch) }).await;
    }

    /// The next event that is not about the connection.
    async fn event(&mut self) -> TtsEvent {
        loop {
            match timeout(BOUND, self.events.recv()).await.unwrap().unwrap() {
                TtsEvent::Connected { .. } => {}
                event => return event,
            }
        }
    }

    /// Sound until the reply's end: samples per clause.
    async fn heard(&mut self, epoch: u32) -> Vec<(u32, usize)> {
        let mut heard: Vec<(u32, usize)> = Vec::new();
        loop {
            match self.event().await {
                TtsEvent::Audio { epoch: of, clause, audio, .. } => {
                    assert_eq!(of, Epoch(epoch), "sound of another reply");
                    match heard.last_mut() {
                        Some((last, samples)) if *last == clause => *samples += audio.samples.len(),
                        _ => heard.push((clause, audio.samples.len())),
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

#[tokio::test]
async fn a_reply_is_spoken_clause_by_clause_in_one_context() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing::default()));
    let mut peer = server.accept().await;
    assert!(peer.asked.starts_with("/v1/text-to-speech/v1/multi-stream-input?"), "{}", peer.asked);
    for part in ["output_format=pcm_8000", "auto_mode=true", "language_code=en", "model_id=eleven_flash_v2_5"] {
        assert!(peer.asked.contains(part), "{part}");
    }
    call.speak(1, 0, "Hello there,").await;
    call.speak(1, 1, "who is this?").await;
    call.finish(1).await;
    let (id, first) = peer.clause().await;
    assert_eq!(first, "Hello there, ");
    assert_eq!(peer.clause().await, (id.clone(), "who is this? ".into()));
    assert_eq!(peer.said().await, Said::Close(id.clone()));
    peer.speak(&id, "Hello there, ").await;
    peer.speak(&id, "who is this? ").await;
    peer.end(&id).await;
    // The server's chunks do not end where its alignment begins, so that the boundary is a few samples off.
    let heard = call.heard(1).await;
    assert_eq!(heard.iter().map(|(clause, _)| *clause).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(heard.iter().map(|(_, samples)| samples).sum::<usize>(), 26 * 80);
}

#[tokio::test]
async fn after_a_barge_in_late_sound_is_ignored_and_the_next_reply_has_a_new_context() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing::default()));
    let mut peer = server.accept().await;
    call.speak(1, 0, "A long story.").await;
    let (old, _) = peer.clause().await;
    peer.speak(&old, "A lo").await;
    assert!(matches!(call.event().await, TtsEvent::Audio { .. }));
    call.cancel(1).await;
    assert_eq!(peer.said().await, Said::Close(old.clone()));
    call.speak(2, 0, "Yes?").await;
    call.finish(2).await;
    let (new, _) = peer.clause().await;
    assert_ne!(old, new);
    peer.speak(&old, "ng story. ").await;
    peer.speak(&new, "Yes? ").await;
    peer.end(&old).await;
    peer.end(&new).await;
    assert!(matches!(call.event().await, TtsEvent::Audio { epoch: Epoch(1 | 2), .. }));
    // Whatever of the old reply was on its way before the cancel, nothing follows it.
    let heard = call.heard(2).await;
    assert!(heard.iter().all(|(clause, _)| *clause == 0));
}

#[tokio::test]
async fn at_most_four_contexts_are_open_and_the_fifth_waits_for_an_end() {
    let server = Server::new().await;
    let call = call(&server.client(Timing::default()));
    let mut peer = server.accept().await;
    let mut closed = Vec::new();
    for epoch in 0..4 {
        call.speak(epoch, 0, "Well").await;
        let (id, _) = peer.clause().await;
        call.cancel(epoch).await;
        assert_eq!(peer.said().await, Said::Close(id.clone()));
        closed.push(id);
    }
    // Four ends are outstanding. The next reply has to wait for one of them.
    call.speak(4, 0, "Now").await;
    timeout(Duration::from_millis(100), peer.said()).await.expect_err("it waits");
    peer.end(&closed[0]).await;
    assert_eq!(peer.clause().await.1, "Now ");
    assert!(peer.most_open <= MAX_OPEN_CONTEXTS, "{}", peer.most_open);
}

#[tokio::test]
async fn only_an_open_context_is_kept_alive() {
    let server = Server::new().await;
    let _call = call(&server.client(Timing { keep_alive: Duration::from_millis(40), ..Timing::default() }));
    let mut peer = server.accept().await;
    for _ in 0..3 {
        assert!(matches!(peer.said().await, Said::KeepAlive(_)));
    }
}

#[tokio::test]
async fn a_broken_socket_is_replaced_once_and_only_what_was_not_spoken_is_said_again() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing::default()));
    let mut peer = server.accept().await;
    call.speak(1, 0, "First one.").await;
    call.speak(1, 1, "Second clause here.").await;
    call.finish(1).await;
    let (id, _) = peer.clause().await;
    peer.clause().await;
    peer.speak(&id, "First one. Second cl").await;
    let close = CloseFrame { code: CloseCode::Error, reason: "".into() };
    peer.socket.close(Some(close)).await.unwrap();

    let mut peer = server.accept().await;
    let (id, text) = peer.clause().await;
    assert_eq!(text, "clause here. ");
    peer.speak(&id, "clause here. ").await;
    assert_eq!(peer.said().await, Said::Close(id.clone()));
    peer.end(&id).await;
    let heard = call.heard(1).await;
    assert_eq!(heard.iter().map(|(clause, _)| *clause).collect::<Vec<_>>(), [0, 1]);

    // A second loss within one reply fails it.
    call.speak(2, 0, "Again and again.").await;
    peer.clause().await;
    drop(peer);
    let mut peer = server.accept().await;
    peer.clause().await;
    drop(peer);
    assert!(matches!(call.event().await, TtsEvent::Failed { epoch: Epoch(2), clause: 0, .. }));
}

#[tokio::test]
async fn a_silent_provider_fails_the_clause_instead_of_the_call() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing { stall: Duration::from_millis(80), ..Timing::default() }));
    let mut peer = server.accept().await;
    call.speak(1, 0, "Hello?").await;
    let (id, _) = peer.clause().await;
    let TtsEvent::Failed { epoch: Epoch(1), clause: 0, error } = call.event().await else { panic!("not failed") };
    assert_eq!(error.kind(), "timed_out");
    assert_eq!(peer.said().await, Said::Close(id));
    // The dialogue says it again under a new clause number; that works.
    call.speak(1, 1, "Hello?").await;
    call.finish(1).await;
    let (id, _) = peer.clause().await;
    peer.speak(&id, "Hello? ").await;
    peer.end(&id).await;
    assert_eq!(call.heard(1).await, [(1, 7 * 80)]);
}

#[tokio::test]
async fn a_reply_is_over_when_all_is_spoken_even_if_its_end_never_comes() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing { tail: Duration::from_millis(50), ..Timing::default() }));
    let mut peer = server.accept().await;
    call.speak(1, 0, "Bye.").await;
    call.finish(1).await;
    let (id, _) = peer.clause().await;
    peer.speak(&id, "Bye. ").await;
    assert_eq!(call.heard(1).await, [(0, 5 * 80)]);
}

#[tokio::test]
async fn no_more_than_three_seconds_are_read_ahead() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing::default()));
    let mut peer = server.accept().await;
    call.speak(1, 0, "A very long clause that is read aloud.").await;
    let (id, _) = peer.clause().await;
    for _ in 0..10 {
        let audio = STANDARD.encode(vec![0u8; 16_000]);
        peer.send(json!({"audio": audio, "contextId": id})).await;
    }
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(call.event().await);
    }
    timeout(Duration::from_millis(100), call.events.recv()).await.expect_err("three seconds are ahead");
    kept.pop();
    assert!(matches!(call.event().await, TtsEvent::Audio { .. }), "room was made");
}

#[tokio::test]
async fn a_phrase_that_every_call_says_is_cached_and_spoken_without_the_provider() {
    let server = Server::new().await;
    let client = server.client(Timing::default());
    let greeting = |call: &Call| {
        let commands = call.handle.commands.clone();
        async move {
            let speak = TtsCommand::Speak { epoch: Epoch(0), clause: 0, text: "Hello.".into(), repeats: true };
            commands.send(speak).await.unwrap();
            commands.send(TtsCommand::Finish { epoch: Epoch(0) }).await.unwrap();
        }
    };
    let mut first = call(&client);
    let mut peer = server.accept().await;
    greeting(&first).await;
    let (id, _) = peer.clause().await;
    peer.speak(&id, "Hello. ").await;
    peer.end(&id).await;
    assert_eq!(first.heard(0).await, [(0, 560)]);

    // Not even a connection is needed.
    let mut second = call(&client);
    greeting(&second).await;
    assert_eq!(second.heard(0).await, [(0, 560)]);
}

#[tokio::test]
async fn a_refused_key_fails_every_reply_at_once() {
    let server = Server::new().await;
    let mut call = call(&server.client(Timing::default()));
    let mut stream = server.0.stream().await;
    let body = r#"{"detail":{"status":"invalid_api_key","message":"x"}}"#;
    let response = format!("HTTP/1.1 401 Unauthorized\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, response.as_bytes()).await.unwrap();
    for epoch in 1..3 {
        call.speak(epoch, 0, "Hello.").await;
        let TtsEvent::Failed { error, .. } = call.event().await else { panic!("not failed") };
        assert!(matches!(error, ProviderError::Rejected { .. }), "{error}");
    }
}
