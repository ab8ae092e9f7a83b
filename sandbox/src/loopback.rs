//! For tests of the wires: one simulated service on a real socket.

use std::{sync::Arc, time::Duration};

use axum::Router;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{faults::Fault, settings::Settings, world::World};

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Service {
    addr: String,
    pub world: Arc<World>,
}

impl Service {
    pub(crate) async fn start(router: Router<Arc<World>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let world = World::new(Settings::default());
        let app = router.with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { addr, world }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn arm(&self, name: &str, value: Value) {
        self.world.faults.arm(Fault { name: name.into(), count: 1, matching: None, value });
    }

    /// How many entries of this kind the log has.
    pub(crate) fn logged(&self, kind: &str) -> usize {
        let filter = crate::log::Filter { kind: Some(kind.into()), ..Default::default() };
        self.world.log.entries(&filter).len()
    }

    pub(crate) async fn connect(&self, path: &str, header: (&'static str, &str)) -> Result<Socket, Error> {
        let mut request = format!("ws://{}{path}", self.addr).into_client_request().unwrap();
        request.headers_mut().insert(header.0, HeaderValue::from_str(header.1).unwrap());
        connect_async(request).await.map(|(socket, _)| Socket(socket))
    }
}

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What came from the service.
#[derive(Debug, PartialEq)]
pub(crate) enum Got {
    Json(Value),
    NotJson(String),
    Closed {
        code: u16,
        reason: String,
    },
    /// Without a close frame.
    Broken,
}

impl Socket {
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.0.send(Message::Text(text.into())).await.unwrap();
    }

    pub(crate) async fn send_pcm(&mut self, pcm: &[i16]) {
        for chunk in pcm.chunks(800) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            // A connection that a fault cut takes no more; the test sees that when it reads.
            let _cut = self.0.send(Message::Binary(bytes.into())).await.is_err();
        }
    }

    pub(crate) async fn send_empty(&mut self) {
        self.0.send(Message::Binary(Vec::new().into())).await.unwrap();
    }

    pub(crate) async fn get(&mut self) -> Got {
        let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something comes in time");
        match message {
            Some(Ok(Message::Text(text))) => {
                serde_json::from_str(&text).map_or(Got::NotJson(text.to_string()), Got::Json)
            }
            Some(Ok(Message::Close(Some(frame)))) => {
                Got::Closed { code: frame.code.into(), reason: frame.reason.to_string() }
            }
            Some(Ok(other)) => panic!("unexpected {other:?}"),
            Some(Err(_)) | None => Got::Broken,
        }
    }

    /// Everything until the end, which is the second part.
    pub(crate) async fn rest(&mut self) -> (Vec<Value>, Got) {
        let mut messages = Vec::new();
        loop {
            match self.get().await {
                Got::Json(message) => messages.push(message),
                Got::NotJson(text) => messages.push(json!({ "not_json": text })),
                end => return (messages, end),
            }
        }
    }

    /// What comes within this time.
    pub(crate) async fn within(&mut self, time: Duration) -> Vec<Value> {
        let mut messages = Vec::new();
        let until = tokio::time::Instant::now() + time;
        while let Ok(got) = tokio::time::timeout_at(until, self.get()).await {
            match got {
                Got::Json(message) => messages.push(message),
                other => panic!("unexpected {other:?}"),
            }
        }
        messages
    }
}
