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
    let answer = world.exotel.http.get(url.clone()).timeout(ANSWER_WITHIN).send().await;
    let status = answer.as_ref().ok().map(reqwest::Response::status);
    world.log.record(
        "exotel",
        "applet.passthru",
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
    max_conversation_duration: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Destination {
    #[serde(default)]
    numbers: Vec<String>,
}

/// Whom the Connect applet dials, and for how long at most; `None` when nobody can be dialed.
pub async fn connect(world: &World, call: &Call, flow: &Flow) -> Option<(Vec<String>, Option<u64>)> {
    let mut url = Url::parse(flow.connect_url.as_deref()?).ok()?;
    url.query_pairs_mut().extend_pairs(common(world, call));
    let asked = async {
        let request = world.exotel.http.get(url.clone()).header("Exotel-Version", "1.0").timeout(ANSWER_WITHIN);
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(format!("answered {status}"));
        }
        response.json::<Connect>().await.map_err(|error| format!("unusable answer: {error}"))
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
    Some((answer.destination.numbers, answer.max_conversation_duration))
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
