//! OpenAI's live transcription over its Realtime socket. Slower to a final than the others: a second choice, not a first.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::{
    Options,
    utterances::Utterances,
    wire::{Heard, KeepAlive, Segment, Wire, socket_url},
};
use crate::{
    audio::g711,
    provider::{Provider, ProviderError},
};

/// Silence that ends an utterance, in milliseconds.
const SILENCE_MS: u32 = 300;

/// One call's socket.
pub struct OpenAi {
    url: Url,
    model: String,
    authorization: SecretString,
    hello: String,
    /// By the name of their item: transcripts come late, and in any order.
    utterances: Utterances<String>,
}

impl OpenAi {
    /// At `base_url`, which ends in `/v1`.
    pub fn new(base_url: &Url, api_key: &SecretString, model: &str, options: &Options) -> Self {
        let mut url = socket_url(base_url, "realtime");
        url.query_pairs_mut().append_pair("intent", "transcription");
        let mut transcription = json!({"model": model, "keywords": options.keyterms});
        // Several languages are best left to the model.
        if let [language] = &*options.languages()
            && !language.is_empty()
        {
            transcription["language"] = language.as_str().into();
        }
        // 8 kHz is only taken as G.711.
        let input = json!({"format": {"type": "audio/pcmu"}, "transcription": transcription, "noise_reduction": null,
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                "silence_duration_ms": SILENCE_MS}});
        let hello = json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}});
        Self {
            url,
            model: model.to_owned(),
            authorization: format!("Bearer {}", api_key.expose_secret()).into(),
            hello: hello.to_string(),
            utterances: Utterances::default(),
        }
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    item_id: String,
    #[serde(default)]
    delta: String,
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    audio_start_ms: f64,
    #[serde(default)]
    audio_end_ms: Option<f64>,
}

impl Wire for OpenAi {
    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn address(&self) -> (&Url, HeaderName, &SecretString) {
        (&self.url, AUTHORIZATION, &self.authorization)
    }

    fn begin(&mut self) -> Option<String> {
        self.utterances.forget();
        Some(self.hello.clone())
    }

    fn audio(&mut self, samples: &[i16]) -> Frame {
        let codes: Vec<u8> = samples.iter().map(|sample| g711::encode_ulaw(*sample)).collect();
        Frame::text(format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, STANDARD.encode(codes)))
    }

    /// There is no message for it.
    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::Silence
    }

    fn read(&mut self, text: &str, sent_secs: f64, heard: &mut Vec<Heard>) -> Result<(), serde_json::Error> {
        let message: Message = serde_json::from_str(text)?;
        match &*message.kind {
            "input_audio_buffer.speech_started" => {
                let began = message.audio_start_ms / 1_000.0;
                self.utterances.of(message.item_id).began = Some(began);
                heard.push(Heard::SpeechStarted(began));
            }
            "input_audio_buffer.speech_stopped" => {
                let ended = Some(message.audio_end_ms.map_or(sent_secs, |ms| ms / 1_000.0));
                self.utterances.of(message.item_id).ended = ended;
            }
            "conversation.item.input_audio_transcription.delta" => {
                let utterance = self.utterances.of(message.item_id);
                utterance.text.push_str(&message.delta);
                if !utterance.text.is_empty() {
                    heard.push(Heard::Interim { text: utterance.text.clone(), until: sent_secs });
                }
            }
            "conversation.item.input_audio_transcription.completed" => {
                heard.push(Heard::Final(self.close(&message.item_id, message.transcript.trim(), sent_secs)));
            }
            "conversation.item.input_audio_transcription.failed" => {
                // One utterance is lost, the others go on, unless what is wrong is ours.
                let code = crate::provider::error_code(text.as_bytes()).unwrap_or_else(|| "error".into());
                heard.push(match complaint(code) {
                    ProviderError::Rejected { code } if is_about_the_account(&code) => {
                        Heard::Failed(ProviderError::Rejected { code })
                    }
                    _ => Heard::Final(self.close(&message.item_id, "", sent_secs)),
                });
            }
            "error" => {
                let code = crate::provider::error_code(text.as_bytes()).unwrap_or_else(|| "error".into());
                heard.push(Heard::Failed(complaint(code)));
            }
            "session.created"
            | "session.updated"
            | "input_audio_buffer.committed"
            | "conversation.item.added"
            | "conversation.item.done" => {}
            _ => heard.push(Heard::Unknown),
        }
        Ok(())
    }
}

impl OpenAi {
    fn close(&mut self, item: &String, text: &str, sent_secs: f64) -> Segment {
        let (start, end) = self.utterances.take(item).span(sent_secs);
        Segment { text: text.to_owned(), start, end, confidence: 1.0, speech_final: true, ..Segment::default() }
    }
}

/// No other utterance would be transcribed either.
fn is_about_the_account(code: &str) -> bool {
    matches!(code, "insufficient_quota" | "invalid_api_key" | "model_not_found")
}

fn complaint(code: String) -> ProviderError {
    match &*code {
        "rate_limit_exceeded" => ProviderError::RateLimited { retry_after: None },
        "insufficient_quota" | "invalid_api_key" | "model_not_found" | "invalid_request_error" | "invalid_value" => {
            ProviderError::Rejected { code }
        }
        _ => ProviderError::Cut { cause: code },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn openai() -> OpenAi {
        let options = Options { language: "en-IN".into(), keyterms: vec!["Acme".into()], ..Options::default() };
        OpenAi::new(&"https://api.openai.com/v1".parse().unwrap(), &"k".into(), "gpt-live-transcribe", &options)
    }

    fn read(wire: &mut OpenAi, text: &str, sent: f64) -> Vec<Heard> {
        let mut heard = Vec::new();
        wire.read(text, sent, &mut heard).unwrap();
        heard
    }

    #[test]
    fn the_session_is_declared_before_any_audio() {
        let mut wire = openai();
        assert_eq!(wire.url.as_str(), "wss://api.openai.com/v1/realtime?intent=transcription");
        let hello: Value = serde_json::from_str(&wire.begin().unwrap()).unwrap();
        let expected = json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-live-transcribe", "language": "en", "keywords": ["Acme"]},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 300},
            "noise_reduction": null}}}});
        assert_eq!(hello, expected);
        let Frame::Text(audio) = wire.audio(&[0, 0]) else { panic!("not text") };
        assert_eq!(audio.as_str(), r#"{"type":"input_audio_buffer.append","audio":"//8="}"#);
    }

    #[test]
    fn deltas_add_up_until_the_item_is_completed() {
        let mut wire = openai();
        let started = r#"{"type":"input_audio_buffer.speech_started","audio_start_ms":900,"item_id":"i1"}"#;
        assert_eq!(read(&mut wire, started, 1.0), [Heard::SpeechStarted(0.9)]);
        let delta = |text: &str| {
            json!({"type": "conversation.item.input_audio_transcription.delta", "item_id": "i1", "content_index": 0, "delta": text})
                .to_string()
        };
        read(&mut wire, &delta("who "), 1.4);
        assert_eq!(read(&mut wire, &delta("is"), 1.5), [Heard::Interim { text: "who is".into(), until: 1.5 }]);
        let stopped = r#"{"type":"input_audio_buffer.speech_stopped","audio_end_ms":1800,"item_id":"i1"}"#;
        assert_eq!(read(&mut wire, stopped, 2.1), []);
        let completed = r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i1","content_index":0,
            "transcript":"who is this","usage":{"type":"duration","seconds":1}}"#;
        let heard = read(&mut wire, completed, 2.5);
        assert!(
            matches!(&heard[..], [Heard::Final(s)] if (&*s.text, s.start, s.end) == ("who is this", 0.9, 1.8)),
            "{heard:?}"
        );
    }

    #[test]
    fn the_words_of_one_item_may_come_while_the_next_is_said() {
        let mut wire = openai();
        let mut event = |kind: &str, item: &str, more: Value, sent: f64| {
            let mut message = json!({"type": kind, "item_id": item});
            message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(&mut wire, &message.to_string(), sent)
        };
        let (delta, completed) = (
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
        );
        event("input_audio_buffer.speech_started", "i1", json!({"audio_start_ms": 500}), 0.8);
        event("input_audio_buffer.speech_stopped", "i1", json!({"audio_end_ms": 1_500}), 1.8);
        event("input_audio_buffer.speech_started", "i2", json!({"audio_start_ms": 2_000}), 2.3);
        assert_eq!(event(delta, "i2", json!({"delta": "a"}), 2.5), [Heard::Interim { text: "a".into(), until: 2.5 }]);
        assert_eq!(
            event(delta, "i1", json!({"delta": "yes"}), 2.6),
            [Heard::Interim { text: "yes".into(), until: 2.6 }]
        );
        assert_eq!(
            event(delta, "i2", json!({"delta": " flat"}), 2.7),
            [Heard::Interim { text: "a flat".into(), until: 2.7 }]
        );
        event("input_audio_buffer.speech_stopped", "i2", json!({"audio_end_ms": 2_900}), 3.2);
        for (item, said, start, end) in [("i1", "yes", 0.5, 1.5), ("i2", "a flat", 2.0, 2.9)] {
            let heard = event(completed, item, json!({"transcript": said}), 3.5);
            assert!(
                matches!(&heard[..], [Heard::Final(s)] if (&*s.text, s.start, s.end) == (said, start, end)),
                "{heard:?}"
            );
        }
    }

    #[test]
    fn errors_are_sorted_by_their_code() {
        let kind = |text: &str| match &read(&mut openai(), text, 0.0)[..] {
            [Heard::Failed(error)] => error.kind(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            kind(r#"{"type":"error","error":{"type":"invalid_request_error","code":"invalid_api_key","message":"m"}}"#),
            "rejected"
        );
        assert_eq!(kind(r#"{"type":"error","error":{"type":"server_error","code":null,"message":"m"}}"#), "cut");
        let failed = |code: &str| {
            json!({"type": "conversation.item.input_audio_transcription.failed", "item_id": "i",
                "error": {"type": "t", "code": code}})
            .to_string()
        };
        assert_eq!(kind(&failed("insufficient_quota")), "rejected");
        let lost = read(&mut openai(), &failed("audio_unintelligible"), 2.0);
        assert!(matches!(&lost[..], [Heard::Final(s)] if s.text.is_empty() && s.speech_final), "{lost:?}");
        assert_eq!(read(&mut openai(), r#"{"type":"rate_limits.updated"}"#, 0.0), [Heard::Unknown]);
    }
}
