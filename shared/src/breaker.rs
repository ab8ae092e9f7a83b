//! The circuit breaker: a campaign that fails for reasons of the system, again and again, pauses and says so.
//!
//! Busy, unanswered and declined calls are ordinary and never trip it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::campaign::Campaign;
use crate::id::{AccountId, CampaignId};

/// The campaign's last calls that must all have failed in the system's way.
const TRIPS_AFTER: i64 = 8;

/// Pauses the campaign if its latest calls all failed for reasons of the system: refused by the carrier as malformed or
/// forbidden, or never sent because the carrier was out of reach. `true` if it paused it.
pub async fn check(
    db: &mut PgConnection,
    account: AccountId,
    campaign: CampaignId,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let tripped = sqlx::query_scalar!(
        r#"
        select count(*) = $2 and coalesce(bool_and(failure_reason like 'carrier%'), false) as "tripped!"
        from (
            select failure_reason from calls
            -- Only calls since it was last started or resumed: an operator's resume is a fresh start.
            where campaign_id = $1 and ended_at is not null
                and queued_at >= coalesce((
                    select max(at) from call_events
                    where account_id = $3 and call_id is null and lead_id is null and kind <> 'webhook'
                        and kind in ('campaign_started', 'campaign_resumed')
                        and data ->> 'campaign_id' = $1::bigint::text
                ), '-infinity')
            order by id desc
            limit $2
        ) latest
        "#,
        campaign as CampaignId,
        TRIPS_AFTER,
        account as AccountId,
    )
    .fetch_one(&mut *db)
    .await?;
    if !tripped {
        return Ok(false);
    }
    let paused = Campaign::pause(db, account, campaign, "circuit_breaker", now).await?;
    Ok(paused.is_some())
}
