//! In which time zones a number's owner may be, by libphonenumber's table of prefixes and the tz database's of countries.
//!
//! The two files are written by `shared/data/generate_phone_zones.py`, which says what it takes and what it changes. They are
//! read once; a look-up is one to three binary searches.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::calling_window::ZoneSet;

const PREFIXES: &str = include_str!("../../data/phone_zones.txt");
const COUNTRIES: &str = include_str!("../../data/country_zones.txt");
/// Of a prefix whose numbers are bound to no place.
const ANYWHERE: &str = "*";

/// Zones by prefix, in the order of the prefixes' digits; `None`: anywhere in the number's country.
static BY_PREFIX: LazyLock<Vec<(&str, Option<&ZoneSet>)>> = LazyLock::new(|| {
    // The table has three thousand prefixes and three hundred sets.
    let mut sets = HashMap::new();
    let mut table: Vec<_> = rows(PREFIXES)
        .map(|(prefix, zones)| {
            let set = (zones != ANYWHERE).then(|| *sets.entry(zones).or_insert_with(|| set(zones)));
            (prefix, set)
        })
        .collect();
    table.sort_unstable_by_key(|row| row.0);
    table
});
static BY_COUNTRY: LazyLock<Vec<(&str, &ZoneSet)>> =
    LazyLock::new(|| rows(COUNTRIES).map(|(country, zones)| (country, set(zones))).collect());

/// What the digits behind the plus say by themselves: `None` if no more than the country.
pub(super) fn of_number(digits: &str) -> Option<&'static ZoneSet> {
    let mut digits = digits;
    loop {
        // The greatest prefix that is not greater than the digits: every prefix of theirs is one of its own, too.
        let below = BY_PREFIX.partition_point(|row| row.0 <= digits);
        let (prefix, zones) = BY_PREFIX[below.checked_sub(1)?];
        let common = prefix.bytes().zip(digits.bytes()).take_while(|(one, other)| one == other).count();
        if common == prefix.len() {
            return zones;
        }
        digits = &digits[..common];
    }
}

/// All of a country's zones, by its ISO 3166 code.
pub(super) fn of_country(country: &str) -> Option<&'static ZoneSet> {
    BY_COUNTRY.binary_search_by_key(&country, |row| row.0).ok().map(|row| BY_COUNTRY[row].1)
}

fn rows(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
}

/// Kept for the life of the process, as the table is.
fn set(zones: &str) -> &'static ZoneSet {
    Box::leak(Box::new(ZoneSet::parse(zones).expect("a test reads every set of the tables")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_every_zone_exists() {
        assert!(BY_PREFIX.is_sorted_by(|one, next| one.0 < next.0));
        assert!(BY_COUNTRY.is_sorted_by(|one, next| one.0 < next.0));
        for (_, zones) in rows(PREFIXES).chain(rows(COUNTRIES)).filter(|row| row.1 != ANYWHERE) {
            assert_eq!(ZoneSet::parse(zones).unwrap().to_string(), zones);
        }
        assert!((3_000..5_000).contains(&BY_PREFIX.len()) && BY_COUNTRY.len() > 240);
    }

    #[test]
    fn the_tables_were_made_with_the_clocks_that_this_program_reads() {
        let version = format!("tz database {}", chrono_tz::IANA_TZDB_VERSION);
        assert!(
            PREFIXES.contains(&version) && COUNTRIES.contains(&version),
            "run generate_phone_zones.py with {version}"
        );
    }

    #[test]
    fn the_longest_prefix_counts() {
        let of = |digits| of_number(digits).map(ToString::to_string);
        assert_eq!(of("12083").as_deref(), Some("America/Denver"));
        assert_eq!(of("1208215").as_deref(), Some("America/Los_Angeles"));
        assert_eq!((of("1"), of(""), of("6141")), (None, None, None));
        let by_trying_all = |digits: &str| {
            let row =
                (1..=digits.len()).rev().find_map(|length| BY_PREFIX.iter().find(|row| row.0 == &digits[..length]));
            row.and_then(|row| row.1)
        };
        for (prefix, _) in BY_PREFIX.iter().step_by(7) {
            for digits in [format!("{prefix}0123"), format!("{prefix}9876"), prefix[..prefix.len() - 1].to_owned()] {
                assert_eq!(of_number(&digits), by_trying_all(&digits), "{digits}");
            }
        }
    }
}
