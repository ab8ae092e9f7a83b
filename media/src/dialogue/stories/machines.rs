//! A machine picks up.

use super::*;

const VOICEMAIL: &str = "You have reached Ravi, please leave a message after the beep.";

fn leaving(message: &str) -> Rehearsal {
    let mut settings = settings("Hello?");
    settings.on_machine = OnMachine::LeaveMessage(message.to_owned());
    let mut call = Rehearsal::with(settings, None);
    call.until(1_000);
    call.forget();
    call
}

#[test]
fn voicemail_is_hung_up_on_as_soon_as_it_is_known() {
    let mut call = Rehearsal::after_greeting();
    call.says(1_500, 5_500, VOICEMAIL);
    call.until(10_000);
    call.assert_story(
        "
          5.750  event    machine_answered
          5.750  record   human  You have reached Ravi, please leave a message after the beep.
          5.750  hang up  MachineAnswered
          5.750  ended    MachineAnswered
        ",
    );
}

#[test]
fn a_machine_that_speaks_over_the_greeting_silences_it() {
    let mut call = Rehearsal::greeting("Hello, this is Asha from Trunkline Realty about your property enquiry.");
    call.says(100, 2_500, VOICEMAIL);
    call.until(10_000);
    call.assert_tells("2.750  clear    e1");
    call.assert_tells("2.750  hang up  MachineAnswered");
}

#[test]
fn a_message_is_left_after_the_beep() {
    let mut call = leaving("Hello {lead_name|there}, Asha will call again.");
    call.says(1_500, 5_500, VOICEMAIL);
    call.at(6_500, Input::Beep);
    call.until(15_000);
    call.assert_story(
        "
          5.750  event    machine_answered
          6.500  record   human  You have reached Ravi, please leave a message after the beep.
          6.500  speak    e2  Hello there, Asha will call again.
          8.640  record   agent  Hello there, Asha will call again.
          8.640  hang up  MachineAnswered
          8.640  ended    MachineAnswered
        ",
    );
}

fn playing(otherwise: Option<&str>) -> Rehearsal {
    let mut settings = settings("Hello?");
    settings.on_machine =
        OnMachine::PlayRecording { title: "Festive offer".to_owned(), otherwise: otherwise.map(str::to_owned) };
    let mut call = Rehearsal::with(settings, None);
    call.until(1_000);
    call.forget();
    call
}

#[test]
fn a_recording_is_played_after_the_beep() {
    let mut call = playing(Some("Asha will call again."));
    call.says(1_500, 5_500, VOICEMAIL);
    call.at(6_000, Input::RecordingReady);
    call.at(6_500, Input::Beep);
    call.until(15_000);
    call.assert_story(
        "
          5.750  event    machine_answered
          6.500  record   human  You have reached Ravi, please leave a message after the beep.
          6.500  play     e2
          9.500  record   agent  [Recording: Festive offer]
          9.500  hang up  MachineAnswered
          9.500  ended    MachineAnswered
        ",
    );
}

#[test]
fn a_recording_that_cannot_be_had_by_the_beep_gives_way_to_the_message() {
    let mut call = playing(Some("Asha will call again."));
    call.says(1_500, 5_500, VOICEMAIL);
    call.at(6_500, Input::Beep);
    call.at(6_700, Input::RecordingReady);
    call.until(15_000);
    call.assert_tells("6.500  speak    e2  Asha will call again.");
    call.assert_keeps_quiet_about("play");
}

#[test]
fn without_recording_and_message_the_machine_is_hung_up_on() {
    let mut call = playing(None);
    call.says(1_500, 5_500, VOICEMAIL);
    call.at(6_500, Input::Beep);
    call.until(15_000);
    call.assert_tells("6.500  hang up  MachineAnswered");
    call.assert_keeps_quiet_about("speak");
}

#[test]
fn a_beep_that_nobody_hears_does_not_keep_the_message_back() {
    let mut call = leaving("Asha will call again.");
    call.says(1_500, 5_500, VOICEMAIL);
    call.until(15_000);
    call.assert_tells("8.250  speak    e2  Asha will call again.");
}

#[test]
fn a_greeting_without_end_is_not_waited_for() {
    let mut call = leaving("Asha will call again.");
    call.sounds(1_500, 60_000);
    call.at(4_000, Input::SttFinal { text: VOICEMAIL.to_owned(), speech_final: false });
    call.until(60_000);
    call.assert_tells("34.000  speak    e2  Asha will call again.");
}

#[test]
fn the_network_is_not_told_anything() {
    let mut call = leaving("Asha will call again.");
    call.says(1_500, 5_500, "The number you are calling is switched off. Please try again later.");
    call.until(15_000);
    call.assert_tells("5.750  hang up  MachineAnswered");
    call.assert_keeps_quiet_about("speak");
}

#[test]
fn somebody_who_speaks_of_machines_later_is_a_person() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("Fine. Anything else?"), Text("Sure. Anything else?"), Text("Yes.")]);
    call.says(1_500, 2_500, "Yes, speaking.");
    call.says(7_000, 8_000, "Tell me about the flats.");
    call.says(13_000, 14_000, "One moment please.");
    call.says(18_000, 22_000, VOICEMAIL);
    call.until(25_000);
    call.assert_keeps_quiet_about("machine_answered");
}

#[test]
fn words_that_leave_a_doubt_are_a_machines_once_it_beeps() {
    let mut call = leaving("Asha will call again.");
    call.says(1_500, 3_000, "Please leave a message.");
    call.until(3_600);
    call.assert_keeps_quiet_about("machine_answered");
    call.at(3_700, Input::Beep);
    call.until(8_000);
    call.assert_tells("3.700  event    machine_answered");
    call.assert_tells("3.700  speak");
    call.assert_tells("hang up  MachineAnswered");
}

#[test]
fn a_long_greeting_and_a_beep_need_no_words() {
    let mut call = leaving("Asha will call again.");
    call.sounds(1_500, 5_200);
    call.at(5_500, Input::Beep);
    call.until(9_000);
    call.assert_tells("5.500  event    machine_answered");
    call.assert_tells("record   agent  Asha will call again.");
}

#[test]
fn a_tone_on_a_persons_line_is_nothing() {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text("It is about your enquiry.")]);
    call.says(1_500, 2_200, "Yes, who is this?");
    call.at(2_600, Input::Beep);
    call.at(6_000, Input::Beep);
    call.until(8_000);
    call.assert_keeps_quiet_about("machine");
    call.assert_tells("record   agent  It is about your enquiry.");
}

#[test]
fn the_carriers_verdict_counts_until_somebody_has_answered_like_a_person() {
    let mut call = leaving("Asha will call again.");
    call.sounds(1_500, 6_000);
    call.at(3_500, Input::MachineVerdict);
    call.at(6_500, Input::Beep);
    call.until(9_000);
    call.assert_tells("4.030  event    machine_answered");
    call.assert_tells("record   agent  Asha will call again.");

    // Whoever listens to the greeting has said nothing yet.
    let mut call = Rehearsal::greeting("Hello, this is Asha, an AI assistant. Is it a good time?");
    call.answers([Text("It is about your enquiry.")]);
    call.says(200, 700, "Hello?");
    call.at(2_000, Input::MachineVerdict);
    call.says(4_000, 5_000, "Yes, what is it about?");
    call.until(9_000);
    call.assert_keeps_quiet_about("machine_answered");
    call.assert_tells("record   agent  It is about your enquiry.");

    let mut call = Rehearsal::after_greeting();
    call.answers([Text("It is about your enquiry.")]);
    call.says(1_500, 2_500, "Yes, hello, who is this please?");
    call.at(4_500, Input::MachineVerdict);
    call.until(8_000);
    call.assert_tells("4.500  event    machine_doubted");
    call.assert_tells("record   agent  It is about your enquiry.");
}
