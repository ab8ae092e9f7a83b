//! Plays a script: what the callee does next, decided from what happened. No sockets, no clocks.
//!
//! Invariant: give one input, then drain [`Callee::poll`] to `None`, then give the next. Time is
//! milliseconds since the call was answered.

use std::collections::VecDeque;

use crate::callee::{
    Language, Sound, Step,
    replies::{Replies, Then},
};

/// After a sentence that asks nothing a human waits this much longer for more.
const STATEMENT_EXTRA_MS: u64 = 500;
/// After a clause without an end ("So, Mister Rao,") a human waits this much longer.
const OPEN_CLAUSE_EXTRA_MS: u64 = 900;
/// Silence from the agent before the callee asks whether anybody is there.
const NUDGE_AFTER_MS: u64 = 9_000;
/// In the middle of the agent's sentence it takes so much less to be sure that something is wrong.
const HELLO_AFTER_MS: u64 = 3_500;
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
    /// The agent began to speak at `at`.
    AgentBegan { at: u64 },
    /// The agent's utterance was over at `at`; `text` holds the words that were really heard.
    AgentEnded { at: u64, text: String },
    /// The line went dead while the agent spoke; `text` holds the words that were heard until then.
    AgentCutOff { at: u64, text: String },
    /// The callee's own sound has been sent to its end.
    Spoke,
    /// Only time went by.
    Tick,
}

/// What the callee does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Say(String),
    Sound { sound: Sound, ms: u64 },
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
    /// The line went dead in the middle of what was heard last: that is no turn.
    cut_off: bool,
    /// When the callee's own last line of the script was out.
    spoke_at: u64,
}

#[derive(Debug)]
enum Doing {
    /// Takes the next step at once.
    Next,
    /// Until its own sound is out.
    Speaking,
    Waiting {
        turns: u32,
        until: u64,
    },
    Conversing {
        replies: Replies,
        turns: u32,
        nudges: u32,
        quiet_since: u64,
    },
    /// A reply is being said; `then` follows.
    Replying {
        replies: Replies,
        turns: u32,
        then: Then,
    },
    /// Waits for the agent to have spoken this long.
    Ambush {
        after_ms: u64,
        until: u64,
        text: Option<String>,
    },
    Silent {
        until: u64,
    },
    HungUp,
}

/// One callee in one call.
#[derive(Debug)]
pub struct Callee {
    steps: VecDeque<Step>,
    doing: Doing,
    agent: Agent,
    reactions: Reactions,
    language: Language,
    now: u64,
}

impl Callee {
    pub fn new(steps: Vec<Step>, reactions: Reactions, language: Language) -> Self {
        Self { steps: steps.into(), doing: Doing::Next, agent: Agent::default(), reactions, language, now: 0 }
    }

    /// Every text that the steps may say, so that it can be synthesized before the answer.
    pub fn texts(steps: &[Step], language: Language) -> Vec<String> {
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
        texts.iter().map(|text| language.says(text).to_owned()).collect()
    }

    /// Takes note of one input at `now`.
    pub fn handle(&mut self, now: u64, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::AgentBegan { at } => {
                self.agent.speaking = true;
                self.agent.cut_off = false;
                self.agent.began_at.get_or_insert(at);
            }
            Input::AgentEnded { at, text } => {
                self.agent.ends(at, &text);
                self.agent.pause_ms = self.reactions.next() + extra_pause(&text);
                // An ear is sure of the end only a while after it.
                if at < self.agent.spoke_at {
                    self.agent.was_talked_over();
                }
            }
            Input::AgentCutOff { at, text } => {
                self.agent.ends(at, &text);
                self.agent.cut_off = true;
            }
            Input::Spoke => self.spoke(),
            Input::Tick => {}
        }
    }

    /// The next thing the callee does now, if any.
    pub fn poll(&mut self) -> Option<Act> {
        let act = self.next_act()?;
        Some(if let Act::Say(line) = act { Act::Say(self.language.says(&line).to_owned()) } else { act })
    }

    fn next_act(&mut self) -> Option<Act> {
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
                    let due =
                        self.agent.speaking && self.agent.began_at.is_some_and(|began| self.now >= began + *after_ms);
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
            Step::Beep { ms } => {
                self.doing = Doing::Speaking;
                return Some(Act::Sound { sound: Sound::Beep, ms });
            }
            Step::Sound { sound, ms } => {
                self.doing = Doing::Speaking;
                return Some(Act::Sound { sound, ms });
            }
            Step::Voicemail { greeting, beep_ms, record_ms } => {
                self.steps.push_front(Step::HangUp);
                self.steps.push_front(Step::StaySilent { ms: record_ms });
                self.steps.push_front(Step::Beep { ms: beep_ms });
                self.steps.push_front(Step::Say { text: greeting });
            }
            Step::HangUp => return Some(self.hang_up()),
            // These belong to the carrier and mean nothing once the phone is answered.
            Step::RefuseDnd | Step::Ring { .. } | Step::Busy | Step::NoAnswer | Step::Fail | Step::Answer => {}
        }
        None
    }

    fn converse(&mut self) -> Option<Act> {
        if turn_is_over(&self.agent, self.now) {
            let heard = self.take_turn();
            if let Doing::Conversing { mut replies, turns, .. } = std::mem::replace(&mut self.doing, Doing::Next) {
                let (text, then) = replies.choose(&heard);
                self.doing = Doing::Replying { replies, turns: turns.saturating_sub(1), then };
                return Some(Act::Say(text));
            }
        }
        let Doing::Conversing { nudges, quiet_since, .. } = &mut self.doing else { return None };
        // Only real silence counts: neither the agent's speech nor the pause after it.
        let quiet = self.now.saturating_sub((*quiet_since).max(self.agent.ended_at));
        let (waiting, patience) = match self.agent.cut_off {
            true => (false, HELLO_AFTER_MS),
            false => (self.agent.began_at.is_some(), NUDGE_AFTER_MS),
        };
        if waiting || quiet < patience {
            return None;
        }
        if *nudges == MAX_NUDGES {
            return Some(self.hang_up());
        }
        *nudges += 1;
        *quiet_since = self.now;
        Some(Act::Say(NUDGE.to_owned()))
    }

    fn spoke(&mut self) {
        match std::mem::replace(&mut self.doing, Doing::Next) {
            Doing::Speaking => {
                self.agent.spoke_at = self.now;
                if !self.agent.speaking {
                    self.agent.was_talked_over();
                }
            }
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

impl Agent {
    /// Words that broke off while the callee spoke are no answer to what the callee said.
    fn was_talked_over(&mut self) {
        self.began_at = None;
        self.heard.clear();
    }

    fn ends(&mut self, at: u64, text: &str) {
        self.speaking = false;
        self.ended_at = at;
        self.began_at.get_or_insert(at);
        if !self.heard.is_empty() {
            self.heard.push(' ');
        }
        self.heard.push_str(text);
    }
}

fn turn_is_over(agent: &Agent, now: u64) -> bool {
    agent.began_at.is_some() && !agent.cut_off && !agent.speaking && now >= agent.ended_at + agent.pause_ms
}

fn extra_pause(text: &str) -> u64 {
    match text.trim_end().chars().next_back() {
        Some('?') => 0,
        None | Some('.' | '!' | '।' | '"') => STATEMENT_EXTRA_MS,
        Some(_) => OPEN_CLAUSE_EXTRA_MS,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::callee::Topic;

    fn callee(steps: Vec<Step>) -> Callee {
        Callee::new(steps, Reactions::new(400, 400, 1), Language::English)
    }

    fn at(callee: &mut Callee, now: u64, input: Input) -> Vec<Act> {
        callee.handle(now, input);
        std::iter::from_fn(|| callee.poll()).take(10).collect()
    }

    fn began(at: u64) -> Input {
        Input::AgentBegan { at }
    }

    fn ended(at: u64, text: &str) -> Input {
        Input::AgentEnded { at, text: text.into() }
    }

    fn say(text: &str) -> Vec<Act> {
        vec![Act::Say(text.into())]
    }

    fn converse() -> Step {
        Step::Converse {
            answers: BTreeMap::from([(Topic::Budget, "Ninety lakh.".into())]),
            replies: Vec::new(),
            otherwise: Vec::new(),
            turns: 5,
        }
    }

    #[test]
    fn a_question_is_answered_after_a_human_pause() {
        let mut callee = callee(vec![converse()]);
        assert!(at(&mut callee, 0, began(0)).is_empty());
        assert!(at(&mut callee, 1_000, ended(1_000, "What is your budget?")).is_empty());
        assert!(at(&mut callee, 1_300, Input::Tick).is_empty());
        assert_eq!(at(&mut callee, 1_400, Input::Tick), say("Ninety lakh."));
    }

    #[test]
    fn an_agent_that_goes_on_is_heard_out() {
        let mut callee = callee(vec![converse()]);
        at(&mut callee, 0, began(0));
        at(&mut callee, 1_000, ended(1_000, "So, Mister Rao,"));
        assert!(at(&mut callee, 1_800, began(1_800)).is_empty());
        assert!(at(&mut callee, 3_000, Input::Tick).is_empty());
        at(&mut callee, 3_500, ended(3_500, "what is your budget?"));
        assert_eq!(at(&mut callee, 3_900, Input::Tick), say("Ninety lakh."));
    }

    fn cut_off(at: u64, text: &str) -> Input {
        Input::AgentCutOff { at, text: text.into() }
    }

    #[test]
    fn a_line_that_goes_dead_in_mid_sentence_gets_a_hello_and_no_answer() {
        let mut callee = callee(vec![converse()]);
        at(&mut callee, 0, began(0));
        assert!(at(&mut callee, 1_000, cut_off(1_000, "What is your budget")).is_empty());
        assert!(at(&mut callee, 4_400, Input::Tick).is_empty());
        assert_eq!(at(&mut callee, 4_500, Input::Tick), say(NUDGE));
        assert!(at(&mut callee, 5_500, Input::Spoke).is_empty());
        assert!(at(&mut callee, 6_000, began(6_000)).is_empty());
        assert!(at(&mut callee, 8_000, ended(8_000, "Sorry, the line dropped. What is your budget?")).is_empty());
        assert_eq!(at(&mut callee, 8_400, Input::Tick), say("Ninety lakh."));
    }

    #[test]
    fn a_line_that_is_back_at_once_is_answered_as_if_nothing_had_been() {
        let mut callee = callee(vec![Step::WaitForAgent { turns: 1, max_ms: 20_000 }, converse()]);
        at(&mut callee, 0, began(0));
        at(&mut callee, 1_000, cut_off(1_000, "Hello, this is"));
        assert!(at(&mut callee, 2_500, began(2_500)).is_empty());
        assert!(at(&mut callee, 4_000, ended(4_000, "Is it a good time?")).is_empty());
        at(&mut callee, 4_400, Input::Tick);
        assert!(matches!(callee.doing, Doing::Conversing { .. }), "{:?}", callee.doing);
    }

    #[test]
    fn an_interruption_comes_while_the_agent_speaks() {
        let mut callee = callee(vec![Step::Interrupt { after_ms: 700, text: "Who is this?".into() }, Step::HangUp]);
        at(&mut callee, 100, began(100));
        assert!(at(&mut callee, 700, Input::Tick).is_empty());
        assert_eq!(at(&mut callee, 800, Input::Tick), say("Who is this?"));
        assert_eq!(at(&mut callee, 1_900, Input::Spoke), [Act::HangUp]);
        assert!(callee.has_hung_up());
    }

    #[test]
    fn words_that_broke_off_under_the_callees_own_are_no_answer_to_them() {
        let wait = Step::WaitForAgent { turns: 1, max_ms: 20_000 };
        let mut callee = callee(vec![Step::Say { text: "Can you hear me?".into() }, wait, Step::HangUp]);
        assert_eq!(at(&mut callee, 0, Input::Tick), say("Can you hear me?"));
        at(&mut callee, 200, began(200));
        at(&mut callee, 400, ended(400, "Our"));
        assert!(at(&mut callee, 1_500, Input::Spoke).is_empty());
        assert!(at(&mut callee, 1_600, ended(1_400, "Our")).is_empty(), "the ear notices later");
        assert!(at(&mut callee, 3_000, Input::Tick).is_empty(), "an answer is still waited for");
        at(&mut callee, 3_100, began(3_100));
        at(&mut callee, 4_000, ended(4_000, "Yes, I can."));
        assert_eq!(at(&mut callee, 6_000, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn hanging_up_mid_sentence_waits_for_the_sentence() {
        let mut callee = callee(vec![Step::HangUpMidSentence { after_ms: 500 }]);
        assert!(at(&mut callee, 5_000, Input::Tick).is_empty());
        at(&mut callee, 6_000, began(6_000));
        assert_eq!(at(&mut callee, 6_500, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn a_machine_greets_beeps_and_records() {
        let mut callee =
            callee(vec![Step::Voicemail { greeting: "Leave a message.".into(), beep_ms: 300, record_ms: 1_000 }]);
        assert_eq!(at(&mut callee, 0, Input::Tick), say("Leave a message."));
        assert_eq!(at(&mut callee, 2_000, Input::Spoke), [Act::Sound { sound: Sound::Beep, ms: 300 }]);
        assert!(at(&mut callee, 2_300, Input::Spoke).is_empty());
        assert_eq!(at(&mut callee, 3_300, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn keys_are_pressed_one_by_one() {
        let mut callee = callee(vec![Step::Dtmf { digits: "1#".into() }, Step::HangUp]);
        assert_eq!(at(&mut callee, 0, Input::Tick), [Act::Press('1')]);
        assert_eq!(at(&mut callee, 300, Input::Tick), [Act::Press('#')]);
        assert_eq!(at(&mut callee, 600, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn a_silent_agent_is_nudged_and_then_left() {
        let mut callee = callee(vec![converse()]);
        assert!(at(&mut callee, 0, Input::Tick).is_empty());
        assert_eq!(at(&mut callee, 9_000, Input::Tick), say(NUDGE));
        assert!(at(&mut callee, 10_000, Input::Spoke).is_empty());
        assert_eq!(at(&mut callee, 19_000, Input::Tick), say(NUDGE));
        at(&mut callee, 20_000, Input::Spoke);
        assert_eq!(at(&mut callee, 29_000, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn a_goodbye_is_returned_and_ends_the_call() {
        let mut callee = callee(vec![converse()]);
        at(&mut callee, 0, began(0));
        at(&mut callee, 1_000, ended(1_000, "Thank you, goodbye!"));
        assert_eq!(at(&mut callee, 1_900, Input::Tick), say("Thank you, bye."));
        assert!(at(&mut callee, 2_500, Input::Spoke).is_empty());
        assert_eq!(at(&mut callee, 5_000, Input::Tick), [Act::HangUp]);
    }

    #[test]
    fn somebody_who_speaks_hindi_says_the_same_script_in_hindi() {
        let mut callee = Callee::new(
            vec![Step::Say { text: "Hello?".into() }, converse()],
            Reactions::new(400, 400, 1),
            Language::Hindi,
        );
        assert_eq!(at(&mut callee, 0, Input::Tick), say("हैलो?"));
        at(&mut callee, 500, Input::Spoke);
        at(&mut callee, 600, began(600));
        at(&mut callee, 1_000, ended(1_000, "आपका बजट कितना है?"));
        assert_eq!(at(&mut callee, 1_400, Input::Tick), say("Ninety lakh."), "untranslated");
        at(&mut callee, 2_000, Input::Spoke);
        at(&mut callee, 2_100, ended(2_100, "आप कब तक लेना चाहते हैं?"));
        assert_eq!(at(&mut callee, 2_500, Input::Tick), say("तीन महीने के अंदर।"));
    }

    #[test]
    fn every_text_is_known_before_the_call() {
        let texts = Callee::texts(&[converse(), Step::Say { text: "Hello?".into() }], Language::English);
        assert!(["Hello?", "Ninety lakh.", "Okay.", NUDGE].iter().all(|text| texts.iter().any(|t| t == text)));
        assert_eq!(texts.iter().position(|text| text == NUDGE).unwrap(), 0);
    }
}
