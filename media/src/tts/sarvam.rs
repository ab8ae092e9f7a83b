//! Sarvam's speech socket (`/text-to-speech/ws`): eleven Indian languages, telephone audio. It cannot be told to stop: what
//! nobody wants any more is stopped by closing the socket.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use shared::language::Language;
use thiserror::Error;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::synth::{Read, SpeechWire};
use crate::{
    audio::g711,
    provider::{Provider, ProviderError},
    stt::sarvam::KEY_HEADER,
};

/// The voice does not speak the language: the socket would be closed at the first word.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Sarvam has no voice for `{0}`")]
pub struct Unspoken(String);

/// One call's socket.
pub struct Sarvam {
    url: Url,
    key: SecretString,
    model: String,
    speaker: String,
    language_code: &'static str,
}

impl Sarvam {
    /// At `base_url` (`https://api.sarvam.ai`, or a simulator), in the language of a BCP 47 tag.
    ///
    /// # Errors
    /// It is not one of the eleven that are spoken.
    pub fn new(
        base_url: &Url,
        api_key: &SecretString,
        model: &str,
        speaker: &str,
        language: &str,
    ) -> Result<Self, Unspoken> {
        let language_code = language_code(language).ok_or_else(|| Unspoken(language.to_owned()))?;
        let mut url = crate::stt::wire::socket_url(base_url, "text-to-speech/ws");
        url.query_pairs_mut().append_pair("model", model).append_pair("send_completion_event", "true");
        let (model, speaker) = (model.to_owned(), speaker.to_owned());
        Ok(Self { url, key: api_key.clone(), model, speaker, language_code })
    }
}

/// `None` where there is no voice. Every language is Indian here, and Odia is `od-IN` (though `or-IN` to the realtime ears).
fn language_code(tag: &str) -> Option<&'static str> {
    Some(match Language::parse(tag)? {
        Language::English => "en-IN",
        Language::Hindi => "hi-IN",
        Language::Bengali => "bn-IN",
        Language::Tamil => "ta-IN",
        Language::Telugu => "te-IN",
        Language::Kannada => "kn-IN",
        Language::Malayalam => "ml-IN",
        Language::Marathi => "mr-IN",
        Language::Gujarati => "gu-IN",
        Language::Punjabi => "pa-IN",
        Language::Odia => "od-IN",
        Language::Assamese | Language::Urdu => return None,
    })
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize, Default)]
struct Data {
    #[serde(default)]
    audio: Option<String>,
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

impl SpeechWire for Sarvam {
    fn provider(&self) -> Provider {
        Provider::Sarvam
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn fingerprint(&self) -> String {
        format!("sarvam/{}/{}/{}", self.model, self.speaker, self.language_code)
    }

    fn address(&self) -> (&Url, HeaderName, &SecretString) {
        (&self.url, KEY_HEADER, &self.key)
    }

    fn hello(&self) -> Option<String> {
        let config = json!({"language_code": self.language_code, "speaker": self.speaker, "speech_sample_rate": 8000,
            "output_audio_codec": "mulaw", "pace": 1.0, "min_buffer_size": 50, "max_chunk_length": 150});
        Some(json!({"type": "config", "data": config}).to_string())
    }

    fn speak(&self, text: &str) -> Vec<String> {
        vec![json!({"type": "text", "data": {"text": text}}).to_string(), r#"{"type":"flush"}"#.to_owned()]
    }

    fn clear(&self) -> Option<&'static str> {
        None
    }

    fn keep_alive(&self) -> Option<&'static str> {
        Some(r#"{"type":"ping"}"#)
    }

    fn read(&mut self, frame: &Frame) -> Result<Read, ProviderError> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Close(close) => return Err(closed(close.as_ref().map_or(1005, |close| close.code.into()))),
            _ => return Ok(Read::Nothing),
        };
        let malformed = || ProviderError::Cut { cause: "malformed".into() };
        let message: Message = serde_json::from_str(text).map_err(|_invalid| malformed())?;
        Ok(match &*message.kind {
            "audio" => {
                let codes = STANDARD.decode(message.data.audio.unwrap_or_default()).map_err(|_invalid| malformed())?;
                Read::Sound(codes.into_iter().map(g711::decode_ulaw).collect())
            }
            "event" if message.data.event_type.as_deref() == Some("final") => Read::End,
            "error" => return Err(complaint(message.data.code.as_ref())),
            "pong" => Read::Nothing,
            _ => Read::Unknown,
        })
    }
}

/// `code` is an HTTP status, or one of the words of the REST API.
fn complaint(code: Option<&serde_json::Value>) -> ProviderError {
    let word = code
        .and_then(serde_json::Value::as_str)
        .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let status = code.and_then(serde_json::Value::as_u64).and_then(|status| u16::try_from(status).ok());
    match (word, status) {
        (Some("rate_limit_exceeded_error"), _) => ProviderError::RateLimited { retry_after: None },
        (Some(word @ ("internal_server_error" | "gateway_timeout_error" | "model_call_error")), _) => {
            ProviderError::Cut { cause: word.to_owned() }
        }
        (Some(word), _) => ProviderError::Rejected { code: word.to_owned() },
        (None, Some(status)) => ProviderError::from_status(status, None, &http::HeaderMap::new()),
        (None, None) => ProviderError::Cut { cause: "error".into() },
    }
}

fn closed(code: u16) -> ProviderError {
    match code {
        1003 | 4000 => ProviderError::Rejected { code: format!("closed_{code}") },
        _ => ProviderError::Cut { cause: format!("closed_{code}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sarvam() -> Sarvam {
        Sarvam::new(&"https://api.sarvam.ai".parse().unwrap(), &"k".into(), "bulbul:v3", "shubh", "hi-IN").unwrap()
    }

    fn read(text: &str) -> Result<Read, ProviderError> {
        sarvam().read(&Frame::text(text))
    }

    #[test]
    fn a_clause_is_configured_once_sent_and_flushed() {
        let wire = sarvam();
        assert_eq!(
            wire.url.as_str(),
            "wss://api.sarvam.ai/text-to-speech/ws?model=bulbul%3Av3&send_completion_event=true"
        );
        let hello: serde_json::Value = serde_json::from_str(&wire.hello().unwrap()).unwrap();
        assert_eq!(
            hello,
            json!({"type": "config", "data": {"language_code": "hi-IN", "speaker": "shubh", "speech_sample_rate": 8000,
                "output_audio_codec": "mulaw", "pace": 1.0, "min_buffer_size": 50, "max_chunk_length": 150}})
        );
        assert_eq!(wire.speak("नमस्ते"), [r#"{"data":{"text":"नमस्ते"},"type":"text"}"#, r#"{"type":"flush"}"#]);
    }

    #[test]
    fn every_language_is_spoken_by_its_code_or_refused_before_the_call() {
        let codes = Language::ALL.map(|language| language_code(&format!("{}-IN", language.code())));
        assert_eq!(
            codes.into_iter().flatten().collect::<Vec<_>>(),
            ["en-IN", "hi-IN", "bn-IN", "ta-IN", "te-IN", "kn-IN", "ml-IN", "mr-IN", "gu-IN", "pa-IN", "od-IN"]
        );
        for (tag, code) in [("od-IN", "od-IN"), ("or", "od-IN"), ("hi-en", "hi-IN"), ("en-US", "en-IN")] {
            assert_eq!(language_code(tag), Some(code), "{tag}");
        }
        let url = "https://api.sarvam.ai".parse().unwrap();
        for tag in ["ur-IN", "as-IN", "fr"] {
            let refused = Sarvam::new(&url, &"k".into(), "bulbul:v3", "shubh", tag).err();
            assert_eq!(refused, Some(Unspoken(tag.to_owned())));
        }
    }

    #[test]
    fn sound_ends_and_complaints_are_read() {
        let audio = r#"{"type":"audio","data":{"content_type":"audio/mulaw","audio":"//8=","request_id":"r"}}"#;
        assert_eq!(read(audio).unwrap(), Read::Sound(vec![0, 0]));
        let end = r#"{"type":"event","data":{"event_type":"final","timestamp":"t"}}"#;
        assert_eq!(read(end).unwrap(), Read::End);
        assert_eq!(read(r#"{"type":"news","data":{}}"#).unwrap(), Read::Unknown);
        let kind = |text: &str| read(text).unwrap_err().kind();
        assert_eq!(
            kind(r#"{"type":"error","data":{"message":"m","code":422,"details":{},"request_id":"r"}}"#),
            "rejected"
        );
        assert_eq!(kind(r#"{"type":"error","data":{"message":"m","code":429}}"#), "rate_limited");
        assert_eq!(kind(r#"{"type":"error","data":{"message":"m","code":503}}"#), "unavailable");
        assert_eq!(kind(r#"{"type":"error","data":{"message":"m","code":"insufficient_quota_error"}}"#), "rejected");
        assert_eq!(kind(r#"{"type":"error","data":{"message":"m"}}"#), "cut");
        assert_eq!(kind("nonsense"), "cut");
        assert_eq!(kind(r#"{"type":"audio","data":{"audio":"?"}}"#), "cut");
        assert_eq!(sarvam().read(&Frame::Close(None)).unwrap_err().kind(), "cut");
    }
}
