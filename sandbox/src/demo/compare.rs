//! The product's account of the campaign, held against what the carrier and the callees really saw.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::speech::script::is_of_a_word;

/// A word at each place where speech was cut may be counted on one side and not on the other: a callee hears half of it.
const WORDS_PER_CUT: usize = 2;

/// Every difference, as a sentence; empty means that both accounts agree.
pub fn differences(calls: &[Value], leads: &[Value], seen: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    same_calls(calls, seen, &mut found);
    attempts(leads, seen, &mut found);
    outcomes(calls, leads, &mut found);
    for call in calls {
        if let Some(carrier) = seen.iter().find(|seen| seen["sid"] == call["call_sid"]) {
            same_words(call, carrier, &mut found);
        }
    }
    found
}

/// Calls that the carrier placed are exactly the calls that carry its id, each once.
fn same_calls(calls: &[Value], seen: &[Value], found: &mut Vec<String>) {
    let ours: Vec<&str> = calls.iter().filter_map(|call| call["call_sid"].as_str()).collect();
    for carrier in seen {
        let sid = text(carrier, "sid");
        match ours.iter().filter(|ours| **ours == sid).count() {
            1 => {}
            0 => found.push(format!(
                "the carrier placed {sid} ({}), and no call is recorded for it",
                text(carrier, "script")
            )),
            n => found.push(format!("the carrier's call {sid} is recorded {n} times")),
        }
    }
    for sid in ours {
        if !seen.iter().any(|carrier| text(carrier, "sid") == sid) {
            found.push(format!("a call is recorded as {sid}, which the carrier never placed"));
        }
    }
}

/// No number rang more often than its lead has attempts, and none rang twice at once.
fn attempts(leads: &[Value], seen: &[Value], found: &mut Vec<String>) {
    let mut rung: BTreeMap<String, usize> = BTreeMap::new();
    for carrier in seen {
        *rung.entry(national(text(carrier, "from")).to_owned()).or_default() += 1;
    }
    for lead in leads {
        let rung = rung.remove(national(text(lead, "phone"))).unwrap_or(0);
        let attempts =
            usize::try_from(lead["call_attempts"].as_i64().or(lead["attempts"].as_i64()).unwrap_or(0)).unwrap_or(0);
        if rung > attempts {
            found.push(format!("lead {} rang {rung} times and has {attempts} attempts", lead["id"]));
        }
        if attempts > 4 {
            found.push(format!("lead {} has {attempts} attempts, above its most", lead["id"]));
        }
    }
    for (_number, times) in rung {
        found.push(format!("a number that is no lead's rang {times} times"));
    }
}

/// It was answered, and its recording is not here, or not yet: where the carrier announces it, nothing stands for it before.
pub fn lacks_recording(call: &Value) -> bool {
    call["status"] == "completed" && !call["answered_at"].is_null() && call["recording"]["status"] != "stored"
}

/// Every lead ended in a final state, every conversation has its summary, every recording of the carrier is stored.
fn outcomes(calls: &[Value], leads: &[Value], found: &mut Vec<String>) {
    for lead in leads {
        if !matches!(text(lead, "status"), "done" | "exhausted" | "suppressed" | "canceled" | "expired") {
            found.push(format!("lead {} ended as {}", lead["id"], lead["status"]));
        }
    }
    for call in calls {
        let spoke = turns(call).iter().any(|turn| turn["role"] == "callee");
        // Where the carrier heard a machine, its greeting is no conversation.
        let spoke = spoke && call["answered_by"] != "machine";
        if spoke && call["status"] == "completed" && call["summary"].as_str().is_none_or(str::is_empty) {
            found.push(format!("call {} was a conversation and has no summary", call["id"]));
        }
        if lacks_recording(call) {
            found
                .push(format!("call {} was answered and its recording is {}", call["id"], call["recording"]["status"]));
        }
    }
}

/// What the callee heard is what the transcript says that the agent said.
fn same_words(call: &Value, carrier: &Value, found: &mut Vec<String>) {
    let agent: Vec<&Value> = turns(call).iter().filter(|turn| turn["role"] == "agent").collect();
    let said = words(agent.iter().map(|turn| text(turn, "text")));
    let lines = carrier["heard"].as_array().map(Vec::as_slice).unwrap_or_default();
    let heard = words(lines.iter().map(|line| text(line, "text")));
    let cuts = agent.iter().filter(|turn| turn["interrupted"] == true).count()
        + lines.iter().filter(|line| !line["full_text"].is_null()).count();
    let different = said.len() + heard.len() - 2 * longest_common(&said, &heard);
    if different > WORDS_PER_CUT * cuts {
        found.push(format!(
            "call {} ({}): {different} words differ\n      transcript: {}\n      callee heard: {}",
            call["id"],
            text(carrier, "script"),
            said.join(" "),
            heard.join(" "),
        ));
    }
}

/// Length of the longest common subsequence.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn words<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts
        .flat_map(str::split_whitespace)
        .map(|word| word.chars().filter(|c| is_of_a_word(*c)).flat_map(char::to_lowercase).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

pub fn turns(call: &Value) -> &[Value] {
    call["transcript"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// The last ten digits, which are what the forms of one Indian number share.
fn national(phone: &str) -> &str {
    &phone[phone.len().saturating_sub(10)..]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(agent: &str) -> Value {
        json!({"id": 1, "call_sid": "s1", "status": "completed", "answered_at": "2026-11-23T07:30:00Z", "summary": "They talked.",
            "recording": {"status": "stored"}, "transcript": [{"role": "agent", "text": agent, "interrupted": false},
            {"role": "callee", "text": "Yes."}]})
    }

    fn seen(heard: &str) -> Value {
        json!({"sid": "s1", "from": "09999900001", "script": "test", "heard": [{"text": heard}]})
    }

    fn lead() -> Value {
        json!({"id": 7, "phone": "+919999900001", "attempts": 1, "status": "done"})
    }

    #[test]
    fn two_equal_accounts_have_no_difference() {
        assert!(differences(&[call("Hello, who is this?")], &[lead()], &[seen("hello who is this")]).is_empty());
    }

    #[test]
    fn a_word_that_nobody_heard_is_a_difference() {
        assert_eq!(differences(&[call("Hello, who is this?")], &[lead()], &[seen("hello who")]).len(), 1);
    }

    #[test]
    fn a_phone_that_rang_twice_for_one_attempt_is_a_difference() {
        let mut again = seen("hello");
        again["sid"] = json!("s2");
        let found = differences(&[call("hello")], &[lead()], &[seen("hello"), again]);
        assert!(found.iter().any(|line| line.contains("rang 2 times")), "{found:?}");
        assert!(found.iter().any(|line| line.contains("no call is recorded")), "{found:?}");
    }
}
