//! Why a person may be called: the basis that a list states for each lead, in the words people write.
//!
//! Pure. Whether a basis holds for a campaign is the database's `consent_holds` alone.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

/// In the terms of TRAI's regulations, DPDP and TCPA; `consent_holds` takes the first four for consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ConsentBasis {
    /// Signed, ticked or texted: TCPA's prior express written consent, a consent registered under TRAI's.
    ExpressWritten,
    /// Said, or given with the number.
    Express,
    /// Asked about an offer of ours.
    Inquiry,
    /// A contract or a purchase: TRAI's inferred consent, TCPA's established business relationship.
    ExistingCustomer,
    /// Our own judgement. Recorded, and not taken for consent.
    LegitimateInterest,
    /// The list says nothing, or nothing that can be read.
    #[default]
    Unknown,
    /// The list says that they did not agree: never called.
    Refused,
}

impl ConsentBasis {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ExpressWritten => "express_written",
            Self::Express => "express",
            Self::Inquiry => "inquiry",
            Self::ExistingCustomer => "existing_customer",
            Self::LegitimateInterest => "legitimate_interest",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }

    /// Reads what a list says. `None` if it says nothing that we know: it then counts as unknown.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let key: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        WORDS.iter().find(|(_, words)| words.contains(&key.as_str())).map(|(basis, _)| *basis)
    }
}

/// Small letters, without spaces and marks. A bare "yes" is the weakest of the express ones.
const WORDS: [(ConsentBasis, &[&str]); 7] = [
    (
        ConsentBasis::ExpressWritten,
        &[
            "expresswritten",
            "writtenconsent",
            "written",
            "pewc",
            "priorexpresswrittenconsent",
            "signed",
            "doubleoptin",
            "explicit",
            "explicitconsent",
        ],
    ),
    (
        ConsentBasis::Express,
        &[
            "express",
            "expressconsent",
            "priorexpressconsent",
            "consent",
            "consented",
            "optin",
            "optedin",
            "verbal",
            "oral",
            "yes",
            "y",
            "true",
            "1",
            "given",
            "granted",
            "agreed",
            "हाँ",
            "हां",
            "सहमति",
        ],
    ),
    (
        ConsentBasis::Inquiry,
        &[
            "inquiry",
            "enquiry",
            "inquired",
            "enquired",
            "lead",
            "webinquiry",
            "webenquiry",
            "websiteinquiry",
            "websiteenquiry",
            "inboundinquiry",
            "inboundenquiry",
            "requestedcallback",
            "callbackrequest",
        ],
    ),
    (
        ConsentBasis::ExistingCustomer,
        &[
            "existingcustomer",
            "customer",
            "existingclient",
            "client",
            "existingbusinessrelationship",
            "ebr",
            "inferred",
            "inferredconsent",
            "contract",
            "transactional",
            "pastcustomer",
        ],
    ),
    (ConsentBasis::LegitimateInterest, &["legitimateinterest", "legitimateinterests", "li", "legitimateuse"]),
    (ConsentBasis::Unknown, &["unknown", "notknown", "unsure", "pending"]),
    (
        ConsentBasis::Refused,
        &[
            "refused",
            "no",
            "n",
            "false",
            "0",
            "denied",
            "declined",
            "withdrawn",
            "revoked",
            "optout",
            "optedout",
            "noconsent",
            "notgiven",
            "dnc",
            "donotcall",
            "नहीं",
            "नही",
        ],
    ),
];

/// Reads the day or the moment on which consent was given. A day begins at its midnight in UTC; a moment without a zone is
/// taken as UTC: an age is counted in days.
///
/// `2026-03-31`, `31/03/2026`, `31-03-2026`, `31 Mar 2026`, `2026-03-31 14:05[:00]` and RFC 3339 are read. `03/04/2026` is the
/// third of April: lists come from countries that write so, and an American one with a day above twelve is refused, not guessed.
#[must_use]
pub fn read_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let at = if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        at.to_utc()
    } else {
        const DAYS: [&str; 8] =
            ["%Y-%m-%d", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%Y/%m/%d"];
        const MOMENTS: [&str; 6] = [
            "%Y-%m-%d %H:%M:%S",
            "%Y-%m-%d %H:%M",
            "%Y-%m-%dT%H:%M:%S",
            "%d/%m/%Y %H:%M:%S",
            "%d/%m/%Y %H:%M",
            "%d-%m-%Y %H:%M",
        ];
        let day = DAYS.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok());
        let moment = || MOMENTS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        day.map(|day| day.and_time(chrono::NaiveTime::MIN)).or_else(moment)?.and_utc()
    };
    // What lies outside is a mistyped year, and would not fit into the database either.
    let year = chrono::Datelike::year(&at);
    (1990..=2200).contains(&year).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_lists_are_read_whatever_their_case_and_marks() {
        for (text, basis) in [
            ("Express Written", ConsentBasis::ExpressWritten),
            ("opt-in", ConsentBasis::Express),
            ("YES", ConsentBasis::Express),
            ("हां", ConsentBasis::Express),
            ("Web enquiry", ConsentBasis::Inquiry),
            ("existing_customer", ConsentBasis::ExistingCustomer),
            ("Legitimate interest", ConsentBasis::LegitimateInterest),
            ("No", ConsentBasis::Refused),
            ("opted out", ConsentBasis::Refused),
        ] {
            assert_eq!(ConsentBasis::read(text), Some(basis), "{text}");
        }
        assert_eq!(ConsentBasis::read("probably"), None);
        assert_eq!(ConsentBasis::read(""), None);
    }

    #[test]
    fn every_basis_is_read_from_its_own_name() {
        for (basis, _) in WORDS {
            assert_eq!(ConsentBasis::read(basis.as_str()), Some(basis));
        }
    }

    #[test]
    fn days_and_moments_are_read_as_they_are_written_in_india() {
        let day = |text: &str| read_date(text).map(|at| at.to_rfc3339());
        for text in ["2026-03-31", "31/03/2026", "31-03-2026", "31 Mar 2026", "2026-03-31T05:30:00+05:30"] {
            assert_eq!(day(text).as_deref(), Some("2026-03-31T00:00:00+00:00"), "{text}");
        }
        assert_eq!(day("03/04/2026").as_deref(), Some("2026-04-03T00:00:00+00:00"));
        assert_eq!(day("2026-03-31 14:05").as_deref(), Some("2026-03-31T14:05:00+00:00"));
        for bad in ["03/31/2026", "yesterday", "", "31/02/2026", "0026-03-31", "9999-01-01"] {
            assert_eq!(read_date(bad), None, "{bad}");
        }
    }
}
