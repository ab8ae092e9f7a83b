//! One run of the simulation: cohorts through the timeline, piece by piece.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::dice::{self, Dice};
use super::timeline::Timeline;
use super::{ATTEMPTS, Cohort, Input, PRIOR_WEIGHT, Run};
use crate::retry_policy::Outcome;

/// The length of conversations varies by so much of their mean.
const TALK_VARIES: f64 = 0.8;
/// The carrier bills a started minute for a call that was answered by nobody who spoke.
const BILLED_WITHOUT_TALK: f64 = 1.0;

/// Leads of one zone with the same attempts made and left.
struct Kind {
    zone: usize,
    made: u32,
    /// The kind that a lead becomes which was not reached; `None` if that was its last attempt.
    next: Option<usize>,
}

/// What all runs share.
pub(super) struct Plan<'a> {
    input: &'a Input,
    line: &'a Timeline,
    kinds: Vec<Kind>,
    /// Kinds in the order in which they are called.
    order: Vec<usize>,
    /// By piece of the timeline: who comes due in it.
    due: BTreeMap<usize, Vec<(usize, u64)>>,
    blocked: bool,
}

/// The outcome, its share of the calls that are left when those before it are gone, and the wait after it.
type Retry = (Outcome, f64, i64);

impl<'a> Plan<'a> {
    pub fn new(input: &'a Input, cohorts: &[&Cohort], line: &'a Timeline, blocked: bool) -> Self {
        let mut plan = Self { input, line, kinds: Vec::new(), order: Vec::new(), due: BTreeMap::new(), blocked };
        let mut known = BTreeMap::new();
        for cohort in cohorts {
            let kind = plan.kind(cohort.zone, cohort.attempts_made, cohort.attempts_left, &mut known);
            let piece = line.at(cohort.due_at.max(input.now).timestamp());
            plan.due.entry(piece).or_default().push((kind, cohort.leads));
        }
        plan.order = (0..plan.kinds.len()).collect();
        // Who has waited longest goes first, and that is who has not been called yet.
        plan.order.sort_by_key(|&kind| plan.kinds[kind].made);
        plan
    }

    fn kind(&mut self, zone: usize, made: u32, left: u32, known: &mut BTreeMap<(usize, u32, u32), usize>) -> usize {
        if let Some(&kind) = known.get(&(zone, made, left)) {
            return kind;
        }
        let next = (left > 1).then(|| self.kind(zone, made + 1, left - 1, known));
        self.kinds.push(Kind { zone, made, next });
        known.insert((zone, made, left), self.kinds.len() - 1);
        self.kinds.len() - 1
    }

    pub fn run(&self, dice: &mut impl Dice) -> Run {
        let believed = Believed::draw(self.input, dice);
        let mut due = self.due.clone();
        let mut ready = vec![0_u64; self.kinds.len()];
        let mut waiting: u64 = due.values().flatten().map(|(_, leads)| leads).sum();
        let mut run = Run::default();
        let now = self.input.now.timestamp();
        let mut last_end = now;
        if self.input.live_calls > 0 {
            last_end += whole_secs(believed.talk_secs);
        }
        // Calls that may start beyond what the pieces so far allowed, and slot-seconds that calls took from the next piece.
        let (mut tokens, mut debt, mut before) = (1.0_f64, 0.0_f64, now);
        for (index, piece) in self.line.segments.iter().enumerate() {
            if waiting == 0 || self.blocked {
                break;
            }
            for (kind, leads) in due.remove(&index).unwrap_or_default() {
                ready[kind] += leads;
            }
            debt = (debt - secs(piece.start - before) * self.input.max_concurrent).max(0.0);
            before = piece.end;
            let open = &self.line.sets[piece.set];
            let mut slots = piece.secs() * self.input.max_concurrent - debt;
            let all_starts = tokens.clamp(0.0, 1.0) + piece.secs() * self.input.calls_per_second;
            let mut starts = all_starts;
            for &kind in &self.order {
                if ready[kind] == 0 || !open[self.kinds[kind].zone] {
                    continue;
                }
                let reached = believed.conversation(self.kinds[kind].made);
                let held = believed.ring_secs + reached * believed.talk_secs;
                let calls = ready[kind].min(floor(starts)).min(ceil(slots / held.max(1.0)));
                if calls == 0 {
                    continue;
                }
                ready[kind] -= calls;
                starts -= count(calls);
                slots -= count(calls) * held;
                let middle = piece.start + (piece.end - piece.start) / 2;
                waiting -= self.call(kind, calls, reached, (index, middle), &mut due, &believed, &mut run, dice);
                let by_pace = (all_starts - starts - 1.0).max(0.0) / self.input.calls_per_second;
                let by_slots = (piece.secs() - (slots + held) / self.input.max_concurrent).max(0.0);
                let last_start = piece.start + whole_secs(by_pace.max(by_slots).min(piece.secs()));
                last_end = last_end.max(last_start + whole_secs(held));
            }
            tokens = starts;
            debt = (-slots).max(0.0);
        }
        run.talk_minutes = run.conversations * believed.talk_secs / 60.0;
        run.finish = if waiting == 0 { at(last_end) } else { self.input.ends_at.map(|ends| ends.max(self.input.now)) };
        // Where windows are known less far than the campaign goes on, nobody knows.
        if waiting > 0 && self.input.ends_at.is_some_and(|ends| ends > self.input.known_until) {
            run.finish = None;
        }
        run.unfinished_leads = count(waiting);
        run
    }

    /// Makes `calls` calls, puts those to be retried into their pieces, and answers how many leads are done with.
    #[expect(clippy::too_many_arguments, reason = "the state of one run, which is nobody else's")]
    fn call(
        &self,
        kind: usize,
        calls: u64,
        reached: f64,
        (index, middle): (usize, i64),
        due: &mut BTreeMap<usize, Vec<(usize, u64)>>,
        believed: &Believed,
        run: &mut Run,
        dice: &mut impl Dice,
    ) -> u64 {
        let conversations = dice::binomial(dice, calls, reached);
        run.calls += count(calls);
        run.conversations += count(conversations);
        run.billed_minutes += count(conversations) * believed.billed_minutes;
        let mut left = calls - conversations;
        let mut done = conversations;
        for (outcome, share, wait) in self.retries(self.kinds[kind].made) {
            let ended = dice::binomial(dice, left, share);
            left -= ended;
            if matches!(outcome, Outcome::Voicemail | Outcome::Disconnected) {
                run.billed_minutes += count(ended) * BILLED_WITHOUT_TALK;
            }
            match self.kinds[kind].next {
                None => done += ended,
                Some(_) if ended == 0 => {}
                Some(next) => {
                    let piece = self.line.at(middle + wait).max(index + 1);
                    due.entry(piece).or_default().push((next, ended));
                }
            }
        }
        done
    }

    /// The waits after an attempt that is the lead's `made + 1`th.
    fn retries(&self, made: u32) -> [Retry; 5] {
        let shares = self.input.rates.otherwise;
        let all = [
            (Outcome::NoAnswer, shares.no_answer),
            (Outcome::Busy, shares.busy),
            (Outcome::Failed, shares.failed),
            (Outcome::Voicemail, shares.voicemail),
            (Outcome::Disconnected, shares.disconnected),
        ];
        // Once a day's calls to a number are used up, its next call waits until the first of them is a day old.
        let cap = self.input.max_calls_per_number_per_day.max(1);
        let capped = (made + 1).is_multiple_of(cap);
        let mut rest = 1.0;
        all.map(|(outcome, share)| {
            let of_rest = if rest > 0.0 { (share / rest).clamp(0.0, 1.0) } else { 1.0 };
            rest -= share;
            let delay = self.input.retry.delay(outcome);
            let mut wait = delay.max(self.input.min_gap);
            if capped {
                wait = wait.max(TimeDelta::days(1) - delay * i32::try_from(cap - 1).unwrap_or(i32::MAX).min(24));
            }
            let of_rest = if outcome == Outcome::Disconnected { 1.0 } else { of_rest };
            (outcome, of_rest, wait.num_seconds())
        })
    }
}

/// What one run takes for true: the rates are drawn, since what was seen says only about how they are.
struct Believed {
    conversation: [f64; ATTEMPTS],
    talk_secs: f64,
    billed_minutes: f64,
    ring_secs: f64,
}

impl Believed {
    fn draw(input: &Input, dice: &mut impl Dice) -> Self {
        let rates = &input.rates;
        let conversation = rates.seen.map(|seen| {
            let prior = rates.prior.clamp(0.001, 0.999);
            let missed = count(seen.calls.saturating_sub(seen.conversations));
            dice::beta(dice, prior * PRIOR_WEIGHT + count(seen.conversations), (1.0 - prior) * PRIOR_WEIGHT + missed)
        });
        let vary = 1.0 + dice::normal(dice) * TALK_VARIES / (count(rates.talks) + PRIOR_WEIGHT).sqrt();
        let vary = vary.clamp(0.2, 3.0);
        Self {
            conversation,
            talk_secs: rates.talk_secs * vary,
            billed_minutes: (rates.billed_minutes * vary).max(1.0),
            ring_secs: rates.ring_secs.max(1.0),
        }
    }

    fn conversation(&self, made: u32) -> f64 {
        self.conversation[(made as usize).min(ATTEMPTS - 1)]
    }
}

fn at(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of leads, far below 2^52")]
fn count(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "at most a year")]
fn secs(n: i64) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of one piece or call")]
fn whole_secs(secs: f64) -> i64 {
    secs.ceil() as i64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "negative saturates to none")]
fn floor(n: f64) -> u64 {
    n.max(0.0).floor() as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "negative saturates to none")]
fn ceil(n: f64) -> u64 {
    n.max(0.0).ceil() as u64
}
