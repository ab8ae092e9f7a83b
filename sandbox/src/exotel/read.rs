//! What the carrier says of a call afterwards: details, lists, recordings.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{OriginalUri, Path, Query, State},
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
        request::Parts,
    },
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use crate::{
    exotel::{
        account::{self, Account},
        answer::{Format, answer},
        call::{Call, Recording, Status},
        clock,
        error::RestError,
        phone,
    },
    settings::Settings,
    world::World,
};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 100;
/// A filter may name at most this many numbers.
const MAX_NUMBERS: usize = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    details: Option<bool>,
    #[serde(rename = "RecordingUrlValidity")]
    recording_url_validity: Option<i64>,
}

pub async fn call(
    State(world): State<Arc<World>>,
    account: Account,
    Path((_account, segment)): Path<(String, String)>,
    Query(asked): Query<Details>,
) -> Response {
    let (sid, format) = Format::split(&segment);
    world.log.record("exotel", "request.call", json!({"sid": sid}));
    let Some(call) = world.exotel.call(sid).filter(|call| call.service() == "exotel") else {
        return RestError::not_found().respond(account.format);
    };
    let validity = match asked.recording_url_validity {
        Some(minutes) if !(5..=60).contains(&minutes) => {
            return RestError::bad_request("RecordingUrlValidity must be between 5 and 60").respond(format);
        }
        validity => validity,
    };
    let mut view = view(&world, &call, validity);
    if asked.details == Some(true) {
        let talked = call.talked_secs();
        let status = call.truth().status.as_str();
        view["Details"] = json!({
            "ConversationDuration": talked,
            "Leg1Status": status,
            "Leg2Status": null,
            "Legs": [{"Leg": {"Id": 1, "OnCallDuration": talked}}],
        });
    }
    answer(format, StatusCode::OK, &json!({"Call": view}))
}

pub async fn calls(State(world): State<Arc<World>>, account: Account, OriginalUri(uri): OriginalUri) -> Response {
    let query = uri.query().unwrap_or_default();
    world.log.record("exotel", "request.calls", json!({"query": query}));
    match page(&world, query) {
        Ok(page) => answer(account.format, StatusCode::OK, &page),
        Err(error) => error.respond(account.format),
    }
}

/// `GET …/Calls` filters, as far as they are documented.
#[derive(Debug, Default)]
struct Filters {
    sids: Option<Vec<String>>,
    from: Option<Vec<String>>,
    to: Option<Vec<String>>,
    either: Option<Vec<String>>,
    statuses: Option<Vec<String>>,
    direction: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    oldest_first: bool,
    page_size: usize,
    after: Option<String>,
    before: Option<String>,
    validity: Option<i64>,
}

impl Filters {
    fn read(query: &str) -> Result<Self, RestError> {
        let mut filters = Self { page_size: DEFAULT_PAGE, ..Self::default() };
        let list = |value: &str| Some(value.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let invalid = || RestError::bad_request(format!("Invalid parameter {name}"));
            match &*name {
                "Sid" => filters.sids = list(&value),
                "From" => filters.from = list(&value),
                "To" => filters.to = list(&value),
                "PhoneNumber" => filters.either = list(&value),
                "Status" => filters.statuses = list(&value),
                "Direction" => filters.direction = Some(value.into_owned()),
                "DateCreated" => {
                    for bound in value.split(';').filter(|bound| !bound.is_empty()) {
                        let (side, at) = bound.split_once(':').ok_or_else(invalid)?;
                        let at = clock::parse(at).ok_or_else(invalid)?;
                        match side {
                            "gte" => filters.since = Some(at),
                            "lte" => filters.until = Some(at),
                            _ => return Err(invalid()),
                        }
                    }
                }
                "SortBy" => match &*value {
                    "DateCreated:asc" => filters.oldest_first = true,
                    "DateCreated:desc" => filters.oldest_first = false,
                    _ => return Err(invalid()),
                },
                "PageSize" => {
                    filters.page_size =
                        value.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size)).ok_or_else(invalid)?;
                }
                "After" => filters.after = Some(value.into_owned()),
                "Before" => filters.before = Some(value.into_owned()),
                "RecordingUrlValidity" => filters.validity = Some(value.parse().map_err(|_error| invalid())?),
                // The documents name more (Duration, Price); a filter that is not applied would
                // answer wrongly, so it is refused.
                _ => return Err(invalid()),
            }
        }
        for numbers in [&filters.from, &filters.to, &filters.either].into_iter().flatten() {
            if numbers.len() > MAX_NUMBERS {
                return Err(RestError::bad_request(format!("At most {MAX_NUMBERS} numbers can be given")));
            }
        }
        if let (Some(since), Some(until)) = (filters.since, filters.until)
            && until - since > TimeDelta::days(31)
        {
            return Err(RestError::bad_request("DateCreated may span at most one month"));
        }
        Ok(filters)
    }

    fn admit(&self, call: &Call) -> bool {
        let (customer, exophone) = (call.customer(), call.exophone());
        let names = |wanted: &Option<Vec<String>>, numbers: &[&str]| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.iter().any(|one| numbers.iter().any(|number| phone::same(one, number))))
        };
        // The stamps have whole seconds, and the bounds include them.
        let placed = call.placed_at.timestamp();
        self.sids.as_ref().is_none_or(|sids| sids.contains(&call.sid))
            && names(&self.from, &[&customer])
            && names(&self.to, &[&exophone])
            && names(&self.either, &[&customer, &exophone])
            && self
                .statuses
                .as_ref()
                .is_none_or(|statuses| statuses.iter().any(|status| status == call.truth().status.as_str()))
            && self.direction.as_deref().is_none_or(|direction| direction == call.direction())
            && self.since.is_none_or(|since| placed >= since.timestamp())
            && self.until.is_none_or(|until| placed <= until.timestamp())
    }
}

fn page(world: &World, query: &str) -> Result<Value, RestError> {
    let filters = Filters::read(query)?;
    let is_ours = |call: &Arc<Call>| call.service() == "exotel";
    let mut found: Vec<_> =
        world.exotel.calls().into_iter().filter(|call| is_ours(call) && filters.admit(call)).collect();
    if !filters.oldest_first {
        found.reverse();
    }
    let place = |sid: &Option<String>| sid.as_ref().and_then(|sid| found.iter().position(|call| call.sid == *sid));
    let first = match (place(&filters.after), place(&filters.before)) {
        (Some(after), _) => after + 1,
        (None, Some(before)) => before.saturating_sub(filters.page_size),
        (None, None) => 0,
    };
    let last = (first + filters.page_size).min(found.len());
    let first = first.min(last);

    let uri = |cursor: Option<(&str, &str)>| {
        let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !matches!(&**name, "After" | "Before"))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        pairs.extend(cursor.map(|(name, sid)| (name.to_owned(), sid.to_owned())));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("/v1/Accounts/{}/Calls.json?{query}", world.settings.exotel_sid)
    };
    Ok(json!({
        "Metadata": {
            "Total": found.len(),
            "PageSize": filters.page_size,
            "FirstPageUri": uri(None),
            "PrevPageUri": (first > 0).then(|| uri(Some(("Before", &found[first].sid)))),
            "NextPageUri": (last < found.len()).then(|| uri(Some(("After", &found[last - 1].sid)))),
        },
        "Calls": found[first..last].iter().map(|call| view(world, call, filters.validity)).collect::<Vec<_>>(),
    }))
}

/// The call as it can be seen now: duration, price and recording appear a while after its end.
fn view(world: &World, call: &Call, validity: Option<i64>) -> Value {
    let delay = world.settings.scaled(world.settings.details_delay_ms);
    let settled = {
        let truth = call.truth();
        truth.status != Status::InProgress && truth.ended_at.is_some_and(|ended| Utc::now() >= ended + delay)
    };
    let recording_url = world.exotel.recording_url(&world.settings, call).map(|url| match validity {
        Some(minutes) => sign(&world.settings, &url, &call.sid, Utc::now() + TimeDelta::minutes(minutes)),
        None => url,
    });
    call.view(&world.settings.exotel_sid, settled, recording_url.as_deref())
}

/// A link that needs no credentials until it expires.
fn sign(settings: &Settings, url: &str, sid: &str, until: DateTime<Utc>) -> String {
    let expires = until.timestamp();
    format!("{url}?Expires={expires}&Signature={}", signature(settings, sid, expires))
}

fn signature(settings: &Settings, sid: &str, expires: i64) -> String {
    let digest = Sha256::digest(format!("{}:{sid}:{expires}", settings.exotel_token));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, Deserialize)]
pub struct Signed {
    #[serde(rename = "Expires")]
    expires: Option<i64>,
    #[serde(rename = "Signature")]
    signature: Option<String>,
}

pub async fn recording(
    State(world): State<Arc<World>>,
    Path((account, file)): Path<(String, String)>,
    Query(signed): Query<Signed>,
    parts: Parts,
) -> Response {
    let sid = file.strip_suffix(".mp3").unwrap_or_default();
    let is_signed = signed.expires.is_some_and(|expires| {
        expires >= Utc::now().timestamp()
            && signed.signature.as_deref() == Some(&signature(&world.settings, sid, expires))
    });
    if !is_signed && !account::is_authorized(&parts, &world.settings) {
        return RestError::new(StatusCode::UNAUTHORIZED, "Authentication failed").into_response();
    }
    let call = world.exotel.call(sid).filter(|_| account == world.settings.exotel_sid);
    let there = call.filter(|call| matches!(call.truth().recording, Recording::Due { at, .. } if Utc::now() >= at));
    let body = there.as_ref().and_then(|_| world.exotel.recordings.read(sid));
    world.log.record("exotel", "request.recording", json!({"sid": sid, "found": body.is_some()}));
    let (Some(call), Some(body)) = (there, body) else { return RestError::not_found().into_response() };
    if world.faults.take("recording_truncated", &call.fault_key()).is_some() {
        return truncated(&body);
    }
    ([(CONTENT_TYPE, "audio/mpeg")], body).into_response()
}

/// Announces the whole length, sends half, and breaks the connection.
pub(crate) fn truncated(body: &[u8]) -> Response {
    let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
    let chunks = futures::stream::iter([Ok(half), Err(std::io::Error::other("recording_truncated"))]);
    let headers = [(CONTENT_TYPE, "audio/mpeg".to_owned()), (CONTENT_LENGTH, body.len().to_string())];
    (headers, Body::from_stream(chunks)).into_response()
}
