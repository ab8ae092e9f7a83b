//! What the agent does, decided from what happened. No sockets, no clock, no tasks.
//!
//! Invariant: give one input, then drain [`Dialogue::poll_output`] to `None`, then give the next. Sleep until
//! [`Dialogue::deadline`] and give [`Input::Deadline`] when it has come.

pub mod history;
pub mod input;
pub mod output;
pub mod settings;

use std::collections::BTreeMap;

use serde::Serialize;

pub use history::{History, Message, ToolCall};
pub use input::{AskId, CallTime, CharAt, Epoch, Input, LlmFailure, LlmFinish, StreamEnd, ToolOutcome};
pub use output::{CallEvent, EndReason, Evidence, Latency, Output, Speaker, ToolSpec, TurnRecord};
pub use settings::{BargeInSettings, DialogueSettings, EndpointingSettings, Facts, Limits, Opening};

/// Where the conversation is. Derived from the state on every call, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for the human's hello.
    Opening,
    /// Nobody speaks; it is the human's turn.
    Listening,
    /// The human speaks, or just stopped.
    Heard,
    /// Their turn is over; no sound of the answer yet.
    Thinking,
    Speaking,
    /// Playout paused on suspicion of a barge-in.
    Ducked,
    /// The goodbye is playing.
    Closing,
    Ended,
}

/// Why the driver should wake the dialogue, for logs and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    HelloAwaited,
    FinalizeStt,
    EndOfTurn,
    NothingTranscribed,
    TurnTooLong,
    HumanSilent,
    FirstTokenLate,
    NextTokenLate,
    ToolLate,
    FirstAudioLate,
    PlayoutStuck,
    BargeInConfirmed,
    BargeInForgotten,
    GoodbyeDrained,
    TranscriptDown,
    Draining,
    WrapUp,
    TimeForGoodbye,
    MaxDuration,
}

/// For the sessions view and the log's last line. Holds spoken words nowhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    pub phase: Phase,
    /// Of the playbook: `intro`, `qualification`, `site_visit`, `closing`.
    pub stage: String,
    pub collected: BTreeMap<String, String>,
    pub human_turns: u32,
    pub agent_turns: u32,
    pub barge_ins: u32,
    /// Tokens and speech are on their way, or the human is being waited for.
    pub waiting_for_human: bool,
    pub last_activity: CallTime,
    pub do_not_call: bool,
}

/// One conversation.
pub struct Dialogue {
    _settings: DialogueSettings,
}

impl Dialogue {
    /// `resume`: the stored turns of a conversation whose stream was lost; it goes on with a short bridge, not the greeting.
    pub fn new(settings: DialogueSettings, resume: Option<History>) -> Self;

    /// Takes one input. Never fails, whatever arrives in whatever order.
    pub fn handle(&mut self, now: CallTime, input: Input);

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output>;

    /// When to give [`Input::Deadline`] if nothing else happens before. Always later than the last `handle`, always there
    /// until the dialogue has ended.
    pub fn deadline(&self) -> Option<(CallTime, Reason)>;

    pub fn snapshot(&self) -> Snapshot;
}
