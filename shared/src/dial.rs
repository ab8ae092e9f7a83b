//! The dial protocol's transitions: every step between a reserved call and one that the carrier has in hand.
//!
//! Only whoever moved a call `queued → dialing` may send its request, and the move is committed before the request leaves.
//! From then on a call goes back to `queued`, or is withdrawn, only by the word of whoever knows that nothing was placed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::{Call, CallStatus, Carrier, StatusUpdate};
use crate::call_event::{self, NewEvent};
use crate::dispatch::Limits;
use crate::do_not_call;
use crate::id::{AccountId, CallId, CampaignId};
use crate::jobs::dispatch_campaign::DispatchCampaign;
use crate::jobs::reconcile_call::ReconcileCall;
use crate::pace::{self, Pace};
use crate::stream::RINGING_CHANNEL;

/// Leave to send one request.
#[derive(Clone, Debug)]
pub struct Order {
    pub call_id: CallId,
    pub account_id: AccountId,
    pub carrier: Carrier,
    pub reference: String,
    /// E.164.
    pub phone: String,
    pub record: bool,
    /// The agent may hand the call to a human, who talks on behind its own conversation. Not where the carrier gathers speech: there
    /// nobody but the carrier ends a conversation that lasts too long.
    pub can_transfer: bool,
}

/// Why a reserved call may not be dialed after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    CampaignNotRunning,
    CampaignEnded,
    WindowClosed,
    DoNotCall,
    /// The consent that the campaign requires was taken back, ran out, or was never there.
    NoConsent,
    /// The carrier could not be reached, again and again; nothing was sent.
    CarrierUnreachable,
    /// The carrier does not accept our credentials.
    CarrierAuth,
    /// The carrier account has no money left.
    Balance,
}

impl Refusal {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CampaignNotRunning => "campaign_not_running",
            Self::CampaignEnded => "campaign_ended",
            Self::WindowClosed => "window_closed",
            Self::DoNotCall => "do_not_call",
            Self::NoConsent => "no_consent",
            Self::CarrierUnreachable => "carrier_unreachable",
            Self::CarrierAuth => "carrier_auth",
            Self::Balance => "balance",
        }
    }
}

/// What a reserved call meets at the instant of dialing.
#[derive(Clone, Debug)]
pub enum Begun {
    Dial(Order),
    /// Still queued: the pace allows no call for so long (wall clock).
    TooFast(Duration),
    /// Still queued, but a guard says no: withdraw it.
    Refused(Refusal),
    /// Somebody else moved it; `None` if it does not exist.
    NotQueued(Option<CallStatus>),
}

/// Moves `queued → dialing` if every guard still holds at this instant: the campaign runs, the window of the lead's zone is
/// open and stays so long enough, the number is not on the do-not-call list, the lead's consent holds, the pace allows it. Pass a
/// connection inside a transaction, and commit before sending.
///
/// `answer_within`: how long (wall clock) until silence about the call is looked into.
pub async fn begin(
    db: &mut PgConnection,
    id: CallId,
    now: DateTime<Utc>,
    limits: &Limits,
    answer_within: Duration,
) -> sqlx::Result<Begun> {
    let last_dial = now + limits.last_dial_before_close;
    let Some(pace) = pace_of(&mut *db, id, limits).await? else {
        return Ok(objection(db, id, now, last_dial).await?.unwrap_or(Begun::NotQueued(None)));
    };
    // Before the call's own row: whoever reserves calls takes its locks in this order too.
    if let Some(wait) = pace::wait(&mut *db, &pace).await? {
        // A call that may not be dialed at all need not wait for its turn to hear so.
        return Ok(objection(db, id, now, last_dial).await?.unwrap_or(Begun::TooFast(wait)));
    }
    let order = sqlx::query_as!(
        Order,
        r#"
        with dialed as (
            update calls c
            set status = 'dialing', dialing_at = $2, request_sent_at = now(), updated_at = now(),
                lease_until = now() + make_interval(secs => $3),
                guards = c.guards || jsonb_build_object('dialed', jsonb_build_object(
                    'opens_at', w.opens_at, 'closes_at', w.closes_at, 'at', $2::timestamptz))
            from leads l
            join campaigns g on g.id = l.campaign_id
            join campaign_windows w
                on w.campaign_id = l.campaign_id and w.time_zone = l.time_zone and w.country = l.country
            where c.id = $1 and c.status = 'queued' and l.id = c.lead_id
                and g.status = 'running' and (g.ends_at is null or $4 < g.ends_at)
                and w.opens_at <= $2 and $4 < w.closes_at
                and not exists (select from do_not_call d where d.account_id = c.account_id and d.phone = c.phone)
                and consent_holds(l.consent_basis, l.consent_at, g.require_consent, g.consent_max_age_days, $2)
            returning c.id, c.account_id, c.lead_id, c.carrier, c.reference, c.phone, c.voice_agent_id, c.voice_agent_version,
                call_is_recorded(g.record, (select v.settings from voice_agent_versions v
                    where v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version)) as record
        ),
        lead as (
            update leads l set last_attempt_at = $2, updated_at = $2 from dialed d where l.id = d.lead_id
        ),
        noted as (
            insert into call_events (account_id, call_id, lead_id, kind, at, applied_at)
            select account_id, id, lead_id, 'dialing', $2, now() from dialed
        )
        select id as "call_id: CallId", account_id as "account_id: AccountId", carrier as "carrier: Carrier", reference,
            phone, record as "record!",
            exists (
                select from voice_agent_versions v
                where v.voice_agent_id = dialed.voice_agent_id and v.version = dialed.voice_agent_version
                    and coalesce(v.settings->'transfer_to', '[]') <> '[]'
                    and not coalesce(v.settings->'gathered_speech', 'false') = 'true'
            ) as "can_transfer!"
        from dialed
        "#,
        id as CallId,
        now,
        answer_within.as_secs_f64(),
        last_dial,
    )
    .fetch_optional(&mut *db)
    .await?;
    match order {
        Some(order) => {
            pace::take(db, &pace).await?;
            Ok(Begun::Dial(order))
        }
        // A guard that holds again meanwhile counts as a closed window: the dispatcher decides anew.
        None => Ok(objection(db, id, now, last_dial).await?.unwrap_or(Begun::Refused(Refusal::WindowClosed))),
    }
}

/// The buckets that a queued call draws from; `None` if it is not queued.
async fn pace_of(db: &mut PgConnection, id: CallId, limits: &Limits) -> sqlx::Result<Option<Pace>> {
    let row = sqlx::query!(
        r#"
        select c.account_id as "account: AccountId", c.carrier as "carrier: Carrier", a.calls_per_second,
            g.id as "campaign: CampaignId", g.calls_per_second as campaign_calls_per_second
        from calls c
        join accounts a on a.id = c.account_id
        join campaigns g on g.id = c.campaign_id
        where c.id = $1 and c.status = 'queued'
        "#,
        id as CallId,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Pace {
        account: row.account,
        carrier: row.carrier,
        calls_per_second: row.calls_per_second.min(limits.carrier_rates.of(row.carrier)),
        campaign: row.campaign_calls_per_second.map(|rate| (row.campaign, rate)),
    }))
}

/// Which guard says no; `None` if none does.
async fn objection(
    db: &mut PgConnection,
    id: CallId,
    now: DateTime<Utc>,
    last_dial: DateTime<Utc>,
) -> sqlx::Result<Option<Begun>> {
    let row = sqlx::query!(
        r#"
        select c.status as "status: CallStatus", g.status as campaign_status,
            coalesce(g.ends_at <= $3, false) as "ended!",
            exists (
                select from leads l
                join campaign_windows w
                    on w.campaign_id = l.campaign_id and w.time_zone = l.time_zone and w.country = l.country
                where l.id = c.lead_id and w.opens_at <= $2 and $3 < w.closes_at
            ) as "open!",
            exists (select from do_not_call d where d.account_id = c.account_id and d.phone = c.phone) as "do_not_call!",
            exists (
                select from leads l
                where l.id = c.lead_id
                    and consent_holds(l.consent_basis, l.consent_at, g.require_consent, g.consent_max_age_days, $2)
            ) as "consent!"
        from calls c
        join campaigns g on g.id = c.campaign_id
        where c.id = $1
        "#,
        id as CallId,
        now,
        last_dial,
    )
    .fetch_optional(db)
    .await?;
    Ok(match row {
        None => Some(Begun::NotQueued(None)),
        Some(row) if row.status != CallStatus::Queued => Some(Begun::NotQueued(Some(row.status))),
        Some(row) if row.do_not_call => Some(Begun::Refused(Refusal::DoNotCall)),
        Some(row) if !row.consent => Some(Begun::Refused(Refusal::NoConsent)),
        Some(row) if row.campaign_status != "running" => Some(Begun::Refused(Refusal::CampaignNotRunning)),
        Some(row) if row.ended => Some(Begun::Refused(Refusal::CampaignEnded)),
        Some(row) if !row.open => Some(Begun::Refused(Refusal::WindowClosed)),
        Some(_) => None,
    })
}

/// The carrier accepted the call under its own id. `false` if the call already has another id: two phones may ring.
///
/// `silent_for`: how long until silence about it is looked into.
pub async fn placed(
    db: &mut PgConnection,
    id: CallId,
    carrier_call_id: &str,
    now: DateTime<Utc>,
    silent_for: Duration,
) -> sqlx::Result<bool> {
    if !Call::record_carrier_id(&mut *db, id, carrier_call_id).await? {
        note(db, id, "second_carrier_id", json!({ "carrier_call_id": carrier_call_id }), now).await?;
        return Ok(false);
    }
    expect_news(&mut *db, id, silent_for).await?;
    note(&mut *db, id, "placed", json!({ "carrier_call_id": carrier_call_id }), now).await?;
    sqlx::query!(r#"select pg_notify($1, $2) as "notified: ()""#, RINGING_CHANNEL, id.to_string())
        .fetch_one(db)
        .await?;
    Ok(true)
}

/// Moves `dialing → queued` for whoever knows that nothing was placed: the carrier asked for patience, or the request never
/// left. The attempt is not counted twice, and its next try goes through every guard again.
pub async fn hand_back(
    db: &mut PgConnection,
    id: CallId,
    reason: &str,
    now: DateTime<Utc>,
    retry_within: Duration,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update calls
        set status = 'queued', dialing_at = null, request_sent_at = null, updated_at = now(),
            lease_until = now() + make_interval(secs => $2)
        where id = $1 and status = 'dialing' and carrier_call_id is null
        "#,
        id as CallId,
        retry_within.as_secs_f64(),
    )
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 1 {
        note(db, id, "handed_back", json!({ "reason": reason }), now).await?;
    }
    Ok(done.rows_affected() == 1)
}

/// Takes a queued call back: it was never sent, is no attempt, and its lead waits again as it did before. `not_before`
/// makes the lead wait at least so long. `false` if the call is no longer queued.
pub async fn withdraw(
    db: &mut PgConnection,
    id: CallId,
    refusal: Refusal,
    now: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
) -> sqlx::Result<bool> {
    let row = sqlx::query!(
        r#"
        with withdrawn as (
            update calls
            set status = 'canceled', withdrawn_at = $2, ended_at = $2, settled_at = $2, failure_reason = $3, updated_at = now()
            where id = $1 and status = 'queued'
            returning lead_id, campaign_id, guards
        ),
        lead as (
            update leads l
            set attempts = greatest(0, l.attempts - 1), updated_at = $2,
                status = case
                    when $3 in ('do_not_call', 'no_consent') then 'suppressed'
                    when g.status = 'canceled' then 'canceled'
                    when $3 = 'campaign_ended' or g.ends_at <= $2 then 'expired'
                    else coalesce(w.guards #>> '{lead,status}', 'pending')
                end,
                suppression_reason = case when $3 in ('do_not_call', 'no_consent') then $3 else l.suppression_reason end,
                next_at = greatest(coalesce((w.guards #>> '{lead,next_at}')::timestamptz, l.next_at), $4)
            from withdrawn w
            join campaigns g on g.id = w.campaign_id
            where l.id = w.lead_id and l.status = 'dialing'
        )
        select campaign_id as "campaign_id: CampaignId" from withdrawn
        "#,
        id as CallId,
        now,
        refusal.as_str(),
        not_before,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(false) };
    note(&mut *db, id, "withdrawn", json!({ "reason": refusal.as_str() }), now).await?;
    if let Some(campaign_id) = row.campaign_id {
        crate::jobs::nudge(db, &DispatchCampaign { campaign_id }).await?;
    }
    Ok(true)
}

/// The carrier refused the call, for a reason that the same request would meet again. The attempt is over; `data` says more.
pub async fn rejected(
    db: &mut PgConnection,
    id: CallId,
    cause: &str,
    data: serde_json::Value,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let update = StatusUpdate { failure_reason: Some(cause.to_owned()), ..StatusUpdate::new(CallStatus::Failed, now) };
    if Call::apply_status(&mut *db, id, &update).await?.is_some() {
        note(db, id, "rejected", json!({ "cause": cause, "answer": data }), now).await?;
    }
    Ok(())
}

/// The carrier's own register forbids the number: it joins the account's do-not-call list, and the attempt is over.
pub async fn forbidden_number(db: &mut PgConnection, id: CallId, now: DateTime<Utc>) -> sqlx::Result<()> {
    let Some(call) = Call::get(&mut *db, id).await? else { return Ok(()) };
    let reason = "the carrier's do-not-disturb register";
    do_not_call::add(&mut *db, call.account_id, &call.phone, do_not_call::Source::Carrier, reason, Some(id), now)
        .await?;
    rejected(db, id, "do_not_call", json!({}), now).await
}

/// Nobody knows whether the call was placed: it is asked for, and never dialed again.
pub async fn in_doubt(
    db: &mut PgConnection,
    id: CallId,
    reason: &str,
    now: DateTime<Utc>,
    ask_in: Duration,
) -> sqlx::Result<()> {
    note(&mut *db, id, "in_doubt", json!({ "reason": reason }), now).await?;
    crate::jobs::nudge_in(db, &ReconcileCall { call_id: id }, ask_in).await
}

/// Counts one question to the carrier about the call, and answers how many there were.
pub async fn count_question(db: impl PgExecutor<'_>, id: CallId) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "update calls set reconcile_count = reconcile_count + 1 where id = $1 returning reconcile_count",
        id as CallId
    )
    .fetch_one(db)
    .await
}

/// News about the call is expected within `within` (wall clock); after that, `sweep` asks the carrier.
pub async fn expect_news(db: impl PgExecutor<'_>, id: CallId, within: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update calls set lease_until = now() + make_interval(secs => $2) where id = $1",
        id as CallId,
        within.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which of the carrier's ids already belong to calls of ours.
pub async fn claimed(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    carrier_call_ids: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select carrier_call_id as "id!" from calls where carrier = $1 and carrier_call_id = any($2)"#,
        carrier.as_str(),
        carrier_call_ids,
    )
    .fetch_all(db)
    .await
}

/// Another call of ours to this number whose request also got no answer: then a call found at the carrier could be either's.
pub async fn has_rival_in_doubt(db: impl PgExecutor<'_>, call: &Call) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from calls
            where carrier = $1 and phone = $2 and id <> $3 and carrier_call_id is null and direction = 'outbound'
                and status in ('dialing', 'unknown') and request_sent_at is not null
                and abs(extract(epoch from request_sent_at - $4)) < 900
        ) as "rival!"
        "#,
        call.carrier.as_str(),
        call.phone,
        call.id as CallId,
        call.request_sent_at,
    )
    .fetch_one(db)
    .await
}

pub(crate) async fn note(
    db: &mut PgConnection,
    id: CallId,
    kind: &str,
    data: serde_json::Value,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let account = sqlx::query_scalar!(r#"select account_id as "id: AccountId" from calls where id = $1"#, id as CallId)
        .fetch_optional(&mut *db)
        .await?;
    let Some(account_id) = account else { return Ok(()) };
    call_event::record(db, NewEvent { account_id, call_id: Some(id), lead_id: None, kind, data, at }).await
}

/// What a carrier says of a call when it is asked.
#[derive(Clone, Debug, Default)]
pub struct CarrierReport {
    /// `None`: it still has the call in hand, or says nothing that we know.
    pub over: Option<CallStatus>,
    pub duration_seconds: Option<i32>,
    pub recording_url: Option<String>,
}

/// Adopts the carrier's id for a call that was in doubt. `false` if the call, or another of ours, has an id already.
pub async fn adopt(db: &mut PgConnection, id: CallId, carrier_call_id: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let adopted = sqlx::query!(
        r#"
        update calls set carrier_call_id = $2, updated_at = now()
        where id = $1 and carrier_call_id is null
            and not exists (select from calls o where o.carrier = calls.carrier and o.carrier_call_id = $2)
        "#,
        id as CallId,
        carrier_call_id,
    )
    .execute(&mut *db)
    .await?;
    if adopted.rows_affected() == 0 {
        return Ok(false);
    }
    note(db, id, "adopted", json!({ "carrier_call_id": carrier_call_id }), now).await?;
    Ok(true)
}

/// Applies what the carrier said, by rank as always. `true` if the call is over now, or was before.
pub async fn apply_report(
    db: &mut PgConnection,
    id: CallId,
    report: &CarrierReport,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let status = report.over.unwrap_or(CallStatus::Ringing);
    let update = StatusUpdate { duration_seconds: report.duration_seconds, ..StatusUpdate::new(status, now) };
    if let Some(applied) = Call::apply_status(&mut *db, id, &update).await? {
        note(&mut *db, id, "asked_the_carrier", json!({ "status": applied.as_str() }), now).await?;
    }
    if let Some(url) = &report.recording_url {
        crate::recording::found(&mut *db, id, url).await?;
    }
    let status = Call::get(db, id).await?.map(|call| call.status);
    Ok(status.is_none_or(CallStatus::is_terminal))
}

/// The carrier has no such call, and its horizon has passed: nobody's phone rang.
pub async fn not_placed(db: &mut PgConnection, id: CallId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let update =
        StatusUpdate { failure_reason: Some("not_placed".into()), ..StatusUpdate::new(CallStatus::Failed, now) };
    let applied = Call::apply_status(&mut *db, id, &update).await?;
    if applied.is_some() {
        note(db, id, "not_placed", json!({}), now).await?;
    }
    Ok(applied.is_some())
}

/// Nobody can say whether the call was placed: it counts as an attempt, is shown to operators, and is never redialed.
pub async fn unknown(db: &mut PgConnection, id: CallId, reason: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let update =
        StatusUpdate { failure_reason: Some(reason.to_owned()), ..StatusUpdate::new(CallStatus::Unknown, now) };
    let applied = Call::apply_status(&mut *db, id, &update).await?;
    if applied.is_some() {
        note(db, id, "unknown", json!({ "reason": reason }), now).await?;
    }
    Ok(applied.is_some())
}
