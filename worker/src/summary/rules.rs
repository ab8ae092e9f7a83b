//! The judgement of rules, where no language model gave one: from what was noted while the call ran. Pure.

use serde_json::{Value, json};
use shared::conversation::{Disposition, Summary};
use shared::turn::Role;

use super::{Callback, Conversation};

/// Answers that make a lead qualified.
const QUALIFYING_ANSWERS: usize = 4;

/// A summary that says little and loses nobody. `error` is why it had to be written this way.
#[must_use]
pub fn judge(conversation: &Conversation, error: String) -> Summary {
    let notes = conversation.notes.as_ref();
    let answers = notes.map_or_else(|| json!({}), |notes| notes.answers.clone());
    let told = answers.as_object().map_or(0, |answers| answers.values().filter(|value| !value.is_null()).count());
    let heard = conversation.turns.iter().filter(|turn| turn.role == Role::Callee).count();
    let visit = answers.get("site_visit").and_then(Value::as_str).is_some_and(agrees);
    let disposition = notes.and_then(|notes| notes.live_disposition).unwrap_or(if heard == 0 {
        Disposition::NoConversation
    } else if told >= QUALIFYING_ANSWERS || (visit && told >= 2) {
        Disposition::Qualified
    } else {
        // Somebody spoke, and nobody noted a refusal: a person decides.
        Disposition::Interested
    });
    let words = notes.and_then(|notes| notes.callback_text.clone());
    let callback = Callback::weigh(conversation, disposition, None, words.as_deref());
    Summary {
        summary: format!(
            "No summary could be written. The callee spoke {heard} times and answered {told} questions; see the transcript."
        ),
        disposition: callback.disposition,
        intent: None,
        extracted: answers,
        score: None,
        score_reasons: Vec::new(),
        wants_callback: callback.wanted,
        callback_at: callback.at,
        callback_text: words,
        model: None,
        error: Some(error),
    }
}

fn agrees(answer: &str) -> bool {
    let answer = answer.to_lowercase();
    !["no", "not", "refused", "never", "nahi"].iter().any(|word| answer.split_whitespace().any(|said| said == *word))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use shared::conversation::Notes;
    use shared::turn::Turn;

    use super::*;

    fn spoken(answers: Value, live: Option<Disposition>) -> Conversation {
        let asked = live == Some(Disposition::CallbackRequested);
        let ended_at: DateTime<Utc> = "2026-11-23T07:30:00Z".parse().unwrap();
        let turn = Turn {
            seq: 1,
            role: Role::Callee,
            text: "hello".into(),
            interrupted: false,
            started_ms: 0,
            ended_ms: 1,
            stages: json!({}),
        };
        let notes = Notes {
            answers,
            live_disposition: live,
            callback_text: asked.then(|| "tomorrow at 5 pm".into()),
            callback_at: None,
            summary_pending: true,
        };
        Conversation {
            turns: vec![turn],
            notes: Some(notes),
            lead: serde_json::Map::new(),
            ended_at: ended_at.with_timezone(&chrono_tz::Asia::Kolkata),
        }
    }

    #[test]
    fn what_the_human_asked_for_in_the_call_decides() {
        let summary = judge(&spoken(json!({}), Some(Disposition::CallbackRequested)), "down".into());
        assert_eq!(summary.disposition, Disposition::CallbackRequested);
        assert_eq!(summary.callback_at.unwrap().to_rfc3339(), "2026-11-24T11:30:00+00:00");
        assert_eq!(summary.error.as_deref(), Some("down"));
    }

    #[test]
    fn many_answers_or_a_visit_qualify() {
        let many = json!({"purpose": "live", "budget": "80 L", "timeline": "soon", "location": "Whitefield"});
        assert_eq!(judge(&spoken(many, None), String::new()).disposition, Disposition::Qualified);
        let visit = json!({"budget": "80 L", "site_visit": "Saturday at 11"});
        assert_eq!(judge(&spoken(visit, None), String::new()).disposition, Disposition::Qualified);
        let refused = json!({"budget": "80 L", "site_visit": "no"});
        assert_eq!(judge(&spoken(refused, None), String::new()).disposition, Disposition::Interested);
    }
}
