//! What comes next in a gathered conversation, decided from what is stored and what Twilio asks. No database, no model.

use std::time::Duration;

use shared::answering_machine::{self, Suspicion};
use shared::phrases::{self, Machine};
use shared::playbook::Lines;
use shared::turn::{Role, Turn};

use super::request::Request;

/// Silences in a row that are asked into.
const MAX_SILENCES: usize = 2;
/// The carrier ends a call at its `TimeLimit`. What is said before has to be spoken to its end, and listened to: so much earlier the
/// next turn is the goodbye.
const WRAP_UP: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It has been asked and answered before.
    Again(String),
    Greet,
    /// After a silence; how many there were in a row.
    Prompt(usize),
    SilenceOver,
    MachineAnswered(Machine),
    TimeIsUp,
    /// The human has pressed 0.
    Connect,
    /// The words are a guess.
    AskAgain,
    /// By the model.
    Answer,
}

/// Who has picked up a phone that the carrier, or its words, make suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answerer {
    Machine(Machine),
    Person,
}

/// The conversation as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub turns: &'a [Turn],
    pub elapsed: Duration,
    pub longest_call: Duration,
    /// The carrier takes whoever answered for a machine.
    pub carrier_suspects: bool,
    pub can_transfer: bool,
    pub lines: &'a Lines,
}

impl<'a> Standing<'a> {
    /// Turns of the human that are stored.
    pub(super) fn human_turns(&self) -> usize {
        self.turns.iter().filter(|turn| turn.role == Role::Callee).count()
    }

    /// The request brings a turn of the human that is not stored yet.
    pub(super) fn is_new(&self, request: &Request) -> bool {
        request.heard.is_some() && (request.turn == 0 || request.turn > self.human_turns())
    }

    /// What the agent has said last, if nobody has spoken since.
    pub(super) fn last_words(&self) -> Option<&'a str> {
        self.turns.last().filter(|turn| turn.role == Role::Agent).map(|turn| turn.text.as_str())
    }

    /// What was said to this very question when it was asked before.
    pub(super) fn said_before(&self, request: &Request) -> Option<&'a str> {
        let human_turns = self.human_turns();
        let is_repeated = match &request.heard {
            Some(_) => !self.is_new(request),
            // One answer to the turn, and one to each silence behind it.
            None => request.turn < human_turns || self.since_human().count() > request.silences,
        };
        self.last_words().filter(|_| is_repeated)
    }

    /// What the agent has said since the human last spoke, latest first.
    fn since_human(&self) -> impl Iterator<Item = &'a str> {
        let agents = self.turns.iter().rev().take_while(|turn| turn.role != Role::Callee);
        agents.filter(|turn| turn.role == Role::Agent).map(|turn| turn.text.as_str())
    }

    /// The model had no answer to the human's turn before the one that is being answered.
    pub(super) fn failed_before(&self) -> bool {
        let before = self.turns.iter().rev().skip_while(|turn| turn.role == Role::Callee);
        let mut agents = before.take_while(|turn| turn.role != Role::Callee);
        agents.any(|turn| turn.text == self.lines.apology || turn.text == self.lines.noted)
    }

    /// What the agent asked for is given in pieces: a number is more than one key, and a zero may be part of it.
    pub(super) fn expects_number(&self) -> bool {
        self.turns
            .iter()
            .rev()
            .find(|turn| turn.role == Role::Agent)
            .is_some_and(|turn| phrases::asks_piecewise(&turn.text))
    }

    /// Is a machine at the other end? By its words, or by the carrier's ear.
    fn machine(&self, request: &Request) -> Option<Answerer> {
        let human_turns = u32::try_from(self.human_turns()).unwrap_or(u32::MAX);
        let suspected = self.carrier_suspects;
        // The carrier takes its time, and whoever has said little may still be one.
        let may_be = match suspected {
            true => human_turns <= answering_machine::MOST_TURNS,
            false => answering_machine::may_be(self.elapsed, human_turns),
        };
        if !may_be {
            return None;
        }
        let said = self.turns.iter().filter(|turn| turn.role == Role::Callee).map(|turn| turn.text.as_str());
        // Once: a person may use one of a machine's phrases.
        let new = request.heard.as_ref().filter(|_| self.is_new(request)).map(|heard| heard.words.as_str());
        let words: Vec<String> = said.chain(new).flat_map(phrases::words).collect();
        let suspicion = Suspicion { carrier: suspected, ..Suspicion::default() };
        if let Some(machine) = suspicion.machine(&words) {
            return Some(Answerer::Machine(machine));
        }
        // Whoever has answered as a person is one.
        match (suspected, words.is_empty()) {
            (false, _) => None,
            (true, true) => Some(Answerer::Machine(Machine::Voicemail)),
            (true, false) => Some(Answerer::Person),
        }
    }

    /// The carrier's verdict is not believed.
    pub(super) fn doubts_machine(&self, request: &Request) -> bool {
        self.machine(request) == Some(Answerer::Person)
    }

    fn is_wrapping_up(&self) -> bool {
        self.elapsed >= self.longest_call.saturating_sub(WRAP_UP.min(self.longest_call / 4))
    }

    pub(super) fn step(&self, request: &Request) -> Step {
        if let Some(text) = self.said_before(request) {
            return Step::Again(text.to_owned());
        }
        if let Some(Answerer::Machine(machine)) = self.machine(request) {
            return Step::MachineAnswered(machine);
        }
        if self.is_wrapping_up() {
            return Step::TimeIsUp;
        }
        let Some(heard) = &request.heard else {
            return match request.silences {
                0 if self.turns.is_empty() => Step::Greet,
                // Their last turn was stored, and its answer never came.
                0 => Step::Answer,
                silences if silences > MAX_SILENCES => Step::SilenceOver,
                silences => Step::Prompt(silences),
            };
        };
        // Said on picking up, it has cut the greeting off.
        if self.human_turns() == 0 && heard.keys.is_empty() && phrases::is_greeting(&phrases::words(&heard.words)) {
            return Step::Greet;
        }
        let may_ask = !self.since_human().any(|text| text == self.lines.not_understood)
            && !phrases::forbids_calls(&phrases::words(&heard.words));
        match heard.keys.as_str() {
            "0" if self.can_transfer && !self.expects_number() => Step::Connect,
            "" if request.is_unsure && may_ask => Step::AskAgain,
            _ => Step::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::gathered::Heard;

    use super::*;

    fn turns(said: &[&str]) -> Vec<Turn> {
        let turn = |(seq, said): (usize, &&str)| {
            let (role, text) = said.split_once(' ').unwrap();
            Turn {
                seq: i32::try_from(seq).unwrap(),
                role: if role == "A" { Role::Agent } else { Role::Callee },
                text: text.to_owned(),
                interrupted: false,
                started_ms: 0,
                ended_ms: 0,
                stages: serde_json::json!({}),
            }
        };
        said.iter().enumerate().map(turn).collect()
    }

    fn step_at(said: &[&str], secs: u64, request: &Request) -> Step {
        standing_at(said, secs, false, |standing| standing.step(request))
    }

    fn standing_at<T>(said: &[&str], secs: u64, carrier_suspects: bool, look: impl FnOnce(Standing<'_>) -> T) -> T {
        let (turns, lines) = (turns(said), Lines::english());
        look(Standing {
            turns: &turns,
            elapsed: Duration::from_secs(secs),
            longest_call: Duration::from_secs(600),
            carrier_suspects,
            can_transfer: true,
            lines: &lines,
        })
    }

    /// The same, where the carrier has taken whoever answered for a machine.
    fn suspected(said: &[&str], request: &Request) -> Step {
        standing_at(said, 40, true, |standing| standing.step(request))
    }

    fn step(said: &[&str], request: &Request) -> Step {
        step_at(said, 10, request)
    }

    fn says(turn: usize, words: &str) -> Request {
        Request { turn, heard: Some(Heard { words: words.into(), keys: String::new() }), ..Request::default() }
    }

    fn presses(turn: usize, keys: &str) -> Request {
        Request { turn, heard: Some(Heard { words: String::new(), keys: keys.into() }), ..Request::default() }
    }

    fn silence(turn: usize, silences: usize) -> Request {
        Request { turn, silences, ..Request::default() }
    }

    #[test]
    fn every_question_is_answered_once_and_then_repeated() {
        let again = |text: &str| Step::Again(text.to_owned());
        assert_eq!(step(&[], &silence(0, 0)), Step::Greet);
        assert_eq!(step(&["A Hello."], &silence(0, 0)), again("Hello."));
        assert_eq!(step(&["A Hello."], &silence(0, 1)), Step::Prompt(1));
        assert_eq!(step(&["A Hello.", "A There?"], &silence(0, 1)), again("There?"));
        assert_eq!(step(&["A Hello.", "A There?"], &silence(0, 2)), Step::Prompt(2));
        assert_eq!(step(&["A Hello.", "A There?", "A Still?"], &silence(0, 3)), Step::SilenceOver);
        assert_eq!(step(&["A Hello.", "A There?"], &says(1, "Yes.")), Step::Answer);
        let talked = ["A Hello.", "C Yes.", "A Which area?"];
        assert_eq!(step(&talked, &says(1, "Yes.")), again("Which area?"));
        assert_eq!(step(&talked, &silence(0, 1)), again("Which area?"), "long past");
        assert_eq!(step(&talked, &silence(1, 1)), Step::Prompt(1));
        assert_eq!(step(&talked, &says(2, "Whitefield.")), Step::Answer);
    }

    #[test]
    fn a_turn_whose_answer_never_came_is_answered() {
        let cut_off = ["A Hello.", "C Yes."];
        assert_eq!(step(&cut_off, &says(1, "Yes.")), Step::Answer);
        assert_eq!(step(&cut_off, &silence(0, 0)), Step::Answer);
    }

    #[test]
    fn a_zero_asks_for_a_human_and_is_a_digit_in_a_number() {
        assert_eq!(step(&["A Hello."], &presses(1, "0")), Step::Connect);
        assert_eq!(step(&["A What is your phone number?"], &presses(1, "0")), Step::Answer);
        assert_eq!(step(&["A Hello."], &presses(1, "05")), Step::Answer);
    }

    #[test]
    fn a_hello_over_the_greeting_has_it_said_again() {
        assert_eq!(step(&["A Hello."], &says(1, "Hello? Hello?")), Step::Greet);
        assert_eq!(step(&["A Hello."], &says(1, "Hello, who is this?")), Step::Answer);
        assert_eq!(step(&["A Hello.", "C Hello?", "A Hello."], &says(2, "Hello?")), Step::Answer);
    }

    #[test]
    fn a_guess_is_asked_about_once() {
        let unsure = Request { is_unsure: true, ..says(1, "hm") };
        assert_eq!(step(&["A Hello."], &unsure), Step::AskAgain);
        let asked = Lines::english().not_understood;
        let again = Request { is_unsure: true, ..says(2, "hm") };
        assert_eq!(step(&["A Hello.", "C hm", &format!("A {asked}")], &again), Step::Answer);
        let wish = Request { is_unsure: true, ..says(1, "do not call me again") };
        assert_eq!(step(&["A Hello."], &wish), Step::Answer, "that is not asked twice");
    }

    #[test]
    fn machines_are_known_in_the_beginning_and_people_speak_of_them_later() {
        let greeting = says(1, "You have reached Karan. Please leave a message after the beep.");
        assert_eq!(step(&["A Hello."], &greeting), Step::MachineAnswered(Machine::Voicemail));
        assert_eq!(step_at(&["A Hello."], 40, &greeting), Step::Answer);
        let off = says(1, "The number you are calling is switched off. Please try again later.");
        assert_eq!(step(&["A Hello."], &off), Step::MachineAnswered(Machine::Announcement));
        assert_eq!(suspected(&[], &silence(0, 0)), Step::MachineAnswered(Machine::Voicemail));
        assert_eq!(suspected(&["A Hello."], &silence(0, 1)), Step::MachineAnswered(Machine::Voicemail));
        let perhaps = says(1, "Please leave a message.");
        assert_eq!(suspected(&["A Hello."], &perhaps), Step::MachineAnswered(Machine::Voicemail));
        assert_eq!(suspected(&["A Hello."], &says(1, "Hello, who is this?")), Step::Answer, "no machine says so");
        let talked = ["A Hello.", "C Yes.", "A Area?", "C Here.", "A Budget?", "C Fifty.", "A When?"];
        assert_eq!(suspected(&talked, &says(4, "Leave a message.")), Step::Answer);
        let once = ["A Hello.", "C Can you leave a message with my wife?"];
        assert_eq!(step(&once, &says(1, "Can you leave a message with my wife?")), Step::Answer, "heard once");
    }

    #[test]
    fn the_goodbye_comes_while_it_can_still_be_heard() {
        assert_eq!(step_at(&["A Hello."], 539, &says(1, "Yes.")), Step::Answer);
        assert_eq!(step_at(&["A Hello."], 540, &says(1, "Yes.")), Step::TimeIsUp);
        assert_eq!(step_at(&["A Hello."], 540, &silence(0, 1)), Step::TimeIsUp);
    }

    #[test]
    fn a_failure_is_remembered_for_one_turn() {
        let lines = Lines::english();
        let failed = |said: &[&str]| standing_at(said, 10, false, |standing| standing.failed_before());
        let apology = format!("A {}", lines.apology);
        assert!(failed(&["A Hello.", "C Yes.", &apology, "C Yes!"]));
        assert!(failed(&["A Hello.", "C Yes.", &apology, "A There?", "C Yes!"]));
        assert!(!failed(&["A Hello.", "C Yes.", &apology, "C Yes!", "A Area?", "C Here."]));
    }
}
