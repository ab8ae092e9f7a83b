//! OpenAI's Realtime socket, as it is spoken: addresses and messages. No sockets, no clock.
//!
//! Sound is µ-law both ways, the telephone's own. The server hears the ends of turns and answers them by itself (a question about it
//! would cost a round trip per turn), but it never stops itself: who may be interrupted is decided on our side.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    audio::g711,
    dialogue::{Epoch, Speaker, ToolSpec},
    provider::ProviderError,
    stt::wire::{language_parts, socket_url},
};

/// Silence that ends the human's turn, in milliseconds.
const SILENCE_MS: u32 = 500;
/// Of one answer: some minutes of speech, which nobody should have to listen to.
const MAX_OUTPUT_TOKENS: u32 = 4_096;
/// The key under which a request of ours is recognised in what the server says of its response.
const PURPOSE: &str = "epoch";

/// Whom to connect to, and what does not change in a call.
#[derive(Clone)]
pub struct Address {
    /// With the model.
    pub url: Url,
    /// The header's value.
    pub authorization: SecretString,
    /// As the provider names it.
    pub model: String,
    /// As the provider names it.
    pub voice: String,
    /// Writes down what the human says.
    pub transcriber: String,
    /// BCP 47; empty where several may be spoken.
    pub language: String,
}

impl Address {
    /// At `base_url`, which ends in `/v1`.
    pub fn new(
        base_url: &Url,
        api_key: &SecretString,
        model: &str,
        voice: &str,
        transcriber: &str,
        language: &str,
    ) -> Self {
        let mut url = socket_url(base_url, "realtime");
        url.query_pairs_mut().append_pair("model", model);
        Self {
            url,
            authorization: format!("Bearer {}", api_key.expose_secret()).into(),
            model: model.to_owned(),
            voice: voice.to_owned(),
            transcriber: transcriber.to_owned(),
            language: language.to_owned(),
        }
    }
}

/// What the model is told when a socket opens.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The system prompt.
    pub instructions: String,
    /// All it may call.
    pub tools: std::sync::Arc<[ToolSpec]>,
    /// The conversation so far, as it was heard.
    pub items: Vec<Item>,
}

/// One item of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// What somebody said.
    Said(Speaker, String),
    /// For the model alone.
    Note(String),
    /// The answer to a call.
    Output {
        /// As the model named it.
        call_id: String,
        /// Text, JSON where it is data.
        output: String,
    },
}

/// Something to tell the server.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// Adds to the conversation.
    Create(Item),
    /// Only so much of an item has been heard: the model forgets the rest.
    Truncate {
        /// The item.
        item_id: String,
        /// Since its beginning.
        audio_end_ms: u64,
    },
    /// Ask for an answer.
    Ask {
        /// The reply it is for.
        epoch: Epoch,
        /// Exactly these words, and no call.
        exactly: Option<String>,
    },
    /// Another system prompt from here on.
    Instruct(String),
    /// The human's turn is over, whatever the server hears.
    Commit,
    /// Stop making an answer.
    Cancel {
        /// Which.
        response_id: String,
    },
}

/// What the server says.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent {
    /// The session is as we asked.
    Ready,
    SpeechStarted {
        item_id: String,
    },
    SpeechStopped {
        item_id: String,
        /// How long the speech was, where both ends were told.
        speech_ms: Option<u64>,
    },
    /// The human's turn is over, and the server begins to answer it.
    Committed {
        item_id: String,
    },
    /// More of what the human said.
    TranscriptDelta {
        item_id: String,
        delta: String,
    },
    Transcribed {
        item_id: String,
        text: String,
    },
    NotTranscribed {
        item_id: String,
    },
    /// `epoch`: it answers a request of ours, and not what the human said.
    ResponseCreated {
        response_id: String,
        epoch: Option<Epoch>,
    },
    /// More of an item's sound; the samples do not come here.
    Audio {
        response_id: String,
        item_id: String,
        samples: u32,
    },
    /// More of an item's words.
    TextDelta {
        response_id: String,
        item_id: String,
        delta: String,
    },
    /// All of an item's words.
    Text {
        response_id: String,
        item_id: String,
        text: String,
    },
    Call {
        response_id: String,
        call_id: String,
        name: String,
        arguments: String,
    },
    ResponseDone {
        response_id: String,
        status: Status,
        usage: Option<Usage>,
    },
    /// The session goes on.
    Complaint {
        code: String,
    },
    /// It does not.
    Failed(ProviderError),
    /// Nothing that changes anything.
    Noted,
    /// Nothing this version knows.
    Unknown,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Completed,
    Cancelled,
    /// Cut at its longest, or by a filter.
    Incomplete,
    Failed,
}

/// What an answer is charged for. Cached tokens are not among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub audio_in: u64,
    pub text_in: u64,
    pub cached: u64,
    pub audio_out: u64,
    pub text_out: u64,
}

/// The first message on a socket.
pub fn session_update(address: &Address, session: &Session) -> String {
    let mut transcription = json!({"model": address.transcriber});
    let (base, rest) = language_parts(&address.language);
    // Mixed speech is best left to the model.
    if !base.is_empty() && !rest.eq_ignore_ascii_case("en") {
        transcription["language"] = base.into();
    }
    let tools: Vec<Value> = session
        .tools
        .iter()
        .map(|tool| {
            json!({"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters})
        })
        .collect();
    let turn_detection = json!({"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
        "silence_duration_ms": SILENCE_MS, "create_response": true, "interrupt_response": false});
    json!({"type": "session.update", "session": {
        "type": "realtime",
        "instructions": session.instructions,
        "output_modalities": ["audio"],
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": turn_detection, "transcription": transcription,
                "noise_reduction": null},
            "output": {"format": {"type": "audio/pcmu"}, "voice": address.voice},
        },
        "tools": tools,
        "tool_choice": "auto",
        "max_output_tokens": MAX_OUTPUT_TOKENS,
    }})
    .to_string()
}

/// 8 kHz samples, never empty.
pub fn append(samples: &[i16]) -> String {
    let codes: Vec<u8> = samples.iter().map(|sample| g711::encode_ulaw(*sample)).collect();
    format!(r#"{{"type":"input_audio_buffer.append","audio":"{}"}}"#, STANDARD.encode(codes))
}

impl Item {
    fn json(&self) -> Value {
        let message = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
        match self {
            Self::Said(Speaker::Human, text) => message("user", "input_text", text),
            Self::Said(Speaker::Agent, text) => message("assistant", "output_text", text),
            Self::Note(text) => message("system", "input_text", text),
            Self::Output { call_id, output } => {
                json!({"type": "function_call_output", "call_id": call_id, "output": output})
            }
        }
    }
}

impl ClientEvent {
    /// As it is sent.
    pub fn text(&self) -> String {
        match self {
            Self::Create(item) => json!({"type": "conversation.item.create", "item": item.json()}),
            Self::Truncate { item_id, audio_end_ms } => {
                json!({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms})
            }
            Self::Ask { epoch: Epoch(epoch), exactly } => {
                let mut response = json!({"metadata": {PURPOSE: epoch.to_string()}});
                if let Some(words) = exactly {
                    response["instructions"] = format!(
                        "Say exactly the following words, in their language, and nothing else. Add nothing, leave nothing out:\n{words}"
                    )
                    .into();
                    response["tool_choice"] = "none".into();
                }
                json!({"type": "response.create", "response": response})
            }
            Self::Instruct(instructions) => {
                json!({"type": "session.update", "session": {"type": "realtime", "instructions": instructions}})
            }
            Self::Commit => json!({"type": "input_audio_buffer.commit"}),
            Self::Cancel { response_id } => json!({"type": "response.cancel", "response_id": response_id}),
        }
        .to_string()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    item_id: String,
    response_id: String,
    call_id: String,
    name: String,
    arguments: String,
    delta: String,
    transcript: String,
    audio_start_ms: u64,
    audio_end_ms: u64,
    response: Value,
    error: Value,
}

/// Reads what one socket says. Remembers only where speech began.
#[derive(Debug, Default)]
pub struct Reader {
    speech_began_ms: Option<u64>,
}

impl Reader {
    /// Reads one message; the sound of [`ServerEvent::Audio`] is left in `codes`, as µ-law.
    ///
    /// # Errors
    /// It is not a message, or its sound is not base64.
    pub fn read(&mut self, text: &str, codes: &mut Vec<u8>) -> Result<ServerEvent, Malformed> {
        let message: Message = serde_json::from_str(text).map_err(|_invalid| Malformed)?;
        let Message { item_id, response_id, .. } = message;
        Ok(match message.kind.as_str() {
            "session.updated" => ServerEvent::Ready,
            "input_audio_buffer.speech_started" => {
                self.speech_began_ms = Some(message.audio_start_ms);
                ServerEvent::SpeechStarted { item_id }
            }
            "input_audio_buffer.speech_stopped" => {
                let began = self.speech_began_ms.take();
                let speech_ms = began.map(|began| message.audio_end_ms.saturating_sub(began));
                ServerEvent::SpeechStopped { item_id, speech_ms }
            }
            "input_audio_buffer.committed" => ServerEvent::Committed { item_id },
            "conversation.item.input_audio_transcription.delta" => {
                ServerEvent::TranscriptDelta { item_id, delta: message.delta }
            }
            "conversation.item.input_audio_transcription.completed" => {
                ServerEvent::Transcribed { item_id, text: message.transcript.trim().to_owned() }
            }
            "conversation.item.input_audio_transcription.failed" => ServerEvent::NotTranscribed { item_id },
            "response.created" => {
                let epoch = message.response["metadata"][PURPOSE].as_str().and_then(|epoch| epoch.parse().ok());
                ServerEvent::ResponseCreated { response_id: id_of(&message.response), epoch: epoch.map(Epoch) }
            }
            "response.output_audio.delta" => {
                codes.clear();
                STANDARD.decode_vec(message.delta.as_bytes(), codes).map_err(|_invalid| Malformed)?;
                let samples = u32::try_from(codes.len()).unwrap_or(u32::MAX);
                ServerEvent::Audio { response_id, item_id, samples }
            }
            "response.output_audio_transcript.delta" => {
                ServerEvent::TextDelta { response_id, item_id, delta: message.delta }
            }
            "response.output_audio_transcript.done" => {
                ServerEvent::Text { response_id, item_id, text: message.transcript }
            }
            "response.function_call_arguments.done" => ServerEvent::Call {
                response_id,
                call_id: message.call_id,
                name: message.name,
                arguments: message.arguments,
            },
            "response.done" => ServerEvent::ResponseDone {
                response_id: id_of(&message.response),
                status: match message.response["status"].as_str() {
                    Some("cancelled") => Status::Cancelled,
                    Some("incomplete") => Status::Incomplete,
                    Some("failed") => Status::Failed,
                    _ => Status::Completed,
                },
                usage: usage(&message.response["usage"]),
            },
            "error" => complaint(text, &message.error),
            "session.created"
            | "conversation.item.added"
            | "conversation.item.done"
            | "conversation.item.truncated"
            | "response.output_item.added"
            | "response.output_item.done"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.output_audio.done"
            | "response.function_call_arguments.delta"
            | "input_audio_buffer.cleared"
            | "input_audio_buffer.timeout_triggered"
            | "input_audio_buffer.dtmf_event_received"
            | "rate_limits.updated" => ServerEvent::Noted,
            _ => ServerEvent::Unknown,
        })
    }
}

/// Not one of the server's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

fn id_of(response: &Value) -> String {
    response["id"].as_str().unwrap_or_default().to_owned()
}

fn usage(usage: &Value) -> Option<Usage> {
    let (input, output) = (usage.get("input_token_details")?, usage.get("output_token_details")?);
    let count = |details: &Value, name: &str| details[name].as_u64().unwrap_or(0);
    let cached = count(input, "cached_tokens");
    // Where the cached ones are not told apart they are the prompt's first: text, then sound.
    let cached_text = input["cached_tokens_details"]["text_tokens"].as_u64();
    let text = count(input, "text_tokens");
    let cached_text = cached_text.unwrap_or(cached.min(text));
    Some(Usage {
        audio_in: count(input, "audio_tokens").saturating_sub(cached.saturating_sub(cached_text)),
        text_in: text.saturating_sub(cached_text),
        cached,
        audio_out: count(output, "audio_tokens"),
        text_out: count(output, "text_tokens"),
    })
}

/// Most errors are about one message of ours; what is wrong with the account, or with the server, ends the session.
fn complaint(text: &str, error: &Value) -> ServerEvent {
    let code = crate::provider::error_code(text.as_bytes()).unwrap_or_else(|| "error".into());
    match (code.as_str(), error["type"].as_str()) {
        ("insufficient_quota" | "invalid_api_key" | "model_not_found", _) => {
            ServerEvent::Failed(ProviderError::Rejected { code })
        }
        ("session_expired" | "server_error", _) | (_, Some("server_error")) => {
            ServerEvent::Failed(ProviderError::Cut { cause: code })
        }
        _ => ServerEvent::Complaint { code },
    }
}

#[cfg(test)]
mod tests;
