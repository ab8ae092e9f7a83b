//! The HTTP questions a flow asks: the bot's address, Passthru, Connect. All are GET with a query.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::http::{StatusCode, header::AUTHORIZATION};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::{
    exotel::{
        call::{Call, StreamTruth},
        clock,
        flow::{Flow, Next, PassthruStyle, is_loopback},
    },
    world::World,
};

/// How long an applet waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Bounds of the Connect applet.
const MAX_RINGING_SECS: u64 = 60;
const DEFAULT_RINGING_SECS: u64 = 30;
const MAX_CONVERSATION_SECS: u64 = 4_500;

/// The address of the bot for the next stream: the flow's own, or what its `http(s)` URL answers.
pub async fn bot_url(world: &World, call: &Call, flow: &Flow) -> Result<Url, String> {
    let mut url = Url::parse(&flow.voicebot_url).map_err(|error| format!("voicebot URL: {error}"))?;
    if matches!(url.scheme(), "ws" | "wss") {
        return Ok(url);
    }
    #[derive(Deserialize)]
    struct Answer {
        url: String,
    }
    let credentials =
        (!url.username().is_empty()).then(|| format!("{}:{}", url.username(), url.password().unwrap_or_default()));
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.query_pairs_mut().extend_pairs(common(world, call));

    let mut request = world.exotel.http.get(url.clone()).timeout(ANSWER_WITHIN);
    if let Some(credentials) = credentials {
        request = request.header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(credentials)));
    }
    let asked = async {
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        response.json::<Answer>().await.map_err(|error| format!("no {{\"url\"}}: {error}"))
    };
    let answer = asked.await;
    world.log.record(
        "exotel",
        "applet.voicebot_url",
        json!({
            "sid": call.sid,
            "asked": url.as_str(),
            "answer": answer.as_ref().ok().map(|answer| answer.url.as_str()),
            "error": answer.as_ref().err(),
        }),
    );
    let bot = Url::parse(&answer?.url).map_err(|error| format!("answered URL: {error}"))?;
    if !matches!(bot.scheme(), "ws" | "wss") || !is_loopback(&bot) {
        return Err(format!("answered URL {bot} is no loopback ws(s) URL"));
    }
    Ok(bot)
}

/// Tells, or asks, what the stream's end means. `None` stalls the flow: the answer was neither 200
/// nor 302, or none came.
pub async fn passthru(world: &Arc<World>, call: &Arc<Call>, flow: &Flow, stream: Option<&StreamTruth>) -> Option<Next> {
    let mut url = Url::parse(flow.passthru_url.as_deref()?).ok()?;
    url.query_pairs_mut().extend_pairs(passthru_query(world, call, flow, stream));
    if flow.passthru_async {
        let (world, call) = (world.clone(), call.clone());
        let tasks = world.exotel.tasks.clone();
        tasks.spawn(async move { ask_passthru(&world, &call, url).await });
        return Some(flow.on_302);
    }
    match ask_passthru(world, call, url).await? {
        StatusCode::OK => Some(flow.on_200),
        StatusCode::FOUND => Some(flow.on_302),
        _ => None,
    }
}

async fn ask_passthru(world: &World, call: &Call, url: Url) -> Option<StatusCode> {
    ask(world, call, url, "applet.passthru").await
}

async fn ask(world: &World, call: &Call, url: Url, kind: &str) -> Option<StatusCode> {
    let answer = world.exotel.http.get(url.clone()).timeout(ANSWER_WITHIN).send().await;
    let status = answer.as_ref().ok().map(reqwest::Response::status);
    world.log.record(
        "exotel",
        kind,
        json!({
            "sid": call.sid,
            "asked": url.as_str(),
            "answer": status.map(|status| status.as_u16()),
            "error": answer.err().map(|error| error.to_string()),
        }),
    );
    status
}

/// What the Connect applet's URL answers; only the parts that the sandbox acts on.
#[derive(Debug, Deserialize)]
struct Connect {
    destination: Destination,
    #[serde(default)]
    max_ringing_duration: Option<u64>,
    #[serde(default)]
    max_conversation_duration: Option<u64>,
    #[serde(default)]
    start_call_playback: Option<Playback>,
    #[serde(default)]
    dial_passthru_event_url: Option<String>,
}

/// Said when somebody has picked up.
#[derive(Debug, Deserialize)]
struct Playback {
    playback_to: String,
    r#type: String,
    value: String,
}

impl Connect {
    /// What the carrier would not take, and drop the call for.
    fn problem(&self) -> Option<&'static str> {
        if self.max_ringing_duration.is_some_and(|secs| secs > MAX_RINGING_SECS) {
            return Some("max_ringing_duration is at most 60");
        }
        if self.max_conversation_duration.is_some_and(|secs| secs > MAX_CONVERSATION_SECS) {
            return Some("max_conversation_duration is at most 4500");
        }
        let playback = self.start_call_playback.as_ref()?;
        match (playback.playback_to.as_str(), playback.r#type.as_str()) {
            ("both" | "callee", "text" | "audio_url") if !playback.value.trim().is_empty() => None,
            _ => Some("start_call_playback is none that is documented"),
        }
    }
}

/// Whom a call is put through to.
#[derive(Debug)]
pub struct Connection {
    pub numbers: Vec<String>,
    pub ring_secs: u64,
    pub talk_secs: Option<u64>,
    /// Who hears something first, and what.
    pub playback: Option<(String, String)>,
    events: Option<Url>,
}

#[derive(Debug, Deserialize)]
struct Destination {
    #[serde(default)]
    numbers: Vec<String>,
}

/// Whom the Connect applet dials; `None` when nobody can be dialed.
pub async fn connect(world: &World, call: &Call, flow: &Flow) -> Option<Connection> {
    let mut url = Url::parse(flow.connect_url.as_deref()?).ok()?;
    url.query_pairs_mut().extend_pairs(common(world, call));
    let asked = async {
        let request = world.exotel.http.get(url.clone()).header("Exotel-Version", "1.0").timeout(ANSWER_WITHIN);
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        let answer = response.json::<Connect>().await.map_err(|error| format!("unusable answer: {error}"))?;
        match answer.problem() {
            Some(problem) => Err(format!("unusable answer: {problem}")),
            None => Ok(answer),
        }
    };
    let answer = asked.await;
    world.log.record(
        "exotel",
        "applet.connect",
        json!({
            "sid": call.sid,
            "asked": url.as_str(),
            "numbers": answer.as_ref().ok().map(|answer| &answer.destination.numbers),
            "error": answer.as_ref().err(),
        }),
    );
    let answer = answer.ok().filter(|answer| !answer.destination.numbers.is_empty())?;
    Some(Connection {
        numbers: answer.destination.numbers,
        ring_secs: answer.max_ringing_duration.unwrap_or(DEFAULT_RINGING_SECS),
        talk_secs: answer.max_conversation_duration,
        playback: answer.start_call_playback.map(|playback| (playback.playback_to, playback.value)),
        events: answer.dial_passthru_event_url.and_then(|url| Url::parse(&url).ok()).filter(is_loopback),
    })
}

/// Tells of one phone that is rung: `Dial`, `Answered` or `Terminal`, with the phone's status at its end. Whatever is answered, the
/// call goes on.
pub async fn dial_event(world: &World, call: &Call, to: &Connection, number: &str, event: &str, status: Option<&str>) {
    let Some(mut url) = to.events.clone() else { return };
    url.query_pairs_mut().extend_pairs(common(world, call)).append_pair("EventType", event);
    url.query_pairs_mut().append_pair("DialWhomNumber", number);
    if let Some(status) = status {
        url.query_pairs_mut().append_pair("DialCallStatus", status);
    }
    ask(world, call, url, "applet.dial_event").await;
}

/// The Passthru behind Connect: how ringing them ended.
pub async fn after_connect(world: &World, call: &Call, flow: &Flow, status: &str) {
    let Some(mut url) = flow.after_connect_url.as_deref().and_then(|url| Url::parse(url).ok()) else { return };
    url.query_pairs_mut().extend_pairs(common(world, call)).append_pair("DialCallStatus", status);
    ask(world, call, url, "applet.after_connect").await;
}

/// The fields every applet sends, as captured live.
fn common(_world: &World, call: &Call) -> Vec<(String, String)> {
    let (customer, exophone) = (call.customer(), call.exophone());
    let mut fields: Vec<(&str, String)> = vec![
        ("CallSid", call.sid.clone()),
        ("CallFrom", customer.clone()),
        ("CallTo", exophone.clone()),
        ("Direction", call.applet_direction().to_owned()),
        ("Created", clock::created(call.placed_at)),
        ("DialWhomNumber", String::new()),
        ("HangupLatencyStartTimeExocc", String::new()),
        ("HangupLatencyStartTime", String::new()),
        ("From", customer),
        ("To", exophone),
    ];
    if let Some(custom) = &call.request.custom_field {
        fields.push(("CustomField", custom.clone()));
    }
    fields.push(("CurrentTime", clock::stamp(Utc::now())));
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn passthru_query(world: &World, call: &Call, flow: &Flow, stream: Option<&StreamTruth>) -> Vec<(String, String)> {
    let mut fields = common(world, call);
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
    add("DialCallDuration", "0".into());
    add("StartTime", clock::stamp(call.placed_at));
    add("EndTime", clock::NOT_ENDED.into());
    add("CallType", "call-attempt".into());
    if let crate::exotel::call::Mode::Flow { app_id } = &call.request.mode {
        add("flow_id", app_id.clone());
    }
    add("tenant_id", world.settings.exotel_sid.clone());
    let keys = call.truth().keys.clone();
    if !keys.is_empty() {
        // The live carrier wraps the digits in literal quotes.
        add("digits", format!("\"{keys}\""));
    }
    let recording = world.exotel.recording_url(&world.settings, call);
    if let Some(url) = &recording {
        add("RecordingUrl", url.clone());
    }
    let Some(stream) = stream else { return fields };
    let mut about: Vec<(&str, String)> = vec![
        ("StreamSID", stream.stream_sid.clone()),
        ("Status", stream.status.to_owned()),
        ("Duration", stream.duration_secs.to_string()),
        ("StreamUrl", flow.voicebot_url.clone()),
        ("DisconnectedBy", stream.disconnected_by.to_owned()),
    ];
    if let Some(url) = recording {
        about.push(("RecordingUrl", url));
    }
    if let Some(error) = &stream.error {
        about.push(if error.starts_with("Streaming_") {
            ("DetailedStatus", error.clone())
        } else {
            ("Error", error.clone())
        });
    }
    let as_json = match flow.passthru_style {
        PassthruStyle::Json => true,
        PassthruStyle::Fields => false,
        PassthruStyle::Alternate => world.exotel.passthrus.fetch_add(1, Ordering::Relaxed) % 2 == 1,
    };
    if as_json {
        let object: serde_json::Map<String, serde_json::Value> =
            about.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        fields.push(("Stream".into(), serde_json::Value::Object(object).to_string()));
    } else {
        fields.extend(about.into_iter().map(|(name, value)| (format!("Stream[{name}]"), value)));
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn connect_takes_what_is_documented_and_nothing_else() {
        let refused = |more: Value| {
            let mut answer = json!({"destination": {"numbers": ["09811100001"]}});
            answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value::<Connect>(answer).unwrap().problem().is_some()
        };
        let plays = |to: &str, kind: &str, value: &str| json!({"start_call_playback": {"playback_to": to, "type": kind, "value": value}});
        assert!(!refused(json!({})));
        assert!(!refused(plays("both", "text", "Hello")) && !refused(plays("callee", "audio_url", "https://x/a.wav")));
        for wrong in [plays("caller", "text", "Hello"), plays("both", "speech", "Hello"), plays("both", "text", " ")] {
            assert!(refused(wrong.clone()), "{wrong}");
        }
        assert!(refused(json!({"max_ringing_duration": 90})) && refused(json!({"max_conversation_duration": 7_200})));
    }
}
