//! `POST …/Calls/connect`: the request that makes a phone ring.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use chrono::Utc;
use serde_json::json;
use url::Url;

use crate::{
    exotel::{
        account::Account,
        answer::answer,
        call::{self, Call, CallbackRequest, Mode},
        error::RestError,
        flow::{self, is_loopback},
        form::Form,
        line, phone,
    },
    world::World,
};

const MAX_TIME_LIMIT_SECS: u64 = 14_400;
const DEFAULT_RING_TIMEOUT_SECS: u64 = 30;
const MAX_STREAM_URL_CHARS: usize = 600;
const MAX_CUSTOM_FIELD_CHARS: usize = 128;
/// Without a value, a call that is never answered for breaks its connection after this.
const NO_REPLY_MS: u64 = 60_000;

pub async fn connect(State(world): State<Arc<World>>, account: Account, request: Request) -> Response {
    let form = match Form::read(request).await {
        Ok(form) => form,
        Err(error) => return error.respond(account.format),
    };
    world.log.record("exotel", "request.connect", json!({"fields": form.fields()}));
    match place(&world, &form) {
        Ok(placed) => reply(&world, &account, &placed).await,
        Err(error) => {
            world.log.record(
                "exotel",
                "call.refused",
                json!({"status": error.status.as_u16(), "message": error.message, "from": form.get("From")}),
            );
            error.respond(account.format)
        }
    }
}

/// The answer to a placed call, with what the armed faults do to it.
async fn reply(world: &Arc<World>, account: &Account, call: &Arc<Call>) -> Response {
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
    if let Some(value) = world.faults.take("accepted_5xx", &key) {
        let status = server_error(&value, StatusCode::BAD_GATEWAY);
        return RestError::new(status, "Upstream failure").respond(account.format);
    }
    if world.faults.take("empty_body", &key).is_some() {
        return StatusCode::OK.into_response();
    }
    let body = json!({"Call": call.view(&world.settings.exotel_sid, false, None)});
    answer(account.format, StatusCode::OK, &body)
}

/// Checks the request as the carrier would and starts the call.
fn place(world: &Arc<World>, form: &Form) -> Result<Arc<Call>, RestError> {
    let request = read_request(world, form)?;
    let key = call::fault_key(&request);
    if world.faults.take("rate_limited", &key).is_some() {
        return Err(RestError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests, the limit per minute is reached",
        ));
    }
    if let Some(value) = world.faults.take("server_error", &key) {
        return Err(RestError::new(server_error(&value, StatusCode::SERVICE_UNAVAILABLE), "Service unavailable"));
    }
    if world.faults.take("insufficient_balance", &key).is_some() {
        return Err(RestError::new(StatusCode::PAYMENT_REQUIRED, "Insufficient balance"));
    }
    let national = phone::national(&request.from).ok_or_else(|| invalid("From"))?;
    let script = world.exotel.script(&national);
    if script.refuses_dnd(world.exotel.next_attempt(&national)) {
        world.exotel.count_attempt(&national);
        let message = format!("Call to {} cannot be made because of TRAI NDNC regulations", request.from);
        return Err(RestError::new(StatusCode::FORBIDDEN, message));
    }
    Ok(start(world, request, script, &national))
}

/// Makes the record and lets the call live.
pub(super) fn start(
    world: &Arc<World>,
    request: call::Request,
    script: crate::callee::Script,
    national: &str,
) -> Arc<Call> {
    start_as(world, call::new_sid(), request, script, national)
}

/// The same, under an id of the caller's making.
pub(crate) fn start_as(
    world: &Arc<World>,
    sid: String,
    request: call::Request,
    script: crate::callee::Script,
    number: &str,
) -> Arc<Call> {
    let attempt = world.exotel.count_attempt(number);
    let call = Arc::new(Call::new(sid, request, script, attempt, Utc::now()));
    world.exotel.remember(&call);
    world.log.record(
        call.service(),
        "call.placed",
        json!({
            "sid": call.sid, "from": call.customer(), "attempt": attempt, "script": call.script.name,
            "reference": call.request.reference(),
        }),
    );
    line::begin(world, call.clone());
    call
}

/// A person calls one of the account's numbers: the flow runs as for an outbound call, and nobody
/// is called back about it. `app_id` is the flow that the number is assigned to.
pub fn ring_in(world: &Arc<World>, from: &str, to: Option<&str>, app_id: Option<&str>) -> Result<Arc<Call>, RestError> {
    let national = phone::national(from).ok_or_else(|| invalid("from"))?;
    let exophone = to.or(world.settings.exophones.first().map(String::as_str)).unwrap_or_default().to_owned();
    if !world.settings.exophones.iter().any(|owned| phone::same(owned, &exophone)) {
        return Err(invalid("to"));
    }
    let app_id = app_id.unwrap_or(&world.settings.app_id).to_owned();
    if world.exotel.flow(&app_id).is_none() {
        return Err(RestError::bad_request(format!("No flow is configured as {app_id}")));
    }
    let request = call::Request {
        from: from.to_owned(),
        exophone,
        mode: Mode::Flow { app_id },
        inbound: true,
        time_limit_secs: MAX_TIME_LIMIT_SECS,
        ring_timeout_secs: DEFAULT_RING_TIMEOUT_SECS,
        record: false,
        dual_channels: false,
        custom_field: None,
        callback: None,
    };
    let script = world.exotel.script(&national);
    Ok(start(world, request, script, &national))
}

fn read_request(world: &World, form: &Form) -> Result<call::Request, RestError> {
    let required = |name: &str| form.get(name).ok_or_else(|| RestError::bad_request(format!("{name} is required")));
    let from = required("From")?;
    let exophone = required("CallerId")?;
    if phone::national(from).is_none() {
        return Err(invalid("From"));
    }
    if !world.settings.exophones.iter().any(|owned| phone::same(owned, exophone)) {
        return Err(RestError::bad_request("CallerId is not an ExoPhone of this account"));
    }
    let call_type = form.get("CallType");
    if !matches!(call_type, None | Some("trans" | "promo")) {
        return Err(invalid("CallType"));
    }
    Ok(call::Request {
        from: from.to_owned(),
        exophone: exophone.to_owned(),
        mode: read_mode(world, form)?,
        inbound: false,
        time_limit_secs: read_seconds(form, "TimeLimit", MAX_TIME_LIMIT_SECS)?.unwrap_or(MAX_TIME_LIMIT_SECS),
        ring_timeout_secs: read_seconds(form, "TimeOut", 600)?.unwrap_or(DEFAULT_RING_TIMEOUT_SECS),
        record: form.flag("Record", false)?,
        dual_channels: match form.get("RecordingChannels") {
            None | Some("single") => false,
            Some("dual") => true,
            Some(_) => return Err(invalid("RecordingChannels")),
        },
        custom_field: form.get("CustomField").map(|field| field.chars().take(MAX_CUSTOM_FIELD_CHARS).collect()),
        callback: read_callback(form)?,
    })
}

/// The three modes exclude each other. Two numbers (mode A) have no place in this sandbox.
fn read_mode(world: &World, form: &Form) -> Result<Mode, RestError> {
    match (form.get("Url"), form.get("StreamUrl"), form.get("To")) {
        (Some(url), None, None) => {
            let app_id = flow::app_id(url, &world.settings.exotel_sid).ok_or_else(|| invalid("Url"))?;
            if world.exotel.flow(app_id).is_none() {
                return Err(RestError::bad_request(format!("No flow is configured as {app_id}")));
            }
            Ok(Mode::Flow { app_id: app_id.to_owned() })
        }
        (None, Some(stream), None) => {
            let url = Url::parse(stream).map_err(|_error| invalid("StreamUrl"))?;
            if !matches!(url.scheme(), "ws" | "wss") || stream.len() >= MAX_STREAM_URL_CHARS {
                return Err(invalid("StreamUrl"));
            }
            if !is_loopback(&url) {
                return Err(RestError::bad_request("StreamUrl: this sandbox reaches nothing but loopback"));
            }
            if form.get("StreamType") != Some("bidirectional") {
                return Err(invalid("StreamType"));
            }
            Ok(Mode::Stream { url: stream.to_owned() })
        }
        (None, None, Some(_)) => Err(RestError::bad_request("Connecting two numbers is not supported by this sandbox")),
        (None, None, None) => Err(RestError::bad_request("One of To, Url and StreamUrl is required")),
        _ => Err(RestError::bad_request("To, Url and StreamUrl exclude each other")),
    }
}

fn read_callback(form: &Form) -> Result<Option<CallbackRequest>, RestError> {
    let Some(text) = form.get("StatusCallback") else { return Ok(None) };
    let url = Url::parse(text).map_err(|_error| invalid("StatusCallback"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("StatusCallback"));
    }
    if !is_loopback(&url) {
        return Err(RestError::bad_request("StatusCallback: this sandbox reaches nothing but loopback"));
    }
    let events = form.list("StatusCallbackEvents");
    if let Some(unknown) = events.iter().find(|event| !matches!(event.as_str(), "terminal" | "answered" | "ringing")) {
        return Err(RestError::bad_request(format!("StatusCallbackEvents: unknown event {unknown}")));
    }
    let json = match form.get("StatusCallbackContentType") {
        None | Some("multipart/form-data") => false,
        Some("application/json") => true,
        Some(_) => return Err(invalid("StatusCallbackContentType")),
    };
    Ok(Some(CallbackRequest { url, events, json }))
}

fn read_seconds(form: &Form, name: &str, most: u64) -> Result<Option<u64>, RestError> {
    match form.number(name)? {
        Some(seconds) if seconds == 0 || seconds > most => Err(invalid(name)),
        seconds => Ok(seconds),
    }
}

fn invalid(name: &str) -> RestError {
    RestError::bad_request(format!("Invalid parameter {name}"))
}

fn server_error(value: &serde_json::Value, default: StatusCode) -> StatusCode {
    value
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .filter(StatusCode::is_server_error)
        .unwrap_or(default)
}
