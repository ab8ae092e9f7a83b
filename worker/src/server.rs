//! `/health`, `/ready` and `/metrics` of the worker.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// A database that takes longer to say hello is not ready for work.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Probes {
    db: PgPool,
    metrics: PrometheusHandle,
    draining: CancellationToken,
}

/// Serves until `stop`. `draining` turns `/ready` to 503 before that.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    listener: tokio::net::TcpListener,
    db: PgPool,
    metrics: PrometheusHandle,
    draining: CancellationToken,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(async || "ok"))
        .route("/ready", get(ready))
        .route("/metrics", get(exposition))
        .with_state(Probes { db, metrics, draining });
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn exposition(State(probes): State<Probes>) -> String {
    // Counted when they are read: the sweep that counts them runs in one worker of many.
    match tokio::time::timeout(READY_WITHIN, crate::jobs::sweep::count_alerts(&probes.db)).await {
        Ok(Ok(())) => {}
        _ => tracing::debug!("the open alerts are as they were: the database does not answer"),
    }
    probes.metrics.render()
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if probes.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    match tokio::time::timeout(READY_WITHIN, shared::db::ping(&probes.db)).await {
        Ok(Ok(())) => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}
