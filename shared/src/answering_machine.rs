//! A machine answers: when its words may be taken for one's, and what is left on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::phrases::{self, Machine};

/// A machine speaks first. Later on, such words are a person's, about machines.
const LISTEN_FOR: Duration = Duration::from_secs(25);
/// Turns in which it may have said it: its greeting may be heard in two pieces.
pub const MOST_TURNS: u32 = 2;

/// May somebody who is heard so long after the call's beginning, and had so many turns before, be a machine?
pub fn may_be(elapsed: Duration, human_turns: u32) -> bool {
    elapsed <= LISTEN_FOR && human_turns <= MOST_TURNS
}

/// People who pick up talk for a second or two.
const LONG_GREETING: Duration = Duration::from_millis(5_000);
/// So much voice before a beep is a greeting, whatever its words are.
const GREETING_BEFORE_BEEP: Duration = Duration::from_millis(3_000);
/// So much is one if the carrier thinks so, too: a carrier errs, and whoever listens to our greeting in silence is a person.
const GREETING_IN_DOUBT: Duration = Duration::from_millis(2_500);
/// The same, where there are words and no machine's among them.
const SPEECH_IN_DOUBT: Duration = Duration::from_millis(4_000);

/// What else speaks for a machine, beside its words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Suspicion {
    /// A tone was heard.
    pub beeped: bool,
    /// The carrier takes it for one.
    pub carrier: bool,
    /// The longest voice without an answer of ours in between.
    pub voice: Duration,
}

impl Suspicion {
    /// What it is that has said these words.
    pub fn machine(&self, words: &[String]) -> Option<Machine> {
        let doubted = if words.is_empty() { GREETING_IN_DOUBT } else { SPEECH_IN_DOUBT };
        let greets = self.beeped && self.voice >= GREETING_BEFORE_BEEP || self.carrier && self.voice >= doubted;
        let odd = self.beeped || self.carrier || self.voice >= LONG_GREETING;
        phrases::machine(words)
            .or_else(|| (greets || odd && phrases::may_be_a_machines(words)).then_some(Machine::Voicemail))
    }
}

/// When an answering machine is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMachine {
    #[default]
    HangUp,
    /// After its beep, and then hang up. May hold `{variables}`.
    LeaveMessage(String),
    /// A recording after its beep, if it can be had by then; else the message, if there is one.
    PlayRecording {
        /// What stands in the transcript for it.
        title: String,
        /// As in [`OnMachine::LeaveMessage`].
        otherwise: Option<String>,
    },
}

/// What stands for a recording in the transcript.
pub fn as_text(title: &str) -> String {
    format!("[Recording: {title}]")
}
