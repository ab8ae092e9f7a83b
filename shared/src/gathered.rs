//! A conversation without a stream of sound: the carrier gathers what the human says, asks us, and speaks our answer.
//!
//! It stands in the same rows as any other: a stream that `api` holds, its turns, what it brought.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::call::Carrier;
use crate::call_event::{self, NewEvent};
use crate::conversation::{self, Disposition};
use crate::do_not_call;
use crate::id::CallId;
use crate::stream::{self, Briefing, NewStream};
use crate::turn::{self, Role, Turn};

/// Who holds such a stream, in the sessions view.
const INSTANCE: &str = "api";

/// A call's question, as far as it concerns this kind of conversation.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Its voice agent streams, or nobody knows the call.
    Elsewhere,
    /// The call, or its conversation, is over.
    Over,
    Talk(Box<Talk>),
}

/// A conversation as it stands now.
#[derive(Clone, Debug)]
pub struct Talk {
    pub briefing: Briefing,
    stream_sid: String,
    /// Milliseconds since it began.
    pub elapsed_ms: i64,
}

/// Takes the conversation up, or begins it. Pass a connection inside a transaction.
pub async fn take_up(
    db: &mut PgConnection,
    carrier: Carrier,
    carrier_call_id: &str,
    reference: &str,
    longest_call: Duration,
    now: DateTime<Utc>,
) -> sqlx::Result<Asked> {
    let gathers = sqlx::query_scalar!(
        r#"
        select coalesce((v.settings ->> 'gathered_speech')::boolean, false) as "gathers!"
        from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        where c.reference = $1
        "#,
        reference,
    )
    .fetch_optional(&mut *db)
    .await?;
    if gathers != Some(true) {
        return Ok(Asked::Elsewhere);
    }
    let Some(call) = stream::named_call(&mut *db, carrier, carrier_call_id, reference).await? else {
        return Ok(Asked::Over);
    };
    let stream_sid = format!("gathered-{carrier_call_id}");
    let new = NewStream { stream_sid: &stream_sid, instance: INSTANCE, longest_call };
    let Some(briefing) = stream::begin(&mut *db, call, &new, now).await? else { return Ok(Asked::Over) };
    let elapsed_ms = elapsed_ms(db, call).await?;
    Ok(Asked::Talk(Box::new(Talk { briefing, stream_sid, elapsed_ms })))
}

async fn elapsed_ms(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select (extract(epoch from clock_timestamp() - began_at) * 1000)::bigint as "elapsed_ms!"
        from streams where call_id = $1
        "#,
        call as CallId,
    )
    .fetch_one(db)
    .await
}

/// Stores one side's say, behind all that is stored.
pub async fn record(db: &mut PgConnection, talk: &Talk, role: Role, text: &str) -> sqlx::Result<()> {
    let call = talk.briefing.call_id;
    let at = elapsed_ms(&mut *db, call).await?;
    let seq = talk.briefing.turns.iter().map(|turn| turn.seq + 1).max().unwrap_or(0);
    // Nothing tells how long it was spoken.
    let turn = Turn {
        seq,
        role,
        text: text.replace('\0', ""),
        interrupted: false,
        started_ms: at,
        ended_ms: at,
        stages: serde_json::json!({}),
    };
    turn::insert(db, talk.briefing.account_id, call, &turn).await
}

/// The human forbids further calls: the number is on the list before the next word is spoken.
pub async fn opt_out(db: &mut PgConnection, talk: &Talk, note: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    let Briefing { account_id, call_id, .. } = talk.briefing;
    do_not_call::opt_out(&mut *db, call_id, note, now).await?;
    conversation::note_disposition(&mut *db, account_id, call_id, Disposition::DoNotCall).await?;
    let data = serde_json::json!({ "note": note });
    let event =
        NewEvent { account_id, call_id: Some(call_id), lead_id: None, kind: "do_not_call_requested", data, at: now };
    call_event::record(db, event).await
}

/// The agent has ended the conversation.
pub async fn end(db: impl PgExecutor<'_>, talk: &Talk, reason: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    stream::end(db, talk.briefing.call_id, &talk.stream_sid, reason, now).await
}
