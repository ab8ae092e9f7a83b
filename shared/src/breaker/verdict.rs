//! When to stop, from how the latest calls ended. Pure.

use super::Finished;

/// Calls that are looked at: enough to find a few that were answered among many that were not.
pub(super) const LOOK_AT: usize = 60;
/// So many failures of the system in a row stop a campaign,
const IN_A_ROW: usize = 8;
/// or so many among the latest so many.
const WINDOW: usize = 20;
const IN_WINDOW: usize = 10;
/// So many people in a row who answered and heard nobody do, too: each of them was disturbed for nothing.
const SILENT_IN_A_ROW: usize = 5;
/// A call of so many seconds is one in which the voice agent had time to greet.
pub(super) const LONG_ENOUGH_TO_GREET_SECS: i32 = 5;

/// How a call ended, as far as the system is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The carrier refused it, could not place it, or cannot say.
    System,
    /// Answered, and nobody spoke to them.
    Silent,
    Spoken,
    /// Busy, unanswered, declined, forbidden, hung up at once.
    Ordinary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trip {
    /// The latest so many calls all failed.
    AllFailed(usize),
    /// Of the latest `of` calls `failed` did.
    ManyFailed { failed: usize, of: usize },
    /// The latest so many who answered heard nobody.
    Silence(usize),
}

/// `latest`: newest first.
pub(super) fn judge(latest: &[Finished]) -> Option<Trip> {
    let failed_in_a_row = latest.iter().take_while(|call| call.verdict == Verdict::System).count();
    if failed_in_a_row >= IN_A_ROW {
        return Some(Trip::AllFailed(failed_in_a_row));
    }
    if latest.len() >= WINDOW {
        let failed = latest[..WINDOW].iter().filter(|call| call.verdict == Verdict::System).count();
        if failed >= IN_WINDOW {
            return Some(Trip::ManyFailed { failed, of: WINDOW });
        }
    }
    let mut answered = latest.iter().filter(|call| matches!(call.verdict, Verdict::Silent | Verdict::Spoken));
    let silent = answered.by_ref().take_while(|call| call.verdict == Verdict::Silent).count();
    (silent >= SILENT_IN_A_ROW).then_some(Trip::Silence(silent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;

    /// Newest first: `x` the system's failure, `s` silence, `t` talk, `.` ordinary.
    fn judged(latest: &str) -> Option<Trip> {
        let verdict = |letter| match letter {
            'x' => Verdict::System,
            's' => Verdict::Silent,
            't' => Verdict::Spoken,
            _ => Verdict::Ordinary,
        };
        let call = |letter| Finished { id: CallId(1), verdict: verdict(letter), failure_reason: None };
        judge(&latest.chars().map(call).collect::<Vec<_>>())
    }

    #[test]
    fn eight_failures_in_a_row_trip_and_seven_do_not() {
        assert_eq!(judged("xxxxxxxx"), Some(Trip::AllFailed(8)));
        assert_eq!(judged("xxxxxxx"), None);
        assert_eq!(judged("xxxxxxx.x"), None);
    }

    #[test]
    fn half_of_the_latest_twenty_trip_but_not_of_fewer() {
        assert_eq!(judged(&"x.".repeat(10)), Some(Trip::ManyFailed { failed: 10, of: 20 }));
        assert_eq!(judged(&"x.".repeat(9)), None);
        assert_eq!(judged(&format!("{}{}", "x.".repeat(9), "..x")), None, "the window is twenty calls long");
    }

    #[test]
    fn people_who_hear_nobody_trip_however_many_do_not_answer_in_between() {
        assert_eq!(judged("s...s..s.s.....s"), Some(Trip::Silence(5)));
        assert_eq!(judged("ssss"), None);
        assert_eq!(judged("sssstsss"), None);
    }

    #[test]
    fn ordinary_endings_never_trip() {
        assert_eq!(judged(&".".repeat(60)), None);
        assert_eq!(judged(&"t.".repeat(30)), None);
        assert_eq!(judged(""), None);
    }
}
