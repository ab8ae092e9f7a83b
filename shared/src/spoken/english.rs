//! English as spoken in India: lakhs and crores, day before month.

use chrono::NaiveDate;

use super::{Clock, Figure, Per, Says, Scale, day_month_year, indian_parts};

pub(super) struct English;

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn below_hundred(n: u64) -> String {
    match n {
        0..20 => ONES[n as usize].to_owned(),
        _ if n.is_multiple_of(10) => TENS[n as usize / 10].to_owned(),
        _ => format!("{} {}", TENS[n as usize / 10], ONES[n as usize % 10]),
    }
}

fn number(n: u64) -> String {
    let part = |(count, scale): (u64, Option<Scale>)| match scale {
        // More than a hundred crores are crores of a number of their own.
        Some(scale) => format!("{} {}", number(count), name(scale)),
        None if count < 100 => below_hundred(count),
        None if count.is_multiple_of(100) => format!("{} hundred", ONES[count as usize / 100]),
        None => format!("{} hundred {}", ONES[count as usize / 100], below_hundred(count % 100)),
    };
    match n {
        0..100 => below_hundred(n),
        _ => indian_parts(n).into_iter().map(part).collect::<Vec<_>>().join(" "),
    }
}

fn name(scale: Scale) -> &'static str {
    match scale {
        Scale::Thousand => "thousand",
        Scale::Lakh => "lakh",
        Scale::Million => "million",
        Scale::Crore => "crore",
    }
}

fn one_by_one(digits: &str) -> String {
    let words: Vec<&str> = digits.bytes().filter(u8::is_ascii_digit).map(|b| ONES[usize::from(b - b'0')]).collect();
    words.join(" ")
}

fn ordinal(n: u64) -> String {
    let said = number(n);
    let (front, last) = said.rsplit_once(' ').map_or(("", said.as_str()), |(front, last)| (front, last));
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        tens if tens.ends_with('y') => format!("{}ieth", &tens[..tens.len() - 1]),
        other => format!("{other}th"),
    };
    if front.is_empty() { last } else { format!("{front} {last}") }
}

fn year(year: u64) -> String {
    match (year / 100, year % 100) {
        (20, 0..10) => number(year),
        (century, 0) => format!("{} hundred", number(century)),
        (century, rest) if rest < 10 => format!("{} oh {}", number(century), number(rest)),
        (century, rest) => format!("{} {}", number(century), number(rest)),
    }
}

impl Says for English {
    fn figure(&self, Figure { whole, decimals }: Figure<'_>) -> String {
        if decimals.is_empty() { number(whole) } else { format!("{} point {}", number(whole), one_by_one(decimals)) }
    }

    fn digits(&self, digits: &str) -> String {
        super::groups(digits).iter().map(|group| one_by_one(group)).collect::<Vec<_>>().join(", ")
    }

    fn scaled(&self, figure: Figure<'_>, scale: Scale) -> String {
        format!("{} {}", self.figure(figure), name(scale))
    }

    fn rupees(&self, amount: &str) -> String {
        if amount == "one" { "one rupee".to_owned() } else { format!("{amount} rupees") }
    }

    fn dollars(&self, amount: &str) -> String {
        if amount == "one" { "one dollar".to_owned() } else { format!("{amount} dollars") }
    }

    fn range(&self, from: &str, to: &str) -> String {
        format!("{from} to {to}")
    }

    fn percent(&self, figure: &str) -> String {
        format!("{figure} percent")
    }

    fn square_feet(&self) -> &'static str {
        "square feet"
    }

    fn per(&self, what: Per) -> &'static str {
        match what {
            Per::SquareFoot => "per square foot",
            Per::Month => "per month",
        }
    }

    fn dimensions(&self, one: &str, other: &str) -> String {
        format!("{one} by {other}")
    }

    fn always(&self) -> &'static str {
        "twenty four seven"
    }

    fn minus(&self) -> Option<&'static str> {
        Some("minus")
    }

    fn ordinal(&self, n: u64) -> String {
        ordinal(n)
    }

    fn date(&self, date: NaiveDate) -> String {
        let (day, month, of) = day_month_year(date);
        format!("the {} of {} {}", ordinal(day), MONTHS[month], year(of))
    }

    fn year(&self, of: u64) -> Option<String> {
        Some(year(of))
    }

    fn time(&self, clock: Clock) -> String {
        match (clock.minute, clock.of_24) {
            (0, None) => format!("{} o'clock", bare(clock)),
            (_, None) => bare(clock),
            (_, Some(12..)) => format!("{} P M", bare(clock)),
            (_, Some(_)) => format!("{} A M", bare(clock)),
        }
    }

    fn times(&self, from: Clock, to: Clock) -> String {
        let half = |clock: Clock| clock.of_24.map(|hour| hour >= 12);
        let from = if half(from) == half(to) { bare(from) } else { self.time(from) };
        format!("{from} to {}", if to.of_24.is_none() { bare(to) } else { self.time(to) })
    }
}

fn bare(Clock { hour, minute, .. }: Clock) -> String {
    let hour = number(u64::from(hour));
    match minute {
        0 => hour,
        1..10 => format!("{hour} oh {}", number(u64::from(minute))),
        _ => format!("{hour} {}", number(u64::from(minute))),
    }
}
