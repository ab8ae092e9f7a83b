//! Deepgram's live socket (`/v1/listen`, Nova models): finals by silence.

mod message;

use http::{HeaderName, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::{
    Options,
    wire::{Heard, KeepAlive, Segment, Wire, language_parts, pcm, socket_url},
};
use crate::{
    carrier::SAMPLE_RATE_HZ,
    provider::{Provider, ProviderError},
};
use message::Message;

/// Silence after which the provider sets `speech_final`, in milliseconds.
const ENDPOINTING_MS: u32 = 300;
/// Gap between words after which it sends `UtteranceEnd`; it recommends no less.
const UTTERANCE_END_MS: u32 = 1_000;

/// One call's socket.
pub struct Nova {
    url: Url,
    model: String,
    authorization: SecretString,
}

impl Nova {
    /// At `base_url` (`wss://api.deepgram.com`, a regional host, or a simulator).
    pub fn new(base_url: &Url, api_key: &SecretString, model: &str, options: &Options) -> Self {
        Self { url: listen_url(base_url, model, options), model: model.to_owned(), authorization: token(api_key) }
    }
}

/// The value of the header that carries the key.
pub(crate) fn token(api_key: &SecretString) -> SecretString {
    format!("Token {}", api_key.expose_secret()).into()
}

impl Wire for Nova {
    fn provider(&self) -> Provider {
        Provider::Deepgram
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> (&Url, HeaderName, &SecretString) {
        (&self.url, AUTHORIZATION, &self.authorization)
    }

    fn audio(&mut self, samples: &[i16]) -> Frame {
        Frame::Binary(pcm(samples).into())
    }

    /// It closes off silence as it does words, and sends interims about every second.
    fn answers_silence(&self) -> bool {
        true
    }

    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Text(r#"{"type":"KeepAlive"}"#)
    }

    fn finalize(&self) -> Option<&'static str> {
        Some(r#"{"type":"Finalize"}"#)
    }

    fn farewell(&self) -> Option<&'static str> {
        Some(r#"{"type":"CloseStream"}"#)
    }

    fn read(&mut self, text: &str, _sent_secs: f64, heard: &mut Vec<Heard>) -> Result<(), serde_json::Error> {
        heard.push(match message::parse(text)? {
            Message::Results(results) if results.is_final => Heard::Final(Segment {
                text: results.text,
                start: results.start_secs,
                end: results.start_secs + results.duration_secs,
                confidence: results.confidence,
                speech_final: results.speech_final,
                from_finalize: results.from_finalize,
                languages: results.languages,
            }),
            Message::Results(results) if results.text.is_empty() => return Ok(()),
            Message::Results(results) => {
                Heard::Interim { text: results.text, until: results.start_secs + results.duration_secs }
            }
            Message::SpeechStarted(at) => Heard::SpeechStarted(at),
            Message::UtteranceEnd(at) => Heard::UtteranceEnd(at),
            // The stream's closing summary: the close frame follows.
            Message::Metadata => return Ok(()),
            Message::Error { variant } => Heard::Failed(ProviderError::Cut { cause: variant }),
            Message::Unknown => Heard::Unknown,
        });
        Ok(())
    }
}

/// `/v1/listen` under the base, with raw 8 kHz PCM declared (raw audio needs both encoding and rate).
fn listen_url(base: &Url, model: &str, options: &Options) -> Url {
    let mut url = socket_url(base, "v1/listen");
    let mut query = url.query_pairs_mut();
    let (language, hints) = language(options);
    query
        .append_pair("model", model)
        .append_pair("language", &language)
        .append_pair("encoding", "linear16")
        .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
        .append_pair("channels", "1")
        .append_pair("interim_results", "true")
        .append_pair("endpointing", &ENDPOINTING_MS.to_string())
        .append_pair("utterance_end_ms", &UTTERANCE_END_MS.to_string())
        .append_pair("vad_events", "true")
        .append_pair("punctuate", "true")
        // Not smart_format: it may hold `speech_final` back while it formats a number.
        .append_pair("numerals", "true");
    for hint in hints {
        query.append_pair("language_hint", &hint);
    }
    // Only this family knows them.
    for term in options.keyterms.iter().filter(|_| model.starts_with("nova-3")) {
        query.append_pair("keyterm", term);
    }
    drop(query);
    url
}

/// What the code-switching model knows.
pub(super) const TOLD_APART: [&str; 10] = ["en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"];

/// English keeps its region, another language is named barely. Where several may be heard it takes the code-switching model, with
/// those of them as hints that it knows; without our own among them it would be of no use.
fn language(options: &Options) -> (String, Vec<String>) {
    let (base, _) = language_parts(&options.language);
    let told_apart: Vec<String> =
        options.languages().into_iter().filter(|language| TOLD_APART.contains(&language.as_str())).collect();
    match base.as_str() {
        _ if told_apart.len() > 1 && told_apart.contains(&base) => ("multi".to_owned(), told_apart),
        "en" => (options.language.replace('_', "-"), Vec::new()),
        _ => (base, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_declares_raw_audio_and_repeats_key_terms() {
        let options = Options { keyterms: vec!["Whitefield".into(), "two BHK".into()], ..Options::default() };
        let url = listen_url(&"https://api.in.deepgram.com".parse().unwrap(), "nova-3", &options);
        assert_eq!((url.scheme(), url.host_str(), url.path()), ("wss", Some("api.in.deepgram.com"), "/v1/listen"));
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for pair in [
            ("encoding", "linear16"),
            ("sample_rate", "8000"),
            ("interim_results", "true"),
            ("keyterm", "Whitefield"),
            ("keyterm", "two BHK"),
        ] {
            assert!(pairs.contains(&(pair.0.into(), pair.1.into())), "{pair:?}");
        }
        let older = listen_url(&"wss://api.deepgram.com".parse().unwrap(), "nova-2-phonecall", &options);
        assert!(!older.as_str().contains("keyterm"), "{older}");
    }

    #[test]
    fn languages_are_named_as_the_model_knows_them() {
        for (tag, others, expected, hints) in [
            ("en-IN", &[][..], "en-IN", &[][..]),
            ("en", &[], "en", &[]),
            ("hi-IN", &[], "hi", &[]),
            ("hi-en", &[], "multi", &["hi", "en"]),
            ("ta-IN", &[], "ta", &[]),
            ("en-IN", &["hi-IN", "ta-IN"], "multi", &["en", "hi"]),
            ("ta-IN", &["hi-IN", "en-IN"], "ta", &[]),
        ] {
            let others: Vec<String> = others.iter().map(|&other: &&str| other.to_owned()).collect();
            let options = Options { language: tag.into(), others, ..Options::default() };
            let (language, told) = language(&options);
            assert_eq!(
                (language.as_str(), told),
                (expected, hints.iter().map(|&hint: &&str| hint.to_owned()).collect()),
                "{tag}"
            );
        }
    }
}
