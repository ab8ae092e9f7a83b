//! The `media` process: reads its configuration, serves, and leaves without dropping calls.

use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use clap::Parser;
use media::{app::App, config::Config, notices, server, store::Store};
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Connections to the database: writes happen behind the calls, a few at a time; and one listens.
const DATABASE_CONNECTIONS: u32 = 9;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    shared::telemetry::init_logs(&config.log_level);
    // First of all: who is told to leave while starting leaves in order, too.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let metrics = shared::telemetry::init_metrics()?;
    let clock = config.clock.clock(&config.exotel_api_base_url).context("the clock cannot be set")?;
    let db = shared::db::connect(config.database_url.expose_secret(), DATABASE_CONNECTIONS, "media")
        .context("DATABASE_URL is not a Postgres URL")?;
    let address = config.address();
    let grace = config.drain_grace();
    let instance = format!("media-{}-{}", std::process::id(), address.port());
    let app = App::new(config, Store::new(db.clone(), clock, &instance))?;

    // Ends with the process: what it has not shipped then is found by the next one.
    tokio::spawn({
        let shipper = std::sync::Arc::clone(&app.shipper);
        async move { shipper.run().await }
    });
    tokio::spawn(notices::run(std::sync::Arc::clone(&app)));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (MEDIA_HOST, MEDIA_PORT)"))?;
    tracing::info!(%address, instance, "listening");
    // A frame is small and must leave at once.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let stop = stop.clone();
        let router = server::router(std::sync::Arc::clone(&app), metrics);
        async move { axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await }
    });

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(live_calls = app.admission.live(), "leaving: no new calls");
    tokio::select! {
        () = app.admission.drain(grace) => {}
        _ = terminate.recv() => tracing::warn!("leaving at once"),
        _ = interrupt.recv() => tracing::warn!("leaving at once"),
    }
    app.tasks.close();
    if tokio::time::timeout(Duration::from_secs(3), app.tasks.wait()).await.is_err() {
        tracing::error!("the last records could not be written in time");
    }
    stop.cancel();
    // Idle connections need not be waited for.
    if let Ok(served) = tokio::time::timeout(Duration::from_secs(1), serving).await {
        served.context("the server task failed")?.context("the server failed")?;
    }
    // A database that is away must not keep us.
    let _ = tokio::time::timeout(Duration::from_millis(500), db.close()).await;
    Ok(())
}
