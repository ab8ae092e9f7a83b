//! The only place of this process that reaches the database: functions of `shared`, gathered for a live call.
//!
//! Nothing here is awaited by the conversation itself, except taking the stream at its very beginning.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::{
    call::Carrier,
    call_event::{self, NewEvent},
    clock::Clock,
    conversation, conversation_event,
    id::{AccountId, CallId},
    ledger::{self, Used},
    outgoing_message,
    phone::Phone,
    recording_piece::{self, NewPiece},
    stream::{self, Briefing, MACHINE_CHANNEL, NewStream, RINGING_CHANNEL, Ringing, Unsettled},
    turn::{self, Role, Turn},
};
use sqlx::{PgPool, postgres::PgListener};
use tokio::time::Instant;

use crate::{
    carrier::StreamStart,
    dialogue::{CallEvent, CallTime, Speaker, TurnRecord, UnsettledWords},
    provider::FailOver,
};

/// How long a stream may outrun our own commit of its call.
const LOOK_UP_FOR: Duration = Duration::from_secs(3);
/// From then on a call without a carrier id may also be meant: its answer was perhaps lost.
const ADOPT_AFTER: Duration = Duration::from_secs(1);
const LOOK_UP_EVERY: Duration = Duration::from_millis(150);
/// The stream's parameter that holds our own name for its call, where we could give it one.
const REFERENCE: &str = "reference";
/// Numbers without a country code are Indian on this carrier.
const HOME_REGION: &str = "IN";

/// Cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: PgPool,
    clock: Clock,
    /// This process, in the sessions view.
    instance: Arc<str>,
}

/// A call whose stream this process holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The call.
    pub call_id: CallId,
    /// Its account.
    pub account_id: AccountId,
    /// The stream: a newer one of the same call takes it from us.
    pub stream_sid: Arc<str>,
}

impl Store {
    /// `instance` names this process to operators.
    pub fn new(db: PgPool, clock: Clock, instance: &str) -> Self {
        Self { db, clock, instance: instance.into() }
    }

    /// Whether the database answers.
    pub async fn is_reachable(&self) -> bool {
        tokio::time::timeout(Duration::from_secs(1), self.db.acquire()).await.is_ok_and(|connection| connection.is_ok())
    }

    /// Finds the call a stream belongs to and takes it. `None`: nobody expects it.
    ///
    /// The carrier may open the stream before the answer to our dial request has been committed, so that "unknown" is asked
    /// again for a while; and a database that is away may be back before the human has hung up, so that it is asked until the
    /// caller gives up waiting. `longest_call` is the maximum duration of all the call's streams together.
    pub async fn take_stream(&self, carrier: Carrier, start: &StreamStart, longest_call: Duration) -> Option<Briefing> {
        let began = Instant::now();
        let mut failed = false;
        loop {
            let phones = if began.elapsed() >= ADOPT_AFTER { numbers(start) } else { Vec::new() };
            match self.take_now(carrier, start, &phones, longest_call).await {
                Ok(Some(briefing)) => return Some(briefing),
                Ok(None) if began.elapsed() + LOOK_UP_EVERY > LOOK_UP_FOR => return None,
                Ok(None) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(%error, "the call of a stream cannot be looked up yet");
                    }
                }
            }
            tokio::time::sleep(LOOK_UP_EVERY).await;
        }
    }

    async fn take_now(
        &self,
        carrier: Carrier,
        start: &StreamStart,
        phones: &[Phone],
        longest_call: Duration,
    ) -> sqlx::Result<Option<Briefing>> {
        let mut tx = self.db.begin().await?;
        let mut expected = match start.custom_parameters.get(REFERENCE) {
            Some(reference) => stream::named_call(&mut tx, carrier, &start.call_sid, reference).await?,
            None => stream::expected_call(&mut tx, carrier, &start.call_sid, None).await?,
        };
        for phone in phones {
            if expected.is_none() {
                expected = stream::expected_call(&mut tx, carrier, &start.call_sid, Some(phone.as_str())).await?;
            }
        }
        let Some(call_id) = expected else { return Ok(None) };
        let stream = NewStream { stream_sid: &start.stream_sid, instance: &self.instance, longest_call };
        let briefing = stream::begin(&mut tx, call_id, &stream, self.clock.now()).await?;
        tx.commit().await?;
        Ok(briefing)
    }

    /// Says which phones begin to ring and where machines answer: [`RINGING_CHANNEL`], [`MACHINE_CHANNEL`].
    pub async fn notices(&self) -> sqlx::Result<PgListener> {
        let mut listener = PgListener::connect_with(&self.db).await?;
        // Connecting again is the caller's, with a pause.
        listener.eager_reconnect(false);
        listener.listen_all([RINGING_CHANNEL, MACHINE_CHANNEL]).await?;
        Ok(listener)
    }

    /// Who will speak when this call is answered. `None`: it need not be known any more, or cannot be.
    pub async fn ringing(&self, call: CallId) -> Option<Ringing> {
        stream::ringing(&self.db, call).await.ok().flatten()
    }

    /// Stores a turn; one that is stored already stays as it was.
    pub async fn turn(&self, held: &Held, turn: &Turn) -> sqlx::Result<()> {
        let mut connection = self.db.acquire().await?;
        turn::insert(&mut connection, held.account_id, held.call_id, turn).await
    }

    /// Keeps what the human has said since their last turn.
    pub async fn unsettled(&self, held: &Held, words: Option<&Unsettled>) -> sqlx::Result<()> {
        stream::note_unsettled(&self.db, held.call_id, &held.stream_sid, words).await
    }

    /// Keeps what the human has heard of the agent's turn.
    pub async fn heard(&self, held: &Held, words: &Unsettled) -> sqlx::Result<()> {
        stream::note_heard(&self.db, held.call_id, &held.stream_sid, words).await
    }

    /// Stores the latest answer to a question.
    pub async fn answer(&self, held: &Held, field: &str, value: &str) -> sqlx::Result<()> {
        conversation::record_answer(&self.db, held.account_id, held.call_id, field, &Value::from(value)).await
    }

    /// Stores an event, with what it means for the lead, in one transaction.
    pub async fn event(&self, held: &Held, event: &CallEvent, at: DateTime<Utc>) -> sqlx::Result<()> {
        let mut tx = self.db.begin().await?;
        conversation_event::store(&mut tx, held.account_id, held.call_id, event, at).await?;
        tx.commit().await
    }

    /// Writes down a text message with the job that sends it.
    pub async fn message(
        &self,
        held: &Held,
        template: &str,
        text: &str,
        dlt_template_id: Option<&str>,
        at: DateTime<Utc>,
    ) -> sqlx::Result<()> {
        let mut tx = self.db.begin().await?;
        outgoing_message::request(&mut tx, held.call_id, template, text, dlt_template_id, at).await?;
        tx.commit().await
    }

    /// Notes that another provider goes on with its part of the call.
    pub async fn failed_over(&self, held: &Held, over: &FailOver, at: DateTime<Utc>) -> sqlx::Result<()> {
        let data = serde_json::json!({"kind": "provider_failed_over", "part": over.part.as_str(), "from": over.from.as_str(),
            "to": over.to.as_str(), "cause": over.error.kind(), "detail": over.error.to_string()});
        let (account_id, call_id, kind) = (held.account_id, Some(held.call_id), "provider_failed_over");
        call_event::record(&self.db, NewEvent { account_id, call_id, lead_id: None, kind, data, at }).await
    }

    /// Keeps the sums of what this stream has used.
    pub async fn usage(&self, held: &Held, used: &[Used]) -> sqlx::Result<()> {
        let mut connection = self.db.acquire().await?;
        ledger::note(&mut connection, held.account_id, held.call_id, &held.stream_sid, used).await
    }

    /// Says how far the call is. `false`: another process holds it now.
    pub async fn heartbeat(&self, held: &Held, phase: &str, stage: &str, turns: u32) -> sqlx::Result<bool> {
        let turns = i32::try_from(turns).unwrap_or(i32::MAX);
        stream::heartbeat(&self.db, held.call_id, &held.stream_sid, phase, stage, turns).await
    }

    /// Says that the stream is over.
    pub async fn end(&self, held: &Held, reason: &str, at: DateTime<Utc>) -> sqlx::Result<()> {
        stream::end(&self.db, held.call_id, &held.stream_sid, reason, at).await
    }

    /// Notes a recording that is in the object store. `false`: its call is gone.
    pub async fn recorded(&self, piece: &NewPiece) -> sqlx::Result<bool> {
        let mut tx = self.db.begin().await?;
        let is_known = recording_piece::note(&mut tx, piece).await?;
        tx.commit().await?;
        Ok(is_known)
    }

    /// Domain time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// Which of the two numbers is the human's differs by mode and is not documented: both are tried, and only a call that is
/// being dialed can match.
fn numbers(start: &StreamStart) -> Vec<Phone> {
    [&start.from, &start.to].into_iter().flatten().filter_map(|number| Phone::parse(number, HOME_REGION).ok()).collect()
}

/// Words of no settled turn, as they are stored.
pub fn unsettled(words: &UnsettledWords) -> Unsettled {
    Unsettled { text: words.text.clone(), began_ms: ms(words.began), ended_ms: ms(words.ended) }
}

fn ms(at: CallTime) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// A settled turn, as it is stored.
pub fn turn(record: &TurnRecord, mut stages: Value) -> Turn {
    if let Some(map) = stages.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    Turn {
        seq: i32::try_from(record.seq).unwrap_or(i32::MAX),
        role: match record.speaker {
            Speaker::Agent => Role::Agent,
            Speaker::Human => Role::Callee,
        },
        text: record.text.clone(),
        interrupted: record.interrupted,
        started_ms: ms(record.started),
        ended_ms: ms(record.ended),
        stages,
    }
}
