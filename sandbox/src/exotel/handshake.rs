//! Reaching the bot: one WebSocket handshake and one retry.

use std::time::Duration;

use axum::http::{HeaderValue, header::AUTHORIZATION};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite::client::IntoClientRequest as _,
};

use crate::{
    exotel::{bot_url::BotUrl, call::Call},
    world::World,
};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The handshake must be over by then; it is tried twice.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Connects to the bot. The error is what Passthru is told.
pub async fn open(world: &World, call: &Call, bot: &BotUrl) -> Result<Socket, String> {
    let refused = world.faults.take("stream_never_opens", &call.fault_key()).is_some();
    let mut error = String::new();
    for attempt in 1..=2 {
        let connected = if refused { Err("refused by a fault".to_owned()) } else { handshake(bot).await };
        world.log.record(
            "exotel",
            "stream.handshake",
            json!({
                "sid": call.sid, "url": bot.url.as_str(), "attempt": attempt,
                "dropped_parameters": bot.dropped_parameters, "error": connected.as_ref().err(),
            }),
        );
        match connected {
            Ok(socket) => return Ok(socket),
            Err(failure) => error = failure,
        }
    }
    Err(format!("3009 failed to establish ws conn {error}"))
}

async fn handshake(bot: &BotUrl) -> Result<Socket, String> {
    let mut request = bot.url.as_str().into_client_request().map_err(|error| error.to_string())?;
    if let Some(authorization) = &bot.authorization {
        let value = HeaderValue::from_str(authorization).map_err(|error| error.to_string())?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    match timeout(HANDSHAKE_WITHIN, Box::pin(connect_async_with_config(request, None, true))).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("timed out".into()),
    }
}
