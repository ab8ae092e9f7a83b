//! What one run of the dispatcher costs.

use std::time::Duration;

use shared::clock::Clock;
use shared::dispatch::{Dispatched, Limits, dispatch};
use shared::id::CampaignId;
use shared::pace::CarrierRates;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::world::World;

/// Calls that a tick reserves: a campaign's usual cap.
pub const CALLS_PER_TICK: i64 = 10;

#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Pages of 8 kB that a tick reads, from memory or from disk.
    pub blocks: f64,
    /// Reserved per second of ticking.
    pub calls_per_second: f64,
}

/// Ticks each of `campaigns` in turn, `rounds` times, with `slots` free slots in each.
pub async fn measure(
    world: &World,
    pool: &PgPool,
    campaigns: &[CampaignId],
    rounds: usize,
    slots: i64,
) -> anyhow::Result<Ticks> {
    let mut took: Vec<Duration> = Vec::new();
    let (mut calls, mut blocks) = (0, 0);
    for _ in 0..rounds {
        for campaign in campaigns {
            world.free_slots(pool, *campaign, slots).await?;
            let before = world.db.written().await?;
            let began = Instant::now();
            calls += tick(pool, *campaign, &world.clock).await?;
            took.push(began.elapsed());
            blocks += (world.db.written().await? - before).blocks;
        }
    }
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    let count = u32::try_from(took.len())?;
    Ok(Ticks {
        p50_ms: at(50),
        p99_ms: at(99),
        blocks: f64::from(u32::try_from(blocks)?) / f64::from(count),
        calls_per_second: f64::from(u32::try_from(calls)?) / total.as_secs_f64(),
    })
}

async fn tick(pool: &PgPool, campaign: CampaignId, clock: &Clock) -> anyhow::Result<usize> {
    let limits = Limits {
        carrier_rates: CarrierRates { exotel: 100_000.0, twilio: 100_000.0 },
        lease: Duration::from_secs(600),
        last_dial_before_close: chrono::TimeDelta::zero(),
    };
    let mut tx = pool.begin().await?;
    let dispatched = dispatch(&mut tx, campaign, clock.now(), &limits).await?;
    tx.commit().await?;
    match dispatched {
        Dispatched::Reserved(reserved) => Ok(reserved.calls.len()),
        other => anyhow::bail!("the dispatcher answers {other:?}"),
    }
}
