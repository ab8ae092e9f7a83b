//! One context on the socket: one reply of the agent, its clauses, and how much of them has become sound.

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::time::Instant;

use super::message::Alignment;
use crate::{
    carrier::SAMPLES_PER_MS,
    dialogue::{CharAt, Epoch},
};

/// How long a character is spoken, where the provider does not say: about 14 characters a second.
const MS_PER_CHAR: u64 = 70;

pub(super) struct Context {
    pub id: String,
    /// `None` for the spare that is opened ahead of the next reply.
    pub epoch: Option<Epoch>,
    /// The initial message was sent: it takes one of the provider's places.
    pub open: bool,
    /// `close_context` was sent.
    pub closing: bool,
    /// Nobody wants its audio.
    pub cancelled: bool,
    /// No more clauses will come.
    pub finished: bool,
    /// It was carried over to a new connection once already.
    pub replayed: bool,
    /// Clauses not completely spoken, oldest first, and how many of them were sent.
    pub clauses: std::collections::VecDeque<Clause>,
    /// The last sign of life, or the last thing asked.
    pub active_at: Instant,
    /// The first clause went out; `None` again once its first sound has been given.
    pub asked_at: Option<Instant>,
    /// A byte whose other half comes with the next chunk.
    odd: Option<u8>,
    /// Where one clause ends and the next begins is only guessed from now on: a sound kept for other calls could have words of its
    /// neighbour.
    guessed: bool,
    /// Sound came without its characters: whose it is is certain only as long as there is one clause.
    unaligned: bool,
}

pub(super) struct Clause {
    pub number: u32,
    pub text: Vec<char>,
    pub sent: bool,
    /// Characters that have become sound.
    pub spoken: usize,
    /// Sound received.
    pub samples: u64,
    /// Some of it came with its characters.
    aligned: bool,
    /// Its whole sound, if the phrase cache wants it.
    pub keep: Option<Vec<i16>>,
}

/// A stretch of sound that belongs to one clause.
#[derive(Debug, PartialEq)]
pub(super) struct Stretch {
    pub clause: u32,
    pub samples: Vec<i16>,
    pub alignment: Vec<CharAt>,
}

/// A clause that is complete, with its sound if that was to be kept.
pub(super) struct Completed {
    pub text: String,
    pub samples: Vec<i16>,
}

impl Context {
    pub(super) fn new(id: String, epoch: Option<Epoch>, now: Instant) -> Self {
        Self {
            id,
            epoch,
            open: false,
            closing: false,
            cancelled: false,
            finished: false,
            replayed: false,
            clauses: std::collections::VecDeque::new(),
            active_at: now,
            asked_at: None,
            odd: None,
            guessed: false,
            unaligned: false,
        }
    }

    /// Whether text can still be added to it.
    pub(super) fn takes_text(&self) -> bool {
        !self.closing && !self.cancelled
    }

    pub(super) fn push(&mut self, number: u32, text: &str, keep: bool) {
        let text = text.trim().chars().collect();
        if self.unaligned {
            self.boundaries_are_guessed();
        }
        let keep = (keep && !self.guessed).then(Vec::new);
        self.clauses.push_back(Clause { number, text, sent: false, spoken: 0, samples: 0, aligned: false, keep });
    }

    /// The first clause that is not completely spoken.
    pub(super) fn current(&self) -> Option<u32> {
        self.clauses.front().map(|clause| clause.number)
    }

    /// Everything sent has become sound, as far as the alignment tells.
    pub(super) fn is_spoken(&self) -> bool {
        self.clauses.iter().all(|clause| clause.spoken >= clause.text.len())
    }

    /// About all of what was sent was heard: what is missing of the last clause may be a breath, or the provider counts other
    /// characters than we do.
    pub(super) fn is_about_heard(&self) -> bool {
        self.clauses.iter().all(Clause::is_about_heard)
    }

    /// Decodes a chunk into whole samples, keeping a half one for the next.
    pub(super) fn decode(&mut self, audio: &str) -> Result<Vec<i16>, base64::DecodeError> {
        let mut bytes = Vec::with_capacity(audio.len() / 4 * 3 + 1);
        bytes.extend(self.odd);
        STANDARD.decode_vec(audio, &mut bytes)?;
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.odd = rest.first().copied();
        Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
    }

    /// Divides a chunk among the clauses its characters belong to. Without alignment a clause is taken to be over when it
    /// has lasted as long as its text usually does and another one waits.
    pub(super) fn attribute(
        &mut self,
        samples: &[i16],
        alignment: Option<Alignment>,
        mut completed: impl FnMut(Completed),
    ) -> Vec<Stretch> {
        let mut stretches = Vec::with_capacity(1);
        let Some(alignment) = alignment else {
            self.unaligned = true;
            if self.clauses.len() > 1 {
                self.boundaries_are_guessed();
            }
            while let Some(clause) = self.clauses.front()
                && self.clauses.len() > 1
                && clause.samples >= clause.text.len() as u64 * MS_PER_CHAR * SAMPLES_PER_MS as u64
            {
                self.complete(&mut completed);
            }
            self.give(samples, Vec::new(), &mut stretches);
            return stretches;
        };
        let mut from = 0;
        let mut marks: Vec<CharAt> = Vec::new();
        let mut word_began = false;
        for (c, ms) in alignment.chars {
            let at = (ms as usize * SAMPLES_PER_MS).min(samples.len());
            // The clause before is over: what follows belongs to the next one.
            while self.clauses.front().is_some_and(|clause| clause.spoken >= clause.text.len())
                && self.clauses.len() > 1
            {
                if c.is_whitespace() {
                    break;
                }
                if self.clauses.get(1).is_some_and(|next| next.text.first() != Some(&c)) {
                    self.boundaries_are_guessed();
                }
                self.give(&samples[from..at.max(from)], std::mem::take(&mut marks), &mut stretches);
                from = at.max(from);
                self.complete(&mut completed);
                word_began = false;
            }
            let expected = self.clauses.front().and_then(|clause| clause.text.get(clause.spoken)).copied();
            if !c.is_whitespace() && expected != Some(c) {
                self.boundaries_are_guessed();
            }
            let Some(clause) = self.clauses.front_mut() else { break };
            clause.aligned = true;
            if c.is_whitespace() {
                word_began = false;
                // The spaces around the text are ours (or the provider's), not the clause's.
                if expected.is_some_and(|e| e.is_whitespace()) {
                    clause.spoken += 1;
                }
                continue;
            }
            if !word_began {
                let relative = (at.max(from) - from) / SAMPLES_PER_MS;
                marks.push(CharAt { char_offset: clause.spoken as u32, at_ms: relative as u32 });
                word_began = true;
            }
            if expected.is_some() {
                clause.spoken += 1;
            }
        }
        self.give(&samples[from..], marks, &mut stretches);
        stretches
    }

    fn boundaries_are_guessed(&mut self) {
        self.guessed = true;
        for clause in &mut self.clauses {
            clause.keep = None;
        }
    }

    /// The context has ended: what is left was complete.
    pub(super) fn complete_all(&mut self, mut completed: impl FnMut(Completed)) {
        while !self.clauses.is_empty() {
            self.complete(&mut completed);
        }
    }

    fn complete(&mut self, completed: &mut impl FnMut(Completed)) {
        let Some(clause) = self.clauses.pop_front() else { return };
        let is_cut_short = clause.aligned && clause.spoken < clause.text.len();
        if let Some(samples) = clause.keep.filter(|_| !is_cut_short) {
            completed(Completed { text: clause.text.into_iter().collect(), samples });
        }
    }

    fn give(&mut self, samples: &[i16], alignment: Vec<CharAt>, stretches: &mut Vec<Stretch>) {
        let Some(clause) = self.clauses.front_mut() else { return };
        if samples.is_empty() {
            return;
        }
        clause.samples += samples.len() as u64;
        if let Some(keep) = &mut clause.keep {
            keep.extend_from_slice(samples);
        }
        stretches.push(Stretch { clause: clause.number, samples: samples.to_vec(), alignment });
    }

    /// Prepares the context for a new connection: what has become sound is not asked for again. `false` if that was
    /// done before.
    pub(super) fn rewind(&mut self, id: String, now: Instant) -> bool {
        if std::mem::replace(&mut self.replayed, true) {
            return false;
        }
        self.id = id;
        self.open = false;
        self.closing = false;
        self.odd = None;
        self.active_at = now;
        for clause in &mut self.clauses {
            clause.sent = false;
            // The sound will have a seam: not one to keep.
            if clause.samples > 0 {
                clause.keep = None;
            }
            let guessed = (clause.samples / (MS_PER_CHAR * SAMPLES_PER_MS as u64)) as usize;
            let heard = if clause.spoken == 0 { guessed } else { clause.spoken }.min(clause.text.len());
            // Never in the middle of a word: the word begins again.
            let word = clause.text[..heard].iter().rposition(|c| c.is_whitespace()).map_or(0, |space| space + 1);
            clause.spoken = if heard == clause.text.len() { heard } else { word };
        }
        self.clauses.retain(|clause| clause.spoken < clause.text.len());
        true
    }
}

impl Clause {
    /// By its characters where the provider tells them, else by the time that they usually take: two thirds will do.
    pub(super) fn is_about_heard(&self) -> bool {
        let by_time = usize::try_from(self.samples / (MS_PER_CHAR * SAMPLES_PER_MS as u64)).unwrap_or(usize::MAX);
        let heard = if self.aligned { self.spoken } else { self.spoken.max(by_time) };
        heard.saturating_mul(3) >= self.text.len().saturating_mul(2)
    }

    /// What is still to be said, ending in a space as the provider asks.
    pub(super) fn unspoken(&self) -> String {
        self.text[self.spoken..].iter().copied().chain([' ']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(clauses: &[&str]) -> Context {
        let mut context = Context::new("c1".into(), Some(Epoch(1)), Instant::now());
        for (n, text) in clauses.iter().enumerate() {
            context.push(n as u32, text, false);
        }
        context
    }

    /// 10 ms (80 samples) per character.
    fn spoken(text: &str) -> (Vec<i16>, Option<Alignment>) {
        let chars = text.chars().enumerate().map(|(n, c)| (c, n as u32 * 10)).collect();
        (vec![1; text.chars().count() * 80], Some(Alignment { chars }))
    }

    /// Clause, samples, and `(char_offset, at_ms)` of its words.
    type Heard = (u32, usize, Vec<(u32, u32)>);

    fn attribute(context: &mut Context, text: &str) -> Vec<Heard> {
        let (samples, alignment) = spoken(text);
        let stretches = context.attribute(&samples, alignment, |_| {});
        let marks = |s: &Stretch| s.alignment.iter().map(|c| (c.char_offset, c.at_ms)).collect();
        stretches.iter().map(|s| (s.clause, s.samples.len(), marks(s))).collect()
    }

    #[test]
    fn a_sample_split_between_chunks_is_put_together() {
        let mut context = context(&[]);
        let samples: Vec<i16> = (0..50).collect();
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let decoded: Vec<i16> =
            bytes.chunks(7).flat_map(|chunk| context.decode(&STANDARD.encode(chunk)).unwrap()).collect();
        assert_eq!(decoded, samples);
    }

    #[test]
    fn sound_is_divided_between_clauses_by_its_characters() {
        let mut context = context(&["Hi you.", "And I?"]);
        assert_eq!(attribute(&mut context, "Hi "), [(0, 240, vec![(0, 0)])]);
        // "you. " belongs to the first clause, "And" to the second.
        assert_eq!(attribute(&mut context, "you. And"), [(0, 400, vec![(3, 0)]), (1, 240, vec![(0, 0)])]);
        assert_eq!(attribute(&mut context, " I? "), [(1, 320, vec![(4, 10)])]);
        assert!(context.is_spoken());
    }

    #[test]
    fn without_alignment_time_decides() {
        let mut context = context(&["ab", "cd"]);
        let chunk = vec![1; 2 * 70 * 8];
        assert_eq!(context.attribute(&chunk, None, |_| {})[0].clause, 0);
        assert_eq!(context.attribute(&chunk, None, |_| {})[0].clause, 1);
        assert_eq!(context.attribute(&chunk, None, |_| {})[0].clause, 1, "the last one takes the rest");
    }

    #[test]
    fn a_replay_says_what_was_not_heard_from_the_start_of_a_word() {
        let mut context = context(&["First one.", "the second clause here", "third"]);
        attribute(&mut context, "First one. the seco");
        assert!(context.rewind("c2".into(), Instant::now()));
        let rest: Vec<String> = context.clauses.iter().map(Clause::unspoken).collect();
        assert_eq!(rest, ["second clause here ", "third "]);
        // Offsets go on counting in the clause's own text.
        assert_eq!(attribute(&mut context, "second"), [(1, 480, vec![(4, 0)])]);
        assert!(!context.rewind("c3".into(), Instant::now()), "once is enough");
    }

    #[test]
    fn a_clause_is_heard_when_two_thirds_of_it_were() {
        let is_heard = |said: &str| {
            let mut context = context(&["Well.", "nine chars"]);
            attribute(&mut context, said);
            context.is_about_heard()
        };
        assert!(is_heard("Well. nine chars") && is_heard("Well. nine ch"));
        assert!(!is_heard("Well. nine c") && !is_heard("Well. ") && !is_heard("W"));
        // Without characters, by time.
        let by_time = |chars: usize| {
            let mut context = context(&["nine chars"]);
            context.attribute(&vec![1; chars * 70 * 8], None, |_| {});
            context.is_about_heard()
        };
        assert!(by_time(7) && !by_time(6));
    }

    #[test]
    fn a_clause_that_was_cut_short_is_not_kept() {
        let mut context = context(&[]);
        context.push(0, "a long clause", true);
        attribute(&mut context, "a long cla");
        context.complete_all(|_| panic!("the next call would hear it cut short"));
    }

    #[test]
    fn the_whole_sound_of_a_clause_can_be_kept() {
        let mut context = context(&[]);
        context.push(0, "ab", true);
        context.push(1, "cd", true);
        let mut kept = Vec::new();
        let (samples, alignment) = spoken("ab cd");
        context.attribute(&samples, alignment, |c| kept.push((c.text, c.samples.len())));
        context.complete_all(|c| kept.push((c.text, c.samples.len())));
        assert_eq!(kept, [("ab".to_owned(), 240), ("cd".to_owned(), 160)]);
    }

    /// What is kept of two clauses and of one that comes later, when this is the sound of the first two.
    fn kept(samples: &[i16], alignment: Option<Alignment>) -> usize {
        let mut context = context(&[]);
        context.push(0, "ab", true);
        context.push(1, "cd", true);
        let mut kept = 0;
        context.attribute(samples, alignment, |_| kept += 1);
        context.push(2, "ef", true);
        context.complete_all(|_| kept += 1);
        kept
    }

    #[test]
    fn nothing_is_kept_whose_end_was_guessed() {
        let (samples, alignment) = spoken("ab cd");
        assert_eq!(kept(&samples, alignment), 3);
        for said in ["a cd", "abb cd", "xy cd"] {
            let (samples, alignment) = spoken(said);
            assert_eq!(kept(&samples, alignment), 0, "{said}: the provider counts other characters");
        }
        assert_eq!(kept(&[1; 400], None), 0);
    }
}
