//! A call's recording: played back whole or in parts, and deleted.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::call_detail::{self, RecordingInfo};
use shared::id::CallId;
use shared::recording::{self, Deletion};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Path;
use crate::state::{App, AppState};

/// A recording that can be played.
pub(crate) struct Playable {
    pub key: String,
    pub info: RecordingInfo,
}

/// The call's recording as audio: the carrier's, or our own, which is WAV in stereo. Ranges are served. 410: it was deleted.
#[utoipa::path(
    get, path = "/calls/{id}/recording", tag = "calls", params(("id" = i64, Path)),
    responses(
        (status = OK, content_type = "audio/mpeg"), (status = PARTIAL_CONTENT, content_type = "audio/mpeg"),
        (status = NOT_FOUND, body = Problem), (status = GONE, body = Problem),
        (status = RANGE_NOT_SATISFIABLE, body = Problem),
    )
)]
pub async fn get_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Playable { key, info } = playable(&app, &caller, id).await?;
    let gone = || not_available("the recording is no longer in the store");
    let away = |error: shared::storage::StorageError| ApiError::Internal(error.into());
    let content_type = info.content_type.unwrap_or_else(|| "audio/mpeg".into());
    let common = [(header::CONTENT_TYPE, content_type), (header::ACCEPT_RANGES, "bytes".into())];
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let size = match (asked, info.size_bytes.and_then(|size| u64::try_from(size).ok())) {
        (None, _) => None,
        (Some(_), Some(size)) => Some(size),
        (Some(_), None) => Some(app.storage.size(&key).await.map_err(away)?.ok_or_else(gone)?),
    };
    match asked.zip(size).and_then(|(text, size)| Some((range(text, size)?, size))) {
        None => {
            let object = app.storage.get(&key).await.map_err(away)?.ok_or_else(gone)?;
            let length = [(header::CONTENT_LENGTH, object.size_bytes.to_string())];
            Ok((common, length, Body::from_stream(object.stream)).into_response())
        }
        Some((Err(()), size)) => {
            let detail = format!("the recording has {size} bytes");
            Err(ApiError::refused(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", detail))
        }
        Some((Ok((first, last)), size)) => {
            let part = app.storage.get_part(&key, first..last + 1).await.map_err(away)?.ok_or_else(gone)?;
            let headers = [
                (header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}")),
                (header::CONTENT_LENGTH, (last - first + 1).to_string()),
            ];
            Ok((StatusCode::PARTIAL_CONTENT, common, headers, Body::from_stream(part.stream)).into_response())
        }
    }
}

/// Delete the call's recording for good, also one that is still to come. The carrier keeps its own by its own rules. The deletion
/// stays in the call's history.
#[utoipa::path(
    delete, path = "/calls/{id}/recording", tag = "calls", params(("id" = i64, Path)),
    responses(
        (status = NO_CONTENT, description = "deleted"), (status = NOT_FOUND, body = Problem), (status = CONFLICT, body = Problem),
    )
)]
pub async fn delete_recording(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<StatusCode, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    match recording::delete(&mut tx, caller.account, id, app.clock.now()).await? {
        Deletion::Done => {
            tx.commit().await?;
            Ok(StatusCode::NO_CONTENT)
        }
        Deletion::CallIsUp => {
            Err(ApiError::conflict("call_is_up", "the call is still up; delete its recording after it"))
        }
        Deletion::NoSuchCall => Err(ApiError::not_found("call")),
    }
}

/// What of the call can be played; otherwise why nothing can.
pub(crate) async fn playable(app: &AppState, caller: &Caller, id: CallId) -> Result<Playable, ApiError> {
    let mut tx = caller.tenant(app).await?;
    call_detail::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("call"))?;
    let recording = call_detail::recording(&mut *tx, caller.account, id).await?;
    tx.commit().await?;
    let Some(mut info) = recording else { return Err(not_available("no recording of this call is known of")) };
    let reason = info.reason.clone().unwrap_or_else(|| "it has not been fetched from the carrier yet".into());
    if info.status == "deleted" {
        let detail = format!("the recording is deleted: {reason}");
        return Err(ApiError::refused(StatusCode::GONE, "recording_deleted", detail));
    }
    match info.object_key.take().filter(|_| info.status == "stored") {
        Some(key) => Ok(Playable { key, info }),
        None => Err(not_available(format!("the recording is {}: {reason}", info.status))),
    }
}

pub(crate) fn recording_url(app: &AppState, id: CallId) -> String {
    format!("{}/calls/{id}/recording", app.base_url)
}

fn not_available(detail: impl Into<String>) -> ApiError {
    ApiError::refused(StatusCode::NOT_FOUND, "recording_not_available", detail)
}

/// The first and last byte of a single range. `None` for anything else, which is then served whole (RFC 9110, 14.2); `Err` if
/// it lies outside.
fn range(header: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    if last.contains(',') {
        return None;
    }
    let (first, last) = match (first.trim(), last.trim()) {
        ("", suffix) => match suffix.parse().ok()? {
            0 => return Some(Err(())),
            suffix => (size.saturating_sub(suffix), size.checked_sub(1)),
        },
        (first, "") => (first.parse().ok()?, size.checked_sub(1)),
        (first, last) => {
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            // Backwards is no range, which is not the same as one that lies outside.
            if last < first {
                return None;
            }
            (first, size.checked_sub(1).map(|end| end.min(last)))
        }
    };
    Some(last.filter(|last| first <= *last).map(|last| (first, last)).ok_or(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_recording() {
        assert_eq!(range("bytes=0-3", 10), Some(Ok((0, 3))));
        assert_eq!(range("bytes=4-", 10), Some(Ok((4, 9))));
        assert_eq!(range("bytes=-3", 10), Some(Ok((7, 9))));
        assert_eq!(range("bytes=-99", 10), Some(Ok((0, 9))));
        assert_eq!(range("bytes=8-99", 10), Some(Ok((8, 9))));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(range(outside, 10), Some(Err(())), "{outside}");
        }
        assert_eq!(range("bytes=0-", 0), Some(Err(())));
        for not_one in ["bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=0-b", "bytes=4-2"] {
            assert_eq!(range(not_one, 10), None, "{not_one}");
        }
    }
}
