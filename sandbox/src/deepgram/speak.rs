//! Deepgram's Aura, `GET /v1/speak`. Its faults are those of [`crate::speaking`] under `aura`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State, WebSocketUpgrade, ws::Message, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

use super::{handshake::admit, wire};
use crate::{
    speaking::{Order, Speaking, Tongue},
    speech::ulaw,
    world::World,
};

const IDLE: Duration = Duration::from_secs(3_600);
/// Longest text of one message.
const MAX_TEXT: usize = 2_000;
/// More flushes than this in a window are answered with a warning, and not processed.
const MAX_FLUSHES: usize = 20;
const FLUSH_WINDOW: Duration = Duration::from_secs(60);

pub(super) async fn speak(
    State(world): State<Arc<World>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    let request_id = wire::uuid();
    let (model, mulaw) = match admit(&world, &headers, &raw, "aura.refuse", read) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.answer(&world, "aura", "socket.refused", &raw, &request_id),
    };
    world.faults.slow_accept("aura", &raw).await;
    match upgrade {
        Err(rejection) => rejection.into_response(),
        Ok(upgrade) => {
            let aura = Aura { request_id, model, mulaw, sequence: 0, flushes: VecDeque::new() };
            let session = Speaking::new(world, aura, raw, IDLE);
            upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
        }
    }
}

/// The model, and whether audio is µ-law.
fn read(raw: &str) -> Result<(String, bool), String> {
    let (mut model, mut mulaw, mut rate) = ("aura-asteria-en".to_owned(), false, 24_000);
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        match (&*name, &*value) {
            ("model", value) if value.starts_with("aura-") => model = value.to_owned(),
            ("encoding", "mulaw") => mulaw = true,
            ("encoding", "linear16") => mulaw = false,
            ("sample_rate", value) => rate = value.parse().map_err(|_invalid| "`sample_rate` must be a number")?,
            ("speed" | "mip_opt_out" | "container", _) => {}
            (name @ ("model" | "encoding"), value) => return Err(format!("`{name}` may not be `{value}`")),
            (unknown, _) => return Err(format!("unknown query parameter `{unknown}`")),
        }
    }
    if rate == 8_000 { Ok((model, mulaw)) } else { Err("the simulator speaks at 8000 Hz: ask for it".into()) }
}

struct Aura {
    request_id: String,
    model: String,
    mulaw: bool,
    sequence: u64,
    /// When the last ones were processed.
    flushes: VecDeque<Instant>,
}

impl Aura {
    fn done(&mut self, kind: &str) -> Value {
        self.sequence += 1;
        json!({ "type": kind, "sequence_id": self.sequence - 1 })
    }

    /// Whether one more is processed at this time.
    fn may_flush(&mut self, now: Instant) -> bool {
        while self.flushes.front().is_some_and(|first| now.duration_since(*first) >= FLUSH_WINDOW) {
            self.flushes.pop_front();
        }
        let may = self.flushes.len() < MAX_FLUSHES;
        if may {
            self.flushes.push_back(now);
        }
        may
    }
}

impl Tongue for Aura {
    fn service(&self) -> &'static str {
        "aura"
    }

    fn voice(&self) -> String {
        self.model.clone()
    }

    fn hello(&self) -> Option<Value> {
        Some(json!({ "type": "Metadata", "request_id": self.request_id, "model_name": self.model,
            "model_version": "2025-01-01.0", "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8" }))
    }

    fn read(&mut self, message: Message) -> Order {
        let Message::Text(text) = message else { return Order::Nothing };
        let command: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match (command["type"].as_str(), command["text"].as_str()) {
            (Some("Speak"), Some(text)) if text.chars().count() <= MAX_TEXT => Order::Text(text.to_owned()),
            (Some("Flush"), _) if self.may_flush(Instant::now()) => Order::Flush,
            // The text stays where it is: it is spoken with the next flush that is processed.
            (Some("Flush"), _) => Order::Answer(json!({ "type": "Warning", "code": "EXCEEDED_FLUSH_LIMIT",
                "description": "No more flush messages can be processed until the 60 second window has passed." })),
            (Some("Clear"), _) => Order::Clear,
            (Some("Close"), _) => Order::Close,
            _ => {
                let told = json!({ "type": "Error", "code": "DATA-0000", "description": "unknown message" });
                Order::Wrong { told: Some(told), code: 1008, reason: "DATA-0000".into() }
            }
        }
    }

    fn sound(&self, pcm: &[i16]) -> Message {
        let bytes: Vec<u8> = match self.mulaw {
            true => pcm.iter().map(|sample| ulaw::encode(*sample)).collect(),
            false => pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
        };
        Message::Binary(bytes.into())
    }

    fn flushed(&mut self) -> Value {
        self.done("Flushed")
    }

    fn cleared(&mut self) -> Value {
        self.done("Cleared")
    }
}
