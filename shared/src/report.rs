//! What a campaign has come to, counted from its rows.

use chrono::NaiveDate;
use sqlx::PgConnection;

use crate::id::{AccountId, CampaignId};

/// Causes that a report names, the most frequent first.
const MOST_CAUSES: usize = 50;
/// Days that a report goes back.
const MOST_DAYS: usize = 92;

#[derive(Clone, Debug, serde::Serialize)]
pub struct CallTotals {
    pub total_calls: i64,
    /// Reserved, ringing or talking right now.
    pub live_calls: i64,
    pub answered_calls: i64,
    pub completed_calls: i64,
    /// The carrier or the network failed them.
    pub failed_calls: i64,
    pub total_duration_seconds: i64,
    /// Of the calls that were answered.
    pub average_duration_seconds: f64,
    /// People the calls went to.
    pub leads_called: i64,
    pub leads_reached: i64,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Share {
    pub value: String,
    pub count: i64,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct AttemptRow {
    pub attempt: i32,
    pub calls: i64,
    pub answered: i64,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct HourRow {
    /// Hour of the day, 0 to 23, on the wall clock of the report's zone.
    pub hour: i32,
    pub calls: i64,
    pub answered: i64,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct DayRow {
    pub date: NaiveDate,
    pub calls: i64,
    pub answered: i64,
}

/// Milliseconds from the human's last word to the first audio of the reply.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ReplyLatency {
    pub replies: i64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct CampaignReport {
    #[serde(flatten)]
    pub totals: CallTotals,
    pub dispositions: Vec<Share>,
    pub hangup_causes: Vec<Share>,
    pub by_attempt: Vec<AttemptRow>,
    pub by_hour: Vec<HourRow>,
    /// The latest 92 days with calls.
    pub by_day: Vec<DayRow>,
    pub reply_latency: ReplyLatency,
}

/// Counts one campaign. `zone` must be a name that the database knows too; days and hours are told by its wall clock.
pub async fn campaign(
    db: &mut PgConnection,
    account: AccountId,
    campaign: CampaignId,
    zone: &str,
) -> sqlx::Result<CampaignReport> {
    let totals = sqlx::query_as!(
        CallTotals,
        r#"
        select count(*) as "total_calls!",
            count(*) filter (where status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')) as "live_calls!",
            count(*) filter (where answered_at is not null) as "answered_calls!",
            count(*) filter (where status = 'completed') as "completed_calls!",
            count(*) filter (where status = 'failed') as "failed_calls!",
            coalesce(sum(duration_seconds) filter (where answered_at is not null), 0) as "total_duration_seconds!",
            coalesce(avg(duration_seconds) filter (where answered_at is not null), 0)::float8 as "average_duration_seconds!",
            -- Every lead that was called has one first attempt.
            count(*) filter (where attempt = 1) as "leads_called!",
            count(distinct lead_id) filter (where answered_at is not null) as "leads_reached!"
        from calls
        where account_id = $1 and campaign_id = $2 and withdrawn_at is null
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_one(&mut *db)
    .await?;
    let dispositions = sqlx::query_as!(
        Share,
        r#"
        select disposition as "value!", count(*) as "count!" from leads
        where account_id = $1 and campaign_id = $2 and disposition is not null
        group by 1 order by 2 desc, 1
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_all(&mut *db)
    .await?;
    let shares = shares(&mut *db, account, campaign, zone).await?;
    let reply_latency = sqlx::query_as!(
        ReplyLatency,
        r#"
        select count(ms) as "replies!", percentile_cont(0.5) within group (order by ms) as p50_ms,
            percentile_cont(0.95) within group (order by ms) as p95_ms
        from (
            select ((t.stages ->> 'first_frame_sent')::float8 - (t.stages ->> 'speech_end')::float8) as ms
            from turns t join calls c on c.id = t.call_id
            where c.account_id = $1 and c.campaign_id = $2 and t.role = 'agent'
        ) replies
        where ms >= 0
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_one(&mut *db)
    .await?;
    let Shares { hangup_causes, by_attempt, by_hour, by_day } = shares;
    Ok(CampaignReport { totals, dispositions, hangup_causes, by_attempt, by_hour, by_day, reply_latency })
}

#[derive(Default)]
struct Shares {
    hangup_causes: Vec<Share>,
    by_attempt: Vec<AttemptRow>,
    by_hour: Vec<HourRow>,
    by_day: Vec<DayRow>,
}

/// Four tallies of the same calls in one reading of them: a campaign may have millions.
async fn shares(db: &mut PgConnection, account: AccountId, campaign: CampaignId, zone: &str) -> sqlx::Result<Shares> {
    let rows = sqlx::query!(
        r#"
        select hangup_cause, attempt as "attempt?", hour, date, count(*) as "calls!",
            count(*) filter (where answered_at is not null) as "answered!",
            grouping(hangup_cause, attempt, hour, date) as "others!"
        from (
            select hangup_cause, attempt, answered_at, extract(hour from dialing_at at time zone $3)::int as hour,
                (dialing_at at time zone $3)::date as date
            from calls
            where account_id = $1 and campaign_id = $2 and withdrawn_at is null
        ) made
        group by grouping sets ((hangup_cause), (attempt), (hour), (date))
        order by hangup_cause, attempt, hour, date
        "#,
        account as AccountId,
        campaign as CampaignId,
        zone,
    )
    .fetch_all(db)
    .await?;
    let mut shares = Shares::default();
    for row in rows {
        // One bit for each column that this row is not about; a call without a cause, or never dialed, is in no tally of them.
        match row.others {
            0b0111 => shares.hangup_causes.extend(row.hangup_cause.map(|value| Share { value, count: row.calls })),
            0b1011 => shares.by_attempt.extend(row.attempt.map(|attempt| AttemptRow {
                attempt,
                calls: row.calls,
                answered: row.answered,
            })),
            0b1101 => {
                shares.by_hour.extend(row.hour.map(|hour| HourRow { hour, calls: row.calls, answered: row.answered }))
            }
            _ => shares.by_day.extend(row.date.map(|date| DayRow { date, calls: row.calls, answered: row.answered })),
        }
    }
    // Rows come in the order of their values; causes are told by how many, and days end with the latest.
    shares.hangup_causes.sort_by_key(|share| std::cmp::Reverse(share.count));
    shares.hangup_causes.truncate(MOST_CAUSES);
    let surplus = shares.by_day.len().saturating_sub(MOST_DAYS);
    shares.by_day.drain(..surplus);
    Ok(shares)
}
