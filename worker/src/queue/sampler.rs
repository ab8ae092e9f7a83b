//! Measures how much work waits, for the dashboards.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::error::chain;
use super::hub::Hub;
use super::sql;

const INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn run(hub: Arc<Hub>) {
    tokio::select! {
        () = sample_for_ever(&hub) => {}
        () = hub.stopping.cancelled() => {}
    }
}

async fn sample_for_ever(hub: &Hub) {
    let queues = hub.queues();
    loop {
        if let Err(error) = sample(hub, &queues).await {
            tracing::debug!(error = chain(&error), "the queue depths could not be read");
        }
        sleep(INTERVAL).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
async fn sample(hub: &Hub, queues: &[String]) -> sqlx::Result<()> {
    let depths = hub.db.bounded(async |db| sql::depths(&mut **db, queues).await).await?;
    for lane in &hub.lanes {
        // A queue with nothing due has no row.
        let depth = depths.iter().find(|depth| depth.queue == lane.queue);
        let ready = depth.map_or(0.0, |depth| depth.ready as f64);
        let oldest = depth.map_or(0.0, |depth| depth.oldest_ready_secs);
        metrics::gauge!("queue_depth", "queue" => lane.queue).set(ready);
        metrics::gauge!("queue_oldest_ready_seconds", "queue" => lane.queue).set(oldest);
    }
    Ok(())
}
