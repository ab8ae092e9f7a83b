//! What holds for every window, zone and moment. The oracle asks the wall clock minute by minute.

use chrono::Timelike;
use chrono_tz::TZ_VARIANTS;
use proptest::prelude::*;

use super::tests::{local, utc};
use super::*;
use crate::retry_policy::{Next, Outcome, RetryPolicy};

/// Random hours of up to three ranges a day, the last possibly over midnight.
fn any_hours() -> impl Strategy<Value = CallingHours> {
    let day = proptest::collection::btree_set(0u16..96, 0..6);
    proptest::collection::vec((day, any::<bool>()), 7).prop_map(|days| {
        let text = |quarter: u16| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
        let mut named: Vec<(String, Vec<[String; 2]>)> = Vec::new();
        let firsts: Vec<Option<u16>> = days.iter().map(|(edges, _)| edges.first().copied()).collect();
        for (index, name) in ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].into_iter().enumerate() {
            let (edges, overnight) = &days[index];
            let edges: Vec<u16> = edges.iter().copied().collect();
            let mut ranges: Vec<[String; 2]> =
                edges.chunks_exact(2).map(|edge| [text(edge[0]), text(edge[1])]).collect();
            if let (true, [last]) = (*overnight, edges.chunks_exact(2).remainder()) {
                let end = firsts[(index + 1) % 7].unwrap_or(40).min(last.saturating_sub(48));
                if end > 0 && end < *last {
                    ranges.push([text(*last), text(end)]);
                }
            }
            named.push((name.to_owned(), ranges));
        }
        CallingHours::from_days(named).unwrap()
    })
}

fn any_window() -> impl Strategy<Value = CallingWindow> {
    let envelope = prop_oneof![
        Just(LegalEnvelope::none()),
        Just(LegalEnvelope::none()),
        Just(LegalEnvelope::for_country("IN")),
        Just(LegalEnvelope::for_country("US")),
        Just(LegalEnvelope::for_country("FR")),
    ];
    (any_hours(), envelope).prop_map(|(hours, envelope)| CallingWindow { hours, holidays: BTreeSet::new(), envelope })
}

/// Any instant from 2000 to 2037; half of them within a day of a change of the zone's offset, where it has any.
fn any_instant() -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    let from = utc("2000-01-01T00:00:00Z").timestamp();
    let to = utc("2037-01-01T00:00:00Z").timestamp();
    (0..TZ_VARIANTS.len(), from..to, any::<bool>(), -86_400i64..86_400).prop_map(
        |(zone, second, near_change, shift)| {
            let zone = TZ_VARIANTS[zone];
            let change = next_offset_change(zone, second, second + 366 * 86_400).filter(|_| near_change);
            (zone, DateTime::from_timestamp(change.map_or(second, |change| change + shift), 0).unwrap())
        },
    )
}

/// A window with up to five holidays in the week and a half around the moment.
fn any_window_zone_and_instant() -> impl Strategy<Value = (CallingWindow, Tz, DateTime<Utc>)> {
    let offsets = proptest::collection::btree_set(-2i64..10, 0..6);
    (any_window(), any_instant(), offsets).prop_map(|(mut window, (zone, now), offsets)| {
        let today = now.with_timezone(&zone).date_naive();
        window.holidays = offsets.into_iter().map(|days| today + TimeDelta::days(days)).collect();
        (window, zone, now)
    })
}

fn any_zones() -> impl Strategy<Value = ZoneSet> {
    proptest::collection::vec(0..TZ_VARIANTS.len(), 1..5).prop_map(|zones| {
        let names: Vec<&str> = zones.into_iter().map(|zone| TZ_VARIANTS[zone].name()).collect();
        ZoneSet::parse(&names.join("&")).unwrap()
    })
}

/// What the wall clock shows, straight from the zone and the settings; knows nothing of openings.
fn allowed_by_the_wall_clock(window: &CallingWindow, zone: Tz, at: DateTime<Utc>) -> bool {
    let wall = at.with_timezone(&zone);
    let (today, yesterday) = (wall.date_naive(), wall.date_naive().pred_opt().unwrap());
    let minute = wall.hour() * 60 + wall.minute();
    let on = |date: NaiveDate, minute: u32| {
        let inside = |r: &HourRange| (u32::from(r.start_minute())..u32::from(r.end_minute())).contains(&minute);
        !window.holidays.contains(&date) && window.hours.on(date.weekday()).iter().any(inside)
    };
    let lawful =
        window.envelope.on(wall.weekday()).iter().any(|&(s, e)| (u32::from(s)..u32::from(e)).contains(&minute));
    lawful && !window.holidays.contains(&today) && (on(today, minute) || on(yesterday, minute + 1440))
}

fn allowed_in_all(window: &CallingWindow, zones: &ZoneSet, at: DateTime<Utc>) -> bool {
    zones.zones().iter().all(|&zone| allowed_by_the_wall_clock(window, zone, at))
}

/// The law once more, written down by itself: minutes of the day in which a country's people may be called.
fn lawful(country: &str, day: chrono::Weekday, minute: u32) -> bool {
    use chrono::Weekday::{Sat, Sun};
    let hours = |start: u32, end: u32| (start * 60..end * 60).contains(&minute);
    match (country, day) {
        ("IN", _) => hours(9, 21),
        ("US", _) => hours(8, 21),
        ("CA", Sat | Sun) => hours(10, 18),
        ("CA", _) => (9 * 60..21 * 60 + 30).contains(&minute),
        ("GB" | "AU", Sun) | ("FR", Sat | Sun) => false,
        ("GB", Sat) => hours(9, 21),
        ("GB", _) => hours(8, 21),
        ("AU", Sat) => hours(9, 17),
        ("AU", _) => hours(9, 20),
        ("FR", _) => hours(10, 13) || hours(14, 20),
        _ => hours(9, 20),
    }
}

/// Every zone there is, at every change of its clocks in three years and some hours around it.
#[test]
fn in_every_zone_and_around_every_change_of_the_clocks_the_next_opening_is_the_first() {
    let hours = r#"{"mon": [["01:15", "01:45"], ["22:00", "02:30"]], "thu": [["02:10", "02:50"]],
        "sat": [["01:15", "01:45"], ["22:00", "00:30"]], "sun": [["01:15", "01:45"], ["02:15", "03:10"]]}"#;
    let hours = serde_json::from_str(hours).unwrap();
    let window = CallingWindow { hours, holidays: BTreeSet::new(), envelope: LegalEnvelope::none() };
    let (from, until) = (utc("2025-01-01T00:00:00Z").timestamp(), utc("2028-01-01T00:00:00Z").timestamp());
    let mut changes = 0;
    for zone in TZ_VARIANTS {
        let mut after = from;
        while let Some(change) = next_offset_change(zone, after, until) {
            changes += 1;
            for shift in [-86_400, -7_260, -3_600, -60, -1, 0, 1, 1_800, 3_540, 7_200] {
                let now = DateTime::from_timestamp(change + shift, 0).unwrap();
                let found = window.next_allowed(zone, now).unwrap();
                assert!(found >= now && allowed_by_the_wall_clock(&window, zone, found), "{zone} {now}");
                let before = found - TimeDelta::seconds(1);
                assert!(found == now || !allowed_by_the_wall_clock(&window, zone, before), "{zone} {now}");
            }
            after = change;
        }
    }
    assert!(changes > 500, "{changes}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_next_allowed_instant_is_allowed_and_none_before_it_is((window, zone, now) in any_window_zone_and_instant()) {
        let found = window.next_allowed(zone, now);
        if let Some(found) = found {
            prop_assert!(found >= now);
            prop_assert!(allowed_by_the_wall_clock(&window, zone, found), "{} is closed", local(zone, found));
        }
        // A week and a half holds every weekday whatever a zone skips.
        let bound = found.unwrap_or(now + TimeDelta::days(370)).min(now + TimeDelta::days(10));
        let mut at = now;
        while at < bound {
            prop_assert!(!allowed_by_the_wall_clock(&window, zone, at), "{} is open and was missed", local(zone, at));
            at += TimeDelta::minutes(5);
        }
        prop_assert!(found.is_some() || window.hours.is_closed() || window.envelope != LegalEnvelope::none());
    }

    #[test]
    fn an_opening_is_open_from_its_first_to_its_last_minute_and_not_beyond((window, zone, now) in any_window_zone_and_instant()) {
        let Some(opening) = window.current_or_next(zone, now) else { return Ok(()) };
        prop_assert!(opening.closes_at > now && opening.opens_at < opening.closes_at);
        let mut at = opening.opens_at;
        while at < opening.closes_at {
            prop_assert!(allowed_by_the_wall_clock(&window, zone, at), "{}", local(zone, at));
            at += TimeDelta::minutes(5);
        }
        let length = opening.closes_at - opening.opens_at;
        prop_assert!(length > TimeDelta::days(6) || !allowed_by_the_wall_clock(&window, zone, opening.closes_at));
        prop_assert_eq!(window.is_open(zone, now), opening.opens_at <= now);
    }

    #[test]
    fn several_zones_open_when_all_of_them_are_and_not_later(
        (window, _, now) in any_window_zone_and_instant(), zones in any_zones(),
    ) {
        let opening = window.common_opening(&zones, now);
        if let Some(opening) = opening {
            prop_assert!(opening.closes_at > now && opening.opens_at < opening.closes_at);
            let mut at = opening.opens_at;
            while at < opening.closes_at {
                prop_assert!(allowed_in_all(&window, &zones, at), "{zones} at {at}");
                at += TimeDelta::minutes(5);
            }
            prop_assert!(allowed_in_all(&window, &zones, opening.closes_at - TimeDelta::seconds(1)));
        }
        let found = window.next_allowed_in_all(&zones, now);
        prop_assert_eq!(found, opening.map(|opening| opening.opens_at.max(now)));
        let bound = found.unwrap_or(now + TimeDelta::days(10)).min(now + TimeDelta::days(10));
        let mut at = now;
        while at < bound {
            prop_assert!(!allowed_in_all(&window, &zones, at), "{zones} are open at {at}, which was missed");
            at += TimeDelta::minutes(5);
        }
    }

    #[test]
    fn no_hours_of_any_account_widen_the_law_of_any_country(
        hours in any_hours(), (zone, now) in any_instant(),
        country in prop_oneof!["[A-Z]{2}", proptest::sample::select(vec!["IN", "US", "CA", "GB", "AU", "FR"]).prop_map(String::from)],
    ) {
        let window = CallingWindow { hours, holidays: BTreeSet::new(), envelope: LegalEnvelope::for_country(&country) };
        let Some(opening) = window.current_or_next(zone, now) else { return Ok(()) };
        let mut at = opening.opens_at;
        while at < opening.closes_at {
            let wall = at.with_timezone(&zone);
            let minute = wall.hour() * 60 + wall.minute();
            prop_assert!(lawful(&country, wall.weekday(), minute), "{country} {}", local(zone, at));
            at += TimeDelta::minutes(5);
        }
        let last = (opening.closes_at - TimeDelta::seconds(1)).with_timezone(&zone);
        prop_assert!(lawful(&country, last.weekday(), last.hour() * 60 + last.minute()));
    }

    #[test]
    fn hours_without_a_range_never_open((zone, now) in any_instant()) {
        let closed = CallingWindow { hours: serde_json::from_str("{}").unwrap(), holidays: BTreeSet::new(), envelope: LegalEnvelope::none() };
        prop_assert_eq!(closed.next_allowed(zone, now), None);
    }

    #[test]
    fn a_retry_waits_its_delay_lands_in_a_window_and_knows_the_last_attempt(
        (window, _, ended_at) in any_window_zone_and_instant(), zones in any_zones(), jitter in -1.0f64..2.0,
        minutes in 1u32..=20_160, made in 0u32..12, max in 1u32..=11,
        outcome in proptest::sample::select(vec![Outcome::NoAnswer, Outcome::Busy, Outcome::Failed, Outcome::Voicemail, Outcome::Disconnected]),
    ) {
        let field = serde_json::to_value(outcome).unwrap();
        let policy = serde_json::json!({ format!("{}_minutes", field.as_str().unwrap()): minutes });
        let policy: RetryPolicy = serde_json::from_value(policy).unwrap();
        match policy.next_attempt(outcome, made, max, ended_at, jitter) {
            Next::Exhausted => prop_assert!(made >= max),
            Next::At(at) => {
                prop_assert!(made < max);
                let delay = TimeDelta::minutes(i64::from(minutes));
                prop_assert!(at >= ended_at + delay * 9 / 10 && at <= ended_at + delay * 11 / 10);
                if let Some(landed) = window.next_allowed_in_all(&zones, at) {
                    prop_assert!(landed >= at && allowed_in_all(&window, &zones, landed));
                }
            }
        }
    }
}
