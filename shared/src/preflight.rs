//! Before a campaign starts: how many of its leads will be called, how many not and why, by one query over all of them.
//!
//! The same guards as `dispatch`, judged at the moment at which each lead's zone first opens.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::account::Account;
use crate::campaign::Campaign;
use crate::id::{AccountId, CampaignId};
use crate::outlook::{Outlook, Zone};

/// Leads alike in what a preflight says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub time_zone: String,
    pub country: String,
    /// Why they are not called: `do_not_call`, `no_consent`, `attempts_used_up`, `bad_time_zone`, `window_never_opens`,
    /// `ends_before_first_opening`; or what has become of them already: `done`, `exhausted`, `canceled`, `expired`,
    /// `call_unknown`, `being_called`. `None`: they are called.
    pub skipped: Option<String>,
    /// Why they are called later than their window opens: `number_in_another_running_campaign`,
    /// `gap_between_calls_to_the_number`, `daily_cap_of_the_number`, `another_call_is_not_over`, `not_due_yet`.
    pub delayed: Option<String>,
    pub leads: i64,
    /// Among them, those of whom the list says nothing about consent.
    pub without_basis: i64,
}

/// Why a window never opens; `None` if it does.
#[must_use]
pub fn never_opens(zone: &Zone, campaign: &Campaign) -> Option<&'static str> {
    match &zone.openings {
        None => Some("bad_time_zone"),
        Some(openings) if !openings.is_empty() => None,
        Some(_) if campaign.ends_at.is_some() => Some("ends_before_first_opening"),
        Some(_) => Some("window_never_opens"),
    }
}

/// Judges every lead of the campaign.
pub async fn judge(
    db: impl PgExecutor<'_>,
    account: &Account,
    campaign: &Campaign,
    outlook: &Outlook,
) -> sqlx::Result<Vec<Share>> {
    let zones: Vec<String> = outlook.zones.iter().map(|zone| zone.time_zone.clone()).collect();
    let countries: Vec<String> = outlook.zones.iter().map(|zone| zone.country.clone()).collect();
    let never: Vec<Option<String>> =
        outlook.zones.iter().map(|zone| never_opens(zone, campaign).map(str::to_owned)).collect();
    let opens: Vec<DateTime<Utc>> = outlook
        .zones
        .iter()
        .map(|zone| {
            let first = zone.openings.iter().flatten().next();
            first.map_or(outlook.starts_at, |opening| opening.opens_at.max(outlook.starts_at))
        })
        .collect();
    sqlx::query_as!(
        Share,
        r#"
        with zones as (
            select * from unnest($2::text[], $3::text[], $4::timestamptz[], $5::text[]) as z (time_zone, country, opens_at, never)
        ),
        judged as (
            select l.id, l.account_id, l.campaign_id, l.phone, l.status, l.next_at, l.time_zone, l.country, l.consent_basis,
                coalesce(z.opens_at, $6) as opens_at,
                case
                    when l.status in ('dialing', 'in_call') then 'being_called'
                    when l.status = 'suppressed' then coalesce(l.suppression_reason, 'suppressed')
                    when l.status not in ('pending', 'waiting_retry', 'callback_scheduled') then l.status
                    when d.id is not null then 'do_not_call'
                    when not consent_holds(l.consent_basis, l.consent_at, $7, $8, coalesce(z.opens_at, $6)) then 'no_consent'
                    when l.attempts >= $9 + l.callbacks_granted then 'attempts_used_up'
                    else z.never
                end as skipped
            from leads l
            left join zones z on z.time_zone = l.time_zone and z.country = l.country
            left join do_not_call d on d.account_id = l.account_id and d.phone = l.phone
            where l.campaign_id = $1
        )
        select j.time_zone as "time_zone!", j.country as "country!", j.skipped,
            case
                when j.skipped is not null then null
                when n.live then 'another_call_is_not_over'
                when n.calls >= $10 then 'daily_cap_of_the_number'
                when n.last_call_at + make_interval(mins => $11) > j.opens_at and j.status <> 'callback_scheduled'
                    then 'gap_between_calls_to_the_number'
                when o.elsewhere then 'number_in_another_running_campaign'
                when j.next_at > j.opens_at then 'not_due_yet'
            end as delayed,
            count(*) as "leads!", count(*) filter (where j.consent_basis = 'unknown') as "without_basis!"
        from judged j
        -- The number's calls of the 24 hours before, in whatever campaign; not asked for a lead that is skipped anyway.
        left join lateral (
            select count(*) as calls, max(coalesce(c.ended_at, c.dialing_at, c.queued_at)) as last_call_at,
                coalesce(bool_or(c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')), false) as live
            from calls c
            where c.account_id = j.account_id and c.phone = j.phone and c.direction = 'outbound' and c.withdrawn_at is null
                and c.queued_at > j.opens_at - interval '24 hours'
        ) n on j.skipped is null
        -- One hash of the other running campaigns' numbers, instead of a look for each lead.
        left join (
            select distinct x.phone, true as elsewhere
            from leads x join campaigns g on g.id = x.campaign_id
            where $12 and g.account_id = $13 and g.status = 'running' and g.id <> $1
                and x.status in ('pending', 'waiting_retry', 'callback_scheduled')
        ) o on o.phone = j.phone
        group by 1, 2, 3, 4
        order by 5 desc
        "#,
        campaign.id as CampaignId,
        &zones,
        &countries,
        &opens,
        &never as &[Option<String>],
        outlook.starts_at,
        campaign.require_consent,
        campaign.consent_max_age_days,
        campaign.max_attempts_per_lead,
        i64::from(account.max_calls_per_number_per_day),
        account.min_gap_minutes,
        outlook.others_running > 0,
        account.id as AccountId,
    )
    .fetch_all(db)
    .await
}

/// Leads of one language that may still be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speakers {
    /// BCP 47; `None` where the list does not say: the voice agent's.
    pub language: Option<String>,
    pub leads: i64,
}

/// The languages of the campaign's leads.
pub async fn languages(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
) -> sqlx::Result<Vec<Speakers>> {
    sqlx::query_as!(
        Speakers,
        r#"
        select language, count(*) as "leads!" from leads
        where account_id = $1 and campaign_id = $2 and status in ('pending', 'waiting_retry', 'callback_scheduled')
        group by language
        order by 2 desc, 1
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_all(db)
    .await
}

/// Lists that are still being read into the campaign.
pub async fn lists_being_read(db: impl PgExecutor<'_>, account: AccountId, campaign: CampaignId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "lists!" from imports
        where account_id = $1 and campaign_id = $2 and status in ('queued', 'running')
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_one(db)
    .await
}
