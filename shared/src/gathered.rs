//! A conversation without a stream of sound: the carrier gathers what the human says, asks us, and speaks our answer.
//!
//! It stands in the same rows as any other: a stream that `api` holds, its turns, its events, what it brought.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use tokio::time::Instant;

use crate::agent_tool::Effect;
use crate::call::{Call, Carrier};
use crate::conversation_event::{self, CallEvent, EndReason, Evidence};
use crate::id::CallId;
use crate::ledger::{self, Used};
use crate::stream::{self, Briefing, NewStream};
use crate::turn::{self, Role, Turn};
use crate::voice_agent::VoiceAgentSettings;
use crate::{conversation, outgoing_message, persona, phrases};

/// Who holds such a stream, in the sessions view.
const INSTANCE: &str = "api";

/// A call's question, as far as it concerns this kind of conversation.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Its voice agent streams, the carrier cannot speak its language, or nobody knows the call.
    Elsewhere,
    /// The call is over.
    Over,
    /// The agent has ended the conversation, for this reason.
    Ended(Box<Talk>, String),
    Talk(Box<Talk>),
}

/// A conversation as it stands now.
#[derive(Clone, Debug)]
pub struct Talk {
    pub briefing: Briefing,
    stream_sid: String,
    /// Since it began, when it was taken up (wall clock).
    elapsed: Duration,
    taken_up: Instant,
    /// The human has asked never to be called again.
    pub forbids_calls: bool,
    /// The carrier has taken the human for a machine, and was not believed.
    pub machine_doubted: bool,
}

/// A call as its carrier names it, and we.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub carrier: Carrier,
    pub carrier_call_id: &'a str,
    pub reference: &'a str,
}

/// Takes the conversation up, or begins it. `longest_call` is its maximum duration; `speaks`: whether the carrier hears and speaks a
/// language (BCP 47). Pass a connection inside a transaction.
pub async fn take_up(
    db: &mut PgConnection,
    named: Named<'_>,
    longest_call: Duration,
    speaks: impl Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> sqlx::Result<Asked> {
    let Named { carrier, carrier_call_id, reference } = named;
    let agent = sqlx::query!(
        r#"
        select v.settings as "settings: Json<VoiceAgentSettings>", l.language as "language?"
        from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join leads l on l.id = c.lead_id
        where c.reference = $1 and (v.settings ->> 'gathered_speech')::boolean
        "#,
        reference,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(agent) = agent else { return Ok(Asked::Elsewhere) };
    if !speaks(&persona::opening_language(agent.language.as_deref(), &agent.settings)) {
        return Ok(Asked::Elsewhere);
    }
    let Some(call) = stream::named_call(&mut *db, carrier, carrier_call_id, reference).await? else {
        return Ok(Asked::Over);
    };
    let stream_sid = format!("gathered-{carrier_call_id}");
    let new = NewStream { stream_sid: &stream_sid, instance: INSTANCE, longest_call };
    let (briefing, goes_on) = match stream::begin(&mut *db, call, &new, now).await? {
        Some(briefing) => (briefing, true),
        None => match Call::get(&mut *db, call).await? {
            Some(call) if !call.status.is_terminal() => (stream::briefing_of(&mut *db, &call, None, now).await?, false),
            _ => return Ok(Asked::Over),
        },
    };
    let state = sqlx::query!(
        r#"
        select extract(epoch from clock_timestamp() - s.began_at)::float8 as "elapsed_secs!", s.end_reason,
            exists (select from call_events e where e.call_id = s.call_id and kind = 'machine_doubted') as "machine_doubted!",
            exists (select from call_events e where e.call_id = s.call_id and kind = 'do_not_call_requested') as "forbids_calls!"
        from streams s
        where s.call_id = $1
        "#,
        call as CallId,
    )
    .fetch_one(db)
    .await?;
    let talk = Box::new(Talk {
        briefing,
        stream_sid,
        elapsed: Duration::try_from_secs_f64(state.elapsed_secs).unwrap_or_default(),
        taken_up: Instant::now(),
        forbids_calls: state.forbids_calls,
        machine_doubted: state.machine_doubted,
    });
    Ok(match state.end_reason {
        Some(reason) if !goes_on => Asked::Ended(talk, reason),
        _ => Asked::Talk(talk),
    })
}

impl Talk {
    /// Since the conversation began.
    pub fn elapsed(&self) -> Duration {
        self.elapsed + self.taken_up.elapsed()
    }

    /// One side's say of this moment, behind all that was said. Nothing tells how long it was spoken.
    pub fn turn(&self, role: Role, text: &str) -> Turn {
        let at = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Turn {
            seq: self.briefing.turns.iter().map(|turn| turn.seq.saturating_add(1)).max().unwrap_or(0),
            role,
            text: text.to_owned(),
            interrupted: false,
            started_ms: at,
            ended_ms: at,
            stages: serde_json::json!({}),
        }
    }

    /// Whether these words are a wish never to be called again that is not noted yet.
    pub fn newly_forbids_calls(&self, words: &str) -> bool {
        !self.forbids_calls && phrases::forbids_calls(&phrases::words(words))
    }
}

/// What the human said and pressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub words: String,
    pub keys: String,
}

impl Heard {
    /// As the model and the transcript have it.
    pub fn text(&self) -> String {
        turn::with_keys(&self.words, &self.keys)
    }
}

/// Stores the human's turn, and what it means by its words alone: whoever forbids further calls is on the list before any model is
/// asked. Pass a connection inside a transaction.
pub async fn hear(
    db: &mut PgConnection,
    talk: &Talk,
    heard: &Heard,
    turn: &Turn,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if talk.newly_forbids_calls(&heard.words) {
        note(&mut *db, talk, &CallEvent::DoNotCallRequested { evidence: Evidence::Phrase, note: None }, now).await?;
    }
    if !heard.keys.is_empty() {
        note(&mut *db, talk, &CallEvent::KeyPressed { digits: heard.keys.clone() }, now).await?;
    }
    turn::insert(db, talk.briefing.account_id, talk.briefing.call_id, turn).await
}

/// Stores an event, with what it means for the lead. Pass a connection inside a transaction.
pub async fn note(db: &mut PgConnection, talk: &Talk, event: &CallEvent, now: DateTime<Utc>) -> sqlx::Result<()> {
    conversation_event::store(db, talk.briefing.account_id, talk.briefing.call_id, event, now).await
}

/// Stores what a tool of the agent's has done. Pass a connection inside a transaction.
pub async fn carry_out(db: &mut PgConnection, talk: &Talk, effect: &Effect, now: DateTime<Utc>) -> sqlx::Result<()> {
    let Briefing { account_id, call_id, .. } = talk.briefing;
    match effect {
        Effect::Event(event) => note(db, talk, event, now).await,
        Effect::Answer { field, value } => {
            conversation::record_answer(db, account_id, call_id, field, &Value::from(value.as_str())).await
        }
        Effect::Message { template, text, dlt_template_id } => {
            outgoing_message::request(db, call_id, template, text, dlt_template_id.as_deref(), now).await?;
            Ok(())
        }
    }
}

/// Keeps what one of the conversation's requests to a model has used. Pass a connection inside a transaction.
pub async fn used(db: &mut PgConnection, talk: &Talk, request: &str, used: &[Used]) -> sqlx::Result<()> {
    let Briefing { account_id, call_id, .. } = talk.briefing;
    ledger::note(db, account_id, call_id, &format!("{}-{request}", talk.stream_sid), used).await
}

/// Stores what the agent says, and how far the conversation is, for the sessions view. Pass a connection inside a transaction.
pub async fn say(db: &mut PgConnection, talk: &Talk, turn: &Turn, stage: &str) -> sqlx::Result<()> {
    let Briefing { account_id, call_id, .. } = talk.briefing;
    turn::insert(&mut *db, account_id, call_id, turn).await?;
    stream::heartbeat(db, call_id, &talk.stream_sid, "listening", stage, turn.seq.saturating_add(1)).await?;
    Ok(())
}

/// The agent has ended the conversation.
pub async fn end(db: impl PgExecutor<'_>, talk: &Talk, reason: EndReason, now: DateTime<Utc>) -> sqlx::Result<()> {
    stream::end(db, talk.briefing.call_id, &talk.stream_sid, reason.as_str(), now).await
}
