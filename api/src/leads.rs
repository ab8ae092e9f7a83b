//! The leads of a campaign.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::Serialize;
use shared::consent::ConsentBasis;
use shared::id::CampaignId;
use shared::lead::{self, Lead, LeadFilter, LeadStatus};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::{Path, Query};
use crate::page::{Window, list_of};
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct LeadView {
    pub id: i64,
    pub campaign_id: i64,
    pub import_id: Option<i64>,
    /// E.164.
    pub phone: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub property_type: Option<String>,
    pub location: Option<String>,
    pub budget: Option<String>,
    pub source: Option<String>,
    pub language: Option<String>,
    pub tags: Vec<String>,
    /// The list's own columns.
    #[schema(value_type = Object)]
    pub variables: serde_json::Value,
    pub country: String,
    /// Where the number leaves it open, several names joined by `&`: the lead is called only while all of them are open.
    #[schema(example = "America/Denver&America/Los_Angeles")]
    pub time_zone: String,
    pub priority: i32,
    /// `pending`, `dialing`, `in_call`, `waiting_retry`, `callback_scheduled`, `done`, `exhausted`, `suppressed`, `canceled`
    /// or `expired`.
    #[schema(value_type = String)]
    pub status: LeadStatus,
    pub disposition: Option<String>,
    pub suppression_reason: Option<String>,
    pub score: Option<i32>,
    pub call_attempts: i32,
    pub last_call_attempt: Option<DateTime<Utc>>,
    /// When it is due, while it waits.
    pub next_call_at: Option<DateTime<Utc>>,
    /// Why they may be called, as the list says: `express_written`, `express`, `inquiry`, `existing_customer`,
    /// `legitimate_interest`, `unknown` or `refused`.
    #[schema(value_type = String)]
    pub consent_basis: ConsentBasis,
    pub consent_at: Option<DateTime<Utc>>,
    /// Where it was given, in the list's words.
    pub consent_source: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<Lead> for LeadView {
    fn from(lead: Lead) -> Self {
        let waits =
            matches!(lead.status, LeadStatus::Pending | LeadStatus::WaitingRetry | LeadStatus::CallbackScheduled);
        Self {
            id: lead.id.0,
            campaign_id: lead.campaign_id.0,
            import_id: lead.import_id.map(|id| id.0),
            phone: lead.phone,
            name: lead.name,
            email: lead.email,
            property_type: lead.property_type,
            location: lead.location,
            budget: lead.budget,
            source: lead.source,
            language: lead.language,
            tags: lead.tags,
            variables: lead.variables,
            country: lead.country,
            time_zone: lead.time_zone,
            priority: lead.priority,
            status: lead.status,
            disposition: lead.disposition,
            suppression_reason: lead.suppression_reason,
            score: lead.score,
            call_attempts: lead.attempts,
            last_call_attempt: lead.last_attempt_at,
            next_call_at: waits.then_some(lead.next_at),
            consent_basis: lead.consent_basis,
            consent_at: lead.consent_at,
            consent_source: lead.consent_source,
            created_at: lead.created_at,
            updated_at: lead.updated_at,
        }
    }
}

list_of!(LeadList { leads: LeadView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LeadQuery {
    /// Only leads in this status.
    #[param(value_type = Option<String>)]
    status: Option<LeadStatus>,
    /// Only leads with this result: `qualified`, `not_interested`, …
    disposition: Option<String>,
    /// Part of a name, an e-mail address or a number.
    search: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// The campaign's leads, in the order of the list.
#[utoipa::path(
    get, path = "/campaigns/{id}/leads", tag = "leads", params(("id" = i64, Path), LeadQuery),
    responses((status = OK, body = LeadList), (status = NOT_FOUND, body = Problem))
)]
pub async fn list_leads(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    Query(query): Query<LeadQuery>,
) -> Result<Json<LeadList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let present = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let filter =
        LeadFilter { status: query.status, disposition: present(query.disposition), search: present(query.search) };
    let mut tx = caller.tenant(&app).await?;
    campaigns::found(&mut tx, caller, id).await?;
    let rows = lead::list(&mut *tx, caller.account, id, &filter, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(lead::count(&mut *tx, caller.account, id, &filter).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |lead| lead.id.0, LeadView::from).into()))
}
