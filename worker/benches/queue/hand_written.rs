//! The yardstick: what one would write in an afternoon if nothing ever went wrong. Claim as many as may run at once, run
//! them, acknowledge them together, again. No leases, no retries, no history.

use std::time::Duration;

use futures::future::join_all;
use sqlx::postgres::PgListener;
use sqlx::{PgPool, query, query_as, query_scalar, raw_sql};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::database::BenchDb;
use crate::job::Empty;
use crate::measure::{self, Latency, PICKUPS, Rates, now_us};

const SCHEMA: &str = "
    create table tasks (
        id text primary key,
        key text not null unique,
        payload bytea not null,
        status text not null default 'pending',
        priority int not null default 0,
        attempts int not null default 0,
        run_at timestamptz not null default now(),
        done_at timestamptz
    );
    create index tasks_due on tasks (priority desc, run_at) where status = 'pending';
";

const CLAIM: &str = "
    with picked as (
        select id from tasks where status = 'pending' and run_at <= now()
        order by priority desc, run_at limit $1 for update skip locked
    )
    update tasks set status = 'running', attempts = attempts + 1
    from picked where tasks.id = picked.id
    returning tasks.id, payload
";

async fn create() -> anyhow::Result<BenchDb> {
    let db = BenchDb::create("hand").await?;
    raw_sql(SCHEMA).execute(&db.pool).await?;
    Ok(db)
}

async fn single(pool: &PgPool) -> anyhow::Result<()> {
    let job = Empty::<0>::new();
    query("with t as (insert into tasks (id, key, payload) values ($1, $1, $2)) select pg_notify('tasks', '')")
        .bind(&job.id)
        .bind(serde_json::to_vec(&job)?)
        .execute(pool)
        .await?;
    Ok(())
}

async fn thousand(pool: &PgPool) -> anyhow::Result<()> {
    let jobs = Empty::<0>::thousand();
    let ids: Vec<_> = jobs.iter().map(|job| job.id.clone()).collect();
    let payloads = jobs.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
    query("insert into tasks (id, key, payload) select id, id, payload from unnest($1::text[], $2::bytea[]) as t (id, payload)")
        .bind(ids)
        .bind(payloads)
        .execute(pool)
        .await?;
    Ok(())
}

/// `picked_up` hears of each job at the first line of its handler.
fn start(pool: &PgPool, concurrency: i32, picked_up: mpsc::UnboundedSender<u64>) -> JoinHandle<anyhow::Result<()>> {
    let pool = pool.clone();
    tokio::spawn(async move {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("tasks").await?;
        loop {
            let rows: Vec<(String, Vec<u8>)> = query_as(CLAIM).bind(concurrency).fetch_all(&pool).await?;
            if rows.is_empty() {
                let _ = timeout(Duration::from_secs(1), listener.recv()).await;
                continue;
            }
            let (ids, payloads): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let handlers = payloads.into_iter().map(|payload| {
                let picked_up = picked_up.clone();
                tokio::spawn(async move {
                    let job: Empty = serde_json::from_slice(&payload)?;
                    let _ = picked_up.send(now_us() - job.enqueued_us);
                    anyhow::Ok(())
                })
            });
            join_all(handlers).await;
            query("update tasks set status = 'done', done_at = now() where id = any($1)")
                .bind(ids)
                .execute(&pool)
                .await?;
        }
    })
}

pub async fn enqueue_rates() -> anyhow::Result<Rates> {
    let db = create().await?;
    let rates = measure::enqueue_rates(async || single(&db.pool).await, async || thousand(&db.pool).await).await?;
    db.drop().await?;
    Ok(rates)
}

pub async fn drain(concurrency: i32, jobs: u32) -> anyhow::Result<f64> {
    let db = create().await?;
    for _ in 0..jobs / 1_000 {
        thousand(&db.pool).await?;
    }
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let worker = start(&db.pool, concurrency, picked_up);
    let left =
        async || Ok(query_scalar("select count(*) from tasks where status <> 'done'").fetch_one(&db.pool).await?);
    let rate = measure::until_drained(jobs, left).await?;
    worker.abort();
    db.drop().await?;
    Ok(rate)
}

pub async fn pickup() -> anyhow::Result<Latency> {
    let db = create().await?;
    let (picked_up, mut latencies) = mpsc::unbounded_channel();
    let worker = start(&db.pool, 10, picked_up);
    tokio::time::sleep(Duration::from_secs(1)).await;
    measure::trickle(async || single(&db.pool).await).await?;
    let mut micros = Vec::new();
    latencies.recv_many(&mut micros, PICKUPS).await;
    worker.abort();
    db.drop().await?;
    Ok(Latency::of(micros))
}

pub async fn idle_statements_per_second() -> anyhow::Result<f64> {
    let db = create().await?;
    let (picked_up, _picked_up) = mpsc::unbounded_channel();
    let worker = start(&db.pool, 10, picked_up);
    let rate = measure::transactions_per_second(&db.server, &db.name).await?;
    worker.abort();
    db.drop().await?;
    Ok(rate)
}
