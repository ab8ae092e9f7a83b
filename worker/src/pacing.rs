//! How long a campaign's dispatcher sleeps. Pure.

use std::time::Duration;

use shared::clock::Clock;
use shared::dispatch::Reserved;

/// Never longer: what nobody announced is found by then.
const LONGEST: Duration = Duration::from_secs(30);
/// Never shorter, so that a hurried clock or a burst of due leads cannot make it spin.
const SHORTEST: Duration = Duration::from_millis(50);
/// After another dispatcher was found at work.
pub const ELSEWHERE: Duration = Duration::from_secs(1);

/// Until the next lead or window is due, the pace allows one more call, or half a minute. A slot that frees, new leads and a
/// resume do not wait for it: they wake the dispatcher.
#[must_use]
pub fn nap(reserved: &Reserved, clock: &Clock) -> Duration {
    let until_due = reserved.next_at.map(|at| clock.wait_until(at));
    [until_due, reserved.pace_wait].into_iter().flatten().min().unwrap_or(LONGEST).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn the_dispatcher_sleeps_until_whatever_comes_first() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let at = |secs| Some(clock.now() + TimeDelta::seconds(secs));
        let nap_of = |next_at, pace_wait| nap(&Reserved { calls: Vec::new(), next_at, pace_wait }, &clock);
        assert_eq!(nap_of(at(7), None), Duration::from_secs(7));
        assert_eq!(nap_of(at(7), Some(Duration::from_millis(300))), Duration::from_millis(300));
        assert_eq!(nap_of(at(3600), None), LONGEST);
        assert_eq!(nap_of(None, None), LONGEST);
        assert_eq!(nap_of(at(-5), None), SHORTEST);
    }
}
