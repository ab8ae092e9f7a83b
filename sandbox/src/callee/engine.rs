//! Plays a script: what the callee does next, decided from what happened. No sockets, no clocks.
//!
//! Invariant: give one input, then drain [`Callee::poll`] to `None`, then give the next. Time is
//! milliseconds since the call was answered.

use std::collections::VecDeque;

use crate::callee::{
    Step,
    replies::{Replies, Then},
};

/// After a sentence that asks nothing a human waits this much longer for more.
const STATEMENT_EXTRA_MS: u64 = 500;
/// After a clause without an end ("So, Mister Rao,") a human waits this much longer.
const OPEN_CLAUSE_EXTRA_MS: u64 = 900;
/// Silence from the agent before the callee asks whether anybody is there.
const NUDGE_AFTER_MS: u64 = 9_000;
/// Unanswered nudges before the callee hangs up.
const MAX_NUDGES: u32 = 2;
const NUDGE: &str = "Hello? Are you there?";
/// After the last step the callee stays on the line this long.
const LINGER_MS: u64 = 30_000;
/// After a goodbye the callee waits this long for the agent to end the call.
const AFTER_GOODBYE_MS: u64 = 2_500;
/// How long the callee waits for the agent to begin, where the script needs it to.
const AMBUSH_MAX_MS: u64 = 30_000;

/// What happened to the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The agent began to speak.
    AgentBegan,
    /// The agent's utterance was over; `text` holds the words that were really heard.
    AgentEnded { text: String },
    /// The callee's own sound has been sent to its end.
    Spoke,
    /// Only time went by.
    Tick,
}

/// What the callee does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Say(String),
    Beep { ms: u64 },
    Press(char),
    HangUp,
}

/// Seeded human reaction times.
#[derive(Debug, Clone)]
pub struct Reactions {
    min_ms: u64,
    max_ms: u64,
    state: u64,
}

impl Reactions {
    /// Uniform in `min_ms..=max_ms`; the same seed gives the same human.
    pub fn new(min_ms: u64, max_ms: u64, seed: u64) -> Self {
        Self { min_ms, max_ms: max_ms.max(min_ms), state: seed }
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        self.min_ms + mixed % (self.max_ms - self.min_ms + 1)
    }
}

#[derive(Debug, Default)]
struct Agent {
    speaking: bool,
    /// When the agent last began, if it has since the callee last took its turn.
    began_at: Option<u64>,
    ended_at: u64,
    /// What was heard since the callee last took its turn.
    heard: String,
    /// How long after `ended_at` the callee takes the turn for over.
    pause_ms: u64,
}

#[derive(Debug)]
enum Doing {
    /// Takes the next step at once.
    Next,
    /// Until its own sound is out.
    Speaking,
    Waiting { turns: u32, until: u64 },
    Conversing { replies: Replies, turns: u32, nudges: u32, quiet_since: u64 },
    /// A reply is being said; `then` follows.
    Replying { replies: Replies, turns: u32, then: Then },
    /// Waits for the agent to have spoken this long.
    Ambush { after_ms: u64, until: u64, text: Option<String> },
    Silent { until: u64 },
    HungUp,
}

/// One callee in one call.
#[derive(Debug)]
pub struct Callee {
    steps: VecDeque<Step>,
    doing: Doing,
    agent: Agent,
    reactions: Reactions,
    now: u64,
}

impl Callee {
    pub fn new(steps: Vec<Step>, reactions: Reactions) -> Self {
        Self { steps: steps.into(), doing: Doing::Next, agent: Agent::default(), reactions, now: 0 }
    }

    /// Every text that the steps may say, so that it can be synthesized before the answer.
    pub fn texts(steps: &[Step]) -> Vec<String> {
        let mut texts = vec![NUDGE.to_owned()];
        for step in steps {
            match step {
                Step::Say { text } | Step::Interrupt { text, .. } => texts.push(text.clone()),
                Step::Voicemail { greeting, .. } => texts.push(greeting.clone()),
                Step::Converse { answers, replies, otherwise, .. } => {
                    texts.extend(Replies::new(answers, replies, otherwise).texts().map(str::to_owned));
                }
                _ => {}
            }
        }
        texts
    }

    /// Takes note of one input at `now`.
    pub fn handle(&mut self, now: u64, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::AgentBegan => {
                self.agent.speaking = true;
                self.agent.began_at.get_or_insert(self.now);
            }
            Input::AgentEnded { text } => {
                self.agent.speaking = false;
                self.agent.ended_at = self.now;
                self.agent.began_at.get_or_insert(self.now);
                self.agent.pause_ms = self.reactions.next() + extra_pause(&text);
                if !self.agent.heard.is_empty() {
                    self.agent.heard.push(' ');
                }
                self.agent.heard.push_str(&text);
            }
            Input::Spoke => self.spoke(),
            Input::Tick => {}
        }
    }

    /// The next thing the callee does now, if any.
    pub fn poll(&mut self) -> Option<Act> {
        // Each turn of the loop takes a step off the script or returns.
        loop {
            match &mut self.doing {
                Doing::Next => {
                    let step = self.steps.pop_front();
                    if let Some(act) = self.begin(step) {
                        return Some(act);
                    }
                }
                Doing::Speaking | Doing::Replying { .. } | Doing::HungUp => return None,
                Doing::Waiting { turns, until } => {
                    let (turns, until) = (*turns, *until);
                    if turn_is_over(&self.agent, self.now) {
                        self.take_turn();
                        self.doing = if turns > 1 { Doing::Waiting { turns: turns - 1, until } } else { Doing::Next };
                    } else if self.now >= until && !self.agent.speaking {
                        self.doing = Doing::Next;
                    } else {
                        return None;
                    }
                }
                Doing::Conversing { .. } => return self.converse(),
                Doing::Ambush { after_ms, until, text } => {
                    let due = self.agent.speaking
                        && self.agent.began_at.is_some_and(|began| self.now >= began + *after_ms);
                    if !due && self.now < *until {
                        return None;
                    }
                    let text = text.take();
                    self.take_turn();
                    return Some(match text {
                        Some(text) => {
                            self.doing = Doing::Speaking;
                            Act::Say(text)
                        }
                        None => self.hang_up(),
                    });
                }
                Doing::Silent { until } => {
                    if self.now < *until {
                        return None;
                    }
                    self.doing = Doing::Next;
                }
            }
        }
    }

    pub fn has_hung_up(&self) -> bool {
        matches!(self.doing, Doing::HungUp)
    }

    fn begin(&mut self, step: Option<Step>) -> Option<Act> {
        let now = self.now;
        let Some(step) = step else {
            // The script is over and the agent has not left: wait a while, as people do.
            self.steps.push_back(Step::HangUp);
            self.doing = Doing::Silent { until: now + LINGER_MS };
            return None;
        };
        match step {
            Step::Say { text } => {
                self.doing = Doing::Speaking;
                return Some(Act::Say(text));
            }
            Step::WaitForAgent { turns, max_ms } => {
                self.doing = Doing::Waiting { turns: turns.max(1), until: now + max_ms };
            }
            Step::Converse { answers, replies, otherwise, turns } => {
                let replies = Replies::new(&answers, &replies, &otherwise);
                self.doing = Doing::Conversing { replies, turns, nudges: 0, quiet_since: now };
            }
            Step::Interrupt { after_ms, text } => {
                self.doing = Doing::Ambush { after_ms, until: now + AMBUSH_MAX_MS, text: Some(text) };
            }
            Step::HangUpMidSentence { after_ms } => {
                self.doing = Doing::Ambush { after_ms, until: now + AMBUSH_MAX_MS, text: None };
            }
            Step::StaySilent { ms } => self.doing = Doing::Silent { until: now + ms },
            Step::Dtmf { digits } => {
                let mut keys = digits.chars();
                if let Some(key) = keys.next() {
                    if !keys.as_str().is_empty() {
                        self.steps.push_front(Step::Dtmf { digits: keys.as_str().to_owned() });
                    }
                    // A finger needs time between two keys.
                    self.doing = Doing::Silent { until: now + 300 };
                    return Some(Act::Press(key));
                }
            }
            Step::Voicemail { greeting, beep_ms, record_ms } => {
                self.steps.push_front(Step::HangUp);
                self.steps.push_front(Step::StaySilent { ms: record_ms });
                self.steps.push_front(Step::Voicemail { greeting: String::new(), beep_ms, record_ms: 0 });
                self.doing = Doing::Speaking;
                if greeting.is_empty() {
                    // The greeting is over: what is left of this step is the beep.
                    self.steps.pop_front();
                    self.steps.pop_front();
                    self.steps.pop_front();
                    return Some(Act::Beep { ms: beep_ms });
                }
                return Some(Act::Say(greeting));
            }
            Step::HangUp => return Some(self.hang_up()),
            // These belong to the carrier and mean nothing once the phone is answered.
            Step::RefuseDnd
            | Step::Ring { .. }
            | Step::Busy
            | Step::NoAnswer
            | Step::Fail
            | Step::Answer => {}
        }
        None
    }

    fn converse(&mut self) -> Option<Act> {
        let Doing::Conversing { turns, nudges, quiet_since, .. } = &mut self.doing else { return None };
        if turn_is_over(&self.agent, self.now) {
            let heard = self.take_turn();
            let Doing::Conversing { mut replies, turns, .. } = std::mem::replace(&mut self.doing, Doing::Next) else {
                return None;
            };
            let (text, then) = replies.choose(&heard);
            self.doing = Doing::Replying { replies, turns: turns.saturating_sub(1), then };
            return Some(Act::Say(text));
        }
        if *turns == 0 {
            self.doing = Doing::Next;
            return self.poll();
        }
        // Only real silence counts: neither the agent's speech nor the pause after it.
        let quiet_since = (*quiet_since).max(self.agent.ended_at);
        if self.agent.speaking || self.agent.began_at.is_some() || self.now < quiet_since + NUDGE_AFTER_MS {
            return None;
        }
        if *nudges == MAX_NUDGES {
            return Some(self.hang_up());
        }
        let Doing::Conversing { replies, turns, nudges, .. } = std::mem::replace(&mut self.doing, Doing::Next) else {
            return None;
        };
        self.steps.push_front(Step::Say { text: NUDGE.to_owned() });
        let act = self.begin(Some(Step::Say { text: NUDGE.to_owned() }));
        self.steps.pop_front();
        self.doing = Doing::Conversing { replies, turns, nudges: nudges + 1, quiet_since: self.now };
        act
    }

    fn spoke(&mut self) {
        match std::mem::replace(&mut self.doing, Doing::Next) {
            Doing::Speaking => {}
            Doing::Replying { replies, turns, then } => match then {
                Then::Listen if turns > 0 => {
                    self.doing = Doing::Conversing { replies, turns, nudges: 0, quiet_since: self.now };
                }
                Then::Listen | Then::NextStep => {}
                Then::HangUp => {
                    self.steps.clear();
                    self.steps.push_back(Step::HangUp);
                    self.doing = Doing::Silent { until: self.now + AFTER_GOODBYE_MS };
                }
            },
            Doing::Conversing { replies, turns, nudges, .. } => {
                self.doing = Doing::Conversing { replies, turns, nudges, quiet_since: self.now };
            }
            other => self.doing = other,
        }
    }

    /// The callee takes its turn: what was heard until now is used up.
    fn take_turn(&mut self) -> String {
        self.agent.began_at = None;
        std::mem::take(&mut self.agent.heard)
    }

    fn hang_up(&mut self) -> Act {
        self.doing = Doing::HungUp;
        Act::HangUp
    }
}

fn turn_is_over(agent: &Agent, now: u64) -> bool {
    agent.began_at.is_some() && !agent.speaking && now >= agent.ended_at + agent.pause_ms
}

fn extra_pause(text: &str) -> u64 {
    match text.trim_end().chars().next_back() {
        Some('?') => 0,
        None | Some('.' | '!' | '।' | '"') => STATEMENT_EXTRA_MS,
        Some(_) => OPEN_CLAUSE_EXTRA_MS,
    }
}
