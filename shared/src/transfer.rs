//! A conversation goes on with a human: whom the carrier connects, once the voice agent has let go, and what comes of it.
//!
//! Nobody is a success before somebody has picked up. A human who was promised another one and got none wants to be called
//! back: the wish is noted as if they had said it, and scheduled by the usual rules.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::{Call, CallStatus, Carrier, StatusUpdate};
use crate::conversation::{self, Disposition};
use crate::dial;
use crate::id::{AccountId, CallId};
use crate::language;
use crate::voice_agent::VoiceAgentSettings;

/// Why a stream ended whose human wanted another one.
pub const TRANSFER_TO_HUMAN: &str = "transfer_to_human";
/// A conversation with a human may last as long, after the voice agent's own.
pub const MAX_CONVERSATION: Duration = Duration::from_secs(3_600);
/// No carrier lets a call be longer (Exotel's bound).
const LONGEST_CALL: Duration = Duration::from_secs(14_400);
/// Stands in the conversation for what the human wants to be called back about.
const WISH: &str = "a human, whom nobody could put them through to";

/// When the carrier ends a call: the voice agent's conversation may last `conversation`, which `media` keeps, and a human may
/// talk on behind it.
#[must_use]
pub fn time_limit(conversation: Duration, can_transfer: bool) -> Duration {
    let behind_it = if can_transfer { MAX_CONVERSATION } else { Duration::ZERO };
    (conversation + behind_it).min(LONGEST_CALL)
}

/// What a carrier says about the phones of the humans that it rang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialed {
    /// One of them was picked up.
    Answered,
    /// None was: `busy`, `no-answer`, `failed`, … `is_last`: no other is rung after it.
    Unanswered { status: String, is_last: bool },
}

/// A call whose agent promised a human.
struct Promise {
    call_id: CallId,
    account_id: AccountId,
    status: CallStatus,
    settings: Json<VoiceAgentSettings>,
    /// What the conversation had gone over to, else what the list says.
    language: Option<String>,
}

async fn promise(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
) -> sqlx::Result<Option<Promise>> {
    sqlx::query_as!(
        Promise,
        r#"
        select c.id as "call_id: CallId", c.account_id as "account_id: AccountId", c.status as "status: CallStatus",
            v.settings as "settings: Json<VoiceAgentSettings>",
            coalesce((select data->>'language' from call_events
                where call_id = c.id and kind = 'language_changed' order by id desc limit 1), l.language) as language
        from calls c
        join streams s on s.call_id = c.id
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join leads l on l.id = c.lead_id
        where (c.reference = $2 or (c.carrier = $1 and c.carrier_call_id = $3)) and s.end_reason = $4
        order by (c.reference = $2) is true desc
        limit 1
        "#,
        carrier.as_str(),
        reference,
        carrier_call_id,
        TRANSFER_TO_HUMAN,
    )
    .fetch_optional(db)
    .await
}

/// The numbers to ring for a call whose agent promised a human, in E.164 and in their order. Empty where nobody was promised, or the
/// call is over. Asked twice, it answers the same twice. Pass a connection inside a transaction.
pub async fn destination(
    db: &mut PgConnection,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    let promise = promise(&mut *db, carrier, reference, carrier_call_id).await?;
    let Some(promise) = promise.filter(|promise| !promise.status.is_terminal()) else { return Ok(Vec::new()) };
    let numbers = promise.settings.0.transfer_to;
    if !numbers.is_empty() {
        note_once(db, promise.call_id, "transfer_dialed", json!({ "numbers": numbers.len() }), now).await?;
    }
    Ok(numbers)
}

/// Keeps what came of it for a call that promised a human; anything else changes nothing. Heard twice, it counts once. Pass a
/// connection inside a transaction.
pub async fn dialed(
    db: &mut PgConnection,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
    dialed: &Dialed,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let Some(promise) = promise(&mut *db, carrier, reference, carrier_call_id).await? else { return Ok(()) };
    let id = promise.call_id;
    match dialed {
        Dialed::Answered => {
            Call::apply_status(&mut *db, id, &StatusUpdate::new(CallStatus::Transferred, now)).await?;
            take_back(&mut *db, id).await?;
            note_once(db, id, "transferred", json!({}), now).await
        }
        // One that rang before the one which was picked up, told late.
        Dialed::Unanswered { is_last: false, .. } if promise.status == CallStatus::Transferred => Ok(()),
        Dialed::Unanswered { status, .. } => {
            let wants = conversation::notes(&mut *db, id).await?.is_some_and(|notes| notes.wants_callback());
            if !wants {
                conversation::request_callback(&mut *db, promise.account_id, id, WISH, now).await?;
            }
            note_once(db, id, "transfer_failed", json!({ "status": status }), now).await
        }
    }
}

/// Somebody was reached after all: the wish was ours, and is none any more.
async fn take_back(db: &mut PgConnection, id: CallId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update conversations set callback_text = null, callback_at = null, live_disposition = $3
        where call_id = $1 and callback_text = $2
        "#,
        id as CallId,
        WISH,
        Disposition::Interested.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn note_once(db: &mut PgConnection, id: CallId, kind: &str, data: Value, now: DateTime<Utc>) -> sqlx::Result<()> {
    let noted = sqlx::query_scalar!(
        r#"select exists (select from call_events where call_id = $1 and kind = $2) as "noted!""#,
        id as CallId,
        kind,
    )
    .fetch_one(&mut *db)
    .await?;
    if noted { Ok(()) } else { dial::note(db, id, kind, data, now).await }
}

/// The language (BCP 47) in which the human of such a call was talked to.
pub async fn language(db: impl PgExecutor<'_>, reference: &str) -> sqlx::Result<Option<String>> {
    let promise = promise(db, Carrier::Twilio, Some(reference), None).await?;
    Ok(promise.map(|promise| {
        let told = promise.language.as_deref().and_then(language::tag);
        told.unwrap_or(promise.settings.0.language)
    }))
}

/// Whether a human was promised and may be talking: such a call is silent for longer than any other.
pub async fn is_promised(db: impl PgExecutor<'_>, id: CallId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from streams where call_id = $1 and end_reason = $2) as "promised!""#,
        id as CallId,
        TRANSFER_TO_HUMAN,
    )
    .fetch_one(db)
    .await
}

/// What a human is told before a call is put through to them.
#[derive(Clone, Debug)]
pub struct Whisper {
    pub name: Option<String>,
    pub campaign: Option<String>,
    /// What the person has answered, by field.
    pub answers: serde_json::Map<String, Value>,
}

/// About a live call whose agent promised a human; `None` for any other.
pub async fn whisper(
    db: impl PgExecutor<'_>,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
) -> sqlx::Result<Option<Whisper>> {
    let row = sqlx::query!(
        r#"
        select l.name, (select name from campaigns where id = c.campaign_id) as campaign,
            coalesce((select answers from conversations where call_id = c.id), '{}') as "answers!"
        from calls c
        join streams s on s.call_id = c.id
        left join leads l on l.id = c.lead_id
        where (c.reference = $2 or (c.carrier = $1 and c.carrier_call_id = $3)) and s.end_reason = $4
        order by (c.reference = $2) is true desc
        limit 1
        "#,
        carrier.as_str(),
        reference,
        carrier_call_id,
        TRANSFER_TO_HUMAN,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Whisper {
        name: row.name,
        campaign: row.campaign,
        answers: match row.answers {
            Value::Object(answers) => answers,
            _ => serde_json::Map::new(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_human_may_talk_on_behind_the_longest_conversation_up_to_the_carriers_bound() {
        let limit = |secs, can_transfer| time_limit(Duration::from_secs(secs), can_transfer).as_secs();
        assert_eq!((limit(600, false), limit(600, true)), (600, 4_200));
        assert_eq!((limit(14_400, false), limit(14_000, true)), (14_400, 14_400));
    }
}
