//! Probes and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, Problem};
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`: the process answers. Whether it can work is what `/ready` says.
    pub status: &'static str,
    pub version: &'static str,
}

/// The process is alive.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = OK, body = Health)), security(()))]
pub async fn get_health() -> Json<Health> {
    Json(Health { status: "healthy", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`.
    pub status: &'static str,
    pub database: &'static str,
    pub migrations: &'static str,
}

/// The process can work: the database answers, and has been migrated.
#[utoipa::path(
    get, path = "/ready", tag = "operations",
    responses((status = OK, body = Readiness), (status = SERVICE_UNAVAILABLE, body = Problem)), security(())
)]
pub async fn get_readiness(State(app): State<App>) -> Result<Json<Readiness>, ApiError> {
    let migrated = tokio::time::timeout(std::time::Duration::from_secs(3), shared::db::is_migrated(&app.db)).await;
    let unready = |code, detail: &str| Err(ApiError::refused(StatusCode::SERVICE_UNAVAILABLE, code, detail));
    match migrated {
        Ok(Ok(true)) => Ok(Json(Readiness { status: "ready", database: "ok", migrations: "ok" })),
        Ok(Ok(false)) => {
            unready("migrations_missing", "the database lacks migrations of this release: run `api migrate`")
        }
        Ok(Err(sqlx::Error::Database(error))) => {
            tracing::warn!(%error, "not ready");
            unready("migrations_missing", "the database was never migrated: run `api migrate`")
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            unready("database_unavailable", "the database is out of reach")
        }
        Err(_) => unready("database_unavailable", "the database does not answer within 3 s"),
    }
}

/// Prometheus metrics of this process: counts and times, never a tenant's data.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = OK, body = String, content_type = "text/plain")), security(())
)]
pub async fn get_metrics(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (app.metrics)()).into_response()
}
