//! Whatever happens in whatever order, some things always hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use shared::playbook::Playbook;

/// Something happens, to the newest request or reply or to one of those before it (`back`).
#[derive(Debug, Clone)]
enum Event {
    Started,
    Voice,
    VoiceOn,
    VoiceOff(u16),
    Interim(usize),
    Final(usize, bool),
    WordsEnd,
    Eager(bool),
    TurnEnd,
    SttDown,
    SttUp,
    Key(char),
    Beep,
    Delta { back: usize, text: usize },
    Writing { back: usize },
    Call { back: usize, tool: usize },
    Done { back: usize, finish: LlmFinish },
    Fail { back: usize, failure: LlmFailure },
    Result { back: usize, ok: bool },
    Audio { back: usize, clause: u32, ms: u16, aligned: bool },
    SpeechDone { back: usize },
    SpeechFails { back: usize, clause: u32 },
    PlayoutStarts { back: usize },
    Played { back: usize, ms: u16 },
    Drained { back: usize },
    Stopped,
    Drain,
    Nothing,
}

const SAID: [&str; 11] = [
    "please leave a message after the beep",
    "hmm",
    "haan ji",
    "wait",
    "I want a flat in",
    "a flat.",
    "my number is nine eight",
    "don't call me again",
    "yes",
    "",
    "what is the price of it?",
];
const ANSWERS: [&str; 5] = ["Fine. ", "Which area, ", "do you like best of all the areas?", " 3.5 crore", "Goodbye."];
const TOOLS: [(&str, &str); 7] = [
    ("end_call", "{}"),
    ("record_answer", r#"{"field":"budget","value":"1"}"#),
    ("record_answer", "garbage"),
    ("mark_do_not_call", "{}"),
    ("look_up", "{}"),
    ("unknown", "{}"),
    ("transfer_to_human", "{}"),
];

fn back() -> impl Strategy<Value = usize> {
    prop_oneof![9 => Just(0), 1 => 1usize..4]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Started),
        6 => Just(Event::Voice),
        6 => Just(Event::VoiceOn),
        6 => (0u16..400).prop_map(Event::VoiceOff),
        5 => (0..SAID.len()).prop_map(Event::Interim),
        8 => (0..SAID.len(), any::<bool>()).prop_map(|(said, end)| Event::Final(said, end)),
        1 => Just(Event::WordsEnd),
        2 => any::<bool>().prop_map(Event::Eager),
        1 => Just(Event::TurnEnd),
        1 => Just(Event::SttDown),
        1 => Just(Event::SttUp),
        1 => prop::sample::select(vec!['1', '#', 'x']).prop_map(Event::Key),
        1 => Just(Event::Beep),
        10 => (back(), 0..ANSWERS.len()).prop_map(|(back, text)| Event::Delta { back, text }),
        1 => back().prop_map(|back| Event::Writing { back }),
        3 => (back(), 0..TOOLS.len()).prop_map(|(back, tool)| Event::Call { back, tool }),
        8 => (back(), prop::sample::select(vec![LlmFinish::Stop, LlmFinish::ToolCalls, LlmFinish::Length, LlmFinish::Refused])).prop_map(|(back, finish)| Event::Done { back, finish }),
        2 => (back(), prop::sample::select(vec![LlmFailure::Unavailable, LlmFailure::Misconfigured])).prop_map(|(back, failure)| Event::Fail { back, failure }),
        2 => (back(), any::<bool>()).prop_map(|(back, ok)| Event::Result { back, ok }),
        14 => (back(), 0u32..4, 0u16..3_000, any::<bool>()).prop_map(|(back, clause, ms, aligned)| Event::Audio { back, clause, ms, aligned }),
        8 => back().prop_map(|back| Event::SpeechDone { back }),
        1 => (back(), 0u32..4).prop_map(|(back, clause)| Event::SpeechFails { back, clause }),
        6 => back().prop_map(|back| Event::PlayoutStarts { back }),
        8 => (back(), 0u16..4_000).prop_map(|(back, ms)| Event::Played { back, ms }),
        8 => back().prop_map(|back| Event::Drained { back }),
        1 => prop_oneof![1 => Just(Event::Stopped), 5 => Just(Event::Nothing)],
        1 => prop_oneof![1 => Just(Event::Drain), 5 => Just(Event::Nothing)],
        4 => Just(Event::Nothing),
    ]
}

/// The outside: keeps the ids it was given, and checks every output.
struct World {
    dialogue: Dialogue,
    now: u64,
    asks: Vec<AskId>,
    open_ask: Option<AskId>,
    epochs: Vec<Epoch>,
    tool_calls: Vec<String>,
    /// Epochs that may still sound.
    sounding: BTreeSet<Epoch>,
    last_seq: Option<u32>,
    ended: Option<u64>,
}

const MAX_MS: u64 = 60_000;

impl World {
    fn new(speculate: bool, wait: bool, resumed: bool) -> Self {
        let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
        settings.limits.max_duration_ms = MAX_MS;
        settings.speculate = speculate;
        settings.barge_in.protect_greeting = !wait;
        settings.can_transfer = true;
        settings.opening = if wait { Opening::WaitForHello { up_to_ms: 1_800 } } else { Opening::SpeakAtOnce };
        settings.tools = vec![ToolSpec {
            name: "look_up".to_owned(),
            description: String::new(),
            parameters: serde_json::json!({}),
        }];
        let hello = Said { speaker: Speaker::Human, text: "hello".to_owned(), interrupted: false };
        let resume = resumed.then(|| History::resume([hello], BTreeMap::new(), 3, Gap::Lost));
        Self {
            dialogue: Dialogue::new(settings, resume),
            now: 0,
            asks: Vec::new(),
            open_ask: None,
            epochs: Vec::new(),
            tool_calls: Vec::new(),
            sounding: BTreeSet::new(),
            last_seq: None,
            ended: None,
        }
    }

    fn input(&self, event: Event) -> Option<Input> {
        fn at<T: Clone>(items: &[T], back: usize) -> Option<T> {
            items.iter().rev().nth(back).cloned()
        }
        let now = CallTime::from_millis(self.now);
        Some(match event {
            Event::Started => Input::Started,
            Event::Voice => Input::VoiceStarted { began: now - ms(80) },
            Event::VoiceOn => Input::VoiceGoesOn { until: now },
            Event::VoiceOff(ago) => Input::VoiceStopped { ended: now - ms(u64::from(ago)) },
            Event::Interim(said) => Input::SttInterim { text: SAID[said].to_owned() },
            Event::Final(said, speech_final) => Input::SttFinal { text: SAID[said].to_owned(), speech_final },
            Event::WordsEnd => Input::SttUtteranceEnd,
            Event::Eager(true) => Input::SttEagerEndOfTurn,
            Event::Eager(false) => Input::SttTurnResumed,
            Event::TurnEnd => Input::SttEndOfTurn,
            Event::SttDown => Input::SttUnavailable,
            Event::SttUp => Input::SttRecovered,
            Event::Key(digit) => Input::Dtmf { digit },
            Event::Beep => Input::Beep,
            Event::Delta { back, text } => {
                Input::LlmDelta { ask: at(&self.asks, back)?, text: ANSWERS[text].to_owned() }
            }
            Event::Writing { back } => Input::LlmWriting { ask: at(&self.asks, back)? },
            Event::Call { back, tool } => Input::LlmToolCall {
                ask: at(&self.asks, back)?,
                call: ToolCall {
                    id: "call_0".to_owned(),
                    name: TOOLS[tool].0.to_owned(),
                    arguments: TOOLS[tool].1.to_owned(),
                    extra: None,
                },
            },
            Event::Done { back, finish } => Input::LlmDone { ask: at(&self.asks, back)?, finish },
            Event::Fail { back, failure } => Input::LlmFailed { ask: at(&self.asks, back)?, kind: failure },
            Event::Result { back, ok } => {
                let outcome = if ok { ToolOutcome::Ok("1".to_owned()) } else { ToolOutcome::Failed("no".to_owned()) };
                Input::ToolResult { call_id: at(&self.tool_calls, back)?, outcome }
            }
            Event::Audio { back, clause, ms, aligned } => {
                let alignment = if aligned {
                    (0..20).map(|char_offset| CharAt { char_offset, at_ms: char_offset * 60 }).collect()
                } else {
                    Vec::new()
                };
                Input::TtsAudio { epoch: at(&self.epochs, back)?, clause, samples: u32::from(ms) * 8, alignment }
            }
            Event::SpeechDone { back } => Input::TtsDone { epoch: at(&self.epochs, back)? },
            Event::SpeechFails { back, clause } => Input::TtsFailed { epoch: at(&self.epochs, back)?, clause },
            Event::PlayoutStarts { back } => Input::PlayoutStarted { epoch: at(&self.epochs, back)? },
            Event::Played { back, ms } => Input::Played { epoch: at(&self.epochs, back)?, samples: u64::from(ms) * 8 },
            Event::Drained { back } => Input::PlayoutDrained { epoch: at(&self.epochs, back)? },
            Event::Stopped => Input::StreamStopped { reason: StreamEnd::HungUp },
            Event::Drain => Input::Drain { by: now + ms(5_000) },
            Event::Nothing => Input::Deadline,
        })
    }

    fn give(&mut self, input: Input) {
        let drained = match &input {
            Input::PlayoutDrained { epoch } => Some(*epoch),
            _ => None,
        };
        self.dialogue.handle(CallTime::from_millis(self.now), input);
        // What the pacer has played out no longer sounds.
        if let Some(epoch) = drained {
            self.sounding.remove(&epoch);
        }
        while let Some(output) = self.dialogue.poll_output() {
            self.check(output);
        }
        match self.dialogue.deadline() {
            None => assert!(self.ended.is_some(), "a live call without a deadline"),
            Some((at, _)) => {
                assert!(at.as_millis() > self.now || at > CallTime::from_millis(self.now), "a deadline in the past");
                let phase = self.dialogue.phase();
                assert!(self.dialogue.phase_deadline().is_some(), "{phase:?} without a way out");
            }
        }
    }

    fn check(&mut self, output: Output) {
        assert!(self.ended.is_none(), "after the end: {output:?}");
        match output {
            Output::AskLlm { ask, messages, .. } => {
                assert!(self.asks.last().is_none_or(|last| *last < ask));
                self.asks.push(ask);
                self.open_ask = Some(ask);
                check_messages(&messages);
            }
            Output::CancelLlm { ask } => assert_eq!(self.open_ask.take(), Some(ask)),
            Output::RunTool { call_id, .. } => {
                assert!(!self.tool_calls.contains(&call_id), "a tool was run twice");
                self.tool_calls.push(call_id);
            }
            Output::Speak { epoch, .. } => {
                if self.epochs.last() != Some(&epoch) {
                    assert!(self.epochs.last().is_none_or(|last| *last < epoch), "epochs rise");
                    self.epochs.push(epoch);
                }
                self.sounding.insert(epoch);
                assert_eq!(self.sounding.len(), 1, "two replies audible: {:?}", self.sounding);
            }
            Output::ClearPlayout { epoch } => self.sounding.retain(|sounding| *sounding > epoch),
            Output::Record(turn) => {
                assert!(self.last_seq.is_none_or(|last| turn.seq == last + 1));
                self.last_seq = Some(turn.seq);
                assert!(!turn.text.is_empty());
                assert!(turn.started <= turn.ended);
            }
            Output::Metric(name) => assert_ne!(name, "timers_stuck"),
            Output::Ended { .. } => self.ended = Some(self.now),
            _ => {}
        }
    }

    /// Time passes; the driver gives every deadline when it comes.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some((at, _)) = self.dialogue.deadline() {
            // Deadlines are finer than the milliseconds of this world.
            let at = at.as_duration().as_micros().div_ceil(1_000) as u64;
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.give(Input::Deadline);
        }
        self.now = until;
    }
}

/// Every tool call is followed by its one answer, and the roles make sense.
fn check_messages(messages: &[Message]) {
    let mut ids = BTreeSet::new();
    let mut awaited: VecDeque<&str> = VecDeque::new();
    assert!(matches!(messages.first(), Some(Message::System { .. })));
    for message in messages {
        if let Message::Tool { call_id, .. } = message {
            assert_eq!(awaited.pop_front(), Some(call_id.as_str()), "an answer without its call");
            continue;
        }
        assert!(awaited.is_empty(), "a call without its answer");
        if let Message::Assistant { text, tool_calls } = message {
            assert!(!text.is_empty() || !tool_calls.is_empty());
            for call in tool_calls {
                assert!(ids.insert(&call.id), "an id used twice");
                awaited.push_back(&call.id);
            }
        }
    }
    assert!(awaited.is_empty(), "a call without its answer");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_call_stays_sane_and_ends(
        speculate in any::<bool>(),
        wait in any::<bool>(),
        resumed in any::<bool>(),
        events in prop::collection::vec((prop_oneof![3 => 0u64..100, 2 => 100u64..1_500, 1 => 1_500u64..6_000], event()), 0..150),
    ) {
        let mut world = World::new(speculate, wait, resumed);
        world.give(Input::Started);
        for (wait, event) in events {
            world.pass(wait);
            if let Some(input) = world.input(event) {
                // Only the outside knows when a request is over.
                if let Input::LlmDone { ask, .. } | Input::LlmFailed { ask, .. } = &input && world.open_ask == Some(*ask) {
                    world.open_ask = None;
                }
                world.give(input);
            }
            if world.ended.is_some() {
                break;
            }
        }
        world.pass(2 * MAX_MS);
        let ended = world.ended.expect("the call ends");
        prop_assert!(ended <= MAX_MS + 5_000);
    }
}
