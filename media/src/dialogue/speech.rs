//! Which words of a reply has the human heard? Maps the playout clock to text.

use shared::turn::push_words;

use super::input::{CharAt, SAMPLES_PER_MS};

/// Speaking rate assumed while a clause without alignment is still being synthesised: 15 characters a second.
const SAMPLES_PER_CHAR: u64 = SAMPLES_PER_MS * 1_000 / 15;

#[derive(Debug, Clone)]
struct Clause {
    index: u32,
    /// Which answer of the model within the reply it belongs to.
    round: usize,
    text: String,
    /// Position in the epoch's audio, in samples.
    start: u64,
    samples: u64,
    /// (character offset, position in the epoch's audio), rising.
    chars: Vec<(u32, u64)>,
    complete: bool,
}

/// The speech of one epoch: its clauses, and their place in its audio.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speech {
    clauses: Vec<Clause>,
    next_index: u32,
    samples: u64,
}

impl Speech {
    /// Adds a clause and gives its number.
    pub(crate) fn add(&mut self, text: String, round: usize) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        self.clauses.push(Clause { index, round, text, start: 0, samples: 0, chars: Vec::new(), complete: false });
        index
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Samples received so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    pub(crate) fn expects(&self, clause: u32) -> bool {
        self.clauses.iter().any(|c| c.index == clause && !c.complete)
    }

    /// Audio of a clause arrived. Those before it are complete; one that got no audio at all was left out by the provider,
    /// so that it has not been said. Gives whether that happened.
    pub(crate) fn audio(&mut self, clause: u32, samples: u64, alignment: &[CharAt]) -> bool {
        let at = self.samples;
        self.samples += samples;
        let before = self.clauses.len();
        self.clauses.retain(|c| c.index >= clause || c.samples > 0);
        let left_out = self.clauses.len() < before;
        for earlier in self.clauses.iter_mut().filter(|c| c.index < clause) {
            earlier.complete = true;
        }
        let Some(clause) = self.clauses.iter_mut().find(|c| c.index == clause) else { return left_out };
        if clause.samples == 0 {
            clause.start = at;
        }
        clause.samples += samples;
        for entry in alignment {
            let position = at + u64::from(entry.at_ms) * SAMPLES_PER_MS;
            // Some providers repeat characters or go back; only what rises can be searched.
            if clause
                .chars
                .last()
                .is_none_or(|&(char_offset, last)| entry.char_offset > char_offset && position >= last)
            {
                clause.chars.push((entry.char_offset, position));
            }
        }
        left_out
    }

    pub(crate) fn all_complete(&mut self) {
        for clause in &mut self.clauses {
            clause.complete = true;
        }
    }

    /// The first clause that has no audio yet.
    pub(crate) fn first_silent(&self) -> Option<u32> {
        self.clauses.iter().find(|c| !c.complete && c.samples == 0).map(|c| c.index)
    }

    /// The clause that was broken off: it has sound, but for less than two thirds of its text.
    pub(crate) fn broken_off(&self) -> Option<u32> {
        let said = |c: &Clause| c.heard_bytes(self.samples) * 3 >= c.text.len() * 2;
        self.clauses.iter().find(|c| !c.complete && !said(c)).map(|c| c.index)
    }

    /// Takes what is missing from `clause` on away, to be spoken again: (round, text) each. What was delivered stays.
    pub(crate) fn take_missing(&mut self, clause: u32) -> Vec<(usize, String)> {
        let total = self.samples;
        let mut missing = Vec::new();
        for c in self.clauses.iter_mut().filter(|c| !c.complete && (c.index >= clause || c.samples == 0)) {
            let delivered = if c.samples == 0 { 0 } else { c.heard_bytes(total) };
            let rest = c.text.split_off(delivered);
            c.complete = true;
            if rest.chars().any(char::is_alphanumeric) {
                missing.push((c.round, rest.trim_start().to_owned()));
            }
        }
        self.clauses.retain(|c| !c.text.is_empty());
        missing
    }

    /// Text of a round up to the last word heard at `position`.
    pub(crate) fn heard(&self, round: usize, position: u64) -> String {
        self.joined(|c| c.round == round, |c| &c.text[..c.heard_bytes(position)])
    }

    /// Everything heard at `position`, all rounds.
    pub(crate) fn heard_all(&self, position: u64) -> String {
        self.joined(|_| true, |c| &c.text[..c.heard_bytes(position)])
    }

    /// How many clauses have been heard to their end.
    pub(crate) fn clauses_heard(&self, position: u64) -> usize {
        self.clauses.iter().filter(|c| c.complete && c.samples > 0 && c.start + c.samples <= position).count()
    }

    /// What had been sent to speech but not been heard.
    pub(crate) fn unheard(&self, position: u64) -> String {
        self.joined(|_| true, |c| &c.text[c.heard_bytes(position)..])
    }

    /// Everything sent in a round.
    pub(crate) fn sent(&self, round: usize) -> String {
        self.joined(|c| c.round == round, |c| &c.text)
    }

    pub(crate) fn sent_all(&self) -> String {
        self.joined(|_| true, |c| &c.text)
    }

    fn joined<'a>(&'a self, which: impl Fn(&Clause) -> bool, part: impl Fn(&'a Clause) -> &'a str) -> String {
        let mut text = String::new();
        for clause in self.clauses.iter().filter(|c| which(c)) {
            push_words(&mut text, part(clause));
        }
        text
    }

    /// Where to go on after a pause: the beginning of the word that `position` lies in.
    pub(crate) fn word_start(&self, position: u64) -> u64 {
        /// Going back further would repeat a phrase, not a word.
        const FURTHEST: u64 = 1_000 * SAMPLES_PER_MS;
        let inside = |c: &&Clause| c.samples > 0 && c.start <= position && position < c.start + c.samples;
        let Some(clause) = self.clauses.iter().find(inside) else { return position };
        let start = clause
            .words()
            .map(|(from, _)| clause.char_position(clause.text[..from].chars().count()))
            .take_while(|&start| start <= position)
            .last()
            .unwrap_or(clause.start);
        if position - start > FURTHEST { position } else { start }
    }
}

impl Clause {
    /// Byte ranges of the words.
    fn words(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut from = 0;
        self.text.split_inclusive(char::is_whitespace).map(move |word| {
            let start = from;
            from += word.len();
            (start, start + word.trim_end().len())
        })
    }

    /// Length in bytes of what has been heard at `position`, up to the end of a word.
    fn heard_bytes(&self, position: u64) -> usize {
        if self.samples == 0 || position <= self.start {
            return 0;
        }
        if self.complete && position >= self.start + self.samples {
            return self.text.len();
        }
        let mut heard = 0;
        let mut chars = 0;
        let mut counted = 0;
        for (_, end) in self.words() {
            chars += self.text[counted..end].chars().count();
            counted = end;
            // A word is heard once its last character is being spoken.
            if self.char_position(chars.saturating_sub(1)) >= position {
                break;
            }
            heard = end;
        }
        heard
    }

    /// Where a character begins in the epoch's audio.
    fn char_position(&self, offset: usize) -> u64 {
        if !self.chars.is_empty() {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            let at = self.chars.partition_point(|&(char_offset, _)| char_offset < offset);
            // Behind the last aligned character nothing is known to have been spoken.
            return self
                .chars
                .get(at)
                .map_or(if self.complete { self.start + self.samples } else { u64::MAX }, |&(_, position)| position);
        }
        let chars = self.text.chars().count().max(1) as u64;
        let total = if self.complete { self.samples } else { self.samples.max(chars * SAMPLES_PER_CHAR) };
        self.start + total * offset as u64 / chars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(text: &str, ms_per_char: u32) -> Vec<CharAt> {
        (0..text.chars().count() as u32)
            .map(|char_offset| CharAt { char_offset, at_ms: char_offset * ms_per_char })
            .collect()
    }

    #[test]
    fn heard_text_ends_at_a_word_by_alignment() {
        let mut speech = Speech::default();
        let text = "Would you like two bedrooms?";
        let clause = speech.add(text.to_owned(), 0);
        speech.audio(clause, 28 * 100 * SAMPLES_PER_MS, &aligned(text, 100));
        speech.all_complete();
        let heard = |ms: u64| speech.heard_all(ms * SAMPLES_PER_MS);
        assert_eq!(heard(0), "");
        assert_eq!(heard(300), "");
        assert_eq!(heard(450), "Would");
        assert_eq!(heard(1_000), "Would you");
        assert_eq!(heard(2_800), text);
        assert_eq!(speech.unheard(1_000 * SAMPLES_PER_MS), "like two bedrooms?");
        assert_eq!(speech.word_start(1_250 * SAMPLES_PER_MS), 1_000 * SAMPLES_PER_MS, "the start of `like`");
    }

    #[test]
    fn without_alignment_the_position_is_linear_in_the_clause() {
        let mut speech = Speech::default();
        let first = speech.add("Hello there.".to_owned(), 0);
        let second = speech.add("How are you?".to_owned(), 0);
        speech.audio(first, 1_200 * SAMPLES_PER_MS, &[]);
        speech.audio(second, 1_200 * SAMPLES_PER_MS, &[]);
        speech.all_complete();
        assert_eq!(speech.heard_all(1_200 * SAMPLES_PER_MS), "Hello there.");
        assert_eq!(speech.heard_all(1_550 * SAMPLES_PER_MS), "Hello there. How");
        assert_eq!(speech.heard_all(9_999_999), "Hello there. How are you?");
    }

    #[test]
    fn what_a_failed_provider_left_out_can_be_spoken_again() {
        let mut speech = Speech::default();
        let text = "One two three.";
        let first = speech.add(text.to_owned(), 0);
        speech.add("Four.".to_owned(), 0);
        speech.audio(first, 800 * SAMPLES_PER_MS, &aligned("One two ", 100));
        assert_eq!(speech.take_missing(first), [(0, "three.".to_owned()), (0, "Four.".to_owned())]);
        assert_eq!(speech.sent_all(), "One two");
        assert!(!speech.expects(first), "late audio of the failed clause is stale");
    }

    #[test]
    fn a_clause_that_the_provider_left_out_was_not_said() {
        let mut speech = Speech::default();
        speech.add("One.".to_owned(), 0);
        let second = speech.add("Two.".to_owned(), 0);
        assert!(speech.audio(second, 800, &[]));
        speech.all_complete();
        assert_eq!(speech.heard_all(800), "Two.");
        assert_eq!(speech.sent_all(), "Two.");
    }
}
