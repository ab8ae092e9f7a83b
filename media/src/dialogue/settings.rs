//! Everything a conversation is told before it begins. Plain data; each number has its unit in its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::agent_tool::{self, Means, ToolSpec};
use shared::answering_machine::OnMachine;
use shared::callback::CallbackTerms;
use shared::outgoing_message::MessageTemplate;
use shared::persona::Facts;
use shared::playbook::greeting::OwnGreeting;
use shared::playbook::{Lines, Playbook, prompt};

use super::input::CallTime;

#[derive(Debug, Clone)]
pub struct DialogueSettings {
    pub playbook: Arc<Playbook>,
    pub facts: Facts,
    /// BCP 47: `en-IN`, `hi-IN`, `hi-en` (Hinglish), ... Chooses the fixed lines and is named in the prompt.
    pub language: String,
    /// The voice agent's own language, in which `greeting` is written.
    pub usual_language: String,
    /// Others that it may go over to when the human speaks one of them. BCP 47.
    pub also_speaks: Vec<String>,
    /// Replaces the fixed lines of the language.
    pub lines: Option<Lines>,
    /// By tag or by bare language (`hi`): the greeting in languages other than the usual one. Before `greeting`.
    pub greetings: BTreeMap<String, String>,
    /// Replaces the playbook's greeting. May hold `{variables}`.
    pub greeting: Option<String>,
    pub opening: Opening,
    /// Local date, time and zone where the human is, for "tomorrow at five" in the prompt: `Saturday 21 November 2026,
    /// 15:30 (Asia/Kolkata)`.
    pub local_time: Option<String>,
    /// When the human can be called back: what is confirmed aloud is what happens. `None`: nobody knows, and nothing is promised.
    pub callbacks: Option<CallbackTerms>,
    pub limits: Limits,
    pub endpointing: EndpointingSettings,
    pub barge_in: BargeInSettings,
    /// Ask the model already on an eager end of turn, before it is certain. Costs more tokens, saves 150-400 ms.
    pub speculate: bool,
    /// Speak the first clause of an answer before its first sentence is whole.
    pub early_clause: bool,
    /// Bridge the wait for a slow tool with a line.
    pub fillers: bool,
    /// Texts that `send_message` may send, by what the model calls them; may hold `{variables}`.
    pub messages: Vec<MessageTemplate>,
    /// Tools beside the built-in ones; calls of them become `Output::RunTool`.
    pub tools: Vec<ToolSpec>,
    /// What happens when a machine answers.
    pub on_machine: OnMachine,
    /// Offer `transfer_to_human`.
    pub can_transfer: bool,
}

impl DialogueSettings {
    pub fn new(playbook: Arc<Playbook>) -> Self {
        Self {
            playbook,
            facts: Facts::new(),
            language: "en-IN".to_owned(),
            usual_language: "en-IN".to_owned(),
            also_speaks: Vec::new(),
            lines: None,
            greetings: BTreeMap::new(),
            greeting: None,
            opening: Opening::SpeakAtOnce,
            local_time: None,
            callbacks: None,
            limits: Limits::default(),
            endpointing: EndpointingSettings::default(),
            barge_in: BargeInSettings::default(),
            speculate: true,
            early_clause: true,
            fillers: true,
            messages: Vec::new(),
            tools: Vec::new(),
            on_machine: OnMachine::HangUp,
            can_transfer: false,
        }
    }
}

impl DialogueSettings {
    /// The facts know the agent's own name and its company's, so that every text can hold them.
    pub(crate) fn name_the_agent(&mut self) {
        for (key, value) in [("agent_name", &self.playbook.agent_name), ("company", &self.playbook.company)] {
            self.facts.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }

    /// The fixed lines in the language that is spoken.
    pub(crate) fn fixed_lines(&self) -> Lines {
        self.lines.clone().unwrap_or_else(|| Lines::for_language(&self.language))
    }

    /// All tools of the conversation.
    pub(crate) fn offered_tools(&self) -> Arc<[ToolSpec]> {
        agent_tool::offered(&self.means(), &self.tools).into()
    }

    pub(crate) fn means(&self) -> Means<'_> {
        Means {
            playbook: &self.playbook,
            facts: &self.facts,
            language: &self.language,
            callbacks: self.callbacks.as_ref(),
            messages: &self.messages,
            can_transfer: self.can_transfer,
        }
    }

    /// What the model is told before all else. `collected`: answers from before a resume.
    pub(crate) fn system_prompt(&self, collected: &BTreeMap<String, String>) -> String {
        let situation = prompt::Situation {
            facts: &self.facts,
            language: &self.language,
            local_time: self.local_time.as_deref(),
            collected,
        };
        prompt::system_prompt(&self.playbook, situation)
    }

    /// The first words: in the language that is spoken where there are any, the voice agent's own before the playbook's. What an
    /// agent says of itself in its usual language goes before a built-in text in another, which is about another business.
    pub fn greeting(&self) -> &str {
        self.playbook.greeting_in(&self.language, self.own_greeting())
    }

    /// Whether the first words are in the language that is spoken.
    pub(crate) fn greets_in_language(&self) -> bool {
        self.playbook.greets_in(&self.language, self.own_greeting())
    }

    fn own_greeting(&self) -> OwnGreeting<'_> {
        OwnGreeting { usual: self.greeting.as_deref(), usual_language: &self.usual_language, others: &self.greetings }
    }
}

/// Who speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    SpeakAtOnce,
    /// Give the human this long to say "hello" (1,500-2,000 is natural); the greeting then follows their hello, or the end
    /// of the wait.
    WaitForHello {
        up_to_ms: u64,
    },
}

/// Bounds of every wait. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The whole call, hung up hard at the end.
    pub max_duration_ms: u64,
    /// This long before the end no new answer is started: the next turn is the goodbye.
    pub wrap_up_ms: u64,
    /// This long before the end the goodbye is spoken, whatever is going on.
    pub goodbye_ms: u64,
    /// Silence after the agent's last word before the first re-prompt, and before each later step.
    pub silence_ms: u64,
    pub silence_again_ms: u64,
    /// Re-prompts before the polite close.
    pub reprompts: u32,
    /// From the question to the model to its first token.
    pub first_token_ms: u64,
    /// Longest pause inside a streamed answer.
    pub token_gap_ms: u64,
    /// From `Speak` to the first audio of that clause, when nothing else is left to play.
    pub first_audio_ms: u64,
    /// Longest pause inside a clause that is being synthesised, when nothing else is left to play.
    pub speech_stalled_ms: u64,
    /// A tool outside the dialogue.
    pub tool_ms: u64,
    /// Silence while a tool runs before a word about it.
    pub filler_ms: u64,
    /// Requests per turn that a model may spend on tools before it must speak.
    pub tool_rounds: u32,
    /// Without transcripts the call is closed after this long.
    pub stt_down_ms: u64,
    /// Voice without a pause for this long ends the turn, or nobody would ever be answered in a noisy street.
    pub longest_turn_ms: u64,
    /// The playout clock standing still for this long, with audio left, counts as played.
    pub playout_stuck_ms: u64,
    /// Hang up this long after the goodbye's audio should have ended.
    pub drain_slack_ms: u64,
}

impl Limits {
    /// From here on the next turn of the agent is the goodbye.
    pub(crate) fn wraps_up_at(&self) -> CallTime {
        CallTime::from_millis(self.max_duration_ms - self.wrap_up_ms.min(self.max_duration_ms / 4))
    }

    /// Here the goodbye is spoken.
    pub(crate) fn goodbye_at(&self) -> CallTime {
        CallTime::from_millis(self.max_duration_ms - self.goodbye_ms.min(self.max_duration_ms / 8))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_duration_ms: 10 * 60_000,
            wrap_up_ms: 30_000,
            goodbye_ms: 10_000,
            silence_ms: 7_000,
            silence_again_ms: 7_000,
            reprompts: 2,
            first_token_ms: 4_000,
            token_gap_ms: 4_000,
            first_audio_ms: 3_000,
            speech_stalled_ms: 5_000,
            tool_ms: 8_000,
            filler_ms: 1_000,
            tool_rounds: 4,
            stt_down_ms: 10_000,
            longest_turn_ms: 45_000,
            playout_stuck_ms: 1_500,
            drain_slack_ms: 2_000,
        }
    }
}

/// How much silence ends the human's turn. Milliseconds since their voice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointingSettings {
    /// After a short, closed answer: "yes", "two crore", "haan ji".
    pub closed_ms: u64,
    /// After a whole sentence that the provider also thinks has ended.
    pub sentence_ms: u64,
    pub usual_ms: u64,
    /// After a filler ("um"), an open clause ("and"), a run of digits, or when a number, e-mail or date was asked for.
    pub open_ms: u64,
    /// Least silence where the provider gave no sign of an end of turn.
    pub floor_ms: u64,
    /// Least time from the start of the voice where the provider gave no sign: 500 ms of speech + `floor_ms`.
    pub floor_since_voice_began_ms: u64,
    /// Without any final transcript the interim one is taken after this much silence.
    pub interim_only_ms: u64,
    /// Silence before `FinalizeStt`, and before a speculative request.
    pub eager_ms: u64,
    /// Voice, silence, and still no text: "sorry, I did not catch that".
    pub no_text_ms: u64,
    /// Voice for so long, and still no text, where words are heard while they are said: a noise, whether it pauses or not.
    pub wordless_ms: u64,
    /// The same behind words: they have ended, whatever is heard.
    pub words_stopped_ms: u64,
    /// Learned pauses move `usual_ms` by at most this much down and up.
    pub learn_down_ms: u64,
    pub learn_up_ms: u64,
}

impl Default for EndpointingSettings {
    fn default() -> Self {
        Self {
            closed_ms: 300,
            sentence_ms: 500,
            usual_ms: 700,
            open_ms: 1_200,
            floor_ms: 600,
            floor_since_voice_began_ms: 1_100,
            interim_only_ms: 1_000,
            eager_ms: 150,
            no_text_ms: 1_000,
            wordless_ms: 4_000,
            words_stopped_ms: 3_000,
            learn_down_ms: 100,
            learn_up_ms: 400,
        }
    }
}

/// When the human's voice stops the agent. Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BargeInSettings {
    /// Voice this long is a real interruption, words or not.
    pub interrupt_ms: u64,
    /// Voice that is, so far, only an acknowledgement ("haan, haan") may last this long.
    pub acknowledgement_ms: u64,
    /// Paused on suspicion and nothing came of it: go on after this long.
    pub resume_ms: u64,
    /// Is the greeting protected? (Its disclosure has to be heard.) What is said over it is kept as the next turn.
    pub protect_greeting: bool,
}

impl Default for BargeInSettings {
    fn default() -> Self {
        Self { interrupt_ms: 250, acknowledgement_ms: 900, resume_ms: 600, protect_greeting: true }
    }
}
