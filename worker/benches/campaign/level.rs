//! One size of campaign, from its list to its settled calls; and the tables that compare sizes.

use std::fmt;
use std::time::Duration;

use shared::call_detail::{self, CallFilter};
use shared::id::{AccountId, CampaignId};
use shared::jobs::sweep::Sweep;
use shared::lead::{self, LeadFilter};
use shared::{campaign, jobs, report};
use sqlx::{PgPool, query};
use tokio::time::Instant;

use crate::database::{Statement, Written};
use crate::list::{ROWS_PER_FILE, ZONES};
use crate::plans::{self, Collected};
use crate::ticks::{self, CALLS_PER_TICK, Ticks};
use crate::world::{Running, World};

const CAMPAIGNS: usize = 20;
const TICKS: usize = 60;
/// A campaign has at most 1,000 calls at once.
const MOST_SLOTS: i64 = 900;
/// A page of the API shows so many.
const PAGE: i64 = 50;

pub struct Level {
    leads: usize,
    account: AccountId,
    campaign: CampaignId,
    many: Vec<CampaignId>,
    many_account: AccountId,
    import_secs_per_100k: f64,
    slowest_file_secs: f64,
    progress_steps: usize,
    start: Duration,
    one: Ticks,
    twenty: Ticks,
    idle: Ticks,
    full: Ticks,
    dialed_per_second: f64,
    per_call: Written,
    calls: i64,
    /// While they were dialed and settled.
    statements: Vec<Statement>,
    report: Duration,
}

impl Level {
    pub async fn measure(world: &World, leads: usize, calls: usize) -> anyhow::Result<Self> {
        let pool = world.db.pool("bench", 8)?;
        let no_carrier = url::Url::parse("http://127.0.0.1:9")?;
        let context = world.context(&pool, &no_carrier)?;
        let account = world.account(&pool).await?;
        let campaign = world.campaign(&pool, account).await?;
        let (mut total, mut slowest, mut steps) = (Duration::ZERO, Duration::ZERO, usize::MAX);
        for first in (0..leads).step_by(ROWS_PER_FILE) {
            let rows = ROWS_PER_FILE.min(leads - first);
            let imported = world.import(&context, account, campaign, first, rows, 1).await?;
            (total, slowest) = (total + imported.took, slowest.max(imported.took));
            steps = steps.min(imported.steps_seen);
        }
        world.db.tidy().await?;
        let start = world.start(&pool, account, campaign).await?;
        let one = ticks::measure(world, &pool, &[campaign], TICKS, CALLS_PER_TICK).await?;
        let full = ticks::measure(world, &pool, &[campaign], 3, 100).await?;

        let many_account = world.account(&pool).await?;
        let mut many = Vec::new();
        for number in 0..CAMPAIGNS {
            let campaign = world.campaign(&pool, many_account).await?;
            let rows = leads / CAMPAIGNS;
            world.import(&context, many_account, campaign, number * rows, rows, ZONES.len()).await?;
            world.start(&pool, many_account, campaign).await?;
            many.push(campaign);
        }
        world.db.tidy().await?;
        let twenty = ticks::measure(world, &pool, &many, 5, CALLS_PER_TICK).await?;

        // Reserved above; the rest of the calls as slots become free.
        world.free_slots(&pool, campaign, 0).await?;
        query("update campaigns set max_concurrent_calls = $2 where id = $1")
            .bind(campaign.0)
            .bind(MOST_SLOTS)
            .execute(&pool)
            .await?;
        let (dialed_per_second, per_call, calls) = dial(world, i64::try_from(calls.min(leads / 2))?).await?;
        let statements = world.db.busiest(100).await?;
        let began = Instant::now();
        let mut conn = pool.acquire().await?;
        report::campaign(&mut conn, account, campaign, "Asia/Kolkata").await?;
        campaign::counts(&mut *conn, &[campaign]).await?;
        drop(conn);
        let report = began.elapsed();
        world.everybody_waits(account).await?;
        let idle = ticks::measure(world, &pool, &[campaign], TICKS, CALLS_PER_TICK).await?;
        pool.close().await;
        Ok(Self {
            leads,
            account,
            campaign,
            many,
            many_account,
            import_secs_per_100k: total.as_secs_f64() * 100_000.0 / leads as f64,
            slowest_file_secs: slowest.as_secs_f64(),
            progress_steps: steps,
            start,
            one,
            twenty,
            idle,
            full,
            dialed_per_second,
            per_call,
            calls,
            statements,
            report,
        })
    }

    /// What a call's bytes and milliseconds go to.
    pub fn print_statements(&self) {
        let per_call = |value: f64| value / self.calls.max(1) as f64;
        let mut statements = self.statements.clone();
        statements.sort_by_key(|statement| std::cmp::Reverse(statement.wal_bytes));
        println!("per call, in the database {:>14}{:>14}{:>10}", "times", "WAL bytes", "ms");
        for statement in statements.iter().take(16) {
            println!(
                "{:>40.2}{:>14.0}{:>10.3}   {}",
                per_call(statement.calls as f64),
                per_call(statement.wal_bytes as f64),
                per_call(statement.ms),
                statement.text
            );
        }
        println!();
    }
}

/// Has the worker dial and settle about `target` calls, and all that it began; answers calls per second, what was written, and
/// how many calls it was.
async fn dial(world: &World, target: i64) -> anyhow::Result<(f64, Written, i64)> {
    const SETTLED: &str = "select count(*) from calls where settled_at is not null and withdrawn_at is null";
    world.db.forget_statements().await?;
    let before = world.db.written().await?;
    let running = Running::start(world).await?;
    let began = Instant::now();
    running.until(world, SETTLED, target).await?;
    // What is counted was done from the first row to the last.
    finish(world, &running).await?;
    let took = began.elapsed();
    running.stop().await?;
    let calls = world.db.number(SETTLED).await?;
    resume(world).await?;
    Ok((calls as f64 / took.as_secs_f64(), world.db.written().await? - before, calls))
}

/// Lets nobody new be called, and every call come to its end.
async fn finish(world: &World, running: &Running) -> anyhow::Result<()> {
    query("update campaigns set status = 'paused', pause_reason = 'operator' where status = 'running'")
        .execute(&world.db.observer)
        .await?;
    running.until(world, "select -count(*) from calls where settled_at is null", 0).await
}

async fn resume(world: &World) -> anyhow::Result<()> {
    query("update campaigns set status = 'running', pause_reason = null where status = 'paused'")
        .execute(&world.db.observer)
        .await?;
    Ok(())
}

/// Every campaign runs, and nobody is due in any.
pub async fn rest(world: &World, level: &Level) -> anyhow::Result<()> {
    resume(world).await?;
    world.everybody_waits(level.many_account).await
}

/// Everything hot once more, while the server writes down its plans.
pub async fn plans(world: &World, level: &Level) -> anyhow::Result<Collected> {
    let from = plans::begin(&world.db).await?;
    let pool = world.db.pool("bench", 4)?;
    let settled = world.db.number("select count(*) from calls where settled_at is not null").await?;
    for campaign in &level.many {
        world.free_slots(&pool, *campaign, 5).await?;
    }
    // One number is no longer to be called: a candidate that is set aside.
    query(
        "insert into do_not_call (account_id, phone, reason, source, created_at)
         select account_id, phone, 'bench', 'operator', created_at from leads
         where campaign_id = $1 and status = 'pending' order by next_at, id limit 5000",
    )
    .bind(level.many[0].0)
    .execute(&pool)
    .await?;
    // The last campaign is over, the one before it pauses with calls reserved.
    let (over, paused) = (level.many[CAMPAIGNS - 1], level.many[CAMPAIGNS - 2]);
    ticks::measure(world, &pool, &[paused], 1, 5).await?;
    query("update campaigns set status = 'paused', pause_reason = 'operator' where id = $1")
        .bind(paused.0)
        .execute(&pool)
        .await?;
    query("update campaigns set ends_at = $2 where id = $1")
        .bind(over.0)
        .bind(world.clock.now())
        .execute(&pool)
        .await?;
    // A call of which nobody ever heard, a settled one that nobody wrote down: what sweep looks for.
    let running = Running::start(world).await?;
    for campaign in &level.many {
        jobs::nudge(&pool, &shared::jobs::dispatch_campaign::DispatchCampaign { campaign_id: *campaign }).await?;
    }
    running.until(world, "select count(*) from calls where settled_at is not null", settled + 100).await?;
    for round in 1..=3 {
        jobs::nudge(&pool, &Sweep::default()).await?;
        let done = format!(
            "select count(*) from job_attempts where queue = 'sweep' and finished_at > now() - interval '{} s'",
            60
        );
        running.until(world, &done, round).await?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    look(world, &pool, level).await?;
    finish(world, &running).await?;
    running.stop().await?;
    pool.close().await;
    plans::end(&world.db, from).await
}

/// As often as it takes the server to settle for a generic plan, if it will.
async fn look(world: &World, pool: &PgPool, level: &Level) -> anyhow::Result<()> {
    let half = i64::try_from(level.leads / 2)?;
    for _ in 0..7 {
        for (account, campaign) in [(level.account, level.campaign), (level.many_account, level.many[0])] {
            let mut tx = shared::db::tenant(pool, account).await?;
            lead::list(&mut *tx, account, campaign, &LeadFilter::default(), None, 0, PAGE).await?;
            let waiting = LeadFilter { status: Some(lead::LeadStatus::WaitingRetry), ..LeadFilter::default() };
            lead::list(&mut *tx, account, campaign, &waiting, Some(half), 0, PAGE).await?;
            let filter = CallFilter { campaign_id: Some(campaign), ..CallFilter::default() };
            call_detail::list(&mut *tx, account, &filter, None, 0, PAGE).await?;
            call_detail::list(&mut *tx, account, &CallFilter::default(), None, 0, PAGE).await?;
            campaign::counts(&mut *tx, &[campaign]).await?;
            report::campaign(&mut tx, account, campaign, "Asia/Kolkata").await?;
            tx.commit().await?;
        }
    }
    anyhow::ensure!(world.db.number("select count(*) from calls").await? > 0, "nobody was called");
    Ok(())
}

pub async fn print_sizes(world: &World) -> anyhow::Result<()> {
    println!("sizes at the end, MB{:>24}{:>10}{:>14}", "table", "indexes", "rows");
    for relation in world.db.relations().await?.into_iter().take(8) {
        let mb = |bytes: i64| bytes as f64 / 1e6;
        println!(
            "  {:<30}{:>12.1}{:>10.1}{:>14.0}",
            relation.name,
            mb(relation.table_bytes),
            mb(relation.index_bytes),
            relation.rows
        );
    }
    println!();
    Ok(())
}

pub fn print(levels: &[Level]) {
    let line = |name: &str, value: &dyn Fn(&Level) -> String| {
        let values: String = levels.iter().map(|level| format!("{:>14}", value(level))).collect();
        println!("{name:<52}{values}");
    };
    line("leads", &|level| level.leads.to_string());
    line("import, s per 100,000 rows", &|level| format!("{:.2}", level.import_secs_per_100k));
    line("  the slowest file of at most 100,000, s", &|level| format!("{:.2}", level.slowest_file_secs));
    line("  steps of progress seen, at least", &|level| level.progress_steps.to_string());
    line("start, ms", &|level| format!("{:.1}", level.start.as_secs_f64() * 1e3));
    for (name, ticks) in [
        ("tick of 10 calls, 1 campaign", (|level| &level.one) as fn(&Level) -> &Ticks),
        ("tick of 10 calls, 20 campaigns × 30 zones", |level| &level.twenty),
        ("tick that finds nobody due", |level| &level.idle),
    ] {
        line(&format!("{name}, p50 ms"), &|level| format!("{:.2}", ticks(level).p50_ms));
        line("  p99 ms", &|level| format!("{:.2}", ticks(level).p99_ms));
        line("  pages", &|level| format!("{:.0}", ticks(level).blocks));
    }
    line("reserve, calls/s in ticks of 100", &|level| format!("{:.0}", level.full.calls_per_second));
    line("dial and settle, calls/s", &|level| format!("{:.0}", level.dialed_per_second));
    let per_call = |value: i64, level: &Level| format!("{:.1}", value as f64 / level.calls.max(1) as f64);
    line("  calls measured", &|level| level.calls.to_string());
    line("  rows written per call", &|level| per_call(level.per_call.rows, level));
    line("  bytes of WAL per call", &|level| per_call(level.per_call.wal_bytes, level));
    line("  full pages in it per call", &|level| per_call(level.per_call.wal_full_pages, level));
    line("  statements per call", &|level| per_call(level.per_call.statements, level));
    line("  heap-only updates, %", &|level| {
        format!("{:.0}", 100.0 * level.per_call.hot_updates as f64 / level.per_call.updates.max(1) as f64)
    });
    line("analytics and counts, ms", &|level| format!("{:.1}", level.report.as_secs_f64() * 1e3));
    println!();
}

pub struct Target {
    name: String,
    value: f64,
    most: f64,
}

impl Target {
    pub fn is_met(&self) -> bool {
        self.value <= self.most
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met() { "met" } else { "MISSED" };
        write!(f, "{:<60}{:>8.2}   ≤ {:<5} {verdict}", self.name, self.value, self.most)
    }
}

pub fn targets(levels: &[Level]) -> Vec<Target> {
    let mut targets = vec![Target {
        name: "a file of 100,000 rows, s".into(),
        value: levels.iter().map(|level| level.slowest_file_secs).fold(0.0, f64::max),
        most: 10.0,
    }];
    if let (Some(first), Some(last)) = (levels.first(), levels.last())
        && levels.len() > 1
    {
        let growth = |name: &str, of: fn(&Level) -> &Ticks| {
            [("p50", of(last).p50_ms / of(first).p50_ms), ("pages", of(last).blocks / of(first).blocks)].map(
                |(what, value)| Target {
                    name: format!("{name}, {what}: times that of {} leads", first.leads),
                    value,
                    most: 1.5,
                },
            )
        };
        targets.extend(growth("tick, 1 campaign", |level| &level.one));
        targets.extend(growth("tick, 20 campaigns × 30 zones", |level| &level.twenty));
        targets.extend(growth("tick with nobody due", |level| &level.idle));
    }
    targets
}
