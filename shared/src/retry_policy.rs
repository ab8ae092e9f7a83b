//! When a lead that was not reached is called again. Pure: the time and the dice are arguments.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

const ATTEMPTS: std::ops::RangeInclusive<u32> = 1..=10;
/// From a minute to a fortnight.
const DELAY_MINUTES: std::ops::RangeInclusive<u32> = 1..=14 * 24 * 60;
/// A delay varies by so much either way, so that a list called together is not called together again.
const JITTER: f64 = 0.10;

/// How an attempt ended that did not become a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    NoAnswer,
    Busy,
    /// The carrier or the network failed the call.
    Failed,
    Voicemail,
    /// Answered, and hung up before a conversation began.
    Disconnected,
}

/// Waiting times per outcome, in minutes; every field may be left out of the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct RetryPolicy {
    max_attempts: u32,
    no_answer_minutes: u32,
    busy_minutes: u32,
    failed_minutes: u32,
    voicemail_minutes: u32,
    disconnected_minutes: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Due from then on. It may lie outside the calling window: pass it through
    /// [`CallingWindow::next_allowed`](crate::calling_window::CallingWindow::next_allowed).
    At(DateTime<Utc>),
    Exhausted,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be between {least} and {most}, not {value}")]
pub struct RetryPolicyError {
    pub field: &'static str,
    pub least: u32,
    pub most: u32,
    pub value: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            no_answer_minutes: 120,
            busy_minutes: 240,
            failed_minutes: 60,
            voicemail_minutes: 240,
            disconnected_minutes: 120,
        }
    }
}

impl RetryPolicy {
    /// The same policy with another number of attempts.
    ///
    /// # Errors
    /// Outside 1 to 10.
    pub fn with_max_attempts(self, max_attempts: u32) -> Result<Self, RetryPolicyError> {
        Self { max_attempts, ..self }.checked()
    }

    /// The first attempt included.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// The wait after this outcome, before jitter.
    #[must_use]
    pub fn delay(&self, outcome: Outcome) -> TimeDelta {
        let minutes = match outcome {
            Outcome::NoAnswer => self.no_answer_minutes,
            Outcome::Busy => self.busy_minutes,
            Outcome::Failed => self.failed_minutes,
            Outcome::Voicemail => self.voicemail_minutes,
            Outcome::Disconnected => self.disconnected_minutes,
        };
        TimeDelta::minutes(i64::from(minutes))
    }

    /// When to try again, after `attempts_made` attempts of which the last ended in `outcome` at `now`.
    ///
    /// `max_attempts` is the lead's own maximum (a granted callback raises it above [`Self::max_attempts`]); `jitter` is
    /// drawn evenly from 0 to 1 and spreads the delay over ±10 %.
    #[must_use]
    pub fn next_attempt(
        &self,
        outcome: Outcome,
        attempts_made: u32,
        max_attempts: u32,
        now: DateTime<Utc>,
        jitter: f64,
    ) -> Next {
        if attempts_made >= max_attempts {
            return Next::Exhausted;
        }
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.5 };
        let factor = 1.0 + JITTER * (2.0 * jitter - 1.0);
        let delay_ms = (self.delay(outcome).num_milliseconds() as f64 * factor).round() as i64;
        now.checked_add_signed(TimeDelta::milliseconds(delay_ms)).map_or(Next::Exhausted, Next::At)
    }

    fn checked(self) -> Result<Self, RetryPolicyError> {
        let fields = [
            ("max_attempts", self.max_attempts, ATTEMPTS),
            ("no_answer_minutes", self.no_answer_minutes, DELAY_MINUTES),
            ("busy_minutes", self.busy_minutes, DELAY_MINUTES),
            ("failed_minutes", self.failed_minutes, DELAY_MINUTES),
            ("voicemail_minutes", self.voicemail_minutes, DELAY_MINUTES),
            ("disconnected_minutes", self.disconnected_minutes, DELAY_MINUTES),
        ];
        for (field, value, bounds) in fields {
            if !bounds.contains(&value) {
                return Err(RetryPolicyError { field, least: *bounds.start(), most: *bounds.end(), value });
            }
        }
        Ok(self)
    }
}

/// The policy as it was written, so that an impossible one is never a [`RetryPolicy`].
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Unchecked {
    max_attempts: u32,
    no_answer_minutes: u32,
    busy_minutes: u32,
    failed_minutes: u32,
    voicemail_minutes: u32,
    disconnected_minutes: u32,
}

impl Default for Unchecked {
    fn default() -> Self {
        let RetryPolicy {
            max_attempts,
            no_answer_minutes,
            busy_minutes,
            failed_minutes,
            voicemail_minutes,
            disconnected_minutes,
        } = RetryPolicy::default();
        Self { max_attempts, no_answer_minutes, busy_minutes, failed_minutes, voicemail_minutes, disconnected_minutes }
    }
}

impl TryFrom<Unchecked> for RetryPolicy {
    type Error = RetryPolicyError;

    fn try_from(unchecked: Unchecked) -> Result<Self, RetryPolicyError> {
        let Unchecked {
            max_attempts,
            no_answer_minutes,
            busy_minutes,
            failed_minutes,
            voicemail_minutes,
            disconnected_minutes,
        } = unchecked;
        Self { max_attempts, no_answer_minutes, busy_minutes, failed_minutes, voicemail_minutes, disconnected_minutes }
            .checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-23T06:00:00Z").unwrap().to_utc()
    }

    fn minutes_until(outcome: Outcome, jitter: f64) -> i64 {
        match RetryPolicy::default().next_attempt(outcome, 1, 3, now(), jitter) {
            Next::At(at) => (at - now()).num_minutes(),
            Next::Exhausted => panic!("attempts are left"),
        }
    }

    #[test]
    fn each_outcome_waits_its_own_time() {
        for (outcome, minutes) in [
            (Outcome::NoAnswer, 120),
            (Outcome::Busy, 240),
            (Outcome::Failed, 60),
            (Outcome::Voicemail, 240),
            (Outcome::Disconnected, 120),
        ] {
            assert_eq!(minutes_until(outcome, 0.5), minutes, "{outcome:?}");
        }
    }

    #[test]
    fn jitter_spreads_a_delay_by_a_tenth_either_way() {
        assert_eq!(minutes_until(Outcome::NoAnswer, 0.0), 108);
        assert_eq!(minutes_until(Outcome::NoAnswer, 1.0), 132);
        assert_eq!(minutes_until(Outcome::NoAnswer, 7.0), 132);
        assert_eq!(minutes_until(Outcome::NoAnswer, f64::NAN), 120);
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        let policy = RetryPolicy::default();
        for (made, max, exhausted) in
            [(1, 3, false), (2, 3, false), (3, 3, true), (4, 3, true), (3, 4, false), (1, 1, true)]
        {
            let next = policy.next_attempt(Outcome::Busy, made, max, now(), 0.5);
            assert_eq!(next == Next::Exhausted, exhausted, "{made} of {max}");
        }
    }

    #[test]
    fn a_time_past_the_end_of_the_calendar_exhausts_instead_of_panicking() {
        let next = RetryPolicy::default().next_attempt(Outcome::Busy, 1, 3, DateTime::<Utc>::MAX_UTC, 0.5);
        assert_eq!(next, Next::Exhausted);
    }

    #[test]
    fn what_the_json_leaves_out_keeps_its_default() {
        let policy: RetryPolicy = serde_json::from_str(r#"{"busy_minutes": 30}"#).unwrap();
        assert_eq!(policy.delay(Outcome::Busy), TimeDelta::minutes(30));
        assert_eq!(policy.max_attempts(), 3);
        let again: RetryPolicy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(again, policy);
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        for (json, message) in [
            (r#"{"max_attempts": 0}"#, "max_attempts must be between 1 and 10, not 0"),
            (r#"{"max_attempts": 11}"#, "max_attempts must be between 1 and 10, not 11"),
            (r#"{"failed_minutes": 0}"#, "failed_minutes must be between 1 and 20160, not 0"),
            (r#"{"voicemail_minutes": 20161}"#, "voicemail_minutes must be between 1 and 20160, not 20161"),
            (r#"{"buzy_minutes": 5}"#, "unknown field `buzy_minutes`"),
        ] {
            let error = serde_json::from_str::<RetryPolicy>(json).unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn a_policy_takes_the_campaigns_number_of_attempts() {
        assert_eq!(RetryPolicy::default().with_max_attempts(5).unwrap().max_attempts(), 5);
        assert_eq!(RetryPolicy::default().with_max_attempts(0).unwrap_err().field, "max_attempts");
    }
}
