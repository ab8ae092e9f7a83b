//! The two WebSocket endpoints.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{
        Path, RawQuery, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Settings,
    contexts::{Action, Contexts, Kind},
    error::Error,
    query::{self, Query},
    speaker::{Out, Piece, Speaker},
};
use crate::world::World;

/// Pieces that may wait in one context, and messages that may wait for a slow client.
const QUEUE: usize = 64;
/// After `close_socket`, or the end of a single stream, the audio under way is finished within this.
const LAST_WORDS: Duration = Duration::from_secs(120);

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(super) async fn single(
    world: State<Arc<World>>,
    settings: Extension<Arc<Settings>>,
    voice: Path<String>,
    raw: RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    open(Kind::Single, world, settings, voice, raw, &headers, upgrade).await
}

pub(super) async fn multi(
    world: State<Arc<World>>,
    settings: Extension<Arc<Settings>>,
    voice: Path<String>,
    raw: RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    open(Kind::Multi, world, settings, voice, raw, &headers, upgrade).await
}

async fn open(
    kind: Kind,
    State(world): State<Arc<World>>,
    Extension(settings): Extension<Arc<Settings>>,
    Path(voice): Path<String>,
    RawQuery(raw): RawQuery,
    headers: &HeaderMap,
    upgrade: Upgrade,
) -> Response {
    sleep(Duration::from_millis(settings.handshake_ms)).await;
    let raw = raw.unwrap_or_default();
    world.faults.slow_accept("elevenlabs", &format!("{voice} {raw} ")).await;
    let key = query::key(headers);
    let admitted = query::check_refusal(&world, &format!("{voice} {raw} "))
        .and_then(|()| key.map_or(Ok(()), query::check_key))
        .and_then(|()| query::check_voice(&voice))
        .and_then(|()| Query::socket(&raw));
    match (admitted, upgrade) {
        (Err(error), _) => {
            let data = json!({ "voice": voice, "query": raw, "status": error.http.as_u16(), "error": error.status, "message": error.message });
            world.log.record("elevenlabs", "socket.refused", data);
            error.into_response()
        }
        (Ok(_), Err(rejection)) => rejection.into_response(),
        (Ok(query), Ok(upgrade)) => {
            world.log.record(
                "elevenlabs",
                "socket.opened",
                json!({ "voice": voice, "query": raw, "multi": kind == Kind::Multi }),
            );
            let contexts = Contexts::new(kind, query.auto_mode, key.is_some());
            let session = Session { kind, world, settings, voice, raw, query, contexts, speakers: HashMap::new() };
            upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
        }
    }
}

/// Why a socket ends.
enum End {
    Gone(&'static str),
    Normal,
    Violation(Error),
}

struct Session {
    kind: Kind,
    world: Arc<World>,
    settings: Arc<Settings>,
    voice: String,
    raw: String,
    query: Query,
    contexts: Contexts,
    /// Texts for each open context.
    speakers: HashMap<String, mpsc::Sender<Piece>>,
}

impl Session {
    async fn run(mut self, mut socket: WebSocket) {
        let mut tasks = JoinSet::new();
        let end = self.talk(&mut socket, &mut tasks).await;
        tasks.shutdown().await;
        let (close, reason) = match &end {
            End::Gone(why) => (None, (*why).to_owned()),
            End::Normal => (Some((close_code::NORMAL, String::new())), "closed".to_owned()),
            End::Violation(error) => {
                // The client may be gone already; then the close frame fails too.
                let _gone = socket.send(text(&error.message())).await.is_err();
                (Some((close_code::POLICY, error.close_reason())), error.status.to_owned())
            }
        };
        self.world.log.record("elevenlabs", "socket.closed", json!({ "voice": self.voice, "reason": reason }));
        if let Some((code, reason)) = close {
            let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            if socket.send(frame).await.is_ok() {
                let drain = async { while let Some(Ok(_)) = socket.recv().await {} };
                let _unanswered = tokio::time::timeout(Duration::from_secs(1), drain).await.is_err();
            }
        }
    }

    async fn talk(&mut self, socket: &mut WebSocket, tasks: &mut JoinSet<()>) -> End {
        let (out, mut spoken) = mpsc::channel(QUEUE);
        let mut idle_at = Instant::now() + self.query.inactivity;
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                Some(said) = spoken.recv() => match said {
                    Out::Message(message) => {
                        if socket.send(text(&message)).await.is_err() {
                            return End::Gone("client gone");
                        }
                    }
                    Out::Violation(error) => return End::Violation(error),
                    Out::Cut => return End::Gone("cut by a fault"),
                },
                Some(_done) = tasks.join_next(), if !tasks.is_empty() => {}
                () = std::future::ready(()), if closing && tasks.is_empty() => return End::Normal,
                received = socket.recv() => {
                    let message = match received {
                        Some(Ok(Message::Text(message))) => message,
                        Some(Ok(Message::Binary(_))) => {
                            return End::Violation(Error::bad_request("invalid_message", "The message is not text."));
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone("client gone"),
                    };
                    if closing {
                        continue;
                    }
                    idle_at = Instant::now() + self.query.inactivity;
                    match self.take(&message, &out, tasks) {
                        Ok(false) => {}
                        Ok(true) => {
                            closing = true;
                            idle_at = Instant::now() + LAST_WORDS;
                        }
                        Err(error) => return End::Violation(error),
                    }
                }
                () = sleep_until(idle_at) => {
                    let message = "Have not received a new text input within the timeout.";
                    return End::Violation(Error::bad_request("input_timeout_exceeded", message));
                }
            }
        }
    }

    /// Whether the socket shall close once everything is said.
    fn take(&mut self, message: &str, out: &mpsc::Sender<Out>, tasks: &mut JoinSet<()>) -> Result<bool, Error> {
        let actions = self.contexts.take(message).inspect_err(|error| {
            let data =
                json!({ "voice": self.voice, "message": message, "error": error.status, "detail": error.message });
            self.world.log.record("elevenlabs", "socket.violation", data);
        })?;
        let mut closing = false;
        for action in actions {
            match action {
                Action::Open { context } => {
                    self.world.log.record(
                        "elevenlabs",
                        "context.opened",
                        json!({ "voice": self.voice, "context": context }),
                    );
                    let (pieces, queue) = mpsc::channel(QUEUE);
                    let speaker = self.speaker(&context, out);
                    tasks.spawn(speaker.run(queue));
                    self.speakers.insert(context, pieces);
                }
                Action::Speak { context, text } => {
                    let Some(speaker) = self.speakers.get(&context) else { continue };
                    let piece = Piece { text, asked_at: Instant::now() };
                    if let Err(mpsc::error::TrySendError::Full(_)) = speaker.try_send(piece) {
                        return Err(Error::bad_request("system_busy", "Too much text is waiting in this context."));
                    }
                }
                Action::Close { context } => {
                    self.world.log.record(
                        "elevenlabs",
                        "context.closed",
                        json!({ "voice": self.voice, "context": context }),
                    );
                    self.speakers.remove(&context);
                }
                Action::CloseSocket => closing = true,
            }
        }
        Ok(closing)
    }

    fn speaker(&self, context: &str, out: &mpsc::Sender<Out>) -> Speaker {
        Speaker {
            world: self.world.clone(),
            settings: self.settings.clone(),
            kind: self.kind,
            voice: self.voice.clone(),
            format: self.query.format,
            context: context.to_owned(),
            fault_key: format!("{} {} {context}", self.voice, self.raw),
            out: out.clone(),
        }
    }
}

fn text(message: &serde_json::Value) -> Message {
    Message::Text(message.to_string().into())
}
