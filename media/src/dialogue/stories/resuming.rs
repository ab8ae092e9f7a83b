//! How a conversation that was broken off is taken up.

use super::*;

fn said(turns: &[(Speaker, &str)]) -> Vec<Said> {
    turns
        .iter()
        .map(|(speaker, text)| Said { speaker: *speaker, text: (*text).to_owned(), interrupted: false })
        .collect()
}

/// Seven turns were stored, the last of which are `turns`; the budget is known. A minute has gone by.
fn comes_back(gap: Gap, turns: Vec<Said>) -> Rehearsal {
    let collected = BTreeMap::from([("budget".to_owned(), "50 lakh".to_owned())]);
    Rehearsal::from(
        60_000,
        settings("Hello, I am Asha, an assistant."),
        Some(History::resume(turns, collected, 7, gap)),
    )
}

const TALKED: [(Speaker, &str); 3] = [
    (Speaker::Agent, "Hello, I am Asha. Is it a good time?"),
    (Speaker::Human, "Yes."),
    (Speaker::Agent, "Fine. Which area do you like best?"),
];

#[test]
fn an_answer_that_got_no_reply_is_answered() {
    let mut turns = said(&TALKED);
    turns.extend(said(&[(Speaker::Human, "Whitefield.")]));
    let mut call = comes_back(Gap::Lost, turns);
    call.answers([Text("Whitefield, lovely. And when would you move?")]);
    call.until(70_000);
    call.assert_story(
        "
         60.000  event    resumed
         60.000  ask      e1  Whitefield.
         60.000  speak    e1  Sorry, the line dropped for a moment.
         60.300  speak    e1  Whitefield, lovely.
         60.300  speak    e1  And when would you move?
         64.900  record   agent  Sorry, the line dropped for a moment. Whitefield, lovely. And when would you move?
        ",
    );
    let asked = &call.asked[0];
    assert!(matches!(&asked[0], Message::System { text } if text.contains("- budget: \"50 lakh\"")));
    assert!(matches!(asked.last(), Some(Message::System { text }) if text.contains("Do not greet again")));
    assert!(call.outputs.iter().any(|(_, output)| matches!(output, Output::Record(turn) if turn.seq == 7)));
}

#[test]
fn a_question_that_waited_for_its_answer_is_asked_again_word_for_word() {
    let mut call = comes_back(Gap::Lost, said(&TALKED));
    call.answers([Text("Whitefield, lovely.")]);
    call.says(66_000, 67_000, "Whitefield would be fine.");
    call.until(70_000);
    call.assert_story(
        "
         60.000  event    resumed
         60.000  speak    e1  Sorry, the line dropped for a moment.
         60.000  speak    e1  Which area do you like best?
         64.000  record   agent  Sorry, the line dropped for a moment. Which area do you like best?
         67.500  ask      e2  Whitefield would be fine.
         67.800  speak    e2  Whitefield, lovely.
         68.500  record   human  Whitefield would be fine.
         69.040  record   agent  Whitefield, lovely.
        ",
    );
}

#[test]
fn a_question_that_needs_the_sentence_before_it_keeps_that_and_no_second_bridge() {
    for (text, expected) in [
        ("Thank you. I see your budget is 50 lakh. Is that still right?", "I see your budget is fifty lakh."),
        ("Sorry, the line dropped for a moment. Is that right?", "Is that right?"),
        ("Would you like to come and see it? Saturday is free.", "Would you like to come and see it?"),
    ] {
        let mut call = comes_back(Gap::Lost, said(&[(Speaker::Human, "Yes."), (Speaker::Agent, text)]));
        call.until(60_100);
        call.assert_tells(&format!(
            "speak    e1  Sorry, the line dropped for a moment.\n 60.000  speak    e1  {expected}"
        ));
        call.assert_keeps_quiet_about("Saturday is free");
        assert!(call.asked.is_empty());
    }
}

#[test]
fn a_sentence_that_was_cut_off_is_said_again() {
    let mut turns = said(&TALKED[..2]);
    turns.push(Said { speaker: Speaker::Agent, text: "We have three very".to_owned(), interrupted: true });
    let mut call = comes_back(Gap::Lost, turns);
    call.answers([Text("We have three very nice flats.")]);
    call.until(70_000);
    call.assert_tells("speak    e1  Sorry, the line dropped for a moment.");
    call.assert_tells("speak    e1  We have three very nice flats.");
    let cut = |message: &Message| matches!(message, Message::Assistant { text, .. } if text == "We have three very —");
    assert!(call.asked[0].iter().any(cut), "the model sees where it was cut off");
}

#[test]
fn right_after_the_greeting_its_question_is_repeated_and_not_the_greeting() {
    let mut call = comes_back(Gap::Lost, said(&TALKED[..1]));
    call.until(70_000);
    call.assert_tells("speak    e1  Is it a good time?");
    call.assert_tells("record   agent  Sorry, the line dropped for a moment. Hello, I am Asha. Is it a good time?");
}

#[test]
fn a_greeting_that_was_not_heard_to_its_end_is_given_whole() {
    for heard in [vec![], vec![Said { speaker: Speaker::Agent, text: "Hello, I am".to_owned(), interrupted: true }]] {
        let mut call = comes_back(Gap::Lost, heard);
        call.until(70_000);
        call.assert_tells("record   agent  Sorry, the line dropped for a moment. Hello, I am Asha, an assistant.");
        assert!(call.asked.is_empty());
    }
}

#[test]
fn a_goodbye_that_was_broken_off_is_said_and_ends_the_call() {
    let mut turns = said(&TALKED);
    turns.extend(said(&[(Speaker::Human, "That is all, thanks.")]));
    let mut call = comes_back(Gap::Goodbye, turns);
    call.says(61_000, 61_500, "Hello?");
    call.until(70_000);
    call.assert_story(
        "
         60.000  event    resumed
         60.000  speak    e1  Sorry, the line dropped for a moment.
         60.000  speak    e1  Thank you for your time.
         60.000  speak    e1  Goodbye.
         64.240  record   agent  Sorry, the line dropped for a moment. Thank you for your time. Goodbye.
         64.240  record   human  Hello?
         64.240  hang up  AgentFinished
         64.240  ended    AgentFinished
        ",
    );
    assert!(call.asked.is_empty());
}

#[test]
fn a_call_handed_over_between_turns_goes_on_without_a_word() {
    let mut call = comes_back(Gap::HandedOver, said(&TALKED));
    call.answers([Text("Whitefield, lovely.")]);
    call.says(61_000, 62_000, "Whitefield would be fine.");
    call.until(65_000);
    call.assert_story(
        "
         60.000  event    resumed
         62.500  ask      e1  Whitefield would be fine.
         62.800  speak    e1  Whitefield, lovely.
         63.500  record   human  Whitefield would be fine.
         64.040  record   agent  Whitefield, lovely.
        ",
    );
}

#[test]
fn a_call_handed_over_in_haste_goes_on_without_an_apology() {
    let mut turns = said(&TALKED);
    turns.extend(said(&[(Speaker::Human, "Whitefield.")]));
    let mut call = comes_back(Gap::HandedOver, turns);
    call.answers([Text("Lovely.")]);
    call.until(65_000);
    call.assert_tells("60.300  speak    e1  Lovely.");
    call.assert_keeps_quiet_about("Sorry");

    let mut turns = said(&TALKED[..2]);
    turns.push(Said { speaker: Speaker::Agent, text: "We have three very".to_owned(), interrupted: true });
    let mut call = comes_back(Gap::HandedOver, turns);
    call.answers([Text("nice flats.")]);
    call.until(65_000);
    call.assert_tells("speak    e1  nice flats.");
    call.assert_keeps_quiet_about("Sorry");
}

#[test]
fn the_maximum_duration_is_that_of_the_whole_call() {
    let mut settings = settings("Hello?");
    settings.limits.max_duration_ms = 120_000;
    let resume = || Some(History::resume(said(&TALKED), BTreeMap::new(), 3, Gap::Lost));
    let mut call = Rehearsal::from(60_000, settings.clone(), resume());
    call.until(130_000);
    call.assert_tells("ended    Silence");

    let mut call = Rehearsal::from(100_000, settings.clone(), resume());
    call.until(130_000);
    call.assert_tells("100.000  speak    e1  I am sorry, our time is up.");
    call.assert_tells("ended    MaxDuration");
}

#[test]
fn a_bridge_behind_which_the_model_fails_is_followed_by_an_apology_not_by_silence() {
    let mut turns = said(&TALKED);
    turns.extend(said(&[(Speaker::Human, "Whitefield.")]));
    let mut call = comes_back(Gap::Lost, turns);
    call.answers([Fails(LlmFailure::Unavailable), Fails(LlmFailure::Unavailable)]);
    call.until(70_000);
    call.assert_tells("Could you say that once more?");
    assert_eq!(call.asked.len(), 2);
}

#[test]
fn whoever_asks_whether_anybody_is_there_over_the_bridge_is_answered() {
    let mut call = comes_back(Gap::Lost, said(&TALKED));
    call.answers([Text("Yes, I am here. Which area do you like?")]);
    call.says(60_500, 61_400, "Hello, are you still there?");
    call.until(70_000);
    call.assert_tells("ask      e2  Hello, are you still there?");
    call.assert_tells("record   agent  Yes, I am here. Which area do you like?");
}

#[test]
fn a_conversation_counts_on_where_it_was() {
    let call = comes_back(Gap::HandedOver, said(&TALKED));
    let snapshot = call.dialogue.snapshot();
    assert_eq!((snapshot.human_turns, snapshot.agent_turns), (1, 2));
    assert_eq!(snapshot.stage, "qualification");
    assert_eq!(snapshot.collected["budget"], "50 lakh");
}

fn noted(call: &Rehearsal) -> Vec<(u64, Option<String>)> {
    let words = |output: &Output| match output {
        Output::NoteUnsettled(words) => Some(words.as_ref().map(|words| words.text.clone())),
        _ => None,
    };
    call.outputs.iter().filter_map(|(at, output)| Some((*at, words(output)?))).collect()
}

#[test]
fn final_words_are_given_out_before_anybody_decides_about_them() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Silent]);
    call.says(1_500, 2_500, "I want a flat and");
    call.says(3_300, 4_000, "a garden.");
    call.until(4_300);
    let flat = Some("I want a flat and".to_owned());
    assert_eq!(noted(&call), [(2_750, flat), (4_250, Some("I want a flat and a garden.".to_owned()))]);
}

#[test]
fn a_turn_that_grows_is_given_out_whole_and_one_that_settles_is_not_taken_back() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("Fine.")]);
    call.says(1_500, 2_500, "I want a flat.");
    call.says(3_100, 4_000, "With three bedrooms.");
    call.until(8_000);
    let texts: Vec<_> = noted(&call).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["I want a flat.", "I want a flat. With three bedrooms."].map(|text| Some(text.to_owned())));
}

#[test]
fn words_that_meant_nothing_are_taken_back() {
    let mut call = agent_talks();
    call.says(4_000, 4_150, "Haan.");
    call.until(14_000);
    let texts: Vec<_> = noted(&call).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, [Some("Haan.".to_owned()), None], "{}", call.story());
}

#[test]
fn what_has_been_heard_of_a_long_answer_is_noted_clause_by_clause() {
    let mut call = agent_talks();
    call.until(12_000);
    let noted: Vec<&str> = call
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::NoteHeard(words) => Some(words.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        noted,
        [
            "We have three very nice flats near the lake in Whitefield.",
            "We have three very nice flats near the lake in Whitefield. Each of them has two bedrooms.",
            LONG,
        ]
    );
}
