//! `<Connect><Stream>`: reaching the product's `media`, with a signature over its address.

use std::time::Duration;

use axum::http::HeaderValue;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async_with_config, tungstenite::client::IntoClientRequest as _};
use url::Url;

use crate::{
    exotel::{call::Call, flow::is_loopback, handshake::Socket, wire::Wire},
    twilio::{frames::Writer, signature},
    world::World,
};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A stream that is open, and its messages.
pub async fn open(world: &World, call: &Call, url: &str, parameters: &Value) -> Result<(Socket, Wire), String> {
    let connected = match world.faults.take("stream_never_opens", &call.fault_key()) {
        Some(_) => Err("refused by a fault".to_owned()),
        None => handshake(world, url).await,
    };
    let error = connected.as_ref().err();
    world.log.record("twilio", "stream.handshake", json!({"sid": call.sid, "url": url, "error": error}));
    let stream_sid = format!("MZ{:032x}", rand::rng().random::<u128>());
    let wire = Wire::Twilio(Writer::new(stream_sid, parameters.clone()));
    connected.map(|socket| (socket, wire)).map_err(|error| format!("31920 {error}"))
}

async fn handshake(world: &World, text: &str) -> Result<Socket, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    // Twilio itself takes wss alone; the closed world has no certificates.
    if url.scheme() != "ws" || !is_loopback(&url) {
        return Err("this sandbox reaches nothing but ws on loopback".into());
    }
    let mut request = text.into_client_request().map_err(|error| error.to_string())?;
    let signed = signature::sign(&world.settings.twilio_token, text, &[]);
    let value = HeaderValue::from_str(&signed).map_err(|error| error.to_string())?;
    request.headers_mut().insert(signature::HEADER, value);
    match timeout(HANDSHAKE_WITHIN, Box::pin(connect_async_with_config(request, None, true))).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("timed out".into()),
    }
}
