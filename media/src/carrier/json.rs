//! Reading the carriers' frames: tolerant of what is a string here and a number there.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, value::RawValue};

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
pub(super) fn digit(pressed: &str) -> Option<char> {
    pressed.chars().find(|c| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D'))
}
