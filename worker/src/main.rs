//! Starts the worker, and drains it on SIGTERM.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use secrecy::ExposeSecret;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker::config::Config;
use worker::context::Context;
use worker::queue::RunnerSettings;
use worker::{registry, server};

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    // The MP3 reader remarks on every telephone recording.
    shared::telemetry::init_logs(&format!("{},symphonia_core=warn,symphonia_bundle_mp3=warn", config.log_level));
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the worker ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = shared::telemetry::init_metrics()?;
    let db = shared::db::connect(config.database_url.expose_secret(), config.database_connections, "worker")
        .context("DATABASE_URL")?;
    let context = Context::new(&config, db.clone())?;
    let address = (std::net::Ipv4Addr::UNSPECIFIED, config.metrics_port);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("METRICS_PORT: cannot listen on {}", config.metrics_port))?;

    let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
    let probes = tokio::spawn(server::serve(listener, db.clone(), metrics, draining.clone(), stop.clone()));
    let mut settings = RunnerSettings::new("worker");
    settings.grace = Duration::from_secs(config.drain_grace_secs);
    settings.lease = Duration::from_secs(config.job_lease_secs);
    settings.heartbeat = settings.lease / 6;
    let runner = registry::runner(&db, settings, context)?;
    // Whatever was lost while no worker ran is found at once, not at the next half minute.
    if let Err(error) = shared::jobs::nudge(&db, &shared::jobs::sweep::Sweep::default()).await {
        tracing::warn!(%error, "the first sweep has to wait for its schedule");
    }
    tracing::info!("the worker runs");
    let shutdown = async {
        told_to_stop().await;
        draining.cancel();
    };
    let outcome = runner.run(shutdown).await;
    stop.cancel();
    if tokio::time::timeout(Duration::from_secs(1), probes).await.is_err() {
        tracing::debug!("a probe was still being answered");
    }
    db.close().await;
    outcome?;
    tracing::info!("the worker has drained");
    Ok(())
}

async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signals only the platform's SIGKILL ends us; leases make that safe.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
