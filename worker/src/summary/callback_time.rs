//! "Tomorrow evening", "after two hours", "kal shaam 6 baje": the moment somebody means, on their own wall clock. Pure.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use shared::callback;

/// The moment that `words` name, said at `said_at`; `None` where they name none that can be told. Always after `said_at`.
#[must_use]
pub fn callback_time(words: &str, said_at: DateTime<Tz>) -> Option<DateTime<Utc>> {
    // A live agent is told to write moments so; taken apart into words they would be read as others.
    if let Some(at) = callback::moment(words, said_at.timezone()) {
        return callback::is_plausible(at, said_at.to_utc()).then_some(at);
    }
    let words: Vec<String> = words
        .to_lowercase()
        .replace("a.m.", "am")
        .replace("p.m.", "pm")
        .split(|letter: char| !letter.is_alphanumeric() && letter != ':')
        .filter(|word| !word.is_empty())
        .flat_map(split_unit)
        .collect();
    if let Some(wait) = wait(&words) {
        return Some((said_at + wait).to_utc());
    }
    let day = day(&words, said_at);
    let time = clock_time(&words).or_else(|| part_of_day(&words));
    if day.is_none() && time.is_none() {
        return None;
    }
    let date = said_at.date_naive().checked_add_days(Days::new(day.unwrap_or(0)))?;
    // "Tomorrow" alone means about the same hour.
    let time = time.unwrap_or_else(|| said_at.time());
    let local = said_at.timezone().from_local_datetime(&date.and_time(time)).earliest()?;
    if local > said_at {
        return Some(local.to_utc());
    }
    // "At five", said at six.
    let next = date.checked_add_days(Days::new(1))?.and_time(time);
    (day.is_none()).then(|| said_at.timezone().from_local_datetime(&next).earliest()).flatten().map(|at| at.to_utc())
}

/// `5pm` is two words.
fn split_unit(word: &str) -> Vec<String> {
    for unit in ["am", "pm"] {
        if let Some(number) = word.strip_suffix(unit)
            && number.starts_with(|letter: char| letter.is_ascii_digit())
        {
            return vec![number.to_owned(), unit.to_owned()];
        }
    }
    vec![word.to_owned()]
}

fn has(words: &[String], any: &[&str]) -> bool {
    words.iter().any(|word| any.contains(&word.as_str()))
}

/// "in 20 minutes", "after two hours", "half an hour", "ek ghante baad".
fn wait(words: &[String]) -> Option<TimeDelta> {
    let (at, unit) = words.iter().enumerate().find_map(|(at, word)| {
        let unit = match word.as_str() {
            "minute" | "minutes" | "min" | "mins" | "minat" => TimeDelta::minutes(1),
            "hour" | "hours" | "hr" | "hrs" | "ghanta" | "ghante" => TimeDelta::hours(1),
            "day" | "days" | "din" => TimeDelta::days(1),
            "week" | "weeks" | "hafta" | "hafte" => TimeDelta::weeks(1),
            _ => return None,
        };
        Some((at, unit))
    })?;
    if has(&words[..at], &["half", "aadha", "aadhe"]) {
        return Some(unit / 2);
    }
    let count = words[..at].iter().rev().take(2).find_map(|word| number(word))?;
    (1..=60).contains(&count).then(|| unit * i32::try_from(count).unwrap_or(1))
}

/// Days from today.
fn day(words: &[String], said_at: DateTime<Tz>) -> Option<u64> {
    use chrono::{Datelike, Weekday};
    if has(words, &["tomorrow", "kal"]) {
        let after = words.windows(2).any(|pair| pair[0] == "after" && pair[1] == "tomorrow");
        return Some(if after { 2 } else { 1 });
    }
    if has(words, &["parso", "parson"]) {
        return Some(2);
    }
    if has(words, &["today", "tonight", "aaj"]) {
        return Some(0);
    }
    let named = words.iter().find_map(|word| match word.as_str() {
        "monday" | "somvar" => Some(Weekday::Mon),
        "tuesday" | "mangalvar" => Some(Weekday::Tue),
        "wednesday" | "budhvar" => Some(Weekday::Wed),
        "thursday" | "guruvar" => Some(Weekday::Thu),
        "friday" | "shukravar" => Some(Weekday::Fri),
        "saturday" | "shanivar" | "weekend" => Some(Weekday::Sat),
        "sunday" | "ravivar" => Some(Weekday::Sun),
        _ => None,
    })?;
    let ahead = (7 + named.num_days_from_monday() - said_at.weekday().num_days_from_monday()) % 7;
    Some(u64::from(if ahead == 0 { 7 } else { ahead }))
}

/// "at 5", "5:30 pm", "6 baje", "17:00". An hour without am or pm is in the working day: 1 to 7 mean the afternoon.
fn clock_time(words: &[String]) -> Option<NaiveTime> {
    words.iter().enumerate().find_map(|(at, word)| {
        let before = at.checked_sub(1).map(|before| words[before].as_str());
        let after = words.get(at + 1).map(String::as_str);
        let (hour, minute) = match word.split_once(':') {
            Some((hour, minute)) => (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?),
            None => (u32::try_from(number(word)?).ok()?, 0),
        };
        let marked = word.contains(':')
            || matches!(before, Some("at" | "by" | "around" | "after"))
            || matches!(after, Some("am" | "pm" | "baje" | "o"));
        if !marked || hour > 23 || minute > 59 {
            return None;
        }
        let evening = has(words, &["pm", "evening", "shaam", "sham", "night", "raat", "afternoon", "dopahar"]);
        let morning = has(words, &["am", "morning", "subah"]);
        let hour = match hour {
            12 if morning => 0,
            1..=11 if evening => hour + 12,
            1..=7 if !morning => hour + 12,
            other => other,
        };
        NaiveTime::from_hms_opt(hour, minute, 0)
    })
}

fn part_of_day(words: &[String]) -> Option<NaiveTime> {
    let hour = if has(words, &["morning", "subah"]) {
        10
    } else if has(words, &["noon", "lunch"]) {
        12
    } else if has(words, &["afternoon", "dopahar"]) {
        15
    } else if has(words, &["evening", "shaam", "sham"]) {
        18
    } else if has(words, &["tonight", "night", "raat"]) {
        19
    } else {
        return None;
    };
    NaiveTime::MIN.with_hour(hour)
}

fn number(word: &str) -> Option<i64> {
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    let at = match word {
        "a" | "an" | "one" | "ek" => 1,
        "two" | "do" | "couple" => 2,
        "three" | "teen" => 3,
        "four" | "char" | "chaar" => 4,
        "five" | "paanch" | "panch" => 5,
        "six" | "chhe" | "che" => 6,
        "seven" | "saat" => 7,
        "eight" | "aath" => 8,
        "nine" | "nau" => 9,
        "ten" | "das" => 10,
        "eleven" | "gyarah" => 11,
        "twelve" | "barah" => 12,
        "fifteen" => 15,
        "twenty" | "bees" => 20,
        "thirty" | "tees" => 30,
        _ => return None,
    };
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What somebody means who says it on Monday, 23 November 2026, at 13:00 in India.
    fn meant(words: &str) -> Option<String> {
        let said_at = chrono_tz::Asia::Kolkata.with_ymd_and_hms(2026, 11, 23, 13, 0, 0).unwrap();
        let at = callback_time(words, said_at)?;
        Some(at.with_timezone(&chrono_tz::Asia::Kolkata).format("%d %H:%M").to_string())
    }

    #[test]
    fn what_people_say_is_understood() {
        for (words, moment) in [
            ("tomorrow at 5 pm", "24 17:00"),
            ("tomorrow evening", "24 18:00"),
            ("Call me after two hours", "23 15:00"),
            ("in 20 minutes", "23 13:20"),
            ("half an hour", "23 13:30"),
            ("at 6", "23 18:00"),
            ("around 11 am", "24 11:00"),
            ("5:30pm today", "23 17:30"),
            ("day after tomorrow morning", "25 10:00"),
            ("on Saturday afternoon", "28 15:00"),
            ("kal shaam 6 baje", "24 18:00"),
            ("tomorrow", "24 13:00"),
            ("after 3 days", "26 13:00"),
            ("2026-11-25T17:00", "25 17:00"),
            ("2026-11-25 17:30:00", "25 17:30"),
            ("2026-11-25T17:00:00+00:00", "25 22:30"),
        ] {
            assert_eq!(meant(words).as_deref(), Some(moment), "{words}");
        }
    }

    #[test]
    fn what_names_no_moment_is_not_guessed() {
        for words in ["later", "some other time", "when I am free", "", "I have 2 flats", "2026-11-20T17:00"] {
            assert_eq!(meant(words), None, "{words}");
        }
    }

    #[test]
    fn a_time_of_today_that_has_passed_is_none_if_today_was_said() {
        assert_eq!(meant("today at 11 am"), None);
    }
}
