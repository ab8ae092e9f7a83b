//! Campaigns: create, list, look at, change, delete.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use shared::calling_window::CallingHours;
use shared::campaign::{self, Campaign, CampaignCounts, CampaignStatus};
use shared::id::CampaignId;
use shared::idempotency::digest;
use shared::retry_policy::RetryPolicy;
use shared::{account, call_detail, campaign_window, lead, voice_agent};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::campaign_settings::{self, CampaignRequest};
use crate::error::{ApiError, Problem};
use crate::extract::{Fields, Path, Query};
use crate::idempotency::IdempotencyKey;
use crate::page::{Window, list_of};
use crate::state::App;
use crate::voicemail_recordings::VoicemailRecordingView;

/// A campaign, and where it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignView {
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
    /// `draft`, `scheduled`, `running`, `paused`, `completed` or `canceled`.
    #[schema(value_type = String)]
    pub status: CampaignStatus,
    /// Why it is paused: `operator`, `circuit_breaker`, `balance` or `carrier_auth`.
    pub pause_reason: Option<String>,
    /// The same as a sentence, where the system paused it: what happened, since when, and what to do.
    pub pause_detail: Option<String>,
    /// While it runs and nobody may be called.
    pub waiting_for_window: Option<WaitingForWindow>,
    pub voice_agent_id: i64,
    pub max_attempts_per_lead: i32,
    /// Null where the days differ; then see `calling_hours`.
    pub calling_hours_start: Option<u32>,
    pub calling_hours_end: Option<u32>,
    #[schema(value_type = Object)]
    pub calling_hours: CallingHours,
    /// The zone of leads whose number does not tell theirs.
    pub time_zone: String,
    pub holidays: Vec<NaiveDate>,
    #[schema(value_type = Object)]
    pub retry_policy: RetryPolicy,
    pub max_concurrent_calls: i32,
    pub calls_per_second: Option<f64>,
    pub record: bool,
    pub require_consent: bool,
    pub consent_max_age_days: Option<i32>,
    pub voicemail_message: Option<String>,
    /// What answering machines hear instead, where one was uploaded.
    pub voicemail_recording: Option<VoicemailRecordingView>,
    pub scheduled_start_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// Leads by status.
    pub leads: Counts,
    /// Calls by status.
    pub calls: Counts,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingForWindow {
    /// When the first lead may be called; null if no window will ever open.
    pub opens_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    pub total: i64,
    /// A status that nobody has is absent.
    #[serde(flatten)]
    pub by_status: BTreeMap<String, i64>,
}

impl From<BTreeMap<String, i64>> for Counts {
    fn from(by_status: BTreeMap<String, i64>) -> Self {
        Self { total: by_status.values().sum(), by_status }
    }
}

list_of!(CampaignList { campaigns: CampaignView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CampaignQuery {
    /// Only campaigns in this status.
    #[param(value_type = Option<String>)]
    status: Option<CampaignStatus>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// Create a campaign; it is a draft until it is started.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = CampaignRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key makes the same campaign")),
    responses((status = CREATED, body = CampaignView), (status = UNPROCESSABLE_ENTITY, body = Problem))
)]
pub async fn create_campaign(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    mut fields: Fields,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<CampaignView>), ApiError> {
    let now = app.clock.now();
    let hash = digest(&[&fields.raw()]);
    let mut tx = caller.tenant(&app).await?;
    let agent = voice_agent::ensure_default(&mut tx, caller.account).await?;
    let settings = campaign_settings::read(campaign_settings::defaults(&app.defaults, agent), &mut fields, now);
    check_voice_agent(&mut tx, caller, &mut fields, settings.voice_agent_id).await?;
    fields.finish()?;
    let campaign = match key.claim(&mut tx, caller.account, "create_campaign", &hash).await? {
        Some(made) => found(&mut tx, caller, CampaignId(made)).await?,
        None => {
            let campaign = Campaign::create(&mut *tx, caller.account, &settings, now).await?;
            key.complete(&mut tx, caller.account, campaign.id.0).await?;
            campaign
        }
    };
    let view = view(&mut tx, campaign, now).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/campaigns/{}", view.id))];
    Ok((StatusCode::CREATED, location, Json(view)))
}

/// The account's campaigns, newest first.
#[utoipa::path(get, path = "/campaigns", tag = "campaigns", params(CampaignQuery), responses((status = OK, body = CampaignList)))]
pub async fn list_campaigns(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<CampaignQuery>,
) -> Result<Json<CampaignList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    let rows =
        Campaign::list(&mut *tx, caller.account, query.status, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(Campaign::count(&mut *tx, caller.account, query.status).await?),
        false => None,
    };
    let page = window.page(rows, total, |campaign| campaign.id.0, |campaign| campaign);
    let items = views(&mut tx, page.items, now).await?;
    Ok(Json(CampaignList { campaigns: items, place: page.place }))
}

/// One campaign, and where it stands.
#[utoipa::path(
    get, path = "/campaigns/{id}", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let campaign = found(&mut tx, caller, id).await?;
    Ok(Json(view(&mut tx, campaign, app.clock.now()).await?))
}

/// Change the settings of a draft, scheduled or paused campaign.
#[utoipa::path(
    patch, path = "/campaigns/{id}", tag = "campaigns", params(("id" = i64, Path)), request_body = CampaignRequest,
    responses(
        (status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
    )
)]
pub async fn update_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    mut fields: Fields,
) -> Result<Json<CampaignView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    let campaign =
        Campaign::lock(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("campaign"))?;
    match campaign.status {
        CampaignStatus::Draft | CampaignStatus::Scheduled | CampaignStatus::Paused => {}
        CampaignStatus::Running => {
            return Err(ApiError::conflict(
                "campaign_running",
                "the campaign is running; pause it to change its settings",
            ));
        }
        CampaignStatus::Completed | CampaignStatus::Canceled => {
            return Err(ApiError::conflict(
                "campaign_finished",
                "the campaign is over, and its settings stay as they were",
            ));
        }
    }
    let settings = campaign_settings::read(campaign.settings(), &mut fields, now);
    check_voice_agent(&mut tx, caller, &mut fields, settings.voice_agent_id).await?;
    fields.finish()?;
    let updated = Campaign::update(&mut *tx, caller.account, id, &settings, now).await?;
    let updated = updated.expect("the row is locked, and its status was looked at");
    let rule = (updated.require_consent, updated.consent_max_age_days);
    if rule != (campaign.require_consent, campaign.consent_max_age_days) {
        shared::lead::readmit_with_consent(&mut *tx, id, now).await?;
    }
    if updated.ends_at != campaign.ends_at {
        lead::revive_expired(&mut *tx, id, updated.ends_at, now).await?;
    }
    campaign_window::refresh(&mut tx, id, now).await?;
    // A scheduled campaign's dispatcher sleeps until the old start.
    shared::jobs::nudge(&mut *tx, &shared::jobs::dispatch_campaign::DispatchCampaign { campaign_id: id }).await?;
    let view = view(&mut tx, updated, now).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Delete a campaign that is not going on, with its leads, calls, transcripts and recordings.
#[utoipa::path(
    delete, path = "/campaigns/{id}", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
pub async fn delete_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<StatusCode, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let campaign =
        Campaign::lock(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("campaign"))?;
    let recordings = call_detail::recording_keys(&mut *tx, caller.account, id).await?;
    if !Campaign::delete(&mut *tx, caller.account, id).await? {
        return Err(match campaign.status {
            CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused => {
                ApiError::conflict("campaign_not_finished", "the campaign goes on; stop it before deleting it")
            }
            _ => ApiError::conflict("campaign_has_live_calls", "calls of the campaign are still going on"),
        });
    }
    tx.commit().await?;
    for key in recordings {
        // Nothing refers to the object any more: one that stays behind costs its bytes, and is logged.
        if let Err(error) = app.storage.delete(&key).await {
            tracing::error!(%error, key, "a deleted campaign's recording stays in the store");
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The campaign, if it is the caller's.
pub async fn found(db: &mut PgConnection, caller: Caller, id: CampaignId) -> Result<Campaign, ApiError> {
    Campaign::get(db, caller.account, id).await?.ok_or_else(|| ApiError::not_found("campaign"))
}

pub async fn view(db: &mut PgConnection, campaign: Campaign, now: DateTime<Utc>) -> Result<CampaignView, ApiError> {
    let mut views = views(db, vec![campaign], now).await?;
    Ok(views.remove(0))
}

async fn views(
    db: &mut PgConnection,
    campaigns: Vec<Campaign>,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignView>, ApiError> {
    let ids: Vec<CampaignId> = campaigns.iter().map(|campaign| campaign.id).collect();
    let mut counts = campaign::counts(&mut *db, &ids).await?;
    let account_zone = match campaigns.first() {
        Some(first) => account::get(&mut *db, first.account_id).await?.map(|account| account.time_zone),
        None => None,
    };
    let mut views = Vec::with_capacity(campaigns.len());
    for campaign in campaigns {
        let waiting_for_window = match campaign.status {
            // Without a lead there is nobody's window to wait for.
            CampaignStatus::Running if counts.get(&campaign.id).is_some_and(|counts| !counts.leads.is_empty()) => {
                let window = campaign_window::status(&mut *db, campaign.id, now).await?;
                (!window.open_now).then_some(WaitingForWindow { opens_at: window.next_opening })
            }
            _ => None,
        };
        let counts = counts.remove(&campaign.id).unwrap_or_default();
        views.push(describe(campaign, counts, waiting_for_window, account_zone.as_deref().unwrap_or_default()));
    }
    Ok(views)
}

fn describe(
    campaign: Campaign,
    counts: CampaignCounts,
    waiting_for_window: Option<WaitingForWindow>,
    account_zone: &str,
) -> CampaignView {
    let hours = campaign.calling_hours.uniform().and_then(|range| range.whole_hours());
    CampaignView {
        id: campaign.id.0,
        name: campaign.name,
        description: campaign.description,
        status: campaign.status,
        pause_reason: campaign.pause_reason,
        pause_detail: campaign.pause_detail,
        waiting_for_window,
        voice_agent_id: campaign.voice_agent_id.0,
        max_attempts_per_lead: campaign.max_attempts_per_lead,
        calling_hours_start: hours.map(|(start, _)| start),
        calling_hours_end: hours.map(|(_, end)| end),
        calling_hours: campaign.calling_hours.0,
        time_zone: campaign.time_zone.unwrap_or_else(|| account_zone.to_owned()),
        holidays: campaign.holidays,
        retry_policy: campaign.retry_policy.0,
        max_concurrent_calls: campaign.max_concurrent_calls,
        calls_per_second: campaign.calls_per_second,
        record: campaign.record,
        require_consent: campaign.require_consent,
        consent_max_age_days: campaign.consent_max_age_days,
        voicemail_message: campaign.voicemail_message,
        voicemail_recording: campaign
            .voicemail_recording_title
            .zip(campaign.voicemail_recording_ms)
            .map(|(title, duration_ms)| VoicemailRecordingView { title, duration_ms }),
        scheduled_start_at: campaign.scheduled_start_at,
        ends_at: campaign.ends_at,
        created_at: campaign.created_at,
        updated_at: campaign.updated_at,
        started_at: campaign.started_at,
        completed_at: campaign.completed_at,
        leads: counts.leads.into(),
        calls: counts.calls.into(),
    }
}

async fn check_voice_agent(
    db: &mut PgConnection,
    caller: Caller,
    fields: &mut Fields,
    id: shared::id::VoiceAgentId,
) -> Result<(), ApiError> {
    if !voice_agent::exists(db, caller.account, id).await? {
        fields.refuse("/voice_agent_id", "unknown_voice_agent", format!("there is no voice agent {id}"));
    }
    Ok(())
}
