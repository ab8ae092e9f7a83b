//! A database of its own per test, an account in it, and a worker's context that points at the test's outside world.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use serde_json::{Value, json};
use shared::call::Call;
use shared::clock::Clock;
use shared::dispatch::{Dispatched, Reserved, dispatch};
use shared::id::{AccountId, CallId, CampaignId, LeadId};
use shared::jobs::place_call::PlaceCall;
use shared::jobs::settle_call::SettleCall;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, query, query_as, query_scalar};
use worker::config::Config;
use worker::context::Context;
use worker::jobs;
use worker::queue::{JobContext, JobError};

use crate::outside::Outside;

/// Monday, 23 November 2026, 13:00 in India: an ordinary hour to call.
pub const MONDAY_13: &str = "2026-11-23T07:30:00Z";

pub struct World {
    pub db: PgPool,
    pub ctx: Context,
    pub clock: Clock,
    pub outside: Outside,
    pub account: AccountId,
    name: String,
    server: PgConnectOptions,
    /// Recordings; removed with the world.
    files: tempfile::TempDir,
}

/// The `attempt`th of `max_attempts` tries of a job.
pub fn attempt_of(attempt: i32, max_attempts: i32) -> JobContext {
    let mut job_context = JobContext::detached("test");
    (job_context.attempt, job_context.max_attempts) = (attempt, max_attempts);
    job_context
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A worker's settings: everything outside is played by the test.
fn config(outside: &Outside, files: &tempfile::TempDir, settings: &[&str]) -> Config {
    let (base, llm) = (outside.base.as_str(), format!("{}v1", outside.base));
    let mut arguments = vec![
        "worker",
        "--database-url",
        "unused",
        "--our-base-url",
        "http://127.0.0.1:8000",
        "--callback-secret",
        "s3cret",
        "--exotel-account-sid",
        "acme1",
        "--exotel-api-key",
        "key",
        "--exotel-api-token",
        "token",
        "--exotel-virtual-number",
        "08047112233",
        "--exotel-exophlo-id",
        "1001",
        "--exotel-api-base-url",
        base,
        "--openai-api-key",
        "llm-key",
        "--openai-base-url",
        &llm,
        "--carrier-timeout-secs",
        "1",
        "--exotel-calls-per-second",
        "1000",
        "--twilio-api-base-url",
        base,
        "--recordings-dir",
        files.path().to_str().unwrap(),
    ];
    for setting in settings.chunks(2) {
        if let Some(at) = arguments.iter().position(|known| known == &setting[0]) {
            arguments.drain(at..at + 2);
        }
        arguments.extend(setting);
    }
    Config::try_parse_from(arguments).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With further command-line settings of the worker.
    pub async fn with(settings: &[&str]) -> Self {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a server; see bin/lib/dev-env.sh");
        let server = PgConnectOptions::from_str(&url).unwrap();
        let name = format!("dispatch_test_{}", ulid::Ulid::generate()).to_lowercase();
        let mut connection = server.connect().await.unwrap();
        query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let options = server.clone().database(&name).disable_statement_logging();
        let db = PgPoolOptions::new().max_connections(24).connect_lazy_with(options);
        shared::db::migrate(&db).await.unwrap();

        let outside = Outside::start().await;
        let files = tempfile::tempdir().unwrap();
        let mut ctx = Context::new(&config(&outside, &files, settings), db.clone()).unwrap();
        let clock = Clock::fixed(at(MONDAY_13));
        ctx.clock = clock.clone();

        let account = query_scalar(
            "insert into accounts (name, calls_per_second, min_gap_minutes) values ('Acme', 1000, 0) returning id",
        )
        .fetch_one(&db)
        .await
        .unwrap();
        let world = Self { db, ctx, clock, outside, account: AccountId(account), name, server, files };
        let mut conn = world.db.acquire().await.unwrap();
        shared::voice_agent::ensure_default(&mut conn, world.account).await.unwrap();
        world
    }

    /// Another worker of the same installation, with other settings.
    pub fn configure(&mut self, settings: &[&str]) {
        self.ctx = Context::new(&config(&self.outside, &self.files, settings), self.db.clone()).unwrap();
        self.ctx.clock = self.clock.clone();
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A running campaign, 10:00 to 19:00 but on Sundays, with that many leads in India.
    pub async fn campaign(&self, leads: usize) -> CampaignId {
        let id: i64 = query_scalar(
            r#"
            insert into campaigns (account_id, voice_agent_id, name, status, calling_hours, retry_policy, created_at, updated_at, started_at)
            select $1, id, 'Test', 'running', $2, '{}', $3, $3, $3 from voice_agents where account_id = $1
            returning id
            "#,
        )
        .bind(self.account.0)
        .bind(json!(shared::calling_window::CallingHours::default()))
        .bind(self.now())
        .fetch_one(&self.db)
        .await
        .unwrap();
        for _ in 0..leads {
            self.lead(CampaignId(id)).await;
        }
        CampaignId(id)
    }

    /// A lead with a number of its own.
    pub async fn lead(&self, campaign: CampaignId) -> LeadId {
        let count: i64 = query_scalar("select count(*) from contacts").fetch_one(&self.db).await.unwrap();
        self.lead_with(campaign, &format!("+9198{count:08}"), "Asia/Kolkata", 0).await
    }

    pub async fn lead_with(&self, campaign: CampaignId, phone: &str, zone: &str, priority: i32) -> LeadId {
        let id = query_scalar(
            r#"
            with person as (
                insert into contacts (account_id, phone, created_at) values ($1, $3, $5)
                on conflict (account_id, phone) do update set phone = excluded.phone
                returning id
            )
            insert into leads (account_id, campaign_id, contact_id, phone, country, time_zone, priority, next_at, created_at,
                updated_at, name)
            select $1, $2, id, $3, 'IN', $4, $6, $5, $5, $5, 'Ravi' from person
            returning id
            "#,
        )
        .bind(self.account.0)
        .bind(campaign.0)
        .bind(phone)
        .bind(zone)
        .bind(self.now())
        .bind(priority)
        .fetch_one(&self.db)
        .await
        .unwrap();
        LeadId(id)
    }

    pub async fn sql(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.db).await.unwrap();
    }

    pub async fn number(&self, statement: &str) -> i64 {
        query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&self.db).await.unwrap()
    }

    pub async fn number_pair(&self, statement: &str) -> (i64, i64) {
        query_as(AssertSqlSafe(statement.to_owned())).fetch_one(&self.db).await.unwrap()
    }

    pub async fn guards(&self, call: CallId) -> Value {
        query_scalar("select guards from calls where id = $1").bind(call.0).fetch_one(&self.db).await.unwrap()
    }

    pub async fn text(&self, statement: &str) -> Option<String> {
        query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&self.db).await.unwrap()
    }

    pub async fn dispatch(&self, campaign: CampaignId) -> Dispatched {
        let mut tx = self.db.begin().await.unwrap();
        let dispatched = dispatch(&mut tx, campaign, self.now(), &self.ctx.settings.limits).await.unwrap();
        tx.commit().await.unwrap();
        dispatched
    }

    pub async fn reserve(&self, campaign: CampaignId) -> Reserved {
        match self.dispatch(campaign).await {
            Dispatched::Reserved(reserved) => reserved,
            other => panic!("nothing was reserved: {other:?}"),
        }
    }

    /// Reserves exactly one call.
    pub async fn reserve_one(&self, campaign: CampaignId) -> CallId {
        let reserved = self.reserve(campaign).await;
        let [only] = reserved.calls[..] else { panic!("{reserved:?}") };
        only
    }

    pub async fn place(&self, call: CallId) -> Result<(), JobError> {
        self.place_on_attempt(call, 1).await
    }

    pub async fn place_on_attempt(&self, call: CallId, attempt: i32) -> Result<(), JobError> {
        let job = PlaceCall { call_id: call };
        jobs::place_call::run(job, attempt_of(attempt, 20), self.ctx.clone()).await
    }

    /// A call that the carrier has in hand.
    pub async fn placed(&self, campaign: CampaignId) -> CallId {
        let call = self.reserve_one(campaign).await;
        self.place(call).await.unwrap();
        call
    }

    pub async fn settle(&self, call: CallId) {
        jobs::settle_call::run(SettleCall { call_id: call }, JobContext::detached("settle"), self.ctx.clone())
            .await
            .unwrap();
    }

    /// As the carrier reports it, then settled.
    pub async fn ends(&self, call: CallId, status: shared::call::CallStatus) {
        let mut tx = self.db.begin().await.unwrap();
        let update = shared::call::StatusUpdate::new(status, self.now());
        Call::apply_status(&mut tx, call, &update).await.unwrap();
        tx.commit().await.unwrap();
        self.settle(call).await;
    }

    /// Answered, with these words of the callee.
    pub async fn speaks(&self, call: CallId, words: &str) {
        let mut tx = self.db.begin().await.unwrap();
        let stream = shared::stream::NewStream {
            stream_sid: "stream",
            instance: "media-1",
            longest_call: std::time::Duration::from_secs(600),
        };
        shared::stream::begin(&mut tx, call, &stream, self.now()).await.unwrap();
        let turn = |seq, role, text: &str| shared::turn::Turn {
            seq,
            role,
            text: text.into(),
            interrupted: false,
            started_ms: 0,
            ended_ms: 900,
            stages: json!({}),
        };
        for turn in [turn(0, shared::turn::Role::Agent, "Hello"), turn(1, shared::turn::Role::Callee, words)] {
            shared::turn::insert(&mut tx, self.account, call, &turn).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    pub async fn call(&self, call: CallId) -> Call {
        Call::get(&self.db, call).await.unwrap().unwrap()
    }

    /// Status, attempts and next moment of the lead behind a call.
    pub async fn lead_of(&self, call: CallId) -> (String, i32, DateTime<Utc>) {
        query_as("select l.status, l.attempts, l.next_at from leads l join calls c on c.lead_id = l.id where c.id = $1")
            .bind(call.0)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    pub async fn event_kinds(&self, call: CallId) -> Vec<String> {
        query_scalar("select kind from call_events where call_id = $1 order by id")
            .bind(call.0)
            .fetch_all(&self.db)
            .await
            .unwrap()
    }

    pub async fn notes(&self, call: CallId) -> Value {
        query_scalar("select to_jsonb(v) from conversations v where call_id = $1")
            .bind(call.0)
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    /// Uploads a CSV file to the campaign and reads it.
    pub async fn import(&self, campaign: CampaignId, csv: &str) -> shared::import::Import {
        let mut tx = self.db.begin().await.unwrap();
        let upload =
            shared::import::Upload { file_name: "leads.csv", content_type: Some("text/csv"), content: csv.as_bytes() };
        let import_id = shared::import::create(&mut tx, self.account, campaign, &upload, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        let job = shared::jobs::import_leads::ImportLeads { import_id };
        jobs::import_leads::run(job, JobContext::detached("import"), self.ctx.clone()).await.unwrap();
        shared::import::get(&self.db, self.account, import_id).await.unwrap().unwrap()
    }

    pub async fn has_job(&self, key: &str) -> bool {
        let found: i64 = query_scalar("select count(*) from apalis.jobs where idempotency_key = $1")
            .bind(key)
            .fetch_one(&self.db)
            .await
            .unwrap();
        found == 1
    }
}

pub fn snoozed(outcome: Result<(), JobError>) -> Duration {
    match outcome {
        Err(JobError::Snooze { delay, .. }) => delay,
        other => panic!("it did not snooze: {other:?}"),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = server.connect().await.unwrap();
                let statement = format!("drop database if exists {name} with (force)");
                query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            });
        });
        let _ = dropping.join();
    }
}
