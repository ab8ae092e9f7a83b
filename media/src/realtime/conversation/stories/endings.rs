//! Silence, time, machines, and leaving.

use super::*;

#[test]
fn silence_is_asked_about_and_ends_the_call_in_the_end() {
    let mut call = Rehearsal::greeted();
    call.until(9_200);
    assert_eq!(call.story(), told("9100 event    silence_prompted\n9100 exactly  e2 Hello, are you still there?"));
    call.answers(9_300, Some(2), "Hello, are you still there?", 1_500);
    call.plays_out(11_000, Epoch(2));
    call.until(18_100);
    call.answers(18_200, Some(3), "I can't hear you. Can you hear me?", 1_500);
    call.plays_out(20_000, Epoch(3));
    call.until(27_100);
    call.answers(27_200, Some(4), "I can't hear you, so I will try again another time. Goodbye.", 3_000);
    call.plays_out(30_300, Epoch(4));
    let story = call.story();
    assert!(story.ends_with("ended    Silence"), "{story}");
}

#[test]
fn the_time_is_up_with_a_goodbye_and_no_answer_of_the_models_comes_between() {
    let mut settings = settings();
    settings.limits.max_duration_ms = 60_000;
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    call.story.clear();
    // Somebody who talks for most of it.
    call.hear(6_000, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.hear(49_900, ServerEvent::Committed { item_id: "h1".into() });
    assert!(call.has("exactly  e2 I am sorry, our time is up."), "{}", call.story());
    let unwanted = call.response(49_950, None);
    assert!(call.has(&format!("cancel   {unwanted}")), "{}", call.story());
    call.until(61_000);
    assert!(call.has("ended    MaxDuration"), "{}", call.story());
}

#[test]
fn a_machine_is_known_by_its_words_and_its_beep_is_waited_for() {
    let mut settings = settings();
    settings.on_machine = OnMachine::LeaveMessage("Asha will call again.".to_owned());
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 6_000);
    call.says(700, 3_500, "h1", "You have reached Karan. Please leave a message after the beep.");
    assert!(call.has("event    machine_answered") && call.has("clear    e1") && call.has("listen for beep"));
    let unwanted = call.response(4_500, None);
    assert!(call.has(&format!("cancel   {unwanted}")), "{}", call.story());
    call.give(4_900, Input::Beep);
    assert!(call.has("exactly  e2 Asha will call again."), "{}", call.story());
    call.answers(5_000, Some(2), "Asha will call again.", 1_500);
    call.plays_out(6_600, Epoch(2));
    assert!(call.has("ended    MachineAnswered"), "{}", call.story());
}

/// Voicemail has answered a call that has a recording for it; the greeting was its first reply.
fn at_the_beep(otherwise: Option<&str>, is_here: bool) -> Rehearsal {
    let mut settings = settings();
    settings.on_machine =
        OnMachine::PlayRecording { title: "Festive offer".to_owned(), otherwise: otherwise.map(str::to_owned) };
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 6_000);
    call.says(700, 3_500, "h1", "You have reached Karan. Please leave a message after the beep.");
    assert!(call.has("fetch recording") && call.has("listen for beep"), "{}", call.story());
    if is_here {
        call.give(4_000, Input::RecordingReady);
    }
    call.give(4_900, Input::Beep);
    call
}

#[test]
fn a_recording_is_played_to_a_machine_whole_and_the_call_ends_behind_it() {
    let mut call = at_the_beep(Some("Asha will call again."), true);
    assert!(call.has("play     e2") && !call.has("exactly  e2"), "{}", call.story());
    call.give(4_900, Input::TtsAudio { epoch: Epoch(2), clause: 0, samples: 3_000 * MS, alignment: Vec::new() });
    call.give(4_900, Input::TtsDone { epoch: Epoch(2) });
    call.give(5_000, Input::PlayoutStarted { epoch: Epoch(2) });
    call.plays_out(8_000, Epoch(2));
    assert!(call.has("record   Agent: [Recording: Festive offer]"), "{}", call.story());
    assert!(call.has("ended    MachineAnswered"), "{}", call.story());
}

#[test]
fn a_recording_that_is_not_here_by_the_beep_gives_way_to_the_message_or_to_nothing() {
    let mut call = at_the_beep(Some("Asha will call again."), false);
    assert!(call.has("exactly  e2 Asha will call again.") && !call.has("play     e2"), "{}", call.story());
    let mut call = at_the_beep(None, false);
    assert!(call.has("ended    MachineAnswered") && !call.has("play     e2"), "{}", call.story());
}

#[test]
fn who_must_not_be_called_again_is_known_by_their_words_whatever_the_model_does() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 4_000, "h1", "Please remove my number and never call me again.");
    assert!(call.has("event    do_not_call_requested"), "{}", call.story());
}

#[test]
fn a_drain_waits_for_the_turn_to_be_over() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.answers(4_500, None, "I am Asha.", 900);
    call.give(4_600, Input::Drain { by: CallTime::from_millis(20_000) });
    assert!(!call.has("ended"), "{}", call.story());
    call.plays_out(5_500, Epoch(2));
    let story = call.story();
    assert!(story.ends_with("record   Agent: I am Asha.\n  5500 ended    HandedOver"), "{story}");
}

#[test]
fn a_hang_up_keeps_what_was_heard_and_what_was_said() {
    let mut call = Rehearsal::greeted();
    call.says(3_000, 3_500, "h1", "Who is this?");
    call.answers(4_500, None, "I am Asha from Trunkline Realty.", 3_200);
    call.give(5_500, Input::Played { epoch: Epoch(2), samples: 1_000 * SAMPLES_PER_MS });
    call.give(5_600, Input::StreamStopped { reason: StreamEnd::HungUp });
    let story = call.story();
    assert!(story.contains("record   Agent: I am Asha —") && story.ends_with("ended    HumanHungUp"), "{story}");
    assert!(!story.contains("barge_in"), "{story}");
}

#[test]
fn a_zero_asks_for_a_human() {
    let mut settings = settings();
    settings.can_transfer = true;
    let mut call = Rehearsal::with(settings, None, false);
    call.ready(300);
    call.answers(500, Some(1), "Hello, this is an AI.", 1_500);
    call.plays_out(2_100, Epoch(1));
    call.give(3_000, Input::Dtmf { digit: '0' });
    call.answers(3_100, Some(2), "One moment please, I am connecting you.", 1_500);
    call.plays_out(4_700, Epoch(2));
    assert!(call.has("event    transfer_requested") && call.has("ended    TransferToHuman"), "{}", call.story());
}

#[test]
fn a_number_that_is_keyed_in_is_told_to_the_model() {
    let mut call = Rehearsal::greeted();
    for (at, digit) in [(3_000, '4'), (3_300, '2')] {
        call.give(at, Input::Dtmf { digit });
    }
    call.until(5_000);
    assert!(call.has("tell     Human: (pressed the keys 42)") && call.has("ask      e2"), "{}", call.story());
}

/// Somebody says something, and it is not written down yet.
fn says_and_hangs_up() -> Rehearsal {
    let mut call = Rehearsal::greeted();
    call.give(3_080, Input::VoiceStarted { began: CallTime::from_millis(3_000) });
    call.hear(3_150, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.give(3_900, Input::VoiceStopped { ended: CallTime::from_millis(3_700) });
    call.hear(4_200, ServerEvent::SpeechStopped { item_id: "h1".into(), speech_ms: None });
    call.hear(4_200, ServerEvent::Committed { item_id: "h1".into() });
    call.give(4_300, Input::StreamStopped { reason: StreamEnd::HungUp });
    call
}

#[test]
fn the_last_words_of_somebody_who_hangs_up_are_waited_for_and_heeded() {
    let mut call = says_and_hangs_up();
    assert!(!call.has("ended"), "{}", call.story());
    // The server's answer to them is of no use any more.
    call.response(4_350, None);
    assert!(call.has("cancel"), "{}", call.story());
    call.transcribed(4_800, "h1", "Do not call me again.");
    let story = call.story();
    assert!(story.contains("event    do_not_call_requested"), "{story}");
    assert!(story.contains("record   Human: Do not call me again.") && story.contains("ended"), "{story}");
}

#[test]
fn last_words_that_are_not_written_down_hold_nothing_up_for_long() {
    let mut call = says_and_hangs_up();
    call.until(5_750);
    assert!(!call.has("ended"), "{}", call.story());
    call.until(5_850);
    assert!(call.has("ended"), "{}", call.story());

    let mut call = Rehearsal::greeted();
    call.give(3_000, Input::StreamStopped { reason: StreamEnd::HungUp });
    assert!(call.has("ended"), "nobody was saying anything: {}", call.story());
}

#[test]
fn a_short_word_that_the_server_hears_late_stands_where_it_was_said() {
    let mut call = Rehearsal::greeted();
    call.give(3_080, Input::VoiceStarted { began: CallTime::from_millis(3_000) });
    call.give(3_450, Input::VoiceStopped { ended: CallTime::from_millis(3_300) });
    call.hear(3_500, ServerEvent::SpeechStarted { item_id: "h1".into() });
    call.hear(3_900, ServerEvent::SpeechStopped { item_id: "h1".into(), speech_ms: None });
    call.hear(3_900, ServerEvent::Committed { item_id: "h1".into() });
    let at = call.at(4_300);
    call.conversation.hear(at, ServerEvent::Transcribed { item_id: "h1".into(), text: "Yes.".into() });
    let turn = std::iter::from_fn(|| call.conversation.poll()).find_map(|order| match order {
        Order::Do(Output::Record(turn)) => Some(turn),
        _ => None,
    });
    let turn = turn.expect("a turn");
    assert_eq!((turn.started.as_millis(), turn.ended.as_millis()), (3_000, 3_300));
}
