//! The socket against small servers that speak the Realtime wire.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    dialogue::Speaker,
    realtime::wire::{Item, Status},
    test_server::{BOUND, Peer, Server, frame, say, text},
};

struct Call {
    handle: RealtimeHandle,
    events: mpsc::Receiver<Event>,
    meter: Meter,
}

fn call(server: &Server, timing: Timing) -> Call {
    let base = server.url().join("v1").unwrap();
    let address = Address::new(&base, &"k".into(), "gpt-realtime-2.1", "marin", "gpt-transcribe", "en-IN");
    let (outbox, events) = mpsc::channel(64);
    let meter = Meter::default();
    let (handle, run) = link(Connect::new().unwrap(), address, timing, meter.clone(), outbox);
    tokio::spawn(run);
    Call { handle, events, meter }
}

fn session(items: Vec<Item>) -> Link {
    let instructions = "You sell homes.".to_owned();
    Link::Open(Box::new(Session { instructions, tools: Arc::default(), items }))
}

impl Call {
    async fn order(&self, link: Link) {
        self.handle.orders.send(link).await.unwrap();
    }

    async fn event(&mut self) -> Event {
        timeout(BOUND, self.events.recv()).await.unwrap().unwrap()
    }

    /// Opens a session, and lets the server say that it is ready.
    async fn opens(&mut self, server: &Server) -> Peer {
        self.order(session(vec![])).await;
        let (mut peer, _) = server.accept("authorization", "Bearer k").await;
        assert_eq!(text(&mut peer).await["type"], "session.update");
        say(&mut peer, json!({"type": "session.created"})).await;
        say(&mut peer, json!({"type": "session.updated"})).await;
        assert!(matches!(self.event().await, Event::Ready { .. }));
        peer
    }

    async fn lost(&mut self) -> ProviderError {
        match self.event().await {
            Event::Lost(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_session_and_the_conversation_so_far_are_said_before_any_sound() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    call.handle.audio.push(&[1_000; 320]);
    let said = Item::Said(Speaker::Human, "A flat, please.".into());
    call.order(session(vec![said, Item::Note("The line broke.".into())])).await;
    let (mut peer, asked) = server.accept("authorization", "Bearer k").await;
    assert_eq!(asked, "/v1/realtime?model=gpt-realtime-2.1");
    let update = text(&mut peer).await;
    assert_eq!(update["session"]["instructions"], "You sell homes.");
    assert_eq!(update["session"]["audio"]["output"]["voice"], "marin");
    let roles = [text(&mut peer).await, text(&mut peer).await].map(|item| item["item"]["role"].clone());
    assert_eq!(roles, [json!("user"), json!("system")]);

    // The server does not know the sound's format before it has taken the session.
    say(&mut peer, json!({"type": "session.updated"})).await;
    assert!(matches!(call.event().await, Event::Ready { .. }));
    let sound = text(&mut peer).await;
    assert_eq!(sound["type"], "input_audio_buffer.append");
    assert_eq!(base64_len(&sound["audio"]), 320, "what was said while it opened is heard");
}

fn base64_len(audio: &Value) -> usize {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(audio.as_str().unwrap()).unwrap().len()
}

#[tokio::test]
async fn sound_words_and_costs_reach_the_call_and_orders_the_server() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    let mut peer = call.opens(&server).await;
    call.order(Link::Tell(ClientEvent::Commit)).await;
    assert_eq!(text(&mut peer).await, json!({"type": "input_audio_buffer.commit"}));

    say(&mut peer, json!({"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "//8="}))
        .await;
    match call.event().await {
        Event::Sound { event: ServerEvent::Audio { samples, .. }, codes } => {
            assert_eq!((samples, codes), (2, vec![0xff, 0xff]));
        }
        other => panic!("{other:?}"),
    }
    let usage = json!({"input_token_details": {"audio_tokens": 30, "text_tokens": 20, "cached_tokens": 0},
        "output_token_details": {"audio_tokens": 40, "text_tokens": 10}});
    say(&mut peer, json!({"type": "response.done", "response": {"id": "r", "status": "completed", "usage": usage}}))
        .await;
    assert!(matches!(call.event().await, Event::Said(ServerEvent::ResponseDone { status: Status::Completed, .. })));
    let used = call.meter.used();
    let amount = |unit: Unit| used.iter().filter(|used| used.unit == unit).map(|used| used.quantity).sum::<i64>();
    assert_eq!((amount(Unit::AudioInputToken), amount(Unit::AudioOutputToken)), (30, 40), "{used:?}");
}

#[tokio::test]
async fn a_refused_or_broken_socket_is_lost_once_and_another_one_can_be_opened() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    call.order(session(vec![])).await;
    server.refuse(401, "{}").await;
    let error = call.lost().await;
    assert!(!error.is_worth_another_try(), "{error}");
    // What is told to a socket that is not there is of no use any more.
    call.order(Link::Tell(ClientEvent::Commit)).await;

    let peer = call.opens(&server).await;
    drop(peer);
    assert!(matches!(call.lost().await, ProviderError::Cut { .. }));
    let mut peer = call.opens(&server).await;
    call.order(Link::Tell(ClientEvent::Commit)).await;
    assert_eq!(text(&mut peer).await["type"], "input_audio_buffer.commit", "and only the second one was said");
}

#[tokio::test]
async fn a_server_that_never_takes_the_session_or_falls_silent_is_given_up() {
    let server = Server::new().await;
    let quick = Timing { ready: Duration::from_millis(50), silence: Duration::from_millis(80), ..Timing::default() };
    let mut call = call(&server, quick);
    call.order(session(vec![])).await;
    let (_peer, _) = server.accept("authorization", "Bearer k").await;
    let error = call.lost().await;
    assert!(matches!(error, ProviderError::TimedOut { stage: "session", .. }), "{error}");

    // Nobody reads its end, so that no ping is answered.
    let _peer = call.opens(&server).await;
    let error = call.lost().await;
    assert!(matches!(error, ProviderError::TimedOut { stage: "pong", .. }), "{error}");
}

#[tokio::test]
async fn words_of_the_future_are_passed_over_and_nonsense_only_for_a_while() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    let mut peer = call.opens(&server).await;
    say(&mut peer, json!({"type": "response.smell.delta", "delta": "roses"})).await;
    for _ in 0..=MAX_MALFORMED {
        say(&mut peer, json!([1])).await;
    }
    // Neither the unknown nor the first of the others said anything.
    let error = call.lost().await;
    assert!(matches!(&error, ProviderError::Cut { cause } if cause == "malformed"), "{error}");
}

#[tokio::test]
async fn a_new_session_replaces_the_old_one_and_the_end_of_the_call_closes_it() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    let mut old = call.opens(&server).await;
    let (mut new, closed) = tokio::join!(call.opens(&server), async {
        while !frame(&mut old).await.is_close() {}
        true
    });
    assert!(closed);
    drop(call.handle);
    while !frame(&mut new).await.is_close() {}
}

#[tokio::test]
async fn a_socket_that_was_connected_while_the_phone_rang_takes_the_session_when_it_comes() {
    let server = Server::new().await;
    let mut call = call(&server, Timing::default());
    call.order(Link::Connect).await;
    let (mut peer, _) = server.accept("authorization", "Bearer k").await;
    // It answers its pings meanwhile, and what it says of its own session makes nothing ready.
    say(&mut peer, json!({"type": "session.created"})).await;
    peer.send(Frame::Ping(bytes::Bytes::new())).await.unwrap();
    assert!(frame(&mut peer).await.is_pong());
    call.order(session(vec![])).await;
    assert_eq!(text(&mut peer).await["type"], "session.update");
    say(&mut peer, json!({"type": "session.updated"})).await;
    assert!(matches!(call.event().await, Event::Ready { .. }));
}

#[tokio::test]
async fn a_socket_that_failed_while_the_phone_rang_is_replaced_in_silence() {
    let server = Server::new().await;
    let mut refused = call(&server, Timing::default());
    refused.order(Link::Connect).await;
    server.refuse(503, "{}").await;
    refused.opens(&server).await;

    let mut dropped = call(&server, Timing::default());
    dropped.order(Link::Connect).await;
    let (mut peer, _) = server.accept("authorization", "Bearer k").await;
    peer.close(None).await.unwrap();
    while timeout(BOUND, peer.next()).await.unwrap().is_some() {}
    dropped.opens(&server).await;

    // A phone that nobody answers leaves nothing behind.
    let unanswered = call(&server, Timing::default());
    unanswered.order(Link::Connect).await;
    let (mut peer, _) = server.accept("authorization", "Bearer k").await;
    drop(unanswered);
    while timeout(BOUND, peer.next()).await.unwrap().is_some_and(|frame| frame.is_ok()) {}
}
