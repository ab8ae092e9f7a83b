//! `…/Calls`: placing, fetching, listing and ending calls.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{OriginalUri, Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, NaiveDate, Utc};
use rand::RngExt as _;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    exotel::{
        call::{self, Call, CallbackRequest, Mode, Status},
        flow::is_loopback,
        form::Form,
        phone,
        place::start_as,
    },
    twilio::{Order, account::Account, error::TwilioError},
    world::World,
};

const DEFAULT_TIMEOUT_SECS: u64 = 60;
const MAX_TIMEOUT_SECS: u64 = 600;
const MAX_TIME_LIMIT_SECS: u64 = 86_400;
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 1_000;
/// Without a value, a call that is never answered for breaks its connection after this.
const NO_REPLY_MS: u64 = 60_000;

type Answer = Result<Response, TwilioError>;

pub async fn create(State(world): State<Arc<World>>, _account: Account, body: Bytes) -> Answer {
    let form = Form::from_urlencoded(&body);
    world.log.record("twilio", "request.create", json!({"fields": form.fields()}));
    let call = place(&world, &form).inspect_err(|error| {
        let data = json!({"code": error.code, "message": error.message, "to": form.get("To")});
        world.log.record("twilio", "call.refused", data);
    })?;
    let key = call.fault_key();
    if let Some(value) = world.faults.take("slow_reply", &key) {
        tokio::time::sleep(Duration::from_millis(value.as_u64().unwrap_or(5_000))).await;
    }
    if let Some(value) = world.faults.take("accepted_no_reply", &key) {
        tokio::time::sleep(Duration::from_millis(value.as_u64().unwrap_or(NO_REPLY_MS))).await;
        // Unwinding the connection's task is the only way to end it without a byte of answer; it
        // does not run the panic hook.
        std::panic::resume_unwind(Box::new("accepted_no_reply"));
    }
    if world.faults.take("accepted_5xx", &key).is_some() {
        return Err(TwilioError::new(StatusCode::BAD_GATEWAY, 20502, "Bad gateway"));
    }
    if world.faults.take("empty_body", &key).is_some() {
        return Ok(StatusCode::CREATED.into_response());
    }
    Ok((StatusCode::CREATED, Json(view(&world, &call))).into_response())
}

pub async fn fetch(
    State(world): State<Arc<World>>,
    _account: Account,
    Path((_account_sid, segment)): Path<(String, String)>,
) -> Answer {
    let call = find(&world, &segment)?;
    world.log.record("twilio", "request.call", json!({"sid": call.sid}));
    Ok(Json(view(&world, &call)).into_response())
}

/// Ends a call. What else an update can do (another TwiML) is not simulated.
pub async fn update(
    State(world): State<Arc<World>>,
    _account: Account,
    Path((_account_sid, segment)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let call = find(&world, &segment)?;
    let form = Form::from_urlencoded(&body);
    world.log.record("twilio", "request.update", json!({"sid": call.sid, "fields": form.fields()}));
    let (status, answered) = {
        let truth = call.truth();
        (truth.status, truth.answered_at.is_some())
    };
    if status != Status::InProgress {
        return Err(TwilioError::bad_request(21220, "Call is not in-progress. Cannot redirect."));
    }
    match form.get("Status") {
        Some("completed") => {}
        Some("canceled") if !answered => {}
        Some("canceled") => return Err(TwilioError::bad_request(21220, "Call is in-progress. Cannot cancel.")),
        _ => return Err(TwilioError::bad_request(20001, "This sandbox takes Status=completed or Status=canceled")),
    }
    call.hang_up.cancel();
    Ok(Json(view(&world, &call)).into_response())
}

pub async fn list(State(world): State<Arc<World>>, _account: Account, OriginalUri(uri): OriginalUri) -> Answer {
    let query = uri.query().unwrap_or_default();
    world.log.record("twilio", "request.calls", json!({"query": query}));
    let mut filters = Filters { page_size: DEFAULT_PAGE, ..Filters::default() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        filters.read(&name, &value)?;
    }
    let mut found: Vec<_> =
        world.exotel.calls().into_iter().filter(|call| is_ours(call) && filters.admit(&world, call)).collect();
    found.reverse();
    let first = (filters.page * filters.page_size).min(found.len());
    let last = (first + filters.page_size).min(found.len());
    let page: Vec<Value> = found[first..last].iter().map(|call| view(&world, call)).collect();
    let uri = |page: usize| {
        let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "Page" && name != "PageToken");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("Page", &page.to_string())
            .finish();
        format!("/2010-04-01/Accounts/{}/Calls.json?{query}", world.settings.twilio_sid)
    };
    Ok(Json(json!({
        "calls": page,
        "page": filters.page,
        "page_size": filters.page_size,
        "start": first,
        "end": last.saturating_sub(1),
        "uri": uri(filters.page),
        "first_page_uri": uri(0),
        "next_page_uri": (last < found.len()).then(|| uri(filters.page + 1)),
        "previous_page_uri": filters.page.checked_sub(1).map(uri),
    }))
    .into_response())
}

#[derive(Debug, Default)]
struct Filters {
    to: Option<String>,
    from: Option<String>,
    status: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    page_size: usize,
    page: usize,
}

impl Filters {
    fn read(&mut self, name: &str, value: &str) -> Result<(), TwilioError> {
        let invalid = || TwilioError::bad_request(20001, format!("Invalid parameter {name}"));
        match name {
            "To" => self.to = Some(value.to_owned()),
            "From" => self.from = Some(value.to_owned()),
            "Status" => self.status = Some(value.to_owned()),
            // The inequality is part of the name.
            "StartTime>" => self.since = Some(instant(value).ok_or_else(invalid)?),
            "StartTime<" => self.until = Some(instant(value).ok_or_else(invalid)?),
            "PageSize" => {
                self.page_size = value.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size)).ok_or_else(invalid)?;
            }
            "Page" => self.page = value.parse().map_err(|_error| invalid())?,
            "PageToken" => {}
            // A filter that is not applied would answer wrongly.
            _ => return Err(invalid()),
        }
        Ok(())
    }

    fn admit(&self, world: &World, call: &Call) -> bool {
        let is = |wanted: &Option<String>, number: &str| wanted.as_ref().is_none_or(|one| phone::same(one, number));
        is(&self.to, &call.request.from)
            && is(&self.from, &call.request.exophone)
            && self.status.as_ref().is_none_or(|status| *status == status_of(world, call))
            && self.since.is_none_or(|since| call.placed_at >= since)
            && self.until.is_none_or(|until| call.placed_at <= until)
    }
}

/// A day, or an instant of RFC 3339.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok().or_else(day)
}

pub fn is_ours(call: &Call) -> bool {
    matches!(call.request.mode, Mode::Twiml(_))
}

/// Checks the request as the carrier would and starts the call.
fn place(world: &Arc<World>, form: &Form) -> Result<Arc<Call>, TwilioError> {
    let request = read_request(world, form)?;
    let key = call::fault_key(&request);
    if world.faults.take("rate_limited", &key).is_some() {
        return Err(TwilioError::new(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests"));
    }
    if world.faults.take("server_error", &key).is_some() {
        return Err(TwilioError::new(StatusCode::SERVICE_UNAVAILABLE, 20503, "Service unavailable"));
    }
    if world.faults.take("insufficient_balance", &key).is_some() {
        // An account without money is suspended, which is told like a wrong password.
        return Err(TwilioError::unauthorized());
    }
    let number = script_key(&request.from);
    let script = world.exotel.script(&number);
    if script.refuses_dnd(world.exotel.next_attempt(&number)) {
        world.exotel.count_attempt(&number);
        return Err(TwilioError::bad_request(21216, "Account not allowed to call this number"));
    }
    let sid = format!("CA{:032x}", rand::rng().random::<u128>());
    Ok(start_as(world, sid, request, script, &number))
}

/// Scripts are kept by national number; a number from elsewhere has only its own.
fn script_key(number: &str) -> String {
    phone::national(number).unwrap_or_else(|| number.to_owned())
}

fn read_request(world: &World, form: &Form) -> Result<call::Request, TwilioError> {
    let to = form.get("To").ok_or_else(|| TwilioError::bad_request(21201, "No 'To' number is specified"))?;
    if !is_e164(to) {
        return Err(TwilioError::bad_request(21211, format!("The 'To' number {to} is not a valid phone number.")));
    }
    let from = form.get("From").ok_or_else(|| TwilioError::bad_request(21213, "No 'From' number is specified"))?;
    if !is_e164(from) {
        return Err(TwilioError::bad_request(21212, format!("The 'From' number {from} is not a valid phone number.")));
    }
    if !world.settings.twilio_numbers.iter().any(|owned| owned == from) {
        let message = format!("The source phone number provided, {from}, is not yet verified for your account.");
        return Err(TwilioError::bad_request(21210, message));
    }
    let url = address(form, "Url")?.ok_or_else(|| TwilioError::bad_request(21205, "Url is required"))?;
    let callback = address(form, "StatusCallback")?.map(|url| {
        let events = form.list("StatusCallbackEvent");
        CallbackRequest { url, events, json: false }
    });
    if let Some(unknown) = callback
        .iter()
        .flat_map(|callback| &callback.events)
        .find(|event| !matches!(event.as_str(), "initiated" | "ringing" | "answered" | "completed"))
    {
        return Err(TwilioError::bad_request(21626, format!("Invalid StatusCallbackEvents: {unknown}")));
    }
    let machine_detection = match form.get("MachineDetection") {
        // Told in the question for TwiML, which waits for it; the product does not ask so.
        Some(_) if form.get("AsyncAmd") != Some("true") => {
            return Err(TwilioError::bad_request(20001, "This sandbox detects machines with AsyncAmd=true alone"));
        }
        Some("Enable" | "DetectMessageEnd") => address(form, "AsyncAmdStatusCallback")?,
        Some(_) => return Err(TwilioError::bad_request(20001, "Invalid MachineDetection")),
        None => None,
    };
    Ok(call::Request {
        from: to.to_owned(),
        exophone: from.to_owned(),
        mode: Mode::Twiml(Box::new(Order {
            url,
            fallback: address(form, "FallbackUrl")?,
            machine_detection,
            recording_callback: address(form, "RecordingStatusCallback")?,
        })),
        inbound: false,
        time_limit_secs: seconds(form, "TimeLimit", MAX_TIME_LIMIT_SECS)?.unwrap_or(MAX_TIME_LIMIT_SECS),
        ring_timeout_secs: seconds(form, "Timeout", MAX_TIMEOUT_SECS)?.unwrap_or(DEFAULT_TIMEOUT_SECS),
        record: form.get("Record") == Some("true"),
        dual_channels: form.get("RecordingChannels") == Some("dual"),
        custom_field: None,
        callback,
    })
}

fn is_e164(number: &str) -> bool {
    number
        .strip_prefix('+')
        .is_some_and(|digits| (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A webhook's address; the sandbox reaches nothing but loopback.
fn address(form: &Form, name: &str) -> Result<Option<Url>, TwilioError> {
    let Some(text) = form.get(name) else { return Ok(None) };
    let invalid = |why: &str| TwilioError::bad_request(21205, format!("{name}: {why}"));
    let url = Url::parse(text).map_err(|_error| invalid("is not a valid URL"))?;
    match url.scheme() {
        "http" | "https" if is_loopback(&url) => Ok(Some(url)),
        "http" | "https" => Err(invalid("this sandbox reaches nothing but loopback")),
        _ => Err(invalid("is not a valid URL")),
    }
}

fn seconds(form: &Form, name: &str, most: u64) -> Result<Option<u64>, TwilioError> {
    let Some(text) = form.get(name) else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if (1..=most).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(TwilioError::bad_request(20001, format!("Invalid parameter {name}"))),
    }
}

/// The call of `{sid}.json`.
pub fn find(world: &World, segment: &str) -> Result<Arc<Call>, TwilioError> {
    let sid = segment.strip_suffix(".json").unwrap_or_default();
    world.exotel.call(sid).filter(|call| is_ours(call)).ok_or_else(TwilioError::not_found)
}

/// `ringing` from the moment that it is placed: this sandbox has no queue.
pub fn status_of(world: &World, call: &Call) -> &'static str {
    let truth = call.truth();
    match (truth.status, truth.answered_at) {
        (Status::InProgress, Some(_)) => "in-progress",
        (Status::InProgress, None) if Utc::now() - call.placed_at < delta(world.settings.scaled(200)) => "queued",
        (Status::InProgress, None) => "ringing",
        (status, _) => status.as_str(),
    }
}

fn delta(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or(chrono::TimeDelta::MAX)
}

/// The `Call` object of the REST answers.
fn view(world: &World, call: &Call) -> Value {
    let status = status_of(world, call);
    let truth = call.truth().clone();
    let account = &world.settings.twilio_sid;
    let uri = format!("/2010-04-01/Accounts/{account}/Calls/{}", call.sid);
    let subresource = |name: &str| format!("{uri}/{name}.json");
    let ended = truth.ended_at;
    json!({
        "sid": call.sid,
        "account_sid": account,
        "parent_call_sid": null,
        "to": call.request.from,
        "to_formatted": call.request.from,
        "from": call.request.exophone,
        "from_formatted": call.request.exophone,
        "phone_number_sid": null,
        "status": status,
        "start_time": (status != "queued").then(|| call.placed_at.to_rfc2822()),
        "end_time": ended.map(|at| at.to_rfc2822()),
        "duration": ended.map(|_| call.talked_secs().to_string()),
        "price": null,
        "price_unit": "USD",
        "direction": "outbound-api",
        "answered_by": null,
        "api_version": "2010-04-01",
        "forwarded_from": null,
        "group_sid": null,
        "caller_name": null,
        "queue_time": "0",
        "trunk_sid": null,
        "date_created": call.placed_at.to_rfc2822(),
        "date_updated": ended.or(truth.answered_at).unwrap_or(call.placed_at).to_rfc2822(),
        "annotation": null,
        "uri": format!("{uri}.json"),
        "subresource_uris": {
            "recordings": subresource("Recordings"), "notifications": subresource("Notifications"),
            "events": subresource("Events"), "streams": subresource("Streams"),
        },
    })
}
