//! What an operator reads about a pause: what happened, since when, and what to do. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::verdict::{Trip, Verdict};
use super::{AccountFailure, Finished};
use crate::call::Carrier;
use crate::id::CallId;

/// In doubt now, or settled as not placed or unknown: what stood in the place of the carrier's answer?
const DOUBT: &str = "doubt";

/// A call whose history says what the carrier answered, if doubt is the most frequent reason.
pub(super) fn doubtful(trip: &Trip, latest: &[Finished]) -> Option<CallId> {
    let failed = failed(trip, latest)?;
    (most_frequent(&failed) == DOUBT).then(|| failed.iter().find(|call| reason(call) == DOUBT).map(|call| call.id))?
}

pub(super) fn tripped(trip: &Trip, latest: &[Finished], doubt: Option<&str>, now: DateTime<Utc>, zone: Tz) -> String {
    let stopped = stopped(now, zone);
    let what = match trip {
        Trip::Silence(people) => {
            return format!(
                "The last {people} people who answered heard nobody: no voice agent spoke on their lines. {stopped} Check that \
                 a `media` process runs and that the carrier's Voicebot applet reaches it, then resume."
            );
        }
        Trip::AllFailed(calls) => format!("The last {calls} calls failed at the carrier"),
        Trip::ManyFailed { failed, of } => format!("{failed} of the last {of} calls failed at the carrier"),
    };
    let failed = failed(trip, latest).unwrap_or_default();
    let (why, cure) = match most_frequent(&failed) {
        "carrier_bad_request" => {
            ("it takes the request for malformed, HTTP 400", "the settings of the carrier are right")
        }
        "carrier_forbidden" => ("the account may not do this, HTTP 403", "the carrier allows the account to call"),
        "carrier_not_found" => {
            ("it does not know the account or the flow, HTTP 404", "the settings of the carrier are right")
        }
        "carrier_unreachable" => ("it cannot be reached", "the carrier can be reached"),
        DOUBT => (doubt.unwrap_or("it gave no usable answer"), "the carrier works again"),
        _ => ("it refuses them", "the carrier takes calls again"),
    };
    format!("{what} ({why}). {stopped} Resume when {cure}.")
}

pub(super) fn of_account(carrier: Carrier, cause: AccountFailure, now: DateTime<Utc>, zone: Tz) -> String {
    let stopped = stopped(now, zone);
    let (name, keys) = match carrier {
        Carrier::Exotel => ("Exotel", "EXOTEL_API_KEY or EXOTEL_API_TOKEN"),
        // Twilio says the same of an account that it has suspended, for want of money too.
        Carrier::Twilio => ("Twilio", "TWILIO_ACCOUNT_SID or TWILIO_AUTH_TOKEN, or has suspended the account"),
    };
    match cause {
        AccountFailure::Balance => {
            format!(
                "The {name} account has no balance left (HTTP 402). {stopped} Top up the {name} account, then resume."
            )
        }
        AccountFailure::Credentials => {
            format!("{name} refused {keys} (HTTP 401). {stopped} Correct them, restart the workers, then resume.")
        }
    }
}

fn stopped(now: DateTime<Utc>, zone: Tz) -> String {
    format!("Calls stopped at {} ({zone}); nothing was lost.", now.with_timezone(&zone).format("%H:%M"))
}

/// The failures that a trip is about.
fn failed<'a>(trip: &Trip, latest: &'a [Finished]) -> Option<Vec<&'a Finished>> {
    let of = match trip {
        Trip::AllFailed(calls) => *calls,
        Trip::ManyFailed { of, .. } => *of,
        Trip::Silence(_) => return None,
    };
    Some(latest.iter().take(of).filter(|call| call.verdict == Verdict::System).collect())
}

fn reason(call: &Finished) -> &str {
    call.failure_reason.as_deref().filter(|reason| reason.starts_with("carrier")).unwrap_or(DOUBT)
}

fn most_frequent<'a>(failed: &[&'a Finished]) -> &'a str {
    let mut counts = BTreeMap::<&str, usize>::new();
    for call in failed {
        *counts.entry(reason(call)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(DOUBT, |(reason, _)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(reasons: &[Option<&str>]) -> Vec<Finished> {
        let call = |(id, reason): (usize, &Option<&str>)| Finished {
            id: CallId(id as i64),
            verdict: Verdict::System,
            failure_reason: reason.map(str::to_owned),
        };
        reasons.iter().enumerate().map(call).collect()
    }

    fn at() -> DateTime<Utc> {
        "2026-11-23T09:02:00Z".parse().unwrap()
    }

    #[test]
    fn a_pause_says_what_happened_since_when_and_what_to_do() {
        let latest = failures(&[Some("carrier_bad_request"); 8]);
        assert_eq!(
            tripped(&Trip::AllFailed(8), &latest, None, at(), Tz::Asia__Kolkata),
            "The last 8 calls failed at the carrier (it takes the request for malformed, HTTP 400). Calls stopped at 14:32 \
             (Asia/Kolkata); nothing was lost. Resume when the settings of the carrier are right."
        );
        let balance = of_account(Carrier::Exotel, AccountFailure::Balance, at(), Tz::UTC);
        assert!(balance.contains("at 09:02 (UTC)") && balance.contains("Top up the Exotel account"), "{balance}");
    }

    #[test]
    fn the_most_frequent_reason_is_told() {
        let latest = failures(&[Some("carrier_forbidden"), Some("not_placed"), None, Some("nobody noted")]);
        let trip = Trip::ManyFailed { failed: 4, of: 20 };
        assert_eq!(doubtful(&trip, &latest), Some(CallId(1)));
        let told = tripped(&trip, &latest, Some("the carrier failed with status 503"), at(), Tz::UTC);
        assert!(
            told.starts_with("4 of the last 20 calls failed at the carrier (the carrier failed with status 503)."),
            "{told}"
        );
        assert_eq!(doubtful(&Trip::Silence(5), &latest), None);
    }
}
