use super::*;

const KOLKATA: Tz = Tz::Asia__Kolkata;
const NEW_YORK: Tz = Tz::America__New_York;

pub(super) fn utc(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(super) fn local(zone: Tz, at: DateTime<Utc>) -> String {
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

fn zones(text: &str) -> ZoneSet {
    ZoneSet::parse(text).unwrap()
}

#[test]
fn whoever_may_be_in_two_zones_is_called_while_both_are_open() {
    let both = zones("America/New_York&America/Los_Angeles");
    let window = CallingWindow { envelope: LegalEnvelope::for_country("US"), ..default_window() };
    let opening = window.common_opening(&both, utc("2026-11-23T12:00:00-05:00")).unwrap();
    assert_eq!(local(NEW_YORK, opening.opens_at), "Mon 2026-11-23 13:00 -0500");
    assert_eq!(local(NEW_YORK, opening.closes_at), "Mon 2026-11-23 19:00 -0500");
    // Saturday evening in New York: the next time that both are open is Monday's.
    let next = window.next_allowed_in_all(&both, utc("2026-11-28T19:00:00-05:00")).unwrap();
    assert_eq!(local(NEW_YORK, next), "Mon 2026-11-30 13:00 -0500");
    let inside = utc("2026-11-23T15:00:00-05:00");
    assert_eq!(window.next_allowed_in_all(&both, inside), Some(inside));
}

#[test]
fn zones_too_far_apart_never_open_together() {
    let russia = zones("Europe/Moscow&Asia/Anadyr");
    assert_eq!(default_window().common_opening(&russia, utc("2026-11-23T12:00:00Z")), None);
    let from_nine = window(r#"{"mon": [["09:00", "20:00"]]}"#, &[], LegalEnvelope::none());
    let opening = from_nine.common_opening(&russia, utc("2026-11-23T12:00:00Z")).unwrap();
    assert_eq!(opening.closes_at - opening.opens_at, TimeDelta::hours(2));
}

#[test]
fn a_holiday_in_one_zone_closes_them_all() {
    let both = zones("Asia/Kolkata&America/New_York");
    let window =
        window(r#"{"mon": [["00:00", "24:00"]], "tue": [["00:00", "24:00"]]}"#, &["2026-11-24"], LegalEnvelope::none());
    let opening = window.common_opening(&both, utc("2026-11-23T00:00:00Z")).unwrap();
    assert_eq!(local(KOLKATA, opening.closes_at), "Tue 2026-11-24 00:00 +0530");
}

#[test]
fn a_time_at_the_end_of_the_calendar_gives_no_window_and_no_panic() {
    assert_eq!(default_window().current_or_next(KOLKATA, DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(default_window().current_or_next(KOLKATA, DateTime::<Utc>::MIN_UTC), None);
    assert_eq!(default_window().common_opening(&zones("Asia/Kolkata&Asia/Dubai"), DateTime::<Utc>::MAX_UTC), None);
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
