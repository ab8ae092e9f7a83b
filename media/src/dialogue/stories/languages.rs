//! The human speaks another language than expected.

use super::*;

/// An English voice agent that also speaks Hindi, in either form, and Tamil.
fn polyglot() -> Rehearsal {
    let mut settings = settings("Hello, this is Asha.");
    settings.also_speaks = ["hi-IN", "hi-en", "ta-IN"].map(str::to_owned).to_vec();
    settings.greetings = [("hi".to_owned(), "नमस्ते, मैं आशा।".to_owned())].into();
    let mut call = Rehearsal::with(settings, None);
    call.until(2_000);
    call.forget();
    call
}

fn prompt(call: &Rehearsal) -> &str {
    let Some(Message::System { text }) = call.asked.last().and_then(|messages| messages.first()) else {
        panic!("asked nothing")
    };
    text
}

#[test]
fn the_first_words_in_hindi_are_greeted_in_hindi() {
    let mut call = polyglot();
    call.answers([Text("बहुत अच्छा। बजट ₹75,00,000 है?")]);
    call.says(2_000, 2_600, "हाँ जी बोलिए");
    call.until(4_500);
    call.says(5_000, 6_200, "मुझे फ्लैट चाहिए");
    call.until(10_500);
    call.assert_story(
        "
          2.900  event    language_changed
          2.900  voice    hi-IN
          2.900  speak    e2  नमस्ते, मैं आशा।
          3.360  record   human  हाँ जी बोलिए
          3.960  record   agent  नमस्ते, मैं आशा।
          6.900  ask      e3  मुझे फ्लैट चाहिए
          7.200  speak    e3  बहुत अच्छा।
          7.200  speak    e3  बजट पचहत्तर लाख रुपये है?
          7.480  record   human  मुझे फ्लैट चाहिए
          9.460  record   agent  बहुत अच्छा। बजट पचहत्तर लाख रुपये है?
        ",
    );
    assert!(prompt(&call).contains("Speak Hindi, "), "{}", prompt(&call));
}

#[test]
fn a_hello_is_no_language_and_what_follows_it_still_counts_as_the_first_words() {
    let mut call = polyglot();
    call.answers([Text("Is it a good time?")]);
    call.says(2_000, 2_400, "हैलो");
    call.until(5_000);
    call.assert_keeps_quiet_about("language_changed");
    call.says(5_500, 6_000, "जी बताइए");
    call.until(8_000);
    call.assert_tells("speak    e3  नमस्ते, मैं आशा।");
}

#[test]
fn later_a_whole_sentence_changes_the_language_and_a_single_word_does_not() {
    let mut call = polyglot();
    call.answers([Text("To live in or to invest?"), Text("Near the lake, too?"), Text("ठीक है।")]);
    call.says(2_000, 3_000, "Yes, I want a flat.");
    call.says(6_000, 6_500, "नमस्ते जी");
    call.until(9_500);
    call.assert_keeps_quiet_about("language_changed");
    call.says(10_000, 11_500, "मुझे घर में रहना है");
    call.until(14_000);
    call.assert_tells("event    language_changed");
    // No greeting in the middle of a conversation.
    call.assert_tells("ask      e4  मुझे घर में रहना है");
    call.assert_tells("speak    e4  ठीक है।");
}

#[test]
fn a_language_that_nobody_offered_is_not_followed() {
    let mut call = polyglot();
    call.answers([Text("Sorry, do you speak English?")]);
    call.says(2_000, 3_000, "నాకు తెలుగు వచ్చు అండి");
    call.until(5_000);
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn hindi_in_latin_letters_is_answered_in_hinglish() {
    let mut call = polyglot();
    call.at(2_800, Input::SttLanguage { language: "hi".to_owned() });
    call.says(2_000, 2_600, "haan boliye");
    call.until(4_000);
    call.assert_tells("voice    hi-en");
    call.assert_tells("speak    e2  Namaste ji, main Asha bol rahi hoon");
}

#[test]
fn an_accent_is_not_another_language() {
    let mut call = polyglot();
    call.answers([Text("Great.")]);
    call.at(2_900, Input::SttLanguage { language: "en".to_owned() });
    call.says(2_000, 3_000, "Yes please tell me.");
    call.until(5_000);
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn the_greeting_is_the_one_of_the_language() {
    let mut settings = settings("Hello, this is Asha.");
    assert_eq!(settings.greeting(), "Hello, this is Asha.");
    settings.language = "ta-IN".to_owned();
    assert!(settings.greeting().starts_with("வணக்கம்"), "the playbook's, {}", settings.greeting());
    settings.language = "hi-en".to_owned();
    assert!(settings.greeting().starts_with("Namaste"), "{}", settings.greeting());
    settings.greetings.insert("ta".to_owned(), "வணக்கம், ஆஷா.".to_owned());
    settings.language = "ta".to_owned();
    assert_eq!(settings.greeting(), "வணக்கம், ஆஷா.");
    settings.language = "fr".to_owned();
    assert_eq!(settings.greeting(), "Hello, this is Asha.", "better than nothing");
}
