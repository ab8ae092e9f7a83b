//! The hours an account wants to call in, per weekday, and how they are written in JSON.

use std::collections::BTreeMap;
use std::fmt;

use chrono::Weekday;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

pub(super) const DAY: u16 = 24 * 60;
/// A longer range over midnight is taken for two swapped times ("19:00" to "10:00").
const LONGEST_OVERNIGHT: u16 = 12 * 60;
/// Per weekday.
const MOST_RANGES: usize = 12;
const WEEK: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
const NAMES: [(&str, &str); 7] = [
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
];

/// `[start, end)` in minutes of the local wall clock. A range over midnight belongs to the day it starts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourRange {
    /// After the starting day's midnight, below 1440.
    start: u16,
    /// After the starting day's midnight too: above 1440 where the range ends on the next day.
    end: u16,
}

impl HourRange {
    /// Minutes after midnight.
    #[must_use]
    pub fn start_minute(self) -> u16 {
        self.start
    }

    /// Minutes after the midnight before `start`: above 1440 where the range ends on the next day.
    #[must_use]
    pub fn end_minute(self) -> u16 {
        self.end
    }

    /// `(10, 19)` where both ends fall on the hour: what `calling_hours_start` and `calling_hours_end` can say. A range
    /// over midnight ends at its wall-clock hour: `(22, 2)`.
    #[must_use]
    pub fn whole_hours(self) -> Option<(u32, u32)> {
        let end = if self.end > DAY { self.end - DAY } else { self.end };
        (self.start.is_multiple_of(60) && end.is_multiple_of(60))
            .then_some((u32::from(self.start / 60), u32::from(end / 60)))
    }

    fn new(start: u16, end: u16) -> Result<Self, HoursProblem> {
        if start == end {
            return Err(HoursProblem::Empty);
        }
        if start < end {
            return Ok(Self { start, end });
        }
        let end = end + DAY;
        if end - start > LONGEST_OVERNIGHT {
            return Err(HoursProblem::Reversed);
        }
        Ok(Self { start, end })
    }

    fn text(self) -> [String; 2] {
        let end = if self.end > DAY { self.end - DAY } else { self.end };
        [self.start, end].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60))
    }
}

/// When an account is willing to call, in the wall-clock time of whoever is called.
///
/// In JSON `{"mon": [["10:00", "19:00"]], "tue": [["10:00", "13:00"], ["14:00", "24:00"]]}`; a day that is not named is
/// closed. What it says can only narrow the law's hours ([`super::LegalEnvelope`]).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Vec<[String; 2]>>")]
pub struct CallingHours {
    /// Monday first; each day's ranges in order and apart from each other.
    days: [Vec<HourRange>; 7],
}

impl Default for CallingHours {
    /// 10:00 to 19:00, Sunday off: what the published documents promise.
    fn default() -> Self {
        Self::all_but_sunday(HourRange { start: 10 * 60, end: 19 * 60 })
    }
}

impl CallingHours {
    /// From `calling_hours_start` and `calling_hours_end` (hours, 0 to 23 and 1 to 24), Sunday off.
    ///
    /// # Errors
    /// Says which of the two is wrong by [`HoursError::field`].
    pub fn from_whole_hours(start: u32, end: u32) -> Result<Self, HoursError> {
        let error = |field, problem| HoursError { day: "mon".to_owned(), range: Some(0), field, problem };
        let minutes = |hour: u32, field, last: u32| match u16::try_from(hour) {
            Ok(hour) if u32::from(hour) <= last => Ok(hour * 60),
            _ => Err(error(field, HoursProblem::NotATime(hour.to_string()))),
        };
        let (start, end) = (minutes(start, HoursField::Start, 23)?, minutes(end, HoursField::End, 24)?);
        let range = HourRange::new(start, end).map_err(|problem| error(HoursField::Range, problem))?;
        Ok(Self::all_but_sunday(range))
    }

    /// # Errors
    /// Names the first day, range and end that makes no sense.
    pub fn from_days(days: impl IntoIterator<Item = (String, Vec<[String; 2]>)>) -> Result<Self, HoursError> {
        let mut hours = Self { days: Default::default() };
        let mut seen = [false; 7];
        for (name, ranges) in days {
            let error = |range, field, problem| HoursError { day: name.clone(), range, field, problem };
            let lower = name.trim().to_lowercase();
            let Some(index) = NAMES.iter().position(|(short, long)| lower == *short || lower == *long) else {
                return Err(error(None, HoursField::Day, HoursProblem::UnknownDay));
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err(error(None, HoursField::Day, HoursProblem::DayTwice));
            }
            if ranges.len() > MOST_RANGES {
                return Err(error(None, HoursField::Day, HoursProblem::TooManyRanges));
            }
            for (number, [start, end]) in ranges.iter().enumerate() {
                let time = |text: &str, field, last| {
                    minute_of(text, last).ok_or_else(|| {
                        error(Some(number), field, HoursProblem::NotATime(text.chars().take(20).collect()))
                    })
                };
                let (start, end) = (time(start, HoursField::Start, DAY - 1)?, time(end, HoursField::End, DAY)?);
                let range =
                    HourRange::new(start, end).map_err(|problem| error(Some(number), HoursField::Range, problem))?;
                let days = &mut hours.days[index];
                if days.iter().any(|other| range.start < other.end && other.start < range.end) {
                    return Err(error(Some(number), HoursField::Range, HoursProblem::Overlap));
                }
                days.push(range);
            }
            hours.days[index].sort_unstable();
        }
        hours.refuse_tails_into_the_next_day()?;
        Ok(hours)
    }

    /// The one range of every open day, where all open days have the same single range.
    #[must_use]
    pub fn uniform(&self) -> Option<HourRange> {
        let mut open = self.days.iter().filter(|ranges| !ranges.is_empty());
        let first = open.next()?;
        (first.len() == 1 && open.all(|ranges| ranges == first)).then(|| first[0])
    }

    /// The ranges that start on this weekday, in order.
    #[must_use]
    pub fn on(&self, day: Weekday) -> &[HourRange] {
        &self.days[day.num_days_from_monday() as usize]
    }

    /// Whether no weekday is open: a campaign with these hours never calls.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.days.iter().all(Vec::is_empty)
    }

    fn all_but_sunday(range: HourRange) -> Self {
        let mut days: [Vec<HourRange>; 7] = Default::default();
        days[..6].fill(vec![range]);
        Self { days }
    }

    fn refuse_tails_into_the_next_day(&self) -> Result<(), HoursError> {
        for day in WEEK {
            let Some(tail) = self.on(day).last().filter(|range| range.end > DAY) else { continue };
            if self.on(day.succ()).first().is_some_and(|first| first.start < tail.end - DAY) {
                return Err(HoursError {
                    day: short_name(day).to_owned(),
                    range: Some(self.on(day).len() - 1),
                    field: HoursField::End,
                    problem: HoursProblem::OverlapNextDay(short_name(day.succ())),
                });
            }
        }
        Ok(())
    }
}

impl TryFrom<BTreeMap<String, Vec<[String; 2]>>> for CallingHours {
    type Error = HoursError;

    fn try_from(days: BTreeMap<String, Vec<[String; 2]>>) -> Result<Self, HoursError> {
        Self::from_days(days)
    }
}

impl Serialize for CallingHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for day in WEEK {
            if !self.on(day).is_empty() {
                map.serialize_entry(
                    short_name(day),
                    &self.on(day).iter().map(|range| range.text()).collect::<Vec<_>>(),
                )?;
            }
        }
        map.end()
    }
}

fn short_name(day: Weekday) -> &'static str {
    NAMES[day.num_days_from_monday() as usize].0
}

/// "9:30", "09:30" and, as an end, "24:00".
fn minute_of(text: &str, last: u16) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&hour.len()) || minute.len() != 2 || !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= last).then_some(total)
}

/// What is wrong with a setting of calling hours, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoursError {
    /// As it was written.
    pub day: String,
    /// Counted from 0, within the day.
    pub range: Option<usize>,
    pub field: HoursField,
    pub problem: HoursProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoursField {
    Day,
    /// Both ends together.
    Range,
    Start,
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursProblem {
    #[error("is not a day; use mon, tue, wed, thu, fri, sat or sun")]
    UnknownDay,
    #[error("is given twice")]
    DayTwice,
    #[error("has more than {MOST_RANGES} ranges")]
    TooManyRanges,
    #[error("\"{0}\" is not a time; write hours and minutes such as 09:30, up to 24:00 for an end")]
    NotATime(String),
    #[error("starts and ends at the same time")]
    Empty,
    #[error("ends before it starts; only a range of at most 12 hours may run over midnight")]
    Reversed,
    #[error("overlaps another range of the day")]
    Overlap,
    #[error("runs over midnight into a range of {0}")]
    OverlapNextDay(&'static str),
}

impl HoursError {
    /// Where the mistake is in the JSON of the hours, as RFC 6901 has it: `/mon/0/1` is the end of Monday's first range.
    #[must_use]
    pub fn pointer(&self) -> String {
        let mut pointer = format!("/{}", self.day.replace('~', "~0").replace('/', "~1"));
        if let Some(range) = self.range {
            pointer.push_str(&format!("/{range}"));
        }
        match self.field {
            HoursField::Start => pointer.push_str("/0"),
            HoursField::End => pointer.push_str("/1"),
            HoursField::Day | HoursField::Range => {}
        }
        pointer
    }
}

impl fmt::Display for HoursError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.day)?;
        if let Some(range) = self.range {
            write!(f, "[{range}]")?;
        }
        match self.field {
            HoursField::Start => write!(f, " start: ")?,
            HoursField::End => write!(f, " end: ")?,
            HoursField::Day | HoursField::Range => write!(f, " ")?,
        }
        self.problem.fmt(f)
    }
}

impl std::error::Error for HoursError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<CallingHours, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_ten_to_seven_with_sunday_off() {
        let json = serde_json::to_string(&CallingHours::default()).unwrap();
        assert_eq!(
            json,
            r#"{"mon":[["10:00","19:00"]],"tue":[["10:00","19:00"]],"wed":[["10:00","19:00"]],"thu":[["10:00","19:00"]],"fri":[["10:00","19:00"]],"sat":[["10:00","19:00"]]}"#
        );
        assert_eq!(CallingHours::from_whole_hours(10, 19), Ok(CallingHours::default()));
    }

    #[test]
    fn hours_survive_a_round_trip_through_json() {
        let json = r#"{"mon":[["09:30","13:00"],["14:00","24:00"]],"fri":[["22:00","02:00"]]}"#;
        let hours = parse(json).unwrap();
        assert_eq!(serde_json::to_string(&hours).unwrap(), json);
        assert_eq!(hours.on(Weekday::Fri)[0].end_minute(), 26 * 60);
    }

    #[test]
    fn long_day_names_capitals_and_one_digit_hours_are_understood() {
        assert_eq!(parse(r#"{"Monday": [["9:00", "17:00"]]}"#), parse(r#"{"mon": [["09:00", "17:00"]]}"#));
    }

    #[test]
    fn a_mistake_is_named_with_its_day_and_field() {
        for (json, message) in [
            (r#"{"mon": [["25:00", "19:00"]]}"#, "mon[0] start: \"25:00\" is not a time"),
            (r#"{"mon": [["24:00", "24:00"]]}"#, "mon[0] start: \"24:00\" is not a time"),
            (r#"{"tue": [["10:00", "24:01"]]}"#, "tue[0] end: \"24:01\" is not a time"),
            (r#"{"tue": [["10:00", "ten"]]}"#, "tue[0] end: \"ten\" is not a time"),
            (r#"{"tue": [["10:00", "+9:00"]]}"#, "tue[0] end: \"+9:00\" is not a time"),
            (r#"{"wed": [["10:00", "10:00"]]}"#, "wed[0] starts and ends at the same time"),
            (r#"{"wed": [["19:00", "10:00"]]}"#, "wed[0] ends before it starts"),
            (r#"{"thu": [["10:00", "14:00"], ["13:59", "18:00"]]}"#, "thu[1] overlaps another range"),
            (
                r#"{"fri": [["22:00", "02:00"]], "sat": [["01:00", "03:00"]]}"#,
                "fri[0] end: runs over midnight into a range of sat",
            ),
            (
                r#"{"sun": [["22:00", "02:00"]], "mon": [["01:00", "03:00"]]}"#,
                "sun[0] end: runs over midnight into a range of mon",
            ),
            (r#"{"someday": []}"#, "someday is not a day"),
            (r#"{"mon": [], "Monday": []}"#, "mon is given twice"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn a_mistake_has_a_json_pointer() {
        let error =
            CallingHours::from_days([("mon".to_owned(), vec![["10:00".to_owned(), "25:00".to_owned()]])]).unwrap_err();
        assert_eq!(error.pointer(), "/mon/0/1");
    }

    #[test]
    fn whole_hours_are_checked_one_by_one() {
        assert_eq!(CallingHours::from_whole_hours(24, 24).unwrap_err().field, HoursField::Start);
        assert_eq!(CallingHours::from_whole_hours(10, 25).unwrap_err().field, HoursField::End);
        assert_eq!(CallingHours::from_whole_hours(10, 10).unwrap_err().problem, HoursProblem::Empty);
        assert_eq!(CallingHours::from_whole_hours(19, 10).unwrap_err().problem, HoursProblem::Reversed);
        assert_eq!(CallingHours::from_whole_hours(0, 24).unwrap().uniform().unwrap().whole_hours(), Some((0, 24)));
        assert_eq!(CallingHours::from_whole_hours(22, 2).unwrap().uniform().unwrap().whole_hours(), Some((22, 2)));
    }

    #[test]
    fn uniform_hours_are_told_only_where_every_open_day_agrees() {
        assert_eq!(CallingHours::default().uniform().unwrap().whole_hours(), Some((10, 19)));
        assert_eq!(parse(r#"{"mon": [["10:30", "19:00"]]}"#).unwrap().uniform().unwrap().whole_hours(), None);
        assert_eq!(parse(r#"{"mon": [["10:00", "19:00"]], "tue": [["10:00", "18:00"]]}"#).unwrap().uniform(), None);
        assert_eq!(parse(r#"{"mon": [["10:00", "12:00"], ["13:00", "18:00"]]}"#).unwrap().uniform(), None);
        assert_eq!(parse("{}").unwrap().uniform(), None);
        assert!(parse(r#"{"mon": []}"#).unwrap().is_closed());
    }
}
