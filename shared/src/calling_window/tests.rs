use chrono::Timelike;
use proptest::prelude::*;

use super::*;

const KOLKATA: Tz = Tz::Asia__Kolkata;
const NEW_YORK: Tz = Tz::America__New_York;

fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn local(zone: Tz, at: DateTime<Utc>) -> String {
    at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M %z").to_string()
}

fn window(hours: &str, holidays: &[&str], envelope: LegalEnvelope) -> CallingWindow {
    CallingWindow {
        hours: serde_json::from_str(hours).unwrap(),
        holidays: holidays.iter().map(|day| day.parse().unwrap()).collect(),
        envelope,
    }
}

fn default_window() -> CallingWindow {
    CallingWindow {
        hours: CallingHours::default(),
        holidays: BTreeSet::new(),
        envelope: LegalEnvelope::for_country("IN"),
    }
}

fn opening(window: &CallingWindow, zone: Tz, now: &str) -> Option<(String, String)> {
    window.current_or_next(zone, utc(now)).map(|o| (local(zone, o.opens_at), local(zone, o.closes_at)))
}

fn pair(opens: &str, closes: &str) -> Option<(String, String)> {
    Some((opens.to_owned(), closes.to_owned()))
}

#[test]
fn inside_the_hours_the_current_opening_is_told() {
    let monday = pair("Mon 2026-11-23 10:00 +0530", "Mon 2026-11-23 19:00 +0530");
    for now in ["2026-11-23T10:00:00+05:30", "2026-11-23T15:30:00+05:30", "2026-11-23T18:59:59+05:30"] {
        assert_eq!(opening(&default_window(), KOLKATA, now), monday, "{now}");
    }
}

#[test]
fn before_after_and_on_a_day_off_the_next_opening_is_told() {
    for (now, opens) in [
        ("2026-11-23T09:59:59+05:30", "Mon 2026-11-23 10:00 +0530"),
        ("2026-11-23T19:00:00+05:30", "Tue 2026-11-24 10:00 +0530"),
        ("2026-11-21T19:00:00+05:30", "Mon 2026-11-23 10:00 +0530"),
        ("2026-11-22T12:00:00+05:30", "Mon 2026-11-23 10:00 +0530"),
    ] {
        let at = default_window().next_allowed(KOLKATA, utc(now)).unwrap();
        assert_eq!(local(KOLKATA, at), opens, "{now}");
    }
}

#[test]
fn an_allowed_instant_is_returned_as_it_is() {
    let now = utc("2026-11-23T15:30:12.345+05:30");
    assert_eq!(default_window().next_allowed(KOLKATA, now), Some(now));
    assert!(default_window().is_open(KOLKATA, now));
}

#[test]
fn the_window_closes_at_its_end_not_after_it() {
    assert!(default_window().is_open(KOLKATA, utc("2026-11-23T18:59:59.999+05:30")));
    assert!(!default_window().is_open(KOLKATA, utc("2026-11-23T19:00:00+05:30")));
}

#[test]
fn a_holiday_closes_the_local_date() {
    let mut window = default_window();
    window.holidays.insert("2026-11-23".parse().unwrap());
    assert_eq!(
        opening(&window, KOLKATA, "2026-11-23T12:00:00+05:30"),
        pair("Tue 2026-11-24 10:00 +0530", "Tue 2026-11-24 19:00 +0530")
    );
}

#[test]
fn a_lunch_break_makes_two_openings() {
    let window = window(r#"{"mon": [["14:00", "18:00"], ["10:00", "13:00"]]}"#, &[], LegalEnvelope::none());
    assert_eq!(
        opening(&window, KOLKATA, "2026-11-23T13:00:00+05:30"),
        pair("Mon 2026-11-23 14:00 +0530", "Mon 2026-11-23 18:00 +0530")
    );
}

#[test]
fn a_range_over_midnight_belongs_to_the_day_it_starts_on() {
    let window = window(r#"{"fri": [["22:00", "02:00"]]}"#, &[], LegalEnvelope::none());
    let night = pair("Fri 2026-11-27 22:00 +0530", "Sat 2026-11-28 02:00 +0530");
    assert_eq!(opening(&window, KOLKATA, "2026-11-28T01:59:00+05:30"), night);
    assert_eq!(opening(&window, KOLKATA, "2026-11-27T01:00:00+05:30"), night);
    assert!(!window.is_open(KOLKATA, utc("2026-11-28T02:00:00+05:30")));
}

#[test]
fn a_holiday_closes_both_halves_of_the_night_that_starts_on_it_and_its_own_early_hours() {
    let hours = r#"{"thu": [["22:00", "02:00"]], "fri": [["22:00", "02:00"]]}"#;
    let window = window(hours, &["2026-11-27"], LegalEnvelope::none());
    assert!(window.is_open(KOLKATA, utc("2026-11-26T23:00:00+05:30")));
    for closed in ["2026-11-27T01:00:00+05:30", "2026-11-27T23:00:00+05:30", "2026-11-28T01:00:00+05:30"] {
        assert!(!window.is_open(KOLKATA, utc(closed)), "{closed}");
    }
}

#[test]
fn no_setting_widens_the_law() {
    let all_day = r#"{"mon": [["00:00", "24:00"]], "sun": [["00:00", "24:00"]]}"#;
    for (country, zone, now, opens) in [
        ("IN", KOLKATA, "2026-11-22T21:00:00+05:30", "Mon 2026-11-23 09:00 +0530"),
        ("us", NEW_YORK, "2026-11-22T21:00:00-05:00", "Mon 2026-11-23 08:00 -0500"),
        ("AU", Tz::Australia__Sydney, "2026-11-22T10:00:00+11:00", "Mon 2026-11-23 09:00 +1100"),
        ("FR", Tz::Europe__Paris, "2026-11-23T13:00:00+01:00", "Mon 2026-11-23 14:00 +0100"),
        ("XX", Tz::UTC, "2026-11-22T20:00:00Z", "Mon 2026-11-23 09:00 +0000"),
    ] {
        let window = window(all_day, &[], LegalEnvelope::for_country(country));
        assert_eq!(local(zone, window.next_allowed(zone, utc(now)).unwrap()), opens, "{country}");
    }
}

#[test]
fn hours_outside_the_law_never_open() {
    let window = window(r#"{"mon": [["21:00", "23:00"]]}"#, &[], LegalEnvelope::for_country("IN"));
    assert_eq!(window.current_or_next(KOLKATA, utc("2026-11-23T12:00:00Z")), None);
}

#[test]
fn closed_hours_and_a_year_of_holidays_never_open() {
    assert_eq!(window("{}", &[], LegalEnvelope::none()).next_allowed(KOLKATA, utc("2026-11-23T12:00:00Z")), None);
    let mut closed = default_window();
    let first: NaiveDate = "2026-11-20".parse().unwrap();
    closed.holidays = first.iter_days().take(380).collect();
    assert_eq!(closed.next_allowed(KOLKATA, utc("2026-11-23T12:00:00Z")), None);
}

#[test]
fn a_window_that_starts_in_the_hour_the_clocks_skip_opens_when_they_have_jumped() {
    // 8 March 2026: 02:00 becomes 03:00.
    let window = window(r#"{"sun": [["02:15", "05:00"]]}"#, &[], LegalEnvelope::none());
    assert_eq!(
        opening(&window, NEW_YORK, "2026-03-08T00:00:00-05:00"),
        pair("Sun 2026-03-08 03:00 -0400", "Sun 2026-03-08 05:00 -0400")
    );
}

#[test]
fn a_window_inside_the_hour_the_clocks_skip_waits_for_the_next_week() {
    let window = window(r#"{"sun": [["02:15", "02:45"]]}"#, &[], LegalEnvelope::none());
    assert_eq!(
        opening(&window, NEW_YORK, "2026-03-08T00:00:00-05:00"),
        pair("Sun 2026-03-15 02:15 -0400", "Sun 2026-03-15 02:45 -0400")
    );
}

#[test]
fn a_window_in_the_hour_the_clocks_repeat_opens_twice() {
    // 1 November 2026: 02:00 becomes 01:00.
    let window = window(r#"{"sun": [["01:15", "01:45"]]}"#, &[], LegalEnvelope::none());
    assert_eq!(
        opening(&window, NEW_YORK, "2026-11-01T00:00:00-04:00"),
        pair("Sun 2026-11-01 01:15 -0400", "Sun 2026-11-01 01:45 -0400")
    );
    assert_eq!(
        opening(&window, NEW_YORK, "2026-11-01T01:45:00-04:00"),
        pair("Sun 2026-11-01 01:15 -0500", "Sun 2026-11-01 01:45 -0500")
    );
}

#[test]
fn a_window_over_the_repeated_hour_stays_open_for_it() {
    let window = window(r#"{"sun": [["00:30", "02:00"]]}"#, &[], LegalEnvelope::none());
    let opening = window.current_or_next(NEW_YORK, utc("2026-11-01T00:00:00-04:00")).unwrap();
    assert_eq!(opening.closes_at - opening.opens_at, TimeDelta::minutes(150));
}

#[test]
fn a_day_that_a_zone_skips_is_skipped() {
    // Samoa had no 30 December 2011, a Friday.
    let window = window(r#"{"fri": [["10:00", "19:00"]]}"#, &[], LegalEnvelope::none());
    let apia = Tz::Pacific__Apia;
    assert_eq!(
        local(apia, window.next_allowed(apia, utc("2011-12-29T12:00:00-10:00")).unwrap()),
        "Fri 2012-01-06 10:00 +1400"
    );
}

#[test]
fn hours_without_a_break_come_as_touching_openings() {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(|day| format!(r#""{day}": [["00:00", "24:00"]]"#));
    let window = window(&format!("{{{}}}", days.join(",")), &[], LegalEnvelope::none());
    let now = utc("2026-11-23T12:00:00Z");
    let first = window.current_or_next(Tz::UTC, now).unwrap();
    assert!(first.opens_at <= now && first.closes_at > now);
    let second = window.current_or_next(Tz::UTC, first.closes_at).unwrap();
    assert!(window.is_open(Tz::UTC, first.closes_at) && second.closes_at > first.closes_at);
}

#[test]
fn a_bad_zone_is_an_error_and_never_a_default() {
    assert_eq!(parse_zone(" asia/kolkata "), Ok(KOLKATA));
    for bad in ["", "IST", "Asia/Bangalore", "+05:30", "Asia/Kolkata; drop"] {
        assert_eq!(parse_zone(bad), Err(UnknownZone(bad.to_owned())), "{bad}");
    }
}

#[test]
fn a_time_at_the_end_of_the_calendar_gives_no_window_and_no_panic() {
    assert_eq!(default_window().current_or_next(KOLKATA, DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(default_window().current_or_next(KOLKATA, DateTime::<Utc>::MIN_UTC), None);
}

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

/// What the wall clock shows, straight from the zone and the settings; knows nothing of openings.
fn allowed_by_the_wall_clock(window: &CallingWindow, zone: Tz, at: DateTime<Utc>) -> bool {
    let wall = at.with_timezone(&zone);
    let minute = wall.hour() * 60 + wall.minute();
    let inside = |start: u16, end: u16, minute: u32| (u32::from(start)..u32::from(end)).contains(&minute);
    let today = window.hours.on(wall.weekday()).iter().any(|r| inside(r.start_minute(), r.end_minute(), minute));
    let yesterday = wall.date_naive().pred_opt().unwrap().weekday();
    let night = window.hours.on(yesterday).iter().any(|r| inside(r.start_minute(), r.end_minute(), minute + 1440));
    let lawful = window.envelope.on(wall.weekday()).iter().any(|&(start, end)| inside(start, end, minute));
    (today || night) && lawful
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_next_allowed_instant_is_allowed_and_none_before_it_is(window in any_window(), (zone, now) in any_instant()) {
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
    fn an_opening_is_open_from_its_first_to_its_last_minute_and_not_beyond(window in any_window(), (zone, now) in any_instant()) {
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
}

#[test]
fn a_week_tells_what_the_law_takes_of_the_hours() {
    assert_eq!(default_window().weekly_minutes(), (6 * 9 * 60, 6 * 9 * 60));
    let early =
        window(r#"{"mon": [["06:00", "22:00"]], "sun": [["10:00", "12:00"]]}"#, &[], LegalEnvelope::for_country("IN"));
    assert_eq!(early.weekly_minutes(), (18 * 60, 14 * 60));
    let holiday = window(r#"{"mon": [["10:00", "12:00"]]}"#, &["2026-01-05"], LegalEnvelope::for_country("IN"));
    assert_eq!(holiday.weekly_minutes(), (120, 120), "of an ordinary week");
}
