//! A tiny media server and webhook receiver, as a product would run them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        RawQuery, Request, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{any, get},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use crate::{
    exotel::frames,
    speech::{Ear, Heard},
    world::World,
};

/// What the bot does with a stream.
#[derive(Clone)]
pub enum Plan {
    /// Asks each question, waits for the answer to each, then closes.
    Ask(Vec<&'static str>),
    /// Says one long thing and never closes.
    Talk(&'static str),
    /// Dies in the middle of a question at first; in the next stream it asks it whole and listens.
    Die(&'static str),
    /// Sends everything at once.
    Burst(&'static str),
}

/// Everything that reached the product's side.
#[derive(Default)]
pub struct Seen {
    /// Messages of the stream other than media.
    pub events: Vec<Value>,
    pub media: usize,
    pub heard: Vec<String>,
    pub passthrus: Vec<String>,
    pub callbacks: Vec<(HeaderMap, String)>,
    pub authorization: Option<String>,
    pub upgrade_query: Option<String>,
}

pub struct Bot {
    pub base: String,
    pub seen: Arc<Mutex<Seen>>,
}

#[derive(Clone)]
struct Shared {
    world: Arc<World>,
    seen: Arc<Mutex<Seen>>,
    plan: Plan,
    passthru_answers: StatusCode,
    base: String,
}

impl Bot {
    pub async fn start(world: &Arc<World>, plan: Plan, passthru_answers: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Shared { world: world.clone(), seen: seen.clone(), plan, passthru_answers, base: base.clone() };
        let router = Router::new()
            .route("/media", any(upgrade))
            .route("/where", get(whereabouts))
            .route("/passthru", get(passthru))
            .route("/stalls", get(std::future::pending::<StatusCode>))
            .route("/callback", any(callback))
            .with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, seen }
    }
}

async fn whereabouts(State(shared): State<Shared>) -> axum::Json<Value> {
    axum::Json(json!({"url": format!("ws://bot:secret@{}/media?att=a1", shared.base)}))
}

async fn passthru(State(shared): State<Shared>, RawQuery(query): RawQuery) -> StatusCode {
    shared.seen.lock().unwrap().passthrus.push(query.unwrap_or_default());
    shared.passthru_answers
}

async fn callback(State(shared): State<Shared>, request: Request) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 65_536).await.unwrap();
    let text = format!("{}\n{}", parts.uri, String::from_utf8_lossy(&body));
    shared.seen.lock().unwrap().callbacks.push((parts.headers, text));
}

async fn upgrade(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    ws: WebSocketUpgrade,
) -> Response {
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        seen.upgrade_query = query;
    }
    ws.on_upgrade(move |socket| talk(shared, socket))
}

/// One stream from the bot's side.
async fn talk(shared: Shared, mut socket: WebSocket) {
    let mut ear = shared.world.speech.ear();
    let stream_sid = loop {
        let Some(event) = next(&shared, &mut socket, &mut ear).await else { return };
        if event["event"] == "start" {
            break event["stream_sid"].as_str().unwrap().to_owned();
        }
    };
    match shared.plan.clone() {
        Plan::Ask(questions) => {
            for (number, question) in questions.iter().enumerate() {
                let answered = shared.seen.lock().unwrap().heard.len();
                let mark = format!("q{number}");
                speak(&shared, &mut socket, &mut ear, &stream_sid, question, &mark, true).await;
                while shared.seen.lock().unwrap().heard.len() == answered {
                    if next(&shared, &mut socket, &mut ear).await.is_none() {
                        return;
                    }
                }
            }
            let _ = socket.send(Message::Close(None)).await;
            while next(&shared, &mut socket, &mut ear).await.is_some() {}
        }
        Plan::Talk(text) => {
            speak(&shared, &mut socket, &mut ear, &stream_sid, text, "end", true).await;
            while next(&shared, &mut socket, &mut ear).await.is_some() {}
        }
        Plan::Die(text) => {
            let streams = {
                let seen = shared.seen.lock().unwrap();
                seen.events.iter().filter(|event| event["event"] == "start").count()
            };
            let asked = speak(&shared, &mut socket, &mut ear, &stream_sid, text, "end", true);
            if streams == 1 {
                let _ = tokio::time::timeout(Duration::from_millis(1_200), asked).await;
                // Without a close frame, as a killed process ends.
                return;
            }
            asked.await;
            while next(&shared, &mut socket, &mut ear).await.is_some() {}
        }
        Plan::Burst(text) => {
            speak(&shared, &mut socket, &mut ear, &stream_sid, text, "end", false).await;
            while next(&shared, &mut socket, &mut ear).await.is_some() {}
        }
    }
}

/// Sends a text in 200 ms frames, at about real time if `paced`, with a mark behind it.
async fn speak(
    shared: &Shared,
    socket: &mut WebSocket,
    ear: &mut Ear,
    stream_sid: &str,
    text: &str,
    mark: &str,
    paced: bool,
) {
    let said = shared.world.speech.say(text, "agent").await;
    let (sender, mut frames) = mpsc::channel::<Value>(1_024);
    for pcm in said.pcm.chunks(1_600) {
        let mut pcm = pcm.to_vec();
        pcm.resize(1_600, 0);
        let bytes: Vec<u8> = frames::to_rate(&pcm, 8_000).iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let payload = BASE64_STANDARD.encode(bytes);
        sender.try_send(json!({"event": "media", "stream_sid": stream_sid, "media": {"payload": payload}})).unwrap();
    }
    sender.try_send(json!({"event": "mark", "stream_sid": stream_sid, "mark": {"name": mark}})).unwrap();
    drop(sender);
    // Two frames ahead of real time.
    let mut due = Instant::now() - Duration::from_millis(400);
    while let Some(frame) = frames.recv().await {
        while paced && Instant::now() < due {
            match tokio::time::timeout_at(due, next(shared, socket, ear)).await {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_elapsed) => break,
            }
        }
        due += Duration::from_millis(200);
        if socket.send(Message::text(frame.to_string())).await.is_err() {
            return;
        }
    }
}

/// The next message, with media swallowed by the ear. `None` when the stream is over.
async fn next(shared: &Shared, socket: &mut WebSocket, ear: &mut Ear) -> Option<Value> {
    loop {
        let Message::Text(text) = socket.recv().await?.ok()? else { return None };
        let Ok(event) = serde_json::from_str::<Value>(&text) else { continue };
        let mut seen = shared.seen.lock().unwrap();
        if event["event"] != "media" {
            seen.events.push(event.clone());
            return Some(event);
        }
        seen.media += 1;
        let payload = event["media"]["payload"].as_str().unwrap_or_default();
        let Ok(bytes) = BASE64_STANDARD.decode(payload) else { continue };
        for heard in ear.hear(&frames::to_8k(&bytes, 8_000)) {
            if let Heard::Ended { text, .. } = heard {
                seen.heard.push(text);
                return Some(event);
            }
        }
    }
}
