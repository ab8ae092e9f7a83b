//! Numbers, prices, dates and times as they are said, not as they are written: `₹75,00,000` is "seventy five lakh rupees".
//!
//! Models are told to write them so and still do not, and voices read "Rs. 1.25 Cr" or "17:30" in ways nobody follows on the
//! phone. Only text with a digit in it is touched. English and Hindi become words; the voices of the other languages say plain
//! digits well, so there only the writing of prices is unfolded.

mod english;
mod hindi;
mod indian;

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::language::{self, Language};
use chrono::{Datelike, NaiveDate, NaiveDateTime};
use regex::{Captures, Regex};

/// A figure as it stands in the text: `75,00,000`, `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figure<'a> {
    whole: u64,
    /// Digits behind the point, without zeros at the end; often empty.
    decimals: &'a str,
}

/// Powers of ten with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Thousand,
    Lakh,
    Million,
    Crore,
}

/// A time of day, as far as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    /// 1 to 12.
    hour: u32,
    minute: u32,
    /// Hour of 24, where the text tells which half of the day is meant.
    of_24: Option<u32>,
}

/// How a language says what the patterns find.
trait Says: Sync {
    fn figure(&self, figure: Figure<'_>) -> String;
    /// One by one: telephone numbers, PIN codes.
    fn digits(&self, digits: &str) -> String;
    fn scaled(&self, figure: Figure<'_>, scale: Scale) -> String;
    fn rupees(&self, amount: &str) -> String;
    fn dollars(&self, amount: &str) -> String;
    fn range(&self, from: &str, to: &str) -> String;
    fn percent(&self, figure: &str) -> String;
    fn square_feet(&self) -> &'static str;
    fn ordinal(&self, n: u64) -> String;
    fn date(&self, date: NaiveDate) -> String;
    /// `None`: better left as it is written.
    fn year(&self, year: u64) -> Option<String>;
    fn time(&self, clock: Clock) -> String;
}

const FIGURE: &str = r"\d[\d,]*(?:\.\d+)?";

static ISO_DATE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(\d{4})-(\d{2})-(\d{2})(?:[T ](?P<h>\d{2}):(?P<m>\d{2})(?::\d{2})?)?\b"));
static DATE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(\d{1,2})([/.-])(\d{1,2})([/.-])(\d{4}|\d{2})\b"));
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?P<h>\d{1,2})[:.](?P<m>[0-5]\d)\s*(?P<half>[ap]\.?\s?m\b\.?)|\b(?P<h2>\d{1,2}):(?P<m2>[0-5]\d)(?:\s*बजे)?|\b(?P<h3>\d{1,2})\s*(?P<half3>[ap]\.?\s?m\b)",
    )
});
static PHONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\+?\b\d(?:[\s-]?\d){9,14}\b"));
static AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)(?P<unit>₹|\brs\b\.?|\binr\b|\$)?\s*(?P<from>{FIGURE})(?:\s*[-–—]\s*(?:₹|rs\.?\s?)?(?P<to>{FIGURE}))?(?:\s*(?P<scale>crores?|cr|lakhs?|lacs?|lac|thousand|million|mn|करोड़|लाख|हज़ार|हजार)\b|\s?(?P<glued>[lk])\b)?(?:/-)?(?P<after>\s*(?:rupees?|rs\b\.?|रुपये|रुपए|रूपये))?"
    ))
});
static PERCENT: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"({FIGURE})\s?%")));
static SQUARE_FEET: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?P<figure>\d)\s*(?i:sq\.?\s*(?:ft|feet)|sqft)\b(?:\.(?P<goes_on>\s+\p{Ll}))?"));
static ORDINAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(\d{1,3})(?:st|nd|rd|th)\b"));
static YEAR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(in|by|since|until|till|of|year|january|february|march|april|may|june|july|august|september|october|november|december)(,?\s+)((?:19|20)\d\d)\b",
    )
});
static GLUED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d)([A-Za-z\u{0900}-\u{0D7F}])"));

#[expect(clippy::expect_used, reason = "the patterns are constants, and every one is compiled in a test")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// The text as a voice in the language of a BCP 47 tag should say it. Saying it twice changes nothing.
pub fn spoken<'a>(text: &'a str, tag: &str) -> Cow<'a, str> {
    if !text.chars().any(|c| c.is_ascii_digit() || ('०'..='९').contains(&c)) {
        return Cow::Borrowed(text);
    }
    let tongue: &dyn Says = match Language::parse(tag) {
        // Hinglish is written in Latin letters, where English numbers are at home.
        Some(Language::Hindi) if !language::is_mixed(tag) => &hindi::Hindi,
        Some(Language::English) | None => &english::English,
        Some(Language::Hindi) => &english::English,
        Some(other) => indian::of(other),
    };
    Cow::Owned(say(&latin_digits(text), tongue))
}

/// A local moment as models write it (`2026-11-24T17:00`), as it is said with its day of the week; `None` for anything else.
pub fn moment(written: &str, tag: &str) -> Option<String> {
    let written = written.trim().get(..16).unwrap_or(written.trim());
    let moment = NaiveDateTime::parse_from_str(written, "%Y-%m-%dT%H:%M").ok()?;
    // The day's name is the model's to translate: this is for its eyes.
    Some(format!("{}, {}", moment.format("%A"), spoken(written, tag)))
}

fn latin_digits(text: &str) -> String {
    let latin = |c: char| match c {
        '०'..='९' => char::from_digit(c as u32 - '०' as u32, 10).unwrap_or(c),
        other => other,
    };
    text.chars().map(latin).collect()
}

/// From the most particular writing to the plainest: what a pattern has turned into words no later one sees.
fn say(text: &str, tongue: &dyn Says) -> String {
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
    let text = TIME.replace_all(&text, |found: &Captures<'_>| {
        let part = |names: [&str; 3]| names.iter().find_map(|name| found.name(name)).map(|part| part.as_str());
        let (hour, minute) = (part(["h", "h2", "h3"]).unwrap_or_default(), part(["m", "m2", "m2"]).unwrap_or("0"));
        match clock(hour, minute, part(["half", "half3", "half3"])) {
            Some(time) => tongue.time(time),
            None => found[0].to_owned(),
        }
    });
    let text = PHONE.replace_all(&text, |found: &Captures<'_>| tongue.digits(&only_digits(&found[0])));
    let text = YEAR.replace_all(&text, |found: &Captures<'_>| {
        let year = found[3].parse().ok().and_then(|year| tongue.year(year)).unwrap_or_else(|| found[3].to_owned());
        format!("{}{}{year}", &found[1], &found[2])
    });
    let text = ORDINAL.replace_all(&text, |found: &Captures<'_>| tongue.ordinal(found[1].parse().unwrap_or(0)));
    let text = PERCENT.replace_all(&text, |found: &Captures<'_>| match figure(&found[1]) {
        Some(figure) => tongue.percent(&tongue.figure(figure)),
        None => found[0].to_owned(),
    });
    let text = SQUARE_FEET.replace_all(&text, |found: &Captures<'_>| {
        let goes_on = found.name("goes_on").map_or("", |rest| rest.as_str());
        format!("{} {}{goes_on}", &found["figure"], tongue.square_feet())
    });
    let text = GLUED.replace_all(&text, "$1 $2");
    let text =
        AMOUNT.replace_all(&text, |found: &Captures<'_>| amount(found, tongue).unwrap_or_else(|| found[0].to_owned()));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `75,00,000`, with or without a currency and a scale, alone or as a range.
fn amount(found: &Captures<'_>, tongue: &dyn Says) -> Option<String> {
    let scale = found.name("scale").or(found.name("glued")).map(|scale| match &*scale.as_str().to_lowercase() {
        "l" | "lac" | "lacs" | "lakh" | "lakhs" | "लाख" => Scale::Lakh,
        "million" | "mn" => Scale::Million,
        "k" | "thousand" | "हज़ार" | "हजार" => Scale::Thousand,
        _ => Scale::Crore,
    });
    let unit = found.name("unit").or(found.name("after")).map(|unit| unit.as_str().trim());
    let written = &found["from"];
    let has_unit = unit.is_some() || scale.is_some();
    let one = |text: &str, scale: Option<Scale>| {
        // A comma behind the figure is the sentence's.
        let figure = figure(text.trim_end_matches(','))?;
        Some(match scale {
            Some(scale) => tongue.scaled(figure, scale),
            None if !has_unit && is_code(text) => tongue.digits(text),
            None => tongue.figure(figure),
        })
    };
    let mut said = match found.name("to") {
        Some(to) => tongue.range(&one(written, None)?, &one(to.as_str(), scale)?),
        None => one(written, scale)?,
    };
    said = match unit {
        Some("$") => tongue.dollars(&said),
        Some(_) => tongue.rupees(&said),
        None => said,
    };
    // What stood around it stays around it.
    let before = if found[0].starts_with(char::is_whitespace) { " " } else { "" };
    let comma =
        if found.name("scale").is_none() && found.name("to").is_none() && written.ends_with(',') { "," } else { "" };
    Some(format!("{before}{said}{comma}"))
}

/// Six digits in one are a PIN code unless they are round; a zero in front is never a quantity.
fn is_code(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain && (text.len() == 6 && !text.ends_with("00") || text.len() > 1 && text.starts_with('0') || text.len() > 9)
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

fn figure(text: &str) -> Option<Figure<'_>> {
    // Commas belong to the whole part; what stands behind the point is digits.
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let whole = only_digits(whole).parse().ok()?;
    Some(Figure { whole, decimals: decimals.trim_end_matches('0') })
}

fn only_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Pieces in which people say a long number: threes and fours, the last ones four.
fn groups(digits: &str) -> Vec<&str> {
    let first = match digits.len() {
        10 => &[3, 3, 4][..],
        12 => &[4, 4, 4],
        6 => &[3, 3],
        _ => &[],
    };
    let mut groups = Vec::new();
    let mut rest = digits;
    for size in first.iter().copied().chain(std::iter::repeat(4)) {
        let at = if rest.len() <= size.max(5) && first.is_empty() { rest.len() } else { size.min(rest.len()) };
        let (group, left) = rest.split_at(at);
        groups.push(group);
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    groups
}

/// A number cut into crores, lakhs, thousands and the rest, biggest first; zeros are left out.
fn indian_parts(n: u64) -> Vec<(u64, Option<Scale>)> {
    let parts = [
        (n / 10_000_000, Some(Scale::Crore)),
        (n / 100_000 % 100, Some(Scale::Lakh)),
        (n / 1_000 % 100, Some(Scale::Thousand)),
        (n % 1_000, None),
    ];
    parts.into_iter().filter(|(count, _)| *count > 0).collect()
}

/// (day, month from 0, year).
fn day_month_year(date: NaiveDate) -> (u64, usize, u64) {
    (u64::from(date.day()), date.month0() as usize, u64::from(date.year().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(tag: &str, cases: &[(&str, &str)]) {
        for (written, said) in cases {
            assert_eq!(spoken(written, tag), *said, "{written}");
            assert_eq!(spoken(said, tag), *said, "said twice: {written}");
        }
    }

    #[test]
    fn english_says_prices_the_indian_way() {
        all(
            "en-IN",
            &[
                ("It is ₹75,00,000 all in.", "It is seventy five lakh rupees all in."),
                ("Rs. 1.25 Cr", "one point two five crore rupees"),
                ("Rs 50-60 lakhs?", "fifty to sixty lakh rupees?"),
                ("between 75L and 1.5 crores", "between seventy five lakh and one point five crore"),
                ("a rent of Rs. 25,000/- per month", "a rent of twenty five thousand rupees per month"),
                ("₹1,05,50,000", "one crore five lakh fifty thousand rupees"),
                ("about 45k rupees", "about forty five thousand rupees"),
                ("$5,000", "five thousand dollars"),
                (
                    "A 2BHK of 1,250 sq. ft. on the 14th floor",
                    "A two BHK of one thousand two hundred fifty square feet on the fourteenth floor",
                ),
                ("2-3 BHK", "two to three BHK"),
                ("8.5% interest", "eight point five percent interest"),
                ("We have 3 homes, 2 of them new.", "We have three homes, two of them new."),
                ("We have 3, maybe 4.", "We have three, maybe four."),
                ("nothing to change", "nothing to change"),
            ],
        );
    }

    #[test]
    fn english_says_dates_times_and_codes() {
        all(
            "en-IN",
            &[
                ("on 24/11/2026 at 5:30 pm", "on the twenty fourth of November twenty twenty six at five thirty P M"),
                ("2026-11-24T17:00", "the twenty fourth of November twenty twenty six, five P M"),
                ("11/24/2026", "the twenty fourth of November twenty twenty six"),
                ("at 17:00 or 10:05", "at five P M or ten oh five"),
                ("5pm", "five P M"),
                ("possession by December 2027", "possession by December twenty twenty seven"),
                ("call +91 98450 12345.", "call nine one nine eight, four five zero one, two three four five."),
                ("98450 12345", "nine eight four, five zero one, two three four five"),
                ("PIN 560066", "PIN five six zero, zero six six"),
                ("3500000 rupees", "thirty five lakh rupees"),
            ],
        );
    }

    #[test]
    fn hindi_says_halves_and_quarters_as_people_do() {
        all(
            "hi-IN",
            &[
                ("क़ीमत ₹75,00,000 है", "क़ीमत पचहत्तर लाख रुपये है"),
                ("1.5 करोड़", "डेढ़ करोड़"),
                ("₹2.5 Cr", "ढाई करोड़ रुपये"),
                ("3.5 लाख रुपये", "साढ़े तीन लाख रुपये"),
                ("1.25 करोड़", "सवा करोड़"),
                ("1.2 करोड़", "एक दशमलव दो करोड़"),
                ("५० लाख", "पचास लाख"),
                ("50-60 लाख", "पचास से साठ लाख"),
                ("कल 17:30 बजे", "कल शाम साढ़े पाँच बजे"),
                ("सुबह 10:15 बजे", "सुबह सवा दस बजे"),
                ("शाम 5 बजे", "शाम पाँच बजे"),
                ("24/11/2026 को", "चौबीस नवंबर दो हज़ार छब्बीस को"),
                ("2BHK", "दो BHK"),
                ("1,250 sq ft", "एक हज़ार दो सौ पचास वर्ग फ़ुट"),
                ("8%", "आठ प्रतिशत"),
                ("98450 12345", "नौ आठ चार, पाँच शून्य एक, दो तीन चार पाँच"),
            ],
        );
    }

    #[test]
    fn other_languages_keep_digits_and_unfold_prices() {
        all("ta-IN", &[("₹75,00,000 ஆகும்", "75 லட்சம் ரூபாய் ஆகும்"), ("Rs. 1.25 Cr", "1.25 கோடி ரூபாய்"), ("2BHK", "2 BHK")]);
        all("te-IN", &[("₹1,20,00,000", "1.2 కోటి రూపాయలు"), ("3 గదులు", "3 గదులు")]);
        all("bn-IN", &[("₹25,000", "25000 টাকা"), ("50%", "50 শতাংশ")]);
    }

    #[test]
    fn a_moment_for_a_callback_is_said_with_its_day() {
        let said = moment("2026-11-24T17:00", "en-IN");
        assert_eq!(said.as_deref(), Some("Tuesday, the twenty fourth of November twenty twenty six, five P M"));
        assert_eq!(moment("2026-11-24T17:00:00+05:30", "en-IN"), said);
        assert_eq!(moment("tomorrow evening", "en-IN"), None);
    }

    #[test]
    fn hinglish_is_said_with_english_numbers() {
        assert_eq!(spoken("Aapka budget ₹75,00,000 hai?", "hi-en"), "Aapka budget seventy five lakh rupees hai?");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_panics_and_no_digit_is_left_to_be_misread(text in "[0-9a-z₹$%,.:/ +\\-]{0,60}") {
            for tag in ["en-IN", "hi-IN"] {
                let said = spoken(&text, tag);
                prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{tag}: {text:?} -> {said:?}");
            }
            let _whatever = spoken(&text, "ta-IN");
        }

        #[test]
        fn every_number_is_said_in_full(n in 0_u64..1_000_000_000_000) {
            for tag in ["en-IN", "hi-IN"] {
                let said = spoken(&format!("{n} rupees"), tag).into_owned();
                prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{}", said);
            }
        }
    }
}
