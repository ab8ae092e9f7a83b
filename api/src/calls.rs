//! Calls: lists, one call whole, its recording.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::call::CallStatus;
use shared::call_detail::{self, CallDetail, CallFilter, CallSummary, RecordingInfo};
use shared::call_event::{self, CallEvent};
use shared::guard;
use shared::id::{CallId, CampaignId, LeadId};
use shared::ledger::{self, Bill};
use shared::turn::{self, Turn};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{Path, Query};
use crate::page::{Window, list_of};
use crate::state::{App, AppState};

/// A line of a list of calls.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallView {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    call: CallSummary,
    /// Where the recording can be heard.
    recording_url: Option<String>,
}

/// One dial attempt, or one inbound call, whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallDetailView {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    call: CallDetail,
    /// What `guards` says, in sentences: the rules that allowed the call, and the values they were held against.
    guards_passed: Vec<GuardView>,
    recording_url: Option<String>,
    #[schema(value_type = Option<Object>)]
    recording: Option<RecordingInfo>,
    /// What was said and heard, in order.
    transcript: Vec<TurnView>,
    /// What the call used, in each provider's own unit, and what that cost by the prices of its day.
    #[schema(value_type = Object)]
    costs: Bill,
    /// Everything that happened to the call, oldest first, with the carrier's webhooks as they came.
    events: Vec<EventView>,
}

/// A rule that the call passed.
#[derive(Debug, Serialize, ToSchema)]
pub struct GuardView {
    /// Stable: `calling_window`, `do_not_call`, `consent`, `gap`, `daily_cap`, `attempts`, `concurrency`, `pace`, `dialed`.
    pub guard: &'static str,
    pub detail: String,
}

/// One side's say. Times are milliseconds since the conversation began.
#[derive(Debug, Serialize, ToSchema)]
pub struct TurnView {
    pub seq: i32,
    /// `agent`, `callee` or `tool`.
    pub role: &'static str,
    pub text: String,
    /// The human spoke over it: only what was heard before is in `text`.
    pub interrupted: bool,
    pub started_ms: i64,
    pub ended_ms: i64,
    /// When each stage of a reply was reached.
    #[schema(value_type = Object)]
    pub stages: Value,
    /// From the human's last word to the first audio of this reply.
    pub reply_latency_ms: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    pub id: i64,
    pub kind: String,
    #[schema(value_type = Object)]
    pub data: Value,
    pub at: DateTime<Utc>,
    /// By the wall clock.
    pub received_at: DateTime<Utc>,
}

impl From<Turn> for TurnView {
    fn from(turn: Turn) -> Self {
        let stage = |name: &str| turn.stages.get(name).and_then(Value::as_i64);
        let reply_latency_ms = stage("speech_end").zip(stage("first_frame_sent")).map(|(from, to)| to - from);
        Self {
            seq: turn.seq,
            role: match turn.role {
                turn::Role::Agent => "agent",
                turn::Role::Callee => "callee",
                turn::Role::Tool => "tool",
            },
            text: turn.text,
            interrupted: turn.interrupted,
            started_ms: turn.started_ms,
            ended_ms: turn.ended_ms,
            reply_latency_ms: reply_latency_ms.filter(|ms| *ms >= 0),
            stages: turn.stages,
        }
    }
}

impl From<CallEvent> for EventView {
    fn from(event: CallEvent) -> Self {
        Self { id: event.id.0, kind: event.kind, data: event.data, at: event.at, received_at: event.received_at }
    }
}

list_of!(CallList { calls: CallView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallQuery {
    campaign_id: Option<i64>,
    lead_id: Option<i64>,
    /// Only calls in this status.
    #[param(value_type = Option<String>)]
    status: Option<CallStatus>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// The account's calls, newest first.
#[utoipa::path(get, path = "/calls", tag = "calls", params(CallQuery), responses((status = OK, body = CallList)))]
pub async fn list_calls(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<CallQuery>,
) -> Result<Json<CallList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let filter = CallFilter {
        campaign_id: query.campaign_id.map(CampaignId),
        lead_id: query.lead_id.map(LeadId),
        status: query.status,
    };
    let mut tx = caller.tenant(&app).await?;
    let rows =
        call_detail::list(&mut *tx, caller.account, &filter, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(call_detail::count(&mut *tx, caller.account, &filter).await?),
        false => None,
    };
    let view = |call: CallSummary| {
        let stored = call.recording_status.as_deref() == Some("stored");
        CallView { recording_url: stored.then(|| recording_url(&app, call.id)), call }
    };
    Ok(Json(window.page(rows, total, |call| call.id.0, view).into()))
}

/// One call: how it went, what was said and heard, how fast the agent was, what came of it.
#[utoipa::path(
    get, path = "/calls/{id}", tag = "calls", params(("id" = i64, Path)),
    responses((status = OK, body = CallDetailView), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_call(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<Json<CallDetailView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let call = call_detail::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("call"))?;
    let recording = call_detail::recording(&mut *tx, caller.account, id).await?;
    let transcript = turn::of_call(&mut *tx, id).await?.into_iter().map(TurnView::from).collect();
    let events = call_event::of_call(&mut *tx, id).await?.into_iter().map(EventView::from).collect();
    let costs = ledger::of_call(&mut tx, caller.account, id).await?;
    let stored = recording.as_ref().is_some_and(|recording| recording.status == "stored");
    Ok(Json(CallDetailView {
        recording_url: stored.then(|| recording_url(&app, id)),
        guards_passed: guard::explain(&call.guards)
            .into_iter()
            .map(|passed| GuardView { guard: passed.guard, detail: passed.detail })
            .collect(),
        call,
        recording,
        transcript,
        costs,
        events,
    }))
}

/// The call's recording, as audio: the carrier's, or our own, which is WAV in stereo. Ranges are served.
#[utoipa::path(
    get, path = "/calls/{id}/recording", tag = "calls", params(("id" = i64, Path)),
    responses(
        (status = OK, content_type = "audio/mpeg"), (status = PARTIAL_CONTENT, content_type = "audio/mpeg"),
        (status = NOT_FOUND, body = Problem), (status = RANGE_NOT_SATISFIABLE, body = Problem),
    )
)]
pub async fn get_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    call_detail::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("call"))?;
    let recording = call_detail::recording(&mut *tx, caller.account, id).await?;
    tx.commit().await?;
    let missing = |detail: String| Err(ApiError::refused(StatusCode::NOT_FOUND, "recording_not_available", detail));
    let Some(recording) = recording else { return missing("no recording of this call is known of".into()) };
    let Some(key) = recording.object_key.filter(|_| recording.status == "stored") else {
        let reason = recording.reason.unwrap_or_else(|| "it has not been fetched from the carrier yet".into());
        return missing(format!("the recording is {}: {reason}", recording.status));
    };
    let Some(object) = app.storage.get(&key).await.map_err(|error| ApiError::Internal(error.into()))? else {
        return missing("the recording is no longer in the store".into());
    };
    let size = object.size_bytes;
    let content_type = recording.content_type.unwrap_or_else(|| "audio/mpeg".into());
    let common = [(header::CONTENT_TYPE, content_type), (header::ACCEPT_RANGES, "bytes".into())];
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range(text, size));
    match asked {
        None => {
            let length = [(header::CONTENT_LENGTH, size.to_string())];
            Ok((common, length, Body::from_stream(object.stream)).into_response())
        }
        Some(Err(())) => {
            let detail = format!("the recording has {size} bytes");
            Err(ApiError::refused(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail))
        }
        Some(Ok((first, last))) => {
            let part = [
                (header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")),
                (header::CONTENT_LENGTH, (last - first + 1).to_string()),
            ];
            let body = Body::from_stream(cut(object.stream, first, last - first + 1));
            Ok((StatusCode::PARTIAL_CONTENT, common, part, body).into_response())
        }
    }
}

fn recording_url(app: &AppState, id: CallId) -> String {
    format!("{}/calls/{id}/recording", app.base_url)
}

/// The first and last byte of a single range. `None` for anything else, which is then served whole (RFC 9110, 14.2); `Err` if
/// it lies outside.
fn range(header: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    if last.contains(',') {
        return None;
    }
    let (first, last) = match (first.trim(), last.trim()) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), size.checked_sub(1)),
        (first, "") => (first.parse().ok()?, size.checked_sub(1)),
        (first, last) => (first.parse().ok()?, size.checked_sub(1).map(|end| end.min(last.parse().unwrap_or(end)))),
    };
    Some(last.filter(|last| first <= *last).map(|last| (first, last)).ok_or(()))
}

/// `length` bytes of a stream, behind the first `skip`.
fn cut<E: Send>(
    stream: impl futures::Stream<Item = Result<bytes::Bytes, E>> + Unpin + Send,
    skip: u64,
    length: u64,
) -> impl futures::Stream<Item = Result<bytes::Bytes, E>> + Send {
    stream.scan((skip, length), |(skip, left), chunk| {
        let kept = match chunk {
            Err(error) => Some(Err(error)),
            Ok(_) if *left == 0 => None,
            Ok(mut chunk) => {
                let dropped = (*skip).min(chunk.len() as u64);
                *skip -= dropped;
                drop(chunk.split_to(usize::try_from(dropped).unwrap_or(usize::MAX)));
                chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= chunk.len() as u64;
                Some(Ok(chunk))
            }
        };
        futures::future::ready(kept)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::TryStreamExt;

    use super::*;

    #[test]
    fn a_range_is_cut_to_the_recording() {
        assert_eq!(range("bytes=0-3", 10), Some(Ok((0, 3))));
        assert_eq!(range("bytes=4-", 10), Some(Ok((4, 9))));
        assert_eq!(range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(range("bytes=8-99", 10), Some(Ok((8, 9))));
        assert_eq!(range("bytes=10-", 10), Some(Err(())));
        assert_eq!(range("bytes=0-", 0), Some(Err(())));
        for not_one in ["bytes=0-1,4-5", "lines=0-1", "bytes=a-b"] {
            assert_eq!(range(not_one, 10), None, "{not_one}");
        }
    }

    #[tokio::test]
    async fn a_part_may_begin_and_end_inside_chunks() {
        let chunks = ["abc", "def", "ghi"].map(|text| Ok::<_, ()>(Bytes::from_static(text.as_bytes())));
        let part: Vec<Bytes> = cut(futures::stream::iter(chunks), 2, 5).try_collect().await.unwrap();
        assert_eq!(part.concat(), b"cdefg");
    }
}
