//! What people do in the scenarios: data, compiled to scripts for callees and to what a good listener would make of them.

use serde_json::{Value, json};

use crate::callee::{LineConditions, Sound};

/// Speech begins and ends this far inside an utterance's audio.
const MARGINS_MS: u64 = 80;
/// A turn of the agent's is heard out for so long: longer than any, and than the silence after which it asks whether anybody is there.
const PATIENCE_MS: u64 = 25_000;

/// Nobody answers sooner.
const RINGS_MS: u64 = 1_500;

/// One thing that the human does.
#[derive(Debug, Clone)]
pub enum Does {
    /// Takes the turn. Pieces of one thought, each followed by a pause in ms; the last pause is nothing.
    Speaks(Vec<(String, u64)>),
    /// Takes the turn again and again: pieces of which each wants an answer, with the pause before the next.
    Insists(Vec<(String, u64)>),
    /// Picks up with words over the agent's first ones, which answer them.
    TalksOver {
        text: &'static str,
    },
    /// Says that they listen, while the agent talks.
    Acknowledges {
        after_ms: u64,
        text: &'static str,
    },
    /// Wants the agent to stop.
    BargesIn {
        after_ms: u64,
        text: &'static str,
    },
    StaysSilent {
        ms: u64,
    },
    Sounds {
        sound: Sound,
        ms: u64,
    },
    /// Hears the agent out.
    Listens,
}

/// One kind of conversation, in its variations.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    /// The agent's first words: what the human answers.
    pub greeting: &'static str,
    pub line: LineConditions,
    /// The agent has a tool that takes so long, in ms.
    pub tool_ms: Option<u64>,
    /// What different people do; each is one call.
    pub people: Vec<Vec<Does>>,
}

impl Scenario {
    fn new(name: &'static str, greeting: &'static str, people: Vec<Vec<Does>>) -> Self {
        Self { name, greeting, line: LineConditions::default(), tool_ms: None, people }
    }

    fn over(mut self, line: LineConditions) -> Self {
        self.line = line;
        self
    }

    fn with_tool(mut self, takes_ms: u64) -> Self {
        self.tool_ms = Some(takes_ms);
        self
    }
}

/// The script that makes a callee do it.
pub fn script(scenario: &Scenario, person: usize) -> Value {
    let voices = ["kal", "awb", "rms", "slt"];
    let mut steps = vec![json!({"do": "ring", "ms": RINGS_MS}), json!({"do": "answer"})];
    let does = &scenario.people[person % scenario.people.len()];
    for (at, one) in does.iter().enumerate() {
        // Who is about to speak over the agent does not hear it out before.
        let over = matches!(does.get(at + 1), Some(Does::Acknowledges { .. } | Does::BargesIn { .. }));
        steps.extend(steps_of(one, !over));
    }
    steps.push(json!({"do": "stay_silent", "ms": 500}));
    steps.push(json!({"do": "hang_up"}));
    json!({"name": scenario.name, "voice": voices[person % voices.len()], "line": scenario.line, "attempts": [steps]})
}

fn steps_of(does: &Does, then_listens: bool) -> Vec<Value> {
    let listens = json!({"do": "wait_for_agent", "max_ms": PATIENCE_MS});
    match does {
        Does::Speaks(pieces) | Does::Insists(pieces) => {
            let mut steps = Vec::new();
            for (text, pause_ms) in pieces {
                steps.push(json!({"do": "say", "text": text}));
                if *pause_ms > 0 {
                    steps.push(json!({"do": "stay_silent", "ms": pause_ms.saturating_sub(MARGINS_MS)}));
                }
            }
            if then_listens {
                steps.push(listens);
            }
            steps
        }
        Does::TalksOver { text } => vec![json!({"do": "say", "text": text}), listens],
        Does::Acknowledges { after_ms, text } | Does::BargesIn { after_ms, text } => {
            vec![json!({"do": "interrupt", "after_ms": after_ms, "text": text}), listens]
        }
        Does::StaysSilent { ms } => vec![json!({"do": "stay_silent", "ms": ms})],
        Does::Sounds { sound, ms } => vec![json!({"do": "sound", "sound": sound, "ms": ms})],
        Does::Listens => vec![listens],
    }
}

const GOOD_TIME: &str =
    "Hello, this is Asha from Trunkline Realty about your property enquiry. Is this a good time to talk?";
const BY_NAME: &str =
    "Hello {lead_name}, this is Asha from Trunkline Realty about your property enquiry. Is this a good time to talk?";
const LOOKING_FOR: &str = "Hello, this is Asha from Trunkline Realty. What kind of home are you looking for?";
const NUMBER: &str = "Hello, this is Asha from Trunkline Realty. On which phone number can our advisor reach you?";
const ADDRESS: &str =
    "Hello, this is Asha from Trunkline Realty. What is your address, so that we find something nearby?";
const LONG: &str = "Hello, this is Asha from Trunkline Realty. We have three new projects near the lake, all of them with two and \
                    three bedrooms, a garden on the roof, and a school within walking distance, and I would like to hear what \
                    you think of them. Is this a good time to talk?";

fn says(text: &str) -> Does {
    Does::Speaks(vec![(text.to_owned(), 0)])
}

/// One thought with this pause inside.
fn pauses(first: &str, pause_ms: u64, second: &str) -> Does {
    Does::Speaks(vec![(first.to_owned(), pause_ms), (second.to_owned(), 0)])
}

fn after_greeting(does: Does) -> Vec<Does> {
    vec![Does::Listens, does]
}

/// The whole suite.
pub fn suite() -> Vec<Scenario> {
    let short = |texts: &[&str]| texts.iter().map(|text| after_greeting(says(text))).collect::<Vec<_>>();
    let clauses = [
        ("I am looking for a flat and", "it should be near the metro."),
        ("We want two bedrooms, but", "the price must be right."),
        ("My budget is around", "eighty lakh rupees."),
        ("It is for my parents because", "they move here in March."),
    ];
    let open = |pause_ms: u64| {
        clauses.iter().map(|(first, second)| after_greeting(pauses(first, pause_ms, second))).collect::<Vec<_>>()
    };
    let noisy = LineConditions { noise: 200, ..LineConditions::default() };
    let echoing = LineConditions { noise: 60, echo_percent: 6, echo_ms: 120 };
    let loudspeaker = LineConditions { noise: 60, echo_percent: 25, echo_ms: 180 };
    vec![
        Scenario::new("closed answer", GOOD_TIME, short(&["Yes.", "Yes, sure.", "No.", "Okay."])),
        Scenario::new("greeted by name", BY_NAME, short(&["Yes.", "Speaking."])),
        Scenario::new(
            "sentence",
            LOOKING_FOR,
            short(&[
                "I am looking for a two bedroom flat near the lake.",
                "We would like a villa with a garden.",
                "It is for investment only.",
                "Could you tell me a little more about it first?",
            ]),
        ),
        Scenario::new("open clause, 500 ms", LOOKING_FOR, open(500)),
        Scenario::new("open clause, 700 ms", LOOKING_FOR, open(700)),
        Scenario::new("open clause, 900 ms", LOOKING_FOR, open(900)),
        Scenario::new(
            "number dictation",
            NUMBER,
            [600, 700, 800, 900]
                .map(|pause| {
                    after_greeting(Does::Speaks(
                        [("nine eight four five", pause), ("one two three", pause), ("four five six", 0)]
                            .map(|(digits, pause)| (digits.to_owned(), pause))
                            .to_vec(),
                    ))
                })
                .to_vec(),
        ),
        Scenario::new(
            "address dictation",
            ADDRESS,
            [500, 700, 800, 900]
                .map(|pause| {
                    after_greeting(Does::Speaks(
                        [("Twelve Lake View Road", pause), ("second floor", pause), ("Whitefield, Bangalore.", 0)]
                            .map(|(line, pause)| (line.to_owned(), pause))
                            .to_vec(),
                    ))
                })
                .to_vec(),
        ),
        Scenario::new(
            "two quick utterances",
            GOOD_TIME,
            vec![
                after_greeting(pauses("Yes.", 250, "But please be quick.")),
                after_greeting(pauses("Okay.", 200, "Who are you again?")),
                after_greeting(pauses("No,", 250, "I mean yes, go ahead.")),
            ],
        ),
        Scenario::new(
            "backchannels",
            LONG,
            ["hmm", "okay", "yeah", "right", "I see", "uh huh"]
                .iter()
                .enumerate()
                .map(|(at, text)| {
                    vec![
                        Does::Acknowledges { after_ms: 3_000 + 400 * at as u64, text },
                        says("Yes, go ahead."),
                        Does::Acknowledges { after_ms: 900, text },
                    ]
                })
                .collect(),
        ),
        Scenario::new(
            "barge-in",
            GOOD_TIME,
            [
                "Wait, one moment please.",
                "Sorry, who is this?",
                "No no, not interested.",
                "Can I ask you something first?",
            ]
            .map(|text| {
                vec![
                    Does::Listens,
                    says("Yes, please go on."),
                    Does::BargesIn { after_ms: 900, text },
                    Does::BargesIn { after_ms: 1_200, text: "Hold on, I have another question." },
                ]
            })
            .to_vec(),
        ),
        Scenario::new(
            "talk-over at the start",
            GOOD_TIME,
            ["Hello?", "Hello, who is this?", "Yes, hello?"]
                .map(|text| vec![Does::TalksOver { text }, says("Yes, speaking.")])
                .to_vec(),
        ),
        Scenario::new(
            "hello? hello?",
            GOOD_TIME,
            [700, 1_000, 1_500]
                .map(|pause| {
                    let asks = [("Hello?".to_owned(), pause), ("Hello? Can you hear me?".to_owned(), 0)];
                    after_greeting(Does::Insists(asks.to_vec()))
                })
                .to_vec(),
        ),
        Scenario::new(
            "long silence",
            GOOD_TIME,
            vec![vec![Does::Listens, Does::StaysSilent { ms: 5_500 }, Does::Listens, says("Yes, I am here.")]],
        ),
        Scenario::new(
            "line noise",
            LOOKING_FOR,
            vec![
                after_greeting(says("I am looking for a two bedroom flat near the lake.")),
                after_greeting(pauses("I am looking for a flat and", 700, "it should be near the metro.")),
                after_greeting(says("Yes.")),
            ],
        )
        .over(noisy),
        Scenario::new(
            "echo of the agent",
            LONG,
            vec![
                vec![Does::Listens, says("Yes, sure."), Does::Listens],
                vec![Does::Listens, says("I am looking for a two bedroom flat."), Does::Listens],
            ],
        )
        .over(echoing),
        Scenario::new(
            "loudspeaker",
            LONG,
            vec![
                vec![Does::Listens, says("Yes, sure."), Does::Listens],
                vec![Does::Listens, says("I am looking for a two bedroom flat."), Does::Listens],
            ],
        )
        .over(loudspeaker),
        Scenario::new("slow tool", GOOD_TIME, short(&["Is flat three still available?"])).with_tool(2_500),
        Scenario::new(
            "ringback at the start",
            GOOD_TIME,
            vec![vec![Does::Sounds { sound: Sound::Ringback, ms: 4_000 }, Does::Listens, says("Yes, speaking.")]],
        ),
        Scenario::new(
            "hold music",
            LONG,
            vec![vec![
                Does::Listens,
                Does::Sounds { sound: Sound::Music, ms: 6_000 },
                says("Yes, I am back."),
                Does::Listens,
            ]],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callee::Script;

    #[test]
    fn every_person_of_every_scenario_has_a_script_that_can_be_played() {
        for scenario in suite() {
            for person in 0..scenario.people.len() {
                let script: Script = serde_json::from_value(script(&scenario, person)).unwrap();
                assert_eq!(script.problem(), None, "{}", scenario.name);
            }
        }
    }

    #[test]
    fn the_pause_between_two_pieces_is_the_silence_between_their_sounds() {
        let steps = steps_of(&pauses("a", 700, "b"), true);
        assert_eq!(steps[1], json!({"do": "stay_silent", "ms": 620}));
    }
}
