//! A call: one dial attempt, or one inbound call. Its states, and the guarded statements between them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CallId, CampaignId, LeadId, VoiceAgentId};

/// How far a call got. Only a rise in [`CallStatus::rank`] is ever applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum CallStatus {
    /// Reserved: it holds a slot, and nothing has been sent.
    Queued,
    /// The request is about to leave or has left; the phone may ring.
    Dialing,
    Ringing,
    InProgress,
    Transferred,
    Completed,
    Busy,
    NoAnswer,
    Failed,
    Canceled,
    /// The carrier cannot say whether it placed the call. Counts as an attempt; never redialed by itself.
    Unknown,
}

impl CallStatus {
    /// The same order as the database's `call_status_rank`.
    #[must_use]
    pub const fn rank(self) -> i32 {
        match self {
            Self::Queued => 0,
            Self::Dialing => 1,
            Self::Ringing => 2,
            Self::InProgress => 3,
            Self::Transferred | Self::Unknown => 4,
            Self::Completed | Self::Busy | Self::NoAnswer | Self::Failed | Self::Canceled => 5,
        }
    }

    /// Over, and known to be.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        self.rank() == 5
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::InProgress => "in_progress",
            Self::Transferred => "transferred",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
        }
    }
}

/// Who carries the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Carrier {
    Exotel,
    Twilio,
}

impl Carrier {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exotel => "exotel",
            Self::Twilio => "twilio",
        }
    }
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Call {
    pub id: CallId,
    pub account_id: AccountId,
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub voice_agent_id: VoiceAgentId,
    pub voice_agent_version: i32,
    pub carrier: Carrier,
    pub attempt: i32,
    /// Our own name for it at the carrier.
    pub reference: String,
    pub phone: String,
    pub status: CallStatus,
    pub answered_by: Option<String>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
    pub carrier_call_id: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub dialing_at: Option<DateTime<Utc>>,
    pub ringing_at: Option<DateTime<Utc>>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<i32>,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub settled_at: Option<DateTime<Utc>>,
    /// Wall clock.
    pub request_sent_at: Option<DateTime<Utc>>,
    pub reconcile_count: i32,
}

/// `select * from calls c where …` with every column of [`Call`] typed: the one list of them.
macro_rules! query_call {
    ($clause:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Call,
            r#"
            select id as "id: CallId", account_id as "account_id: AccountId", campaign_id as "campaign_id: CampaignId",
                lead_id as "lead_id: LeadId", voice_agent_id as "voice_agent_id: VoiceAgentId", voice_agent_version,
                carrier as "carrier: Carrier", attempt, reference, phone, status as "status: CallStatus", answered_by,
                hangup_cause, failure_reason, carrier_call_id, queued_at, dialing_at, ringing_at, answered_at, ended_at,
                duration_seconds, withdrawn_at, settled_at, request_sent_at, reconcile_count
            from calls
            "# + $clause
            $(, $arg)*
        )
    };
}

/// What a carrier's event says about a call.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    pub status: CallStatus,
    /// Domain time.
    pub at: DateTime<Utc>,
    pub duration_seconds: Option<i32>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
}

impl StatusUpdate {
    #[must_use]
    pub const fn new(status: CallStatus, at: DateTime<Utc>) -> Self {
        Self { status, at, duration_seconds: None, hangup_cause: None, failure_reason: None }
    }
}

impl Call {
    pub async fn get(db: impl PgExecutor<'_>, id: CallId) -> sqlx::Result<Option<Call>> {
        query_call!("where id = $1", id as CallId).fetch_optional(db).await
    }

    pub async fn by_reference(db: impl PgExecutor<'_>, reference: &str) -> sqlx::Result<Option<Call>> {
        query_call!("where reference = $1", reference).fetch_optional(db).await
    }

    pub async fn by_carrier_call_id(db: impl PgExecutor<'_>, carrier: Carrier, id: &str) -> sqlx::Result<Option<Call>> {
        query_call!("where carrier = $1 and carrier_call_id = $2", carrier as Carrier, id).fetch_optional(db).await
    }

    /// Adopts the carrier's id for the call. `false` if the call already has another one: then somebody must look.
    pub async fn record_carrier_id(db: impl PgExecutor<'_>, id: CallId, carrier_call_id: &str) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            r#"
            update calls
            set carrier_call_id = $2, updated_at = now()
            where id = $1 and (carrier_call_id is null or carrier_call_id = $2)
            "#,
            id as CallId,
            carrier_call_id,
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A machine answered: what the agent heard outweighs what the carrier guessed.
    pub async fn answered_by_machine(db: impl PgExecutor<'_>, id: CallId) -> sqlx::Result<()> {
        sqlx::query!("update calls set answered_by = 'machine', updated_at = now() where id = $1", id as CallId)
            .execute(db)
            .await?;
        Ok(())
    }

    /// Somebody talked with us, whatever the carrier took them for.
    pub async fn answered_by_human(db: impl PgExecutor<'_>, id: CallId) -> sqlx::Result<()> {
        sqlx::query!(
            "update calls set answered_by = 'human', updated_at = now() where id = $1 and answered_by = 'machine'",
            id as CallId
        )
        .execute(db)
        .await?;
        Ok(())
    }

    /// Applies what the carrier said, if it is a rise; the returned status is the one now stored, `None` if nothing changed.
    ///
    /// A terminal status (and `unknown`) also enqueues `settle_call`: both are written together or not at all, so pass a
    /// connection inside a transaction.
    pub async fn apply_status(
        db: &mut PgConnection,
        id: CallId,
        update: &StatusUpdate,
    ) -> sqlx::Result<Option<CallStatus>> {
        let applied = sqlx::query_scalar!(
            r#"
            update calls
            set status = $2,
                ringing_at = case when $2 = 'ringing' then coalesce(ringing_at, $3) else ringing_at end,
                answered_at = case when $2 in ('in_progress', 'transferred') then coalesce(answered_at, $3) else answered_at end,
                ended_at = case when call_status_rank($2) = 5 or $2 = 'unknown' then coalesce(ended_at, $3) else ended_at end,
                duration_seconds = coalesce($4, duration_seconds),
                hangup_cause = coalesce(hangup_cause, $5),
                failure_reason = coalesce($6, failure_reason),
                -- A call that was unknown has been settled as such; what we learn now must reach the lead too.
                settled_at = case when status = 'unknown' then null else settled_at end,
                updated_at = now()
            where id = $1 and withdrawn_at is null and call_status_rank(status) < call_status_rank($2)
            returning status as "status: CallStatus"
            "#,
            id as CallId,
            update.status.as_str(),
            update.at,
            update.duration_seconds,
            update.hangup_cause,
            update.failure_reason,
        )
        .fetch_optional(&mut *db)
        .await?;
        if applied.is_some_and(|status| status.is_terminal() || status == CallStatus::Unknown) {
            crate::jobs::nudge(&mut *db, &crate::jobs::settle_call::SettleCall { call_id: id }).await?;
        }
        Ok(applied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_call_still_yields_to_a_late_terminal_status() {
        assert!(CallStatus::Unknown.rank() < CallStatus::Completed.rank());
        assert!(CallStatus::Unknown.rank() > CallStatus::InProgress.rank());
        assert!(!CallStatus::Unknown.is_terminal());
    }
}
