//! One reply of the agent while it lives: what was asked, what was sent to speech, what was heard.

use shared::conversation_event::{EndReason, LlmFailure};

use super::Cut;
use super::clauses::Splitter;
use super::history::{Entry, ToolCall};
use super::input::{AskId, CallTime, Epoch, LlmFinish, SAMPLES_PER_MS};
use super::output::Latency;
use super::speech::Speech;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Greeting,
    Answer,
    /// The rest of a reply that was stopped by something that was no interruption.
    Continuation,
    Reprompt,
    NotUnderstood,
    Goodbye,
}

impl Kind {
    /// These ask whether anybody is there: "yes" is an answer to them, not an acknowledgement.
    pub(crate) fn yields_to_any_word(self) -> bool {
        matches!(self, Self::Reprompt | Self::NotUnderstood)
    }
}

/// A request to the model that has not ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenAsk {
    pub(crate) id: AskId,
    pub(crate) asked: CallTime,
    pub(crate) last_token: Option<CallTime>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) epoch: Epoch,
    pub(crate) kind: Kind,
    /// Nothing that is said over it stops it.
    pub(crate) protected: bool,
    /// A recording, whose text only stands for it.
    pub(crate) recorded: bool,
    /// What follows its last sample: hanging up, or the human's turn.
    pub(crate) then_end: Option<EndReason>,
    /// `end_call` or `transfer_to_human` was called in the answer that is still coming.
    pub(crate) wants_end: Option<EndReason>,
    pub(crate) ask: Option<OpenAsk>,
    /// A note to the model for every request of this reply.
    pub(crate) note: Option<&'static str>,
    pub(crate) retried: bool,
    /// The round whose answer broke off behind what was said, and was asked for again. Once per reply.
    pub(crate) continued: Option<usize>,
    /// All that was sent to speech so far is the bridge over a gap: the answer is still to come.
    pub(crate) only_bridged: bool,
    /// Tool calls per answer of the model. The last one is the current round.
    pub(crate) rounds: Vec<Vec<ToolCall>>,
    pub(crate) awaits_tools: bool,
    /// A word about the wait has been said.
    pub(crate) filled: bool,
    pub(crate) splitter: Splitter,
    pub(crate) speech: Speech,
    /// No more text will come.
    pub(crate) flushed: bool,
    pub(crate) speech_done: bool,
    pub(crate) speech_retried: bool,
    /// The pacer has said that everything delivered was heard.
    pub(crate) drained: bool,
    /// Last known playout position and when it was known. `None` until the first frame went out.
    progress: Option<(CallTime, u64)>,
    /// The playout does not move.
    pub(crate) paused: bool,
    /// Furthest position heard.
    heard: u64,
    /// When something was last sent to speech or came from it.
    pub(crate) speech_moved: CallTime,
    pub(crate) started: Option<CallTime>,
    /// Of the clauses that were heard, how many have been noted.
    pub(crate) clauses_noted: usize,
    pub(crate) latency: Latency,
}

impl Reply {
    pub(crate) fn new(epoch: Epoch, kind: Kind, now: CallTime) -> Self {
        Self {
            epoch,
            kind,
            protected: false,
            recorded: false,
            then_end: None,
            wants_end: None,
            ask: None,
            note: None,
            retried: false,
            continued: None,
            only_bridged: false,
            rounds: vec![Vec::new()],
            awaits_tools: false,
            filled: false,
            splitter: Splitter::default(),
            speech: Speech::default(),
            flushed: false,
            speech_done: false,
            speech_retried: false,
            drained: false,
            progress: None,
            paused: false,
            heard: 0,
            speech_moved: now,
            started: None,
            clauses_noted: 0,
            latency: Latency::default(),
        }
    }

    pub(crate) fn round(&self) -> usize {
        self.rounds.len() - 1
    }

    /// Has anything been said that answers the human?
    pub(crate) fn says_something(&self) -> bool {
        !self.speech.is_empty() && !self.only_bridged
    }

    /// Is the answer that is being made the rest of one that broke off?
    pub(crate) fn continues(&self) -> bool {
        self.continued == Some(self.round())
    }

    /// Where the playout is, interpolated between the pacer's reports.
    pub(crate) fn position(&self, now: CallTime) -> u64 {
        match self.progress {
            None => 0,
            Some((_, samples)) if self.paused => samples,
            Some((at, samples)) => {
                (samples + now.since(at).as_millis() as u64 * SAMPLES_PER_MS).min(self.speech.samples())
            }
        }
    }

    /// The furthest position heard.
    pub(crate) fn heard(&self, now: CallTime) -> u64 {
        self.heard.max(self.position(now))
    }

    pub(crate) fn heard_text(&self, now: CallTime) -> String {
        self.speech.heard_all(self.heard(now))
    }

    pub(crate) fn playout_at(&mut self, now: CallTime, samples: u64) {
        let samples = samples.min(self.speech.samples());
        self.heard = self.heard.max(samples);
        self.progress = Some((now, samples));
        if self.started.is_none() {
            self.started = Some(now);
            self.latency.first_frame_sent = Some(now);
        }
    }

    /// Before more audio is added: a playout that had run dry goes on from here, not from where time would have led it.
    pub(crate) fn audio_arrives(&mut self, now: CallTime) {
        if self.progress.is_some() {
            let position = self.position(now);
            self.heard = self.heard.max(position);
            self.progress = Some((now, position));
        }
        self.drained = false;
        self.speech_moved = now;
    }

    pub(crate) fn pause(&mut self, now: CallTime) {
        let position = self.position(now);
        self.heard = self.heard.max(position);
        if self.progress.is_some() {
            self.progress = Some((now, position));
        }
        self.paused = true;
    }

    /// Goes on from the word that the pause fell into.
    pub(crate) fn resume(&mut self, now: CallTime) -> u64 {
        let from = self.speech.word_start(self.position(now));
        if self.progress.is_some() {
            self.progress = Some((now, from));
        }
        self.paused = false;
        self.speech_moved = now;
        from
    }

    /// When all audio received so far should have been heard.
    pub(crate) fn expected_end(&self) -> CallTime {
        let (at, samples) = self.progress.unwrap_or((self.speech_moved, 0));
        at + std::time::Duration::from_millis(self.speech.samples().saturating_sub(samples) / SAMPLES_PER_MS)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.flushed && self.speech_done && self.drained && self.ask.is_none() && !self.paused
    }

    /// The reply as history entries, each round with its calls: what was heard at `position`, or everything that was sent.
    pub(crate) fn entries(&self, position: Option<u64>, cut: bool) -> Vec<Entry> {
        let last_heard = |text: &str, round: usize| cut && text.len() < self.speech.sent(round).len();
        self.rounds
            .iter()
            .enumerate()
            .map(|(round, calls)| {
                let text =
                    position.map_or_else(|| self.speech.sent(round), |position| self.speech.heard(round, position));
                Entry::Agent { cut: last_heard(&text, round), text, calls: calls.clone() }
            })
            .filter(|entry| !matches!(entry, Entry::Agent { text, calls, .. } if text.is_empty() && calls.is_empty()))
            .collect()
    }

    /// What is owed to the human if it is given up before its first sound and nothing is said: the rest of what was cut off before,
    /// or what its tools find out.
    pub(crate) fn owes_the_rest(&self) -> Option<Cut> {
        match self.kind {
            Kind::Continuation => Some(Cut { unheard: self.speech.sent_all(), whole: true }),
            Kind::Answer if self.note.is_some() || self.called_tools() => {
                Some(Cut { unheard: String::new(), whole: false })
            }
            _ => None,
        }
    }

    pub(crate) fn has_called(&self, id: &str) -> bool {
        self.rounds.iter().flatten().any(|call| call.id == id)
    }

    pub(crate) fn called_tools(&self) -> bool {
        self.rounds.iter().any(|calls| !calls.is_empty())
    }
}

/// A reply begun before the end of turn was certain: the model's answer, kept until it is.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) epoch: Epoch,
    pub(crate) ask: AskId,
    pub(crate) asked: CallTime,
    /// Normalised words that it answers.
    pub(crate) answers: Vec<String>,
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) first_token: Option<CallTime>,
    pub(crate) last_token: Option<CallTime>,
    pub(crate) end: Option<Result<LlmFinish, LlmFailure>>,
}
