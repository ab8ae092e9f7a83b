//! Every job of this process: its queue, how many at once, how long, how it backs off, and when it runs by itself.
//!
//! | Queue | At once | Timeout | Backoff | Runs |
//! |---|---|---|---|---|
//! | `dispatch_campaign` | 4 | 30 s | 1 s to 30 s | one per running campaign; snoozes itself |
//! | `place_call` | 20 | 30 s | 2 s to 15 s | one per reserved call |
//! | `reconcile_call` | 4 | 30 s | 2 s to 60 s | for calls in doubt or gone silent |
//! | `settle_call` | 8 | 20 s | 1 s to 60 s | one per finished call |
//! | `fetch_recording` | 4 | 180 s | 5 s to 1 h | one per recording |
//! | `assemble_recording` | 2 | 300 s | 5 s to 1 h | one per call that `media` recorded |
//! | `summarize_call` | 4 | 90 s | 5 s to 15 min | one per conversation |
//! | `import_leads` | 1 | 600 s | 2 s to 60 s | one per uploaded list |
//! | `send_message` | 4 | 30 s | 5 s to 5 min | one per text message asked for in a call |
//! | `deliver_alert` | 2 | 20 s | 5 s to 1 h | one per alert |
//! | `sweep` | 1 | 60 s | 2 s to 10 s | every 30 s, and at start |
//! | `watch_models` | 1 | 60 s | 60 s to 1 h | every day at 03:30 UTC |
//! | `retain` | 1 | 300 s | 30 s to 1 h | every hour, and when a recording is deleted |

use std::time::Duration;

use shared::jobs::retain::Retain;
use shared::jobs::sweep::Sweep;
use shared::jobs::watch_models::WatchModels;
use sqlx::PgPool;

use crate::context::Context;
use crate::jobs;
use crate::queue::{QueueSettings, Runner, RunnerSettings, Schedule};

const SWEEP_EVERY: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// 03:30 UTC: nobody is called anywhere that we call from.
const MODELS_WATCHED_AT: Duration = Duration::from_secs(3 * 60 * 60 + 30 * 60);
const RETAIN_EVERY: Duration = Duration::from_secs(3_600);

/// The runner of all queues.
///
/// # Errors
/// A scheduled job that cannot be serialized.
pub fn runner(db: &PgPool, settings: RunnerSettings, context: Context) -> sqlx::Result<Runner<Context>> {
    let queue = |concurrency, timeout_secs| QueueSettings::new(concurrency, Duration::from_secs(timeout_secs));
    let secs = Duration::from_secs;
    Ok(Runner::new(db, settings, context)
        .register(queue(4, 30).backoff(secs(1), secs(30)), jobs::dispatch_campaign::run)
        .register(queue(20, 30).backoff(secs(2), secs(15)), jobs::place_call::run)
        .register(queue(4, 30).backoff(secs(2), secs(60)), jobs::reconcile_call::run)
        .register(queue(8, 20).backoff(secs(1), secs(60)), jobs::settle_call::run)
        .register(queue(4, 180).backoff(secs(5), secs(3600)), jobs::fetch_recording::run)
        .register(queue(2, 300).backoff(secs(5), secs(3600)), jobs::assemble_recording::run)
        .register(queue(4, 90).backoff(secs(5), secs(900)), jobs::summarize_call::run)
        .register(queue(1, 600).backoff(secs(2), secs(60)), jobs::import_leads::run)
        .register(queue(4, 30).backoff(secs(5), secs(300)), jobs::send_message::run)
        .register(queue(2, 20).backoff(secs(5), secs(3600)), jobs::deliver_alert::run)
        .register(queue(1, 60).backoff(secs(2), secs(10)), jobs::sweep::run)
        .register(queue(1, 60).backoff(secs(60), secs(3600)), jobs::watch_models::run)
        .register(queue(1, 300).backoff(secs(30), secs(3600)), jobs::retain::run)
        .schedule(Schedule::every("sweep", SWEEP_EVERY, &Sweep::default())?)
        .schedule(Schedule::every("watch_models", DAY, &WatchModels::default())?.offset(MODELS_WATCHED_AT))
        .schedule(Schedule::every("retain", RETAIN_EVERY, &Retain::default())?))
}
