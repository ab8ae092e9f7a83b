//! When a lead may be called: the account's hours and holidays, cut to the law's, on the lead's own wall clock.
//!
//! Pure: the time is an argument. A local time that the clocks skip never comes, and one that they repeat comes twice;
//! both are decided by walking real instants and asking what the wall clock shows, never by converting a local time.

mod envelope;
mod hours;
mod zone_set;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

pub use envelope::LegalEnvelope;
use hours::DAY;
pub use hours::{CallingHours, HourRange, HoursError, HoursField, HoursProblem};
pub use zone_set::{UnknownZone, ZoneSet, parse_zone};

/// A window that does not open within so many days never opens.
const LOOK_AHEAD: TimeDelta = TimeDelta::days(370);
/// How far back the opening of the current window is looked for.
const LOOK_BACK: TimeDelta = TimeDelta::days(2);
/// Hours without a break are told in pieces of about so many days.
const LONGEST_OPENING_DAYS: u64 = 8;
/// Two changes of a zone's offset closer together than this could be missed; none since 1970 are.
const OFFSET_STEP_SECS: i64 = 6 * 3600;

/// The hours of one campaign for the people of one country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingWindow {
    pub hours: CallingHours,
    /// Local dates on which nobody is called. A range over midnight that starts on a holiday is closed whole.
    pub holidays: BTreeSet<NaiveDate>,
    pub envelope: LegalEnvelope,
}

/// `[opens_at, closes_at)`, without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Of a current window this lies in the past, by at most two days.
    pub opens_at: DateTime<Utc>,
    /// After a week or so without a break a new opening begins at the instant at which this one closes.
    pub closes_at: DateTime<Utc>,
}

impl CallingWindow {
    /// The opening that `now` lies in, else the next one; `None` if there is none within 370 days.
    #[must_use]
    pub fn current_or_next(&self, zone: Tz, now: DateTime<Utc>) -> Option<Opening> {
        let limit = now.checked_add_signed(LOOK_AHEAD)?.timestamp();
        let mut from = now.checked_sub_signed(LOOK_BACK)?.timestamp();
        loop {
            let (opens, closes) = self.opening_from(zone, from, limit)?;
            if closes > now.timestamp() {
                let at = |second| DateTime::from_timestamp(second, 0);
                return Some(Opening { opens_at: at(opens)?, closes_at: at(closes)? });
            }
            from = closes;
        }
    }

    /// The first instant at or after `at` at which calling is allowed; `None` if there is none within 370 days.
    #[must_use]
    pub fn next_allowed(&self, zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.current_or_next(zone, at).map(|opening| opening.opens_at.max(at))
    }

    /// Whether calling is allowed at this instant: what the wall clock shows there, and nothing else.
    #[must_use]
    pub fn is_open(&self, zone: Tz, at: DateTime<Utc>) -> bool {
        let Some(local) = local_at(zone, at.timestamp()) else { return false };
        let minute = minute_of_day(local);
        self.open_on(local.date()).iter().any(|&(start, end)| (start..end).contains(&minute))
    }

    /// Minutes of a week without holidays: those that the hours ask for, and those that the law leaves of them.
    #[must_use]
    pub fn weekly_minutes(&self) -> (u32, u32) {
        let ordinary = Self { holidays: BTreeSet::new(), ..self.clone() };
        // Any seven days in a row will do.
        let week = NaiveDate::from_ymd_opt(2026, 1, 5).into_iter().flat_map(|monday| monday.iter_days().take(7));
        week.fold((0, 0), |(asked, left), date| {
            let ranges = self.hours.on(date.weekday()).iter();
            let asked_today: u32 = ranges.map(|range| u32::from(range.end_minute() - range.start_minute())).sum();
            let open = ordinary.open_on(date);
            (asked + asked_today, left + open.iter().map(|(start, end)| u32::from(end - start)).sum::<u32>())
        })
    }

    /// The opening that all of these zones share at `now`, else the next one; `None` if there is none within 370 days.
    ///
    /// Whoever may be in New York or in Los Angeles is called only while both are awake.
    #[must_use]
    pub fn common_opening(&self, zones: &ZoneSet, now: DateTime<Utc>) -> Option<Opening> {
        let limit = now.checked_add_signed(LOOK_AHEAD)?.timestamp();
        let mut openings = Vec::with_capacity(zones.zones().len());
        for &zone in zones.zones() {
            let opening = self.current_or_next(zone, now)?;
            openings.push((zone, opening.opens_at.timestamp(), opening.closes_at.timestamp()));
        }
        loop {
            let opens = openings.iter().map(|&(_, opens, _)| opens).max()?;
            let closes = openings.iter().map(|&(_, _, closes)| closes).min()?;
            if opens < closes {
                let at = |second| DateTime::from_timestamp(second, 0);
                return Some(Opening { opens_at: at(opens)?, closes_at: at(closes)? });
            }
            // Where it closes before the last one opens, the two never meet: on to what comes after it.
            for (zone, first, last) in &mut openings {
                while *last <= opens {
                    (*first, *last) = self.opening_from(*zone, *last, limit)?;
                }
            }
        }
    }

    /// The first instant at or after `at` at which calling is allowed in all of these zones; `None` if there is none within
    /// 370 days.
    #[must_use]
    pub fn next_allowed_in_all(&self, zones: &ZoneSet, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.common_opening(zones, at).map(|opening| opening.opens_at.max(at))
    }

    /// The first opening that ends after `from`, cut to start no earlier; in seconds since 1970.
    fn opening_from(&self, zone: Tz, from: i64, limit: i64) -> Option<(i64, i64)> {
        let last_day = local_at(zone, limit)?.date();
        let mut from = from;
        while from < limit {
            let local = local_at(zone, from)?;
            let (start, mut end) = self.local_opening(local, last_day)?;
            let offset = offset_secs(zone, from)?;
            let opens = (start.and_utc().timestamp() - offset).max(from);
            // The clocks change before it opens, so that the wall clock reaches the hour earlier, later or not at all.
            if let Some(change) = next_offset_change(zone, from, opens) {
                from = change;
                continue;
            }
            let mut since = opens;
            let mut closes = end.and_utc().timestamp() - offset;
            while let Some(change) = next_offset_change(zone, since, closes) {
                let local = local_at(zone, change)?;
                match self.local_opening(local, last_day) {
                    Some((start, new_end)) if start <= local => {
                        (since, end) = (change, new_end);
                        closes = end.and_utc().timestamp() - offset_secs(zone, change)?;
                    }
                    _ => {
                        closes = change;
                        break;
                    }
                }
                if closes - opens > 2 * LONGEST_OPENING_DAYS as i64 * 86_400 {
                    break;
                }
            }
            return Some((opens, closes));
        }
        None
    }

    /// The wall clock's first stretch of open time that ends after `from`, were the clocks never changed.
    fn local_opening(&self, from: NaiveDateTime, last_day: NaiveDate) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let mut date = from.date();
        while date <= last_day {
            for (start, end) in self.open_on(date) {
                let (start, end) = (on_date(date, start)?, on_date(date, end)?);
                if end > from {
                    return Some((start, self.past_midnight(end)));
                }
            }
            date = date.succ_opt()?;
        }
        None
    }

    /// Where an opening that ends at `end` really ends, if it goes on after midnight.
    fn past_midnight(&self, end: NaiveDateTime) -> NaiveDateTime {
        let mut end = end;
        let last = end.date() + Days::new(LONGEST_OPENING_DAYS);
        while end.time() == chrono::NaiveTime::MIN && end.date() < last {
            let goes_on = self.open_on(end.date()).first().copied().filter(|&(start, _)| start == 0);
            let Some(next) = goes_on.and_then(|(_, minute)| on_date(end.date(), minute)) else { break };
            end = next;
        }
        end
    }

    /// The minutes of this local date in which calling is allowed: `[start, end)`, in order, apart from each other.
    fn open_on(&self, date: NaiveDate) -> Vec<(u16, u16)> {
        if self.holidays.contains(&date) {
            return Vec::new();
        }
        let mut wanted: Vec<(u16, u16)> = Vec::new();
        if let Some(yesterday) = date.pred_opt().filter(|day| !self.holidays.contains(day)) {
            let tails = self.hours.on(yesterday.weekday()).iter().filter(|range| range.end_minute() > DAY);
            wanted.extend(tails.map(|range| (0, range.end_minute() - DAY)));
        }
        for range in self.hours.on(date.weekday()) {
            let (start, end) = (range.start_minute(), range.end_minute().min(DAY));
            match wanted.last_mut() {
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ => wanted.push((start, end)),
            }
        }
        let mut open = Vec::with_capacity(wanted.len());
        for (start, end) in wanted {
            for &(earliest, latest) in self.envelope.on(date.weekday()) {
                let (start, end) = (start.max(earliest), end.min(latest));
                if start < end {
                    open.push((start, end));
                }
            }
        }
        open
    }
}

fn on_date(date: NaiveDate, minute: u16) -> Option<NaiveDateTime> {
    date.and_time(chrono::NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(i64::from(minute)))
}

fn minute_of_day(local: NaiveDateTime) -> u16 {
    use chrono::Timelike;
    u16::try_from(local.hour() * 60 + local.minute()).expect("a day has 1440 minutes")
}

/// East of Greenwich, in seconds.
fn offset_secs(zone: Tz, second: i64) -> Option<i64> {
    let utc = DateTime::from_timestamp(second, 0)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
}

fn local_at(zone: Tz, second: i64) -> Option<NaiveDateTime> {
    let shifted = second.checked_add(offset_secs(zone, second)?)?;
    Some(DateTime::from_timestamp(shifted, 0)?.naive_utc())
}

/// The first second in `(after, until]` with another offset than `after` has.
fn next_offset_change(zone: Tz, after: i64, until: i64) -> Option<i64> {
    let before = offset_secs(zone, after)?;
    let mut same = after;
    while same < until {
        let probe = (same + OFFSET_STEP_SECS).min(until);
        if offset_secs(zone, probe)? == before {
            same = probe;
            continue;
        }
        let mut changed = probe;
        while changed - same > 1 {
            let middle = same + (changed - same) / 2;
            if offset_secs(zone, middle)? == before { same = middle } else { changed = middle }
        }
        return Some(changed);
    }
    None
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
