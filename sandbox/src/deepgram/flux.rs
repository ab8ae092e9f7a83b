//! Deepgram's Flux, `GET /v2/listen`: turns instead of segments. A pause of 250 ms is an eager end, one of 500 ms the end; words in
//! between resume the turn. Its faults are those of [`crate::listening`] under `flux`, and of a connection:
//!
//! | Name | What happens |
//! |---|---|
//! | `flux.timeout` | its turns end by the time that passed, and say so |
//! | `flux.configure_failure` | a `Configure` fails |

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State, WebSocketUpgrade, ws::Message, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{handshake::admit, wire};
use crate::{
    listening::{Asked, Dialect, Listening, pcm},
    speech::{
        HeardWord,
        recogniser::{Manner, Recogniser, Verdict},
        script, ulaw,
    },
    world::World,
};

const EAGER_MS: u64 = 250;
const END_MS: u64 = 500;
/// As `/v1/listen`.
const IDLE: Duration = Duration::from_secs(10);

pub(super) async fn listen(
    State(world): State<Arc<World>>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    let request_id = wire::uuid();
    let query = match admit(&world, &headers, &raw, "flux.refuse", Query::parse) {
        Ok(query) => query,
        Err(refusal) => return refusal.answer(&world, "flux", "stream.refused", &raw, &request_id),
    };
    world.faults.slow_accept("flux", &raw).await;
    match upgrade {
        Err(rejection) => rejection.into_response(),
        Ok(upgrade) => {
            let manner = Manner {
                interim_every_ms: Some(250),
                endpointing_ms: Some(EAGER_MS),
                utterance_end_ms: None,
                english_only: !query.multilingual,
            };
            let recogniser = Recogniser::new(world.speech.ear(), manner);
            let mut flux = Flux::new(query, request_id);
            flux.times_out = world.faults.take("flux.timeout", &raw).is_some();
            flux.refuses_to_change = world.faults.take("flux.configure_failure", &raw).is_some();
            let session = Listening::new(world, flux, recogniser, raw, IDLE);
            upgrade.on_upgrade(move |socket| Box::pin(session.run(socket)))
        }
    }
}

struct Query {
    mulaw: bool,
    eager: bool,
    multilingual: bool,
    /// Languages that the client expects, as it named them.
    hints: Vec<String>,
}

impl Query {
    fn parse(raw: &str) -> Result<Self, String> {
        let mut query = Self { mulaw: false, eager: false, multilingual: false, hints: Vec::new() };
        let (mut model, mut encoding, mut rate) = (false, false, false);
        // As documented, where nothing is asked.
        let (mut end, mut eager) = (0.7, None::<f64>);
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            let within = |low: f64, high: f64| value.parse::<f64>().is_ok_and(|number| (low..=high).contains(&number));
            let fine = match &*name {
                "model" => {
                    model = true;
                    query.multilingual = value == "flux-general-multi";
                    matches!(&*value, "flux-general-en" | "flux-general-multi")
                }
                "encoding" => {
                    encoding = true;
                    query.mulaw = value == "mulaw";
                    matches!(&*value, "linear16" | "mulaw")
                }
                "sample_rate" => {
                    rate = true;
                    value == "8000"
                }
                "eot_threshold" => {
                    end = value.parse().unwrap_or(end);
                    within(0.5, 1.0)
                }
                "eager_eot_threshold" => {
                    query.eager = true;
                    eager = value.parse().ok();
                    within(0.3, 0.9)
                }
                "eot_timeout_ms" => within(500.0, 60_000.0),
                "keyterm" | "tag" | "redact" => true,
                "language_hint" => {
                    query.hints.push(value.clone().into_owned());
                    raw.contains("flux-general-multi")
                }
                "numerals" | "profanity_filter" | "mip_opt_out" => matches!(&*value, "true" | "false"),
                _ => return Err(format!("unknown query parameter `{name}`")),
            };
            if !fine {
                return Err(format!("`{name}` may not be `{value}`"));
            }
        }
        if eager.is_some_and(|eager| eager > end) {
            return Err("`eager_eot_threshold` may not be above `eot_threshold`".into());
        }
        if model && encoding && rate {
            Ok(query)
        } else {
            Err("`model`, `encoding` and `sample_rate` are required".into())
        }
    }
}

struct Flux {
    query: Query,
    request_id: String,
    sequence: u64,
    turn: u64,
    /// When the open turn began, in ms of audio.
    open: Option<u64>,
    /// Words of the open turn that will not change.
    said: Vec<HeardWord>,
    /// When the turn was eagerly taken to be over.
    eager_at_ms: Option<u64>,
    times_out: bool,
    refuses_to_change: bool,
}

impl Flux {
    fn new(query: Query, request_id: String) -> Self {
        let (said, eager_at_ms) = (Vec::new(), None);
        let (times_out, refuses_to_change) = (false, false);
        Self { query, request_id, sequence: 0, turn: 0, open: None, said, eager_at_ms, times_out, refuses_to_change }
    }

    fn message(&mut self, mut message: Value) -> Value {
        message["request_id"] = json!(self.request_id);
        message["sequence_id"] = json!(self.sequence);
        self.sequence += 1;
        message
    }

    fn turn_info(&mut self, event: &str, more: &[HeardWord], now_ms: u64) -> Value {
        let words: Vec<&HeardWord> = self.said.iter().chain(more).collect();
        let secs = |ms: u64| ms as f64 / 1_000.0;
        let listed: Vec<Value> = words
            .iter()
            .map(|w| json!({ "word": w.word, "confidence": 0.98, "start": secs(w.start_ms), "end": secs(w.end_ms) }))
            .collect();
        let line: Vec<&str> = words.iter().map(|w| w.word.as_str()).collect();
        let mut info = json!({
            "type": "TurnInfo", "event": event, "turn_index": self.turn,
            "audio_window_start": secs(self.open.unwrap_or(now_ms)), "audio_window_end": secs(now_ms),
            "transcript": line.join(" "), "words": listed, "end_of_turn_confidence": if event.ends_with("EndOfTurn") { 0.83 } else { 0.1 },
        });
        if self.query.multilingual {
            info["languages"] = json!(script::languages(line.iter().copied()));
            info["languages_hinted"] = json!(self.query.hints);
        }
        self.message(info)
    }

    fn end(&mut self, trigger: &str, now_ms: u64, out: &mut Vec<Value>) {
        let mut info = self.turn_info("EndOfTurn", &[], now_ms);
        info["trigger"] = json!(if self.times_out { "timeout" } else { trigger });
        out.push(info);
        (self.open, self.eager_at_ms) = (None, None);
        self.said.clear();
        self.turn += 1;
    }
}

impl Dialect for Flux {
    fn service(&self) -> &'static str {
        "flux"
    }

    fn hello(&mut self) -> Vec<Value> {
        vec![self.message(json!({ "type": "Connected" }))]
    }

    fn read(&mut self, message: Message) -> Asked {
        let command = match message {
            Message::Binary(bytes) if self.query.mulaw => {
                return Asked::Audio(bytes.iter().map(|code| ulaw::decode(*code)).collect());
            }
            Message::Binary(bytes) => return Asked::Audio(pcm(&bytes)),
            Message::Text(text) => serde_json::from_str::<Value>(&text).unwrap_or(Value::Null),
            _ => return Asked::Nothing,
        };
        match command["type"].as_str() {
            Some("CloseStream") => Asked::Farewell,
            Some("ForceEndTurn") => Asked::Finalize,
            Some("Configure") => {
                if self.refuses_to_change {
                    let failure = json!({ "type": "ConfigureFailure", "code": "CONFIGURE_INTERNAL_ERROR",
                        "description": "refused by a fault" });
                    return Asked::Answer(self.message(failure));
                }
                let thresholds = command["thresholds"].clone();
                Asked::Answer(self.message(json!({ "type": "ConfigureSuccess", "thresholds": thresholds })))
            }
            // KeepAlive and Finalize are of the first version.
            _ => {
                let error =
                    json!({ "type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "unknown message" });
                Asked::Wrong { told: Some(self.message(error)), code: 1008, reason: "UNPARSABLE_CLIENT_MESSAGE".into() }
            }
        }
    }

    fn tell(&mut self, verdict: &Verdict, now_ms: u64, out: &mut Vec<Value>) {
        match verdict {
            Verdict::SpeechStarted { .. } => {
                if self.eager_at_ms.take().is_some() && self.query.eager {
                    out.push(self.turn_info("TurnResumed", &[], now_ms));
                }
            }
            Verdict::UtteranceEnd { .. } => {}
            Verdict::Interim(segment) => {
                let event = match (self.open, self.eager_at_ms.take()) {
                    (None, _) => {
                        self.open = Some(segment.start_ms);
                        "StartOfTurn"
                    }
                    (Some(_), Some(_)) if self.query.eager => "TurnResumed",
                    _ => "Update",
                };
                out.push(self.turn_info(event, &segment.words, now_ms));
            }
            Verdict::Final { segment, speech_final, from_finalize } => {
                if segment.words.is_empty() && self.said.is_empty() {
                    return;
                }
                if self.open.is_none() {
                    self.open = Some(segment.start_ms);
                    out.push(self.turn_info("StartOfTurn", &segment.words, now_ms));
                }
                if self.eager_at_ms.take().is_some() && self.query.eager {
                    out.push(self.turn_info("TurnResumed", &segment.words, now_ms));
                }
                self.said.extend(segment.words.iter().cloned());
                if *from_finalize {
                    self.end("manual", now_ms, out);
                } else if *speech_final {
                    self.eager_at_ms = Some(now_ms);
                    if self.query.eager {
                        out.push(self.turn_info("EagerEndOfTurn", &[], now_ms));
                    }
                }
            }
        }
    }

    fn tick(&mut self, now_ms: u64, out: &mut Vec<Value>) {
        if self.eager_at_ms.is_some_and(|at| now_ms >= at + (END_MS - EAGER_MS)) {
            self.end("model", now_ms, out);
        }
    }

    fn farewell(&mut self, now_ms: u64) -> Vec<Value> {
        let mut out = Vec::new();
        if self.open.is_some() {
            self.end("manual", now_ms, &mut out);
        }
        out
    }

    fn error(&mut self) -> (Value, u16) {
        let error = json!({ "type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "broken by a fault" });
        (self.message(error), 1011)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::SpeechBank;

    #[tokio::test]
    async fn a_pause_ends_a_turn_eagerly_words_resume_it_and_a_longer_pause_ends_it() {
        let bank = SpeechBank::tones();
        let (one, two) = (bank.say("Hi I need", "kal").await, bank.say("to cancel my visit", "kal").await);
        let manner = Manner {
            interim_every_ms: Some(250),
            endpointing_ms: Some(EAGER_MS),
            utterance_end_ms: None,
            english_only: false,
        };
        let mut recogniser = Recogniser::new(bank.ear(), manner);
        let query =
            Query::parse("model=flux-general-en&encoding=linear16&sample_rate=8000&eager_eot_threshold=0.5").unwrap();
        let mut flux = Flux::new(query, "r".into());
        let audio = [&one.pcm[..], &vec![0; 8 * 300], &two.pcm, &vec![0; 8 * 1_500]].concat();
        let mut events = Vec::new();
        for chunk in audio.chunks(400) {
            for verdict in recogniser.hear(chunk) {
                flux.tell(&verdict, recogniser.now_ms(), &mut events);
            }
            flux.tick(recogniser.now_ms(), &mut events);
        }
        let mut names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        names.retain(|name| *name != "Update");
        assert_eq!(
            names,
            ["StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EagerEndOfTurn", "EndOfTurn"],
            "{events:?}"
        );
        let transcript = |at: usize| events[at]["transcript"].as_str().unwrap();
        assert_eq!(transcript(events.len() - 1), "Hi I need to cancel my visit");
        assert_eq!(transcript(events.len() - 1), transcript(events.len() - 2), "the end says what the eager end said");
    }

    #[test]
    fn the_second_version_refuses_what_the_first_one_takes() {
        let good = "model=flux-general-multi&encoding=mulaw&sample_rate=8000&language_hint=hi&keyterm=a&keyterm=b";
        assert!(Query::parse(good).is_ok());
        assert!(Query::parse(&format!("{good}&eager_eot_threshold=0.8&eot_threshold=0.8")).is_ok());
        for bad in ["&eager_eot_threshold=0.8", "&eager_eot_threshold=0.6&eot_threshold=0.5"] {
            assert!(Query::parse(&format!("{good}{bad}")).is_err_and(|error| error.contains("above")), "{bad}");
        }
        for bad in ["&interim_results=true", "&endpointing=300", "&eager_eot_threshold=0.1", "&model=nova-3"] {
            assert!(Query::parse(&format!("{good}{bad}")).is_err(), "{bad}");
        }
    }
}
