//! Start, pause, resume, stop. Each is one guarded statement: of two clicks one wins, and the other is told so.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::campaign::{Campaign, CampaignStatus};
use shared::campaign_window;
use shared::db::Tx;
use shared::id::CampaignId;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaign_settings::take_time;
use crate::campaigns::{CampaignView, found, view};
use crate::error::{ApiError, Problem};
use crate::extract::{Fields, Path};
use crate::state::App;

/// May be left out.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartRequest {
    /// In the future: the campaign starts by itself then.
    pub scheduled_start_at: Option<DateTime<Utc>>,
}

/// Start calling the campaign's leads, now or at `scheduled_start_at`.
#[utoipa::path(
    post, path = "/campaigns/{id}/start", tag = "campaigns", params(("id" = i64, Path)),
    request_body = Option<StartRequest>,
    responses(
        (status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
    )
)]
pub async fn start_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    mut fields: Fields,
) -> Result<Json<CampaignView>, ApiError> {
    let now = app.clock.now();
    let asked = take_time(&mut fields, "scheduled_start_at").flatten();
    fields.finish()?;
    let mut tx = caller.tenant(&app).await?;
    let campaign = found(&mut tx, caller, id).await?;
    // A draft keeps the start it was given; one that is scheduled and started again is meant to start now.
    let own = campaign.scheduled_start_at.filter(|_| campaign.status == CampaignStatus::Draft);
    let started = match asked.or(own).filter(|at| *at > now) {
        Some(at) if campaign.ends_at.is_some_and(|ends| ends <= at) => {
            return Err(ApiError::unprocessable("ends_before_start", "the campaign would end before it starts"));
        }
        Some(at) => Campaign::schedule(&mut tx, caller.account, id, at, now).await?,
        None if campaign.ends_at.is_some_and(|ends| ends <= now) => {
            return Err(ApiError::unprocessable(
                "campaign_ended",
                "the campaign's end has passed; move `ends_at` first",
            ));
        }
        None => Campaign::start(&mut tx, caller.account, id, now).await?,
    };
    let Some(started) = started else { return Err(not_started(&mut tx, caller, id).await?) };
    finish(tx, started, now).await
}

/// Call nobody new until `resume`; live calls go on to their end.
#[utoipa::path(
    post, path = "/campaigns/{id}/pause", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
pub async fn pause_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    match Campaign::pause(&mut tx, caller.account, id, "operator", now).await? {
        Some(campaign) => finish(tx, campaign, now).await,
        None => Err(refusal(found(&mut tx, caller, id).await?.status, "running")),
    }
}

/// Go on calling.
#[utoipa::path(
    post, path = "/campaigns/{id}/resume", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
pub async fn resume_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    match Campaign::resume(&mut tx, caller.account, id, now).await? {
        Some(campaign) => finish(tx, campaign, now).await,
        None => Err(refusal(found(&mut tx, caller, id).await?.status, "paused")),
    }
}

/// End the campaign for good: leads that wait are canceled, live calls go on to their end.
#[utoipa::path(
    post, path = "/campaigns/{id}/stop", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = CampaignView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
pub async fn stop_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    match Campaign::stop(&mut tx, caller.account, id, now).await? {
        Some(campaign) => finish(tx, campaign, now).await,
        None => Err(refusal(found(&mut tx, caller, id).await?.status, "scheduled, running or paused")),
    }
}

async fn finish(mut tx: Tx, campaign: Campaign, now: DateTime<Utc>) -> Result<Json<CampaignView>, ApiError> {
    // Time has passed since the windows were written: the dispatcher must not find yesterday's.
    if matches!(campaign.status, CampaignStatus::Running | CampaignStatus::Scheduled) {
        campaign_window::refresh(&mut tx, campaign.id, now).await?;
    }
    let view = view(&mut tx, campaign, now).await?;
    tx.commit().await?;
    Ok(Json(view))
}

async fn not_started(tx: &mut Tx, caller: Caller, id: CampaignId) -> Result<ApiError, ApiError> {
    let status = found(tx, caller, id).await?.status;
    let startable = matches!(status, CampaignStatus::Draft | CampaignStatus::Scheduled);
    if startable && !Campaign::has_leads(&mut **tx, id).await? {
        return Ok(ApiError::unprocessable(
            "campaign_without_leads",
            "the campaign has nobody to call; upload a list of leads first",
        ));
    }
    Ok(refusal(status, "draft or scheduled"))
}

/// Why a campaign in `status` cannot do what only one that is `expected` can.
fn refusal(status: CampaignStatus, expected: &str) -> ApiError {
    match status {
        CampaignStatus::Running => ApiError::conflict("campaign_already_running", "the campaign is running already"),
        CampaignStatus::Paused if expected.starts_with("draft") => {
            ApiError::conflict("campaign_paused", "the campaign is paused; resume it instead")
        }
        CampaignStatus::Paused => ApiError::conflict("campaign_already_paused", "the campaign is paused already"),
        CampaignStatus::Completed => ApiError::conflict("campaign_finished", "the campaign is completed"),
        CampaignStatus::Canceled => ApiError::conflict("campaign_finished", "the campaign was stopped"),
        CampaignStatus::Draft | CampaignStatus::Scheduled => {
            let detail = format!("the campaign is {}, and only one that is {expected} can do this", status.as_str());
            ApiError::conflict("campaign_not_running", detail)
        }
    }
}
