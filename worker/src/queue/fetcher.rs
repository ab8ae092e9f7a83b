//! Claims jobs: one statement for all queues of the process, for as many rows as they have free slots.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::chain;
use super::hub::Hub;
use super::lane::Lane;
use super::sql;

/// Claims that may wait for their acknowledgement before no more are made: with a database that answers claims but
/// refuses acknowledgements, finished jobs would otherwise pile up in memory.
const MAX_UNSETTLED: usize = 2_000;

/// While other jobs of its queue run, a freed slot waits this long for company before it is filled: short jobs end in
/// bursts, and one statement for a hundred of them costs little more than for one.
const LINGER: Duration = Duration::from_millis(1);

/// After a failed claim; the poll interval follows, so that an outage is not a storm of attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(hub: Arc<Hub>) {
    // A claim refers to the worker's row, which the first heartbeat writes.
    let mut registered = hub.registered.subscribe();
    tokio::select! {
        _ = registered.wait_for(|registered| *registered) => {}
        () = hub.stopping.cancelled() => return,
    }
    claim_until_stopped(&hub).await;
}

/// A claim that was sent is never cut off: its rows would be ours without our knowing.
async fn claim_until_stopped(hub: &Hub) {
    let mut next_poll = Instant::now();
    let mut pause = FIRST_PAUSE;
    while !hub.stopping.is_cancelled() {
        if Instant::now() >= next_poll {
            next_poll = Instant::now() + hub.settings.poll;
            hub.lanes.iter().for_each(|lane| lane.mark_due());
        }
        let wanted = wanted(hub);
        if wanted.is_empty() {
            // Ends early for a notification or a freed slot.
            tokio::select! {
                _ = timeout_at(next_poll, hub.wake.notified()) => {}
                () = hub.stopping.cancelled() => {}
            }
            continue;
        }
        let wanted = linger(hub, wanted).await;
        match claim(hub, &wanted).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                tracing::warn!(error = chain(&error), "jobs could not be claimed");
                wanted.iter().for_each(|(lane, _)| lane.mark_due());
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                if let Err(error) = hand_back_strays(hub).await {
                    tracing::debug!(error = chain(&error), "strays could not be handed back; their leases expire");
                }
            }
        }
    }
}

/// The queues to ask for, each with its free slots.
fn wanted(hub: &Hub) -> Vec<(Arc<Lane>, usize)> {
    if hub.held_count() >= MAX_UNSETTLED {
        return Vec::new();
    }
    hub.lanes
        .iter()
        .filter(|lane| lane.is_due() && lane.is_attached())
        .map(|lane| (lane.clone(), lane.free_slots()))
        .filter(|(_, free)| *free > 0)
        .collect()
}

/// Lets handlers that are about to end do so, unless a queue stands still.
async fn linger(hub: &Hub, mut wanted: Vec<(Arc<Lane>, usize)>) -> Vec<(Arc<Lane>, usize)> {
    let mut free = 0;
    while !stands_still(&wanted) && free < total(&wanted) {
        free = total(&wanted);
        yield_now().await;
        wanted = self::wanted(hub);
    }
    if !stands_still(&wanted) {
        sleep(LINGER).await;
        wanted = self::wanted(hub);
    }
    wanted
}

fn stands_still(wanted: &[(Arc<Lane>, usize)]) -> bool {
    wanted.iter().any(|(lane, free)| *free == lane.settings.concurrency)
}

fn total(wanted: &[(Arc<Lane>, usize)]) -> usize {
    wanted.iter().map(|(_, free)| free).sum()
}

async fn claim(hub: &Hub, wanted: &[(Arc<Lane>, usize)]) -> sqlx::Result<()> {
    let queues: Vec<String> = wanted.iter().map(|(lane, _)| lane.queue.to_owned()).collect();
    let free: Vec<i32> = wanted.iter().map(|(_, free)| i32::try_from(*free).unwrap_or(i32::MAX)).collect();
    // Before the statement leaves: a notification that arrives meanwhile must not be forgotten.
    wanted.iter().for_each(|(lane, _)| lane.clear_due());
    let sent = Instant::now();
    let rows = hub.db.bounded(async |db| sql::claim(&mut **db, &hub.worker, &queues, &free).await).await?;
    let mut claimed = vec![0; wanted.len()];
    for row in rows {
        let Some(at) = wanted.iter().position(|(lane, _)| lane.queue == row.queue) else { continue };
        let lane = &wanted[at].0;
        claimed[at] += 1;
        lane.take_slots(1);
        lane.deliver(hub.take_charge(lane, row, sent));
    }
    for ((lane, free), claimed) in wanted.iter().zip(claimed) {
        if claimed == *free {
            lane.mark_due();
        }
    }
    Ok(())
}

/// A claim whose answer was lost leaves rows that nobody here knows of. Without this they would wait for their lease to
/// expire, and count as a failed try.
async fn hand_back_strays(hub: &Hub) -> sqlx::Result<()> {
    let held = hub.held();
    let strays = hub.db.bounded(async |db| sql::hand_back_strays(&mut **db, &hub.worker, &held).await).await?;
    if strays > 0 {
        tracing::info!(strays, "handed back jobs whose claim was cut off");
    }
    Ok(())
}
