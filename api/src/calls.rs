//! Calls: lists, and one call whole.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
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
use crate::recordings::recording_url;
use crate::state::App;

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
