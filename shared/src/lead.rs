//! A lead: one person in a campaign. Who is called next is `dispatch`, what a call means for its lead is `settle`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::consent::ConsentBasis;
use crate::id::{AccountId, CallId, CampaignId, ImportId, LeadId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum LeadStatus {
    /// Waiting for the first attempt.
    Pending,
    /// A call is reserved or rings.
    Dialing,
    /// Answered; also until the conversation's result is known.
    InCall,
    WaitingRetry,
    CallbackScheduled,
    /// Talked to; `disposition` says with what result.
    Done,
    /// Every attempt is used up.
    Exhausted,
    /// Not to be called; `suppression_reason` says why.
    Suppressed,
    /// Its campaign was stopped.
    Canceled,
    /// Its campaign ended before it was reached.
    Expired,
}

impl LeadStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dialing => "dialing",
            Self::InCall => "in_call",
            Self::WaitingRetry => "waiting_retry",
            Self::CallbackScheduled => "callback_scheduled",
            Self::Done => "done",
            Self::Exhausted => "exhausted",
            Self::Suppressed => "suppressed",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Lead {
    pub id: LeadId,
    pub campaign_id: CampaignId,
    pub import_id: Option<ImportId>,
    /// E.164.
    pub phone: String,
    pub country: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub property_type: Option<String>,
    pub location: Option<String>,
    pub budget: Option<String>,
    pub source: Option<String>,
    pub language: Option<String>,
    pub tags: Vec<String>,
    pub variables: serde_json::Value,
    /// The zones in which the human may be, as a [`ZoneSet`](crate::calling_window::ZoneSet) writes itself: all must be open.
    pub time_zone: String,
    pub priority: i32,
    pub status: LeadStatus,
    pub disposition: Option<String>,
    pub suppression_reason: Option<String>,
    pub score: Option<i32>,
    pub attempts: i32,
    /// When it is due, while it waits.
    pub next_at: DateTime<Utc>,
    pub last_attempt_at: Option<DateTime<Utc>>,
    pub consent_basis: ConsentBasis,
    pub consent_at: Option<DateTime<Utc>>,
    pub consent_source: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Which leads of a campaign are meant; all, by default.
#[derive(Clone, Debug, Default)]
pub struct LeadFilter {
    pub status: Option<LeadStatus>,
    pub disposition: Option<String>,
    /// Part of a name, an e-mail address or a number.
    pub search: Option<String>,
}

/// In the order of the list, behind the lead `after`, then behind `offset` of them.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    filter: &LeadFilter,
    after: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Lead>> {
    sqlx::query_as!(
        Lead,
        r#"
        select id as "id: LeadId", campaign_id as "campaign_id: CampaignId", import_id as "import_id: ImportId", phone,
            country, name, email, property_type, location, budget, source, language, tags, variables, time_zone, priority,
            status as "status: LeadStatus", disposition, suppression_reason, score, attempts, next_at, last_attempt_at,
            consent_basis as "consent_basis: ConsentBasis", consent_at, consent_source, created_at, updated_at
        from leads
        where account_id = $1 and campaign_id = $2 and id > coalesce($3::bigint, 0)
            and ($4::text is null or status = $4)
            and ($5::text is null or disposition = $5)
            and ($6::text is null or strpos(lower(concat_ws(' ', name, email, phone)), lower($6)) > 0)
        order by id
        offset $7 limit $8
        "#,
        account as AccountId,
        campaign as CampaignId,
        after,
        filter.status.map(LeadStatus::as_str),
        filter.disposition,
        filter.search,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    filter: &LeadFilter,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from leads
        where account_id = $1 and campaign_id = $2
            and ($3::text is null or status = $3)
            and ($4::text is null or disposition = $4)
            and ($5::text is null or strpos(lower(concat_ws(' ', name, email, phone)), lower($5)) > 0)
        "#,
        account as AccountId,
        campaign as CampaignId,
        filter.status.map(LeadStatus::as_str),
        filter.disposition,
        filter.search,
    )
    .fetch_one(db)
    .await
}

/// Lets the leads that were passed over for want of consent be called after all, where it holds by the campaign's rule as it is
/// now. Call it when the rule has changed.
pub async fn readmit_with_consent(
    db: impl PgExecutor<'_>,
    campaign: CampaignId,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with readmitted as (
            update leads l
            set status = case when l.attempts > 0 then 'waiting_retry' else 'pending' end, suppression_reason = null,
                updated_at = $2
            from campaigns g
            where g.id = $1 and l.campaign_id = $1 and l.status = 'suppressed' and l.suppression_reason = 'no_consent'
                and consent_holds(l.consent_basis, l.consent_at, g.require_consent, g.consent_max_age_days, $2)
            returning l.id, l.account_id
        )
        insert into call_events (account_id, lead_id, kind, at, applied_at)
        select account_id, id, 'readmitted', $2, now() from readmitted
        "#,
        campaign as CampaignId,
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A campaign's end was moved: leads that had expired, and whose next attempt now lies before it, wait again. Answers how
/// many there were. Their guards are read again like everybody's.
pub async fn revive_expired(
    db: impl PgExecutor<'_>,
    campaign: CampaignId,
    ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let revived = sqlx::query!(
        r#"
        update leads
        set status = case when attempts = 0 then 'pending' else 'waiting_retry' end, updated_at = $3
        where campaign_id = $1 and status = 'expired' and ($2::timestamptz is null or greatest(next_at, $3) < $2)
        "#,
        campaign as CampaignId,
        ends_at,
        now,
    )
    .execute(db)
    .await?;
    Ok(revived.rows_affected())
}

/// Notes the language (BCP 47) that the call's human turned out to speak: the next call begins in it.
pub async fn speaks(db: impl PgExecutor<'_>, call: CallId, language: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads l set language = $2, updated_at = now() from calls c where c.id = $1 and l.id = c.lead_id",
        call as CallId,
        language,
    )
    .execute(db)
    .await?;
    Ok(())
}
