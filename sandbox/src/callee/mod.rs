//! The human at the other end, as a script.
//!
//! A [`Script`] is data (JSON): what a number does at its first, second, … call. [`engine`] plays
//! it without sockets or clocks; [`replies`] chooses an answer by what the callee heard;
//! [`listener`] tells what the agent was heard to say; [`mouth`] turns answers into audio.

pub mod engine;
pub mod language;
pub mod line;
pub mod listener;
pub mod mouth;
pub mod replies;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    engine::{Act, Callee, Input},
    language::Language,
    line::LineConditions,
    mouth::{Mouth, Sound},
    replies::{Reply, Then, Topic},
};

/// How one phone behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub name: String,
    /// The voice that the speech bank gives this callee.
    #[serde(default = "default_voice")]
    pub voice: String,
    /// Spoken by the callee; the lines below stay English.
    #[serde(default)]
    pub language: Language,
    #[serde(default)]
    pub line: LineConditions,
    /// One list of steps per call to this number; the last one repeats.
    pub attempts: Vec<Vec<Step>>,
}

fn default_voice() -> String {
    "callee".into()
}

/// One thing that the callee, or the carrier on the way to the callee, does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The carrier refuses the call because the number is on the national do-not-disturb list.
    RefuseDnd,
    /// The phone rings this long (scaled by the sandbox's rate). Several add up.
    Ring {
        ms: u64,
    },
    Busy,
    /// Rings until the carrier gives up (`TimeOut`).
    NoAnswer,
    /// The network fails.
    Fail,
    Answer,
    /// Waits until the agent has finished this many turns, at most `max_ms`.
    WaitForAgent {
        #[serde(default = "one")]
        turns: u32,
        #[serde(default = "default_patience_ms")]
        max_ms: u64,
    },
    Say {
        text: String,
    },
    /// Answers whatever the agent says, until the turns are used up or a reply ends it.
    Converse {
        /// Answers to the usual questions.
        #[serde(default)]
        answers: BTreeMap<Topic, String>,
        /// Tried before `answers`.
        #[serde(default)]
        replies: Vec<Reply>,
        /// Said in turn where nothing fits; a built-in list when empty.
        #[serde(default)]
        otherwise: Vec<String>,
        #[serde(default = "default_turns")]
        turns: u32,
    },
    /// Speaks over the agent, this long after the agent began.
    Interrupt {
        after_ms: u64,
        text: String,
    },
    StaySilent {
        ms: u64,
    },
    /// Presses keys (`0-9*#`).
    Dtmf {
        digits: String,
    },
    Beep {
        ms: u64,
    },
    /// Something other than speech comes out of the phone.
    Sound {
        sound: Sound,
        ms: u64,
    },
    HangUp,
    /// Hangs up this long after the agent began to speak.
    HangUpMidSentence {
        after_ms: u64,
    },
    /// A machine: greeting, beep, and then it records until the agent leaves.
    Voicemail {
        greeting: String,
        #[serde(default = "default_beep_ms")]
        beep_ms: u64,
        #[serde(default = "default_record_ms")]
        record_ms: u64,
    },
}

fn one() -> u32 {
    1
}

fn default_patience_ms() -> u64 {
    20_000
}

fn default_turns() -> u32 {
    14
}

fn default_beep_ms() -> u64 {
    500
}

fn default_record_ms() -> u64 {
    30_000
}

/// What happens to the ringing phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pickup {
    Answered,
    Busy,
    NoAnswer,
    Failed,
}

/// One attempt, split at the moment of answering.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub ring_ms: u64,
    pub pickup: Pickup,
    /// What follows the answer; empty unless answered.
    pub steps: Vec<Step>,
}

impl Script {
    /// Whether the carrier refuses this attempt (1-based) as do-not-disturb.
    pub fn refuses_dnd(&self, attempt: usize) -> bool {
        self.steps(attempt).iter().any(|step| matches!(step, Step::RefuseDnd))
    }

    /// The steps of the attempt (1-based), split at the answer.
    pub fn attempt(&self, attempt: usize) -> Attempt {
        let steps = self.steps(attempt);
        let mut ring_ms = 0;
        for (at, step) in steps.iter().enumerate() {
            let pickup = match step {
                Step::Ring { ms } => {
                    ring_ms += ms;
                    continue;
                }
                Step::Busy => Pickup::Busy,
                Step::NoAnswer => Pickup::NoAnswer,
                Step::Fail => Pickup::Failed,
                Step::Answer => {
                    return Attempt { ring_ms, pickup: Pickup::Answered, steps: steps[at + 1..].to_vec() };
                }
                // A script without `answer` answers at its first spoken step.
                _ => return Attempt { ring_ms, pickup: Pickup::Answered, steps: steps[at..].to_vec() },
            };
            return Attempt { ring_ms, pickup, steps: Vec::new() };
        }
        Attempt { ring_ms, pickup: Pickup::NoAnswer, steps: Vec::new() }
    }

    fn steps(&self, attempt: usize) -> &[Step] {
        let at = attempt.saturating_sub(1).min(self.attempts.len().saturating_sub(1));
        self.attempts.get(at).map_or(&[], Vec::as_slice)
    }

    /// Why this script cannot be played, if it cannot.
    pub fn problem(&self) -> Option<String> {
        if self.attempts.is_empty() || self.attempts.iter().any(Vec::is_empty) {
            return Some("a script needs at least one attempt, and each attempt a step".into());
        }
        for step in self.attempts.iter().flatten() {
            if let Step::Dtmf { digits } = step
                && (digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '*' | '#')))
            {
                return Some(format!("no such keys: {digits}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn script(attempts: serde_json::Value) -> Script {
        serde_json::from_value(json!({"name": "t", "attempts": attempts})).unwrap()
    }

    #[test]
    fn each_attempt_has_its_own_steps_and_the_last_one_repeats() {
        let script = script(json!([
            [{"do": "ring", "ms": 1000}, {"do": "busy"}],
            [{"do": "ring", "ms": 2000}, {"do": "answer"}, {"do": "say", "text": "Hello?"}],
        ]));
        assert_eq!(script.attempt(1).pickup, Pickup::Busy);
        let second = script.attempt(2);
        assert_eq!((second.ring_ms, second.pickup), (2_000, Pickup::Answered));
        assert_eq!(second.steps, [Step::Say { text: "Hello?".into() }]);
        assert_eq!(script.attempt(7), second);
    }

    #[test]
    fn a_misspelt_step_is_refused() {
        let wrong = json!({"name": "t", "attempts": [[{"do": "answer"}, {"do": "shout", "text": "x"}]]});
        assert!(serde_json::from_value::<Script>(wrong).is_err());
        assert!(script(json!([])).problem().is_some());
        assert!(script(json!([[{"do": "dtmf", "digits": "12a"}]])).problem().is_some());
    }
}
