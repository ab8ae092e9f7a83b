//! What operators must look at: why calling stopped, and what nobody can say.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::alert::{self, Alert, AlertKind};
use shared::id::AlertId;
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{Path, Query};
use crate::page::{Window, list_of};
use crate::state::App;

#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    pub id: i64,
    /// `circuit_breaker`, `balance`, `carrier_auth`, `call_unknown`, `dead_job` or `model_shutdown`.
    #[schema(value_type = String)]
    pub kind: AlertKind,
    /// Null where the whole account is meant.
    pub campaign_id: Option<i64>,
    /// `critical` where calling has stopped, else `warning`.
    pub severity: String,
    /// `open` or `resolved`.
    pub status: String,
    pub title: String,
    /// What happened, since when, and what to do.
    pub detail: String,
    pub at: DateTime<Utc>,
    /// When its campaign was resumed or stopped, its cause was gone, or, where nothing else ends it, it was acknowledged.
    pub resolved_at: Option<DateTime<Utc>>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    /// When the installation's webhook took it.
    pub delivered_at: Option<DateTime<Utc>>,
}

impl From<Alert> for AlertView {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id.0,
            kind: alert.kind,
            campaign_id: alert.campaign_id.map(|id| id.0),
            severity: alert.severity,
            status: if alert.resolved_at.is_none() { "open".into() } else { "resolved".into() },
            title: alert.title,
            detail: alert.detail,
            at: alert.at,
            resolved_at: alert.resolved_at,
            acknowledged_at: alert.acknowledged_at,
            delivered_at: alert.delivered_at,
        }
    }
}

list_of!(AlertList { alerts: AlertView });

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Open,
    Resolved,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// `open` or `resolved`; both if left out.
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// The account's alerts, newest first.
#[utoipa::path(get, path = "/alerts", tag = "alerts", params(AlertQuery), responses((status = OK, body = AlertList)))]
pub async fn list_alerts(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<AlertQuery>,
) -> Result<Json<AlertList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let open = query.status.map(|status| matches!(status, Status::Open));
    let mut tx = caller.tenant(&app).await?;
    let rows = alert::list(&mut *tx, caller.account, open, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(alert::count(&mut *tx, caller.account, open).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |alert| alert.id.0, AlertView::from).into()))
}

/// Say that somebody has seen it. Unknown calls and dead jobs are resolved by that; a pause is resolved by resuming.
#[utoipa::path(
    post, path = "/alerts/{id}/acknowledge", tag = "alerts", params(("id" = i64, Path)),
    responses((status = OK, body = AlertView), (status = NOT_FOUND, body = Problem))
)]
pub async fn acknowledge_alert(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AlertId>,
) -> Result<Json<AlertView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let alert = alert::acknowledge(&mut *tx, caller.account, id, app.clock.now()).await?;
    let alert = alert.ok_or_else(|| ApiError::not_found("alert"))?;
    tx.commit().await?;
    Ok(Json(alert.into()))
}
