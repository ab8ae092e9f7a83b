//! What the other processes tell `media` as it happens: phones begin to ring, carriers take somebody for a machine.
//!
//! All of it is a hint: it may be lost, and no call depends on it.

use std::{sync::Arc, time::Duration};

use shared::stream::{MACHINE_CHANNEL, RINGING_CHANNEL};
use tokio::time::{Instant, interval, sleep};

use crate::{app::App, latency::Trick, ringing};

const LET_GO_EVERY: Duration = Duration::from_secs(5);
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Listens until the process leaves.
pub async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = listen(&app).await {
            tracing::debug!(%error, "nobody tells what happens; calls find it out by themselves");
        }
        sleep(LISTEN_AGAIN_AFTER).await;
    }
}

/// Ends with the connection.
async fn listen(app: &App) -> sqlx::Result<()> {
    let mut notices = app.store.notices().await?;
    let mut letting_go = interval(LET_GO_EVERY);
    loop {
        tokio::select! {
            notice = notices.try_recv() => {
                let Some(notice) = notice? else { return Ok(()) };
                let Ok(call) = notice.payload().parse() else { continue };
                match notice.channel() {
                    RINGING_CHANNEL if app.config.uses(Trick::WhileRinging) => ringing::get_ready(app, call).await,
                    MACHINE_CHANNEL => app.verdicts.machine(call),
                    _ => {}
                }
            }
            _ = letting_go.tick() => app.ringing.let_go(Instant::now()),
        }
    }
}
