//! Exotel's idea of time: Indian Standard Time, written without a zone.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone, Utc};

/// +05:30 has no daylight saving, so a fixed offset is exact.
fn ist() -> FixedOffset {
    FixedOffset::east_opt(5 * 3_600 + 30 * 60).expect("+05:30 is a valid offset")
}

/// `2026-11-21 15:51:06`, as in every v1 answer and callback.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.with_timezone(&ist()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `Tue, 25 Aug 2026 12:07:08`, as applets send `Created`.
pub fn created(at: DateTime<Utc>) -> String {
    at.with_timezone(&ist()).format("%a, %d %b %Y %H:%M:%S").to_string()
}

/// What applets send as `EndTime` of a call that is still up: Unix zero, in IST.
pub const NOT_ENDED: &str = "1970-01-01 05:30:00";

/// Reads a filter's `2026-11-20 00:00:00`.
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S").ok()?;
    ist().from_local_datetime(&naive).single().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_indian_and_bare() {
        let zero = DateTime::from_timestamp(0, 0).unwrap();
        assert_eq!(stamp(zero), NOT_ENDED);
        assert_eq!(created(zero), "Thu, 01 Jan 1970 05:30:00");
        assert_eq!(parse(NOT_ENDED), Some(zero));
        assert_eq!(parse("yesterday"), None);
    }
}
