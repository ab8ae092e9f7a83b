//! Turns: what was said in a call and heard, one side at a time.

use sqlx::PgExecutor;

use crate::id::{AccountId, CallId};

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

/// One side's say. Times are milliseconds since the stream began.
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

/// Stores turns; one that is stored already (same `seq`) stays as it was, so a repeated batch is harmless.
pub async fn insert_many(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
    turns: &[Turn],
) -> sqlx::Result<()> {
    let seqs: Vec<i32> = turns.iter().map(|turn| turn.seq).collect();
    let roles: Vec<String> = turns.iter().map(|turn| role_name(turn.role).to_owned()).collect();
    // NUL cannot be stored in a text column, and a provider once sent one.
    let texts: Vec<String> = turns.iter().map(|turn| turn.text.replace('\0', "")).collect();
    let interrupted: Vec<bool> = turns.iter().map(|turn| turn.interrupted).collect();
    let started: Vec<i64> = turns.iter().map(|turn| turn.started_ms).collect();
    let ended: Vec<i64> = turns.iter().map(|turn| turn.ended_ms).collect();
    let stages: Vec<serde_json::Value> = turns.iter().map(|turn| turn.stages.clone()).collect();
    sqlx::query!(
        r#"
        insert into turns (account_id, call_id, seq, role, text, interrupted, started_ms, ended_ms, stages)
        select $1, $2, t.* from unnest($3::int[], $4::text[], $5::text[], $6::bool[], $7::bigint[], $8::bigint[], $9::jsonb[]) t
        on conflict (call_id, seq) do nothing
        "#,
        account as AccountId,
        call as CallId,
        &seqs,
        &roles,
        &texts,
        &interrupted,
        &started,
        &ended,
        &stages,
    )
    .execute(db)
    .await?;
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
