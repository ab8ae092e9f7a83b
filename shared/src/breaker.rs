//! The circuit breaker: a campaign that fails for reasons of the system pauses, says why, and raises an alert.
//!
//! Counted are what the carrier refuses as malformed or forbidden, what cannot be placed or whose fate is unknown, and people
//! who answer and hear nobody. Busy, unanswered and declined calls, numbers on a register and numbers that do not exist are
//! ordinary and never trip it. [`check`] when a call has failed in such a way, [`pause_account`] when the carrier account
//! itself is the reason.

mod verdict;
mod words;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::{PgConnection, PgExecutor};

use crate::alert::{self, AlertKind, NewAlert};
use crate::call::Carrier;
use crate::calling_window::parse_zone;
use crate::campaign::Campaign;
use crate::id::{AccountId, CallId, CampaignId};
use verdict::{LOOK_AT, Verdict, judge};

/// Pauses the campaign if too many of its latest calls failed for reasons of the system. `true` if it paused it.
///
/// Pass a connection inside the transaction that wrote the call's outcome.
pub async fn check(
    db: &mut PgConnection,
    account: AccountId,
    campaign: CampaignId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let latest = latest(&mut *db, account, campaign).await?;
    let Some(trip) = judge(&latest) else { return Ok(false) };
    let doubt = match words::doubtful(&trip, &latest) {
        Some(call) => reason_of_doubt(&mut *db, call).await?,
        None => None,
    };
    let zone = zone(&mut *db, account, Some(campaign)).await?;
    let detail = words::tripped(&trip, &latest, doubt.as_deref(), now, zone);
    let kind = AlertKind::CircuitBreaker;
    if Campaign::pause_for(&mut *db, account, campaign, kind.as_str(), Some(&detail), now).await?.is_none() {
        return Ok(false);
    }
    let title = "The circuit breaker has paused a campaign";
    let alert = NewAlert { account_id: account, kind, campaign_id: Some(campaign), title, detail: &detail, at: now };
    alert::raise(db, alert).await?;
    Ok(true)
}

/// Pauses every running campaign of the account, because its carrier account has no money left or refuses our credentials.
/// Answers how many there were. Call it before anything else in its transaction: campaigns are locked before their leads.
pub async fn pause_account(
    db: &mut PgConnection,
    account: AccountId,
    carrier: Carrier,
    cause: AccountFailure,
    now: DateTime<Utc>,
) -> sqlx::Result<usize> {
    let zone = zone(&mut *db, account, None).await?;
    let (kind, detail) = (cause.kind(), words::of_account(carrier, cause, now, zone));
    let running = sqlx::query_scalar!(
        r#"
        select id as "id: CampaignId" from campaigns
        where account_id = $1 and status = 'running'
        order by id
        for no key update
        "#,
        account as AccountId,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut paused = 0;
    for campaign in running {
        let done = Campaign::pause_for(&mut *db, account, campaign, kind.as_str(), Some(&detail), now).await?;
        paused += usize::from(done.is_some());
    }
    if paused > 0 {
        let title = match cause {
            AccountFailure::Balance => "The carrier account has no balance left",
            AccountFailure::Credentials => "The carrier refuses our credentials",
        };
        let alert = NewAlert { account_id: account, kind, campaign_id: None, title, detail: &detail, at: now };
        alert::raise(db, alert).await?;
    }
    Ok(paused)
}

/// What stops every campaign of a carrier account at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFailure {
    Balance,
    Credentials,
}

impl AccountFailure {
    const fn kind(self) -> AlertKind {
        match self {
            Self::Balance => AlertKind::Balance,
            Self::Credentials => AlertKind::CarrierAuth,
        }
    }
}

/// A finished call, or one in doubt, as the breaker sees it.
#[derive(Clone, Debug)]
struct Finished {
    id: CallId,
    verdict: Verdict,
    failure_reason: Option<String>,
}

/// The campaign's latest calls, newest first. Only those since it was last started or resumed: an operator's resume is a
/// fresh start.
async fn latest(db: impl PgExecutor<'_>, account: AccountId, campaign: CampaignId) -> sqlx::Result<Vec<Finished>> {
    let rows = sqlx::query!(
        r#"
        select c.id as "id: CallId", c.failure_reason,
            case
                when c.withdrawn_at is not null or c.status = 'unknown' or c.status = 'dialing' then 'system'
                when c.status = 'failed' and (c.failure_reason like 'carrier%' or c.failure_reason = 'not_placed') then 'system'
                when c.status <> 'completed' then 'ordinary'
                when exists (select from turns t where t.call_id = c.id) then 'spoken'
                -- Nobody said a word, though the line was open for long enough to be greeted, or broke.
                when c.answered_by is distinct from 'machine' and c.answered_at is not null and (
                    c.hangup_cause = 'stream_failed'
                    or coalesce(c.duration_seconds, extract(epoch from c.ended_at - c.answered_at)) >= $3::int
                ) then 'silent'
                else 'ordinary'
            end as "verdict!"
        from calls c
        where c.campaign_id = $1
            and (c.ended_at is not null or (c.status = 'dialing' and c.carrier_call_id is null and exists (
                select from call_events e where e.call_id = c.id and e.kind = 'in_doubt'
            )))
            -- Most calls are withdrawn because a guard said no, which is nobody's failure.
            and (c.withdrawn_at is null or c.failure_reason = 'carrier_unreachable')
            and c.queued_at >= coalesce((
                select max(at) from call_events
                where account_id = $2 and call_id is null and lead_id is null and kind <> 'webhook'
                    and kind in ('campaign_started', 'campaign_resumed')
                    and data ->> 'campaign_id' = $1::bigint::text
            ), '-infinity')
        order by c.id desc
        limit $4
        "#,
        campaign as CampaignId,
        account as AccountId,
        verdict::LONG_ENOUGH_TO_GREET_SECS,
        i64::try_from(LOOK_AT).unwrap_or(i64::MAX),
    )
    .fetch_all(db)
    .await?;
    let finished = rows.into_iter().map(|row| Finished {
        id: row.id,
        failure_reason: row.failure_reason,
        verdict: match row.verdict.as_str() {
            "system" => Verdict::System,
            "silent" => Verdict::Silent,
            "spoken" => Verdict::Spoken,
            _ => Verdict::Ordinary,
        },
    });
    Ok(finished.collect())
}

/// What stood in the place of the carrier's answer.
async fn reason_of_doubt(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Option<String>> {
    let reason = sqlx::query_scalar!(
        r#"select data ->> 'reason' from call_events where call_id = $1 and kind = 'in_doubt' order by id limit 1"#,
        call as CallId,
    )
    .fetch_optional(db)
    .await?;
    Ok(reason.flatten())
}

/// In which an operator reads the time.
async fn zone(db: impl PgExecutor<'_>, account: AccountId, campaign: Option<CampaignId>) -> sqlx::Result<Tz> {
    let name = sqlx::query_scalar!(
        r#"
        select coalesce((select time_zone from campaigns where id = $2), time_zone) as "zone!" from accounts where id = $1
        "#,
        account as AccountId,
        campaign as Option<CampaignId>,
    )
    .fetch_optional(db)
    .await?;
    Ok(name.and_then(|name| parse_zone(&name).ok()).unwrap_or(Tz::UTC))
}
