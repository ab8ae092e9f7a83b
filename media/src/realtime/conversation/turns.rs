//! Who said what, in order. A transcript may come long after the answer to it has begun: turns are settled in the order in which they
//! began, and one whose words are still being written down holds up those behind it, but not for ever.

use std::collections::VecDeque;
use std::time::Duration;

use shared::turn::push_words;

use crate::dialogue::{CallTime, Epoch, Latency, Speaker, UnsettledWords};

/// A transcript is given up after this long.
const TRANSCRIPT_WITHIN: Duration = Duration::from_secs(6);
/// Turns waiting at once; beyond it the oldest is settled as it stands.
const MOST_WAITING: usize = 16;

/// A turn that will not change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) speaker: Speaker,
    pub(super) text: String,
    pub(super) interrupted: bool,
    pub(super) started: CallTime,
    pub(super) ended: CallTime,
    pub(super) latency: Latency,
}

#[derive(Debug)]
enum Turn {
    Human {
        item_id: String,
        text: String,
        /// Its words will not change.
        known: bool,
        began: CallTime,
        ended: CallTime,
        /// Until when its words are waited for; `None` while it is being said.
        until: Option<CallTime>,
    },
    Agent {
        epoch: Epoch,
        settled: Option<Settled>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<Turn>,
}

impl Turns {
    /// The human began to speak.
    pub(super) fn human(&mut self, item_id: &str, began: CallTime) {
        let is_known =
            self.waiting.iter().any(|turn| matches!(turn, Turn::Human { item_id: known, .. } if known == item_id));
        if !is_known {
            self.waiting.push_back(Turn::Human {
                item_id: item_id.to_owned(),
                text: String::new(),
                known: false,
                began,
                ended: began,
                until: None,
            });
        }
    }

    /// The human has said it.
    pub(super) fn committed(&mut self, item_id: &str, now: CallTime, said_until: CallTime) {
        self.human(item_id, said_until);
        for turn in &mut self.waiting {
            if let Turn::Human { item_id: known, ended, began, until, .. } = turn
                && known == item_id
            {
                *ended = said_until.max(*began);
                *until = Some(now + TRANSCRIPT_WITHIN);
            }
        }
    }

    /// More of a turn's words, or all of them. `false`: no such turn.
    pub(super) fn words(&mut self, item_id: &str, words: &str, all: bool) -> bool {
        for turn in &mut self.waiting {
            if let Turn::Human { item_id: id, text, known, .. } = turn
                && id == item_id
                && !*known
            {
                if all {
                    words.clone_into(text);
                } else {
                    text.push_str(words);
                }
                *known = all;
                return true;
            }
        }
        false
    }

    /// Whatever came of a turn's words is all there is.
    pub(super) fn no_more_words(&mut self, item_id: &str) {
        for turn in &mut self.waiting {
            if let Turn::Human { item_id: id, known, .. } = turn
                && id == item_id
            {
                *known = true;
            }
        }
    }

    /// No transcript will come any more of what was said until now. `true`: something that was said is lost with it.
    pub(super) fn deaf(&mut self) -> bool {
        let mut lost = false;
        for turn in &mut self.waiting {
            if let Turn::Human { known, text, .. } = turn
                && !*known
            {
                *known = true;
                lost |= text.trim().is_empty();
            }
        }
        lost
    }

    /// The agent began to be heard.
    pub(super) fn agent(&mut self, epoch: Epoch) {
        self.waiting.push_back(Turn::Agent { epoch, settled: None });
    }

    /// What was heard of the agent.
    pub(super) fn settle(&mut self, epoch: Epoch, what: Settled) {
        let is_it = |turn: &&mut Turn| matches!(turn, Turn::Agent { epoch: known, settled: None } if *known == epoch);
        match self.waiting.iter_mut().find(is_it) {
            Some(Turn::Agent { settled, .. }) => *settled = Some(what),
            _ => self.waiting.push_back(Turn::Agent { epoch, settled: Some(what) }),
        }
    }

    /// Is any word of the human's still waited for?
    pub(super) fn awaits_words(&self) -> bool {
        self.waiting.iter().any(|turn| matches!(turn, Turn::Human { known: false, .. }))
    }

    /// When the transcript that holds up the others is given up.
    pub(super) fn deadline(&self) -> Option<CallTime> {
        match self.waiting.front()? {
            Turn::Human { known: false, until, .. } => *until,
            _ => None,
        }
    }

    /// Takes out what is settled; `all`: as it stands, because the call is over.
    pub(super) fn take_settled(&mut self, now: CallTime, all: bool) -> Vec<Settled> {
        let mut settled = Vec::new();
        while let Some(turn) = self.waiting.front() {
            let ready = match turn {
                Turn::Human { known, until, .. } => *known || until.is_some_and(|until| until <= now),
                Turn::Agent { settled, .. } => settled.is_some(),
            };
            if !ready && !all && self.waiting.len() <= MOST_WAITING {
                break;
            }
            match self.waiting.pop_front() {
                Some(Turn::Human { text, began, ended, .. }) if !text.trim().is_empty() => settled.push(Settled {
                    speaker: Speaker::Human,
                    text: text.trim().to_owned(),
                    interrupted: false,
                    started: began,
                    ended,
                    latency: Latency::default(),
                }),
                Some(Turn::Agent { settled: Some(turn), .. }) if !turn.text.is_empty() => settled.push(turn),
                _ => {}
            }
        }
        settled
    }

    /// All that the human is known to have said and that is not settled, certain or not.
    pub(super) fn said(&self) -> String {
        let mut said = String::new();
        for turn in &self.waiting {
            if let Turn::Human { text, .. } = turn {
                push_words(&mut said, text);
            }
        }
        said
    }

    /// What the human has said for certain that is not settled.
    pub(super) fn unsettled(&self) -> Option<UnsettledWords> {
        let mut words: Option<UnsettledWords> = None;
        for turn in &self.waiting {
            if let Turn::Human { text, known: true, began, ended, .. } = turn
                && !text.trim().is_empty()
            {
                let words = words.get_or_insert(UnsettledWords { text: String::new(), began: *began, ended: *ended });
                push_words(&mut words.text, text.trim());
                words.ended = *ended;
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    fn said(text: &str) -> Settled {
        Settled {
            speaker: Speaker::Agent,
            text: text.to_owned(),
            interrupted: false,
            started: at(2_000),
            ended: at(3_000),
            latency: Latency::default(),
        }
    }

    fn texts(turns: Vec<Settled>) -> Vec<String> {
        turns.into_iter().map(|turn| turn.text).collect()
    }

    #[test]
    fn an_answer_is_not_settled_before_what_it_answers() {
        let mut turns = Turns::default();
        turns.human("i1", at(1_000));
        turns.committed("i1", at(1_900), at(1_400));
        turns.agent(Epoch(2));
        turns.settle(Epoch(2), said("This is Asha."));
        assert_eq!(texts(turns.take_settled(at(3_000), false)), [""; 0]);
        turns.words("i1", "who is", false);
        turns.words("i1", "Who is this?", true);
        assert_eq!(texts(turns.take_settled(at(3_100), false)), ["Who is this?", "This is Asha."]);
    }

    #[test]
    fn a_transcript_that_never_comes_holds_up_nothing_for_ever() {
        let mut turns = Turns::default();
        turns.human("i1", at(1_000));
        turns.committed("i1", at(1_900), at(1_400));
        turns.words("i1", "who is", false);
        turns.settle(Epoch(2), said("This is Asha."));
        assert_eq!(turns.deadline(), Some(at(7_900)));
        assert_eq!(texts(turns.take_settled(at(7_900), false)), ["who is", "This is Asha."]);
    }

    #[test]
    fn words_behind_something_unsettled_are_known_all_the_same() {
        let mut turns = Turns::default();
        turns.agent(Epoch(1));
        turns.human("i1", at(1_000));
        turns.committed("i1", at(1_900), at(1_400));
        turns.words("i1", "Yes.", true);
        assert_eq!(turns.unsettled().map(|words| words.text), Some("Yes.".to_owned()));
        assert!(turns.take_settled(at(2_000), false).is_empty());
    }
}
