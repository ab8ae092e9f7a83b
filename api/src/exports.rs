//! Exports: a campaign's calls with their transcripts, streamed page by page, so that their number does not matter.

mod table;
mod xlsx;

use std::pin::Pin;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::{Deserialize, Serialize};
use shared::call_detail::{self, ExportedCall};
use shared::id::{AccountId, CallId, CampaignId};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::{Path, Query};
use crate::state::{App, AppState};

pub use table::csv_line;

/// Calls fetched at once; each brings its transcript.
const PAGE: i64 = 200;

type Chunks = Pin<Box<dyn Stream<Item = anyhow::Result<Vec<u8>>> + Send>>;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Csv,
    Xlsx,
    Json,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv` (the default), `xlsx` or `json`.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    format: Format,
}

/// A row of the JSON export.
#[derive(Serialize)]
struct JsonRow<'a> {
    #[serde(flatten)]
    call: &'a ExportedCall,
    recording_url: Option<String>,
}

/// Every call of a campaign, oldest first, with its lead, result and transcript.
#[utoipa::path(
    get, path = "/exports/calls/{campaign_id}", tag = "reports", params(("campaign_id" = i64, Path), ExportQuery),
    responses(
        (status = OK, description = "CSV, XLSX or JSON", body = String, content_type = "text/csv"),
        (status = NOT_FOUND, body = Problem),
    )
)]
pub async fn export_calls(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    campaigns::found(&mut tx, caller, id).await?;
    tx.commit().await?;
    let (content_type, extension, body) = match query.format {
        Format::Csv => ("text/csv; charset=utf-8", "csv", Body::from_stream(csv(app, caller.account, id))),
        Format::Json => ("application/json", "json", Body::from_stream(json(app, caller.account, id))),
        Format::Xlsx => {
            let file = xlsx::write(&app, caller.account, id).await?;
            let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
            ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx", body)
        }
    };
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"campaign-{id}-calls.{extension}\"")),
    ];
    Ok((headers, body).into_response())
}

fn csv(app: App, account: AccountId, campaign: CampaignId) -> Chunks {
    logged(Box::pin(async_stream::try_stream! {
        // The mark tells spreadsheet programs that the file is UTF-8.
        let mut head = "\u{feff}".as_bytes().to_vec();
        head.extend(csv_line(table::COLUMNS)?);
        yield head;
        let mut after = CallId(0);
        while let Some(page) = next_page(&app, account, campaign, &mut after).await? {
            let mut chunk = Vec::new();
            for call in &page {
                chunk.extend(csv_line(table::cells(call, recording_url(&app, call)))?);
            }
            yield chunk;
        }
    }))
}

fn json(app: App, account: AccountId, campaign: CampaignId) -> Chunks {
    logged(Box::pin(async_stream::try_stream! {
        yield format!("{{\"campaign_id\":{campaign},\"calls\":[").into_bytes();
        let mut after = CallId(0);
        let mut first = true;
        while let Some(page) = next_page(&app, account, campaign, &mut after).await? {
            let mut chunk = Vec::new();
            for call in &page {
                if !std::mem::take(&mut first) {
                    chunk.push(b',');
                }
                serde_json::to_writer(&mut chunk, &JsonRow { call, recording_url: recording_url(&app, call) })?;
            }
            yield chunk;
        }
        yield b"]}".to_vec();
    }))
}

/// The calls behind `after`, which moves on; `None` when there are no more. Each page is a transaction of its own: an export
/// that is read slowly must hold no connection.
async fn next_page(
    app: &AppState,
    account: AccountId,
    campaign: CampaignId,
    after: &mut CallId,
) -> sqlx::Result<Option<Vec<ExportedCall>>> {
    let mut tx = shared::db::tenant(&app.db, account).await?;
    let page = call_detail::export_page(&mut *tx, account, campaign, *after, PAGE).await?;
    tx.commit().await?;
    let Some(last) = page.last() else { return Ok(None) };
    *after = last.call_id;
    Ok(Some(page))
}

fn recording_url(app: &AppState, call: &ExportedCall) -> Option<String> {
    call.has_recording.then(|| format!("{}/calls/{}/recording", app.base_url, call.call_id))
}

/// The head is long sent when a later page fails: the connection breaks off, and the reason is in the log.
fn logged(chunks: Chunks) -> Chunks {
    use futures::StreamExt;
    Box::pin(chunks.inspect(|chunk| {
        if let Err(error) = chunk {
            tracing::error!(error = format!("{error:#}"), "an export broke off");
        }
    }))
}
