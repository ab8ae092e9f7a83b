//! Deletes what is past its keeping: finished jobs, dead letters, history, workers that are gone.

use std::sync::Arc;

use tokio::time::sleep;

use super::error::chain;
use super::hub::Hub;
use super::sql;

/// Rows of each kind per statement: short enough to hold nobody up.
const BATCH: i64 = 5_000;
/// Statements per round; what is left waits for the next.
const MAX_BATCHES: u32 = 20;

pub(super) async fn run(hub: Arc<Hub>) {
    tokio::select! {
        () = prune_for_ever(&hub) => {}
        () = hub.stopping.cancelled() => {}
    }
}

async fn prune_for_ever(hub: &Hub) {
    let queues = hub.queues();
    loop {
        // Spread, so that processes that started together do not prune together.
        sleep(hub.settings.prune_every.mul_f64(0.75 + 0.5 * rand::random::<f64>())).await;
        if let Err(error) = prune(hub, &queues).await {
            tracing::warn!(error = chain(&error), "old jobs could not be pruned");
        }
    }
}

async fn prune(hub: &Hub, queues: &[String]) -> sqlx::Result<()> {
    for _ in 0..MAX_BATCHES {
        let most = hub.db.bounded(async |db| sql::prune(&mut **db, &hub.settings, queues, BATCH).await).await?;
        if most < BATCH {
            break;
        }
    }
    Ok(())
}
