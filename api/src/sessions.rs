//! Conversations under way.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::stream::{self, LiveStream};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::ApiError;
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    pub call_id: i64,
    pub call_sid: Option<String>,
    pub campaign_id: Option<i64>,
    pub lead_id: Option<i64>,
    pub lead_name: Option<String>,
    /// Where the playbook is: `intro`, `qualification`, …
    pub conversation_stage: String,
    /// What the agent does right now.
    pub phase: String,
    pub turn_count: i32,
    /// The media process that holds the stream.
    pub media_instance: String,
    pub started_at: DateTime<Utc>,
    /// By the wall clock; an old one means that the process may be gone.
    pub last_interaction_time: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Sessions {
    pub active_sessions: usize,
    pub sessions: Vec<SessionView>,
}

impl From<LiveStream> for SessionView {
    fn from(live: LiveStream) -> Self {
        Self {
            call_id: live.call_id.0,
            call_sid: live.carrier_call_id,
            campaign_id: live.campaign_id.map(|id| id.0),
            lead_id: live.lead_id.map(|id| id.0),
            lead_name: live.lead_name,
            conversation_stage: live.stage,
            phase: live.phase,
            turn_count: live.turn_count,
            media_instance: live.media_instance,
            started_at: live.started_at,
            last_interaction_time: live.heartbeat_at,
        }
    }
}

/// The account's conversations under way, newest first, whichever process holds them.
#[utoipa::path(get, path = "/debug/sessions", tag = "calls", responses((status = OK, body = Sessions)))]
pub async fn list_sessions(State(app): State<App>, caller: Caller) -> Result<Json<Sessions>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let sessions: Vec<SessionView> =
        stream::live(&mut *tx, caller.account).await?.into_iter().map(SessionView::from).collect();
    Ok(Json(Sessions { active_sessions: sessions.len(), sessions }))
}
