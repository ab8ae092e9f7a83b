//! A campaign: a list to call, with a voice agent, hours, pace and retries. Its states, and the guarded statements between them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::call_event::{self, NewEvent};
use crate::calling_window::CallingHours;
use crate::id::{AccountId, CampaignId, VoiceAgentId};
use crate::jobs::dispatch_campaign::DispatchCampaign;
use crate::lead::LeadStatus;
use crate::retry_policy::RetryPolicy;

/// `draft → scheduled → running ⇄ paused → completed | canceled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum CampaignStatus {
    Draft,
    /// Starts by itself at `scheduled_start_at`.
    Scheduled,
    /// Outside its hours too: then it waits for its window.
    Running,
    Paused,
    /// Every lead is in its final state.
    Completed,
    /// Stopped for good by an operator.
    Canceled,
}

impl CampaignStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: CampaignId,
    pub account_id: AccountId,
    pub voice_agent_id: VoiceAgentId,
    pub name: String,
    pub description: Option<String>,
    pub status: CampaignStatus,
    /// Why it is paused: `operator`, `circuit_breaker`, `balance`, `carrier_auth`.
    pub pause_reason: Option<String>,
    /// The same as a sentence for its operator, where it was not they who paused it.
    pub pause_detail: Option<String>,
    pub calling_hours: Json<CallingHours>,
    /// Local dates on which nobody is called.
    pub holidays: Vec<NaiveDate>,
    /// For leads whose number does not tell their zone; the account's if absent.
    pub time_zone: Option<String>,
    pub retry_policy: Json<RetryPolicy>,
    pub max_attempts_per_lead: i32,
    pub max_concurrent_calls: i32,
    pub calls_per_second: Option<f64>,
    pub scheduled_start_at: Option<DateTime<Utc>>,
    /// Nobody is called from then on.
    pub ends_at: Option<DateTime<Utc>>,
    pub record: bool,
    /// Only leads whose consent holds (`consent_holds`) are called.
    pub require_consent: bool,
    /// Consent older than so many days no longer counts.
    pub consent_max_age_days: Option<i32>,
    /// Spoken after an answering machine's beep; without it the machine is hung up on.
    pub voicemail_message: Option<String>,
    /// Played in its place: title and length of what was uploaded. See [`voicemail_recording`](crate::voicemail_recording).
    pub voicemail_recording_title: Option<String>,
    pub voicemail_recording_ms: Option<i32>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// What an operator decides about a campaign.
#[derive(Clone, Debug)]
pub struct CampaignSettings {
    pub name: String,
    pub description: Option<String>,
    pub voice_agent_id: VoiceAgentId,
    pub calling_hours: CallingHours,
    pub holidays: Vec<NaiveDate>,
    pub time_zone: Option<String>,
    /// Its number of attempts is `max_attempts_per_lead` too.
    pub retry_policy: RetryPolicy,
    pub max_concurrent_calls: i32,
    pub calls_per_second: Option<f64>,
    pub scheduled_start_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub record: bool,
    pub require_consent: bool,
    pub consent_max_age_days: Option<i32>,
    pub voicemail_message: Option<String>,
}

/// `head`, every column of [`Campaign`] typed, `tail`: the one list of them.
macro_rules! query_campaign {
    ($head:literal, $tail:literal $(, $arg:expr)* $(,)?) => {
        sqlx::query_as!(
            Campaign,
            $head + r#"
            id as "id: CampaignId", account_id as "account_id: AccountId", voice_agent_id as "voice_agent_id: VoiceAgentId",
                name, description, status as "status: CampaignStatus", pause_reason, pause_detail,
                calling_hours as "calling_hours: Json<CallingHours>", holidays, time_zone,
                retry_policy as "retry_policy: Json<RetryPolicy>", max_attempts_per_lead, max_concurrent_calls,
                calls_per_second, scheduled_start_at, ends_at, record, require_consent, consent_max_age_days,
                voicemail_message, voicemail_recording_title, voicemail_recording_ms,
                created_at, updated_at, started_at, completed_at
            "# + $tail
            $(, $arg)*
        )
    };
}

impl Campaign {
    pub async fn get(db: impl PgExecutor<'_>, account: AccountId, id: CampaignId) -> sqlx::Result<Option<Campaign>> {
        query_campaign!(
            "select",
            "from campaigns where account_id = $1 and id = $2",
            account as AccountId,
            id as CampaignId
        )
        .fetch_optional(db)
        .await
    }

    /// [`Campaign::get`], holding the row until the transaction ends.
    pub async fn lock(db: impl PgExecutor<'_>, account: AccountId, id: CampaignId) -> sqlx::Result<Option<Campaign>> {
        query_campaign!(
            "select",
            "from campaigns where account_id = $1 and id = $2 for update",
            account as AccountId,
            id as CampaignId
        )
        .fetch_optional(db)
        .await
    }

    /// Newest first, older than `before` (a campaign's id), behind `offset`.
    pub async fn list(
        db: impl PgExecutor<'_>,
        account: AccountId,
        status: Option<CampaignStatus>,
        before: Option<i64>,
        offset: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<Campaign>> {
        query_campaign!(
            "select",
            r#"
            from campaigns
            where account_id = $1 and ($2::text is null or status = $2) and ($3::bigint is null or id < $3)
            order by id desc
            offset $4 limit $5
            "#,
            account as AccountId,
            status.map(CampaignStatus::as_str),
            before,
            offset,
            limit
        )
        .fetch_all(db)
        .await
    }

    pub async fn count(
        db: impl PgExecutor<'_>,
        account: AccountId,
        status: Option<CampaignStatus>,
    ) -> sqlx::Result<i64> {
        sqlx::query_scalar!(
            r#"select count(*) as "count!" from campaigns where account_id = $1 and ($2::text is null or status = $2)"#,
            account as AccountId,
            status.map(CampaignStatus::as_str),
        )
        .fetch_one(db)
        .await
    }

    pub async fn create(
        db: impl PgExecutor<'_>,
        account: AccountId,
        settings: &CampaignSettings,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Campaign> {
        query_campaign!(
            r#"
            insert into campaigns (account_id, voice_agent_id, name, description, calling_hours, holidays, time_zone,
                retry_policy, max_attempts_per_lead, max_concurrent_calls, calls_per_second, scheduled_start_at, ends_at,
                record, created_at, updated_at, require_consent, consent_max_age_days, voicemail_message)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17, $18)
            returning
            "#,
            "",
            account as AccountId,
            settings.voice_agent_id as VoiceAgentId,
            settings.name,
            settings.description,
            Json(&settings.calling_hours) as _,
            &settings.holidays,
            settings.time_zone,
            Json(&settings.retry_policy) as _,
            max_attempts(settings),
            settings.max_concurrent_calls,
            settings.calls_per_second,
            settings.scheduled_start_at,
            settings.ends_at,
            settings.record,
            now,
            settings.require_consent,
            settings.consent_max_age_days,
            settings.voicemail_message,
        )
        .fetch_one(db)
        .await
    }

    /// Changes the settings of a draft, scheduled or paused campaign; `None` in any other state.
    pub async fn update(
        db: impl PgExecutor<'_>,
        account: AccountId,
        id: CampaignId,
        settings: &CampaignSettings,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        query_campaign!(
            r#"
            update campaigns
            set voice_agent_id = $3, name = $4, description = $5, calling_hours = $6, holidays = $7, time_zone = $8,
                retry_policy = $9, max_attempts_per_lead = $10, max_concurrent_calls = $11, calls_per_second = $12,
                scheduled_start_at = $13, ends_at = $14, record = $15, updated_at = $16,
                require_consent = $17, consent_max_age_days = $18, voicemail_message = $19
            where account_id = $1 and id = $2 and status in ('draft', 'scheduled', 'paused')
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            settings.voice_agent_id as VoiceAgentId,
            settings.name,
            settings.description,
            Json(&settings.calling_hours) as _,
            &settings.holidays,
            settings.time_zone,
            Json(&settings.retry_policy) as _,
            max_attempts(settings),
            settings.max_concurrent_calls,
            settings.calls_per_second,
            settings.scheduled_start_at,
            settings.ends_at,
            settings.record,
            now,
            settings.require_consent,
            settings.consent_max_age_days,
            settings.voicemail_message,
        )
        .fetch_optional(db)
        .await
    }

    /// `draft | scheduled → running`, if it has anybody to call or a list is being read. Pass a connection inside a transaction.
    pub async fn start(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        let started = query_campaign!(
            r#"
            update campaigns
            set status = 'running', started_at = coalesce(started_at, $3), scheduled_start_at = null, updated_at = $3
            where account_id = $1 and id = $2 and status in ('draft', 'scheduled') and (
                exists (select from leads where campaign_id = $2)
                or exists (select from imports where campaign_id = $2 and status in ('queued', 'running')))
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            now
        )
        .fetch_optional(&mut *db)
        .await?;
        announce(db, started, "campaign_started", now).await
    }

    /// `draft | scheduled → scheduled`, to start by itself at `at`, if it has anybody to call or a list is being read.
    pub async fn schedule(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        let scheduled = query_campaign!(
            r#"
            update campaigns set status = 'scheduled', scheduled_start_at = $3, updated_at = $4
            where account_id = $1 and id = $2 and status in ('draft', 'scheduled') and (
                exists (select from leads where campaign_id = $2)
                or exists (select from imports where campaign_id = $2 and status in ('queued', 'running')))
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            at,
            now
        )
        .fetch_optional(&mut *db)
        .await?;
        announce(db, scheduled, "campaign_scheduled", now).await
    }

    /// `running → paused`. Live calls go on to their end.
    pub async fn pause(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        Self::pause_for(db, account, id, reason, None, now).await
    }

    /// [`Campaign::pause`], with a sentence that tells its operator why and what to do.
    pub async fn pause_for(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        reason: &str,
        detail: Option<&str>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        let paused = query_campaign!(
            r#"
            update campaigns set status = 'paused', pause_reason = $3, pause_detail = $5, updated_at = $4
            where account_id = $1 and id = $2 and status = 'running'
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            reason,
            now,
            detail
        )
        .fetch_optional(&mut *db)
        .await?;
        announce(db, paused, "campaign_paused", now).await
    }

    /// `paused → running`. What it was paused for is over: its alert is resolved, and the circuit breaker counts anew.
    pub async fn resume(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        let resumed = query_campaign!(
            r#"
            update campaigns set status = 'running', pause_reason = null, pause_detail = null, updated_at = $3
            where account_id = $1 and id = $2 and status = 'paused'
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            now
        )
        .fetch_optional(&mut *db)
        .await?;
        if resumed.is_some() {
            crate::alert::resolve_pauses(&mut *db, account, id, now).await?;
        }
        announce(db, resumed, "campaign_resumed", now).await
    }

    /// `scheduled | running | paused → canceled`, and with it every lead that is not being called: of a long list, soon after.
    /// Nobody is dialed for it from now on. Live calls go on to their end.
    pub async fn stop(
        db: &mut PgConnection,
        account: AccountId,
        id: CampaignId,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<Campaign>> {
        let stopped = query_campaign!(
            r#"
            update campaigns
            set status = 'canceled', pause_reason = null, pause_detail = null, scheduled_start_at = null, completed_at = $3,
                updated_at = $3
            where account_id = $1 and id = $2 and status in ('scheduled', 'running', 'paused')
            returning
            "#,
            "",
            account as AccountId,
            id as CampaignId,
            now
        )
        .fetch_optional(&mut *db)
        .await?;
        if stopped.is_some() {
            crate::alert::resolve_pauses(&mut *db, account, id, now).await?;
            // The first thousands at once; the dispatcher, which `announce` wakes, goes on with the others.
            crate::dispatch::let_go(&mut *db, id, LeadStatus::Canceled, now).await?;
        }
        announce(db, stopped, "campaign_canceled", now).await
    }

    /// Deletes a campaign that is not going on and has no live call, with all that belongs to it. `false` if it is, or has.
    pub async fn delete(db: impl PgExecutor<'_>, account: AccountId, id: CampaignId) -> sqlx::Result<bool> {
        let done = sqlx::query!(
            r#"
            delete from campaigns
            where account_id = $1 and id = $2 and status in ('draft', 'completed', 'canceled') and not exists (
                select from calls
                where campaign_id = $2 and status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred'))
            "#,
            account as AccountId,
            id as CampaignId,
        )
        .execute(db)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether it has anybody to call, or will have when a list under way has been read.
    pub async fn has_leads(db: impl PgExecutor<'_>, id: CampaignId) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"
            select (exists (select from leads where campaign_id = $1)
                or exists (select from imports where campaign_id = $1 and status in ('queued', 'running'))) as "has!"
            "#,
            id as CampaignId,
        )
        .fetch_one(db)
        .await
    }

    /// What the campaign's operator has to know to change it, as it stands.
    #[must_use]
    pub fn settings(&self) -> CampaignSettings {
        CampaignSettings {
            name: self.name.clone(),
            description: self.description.clone(),
            voice_agent_id: self.voice_agent_id,
            calling_hours: self.calling_hours.0.clone(),
            holidays: self.holidays.clone(),
            time_zone: self.time_zone.clone(),
            retry_policy: self.retry_policy.0.clone(),
            max_concurrent_calls: self.max_concurrent_calls,
            calls_per_second: self.calls_per_second,
            scheduled_start_at: self.scheduled_start_at,
            ends_at: self.ends_at,
            record: self.record,
            require_consent: self.require_consent,
            consent_max_age_days: self.consent_max_age_days,
            voicemail_message: self.voicemail_message.clone(),
        }
    }
}

/// Where a campaign's leads and calls stand, by status; statuses that nobody has are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampaignCounts {
    pub leads: BTreeMap<String, i64>,
    pub calls: BTreeMap<String, i64>,
}

/// The counts of several campaigns at once; one without leads is absent.
pub async fn counts(
    db: impl PgExecutor<'_>,
    campaigns: &[CampaignId],
) -> sqlx::Result<BTreeMap<CampaignId, CampaignCounts>> {
    let ids: Vec<i64> = campaigns.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"
        select campaign_id as "campaign_id!: CampaignId", 'lead' as "kind!", status as "status!", count(*) as "count!"
        from leads where campaign_id = any($1) group by 1, 3
        union all
        select campaign_id, 'call', status, count(*)
        from calls where campaign_id = any($1) and withdrawn_at is null group by 1, 3
        "#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut counts = BTreeMap::<CampaignId, CampaignCounts>::new();
    for row in rows {
        let of = counts.entry(row.campaign_id).or_default();
        let by_status = if row.kind == "lead" { &mut of.leads } else { &mut of.calls };
        by_status.insert(row.status, row.count);
    }
    Ok(counts)
}

fn max_attempts(settings: &CampaignSettings) -> i32 {
    i32::try_from(settings.retry_policy.max_attempts()).expect("a retry policy has at most ten attempts")
}

/// Writes a transition into the history and wakes the dispatcher, with the transition or not at all.
async fn announce(
    db: &mut PgConnection,
    changed: Option<Campaign>,
    kind: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Campaign>> {
    let Some(campaign) = changed else { return Ok(None) };
    let event = NewEvent {
        account_id: campaign.account_id,
        call_id: None,
        lead_id: None,
        kind,
        data: serde_json::json!({
            "campaign_id": campaign.id,
            "pause_reason": campaign.pause_reason,
            "scheduled_start_at": campaign.scheduled_start_at,
        }),
        at: now,
    };
    call_event::record(&mut *db, event).await?;
    crate::jobs::nudge(db, &DispatchCampaign { campaign_id: campaign.id }).await?;
    Ok(Some(campaign))
}
