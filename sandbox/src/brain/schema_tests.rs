use super::*;
use crate::brain::{Choice, Message, Role};

fn analysis(transcript: &str) -> Conversation {
    let message = |role, text: &str| Message { role, text: text.into(), calls: vec![] };
    Conversation {
        messages: vec![message(Role::System, "Summarise the call."), message(Role::User, transcript)],
        tools: vec![],
        choice: Choice::Auto,
        parallel: true,
    }
}

const GOOD: &str = "Transcript:\n[0:01] Agent: Hello, is this a good time?\n[0:03] Callee: Yes\n[0:05] Agent: Are you looking for a home to live in, or to invest?\n\
    [0:07] Callee: to live in\n[0:09] Agent: What budget do you have in mind?\n[0:11] Callee: under ninety lakhs\n[0:13] Agent: Which area do you prefer?\n\
    [0:14] Callee: Whitefield\n[0:16] Agent: Would you like to come for a site visit this weekend?\n[0:18] Callee: Yes, Saturday\n";

fn summary_schema() -> Value {
    let nullable = json!({ "type": ["string", "null"] });
    json!({
        "type": "object", "additionalProperties": false,
        "required": ["summary", "disposition", "intent", "fields", "score", "reasons", "callback_at", "do_not_call"],
        "properties": {
            "summary": { "type": "string", "maxLength": 400 },
            "disposition": { "enum": ["qualified", "interested", "not_interested", "callback_requested", "do_not_call", "wrong_number", "voicemail", "no_conversation"] },
            "intent": { "enum": ["buy", "rent", "invest", "none"] },
            "fields": { "$ref": "#/$defs/fields" },
            "score": { "type": "integer", "minimum": 0, "maximum": 100 },
            "reasons": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 3 },
            "callback_at": nullable,
            "do_not_call": { "type": "boolean" },
        },
        "$defs": { "fields": {
            "type": "object", "additionalProperties": false, "required": ["budget", "location", "timeline", "purpose"],
            "properties": {
                "budget": nullable, "location": nullable, "timeline": nullable,
                "purpose": { "anyOf": [{ "enum": ["own_use", "investment"] }, { "type": "null" }] },
            },
        } },
    })
}

#[test]
fn a_good_call_is_summarised_from_its_transcript() {
    let schema = summary_schema();
    assert_eq!(check_strict(&schema), Ok(()));
    let filled = fill(&schema, &analysis(GOOD));
    assert_eq!(filled["disposition"], "qualified");
    assert_eq!(
        filled["fields"],
        json!({ "budget": "under ninety lakhs", "location": "Whitefield", "timeline": null, "purpose": "own_use" })
    );
    assert!(filled["score"].as_i64().is_some_and(|score| (60..=100).contains(&score)));
    assert_eq!(filled["reasons"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        (&filled["callback_at"], &filled["do_not_call"], &filled["intent"]),
        (&Value::Null, &json!(false), &json!("buy"))
    );
}

#[test]
fn dispositions_follow_what_was_said() {
    let schema = summary_schema();
    for (said, expected) in [
        ("Callee: Do not call me again", "do_not_call"),
        ("Callee: wrong number", "wrong_number"),
        ("Callee: I am busy, call me tomorrow", "callback_requested"),
        ("Callee: not interested", "not_interested"),
        ("Callee: Please leave a message after the tone", "voicemail"),
        ("Callee: hello", "no_conversation"),
        ("Agent: Which area do you prefer?\nCallee: Hebbal", "interested"),
        (r#"[{"speaker": "callee", "text": "stop calling me"}]"#, "do_not_call"),
    ] {
        let filled = fill(&schema, &analysis(said));
        assert_eq!(filled["disposition"], expected, "{said}");
    }
}

const GOOD_IN_HINDI: &str = "Agent: नमस्ते Ravi जी, मैं Asha बोल रही हूँ। क्या अभी बात कर सकते हैं?\nCallee: हाँ, बोलिए।\n\
    Agent: आप घर रहने के लिए ढूँढ रहे हैं या निवेश के लिए?\nCallee: परिवार के साथ रहने के लिए।\nAgent: आपका बजट कितना है?\n\
    Callee: नब्बे लाख से कम।\nAgent: आपको कौन सा इलाका पसंद है?\nCallee: हमें व्हाइटफ़ील्ड पसंद है।\n\
    Agent: क्या आप इस वीकेंड साइट विज़िट के लिए आना चाहेंगे?\nCallee: हाँ, शनिवार को।\n";

#[test]
fn a_call_in_hindi_is_judged_as_one_in_english() {
    let schema = summary_schema();
    let (hindi, english) = (fill(&schema, &analysis(GOOD_IN_HINDI)), fill(&schema, &analysis(GOOD)));
    // Hindi has no plural of a lakh.
    assert_eq!(hindi.to_string(), english.to_string().replace("lakhs", "lakh"));
    for (said, expected) in [
        ("Callee: मुझे दोबारा कॉल मत करना।", "do_not_call"),
        ("Callee: यह गलत नंबर है।", "wrong_number"),
        ("Callee: मैं व्यस्त हूँ, कल फ़ोन कीजिए।", "callback_requested"),
        ("Callee: कोई दिलचस्पी नहीं है।", "not_interested"),
        ("Callee: कृपया बीप के बाद अपना संदेश छोड़ें।", "voicemail"),
        ("Agent: आपको कौन सा इलाका पसंद है?\nCallee: हेब्बल", "interested"),
    ] {
        assert_eq!(fill(&schema, &analysis(said))["disposition"], expected, "{said}");
    }
}

#[test]
fn any_schema_gets_a_value_that_fits() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["rating", "mood", "tags", "tree", "version", "notes", "pairs", "confidence"],
        "properties": {
            "rating": { "type": "integer", "minimum": 1, "maximum": 5 },
            "mood": { "type": "string", "enum": ["happy", "sad"] },
            "tags": { "type": "array", "minItems": 2, "items": { "enum": ["a", "b"] } },
            "tree": { "$ref": "#/$defs/node" },
            "version": { "const": 2 },
            "notes": { "type": "string", "minLength": 3 },
            "pairs": { "type": "array", "items": { "type": "object", "additionalProperties": false, "required": ["field", "value"],
                "properties": { "field": { "type": "string" }, "value": { "type": "string" } } } },
            "confidence": { "type": "number" },
        },
        "$defs": { "node": { "type": "object", "additionalProperties": false, "required": ["child", "children"], "properties": {
            "child": { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] },
            "children": { "type": "array", "items": { "$ref": "#/$defs/node" } } } } },
    });
    let filled = fill(&schema, &analysis(GOOD));
    assert!((1..=5).contains(&filled["rating"].as_i64().unwrap_or(0)));
    assert_eq!((&filled["mood"], &filled["version"]), (&json!("happy"), &json!(2)));
    assert_eq!(filled["tags"], json!(["a", "a"]));
    assert!(filled["notes"].as_str().is_some_and(|notes| notes.len() >= 3));
    assert!(
        filled["pairs"]
            .as_array()
            .is_some_and(|pairs| pairs.contains(&json!({ "field": "location", "value": "Whitefield" })))
    );
    assert_eq!(filled["confidence"], 0.9);
}

#[test]
fn a_loose_schema_is_not_strict() {
    let missing = json!({ "type": "object", "additionalProperties": false, "required": [], "properties": { "a": { "type": "string" } } });
    assert!(check_strict(&missing).is_err_and(|error| error.to_string().contains("Missing 'a'")));
    let open = json!({ "type": "object", "additionalProperties": false, "required": ["a"], "properties": { "a": { "type": "object" } } });
    assert!(check_strict(&open).is_err_and(|error| error.to_string().contains("'properties.a'")));
    assert!(check_strict(&json!({ "type": "array" })).is_err());
}
