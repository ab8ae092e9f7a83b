//! What `sweep` looks for: work whose job has gone, and calls about which nobody has heard for too long.
//!
//! Everything is derived from the domain rows. The job tables are read only to leave alone what is waiting already.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CallEventId, CallId, CampaignId, ImportId};
use crate::jobs::{self, Job};

/// Rows of one kind that one sweep takes; the next one, 30 s later, goes on.
const LIMIT: i64 = 500;

/// Gives every job of `wanted` that is neither waiting nor running a new run; answers how many there were. A job that snoozes
/// or backs off is left to its own time.
pub async fn ensure<J: Job>(db: &mut PgConnection, wanted: &[J]) -> sqlx::Result<usize> {
    let keys: Vec<String> = wanted.iter().map(Job::key).collect();
    let alive = sqlx::query_scalar!(
        r#"
        -- Key by key through the index, however many finished jobs there are.
        select wanted.key as "key!"
        from unnest($2::text[]) as wanted (key)
        cross join lateral (
            select from apalis.jobs
            where job_type = $1 and idempotency_key = wanted.key
                and (status in ('Pending', 'Queued', 'Running') or (status = 'Failed' and attempts < max_attempts))
            limit 1
        ) alive
        "#,
        J::QUEUE,
        &keys,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut missing = 0;
    for job in wanted.iter().filter(|job| !alive.contains(&job.key())) {
        jobs::nudge(&mut *db, job).await?;
        missing += 1;
    }
    Ok(missing)
}

/// Campaigns that the dispatcher has work in: those that run, and those stopped lately that still have waiting leads to let go.
pub async fn dispatched_campaigns(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<Vec<CampaignId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: CampaignId" from campaigns c
        where status = 'running' or (
            status = 'canceled' and completed_at > $1::timestamptz - interval '2 days' and (
                select l.id from leads l
                where l.campaign_id = c.id and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
                order by l.next_at limit 1
            ) is not null
        )
        order by id
        "#,
        now,
    )
    .fetch_all(db)
    .await
}

/// Scheduled campaigns whose time has come.
pub async fn campaigns_to_start(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<(AccountId, CampaignId)>> {
    let rows = sqlx::query!(
        r#"
        select account_id as "account: AccountId", id as "id: CampaignId" from campaigns
        where status = 'scheduled' and scheduled_start_at <= $1
        order by scheduled_start_at
        limit $2
        "#,
        now,
        LIMIT,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account, row.id)).collect())
}

/// Reserved calls that should have been dialed by now.
pub async fn overdue_reservations(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: CallId" from calls
        where status = 'queued' and lease_until < now()
        order by lease_until
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Calls that the carrier must be asked about: silent past their lease while dialing or ringing; said to be in progress, with
/// no living stream; or in progress for longer than any call may be. One whose flow was just sent back to the voice agent is about
/// to have a stream again.
pub async fn silent_calls(
    db: impl PgExecutor<'_>,
    stream_silence: Duration,
    longest_call: Duration,
) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select c.id as "id: CallId" from calls c
        where c.status in ('dialing', 'ringing', 'in_progress', 'transferred') and c.lease_until < now()
            and (
                c.status in ('dialing', 'ringing')
                or c.updated_at < now() - make_interval(secs => $2)
                or not exists (
                    select from streams s
                    where s.call_id = c.id and s.ended_at is null
                        and s.heartbeat_at > now() - make_interval(secs => $1)
                ) and coalesce(c.sent_back_at < now() - make_interval(secs => $1), true)
            )
        order by c.lease_until
        limit $3
        "#,
        stream_silence.as_secs_f64(),
        longest_call.as_secs_f64(),
        LIMIT,
    )
    .fetch_all(db)
    .await
}

pub async fn unsettled_calls(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: CallId" from calls
        where settled_at is null and withdrawn_at is null
            and status in ('completed', 'busy', 'no_answer', 'failed', 'canceled', 'unknown')
        order by ended_at
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

pub async fn pending_summaries(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select call_id as "id: CallId" from conversations where summary_status = 'pending' order by call_id limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

pub async fn pending_recordings(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"select call_id as "id: CallId" from recordings where status = 'pending' order by created_at limit $1"#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Finished calls with pieces of a recording that nothing has become of.
pub async fn loose_pieces(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select distinct p.call_id as "id!: CallId"
        from recording_pieces p join calls c on c.id = p.call_id
        where c.status not in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')
        order by 1
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Answered calls of the last day whose recording nobody has named for two minutes.
pub async fn unnamed_recordings(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallId>> {
    sqlx::query_scalar!(
        r#"
        select c.id as "id: CallId" from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join campaigns g on g.id = c.campaign_id
        where c.settled_at is not null and c.answered_at is not null and c.carrier_call_id is not null
            and c.direction = 'outbound' and call_is_recorded(g.record, v.settings) and c.status <> 'unknown'
            -- The day by the index, the two minutes by the last change.
            and c.request_sent_at > now() - interval '1 day' and c.updated_at < now() - interval '2 minutes'
            and not exists (select from recordings r where r.call_id = c.id)
        order by c.id desc
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Webhooks of the last day that nobody has applied: their request was cut short, or they outran their call.
pub async fn unapplied_webhooks(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<CallEventId>> {
    sqlx::query_scalar!(
        r#"
        select id as "id: CallEventId" from call_events
        where kind = 'webhook' and applied_at is null
            and received_at between now() - interval '1 day' and now() - interval '5 seconds'
        order by id desc
        limit $1
        "#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

pub async fn unread_imports(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<ImportId>> {
    sqlx::query_scalar!(
        r#"select id as "id: ImportId" from imports where status in ('queued', 'running') order by id limit $1"#,
        LIMIT,
    )
    .fetch_all(db)
    .await
}

/// Leads that say they are being called, while no call of theirs is live, unsettled or being summarised: they wait again.
/// It takes a bug or a hand in the tables to get there; the lead must not be lost to it. Answers how many there were.
pub async fn free_stranded_leads(db: impl PgExecutor<'_>, now: DateTime<Utc>) -> sqlx::Result<u64> {
    let freed = sqlx::query!(
        r#"
        update leads l set status = 'waiting_retry', next_at = $1, updated_at = $1
        where l.status in ('dialing', 'in_call')
            -- Lead by lead through its attempts, whatever the planner thinks of how many are being called. A withdrawn call
            -- let its lead go in the statement that withdrew it.
            and not coalesce((
                select bool_or(
                    c.status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred')
                    or c.settled_at is null
                    -- Its last change may be in a transaction of this moment.
                    or c.updated_at > now() - interval '2 minutes'
                    or exists (select from conversations v where v.call_id = c.id and v.summary_status = 'pending')
                )
                from calls c
                where c.lead_id = l.id and c.withdrawn_at is null
            ), false)
        "#,
        now,
    )
    .execute(db)
    .await?;
    Ok(freed.rows_affected())
}
