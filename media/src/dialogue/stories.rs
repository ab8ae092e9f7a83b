//! Rehearsed calls. Each reads as what a listener would have heard.
//! The world's times are in `rehearsal`: 60 ms per spoken character, model 300 ms, voice 100 ms, STT 250 ms.

use super::rehearsal::{Answer, Rehearsal, settings};
use super::*;

use Answer::{Calls, Fails, Silent, Text};

const LONG: &str = "We have three very nice flats near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?";

fn show(name: &str, call: &Rehearsal) { println!("=== {name}\n{}\n", call.story()); }

#[test]
fn explore() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.says(5_000, 6_200, "What do they cost?");
    call.until(12_000);
    show("barge-in", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.says(5_000, 5_200, "haan");
    call.until(14_000);
    show("short backchannel", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.says(5_000, 5_500, "achha achha");
    call.until(18_000);
    show("long backchannel", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.sounds(5_000, 5_200);
    call.until(14_000);
    show("short cough", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.sounds(5_000, 5_600);
    call.until(18_000);
    show("long cough", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("Three bedrooms, fine.")]);
    call.says(1_500, 2_500, "I want a flat.");
    call.says(3_100, 4_000, "With three bedrooms.");
    call.until(8_000);
    show("resumes before reply", &call);

    let mut call = Rehearsal::after_greeting();
    call.until(40_000);
    show("silence", &call);

    let mut call = Rehearsal::after_greeting();
    call.sounds(1_500, 2_500);
    call.until(6_000);
    show("voice without words", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Silent, Silent, Silent]);
    call.says(1_500, 2_500, "I want a flat.");
    call.says(18_000, 19_000, "I want a flat.");
    call.until(40_000);
    show("llm silent", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Fails(LlmFailure::Unavailable), Text("Which area?")]);
    call.says(1_500, 2_500, "I want a flat.");
    call.until(6_000);
    show("llm fails once", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("", vec![("record_answer", r#"{"field":"budget","value":"50 lakh"}"#)]), Text("Which area?")]);
    call.says(1_500, 2_500, "Fifty lakh rupees.");
    call.until(6_000);
    show("tool only", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("Thank you for your time. Goodbye.", vec![("end_call", r#"{"disposition":"qualified"}"#)])]);
    call.says(1_500, 2_500, "That is all, thanks.");
    call.says(4_000, 5_000, "Thank you bye");
    call.until(10_000);
    show("end call", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Calls("", vec![("end_call", r#"{"disposition":"qualified"}"#)])]);
    call.says(1_500, 2_500, "That is all, thanks.");
    call.until(10_000);
    show("end call no words", &call);

    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG)]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.at(5_000, Input::StreamStopped { reason: StreamEnd::HungUp });
    call.until(6_000);
    show("hang-up", &call);

    let history = History::resume([(Speaker::Agent, "Which area?".to_owned()), (Speaker::Human, "Whitefield.".to_owned())], BTreeMap::new(), 7);
    let mut call = Rehearsal::with(settings("Hello"), Some(history));
    call.answers([Text("Whitefield, lovely. And your budget?")]);
    // asked before answers were there
    call.until(12_000);
    show("resume", &call);

    let mut s = settings("Hello?");
    s.limits.max_duration_ms = 60_000;
    let mut call = Rehearsal::with(s, None);
    call.answers(vec![Text("Fine. Go on."); 10]);
    for i in 0..10 { call.says(2_000 + i * 6_000, 4_000 + i * 6_000, "I want to talk about flats."); }
    call.until(70_000);
    show("max", &call);

    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.answers([Text("It is from an enquiry.")]);
    call.says(1_000, 2_000, "Who is this?");
    call.until(8_000);
    show("over greeting", &call);

    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.says(500, 900, "Hello");
    call.until(8_000);
    show("hello over greeting", &call);
}
