//! What can happen to a conversation.
//!
//! The driver (`session.rs`) turns everything the world does into one of these. Three rules for it:
//!
//! 1. **Every asynchronous result carries its identity**: [`AskId`] for the language model, [`Epoch`] and clause index for
//!    speech and playout. The dialogue drops stale ones itself, in one place; the driver never has to decide.
//! 2. **Give inputs in the order in which they happened**, and drain [`super::Dialogue::poll_output`] after each one.
//!    Pacer reports ([`Input::Played`]) go in *before* a [`Input::VoiceStarted`] of the same moment: a barge-in cuts the
//!    history at the last playout position it knows (between reports the dialogue interpolates).
//! 3. **Never unwind**: an error of a provider is an input, too. The dialogue says the apology and hangs up.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::conversation_event::LlmFailure;

use super::history::ToolCall;

/// Samples per millisecond of the one rate used inside the product: 8 kHz, mono, 16 bit.
pub const SAMPLES_PER_MS: u64 = 8;

/// Time since the conversation began, with the first stream of its call. The driver converts once; nothing in here reads a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallTime(Duration);

impl CallTime {
    pub const ZERO: Self = Self(Duration::ZERO);

    pub const fn new(since_conversation_began: Duration) -> Self {
        Self(since_conversation_began)
    }

    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }

    pub const fn as_millis(self) -> u64 {
        self.0.as_millis() as u64
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for CallTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for CallTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

/// One reply of the agent, from its first request to its last sample: greeting, answer, re-prompt or goodbye. Rises by
/// one per reply and is never reused in a call. Speech and playout are labelled with it; of two epochs only the higher
/// may be audible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// One request to the language model. A reply can make several (tool rounds, a retry), so that the epoch alone could not
/// tell a retry's first token from the last words of the request it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AskId(pub u32);

/// `text[char_offset..]` of a clause begins `at_ms` after the start of the audio chunk that carries this entry.
/// Character (not byte) offsets, in rising order; ElevenLabs' `alignment` maps to it directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CharAt {
    pub char_offset: u32,
    pub at_ms: u32,
}

/// Why the language model stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmFinish {
    Stop,
    ToolCalls,
    /// Out of tokens: what came is spoken up to its last whole sentence.
    Length,
    /// Refusal or content filter.
    Refused,
}

/// How the carrier's stream came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEnd {
    /// The carrier's `stop`: the human hung up, or the flow took the call elsewhere.
    HungUp,
    /// The socket broke without a `stop`. The carrier's next step may reconnect: see `Dialogue::new`'s `resume`.
    Lost,
}

/// What a tool that runs outside the dialogue gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolOutcome {
    /// Text for the model, JSON where it is data.
    Ok(String),
    /// A sentence for the model ("The message could not be sent.").
    Failed(String),
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The carrier's `start` arrived and audio may flow both ways. Exactly once, first.
    Started,

    /// The VAD heard at least ~60-100 ms of voice. `began` is when it really began (at or before now).
    VoiceStarted {
        began: CallTime,
    },
    /// The VAD still hears voice, without a break up to `until`. Every ~50 ms between start and stop: what tells a real
    /// interruption from a short "hmm" without waiting for the hangover.
    VoiceGoesOn {
        until: CallTime,
    },
    /// The voice is over. `ended` is when it really ended, some VAD hangover before now.
    VoiceStopped {
        ended: CallTime,
    },

    /// Whole text of the provider's open segment (it replaces the last interim). Never empty.
    SttInterim {
        text: String,
    },
    /// One finished segment; pieces add up until the turn ends. `speech_final`: the provider saw its endpointing silence.
    /// An empty `text` is welcome: it says that the provider heard nothing, for example as the answer to `FinalizeStt`.
    SttFinal {
        text: String,
        speech_final: bool,
    },
    /// What the provider takes the words for that it tells next; BCP 47.
    SttLanguage {
        language: String,
    },
    /// Deepgram's `UtteranceEnd`: a gap between words of a second or more.
    SttUtteranceEnd,
    /// A turn model (Flux `EagerEndOfTurn`) believes that the human is about done; the text came as interim before it.
    SttEagerEndOfTurn,
    /// The turn model takes its eager end back (Flux `TurnResumed`).
    SttTurnResumed,
    /// A turn model's verdict (Flux `EndOfTurn`), after the `SttFinal` with its text.
    SttEndOfTurn,
    /// The socket to the STT provider is gone and its fallback is not there yet.
    SttUnavailable,
    SttRecovered,

    /// An answering machine's tone is over. Given only after [`super::Output::ListenForBeep`].
    Beep,
    /// The carrier, which has listened to the first seconds, takes whoever answered for a machine.
    MachineVerdict,
    /// What [`super::Output::PrepareRecording`] asked for is here.
    RecordingReady,

    /// One of `0-9 * # A-D`.
    Dtmf {
        digit: char,
    },

    LlmDelta {
        ask: AskId,
        text: String,
    },
    /// A fragment of a call came: no word yet, and no call, but the model is at work.
    LlmWriting {
        ask: AskId,
    },
    /// One *complete* call (the client joins the fragments by index).
    LlmToolCall {
        ask: AskId,
        call: ToolCall,
    },
    /// Ends the request, after its last delta and tool call. Either this or `LlmFailed`, once.
    LlmDone {
        ask: AskId,
        finish: LlmFinish,
    },
    LlmFailed {
        ask: AskId,
        kind: LlmFailure,
    },

    /// Answers [`super::Output::RunTool`]. Delivered exactly once, whatever became of the turn.
    ToolResult {
        call_id: String,
        outcome: ToolOutcome,
    },

    /// Audio of a clause was handed to the pacer: `samples` more at 8 kHz. The samples themselves do not come here.
    /// `alignment` may be empty; then the position inside the clause is taken as linear.
    TtsAudio {
        epoch: Epoch,
        clause: u32,
        samples: u32,
        alignment: Vec<CharAt>,
    },
    /// All audio of all clauses up to `FlushSpeech` has been delivered.
    TtsDone {
        epoch: Epoch,
    },
    /// The provider failed with `clause` unfinished. The driver drops that context; the dialogue speaks what is missing
    /// again under *new* clause numbers, or gives up.
    TtsFailed {
        epoch: Epoch,
        clause: u32,
    },

    /// The first frame of this epoch went to the carrier.
    PlayoutStarted {
        epoch: Epoch,
    },
    /// The playout clock: the human has heard the first `samples` of this epoch's audio. A position, not a sum: after a
    /// resume it may go back. Once per frame sent is plenty.
    Played {
        epoch: Epoch,
        samples: u64,
    },
    /// All audio delivered so far has been heard (the end mark came back, or its time is over by 1 s). May come more than
    /// once per epoch when speech runs dry in the middle.
    PlayoutDrained {
        epoch: Epoch,
    },

    /// The stream is over. Last input that matters.
    StreamStopped {
        reason: StreamEnd,
    },
    /// This process is going away: leave at the next turn boundary, at the latest at `by`, without a goodbye; the
    /// carrier's next step reconnects elsewhere and the conversation resumes.
    Drain {
        by: CallTime,
    },

    /// The time of [`super::Dialogue::deadline`] has come.
    Deadline,
}
