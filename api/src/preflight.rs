//! Before a campaign starts: whom it will call and whom not, when it begins and ends, and what to know about it.

mod warnings;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::account;
use shared::id::CampaignId;
use shared::preflight::{self, Share};
use shared::reach::Reach;
use shared::voice_agent;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::forecast::{self, Expected};
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct PreflightView {
    pub campaign_id: i64,
    pub status: String,
    /// When this was said.
    pub at: DateTime<Utc>,
    /// From when on it calls: its scheduled start, or now. A paused campaign is looked at as if it were resumed.
    pub starts_at: DateTime<Utc>,
    pub total_leads: i64,
    pub will_be_called: i64,
    /// Leads that are not called, by reason: `do_not_call`, `no_consent`, `attempts_used_up`, `bad_time_zone`,
    /// `window_never_opens`, `ends_before_first_opening`, or what has become of them already (`done`, `exhausted`, `canceled`,
    /// `expired`, `call_unknown`, `being_called`).
    pub skipped: Skipped,
    /// Leads that are called, but not as soon as their window opens, by reason: `number_in_another_running_campaign`,
    /// `gap_between_calls_to_the_number`, `daily_cap_of_the_number`, `another_call_is_not_over`, `not_due_yet`.
    pub delayed: Skipped,
    /// When the first of them may be called; null if none ever may.
    pub first_opening: Option<DateTime<Utc>>,
    pub expected: Expected,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Skipped {
    pub total: i64,
    pub by_reason: BTreeMap<String, i64>,
}

/// Something that the operator may not have meant.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// Whom it concerns; null where it is the campaign as a whole.
    pub leads: Option<i64>,
}

/// Look before starting, at any time: how many leads will be called, how many not and why, the first opening, the expected
/// finish and cost. Nothing is changed.
#[utoipa::path(
    post, path = "/campaigns/{id}/preflight", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, body = PreflightView), (status = NOT_FOUND, body = Problem))
)]
pub async fn preflight_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<PreflightView>, ApiError> {
    let now = app.clock.now();
    let mut tx = caller.tenant(&app).await?;
    let campaign = campaigns::found(&mut tx, caller, id).await?;
    let account = account::get(&mut *tx, caller.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
    let outlook = forecast::look(&app, &mut tx, &account, &campaign, now).await?;
    let shares = preflight::judge(&mut *tx, &account, &campaign, &outlook).await?;
    let reading = preflight::lists_being_read(&mut *tx, caller.account, id).await?;
    let languages = preflight::languages(&mut *tx, caller.account, id).await?;
    let agent = voice_agent::get(&mut *tx, caller.account, campaign.voice_agent_id).await?;
    let expected = forecast::expected(&mut tx, &account, &outlook, now).await?;

    let total_leads = shares.iter().map(|share| share.leads).sum();
    let skipped = by_reason(&shares, |share| share.skipped.as_ref());
    let callable = |share: &&Share| share.skipped.is_none();
    let openings = outlook.zones.iter().filter(|zone| {
        shares.iter().filter(callable).any(|share| share.time_zone == zone.time_zone && share.country == zone.country)
    });
    let first_opening = openings
        .filter_map(|zone| zone.openings.as_ref()?.first().map(|opening| opening.opens_at.max(outlook.starts_at)))
        .min();
    let reach = agent.as_ref().map(|agent| Reach {
        agent: &agent.settings,
        installation: &app.speech,
        keys: &app.provider_keys,
    });
    let warnings = warnings::find(&warnings::Facts {
        account: &account,
        campaign: &campaign,
        outlook: &outlook,
        shares: &shares,
        lists_being_read: reading,
        first_opening,
        expected: &expected,
        languages: &languages,
        reach,
    });
    Ok(Json(PreflightView {
        campaign_id: id.0,
        status: campaign.status.as_str().to_owned(),
        at: now,
        starts_at: outlook.starts_at,
        total_leads,
        will_be_called: total_leads - skipped.total,
        skipped,
        delayed: by_reason(&shares, |share| share.delayed.as_ref()),
        first_opening,
        expected,
        warnings,
    }))
}

fn by_reason(shares: &[Share], reason: impl Fn(&Share) -> Option<&String>) -> Skipped {
    let mut by_reason: BTreeMap<String, i64> = BTreeMap::new();
    for share in shares {
        if let Some(reason) = reason(share) {
            *by_reason.entry(reason.clone()).or_default() += share.leads;
        }
    }
    Skipped { total: by_reason.values().sum(), by_reason }
}
