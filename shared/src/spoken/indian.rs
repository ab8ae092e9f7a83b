//! The other languages of India: their voices say digits well, so that only prices and percentages are unfolded.

use crate::language::Language;
use chrono::NaiveDate;

use super::{Clock, Figure, Per, Says, Scale};

/// The words of one language.
pub(super) struct Words {
    pub(super) rupees: &'static str,
    lakh: &'static str,
    crore: &'static str,
    thousand: &'static str,
    percent: &'static str,
    square_feet: &'static str,
    per_square_foot: &'static str,
    per_month: &'static str,
}

const fn words(
    [rupees, lakh, crore, thousand, percent, square_feet]: [&'static str; 6],
    [per_square_foot, per_month]: [&'static str; 2],
) -> Words {
    Words { rupees, lakh, crore, thousand, percent, square_feet, per_square_foot, per_month }
}

static BENGALI: Words = words(["টাকা", "লাখ", "কোটি", "হাজার", "শতাংশ", "বর্গফুট"], ["প্রতি বর্গফুট", "প্রতি মাসে"]);
static TAMIL: Words = words(["ரூபாய்", "லட்சம்", "கோடி", "ஆயிரம்", "சதவீதம்", "சதுர அடி"], ["சதுர அடிக்கு", "மாதத்திற்கு"]);
static TELUGU: Words = words(["రూపాయలు", "లక్షలు", "కోటి", "వేలు", "శాతం", "చదరపు అడుగులు"], ["చదరపు అడుగుకు", "నెలకు"]);
static KANNADA: Words = words(["ರೂಪಾಯಿ", "ಲಕ್ಷ", "ಕೋಟಿ", "ಸಾವಿರ", "ಶೇಕಡಾ", "ಚದರ ಅಡಿ"], ["ಚದರ ಅಡಿಗೆ", "ತಿಂಗಳಿಗೆ"]);
static MALAYALAM: Words = words(["രൂപ", "ലക്ഷം", "കോടി", "ആയിരം", "ശതമാനം", "ചതുരശ്ര അടി"], ["ചതുരശ്ര അടിക്ക്", "മാസം"]);
static MARATHI: Words = words(["रुपये", "लाख", "कोटी", "हजार", "टक्के", "चौरस फूट"], ["प्रति चौरस फूट", "दरमहा"]);
static GUJARATI: Words = words(["રૂપિયા", "લાખ", "કરોડ", "હજાર", "ટકા", "ચોરસ ફૂટ"], ["પ્રતિ ચોરસ ફૂટ", "દર મહિને"]);
static PUNJABI: Words = words(["ਰੁਪਏ", "ਲੱਖ", "ਕਰੋੜ", "ਹਜ਼ਾਰ", "ਪ੍ਰਤੀਸ਼ਤ", "ਵਰਗ ਫੁੱਟ"], ["ਪ੍ਰਤੀ ਵਰਗ ਫੁੱਟ", "ਪ੍ਰਤੀ ਮਹੀਨਾ"]);
static ODIA: Words = words(["ଟଙ୍କା", "ଲକ୍ଷ", "କୋଟି", "ହଜାର", "ଶତକଡ଼ା", "ବର୍ଗଫୁଟ"], ["ପ୍ରତି ବର୍ଗଫୁଟ", "ପ୍ରତି ମାସ"]);
static ASSAMESE: Words = words(["টকা", "লাখ", "কোটি", "হাজাৰ", "শতাংশ", "বৰ্গফুট"], ["প্ৰতি বৰ্গফুট", "প্ৰতি মাহে"]);
static URDU: Words = words(["روپے", "لاکھ", "کروڑ", "ہزار", "فیصد", "مربع فٹ"], ["فی مربع فٹ", "ماہانہ"]);

pub(super) static ALL: [&Words; 11] =
    [&BENGALI, &TAMIL, &TELUGU, &KANNADA, &MALAYALAM, &MARATHI, &GUJARATI, &PUNJABI, &ODIA, &ASSAMESE, &URDU];

impl Words {
    /// The powers of ten, as they are said.
    pub(super) fn scales(&self) -> [(&'static str, Scale); 3] {
        [(self.lakh, Scale::Lakh), (self.crore, Scale::Crore), (self.thousand, Scale::Thousand)]
    }
}

/// Of any language but English and Hindi, which have words of their own.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::Bengali => &BENGALI,
        Language::Tamil => &TAMIL,
        Language::Telugu => &TELUGU,
        Language::Kannada => &KANNADA,
        Language::Malayalam => &MALAYALAM,
        Language::Gujarati => &GUJARATI,
        Language::Punjabi => &PUNJABI,
        Language::Odia => &ODIA,
        Language::Assamese => &ASSAMESE,
        Language::Urdu => &URDU,
        Language::Marathi | Language::Hindi | Language::English => &MARATHI,
    }
}

impl Says for Words {
    /// Prices come in lakhs and crores: 75,00,000 is said as 75 lakh where it is one.
    fn figure(&self, figure: Figure<'_>) -> String {
        let Figure { whole, decimals } = figure;
        let hundredths = |unit: u64| {
            let (count, rest) = (whole / unit, whole % unit * 100 / unit);
            match rest {
                0 => count.to_string(),
                rest => format!("{count}.{rest:02}").trim_end_matches('0').to_owned(),
            }
        };
        match whole {
            10_000_000.. if whole.is_multiple_of(100_000) && decimals.is_empty() => {
                format!("{} {}", hundredths(10_000_000), self.crore)
            }
            100_000..10_000_000 if whole.is_multiple_of(1_000) && decimals.is_empty() => {
                format!("{} {}", hundredths(100_000), self.lakh)
            }
            _ if decimals.is_empty() => whole.to_string(),
            _ => format!("{whole}.{decimals}"),
        }
    }

    fn digits(&self, digits: &str) -> String {
        let apart: Vec<String> = super::groups(digits)
            .iter()
            .map(|group| group.chars().map(String::from).collect::<Vec<_>>().join(" "))
            .collect();
        apart.join(", ")
    }

    fn scaled(&self, figure: Figure<'_>, scale: Scale) -> String {
        let name = match scale {
            Scale::Thousand => self.thousand,
            Scale::Lakh => self.lakh,
            Scale::Crore => self.crore,
            Scale::Million => "million",
        };
        let Figure { whole, decimals } = figure;
        if decimals.is_empty() { format!("{whole} {name}") } else { format!("{whole}.{decimals} {name}") }
    }

    fn rupees(&self, amount: &str) -> String {
        format!("{amount} {}", self.rupees)
    }

    fn dollars(&self, amount: &str) -> String {
        format!("{amount} dollars")
    }

    fn range(&self, from: &str, to: &str) -> String {
        format!("{from}-{to}")
    }

    fn percent(&self, figure: &str) -> String {
        format!("{figure} {}", self.percent)
    }

    fn square_feet(&self) -> &'static str {
        self.square_feet
    }

    fn per(&self, what: Per) -> &'static str {
        match what {
            Per::SquareFoot => self.per_square_foot,
            Per::Month => self.per_month,
        }
    }

    fn dimensions(&self, one: &str, other: &str) -> String {
        format!("{one} x {other}")
    }

    fn always(&self) -> &'static str {
        "24 7"
    }

    fn minus(&self) -> Option<&'static str> {
        None
    }

    fn ordinal(&self, n: u64) -> String {
        n.to_string()
    }

    fn date(&self, date: NaiveDate) -> String {
        date.format("%-d-%-m-%Y").to_string()
    }

    fn year(&self, _year: u64) -> Option<String> {
        None
    }

    fn time(&self, Clock { hour, minute, of_24 }: Clock) -> String {
        match (minute, of_24) {
            (0, Some(of_24)) => format!("{hour} {}", if of_24 >= 12 { "PM" } else { "AM" }),
            (_, Some(of_24)) => format!("{hour}:{minute:02} {}", if of_24 >= 12 { "PM" } else { "AM" }),
            (_, None) => format!("{hour}:{minute:02}"),
        }
    }

    fn times(&self, from: Clock, to: Clock) -> String {
        let half = |clock: Clock| clock.of_24.map(|hour| hour >= 12);
        let from = if half(from) == half(to) { Clock { of_24: None, ..from } } else { from };
        let (from, to) = (self.time(from), self.time(to));
        format!("{}-{to}", from.strip_suffix(":00").unwrap_or(&from))
    }
}
