//! What a campaign has come to.

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use serde::Serialize;
use shared::campaign;
use shared::id::CampaignId;
use shared::ledger::{self, Bill};
use shared::report::{self, Share};
use shared::{account, calling_window};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaigns::{self, Counts};
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignAnalytics {
    pub campaign_id: i64,
    pub status: String,
    /// Leads by status.
    pub leads: Counts,
    pub total_leads: i64,
    /// Leads in their final state.
    pub leads_finished: i64,
    pub leads_called: i64,
    pub leads_reached: i64,
    pub leads_qualified: i64,
    pub total_calls: i64,
    pub live_calls: i64,
    pub answered_calls: i64,
    pub completed_calls: i64,
    pub failed_calls: i64,
    pub calls_by_status: BTreeMap<String, i64>,
    /// Answered calls per call that was made, 0 to 1.
    pub answer_rate: f64,
    /// Qualified leads per lead that was reached, 0 to 1.
    pub qualification_rate: f64,
    pub total_duration_seconds: i64,
    pub average_duration_seconds: f64,
    /// Leads by business result.
    pub dispositions: BTreeMap<String, i64>,
    pub hangup_causes: BTreeMap<String, i64>,
    pub by_attempt: Vec<AttemptView>,
    /// The zone of `calls_by_hour` and `calls_by_day`.
    pub time_zone: String,
    pub calls_by_hour: Vec<HourView>,
    pub calls_by_day: Vec<DayView>,
    pub reply_latency: LatencyView,
    /// What its calls used, and what that cost, each by the prices of its own day.
    #[schema(value_type = Object)]
    pub costs: Bill,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptView {
    pub attempt: i32,
    pub calls: i64,
    pub answered: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct HourView {
    pub hour: i32,
    pub calls: i64,
    pub answered: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DayView {
    pub date: NaiveDate,
    pub count: i64,
    pub answered: i64,
}

/// From the human's last word to the first audio of the reply.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatencyView {
    pub replies: i64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

/// Numbers of a campaign: calls, leads, results, times of day, latency.
#[utoipa::path(
    get, path = "/analytics/campaign/{id}", tag = "reports", params(("id" = i64, Path)),
    responses((status = OK, body = CampaignAnalytics), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_campaign_analytics(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Json<CampaignAnalytics>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let campaign = campaigns::found(&mut tx, caller, id).await?;
    let zone = match campaign.time_zone {
        Some(zone) => zone,
        None => account::get(&mut *tx, caller.account).await?.map(|account| account.time_zone).unwrap_or_default(),
    };
    // A zone that nobody knows closes every window; the report is then told in UTC.
    let zone = calling_window::parse_zone(&zone).map_or("UTC", |zone| zone.name());
    let counts = campaign::counts(&mut *tx, &[id]).await?.remove(&id).unwrap_or_default();
    let report = report::campaign(&mut tx, caller.account, id, zone).await?;
    let costs = ledger::of_campaign(&mut tx, caller.account, id).await?;
    let totals = report.totals;
    let finished = ["done", "exhausted", "suppressed", "canceled", "expired"];
    let leads_finished = finished.iter().filter_map(|status| counts.leads.get(*status)).sum();
    let dispositions = map(report.dispositions);
    let leads_qualified = dispositions.get("qualified").copied().unwrap_or_default();
    let leads = Counts::from(counts.leads);
    Ok(Json(CampaignAnalytics {
        campaign_id: id.0,
        status: campaign.status.as_str().to_owned(),
        total_leads: leads.total,
        leads,
        leads_finished,
        leads_called: totals.leads_called,
        leads_reached: totals.leads_reached,
        leads_qualified,
        total_calls: totals.total_calls,
        live_calls: totals.live_calls,
        answered_calls: totals.answered_calls,
        completed_calls: totals.completed_calls,
        failed_calls: totals.failed_calls,
        calls_by_status: counts.calls,
        answer_rate: rate(totals.answered_calls, totals.total_calls),
        qualification_rate: rate(leads_qualified, totals.leads_reached),
        total_duration_seconds: totals.total_duration_seconds,
        average_duration_seconds: totals.average_duration_seconds,
        dispositions,
        hangup_causes: map(report.hangup_causes),
        by_attempt: report
            .by_attempt
            .into_iter()
            .map(|row| AttemptView { attempt: row.attempt, calls: row.calls, answered: row.answered })
            .collect(),
        time_zone: zone.to_owned(),
        calls_by_hour: report
            .by_hour
            .into_iter()
            .map(|row| HourView { hour: row.hour, calls: row.calls, answered: row.answered })
            .collect(),
        calls_by_day: report
            .by_day
            .into_iter()
            .map(|row| DayView { date: row.date, count: row.calls, answered: row.answered })
            .collect(),
        reply_latency: LatencyView {
            replies: report.reply_latency.replies,
            p50_ms: report.reply_latency.p50_ms,
            p95_ms: report.reply_latency.p95_ms,
        },
        costs,
    }))
}

fn map(shares: Vec<Share>) -> BTreeMap<String, i64> {
    shares.into_iter().map(|share| (share.value, share.count)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of calls are far below 2^52")]
fn rate(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
