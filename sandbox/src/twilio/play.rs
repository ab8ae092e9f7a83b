//! What `<Play>` plays: fetched without a signature or a password, as Twilio fetches it, and played if it is telephone sound.

use std::time::Duration;

use serde_json::json;
use url::Url;

use crate::{
    exotel::{call::Call, flow::is_loopback},
    speech::read_wav,
    twilio::airtime::Cause,
    world::World,
};

const FETCH_WITHIN: Duration = Duration::from_secs(15);
const RATE_HZ: u32 = 8_000;

/// 8 kHz samples. Whatever is wrong with them ends the call, as an error in TwiML does.
pub async fn fetch(world: &World, call: &Call, base: &Url, url: &str) -> Result<Vec<i16>, Cause> {
    let fetched = get(world, base, url).await;
    let (bytes, error) = (fetched.as_ref().map_or(0, Vec::len), fetched.as_ref().err());
    world.log.record("twilio", "play.fetched", json!({"sid": call.sid, "url": url, "samples": bytes, "error": error}));
    fetched.map_err(|_noted| "application_error")
}

async fn get(world: &World, base: &Url, url: &str) -> Result<Vec<i16>, String> {
    let url = base.join(url).map_err(|error| error.to_string())?;
    if !is_loopback(&url) {
        return Err("this sandbox reaches nothing but loopback".into());
    }
    let request = world.exotel.http().get(url).timeout(FETCH_WITHIN);
    let answer = request.send().await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("answered {}", answer.status()));
    }
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !matches!(kind, "audio/wav" | "audio/wave" | "audio/x-wav") {
        return Err(format!("{kind:?} is not played here"));
    }
    let wav = answer.bytes().await.map_err(|error| error.to_string())?;
    match read_wav(&wav) {
        Some((RATE_HZ, pcm)) => Ok(pcm),
        Some((rate, _)) => Err(format!("sound of {rate} Hz is not played here")),
        None => Err("not a WAV of 16-bit samples".into()),
    }
}
