//! Utterances that a provider tells apart by a name of its own: the words of one may come while the next is already being said.

use std::collections::VecDeque;

/// More than anybody says before the first of them is transcribed; the oldest is forgotten.
const MOST: usize = 8;

/// One that is not final yet, in seconds of the connection.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Utterance {
    pub(super) began: Option<f64>,
    pub(super) ended: Option<f64>,
    /// Its words so far.
    pub(super) text: String,
}

/// Those that are not final yet, oldest first.
#[derive(Debug)]
pub(super) struct Utterances<K>(VecDeque<(K, Utterance)>);

impl<K> Default for Utterances<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: PartialEq> Utterances<K> {
    /// A new connection knows none of them.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// The utterance of this name, which begins to exist when it is first named.
    pub(super) fn of(&mut self, name: K) -> &mut Utterance {
        let at = self.0.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            if self.0.len() == MOST {
                self.0.pop_front();
            }
            self.0.push_back((name, Utterance::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// The utterance of this name is final.
    pub(super) fn take(&mut self, name: &K) -> Utterance {
        let at = self.0.iter().position(|(known, _)| known == name);
        at.and_then(|at| self.0.remove(at)).map(|(_, utterance)| utterance).unwrap_or_default()
    }
}

impl Utterance {
    /// Where it lies, if it ended by `now` at the latest.
    pub(super) fn span(&self, now: f64) -> (f64, f64) {
        let end = self.ended.unwrap_or(now);
        (self.began.unwrap_or(0.0).min(end), end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keeps_its_own_until_it_is_final_and_the_oldest_are_forgotten() {
        let mut utterances = Utterances::default();
        utterances.of("a").began = Some(1.0);
        utterances.of("b").began = Some(3.0);
        utterances.of("a").ended = Some(2.0);
        assert_eq!(utterances.take(&"a").span(4.0), (1.0, 2.0));
        assert_eq!(utterances.take(&"b").span(4.0), (3.0, 4.0));
        assert_eq!(utterances.take(&"b").span(4.0), (0.0, 4.0), "nothing is left of it");
        let mut many = Utterances::default();
        for name in 0..100 {
            many.of(name).began = Some(1.0);
        }
        assert_eq!(many.0.len(), MOST);
        assert_eq!(many.take(&99).began, Some(1.0));
    }
}
