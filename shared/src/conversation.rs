//! What a conversation brought: answers noted while it ran, wishes of the human, and the summary afterwards.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::callback;
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

    /// Somebody talked with us.
    #[must_use]
    pub const fn is_a_conversation(self) -> bool {
        !matches!(self, Self::Voicemail | Self::NoConversation)
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

/// Notes what the human asked for while the call ran. A wish not to be called again is never overwritten.
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
        where conversations.live_disposition is distinct from 'do_not_call'
        "#,
        call as CallId,
        account as AccountId,
        disposition.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes a wish to be called back: the human's words, or the moment as the model wrote it, which is read on their own wall clock.
/// Pass a connection inside a transaction.
pub async fn request_callback(
    db: &mut PgConnection,
    account: AccountId,
    call: CallId,
    when: &str,
    said_at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (_, zones) = lead_facts(&mut *db, call).await?;
    let at = callback::moment(when, callback::zone(zones.as_deref(), said_at));
    let at = at.filter(|&at| callback::is_plausible(at, said_at));
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, live_disposition, callback_text, callback_at)
        values ($1, $2, 'callback_requested', $3, $4)
        on conflict (call_id) do update
        set live_disposition = case
                when conversations.live_disposition = 'do_not_call' then conversations.live_disposition
                else 'callback_requested'
            end,
            callback_text = excluded.callback_text, callback_at = excluded.callback_at
        "#,
        call as CallId,
        account as AccountId,
        when,
        at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Everything noted while a call ran.
#[derive(Clone, Debug)]
pub struct Notes {
    pub answers: serde_json::Value,
    pub live_disposition: Option<Disposition>,
    pub callback_text: Option<String>,
    pub callback_at: Option<DateTime<Utc>>,
    /// A summary is wanted and not there yet.
    pub summary_pending: bool,
}

impl Notes {
    /// The human asked to be called back, and nothing that was noted after it takes that back.
    #[must_use]
    pub fn wants_callback(&self) -> bool {
        use Disposition::{CallbackRequested, DoNotCall, NotInterested, Voicemail, WrongNumber};
        match self.live_disposition {
            Some(CallbackRequested) => true,
            Some(DoNotCall | NotInterested | WrongNumber | Voicemail) => false,
            _ => self.callback_text.is_some(),
        }
    }
}

/// `None` if nothing was noted: nobody spoke, or nothing worth a note was said.
pub async fn notes(db: impl PgExecutor<'_>, call: CallId) -> sqlx::Result<Option<Notes>> {
    sqlx::query_as!(
        Notes,
        r#"
        select answers, live_disposition as "live_disposition: Disposition", callback_text, callback_at,
            summary_status = 'pending' as "summary_pending!"
        from conversations
        where call_id = $1
        "#,
        call as CallId,
    )
    .fetch_optional(db)
    .await
}

/// Asks for a summary of the call; asking again, or after it was written, changes nothing.
pub async fn want_summary(db: impl PgExecutor<'_>, account: AccountId, call: CallId) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, summary_status) values ($1, $2, 'pending')
        on conflict (call_id) do update set summary_status = 'pending' where conversations.summary_status = 'none'
        "#,
        call as CallId,
        account as AccountId,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes the result of a call that needs no summary: nobody spoke, or a machine did.
pub async fn note_outcome(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
    disposition: Disposition,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into conversations (call_id, account_id, disposition) values ($1, $2, $3)
        on conflict (call_id) do update set disposition = excluded.disposition
        "#,
        call as CallId,
        account as AccountId,
        disposition.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a finished conversation came to.
#[derive(Clone, Debug)]
pub struct Summary {
    pub summary: String,
    pub disposition: Disposition,
    pub intent: Option<String>,
    /// The fields of the qualification: `purpose`, `budget`, `timeline`, `location`, `property_type`, `site_visit`, …
    pub extracted: serde_json::Value,
    /// 0 to 100.
    pub score: Option<i32>,
    pub score_reasons: Vec<String>,
    /// They are to be called back, whatever the disposition.
    pub wants_callback: bool,
    pub callback_text: Option<String>,
    /// `None` where the moment could not be told.
    pub callback_at: Option<DateTime<Utc>>,
    /// The language model that wrote it; `None` if rules did.
    pub model: Option<String>,
    /// Why the language model did not write it.
    pub error: Option<String>,
}

/// Stores the summary, once. `false` if none was wanted or it is stored already: then its lead is finished too.
pub async fn store_summary(
    db: impl PgExecutor<'_>,
    call: CallId,
    summary: &Summary,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update conversations
        set summary = $2, disposition = $3, intent = $4, extracted = $5, score = $6, score_reasons = $7,
            lead_qualified = ($3 = 'qualified'), callback_text = coalesce($8, callback_text),
            callback_at = coalesce($9, callback_at), model = $10, summary_error = $11, summarized_at = $12,
            summary_status = case when $11::text is null then 'completed' else 'failed' end
        where call_id = $1 and summary_status = 'pending'
        "#,
        call as CallId,
        summary.summary,
        summary.disposition.as_str(),
        summary.intent,
        summary.extracted,
        summary.score,
        serde_json::json!(summary.score_reasons),
        summary.callback_text,
        summary.callback_at,
        summary.model,
        summary.error,
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What the list says about the human of a call, and the zone their wall clock is in. Empty and `None` for a call without a lead.
pub async fn lead_facts(
    db: impl PgExecutor<'_>,
    call: CallId,
) -> sqlx::Result<(serde_json::Map<String, serde_json::Value>, Option<String>)> {
    let row = sqlx::query!(
        r#"
        select l.time_zone, l.variables || jsonb_strip_nulls(jsonb_build_object('name', l.name,
            'property_type', l.property_type, 'location', l.location, 'budget', l.budget, 'source', l.source)) as "facts!"
        from calls c join leads l on l.id = c.lead_id
        where c.id = $1
        "#,
        call as CallId,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(Default::default()) };
    let facts = match row.facts {
        serde_json::Value::Object(facts) => facts,
        _ => serde_json::Map::new(),
    };
    Ok((facts, Some(row.time_zone)))
}
