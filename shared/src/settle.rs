//! What a finished call means for its lead: retry, callback, done; and what follows a conversation.
//!
//! [`settle`] runs once per call (`calls.settled_at`) and decides everything but conversations, whose disposition comes from
//! their summary: until then the lead stays `in_call`, and [`finish_lead`] lets it go.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::call::{Call, CallStatus};
use crate::call_event::{self, NewEvent};
use crate::campaign_window::CampaignHours;
use crate::conversation::{self, Disposition, Notes};
use crate::dial;
use crate::do_not_call;
use crate::id::{CallId, CampaignId, LeadId};
use crate::jobs::dispatch_campaign::DispatchCampaign;
use crate::jobs::reconcile_call::ReconcileCall;
use crate::jobs::summarize_call::SummarizeCall;
use crate::resumption;
use crate::retry_policy::{Next, Outcome, RetryPolicy};
use crate::turn;

/// Who asked for a callback and named no time is called back so much later.
const CALLBACK_WITHOUT_A_TIME: TimeDelta = TimeDelta::days(1);
/// The carrier knows a recording's address about so long after the call (wall clock).
const RECORDING_KNOWN_AFTER: std::time::Duration = std::time::Duration::from_secs(90);

/// What became of the lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Another run settled the call, it is not over, or it was withdrawn.
    Nothing,
    /// An inbound call, which has no lead.
    NoLead,
    /// A summary must come first.
    SummaryWanted,
    Lead(LeadOutcome),
}

/// A lead's state after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadOutcome {
    Done,
    WaitingRetry(DateTime<Utc>),
    CallbackScheduled(DateTime<Utc>),
    Exhausted,
    Suppressed(&'static str),
    Canceled,
    /// The next attempt, at this moment, would come after the campaign's end.
    Expired(DateTime<Utc>),
}

/// Somebody wants to be called back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// `None` where they named no moment that could be understood.
    pub at: Option<DateTime<Utc>>,
}

/// The lead behind a call, its row locked, with what its campaign says about going on.
struct LeadState {
    id: LeadId,
    campaign_id: CampaignId,
    attempts: i32,
    callbacks_granted: i32,
    time_zone: String,
    country: String,
    do_not_call: bool,
    campaign_status: String,
    ends_at: Option<DateTime<Utc>>,
    max_attempts: i32,
    retry_policy: Json<RetryPolicy>,
}

impl LeadState {
    /// Whether the campaign calls nobody any more at `at`.
    fn is_over_by(&self, at: DateTime<Utc>) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= at)
    }
}

/// Carries a finished call's outcome to its lead, once. Pass a connection inside a transaction. `jitter` is drawn evenly from
/// 0 to 1.
pub async fn settle(conn: &mut PgConnection, id: CallId, now: DateTime<Utc>, jitter: f64) -> sqlx::Result<Settled> {
    let claimed = sqlx::query_scalar!(
        r#"
        update calls set settled_at = $2, updated_at = now()
        where id = $1 and settled_at is null and withdrawn_at is null
            and status in ('completed', 'busy', 'no_answer', 'failed', 'canceled', 'unknown')
        returning id
        "#,
        id as CallId,
        now,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if claimed.is_none() {
        return Ok(Settled::Nothing);
    }
    let Some(call) = Call::get(&mut *conn, id).await? else {
        return Ok(Settled::Nothing);
    };
    end_stream(&mut *conn, id, now).await?;
    ask_for_recording(&mut *conn, &call).await?;

    let spoke = sqlx::query_scalar!(
        r#"select exists (select from turns where call_id = $1 and role = 'callee') as "spoke!""#,
        id as CallId
    )
    .fetch_one(&mut *conn)
    .await?;
    let notes = conversation::notes(&mut *conn, id).await?;
    let live = notes.as_ref().and_then(|notes| notes.live_disposition);
    // A carrier guesses from a few seconds of sound. Where somebody spoke with us, their summary tells a machine from a human.
    let guessed = call.answered_by.as_deref() == Some("machine") && !spoke;
    let machine = guessed || live == Some(Disposition::Voicemail);

    if call.status != CallStatus::Unknown && spoke && !machine {
        conversation::want_summary(&mut *conn, call.account_id, id).await?;
        crate::jobs::nudge(&mut *conn, &SummarizeCall { call_id: id }).await?;
        hold_in_call(&mut *conn, &call, now).await?;
        free_slot(conn, &call).await?;
        return Ok(if call.lead_id.is_some() { Settled::SummaryWanted } else { Settled::NoLead });
    }
    let disposition = match call.status {
        CallStatus::Completed if machine => Some(Disposition::Voicemail),
        CallStatus::Completed => Some(live.unwrap_or(Disposition::NoConversation)),
        _ => None,
    };
    if !spoke && !machine && matches!(call.status, CallStatus::Completed | CallStatus::Failed | CallStatus::Unknown) {
        // Perhaps the system's fault, and not the first: whoever is called next would fare the same.
        if let Some(campaign) = call.campaign_id {
            crate::breaker::check(&mut *conn, call.account_id, campaign, now).await?;
        }
    }
    if let Some(disposition) = disposition {
        conversation::note_outcome(&mut *conn, call.account_id, id, disposition).await?;
        let wish = notes.filter(Notes::wants_callback).map(|notes| Wish { at: notes.callback_at });
        return Ok(match finish_lead(conn, &call, disposition, wish, None, now, jitter).await? {
            Some(outcome) => Settled::Lead(outcome),
            None => Settled::NoLead,
        });
    }
    let Some(lead) = lock_lead(&mut *conn, &call).await? else {
        free_slot(conn, &call).await?;
        return Ok(Settled::NoLead);
    };
    let outcome = match call.status {
        // Shown to operators; a terminal status that arrives after all settles the call again.
        CallStatus::Unknown => LeadOutcome::Suppressed("call_unknown"),
        CallStatus::Busy => retry(&mut *conn, &lead, &call, Outcome::Busy, now, jitter).await?,
        CallStatus::NoAnswer => retry(&mut *conn, &lead, &call, Outcome::NoAnswer, now, jitter).await?,
        _ => retry(&mut *conn, &lead, &call, Outcome::Failed, now, jitter).await?,
    };
    release(conn, &lead, &call, None, None, &outcome, now).await?;
    Ok(Settled::Lead(outcome))
}

/// Lets the lead of a finished conversation go, with its disposition. `None` if the call has no lead, or the lead has moved on.
///
/// A `wish` is fulfilled whatever the disposition says, but for somebody who must not be called: a qualified lead who asked to be
/// called at five is called at five, and stays qualified.
pub async fn finish_lead(
    conn: &mut PgConnection,
    call: &Call,
    disposition: Disposition,
    wish: Option<Wish>,
    score: Option<i32>,
    now: DateTime<Utc>,
    jitter: f64,
) -> sqlx::Result<Option<LeadOutcome>> {
    if disposition == Disposition::DoNotCall {
        do_not_call::opt_out(&mut *conn, call.id, "asked for in the call", now).await?;
    }
    if disposition.is_a_conversation() {
        Call::answered_by_human(&mut *conn, call.id).await?;
    }
    let Some(lead) = lock_lead(&mut *conn, call).await? else {
        free_slot(conn, call).await?;
        return Ok(None);
    };
    let asked = disposition == Disposition::CallbackRequested;
    let wish = wish.or(asked.then_some(Wish { at: None })).filter(|_| disposition != Disposition::DoNotCall);
    let outcome = match disposition {
        _ if wish.is_some() => callback(&mut *conn, &lead, call, wish.and_then(|wish| wish.at), now).await?,
        Disposition::DoNotCall => LeadOutcome::Suppressed("do_not_call"),
        Disposition::Qualified
        | Disposition::Interested
        | Disposition::NotInterested
        | Disposition::CallbackRequested
        | Disposition::WrongNumber => LeadOutcome::Done,
        Disposition::Voicemail => retry(&mut *conn, &lead, call, Outcome::Voicemail, now, jitter).await?,
        Disposition::NoConversation => retry(&mut *conn, &lead, call, Outcome::Disconnected, now, jitter).await?,
    };
    release(conn, &lead, call, Some(disposition), score, &outcome, now).await?;
    Ok(Some(outcome))
}

/// The lead, if it still waits for this call: it is being called, or it was set aside because the call was unknown.
async fn lock_lead(conn: &mut PgConnection, call: &Call) -> sqlx::Result<Option<LeadState>> {
    sqlx::query_as!(
        LeadState,
        r#"
        select l.id as "id: LeadId", l.campaign_id as "campaign_id: CampaignId", l.attempts, l.callbacks_granted,
            l.time_zone, l.country,
            exists (select from do_not_call d where d.account_id = l.account_id and d.phone = l.phone) as "do_not_call!",
            g.status as campaign_status, g.ends_at, g.max_attempts_per_lead as max_attempts,
            g.retry_policy as "retry_policy: Json<RetryPolicy>"
        from leads l
        join campaigns g on g.id = l.campaign_id
        where l.id = $1
            and (l.status in ('dialing', 'in_call') or (l.status = 'suppressed' and l.suppression_reason = 'call_unknown'))
        for no key update of l
        "#,
        call.lead_id as Option<LeadId>,
    )
    .fetch_optional(conn)
    .await
}

/// The next attempt, counted from the call's end and landing in a window; or none.
async fn retry(
    conn: &mut PgConnection,
    lead: &LeadState,
    call: &Call,
    after: Outcome,
    now: DateTime<Utc>,
    jitter: f64,
) -> sqlx::Result<LeadOutcome> {
    if lead.do_not_call {
        return Ok(LeadOutcome::Suppressed("do_not_call"));
    }
    let unsigned = |count: i32| u32::try_from(count).unwrap_or(0);
    let max_attempts = unsigned(lead.max_attempts + lead.callbacks_granted);
    let ended_at = call.ended_at.unwrap_or(now);
    match lead.retry_policy.next_attempt(after, unsigned(lead.attempts), max_attempts, ended_at, jitter) {
        Next::Exhausted => Ok(LeadOutcome::Exhausted),
        Next::At(_) if lead.campaign_status == "canceled" => Ok(LeadOutcome::Canceled),
        Next::At(at) => {
            let at = in_window(conn, lead, at.max(now)).await?;
            Ok(if lead.is_over_by(at) { LeadOutcome::Expired(at) } else { LeadOutcome::WaitingRetry(at) })
        }
    }
}

/// The callback that was asked for. It may be one attempt beyond the campaign's maximum, once.
async fn callback(
    conn: &mut PgConnection,
    lead: &LeadState,
    call: &Call,
    callback_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<LeadOutcome> {
    if lead.do_not_call {
        return Ok(LeadOutcome::Suppressed("do_not_call"));
    }
    // The wish itself is kept in the conversation, for people to fulfil.
    if lead.campaign_status == "canceled" || (lead.attempts >= lead.max_attempts && lead.callbacks_granted > 0) {
        dial::note(conn, call.id, "callback_left_to_people", json!({ "asked_for": callback_at }), now).await?;
        return Ok(LeadOutcome::Done);
    }
    let at = callback_at.unwrap_or(now + CALLBACK_WITHOUT_A_TIME).max(now);
    let at = in_window(conn, lead, at).await?;
    Ok(if lead.is_over_by(at) { LeadOutcome::Expired(at) } else { LeadOutcome::CallbackScheduled(at) })
}

/// The first moment from `at` on in which the lead's window is open. Where none ever opens, `at`: the window rows keep the
/// lead from being called, and it is seen to be waiting.
async fn in_window(conn: &mut PgConnection, lead: &LeadState, at: DateTime<Utc>) -> sqlx::Result<DateTime<Utc>> {
    let hours = CampaignHours::load(conn, lead.campaign_id).await?;
    Ok(hours.and_then(|hours| hours.next_allowed(&lead.time_zone, &lead.country, at)).unwrap_or(at))
}

/// Writes the lead's new state with its reason, and wakes the dispatcher: a slot is free.
async fn release(
    conn: &mut PgConnection,
    lead: &LeadState,
    call: &Call,
    disposition: Option<Disposition>,
    score: Option<i32>,
    outcome: &LeadOutcome,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (status, next_at, suppression) = match outcome {
        LeadOutcome::Done => ("done", None, None),
        LeadOutcome::WaitingRetry(at) => ("waiting_retry", Some(*at), None),
        LeadOutcome::CallbackScheduled(at) => ("callback_scheduled", Some(*at), None),
        LeadOutcome::Exhausted => ("exhausted", None, None),
        LeadOutcome::Suppressed(reason) => ("suppressed", None, Some(*reason)),
        LeadOutcome::Canceled => ("canceled", None, None),
        LeadOutcome::Expired(at) => ("expired", Some(*at), None),
    };
    let grant = matches!(outcome, LeadOutcome::CallbackScheduled(_)) && lead.attempts >= lead.max_attempts;
    sqlx::query!(
        r#"
        update leads
        set status = $2, next_at = coalesce($3, next_at), suppression_reason = $4, disposition = coalesce($5, disposition),
            score = coalesce($6, score), callbacks_granted = case when $7 then 1 else callbacks_granted end, updated_at = $8
        where id = $1
        "#,
        lead.id as LeadId,
        status,
        next_at,
        suppression,
        disposition.map(Disposition::as_str),
        score,
        grant,
        now,
    )
    .execute(&mut *conn)
    .await?;
    let event = NewEvent {
        account_id: call.account_id,
        call_id: Some(call.id),
        lead_id: Some(lead.id),
        kind: "settled",
        data: json!({
            "call_status": call.status.as_str(), "disposition": disposition.map(Disposition::as_str),
            "lead_status": status, "next_at": next_at, "reason": suppression,
        }),
        at: now,
    };
    call_event::record(&mut *conn, event).await?;
    free_slot(conn, call).await
}

/// The conversation is over and its summary is awaited: the lead is in nobody's way and nobody's list.
async fn hold_in_call(conn: &mut PgConnection, call: &Call, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update leads set status = 'in_call', suppression_reason = null, updated_at = $2
        where id = $1 and (status = 'dialing' or (status = 'suppressed' and suppression_reason = 'call_unknown'))
        "#,
        call.lead_id as Option<LeadId>,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The carrier says that the call is over; a `media` process that died with its stream can no longer say so, nor store what the
/// human had just said. A stream that was broken off, and did not come back, is why the call ended.
async fn end_stream(conn: &mut PgConnection, call: CallId, now: DateTime<Utc>) -> sqlx::Result<()> {
    turn::settle_unsettled(&mut *conn, call).await?;
    sqlx::query!(
        r#"
        with stream as (
            update streams set ended_at = coalesce(ended_at, $2), end_reason = coalesce(end_reason, 'call_over'), phase = 'ended'
            where call_id = $1
            returning end_reason
        )
        update calls set hangup_cause = coalesce(hangup_cause, stream.end_reason)
        from stream
        where id = $1 and stream.end_reason = any($3)
        "#,
        call as CallId,
        now,
        &[resumption::HANDED_OVER, resumption::STREAM_LOST].map(str::to_owned)[..],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A recording that was named during the call can be copied now. An answered call that was to be recorded, and whose recording
/// nobody has named yet: the carrier is asked a little later.
async fn ask_for_recording(conn: &mut PgConnection, call: &Call) -> sqlx::Result<()> {
    crate::recording::complete(&mut *conn, call.id).await?;
    if crate::recording::is_expected(&mut *conn, call.id).await? {
        crate::jobs::nudge_in(conn, &ReconcileCall { call_id: call.id }, RECORDING_KNOWN_AFTER).await?;
    }
    Ok(())
}

async fn free_slot(conn: &mut PgConnection, call: &Call) -> sqlx::Result<()> {
    if let Some(campaign_id) = call.campaign_id {
        crate::jobs::nudge(conn, &DispatchCampaign { campaign_id }).await?;
    }
    Ok(())
}
