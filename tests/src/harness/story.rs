//! What stories tell of people, and read of conversations.

use serde_json::{Value, json};

/// What [`interested`] people want a home for.
pub const PURPOSE: &str = "It is for my own family to live in.";

/// Rings shortly, answers, and tells what it is asked.
pub fn interested() -> Value {
    json!([{"do": "ring", "ms": 300}, {"do": "answer"}, {"do": "converse", "answers": {
        "purpose": PURPOSE,
        "budget": "Around eighty lakh.",
        "timeline": "Within three months.",
        "location": "Whitefield would be best.",
        "property_type": "A two bedroom apartment.",
        "site_visit": "Yes, Saturday works."
    }}])
}

/// What one side (`agent`, `callee`) says in a call's transcript.
pub fn lines(call: &Value, role: &str) -> Vec<String> {
    let turns = call["transcript"].as_array().unwrap();
    let of_role = turns.iter().filter(|turn| turn["role"] == role);
    of_role.map(|turn| turn["text"].as_str().unwrap().to_owned()).collect()
}

/// Lower-case words without punctuation.
pub fn words(text: &str) -> Vec<String> {
    let bare =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}
