//! Asks the carrier about a call that it should have told us about: by its id, else by number and time.

use std::time::Duration;

use chrono::TimeDelta;
use shared::call::{Call, CallStatus};
use shared::clock::wall;
use shared::dial::{self, CarrierReport};
use shared::jobs::reconcile_call::ReconcileCall;
use shared::recording;
use shared::transfer;

use crate::carrier::{CarrierCall, CarrierError, Progress};
use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

/// Questions about one call; then it is unknown, or its recording missing.
const MAX_QUESTIONS: i32 = 24;
const FIRST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Beyond its maximum a call may take so long to say goodbye and to be reported.
const OVERTIME: Duration = Duration::from_secs(120);
/// A human who was put through to another one may talk for an hour, and no stream tells that they do: asked about every minute, the
/// call would be given up for unknown while they do.
const TALKING_SILENCE: Duration = Duration::from_secs(300);
/// A recording's address is asked for less often.
const RECORDING_WAIT: Duration = Duration::from_secs(60);

/// # Errors
/// Snoozes until the carrier can say; a failing database is retried.
pub async fn run(job: ReconcileCall, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let Some(call) = Call::get(&ctx.db, job.call_id).await.retry()? else { return Ok(()) };
    if call.withdrawn_at.is_some() || call.status == CallStatus::Queued {
        return Ok(());
    }
    let wants_recording = recording::is_expected(&ctx.db, call.id).await.retry()?;
    if call.status.is_terminal() && !wants_recording {
        return Ok(());
    }
    let asked = dial::count_question(&ctx.db, call.id).await.retry()?;
    match &call.carrier_call_id {
        Some(carrier_call_id) => ask_by_id(&call, carrier_call_id, asked, &ctx).await,
        None if call.status == CallStatus::Dialing || call.status == CallStatus::Unknown => {
            ask_by_number(&call, asked, &ctx).await
        }
        // A stream or a webhook moved it on without an id: the next of them names it.
        None => Ok(()),
    }
}

async fn ask_by_id(call: &Call, carrier_call_id: &str, asked: i32, ctx: &Context) -> Result<(), JobError> {
    let answer = match ctx.carriers.of(call.carrier) {
        Ok(client) => client.call(carrier_call_id).await,
        Err(unconfigured) => Err(unconfigured),
    };
    match answer {
        Ok(Some(found)) => apply(call, &found, asked, ctx).await,
        // It gave us this id and now denies it: that is no knowledge.
        Ok(None) => later(call, asked, "the carrier does not know its own call", ctx).await,
        Err(error) => cannot_say(call, asked, &error, ctx).await,
    }
}

async fn ask_by_number(call: &Call, asked: i32, ctx: &Context) -> Result<(), JobError> {
    let Some(sent_at) = call.request_sent_at else {
        return later(call, asked, "nobody noted when the request was sent", ctx).await;
    };
    let horizon = TimeDelta::from_std(ctx.settings.reconcile_horizon).unwrap_or(TimeDelta::MAX);
    let answer = match ctx.carriers.of(call.carrier) {
        Ok(client) => client.calls_to(&call.phone, sent_at, sent_at + horizon).await,
        Err(unconfigured) => Err(unconfigured),
    };
    let found = match answer {
        Ok(found) => found,
        Err(error) => return cannot_say(call, asked, &error, ctx).await,
    };
    let ids: Vec<String> = found.iter().map(|found| found.carrier_call_id.clone()).collect();
    let claimed = dial::claimed(&ctx.db, call.carrier, &ids).await.retry()?;
    let unclaimed: Vec<&CarrierCall> = found.iter().filter(|found| !claimed.contains(&found.carrier_call_id)).collect();
    match unclaimed[..] {
        [only] => {
            if dial::has_rival_in_doubt(&ctx.db, call).await.retry()? {
                return later(call, asked, "the call found could be another one's", ctx).await;
            }
            let mut tx = ctx.db.begin().await.retry()?;
            dial::adopt(&mut tx, call.id, &only.carrier_call_id, ctx.clock.now()).await.retry()?;
            tx.commit().await.retry()?;
            tracing::info!(call_id = %call.id, "a call in doubt was found at the carrier");
            apply(call, only, asked, ctx).await
        }
        [] if call.status == CallStatus::Dialing && wall() - sent_at > horizon && asked > 1 => {
            let mut tx = ctx.db.begin().await.retry()?;
            dial::not_placed(&mut tx, call.id, ctx.clock.now()).await.retry()?;
            tx.commit().await.retry()?;
            tracing::info!(call_id = %call.id, "the carrier has no such call");
            Ok(())
        }
        [] => later(call, asked, "the carrier has no such call yet", ctx).await,
        _ => later(call, asked, "several calls at the carrier could be meant", ctx).await,
    }
}

async fn apply(call: &Call, found: &CarrierCall, asked: i32, ctx: &Context) -> Result<(), JobError> {
    let report = CarrierReport {
        over: match found.progress {
            Progress::Over(status) => Some(status),
            Progress::Live | Progress::Unclear => None,
        },
        duration_seconds: found.duration_seconds,
        recording_url: found.recording_url.clone(),
    };
    let mut tx = ctx.db.begin().await.retry()?;
    let over = dial::apply_report(&mut tx, call.id, &report, ctx.clock.now()).await.retry()?;
    let talks_on = transfer::is_promised(&mut *tx, call.id).await.retry()?;
    if !over {
        let silence = if talks_on { TALKING_SILENCE } else { ctx.settings.ring_silence };
        dial::expect_news(&mut *tx, call.id, silence).await.retry()?;
    }
    tx.commit().await.retry()?;
    if !over {
        hang_up_overdue(call, found, talks_on, ctx).await;
        // `sweep` asks again if it stays silent; a call that the carrier never ends is nobody's.
        return if asked >= MAX_QUESTIONS {
            become_unknown(call, "the carrier never ends it", ctx).await
        } else {
            Ok(())
        };
    }
    if recording::is_expected(&ctx.db, call.id).await.retry()? {
        if asked >= MAX_QUESTIONS {
            return never_named(call, ctx).await;
        }
        return Err(JobError::snooze(RECORDING_WAIT, "the carrier has not named the recording yet"));
    }
    Ok(())
}

/// Nobody speaks on a line that is still up so long after its call must have ended; where the carrier lets us, we end it.
/// `talks_on`: a human was put through to another one, and they have longer.
async fn hang_up_overdue(call: &Call, found: &CarrierCall, talks_on: bool, ctx: &Context) {
    let longest = ctx.settings.ring_silence + transfer::time_limit(ctx.settings.max_call, talks_on) + OVERTIME;
    let longest = TimeDelta::from_std(longest).unwrap_or(TimeDelta::MAX);
    if found.progress != Progress::Live || call.request_sent_at.is_none_or(|sent_at| wall() - sent_at < longest) {
        return;
    }
    let Ok(client) = ctx.carriers.of(call.carrier) else { return };
    match client.hang_up(&found.carrier_call_id).await {
        Ok(true) => tracing::warn!(call_id = %call.id, "a call that would not end is hung up"),
        Ok(false) => {}
        // The next question tries again.
        Err(error) => tracing::warn!(call_id = %call.id, kind = error.kind(), "a call could not be hung up"),
    }
}

async fn cannot_say(call: &Call, asked: i32, error: &CarrierError, ctx: &Context) -> Result<(), JobError> {
    tracing::warn!(call_id = %call.id, kind = error.kind(), "the carrier could not be asked about a call");
    if let CarrierError::RateLimited { retry_after } = error {
        let wait = retry_after.unwrap_or(wait(asked)).clamp(FIRST_WAIT, LONGEST_WAIT);
        return Err(JobError::snooze(wait, "the carrier asks for patience"));
    }
    later(call, asked, "the carrier cannot say", ctx).await
}

/// Asks again, up to a bound.
async fn later(call: &Call, asked: i32, reason: &'static str, ctx: &Context) -> Result<(), JobError> {
    if asked < MAX_QUESTIONS {
        return Err(JobError::snooze(wait(asked), reason));
    }
    if call.status.is_terminal() {
        return never_named(call, ctx).await;
    }
    become_unknown(call, reason, ctx).await
}

async fn never_named(call: &Call, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    recording::never_named(&mut tx, call.id).await.retry()?;
    tx.commit().await.retry()
}

async fn become_unknown(call: &Call, reason: &str, ctx: &Context) -> Result<(), JobError> {
    let mut tx = ctx.db.begin().await.retry()?;
    if dial::unknown(&mut tx, call.id, reason, ctx.clock.now()).await.retry()? {
        metrics::counter!("calls_unknown_total").increment(1);
        tracing::error!(call_id = %call.id, reason, "nobody can say what became of a call");
    }
    tx.commit().await.retry()
}

/// 3 s, 6 s, 12 s, … one minute.
fn wait(asked: i32) -> Duration {
    let doublings = asked.saturating_sub(1).clamp(0, 10).unsigned_abs();
    FIRST_WAIT.saturating_mul(2_u32.pow(doublings)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_become_rarer_up_to_one_a_minute() {
        let waits: Vec<u64> = [1, 2, 3, 5, 6, 100].map(|asked| wait(asked).as_secs()).into();
        assert_eq!(waits, [3, 6, 12, 48, 60, 60]);
    }
}
