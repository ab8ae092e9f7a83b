//! A campaign's opening hours as UTC rows, one per zone and country of its leads: the current window, or the next.
//!
//! The dispatcher and the dial statement read these rows alone, so that a window which closes rewrites one row and no lead.
//! What cannot be read (a bad zone, malformed hours) closes the window; it never opens it.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::calling_window::{CallingHours, CallingWindow, LegalEnvelope, Opening, ZoneSet};
use crate::id::{AccountId, CampaignId};

/// Whether a campaign may call somebody now, and if nobody, when that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowStatus {
    pub open_now: bool,
    /// The next opening of any of its zones; `None` if none ever opens, or no zone is known yet.
    pub next_opening: Option<DateTime<Utc>>,
}

/// The hours and holidays of a campaign, before a country's law cuts them.
#[derive(Clone, Debug)]
pub struct CampaignHours {
    account: AccountId,
    /// `None`: what is stored is no set of hours.
    hours: Option<CallingHours>,
    holidays: BTreeSet<NaiveDate>,
}

impl CampaignHours {
    /// The usual hours, and no holidays, of nobody's campaign.
    pub(crate) fn usual() -> Self {
        Self { account: AccountId(0), hours: Some(CallingHours::default()), holidays: BTreeSet::new() }
    }

    /// `None` if there is no such campaign.
    pub async fn load(db: impl PgExecutor<'_>, campaign: CampaignId) -> sqlx::Result<Option<Self>> {
        let row = sqlx::query!(
            r#"select account_id as "account: AccountId", calling_hours, holidays from campaigns where id = $1"#,
            campaign as CampaignId,
        )
        .fetch_optional(db)
        .await?;
        Ok(row.map(|row| {
            let hours = serde_json::from_value(row.calling_hours)
                .inspect_err(|error| tracing::error!(campaign_id = %campaign, %error, "calling hours cannot be read"))
                .ok();
            Self { account: row.account, hours, holidays: row.holidays.into_iter().collect() }
        }))
    }

    /// The first moment at or after `at` at which somebody in this zone, or in any of these zones (`leads.time_zone`), and of
    /// this country may be called.
    #[must_use]
    pub fn next_allowed(&self, zones: &str, country: &str, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.window(country)?.next_allowed_in_all(&ZoneSet::parse(zones).ok()?, at)
    }

    /// The opening at `now`, or the next; `None` if none ever comes.
    #[must_use]
    pub fn opening(&self, zones: &str, country: &str, now: DateTime<Utc>) -> Option<Opening> {
        self.window(country)?.common_opening(&ZoneSet::parse(zones).ok()?, now)
    }

    /// Every opening of this zone and country that is not over at `from` and begins before `until`. `None`: the zone, or what is
    /// stored as hours, cannot be read.
    #[must_use]
    pub fn openings(
        &self,
        zones: &str,
        country: &str,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<Vec<Opening>> {
        let (window, zones) = (self.window(country)?, ZoneSet::parse(zones).ok()?);
        let mut openings = Vec::new();
        let mut at = from;
        while let Some(opening) = window.common_opening(&zones, at).filter(|opening| opening.opens_at < until) {
            openings.push(opening);
            at = opening.closes_at;
        }
        Some(openings)
    }

    fn window(&self, country: &str) -> Option<CallingWindow> {
        Some(CallingWindow {
            hours: self.hours.clone()?,
            holidays: self.holidays.clone(),
            envelope: LegalEnvelope::for_country(country),
        })
    }
}

/// Minutes of an ordinary week that these hours ask for, and those that the law of a country leaves of them.
#[must_use]
pub fn weekly_minutes(hours: &CallingHours, country: &str) -> (u32, u32) {
    let envelope = LegalEnvelope::for_country(country);
    CallingWindow { hours: hours.clone(), holidays: BTreeSet::new(), envelope }.weekly_minutes()
}

/// Writes the campaign's windows anew: for every zone and country of its waiting leads, and every one it knows already.
/// Call it when hours or holidays have changed.
pub async fn refresh(conn: &mut PgConnection, campaign: CampaignId, now: DateTime<Utc>) -> sqlx::Result<()> {
    write(conn, campaign, now, false).await
}

/// [`refresh`], of the windows that have closed and the zones that have none yet: enough where only leads have changed.
pub async fn refresh_stale(conn: &mut PgConnection, campaign: CampaignId, now: DateTime<Utc>) -> sqlx::Result<()> {
    write(conn, campaign, now, true).await
}

async fn write(
    conn: &mut PgConnection,
    campaign: CampaignId,
    now: DateTime<Utc>,
    stale_only: bool,
) -> sqlx::Result<()> {
    let zones = sqlx::query!(
        r#"
        -- Every zone and country of the waiting leads, by skipping from one to the next in the index: a list of 100,000
        -- leads has few of them.
        with recursive zones (time_zone, country) as (
            (
                select time_zone, country from leads
                where campaign_id = $1 and status in ('pending', 'waiting_retry', 'callback_scheduled')
                order by time_zone, country limit 1
            )
            union all
            select next.time_zone, next.country
            from zones z cross join lateral (
                select l.time_zone, l.country from leads l
                where l.campaign_id = $1 and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
                    and (l.time_zone, l.country) > (z.time_zone, z.country)
                order by l.time_zone, l.country limit 1
            ) next
        ),
        known as (
            select time_zone, country from zones
            union
            select time_zone, country from campaign_windows where campaign_id = $1
        )
        select k.time_zone as "time_zone!", k.country as "country!"
        from known k
        left join campaign_windows w on w.campaign_id = $1 and w.time_zone = k.time_zone and w.country = k.country
        where not $3 or w.closes_at is null or w.closes_at <= $2
        order by 1, 2
        "#,
        campaign as CampaignId,
        now,
        stale_only,
    )
    .fetch_all(&mut *conn)
    .await?;
    if zones.is_empty() {
        return Ok(());
    }
    let Some(hours) = CampaignHours::load(&mut *conn, campaign).await? else { return Ok(()) };
    let (mut names, mut countries, mut opens, mut closes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for zone in zones {
        let opening = hours.opening(&zone.time_zone, &zone.country, now);
        opens.push(opening.map(|opening| opening.opens_at));
        closes.push(opening.map(|opening| opening.closes_at));
        names.push(zone.time_zone);
        countries.push(zone.country);
    }
    sqlx::query!(
        r#"
        insert into campaign_windows (campaign_id, account_id, time_zone, country, opens_at, closes_at)
        select $1, $2, w.zone, w.country, coalesce(w.opens, 'infinity'), coalesce(w.closes, 'infinity')
        from unnest($3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) as w (zone, country, opens, closes)
        on conflict (campaign_id, time_zone, country) do update
        set opens_at = excluded.opens_at, closes_at = excluded.closes_at
        "#,
        campaign as CampaignId,
        hours.account as AccountId,
        &names,
        &countries,
        &opens as &[Option<DateTime<Utc>>],
        &closes as &[Option<DateTime<Utc>>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What to tell people who wonder why nobody is being called.
pub async fn status(db: impl PgExecutor<'_>, campaign: CampaignId, now: DateTime<Utc>) -> sqlx::Result<WindowStatus> {
    sqlx::query_as!(
        WindowStatus,
        r#"
        select coalesce(bool_or(opens_at <= $2 and $2 < closes_at), false) as "open_now!",
            nullif(min(opens_at) filter (where opens_at > $2), 'infinity') as next_opening
        from campaign_windows
        where campaign_id = $1
        "#,
        campaign as CampaignId,
        now,
    )
    .fetch_one(db)
    .await
}
