//! Hindi: a word for every number below a hundred, and its own halves and quarters (सवा, डेढ़, ढाई, साढ़े, पौने).

use chrono::NaiveDate;

use super::{Clock, Figure, Per, Says, Scale, day_month_year, indian_parts};

pub(super) struct Hindi;

const NUMBERS: [&str; 100] = [
    "शून्य",
    "एक",
    "दो",
    "तीन",
    "चार",
    "पाँच",
    "छह",
    "सात",
    "आठ",
    "नौ",
    "दस",
    "ग्यारह",
    "बारह",
    "तेरह",
    "चौदह",
    "पंद्रह",
    "सोलह",
    "सत्रह",
    "अठारह",
    "उन्नीस",
    "बीस",
    "इक्कीस",
    "बाईस",
    "तेईस",
    "चौबीस",
    "पच्चीस",
    "छब्बीस",
    "सत्ताईस",
    "अट्ठाईस",
    "उनतीस",
    "तीस",
    "इकतीस",
    "बत्तीस",
    "तैंतीस",
    "चौंतीस",
    "पैंतीस",
    "छत्तीस",
    "सैंतीस",
    "अड़तीस",
    "उनतालीस",
    "चालीस",
    "इकतालीस",
    "बयालीस",
    "तैंतालीस",
    "चौवालीस",
    "पैंतालीस",
    "छियालीस",
    "सैंतालीस",
    "अड़तालीस",
    "उनचास",
    "पचास",
    "इक्यावन",
    "बावन",
    "तिरपन",
    "चौवन",
    "पचपन",
    "छप्पन",
    "सत्तावन",
    "अट्ठावन",
    "उनसठ",
    "साठ",
    "इकसठ",
    "बासठ",
    "तिरसठ",
    "चौंसठ",
    "पैंसठ",
    "छियासठ",
    "सड़सठ",
    "अड़सठ",
    "उनहत्तर",
    "सत्तर",
    "इकहत्तर",
    "बहत्तर",
    "तिहत्तर",
    "चौहत्तर",
    "पचहत्तर",
    "छिहत्तर",
    "सतहत्तर",
    "अठहत्तर",
    "उनासी",
    "अस्सी",
    "इक्यासी",
    "बयासी",
    "तिरासी",
    "चौरासी",
    "पचासी",
    "छियासी",
    "सत्तासी",
    "अट्ठासी",
    "नवासी",
    "नब्बे",
    "इक्यानवे",
    "बानवे",
    "तिरानवे",
    "चौरानवे",
    "पचानवे",
    "छियानवे",
    "सत्तानवे",
    "अट्ठानवे",
    "निन्यानवे",
];
const MONTHS: [&str; 12] =
    ["जनवरी", "फ़रवरी", "मार्च", "अप्रैल", "मई", "जून", "जुलाई", "अगस्त", "सितंबर", "अक्टूबर", "नवंबर", "दिसंबर"];

fn number(n: u64) -> String {
    let part = |(count, scale): (u64, Option<Scale>)| match scale {
        Some(scale) => format!("{} {}", number(count), name(scale)),
        None if count < 100 => NUMBERS[count as usize].to_owned(),
        None if count.is_multiple_of(100) => format!("{} सौ", NUMBERS[count as usize / 100]),
        None => format!("{} सौ {}", NUMBERS[count as usize / 100], NUMBERS[count as usize % 100]),
    };
    match n {
        0..100 => NUMBERS[n as usize].to_owned(),
        _ => indian_parts(n).into_iter().map(part).collect::<Vec<_>>().join(" "),
    }
}

fn name(scale: Scale) -> &'static str {
    match scale {
        Scale::Thousand => "हज़ार",
        Scale::Lakh => "लाख",
        Scale::Million => "मिलियन",
        Scale::Crore => "करोड़",
    }
}

fn one_by_one(digits: &str) -> String {
    let words: Vec<&str> = digits.bytes().filter(u8::is_ascii_digit).map(|b| NUMBERS[usize::from(b - b'0')]).collect();
    words.join(" ")
}

/// The parts of a day by their names, where the hour of 24 is known.
fn part_of_day(hour: u32) -> &'static str {
    match hour {
        4..12 => "सुबह ",
        12..16 => "दोपहर ",
        16..20 => "शाम ",
        _ => "रात ",
    }
}

impl Says for Hindi {
    fn figure(&self, Figure { whole, decimals }: Figure<'_>) -> String {
        if decimals.is_empty() {
            number(whole)
        } else {
            format!("{} दशमलव {}", number(whole), one_by_one(decimals))
        }
    }

    fn digits(&self, digits: &str) -> String {
        super::groups(digits).iter().map(|group| one_by_one(group)).collect::<Vec<_>>().join(", ")
    }

    fn scaled(&self, figure: Figure<'_>, scale: Scale) -> String {
        let scale = name(scale);
        match (figure.whole, figure.decimals) {
            (1, "25") => format!("सवा {scale}"),
            (1, "5") => format!("डेढ़ {scale}"),
            (2, "5") => format!("ढाई {scale}"),
            (0, "5") => format!("आधा {scale}"),
            (0, "75") => format!("पौन {scale}"),
            (1, "75") => format!("पौने दो {scale}"),
            (whole, "25") if whole > 1 => format!("सवा {} {scale}", number(whole)),
            (whole, "5") if whole > 2 => format!("साढ़े {} {scale}", number(whole)),
            (whole, "75") if whole > 1 => format!("पौने {} {scale}", number(whole + 1)),
            _ => format!("{} {scale}", self.figure(figure)),
        }
    }

    fn rupees(&self, amount: &str) -> String {
        format!("{amount} रुपये")
    }

    fn dollars(&self, amount: &str) -> String {
        format!("{amount} डॉलर")
    }

    fn range(&self, from: &str, to: &str) -> String {
        format!("{from} से {to}")
    }

    fn percent(&self, figure: &str) -> String {
        format!("{figure} प्रतिशत")
    }

    fn square_feet(&self) -> &'static str {
        "वर्ग फ़ुट"
    }

    fn per(&self, what: Per) -> &'static str {
        match what {
            Per::SquareFoot => "प्रति वर्ग फ़ुट",
            Per::Month => "प्रति महीना",
        }
    }

    fn dimensions(&self, one: &str, other: &str) -> String {
        format!("{one} बाई {other}")
    }

    fn always(&self) -> &'static str {
        "चौबीसों घंटे"
    }

    fn minus(&self) -> Option<&'static str> {
        Some("माइनस")
    }

    fn ordinal(&self, n: u64) -> String {
        match n {
            1 => "पहला".to_owned(),
            2 => "दूसरा".to_owned(),
            3 => "तीसरा".to_owned(),
            4 => "चौथा".to_owned(),
            6 => "छठा".to_owned(),
            _ => format!("{}वाँ", number(n)),
        }
    }

    fn date(&self, date: NaiveDate) -> String {
        let (day, month, year) = day_month_year(date);
        let day = if day == 1 { "पहली".to_owned() } else { number(day) };
        format!("{day} {} {}", MONTHS[month], number(year))
    }

    fn year(&self, year: u64) -> Option<String> {
        // In hundreds before the year two thousand.
        Some(match (year / 100, year % 100) {
            (19, 0) => "उन्नीस सौ".to_owned(),
            (19, rest) => format!("उन्नीस सौ {}", number(rest)),
            _ => number(year),
        })
    }

    fn time(&self, clock: Clock) -> String {
        format!("{}{}", clock.of_24.map_or("", part_of_day), at(clock))
    }

    fn times(&self, from: Clock, to: Clock) -> String {
        let part = |clock: Clock| clock.of_24.map_or("", part_of_day);
        let (first, second) = (part(from), if part(from) == part(to) { "" } else { part(to) });
        let begins = at(from);
        format!("{first}{} से {second}{}", begins.strip_suffix(" बजे").unwrap_or(&begins), at(to))
    }
}

fn at(Clock { hour, minute, .. }: Clock) -> String {
    let said = |hour: u32| NUMBERS[hour as usize];
    let next = if hour == 12 { 1 } else { hour + 1 };
    match (hour, minute) {
        (_, 0) => format!("{} बजे", said(hour)),
        (1, 30) => "डेढ़ बजे".to_owned(),
        (2, 30) => "ढाई बजे".to_owned(),
        (_, 30) => format!("साढ़े {} बजे", said(hour)),
        (_, 15) => format!("सवा {} बजे", said(hour)),
        (_, 45) => format!("पौने {} बजे", said(next)),
        (_, minute) => format!("{} बजकर {} मिनट", said(hour), said(minute)),
    }
}
