//! A phone number: read from whatever people type, kept as E.164, and masked wherever it might be logged.
//!
//! The numbering plans are libphonenumber's, through the `phonenumber` crate (about 50 µs a number, 180 ms for the first;
//! Indian mobile numbers, nearly all that we see, are recognised here and cost a fraction of a microsecond). The crate
//! takes an Indian mobile number that itself begins with 91 for one with its country code, and reads a foreign number by
//! the default region's rules; both are worked around in [`Phone::parse`].

mod written;
mod zones;

use std::fmt;
use std::str::FromStr;

use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, Type, country};
use serde::{Deserialize, Serialize};

use crate::calling_window::ZoneSet;
use written::Written;

/// The shortest and the longest number that E.164 knows, country code included.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A number in E.164 (`+919876543210`). `Display` and `Debug` mask it; [`Phone::as_str`] does not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
pub struct Phone(String);

/// Why a text is not a number that can be called. No variant holds a digit of it, so that the reason may be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    #[error("the phone number is missing")]
    Missing,
    #[error(
        "the spreadsheet has shortened this number (such as 9.18E+11) and its last digits are lost; format the column as \
         text, enter the number again and export the file anew"
    )]
    ScientificNotation,
    #[error("the cell holds more than one phone number; keep one per row")]
    SeveralNumbers,
    #[error("this is not a phone number")]
    NotANumber,
    #[error("an extension cannot be dialed; give the direct number")]
    Extension,
    #[error("the number is too short; emergency numbers and short codes are not called")]
    TooShort,
    #[error("the number is too long")]
    TooLong,
    #[error("this is no number of {region}; write a foreign number with + and its country code")]
    NotInRegion { region: String },
    #[error("the country code exists, but it has no such number")]
    NotAssigned,
    #[error("no country has this country code")]
    UnknownCountryCode,
    #[error("this is a premium-rate or shared-cost number")]
    PremiumRate,
    #[error("this is a toll-free or service number, not a person's")]
    ServiceNumber,
    #[error("\"{0}\" is not a country; use a two-letter code such as IN")]
    UnknownRegion(String),
}

impl PhoneError {
    /// Stable, for the API.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "phone_missing",
            Self::ScientificNotation => "phone_scientific_notation",
            Self::SeveralNumbers => "phone_several_numbers",
            Self::NotANumber => "phone_not_a_number",
            Self::Extension => "phone_extension",
            Self::TooShort => "phone_too_short",
            Self::TooLong => "phone_too_long",
            Self::NotInRegion { .. } => "phone_not_in_region",
            Self::NotAssigned => "phone_not_assigned",
            Self::UnknownCountryCode => "phone_unknown_country_code",
            Self::PremiumRate => "phone_premium_rate",
            Self::ServiceNumber => "phone_service_number",
            Self::UnknownRegion(_) => "phone_unknown_region",
        }
    }
}

impl Phone {
    /// Reads a number as people and spreadsheets write it. `region` (ISO 3166, such as `IN`) gives the country of a number
    /// without one; a number of another country needs its `+`, because eleven mistyped digits would otherwise ring a
    /// stranger abroad.
    ///
    /// # Errors
    /// A sentence for whoever typed it.
    pub fn parse(text: &str, region: &str) -> Result<Self, PhoneError> {
        let written = Written::read(text)?;
        let region = region.trim().to_ascii_uppercase();
        if let Some(phone) = indian_mobile(&written, &region) {
            return Ok(phone);
        }
        if written.digits.len() < 4 {
            return Err(PhoneError::TooShort);
        }
        if written.international {
            return Self::international(&written.digits);
        }
        let Ok(country) = country::Id::from_str(&region) else {
            return Err(PhoneError::UnknownRegion(bounded(&region)));
        };
        Self::national(&written.digits, country)
    }

    /// Takes a number that already is E.164 (a carrier's, a stored one). Looks at its shape alone.
    ///
    /// # Errors
    /// [`PhoneError::NotANumber`], or too short or too long.
    pub fn from_e164(text: &str) -> Result<Self, PhoneError> {
        check_e164(text)?;
        Ok(Self(text.to_owned()))
    }

    /// The full number, for the carrier, the database and whoever may see it. Never for a log line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// ISO 3166 code of the number's country; `ZZ` where no country has it.
    #[must_use]
    pub fn country(&self) -> &'static str {
        if self.0.starts_with("+91") {
            return "IN";
        }
        let Ok(parsed) = phonenumber::parse(None, &self.0) else { return "ZZ" };
        country_of(&parsed).unwrap_or("ZZ")
    }

    /// The zones in which the number's owner may be. `country` is [`Phone::country`], which costs more than this does.
    ///
    /// An area code says which; a number that is bound to no place, such as an Australian mobile, leaves every zone of its
    /// country. `None` where no country has the number.
    #[must_use]
    pub fn time_zones(&self, country: &str) -> Option<&'static ZoneSet> {
        zones::of_number(&self.0[1..]).or_else(|| zones::of_country(country))
    }

    /// `09876543210`: how Exotel writes and always accepts an Indian number. `None` for any other country, whose numbers
    /// it takes as E.164.
    #[must_use]
    pub fn national_with_zero(&self) -> Option<String> {
        self.0.strip_prefix("+91").map(|national| format!("0{national}"))
    }

    fn international(digits: &str) -> Result<Self, PhoneError> {
        if digits.len() > *E164_DIGITS.end() + 1 {
            return Err(PhoneError::TooLong);
        }
        // Without a region: the crate would strip the region's trunk prefix from another country's number.
        match phonenumber::parse(None, format!("+{digits}")) {
            Ok(parsed) if parsed.is_valid() => Self::callable(&parsed),
            Ok(_) => Err(PhoneError::NotAssigned),
            Err(phonenumber::ParseError::InvalidCountryCode) => Err(PhoneError::UnknownCountryCode),
            Err(phonenumber::ParseError::TooLong) => Err(PhoneError::TooLong),
            Err(_) => Err(PhoneError::TooShort),
        }
    }

    fn national(digits: &str, country: country::Id) -> Result<Self, PhoneError> {
        let not_in_region = || PhoneError::NotInRegion { region: country.as_ref().to_owned() };
        let code = DATABASE.by_id(country.as_ref()).ok_or_else(not_in_region)?.country_code().to_string();
        // As its own people write it, or with the international prefix they dial; the other two are what the crate gets
        // wrong, and a number with its country code but no plus.
        let readings = [
            phonenumber::parse(Some(country), digits),
            phonenumber::parse(None, format!("+{code}{}", digits.trim_start_matches('0'))),
            phonenumber::parse(None, if digits.starts_with(&code) { format!("+{digits}") } else { String::new() }),
        ];
        let valid = readings.into_iter().flatten().find(phonenumber::PhoneNumber::is_valid);
        match valid {
            Some(parsed) => Self::callable(&parsed),
            None if digits.len() < *E164_DIGITS.start() => Err(PhoneError::TooShort),
            None if digits.len() > *E164_DIGITS.end() => Err(PhoneError::TooLong),
            None => Err(not_in_region()),
        }
    }

    fn callable(parsed: &phonenumber::PhoneNumber) -> Result<Self, PhoneError> {
        match parsed.number_type(&DATABASE) {
            Type::PremiumRate | Type::SharedCost | Type::PersonalNumber => return Err(PhoneError::PremiumRate),
            Type::TollFree | Type::Pager | Type::Voicemail | Type::ShortCode | Type::Emergency => {
                return Err(PhoneError::ServiceNumber);
            }
            _ => {}
        }
        // Satellite and other networks of no country bill like premium numbers.
        country_of(parsed).ok_or(PhoneError::PremiumRate)?;
        Self::from_e164(&parsed.format().mode(Mode::E164).to_string())
    }
}

impl TryFrom<String> for Phone {
    type Error = PhoneError;

    fn try_from(text: String) -> Result<Self, PhoneError> {
        check_e164(&text)?;
        Ok(Self(text))
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0
    }
}

/// `+91…3210`: enough to recognise a number one knows, too little to dial it.
impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, last) = (&self.0[..=calling_code_len(&self.0[1..])], &self.0[self.0.len() - 4..]);
        write!(f, "{code}…{last}")
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phone({self})")
    }
}

/// Whether numbers of this country (ISO 3166, in capitals) can be read.
#[must_use]
pub fn is_region(code: &str) -> bool {
    code.len() == 2 && country::Id::from_str(code).is_ok_and(|id| DATABASE.by_id(id.as_ref()).is_some())
}

/// What the database's check constraint demands, too.
fn check_e164(text: &str) -> Result<(), PhoneError> {
    let digits = text.strip_prefix('+').ok_or(PhoneError::NotANumber)?;
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PhoneError::NotANumber);
    }
    match digits.len() {
        length if length < *E164_DIGITS.start() => Err(PhoneError::TooShort),
        length if length > *E164_DIGITS.end() => Err(PhoneError::TooLong),
        _ => Ok(()),
    }
}

/// Ten digits from 6 to 9, behind nothing, 0, 91, 091, 0091, +91 or +91 0: the whole of India's mobile numbering plan.
fn indian_mobile(written: &Written, region: &str) -> Option<Phone> {
    let digits = if written.international {
        written.digits.strip_prefix("91")?.trim_start_matches('0')
    } else if region == "IN" {
        let digits = written.digits.trim_start_matches('0');
        if digits.len() == 12 { digits.strip_prefix("91")? } else { digits }
    } else {
        return None;
    };
    (digits.len() == 10 && digits.starts_with(['6', '7', '8', '9'])).then(|| Phone(format!("+91{digits}")))
}

fn country_of(parsed: &phonenumber::PhoneNumber) -> Option<&'static str> {
    let found = parsed.metadata(&DATABASE).map(phonenumber::Metadata::id);
    // The crate looks numbers up without their leading zero, and so finds no country for an Italian landline.
    let main = || DATABASE.by_code(&parsed.code().value()).and_then(|all| all.first().map(|metadata| metadata.id()));
    found.or_else(main).filter(|id| *id != "001")
}

/// Digits of the country code at the front (ITU-T E.164 annex).
fn calling_code_len(digits: &str) -> usize {
    const TWO: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49",
        "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84",
        "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    match &digits[..2] {
        one if one.starts_with(['1', '7']) => 1,
        two if TWO.contains(&two) => 2,
        _ => 3,
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests;
