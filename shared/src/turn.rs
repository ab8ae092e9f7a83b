//! Turns: what was said in a call and heard, one side at a time.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CallId};
use crate::stream::Unsettled;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    Agent,
    /// The human.
    Callee,
    /// A tool the agent used, with its arguments.
    Tool,
}

/// One side's say. Times are milliseconds since the conversation began, with the call's first stream.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Turn {
    pub seq: i32,
    pub role: Role,
    /// Only what was heard: an interrupted agent turn ends where its playout ended.
    pub text: String,
    pub interrupted: bool,
    pub started_ms: i64,
    pub ended_ms: i64,
    /// When each stage of an agent's reply was reached, in the same milliseconds: `speech_end`, `stt_final`, `end_of_turn`,
    /// `first_token`, `first_clause`, `first_tts_byte`, `first_frame_sent`, `barge_in`.
    pub stages: serde_json::Value,
}

/// Words and pressed keys as one text.
pub fn with_keys(spoken: &str, keys: &str) -> String {
    let mut text = spoken.to_owned();
    if !keys.is_empty() {
        push_words(&mut text, &format!("(pressed the keys {keys})"));
    }
    text
}

/// Appends with one space between.
pub fn push_words(text: &mut String, more: &str) {
    let more = more.trim();
    if !text.is_empty() && !more.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push(' ');
    }
    text.push_str(more);
}

/// Stores a turn; one that is stored already (same side, same beginning) stays as it was, so a repeated write is harmless. Where
/// its `seq` is taken by another turn, it goes behind the last: a stream that came back may have begun before the old one's last
/// words arrived, and neither's may be lost.
pub async fn insert(db: &mut PgConnection, account: AccountId, call: CallId, turn: &Turn) -> sqlx::Result<()> {
    /// Two processes write at one call's turns for moments only.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let stored = sqlx::query_scalar!(
            r#"
            with known as (
                select 1 from turns where call_id = $2 and role = $4 and started_ms = $7
            ), stored as (
                insert into turns (account_id, call_id, seq, role, text, interrupted, started_ms, ended_ms, stages)
                select $1, $2,
                    case when exists (select from turns where call_id = $2 and seq = $3)
                        then (select max(seq) + 1 from turns where call_id = $2) else $3 end,
                    $4, $5, $6, $7, $8, $9
                where not exists (select from known)
                on conflict (call_id, seq) do nothing
                returning 1
            )
            select exists (select from known) or exists (select from stored) as "stored!"
            "#,
            account as AccountId,
            call as CallId,
            turn.seq,
            role_name(turn.role),
            // NUL cannot be stored in a text column, and a provider once sent one.
            turn.text.replace('\0', ""),
            turn.interrupted,
            turn.started_ms,
            turn.ended_ms,
            turn.stages,
        )
        .fetch_one(&mut *db)
        .await?;
        if stored {
            return Ok(());
        }
    }
    Err(sqlx::Error::Protocol("a turn's place was taken again and again".into()))
}

/// Makes turns of what had been said for certain when the stream died: what the human had heard of the agent's turn, and their own
/// last words.
pub async fn settle_unsettled(db: &mut PgConnection, call: CallId) -> sqlx::Result<()> {
    let words = sqlx::query!(
        r#"
        update streams s set unsettled = null, heard = null
        from (select account_id, unsettled, heard from streams where call_id = $1 for update) before
        where s.call_id = $1 and (before.unsettled is not null or before.heard is not null)
        returning before.account_id as "account_id: AccountId", before.unsettled as "unsettled: Json<Unsettled>",
            before.heard as "heard: Json<Unsettled>",
            (select coalesce(max(seq) + 1, 0) from turns where call_id = $1) as "next_seq!"
        "#,
        call as CallId,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(words) = words else { return Ok(()) };
    // A turn that settled after them began with them, and is stored already. What the human said, they said over the agent.
    let heard = words.heard.map(|Json(words)| (Role::Agent, words));
    let said = words.unsettled.map(|Json(words)| (Role::Callee, words));
    for (seq, (role, Unsettled { text, began_ms, ended_ms })) in (words.next_seq..).zip(heard.into_iter().chain(said)) {
        let turn = Turn {
            seq,
            role,
            text,
            interrupted: role == Role::Agent,
            started_ms: began_ms,
            ended_ms,
            stages: serde_json::json!({}),
        };
        insert(&mut *db, words.account_id, call, &turn).await?;
    }
    Ok(())
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Agent => "agent",
        Role::Callee => "callee",
        Role::Tool => "tool",
    }
}

/// A call's turns in order; a call of an hour has a few hundred.
pub async fn of_call(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Vec<Turn>> {
    sqlx::query_as!(
        Turn,
        r#"
        select seq, role as "role: Role", text, interrupted, started_ms, ended_ms, stages
        from turns
        where call_id = $1
        order by seq
        limit 5000
        "#,
        call as CallId,
    )
    .fetch_all(db)
    .await
}
