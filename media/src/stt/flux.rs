//! Deepgram's Flux (`/v2/listen`), whose model judges by the words when a turn ends: eager end, resumption, end.

use http::{HeaderName, header::AUTHORIZATION};
use secrecy::SecretString;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::{
    Options, deepgram,
    wire::{Heard, KeepAlive, Segment, Wire, pcm, socket_url},
};
use crate::{
    carrier::SAMPLE_RATE_HZ,
    provider::{Provider, ProviderError},
};

/// Confidence at which an early end is told: the vendor's middle between speed and requests made in vain.
const EAGER_THRESHOLD: &str = "0.5";
/// Silence after which a turn ends whatever its words say, in milliseconds: the dialogue asks again after seven seconds.
const TIMEOUT_MS: &str = "4000";

/// One call's socket.
pub struct Flux {
    url: Url,
    model: String,
    authorization: SecretString,
}

impl Flux {
    /// At `base_url`, as for Nova. Without a model it is the one for the call's languages.
    pub fn new(base_url: &Url, api_key: &SecretString, model: Option<&str>, options: &Options) -> Self {
        let languages = options.languages();
        let is_english = languages.iter().all(|language| matches!(language.as_str(), "en" | ""));
        let model = model.unwrap_or(if is_english { "flux-general-en" } else { "flux-general-multi" }).to_owned();
        let mut url = socket_url(base_url, "v2/listen");
        let mut query = url.query_pairs_mut();
        query
            .append_pair("model", &model)
            .append_pair("encoding", "linear16")
            .append_pair("sample_rate", &SAMPLE_RATE_HZ.to_string())
            .append_pair("eager_eot_threshold", EAGER_THRESHOLD)
            .append_pair("eot_timeout_ms", TIMEOUT_MS);
        for term in &options.keyterms {
            query.append_pair("keyterm", term);
        }
        if model.ends_with("-multi") {
            for language in languages.iter().filter(|language| deepgram::TOLD_APART.contains(&language.as_str())) {
                query.append_pair("language_hint", language);
            }
        }
        drop(query);
        Self { url, model, authorization: deepgram::token(api_key) }
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    event: String,
    #[serde(default)]
    audio_window_start: f64,
    #[serde(default)]
    audio_window_end: f64,
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    end_of_turn_confidence: f32,
    #[serde(default)]
    languages: Vec<String>,
    #[serde(default)]
    code: Option<String>,
}

impl Wire for Flux {
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

    fn greets(&self) -> bool {
        true
    }

    /// There is no message for it, and a turn dangles without audio.
    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Silence
    }

    // No `finalize`: `ForceEndTurn` would be it, but it ends the turn, and the call asks to finalize at every pause. The model's
    // judgement, which is what this provider is chosen for, would never be heard; where the call decides first, it takes the text
    // of the last update.

    fn farewell(&self) -> Option<&'static str> {
        Some(r#"{"type":"CloseStream"}"#)
    }

    fn read(&mut self, text: &str, _sent_secs: f64, heard: &mut Vec<Heard>) -> Result<(), serde_json::Error> {
        let message: Message = serde_json::from_str(text)?;
        match &*message.kind {
            "TurnInfo" => turn(message, heard),
            "Connected" => heard.push(Heard::Ready),
            "ConfigureSuccess" | "ConfigureFailure" => {}
            "Error" => {
                let cause = crate::provider::code_or_error(message.code);
                heard.push(Heard::Failed(ProviderError::Cut { cause }));
            }
            _ => heard.push(Heard::Unknown),
        }
        Ok(())
    }
}

fn turn(message: Message, heard: &mut Vec<Heard>) {
    let interim = |heard: &mut Vec<Heard>| {
        if !message.transcript.is_empty() {
            heard.push(Heard::Interim { text: message.transcript.clone(), until: message.audio_window_end });
        }
    };
    match &*message.event {
        "Update" => interim(heard),
        "StartOfTurn" => {
            heard.push(Heard::SpeechStarted(message.audio_window_start));
            interim(heard);
        }
        "EagerEndOfTurn" => {
            interim(heard);
            heard.push(Heard::EagerEndOfTurn);
        }
        "TurnResumed" => {
            heard.push(Heard::TurnResumed);
            interim(heard);
        }
        "EndOfTurn" => {
            heard.push(Heard::Final(Segment {
                text: message.transcript,
                start: message.audio_window_start,
                end: message.audio_window_end,
                confidence: message.end_of_turn_confidence,
                speech_final: true,
                from_finalize: false,
                languages: message.languages,
            }));
            heard.push(Heard::EndOfTurn);
        }
        _ => heard.push(Heard::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flux(language: &str) -> Flux {
        let options = Options { language: language.into(), keyterms: vec!["Whitefield".into()], ..Options::default() };
        Flux::new(&"wss://api.in.deepgram.com".parse().unwrap(), &"k".into(), None, &options)
    }

    fn read(text: &str) -> Vec<Heard> {
        let mut heard = Vec::new();
        flux("en").read(text, 0.0, &mut heard).unwrap();
        heard
    }

    fn turn_info(event: &str, transcript: &str) -> String {
        serde_json::json!({"type": "TurnInfo", "request_id": "r", "sequence_id": 11, "event": event, "turn_index": 0,
            "audio_window_start": 0.5, "audio_window_end": 1.9, "transcript": transcript,
            "words": [{"word": "Hi", "confidence": 0.98, "start": 0.1, "end": 0.3}], "end_of_turn_confidence": 0.83,
            "trigger": "model", "languages": ["en"], "languages_hinted": ["en", "hi"]})
        .to_string()
    }

    #[test]
    fn the_model_follows_the_language_and_is_told_which_to_expect() {
        let english = flux("en-IN");
        assert_eq!(english.url.path(), "/v2/listen");
        assert!(
            english
                .url
                .as_str()
                .contains("model=flux-general-en&encoding=linear16&sample_rate=8000&eager_eot_threshold=0.5")
        );
        assert!(!english.url.as_str().contains("language_hint"));
        let mixed = flux("hi-en");
        assert!(mixed.url.as_str().contains("model=flux-general-multi"), "{}", mixed.url);
        assert!(mixed.url.as_str().ends_with("keyterm=Whitefield&language_hint=hi&language_hint=en"), "{}", mixed.url);
    }

    #[test]
    fn a_turn_starts_ends_eagerly_resumes_and_ends() {
        let interim = |text: &str| Heard::Interim { text: text.into(), until: 1.9 };
        assert_eq!(read(&turn_info("StartOfTurn", "Hi")), [Heard::SpeechStarted(0.5), interim("Hi")]);
        assert_eq!(read(&turn_info("Update", "")), []);
        assert_eq!(read(&turn_info("EagerEndOfTurn", "Hi I need")), [interim("Hi I need"), Heard::EagerEndOfTurn]);
        assert_eq!(read(&turn_info("TurnResumed", "Hi I need")), [Heard::TurnResumed, interim("Hi I need")]);
        let end = read(&turn_info("EndOfTurn", "Hi I need to cancel"));
        let [Heard::Final(segment), Heard::EndOfTurn] = &end[..] else { panic!("{end:?}") };
        assert_eq!(
            (&*segment.text, segment.start, segment.end, segment.speech_final),
            ("Hi I need to cancel", 0.5, 1.9, true)
        );
    }

    #[test]
    fn an_error_is_fatal_and_the_rest_is_tolerated() {
        let error = read(r#"{"type":"Error","sequence_id":9,"code":"INTERNAL_SERVER_ERROR","description":"d"}"#);
        assert!(
            matches!(&error[..], [Heard::Failed(ProviderError::Cut { cause })] if cause == "INTERNAL_SERVER_ERROR")
        );
        let quoting = read(r#"{"type":"Error","sequence_id":9,"code":"you said hello","description":"d"}"#);
        assert!(matches!(&quoting[..], [Heard::Failed(ProviderError::Cut { cause })] if cause == "error"));
        assert_eq!(read(r#"{"type":"Connected","request_id":"r","sequence_id":0}"#), [Heard::Ready]);
        assert_eq!(
            read(r#"{"type":"ConfigureFailure","request_id":"r","sequence_id":6,"code":"C","description":"d"}"#),
            []
        );
        assert_eq!(
            read(r#"{"type":"Warning","request_id":"r","sequence_id":7,"code":"W","description":"d"}"#),
            [Heard::Unknown]
        );
        assert_eq!(read(&turn_info("SomethingNew", "x")), [Heard::Unknown]);
        assert!(flux("en").read("nonsense", 0.0, &mut Vec::new()).is_err());
    }
}
