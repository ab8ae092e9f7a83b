//! A list of leads is uploaded: stored at once, read by a job, and usually answered with its result.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{Multipart, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use shared::campaign::{Campaign, CampaignStatus};
use shared::id::{CampaignId, ImportId};
use shared::idempotency::digest;
use shared::import::{self, Import, ImportStatus, Upload};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::idempotency::IdempotencyKey;
use crate::imports::{ImportView, RejectionView};
use crate::state::{App, AppState};

/// How long an upload waits for its list to be read; a list of 100,000 rows takes longer, and is then followed by its id.
const PATIENCE: Duration = Duration::from_secs(15);
const FIRST_LOOK: Duration = Duration::from_millis(40);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Rejected rows told with the upload's own answer.
const REJECTIONS_SHOWN: i64 = 50;
const MAX_FILE_NAME_CHARS: usize = 255;
/// Fields beside the file, in one form.
const MAX_PARTS: usize = 20;

const SAMPLE: &str = "name,phone,email,property_type,location,budget,language,consent_basis,consent_date,consent_source,notes\r\n\
    Asha Rao,+91 98450 12345,asha@example.com,2BHK Apartment,Whitefield,50L - 75L,en-IN,inquiry,2026-11-02,website form,Prefers evenings\r\n\
    Vikram Shetty,098860 54321,,Villa,Sarjapur Road,2 Cr,hi-IN,express,14/11/2026,property fair,\r\n";

/// A list of leads (CSV or XLSX), as the one file of a form; the field's name does not matter.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the form, which is read as a stream")]
pub struct UploadForm {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct UploadView {
    #[serde(flatten)]
    pub import: ImportView,
    /// The first rows that became no lead; all of them are at `rejections_csv`.
    pub rejections: Vec<RejectionView>,
}

/// Upload a list of leads. The answer tells every row that was rejected, and why; a long list goes on being read behind 202.
#[utoipa::path(
    post, path = "/campaigns/{id}/upload-csv", tag = "leads", params(("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = OK, body = UploadView), (status = ACCEPTED, body = UploadView), (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem), (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
    )
)]
pub async fn upload_csv(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    key: IdempotencyKey,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    open(&campaigns::found(&mut tx, caller, id).await?)?;
    // The file arrives at its sender's pace: no connection waits for it.
    tx.commit().await?;
    let expected = Expected {
        noun: "list",
        example: "curl -F \"file=@leads.csv\"",
        advice: "split it",
        max_bytes: app.max_upload_bytes,
    };
    let file = read_file(expect_form(form, &expected)?, &expected).await?;

    let mut tx = caller.tenant(&app).await?;
    let campaign =
        Campaign::lock(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("campaign"))?;
    open(&campaign)?;
    let upload = Upload { file_name: &file.name, content_type: file.content_type.as_deref(), content: &file.content };
    let hash = digest(&[&id.0.to_le_bytes(), &file.content]);
    let import_id = match key.claim(&mut tx, caller.account, "upload_csv", &hash).await? {
        Some(import_id) => ImportId(import_id),
        None => {
            let import_id = import::create(&mut tx, caller.account, id, &upload, app.clock.now()).await?;
            key.complete(&mut tx, caller.account, import_id.0).await?;
            import_id
        }
    };
    tx.commit().await?;
    tracing::info!(campaign_id = %id, import_id = %import_id, file_bytes = file.content.len(), "a list was uploaded");
    drop(file);

    let import = wait_for(&app, caller, import_id).await?;
    if import.status == ImportStatus::Failed {
        let reason = import.error.unwrap_or_else(|| "the file could not be read".into());
        return Err(ApiError::unprocessable("import_failed", reason));
    }
    let status = if import.status.is_finished() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut tx = caller.tenant(&app).await?;
    let rejections =
        import::rows(&mut *tx, caller.account, import_id, Some("rejected"), None, 0, REJECTIONS_SHOWN).await?;
    let location = [(header::LOCATION, format!("/imports/{import_id}"))];
    let view = UploadView {
        import: ImportView::new(import),
        rejections: rejections.into_iter().map(RejectionView::from).collect(),
    };
    Ok((status, location, Json(view)).into_response())
}

/// A list to begin with.
#[utoipa::path(
    get, path = "/campaigns/templates/csv-sample", tag = "leads",
    responses((status = OK, body = String, content_type = "text/csv"))
)]
pub async fn get_csv_sample(_: Caller) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"leads-sample.csv\""),
    ];
    (headers, SAMPLE).into_response()
}

fn open(campaign: &Campaign) -> Result<(), ApiError> {
    match campaign.status {
        CampaignStatus::Completed | CampaignStatus::Canceled => {
            Err(ApiError::conflict("campaign_finished", "the campaign is over; create another one for these leads"))
        }
        CampaignStatus::Draft | CampaignStatus::Scheduled | CampaignStatus::Running | CampaignStatus::Paused => Ok(()),
    }
}

/// The file that a form should bring, in the words of its refusals.
#[derive(Clone, Copy)]
pub struct Expected {
    pub noun: &'static str,
    pub example: &'static str,
    /// For whoever sends too much.
    pub advice: &'static str,
    pub max_bytes: usize,
}

pub struct File {
    pub name: String,
    pub content_type: Option<String>,
    pub content: Bytes,
}

/// # Errors
/// The body is no form.
pub fn expect_form(form: Result<Multipart, MultipartRejection>, expected: &Expected) -> Result<Multipart, ApiError> {
    form.map_err(|_no_form| {
        let detail = format!("send the {} as a file in a multipart form: {}", expected.noun, expected.example);
        ApiError::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "form_expected", detail)
    })
}

/// The form's one file.
///
/// # Errors
/// There is none, more than one, or too much of it.
pub async fn read_file(mut form: Multipart, expected: &Expected) -> Result<File, ApiError> {
    let mut file: Option<File> = None;
    let mut parts = 0;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error, expected))? {
        parts += 1;
        if parts > MAX_PARTS {
            return Err(ApiError::unprocessable("too_many_fields", "the form has too many fields"));
        }
        let Some(name) = field.file_name().map(str::to_owned) else { continue };
        if file.is_some() {
            return Err(ApiError::unprocessable(
                "one_file_expected",
                format!("the form has more than one file; send one {} at a time", expected.noun),
            ));
        }
        let content_type = field.content_type().map(str::to_owned);
        let content = field.bytes().await.map_err(|error| broken(&error, expected))?;
        if content.len() > expected.max_bytes {
            return Err(too_large(expected));
        }
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_FILE_NAME_CHARS).collect();
        file = Some(File { name, content_type, content });
    }
    let file = file.ok_or_else(|| {
        ApiError::unprocessable("file_missing", format!("the form has no file: {} (mind the @)", expected.example))
    })?;
    if file.content.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::unprocessable("file_empty", "the file is empty"));
    }
    Ok(file)
}

fn broken(error: &MultipartError, expected: &Expected) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(expected),
        status => {
            ApiError::refused(status, "broken_form", format!("the form could not be read: {}", error.body_text()))
        }
    }
}

fn too_large(expected: &Expected) -> ApiError {
    let Expected { noun, advice, max_bytes, .. } = expected;
    let detail = format!("the {noun} is larger than {} MB; {advice}", max_bytes / (1024 * 1024));
    ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", detail)
}

/// Looks again and again, ever more slowly, until the list has been read or patience ends.
async fn wait_for(app: &AppState, caller: Caller, id: ImportId) -> Result<Import, ApiError> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = FIRST_LOOK;
    loop {
        let mut tx = caller.tenant(app).await?;
        let import = import::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("import"))?;
        tx.commit().await?;
        if import.status.is_finished() || Instant::now() >= deadline || app.stopping.is_cancelled() {
            return Ok(import);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.stopping.cancelled() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
