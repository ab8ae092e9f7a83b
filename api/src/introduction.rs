//! What is said of the human when another one is connected with them: to the advisor alone where the carrier can whisper, else to
//! both.

use shared::transfer::Whisper;

/// Of the answers: an advisor listens, the human waits.
const MOST_ANSWERS: usize = 5;
const MOST_CHARS: usize = 60;

/// "Ravi Kumar, from your campaign Whitefield. Budget: around eighty lakh." For the advisor alone.
pub fn to_advisor(whisper: &Whisper) -> String {
    let name = whisper.name.as_deref().map_or_else(|| "Somebody".to_owned(), short);
    let campaign = short(whisper.campaign.as_deref().unwrap_or("without a name"));
    format!("{name}, from your campaign {campaign}.{}", answers(whisper))
}

/// "You are connected now. Ravi Kumar has told us: Budget: around eighty lakh." For both: no campaign's name, which is the
/// account's own affair, and nothing that the human has not said.
pub fn to_both(whisper: &Whisper) -> String {
    let answers = answers(whisper);
    if answers.is_empty() {
        return "You are connected now.".to_owned();
    }
    let name = whisper.name.as_deref().map_or_else(|| "The caller".to_owned(), short);
    format!("You are connected now. {name} has told us:{answers}")
}

/// Each with a space before it: " Budget: around eighty lakh. Location: Whitefield."
fn answers(whisper: &Whisper) -> String {
    let mut text = String::new();
    for (field, value) in whisper.answers.iter().take(MOST_ANSWERS) {
        let Some(value) = value.as_str().map(short).filter(|value| !value.trim().is_empty()) else { continue };
        let mut field: Vec<char> = field.replace('_', " ").chars().collect();
        if let Some(first) = field.first_mut() {
            *first = first.to_ascii_uppercase();
        }
        let field: String = field.into_iter().collect();
        text.push_str(&format!(" {}: {}.", short(&field), value.trim().trim_end_matches('.')));
    }
    text
}

fn short(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ravi() -> Whisper {
        Whisper {
            name: Some("Ravi".into()),
            campaign: Some("Whitefield".into()),
            answers: json!({"budget": "Around eighty lakh.", "property_type": "2 BHK"}).as_object().unwrap().clone(),
        }
    }

    #[test]
    fn the_advisor_hears_who_it_is_and_what_they_said_and_no_more_than_fits() {
        let mut whisper = ravi();
        assert_eq!(
            to_advisor(&whisper),
            "Ravi, from your campaign Whitefield. Budget: Around eighty lakh. Property type: 2 BHK."
        );
        whisper.name = None;
        whisper.answers = (0..50).map(|n| (format!("f{n}"), json!("x".repeat(500)))).collect();
        assert!(to_advisor(&whisper).len() < 500, "{}", to_advisor(&whisper));
        assert!(to_advisor(&whisper).starts_with("Somebody, from"));
        assert!(to_both(&whisper).len() < 500);
    }

    #[test]
    fn what_both_hear_is_fit_for_both() {
        let mut whisper = ravi();
        assert_eq!(
            to_both(&whisper),
            "You are connected now. Ravi has told us: Budget: Around eighty lakh. Property type: 2 BHK."
        );
        whisper.answers.clear();
        assert_eq!(to_both(&whisper), "You are connected now.");
    }
}
