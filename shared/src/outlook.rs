//! What a campaign's forecast is made of, read with a few aggregate queries: its waiting leads as cohorts, its windows, what the
//! account's caps leave it, and how calls have gone so far.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::account::Account;
use crate::calling_window::Opening;
use crate::campaign::{Campaign, CampaignStatus};
use crate::campaign_window::CampaignHours;
use crate::forecast::{ATTEMPTS, Cohort, Dice, Forecast, Input, Never, Otherwise, Rates, Seen, simulate};
use crate::id::{AccountId, CampaignId};

const RUNS: usize = 200;
/// Windows are read so far ahead first, and so far if that is not enough.
const HORIZONS: [TimeDelta; 2] = [TimeDelta::days(45), TimeDelta::days(366)];
/// Fewer calls of the account than that say too little; then the defaults below are used.
const ENOUGH_CALLS: u64 = 30;
/// Pseudo-calls that a default weighs.
const DEFAULT_WEIGHT: f64 = 20.0;
const DEFAULT_CONVERSATION_RATE: f64 = 0.30;
const DEFAULT_OTHERWISE: Otherwise =
    Otherwise { no_answer: 0.60, busy: 0.12, failed: 0.05, voicemail: 0.10, disconnected: 0.13 };
const DEFAULT_TALK_SECS: f64 = 90.0;
const DEFAULT_BILLED_MINUTES: f64 = 2.0;
const DEFAULT_RING_SECS: f64 = 25.0;

/// Where and under whose law some of the waiting leads are, and when they may be called.
#[derive(Clone, Debug)]
pub struct Zone {
    pub time_zone: String,
    pub country: String,
    /// Waiting leads, whether or not they pass the other guards.
    pub leads: i64,
    /// `None`: the zone cannot be read, which closes its window.
    pub openings: Option<Vec<Opening>>,
}

/// A campaign as a forecast sees it.
pub struct Outlook {
    /// From when on it calls: its scheduled start, or now.
    pub starts_at: DateTime<Utc>,
    pub zones: Vec<Zone>,
    pub history: History,
    /// Running campaigns of the account that share its calls and pace.
    pub others_running: i64,
    pub forecast: Forecast,
}

/// What the rates rest on.
#[derive(Clone, Debug)]
pub struct History {
    pub own_calls: u64,
    /// Of the account's latest campaigns, this one included.
    pub account_calls: u64,
    /// Of this campaign, by attempt.
    pub seen: [Seen; ATTEMPTS],
    pub rates: Rates,
    /// Too little was seen: stated defaults were used.
    pub is_default: bool,
}

/// What was read of a campaign, before it is simulated.
pub struct Material {
    hours: Option<CampaignHours>,
    /// By the zones' order of appearance; windows are still missing.
    input: Input,
    places: Vec<Place>,
    history: History,
    others_running: i64,
}

struct Place {
    time_zone: String,
    country: String,
    leads: i64,
}

/// Reads the rest of a campaign: as if it started or were resumed now, where it is not running.
pub async fn read(
    conn: &mut PgConnection,
    account: &Account,
    campaign: &Campaign,
    now: DateTime<Utc>,
    carrier_calls_per_second: f64,
) -> sqlx::Result<Material> {
    let starts_at = starts_at(campaign, now);
    let over = matches!(campaign.status, CampaignStatus::Completed | CampaignStatus::Canceled);
    let groups = if over { Vec::new() } else { groups(&mut *conn, campaign, starts_at).await? };
    let history = history(&mut *conn, account.id, campaign.id).await?;
    let share = share(&mut *conn, account.id, campaign.id).await?;
    let mut places: Vec<Place> = Vec::new();
    let mut known: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut cohorts = Vec::new();
    for group in groups {
        let zone = *known.entry((group.time_zone.clone(), group.country.clone())).or_insert(places.len());
        if zone == places.len() {
            places.push(Place { time_zone: group.time_zone, country: group.country, leads: 0 });
        }
        places[zone].leads += group.leads;
        if group.passes {
            cohorts.push(Cohort {
                zone,
                attempts_made: group.attempts.unsigned_abs(),
                attempts_left: (campaign.max_attempts_per_lead + group.granted - group.attempts).max(0).unsigned_abs(),
                due_at: group.due_at,
                leads: group.leads.unsigned_abs(),
            });
        }
    }
    let input = Input {
        now: starts_at,
        ends_at: campaign.ends_at,
        zones: Vec::new(),
        known_until: starts_at,
        cohorts,
        live_calls: share.live_here.unsigned_abs(),
        max_concurrent: f64::from(campaign.max_concurrent_calls)
            .min(f64::from(account.max_concurrent_calls) / parts(share.others)),
        calls_per_second: (carrier_calls_per_second.min(account.calls_per_second) / parts(share.others))
            .min(campaign.calls_per_second.unwrap_or(f64::INFINITY)),
        retry: campaign.retry_policy.0.clone(),
        min_gap: TimeDelta::minutes(i64::from(account.min_gap_minutes)),
        max_calls_per_number_per_day: account.max_calls_per_number_per_day.unsigned_abs(),
        rates: history.rates.clone(),
    };
    let hours = CampaignHours::load(&mut *conn, campaign.id).await?;
    Ok(Material { hours, input, places, history, others_running: share.others })
}

impl Material {
    /// Simulates it. It takes the processor for a moment: from milliseconds to a second.
    #[must_use]
    pub fn simulate(self, dice: &mut impl Dice) -> Outlook {
        let Self { hours, mut input, places, history, others_running } = self;
        let starts_at = input.now;
        let mut outlook = Outlook {
            starts_at,
            zones: Vec::new(),
            history,
            others_running,
            forecast: Forecast { runs: Vec::new(), unreachable_leads: 0, never: None },
        };
        for horizon in HORIZONS {
            input.known_until = starts_at + horizon;
            let until = input.ends_at.map_or(input.known_until, |ends| ends.min(input.known_until));
            let zone = |place: &Place| {
                let openings =
                    hours.as_ref().and_then(|hours| hours.openings(&place.time_zone, &place.country, starts_at, until));
                Zone {
                    time_zone: place.time_zone.clone(),
                    country: place.country.clone(),
                    leads: place.leads,
                    openings,
                }
            };
            outlook.zones = places.iter().map(zone).collect();
            input.zones = outlook.zones.iter().map(|zone| zone.openings.clone().unwrap_or_default()).collect();
            outlook.forecast = simulate(&input, dice, RUNS);
            let sees_all =
                outlook.forecast.never != Some(Never::BeyondOneYear) && outlook.forecast.unreachable_leads == 0;
            if sees_all || input.ends_at.is_some_and(|ends| ends <= input.known_until) {
                break;
            }
        }
        outlook
    }
}

/// A draft or a scheduled campaign waits for its start.
#[must_use]
pub fn starts_at(campaign: &Campaign, now: DateTime<Utc>) -> DateTime<Utc> {
    match campaign.status {
        CampaignStatus::Draft | CampaignStatus::Scheduled => campaign.scheduled_start_at.map_or(now, |at| at.max(now)),
        _ => now,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of campaigns")]
fn parts(others: i64) -> f64 {
    (others + 1) as f64
}

struct Group {
    time_zone: String,
    country: String,
    attempts: i32,
    granted: i32,
    due_at: DateTime<Utc>,
    /// Neither on the do-not-call list nor without the consent that the campaign wants.
    passes: bool,
    leads: i64,
}

async fn groups(db: impl PgExecutor<'_>, campaign: &Campaign, starts_at: DateTime<Utc>) -> sqlx::Result<Vec<Group>> {
    sqlx::query_as!(
        Group,
        r#"
        select l.time_zone, l.country, l.attempts, l.callbacks_granted as granted,
            date_bin('15 minutes', greatest(l.next_at, $2), timestamptz 'epoch') as "due_at!",
            d.id is null and consent_holds(l.consent_basis, l.consent_at, $3, $4, $2) as "passes!", count(*) as "leads!"
        from leads l
        left join do_not_call d on d.account_id = l.account_id and d.phone = l.phone
        where l.campaign_id = $1 and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
        group by 1, 2, 3, 4, 5, 6
        "#,
        campaign.id as CampaignId,
        starts_at,
        campaign.require_consent,
        campaign.consent_max_age_days,
    )
    .fetch_all(db)
    .await
}

struct Share {
    others: i64,
    live_here: i64,
}

async fn share(db: impl PgExecutor<'_>, account: AccountId, campaign: CampaignId) -> sqlx::Result<Share> {
    sqlx::query_as!(
        Share,
        r#"
        select
            (select count(*) from campaigns g
             where g.account_id = $1 and g.id <> $2 and g.status = 'running' and exists (
                 select from leads l
                 where l.campaign_id = g.id and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
             )) as "others!",
            (select count(*) from calls c
             where c.account_id = $1 and c.campaign_id = $2
                 and c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')) as "live_here!"
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_one(db)
    .await
}

struct Told {
    own: bool,
    attempt: i32,
    calls: i64,
    conversations: i64,
    no_answer: i64,
    busy: i64,
    failed: i64,
    voicemail: i64,
    disconnected: i64,
    talk_secs: f64,
    billed_minutes: f64,
    ring_secs: f64,
    rung: i64,
}

/// How the latest calls of this campaign, and of the account's latest ones, have gone.
async fn history(db: impl PgExecutor<'_>, account: AccountId, campaign: CampaignId) -> sqlx::Result<History> {
    let told = sqlx::query_as!(
        Told,
        r#"
        with campaigns_of_late as (
            (select id from campaigns where id = $2)
            union
            (select id from campaigns where account_id = $1 order by id desc limit 20)
        ),
        -- Bounded per campaign, by its index: recent calls say more about the next ones than old ones do.
        latest as (
            select c.*, g.id = $2 as own
            from campaigns_of_late g
            cross join lateral (
                select * from calls where campaign_id = g.id order by id desc limit case when g.id = $2 then 50000 else 2000 end
            ) c
            where c.settled_at is not null and c.withdrawn_at is null and c.dialing_at is not null
        ),
        judged as (
            select l.own, least(l.attempt, 10) as attempt, l.status, l.duration_seconds,
                l.answered_at is not null and coalesce(v.summary_status in ('pending', 'completed', 'failed'), false) as talked,
                coalesce(v.disposition = 'voicemail', false) as voicemail,
                extract(epoch from coalesce(l.answered_at, l.ended_at) - l.dialing_at)::float8 as ring
            from latest l
            left join conversations v on v.call_id = l.id
        )
        select own as "own!", attempt as "attempt!", count(*) as "calls!", count(*) filter (where talked) as "conversations!",
            count(*) filter (where not talked and status = 'no_answer') as "no_answer!",
            count(*) filter (where not talked and status = 'busy') as "busy!",
            count(*) filter (where not talked and status in ('failed', 'canceled', 'unknown')) as "failed!",
            count(*) filter (where not talked and status = 'completed' and voicemail) as "voicemail!",
            count(*) filter (where not talked and status = 'completed' and not voicemail) as "disconnected!",
            coalesce(sum(duration_seconds) filter (where talked), 0)::float8 as "talk_secs!",
            coalesce(sum(ceil(greatest(duration_seconds, 1) / 60.0)) filter (where talked), 0)::float8 as "billed_minutes!",
            coalesce(sum(ring) filter (where ring between 0 and 300), 0)::float8 as "ring_secs!",
            count(*) filter (where ring between 0 and 300) as "rung!"
        from judged
        group by 1, 2
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_all(db)
    .await?;
    Ok(conclude(&told))
}

/// Defaults count as a few calls seen, and so fade as real ones come in.
#[expect(clippy::cast_precision_loss, reason = "counts of calls, far below 2^52")]
fn conclude(told: &[Told]) -> History {
    let total = |of: fn(&Told) -> i64| told.iter().map(of).sum::<i64>() as f64;
    let unsigned = |count: i64| u64::try_from(count).unwrap_or_default();
    let mut seen = [Seen::default(); ATTEMPTS];
    for row in told.iter().filter(|row| row.own) {
        let index = usize::try_from(row.attempt - 1).unwrap_or_default().min(ATTEMPTS - 1);
        seen[index] = Seen { calls: unsigned(row.calls), conversations: unsigned(row.conversations) };
    }
    let (calls, conversations) = (total(|row| row.calls), total(|row| row.conversations));
    let blend = |sum: f64, of: f64, default: f64| (sum + DEFAULT_WEIGHT * default) / (of + DEFAULT_WEIGHT);
    let missed = calls - conversations;
    let otherwise = Otherwise {
        no_answer: blend(total(|row| row.no_answer), missed, DEFAULT_OTHERWISE.no_answer),
        busy: blend(total(|row| row.busy), missed, DEFAULT_OTHERWISE.busy),
        failed: blend(total(|row| row.failed), missed, DEFAULT_OTHERWISE.failed),
        voicemail: blend(total(|row| row.voicemail), missed, DEFAULT_OTHERWISE.voicemail),
        disconnected: blend(total(|row| row.disconnected), missed, DEFAULT_OTHERWISE.disconnected),
    };
    let sum = |of: fn(&Told) -> f64| told.iter().map(of).sum::<f64>();
    let account_calls = unsigned(told.iter().map(|row| row.calls).sum());
    History {
        own_calls: seen.iter().map(|seen| seen.calls).sum(),
        account_calls,
        seen,
        rates: Rates {
            seen,
            prior: blend(conversations, calls, DEFAULT_CONVERSATION_RATE),
            otherwise,
            talk_secs: blend(sum(|row| row.talk_secs), conversations, DEFAULT_TALK_SECS),
            talks: unsigned(told.iter().map(|row| row.conversations).sum()),
            billed_minutes: blend(sum(|row| row.billed_minutes), conversations, DEFAULT_BILLED_MINUTES),
            ring_secs: blend(sum(|row| row.ring_secs), total(|row| row.rung), DEFAULT_RING_SECS),
        },
        is_default: account_calls < ENOUGH_CALLS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(own: bool, attempt: i32, calls: i64, conversations: i64) -> Told {
        Told {
            own,
            attempt,
            calls,
            conversations,
            no_answer: calls - conversations,
            busy: 0,
            failed: 0,
            voicemail: 0,
            disconnected: 0,
            talk_secs: 120.0 * conversations as f64,
            billed_minutes: 2.0 * conversations as f64,
            ring_secs: 0.0,
            rung: 0,
        }
    }

    #[test]
    fn with_nothing_seen_the_defaults_are_used_and_said_to_be() {
        let history = conclude(&[]);
        assert!(history.is_default);
        assert!((history.rates.prior - DEFAULT_CONVERSATION_RATE).abs() < 1e-12);
        assert!((history.rates.talk_secs - DEFAULT_TALK_SECS).abs() < 1e-12);
    }

    #[test]
    fn what_the_account_has_seen_fades_the_defaults_out() {
        let history = conclude(&[row(true, 1, 100, 10), row(true, 2, 50, 0), row(false, 1, 850, 90)]);
        assert!(!history.is_default);
        assert_eq!((history.own_calls, history.account_calls), (150, 1_000));
        assert_eq!(history.seen[1], Seen { calls: 50, conversations: 0 });
        assert!((history.rates.prior - 0.104).abs() < 0.001, "{}", history.rates.prior);
        assert!(history.rates.otherwise.no_answer > 0.98);
        assert!((115.0..120.0).contains(&history.rates.talk_secs));
        let shares = history.rates.otherwise;
        let sum = shares.no_answer + shares.busy + shares.failed + shares.voicemail + shares.disconnected;
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }
}
