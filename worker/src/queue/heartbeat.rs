//! Keeps the leases of the jobs that run here, tells them of cancellations, and rescues the jobs of dead workers.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::chain;
use super::hub::Hub;
use super::sql;

/// After an outage everybody's leases look expired. Whoever comes back first lets the others renew theirs before it takes
/// their jobs away.
const STEADY_BEATS: u32 = 2;

pub(super) async fn run(hub: Arc<Hub>, closing: CancellationToken) {
    tokio::select! {
        () = beat_for_ever(&hub) => {}
        () = closing.cancelled() => {}
    }
}

async fn beat_for_ever(hub: &Hub) {
    let queues = hub.queues();
    let mut steady = 0;
    loop {
        match beat(hub, &queues.join(",")).await {
            Ok(()) => {
                hub.registered.send_replace(true);
                steady += 1;
                if steady >= STEADY_BEATS
                    && let Err(error) = reap(hub, &queues).await
                {
                    tracing::warn!(error = chain(&error), "abandoned jobs could not be rescued");
                }
            }
            Err(error) => {
                steady = 0;
                tracing::warn!(error = chain(&error), "the heartbeat failed");
                sleep(hub.settings.heartbeat / 5).await;
                continue;
            }
        }
        let _ = timeout(hub.settings.heartbeat, hub.beat_now.notified()).await;
    }
}

async fn beat(hub: &Hub, queues: &str) -> sqlx::Result<()> {
    let held = hub.held();
    let sent = Instant::now();
    let renewals = hub.db.bounded(async |db| sql::beat(&mut **db, &hub.worker, queues, &held).await).await?;
    let held: HashMap<(&str, i32), _> = held.iter().map(|held| ((&*held.job_id, held.attempt), held)).collect();
    for renewal in renewals {
        let Some(held) = held.get(&(&*renewal.job_id, renewal.attempt)) else { continue };
        if renewal.renewed {
            held.lease.renew(sent, hub.settings.lease);
        }
        if renewal.cancel_requested {
            held.cancel.cancel();
        }
        // A closed one is settled already, or will be refused and say so.
        if renewal.lost && !held.lease.is_closed() {
            tracing::warn!(job_id = %held.job_id, attempt = held.attempt, "the lease was lost while the job runs");
            metrics::counter!("job_leases_lost_total").increment(1);
            held.lease.give_up();
            held.cancel.cancel();
        }
    }
    Ok(())
}

async fn reap(hub: &Hub, queues: &[String]) -> sqlx::Result<()> {
    let lease = hub.settings.lease.as_secs_f64();
    let reaped = hub.db.bounded(async |db| sql::reap(&mut **db, queues, lease).await).await?;
    for job in &reaped {
        tracing::warn!(
            job_id = job.job_id,
            queue = job.queue,
            attempt = job.attempt,
            dead = job.dead,
            "took over a job whose worker stopped renewing its lease",
        );
        metrics::counter!("jobs_rescued_total", "queue" => job.queue.clone()).increment(1);
        if let Some(lane) = hub.lane(&job.queue) {
            lane.mark_due();
        }
    }
    Ok(())
}
