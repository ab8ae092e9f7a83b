//! An account with its campaigns, and the product's own jobs at work on it.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Parser;
use shared::calling_window::CallingHours;
use shared::campaign::{Campaign, CampaignSettings};
use shared::clock::Clock;
use shared::id::{AccountId, CampaignId, ImportId};
use shared::import::{self, ImportStatus, Upload};
use shared::jobs::import_leads::ImportLeads;
use shared::retry_policy::RetryPolicy;
use shared::{account, campaign_window, voice_agent};
use sqlx::{AssertSqlSafe, PgPool, query, query_scalar};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use worker::config::Config;
use worker::context::Context;
use worker::queue::{JobContext, RunnerError, RunnerSettings};
use worker::{jobs, registry};

use crate::carrier::BusyCarrier;
use crate::database::BenchDb;
use crate::list;

/// Monday, 23 November 2026, 13:00 in India; the clock stands still there.
const MONDAY_13: &str = "2026-11-23T07:30:00Z";

pub struct World {
    pub db: BenchDb,
    pub clock: Clock,
}

/// What was seen of an import from outside.
pub struct Imported {
    pub took: Duration,
    /// Different numbers of rows that its progress showed on the way.
    pub steps_seen: usize,
}

impl World {
    pub async fn create() -> anyhow::Result<Self> {
        let now: DateTime<Utc> = MONDAY_13.parse()?;
        Ok(Self { db: BenchDb::create().await?, clock: Clock::fixed(now) })
    }

    /// Nothing but its campaigns' caps holds it back.
    pub async fn account(&self, pool: &PgPool) -> anyhow::Result<AccountId> {
        let account = account::create(pool, "Bench", "IN", "Asia/Kolkata").await?;
        query("update accounts set calls_per_second = 100000, max_concurrent_calls = 10000 where id = $1")
            .bind(account.0)
            .execute(pool)
            .await?;
        Ok(account)
    }

    pub async fn campaign(&self, pool: &PgPool, account: AccountId) -> anyhow::Result<CampaignId> {
        let mut conn = pool.acquire().await?;
        let settings = CampaignSettings {
            name: "Bench".into(),
            description: None,
            voice_agent_id: voice_agent::ensure_default(&mut conn, account).await?,
            calling_hours: CallingHours::default(),
            holidays: Vec::new(),
            time_zone: None,
            retry_policy: RetryPolicy::default(),
            max_concurrent_calls: 1,
            calls_per_second: None,
            scheduled_start_at: None,
            ends_at: None,
            record: true,
            require_consent: false,
            consent_max_age_days: None,
            voicemail_message: None,
        };
        Ok(Campaign::create(&mut *conn, account, &settings, self.clock.now()).await?.id)
    }

    /// Uploads `rows` people and has the product's job read them, while somebody looks at the progress.
    pub async fn import(
        &self,
        context: &Context,
        account: AccountId,
        campaign: CampaignId,
        first: usize,
        rows: usize,
        zones: usize,
    ) -> anyhow::Result<Imported> {
        let text = list::csv(first, rows, zones);
        let began = Instant::now();
        let mut tx = context.db.begin().await?;
        let upload = Upload { file_name: "leads.csv", content_type: Some("text/csv"), content: text.as_bytes() };
        let id = import::create(&mut tx, account, campaign, &upload, self.clock.now()).await?;
        tx.commit().await?;
        let watching = tokio::spawn(watch(context.db.clone(), account, id));
        jobs::import_leads::run(ImportLeads { import_id: id }, JobContext::detached("bench"), context.clone())
            .await
            .map_err(|error| anyhow::anyhow!("the list could not be read: {error:?}"))?;
        let took = began.elapsed();
        let import = import::get(&context.db, account, id).await?.context("the import is gone")?;
        anyhow::ensure!(import.rows_imported == i64::try_from(rows)?, "{} of {rows} rows", import.rows_imported);
        Ok(Imported { took, steps_seen: watching.await?? })
    }

    pub async fn start(&self, pool: &PgPool, account: AccountId, campaign: CampaignId) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut tx = pool.begin().await?;
        let started = Campaign::start(&mut tx, account, campaign, self.clock.now()).await?;
        anyhow::ensure!(started.is_some(), "the campaign does not start");
        campaign_window::refresh(&mut tx, campaign, self.clock.now()).await?;
        tx.commit().await?;
        Ok(began.elapsed())
    }

    /// Lets the campaign have `slots` calls more than it has.
    pub async fn free_slots(&self, pool: &PgPool, campaign: CampaignId, slots: i64) -> anyhow::Result<()> {
        query(
            "update campaigns set max_concurrent_calls = $2 + (select count(*) from calls where campaign_id = $1
                and account_id = campaigns.account_id
                and status in ('queued', 'dialing', 'ringing', 'in_progress', 'transferred'))
             where id = $1",
        )
        .bind(campaign.0)
        .bind(slots)
        .execute(pool)
        .await?;
        Ok(())
    }

    /// As after some hours of busy callees: everybody waits for another attempt, and nobody is due.
    pub async fn everybody_waits(&self, account: AccountId) -> anyhow::Result<()> {
        // Page by page and not in one statement, with room reclaimed on the way, as hours of calls would have done it.
        const PAGE: i64 = 50_000;
        let last: i64 = query_scalar("select coalesce(max(id), 0) from leads").fetch_one(&self.db.observer).await?;
        for from in (0..=last).step_by(PAGE as usize) {
            query(
                "update leads set status = 'waiting_retry', next_at = $2 + make_interval(mins => 240 + id::int % 120)
                 where account_id = $1 and status = 'pending' and id > $3 and id <= $4",
            )
            .bind(account.0)
            .bind(self.clock.now())
            .bind(from)
            .bind(from + PAGE)
            .execute(&self.db.observer)
            .await?;
        }
        self.db.tidy().await
    }

    /// The worker as `main` builds it, in front of `carrier`.
    pub fn context(&self, pool: &PgPool, carrier: &url::Url) -> anyhow::Result<Context> {
        let config = Config::try_parse_from([
            "worker",
            "--database-url",
            "unused",
            "--our-base-url",
            "http://127.0.0.1:8000",
            "--callback-secret",
            "bench",
            "--exotel-account-sid",
            "bench1",
            "--exotel-api-key",
            "key",
            "--exotel-api-token",
            "token",
            "--exotel-virtual-number",
            "08047112233",
            "--exotel-exophlo-id",
            "1001",
            "--exotel-api-base-url",
            carrier.as_str(),
            "--exotel-calls-per-second",
            "100000",
        ])?;
        let mut context = Context::new(&config, pool.clone())?;
        context.clock = self.clock.clone();
        Ok(context)
    }
}

/// Looks at an import every few milliseconds, as `GET /imports/{id}` does.
async fn watch(pool: PgPool, account: AccountId, id: ImportId) -> anyhow::Result<usize> {
    let mut seen = Vec::new();
    loop {
        let import = import::get(&pool, account, id).await?.context("the import is gone")?;
        if import.status == ImportStatus::Running && seen.last() != Some(&import.rows_total) {
            seen.push(import.rows_total);
        }
        if import.status.is_finished() {
            return Ok(seen.len());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A running worker and the carrier that it calls.
pub struct Running {
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunnerError>>,
    worker: PgPool,
    api: PgPool,
    _carrier: BusyCarrier,
}

impl Running {
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let (worker, api) = (world.db.pool("worker", 16)?, world.db.pool("api", 20)?);
        let carrier = BusyCarrier::start(api.clone(), world.clock.clone()).await?;
        let context = world.context(&worker, &carrier.base)?;
        let runner = registry::runner(&worker, RunnerSettings::new("bench"), context)?;
        let stop = CancellationToken::new();
        let signal = stop.clone().cancelled_owned();
        let running = tokio::spawn(async move { runner.run(signal).await });
        Ok(Self { stop, running, worker, api, _carrier: carrier })
    }

    /// Waits until `statement`, a count that grows, has come to `wanted`.
    pub async fn until(&self, world: &World, statement: &str, wanted: i64) -> anyhow::Result<()> {
        let (mut before, mut moved) = (i64::MIN, Instant::now());
        loop {
            let now: i64 = query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&world.db.observer).await?;
            if now >= wanted {
                return Ok(());
            }
            if now > before {
                (before, moved) = (now, Instant::now());
            }
            if moved.elapsed() > Duration::from_secs(60) {
                let trouble: Vec<String> = query_scalar(
                    "select concat_ws(' ', queue, outcome, count(*), max(left(error, 200))) from job_attempts
                     where finished_at > now() - interval '1 minute' group by queue, outcome order by 1",
                )
                .fetch_all(&world.db.observer)
                .await?;
                anyhow::bail!("it stands still at {now} of {wanted}; the last minute's jobs: {trouble:?}");
            }
            anyhow::ensure!(!self.running.is_finished(), "the worker ended");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Drains; the server has its counts when this returns.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.running.await??;
        self.worker.close().await;
        self.api.close().await;
        Ok(())
    }
}
