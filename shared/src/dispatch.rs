//! Who is called next: reserving due leads of a running campaign, under every cap, in the caller's transaction.
//!
//! Start with [`dispatch`]. Its order of locks is campaign, then the account's pace bucket; whoever holds both counts what is
//! live in a fresh snapshot, and so can exceed no cap.

mod candidate;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::call::Carrier;
use crate::id::{AccountId, CallId, CampaignId, LeadId, VoiceAgentId};
use crate::jobs::place_call::PlaceCall;
use crate::lead::LeadStatus;
use crate::pace::{self, Bucket, CarrierRates, Pace};
use candidate::{Candidate, Rules, Verdict, judge};

/// Candidates looked at in one transaction; more wait for the next.
const MAX_BATCH: i64 = 100;
/// Leads that one transaction lets go of at the end of a campaign. A million in one statement would hold every lock for minutes,
/// and be cut off before it is done.
const LET_GO: i64 = 5_000;
/// Candidates may turn out to be unlawful or too early and free their place for others, so many times per transaction.
const MAX_ROUNDS: usize = 5;

/// What does not come from the campaign or its account.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub carrier_rates: CarrierRates,
    /// A reserved call that is not dialed by then (wall clock) is looked at by `sweep`.
    pub lease: Duration,
    /// Nobody is dialed so shortly (domain time) before a window closes: between the last look at the guards and the phone that
    /// rings lies at most so much.
    pub last_dial_before_close: TimeDelta,
}

/// What one run of the dispatcher found and did.
#[derive(Clone, Debug, PartialEq)]
pub enum Dispatched {
    /// Another dispatcher has the campaign; it does our work.
    Elsewhere,
    /// Draft, scheduled, paused or over: whoever resumes it nudges the dispatcher.
    NotRunning,
    /// Nothing was left to do, and the campaign is completed.
    Completed,
    Reserved(Reserved),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    pub calls: Vec<CallId>,
    /// Domain time at which a lead or a window can be due next; `None` if nothing is scheduled.
    pub next_at: Option<DateTime<Utc>>,
    /// Wall-clock wait for the pace, if only it held leads back.
    pub pace_wait: Option<Duration>,
}

struct Campaign {
    id: CampaignId,
    account: AccountId,
    voice_agent: VoiceAgentId,
    status: String,
    max_attempts: i32,
    max_concurrent: i32,
    calls_per_second: Option<f64>,
    ends_at: Option<DateTime<Utc>>,
    require_consent: bool,
    consent_max_age_days: Option<i32>,
}

struct Account {
    max_concurrent: i32,
    calls_per_second: f64,
    min_gap_minutes: i32,
    max_calls_per_day: i32,
    carrier: Carrier,
}

/// Calls that hold a slot; the queued ones among them have not taken their token of the pace yet.
struct Live {
    campaign: i64,
    campaign_queued: i64,
    account: i64,
    account_queued: i64,
}

/// Reserves calls for as many due leads as every cap allows, enqueues `place_call` for each, and says when to look again.
///
/// Pass a connection inside a transaction; nothing is reserved until it commits.
pub async fn dispatch(
    conn: &mut PgConnection,
    campaign: CampaignId,
    now: DateTime<Utc>,
    limits: &Limits,
) -> sqlx::Result<Dispatched> {
    let Some(campaign) = lock(&mut *conn, campaign).await? else {
        let exists = sqlx::query_scalar!(
            r#"select exists (select from campaigns where id = $1) as "exists!""#,
            campaign as CampaignId
        )
        .fetch_one(conn)
        .await?;
        return Ok(if exists { Dispatched::Elsewhere } else { Dispatched::NotRunning });
    };
    if campaign.status == "canceled" && let_go(&mut *conn, campaign.id, LeadStatus::Canceled, now).await? {
        return Ok(Dispatched::Reserved(Reserved { next_at: Some(now), ..Reserved::default() }));
    }
    if campaign.status != "running" {
        return Ok(Dispatched::NotRunning);
    }
    // So shortly before its end that nobody can be dialed any more, it has ended.
    if campaign.ends_at.is_some_and(|ends_at| ends_at <= now + limits.last_dial_before_close)
        && let_go(&mut *conn, campaign.id, LeadStatus::Expired, now).await?
    {
        return Ok(Dispatched::Reserved(Reserved { next_at: Some(now), ..Reserved::default() }));
    }
    if complete(&mut *conn, &campaign, now).await? {
        return Ok(Dispatched::Completed);
    }
    crate::campaign_window::refresh_stale(&mut *conn, campaign.id, now).await?;

    let account = account(&mut *conn, campaign.account).await?;
    let (account_bucket, campaign_bucket) = pace::look(
        &mut *conn,
        &Pace {
            account: campaign.account,
            carrier: account.carrier,
            calls_per_second: limits.carrier_rates.of(account.carrier).min(account.calls_per_second),
            campaign: campaign.calls_per_second.map(|rate| (campaign.id, rate)),
        },
    )
    .await?;
    // A statement of its own, after the locks: in the snapshot of the locking one the counts could be old.
    let live = count_live(&mut *conn, &campaign).await?;
    let slots = (i64::from(campaign.max_concurrent) - live.campaign)
        .min(i64::from(account.max_concurrent) - live.account)
        .clamp(0, MAX_BATCH);
    let buckets = [
        Some(account_bucket.less(live.account_queued)),
        campaign_bucket.map(|bucket| bucket.less(live.campaign_queued)),
    ];
    let buckets: Vec<Bucket> = buckets.into_iter().flatten().collect();
    let free = buckets.iter().map(Bucket::whole_tokens).min().unwrap_or(0).min(slots);

    let reserved = reserve(&mut *conn, &campaign, &account, &live, account_bucket, free, limits, now).await?;
    let calls = i64::try_from(reserved.len()).unwrap_or(i64::MAX);
    let pace_wait = buckets.iter().map(|bucket| bucket.less(calls).until_next()).max();
    Ok(Dispatched::Reserved(Reserved {
        next_at: next_due(conn, campaign.id, now).await?,
        pace_wait: pace_wait.filter(|_| calls == free && free < slots),
        calls: reserved,
    }))
}

async fn lock(conn: &mut PgConnection, campaign: CampaignId) -> sqlx::Result<Option<Campaign>> {
    sqlx::query_as!(
        Campaign,
        r#"
        select id as "id: CampaignId", account_id as "account: AccountId", voice_agent_id as "voice_agent: VoiceAgentId",
            status, max_attempts_per_lead as max_attempts, max_concurrent_calls as max_concurrent, calls_per_second, ends_at,
            require_consent, consent_max_age_days
        from campaigns
        where id = $1
        for no key update skip locked
        "#,
        campaign as CampaignId,
    )
    .fetch_optional(conn)
    .await
}

async fn account(conn: &mut PgConnection, account: AccountId) -> sqlx::Result<Account> {
    sqlx::query_as!(
        Account,
        r#"
        select max_concurrent_calls as max_concurrent, calls_per_second, min_gap_minutes,
            max_calls_per_number_per_day as max_calls_per_day, carrier as "carrier: Carrier"
        from accounts where id = $1
        "#,
        account as AccountId,
    )
    .fetch_one(conn)
    .await
}

async fn count_live(conn: &mut PgConnection, campaign: &Campaign) -> sqlx::Result<Live> {
    sqlx::query_as!(
        Live,
        r#"
        select count(*) filter (where campaign_id = $2) as "campaign!", count(*) as "account!",
            count(*) filter (where campaign_id = $2 and status = 'queued') as "campaign_queued!",
            count(*) filter (where status = 'queued') as "account_queued!"
        from calls
        where account_id = $1 and status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')
        "#,
        campaign.account as AccountId,
        campaign.id as CampaignId,
    )
    .fetch_one(conn)
    .await
}

#[expect(clippy::too_many_arguments, reason = "the facts that the guards are made of, each read under its own lock")]
async fn reserve(
    conn: &mut PgConnection,
    campaign: &Campaign,
    account: &Account,
    live: &Live,
    pace: Bucket,
    free: i64,
    limits: &Limits,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<CallId>> {
    let rules =
        Rules { max_attempts: campaign.max_attempts, min_gap: TimeDelta::minutes(i64::from(account.min_gap_minutes)) };
    let open_until = now + limits.last_dial_before_close;
    let mut calls: Vec<CallId> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let wanted = free - i64::try_from(calls.len()).unwrap_or(i64::MAX);
        if wanted <= 0 {
            break;
        }
        let candidates =
            candidate::pick(&mut *conn, campaign.id, account.max_calls_per_day, wanted, now, open_until).await?;
        let exhausted_supply = i64::try_from(candidates.len()).is_ok_and(|found| found < wanted);
        let mut judged: Vec<_> =
            candidates.iter().map(|candidate| (candidate, judge(candidate, &rules, now))).collect();
        let chosen: Vec<&Candidate> = judged
            .iter()
            .filter(|(_, verdict)| *verdict == Verdict::Reserve)
            .map(|(candidate, _)| *candidate)
            .collect();
        let placed = insert_calls(&mut *conn, campaign, account, live, pace, &chosen, limits, now).await?;
        for (candidate, verdict) in &mut judged {
            // The referee said no: another call to this lead or number is live, or the attempt exists.
            if *verdict == Verdict::Reserve && !placed.iter().any(|(_, lead)| *lead == candidate.lead_id) {
                *verdict = Verdict::Postpone { until: now + TimeDelta::minutes(1), reason: "another_call_is_not_over" };
            }
        }
        candidate::set_aside(&mut *conn, campaign.account, &judged, now).await?;
        calls.extend(placed.iter().map(|(call, _)| *call));
        if exhausted_supply {
            break;
        }
    }
    let jobs: Vec<PlaceCall> = calls.iter().map(|&call_id| PlaceCall { call_id }).collect();
    crate::jobs::enqueue_many(conn, &jobs).await?;
    Ok(calls)
}

#[expect(clippy::too_many_arguments, reason = "every fact that a guard was held against is written down with the call")]
async fn insert_calls(
    conn: &mut PgConnection,
    campaign: &Campaign,
    account: &Account,
    live: &Live,
    pace: Bucket,
    chosen: &[&Candidate],
    limits: &Limits,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(CallId, LeadId)>> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let leads: Vec<i64> = chosen.iter().map(|candidate| candidate.lead_id.0).collect();
    let references: Vec<String> = chosen.iter().map(|_| ulid::Ulid::generate().to_string().to_lowercase()).collect();
    let guards: Vec<serde_json::Value> = chosen
        .iter()
        .map(|candidate| {
            json!({
                "window": {
                    "time_zone": candidate.time_zone, "country": candidate.country,
                    "opens_at": candidate.opens_at, "closes_at": candidate.closes_at,
                },
                "do_not_call": { "listed": candidate.do_not_call },
                "consent": {
                    "basis": candidate.consent_basis, "at": candidate.consent_at, "source": candidate.consent_source,
                    "required": campaign.require_consent, "max_age_days": campaign.consent_max_age_days,
                },
                "live_calls": {
                    "campaign": live.campaign, "campaign_cap": campaign.max_concurrent,
                    "account": live.account, "account_cap": account.max_concurrent,
                },
                "attempts": { "made": candidate.attempts, "max": campaign.max_attempts + candidate.callbacks_granted },
                "number": {
                    "last_call_at": candidate.last_call_at, "min_gap_minutes": account.min_gap_minutes,
                    "calls_in_24_h": candidate.calls_in_a_day, "max_in_24_h": account.max_calls_per_day,
                },
                "pace": { "tokens": pace.tokens, "factor": pace.factor },
                // Where the lead goes back to if the call is withdrawn before anything was sent.
                "lead": { "status": candidate.status, "next_at": candidate.next_at },
            })
        })
        .collect();
    let rows = sqlx::query!(
        r#"
        with wanted as (
            select * from unnest($3::bigint[], $4::text[], $5::jsonb[]) as w (lead_id, reference, guards)
        ),
        -- A conflict skips its lead and leaves the batch alone.
        reserved as (
            insert into calls (account_id, campaign_id, lead_id, voice_agent_id, voice_agent_version, carrier, attempt,
                reference, phone, guards, queued_at, lease_until)
            select l.account_id, l.campaign_id, l.id, a.id, a.version, $7, l.attempts + 1, w.reference, l.phone, w.guards, $2,
                now() + make_interval(secs => $6)
            from wanted w
            join leads l on l.id = w.lead_id
            join voice_agents a on a.id = $1
            order by l.id
            on conflict do nothing
            returning id, account_id, lead_id, attempt, guards
        ),
        moved as (
            update leads l set status = 'dialing', attempts = l.attempts + 1, updated_at = $2
            from reserved r
            where l.id = r.lead_id
        ),
        noted as (
            insert into call_events (account_id, call_id, lead_id, kind, data, at, applied_at)
            select account_id, id, lead_id, 'reserved', guards || jsonb_build_object('attempt', attempt), $2, now() from reserved
        )
        select id as "call: CallId", lead_id as "lead!: LeadId" from reserved
        "#,
        campaign.voice_agent as VoiceAgentId,
        now,
        &leads,
        &references,
        &guards,
        limits.lease.as_secs_f64(),
        account.carrier.as_str(),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.call, row.lead)).collect())
}

/// A campaign that is stopped or past its end calls nobody any more: its waiting leads become `status`, some thousands per
/// transaction. Whether there may be more of them.
pub(crate) async fn let_go(
    conn: &mut PgConnection,
    campaign: CampaignId,
    status: LeadStatus,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let gone = sqlx::query!(
        r#"
        with waiting as materialized (
            select id from leads
            where campaign_id = $1 and status in ('pending', 'waiting_retry', 'callback_scheduled')
            order by next_at limit $4
            for no key update
        )
        update leads l set status = $3, updated_at = $2
        from waiting w
        where l.id = w.id
        "#,
        campaign as CampaignId,
        now,
        status.as_str(),
        LET_GO,
    )
    .execute(conn)
    .await?;
    Ok(i64::try_from(gone.rows_affected()).is_ok_and(|gone| gone >= LET_GO))
}

/// Completes a campaign that has had leads and has nothing left: no lead open, no call live or unsettled, no summary or list
/// under way. An empty one keeps waiting for its leads.
async fn complete(conn: &mut PgConnection, campaign: &Campaign, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let completed = sqlx::query_scalar!(
        r#"
        with completed as (
            update campaigns c set status = 'completed', completed_at = $2, updated_at = $2
            where c.id = $1 and c.status = 'running'
                -- One look at the front of an index each. As `exists` they would be answered by reading the table until a row
                -- turns up, which is at once in a young campaign and after all of it in one that is nearly over.
                and (select id from leads where campaign_id = $1 order by id limit 1) is not null
                and (
                    select id from leads
                    where campaign_id = $1 and status in ('pending', 'waiting_retry', 'callback_scheduled')
                    order by next_at limit 1
                ) is null
                and (
                    select id from leads where campaign_id = $1 and status in ('dialing', 'in_call')
                    order by campaign_id limit 1
                ) is null
                and not exists (
                    select from calls where account_id = c.account_id and campaign_id = $1
                        and status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')
                )
                and not exists (
                    select from calls where campaign_id = $1 and settled_at is null
                        and status in ('completed', 'busy', 'no_answer', 'failed', 'canceled', 'unknown')
                )
                and not exists (
                    select from conversations v join calls k on k.id = v.call_id
                    where v.summary_status = 'pending' and k.campaign_id = $1
                )
                and not exists (select from imports where campaign_id = $1 and status in ('queued', 'running'))
            returning c.id, c.account_id
        )
        insert into call_events (account_id, kind, data, at, applied_at)
        select account_id, 'campaign_completed', jsonb_build_object('campaign_id', id), $2, now() from completed
        returning id
        "#,
        campaign.id as CampaignId,
        now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(completed.is_some())
}

/// The next moment at which a waiting lead comes due or a window opens.
async fn next_due(
    conn: &mut PgConnection,
    campaign: CampaignId,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"
        select nullif(least(
            (
                select min(next_at) from leads
                where campaign_id = $1 and status in ('pending', 'waiting_retry', 'callback_scheduled') and next_at > $2
            ),
            (select min(opens_at) from campaign_windows where campaign_id = $1 and opens_at > $2),
            (select min(closes_at) from campaign_windows where campaign_id = $1 and closes_at > $2),
            (select ends_at from campaigns where id = $1 and ends_at > $2)
        ), 'infinity')
        "#,
        campaign as CampaignId,
        now,
    )
    .fetch_one(conn)
    .await
}
