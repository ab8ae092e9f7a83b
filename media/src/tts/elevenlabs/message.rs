//! What ElevenLabs says on the multi-context socket. Builds differ in spelling; every one seen is read.

use std::borrow::Cow;

use serde::Deserialize;

/// One message.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub context: Option<Cow<'a, str>>,
    /// Base64 of little-endian PCM; chunks end anywhere, even inside a sample.
    pub audio: Option<Cow<'a, str>>,
    pub is_final: bool,
    pub alignment: Option<Alignment>,
    /// A short code, if this is a complaint.
    pub error: Option<String>,
}

/// Times of the original text's characters, in milliseconds from the start of this message's audio.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Alignment {
    pub chars: Vec<(char, u32)>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    audio: Option<Text<'a>>,
    #[serde(default, borrow, rename = "contextId")]
    context_camel: Option<Text<'a>>,
    #[serde(default, borrow)]
    context_id: Option<Text<'a>>,
    #[serde(default, rename = "isFinal")]
    final_camel: Option<bool>,
    #[serde(default)]
    is_final: Option<bool>,
    #[serde(default)]
    alignment: Option<WireAlignment>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireAlignment {
    #[serde(default)]
    chars: Option<Vec<String>>,
    #[serde(default)]
    characters: Option<Vec<String>>,
    #[serde(default, rename = "charStartTimesMs")]
    char_start: Option<Vec<f64>>,
    #[serde(default, rename = "charsStartTimesMs")]
    chars_start: Option<Vec<f64>>,
    #[serde(default)]
    char_start_times_ms: Option<Vec<f64>>,
}

impl From<WireAlignment> for Alignment {
    fn from(wire: WireAlignment) -> Self {
        let chars = wire.chars.or(wire.characters).unwrap_or_default();
        let starts = wire.char_start.or(wire.chars_start).or(wire.char_start_times_ms).unwrap_or_default();
        // An entry is one character, but nothing promises it: each of its characters begins where it begins.
        let pairs = chars.iter().zip(starts).flat_map(|(text, ms)| text.chars().map(move |c| (c, ms.max(0.0) as u32)));
        Self { chars: pairs.collect() }
    }
}

pub(super) fn parse(text: &str) -> Result<Message<'_>, serde_json::Error> {
    let wire: Wire<'_> = serde_json::from_str(text)?;
    let error = wire
        .error
        .filter(|error| !error.is_null())
        .map(|_| crate::provider::error_code(text.as_bytes()).unwrap_or_else(|| "error".to_owned()));
    Ok(Message {
        context: wire.context_camel.or(wire.context_id).map(|Text(id)| id),
        audio: wire.audio.map(|Text(audio)| audio).filter(|audio| !audio.is_empty()),
        is_final: wire.final_camel.or(wire.is_final).unwrap_or(false),
        alignment: wire.alignment.map(Alignment::from).filter(|alignment| !alignment.chars.is_empty()),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_every_field_are_read() {
        let camel = parse(
            r#"{"audio":"AAA=","isFinal":null,"contextId":"c1","normalizedAlignment":null,
            "alignment":{"chars":["H","i"],"charStartTimesMs":[0,80],"charDurationsMs":[80,90]}}"#,
        )
        .unwrap();
        let snake = parse(
            r#"{"audio":"AAA=","is_final":false,"context_id":"c1",
            "alignment":{"chars":["H","i"],"charsStartTimesMs":[0,80.4],"charsDurationsMs":[80,90]}}"#,
        )
        .unwrap();
        assert_eq!(camel, snake);
        assert_eq!(camel.alignment.unwrap().chars, [('H', 0), ('i', 80)]);
        assert_eq!(camel.context.as_deref(), Some("c1"));
    }

    #[test]
    fn the_end_of_a_context_and_a_complaint_are_told_apart() {
        let end = parse(r#"{"isFinal":true,"contextId":"c1"}"#).unwrap();
        assert!(end.is_final && end.audio.is_none() && end.error.is_none());
        let complaint =
            parse(r#"{"error":"quota_exceeded","message":"This request exceeds your quota.","code":1008}"#).unwrap();
        assert_eq!(complaint.error.as_deref(), Some("quota_exceeded"));
        let sentence = parse(r#"{"error":"you said hello","message":"m","code":1008}"#).unwrap();
        assert_eq!(sentence.error.as_deref(), Some("error"));
        assert!(parse("3").is_err());
    }
}
