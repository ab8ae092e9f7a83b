//! Pace: how many calls may start per second. One token bucket per account and carrier, in wall-clock time.
//!
//! The bucket's row lock is also what makes an account's cap hold: whoever reserves calls for the account holds it.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::id::AccountId;

/// A refused pace climbs back from half to full in this many seconds.
const RECOVERY_SECS: f64 = 60.0;
/// Refusals this close together are one burst, and halve the pace once.
const BURST_SECS: f64 = 5.0;

/// What a bucket holds right now, with its row locked until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub tokens: f64,
    /// Tokens per second at the present factor.
    pub rate: f64,
    /// 1 unless the carrier has pushed back lately.
    pub factor: f64,
}

impl Bucket {
    /// Calls that may start now.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a bucket holds at most one second of calls")]
    pub fn whole_tokens(&self) -> i64 {
        self.tokens.max(0.0).floor() as i64
    }

    /// How long until one more call may start.
    #[must_use]
    pub fn until_next(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.rate.max(0.001)).unwrap_or(Duration::from_secs(60))
    }
}

/// Refills the bucket and locks it. `calls_per_second` is the least of the carrier's and the account's rates. The bucket
/// holds one second's worth, and at least one call.
pub async fn refill(
    db: &mut PgConnection,
    account: AccountId,
    carrier: Carrier,
    calls_per_second: f64,
) -> sqlx::Result<Bucket> {
    sqlx::query!(
        "insert into pace_buckets (account_id, carrier, tokens) values ($1, $2, greatest(1, $3::float8)) on conflict do nothing",
        account as AccountId,
        carrier.as_str(),
        calls_per_second,
    )
    .execute(&mut *db)
    .await?;
    // `clock_timestamp`, not `now`: this transaction may have begun long before it got the lock.
    let row = sqlx::query!(
        r#"
        update pace_buckets
        set tokens = least(greatest(1, $3::float8), tokens + greatest(0, extract(epoch from clock_timestamp() - refilled_at))::float8 * $3 * factor),
            factor = least(1, factor + greatest(0, extract(epoch from clock_timestamp() - refilled_at))::float8 / (2 * $4::float8)),
            refilled_at = greatest(refilled_at, clock_timestamp())
        where account_id = $1 and carrier = $2
        returning tokens, factor
        "#,
        account as AccountId,
        carrier.as_str(),
        calls_per_second,
        RECOVERY_SECS,
    )
    .fetch_one(&mut *db)
    .await?;
    Ok(Bucket { tokens: row.tokens, rate: calls_per_second * row.factor, factor: row.factor })
}

/// Takes `calls` tokens out of the bucket.
pub async fn take(db: impl PgExecutor<'_>, account: AccountId, carrier: Carrier, calls: usize) -> sqlx::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a batch has at most a few hundred calls")]
    let calls = calls as f64;
    sqlx::query!(
        "update pace_buckets set tokens = tokens - $3 where account_id = $1 and carrier = $2",
        account as AccountId,
        carrier.as_str(),
        calls,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The carrier said 429 or 5xx: half as fast from now on, down to a twentieth.
pub async fn halve(db: impl PgExecutor<'_>, account: AccountId, carrier: Carrier) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update pace_buckets
        set factor = greatest(0.05, factor / 2), tokens = 0, halved_at = clock_timestamp()
        where account_id = $1 and carrier = $2
            and (halved_at is null or halved_at < clock_timestamp() - make_interval(secs => $3))
        "#,
        account as AccountId,
        carrier.as_str(),
        BURST_SECS,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A campaign's own pace, where it has one; its row is locked by the dispatcher.
pub(crate) async fn refill_campaign(
    db: &mut PgConnection,
    campaign: crate::id::CampaignId,
    calls_per_second: f64,
) -> sqlx::Result<Bucket> {
    let tokens = sqlx::query_scalar!(
        r#"
        update campaigns
        set pace_tokens = least(
                greatest(1, $2::float8),
                pace_tokens + greatest(0, extract(epoch from clock_timestamp() - pace_refilled_at))::float8 * $2
            ),
            pace_refilled_at = greatest(pace_refilled_at, clock_timestamp())
        where id = $1
        returning pace_tokens
        "#,
        campaign as crate::id::CampaignId,
        calls_per_second,
    )
    .fetch_one(db)
    .await?;
    Ok(Bucket { tokens, rate: calls_per_second, factor: 1.0 })
}

pub(crate) async fn take_from_campaign(
    db: impl PgExecutor<'_>,
    campaign: crate::id::CampaignId,
    calls: usize,
) -> sqlx::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "a batch has at most a few hundred calls")]
    let calls = calls as f64;
    sqlx::query!(
        "update campaigns set pace_tokens = pace_tokens - $2 where id = $1",
        campaign as crate::id::CampaignId,
        calls,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_says_when_the_next_call_may_start() {
        let bucket = Bucket { tokens: 0.25, rate: 3.0, factor: 1.0 };
        assert_eq!(bucket.whole_tokens(), 0);
        assert_eq!(bucket.until_next(), Duration::from_millis(250));
        assert_eq!(Bucket { tokens: 2.9, ..bucket }.whole_tokens(), 2);
        assert_eq!(Bucket { tokens: -1.0, ..bucket }.whole_tokens(), 0);
    }
}
