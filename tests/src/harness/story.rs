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

/// Three seconds of a tone that nobody speaks.
pub fn jingle() -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
    for at in 0..48_000 {
        writer.write_sample((9_000.0 * f64::sin(f64::from(at) * 0.25)) as i16).unwrap();
    }
    writer.finalize().unwrap();
    wav.into_inner()
}
