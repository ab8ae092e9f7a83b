use chrono::Datelike;
use chrono_tz::Asia::Kolkata;

use super::dice::loaded;
use super::*;
use crate::calling_window::{CallingHours, CallingWindow, LegalEnvelope};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Monday, 10:00 in India.
fn monday() -> DateTime<Utc> {
    at("2026-11-23T04:30:00Z")
}

/// 10:00 to 19:00 in India, but on Sundays, for a year.
fn office_hours(from: DateTime<Utc>) -> Vec<Opening> {
    let window = CallingWindow {
        hours: CallingHours::default(),
        holidays: Default::default(),
        envelope: LegalEnvelope::for_country("IN"),
    };
    let mut openings = Vec::new();
    let mut at = from;
    while let Some(opening) = window.current_or_next(Kolkata, at).filter(|opening| opening.opens_at < from + YEAR) {
        openings.push(opening);
        at = opening.closes_at;
    }
    openings
}

const YEAR: TimeDelta = TimeDelta::days(365);

fn campaign(leads: u64) -> Input {
    starting(leads, monday())
}

fn starting(leads: u64, now: DateTime<Utc>) -> Input {
    Input {
        now,
        ends_at: None,
        zones: vec![office_hours(now)],
        known_until: now + YEAR,
        cohorts: vec![Cohort { zone: 0, attempts_made: 0, attempts_left: 3, due_at: now, leads }],
        live_calls: 0,
        max_concurrent: 10.0,
        calls_per_second: 3.0,
        retry: RetryPolicy::default(),
        min_gap: TimeDelta::minutes(30),
        max_calls_per_number_per_day: 4,
        rates: Rates {
            seen: Default::default(),
            prior: 0.3,
            otherwise: Otherwise { no_answer: 0.6, busy: 0.15, failed: 0.05, voicemail: 0.1, disconnected: 0.1 },
            talk_secs: 90.0,
            talks: 0,
            billed_minutes: 2.0,
            ring_secs: 25.0,
        },
    }
}

fn forecast(input: &Input) -> Forecast {
    simulate(input, &mut loaded(7), 200)
}

fn hours_until(input: &Input, finish: Option<DateTime<Utc>>) -> f64 {
    (finish.unwrap() - input.now).num_seconds() as f64 / 3600.0
}

#[test]
fn a_campaign_that_runs_into_sunday_finishes_on_monday() {
    // Saturday, 18:30: half an hour is left.
    let input = starting(300, at("2026-11-28T13:00:00Z"));
    let finish = forecast(&input).finish();
    let day = finish.p50.unwrap().with_timezone(&Kolkata);
    assert_eq!((day.weekday(), day.day()), (chrono::Weekday::Mon, 30), "{finish:?}");
}

#[test]
fn half_the_runs_end_before_p50_and_most_before_p90() {
    let forecast = forecast(&campaign(3_000));
    let finish = forecast.finish();
    assert!(finish.p90 >= finish.p50);
    for spread in [
        forecast.spread(|run| run.calls),
        forecast.spread(|run| run.conversations),
        forecast.spread(|run| run.talk_minutes),
        forecast.spread(|run| run.billed_minutes),
    ] {
        assert!(spread.p90 > spread.p50 && spread.p50 > 0.0, "{spread:?}");
    }
    assert!(forecast.spread(|run| run.calls).p90 <= 9_000.0, "three attempts each at most");
}

#[test]
fn doubling_the_cap_shortens_a_campaign_until_the_pace_binds() {
    let hours = |cap: f64| {
        let mut input = campaign(30_000);
        input.calls_per_second = 0.5;
        // One attempt: retries wait for hours, whatever the cap.
        input.cohorts[0].attempts_left = 1;
        input.max_concurrent = cap;
        hours_until(&input, forecast(&input).finish().p50)
    };
    let by_cap = [4.0, 8.0, 16.0, 200.0, 400.0].map(hours);
    assert!(by_cap[0] > 1.8 * by_cap[1] && by_cap[1] > 1.8 * by_cap[2], "{by_cap:?}");
    assert!((by_cap[3] - by_cap[4]).abs() < 0.02 * by_cap[3], "{by_cap:?}");
}

#[test]
fn where_nobody_answers_every_attempt_is_used_up_at_the_retries_own_pace() {
    let mut input = campaign(100);
    input.rates.prior = 0.0;
    input.rates.seen = [Seen { calls: 1_000_000, conversations: 0 }; ATTEMPTS];
    input.rates.otherwise = Otherwise { no_answer: 1.0, busy: 0.0, failed: 0.0, voicemail: 0.0, disconnected: 0.0 };
    let forecast = forecast(&input);
    assert_eq!(forecast.spread(|run| run.calls), Spread { p50: 300.0, p90: 300.0 });
    assert_eq!(forecast.spread(|run| run.conversations).p90, 0.0);
    // A hundred calls take minutes; two waits of two hours take four hours.
    let hours = hours_until(&input, forecast.finish().p50);
    assert!((4.0..4.6).contains(&hours), "{hours}");
}

#[test]
fn a_campaign_with_nothing_left_is_finished_now() {
    let input = campaign(0);
    let forecast = forecast(&input);
    assert_eq!(forecast.finish(), Spread { p50: Some(monday()), p90: Some(monday()) });
    assert_eq!((forecast.never, forecast.spread(|run| run.calls).p90), (None, 0.0));
}

#[test]
fn calls_that_are_going_on_are_waited_for() {
    let input = Input { live_calls: 2, ..campaign(0) };
    let minutes = hours_until(&input, forecast(&input).finish().p50) * 60.0;
    assert!((1.0..2.5).contains(&minutes), "{minutes}");
}

#[test]
fn a_window_that_never_opens_never_finishes_and_says_why() {
    let input = Input { zones: vec![Vec::new()], ..campaign(50) };
    let forecast = forecast(&input);
    assert_eq!(forecast.finish(), Spread { p50: None, p90: None });
    assert_eq!((forecast.never, forecast.unreachable_leads), (Some(Never::WindowNeverOpens), 50));
    assert_eq!(forecast.spread(|run| run.calls).p90, 0.0);
}

#[test]
fn leads_whose_window_never_opens_do_not_hold_up_the_forecast_of_the_others() {
    let mut input = campaign(50);
    input.zones.push(Vec::new());
    input.cohorts.push(Cohort { zone: 1, leads: 12, ..input.cohorts[0].clone() });
    let forecast = forecast(&input);
    assert_eq!((forecast.never, forecast.unreachable_leads), (None, 12));
    assert!(forecast.finish().p90.is_some());
}

#[test]
fn a_campaign_that_ends_first_leaves_leads_behind() {
    let mut input = campaign(20_000);
    input.ends_at = Some(monday() + TimeDelta::hours(3));
    let forecast = forecast(&input);
    assert_eq!(forecast.finish().p50, input.ends_at);
    let left = forecast.spread(|run| run.unfinished_leads).p50;
    assert!((15_000.0..20_000.0).contains(&left), "{left}");
}

#[test]
fn a_cap_of_zero_never_finishes() {
    let input = Input { max_concurrent: 0.0, ..campaign(5) };
    let forecast = forecast(&input);
    assert_eq!((forecast.never, forecast.finish().p50), (Some(Never::NoCapacity), None));
}

#[test]
fn more_work_than_a_years_windows_hold_says_so() {
    let input = Input { max_concurrent: 1.0, ..campaign(1_000_000) };
    let forecast = forecast(&input);
    assert_eq!((forecast.never, forecast.finish().p50), (Some(Never::BeyondOneYear), None));
}

#[test]
fn what_was_seen_outweighs_what_was_expected() {
    let mut input = campaign(1_000);
    let expected = forecast(&input).spread(|run| run.conversations).p50;
    input.rates.seen = [Seen { calls: 2_000, conversations: 100 }; ATTEMPTS];
    let seen = forecast(&input).spread(|run| run.conversations).p50;
    // Three attempts at 0.3 reach two thirds of the leads, at 0.05 one in seven.
    assert!((600.0..720.0).contains(&expected) && (110.0..180.0).contains(&seen), "{expected} {seen}");
}

#[test]
fn a_number_at_its_daily_cap_is_called_again_a_day_later() {
    let mut input = campaign(10);
    input.max_calls_per_number_per_day = 1;
    input.rates.seen = [Seen { calls: 1_000_000, conversations: 0 }; ATTEMPTS];
    let hours = hours_until(&input, forecast(&input).finish().p50);
    assert!(hours > 47.0, "{hours}");
}

#[test]
fn the_same_dice_give_the_same_forecast() {
    let input = campaign(500);
    assert_eq!(forecast(&input).runs, forecast(&input).runs);
}

#[test]
fn a_million_leads_in_many_zones_take_less_than_a_second() {
    let mut input = campaign(1_000_000);
    input.max_concurrent = 500.0;
    input.calls_per_second = 20.0;
    input.zones = vec![office_hours(monday()); 8];
    let per_zone = |zone| Cohort { zone, leads: 125_000, ..input.cohorts[0].clone() };
    input.cohorts = (0..8).map(per_zone).collect();
    let began = tokio::time::Instant::now();
    let forecast = forecast(&input);
    let took = began.elapsed();
    eprintln!("1,000,000 leads x 200 runs in {took:?}; finished {:?}", forecast.finish());
    assert!(forecast.finish().p90.is_some());
    assert!(took < std::time::Duration::from_secs(1), "{took:?}");
}
