//! What a call sounded like, held against what its human did. Pure.

use serde::Deserialize;

use super::scenario::Does;

/// People overlap a little when they take turns.
const OVERLAP_MS: u64 = 200;
/// A reply that has not come by then has been missed.
const MISSED_MS: u64 = 4_000;
/// An agent that was on its way when the human went on still sounds until then.
const TOO_LATE_TO_STOP_MS: u64 = 300;
/// An agent that was only paused goes on within this time.
const GOES_ON_WITHIN_MS: u64 = 2_500;
/// Speech begins this far inside an utterance's audio.
const MARGIN_MS: u64 = 40;

/// A call as the simulated carrier reports it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Call {
    #[serde(default)]
    pub said: Vec<Line>,
    #[serde(default)]
    pub heard: Vec<Line>,
    #[serde(default)]
    pub streams: Vec<Stream>,
}

/// Something said or heard, in ms since the answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub began_ms: u64,
    pub ended_ms: u64,
    pub text: String,
    /// The whole text, where only a part of it sounded.
    pub full_text: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stream {
    pub underruns: u64,
    pub agent: Audible,
}

/// When the agent sounded.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Audible {
    pub spans: Vec<[u64; 2]>,
    pub clears: Vec<u64>,
}

/// What was found, over any number of calls.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    pub calls: usize,
    /// From the answer to the agent's first sound, in ms.
    pub first_word_ms: Vec<u64>,
    /// Pauses inside a turn, and how often the agent began to speak in one.
    pub pauses: usize,
    pub cut_ins: usize,
    pub turns: usize,
    /// Turns that got no reply.
    pub missed: usize,
    /// From the human's last sound to the agent's first, in ms.
    pub reply_ms: Vec<u64>,
    pub acknowledged: usize,
    /// Times an acknowledgement, or nothing at all, took the agent's words away for good.
    pub false_stops: usize,
    pub barge_ins: usize,
    /// Barge-ins that the agent talked over to its end.
    pub ignored: usize,
    /// From the human's first sound over the agent to silence, and to the carrier's `clear`, in ms.
    pub silent_ms: Vec<u64>,
    pub clear_ms: Vec<u64>,
    pub gaps: u64,
}

impl Findings {
    /// Adds one call, whose human did this.
    pub fn add(&mut self, does: &[Does], call: &Call) {
        self.calls += 1;
        self.gaps += call.streams.iter().map(|stream| stream.underruns).sum::<u64>();
        let spans: Vec<[u64; 2]> = call.streams.iter().flat_map(|stream| stream.agent.spans.iter().copied()).collect();
        self.first_word_ms.extend(spans.first().map(|[began, _]| *began));
        let mut said = call.said.iter();
        let mut talked_over = None;
        for does in does {
            match does {
                Does::Speaks(pieces) | Does::Insists(pieces) => {
                    let lines: Vec<&Line> = said.by_ref().take(pieces.len()).collect();
                    if lines.len() == pieces.len() {
                        if let (Some(answered), Some(first)) = (talked_over.take(), lines.first()) {
                            self.add_pause(answered, first, &spans);
                        }
                        let is_one_thought = matches!(does, Does::Speaks(_));
                        for pair in lines.windows(2).filter(|_| is_one_thought) {
                            self.add_pause(pair[0].ended_ms, pair[1], &spans);
                        }
                        self.add_turn(lines[lines.len() - 1], &spans);
                    }
                }
                Does::TalksOver { .. } => {
                    // The words over which they were said are the answer: another one is not wanted.
                    let over =
                        |line: &Line| spans.iter().find(|[_, ended]| *ended >= line.ended_ms).map(|[_, ended]| *ended);
                    talked_over = said.next().and_then(over);
                }
                Does::Acknowledges { .. } => {
                    if let Some(line) = said.next() {
                        self.acknowledged += 1;
                        self.false_stops += usize::from(was_cut_for_good(call, line));
                    }
                }
                Does::BargesIn { .. } => {
                    if let Some(line) = said.next() {
                        self.add_barge_in(line, call, &spans);
                    }
                }
                Does::StaysSilent { .. } | Does::Sounds { .. } | Does::Listens => {}
            }
        }
        let nobody_spoke_over_it =
            !does.iter().any(|does| matches!(does, Does::BargesIn { .. } | Does::Acknowledges { .. }));
        if nobody_spoke_over_it {
            self.false_stops += call.heard.iter().filter(|line| was_cut_by_nobody(call, line)).count();
        }
    }

    /// From here until they go on the human has not finished.
    fn add_pause(&mut self, from_ms: u64, next: &Line, spans: &[[u64; 2]]) {
        let until = next.began_ms + TOO_LATE_TO_STOP_MS;
        self.pauses += 1;
        self.cut_ins += usize::from(spans.iter().any(|[began, _]| *began > from_ms && *began <= until));
    }

    fn add_turn(&mut self, last: &Line, spans: &[[u64; 2]]) {
        self.turns += 1;
        let first = spans.iter().map(|[began, _]| *began).find(|began| began + OVERLAP_MS >= last.ended_ms);
        match first.map(|began| began.saturating_sub(last.ended_ms)) {
            Some(ms) if ms <= MISSED_MS => self.reply_ms.push(ms),
            _ => self.missed += 1,
        }
    }

    fn add_barge_in(&mut self, line: &Line, call: &Call, spans: &[[u64; 2]]) {
        let voice = line.began_ms + MARGIN_MS;
        let Some([_, ended]) = spans.iter().find(|[began, ended]| *began <= voice && voice < *ended) else { return };
        self.barge_ins += 1;
        let clears = call.streams.iter().flat_map(|stream| &stream.agent.clears);
        match clears.copied().find(|clear| *clear >= line.began_ms) {
            Some(clear) => {
                self.silent_ms.push(ended.saturating_sub(voice));
                self.clear_ms.push(clear.saturating_sub(voice));
            }
            None => self.ignored += 1,
        }
    }

    pub fn went_wrong(&self) -> bool {
        self.cut_ins + self.missed + self.false_stops + self.ignored > 0
    }

    /// Those of another scenario, too.
    pub fn merge(&mut self, other: &Self) {
        let Self { calls, pauses, cut_ins, turns, missed, reply_ms, acknowledged, false_stops, .. } = other;
        self.calls += calls;
        self.pauses += pauses;
        self.first_word_ms.extend(&other.first_word_ms);
        self.cut_ins += cut_ins;
        self.turns += turns;
        self.missed += missed;
        self.reply_ms.extend(reply_ms);
        self.acknowledged += acknowledged;
        self.false_stops += false_stops;
        self.barge_ins += other.barge_ins;
        self.ignored += other.ignored;
        self.silent_ms.extend(&other.silent_ms);
        self.clear_ms.extend(&other.clear_ms);
        self.gaps += other.gaps;
    }
}

/// Whether the agent's words ended with this line over them, and the rest of them never came.
fn was_cut_for_good(call: &Call, over: &Line) -> bool {
    let cut = call.heard.iter().enumerate().find(|(_, heard)| {
        heard.full_text.is_some() && heard.ended_ms >= over.began_ms && heard.ended_ms <= over.ended_ms + OVERLAP_MS * 5
    });
    cut.is_some_and(|(at, heard)| !is_taken_up(heard, &call.heard[at + 1..]))
}

/// Whether the agent fell silent in mid-sentence although the human had said nothing.
fn was_cut_by_nobody(call: &Call, heard: &Line) -> bool {
    let near = |line: &Line| line.began_ms <= heard.ended_ms && heard.ended_ms <= line.ended_ms + 2_000;
    heard.full_text.is_some()
        && !call.said.iter().any(near)
        && call.heard.iter().any(|later| later.began_ms >= heard.ended_ms)
        && !call
            .heard
            .iter()
            .position(|line| line.began_ms == heard.began_ms)
            .is_some_and(|at| is_taken_up(heard, &call.heard[at + 1..]))
}

/// Whether what is missing of a line is what the agent says next.
fn is_taken_up(cut: &Line, later: &[Line]) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(|word| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
            .collect()
    };
    let whole = words(cut.full_text.as_deref().unwrap_or(&cut.text));
    let rest = &whole[words(&cut.text).len().min(whole.len())..];
    let Some(next) = later.iter().find(|line| line.began_ms <= cut.ended_ms + GOES_ON_WITHIN_MS) else {
        return rest.is_empty();
    };
    let next = words(next.full_text.as_deref().unwrap_or(&next.text));
    // The agent may go back to the beginning of the word, or of the clause, in which it was stopped.
    rest.is_empty()
        || (0..whole.len()).any(|from| whole[from..].starts_with(&next[..next.len().min(3)]) && !next.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(began_ms: u64, ended_ms: u64, text: &str) -> Line {
        Line { began_ms, ended_ms, text: text.into(), full_text: None }
    }

    fn cut(began_ms: u64, ended_ms: u64, text: &str, full_text: &str) -> Line {
        Line { full_text: Some(full_text.into()), ..line(began_ms, ended_ms, text) }
    }

    fn call(said: Vec<Line>, heard: Vec<Line>, spans: &[[u64; 2]], clears: &[u64]) -> Call {
        let agent = Audible { spans: spans.to_vec(), clears: clears.to_vec() };
        Call { said, heard, streams: vec![Stream { underruns: 0, agent }] }
    }

    fn speaks(pieces: usize) -> Does {
        Does::Speaks(vec![("x".to_owned(), 0); pieces])
    }

    fn findings(does: &[Does], call: &Call) -> Findings {
        let mut findings = Findings::default();
        findings.add(does, call);
        findings
    }

    #[test]
    fn a_reply_is_measured_from_the_last_sound_of_the_last_piece() {
        let said = vec![line(4_000, 5_000, "I want a flat and"), line(5_700, 6_500, "a garden")];
        let found = findings(&[Does::Listens, speaks(2)], &call(said, vec![], &[[0, 3_000], [7_300, 9_000]], &[]));
        assert_eq!((found.pauses, found.cut_ins, found.missed), (1, 0, 0));
        assert_eq!(found.reply_ms, [800]);
    }

    #[test]
    fn the_first_word_is_timed_from_the_answer() {
        assert_eq!(
            findings(&[Does::Listens], &call(vec![], vec![], &[[410, 900], [1_200, 3_000]], &[])).first_word_ms,
            [410]
        );
        assert!(findings(&[Does::Listens], &call(vec![], vec![], &[], &[])).first_word_ms.is_empty());
    }

    #[test]
    fn an_agent_that_begins_in_a_pause_has_cut_in() {
        let said = vec![line(4_000, 5_000, "I want a flat and"), line(5_700, 6_500, "a garden")];
        let found = findings(&[speaks(2)], &call(said.clone(), vec![], &[[5_600, 5_900], [7_300, 9_000]], &[]));
        assert_eq!(found.cut_ins, 1);
        let late = findings(&[speaks(2)], &call(said, vec![], &[[5_950, 6_000]], &[]));
        assert_eq!(
            (late.cut_ins, late.missed),
            (1, 1),
            "it could not know yet that they went on, and then said nothing"
        );
    }

    #[test]
    fn who_talks_over_the_greeting_is_answered_by_it() {
        let does = [Does::TalksOver { text: "Hello?" }, speaks(1)];
        let said = vec![line(20, 1_000, "Hello?"), line(7_000, 8_000, "Yes, speaking.")];
        let found = findings(&does, &call(said.clone(), vec![], &[[0, 6_600], [8_600, 9_000]], &[]));
        assert_eq!((found.pauses, found.cut_ins, found.reply_ms), (1, 0, vec![600]));
        let answered = findings(&does, &call(said, vec![], &[[0, 6_600], [7_100, 7_300], [8_600, 9_000]], &[]));
        assert_eq!(answered.cut_ins, 1);
    }

    #[test]
    fn who_insists_may_be_answered_in_between() {
        let said = vec![line(4_000, 4_400, "Hello?"), line(5_400, 6_500, "Hello?")];
        let does = [Does::Insists(vec![("x".to_owned(), 1_000), ("x".to_owned(), 0)])];
        let found = findings(&does, &call(said, vec![], &[[5_000, 5_500], [7_100, 9_000]], &[]));
        assert_eq!((found.pauses, found.cut_ins, found.reply_ms), (0, 0, vec![600]));
    }

    #[test]
    fn a_turn_without_a_reply_is_missed() {
        let found = findings(&[speaks(1)], &call(vec![line(1_000, 2_000, "Yes")], vec![], &[[7_000, 8_000]], &[]));
        assert_eq!((found.turns, found.missed), (1, 1));
    }

    #[test]
    fn an_acknowledgement_that_only_pauses_the_agent_is_no_stop() {
        let does = [Does::Acknowledges { after_ms: 0, text: "hmm" }];
        let whole = vec![line(0, 4_000, "Two bedrooms and a garden")];
        assert_eq!(findings(&does, &call(vec![line(1_000, 1_300, "hmm")], whole, &[], &[])).false_stops, 0);
        let resumed =
            vec![cut(0, 1_400, "Two bedrooms", "Two bedrooms and a garden"), line(2_000, 4_000, "and a garden")];
        assert_eq!(findings(&does, &call(vec![line(1_000, 1_300, "hmm")], resumed, &[], &[])).false_stops, 0);
        let lost =
            vec![cut(0, 1_400, "Two bedrooms", "Two bedrooms and a garden"), line(2_000, 4_000, "Sorry, go on.")];
        assert_eq!(findings(&does, &call(vec![line(1_000, 1_300, "hmm")], lost, &[], &[])).false_stops, 1);
    }

    #[test]
    fn a_barge_in_is_timed_from_the_first_sound_and_may_be_ignored() {
        let does = [Does::BargesIn { after_ms: 0, text: "wait" }];
        let said = vec![line(1_000, 1_800, "Wait")];
        let found = findings(&does, &call(said.clone(), vec![], &[[0, 1_190]], &[1_240]));
        assert_eq!((found.silent_ms, found.clear_ms), (vec![150], vec![200]));
        assert_eq!(findings(&does, &call(said, vec![], &[[0, 3_000]], &[])).ignored, 1);
    }

    #[test]
    fn an_agent_that_stops_for_nobody_has_stopped_falsely() {
        let heard = vec![
            cut(0, 1_400, "Two bedrooms", "Two bedrooms and a garden"),
            line(3_000, 4_000, "Sorry, what was that?"),
        ];
        assert_eq!(findings(&[Does::Listens], &call(vec![], heard, &[], &[])).false_stops, 1);
    }
}
