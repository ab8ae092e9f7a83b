//! Clocks, percentiles and targets.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use futures::future::try_join_all;
use sqlx::{PgPool, query_scalar};
use tokio::time::{Instant, sleep};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds on this process's clock: what a job carries, to say when it was enqueued.
pub fn now_us() -> u64 {
    u64::try_from(START.elapsed().as_micros()).expect("the process is younger than 500,000 years")
}

pub struct Rates {
    pub one: f64,
    pub eight: f64,
    pub batch: f64,
}

/// `single` enqueues one job, `thousand` enqueues 1,000 with one statement.
pub async fn enqueue_rates(
    single: impl AsyncFn() -> anyhow::Result<()>,
    thousand: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<Rates> {
    const SINGLES: u32 = 1_500;
    const BATCHES: u32 = 20;
    let many = async |count: u32| -> anyhow::Result<()> {
        for _ in 0..count {
            single().await?;
        }
        Ok(())
    };
    many(50).await?;
    let began = Instant::now();
    many(SINGLES).await?;
    let one = f64::from(SINGLES) / began.elapsed().as_secs_f64();
    let began = Instant::now();
    try_join_all((0..8).map(|_| many(SINGLES / 2))).await?;
    let eight = f64::from(SINGLES / 2 * 8) / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for _ in 0..BATCHES {
        thousand().await?;
    }
    Ok(Rates { one, eight, batch: f64::from(BATCHES * 1_000) / began.elapsed().as_secs_f64() })
}

/// The middle of three runs.
pub async fn median(run: impl AsyncFn() -> anyhow::Result<f64>) -> anyhow::Result<f64> {
    let mut rates = [run().await?, run().await?, run().await?];
    rates.sort_by(f64::total_cmp);
    Ok(rates[1])
}

/// Jobs per second from now until `left` answers 0.
pub async fn until_drained(jobs: u32, left: impl AsyncFn() -> anyhow::Result<i64>) -> anyhow::Result<f64> {
    let began = Instant::now();
    while left().await? > 0 {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(120), "the queue does not drain");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(f64::from(jobs) / began.elapsed().as_secs_f64())
}

/// Milliseconds from the call that enqueues to the first line of the handler.
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latency {
    /// The middle of three by p99: one stall of a busy machine covers several jobs in a row, which is a whole percent.
    pub fn median(mut rounds: [Self; 3]) -> Self {
        rounds.sort_by(|one, other| one.p99.total_cmp(&other.p99));
        let [_, median, _] = rounds;
        median
    }

    pub fn of(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let at = |share: usize| micros.get((micros.len() * share / 100).min(micros.len() - 1)).copied();
        let ms = |micros: Option<u64>| Duration::from_micros(micros.unwrap_or(0)).as_secs_f64() * 1e3;
        Self { p50: ms(at(50)), p99: ms(at(99)), max: ms(micros.last().copied()) }
    }
}

/// How many jobs a measurement of latency takes.
pub const PICKUPS: usize = 200;

/// Enqueues one job per 50 ms.
pub async fn trickle(single: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for _ in 0..PICKUPS {
        single().await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Transactions of a database per second, counted by the server over half a minute. Outside explicit transactions, which
/// nobody here uses while idle, each statement is one.
pub async fn transactions_per_second(server: &PgPool, database: &str) -> anyhow::Result<f64> {
    const WINDOW: Duration = Duration::from_secs(30);
    let count = async || {
        query_scalar::<_, i64>("select xact_commit + xact_rollback from pg_stat_database where datname = $1")
            .bind(database)
            .fetch_one(server)
            .await
    };
    // Past the start, which is not idle yet; the server publishes its counts with a delay.
    sleep(Duration::from_secs(12)).await;
    let (before, began) = (count().await?, Instant::now());
    sleep(WINDOW).await;
    let counted = u32::try_from(count().await? - before)?;
    Ok(f64::from(counted) / began.elapsed().as_secs_f64())
}

pub struct Target {
    name: &'static str,
    value: f64,
    bound: f64,
    at_least: bool,
}

impl Target {
    pub fn at_least(name: &'static str, value: f64, bound: f64) -> Self {
        Self { name, value, bound, at_least: true }
    }

    pub fn at_most(name: &'static str, value: f64, bound: f64) -> Self {
        Self { name, value, bound, at_least: false }
    }

    pub fn is_met(&self) -> bool {
        if self.at_least { self.value >= self.bound } else { self.value <= self.bound }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, verdict) = (if self.at_least { "≥" } else { "≤" }, if self.is_met() { "met" } else { "MISSED" });
        write!(f, "{:<42}{:>6.2}   {sign} {:<4} {verdict}", self.name, self.value, self.bound)
    }
}
