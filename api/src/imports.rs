//! Uploaded lists: how far each is, and what was wrong with which row.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::id::{CampaignId, ImportId};
use shared::import::{self, Import, ImportRow, ImportStatus};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::exports::csv_line;
use crate::extract::{Path, Query};
use crate::page::{Window, list_of};
use crate::state::App;

/// Rows fetched at once for a download.
const DOWNLOAD_PAGE: i64 = 1_000;

#[derive(Debug, Serialize, ToSchema)]
pub struct ImportView {
    pub import_id: i64,
    pub campaign_id: i64,
    pub file_name: String,
    pub file_bytes: i64,
    /// `queued`, `running`, `completed` or `failed`.
    #[schema(value_type = String)]
    pub status: ImportStatus,
    /// Rows of the file, once it has been looked through: how far `total_rows` will go.
    pub rows_in_file: Option<i64>,
    /// Rows read so far; of a finished list, all of them.
    pub total_rows: i64,
    pub imported: i64,
    /// The same as `imported`.
    pub leads_created: i64,
    pub duplicates: i64,
    pub rejected: i64,
    /// Why the file as a whole could not be read.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Where every remark on a row can be downloaded.
    pub rejections_csv: String,
}

/// A remark on a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionView {
    /// In the file, counted from 1; the header is a line too.
    pub line: i64,
    pub column: String,
    pub value: String,
    pub reason: String,
    /// `rejected`: it became no lead; `duplicate`: its number is in the campaign already; `warning`: it became one.
    pub severity: String,
}

impl ImportView {
    #[must_use]
    pub fn new(import: Import) -> Self {
        Self {
            import_id: import.id.0,
            campaign_id: import.campaign_id.0,
            file_name: import.file_name,
            file_bytes: import.file_bytes,
            status: import.status,
            rows_in_file: import.rows_in_file,
            total_rows: import.rows_total,
            imported: import.rows_imported,
            leads_created: import.rows_imported,
            duplicates: import.rows_duplicate,
            rejected: import.rows_rejected,
            error: import.error,
            created_at: import.created_at,
            finished_at: import.finished_at,
            rejections_csv: format!("/imports/{}/rejections.csv", import.id),
        }
    }
}

impl From<ImportRow> for RejectionView {
    fn from(row: ImportRow) -> Self {
        Self { line: row.line, column: row.column_name, value: row.value, reason: row.reason, severity: row.severity }
    }
}

list_of!(ImportList { imports: ImportView });

list_of!(RejectionList { rejections: RejectionView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Rejected,
    Duplicate,
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Warning => "warning",
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RejectionQuery {
    /// Only remarks of this kind: `rejected`, `duplicate` or `warning`.
    #[param(value_type = Option<String>)]
    severity: Option<Severity>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// The lists uploaded to a campaign, newest first.
#[utoipa::path(
    get, path = "/campaigns/{id}/imports", tag = "leads", params(("id" = i64, Path), ImportQuery),
    responses((status = OK, body = ImportList), (status = NOT_FOUND, body = Problem))
)]
pub async fn list_imports(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    Query(query): Query<ImportQuery>,
) -> Result<Json<ImportList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let mut tx = caller.tenant(&app).await?;
    campaigns::found(&mut tx, caller, id).await?;
    let rows = import::list(&mut *tx, caller.account, id, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(import::count(&mut *tx, caller.account, id).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |import| import.id.0, ImportView::new).into()))
}

/// One uploaded list, and how far it has been read.
#[utoipa::path(
    get, path = "/imports/{id}", tag = "leads", params(("id" = i64, Path)),
    responses((status = OK, body = ImportView), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_import(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ImportId>,
) -> Result<Json<ImportView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let import = import::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("import"))?;
    Ok(Json(ImportView::new(import)))
}

/// Rows of an uploaded list that became no lead, or became one with a remark.
#[utoipa::path(
    get, path = "/imports/{id}/rejections", tag = "leads", params(("id" = i64, Path), RejectionQuery),
    responses((status = OK, body = RejectionList), (status = NOT_FOUND, body = Problem))
)]
pub async fn list_rejections(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ImportId>,
    Query(query): Query<RejectionQuery>,
) -> Result<Json<RejectionList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let severity = query.severity.map(Severity::as_str);
    let mut tx = caller.tenant(&app).await?;
    import::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("import"))?;
    let rows =
        import::rows(&mut *tx, caller.account, id, severity, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(import::count_rows(&mut *tx, caller.account, id, severity).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |row| row.id, RejectionView::from).into()))
}

/// The same, as a CSV file.
#[utoipa::path(
    get, path = "/imports/{id}/rejections.csv", tag = "leads", params(("id" = i64, Path)),
    responses((status = OK, body = String, content_type = "text/csv"), (status = NOT_FOUND, body = Problem))
)]
pub async fn download_rejections(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ImportId>,
) -> Result<Response, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    import::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("import"))?;
    tx.commit().await?;
    let stream = async_stream::try_stream! {
        yield csv_line(["line", "severity", "column", "value", "reason"])?;
        let mut after = None;
        loop {
            let mut tx = shared::db::tenant(&app.db, caller.account).await?;
            let rows = import::rows(&mut *tx, caller.account, id, None, after, 0, DOWNLOAD_PAGE).await?;
            drop(tx);
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            let mut chunk = Vec::new();
            for row in &rows {
                let line = row.line.to_string();
                chunk.extend(csv_line([&line, &row.severity, &row.column_name, &row.value, &row.reason])?);
            }
            yield chunk;
        }
    };
    let stream: std::pin::Pin<Box<dyn futures::Stream<Item = anyhow::Result<Vec<u8>>> + Send>> = Box::pin(stream);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"import-{id}-rejections.csv\"")),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}
