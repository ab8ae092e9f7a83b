//! StatusCallback: what Exotel posts about a call, field by field as documented.

use std::{sync::Arc, time::Duration};

use axum::http::header::CONTENT_TYPE;
use chrono::Utc;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::{
    exotel::{
        call::{Call, Mode},
        clock,
    },
    twilio,
    world::World,
};

/// The receiver has this long to answer with 2xx.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// Then it is tried again this often.
const RETRIES: u32 = 2;

/// What a callback is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Twilio's alone.
    Initiated,
    Ringing,
    Answered,
    Terminal,
}

impl Event {
    fn as_str(self) -> &'static str {
        match self {
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Terminal => "terminal",
        }
    }
}

/// Whether the carrier sends this event: the plain terminal one always, typed ones where they were
/// subscribed to and the mode has them.
pub fn is_sent(world: &World, call: &Call, event: Event) -> bool {
    let Some(callback) = &call.request.callback else { return false };
    if let Mode::Twiml(_) = call.request.mode {
        return twilio::webhooks::is_sent(callback, event);
    }
    let subscribed = callback.events.iter().any(|name| name == event.as_str());
    match event {
        Event::Terminal => !is_typed(world, call) || subscribed,
        Event::Answered | Event::Ringing => is_typed(world, call) && subscribed,
        Event::Initiated => false,
    }
}

/// Flow calls get the plain callback whatever they subscribed to, unless the settings follow the
/// documents that say otherwise.
fn is_typed(world: &World, call: &Call) -> bool {
    let subscribed = call.request.callback.as_ref().is_some_and(|callback| !callback.events.is_empty());
    subscribed && (world.settings.flow_events || matches!(call.request.mode, Mode::Stream { .. }))
}

/// Delivers one event, with its retries and the faults that are armed. Returns when it is over.
pub async fn deliver(world: &Arc<World>, call: &Arc<Call>, event: Event) {
    if !is_sent(world, call, event) {
        return;
    }
    let key = call.fault_key();
    let note = |what: &str| {
        world.log.record(call.service(), what, json!({"sid": call.sid, "event": event.as_str()}));
    };
    if world.faults.take("lost_callback", &key).is_some() {
        note("callback.lost");
        return;
    }
    if let Some(value) = world.faults.take("late_callback", &key) {
        note("callback.delayed");
        tokio::time::sleep(Duration::from_millis(value.as_u64().unwrap_or(5_000))).await;
    }
    let copies = world.faults.take("duplicate_callback", &key).map_or(0, |value| value.as_u64().unwrap_or(1));
    for _ in 0..=copies {
        match call.request.mode {
            Mode::Twiml(_) => twilio::webhooks::progress(world, call, event).await,
            _ => post(world, call, event, &fields(world, call, event)).await,
        }
    }
}

async fn post(world: &World, call: &Call, event: Event, fields: &Value) {
    let Some(callback) = &call.request.callback else { return };
    let (content_type, body) = if callback.json {
        ("application/json".to_owned(), fields.to_string())
    } else {
        let boundary = boundary();
        (format!("multipart/form-data; boundary={boundary}"), multipart(&flatten(fields), &boundary))
    };
    for attempt in 1..=1 + RETRIES {
        let sent = world
            .exotel
            .http
            .post(callback.url.clone())
            .header(CONTENT_TYPE, &content_type)
            .timeout(ANSWER_WITHIN)
            .body(body.clone())
            .send()
            .await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        world.log.record(
            "exotel",
            "callback.sent",
            json!({
                "sid": call.sid,
                "event": event.as_str(),
                "url": callback.url.as_str(),
                "attempt": attempt,
                "answer": status,
                "error": sent.err().map(|error| error.to_string()),
                "fields": fields,
            }),
        );
        if status.is_some_and(|status| (200..300).contains(&status)) {
            call.truth().callbacks_delivered += 1;
            return;
        }
        if attempt <= RETRIES {
            tokio::time::sleep(world.settings.scaled(world.settings.callback_retry_ms)).await;
        }
    }
}

/// The fields of one event as JSON.
fn fields(world: &World, call: &Call, event: Event) -> Value {
    let recording_url = world.exotel.recording_url(&world.settings, call);
    let truth = call.truth().clone();
    let updated = truth.ended_at.unwrap_or_else(Utc::now);
    if !is_typed(world, call) {
        let mut plain = json!({
            "CallSid": call.sid,
            "Status": truth.status.as_str(),
            "DateUpdated": clock::stamp(updated),
        });
        if let Some(url) = recording_url {
            plain["RecordingUrl"] = url.into();
        }
        return plain;
    }
    let talked = call.talked_secs();
    let mut typed = json!({
        "CallSid": call.sid,
        "EventType": event.as_str(),
        "DateCreated": clock::stamp(call.placed_at),
        "DateUpdated": clock::stamp(updated),
        "Status": truth.status.as_str(),
        "To": call.exophone(),
        "From": call.customer(),
        "PhoneNumberSid": call.exophone(),
        "StartTime": clock::stamp(truth.answered_at.unwrap_or(call.placed_at)),
        "Direction": call.direction(),
    });
    if event == Event::Terminal {
        typed["EndTime"] = clock::stamp(updated).into();
        typed["ConversationDuration"] = talked.into();
        typed["Legs"] = json!([{
            "OnCallDuration": talked,
            "Status": truth.status.as_str(),
            "AnsweredBy": if truth.answered_at.is_some() { "HUMAN" } else { "NA" },
        }]);
        if let Some(url) = recording_url {
            typed["RecordingUrl"] = url.into();
        }
        if let Some(custom) = &call.request.custom_field {
            typed["CustomField"] = custom.as_str().into();
        }
    }
    typed
}

/// Arrays and objects as PHP names them: `Legs[0][Status]`.
fn flatten(fields: &Value) -> Vec<(String, String)> {
    fn walk(name: String, value: &Value, out: &mut Vec<(String, String)>) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    walk(if name.is_empty() { field.clone() } else { format!("{name}[{field}]") }, value, out);
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| walk(format!("{name}[{at}]"), item, out));
            }
            Value::String(text) => out.push((name, text.clone())),
            other => out.push((name, other.to_string())),
        }
    }
    let mut out = Vec::new();
    walk(String::new(), fields, &mut out);
    out
}

fn boundary() -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    let tail: String = (0..16).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    format!("form-data-boundary-{tail}")
}

fn multipart(fields: &[(String, String)], boundary: &str) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    body
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;
    use crate::{
        callee::Script,
        exotel::call::{CallbackRequest, Request, Status},
        settings::Settings,
    };

    fn call(mode: Mode, events: &[&str]) -> Arc<Call> {
        let request = Request {
            from: "+919999900001".into(),
            exophone: "08047112233".into(),
            mode,
            inbound: false,
            time_limit_secs: 60,
            ring_timeout_secs: 30,
            record: false,
            dual_channels: false,
            custom_field: Some("att_01".into()),
            callback: Some(CallbackRequest {
                url: "http://127.0.0.1:1/cb?ref=a1".parse().unwrap(),
                events: events.iter().map(|&event| event.to_owned()).collect(),
                json: false,
            }),
        };
        let script = Script {
            name: "t".into(),
            voice: "v".into(),
            language: Default::default(),
            line: Default::default(),
            attempts: Vec::new(),
        };
        let placed = Utc.with_ymd_and_hms(2026, 11, 21, 8, 55, 10).unwrap();
        let call = Call::new("s1".into(), request, script, 1, placed);
        {
            let mut truth = call.truth();
            truth.status = Status::Completed;
            truth.answered_at = Some(Utc.with_ymd_and_hms(2026, 11, 21, 8, 55, 15).unwrap());
            truth.ended_at = Some(Utc.with_ymd_and_hms(2026, 11, 21, 8, 56, 15).unwrap());
        }
        Arc::new(call)
    }

    #[test]
    fn a_flow_call_gets_exactly_the_plain_fields() {
        let world = World::new(Settings::default());
        let call = call(Mode::Flow { app_id: "1".into() }, &["terminal", "answered"]);
        assert_eq!(
            fields(&world, &call, Event::Terminal),
            json!({"CallSid": "s1", "Status": "completed", "DateUpdated": "2026-11-21 14:26:15"})
        );
        assert!(is_sent(&world, &call, Event::Terminal));
        assert!(!is_sent(&world, &call, Event::Answered));
    }

    #[test]
    fn a_direct_stream_gets_typed_events_with_the_custom_field() {
        let world = World::new(Settings::default());
        let call = call(Mode::Stream { url: "ws://127.0.0.1/".into() }, &["terminal", "answered"]);
        assert_eq!(
            fields(&world, &call, Event::Terminal),
            json!({
                "CallSid": "s1", "EventType": "terminal",
                "DateCreated": "2026-11-21 14:25:10", "DateUpdated": "2026-11-21 14:26:15",
                "Status": "completed", "To": "08047112233", "From": "09999900001",
                "PhoneNumberSid": "08047112233",
                "StartTime": "2026-11-21 14:25:15", "EndTime": "2026-11-21 14:26:15",
                "ConversationDuration": 60, "Direction": "outbound-api", "CustomField": "att_01",
                "Legs": [{"OnCallDuration": 60, "Status": "completed", "AnsweredBy": "HUMAN"}],
            })
        );
        assert!(is_sent(&world, &call, Event::Answered) && !is_sent(&world, &call, Event::Ringing));
    }

    #[test]
    fn multipart_is_written_as_captured() {
        let flat = flatten(&json!({"CallSid": "s1", "Legs": [{"Status": "completed"}]}));
        assert_eq!(
            multipart(&flat, "form-data-boundary-x"),
            "--form-data-boundary-x\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\ns1\r\n\
             --form-data-boundary-x\r\nContent-Disposition: form-data; name=\"Legs[0][Status]\"\r\n\r\ncompleted\r\n\
             --form-data-boundary-x--\r\n"
        );
        assert_eq!(boundary().len(), "form-data-boundary-lebu8d9e3h8xzvhf".len());
    }
}
