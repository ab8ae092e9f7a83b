//! What the carriers' frames have in common: they are read tolerantly of what is a string here and a number there, and hold audio as
//! base64.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, value::RawValue};

use super::{CarrierEvent, FrameError};

/// A string borrowed from the frame unless it holds escapes (some encoders write `\/` in base64).
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A number that may arrive as a string. What is not a number at all reads as 0: it only orders things.
#[derive(Clone, Copy)]
pub(super) struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a number in a string")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Number, E> {
                Ok(Number(u64::try_from(n).unwrap_or(0)))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Number, E> {
                Ok(Number(n as u64))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.trim().parse().unwrap_or(0)))
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(0))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Frames that come once in a while are read as loose JSON: tolerance is worth more than speed there.
pub(super) fn body(raw: Option<&RawValue>) -> Option<Value> {
    serde_json::from_str(raw?.get()).ok()
}

/// The first of `keys` that holds something printable, as text.
pub(super) fn text_at(body: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match body.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    })
}

/// The key in a text. Digits have been seen inside an extra pair of quotes.
fn digit(pressed: &str) -> Option<char> {
    pressed.chars().find(|c| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D'))
}

/// Decoded audio in one frame at most, by Exotel's document; no carrier sends as much.
const MAX_PAYLOAD_BYTES: usize = 100_000;

/// The body of a media frame, the one that must be read fast.
#[derive(Deserialize)]
pub(super) struct Media<'a> {
    #[serde(borrow, default)]
    payload: Option<Text<'a>>,
    #[serde(default)]
    timestamp: Option<Number>,
}

/// The bytes of a media frame's audio, in `buffer`, and what event it is.
pub(super) fn media<'b>(
    media: Option<&Media<'_>>,
    buffer: &'b mut Vec<u8>,
) -> Result<(&'b [u8], CarrierEvent), FrameError> {
    let missing = FrameError::Missing { event: "media", field: "media.payload" };
    let Some(media) = media else { return Err(missing) };
    let Some(Text(payload)) = &media.payload else { return Err(missing) };
    if payload.len() > MAX_PAYLOAD_BYTES.div_ceil(3) * 4 {
        return Err(FrameError::TooLong { limit: MAX_PAYLOAD_BYTES });
    }
    buffer.resize(base64::decoded_len_estimate(payload.len()), 0);
    let length = STANDARD.decode_slice(payload.as_bytes(), buffer).map_err(FrameError::NotBase64)?;
    Ok((&buffer[..length], CarrierEvent::Media { timestamp_ms: media.timestamp.map(|n| n.0) }))
}

/// A key was pressed: the first of `keys` names it.
pub(super) fn dtmf(raw: Option<&RawValue>, keys: &[&str]) -> Result<CarrierEvent, FrameError> {
    let pressed = body(raw).and_then(|body| digit(&text_at(&body, keys)?));
    let digit = pressed.ok_or(FrameError::Missing { event: "dtmf", field: "dtmf.digit" })?;
    Ok(CarrierEvent::Dtmf { digit })
}

/// A mark came back.
pub(super) fn mark(raw: Option<&RawValue>) -> Result<CarrierEvent, FrameError> {
    let name = body(raw).and_then(|body| text_at(&body, &["name"]));
    Ok(CarrierEvent::Mark { name: name.ok_or(FrameError::Missing { event: "mark", field: "mark.name" })? })
}

/// Room for a media frame without its audio.
const HEAD_BYTES: usize = 256;

/// One media frame: `head` goes up to the quote that opens the payload. The buffer grows to its working size once.
pub(super) fn put_media(buffer: &mut BytesMut, head: fmt::Arguments<'_>, audio: &[u8]) {
    let encoded = audio.len().div_ceil(3) * 4;
    buffer.reserve(encoded + HEAD_BYTES);
    buffer.write_fmt(head).expect("a BytesMut grows");
    let payload_at = buffer.len();
    buffer.resize(payload_at + encoded, 0);
    STANDARD
        .encode_slice(audio, &mut buffer[payload_at..])
        .expect("the space was computed for exactly this many bytes");
    buffer.put_slice(br#""}}"#);
}
