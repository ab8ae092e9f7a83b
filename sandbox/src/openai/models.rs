//! Which models there are, and until when.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{NaiveDate, Utc};
use serde_json::{Value, json};

use super::{authorize, error::Error};
use crate::world::World;

/// One row of the catalogue. Shutdown dates are those announced until November 2026.
pub(super) struct Model {
    pub id: &'static str,
    shutdown: Option<(i32, u32, u32)>,
    /// Reasons, so that it takes `max_completion_tokens` only.
    pub reasons: bool,
    /// Speaks or transcribes: it is listed, and does not chat.
    of_sound: bool,
}

const fn model(id: &'static str, shutdown: Option<(i32, u32, u32)>, reasons: bool) -> Model {
    Model { id, shutdown, reasons, of_sound: false }
}

const fn of_sound(id: &'static str, shutdown: Option<(i32, u32, u32)>) -> Model {
    Model { id, shutdown, reasons: false, of_sound: true }
}

const MODELS: &[Model] = &[
    model("gpt-6-luna", None, true),
    model("gpt-6-sol", None, true),
    model("gpt-5.6-luna", None, true),
    model("gpt-5.4-mini", None, true),
    model("gpt-5.4-nano", Some((2027, 4, 1)), true),
    model("gpt-5.1", Some((2027, 4, 1)), true),
    model("gpt-5", Some((2026, 12, 11)), true),
    model("gpt-5-mini", Some((2026, 12, 11)), true),
    model("gpt-4o", Some((2027, 1, 14)), false),
    model("gpt-4o-mini", Some((2027, 1, 14)), false),
    model("gpt-4.1", Some((2027, 1, 14)), false),
    model("gpt-4.1-mini", Some((2027, 1, 14)), false),
    of_sound("gpt-transcribe", None),
    of_sound("gpt-live-transcribe", None),
    of_sound("gpt-4o-transcribe", Some((2027, 2, 26))),
    of_sound("gpt-4o-mini-transcribe", Some((2027, 2, 26))),
    of_sound("whisper-1", Some((2027, 2, 26))),
    of_sound("tts-1", Some((2027, 1, 6))),
    of_sound("tts-1-hd", Some((2027, 1, 6))),
    of_sound("gpt-4o-mini-tts", Some((2027, 1, 6))),
    of_sound("gpt-realtime-2.1", None),
    of_sound("gpt-realtime-2.1-mini", None),
    of_sound("gpt-realtime", Some((2027, 1, 20))),
    of_sound("gpt-realtime-mini", Some((2027, 1, 20))),
    // Others that speak the same wire. They take an effort, and `max_tokens` as well.
    model("gemini-3.8-flash", None, false),
    model("sarvam-105b", None, false),
];

impl Model {
    /// `None` where it never was, or is no more, or does not chat.
    pub(super) fn find(id: &str) -> Option<&'static Self> {
        Self::listed(id).filter(|model| !model.of_sound)
    }

    fn listed(id: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.id == id && !model.is_over())
    }

    fn shutdown_date(&self) -> Option<NaiveDate> {
        self.shutdown.and_then(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day))
    }

    fn is_over(&self) -> bool {
        self.shutdown_date().is_some_and(|date| date <= Utc::now().date_naive())
    }

    fn row(&self, world: &World) -> Value {
        let told = world.faults.take("openai.shutdown_date", self.id);
        json!({
            "id": self.id,
            "object": "model",
            "created": 1_780_000_000,
            "owned_by": "openai",
            "shutdown_date": told.unwrap_or_else(|| json!(self.shutdown_date().map(|date| date.to_string()))),
        })
    }
}

pub(super) async fn list(State(world): State<Arc<World>>, headers: HeaderMap) -> Result<Response, Error> {
    authorize(&headers)?;
    if let Some(value) = world.faults.take("openai.models_refused", "") {
        return Err(Error::from_fault(&if value.is_null() { json!(503) } else { value }));
    }
    world.log.record("openai", "models.listed", json!({}));
    let rows: Vec<Value> = MODELS.iter().filter(|model| !model.is_over()).map(|model| model.row(&world)).collect();
    Ok(Json(json!({ "object": "list", "data": rows })).into_response())
}

pub(super) async fn retrieve(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    authorize(&headers)?;
    let model = Model::listed(&id).ok_or_else(|| Error::unknown_model(&id))?;
    Ok(Json(model.row(&world)).into_response())
}
