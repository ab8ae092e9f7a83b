//! What a conversation brought: answers noted while it ran, wishes of the human, and the summary afterwards.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::id::{AccountId, CallId};

/// The business result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Disposition {
    Qualified,
    /// Spoke with us, and is neither qualified nor against it.
    Interested,
    NotInterested,
    CallbackRequested,
    DoNotCall,
    WrongNumber,
    Voicemail,
    /// Answered, but hung up or stayed silent before anything was learned.
    NoConversation,
}

impl Disposition {
    pub const ALL: [Self; 8] = [
        Self::Qualified,
        Self::Interested,
        Self::NotInterested,
        Self::CallbackRequested,
        Self::DoNotCall,
        Self::WrongNumber,
        Self::Voicemail,
        Self::NoConversation,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qualified => "qualified",
            Self::Interested => "interested",
            Self::NotInterested => "not_interested",
            Self::CallbackRequested => "callback_requested",
            Self::DoNotCall => "do_not_call",
            Self::WrongNumber => "wrong_number",
            Self::Voicemail => "voicemail",
            Self::NoConversation => "no_conversation",
        }
    }
}

/// Notes one answer; a later answer to the same field replaces the earlier.
pub async fn record_answer(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
    field: &str,
    value: &serde_json::Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, answers) values ($1, $2, jsonb_build_object($3::text, $4::jsonb))
        on conflict (call_id) do update set answers = conversations.answers || excluded.answers
        "#,
        call as CallId,
        account as AccountId,
        field,
        value,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes what the human asked for while the call ran.
pub async fn note_disposition(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
    disposition: Disposition,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, live_disposition) values ($1, $2, $3)
        on conflict (call_id) do update set live_disposition = excluded.live_disposition
        "#,
        call as CallId,
        account as AccountId,
        disposition.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes a wish to be called back: the human's words, and the moment they mean where that could be told.
pub async fn request_callback(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
    words: &str,
    at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, live_disposition, callback_text, callback_at)
        values ($1, $2, 'callback_requested', $3, $4)
        on conflict (call_id) do update
        set live_disposition = 'callback_requested', callback_text = excluded.callback_text, callback_at = excluded.callback_at
        "#,
        call as CallId,
        account as AccountId,
        words,
        at,
    )
    .execute(db)
    .await?;
    Ok(())
}
