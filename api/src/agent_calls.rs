//! `/agent/calls/…`: a call's recording and transcript under the paths and names that clients of the earlier system know.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::call_detail;
use shared::id::CallId;
use shared::turn::{self, Role, Turn};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::recordings::{playable, recording_url};
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct AgentRecordingView {
    /// Where it can be heard, with the same key.
    pub recording_url: String,
    /// The carrier's own id of it, where that has one (Twilio).
    pub recording_sid: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AgentTranscriptView {
    /// A line for each turn, in order, with who said it: `agent: …`, `callee: …`.
    pub transcript: String,
}

/// Where the call's recording can be heard.
#[utoipa::path(
    get, path = "/agent/calls/{call_id}/recording", tag = "calls", params(("call_id" = i64, Path)),
    responses(
        (status = OK, body = AgentRecordingView), (status = NOT_FOUND, body = Problem), (status = GONE, body = Problem),
    )
)]
pub async fn get_agent_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<Json<AgentRecordingView>, ApiError> {
    let recording_sid = playable(&app, &caller, id).await?.info.recording_sid;
    Ok(Json(AgentRecordingView { recording_url: recording_url(&app, id), recording_sid }))
}

/// What was said and heard in the call, as one text.
#[utoipa::path(
    get, path = "/agent/calls/{call_id}/transcript", tag = "calls", params(("call_id" = i64, Path)),
    responses(
        (status = OK, body = AgentTranscriptView), (status = NOT_FOUND, body = Problem), (status = GONE, body = Problem),
    )
)]
pub async fn get_agent_transcript(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<Json<AgentTranscriptView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let call = call_detail::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("call"))?;
    if call.transcript_deleted_at.is_some() {
        let detail = "the account does not keep transcripts for so long";
        return Err(ApiError::refused(StatusCode::GONE, "transcript_deleted", detail));
    }
    let turns = turn::of_call(&mut *tx, id).await?;
    Ok(Json(AgentTranscriptView { transcript: turns.iter().filter_map(line).collect::<Vec<_>>().join("\n") }))
}

/// As an export has it.
fn line(turn: &Turn) -> Option<String> {
    match turn.role {
        Role::Agent => Some(format!("agent: {}", turn.text)),
        Role::Callee => Some(format!("callee: {}", turn.text)),
        Role::Tool => None,
    }
}
