//! One call as the carrier knows it: what was asked for, and the truth of what became of it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use rand::RngExt as _;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    callee::{Script, listener::HeardSpeech},
    exotel::{clock, phone},
};

/// Call statuses that the sandbox uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    InProgress,
    Completed,
    Busy,
    NoAnswer,
    Failed,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
        }
    }
}

/// What runs once the callee has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Mode B: an App Bazaar flow.
    Flow { app_id: String },
    /// Mode C: the bot's socket, without a flow.
    Stream { url: String },
}

/// `StatusCallback` and how it wants to be called.
#[derive(Debug, Clone)]
pub struct CallbackRequest {
    pub url: url::Url,
    pub events: Vec<String>,
    pub json: bool,
}

/// A call as it was asked for. Never changes.
#[derive(Debug)]
pub struct Request {
    /// The phone that rings (outbound) or that called in.
    pub from: String,
    pub exophone: String,
    pub mode: Mode,
    pub inbound: bool,
    pub time_limit_secs: u64,
    pub ring_timeout_secs: u64,
    pub record: bool,
    pub dual_channels: bool,
    pub custom_field: Option<String>,
    pub callback: Option<CallbackRequest>,
}

impl Request {
    /// The product's own name for the call: a query value of the callback's URL, else CustomField.
    pub fn reference(&self) -> Option<String> {
        const NAMES: [&str; 6] = ["reference", "ref", "call", "call_id", "attempt", "attempt_id"];
        let query: BTreeMap<String, String> =
            self.callback.iter().flat_map(|callback| callback.url.query_pairs().into_owned()).collect();
        NAMES.iter().find_map(|name| query.get(*name).cloned()).or_else(|| self.custom_field.clone())
    }
}

/// Something that was said or heard, for readers of `GET /__sandbox/calls`.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Milliseconds since the answer.
    pub began_ms: u64,
    pub ended_ms: u64,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_text: Option<String>,
}

impl From<HeardSpeech> for Line {
    fn from(heard: HeardSpeech) -> Self {
        let cut = heard.full_text != heard.text;
        Self {
            began_ms: heard.began_ms,
            ended_ms: heard.ended_ms,
            text: heard.text,
            full_text: cut.then_some(heard.full_text),
        }
    }
}

/// What was measured on one stream.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StreamTruth {
    pub stream_sid: String,
    pub opened_at: Option<DateTime<Utc>>,
    pub closed_at: Option<DateTime<Utc>>,
    pub duration_secs: u64,
    /// `user`, `bot` or `NA`, as Passthru says it.
    pub disconnected_by: &'static str,
    /// `completed`, `cancelled` or `failed`.
    pub status: &'static str,
    pub error: Option<String>,
    pub media_received: u64,
    pub media_sent: u64,
    pub marks: u64,
    pub clears: u64,
    /// Audio in ms dropped by `clear`.
    pub cleared_ms: u64,
    /// Payloads that are not a multiple of 320 bytes.
    pub odd_payloads: u64,
    pub small_payloads: u64,
    pub large_payloads: u64,
    /// Messages that could not be read, or named another stream.
    pub bad_messages: u64,
    pub underruns: u64,
    pub underrun_ms: u64,
    /// The most audio that was ever queued ahead, in ms.
    pub most_ahead_ms: u64,
    /// From the end of each thing the callee said to the first sound of the agent, in ms.
    pub response_ms: Vec<u64>,
    /// From the callee beginning to speak over the agent to the agent's silence, in ms.
    pub barge_in_ms: Vec<u64>,
    pub agent: Audible,
}

/// When the agent sounded, in ms since the answer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audible {
    /// Begin and end of each stretch of audio.
    pub spans: Vec<[u64; 2]>,
    /// When `clear` came.
    pub clears: Vec<u64>,
    #[serde(skip)]
    since: Option<u64>,
}

impl Audible {
    /// More than any hour-long call has.
    const MOST: usize = 10_000;

    pub fn begin(&mut self, at_ms: u64) {
        self.end(at_ms);
        self.since = Some(at_ms);
    }

    pub fn end(&mut self, at_ms: u64) {
        if let Some(since) = self.since.take()
            && self.spans.len() < Self::MOST
        {
            self.spans.push([since, at_ms]);
        }
    }

    pub fn clear(&mut self, at_ms: u64) {
        if self.clears.len() < Self::MOST {
            self.clears.push(at_ms);
        }
    }
}

/// What became of the call.
#[derive(Debug, Clone, Serialize)]
pub struct Truth {
    pub status: Status,
    pub answered_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// `callee_hung_up`, `agent_hung_up`, `time_limit`, `busy`, `flow_failed`, …
    pub end_cause: Option<String>,
    pub heard: Vec<Line>,
    pub said: Vec<Line>,
    pub keys: String,
    pub streams: Vec<StreamTruth>,
    pub transferred_to: Option<Vec<String>>,
    /// Status callbacks that were answered with 2xx.
    pub callbacks_delivered: u32,
    pub recording: Recording,
}

/// Where the recording of a call stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Recording {
    /// None was asked for, or there was nothing to record.
    None,
    /// The call is still up; the address is known, the file is not there.
    UnderWay,
    /// The file will be there from `at` on.
    Due { at: DateTime<Utc>, ms: u64 },
    /// Announced, but the file will never be there (a fault).
    Never,
}

/// A call's permanent record.
#[derive(Debug)]
pub struct Call {
    pub sid: String,
    pub placed_at: DateTime<Utc>,
    /// 1 for the first call to this number.
    pub attempt: usize,
    pub script: Script,
    pub request: Request,
    truth: Mutex<Truth>,
    quirks: Mutex<Quirks>,
}

/// How faults bend the order of this call's callbacks.
#[derive(Debug, Default, Clone, Copy)]
pub struct Quirks {
    /// `answered` is held back until after `terminal`.
    pub answered_last: bool,
    /// `terminal` went out before the stream's `stop`.
    pub told_early: bool,
}

impl Call {
    pub fn new(sid: String, request: Request, script: Script, attempt: usize, placed_at: DateTime<Utc>) -> Self {
        let truth = Truth {
            status: Status::InProgress,
            answered_at: None,
            ended_at: None,
            end_cause: None,
            heard: Vec::new(),
            said: Vec::new(),
            keys: String::new(),
            streams: Vec::new(),
            transferred_to: None,
            callbacks_delivered: 0,
            recording: Recording::None,
        };
        Self { sid, placed_at, attempt, script, request, truth: Mutex::new(truth), quirks: Mutex::default() }
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        // Every write is a plain assignment or push: a panic leaves nothing half-done.
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn quirks(&self) -> MutexGuard<'_, Quirks> {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that faults are matched against: number, sid, reference, callback URL.
    pub fn fault_key(&self) -> String {
        format!("{} {}", fault_key(&self.request), self.sid)
    }

    /// As applets and streams name the two sides.
    pub fn customer(&self) -> String {
        phone::zero_prefixed(&self.request.from)
    }

    pub fn exophone(&self) -> String {
        phone::zero_prefixed(&self.request.exophone)
    }

    /// `Direction` in call details and callbacks.
    pub fn direction(&self) -> &'static str {
        if self.request.inbound { "inbound" } else { "outbound-api" }
    }

    /// `Direction` in applet requests.
    pub fn applet_direction(&self) -> &'static str {
        if self.request.inbound { "incoming" } else { "outbound-dial" }
    }

    /// Seconds from answer to end.
    pub fn talked_secs(&self) -> u64 {
        let truth = self.truth();
        match (truth.answered_at, truth.ended_at) {
            (Some(answered), Some(ended)) => (ended - answered).num_seconds().max(0).unsigned_abs(),
            _ => 0,
        }
    }

    /// The `Call` object of the REST answers. Duration, price, end and recording appear only once
    /// `settled`.
    pub fn view(&self, account: &str, settled: bool, recording_url: Option<&str>) -> Value {
        let truth = self.truth().clone();
        let created = clock::stamp(self.placed_at);
        let ended = truth.ended_at.filter(|_| settled);
        let seconds = match (truth.answered_at, ended) {
            (Some(answered), Some(ended)) => (ended - answered).num_seconds().max(0),
            _ => 0,
        };
        json!({
            "Sid": self.sid,
            "ParentCallSid": null,
            "DateCreated": created,
            "DateUpdated": clock::stamp(truth.ended_at.or(truth.answered_at).unwrap_or(self.placed_at)),
            "AccountSid": account,
            "To": if self.request.inbound { Value::from(self.exophone()) } else { Value::Null },
            "From": self.customer(),
            "PhoneNumberSid": self.exophone(),
            "Status": truth.status.as_str(),
            "StartTime": created,
            "EndTime": ended.map(clock::stamp),
            "Duration": ended.map(|_| seconds.to_string()),
            // Per started minute, as a prepaid plan bills it.
            "Price": ended.map(|_| format!("{:.3}", 0.75 * (seconds as f64 / 60.0).ceil())),
            "Direction": self.direction(),
            "AnsweredBy": if settled && truth.answered_at.is_some() { json!("human") } else { Value::Null },
            "ForwardedFrom": null,
            "CallerName": null,
            "Uri": format!("/v1/Accounts/{account}/Calls.json/{}", self.sid),
            "RecordingUrl": recording_url.filter(|_| settled),
        })
    }

    /// The whole truth, for tests and the demo.
    pub fn report(&self) -> Value {
        let mut report = json!({
            "sid": self.sid,
            "from": self.customer(),
            "exophone": self.exophone(),
            "direction": self.direction(),
            "attempt": self.attempt,
            "script": self.script.name,
            "placed_at": self.placed_at,
            "reference": self.request.reference(),
            "custom_field": self.request.custom_field,
            "status_callback": self.request.callback.as_ref().map(|callback| callback.url.as_str()),
        });
        let truth = serde_json::to_value(&*self.truth()).unwrap_or_default();
        if let (Value::Object(report), Value::Object(truth)) = (&mut report, truth) {
            report.extend(truth);
        }
        report
    }
}

/// The part of a call's fault key that is known before it has a sid.
pub fn fault_key(request: &Request) -> String {
    format!(
        "{} {} {}",
        phone::zero_prefixed(&request.from),
        request.reference().unwrap_or_default(),
        request.callback.as_ref().map_or("", |callback| callback.url.as_str()),
    )
}

/// 32 characters, of which the last two are not hexadecimal, as live sids are.
pub fn new_sid() -> String {
    let mut rng = rand::rng();
    let mut sid = format!("{:032x}", rng.random::<u128>());
    sid.truncate(30);
    for _ in 0..2 {
        sid.push(char::from(rng.random_range(b'g'..=b'z')));
    }
    sid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_not_hexadecimal() {
        let sid = new_sid();
        assert_eq!(sid.len(), 32);
        assert!(sid[..30].chars().all(|c| c.is_ascii_hexdigit()));
        assert!(sid[30..].chars().all(|c| c.is_ascii_lowercase() && !c.is_ascii_hexdigit()));
    }
}
