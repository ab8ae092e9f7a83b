//! Every 30 s: re-derives every missing job from the domain rows, and has the carrier asked about calls gone silent.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::alert::{self, AlertKind};
use shared::alert_watch;
use shared::campaign::Campaign;
use shared::campaign_window;
use shared::carrier_event;
use shared::jobs::Job;
use shared::jobs::assemble_recording::AssembleRecording;
use shared::jobs::deliver_alert::DeliverAlert;
use shared::jobs::dispatch_campaign::DispatchCampaign;
use shared::jobs::fetch_recording::FetchRecording;
use shared::jobs::import_leads::ImportLeads;
use shared::jobs::place_call::PlaceCall;
use shared::jobs::reconcile_call::ReconcileCall;
use shared::jobs::send_message::SendMessage;
use shared::jobs::settle_call::SettleCall;
use shared::jobs::summarize_call::SummarizeCall;
use shared::jobs::sweep::Sweep;
use shared::message;
use shared::outgoing_message;
use shared::sweep;
use sqlx::PgPool;

use crate::context::Context;
use crate::queue::{JobContext, JobError, JobResultExt};

/// A stream whose `media` process has not been heard of for so long is taken for dead.
const STREAM_SILENCE: Duration = Duration::from_secs(30);
/// Beyond its maximum a call gets so much to say goodbye.
const GOODBYE: Duration = Duration::from_secs(60);

/// # Errors
/// A failing database is retried; each part that was done stays done.
pub async fn run(_job: Sweep, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let now = ctx.clock.now();
    let db = &ctx.db;
    // What carriers have said comes first: it may settle what looks silent.
    apply_webhooks(db).await.retry()?;
    apply_messages(db).await.retry()?;
    start_campaigns(db, now).await.retry()?;

    let silent = sweep::silent_calls(db, STREAM_SILENCE, ctx.settings.max_call + GOODBYE).await.retry()?;
    let unnamed = sweep::unnamed_recordings(db).await.retry()?;
    ensure(db, silent.into_iter().chain(unnamed).map(|call_id| ReconcileCall { call_id })).await?;
    let overdue = sweep::overdue_reservations(db).await.retry()?;
    ensure(db, overdue.into_iter().map(|call_id| PlaceCall { call_id })).await?;
    let unsettled = sweep::unsettled_calls(db).await.retry()?;
    ensure(db, unsettled.into_iter().map(|call_id| SettleCall { call_id })).await?;
    let summaries = sweep::pending_summaries(db).await.retry()?;
    ensure(db, summaries.into_iter().map(|call_id| SummarizeCall { call_id })).await?;
    let recordings = sweep::pending_recordings(db).await.retry()?;
    ensure(db, recordings.into_iter().map(|call_id| FetchRecording { call_id })).await?;
    let messages = outgoing_message::unsent(db).await.retry()?;
    ensure(db, messages.into_iter().map(|message_id| SendMessage { message_id })).await?;
    let loose = sweep::loose_pieces(db).await.retry()?;
    ensure(db, loose.into_iter().map(|call_id| AssembleRecording { call_id })).await?;
    let imports = sweep::unread_imports(db).await.retry()?;
    ensure(db, imports.into_iter().map(|import_id| ImportLeads { import_id })).await?;

    watch(db, now).await.retry()?;
    let alerts = alert::undelivered(db).await.retry()?;
    ensure(db, alerts.into_iter().map(|alert_id| DeliverAlert { alert_id })).await?;

    let stranded = sweep::free_stranded_leads(db, now).await.retry()?;
    if stranded > 0 {
        tracing::error!(leads = stranded, "leads were being called by no call; they wait again");
    }
    let campaigns = sweep::dispatched_campaigns(db, now).await.retry()?;
    ensure(db, campaigns.into_iter().map(|campaign_id| DispatchCampaign { campaign_id })).await
}

/// Raises the alerts that no failing call raises, and counts all that are open.
async fn watch(db: &PgPool, now: DateTime<Utc>) -> sqlx::Result<()> {
    let mut tx = db.begin().await?;
    alert_watch::unknown_calls(&mut tx, now).await?;
    alert_watch::dead_jobs(&mut tx, now).await?;
    tx.commit().await?;
    count_alerts(db).await
}

/// `alerts_open{kind}`, of every kind, so that one which is resolved falls to 0.
pub async fn count_alerts(db: &PgPool) -> sqlx::Result<()> {
    let open = alert::open_by_kind(db).await?;
    for kind in AlertKind::ALL {
        let count = open.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count);
        #[expect(clippy::cast_precision_loss, reason = "a handful of alerts")]
        metrics::gauge!("alerts_open", "kind" => kind.as_str()).set(count as f64);
    }
    Ok(())
}

async fn ensure<J: Job>(db: &PgPool, wanted: impl Iterator<Item = J>) -> Result<(), JobError> {
    let wanted: Vec<J> = wanted.collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await.retry()?;
    let missing = sweep::ensure(&mut tx, &wanted).await.retry()?;
    tx.commit().await.retry()?;
    if missing > 0 {
        metrics::counter!("sweep_jobs_total", "queue" => J::QUEUE).increment(missing as u64);
        tracing::info!(queue = J::QUEUE, jobs = missing, "sweep found work without a job");
    }
    Ok(())
}

async fn start_campaigns(db: &PgPool, now: DateTime<Utc>) -> sqlx::Result<()> {
    for (account, campaign) in sweep::campaigns_to_start(db, now).await? {
        let mut tx = db.begin().await?;
        if Campaign::start(&mut tx, account, campaign, now).await?.is_some() {
            campaign_window::refresh(&mut tx, campaign, now).await?;
            tracing::info!(campaign_id = %campaign, "a scheduled campaign starts");
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Each in a transaction of its own: one that cannot be read must not keep the others from being applied.
async fn apply_webhooks(db: &PgPool) -> sqlx::Result<()> {
    for event in sweep::unapplied_webhooks(db).await? {
        let mut tx = db.begin().await?;
        match carrier_event::apply(&mut tx, event).await {
            Ok(_) => tx.commit().await?,
            Err(error @ sqlx::Error::Decode(_)) => {
                tracing::error!(event_id = %event, error = %error, "a stored webhook cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A STOP whose request was cut short is acted on all the same.
async fn apply_messages(db: &PgPool) -> sqlx::Result<()> {
    for id in message::unapplied(db).await? {
        let mut tx = db.begin().await?;
        message::apply(&mut tx, id).await?;
        tx.commit().await?;
    }
    Ok(())
}
