//! Deepgram's speech socket (`/v1/speak`, Aura): English and a few other languages, telephone audio, and it can be told to stop.

use std::time::Duration;

use http::{HeaderName, header::AUTHORIZATION};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::synth::{Read, SpeechWire};
use crate::{
    audio::g711,
    provider::{Provider, ProviderError},
    stt::deepgram,
};

/// One connection's `Flush`es; what is more is not processed, and its text would never be spoken.
const MAX_FLUSHES: (usize, Duration) = (20, Duration::from_secs(60));

/// One call's socket. A voice is a model here.
pub struct Aura {
    url: Url,
    authorization: SecretString,
    model: String,
}

impl Aura {
    /// At `base_url` (`wss://api.deepgram.com`, a regional host, or a simulator).
    pub fn new(base_url: &Url, api_key: &SecretString, model: &str) -> Self {
        let mut url = crate::stt::wire::socket_url(base_url, "v1/speak");
        url.query_pairs_mut()
            .append_pair("model", model)
            .append_pair("encoding", "mulaw")
            .append_pair("sample_rate", "8000");
        Self { url, authorization: deepgram::token(api_key), model: model.to_owned() }
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    code: Option<String>,
}

impl SpeechWire for Aura {
    fn provider(&self) -> Provider {
        Provider::Deepgram
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn fingerprint(&self) -> String {
        format!("aura/{}", self.model)
    }

    fn address(&self) -> (&Url, HeaderName, &SecretString) {
        (&self.url, AUTHORIZATION, &self.authorization)
    }

    fn hello(&self) -> Option<String> {
        None
    }

    fn speak(&self, text: &str) -> Vec<String> {
        vec![json!({"type": "Speak", "text": text}).to_string(), r#"{"type":"Flush"}"#.to_owned()]
    }

    fn clear(&self) -> Option<&'static str> {
        Some(r#"{"type":"Clear"}"#)
    }

    fn limit(&self) -> Option<(usize, Duration)> {
        Some(MAX_FLUSHES)
    }

    fn keep_alive(&self) -> Option<&'static str> {
        None
    }

    fn read(&mut self, frame: &Frame) -> Result<Read, ProviderError> {
        let text = match frame {
            Frame::Binary(codes) => {
                return Ok(Read::Sound(codes.iter().map(|code| g711::decode_ulaw(*code)).collect()));
            }
            Frame::Text(text) => text,
            Frame::Close(close) => {
                let code: u16 = close.as_ref().map_or(1005, |close| close.code.into());
                return Err(ProviderError::Cut { cause: format!("closed_{code}") });
            }
            _ => return Ok(Read::Nothing),
        };
        let message: Message =
            serde_json::from_str(text).map_err(|_invalid| ProviderError::Cut { cause: "malformed".into() })?;
        Ok(match &*message.kind {
            "Flushed" => Read::End,
            "Cleared" => Read::Cleared,
            "Metadata" => Read::Nothing,
            "Warning" => {
                metrics::counter!("tts_warnings_total", "from" => "deepgram").increment(1);
                Read::Nothing
            }
            "Error" => return Err(ProviderError::Cut { cause: crate::provider::code_or_error(message.code) }),
            _ => Read::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aura() -> Aura {
        Aura::new(&"wss://api.in.deepgram.com".parse().unwrap(), &"k".into(), "aura-2-thalia-en")
    }

    #[test]
    fn every_documented_message_is_read() {
        let mut wire = aura();
        assert_eq!(
            wire.url.as_str(),
            "wss://api.in.deepgram.com/v1/speak?model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000"
        );
        assert_eq!(wire.speak("Hi."), [r#"{"text":"Hi.","type":"Speak"}"#, r#"{"type":"Flush"}"#]);
        let mut read = |text: &str| wire.read(&Frame::text(text));
        assert_eq!(
            read(r#"{"type":"Metadata","request_id":"r","model_name":"m","model_version":"v","model_uuid":"u"}"#)
                .unwrap(),
            Read::Nothing
        );
        assert_eq!(read(r#"{"type":"Flushed","sequence_id":1}"#).unwrap(), Read::End);
        assert_eq!(read(r#"{"type":"Cleared","sequence_id":2}"#).unwrap(), Read::Cleared);
        assert_eq!(read(r#"{"type":"Warning","description":"d","code":"c"}"#).unwrap(), Read::Nothing);
        assert_eq!(read(r#"{"type":"News"}"#).unwrap(), Read::Unknown);
        assert_eq!(read("nonsense").unwrap_err().kind(), "cut");
        let quoting = read(r#"{"type":"Error","code":"you said hello","description":"d"}"#).unwrap_err();
        assert_eq!(quoting, ProviderError::Cut { cause: "error".into() });
        assert_eq!(wire.read(&Frame::Binary(vec![0xff, 0xff].into())).unwrap(), Read::Sound(vec![0, 0]));
        assert_eq!(wire.read(&Frame::Close(None)).unwrap_err().kind(), "cut");
    }
}
