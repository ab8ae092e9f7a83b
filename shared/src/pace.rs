//! Pace: how many calls may start per second. Token buckets in wall-clock time: one per account and carrier, and one per
//! campaign that has a pace of its own.
//!
//! A token is taken at the instant of dialing ([`take`]); the dispatcher only looks ([`look`]), so that it reserves no more than
//! can be dialed now. The account's bucket row is also what makes its cap hold: whoever reserves calls for the account locks it.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::id::{AccountId, CampaignId};

/// A refused pace climbs back from half to full in this many seconds.
const RECOVERY_SECS: f64 = 60.0;
/// Refusals this close together are one burst, and halve the pace once.
const BURST_SECS: f64 = 5.0;

/// Calls that each carrier lets one account start per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CarrierRates {
    pub exotel: f64,
    pub twilio: f64,
}

impl CarrierRates {
    #[must_use]
    pub const fn of(self, carrier: Carrier) -> f64 {
        match carrier {
            Carrier::Exotel => self.exotel,
            Carrier::Twilio => self.twilio,
        }
    }
}

/// Whose calls start, and how fast they may.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    pub account: AccountId,
    pub carrier: Carrier,
    /// The least of the carrier's and the account's rates.
    pub calls_per_second: f64,
    /// The campaign's own rate, where it has one.
    pub campaign: Option<(CampaignId, f64)>,
}

/// What a bucket holds right now.
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

    /// The bucket when `calls` more have been dialed.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "calls in progress are thousands at most")]
    pub fn less(self, calls: i64) -> Self {
        Self { tokens: self.tokens - calls as f64, ..self }
    }
}

/// Refills the account's bucket, locks it until the transaction ends, and says what it holds; likewise the campaign's, if it has
/// one.
pub async fn look(db: &mut PgConnection, pace: &Pace) -> sqlx::Result<(Bucket, Option<Bucket>)> {
    let account = draw(&mut *db, pace, 0.0).await?;
    let campaign = match pace.campaign {
        Some((campaign, rate)) => Some(draw_from_campaign(db, pace.account, campaign, rate, 0.0).await?),
        None => None,
    };
    Ok((account, campaign))
}

/// How long until there is a token in every bucket; `None` if there is one now, and then it stays until the transaction ends.
pub async fn wait(db: &mut PgConnection, pace: &Pace) -> sqlx::Result<Option<Duration>> {
    let (account, campaign) = look(db, pace).await?;
    let short = [Some(account), campaign].into_iter().flatten().filter(|bucket| bucket.tokens < 1.0);
    Ok(short.map(|bucket| bucket.until_next()).max())
}

/// Takes one token of every bucket, after [`wait`] has found them.
pub async fn take(db: &mut PgConnection, pace: &Pace) -> sqlx::Result<()> {
    draw(&mut *db, pace, 1.0).await?;
    if let Some((campaign, rate)) = pace.campaign {
        draw_from_campaign(db, pace.account, campaign, rate, 1.0).await?;
    }
    Ok(())
}

/// Refills and draws `tokens` of the account's bucket, whatever it holds.
async fn draw(db: &mut PgConnection, pace: &Pace, tokens: f64) -> sqlx::Result<Bucket> {
    // `clock_timestamp`, not `now`: this transaction may have begun long before it got the lock.
    let row = sqlx::query!(
        r#"
        insert into pace_buckets as b (account_id, carrier, tokens) values ($1, $2, greatest(1, $3::float8) - $5::float8)
        on conflict (account_id, carrier) do update
        set tokens = pace_refilled(b.tokens, clock_timestamp() - b.refilled_at, $3 * b.factor) - $5,
            factor = least(1, b.factor + greatest(0, extract(epoch from clock_timestamp() - b.refilled_at))::float8 / (2 * $4::float8)),
            refilled_at = greatest(b.refilled_at, clock_timestamp())
        returning tokens, factor
        "#,
        pace.account as AccountId,
        pace.carrier.as_str(),
        pace.calls_per_second,
        RECOVERY_SECS,
        tokens,
    )
    .fetch_one(db)
    .await?;
    Ok(Bucket { tokens: row.tokens, rate: pace.calls_per_second * row.factor, factor: row.factor })
}

async fn draw_from_campaign(
    db: &mut PgConnection,
    account: AccountId,
    campaign: CampaignId,
    calls_per_second: f64,
    tokens: f64,
) -> sqlx::Result<Bucket> {
    let tokens = sqlx::query_scalar!(
        r#"
        insert into campaign_pace_buckets as b (campaign_id, account_id, tokens) values ($1, $2, greatest(1, $3::float8) - $4::float8)
        on conflict (campaign_id) do update
        set tokens = pace_refilled(b.tokens, clock_timestamp() - b.refilled_at, $3) - $4,
            refilled_at = greatest(b.refilled_at, clock_timestamp())
        returning tokens
        "#,
        campaign as CampaignId,
        account as AccountId,
        calls_per_second,
        tokens,
    )
    .fetch_one(db)
    .await?;
    Ok(Bucket { tokens, rate: calls_per_second, factor: 1.0 })
}

/// The carrier said 429 or 5xx: half as fast from now on, down to a twentieth.
pub async fn halve(db: impl PgExecutor<'_>, account: AccountId, carrier: Carrier) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update pace_buckets
        set factor = greatest(0.05, factor / 2), tokens = least(tokens, 0), halved_at = clock_timestamp()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_says_when_the_next_call_may_start() {
        let bucket = Bucket { tokens: 0.25, rate: 3.0, factor: 1.0 };
        assert_eq!(bucket.whole_tokens(), 0);
        assert_eq!(bucket.until_next(), Duration::from_millis(250));
        assert_eq!(Bucket { tokens: 2.9, ..bucket }.whole_tokens(), 2);
        assert_eq!(Bucket { tokens: 2.9, ..bucket }.less(3).whole_tokens(), 0);
    }
}
