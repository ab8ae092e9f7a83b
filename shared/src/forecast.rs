//! When a campaign will be over, and what it will have taken: its remaining windows, caps, pace, retries and answer rates,
//! simulated many times.
//!
//! Pure: the time and the dice are arguments. Leads are not simulated one by one but as cohorts (zone, attempts made and
//! left), and time in pieces of minutes to an hour, so that a million leads cost about as much as a thousand.
//!
//! What it leaves out is said in [`ASSUMPTIONS`].

mod dice;
mod run;
mod timeline;

use chrono::{DateTime, TimeDelta, Utc};

use crate::calling_window::Opening;
use crate::retry_policy::RetryPolicy;

pub use dice::Dice;
use timeline::Timeline;

/// Attempts whose rates are told apart.
pub const ATTEMPTS: usize = 10;
/// Pseudo-calls that a prior weighs against calls that were seen.
const PRIOR_WEIGHT: f64 = 20.0;
const SHORTEST_STEP_SECS: f64 = 300.0;
const LONGEST_STEP_SECS: f64 = 3600.0;
/// Pieces that the work is cut into, about.
const STEPS: f64 = 100.0;

/// What every forecast takes for granted, in plain words.
pub const ASSUMPTIONS: [&str; 4] = [
    "a conversation ends its lead; callbacks that people ask for are not simulated",
    "leads are called in the order of their attempts, whatever their priority",
    "other running campaigns of the account take an equal share of its calls and pace",
    "answer rates do not depend on the hour or the day",
];

/// Leads that wait, alike in all that matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohort {
    /// Index into [`Input::zones`].
    pub zone: usize,
    pub attempts_made: u32,
    /// At least 1, or nobody is called.
    pub attempts_left: u32,
    pub due_at: DateTime<Utc>,
    pub leads: u64,
}

/// Calls seen, of one attempt number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub calls: u64,
    pub conversations: u64,
}

/// How calls go.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// By attempt, the first at index 0.
    pub seen: [Seen; ATTEMPTS],
    /// Conversations per call that are expected where nothing has been seen.
    pub prior: f64,
    /// How a call without a conversation ends; sums to 1.
    pub otherwise: Otherwise,
    /// Mean length of a conversation.
    pub talk_secs: f64,
    /// Conversations behind that mean.
    pub talks: u64,
    /// Started minutes that the carrier bills for a conversation, on average.
    pub billed_minutes: f64,
    /// How long a call without a conversation holds its slot, and ringing before one.
    pub ring_secs: f64,
}

/// Shares of the outcomes that are retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Otherwise {
    pub no_answer: f64,
    pub busy: f64,
    pub failed: f64,
    pub voicemail: f64,
    pub disconnected: f64,
}

/// All that a forecast is made of.
#[derive(Clone, Debug)]
pub struct Input {
    pub now: DateTime<Utc>,
    /// Nobody is called from then on.
    pub ends_at: Option<DateTime<Utc>>,
    /// Per zone, in order, as far as `known_until`. Without any, its leads are never called.
    pub zones: Vec<Vec<Opening>>,
    pub known_until: DateTime<Utc>,
    pub cohorts: Vec<Cohort>,
    /// Calls that are going on.
    pub live_calls: u64,
    pub max_concurrent: f64,
    pub calls_per_second: f64,
    pub retry: RetryPolicy,
    pub min_gap: TimeDelta,
    pub max_calls_per_number_per_day: u32,
    pub rates: Rates,
}

/// What one simulated run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    /// `None`: not as far as windows are known.
    pub finish: Option<DateTime<Utc>>,
    pub calls: f64,
    pub conversations: f64,
    pub talk_minutes: f64,
    pub billed_minutes: f64,
    /// Leads that `ends_at` left uncalled or unfinished.
    pub unfinished_leads: f64,
}

/// Half of the runs stay below `p50`, nine of ten below `p90`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Spread<T> {
    pub p50: T,
    pub p90: T,
}

/// Why a campaign, or part of it, never finishes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Never {
    /// No lead's window ever opens before the campaign's end.
    WindowNeverOpens,
    /// A cap or a pace of zero.
    NoCapacity,
    /// The windows of the coming year are not enough.
    BeyondOneYear,
}

#[derive(Clone, Debug)]
pub struct Forecast {
    /// In no order.
    pub runs: Vec<Run>,
    /// Leads whose window never opens.
    pub unreachable_leads: u64,
    pub never: Option<Never>,
}

impl Forecast {
    /// When it is over; `None` where that many runs do not end.
    #[must_use]
    pub fn finish(&self) -> Spread<Option<DateTime<Utc>>> {
        if self.never.is_some_and(|never| never != Never::BeyondOneYear) {
            return Spread { p50: None, p90: None };
        }
        let mut finishes: Vec<DateTime<Utc>> =
            self.runs.iter().map(|run| run.finish.unwrap_or(DateTime::<Utc>::MAX_UTC)).collect();
        finishes.sort_unstable();
        let known = |at: DateTime<Utc>| (at < DateTime::<Utc>::MAX_UTC).then_some(at);
        Spread { p50: percentile(&finishes, 0.5).and_then(known), p90: percentile(&finishes, 0.9).and_then(known) }
    }

    /// The spread of something that each run has.
    #[must_use]
    pub fn spread(&self, of: impl Fn(&Run) -> f64) -> Spread<f64> {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        Spread { p50: percentile(&values, 0.5).unwrap_or_default(), p90: percentile(&values, 0.9).unwrap_or_default() }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a few hundred runs"
)]
fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Simulates the rest of a campaign `runs` times.
#[must_use]
pub fn simulate(input: &Input, dice: &mut impl Dice, runs: usize) -> Forecast {
    let until = input.ends_at.map_or(input.known_until, |ends| ends.min(input.known_until));
    let opens = |zone: usize| {
        let openings = input.zones.get(zone).map(Vec::as_slice).unwrap_or_default();
        openings.iter().any(|opening| opening.closes_at > input.now && opening.opens_at < until)
    };
    let waiting: Vec<&Cohort> =
        input.cohorts.iter().filter(|cohort| cohort.leads > 0 && cohort.attempts_left > 0).collect();
    let (reachable, unreachable): (Vec<&Cohort>, Vec<&Cohort>) =
        waiting.into_iter().partition(|cohort| opens(cohort.zone));
    let unreachable_leads = unreachable.iter().map(|cohort| cohort.leads).sum();
    let mut forecast = Forecast { runs: Vec::with_capacity(runs), unreachable_leads, never: None };
    let blocked = input.max_concurrent <= 0.0 || input.calls_per_second <= 0.0;
    if reachable.is_empty() && unreachable_leads > 0 && input.ends_at.is_none() {
        forecast.never = Some(Never::WindowNeverOpens);
    } else if blocked && !reachable.is_empty() && input.ends_at.is_none() {
        forecast.never = Some(Never::NoCapacity);
    }
    let line = Timeline::new(&input.zones, input.now, until, step_secs(input, &reachable));
    let plan = run::Plan::new(input, &reachable, &line, blocked);
    forecast.runs.extend((0..runs).map(|_| plan.run(dice)));
    // Leads that no window lets through go when the campaign ends.
    if unreachable_leads > 0
        && let Some(ends_at) = input.ends_at
    {
        for run in &mut forecast.runs {
            run.finish = Some(ends_at.max(input.now));
            #[expect(clippy::cast_precision_loss, reason = "a count of leads")]
            let unreachable = unreachable_leads as f64;
            run.unfinished_leads += unreachable;
        }
    }
    if forecast.never.is_none() && forecast.runs.iter().any(|run| run.finish.is_none()) {
        forecast.never = Some(Never::BeyondOneYear);
    }
    forecast
}

/// Long enough that a long campaign costs no more than a short one.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate, clamped to an hour")]
fn step_secs(input: &Input, cohorts: &[&Cohort]) -> i64 {
    let calls: f64 = cohorts.iter().map(|cohort| cohort.leads as f64 * f64::from(cohort.attempts_left)).sum();
    let held = input.rates.ring_secs + input.rates.prior * input.rates.talk_secs;
    let open_secs = (calls * held / input.max_concurrent.max(0.001)).max(calls / input.calls_per_second.max(0.001));
    (open_secs / STEPS).clamp(SHORTEST_STEP_SECS, LONGEST_STEP_SECS) as i64
}

#[cfg(test)]
mod tests;
