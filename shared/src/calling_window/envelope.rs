//! The hours in which the law, or the trade's code where the law is silent, lets a country's people be called.

use chrono::Weekday;

type Ranges = &'static [(u16, u16)];

const fn h(hour: u16) -> u16 {
    hour * 60
}

/// Hours that no setting can widen: a calling window is always cut to them.
///
/// It is a floor of decency, not legal advice: consent, registries and state laws come on top. A country that is not
/// listed has 09:00 to 20:00 every day, a cautious guess and not its law.
///
/// `Display` says it for people: `09:00–21:00`, and weekends apart where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegalEnvelope {
    weekday: Ranges,
    saturday: Ranges,
    sunday: Ranges,
}

/// TRAI, Telecom Commercial Communications Customer Preference Regulations: none between 21:00 and 09:00.
const INDIA: LegalEnvelope = LegalEnvelope::daily(&[(h(9), h(21))]);
/// 47 CFR 64.1200(c)(1): none before 08:00 or after 21:00 at the called party's location.
const UNITED_STATES: LegalEnvelope = LegalEnvelope::daily(&[(h(8), h(21))]);
/// CRTC Unsolicited Telecommunications Rules, part III.
const CANADA: LegalEnvelope =
    LegalEnvelope { weekday: &[(h(9), h(21) + 30)], saturday: &[(h(10), h(18))], sunday: &[(h(10), h(18))] };
/// The law names no hours; these are the Direct Marketing Association's guidelines.
const BRITAIN: LegalEnvelope = LegalEnvelope { weekday: &[(h(8), h(21))], saturday: &[(h(9), h(21))], sunday: &[] };
/// Telecommunications (Telemarketing and Research Calls) Industry Standard 2017.
const AUSTRALIA: LegalEnvelope = LegalEnvelope { weekday: &[(h(9), h(20))], saturday: &[(h(9), h(17))], sunday: &[] };
/// Décret 2022-1313.
const FRANCE: LegalEnvelope = LegalEnvelope { weekday: &[(h(10), h(13)), (h(14), h(20))], saturday: &[], sunday: &[] };
const ELSEWHERE: LegalEnvelope = LegalEnvelope::daily(&[(h(9), h(20))]);

impl LegalEnvelope {
    /// `country` is the ISO 3166 code of the number that is called, in any case.
    #[must_use]
    pub fn for_country(country: &str) -> Self {
        match country.to_ascii_uppercase().as_str() {
            "IN" => INDIA,
            "US" => UNITED_STATES,
            "CA" => CANADA,
            "GB" => BRITAIN,
            "AU" => AUSTRALIA,
            "FR" => FRANCE,
            _ => ELSEWHERE,
        }
    }

    /// Minutes after midnight, `[start, end)`, in order; never over midnight.
    pub(super) fn on(self, day: Weekday) -> Ranges {
        match day {
            Weekday::Sat => self.saturday,
            Weekday::Sun => self.sunday,
            _ => self.weekday,
        }
    }

    const fn daily(ranges: Ranges) -> Self {
        Self { weekday: ranges, saturday: ranges, sunday: ranges }
    }

    /// No law at all, so that tests can look at the hours alone.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        const ALL_DAY: LegalEnvelope = LegalEnvelope::daily(&[(0, h(24))]);
        ALL_DAY
    }
}

impl std::fmt::Display for LegalEnvelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |ranges: Ranges| {
            let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let each: Vec<String> =
                ranges.iter().map(|&(start, end)| format!("{}–{}", time(start), time(end))).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(" and ") }
        };
        f.write_str(&told(self.weekday))?;
        for (day, ranges) in [("Saturday", self.saturday), ("Sunday", self.sunday)] {
            if ranges != self.weekday {
                write!(f, ", {day} {}", told(ranges))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_told_in_words() {
        assert_eq!(INDIA.to_string(), "09:00–21:00");
        assert_eq!(CANADA.to_string(), "09:00–21:30, Saturday 10:00–18:00, Sunday 10:00–18:00");
        assert_eq!(FRANCE.to_string(), "10:00–13:00 and 14:00–20:00, Saturday none, Sunday none");
    }
}
