//! Which models there are, and until when.

use axum::{
    Json,
    extract::Path,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::{NaiveDate, Utc};
use serde_json::{Value, json};

use super::{authorize, error::Error};

/// One row of the catalogue. Shutdown dates are those announced until November 2026.
pub(super) struct Model {
    pub id: &'static str,
    shutdown: Option<(i32, u32, u32)>,
    /// Reasons, so that it takes `max_completion_tokens` only.
    pub reasons: bool,
}

const fn model(id: &'static str, shutdown: Option<(i32, u32, u32)>, reasons: bool) -> Model {
    Model { id, shutdown, reasons }
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
    // Others that speak the same wire. They take an effort, and `max_tokens` as well.
    model("gemini-3.8-flash", None, false),
    model("sarvam-105b", None, false),
];

impl Model {
    /// `None` where it never was, or is no more.
    pub(super) fn find(id: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.id == id && !model.is_over())
    }

    fn shutdown_date(&self) -> Option<NaiveDate> {
        self.shutdown.and_then(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day))
    }

    fn is_over(&self) -> bool {
        self.shutdown_date().is_some_and(|date| date <= Utc::now().date_naive())
    }

    fn row(&self) -> Value {
        json!({
            "id": self.id,
            "object": "model",
            "created": 1_780_000_000,
            "owned_by": "openai",
            "shutdown_date": self.shutdown_date().map(|date| date.to_string()),
        })
    }
}

pub(super) async fn list(headers: HeaderMap) -> Result<Response, Error> {
    authorize(&headers)?;
    let rows: Vec<Value> = MODELS.iter().filter(|model| !model.is_over()).map(Model::row).collect();
    Ok(Json(json!({ "object": "list", "data": rows })).into_response())
}

pub(super) async fn retrieve(headers: HeaderMap, Path(id): Path<String>) -> Result<Response, Error> {
    authorize(&headers)?;
    let model = Model::find(&id).ok_or_else(|| Error::unknown_model(&id))?;
    Ok(Json(model.row()).into_response())
}
