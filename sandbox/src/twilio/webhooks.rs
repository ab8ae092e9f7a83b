//! What Twilio posts to the product: signed forms about how far a call is, who answered it, and where its recording is.

use std::{sync::Arc, time::Duration};

use axum::http::{StatusCode, header::CONTENT_TYPE};
use chrono::Utc;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    callee::Step,
    exotel::{
        call::{Call, CallbackRequest, Recording, Status},
        callbacks::Event,
    },
    twilio::{
        Order,
        recordings::{sid_of, url_of},
        signature,
    },
    world::World,
};

/// The receiver has this long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long it takes to tell a machine from a human (scaled by the rate).
const DETECTION_MS: u64 = 4_000;

pub type Fields = Vec<(String, String)>;

/// Whether this event was subscribed to; only `completed` where nothing was.
pub fn is_sent(callback: &CallbackRequest, event: Event) -> bool {
    match callback.events.is_empty() {
        true => event == Event::Terminal,
        false => callback.events.iter().any(|name| name == name_of(event)),
    }
}

fn name_of(event: Event) -> &'static str {
    match event {
        Event::Initiated => "initiated",
        Event::Ringing => "ringing",
        Event::Answered => "answered",
        Event::Terminal => "completed",
    }
}

/// A status callback. Twilio does not repeat one that fails.
pub async fn progress(world: &Arc<World>, call: &Arc<Call>, event: Event) {
    let Some(callback) = &call.request.callback else { return };
    let truth = call.truth().clone();
    let (status, sequence) = match event {
        Event::Initiated => ("initiated", 0),
        Event::Ringing => ("ringing", 1),
        Event::Answered => ("in-progress", 2),
        Event::Terminal => (truth.status.as_str(), 3),
    };
    let mut fields = common(world, call, status);
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    add("CallbackSource", "call-progress-events".into());
    add("SequenceNumber", sequence.to_string());
    add("Timestamp", Utc::now().to_rfc2822());
    if event == Event::Terminal {
        let talked = call.talked_secs();
        add("CallDuration", talked.to_string());
        add("Duration", talked.div_ceil(60).to_string());
        match truth.status {
            Status::Busy => add("SipResponseCode", "486".into()),
            Status::Failed => add("SipResponseCode", "503".into()),
            _ => {}
        }
        if truth.recording != Recording::None {
            add("RecordingSid", sid_of(call));
            add("RecordingUrl", url_of(world, call));
        }
    }
    let answer = post(world, call, &callback.url, &fields, "callback.sent", json!({"event": name_of(event)})).await;
    if answer.is_ok_and(|(status, _)| status.is_success()) {
        call.truth().callbacks_delivered += 1;
    }
}

/// Listens for a machine while the call goes on, and tells.
pub fn detect_machine(world: &Arc<World>, call: &Arc<Call>, order: &Order) {
    let Some(url) = order.machine_detection.clone() else { return };
    let (world, call) = (world.clone(), call.clone());
    let tasks = world.exotel.tasks.clone();
    tasks.spawn(async move {
        tokio::time::sleep(world.settings.scaled(DETECTION_MS)).await;
        if call.truth().status != Status::InProgress {
            return;
        }
        let steps = call.script.attempt(call.attempt).steps;
        let machine = steps.iter().any(|step| matches!(step, Step::Voicemail { .. }));
        // Like the real one, it sometimes takes the one for the other.
        let wrong = world.faults.take("wrong_machine", &call.fault_key()).is_some();
        let machine = machine != wrong;
        let fields = [
            ("CallSid", call.sid.as_str()),
            ("AccountSid", &world.settings.twilio_sid),
            ("AnsweredBy", if machine { "machine_start" } else { "human" }),
            ("MachineDetectionDuration", &DETECTION_MS.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        // What comes of it is in the log.
        let _ = post(&world, &call, &url, &fields, "callback.sent", json!({"event": "machine_detection"})).await;
    });
}

/// Announces a recording once it can be fetched; `recording_never` announces what is never there.
pub fn recorded(world: &Arc<World>, call: &Arc<Call>, order: &Order, delay: Duration, ms: u64) {
    let Some(url) = order.recording_callback.clone() else { return };
    let (world, call) = (world.clone(), call.clone());
    let tasks = world.exotel.tasks.clone();
    tasks.spawn(async move {
        tokio::time::sleep(delay).await;
        let fields = [
            ("AccountSid", world.settings.twilio_sid.clone()),
            ("CallSid", call.sid.clone()),
            ("RecordingSid", sid_of(&call)),
            ("RecordingUrl", url_of(&world, &call)),
            ("RecordingStatus", "completed".into()),
            ("RecordingDuration", (ms / 1_000).to_string()),
            ("RecordingChannels", if call.request.dual_channels { "2" } else { "1" }.into()),
            ("RecordingSource", "OutboundAPI".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let _ = post(&world, &call, &url, &fields, "callback.sent", json!({"event": "recording"})).await;
    });
}

/// What every request about a call says.
pub fn common(world: &World, call: &Call, status: &str) -> Fields {
    let (to, from) = (call.request.from.as_str(), call.request.exophone.as_str());
    [
        ("CallSid", call.sid.as_str()),
        ("AccountSid", &world.settings.twilio_sid),
        ("ApiVersion", "2010-04-01"),
        ("CallStatus", status),
        ("Direction", "outbound-api"),
        ("To", to),
        ("Called", to),
        ("From", from),
        ("Caller", from),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Posts a signed form about a call, as [`send`] does.
pub async fn post(
    world: &World,
    call: &Call,
    url: &Url,
    fields: &[(String, String)],
    kind: &str,
    data: Value,
) -> Result<(StatusCode, String), String> {
    send(world, &call.sid, url, fields, kind, data).await
}

/// Posts a signed form; the answer's status and body, or why there is none. `data` joins the log's entry, under `sid`.
pub async fn send(
    world: &World,
    sid: &str,
    url: &Url,
    fields: &[(String, String)],
    kind: &str,
    mut data: Value,
) -> Result<(StatusCode, String), String> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let asked = async {
        let request = world
            .exotel
            .http()
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
            .header(signature::HEADER, signature::sign(&world.settings.twilio_token, url.as_str(), fields))
            .timeout(ANSWER_WITHIN)
            .body(body);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        Ok((status, text))
    };
    let answer: Result<(StatusCode, String), String> = asked.await;
    let fields: serde_json::Map<String, Value> =
        fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    data["sid"] = sid.into();
    data["url"] = url.as_str().into();
    data["answer"] = answer.as_ref().map_or(Value::Null, |(status, _)| status.as_u16().into());
    data["error"] = answer.as_ref().err().map_or(Value::Null, |error| error.as_str().into());
    data["fields"] = Value::Object(fields);
    world.log.record("twilio", kind, data);
    answer
}
