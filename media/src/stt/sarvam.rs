//! Sarvam's realtime socket (`/speech-to-text-realtime/ws`): 22 Indian languages, partials, and its own voice activity.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderName;
use secrecy::SecretString;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::{
    Options,
    utterances::Utterances,
    wire::{Heard, KeepAlive, Segment, Wire, pcm, socket_url},
};
use crate::{
    carrier::SAMPLE_RATE_HZ,
    provider::{Provider, ProviderError},
};

/// The header that carries the key, of every Sarvam service.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("api-subscription-key");
/// Silence that ends an utterance, in milliseconds.
const SILENCE_MS: &str = "300";

/// One call's socket.
pub struct Sarvam {
    url: Url,
    model: String,
    key: SecretString,
    /// Where they began and ended by the provider's voice activity: finals need not say, and come after the next has begun.
    utterances: Utterances<u64>,
}

impl Sarvam {
    /// At `base_url` (`https://api.sarvam.ai`, or a simulator).
    pub fn new(base_url: &Url, api_key: &SecretString, model: &str, options: &Options) -> Self {
        let mut url = socket_url(base_url, "speech-to-text-realtime/ws");
        let mut query = url.query_pairs_mut();
        query
            .append_pair("language_code", &language_code(options))
            .append_pair("model", model)
            .append_pair("encoding", "linear16")
            .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
            .append_pair("endpointing", "vad")
            .append_pair("silence_duration_ms", SILENCE_MS);
        drop(query);
        Self { url, model: model.to_owned(), key: api_key.clone(), utterances: Utterances::default() }
    }
}

/// Every language is Indian here; where there are several, each utterance's is detected. Odia is `or-IN` in realtime.
fn language_code(options: &Options) -> String {
    match &*options.languages() {
        [language] if language == "od" => "or-IN".to_owned(),
        [language] if !language.is_empty() => format!("{language}-IN"),
        _ => "auto".to_owned(),
    }
}

#[derive(Deserialize)]
struct Message {
    event: String,
    #[serde(default)]
    utterance_idx: u64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    language_confidence: Option<f32>,
    #[serde(default)]
    start_s: Option<f64>,
    #[serde(default)]
    end_s: Option<f64>,
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    is_fatal: bool,
}

impl Wire for Sarvam {
    fn provider(&self) -> Provider {
        Provider::Sarvam
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> (&Url, HeaderName, &SecretString) {
        (&self.url, KEY_HEADER, &self.key)
    }

    fn begin(&mut self) -> Option<String> {
        self.utterances.forget();
        None
    }

    fn audio(&mut self, samples: &[i16]) -> Frame {
        // Base64 needs no escaping.
        Frame::text(format!(r#"{{"event":"audio_input","audio":"{}"}}"#, STANDARD.encode(pcm(samples))))
    }

    fn greets(&self) -> bool {
        true
    }

    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Text(r#"{"event":"ping"}"#)
    }

    fn farewell(&self) -> Option<&'static str> {
        Some(r#"{"event":"end"}"#)
    }

    fn read(&mut self, text: &str, sent_secs: f64, heard: &mut Vec<Heard>) -> Result<(), serde_json::Error> {
        let message: Message = serde_json::from_str(text)?;
        match &*message.event {
            "vad.speech_start" => {
                self.utterances.of(message.utterance_idx).began = Some(sent_secs);
                heard.push(Heard::SpeechStarted(sent_secs));
            }
            "vad.speech_end" => self.utterances.of(message.utterance_idx).ended = Some(sent_secs),
            "transcript.partial" if message.text.is_empty() => {}
            "transcript.partial" => heard.push(Heard::Interim { text: message.text, until: sent_secs }),
            "transcript.final" => {
                let (began, ended) = self.utterances.take(&message.utterance_idx).span(sent_secs);
                let end = message.end_s.unwrap_or(ended);
                heard.push(Heard::Final(Segment {
                    text: message.text,
                    start: message.start_s.unwrap_or(began).min(end),
                    end,
                    confidence: message.language_confidence.unwrap_or(1.0),
                    speech_final: true,
                    from_finalize: false,
                    languages: message.language.into_iter().collect(),
                }));
            }
            "session.begin" => heard.push(Heard::Ready),
            "config.updated" | "pong" => {}
            "session.end" => heard.push(Heard::Over),
            "error" if message.is_fatal => heard.push(Heard::Failed(complaint(message.code.as_ref()))),
            // What is not fatal is counted with the unknown.
            _ => heard.push(Heard::Unknown),
        }
        Ok(())
    }

    /// 1003 is a rate limit, a quota or a bad key, told apart by the reason; 4000 refuses model, language or a parameter.
    fn closed(&self, code: u16, reason: &str) -> ProviderError {
        match code {
            1003 if reason.contains("rate_limit") => ProviderError::RateLimited { retry_after: None },
            1003 | 4000 => ProviderError::Rejected { code: format!("closed_{code}") },
            _ => ProviderError::Cut { cause: format!("closed_{code}") },
        }
    }
}

fn complaint(code: Option<&serde_json::Value>) -> ProviderError {
    match code.and_then(serde_json::Value::as_str) {
        Some("rate_limit_exceeded_error") => ProviderError::RateLimited { retry_after: None },
        Some(
            code @ ("invalid_api_key_error"
            | "authentication_error"
            | "insufficient_quota_error"
            | "invalid_request_error"
            | "unprocessable_entity_error"),
        ) => ProviderError::Rejected { code: code.to_owned() },
        Some("internal_server_error") => ProviderError::Cut { cause: "internal_server_error".into() },
        _ => ProviderError::Cut { cause: "error".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sarvam(language: &str) -> Sarvam {
        let options = Options { language: language.into(), ..Options::default() };
        Sarvam::new(&"https://api.sarvam.ai".parse().unwrap(), &"k".into(), "saaras:v3-realtime", &options)
    }

    fn read(wire: &mut Sarvam, text: &str, sent: f64) -> Vec<Heard> {
        let mut heard = Vec::new();
        wire.read(text, sent, &mut heard).unwrap();
        heard
    }

    #[test]
    fn the_address_declares_telephone_audio_and_an_indian_language() {
        assert_eq!(
            sarvam("ta").url.as_str(),
            "wss://api.sarvam.ai/speech-to-text-realtime/ws?language_code=ta-IN&model=saaras%3Av3-realtime\
             &encoding=linear16&sample_rate=8000&endpointing=vad&silence_duration_ms=300"
        );
        for (tag, code) in [("hi-IN", "hi-IN"), ("en-US", "en-IN"), ("hi-en", "auto"), ("od-IN", "or-IN")] {
            assert_eq!(language_code(&Options { language: tag.into(), ..Options::default() }), code, "{tag}");
        }
        for language in shared::language::Language::ALL {
            let options = Options { language: language.code().into(), ..Options::default() };
            assert_eq!(language_code(&options), format!("{}-IN", language.code()), "Odia is `or-IN` here");
        }
        let also_hindi = Options { language: "en-IN".into(), others: vec!["hi-IN".into()], ..Options::default() };
        assert_eq!(language_code(&also_hindi), "auto");
    }

    #[test]
    fn audio_goes_out_as_base64_of_little_endian_samples() {
        let Frame::Text(text) = sarvam("hi").audio(&[1, -2]) else { panic!("not text") };
        assert_eq!(text.as_str(), r#"{"event":"audio_input","audio":"AQD+/w=="}"#);
    }

    #[test]
    fn an_utterance_begins_grows_ends_and_is_final() {
        let mut wire = sarvam("hi");
        assert_eq!(
            read(&mut wire, r#"{"event":"session.begin","request_id":"r","config":{"model":"m"}}"#, 0.0),
            [Heard::Ready]
        );
        let started = r#"{"event":"vad.speech_start","utterance_idx":0,"confidence":0.9}"#;
        assert_eq!(read(&mut wire, started, 1.0), [Heard::SpeechStarted(1.0)]);
        let partial = r#"{"event":"transcript.partial","utterance_idx":0,"text":"हाँ जी"}"#;
        assert_eq!(read(&mut wire, partial, 1.5), [Heard::Interim { text: "हाँ जी".into(), until: 1.5 }]);
        assert_eq!(read(&mut wire, r#"{"event":"vad.speech_end","utterance_idx":0}"#, 2.0), []);
        let last = r#"{"event":"transcript.final","utterance_idx":0,"text":"हाँ जी बोलिए","language":"hi-IN"}"#;
        let heard = read(&mut wire, last, 2.6);
        let [Heard::Final(segment)] = &heard[..] else { panic!("{heard:?}") };
        // The final comes late; what was sent after the end of speech belongs to the next utterance.
        assert_eq!((segment.start, segment.end, &*segment.text, segment.speech_final), (1.0, 2.0, "हाँ जी बोलिए", true));
        // The next one began, and ended, before the words of this one came.
        for (event, at) in [("vad.speech_start", 3.0), ("vad.speech_end", 4.0)] {
            for idx in [1, 2] {
                let message = format!(r#"{{"event":"{event}","utterance_idx":{idx}}}"#);
                read(&mut wire, &message, at + f64::from(idx) * 0.1);
            }
        }
        for (idx, start, end) in [(1, 3.1, 4.1), (2, 3.2, 4.2)] {
            let late = format!(r#"{{"event":"transcript.final","utterance_idx":{idx},"text":"ok"}}"#);
            let heard = read(&mut wire, &late, 5.0);
            assert!(matches!(&heard[..], [Heard::Final(s)] if (s.start, s.end) == (start, end)), "{heard:?}");
        }
        let timed = r#"{"event":"transcript.final","utterance_idx":1,"text":"ok","start_s":3.0,"end_s":3.5}"#;
        let heard = read(&mut wire, timed, 4.0);
        assert!(matches!(&heard[..], [Heard::Final(s)] if (s.start, s.end) == (3.0, 3.5)), "{heard:?}");
        let end = r#"{"event":"session.end","request_id":"r","total_duration_s":4,"total_utterances":2,"audio_duration_s":4}"#;
        assert_eq!(read(&mut wire, end, 4.0), [Heard::Over]);
    }

    #[test]
    fn complaints_and_closes_say_what_may_be_done_next() {
        let mut wire = sarvam("hi");
        let error = |code: &str, fatal: bool| {
            format!(r#"{{"event":"error","code":"{code}","is_fatal":{fatal},"message":"m"}}"#)
        };
        let kind = |heard: Vec<Heard>| match &heard[..] {
            [Heard::Failed(error)] => error.kind(),
            [Heard::Unknown] => "unknown",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(read(&mut wire, &error("rate_limit_exceeded_error", true), 0.0)), "rate_limited");
        assert_eq!(kind(read(&mut wire, &error("invalid_api_key_error", true), 0.0)), "rejected");
        assert_eq!(kind(read(&mut wire, &error("internal_server_error", true), 0.0)), "cut");
        assert_eq!(kind(read(&mut wire, &error("internal_server_error", false), 0.0)), "unknown");
        assert_eq!(wire.closed(1003, "rate_limit_exceeded_error").kind(), "rate_limited");
        assert_eq!(wire.closed(1003, "invalid_api_key_error").kind(), "rejected");
        assert_eq!(wire.closed(4000, "unknown model").kind(), "rejected");
        assert_eq!(wire.closed(1008, "inactivity").kind(), "cut");
    }
}
