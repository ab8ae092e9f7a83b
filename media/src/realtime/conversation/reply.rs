//! One reply of the agent while it lives: what is being made, what was made, and what of it was heard.

use std::time::Duration;

use shared::turn::push_words;

use crate::dialogue::{CallTime, EndReason, Epoch, Latency, SAMPLES_PER_MS};

/// Speaking rate assumed while sound is still being made: 15 characters a second.
const SAMPLES_PER_CHAR: u64 = SAMPLES_PER_MS * 1_000 / 15;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Greeting,
    Answer,
    Reprompt,
    /// A line of ours about our own trouble.
    Apology,
    Goodbye,
}

/// Who makes the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Model,
    /// Text to speech.
    Voice,
    /// A recording, whose text only stands for it.
    Recording,
}

/// A call that the model has made in a reply: under its own id, and under the ledger's.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) call_id: String,
    pub(super) ledger_id: String,
    pub(super) built_in: bool,
}

/// One piece of the reply's sound with its words.
#[derive(Debug, Clone, Default)]
pub(super) struct Piece {
    /// The server's item; empty for text to speech.
    pub(super) item_id: String,
    pub(super) text: String,
    /// Position in the reply's sound.
    pub(super) start: u64,
    pub(super) samples: u64,
    /// Nothing more comes of it.
    pub(super) whole: bool,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) epoch: Epoch,
    pub(super) kind: Kind,
    pub(super) source: Source,
    /// The words it must have.
    pub(super) exactly: Option<String>,
    /// Nothing that is said over it stops it.
    pub(super) protected: bool,
    /// What follows its last sample: hanging up, or the human's turn.
    pub(super) then_end: Option<EndReason>,
    /// `end_call` or `transfer_to_human` was called in the answer that is still coming.
    pub(super) wants_end: Option<EndReason>,
    /// The response that is being made for it.
    pub(super) response: Option<String>,
    /// Since when its next sound is waited for.
    pub(super) asked: CallTime,
    /// A response was asked for and is not there yet.
    pub(super) awaits_response: bool,
    pub(super) retried: bool,
    /// Calls that have not been answered to the server yet.
    pub(super) calls: Vec<Called>,
    pub(super) called: usize,
    /// Requests for it so far.
    pub(super) rounds: u32,
    pub(super) awaits_tools: bool,
    /// The wait for a slow tool has been bridged with a line, once.
    pub(super) filled: bool,
    pub(super) pieces: Vec<Piece>,
    /// All its sound has come.
    pub(super) made: bool,
    /// It was broken off while it was being made.
    pub(super) broken: bool,
    pub(super) drained: bool,
    pub(super) paused: bool,
    /// When something of it last came.
    pub(super) moved: CallTime,
    /// Last known playout position and when it was known. `None` until the first frame went out.
    progress: Option<(CallTime, u64)>,
    heard: u64,
    pub(super) started: Option<CallTime>,
    pub(super) sentences_noted: usize,
    pub(super) latency: Latency,
}

impl Reply {
    pub(super) fn new(epoch: Epoch, kind: Kind, source: Source, now: CallTime) -> Self {
        Self {
            epoch,
            kind,
            source,
            exactly: None,
            protected: false,
            then_end: None,
            wants_end: None,
            response: None,
            asked: now,
            awaits_response: false,
            retried: false,
            calls: Vec::new(),
            called: 0,
            rounds: 1,
            awaits_tools: false,
            filled: false,
            pieces: Vec::new(),
            made: false,
            broken: false,
            drained: false,
            paused: false,
            moved: now,
            progress: None,
            heard: 0,
            started: None,
            sentences_noted: 0,
            latency: Latency::default(),
        }
    }

    pub(super) fn piece(&mut self, item_id: &str) -> &mut Piece {
        let at = self.pieces.iter().position(|piece| piece.item_id == item_id).unwrap_or_else(|| {
            self.finish_pieces();
            let start = self.samples();
            self.pieces.push(Piece { item_id: item_id.to_owned(), start, ..Piece::default() });
            self.pieces.len() - 1
        });
        &mut self.pieces[at]
    }

    pub(super) fn samples(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.start + piece.samples)
    }

    /// More sound of a piece.
    pub(super) fn sound(&mut self, now: CallTime, item_id: &str, samples: u32) {
        self.latency.first_tts_byte.get_or_insert(now);
        self.latency.first_token.get_or_insert(now);
        if self.progress.is_some() {
            // A playout that had run dry goes on from here, not from where time would have led it.
            let position = self.position(now);
            self.heard = self.heard.max(position);
            self.progress = Some((now, position));
        }
        self.drained = false;
        self.moved = now;
        self.piece(item_id).samples += u64::from(samples);
    }

    /// All its sound has come.
    pub(super) fn complete(&mut self) {
        self.made = true;
        self.response = None;
        self.awaits_response = false;
        self.finish_pieces();
    }

    /// Nothing more comes of what it has so far.
    pub(super) fn finish_pieces(&mut self) {
        for piece in &mut self.pieces {
            piece.whole = true;
        }
    }

    /// A response is being made for it, or was asked for.
    pub(super) fn is_being_made(&self) -> bool {
        self.awaits_response || self.response.is_some()
    }

    /// Where the playout is, interpolated between the pacer's reports.
    fn position(&self, now: CallTime) -> u64 {
        match self.progress {
            None => 0,
            Some((_, samples)) if self.paused => samples,
            Some((at, samples)) => (samples + now.since(at).as_millis() as u64 * SAMPLES_PER_MS).min(self.samples()),
        }
    }

    /// The furthest position heard.
    pub(super) fn heard(&self, now: CallTime) -> u64 {
        self.heard.max(self.position(now))
    }

    pub(super) fn playout_at(&mut self, now: CallTime, samples: u64) {
        let samples = samples.min(self.samples());
        self.heard = self.heard.max(samples);
        self.progress = Some((now, samples));
        if self.started.is_none() {
            self.started = Some(now);
            self.latency.first_frame_sent = Some(now);
        }
    }

    pub(super) fn pause(&mut self, now: CallTime) {
        let position = self.position(now);
        self.heard = self.heard.max(position);
        self.progress = self.progress.map(|_| (now, position));
        self.paused = true;
    }

    /// Where the playout goes on.
    pub(super) fn resume(&mut self, now: CallTime) -> u64 {
        let position = self.position(now);
        self.progress = self.progress.map(|_| (now, position));
        self.paused = false;
        self.moved = now;
        position
    }

    /// When all sound received so far should have been heard.
    pub(super) fn expected_end(&self) -> CallTime {
        let (at, samples) = self.progress.unwrap_or((self.moved, 0));
        at + Duration::from_millis(self.samples().saturating_sub(samples) / SAMPLES_PER_MS)
    }

    pub(super) fn is_finished(&self) -> bool {
        let nothing_to_hear = self.samples() == 0;
        self.made && (self.drained || nothing_to_hear) && !self.paused && !self.awaits_tools
    }

    /// All its words, heard or not.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            push_words(&mut text, piece.text.trim());
        }
        text
    }

    /// The words up to the last one heard at `position`.
    pub(super) fn heard_text(&self, position: u64) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            push_words(&mut text, piece.heard(position));
        }
        text
    }
}

impl Piece {
    fn heard(&self, position: u64) -> &str {
        if position <= self.start {
            return "";
        }
        let text = self.text.trim();
        if self.whole && position >= self.start + self.samples {
            return text;
        }
        let chars = text.chars().count().max(1) as u64;
        let total = if self.whole { self.samples } else { self.samples.max(chars * SAMPLES_PER_CHAR) };
        let (mut heard, mut passed, mut until) = (0, 0_u64, 0);
        for word in text.split_inclusive(char::is_whitespace) {
            passed += word.trim_end().chars().count() as u64;
            until += word.len();
            // A word is heard once its last character is being spoken.
            if self.start + total * passed.saturating_sub(1) / chars >= position {
                break;
            }
            heard = until;
            passed += (word.chars().count() - word.trim_end().chars().count()) as u64;
        }
        text[..heard].trim_end()
    }

    /// Something of it was not heard at `position`, or may yet come.
    pub(super) fn is_unheard(&self, position: u64) -> bool {
        !self.whole || position < self.start + self.samples
    }

    /// How much of it was heard, in milliseconds.
    pub(super) fn heard_ms(&self, position: u64) -> u64 {
        position.saturating_sub(self.start).min(self.samples) / SAMPLES_PER_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_linear_in_each_items_sound() {
        let mut reply = Reply::new(Epoch(1), Kind::Answer, Source::Model, CallTime::ZERO);
        for (item, text, ms) in [("a", "Hello there.", 1_200), ("b", "How are you?", 1_200)] {
            reply.sound(CallTime::ZERO, item, ms * SAMPLES_PER_MS as u32);
            text.clone_into(&mut reply.piece(item).text);
        }
        reply.complete();
        let heard = |ms: u64| reply.heard_text(ms * SAMPLES_PER_MS);
        assert_eq!([heard(0), heard(400), heard(450)], ["", "", "Hello"]);
        assert_eq!([heard(1_200), heard(1_550)], ["Hello there.", "Hello there. How"]);
        assert_eq!(heard(9_999), "Hello there. How are you?");
        assert_eq!(reply.pieces[1].heard_ms(1_500 * SAMPLES_PER_MS), 300);
    }

    #[test]
    fn while_it_is_being_made_words_are_not_heard_before_they_can_have_been_said() {
        let mut reply = Reply::new(Epoch(1), Kind::Answer, Source::Model, CallTime::ZERO);
        reply.sound(CallTime::ZERO, "a", 200 * SAMPLES_PER_MS as u32);
        reply.piece("a").text.push_str("Certainly, that is possible.");
        assert_eq!(reply.heard_text(200 * SAMPLES_PER_MS), "");
    }
}
