//! A conversation goes on with a human: whom the carrier connects, once the voice agent has let go.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::call::{Call, CallStatus, Carrier, StatusUpdate};
use crate::dial;
use crate::id::CallId;
use crate::voice_agent::VoiceAgentSettings;

/// Why a stream ended whose human wanted another one.
pub const TRANSFER_TO_HUMAN: &str = "transfer_to_human";

/// The numbers to ring for a call whose agent promised a human, in E.164; the call then counts as transferred. Empty where nobody was
/// promised, or the call is over. Asked twice, it answers the same twice. Pass a connection inside a transaction.
pub async fn destination(
    db: &mut PgConnection,
    carrier: Carrier,
    reference: Option<&str>,
    carrier_call_id: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    let row = sqlx::query!(
        r#"
        select c.id as "id: CallId", c.status as "status: CallStatus", v.settings as "settings: Json<VoiceAgentSettings>"
        from calls c
        join streams s on s.call_id = c.id
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        where (c.reference = $2 or (c.carrier = $1 and c.carrier_call_id = $3)) and s.end_reason = $4
        order by (c.reference = $2) is true desc
        limit 1
        "#,
        carrier.as_str(),
        reference,
        carrier_call_id,
        TRANSFER_TO_HUMAN,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row.filter(|row| !row.status.is_terminal()) else { return Ok(Vec::new()) };
    let numbers = row.settings.0.transfer_to;
    if !numbers.is_empty()
        && Call::apply_status(&mut *db, row.id, &StatusUpdate::new(CallStatus::Transferred, now)).await?.is_some()
    {
        dial::note(db, row.id, "transferred", json!({ "numbers": numbers.len() }), now).await?;
    }
    Ok(numbers)
}

/// What a human is told before a call is put through to them.
#[derive(Clone, Debug)]
pub struct Whisper {
    pub name: Option<String>,
    pub campaign: Option<String>,
    /// What the person has answered, by field.
    pub answers: serde_json::Map<String, serde_json::Value>,
}

/// About a live call whose agent promised a human; `None` for any other.
pub async fn whisper(db: impl PgExecutor<'_>, reference: &str) -> sqlx::Result<Option<Whisper>> {
    let row = sqlx::query!(
        r#"
        select l.name, (select name from campaigns where id = c.campaign_id) as campaign,
            coalesce((select answers from conversations where call_id = c.id), '{}') as "answers!"
        from calls c
        join streams s on s.call_id = c.id
        left join leads l on l.id = c.lead_id
        where c.reference = $1 and s.end_reason = $2
        "#,
        reference,
        TRANSFER_TO_HUMAN,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Whisper {
        name: row.name,
        campaign: row.campaign,
        answers: match row.answers {
            serde_json::Value::Object(answers) => answers,
            _ => serde_json::Map::new(),
        },
    }))
}
