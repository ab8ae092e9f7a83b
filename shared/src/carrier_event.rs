//! What a carrier tells us about a call: read from its webhook as that was stored, and applied to the call by rank.
//!
//! A webhook is stored first and applied second, each in its own transaction, so that nothing heard is ever lost: what could
//! not be applied at once (the database was cut off, the call was not known yet) is applied by `sweep`. Applying twice, late or
//! out of order changes nothing.

mod exotel;
mod twilio;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor};

use crate::call::{Call, CallStatus, Carrier, StatusUpdate};
use crate::call_event::{self, NewEvent};
use crate::id::{CallEventId, CallId};
use crate::stream::MACHINE_CHANNEL;

pub use exotel::{parse as parse_exotel, stream_report};
pub use twilio::parse as parse_twilio;

/// Fields of one webhook that are kept; no carrier sends half as many.
const MAX_FIELDS: usize = 200;

/// Which of a carrier's questions or messages it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Exotel's.
    StatusCallback,
    /// Exotel's.
    Passthru,
    /// Twilio's status callback.
    CallProgress,
    /// Twilio asks what a call does next.
    Voice,
    /// Twilio's.
    Recording,
    /// Twilio's.
    MachineDetection,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::StatusCallback => "status_callback",
            Self::Passthru => "passthru",
            Self::CallProgress => "call_progress",
            Self::Voice => "voice",
            Self::Recording => "recording",
            Self::MachineDetection => "machine_detection",
        }
    }
}

/// A webhook as it is stored: its fields flat, nested ones under names such as `Legs[0][Status]`, whatever its encoding was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub source: Source,
    /// Our own name for the call, from the callback's URL.
    pub reference: Option<String>,
    pub fields: BTreeMap<String, String>,
}

/// What a webhook says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarrierEvent {
    pub carrier_call_id: Option<String>,
    pub reference: Option<String>,
    /// `None` where it says nothing about how far the call is.
    pub status: Option<CallStatus>,
    /// Talk time of the call by the carrier's count.
    pub duration_seconds: Option<i32>,
    /// Talk time of one of its streams.
    pub stream_seconds: Option<i32>,
    /// `human` or `machine`.
    pub answered_by: Option<&'static str>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
    pub recording_url: Option<String>,
}

/// What became of a stored webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// To this call; a webhook that came late may have changed nothing.
    To(CallId),
    /// It names our call, but another carrier call than the one we know: it is kept in the history, and nothing is changed.
    Conflict(CallId),
    /// No call has its reference or carrier id, yet. It stays unapplied.
    UnknownCall,
    /// Somebody else has applied it, or is doing so.
    Taken,
}

impl Webhook {
    /// The same for a webhook that a carrier repeats, and for no other. `CurrentTime` differs with every repetition.
    #[must_use]
    pub fn event_key(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        };
        let field = |name: &str| self.fields.get(name).map_or("", String::as_str);
        part(self.source.as_str());
        part(self.reference.as_deref().unwrap_or_default());
        match self.source {
            Source::StatusCallback => {
                for name in ["CallSid", "EventType", "Status", "DateUpdated"] {
                    part(field(name));
                }
            }
            _ => {
                for (name, value) in self.fields.iter().filter(|(name, _)| *name != "CurrentTime") {
                    part(name);
                    part(value);
                }
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stores it, in the caller's own short transaction; `None` if it was heard before.
    pub async fn store(
        &self,
        db: impl PgExecutor<'_>,
        carrier: Carrier,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<CallEventId>> {
        let data = serde_json::to_value(self).map_err(|error| sqlx::Error::Encode(error.into()))?;
        call_event::store_webhook(db, carrier, &self.event_key(), &data, now).await
    }
}

/// Flattens a JSON body as PHP would have written it into a form: `{"Legs":[{"Status":"busy"}]}` is `Legs[0][Status]=busy`.
/// Nulls are left out.
#[must_use]
pub fn flatten(value: &serde_json::Value) -> BTreeMap<String, String> {
    fn walk(name: &str, value: &serde_json::Value, into: &mut BTreeMap<String, String>) {
        let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}[{key}]") };
        match value {
            _ if into.len() >= MAX_FIELDS => {}
            serde_json::Value::Null => {}
            serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| walk(&inner(key), value, into)),
            serde_json::Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| walk(&inner(&index.to_string()), value, into));
            }
            serde_json::Value::String(text) => drop(into.insert(name.to_owned(), text.replace('\0', ""))),
            other => drop(into.insert(name.to_owned(), other.to_string())),
        }
    }
    let mut fields = BTreeMap::new();
    walk("", value, &mut fields);
    fields
}

/// Applies a stored webhook to its call. Pass a connection inside a transaction.
pub async fn apply(db: &mut PgConnection, id: CallEventId) -> sqlx::Result<Applied> {
    // Skipping a locked row: the request that stored it and sweep may both come for it.
    let stored = sqlx::query!(
        r#"
        select data, at, carrier as "carrier!: Carrier" from call_events
        where id = $1 and kind = 'webhook' and applied_at is null
        for update skip locked
        "#,
        id as CallEventId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(stored) = stored else { return Ok(Applied::Taken) };
    let webhook: Webhook = serde_json::from_value(stored.data).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let event = match stored.carrier {
        Carrier::Exotel => parse_exotel(&webhook),
        Carrier::Twilio => parse_twilio(&webhook),
    };
    let Some(call) = find(&mut *db, stored.carrier, &event).await? else { return Ok(Applied::UnknownCall) };
    if !adopt(&mut *db, &call, &event).await? {
        let data = serde_json::json!({"webhook": id, "carrier_call_id": event.carrier_call_id});
        let conflict = NewEvent {
            account_id: call.account_id,
            call_id: Some(call.id),
            lead_id: None,
            kind: "carrier_call_conflict",
            data,
            at: stored.at,
        };
        call_event::record(&mut *db, conflict).await?;
        call_event::mark_applied(db, id, Some(call.id)).await?;
        tracing::error!(call_id = %call.id, event_id = %id, "the carrier reports a second call under this call's reference");
        return Ok(Applied::Conflict(call.id));
    }
    if let Some(status) = event.status {
        let update = StatusUpdate {
            status,
            at: stored.at,
            duration_seconds: event.duration_seconds,
            hangup_cause: None,
            failure_reason: event.failure_reason.clone(),
        };
        Call::apply_status(&mut *db, call.id, &update).await?;
    }
    fill_details(&mut *db, call.id, &event).await?;
    if let Some(url) = &event.recording_url {
        crate::recording::found(&mut *db, call.id, url).await?;
    }
    call_event::mark_applied(db, id, Some(call.id)).await?;
    Ok(Applied::To(call.id))
}

/// By our own name for it first: the carrier's id may not have reached us yet.
async fn find(db: &mut PgConnection, carrier: Carrier, event: &CarrierEvent) -> sqlx::Result<Option<Call>> {
    if let Some(reference) = &event.reference
        && let Some(call) = Call::by_reference(&mut *db, reference).await?
        && call.carrier == carrier
    {
        return Ok(Some(call));
    }
    match &event.carrier_call_id {
        Some(id) => Call::by_carrier_call_id(db, carrier, id).await,
        None => Ok(None),
    }
}

/// `false` if the event's carrier call is another one than the call's, or another call's.
async fn adopt(db: &mut PgConnection, call: &Call, event: &CarrierEvent) -> sqlx::Result<bool> {
    let Some(carrier_call_id) = &event.carrier_call_id else { return Ok(true) };
    if let Some(known) = &call.carrier_call_id {
        return Ok(known == carrier_call_id);
    }
    // Its own answer may have been written since the call was read: a callback can come that soon.
    let owner = Call::by_carrier_call_id(&mut *db, call.carrier, carrier_call_id).await?;
    if owner.is_some_and(|owner| owner.id != call.id) {
        return Ok(false);
    }
    Call::record_carrier_id(db, call.id, carrier_call_id).await
}

/// Keeps what nobody has told before; also of a call that is over already. Why a conversation ended is for `media` to say, which
/// may be about to: the carrier only saw who closed the stream.
async fn fill_details(db: &mut PgConnection, call: CallId, event: &CarrierEvent) -> sqlx::Result<()> {
    let new =
        (event.duration_seconds, event.stream_seconds, event.answered_by.is_some() || event.hangup_cause.is_some());
    if new == (None, None, false) {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update calls
        set duration_seconds = case
                -- Streams of one call add up, until the carrier has counted the whole.
                when $5::int is not null and call_status_rank(status) < 5 then coalesce(duration_seconds, 0) + $5
                else coalesce(duration_seconds, $2, $5)
            end,
            answered_by = coalesce(answered_by, $3),
            hangup_cause = case
                when exists (select from streams where call_id = $1) then hangup_cause
                else coalesce(hangup_cause, $4)
            end,
            updated_at = now()
        where id = $1
        "#,
        call as CallId,
        event.duration_seconds,
        event.answered_by,
        event.hangup_cause,
        event.stream_seconds,
    )
    .execute(&mut *db)
    .await?;
    if event.answered_by == Some("machine") {
        sqlx::query!(r#"select pg_notify($1, $2) as "notified: ()""#, MACHINE_CHANNEL, call.to_string())
            .fetch_one(db)
            .await?;
    }
    Ok(())
}
