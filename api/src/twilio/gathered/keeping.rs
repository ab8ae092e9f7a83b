//! What a gathered conversation leaves behind: stored before Twilio is answered, or soon after where the database takes its time.

use std::time::Duration;

use shared::agent_tool::Effect;
use shared::conversation_event::{CallEvent, EndReason};
use shared::gathered::{self, Heard, Talk};
use shared::ledger::Used;
use shared::turn::Turn;
use tokio::time::{sleep, timeout};

use crate::state::App;

/// The human hears silence meanwhile.
const WAIT: Duration = Duration::from_secs(1);
/// A wish that was spoken is not lost with the answer to it.
const TRY_FOR: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_millis(500);

/// Something to be stored.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// The human's turn.
    Heard(Heard, Turn),
    Event(CallEvent),
    Effect(Effect),
    /// For the bill: which of the conversation's requests to the model it was, and what it used.
    Used(String, Vec<Used>),
    /// The agent's turn, the stage that the conversation is in, and whether it is over.
    Said(Option<Turn>, String, Option<EndReason>),
}

/// Stores it in a task of its own, so that nobody who gives up waiting undoes it, and waits a little for that.
pub(super) async fn keep(app: &App, talk: &Talk, work: Work) {
    let (worker, talk, call_id) = (App::clone(app), talk.clone(), talk.briefing.call_id);
    let storing = app.tasks.spawn(async move {
        let persistently = async {
            while let Err(error) = store(&worker, &talk, &work).await {
                tracing::debug!(%call_id, %error, "a turn cannot be stored yet");
                sleep(TRY_EVERY).await;
            }
        };
        if timeout(TRY_FOR, persistently).await.is_err() {
            metrics::counter!("gathered_records_lost_total").increment(1);
            tracing::error!(%call_id, "a part of a conversation could not be stored");
        }
    });
    if timeout(WAIT, storing).await.is_err() {
        tracing::warn!(%call_id, "a turn is not stored before its answer");
    }
}

async fn store(app: &App, talk: &Talk, work: &Work) -> sqlx::Result<()> {
    let (mut tx, now) = (app.db.begin().await?, app.clock.now());
    match work {
        Work::Heard(heard, turn) => gathered::hear(&mut tx, talk, heard, turn, now).await?,
        Work::Event(event) => gathered::note(&mut tx, talk, event, now).await?,
        Work::Effect(effect) => gathered::carry_out(&mut tx, talk, effect, now).await?,
        Work::Used(request, used) => gathered::used(&mut tx, talk, request, used).await?,
        Work::Said(turn, stage, ends) => {
            if let Some(turn) = turn {
                gathered::say(&mut tx, talk, turn, stage).await?;
            }
            if let Some(reason) = ends {
                gathered::end(&mut *tx, talk, *reason, now).await?;
            }
        }
    }
    tx.commit().await
}
