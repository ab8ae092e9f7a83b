//! Calls as people read them: lists, one call whole, and the rows of an export.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::call::{CallStatus, Carrier};
use crate::id::{AccountId, CallId, CampaignId, LeadId, VoiceAgentId};

/// A line of a list of calls.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CallSummary {
    pub id: CallId,
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub lead_name: Option<String>,
    /// E.164.
    pub phone: String,
    pub direction: String,
    pub carrier: Carrier,
    /// The carrier's own id.
    pub call_sid: Option<String>,
    /// 1-based among the lead's calls.
    pub attempt: i32,
    pub status: CallStatus,
    pub answered_by: Option<String>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<i32>,
    pub disposition: Option<String>,
    pub summary: Option<String>,
    /// `pending`, `stored`, `missing`, `failed` or `deleted`; absent while no recording is known of.
    pub recording_status: Option<String>,
}

/// Which calls are meant; all of the account, by default.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub status: Option<CallStatus>,
}

/// Newest first, older than `before`, then behind `offset` of them. Calls taken back before they were dialed are left out.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    filter: &CallFilter,
    before: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<CallSummary>> {
    sqlx::query_as!(
        CallSummary,
        r#"
        select c.id as "id: CallId", c.campaign_id as "campaign_id: CampaignId", c.lead_id as "lead_id: LeadId",
            l.name as "lead_name?", c.phone, c.direction, c.carrier as "carrier: Carrier", c.carrier_call_id as call_sid,
            c.attempt, c.status as "status: CallStatus", c.answered_by, c.hangup_cause, c.failure_reason, c.queued_at,
            c.answered_at, c.ended_at, c.duration_seconds,
            coalesce(v.disposition, v.live_disposition) as disposition, v.summary as "summary?",
            r.status as "recording_status?"
        from calls c
        left join leads l on l.id = c.lead_id
        left join conversations v on v.call_id = c.id
        left join recordings r on r.call_id = c.id
        where c.account_id = $1 and c.withdrawn_at is null
            and ($2::bigint is null or c.campaign_id = $2)
            and ($3::bigint is null or c.lead_id = $3)
            and ($4::text is null or c.status = $4)
            and ($5::bigint is null or c.id < $5)
        order by c.id desc
        offset $6 limit $7
        "#,
        account as AccountId,
        filter.campaign_id as Option<CampaignId>,
        filter.lead_id as Option<LeadId>,
        filter.status.map(CallStatus::as_str),
        before,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: impl PgExecutor<'_>, account: AccountId, filter: &CallFilter) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from calls
        where account_id = $1 and withdrawn_at is null
            and ($2::bigint is null or campaign_id = $2)
            and ($3::bigint is null or lead_id = $3)
            and ($4::text is null or status = $4)
        "#,
        account as AccountId,
        filter.campaign_id as Option<CampaignId>,
        filter.lead_id as Option<LeadId>,
        filter.status.map(CallStatus::as_str),
    )
    .fetch_one(db)
    .await
}

/// One call, but for its turns ([`crate::turn::of_call`]) and its history ([`crate::call_event::of_call`]).
#[derive(Clone, Debug, serde::Serialize)]
pub struct CallDetail {
    pub id: CallId,
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub lead_name: Option<String>,
    pub lead_status: Option<String>,
    pub phone: String,
    pub direction: String,
    pub carrier: Carrier,
    pub call_sid: Option<String>,
    pub voice_agent_id: VoiceAgentId,
    pub voice_agent_version: i32,
    pub attempt: i32,
    pub status: CallStatus,
    pub answered_by: Option<String>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
    /// Which guards the call passed, and their values.
    pub guards: serde_json::Value,
    pub queued_at: DateTime<Utc>,
    pub dialing_at: Option<DateTime<Utc>>,
    pub ringing_at: Option<DateTime<Utc>>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<i32>,
    /// How often the conversation was taken up again after its stream had ended.
    pub resumptions: i32,
    /// What the agent noted while it spoke.
    pub answers: serde_json::Value,
    pub disposition: Option<String>,
    pub summary: Option<String>,
    /// `none`, `pending`, `completed` or `failed`.
    pub summary_status: Option<String>,
    pub intent: Option<String>,
    pub extracted: Option<serde_json::Value>,
    pub score: Option<i32>,
    pub score_reasons: Option<serde_json::Value>,
    pub lead_qualified: Option<bool>,
    pub callback_at: Option<DateTime<Utc>>,
    /// When the transcript, and what was made of it in words, was deleted because the account keeps them for so long only.
    pub transcript_deleted_at: Option<DateTime<Utc>>,
}

pub async fn get(db: impl PgExecutor<'_>, account: AccountId, id: CallId) -> sqlx::Result<Option<CallDetail>> {
    sqlx::query_as!(
        CallDetail,
        r#"
        select c.id as "id: CallId", c.campaign_id as "campaign_id: CampaignId", c.lead_id as "lead_id: LeadId",
            l.name as "lead_name?", l.status as "lead_status?", c.phone, c.direction, c.carrier as "carrier: Carrier",
            c.carrier_call_id as call_sid, c.voice_agent_id as "voice_agent_id: VoiceAgentId", c.voice_agent_version,
            c.attempt, c.status as "status: CallStatus", c.answered_by, c.hangup_cause, c.failure_reason, c.guards,
            c.queued_at, c.dialing_at, c.ringing_at, c.answered_at, c.ended_at, c.withdrawn_at, c.duration_seconds,
            coalesce(s.resumptions, 0) as "resumptions!",
            coalesce(v.answers, '{}') as "answers!", coalesce(v.disposition, v.live_disposition) as disposition,
            v.summary as "summary?", v.summary_status as "summary_status?", v.intent as "intent?",
            v.extracted as "extracted?", v.score as "score?", v.score_reasons as "score_reasons?",
            v.lead_qualified as "lead_qualified?", v.callback_at as "callback_at?",
            c.words_deleted_at as transcript_deleted_at
        from calls c
        left join leads l on l.id = c.lead_id
        left join conversations v on v.call_id = c.id
        left join streams s on s.call_id = c.id
        where c.account_id = $1 and c.id = $2
        "#,
        account as AccountId,
        id as CallId,
    )
    .fetch_optional(db)
    .await
}

/// What is known of a call's recording; the carrier's URL of it stays inside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RecordingInfo {
    pub status: String,
    /// `carrier`, or `media`: our own, in two channels with the human on the left.
    pub source: String,
    #[serde(skip)]
    pub object_key: Option<String>,
    pub content_type: Option<String>,
    pub size_bytes: Option<i64>,
    pub duration_ms: Option<i64>,
    /// Why it is missing, failed or deleted.
    pub reason: Option<String>,
    pub stored_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// The carrier's own id of it, where that has one (Twilio).
    pub recording_sid: Option<String>,
}

pub async fn recording(
    db: impl PgExecutor<'_>,
    account: AccountId,
    call: CallId,
) -> sqlx::Result<Option<RecordingInfo>> {
    sqlx::query_as!(
        RecordingInfo,
        r#"
        select status, source, object_key, content_type, size_bytes, duration_ms, reason, stored_at, deleted_at,
            substring(source_url from '/Recordings/(RE[0-9a-zA-Z]+)') as recording_sid
        from recordings
        where account_id = $1 and call_id = $2
        "#,
        account as AccountId,
        call as CallId,
    )
    .fetch_optional(db)
    .await
}

/// Where the stored recordings of a campaign are, of its calls and for machines, so that they can go when it does.
pub async fn recording_keys(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select r.object_key as "object_key!"
        from recordings r join calls c on c.id = r.call_id
        where c.account_id = $1 and c.campaign_id = $2 and r.object_key is not null
        union all
        select p.object_key
        from recording_pieces p join calls c on c.id = p.call_id
        where c.account_id = $1 and c.campaign_id = $2
        union all
        select voicemail_recording_key from campaigns
        where account_id = $1 and id = $2 and voicemail_recording_key is not null
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_all(db)
    .await
}

/// A row of an export.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ExportedCall {
    pub call_id: CallId,
    pub call_sid: Option<String>,
    pub lead_id: Option<LeadId>,
    pub lead_name: Option<String>,
    pub phone: String,
    pub email: Option<String>,
    pub property_type: Option<String>,
    pub location: Option<String>,
    pub budget: Option<String>,
    pub consent_basis: Option<String>,
    pub consent_at: Option<DateTime<Utc>>,
    pub consent_source: Option<String>,
    pub attempt: i32,
    pub status: CallStatus,
    pub answered_by: Option<String>,
    pub hangup_cause: Option<String>,
    pub failure_reason: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<i32>,
    pub lead_status: Option<String>,
    pub disposition: Option<String>,
    pub lead_qualified: Option<bool>,
    pub score: Option<i32>,
    pub summary: Option<String>,
    pub answers: serde_json::Value,
    pub extracted: Option<serde_json::Value>,
    pub has_recording: bool,
    /// One line per turn, `agent: …` and `callee: …`.
    pub transcript: Option<String>,
}

/// The next `limit` calls of a campaign behind the call `after`, in the order in which they were made.
pub async fn export_page(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    after: CallId,
    limit: i64,
) -> sqlx::Result<Vec<ExportedCall>> {
    sqlx::query_as!(
        ExportedCall,
        r#"
        select c.id as "call_id: CallId", c.carrier_call_id as call_sid, c.lead_id as "lead_id: LeadId",
            l.name as "lead_name?", c.phone, l.email as "email?", l.property_type as "property_type?",
            l.location as "location?", l.budget as "budget?", l.consent_basis as "consent_basis?",
            l.consent_at as "consent_at?", l.consent_source as "consent_source?", c.attempt, c.status as "status: CallStatus", c.answered_by,
            c.hangup_cause, c.failure_reason, c.queued_at, c.answered_at, c.ended_at, c.duration_seconds,
            l.status as "lead_status?", coalesce(v.disposition, v.live_disposition) as disposition,
            v.lead_qualified as "lead_qualified?", v.score as "score?", v.summary as "summary?",
            coalesce(v.answers, '{}') as "answers!", v.extracted as "extracted?",
            coalesce(r.status = 'stored', false) as "has_recording!",
            (select string_agg(t.role || ': ' || t.text, E'\n' order by t.seq)
             from turns t where t.call_id = c.id and t.role in ('agent', 'callee')) as transcript
        from calls c
        left join leads l on l.id = c.lead_id
        left join conversations v on v.call_id = c.id
        left join recordings r on r.call_id = c.id
        where c.account_id = $1 and c.campaign_id = $2 and c.id > $3 and c.withdrawn_at is null
        order by c.id
        limit $4
        "#,
        account as AccountId,
        campaign as CampaignId,
        after as CallId,
        limit,
    )
    .fetch_all(db)
    .await
}
