//! The carrier's stream of an answered call, as the database sees it: who expects it, who holds it, how far it is.

mod briefing;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::call::{Call, CallStatus, Carrier, StatusUpdate};
use crate::id::{AccountId, CallId, CampaignId, LeadId};
use crate::resumption;
use crate::turn;
use crate::voice_agent::VoiceAgentSettings;

pub(crate) use briefing::read as briefing_of;
pub use briefing::{Briefing, Comeback};

/// The live call that a stream belongs to, by the carrier's own call id.
///
/// A stream can outrun our commit of that id, or the carrier's reply can have been lost: then the one call to `phone` (E.164)
/// that is being dialed and has no carrier id yet is meant, and adopts the id. Two of them: nobody is meant.
pub async fn expected_call(
    db: &mut PgConnection,
    carrier: Carrier,
    carrier_call_id: &str,
    phone: Option<&str>,
) -> sqlx::Result<Option<CallId>> {
    if let Some(call) = Call::by_carrier_call_id(&mut *db, carrier, carrier_call_id).await? {
        // A call that became `unknown` while its reply was lost is still the call that rings.
        let expected = !call.status.is_terminal() && call.withdrawn_at.is_none();
        return Ok(expected.then_some(call.id));
    }
    let Some(phone) = phone else { return Ok(None) };
    let candidates = sqlx::query_scalar!(
        r#"
        select id as "id: CallId" from calls
        where carrier = $1 and phone = $2 and carrier_call_id is null and direction = 'outbound'
            and status in ('dialing', 'ringing', 'in_progress')
        limit 2
        "#,
        carrier.as_str(),
        phone,
    )
    .fetch_all(&mut *db)
    .await?;
    let [only] = candidates[..] else { return Ok(None) };
    Ok(Call::record_carrier_id(db, only, carrier_call_id).await?.then_some(only))
}

/// The live call that `reference` names, if the carrier's call is its, or may be: it adopts an id that had not reached it yet.
pub async fn named_call(
    db: &mut PgConnection,
    carrier: Carrier,
    carrier_call_id: &str,
    reference: &str,
) -> sqlx::Result<Option<CallId>> {
    let Some(call) = Call::by_reference(&mut *db, reference).await? else { return Ok(None) };
    if call.carrier != carrier || call.status.is_terminal() || call.withdrawn_at.is_some() {
        return Ok(None);
    }
    let owner = Call::by_carrier_call_id(&mut *db, carrier, carrier_call_id).await?;
    if owner.is_some_and(|owner| owner.id != call.id) {
        return Ok(None);
    }
    Ok(Call::record_carrier_id(db, call.id, carrier_call_id).await?.then_some(call.id))
}

/// Tells the processes of `media` that a phone rings: what follows is the call's id. A hint and no more: it may be lost, and nobody may
/// answer.
pub const RINGING_CHANNEL: &str = "calls_ringing";

/// Tells them that the carrier takes whoever answered a call for a machine: what follows is the call's id. A hint, too.
pub const MACHINE_CHANNEL: &str = "calls_answered_by_machine";

/// What is needed to get a voice ready while the phone still rings.
#[derive(Clone, Debug)]
pub struct Ringing {
    pub settings: VoiceAgentSettings,
    /// As the list has it, in whatever spelling.
    pub lead_language: Option<String>,
}

/// Who will speak when this call is answered. `None`: it has been, or is over.
pub async fn ringing(db: impl PgExecutor<'_>, call_id: CallId) -> sqlx::Result<Option<Ringing>> {
    let row = sqlx::query!(
        r#"
        select v.settings, l.language as "language?"
        from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join leads l on l.id = c.lead_id
        where c.id = $1 and c.status in ('dialing', 'ringing')
        "#,
        call_id as CallId,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Ringing {
        settings: serde_json::from_value(row.settings).unwrap_or_default(),
        lead_language: row.language,
    }))
}

/// Words that belong to no settled turn yet. Milliseconds since the conversation began.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unsettled {
    pub text: String,
    pub began_ms: i64,
    pub ended_ms: i64,
}

/// A stream as it comes in.
#[derive(Clone, Copy, Debug)]
pub struct NewStream<'a> {
    pub stream_sid: &'a str,
    /// The process of `media` that holds it.
    pub instance: &'a str,
    /// The call's maximum duration, all its streams together.
    pub longest_call: Duration,
}

/// Takes the stream of a call: it is answered, and `stream.instance` holds it. `None` if the call or its conversation is over
/// meanwhile. Pass a connection inside a transaction.
pub async fn begin(
    db: &mut PgConnection,
    call_id: CallId,
    stream: &NewStream<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Briefing>> {
    let Some(call) = Call::get(&mut *db, call_id).await? else { return Ok(None) };
    if call.status.is_terminal() {
        return Ok(None);
    }
    let Some(comeback) = take_over(&mut *db, call_id, stream.stream_sid).await? else { return Ok(None) };
    Call::apply_status(&mut *db, call_id, &StatusUpdate::new(CallStatus::InProgress, now)).await?;
    sqlx::query!(
        r#"
        insert into streams (call_id, account_id, stream_sid, media_instance, started_at, ends_by)
        values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
        on conflict (call_id) do update
        set stream_sid = $3, media_instance = $4, heartbeat_at = now(), ended_at = null, end_reason = null,
            resumptions = streams.resumptions + case when streams.stream_sid = $3 then 0 else 1 end
        "#,
        call_id as CallId,
        call.account_id as AccountId,
        stream.stream_sid,
        stream.instance,
        now,
        stream.longest_call.as_secs_f64(),
    )
    .execute(&mut *db)
    .await?;
    // Whatever seemed to have ended it has not.
    sqlx::query!(
        "update calls set hangup_cause = null, updated_at = now() where id = $1 and hangup_cause is not null",
        call_id as CallId
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update leads set status = 'in_call', updated_at = $2 where id = $1 and status = 'dialing'",
        call.lead_id as Option<LeadId>,
        now,
    )
    .execute(&mut *db)
    .await?;
    Ok(Some(briefing::read(db, &call, comeback, now).await?))
}

/// The call's earlier stream, if there was one: its last words become a turn, and it can write no sign of life any more. The outer
/// `None`: the agent had ended the conversation, and nobody speaks to the human again.
async fn take_over(db: &mut PgConnection, call_id: CallId, stream_sid: &str) -> sqlx::Result<Option<Option<Comeback>>> {
    let earlier = sqlx::query!(
        r#"
        select stream_sid, end_reason, phase = 'closing' as "closing!", resumptions,
            extract(epoch from now() - began_at)::float8 as "elapsed_secs!"
        from streams
        where call_id = $1
        for update
        "#,
        call_id as CallId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(earlier) = earlier else { return Ok(Some(None)) };
    let reason = earlier.end_reason.as_deref();
    // A carrier that opens one more stream after `stop` has the human on the line.
    if reason.is_some_and(|reason| !resumption::breaks_off(reason) && !matches!(reason, "human_hung_up" | "call_over"))
    {
        return Ok(None);
    }
    // The same stream again, whose first commit was not confirmed, is a comeback only if it was one then.
    if earlier.stream_sid == stream_sid && earlier.resumptions == 0 {
        return Ok(Some(None));
    }
    turn::settle_unsettled(&mut *db, call_id).await?;
    Ok(Some(Some(Comeback {
        elapsed: Duration::try_from_secs_f64(earlier.elapsed_secs).unwrap_or_default(),
        handed_over: reason == Some(resumption::HANDED_OVER),
        closing: earlier.closing,
    })))
}

/// Keeps the human's words that are final and of no turn yet: should this process die, they are not lost. They replace the last
/// ones; `None` takes those back.
pub async fn note_unsettled(
    db: impl PgExecutor<'_>,
    call_id: CallId,
    stream_sid: &str,
    words: Option<&Unsettled>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update streams set unsettled = $3 where call_id = $1 and stream_sid = $2 and ended_at is null",
        call_id as CallId,
        stream_sid,
        words.map(as_json),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps what the human has heard of the agent's turn: should this process die, it is said.
pub async fn note_heard(
    db: impl PgExecutor<'_>,
    call_id: CallId,
    stream_sid: &str,
    words: &Unsettled,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update streams set heard = $3 where call_id = $1 and stream_sid = $2 and ended_at is null",
        call_id as CallId,
        stream_sid,
        as_json(words),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// NUL cannot be stored, and a provider once sent one.
fn as_json(words: &Unsettled) -> serde_json::Value {
    serde_json::json!({
        "text": words.text.replace('\0', ""), "began_ms": words.began_ms, "ended_ms": words.ended_ms,
    })
}

/// Says that the stream is alive and how far the conversation is. `false`: another process holds it now, or it has ended.
pub async fn heartbeat(
    db: impl PgExecutor<'_>,
    call_id: CallId,
    stream_sid: &str,
    phase: &str,
    stage: &str,
    turn_count: i32,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update streams
        set heartbeat_at = now(), phase = $3, stage = $4, turn_count = $5
        where call_id = $1 and stream_sid = $2 and ended_at is null
        "#,
        call_id as CallId,
        stream_sid,
        phase,
        stage,
        turn_count,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The stream is over. The call itself ends when its carrier says so, or when `sweep` asks. A reason that only breaks the
/// conversation off is not why the call ended: `settle` makes it so if nothing follows.
pub async fn end(
    db: impl PgExecutor<'_>,
    call_id: CallId,
    stream_sid: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with over as (
            update streams
            set ended_at = $3, end_reason = $4,
                -- Whoever takes it up must know that it was saying goodbye.
                phase = case when $5 and phase = 'closing' then phase else 'ended' end
            where call_id = $1 and stream_sid = $2
                -- The carrier may have told us first that the call is over.
                and (ended_at is null or end_reason = 'call_over')
            returning call_id
        )
        update calls set hangup_cause = coalesce(hangup_cause, $4), updated_at = now()
        where not $5 and id in (select call_id from over)
        "#,
        call_id as CallId,
        stream_sid,
        now,
        reason,
        resumption::breaks_off(reason),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A conversation under way, for `/debug/sessions` and operators.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LiveStream {
    pub call_id: CallId,
    pub carrier_call_id: Option<String>,
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub lead_name: Option<String>,
    pub media_instance: String,
    pub phase: String,
    pub stage: String,
    pub turn_count: i32,
    pub started_at: DateTime<Utc>,
    /// Wall clock; old means that the process holding it may be gone.
    pub heartbeat_at: DateTime<Utc>,
}

/// At most 1,000 live streams of the account, newest first.
pub async fn live(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<Vec<LiveStream>> {
    sqlx::query_as!(
        LiveStream,
        r#"
        select s.call_id as "call_id: CallId", c.carrier_call_id, c.campaign_id as "campaign_id: CampaignId",
            c.lead_id as "lead_id: LeadId", l.name as lead_name, s.media_instance, s.phase, s.stage, s.turn_count,
            s.started_at, s.heartbeat_at
        from streams s
        join calls c on c.id = s.call_id
        left join leads l on l.id = c.lead_id
        where s.account_id = $1 and s.ended_at is null
        order by s.started_at desc
        limit 1000
        "#,
        account as AccountId,
    )
    .fetch_all(db)
    .await
}
