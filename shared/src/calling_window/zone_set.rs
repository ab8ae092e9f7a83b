//! The zones in which somebody may be: one if it is known, several if a phone number leaves it open.

use std::fmt;

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// Between the names of a set's zones, in the database and to operators: `America/Denver&America/Los_Angeles`.
const SEPARATOR: char = '&';
/// No country has more times than this.
const MOST_ZONES: usize = 16;

/// Nobody knows what time it is there: whoever asked must take the window for closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a time zone; write a name such as Asia/Kolkata")]
pub struct UnknownZone(pub String);

/// Reads a name of the tz database, in any case.
///
/// # Errors
/// [`UnknownZone`]. A bad zone closes the window and never opens it: there is no default to fall back to.
pub fn parse_zone(name: &str) -> Result<Tz, UnknownZone> {
    let name = name.trim();
    if let Ok(zone) = name.parse() {
        return Ok(zone);
    }
    let found = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| UnknownZone(name.chars().take(64).collect()))
}

/// Never empty; in the order of their names, each once, so that one set has one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ZoneSet(Vec<Tz>);

impl ZoneSet {
    /// Reads what [`fmt::Display`] writes, and what people write like it: any order, any case, spaces.
    ///
    /// # Errors
    /// [`UnknownZone`] if any of them is none, or if there are more than any country has: a part that cannot be read could
    /// be the one in which it is night.
    pub fn parse(text: &str) -> Result<Self, UnknownZone> {
        let mut zones = text.split(SEPARATOR).map(parse_zone).collect::<Result<Vec<_>, _>>()?;
        zones.sort_unstable_by_key(|zone| zone.name());
        zones.dedup();
        if zones.len() > MOST_ZONES {
            return Err(UnknownZone(text.chars().take(64).collect()));
        }
        Ok(Self(zones))
    }

    #[must_use]
    pub fn zones(&self) -> &[Tz] {
        &self.0
    }

    /// One of them, for reading what somebody says about the time: the one whose clock lies in the middle, which is wrong by
    /// the least where it is wrong.
    #[must_use]
    pub fn likely(&self, at: DateTime<Utc>) -> Tz {
        let mut zones = self.0.clone();
        zones.sort_by_key(|zone| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc());
        zones[(zones.len() - 1) / 2]
    }
}

impl From<Tz> for ZoneSet {
    fn from(zone: Tz) -> Self {
        Self(vec![zone])
    }
}

impl fmt::Display for ZoneSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, zone) in self.0.iter().enumerate() {
            if index > 0 {
                write!(f, "{SEPARATOR}")?;
            }
            f.write_str(zone.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_has_one_text_however_it_was_written() {
        for text in [
            "America/Denver&America/Los_Angeles",
            " america/los_angeles & America/Denver&AMERICA/DENVER",
            "America/Los_Angeles&America/Denver",
        ] {
            assert_eq!(ZoneSet::parse(text).unwrap().to_string(), "America/Denver&America/Los_Angeles");
        }
        assert_eq!(ZoneSet::from(Tz::Asia__Kolkata), ZoneSet::parse("asia/kolkata").unwrap());
    }

    #[test]
    fn a_set_with_a_part_that_is_no_zone_is_no_set() {
        for text in ["", "&", "Asia/Kolkata&", "Asia/Kolkata&IST", "Asia/Kolkata,Asia/Dubai"] {
            assert!(ZoneSet::parse(text).is_err(), "{text}");
        }
        let many = TZ_VARIANTS.iter().take(17).map(|zone| zone.name()).collect::<Vec<_>>().join("&");
        assert!(ZoneSet::parse(&many).is_err());
    }

    #[test]
    fn the_likely_zone_lies_in_the_middle() {
        let noon = "2026-11-23T12:00:00Z".parse().unwrap();
        let likely = |text| ZoneSet::parse(text).unwrap().likely(noon).name();
        assert_eq!(likely("America/New_York&America/Los_Angeles&America/Denver"), "America/Denver");
        assert_eq!(likely("Asia/Jakarta&Asia/Jayapura"), "Asia/Jakarta");
        assert_eq!(likely("Asia/Kolkata"), "Asia/Kolkata");
    }
}
