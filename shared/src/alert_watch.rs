//! What raises alerts by itself, without anybody's call failing: `sweep` looks for it.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::alert::{self, AlertKind, NewAlert};
use crate::id::{AccountId, CampaignId};
use crate::jobs::Job;
use crate::jobs::deliver_alert::DeliverAlert;

/// Dead letters looked at in one sweep; they are alike, and one alert tells of all.
const DEAD_JOBS: i64 = 200;

/// Raises an alert for each campaign with calls of which nobody can say what became, unless somebody has seen those, and
/// resolves the ones whose calls have been explained.
pub async fn unknown_calls(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update alerts a set resolved_at = $1, changed_at = now()
        where kind = 'call_unknown' and resolved_at is null and not exists (
            select from calls c
            where c.account_id = a.account_id and c.status = 'unknown' and c.campaign_id is not distinct from a.campaign_id
        )
        "#,
        now,
    )
    .execute(&mut *db)
    .await?;
    let found = sqlx::query!(
        r#"
        select c.account_id as "account: AccountId", c.campaign_id as "campaign: CampaignId", count(*) as "calls!",
            min(c.id) as "first!"
        from calls c
        where c.status = 'unknown'
            and not exists (
                select from alerts a
                where a.account_id = c.account_id and a.kind = 'call_unknown'
                    and a.campaign_id is not distinct from c.campaign_id
                    and (a.resolved_at is null or a.changed_at >= c.updated_at)
            )
        group by 1, 2
        "#,
    )
    .fetch_all(&mut *db)
    .await?;
    for row in found {
        let calls = if row.calls == 1 {
            "call".to_owned()
        } else {
            format!("calls, of which call {} is the first,", row.first)
        };
        let detail = format!(
            "The carrier cannot say whether {} {calls} rang. Nothing redials them by itself: look them up at the carrier, then \
             decide. `GET /calls?status=unknown` lists them.",
            row.calls
        );
        let (title, kind) = ("Nobody can say what became of calls", AlertKind::CallUnknown);
        let alert =
            NewAlert { account_id: row.account, kind, campaign_id: row.campaign, title, detail: &detail, at: now };
        alert::raise(&mut *db, alert).await?;
    }
    Ok(())
}

/// Raises an alert for each account with dead letters that nobody has seen, and resolves those of accounts that have none any
/// more. An alert that cannot be delivered raises none: nobody would hear of it either.
pub async fn dead_jobs(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<()> {
    let mut of_account: Vec<(AccountId, Vec<String>)> = Vec::new();
    for job in dead(&mut *db).await? {
        let Some((account, about)) = owner(&mut *db, &job).await? else { continue };
        let unseen = !seen(&mut *db, account, job.done_at).await?;
        let line = format!("{} ({about}) after {} tries", job.queue, job.attempts);
        match of_account.iter_mut().find(|(known, _)| *known == account) {
            Some((_, lines)) if unseen => lines.push(line),
            Some(_) => {}
            None => of_account.push((account, if unseen { vec![line] } else { Vec::new() })),
        }
    }
    let still_dead: Vec<i64> = of_account.iter().map(|(account, _)| account.0).collect();
    sqlx::query!(
        r#"
        update alerts set resolved_at = $1, changed_at = now()
        where kind = 'dead_job' and resolved_at is null and account_id <> all($2)
        "#,
        now,
        &still_dead,
    )
    .execute(&mut *db)
    .await?;
    for (account_id, lines) in of_account.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let more = if lines.len() > 1 { format!(", and {} more", lines.len() - 1) } else { String::new() };
        let detail = format!(
            "Gave up: {}{more}. The reason stands in the history of the job's attempts; run it again when it is removed.",
            lines[0]
        );
        let (title, kind) = ("A job has given up", AlertKind::DeadJob);
        alert::raise(&mut *db, NewAlert { account_id, kind, campaign_id: None, title, detail: &detail, at: now })
            .await?;
    }
    Ok(())
}

struct DeadJob {
    queue: String,
    payload: Vec<u8>,
    attempts: i32,
    done_at: DateTime<Utc>,
}

async fn dead(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<DeadJob>> {
    sqlx::query_as!(
        DeadJob,
        r#"
        select job_type as queue, job as payload, attempts, done_at as "done_at!" from apalis.jobs
        where status = 'Killed' and done_at is not null and job_type <> $1
            -- Canceled by an operator, who knows.
            and not coalesce(metadata, '') ? 'cancel_requested_at'
        order by done_at desc
        limit $2
        "#,
        DeliverAlert::QUEUE,
        DEAD_JOBS,
    )
    .fetch_all(db)
    .await
}

/// Whose job it was, and what it was about; `None` for one of nobody's, or whose payload says nothing.
async fn owner(db: impl PgExecutor<'_>, job: &DeadJob) -> sqlx::Result<Option<(AccountId, String)>> {
    let payload: serde_json::Value = serde_json::from_slice(&job.payload).unwrap_or_default();
    let id = |name: &str| payload["data"][name].as_i64();
    let (call, campaign, import) = (id("call_id"), id("campaign_id"), id("import_id"));
    let about = [("call", call), ("campaign", campaign), ("import", import)]
        .into_iter()
        .find_map(|(name, id)| Some(format!("{name} {}", id?)));
    let Some(about) = about else { return Ok(None) };
    let account = sqlx::query_scalar!(
        r#"
        select coalesce(
            (select account_id from calls where id = $1), (select account_id from campaigns where id = $2),
            (select account_id from imports where id = $3)
        ) as "account: AccountId"
        "#,
        call,
        campaign,
        import,
    )
    .fetch_one(db)
    .await?;
    Ok(account.map(|account| (account, about)))
}

/// Whether an alert of a later moment told of it and is resolved, or one is open.
async fn seen(db: impl PgExecutor<'_>, account: AccountId, since: DateTime<Utc>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from alerts
            where account_id = $1 and kind = 'dead_job' and (resolved_at is null or changed_at >= $2)
        ) as "seen!"
        "#,
        account as AccountId,
        since,
    )
    .fetch_one(db)
    .await
}
