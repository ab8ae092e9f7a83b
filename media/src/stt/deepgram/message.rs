//! What Deepgram says on a live socket. Unknown kinds are counted and ignored.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One message, its times still relative to the connection.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// A segment, open or closed.
    Results(Results),
    /// Speech was heard, at this many seconds.
    SpeechStarted(f64),
    /// No word since this many seconds.
    UtteranceEnd(f64),
    /// The stream's closing summary.
    Metadata,
    /// The provider complains; the socket usually closes after it.
    Error {
        /// Its short name, where it has one.
        variant: String,
    },
    /// Something this version does not know.
    Unknown,
}

#[derive(Debug, PartialEq)]
pub(super) struct Results {
    pub text: String,
    pub start_secs: f64,
    pub duration_secs: f64,
    pub confidence: f32,
    pub is_final: bool,
    pub speech_final: bool,
    pub from_finalize: bool,
    pub languages: Vec<String>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    #[serde(default)]
    from_finalize: bool,
    /// An object in `Results`, `[index, total]` elsewhere.
    #[serde(default, borrow)]
    channel: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: f64,
    #[serde(default)]
    last_word_end: f64,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    confidence: f32,
    #[serde(default)]
    languages: Vec<String>,
}

/// Reads one text message.
pub(super) fn parse(text: &str) -> Result<Message, serde_json::Error> {
    let wire: Wire<'_> = serde_json::from_str(text)?;
    Ok(match &*wire.kind {
        "Results" => {
            let channel = wire.channel.map(|raw| serde_json::from_str::<Channel>(raw.get())).transpose()?;
            let best = channel.and_then(|channel| channel.alternatives.into_iter().next());
            let (text, confidence, languages) =
                best.map(|a| (a.transcript, a.confidence, a.languages)).unwrap_or_default();
            Message::Results(Results {
                text,
                start_secs: wire.start,
                duration_secs: wire.duration,
                confidence,
                is_final: wire.is_final,
                speech_final: wire.speech_final,
                from_finalize: wire.from_finalize,
                languages,
            })
        }
        "SpeechStarted" => Message::SpeechStarted(wire.timestamp),
        "UtteranceEnd" => Message::UtteranceEnd(wire.last_word_end),
        "Metadata" => Message::Metadata,
        "Error" => Message::Error { variant: crate::provider::code_or_error(wire.variant.or(wire.code)) },
        _ => Message::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_message_is_read() {
        let results = r#"{"type":"Results","channel_index":[0,1],"duration":1.0399,"start":0.5,"is_final":true,"speech_final":true,
            "channel":{"alternatives":[{"transcript":"another big","confidence":0.96,
            "words":[{"word":"another","start":0.297,"end":0.797,"confidence":0.958,"punctuated_word":"Another","language":"en"}],
            "languages":["en"]}]},
            "metadata":{"request_id":"r","model_info":{"name":"general-nova-3","version":"2024-12-20.0","arch":"nova-3"},"model_uuid":"m"},
            "from_finalize":false}"#;
        let expected = Results {
            text: "another big".into(),
            start_secs: 0.5,
            duration_secs: 1.0399,
            confidence: 0.96,
            is_final: true,
            speech_final: true,
            from_finalize: false,
            languages: vec!["en".into()],
        };
        assert_eq!(parse(results).unwrap(), Message::Results(expected));
        assert_eq!(
            parse(r#"{"type":"SpeechStarted","channel":[0,1],"timestamp":9.54}"#).unwrap(),
            Message::SpeechStarted(9.54)
        );
        assert_eq!(
            parse(r#"{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2.395}"#).unwrap(),
            Message::UtteranceEnd(2.395)
        );
        assert_eq!(
            parse(r#"{"type":"Metadata","request_id":"r","duration":12.3,"channels":1}"#).unwrap(),
            Message::Metadata
        );
        assert_eq!(
            parse(r#"{"type":"Error","variant":"SchemaError","description":"d","message":"m"}"#).unwrap(),
            Message::Error { variant: "SchemaError".into() }
        );
        assert_eq!(
            parse(r#"{"type":"Error","variant":"you said my number is 1","description":"d"}"#).unwrap(),
            Message::Error { variant: "error".into() }
        );
        assert_eq!(
            parse(r#"{"type":"ConfigureSuccess","request_id":"r","keyterms":["a"]}"#).unwrap(),
            Message::Unknown
        );
    }

    #[test]
    fn a_result_without_alternatives_is_an_empty_one() {
        let Message::Results(results) =
            parse(r#"{"type":"Results","start":1.0,"duration":1.0,"is_final":true,"channel":{"alternatives":[]}}"#)
                .unwrap()
        else {
            panic!("not results")
        };
        assert_eq!(results.text, "");
    }
}
