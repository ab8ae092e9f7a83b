//! The life of the serving process: connect, listen, drain.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use secrecy::ExposeSecret;
use shared::calling_window::CallingHours;
use shared::http_tool::client::HttpTools;
use shared::pace::CarrierRates;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{AuthMode, ServeConfig};
use crate::router;
use crate::state::{App, AppState, CampaignDefaults, RenderMetrics};

/// Requests under way at SIGTERM have this long, webhooks a little longer; the platform kills after 30 s.
const DRAIN: Duration = Duration::from_secs(22);

/// Serves until SIGTERM or Ctrl-C, then lets requests under way end.
///
/// # Errors
/// A setting that makes no sense, a port that is taken, a database that never answers.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    config.check()?;
    let metrics = shared::telemetry::init_metrics()?;
    let app = state(&config, Arc::new(move || metrics.render())).await?;
    let listener = TcpListener::bind((config.host.as_str(), config.port))
        .await
        .with_context(|| format!("cannot listen on {}:{} (HOST, PORT)", config.host, config.port))?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");

    let stopping = app.stopping.clone();
    let shutdown = {
        let stopping = stopping.clone();
        async move {
            termination().await;
            tracing::info!("stopping: no new requests, those under way may end");
            stopping.cancel();
        }
    };
    let server = axum::serve(listener, router::router(Arc::clone(&app))).with_graceful_shutdown(shutdown);
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => ended.context("the server failed")?,
        () = overdue => tracing::warn!("some requests did not end in time, and are cut off"),
    }
    app.tasks.close();
    if tokio::time::timeout(Duration::from_secs(3), app.tasks.wait()).await.is_err() {
        tracing::warn!("webhooks were still being applied; sweep will do it");
    }
    app.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn state(config: &ServeConfig, metrics: RenderMetrics) -> anyhow::Result<App> {
    let db = shared::db::connect(config.database.database_url.expose_secret(), config.database_connections, "api")
        .context("DATABASE_URL")?;
    let open_account = match config.auth {
        AuthMode::Keys => None,
        AuthMode::Open => {
            let mut tx = db.begin().await.context("cannot reach the database (DATABASE_URL)")?;
            let account =
                shared::account::ensure_first(&mut tx).await.context("cannot read the accounts; run `api migrate`")?;
            tx.commit().await?;
            tracing::warn!(account_id = %account, "AUTH=open: whoever reaches this port speaks for the first account");
            Some(account)
        }
    };
    Ok(Arc::new(AppState {
        db,
        clock: config.clock.clock(config.exotel_api_base_url.as_str())?,
        open_account,
        callback_secret: config.callback_secret.clone(),
        base_url: config.our_base_url.as_str().trim_end_matches('/').to_owned(),
        storage: config.storage.open()?,
        defaults: CampaignDefaults {
            calling_hours: CallingHours::from_whole_hours(config.calling_hours_start, config.calling_hours_end)?,
            max_concurrent_calls: config.max_concurrent_calls,
        },
        carrier_rates: CarrierRates { exotel: config.exotel_calls_per_second, twilio: config.twilio_calls_per_second },
        twilio: config.twilio()?,
        llm: config.llm()?,
        http_tools: HttpTools::new(config.callback_secret.clone(), config.private_tools)?,
        max_call_duration: config.max_call_duration(),
        max_upload_bytes: config.max_upload_mb * 1024 * 1024,
        provider_keys: config.provider_keys.clone(),
        speech: config.speech.clone(),
        private_tools: config.private_tools,
        metrics,
        tasks: TaskTracker::new(),
        stopping: CancellationToken::new(),
    }))
}

async fn termination() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending::<()>().await,
        }
    };
    tokio::select! { () = interrupted => {}, () = terminated => {} }
}
