//! Voice, key and query of a request, read strictly.

use std::time::Duration;

use axum::http::HeaderMap;
use url::form_urlencoded;

use super::{audio::Format, error::Error};
use crate::world::World;

const HTTP_ONLY: &[&str] = &["optimize_streaming_latency", "enable_logging"];
const SOCKET_ONLY: &[&str] = &[
    "model_id",
    "language_code",
    "enable_ssml_parsing",
    "sync_alignment",
    "auto_mode",
    "apply_text_normalization",
    "inactivity_timeout",
    "seed",
    "authorization",
    "single_use_token",
    "enable_logging",
    "optimize_streaming_latency",
];

/// The languages of Flash and Turbo 2.5, by ISO 639-1 (Filipino by three letters).
const LANGUAGES: &str =
    "en ja zh de hi fr ko pt it es id nl tr fil pl sv bg ro ar cs el fi hr ms sk da ta uk ru hu no vi";
/// Longest `inactivity_timeout`, in seconds.
const MAX_INACTIVITY: u64 = 180;
const INACTIVITY: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(super) struct Query {
    pub format: Format,
    pub auto_mode: bool,
    pub sync_alignment: bool,
    pub inactivity: Duration,
}

impl Query {
    pub(super) fn http(raw: &str) -> Result<Self, Error> {
        Self::parse(raw, HTTP_ONLY)
    }

    pub(super) fn socket(raw: &str) -> Result<Self, Error> {
        Self::parse(raw, SOCKET_ONLY)
    }

    fn parse(raw: &str, known: &[&str]) -> Result<Self, Error> {
        let mut format = None;
        let mut query =
            Self { format: Format::Pcm8000, auto_mode: false, sync_alignment: false, inactivity: INACTIVITY };
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            match &*name {
                "output_format" => format = Some(Format::named(&value)?),
                unknown if !known.contains(&unknown) => {
                    return Err(Error::field(unknown, format!("unknown query parameter '{unknown}'")));
                }
                "auto_mode" => query.auto_mode = boolean(&name, &value)?,
                "sync_alignment" => query.sync_alignment = boolean(&name, &value)?,
                "enable_ssml_parsing" | "enable_logging" => {
                    boolean(&name, &value)?;
                }
                "model_id" => check_model(&value)?,
                "language_code" => check_language(&value)?,
                "inactivity_timeout" => {
                    let secs = value.parse().ok().filter(|secs| (1..=MAX_INACTIVITY).contains(secs));
                    let secs = secs.ok_or_else(|| Error::field("inactivity_timeout", "expected 1 to 180 seconds"))?;
                    query.inactivity = Duration::from_secs(secs);
                }
                "optimize_streaming_latency" if !matches!(&*value, "0" | "1" | "2" | "3" | "4") => {
                    return Err(Error::field("optimize_streaming_latency", "expected 0 to 4"));
                }
                "apply_text_normalization" if !matches!(&*value, "auto" | "on" | "off") => {
                    return Err(Error::field("apply_text_normalization", "expected auto, on or off"));
                }
                _ => {}
            }
        }
        let missing = || {
            Error::bad_request(
                "output_format_not_simulated",
                "the simulator makes pcm_8000, pcm_16000 and ulaw_8000: ask for one",
            )
        };
        query.format = format.ok_or_else(missing)?;
        Ok(query)
    }
}

pub(super) fn check_model(model: &str) -> Result<(), Error> {
    if model.starts_with("eleven_") {
        Ok(())
    } else {
        Err(Error::bad_request("model_not_found", format!("A model with model ID {model} does not exist.")))
    }
}

pub(super) fn check_language(code: &str) -> Result<(), Error> {
    if LANGUAGES.split(' ').any(|known| known == code) {
        return Ok(());
    }
    let message = format!("The model does not support the language_code {code}.");
    Err(Error::bad_request("unsupported_language", message))
}

pub(super) fn check_voice(voice: &str) -> Result<(), Error> {
    if voice.is_empty() || voice == "missing-voice" {
        let message = format!("A voice with the voice_id {voice} was not found.");
        return Err(Error::new(axum::http::StatusCode::NOT_FOUND, "voice_not_found", message));
    }
    Ok(())
}

/// The key of the `xi-api-key` header, if there is one.
pub(super) fn key(headers: &HeaderMap) -> Option<&str> {
    headers.get("xi-api-key").and_then(|value| value.to_str().ok()).filter(|key| !key.is_empty())
}

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.trim().is_empty() || key == "bad-key" { Err(Error::invalid_key()) } else { Ok(()) }
}

/// Faults that strike before anything is answered.
pub(super) fn check_refusal(world: &World, fault_key: &str) -> Result<(), Error> {
    match world.faults.take("elevenlabs.refuse", fault_key) {
        Some(value) => Err(Error::from_fault(&value)),
        None => Ok(()),
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, Error> {
    value.parse().map_err(|_invalid| Error::field(name, "expected true or false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_bot_is_understood_and_typos_are_named() {
        let good = "model_id=eleven_flash_v2_5&output_format=ulaw_8000&auto_mode=true&inactivity_timeout=60&language_code=en&sync_alignment=true&apply_text_normalization=auto";
        let query = Query::socket(good).unwrap();
        assert!(query.auto_mode && query.inactivity == Duration::from_secs(60) && query.format == Format::Ulaw8000);
        for bad in [
            "&automode=true",
            "&inactivity_timeout=200",
            "&output_format=mp3_44100_128",
            "&model_id=tts-1",
            "&auto_mode=1",
            "&language_code=te",
            "&language_code=hi-IN",
        ] {
            assert!(Query::socket(&format!("{good}{bad}")).is_err(), "{bad}");
        }
        assert!(Query::http("output_format=pcm_16000&optimize_streaming_latency=3&enable_logging=true").is_ok());
        assert!(Query::http("output_format=pcm_16000&auto_mode=true").is_err());
        assert_eq!(Query::socket("model_id=eleven_flash_v2_5").unwrap_err().status, "output_format_not_simulated");
    }
}
