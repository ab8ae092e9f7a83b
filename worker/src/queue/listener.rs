//! Hears of new work. Everything it says is a hint: the poll finds what a lost notification announced.

use std::sync::Arc;
use std::time::Duration;

use shared::job_queue::HEARTBEAT_WAKE_UP;
use shared::jobs::NOTIFY_CHANNEL;
use sqlx::postgres::PgListener;
use tokio::time::sleep;

use super::error::chain;
use super::hub::Hub;

const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(hub: Arc<Hub>) {
    tokio::select! {
        () = listen_for_ever(&hub) => {}
        () = hub.stopping.cancelled() => {}
    }
}

async fn listen_for_ever(hub: &Hub) {
    loop {
        if let Err(error) = listen(hub).await {
            tracing::debug!(error = chain(&error), "notifications are interrupted; polling goes on");
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

/// Ends with the connection.
async fn listen(hub: &Hub) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(hub.db.pool()).await?;
    // Reconnecting is ours, with a pause: the listener's own would retry at once.
    listener.eager_reconnect(false);
    listener.listen(NOTIFY_CHANNEL).await?;
    // What was announced while nobody listened.
    hub.lanes.iter().for_each(|lane| lane.mark_due());
    while let Some(notification) = listener.try_recv().await? {
        match notification.payload() {
            HEARTBEAT_WAKE_UP => hub.beat_now.notify_one(),
            queue => {
                if let Some(lane) = hub.lane(queue) {
                    lane.mark_due();
                }
            }
        }
    }
    Ok(())
}
