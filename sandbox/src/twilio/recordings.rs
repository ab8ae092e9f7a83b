//! `…/Recordings`: what was recorded, and its sound.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
};
use chrono::Utc;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    exotel::call::{Call, Recording},
    twilio::{account::Account, calls::is_ours, error::TwilioError},
    world::World,
};

/// A recording's id: its call's, in other letters.
pub fn sid_of(call: &Call) -> String {
    format!("RE{}", call.sid.trim_start_matches("CA"))
}

/// Where it is, without the extension that chooses a format.
pub fn url_of(world: &World, call: &Call) -> String {
    let (base, account) = (world.exotel.base_url(&world.settings), &world.settings.twilio_sid);
    format!("{base}/2010-04-01/Accounts/{account}/Recordings/{}", sid_of(call))
}

pub async fn list(
    State(world): State<Arc<World>>,
    _account: Account,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, TwilioError> {
    let query = uri.query().unwrap_or_default();
    world.log.record("twilio", "request.recordings", json!({"query": query}));
    let of_call = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "CallSid")
        .map(|(_, sid)| sid.into_owned())
        .ok_or_else(|| TwilioError::bad_request(20001, "This sandbox lists recordings by CallSid alone"))?;
    let call = world.exotel.call(&of_call).filter(|call| is_ours(call));
    let recordings: Vec<Value> = call.iter().filter_map(|call| view(&world, call)).collect();
    let uri = format!("/2010-04-01/Accounts/{}/Recordings.json?{query}", world.settings.twilio_sid);
    Ok(Json(json!({
        "recordings": recordings, "page": 0, "page_size": 50, "start": 0, "end": recordings.len().saturating_sub(1),
        "uri": uri, "first_page_uri": uri, "next_page_uri": null, "previous_page_uri": null,
    }))
    .into_response())
}

/// `RE….json` describes a recording, `RE….mp3` is its sound.
pub async fn fetch(
    State(world): State<Arc<World>>,
    _account: Account,
    Path((_account_sid, segment)): Path<(String, String)>,
) -> Result<Response, TwilioError> {
    let (sid, format) = segment.split_once('.').unwrap_or((&segment, "json"));
    let call_sid = sid.strip_prefix("RE").map(|rest| format!("CA{rest}")).ok_or_else(TwilioError::not_found)?;
    let call = world.exotel.call(&call_sid).filter(|call| is_ours(call)).ok_or_else(TwilioError::not_found)?;
    if format == "json" {
        return view(&world, &call).map(|view| Json(view).into_response()).ok_or_else(TwilioError::not_found);
    }
    let there = format == "mp3" && is_there(&call);
    let body = there.then(|| world.exotel.recordings.read(&call.sid)).flatten();
    world.log.record("twilio", "request.recording", json!({"sid": call.sid, "found": body.is_some()}));
    let body = body.ok_or_else(TwilioError::not_found)?;
    if world.faults.take("recording_truncated", &call.fault_key()).is_some() {
        return Ok(crate::exotel::read::truncated(&body));
    }
    Ok(([(CONTENT_TYPE, "audio/mpeg")], body).into_response())
}

fn is_there(call: &Call) -> bool {
    matches!(call.truth().recording, Recording::Due { at, .. } if Utc::now() >= at)
}

fn view(world: &World, call: &Call) -> Option<Value> {
    let recording = call.truth().recording.clone();
    let (status, ms) = match recording {
        Recording::None => return None,
        Recording::UnderWay => ("in-progress", None),
        Recording::Due { at, ms } if Utc::now() >= at => ("completed", Some(ms)),
        Recording::Due { .. } | Recording::Never => ("processing", None),
    };
    let (sid, account) = (sid_of(call), &world.settings.twilio_sid);
    Some(json!({
        "sid": sid,
        "account_sid": account,
        "call_sid": call.sid,
        "status": status,
        "duration": ms.map(|ms| (ms / 1_000).to_string()),
        "channels": if call.request.dual_channels { 2 } else { 1 },
        "source": "OutboundAPI",
        "date_created": call.placed_at.to_rfc2822(),
        "media_url": url_of(world, call),
        "uri": format!("/2010-04-01/Accounts/{account}/Recordings/{sid}.json"),
    }))
}
