//! Finding what is written in figures, from the most particular writing to the plainest.

use std::sync::LazyLock;

use chrono::NaiveDate;
use regex::{Captures, Regex};

use super::amount::{self, FIGURE};
use super::{Clock, Per, Says, money_words, only_digits};

const HALF: &str = r"[ap](?:\.\s?m\b\.?|\s?m\b)";
const AREA: &str = r"(?:sq\.?\s*(?:ft|feet|foot)|sqft|sft|square\s+(?:feet|foot))\b";
/// A full stop of an abbreviation, where the sentence goes on behind it.
const GOES_ON: &str = r"(?:\.(?P<goes_on>\s+\p{Ll}))?";

static ISO_DATE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(\d{4})-(\d{2})-(\d{2})(?:[T ](?P<h>\d{2}):(?P<m>\d{2})(?::\d{2})?)?\b"));
static DATE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\d{1,2})([/.-])(\d{1,2})([/.-])(\d{4}|\d{2})\b"));
static ALWAYS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b24\s*(?:[x×*/]|by)\s*7\b"));
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\b(?P<h>\d{{1,2}})(?:[:.](?P<m>[0-5]\d))?\s*(?P<half>{HALF})?\s*[-–—]\s*(?P<h2>\d{{1,2}})(?:[:.](?P<m2>[0-5]\d))?\b\s*(?P<half2>{HALF})?(?:\s*बजे)?"
    ))
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\b(?P<h>\d{{1,2}})[:.](?P<m>[0-5]\d)\s*(?P<half>{HALF})|\b(?P<h2>\d{{1,2}}):(?P<m2>[0-5]\d)(?:\s*बजे)?|\b(?P<h3>\d{{1,2}})\s*(?P<half3>{HALF})"
    ))
});
static PIN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b((?:pin|zip|postal)(?:[\s-]*code)?|pincode|otp|पिन(?:\s*कोड)?|पिनकोड|ओटीपी|পিন(?:\s*কোড)?|பின்(?:\s*கோடு)?|పిన్(?:\s*కోడ్)?|ಪಿನ್(?:\s*ಕೋಡ್)?|പിൻ(?:\s*കോഡ്)?|પિન(?:\s*કોડ)?|ਪਿੰਨ(?:\s*ਕੋਡ)?|ପିନ୍(?:\s*କୋଡ୍)?|پن(?:\s*کوڈ)?)((?:\s|[:,–-]|\b(?:number|no\.?|is|of|है|নম্বর|नंबर)\b)*)(\d{3}\s?\d{3}|\d{4})\b",
    )
});
static PHONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\+?\b\d(?:[\s-]?\d){9,14}\b"));
static CURRENCY_BEHIND: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?:₹|\$|\brs\b\.?|\binr)\s*$"));
/// What follows a quantity and never a telephone number or a year.
static UNIT_AHEAD: LazyLock<Regex> = LazyLock::new(|| {
    let (scales, rupees) = (money_words::scales(), money_words::rupees());
    pattern(&format!(
        r"(?i)^(?:\s*(?:/|%|-\d)|\s*(?:{scales}|{rupees}|[lk]|{AREA}|sq|square|ft|feet|foot|met(?:er|re)s?|yards?|gaj|acres?|cents?|km|percent|per|units?|flats?|homes?|houses?|villas?|plots?|apartments?|families|people|leads|calls|dollars|वर्ग|प्रति|फ़्लैट|घर|लोग)\b)"
    ))
});
static YEAR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(in|by|since|until|till|of|year|january|february|march|april|may|june|july|august|september|october|november|december|सन्?|साल|वर्ष|जनवरी|फ़रवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर)(,?\s+)((?:19|20)\d\d)\b",
    )
});
static ORDINAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(\d{1,3})(?:st|nd|rd|th)\b"));
static LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:,\d+)+"));
static GROUPED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\d{1,3}(?:(?:,\d{2})*,\d{3}|(?:,\d{3})+)$"));
static PER_AREA: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(r"(?i)(?P<before>[\w.])?(?:(?:/-)?\s*/\s*|\s*\b(?:per|प्रति)\s+){AREA}{GOES_ON}"))
});
static PER_MONTH: LazyLock<Regex> = LazyLock::new(|| {
    let scales = money_words::scales();
    pattern(&format!(r"(?i)(?P<before>\d\s*(?:{scales}|[lk])?)(?:/-)?\s*/\s*(?:month|mo|mth)\b"))
});
static PERCENT: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"(?P<from>{FIGURE})(?:\s?%?\s*[-–—]\s*(?P<to>{FIGURE}))?\s?%")));
static SQUARE_FEET: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"(?i)(?P<figure>\d)\s*{AREA}{GOES_ON}")));
static DIMENSIONS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(\d+)\s*[x×*]\s*(\d+)\b"));
static NEGATIVE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)(?P<before>^|[\s(:])[-−](?P<figure>(?:₹|\$|rs\b\.?\s?)?\d)"));
const LETTERS: &str = r"A-Za-z\u{0600}-\u{06EF}\u{0900}-\u{0963}\u{0970}-\u{0D7F}";
static GLUED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"(\d)([{LETTERS}])")));
static GLUED_BEHIND: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"([{LETTERS}])(\d)")));

#[expect(clippy::expect_used, reason = "the patterns are constants, and every one is compiled in a test")]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// What a pattern has turned into words no later one sees.
pub(super) fn say(text: &str, tongue: &dyn Says) -> String {
    let text = moments(text, tongue);
    let text = codes(&text, tongue);
    let text = YEAR.replace_all(&text, |found: &Captures<'_>| {
        let year = found[3].parse().ok().filter(|_| !UNIT_AHEAD.is_match(behind(&text, found)));
        let year = year.and_then(|year| tongue.year(year)).unwrap_or_else(|| found[3].to_owned());
        format!("{}{}{year}", &found[1], &found[2])
    });
    let text = ORDINAL.replace_all(&text, |found: &Captures<'_>| tongue.ordinal(found[1].parse().unwrap_or(0)));
    let text = LIST.replace_all(&text, |found: &Captures<'_>| {
        if GROUPED.is_match(&found[0]) { found[0].to_owned() } else { found[0].replace(',', ", ") }
    });
    let text = NEGATIVE.replace_all(&text, |found: &Captures<'_>| match tongue.minus() {
        Some(minus) if !is_behind_figure(&text, found) => format!("{}{minus} {}", &found["before"], &found["figure"]),
        _ => found[0].to_owned(),
    });
    let text = units(&text, tongue);
    let text = GLUED.replace_all(&text, "$1 $2");
    let text = GLUED_BEHIND.replace_all(&text, "$1 $2");
    amount::said(&text, tongue).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn moments(text: &str, tongue: &dyn Says) -> String {
    let text = ISO_DATE.replace_all(text, |found: &Captures<'_>| {
        let number = |at: usize| found[at].parse().unwrap_or(0);
        let Some(date) = NaiveDate::from_ymd_opt(number(1), number(2) as u32, number(3) as u32) else {
            return found[0].to_owned();
        };
        let time = found.name("h").zip(found.name("m")).and_then(|(h, m)| clock(h.as_str(), m.as_str(), None));
        match time {
            Some(time) => format!("{}, {}", tongue.date(date), tongue.time(time)),
            None => tongue.date(date),
        }
    });
    let text = DATE
        .replace_all(&text, |found: &Captures<'_>| written_date(found, tongue).unwrap_or_else(|| found[0].to_owned()));
    let text = ALWAYS.replace_all(&text, tongue.always());
    let text =
        TIMES.replace_all(&text, |found: &Captures<'_>| times(found, tongue).unwrap_or_else(|| found[0].to_owned()));
    let text = TIME.replace_all(&text, |found: &Captures<'_>| {
        let part = |names: [&str; 3]| names.iter().find_map(|name| found.name(name)).map(|part| part.as_str());
        let (hour, minute) = (part(["h", "h2", "h3"]).unwrap_or_default(), part(["m", "m2", "m2"]).unwrap_or("0"));
        match clock(hour, minute, part(["half", "half3", "half3"])) {
            Some(time) => tongue.time(time),
            None => found[0].to_owned(),
        }
    });
    text.into_owned()
}

/// Said digit by digit.
fn codes(text: &str, tongue: &dyn Says) -> String {
    let text = PIN.replace_all(text, |found: &Captures<'_>| {
        format!("{}{}{}", &found[1], &found[2], tongue.digits(&only_digits(&found[3])))
    });
    let text = PHONE.replace_all(&text, |found: &Captures<'_>| {
        let before = found.get(0).map_or("", |number| &text[..number.start()]);
        let is_quantity = CURRENCY_BEHIND.is_match(before) || UNIT_AHEAD.is_match(behind(&text, found));
        if is_quantity || is_range(&found[0]) { found[0].to_owned() } else { tongue.digits(&only_digits(&found[0])) }
    });
    text.into_owned()
}

fn units(text: &str, tongue: &dyn Says) -> String {
    let goes_on = |found: &Captures<'_>| found.name("goes_on").map_or("", |rest| rest.as_str()).to_owned();
    let text = PER_AREA.replace_all(text, |found: &Captures<'_>| {
        let before = found.name("before").map_or("", |before| before.as_str());
        format!("{before} {}{}", tongue.per(Per::SquareFoot), goes_on(found))
    });
    let text =
        PER_MONTH.replace_all(&text, |found: &Captures<'_>| format!("{} {}", &found["before"], tongue.per(Per::Month)));
    let text = PERCENT.replace_all(&text, |found: &Captures<'_>| {
        let to = found.name("to").map(|to| to.as_str());
        amount::percentage(&found["from"], to, tongue).unwrap_or_else(|| found[0].to_owned())
    });
    let text = SQUARE_FEET.replace_all(&text, |found: &Captures<'_>| {
        format!("{} {}{}", &found["figure"], tongue.square_feet(), goes_on(found))
    });
    let text = DIMENSIONS.replace_all(&text, |found: &Captures<'_>| tongue.dimensions(&found[1], &found[2]));
    text.into_owned()
}

fn behind<'a>(text: &'a str, found: &Captures<'_>) -> &'a str {
    found.get(0).map_or("", |whole| &text[whole.end()..])
}

/// "5 -10" is a range, not a negative number.
fn is_behind_figure(text: &str, found: &Captures<'_>) -> bool {
    let before = found.get(0).map_or("", |whole| &text[..whole.start()]);
    before.trim_end().ends_with(|c: char| c.is_ascii_digit() || c == '%')
}

/// `25000-30000`: two figures of one length, the second one greater, and no Indian mobile number unless both are round.
fn is_range(text: &str) -> bool {
    let Some((from, to)) = text.split_once('-') else { return false };
    let is_figure = |part: &str| !part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    let is_round = from.ends_with("00") && to.ends_with("00");
    let is_mobile = from.len() + to.len() == 10 && from.starts_with(['6', '7', '8', '9']);
    is_figure(from) && is_figure(to) && from.len() == to.len() && from < to && (is_round || !is_mobile)
}

/// Day first, as India writes; month first only where that is the only date it can be.
fn written_date(found: &Captures<'_>, tongue: &dyn Says) -> Option<String> {
    let (first, second) = (found[1].parse().ok()?, found[3].parse().ok()?);
    if found[2] != found[4] {
        return None;
    }
    let year: i32 = found[5].parse().ok()?;
    let year = if year < 100 { 2000 + year } else { year };
    let date = NaiveDate::from_ymd_opt(year, second, first).or_else(|| NaiveDate::from_ymd_opt(year, first, second))?;
    Some(tongue.date(date))
}

/// `None` unless both are times: `2-3 BHK` are none.
fn times(found: &Captures<'_>, tongue: &dyn Says) -> Option<String> {
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let (half, half_of_to) = (part("half"), part("half2"));
    if half_of_to.is_none() && (part("m").is_none() || part("m2").is_none() || half.is_some() || found[0].contains('.'))
    {
        return None;
    }
    let to = clock(&found["h2"], part("m2").unwrap_or("0"), half_of_to)?;
    let from = clock(&found["h"], part("m").unwrap_or("0"), half.or(half_of_to))?;
    // "11-1 pm" begins before noon.
    let before_noon = || clock(&found["h"], part("m").unwrap_or("0"), Some("am"));
    let from = if half.is_none() && from.of_24 > to.of_24 && half_of_to.is_some() { before_noon()? } else { from };
    Some(tongue.times(from, to))
}

fn clock(hour: &str, minute: &str, half: Option<&str>) -> Option<Clock> {
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let of_24 = match half.map(|half| half.starts_with(['p', 'P'])) {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(is_after_noon) => Some(hour % 12 + if is_after_noon { 12 } else { 0 }),
        None if hour > 23 || minute > 59 => return None,
        None if hour == 0 || hour > 12 => Some(hour),
        None => None,
    };
    Some(Clock { hour: if hour % 12 == 0 { 12 } else { hour % 12 }, minute, of_24 })
}
