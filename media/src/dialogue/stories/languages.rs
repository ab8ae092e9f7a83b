//! The human speaks another language than expected.

use super::*;
use shared::playbook::Playbook;

/// An English voice agent that also speaks Hindi, in either form, and Tamil.
fn polyglot() -> Rehearsal {
    let mut settings = settings("Hello, this is Asha.");
    settings.also_speaks = ["hi-IN", "hi-en", "ta-IN"].map(str::to_owned).to_vec();
    settings.greetings = [("hi", "नमस्ते, मैं आशा।"), ("hi-en", "Namaste, main Asha.")]
        .map(|(tag, text)| (tag.to_owned(), text.to_owned()))
        .into();
    greeted(settings)
}

/// A Hindi conversation of an agent that speaks these, too.
fn hindi(also_speaks: &[&str]) -> Rehearsal {
    speaking("hi-IN", also_speaks)
}

fn speaking(language: &str, also_speaks: &[&str]) -> Rehearsal {
    let mut settings = settings("Hello, this is Asha.");
    settings.language = language.to_owned();
    settings.also_speaks = also_speaks.iter().map(|&tag| tag.to_owned()).collect();
    let greetings = [("hi", "नमस्ते, मैं आशा।"), ("hi-en", "Namaste, main Asha."), ("mr", "नमस्कार, मी आशा.")];
    settings.greetings = greetings.map(|(tag, text)| (tag.to_owned(), text.to_owned())).into();
    greeted(settings)
}

fn greeted(settings: DialogueSettings) -> Rehearsal {
    let mut call = Rehearsal::with(settings, None);
    call.until(2_000);
    call.forget();
    call
}

/// The provider takes the words for that language.
fn says_in(call: &mut Rehearsal, tag: &str, began: u64, ended: u64, words: &str) {
    call.at(ended - 100, Input::SttLanguage { language: tag.to_owned() });
    call.says(began, ended, words);
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
    says_in(&mut call, "hi", 2_000, 3_000, "haan mujhe flat chahiye");
    call.until(4_500);
    call.assert_tells("voice    hi-en");
    call.assert_tells("speak    e2  Namaste, main Asha.");
}

#[test]
fn what_everybody_says_in_any_language_is_no_language() {
    for (ours, also) in [("hi-IN", ["en-IN", "hi-en"]), ("hi-IN", ["en-IN", "ta-IN"]), ("hi-en", ["en-IN", "hi-IN"])] {
        for words in
            ["Yes.", "Okay.", "Speaking.", "Yes, speaking.", "Hello, who is this?", "Two BHK", "Yes, yes, okay, sure."]
        {
            let mut call = speaking(ours, &also);
            call.answers([Text("ठीक है।")]);
            says_in(&mut call, "en", 2_000, 2_600, words);
            call.until(4_500);
            call.assert_keeps_quiet_about("language_changed");
        }
    }
    let mut call = polyglot();
    call.answers([Text("Great.")]);
    says_in(&mut call, "hi", 2_000, 2_600, "haan ji");
    call.until(4_500);
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn an_indian_language_is_given_up_for_english_after_two_english_turns_in_a_row() {
    let mut call = hindi(&["en-IN"]);
    call.answers([Text("ठीक है।"), Text("कहाँ?"), Text("कब?"), Text("Which floor?")]);
    says_in(&mut call, "en", 2_000, 3_000, "Two BHK flat please");
    call.until(5_000);
    says_in(&mut call, "hi", 5_500, 6_500, "व्हाइटफ़ील्ड के पास चाहिए");
    call.until(8_500);
    says_in(&mut call, "en", 9_000, 10_000, "within the next three months");
    call.until(11_500);
    call.assert_keeps_quiet_about("language_changed");
    // Neither for nor against.
    says_in(&mut call, "en", 12_000, 12_500, "Okay.");
    call.until(13_500);
    call.assert_keeps_quiet_about("language_changed");
    says_in(&mut call, "en", 14_000, 15_000, "can we talk in English please");
    call.until(17_000);
    call.assert_tells("voice    en-IN");
    call.assert_keeps_quiet_about("Hello, this is Asha.");
}

#[test]
fn between_hindi_and_english_lies_their_mix_and_it_needs_no_second_greeting() {
    let mut call = hindi(&["en-IN", "hi-en"]);
    call.answers([Text("Achha, kahan?")]);
    says_in(&mut call, "en", 2_000, 3_000, "Two BHK flat please");
    call.until(5_000);
    call.assert_tells("voice    hi-en");
    call.assert_tells("ask      e2  Two BHK flat please");
    call.assert_keeps_quiet_about("Namaste");
}

#[test]
fn english_words_in_hinglish_are_hinglish() {
    let mut call = speaking("hi-en", &["en-IN", "hi-IN"]);
    call.answers([Text("Theek hai."), Text("Kab?")]);
    says_in(&mut call, "en", 2_000, 3_000, "I want a two BHK flat");
    call.until(5_000);
    says_in(&mut call, "en", 5_500, 6_500, "near the metro station please");
    call.until(8_500);
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn a_pause_in_a_mixed_turn_does_not_make_it_english() {
    let mut call = hindi(&["en-IN"]);
    call.answers([Text("ठीक है।"), Text("कब?")]);
    for at in [2_000, 6_000] {
        call.at(at + 500, Input::SttLanguage { language: "hi".to_owned() });
        says_in(&mut call, "en", at, at + 1_000, "mujhe chahiye two BHK near Whitefield");
        call.until(at + 3_500);
    }
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn where_two_languages_share_their_letters_the_provider_tells_them_apart() {
    let mut call = hindi(&["mr-IN"]);
    says_in(&mut call, "mr-IN", 2_000, 3_000, "मला दोन बेडरूमचा फ्लॅट पाहिजे");
    call.until(4_500);
    call.assert_tells("voice    mr-IN");
    call.assert_tells("speak    e2  नमस्कार, मी आशा.");

    // From English, both are possible.
    let mut call = speaking("en-IN", &["hi-IN", "mr-IN"]);
    says_in(&mut call, "mr-IN", 2_000, 3_000, "मला फ्लॅट पाहिजे");
    call.until(4_500);
    call.assert_tells("voice    mr-IN");

    // One word of the provider's is too little, and a language that nobody offered is none.
    for (tag, words) in [("mr", "बरं, सांगा"), ("ne", "मलाई घर चाहिन्छ हजुर"), ("hi", "मुझे घर चाहिए जी")]
    {
        let mut call = hindi(&["mr-IN"]);
        call.answers([Text("ठीक है।")]);
        says_in(&mut call, tag, 2_000, 3_000, words);
        call.until(4_500);
        call.assert_keeps_quiet_about("language_changed");
    }
    let mut call = hindi(&["en-IN"]);
    call.answers([Text("ठीक है।")]);
    says_in(&mut call, "mr", 2_000, 3_000, "मला दोन बेडरूमचा फ्लॅट पाहिजे");
    call.until(4_500);
    call.assert_keeps_quiet_about("language_changed");
}

#[test]
fn without_a_greeting_in_their_language_they_are_answered_in_it() {
    let mut settings = settings("Hello, the tea shop.");
    settings.also_speaks = vec!["ta-IN".to_owned()];
    let mut call = greeted(settings);
    call.answers([Text("சரி.")]);
    call.says(2_000, 2_600, "சொல்லுங்கள்");
    call.until(4_500);
    call.assert_tells("voice    ta-IN");
    call.assert_tells("ask      e2  சொல்லுங்கள்");
    call.assert_keeps_quiet_about("tea shop");
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
fn the_greeting_is_the_one_of_the_language_and_never_another_businesss() {
    let mut settings = DialogueSettings::new(Arc::new(Playbook::default()));
    settings.language = "ta-IN".to_owned();
    assert!(settings.greeting().starts_with("வணக்கம்"), "the playbook's, {}", settings.greeting());
    settings.language = "hi-en".to_owned();
    assert!(settings.greeting().starts_with("Namaste"), "{}", settings.greeting());

    settings.greeting = Some("Hello, this is Asha.".to_owned());
    for language in ["en-IN", "ta-IN", "hi-en", "fr"] {
        settings.language = language.to_owned();
        assert_eq!(settings.greeting(), "Hello, this is Asha.", "{language}: its own, and better than nothing");
    }
    settings.greetings.insert("ta".to_owned(), "வணக்கம், ஆஷா.".to_owned());
    settings.language = "ta-IN".to_owned();
    assert_eq!(settings.greeting(), "வணக்கம், ஆஷா.");
}
