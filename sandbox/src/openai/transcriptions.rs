//! `POST /v1/audio/transcriptions`: a file of speech written down, whole. The simulator reads WAV: 8 kHz, mono, 16 bit.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Multipart, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{authorize, error::Error};
use crate::{
    listening::{pcm, text},
    world::World,
};

const MODELS: &[&str] = &["gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"];
const FIELDS: &[&str] = &[
    "file",
    "model",
    "language",
    "languages[]",
    "keywords[]",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities[]",
    "include[]",
    "chunking_strategy",
    "stream",
];

pub(super) async fn create(
    State(world): State<Arc<World>>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Result<Response, Error> {
    authorize(&headers)?;
    let (mut file, mut model) = (None, String::new());
    while let Some(field) = form.next_field().await.map_err(|_cut| broken())? {
        let name = field.name().unwrap_or_default().to_owned();
        if !FIELDS.contains(&name.as_str()) {
            return Err(Error::invalid(name.as_str(), format!("Unrecognized request argument supplied: {name}")));
        }
        if name == "file" && !field.file_name().is_some_and(|name| name.ends_with(".wav")) {
            return Err(Error::invalid("file", "the simulator reads files that end in .wav"));
        }
        let value = field.bytes().await.map_err(|_cut| broken())?;
        match name.as_str() {
            "file" => file = Some(value),
            "model" => model = String::from_utf8_lossy(&value).into_owned(),
            "response_format" if value != "json" => {
                return Err(Error::invalid("response_format", "the simulator answers in json"));
            }
            "stream" if value == "true" => return Err(Error::invalid("stream", "the simulator answers whole")),
            _ => {}
        }
    }
    if !MODELS.contains(&model.as_str()) {
        return Err(Error::unknown_model(&model));
    }
    let file = file.ok_or_else(|| Error::invalid("file", "Missing required parameter: 'file'."))?;
    let samples = samples(&file).ok_or_else(|| {
        Error::invalid("file", "Audio file might be corrupted or unsupported.").with_code("invalid_value")
    })?;
    let mut ear = world.speech.ear();
    ear.hear(&samples);
    ear.flush();
    let heard = text(&ear.take_words());
    world.log.record("openai", "file.transcribed", json!({ "model": model, "text": heard }));
    let usage = json!({ "type": "duration", "seconds": samples.len().div_ceil(8_000) });
    Ok(Json(json!({ "text": heard, "usage": usage })).into_response())
}

fn broken() -> Error {
    Error::invalid("", "We could not parse the multipart body of your request.")
}

/// Of a RIFF file with 8 kHz, mono, 16 bit; `None` of any other.
fn samples(wav: &[u8]) -> Option<Vec<i16>> {
    let (head, mut rest) = wav.split_at_checked(12)?;
    if &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
        return None;
    }
    let mut is_ours = false;
    loop {
        let (header, body) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes(header[4..].try_into().ok()?) as usize;
        let body = body.get(..length).unwrap_or(body);
        match &header[..4] {
            b"fmt " => {
                let field = |at: usize| Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?));
                // PCM, one channel, 8,000 a second, 16 bit.
                is_ours = (field(0)?, field(2)?, field(4)?, field(14)?) == (1, 1, 8_000, 16);
            }
            b"data" => return is_ours.then(|| pcm(body)),
            _ => {}
        }
        rest = rest.get(8 + length + length % 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_telephone_sound_is_read() {
        let wav = |rate: u32| {
            let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
            wav.extend(rate.to_le_bytes());
            wav.extend((2 * rate).to_le_bytes());
            wav.extend(b"\x02\0\x10\0data\x04\0\0\0\x01\0\x02\0");
            wav
        };
        assert_eq!(samples(&wav(8_000)), Some(vec![1, 2]));
        assert_eq!(samples(&wav(16_000)), None);
        assert_eq!(samples(b"ID3"), None);
    }
}
