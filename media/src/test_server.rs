//! A WebSocket server for tests: it plays a provider, one connection after the other.

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};
use url::Url;

/// Nothing in these tests takes longer, unless it hangs.
pub(crate) const BOUND: Duration = Duration::from_secs(5);

/// The provider's end of a connection.
pub(crate) type Peer = WebSocketStream<TcpStream>;

pub(crate) struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self { listener, addr }
    }

    pub(crate) fn url(&self) -> Url {
        format!("ws://{}", self.addr).parse().unwrap()
    }

    /// Accepts a connection, whose key must stand in this header, and gives the path it asked for.
    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    pub(crate) async fn accept(&self, header: &str, key: &str) -> (Peer, String) {
        let mut asked = String::new();
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            asked = request.uri().to_string();
            assert_eq!(request.headers()[header], key);
            Ok(response)
        };
        let peer = accept_hdr_async(self.stream().await, note).await.unwrap();
        (peer, asked)
    }

    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    pub(crate) async fn refuse(&self, status: u16, body: &str) {
        let refuse = |_: &Request, _: Response| -> Result<Response, ErrorResponse> {
            Err(http::Response::builder().status(status).body(Some(body.to_owned())).unwrap())
        };
        accept_hdr_async(self.stream().await, refuse).await.unwrap_err();
    }

    /// A connection before its handshake.
    pub(crate) async fn stream(&self) -> TcpStream {
        timeout(BOUND, self.listener.accept()).await.unwrap().unwrap().0
    }
}

/// The next frame, whatever it is.
pub(crate) async fn frame(peer: &mut Peer) -> Message {
    timeout(BOUND, peer.next()).await.unwrap().unwrap().unwrap()
}

/// The next text message.
pub(crate) async fn text(peer: &mut Peer) -> Value {
    loop {
        if let Message::Text(text) = frame(peer).await {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

pub(crate) async fn say(peer: &mut Peer, message: Value) {
    peer.send(Message::text(message.to_string())).await.unwrap();
}
