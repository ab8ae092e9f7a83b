//! What the dialogue wants done. The driver performs each at once and never awaits the network while doing so.

use std::sync::Arc;

use serde::Serialize;
use shared::agent_tool::ToolSpec;
use shared::conversation_event::{CallEvent, EndReason};

use super::history::Message;
use super::input::{AskId, CallTime, Epoch, StreamEnd};

/// An order to the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Start a streaming request. `messages` is the whole conversation, system prompt first and unchanged through the call
    /// (so that the provider's prompt cache holds); a later `System` message is a note for this request only, which a
    /// client without mid-conversation system messages folds into the last user message.
    /// At most one request runs at a time, speculative or not: cancel comes before the next ask.
    AskLlm { ask: AskId, epoch: Epoch, messages: Vec<Message>, tools: Arc<[ToolSpec]>, speculative: bool },
    /// Drop the request's stream. Nothing is expected back; late results are ignored.
    CancelLlm { ask: AskId },
    /// Run a tool that the dialogue does not know itself (it came in `DialogueSettings::tools`), under the call's life, not
    /// the turn's; answer with `ToolResult` exactly once. `call_id` is its idempotency key.
    RunTool { call_id: String, name: String, arguments: String },

    /// Synthesise this clause after the ones before it and hand its audio to the pacer labelled `epoch`. `clause` rises
    /// within the epoch. A clause is complete: tell the provider to start on it at once (flush). The greeting and the
    /// fixed lines come this way too: look the audio up in the phrase cache by text first.
    Speak { epoch: Epoch, clause: u32, text: String },
    /// No more clauses will come in this epoch: close the provider's context when it is done, then give `TtsDone`. The
    /// pacer pads the tail to a whole frame and sends its end mark when the last sample is out.
    FlushSpeech { epoch: Epoch },
    /// Close the provider's context for this epoch; ignore its late audio.
    CancelSpeech { epoch: Epoch },

    /// Stop feeding the carrier now, forgetting nothing. Audio that is still arriving queues up. Where more than ~100 ms
    /// is already at the carrier, also send `clear` and step back to the heard position: `ResumePlayout` says where to go on.
    /// Also for an epoch without any sound yet (the human goes on while we think): its sound must wait. Comes again with
    /// the first audio in that case.
    PausePlayout { epoch: Epoch },
    /// Go on from this position of the epoch's audio, a word boundary at or before what was heard. A pacer that cannot go
    /// back goes on where it stands.
    ResumePlayout { epoch: Epoch, from_samples: u64 },
    /// Throw away all queued audio of this epoch and all earlier ones, send `clear` to the carrier, void outstanding marks,
    /// and refuse audio of these epochs that arrives later.
    ClearPlayout { epoch: Epoch },

    /// Ask the STT provider to finish its open segment now (`Finalize`, `flush`). Providers without it ignore this.
    FinalizeStt,

    /// A machine may speak: give [`super::Input::Beep`] when its tone is over.
    ListenForBeep,
    /// Fetch the campaign's recording for machines, and give [`super::Input::RecordingReady`] when it can be played.
    PrepareRecording,
    /// Play it as the one clause of this epoch: hand it to the pacer and give its `TtsAudio` and `TtsDone` at once.
    PlayRecording { epoch: Epoch, clause: u32 },

    /// A turn is settled: store it. `seq` rises by one per turn from where the resumed history ended.
    Record(TurnRecord),
    /// The human's words that are final but belong to no settled turn yet, all of them: they replace the last ones, and `None`
    /// takes those back. Once stored they survive this process.
    NoteUnsettled(Option<UnsettledWords>),
    /// What the human has heard so far of the agent's turn, clause by clause; it replaces what was noted of this turn before.
    NoteHeard(UnsettledWords),
    /// The model noted an answer. A later one for the same field replaces it.
    RecordAnswer { field: String, value: String, at: CallTime },
    /// The human asked for a text message. Of each template one goes out per call, however often it is asked for.
    SendMessage { template: String, text: String, dlt_template_id: Option<String> },
    /// For `call_events`.
    Event(CallEvent),
    /// A counter for metrics: `dialogue_<name>_total`.
    Metric(&'static str),

    /// End the call: close the carrier's stream (Exotel goes on with its next applet, Twilio with its TwiML) and see that the
    /// call is really hung up, unless the reason says that it goes on elsewhere.
    HangUp { reason: EndReason },
    /// From the next `Speak` on the voice speaks this language (BCP 47).
    SpeakLanguage { language: String },
    /// Always the very last output, exactly once, whoever ended the call.
    Ended { reason: EndReason },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Agent,
    /// The human: callee of an outbound call, caller of an inbound one.
    Human,
}

/// One settled side of the conversation, with what was **heard** of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnRecord {
    pub seq: u32,
    pub speaker: Speaker,
    pub text: String,
    /// The agent was cut off: `text` ends at the last word heard.
    pub interrupted: bool,
    pub started: CallTime,
    pub ended: CallTime,
    /// On agent turns: how the reply came about.
    pub latency: Latency,
}

/// What has been said for certain since the last settled turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnsettledWords {
    pub text: String,
    pub began: CallTime,
    pub ended: CallTime,
}

/// Instants of one reply, in the order in which they happen. All since the conversation began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Latency {
    /// The human really stopped speaking.
    pub speech_end: Option<CallTime>,
    /// The last final transcript of the human's turn came.
    pub stt_final: Option<CallTime>,
    /// We decided that the human had finished.
    pub end_of_turn: Option<CallTime>,
    pub first_token: Option<CallTime>,
    pub first_clause: Option<CallTime>,
    pub first_tts_byte: Option<CallTime>,
    pub first_frame_sent: Option<CallTime>,
    /// The human's voice began over this reply, and the playout was paused.
    pub barge_in_voice: Option<CallTime>,
    pub barge_in_paused: Option<CallTime>,
    /// The reply was given up: `clear` went out.
    pub barge_in_cleared: Option<CallTime>,
    /// The reply had been started before the end of turn was certain, and was kept.
    pub speculative: bool,
}

impl Latency {
    /// What the human felt: from the end of their speech to the first frame of the answer, in milliseconds.
    pub fn voice_to_voice_ms(&self) -> Option<u64> {
        let (end, frame) = (self.speech_end?, self.first_frame_sent?);
        u64::try_from(frame.since(end).as_millis()).ok()
    }
}

impl From<StreamEnd> for EndReason {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::HungUp => Self::HumanHungUp,
            StreamEnd::Lost => Self::StreamLost,
        }
    }
}
