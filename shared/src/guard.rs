//! What a call's stored guards say, in sentences: which rule allowed the call, and with what values.
//!
//! Pure. The values themselves are written by `dispatch` when the call is reserved and by `dial` at the instant of dialing.

use serde_json::Value;

/// A guard that the call passed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Passed {
    /// Stable, for programs: `calling_window`, `do_not_call`, `consent`, `gap`, `daily_cap`, `attempts`, `concurrency`, `pace`,
    /// `dialed`.
    pub guard: &'static str,
    /// For people.
    pub detail: String,
}

/// In the order in which an auditor asks. A guard that an older release did not write is absent.
#[must_use]
pub fn explain(guards: &Value) -> Vec<Passed> {
    let mut passed = Vec::new();
    let mut say = |guard, detail: Option<String>| passed.extend(detail.map(|detail| Passed { guard, detail }));
    say("calling_window", guards.get("window").and_then(window));
    say("do_not_call", guards.get("do_not_call").and_then(do_not_call));
    say("consent", guards.get("consent").and_then(consent));
    say("gap", guards.get("number").and_then(gap));
    say("daily_cap", guards.get("number").and_then(daily_cap));
    say("attempts", guards.get("attempts").and_then(attempts));
    say("concurrency", guards.get("live_calls").and_then(concurrency));
    say("pace", guards.get("pace").and_then(pace));
    say("dialed", guards.get("dialed").and_then(dialed));
    passed
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

fn number(of: &Value, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64)
}

fn window(window: &Value) -> Option<String> {
    let (opens, closes) = (text(window, "opens_at")?, text(window, "closes_at")?);
    let (zone, country) = (text(window, "time_zone")?, text(window, "country")?);
    Some(format!("the window of {zone}, cut to the law of {country}, is open from {opens} to {closes}"))
}

fn do_not_call(list: &Value) -> Option<String> {
    (list.get("listed")?.as_bool() == Some(false)).then(|| "the number is not on the do-not-call list".into())
}

fn consent(consent: &Value) -> Option<String> {
    let basis = text(consent, "basis")?;
    let given = text(consent, "at").map(|at| format!(" of {at}")).unwrap_or_default();
    let source = text(consent, "source").map(|source| format!(" ({source})")).unwrap_or_default();
    let rule = match (consent.get("required")?.as_bool()?, number(consent, "max_age_days")) {
        (false, _) => "the campaign requires none".to_owned(),
        (true, None) => "the campaign requires one".to_owned(),
        (true, Some(days)) => format!("the campaign requires one of the last {days} days"),
    };
    Some(format!("consent: {basis}{given}{source}; {rule}"))
}

fn gap(called: &Value) -> Option<String> {
    let minutes = number(called, "min_gap_minutes")?;
    Some(match text(called, "last_call_at") {
        Some(at) => format!("the number's last call was at {at}, and {minutes} minutes must lie between calls"),
        None => format!("no call to the number in 24 hours, and {minutes} minutes must lie between calls"),
    })
}

fn daily_cap(called: &Value) -> Option<String> {
    let (made, cap) = (number(called, "calls_in_24_h")?, number(called, "max_in_24_h")?);
    Some(format!("{made} calls to the number in 24 hours, of {cap} allowed across campaigns"))
}

fn attempts(attempts: &Value) -> Option<String> {
    Some(format!("{} attempts made before, of {}", number(attempts, "made")?, number(attempts, "max")?))
}

fn concurrency(live: &Value) -> Option<String> {
    let account_cap = number(live, "account_cap").map(|cap| format!(" of {cap}")).unwrap_or_default();
    Some(format!(
        "{} calls live in the campaign, of {}; {}{account_cap} in the account",
        number(live, "campaign")?,
        number(live, "campaign_cap")?,
        number(live, "account")?
    ))
}

fn pace(pace: &Value) -> Option<String> {
    Some(format!("{:.1} calls could be started at once", pace.get("tokens")?.as_f64()?))
}

fn dialed(dialed: &Value) -> Option<String> {
    let (at, closes) = (text(dialed, "at")?, text(dialed, "closes_at")?);
    Some(format!("all guards were read again at {at}, with the window open until {closes}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_guard_becomes_a_sentence() {
        let guards = json!({
            "window": {"time_zone": "Asia/Kolkata", "country": "IN", "opens_at": "2026-11-23T04:30:00Z", "closes_at": "2026-11-23T13:30:00Z"},
            "do_not_call": {"listed": false},
            "consent": {"basis": "inquiry", "at": "2026-11-01T00:00:00Z", "source": "web form", "required": true, "max_age_days": 90},
            "number": {"last_call_at": null, "calls_in_24_h": 0, "min_gap_minutes": 30, "max_in_24_h": 4},
            "attempts": {"made": 0, "max": 3},
            "live_calls": {"campaign": 2, "campaign_cap": 10, "account": 5, "account_cap": 100},
            "pace": {"tokens": 2.5, "factor": 1.0},
            "dialed": {"at": "2026-11-23T07:30:00Z", "opens_at": "2026-11-23T04:30:00Z", "closes_at": "2026-11-23T13:30:00Z"},
        });
        let said = explain(&guards);
        let names: Vec<&str> = said.iter().map(|passed| passed.guard).collect();
        assert_eq!(
            names,
            [
                "calling_window",
                "do_not_call",
                "consent",
                "gap",
                "daily_cap",
                "attempts",
                "concurrency",
                "pace",
                "dialed"
            ]
        );
        assert_eq!(
            said[2].detail,
            "consent: inquiry of 2026-11-01T00:00:00Z (web form); the campaign requires one of the last 90 days"
        );
        assert_eq!(said[6].detail, "2 calls live in the campaign, of 10; 5 of 100 in the account");
    }

    #[test]
    fn guards_of_an_older_release_leave_out_what_they_did_not_write() {
        let older = json!({"attempts": {"made": 1, "max": 3}, "number": {"calls_in_24_h": 1}, "pace": "odd"});
        assert_eq!(explain(&older).iter().map(|passed| passed.guard).collect::<Vec<_>>(), ["attempts"]);
        assert!(explain(&json!({})).is_empty());
    }
}
