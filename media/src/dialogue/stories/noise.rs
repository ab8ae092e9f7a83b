//! A bad line: noise that comes and goes, an impatient "hello?", the agent's own words coming back, a voice that breaks off.

use super::*;

fn with_a_tool() -> Rehearsal {
    let mut settings = settings("Hello?");
    let (name, description, parameters) = ("check_flat".to_owned(), String::new(), serde_json::json!({}));
    settings.tools = vec![ToolSpec { name, description, parameters }];
    let mut call = Rehearsal::with(settings, None);
    call.until(1_000);
    call.forget();
    call
}

fn result(call: &mut Rehearsal, ms: u64) {
    call.at(ms, Input::ToolResult { call_id: "c1-0".to_owned(), outcome: ToolOutcome::Ok("free".to_owned()) });
}

#[test]
fn hello_to_an_agent_that_thinks_does_not_make_it_begin_again() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "What do they cost?");
    for at in [3_600, 4_600, 5_600] {
        call.says(at, at + 400, "Hello?");
    }
    call.until(6_500);
    assert_eq!(call.asked.len(), 1, "{}", call.story());
    // The model's own deadline is not moved by it, and neither is its second try.
    call.until(9_500);
    assert_eq!(call.asked.len(), 2, "{}", call.story());
    call.assert_tells("record   agent  From sixty lakhs.");
}

#[test]
fn noise_while_the_agent_thinks_takes_its_answer_back_once_at_most() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Text("From sixty lakhs."), Text("From sixty lakhs."), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "What do they cost?");
    call.sounds(3_300, 3_700);
    call.until(4_500);
    assert_eq!(call.asked.len(), 1, "a short one not at all: {}", call.story());

    let mut call = Rehearsal::after_greeting();
    call.answers([Silent, Silent, Silent]);
    call.says(1_500, 2_500, "What do they cost?");
    for at in [3_200, 5_600, 8_000] {
        call.sounds(at, at + 1_300);
    }
    call.until(9_000);
    assert!(call.asked.len() <= 2, "{}", call.story());
}

#[test]
fn noise_that_comes_and_goes_gives_the_agent_its_sentence_back() {
    let mut call = agent_talks();
    for at in (5_000..20_000).step_by(1_400) {
        call.sounds(at, at + 800);
    }
    call.until(10_500);
    call.assert_tells("clear    e2");
    call.assert_tells("speak    e3  near the lake in Whitefield.");
}

#[test]
fn words_that_have_ended_are_answered_whatever_goes_on_behind_them() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Which area?")]);
    call.says(1_500, 2_500, "I want a flat in Whitefield");
    for at in (2_600..20_000).step_by(700) {
        call.sounds(at, at + 450);
    }
    call.until(6_500);
    call.assert_tells("ask      e2  I want a flat in Whitefield");
}

#[test]
fn what_a_tool_finds_out_is_told_although_somebody_coughed_meanwhile() {
    let mut call = with_a_tool();
    call.answers([Calls("", vec![("check_flat", "{}")]), Text("I am still looking."), Text("It is free.")]);
    call.says(1_500, 2_500, "Is flat three free?");
    // Over the line that bridges the wait.
    call.sounds(4_700, 5_100);
    result(&mut call, 9_000);
    call.until(13_000);
    call.assert_tells("speak    e2  One moment, let me check.");
    call.assert_tells("It is free.");
    assert!(call.asked.last().is_some_and(|messages| {
        messages.iter().any(|message| matches!(message, Message::Tool { content, .. } if content == "free"))
    }));
    let answered = call.story().matches("record   agent  It is free.").count();
    assert_eq!(answered, 1, "{}", call.story());
}

#[test]
fn what_a_tool_finds_out_while_the_agent_says_something_else_is_told_behind_it() {
    let mut call = with_a_tool();
    call.answers([Calls("", vec![("check_flat", "{}")]), Text("It has two bedrooms."), Text("And it is free.")]);
    call.says(1_500, 2_500, "Is flat three free?");
    call.says(3_600, 4_800, "And how many bedrooms has it got?");
    result(&mut call, 6_200);
    call.until(10_000);
    call.assert_tells("record   agent  It has two bedrooms.");
    call.assert_tells("record   agent  And it is free.");
}

#[test]
fn a_call_is_not_handed_over_while_a_tool_of_its_own_runs() {
    let mut call = with_a_tool();
    call.answers([Calls("", vec![("check_flat", "{}")]), Text("Right."), Text("It is free.")]);
    call.says(1_500, 2_500, "Is flat three free?");
    call.says(3_600, 4_400, "Wait, listen.");
    call.until(7_000);
    call.give(Input::Drain { by: CallTime::from_millis(60_000) });
    call.until(7_500);
    call.assert_keeps_quiet_about("ended");
    result(&mut call, 8_000);
    call.until(12_000);
    call.assert_tells("It is free.");
    call.assert_tells("ended    HandedOver");
}

#[test]
fn the_agents_own_words_are_not_answered() {
    let mut call = agent_talks();
    call.sounds(5_000, 6_000);
    call.at(6_250, Input::SttFinal { text: "We have three very nice flats".to_owned(), speech_final: true });
    call.until(8_000);
    call.assert_tells("event    false_barge_in");
    call.assert_tells("speak    e3  near the lake in Whitefield.");
    call.assert_keeps_quiet_about("human");
    // And from then on voice alone does not stop it.
    call.forget();
    call.sounds(8_500, 9_500);
    call.at(9_600, Input::SttInterim { text: "near the lake".to_owned() });
    call.until(10_000);
    call.assert_story("");
    // An answer in the question's own words is one all the same.
    call.says(10_300, 11_200, "Wait, near the lake?");
    call.until(12_000);
    call.assert_tells("clear    e3");
}

#[test]
fn a_longer_backchannel_behind_a_short_one_costs_no_word() {
    let mut call = agent_talks();
    call.says(4_000, 4_200, "haan");
    call.sounds(6_000, 7_100);
    call.at(6_700, Input::SttInterim { text: "haan ji bilkul".to_owned() });
    call.at(7_350, Input::SttFinal { text: "haan ji bilkul theek hai".to_owned(), speech_final: true });
    call.until(16_000);
    call.assert_tells("event    false_barge_in");
    assert_eq!(call.asked.len(), 1, "nothing to ask the model for: {}", call.story());
    call.assert_tells("Would you like to see one?");
}

#[test]
fn whoever_has_listened_aloud_twice_is_still_heard_at_once() {
    let mut call = agent_talks();
    call.says(4_000, 4_600, "achha achha");
    call.until(8_000);
    call.says(8_200, 8_800, "theek hai");
    call.until(11_500);
    call.forget();
    call.sounds(12_000, 12_200);
    call.until(12_150);
    call.assert_tells("pause");
}

#[test]
fn two_coughs_in_a_row_do_not_lose_the_rest_of_the_sentence() {
    let mut call = agent_talks();
    call.sounds(5_000, 5_600);
    call.until(6_605);
    call.forget();
    // Before the first word of the rest is heard.
    call.sounds(6_560, 7_700);
    call.until(15_000);
    call.assert_tells("near the lake in Whitefield.");
    call.assert_tells(
        "record   agent  near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?",
    );
}

#[test]
fn a_voice_that_breaks_off_in_a_clause_says_the_rest_and_nothing_unsaid_is_noted() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("We have three very nice flats near the lake in Whitefield.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.speech_works = false;
    call.until(3_400);
    // Half of it comes, and no word about the rest.
    let half = "We have three very nice flats";
    let alignment = (0..half.len() as u32).map(|at| CharAt { char_offset: at, at_ms: at * 60 }).collect();
    let samples = (half.len() as u64 * 60 * SAMPLES_PER_MS) as u32;
    call.at(3_450, Input::TtsAudio { epoch: Epoch(2), clause: 0, samples, alignment });
    call.until(7_000);
    call.assert_keeps_quiet_about("record   agent");
    call.speech_works = true;
    call.until(14_000);
    call.assert_tells("speak    e2  near the lake in Whitefield.");
    call.assert_tells("record   agent  We have three very nice flats near the lake in Whitefield.");
}

#[test]
fn a_draft_for_words_that_were_taken_back_is_not_used() {
    let mut settings = settings("Hello?");
    settings.speculate = true;
    let mut call = Rehearsal::with(settings, None);
    call.until(1_000);
    call.answers([Text("Good.")]);
    call.sounds(1_500, 2_000);
    call.at(1_900, Input::SttInterim { text: "Okay.".to_owned() });
    call.at(2_300, Input::SttFinal { text: String::new(), speech_final: true });
    call.until(2_320);
    let dropped = |(_, output): &(u64, Output)| matches!(output, Output::Metric("speculation_dropped"));
    assert!(call.outputs.iter().any(dropped), "{}", call.story());
}
