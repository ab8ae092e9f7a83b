//! How far a clause was spoken, and where somebody else has to go on.

use crate::{carrier::SAMPLES_PER_MS, dialogue::CharAt};

/// How long a character is spoken, where the provider does not say: about 14 characters a second.
pub(super) const SAMPLES_PER_CHAR: u64 = 70 * SAMPLES_PER_MS as u64;

/// The sound of one clause so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Samples received.
    pub samples: u64,
    /// Where words begin: the character, and the sample.
    words: Vec<(usize, u64)>,
}

impl Progress {
    /// Notes a stretch of sound.
    pub(super) fn heard(&mut self, samples: usize, alignment: &[CharAt]) {
        for mark in alignment {
            let at = self.samples + u64::from(mark.at_ms) * SAMPLES_PER_MS as u64;
            self.words.push((mark.char_offset as usize, at));
        }
        self.samples += samples as u64;
    }

    /// The first character that was not spoken; never in the middle of a word, which begins again. The length of the text if all
    /// of it was.
    pub(super) fn unspoken_from(&self, text: &[char]) -> usize {
        let reached = match self.words.iter().rev().find(|(_, at)| *at < self.samples) {
            // The last word that began: is it over as well?
            Some((from, at)) => from + usize::try_from((self.samples - at) / SAMPLES_PER_CHAR).unwrap_or(usize::MAX),
            None => usize::try_from(self.samples / SAMPLES_PER_CHAR).unwrap_or(usize::MAX),
        };
        if text.get(reached).is_none() {
            return text.len();
        }
        // A word that sounded to its last letter is over; otherwise it begins again.
        if text[reached].is_whitespace() {
            return reached + text[reached..].iter().take_while(|c| c.is_whitespace()).count();
        }
        text[..reached].iter().rposition(|c| c.is_whitespace()).map_or(0, |space| space + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(samples: u64, words: &[(usize, u64)]) -> String {
        let text: Vec<char> = "who is there now".chars().collect();
        let progress = Progress { samples, words: words.to_vec() };
        text[progress.unspoken_from(&text)..].iter().collect()
    }

    #[test]
    fn what_was_not_heard_begins_at_a_word() {
        assert_eq!(rest(0, &[]), "who is there now");
        assert_eq!(rest(2 * SAMPLES_PER_CHAR, &[]), "who is there now", "half a word is said again");
        assert_eq!(rest(3 * SAMPLES_PER_CHAR, &[]), "is there now");
        assert_eq!(rest(8 * SAMPLES_PER_CHAR, &[]), "there now");
        assert_eq!(rest(99 * SAMPLES_PER_CHAR, &[]), "");
    }

    #[test]
    fn the_times_of_words_count_more_than_the_usual_pace() {
        // A slow voice: two words in the time of the whole text.
        let words = [(0, 0), (4, 6_000)];
        assert_eq!(rest(6_100, &words), "is there now");
        assert_eq!(rest(6_000 + 2 * SAMPLES_PER_CHAR, &words), "there now");
        // A word whose time has not come was not heard.
        assert_eq!(rest(5_999, &[(0, 5_000), (4, 6_000)]), "who is there now");
    }

    #[test]
    fn stretches_add_up() {
        let mut progress = Progress::default();
        progress.heard(800, &[CharAt { char_offset: 0, at_ms: 0 }]);
        progress.heard(800, &[CharAt { char_offset: 4, at_ms: 50 }]);
        assert_eq!(progress.words, [(0, 0), (4, 1_200)]);
        assert_eq!(progress.samples, 1_600);
    }
}
