//! The recording that a campaign plays to answering machines: uploaded, listened to, taken back.

use axum::Json;
use axum::body::Body;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::campaign::{Campaign, CampaignStatus};
use shared::id::CampaignId;
use shared::voicemail_recording::{self, VoicemailRecording};
use ulid::Ulid;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::campaigns;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::state::{App, AppState};
use crate::uploads::{self, Expected, expect_form};
use crate::voicemail_audio::{self, Playable};

/// A minute of 16 kHz PCM, and what a WAV may have beside it.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;
const MAX_TITLE_CHARS: usize = 100;

const RECORDING: Expected = Expected {
    noun: "recording",
    example: "curl -X PUT -F \"file=@message.wav\"",
    advice: "shorten it",
    max_bytes: MAX_BYTES,
};

/// A recording, as the one file of a form; the field's name does not matter.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the form, which is read as a stream")]
pub struct VoicemailRecordingForm {
    /// WAV: 16-bit PCM, mono, 8 or 16 kHz, at most 60 s and 2 MB.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What is played after a machine's beep.
#[derive(Debug, Serialize, ToSchema)]
pub struct VoicemailRecordingView {
    /// The file's name without its extension: what stands in a transcript.
    pub title: String,
    pub duration_ms: i32,
}

/// Give a draft, scheduled or paused campaign the recording that is played to an answering machine after its beep, in place of
/// the one before. The spoken `voicemail_message` is used only where the recording cannot be had.
#[utoipa::path(
    put, path = "/campaigns/{id}/voicemail-recording", tag = "campaigns", params(("id" = i64, Path)),
    request_body(content = VoicemailRecordingForm, content_type = "multipart/form-data"),
    responses(
        (status = OK, body = VoicemailRecordingView), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem),
        (status = PAYLOAD_TOO_LARGE, body = Problem), (status = UNSUPPORTED_MEDIA_TYPE, body = Problem),
        (status = UNPROCESSABLE_ENTITY, body = Problem),
    )
)]
pub async fn put_voicemail_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<VoicemailRecordingView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    changeable(&campaigns::found(&mut tx, caller, id).await?)?;
    // The file arrives at its sender's pace: no connection waits for it.
    tx.commit().await?;
    let file = uploads::read_file(expect_form(form, &RECORDING)?, &RECORDING).await?;
    let converting = tokio::task::spawn_blocking(move || voicemail_audio::convert(&file.content));
    let converted = converting.await.map_err(|error| ApiError::Internal(error.into()))?;
    let Playable { wav, duration_ms } =
        converted.map_err(|unusable| ApiError::unprocessable(unusable.code, unusable.detail))?;

    // A name of its own: a call that is being answered plays what it was told of.
    let object_key = format!("voicemail/{}/{id}/{}.wav", caller.account, Ulid::generate());
    let recording = VoicemailRecording { object_key, title: title(&file.name), duration_ms };
    app.storage.put(&recording.object_key, wav.into()).await.map_err(|error| ApiError::Internal(error.into()))?;
    match replace(&app, caller, id, Some(&recording)).await {
        Ok(()) => Ok(Json(VoicemailRecordingView { title: recording.title, duration_ms })),
        Err(error) => {
            discard(&app, &recording.object_key).await;
            Err(error)
        }
    }
}

/// Take the recording back: machines hear the `voicemail_message`, or are hung up on.
#[utoipa::path(
    delete, path = "/campaigns/{id}/voicemail-recording", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem))
)]
pub async fn delete_voicemail_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<StatusCode, ApiError> {
    replace(&app, caller, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The recording, as it is played.
#[utoipa::path(
    get, path = "/campaigns/{id}/voicemail-recording", tag = "campaigns", params(("id" = i64, Path)),
    responses((status = OK, content_type = "audio/wav"), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_voicemail_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CampaignId>,
) -> Result<Response, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    campaigns::found(&mut tx, caller, id).await?;
    let recording = voicemail_recording::of_campaign(&mut *tx, caller.account, id).await?;
    tx.commit().await?;
    let recording = recording.ok_or_else(|| ApiError::not_found("voicemail recording"))?;
    let object = app.storage.get(&recording.object_key).await.map_err(|error| ApiError::Internal(error.into()))?;
    let object = object.ok_or_else(|| ApiError::not_found("voicemail recording"))?;
    let headers =
        [(header::CONTENT_TYPE, "audio/wav".to_owned()), (header::CONTENT_LENGTH, object.size_bytes.to_string())];
    Ok((headers, Body::from_stream(object.stream)).into_response())
}

async fn replace(
    app: &AppState,
    caller: Caller,
    id: CampaignId,
    recording: Option<&VoicemailRecording>,
) -> Result<(), ApiError> {
    let mut tx = caller.tenant(app).await?;
    let campaign =
        Campaign::lock(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("campaign"))?;
    changeable(&campaign)?;
    let before = voicemail_recording::of_campaign(&mut *tx, caller.account, id).await?;
    voicemail_recording::set(&mut *tx, caller.account, id, recording, app.clock.now()).await?;
    tx.commit().await?;
    if let Some(before) = before {
        discard(app, &before.object_key).await;
    }
    Ok(())
}

/// Nothing refers to the object any more: one that stays behind costs its bytes, and is logged.
async fn discard(app: &AppState, key: &str) {
    if let Err(error) = app.storage.delete(key).await {
        tracing::error!(%error, key, "a voicemail recording that nobody needs stays in the store");
    }
}

fn changeable(campaign: &Campaign) -> Result<(), ApiError> {
    match campaign.status {
        CampaignStatus::Draft | CampaignStatus::Scheduled | CampaignStatus::Paused => Ok(()),
        CampaignStatus::Running => Err(ApiError::conflict(
            "campaign_running",
            "the campaign is running; pause it to change what answering machines hear",
        )),
        CampaignStatus::Completed | CampaignStatus::Canceled => {
            Err(ApiError::conflict("campaign_finished", "the campaign is over, and its settings stay as they were"))
        }
    }
}

fn title(file_name: &str) -> String {
    let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem).trim();
    let title: String = stem.chars().take(MAX_TITLE_CHARS).collect();
    if title.is_empty() { "voicemail".to_owned() } else { title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_files_name() {
        assert_eq!(title("Festive offer.wav"), "Festive offer");
        assert_eq!(title(".wav"), "voicemail");
        assert_eq!(title(&"x".repeat(300)).len(), MAX_TITLE_CHARS);
    }
}
