//! Writes what became of each claim, in batches, for as long as it takes the database to answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::claim::Ack;
use super::error::chain;
use super::hub::Hub;
use super::sql;

const BATCH: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Runs until `closing` and until nothing is left to write.
pub(super) async fn run(hub: Arc<Hub>, mut acks: mpsc::UnboundedReceiver<Ack>, closing: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut pause = FIRST_PAUSE;
    loop {
        // What the batch still holds was refused an answer, or is locked by somebody's open transaction. It is tried again
        // with what comes next, or after the pause: it must not hold up the others.
        tokio::select! {
            biased;
            received = acks.recv_many(&mut batch, BATCH), if batch.len() < BATCH => if received == 0 { return },
            () = sleep(pause), if !batch.is_empty() => {}
            () = closing.cancelled(), if batch.is_empty() => return,
        }
        gather(&mut acks, &mut batch).await;
        if let Err(error) = write(&hub, &mut batch).await {
            tracing::warn!(error = chain(&error), jobs = batch.len(), "acknowledgements wait for the database");
            sleep(pause).await;
        }
        pause = if batch.is_empty() { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// Short jobs end in bursts: what is about to arrive goes with what is here.
async fn gather(acks: &mut mpsc::UnboundedReceiver<Ack>, batch: &mut Vec<Ack>) {
    let mut before = 0;
    while before < batch.len() && batch.len() < BATCH {
        before = batch.len();
        yield_now().await;
        while let Ok(ack) = acks.try_recv() {
            batch.push(ack);
        }
    }
}

/// Writes what can be written now, and leaves in the batch what somebody else has locked.
async fn write(hub: &Hub, batch: &mut Vec<Ack>) -> sqlx::Result<()> {
    let settled = hub.db.bounded(async |db| sql::settle(&mut **db, &hub.worker, batch).await).await?;
    let written: HashSet<u64> = settled.iter().map(|settled| settled.serial.cast_unsigned()).collect();
    for ack in batch.extract_if(.., |ack| written.contains(&ack.serial)) {
        hub.release(ack.serial);
    }
    if settled.iter().any(|settled| settled.due) {
        // Nudged while it ran, snoozed for nothing, or handed back: whichever, it can run again now.
        hub.lanes.iter().for_each(|lane| lane.mark_due());
    }
    if batch.is_empty() {
        return Ok(());
    }
    let held = hub.db.bounded(async |db| sql::still_held(&mut **db, &hub.worker, batch).await).await?;
    let held: HashSet<u64> = held.into_iter().map(i64::cast_unsigned).collect();
    for ack in batch.extract_if(.., |ack| !held.contains(&ack.serial)) {
        // Its lease was lost while it ran, or an earlier answer of the database was: either way it is settled.
        tracing::warn!(job_id = %ack.job_id, attempt = ack.attempt, outcome = ack.outcome.name(), "acknowledgement refused");
        metrics::counter!("job_acks_refused_total").increment(1);
        hub.release(ack.serial);
    }
    Ok(())
}
