//! Words that mean something to the turn-taking, in English, Hindi, Hinglish and the other languages of India, as data.
//!
//! All are always active: on an Indian line a sentence may begin in one and end in the other, and STT writes
//! Hindi in either script.

mod indian;
mod lists;

use lists::*;
use serde::Serialize;

/// What answers in place of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// Takes messages.
    Voicemail,
    /// The network's own voice: switched off, not reachable, no such number.
    Announcement,
}

/// Lower-case words without punctuation, in either script. `don't` stays one word.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '—' | '–' | '/'))
        .map(|word| {
            word.chars()
                // Vowel signs and viramas of India's scripts are no alphanumerics, but belong to their word; the dandas do not.
                .filter(|c| {
                    let is_sign = ('\u{0900}'..='\u{0DFF}').contains(c) && !matches!(c, '।' | '॥');
                    c.is_alphanumeric() || matches!(c, '\'' | '’') || is_sign
                })
                .map(|c| if c == '’' { '\'' } else { c })
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Length of the longest phrase of the list that `words` begins with.
fn phrase_at(words: &[String], list: &[Vec<&str>]) -> Option<usize> {
    list.iter()
        .filter(|phrase| {
            words.len() >= phrase.len() && words.iter().zip(phrase.iter()).all(|(word, part)| word == part)
        })
        .map(Vec::len)
        .max()
}

/// Are all words covered by phrases of these lists?
fn covered_by(words: &[String], lists: &[&[Vec<&str>]]) -> bool {
    let mut rest = words;
    while !rest.is_empty() {
        match lists.iter().filter_map(|list| phrase_at(rest, list)).max() {
            Some(length) => rest = &rest[length..],
            None => return false,
        }
    }
    !words.is_empty()
}

/// The first occurrence of a phrase of the list, and its length.
fn find(words: &[String], list: &[Vec<&str>]) -> Option<(usize, usize)> {
    (0..words.len()).find_map(|at| phrase_at(&words[at..], list).map(|length| (at, length)))
}

/// Position after the first occurrence of a phrase of the list.
fn position_after(words: &[String], list: &[Vec<&str>]) -> Option<usize> {
    find(words, list).map(|(at, length)| at + length)
}

pub fn is_acknowledgement(words: &[String]) -> bool {
    covered_by(words, &[&ACKNOWLEDGEMENTS])
}

pub fn is_greeting(words: &[String]) -> bool {
    covered_by(words, &[&GREETINGS])
}

/// Nothing that wants an answer: "hello", "yes, hello?".
pub fn is_in_passing(words: &[String]) -> bool {
    covered_by(words, &[&ACKNOWLEDGEMENTS, &GREETINGS])
}

/// Nothing that a greeting does not answer: "hello, who is this?".
pub fn opens_a_call(words: &[String]) -> bool {
    covered_by(words, &[&ACKNOWLEDGEMENTS, &GREETINGS, &OPENERS])
}

/// Words that are not part of an acknowledgement.
pub fn meaningful_words(words: &[String]) -> usize {
    let mut rest = words;
    let mut count = 0;
    while !rest.is_empty() {
        let skip = phrase_at(rest, &ACKNOWLEDGEMENTS);
        if skip.is_none() {
            count += 1;
        }
        rest = &rest[skip.unwrap_or(1)..];
    }
    count
}

pub fn demands_to_stop(words: &[String]) -> bool {
    position_after(words, &INTERRUPTIONS).is_some()
}

pub fn is_closed_answer(words: &[String]) -> bool {
    words.len() <= 5 && covered_by(words, &[&CLOSED_ANSWERS])
}

pub fn ends_open(words: &[String]) -> bool {
    OPEN_ENDINGS.iter().any(|ending| {
        words.len() >= ending.len()
            && words[words.len() - ending.len()..].iter().zip(ending).all(|(word, part)| word == part)
    })
}

fn is_one_of(word: &str, list: &[Vec<&str>]) -> bool {
    list.iter().any(|phrase| matches!(phrase[..], [only] if only == word))
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit()) || is_one_of(word, &NUMBER_WORDS)
}

/// Does the text end in a number without its unit ("nine eight seven", but not "two crore")?
pub fn ends_in_number(words: &[String]) -> bool {
    words.last().is_some_and(|word| is_number(word))
}

/// A phone number that is complete, or an e-mail address with its ending.
pub fn is_whole_contact_detail(words: &[String]) -> bool {
    let digits: usize = words
        .iter()
        .map(|word| {
            if word.chars().all(|c| c.is_ascii_digit()) {
                word.len()
            } else {
                usize::from(is_one_of(word, &NUMBER_WORDS))
            }
        })
        .sum();
    let last = words.last().map(String::as_str).unwrap_or_default();
    digits >= 10
        || ["com", "in", "org", "net"]
            .iter()
            .any(|ending| last == *ending && words.iter().any(|w| w == "at" || w == "dot"))
        || ["gmailcom", "yahoocom", "outlookcom"].iter().any(|ending| last.ends_with(ending))
}

/// Did the agent, in its last sentence, ask for a number, an e-mail, an address or a date?
pub fn asks_piecewise(agent_text: &str) -> bool {
    let question = agent_text.trim_end();
    if !question.ends_with('?') {
        return false;
    }
    let start = question[..question.len() - 1].rfind(['.', '!', '?', '।']).map_or(0, |at| at + 1);
    // `start` is just behind a matched character; `।` is three bytes long.
    let sentence = question.get(start..).or_else(|| question.get(start + 2..)).unwrap_or(question);
    position_after(&words(sentence), &PIECEWISE_QUESTIONS).is_some()
}

/// How many phrases of the list stand in the words.
fn occurrences(words: &[String], list: &[Vec<&str>]) -> usize {
    let mut rest = words;
    let mut count = 0;
    while let Some(after) = position_after(rest, list) {
        count += 1;
        rest = &rest[after..];
    }
    count
}

/// Are these the words of a machine, whatever else is known? Whoever speaks for somebody else ("she is not available, leave a
/// message with me") uses some of a machine's phrases, but not those about beeps, the recorded self, or "the number you are calling".
pub fn machine(words: &[String]) -> Option<Machine> {
    let cues = occurrences(words, &VOICEMAIL_CUES);
    let wishes = occurrences(words, &MESSAGE_WISHES);
    let signs = occurrences(words, &VOICEMAIL_SIGNS);
    let subjects = occurrences(words, &ANNOUNCEMENT_SUBJECTS);
    let absences = occurrences(words, &ABSENCES);
    if cues > 0 && cues + wishes + signs + subjects + absences >= 2 || signs > 0 && signs + wishes >= 2 {
        return Some(Machine::Voicemail);
    }
    (subjects > 0 && occurrences(words, &ANNOUNCEMENT_STATES) > 0).then_some(Machine::Announcement)
}

/// Could these words be a machine's? On their own they prove nothing.
pub fn may_be_a_machines(words: &[String]) -> bool {
    let lists =
        [&VOICEMAIL_CUES, &MESSAGE_WISHES, &VOICEMAIL_SIGNS, &ABSENCES, &ANNOUNCEMENT_SUBJECTS, &ANNOUNCEMENT_STATES];
    lists.iter().any(|list| position_after(words, list).is_some())
}

/// Is this somebody's wish that nobody calls them again? Not: before six, now, or of calls that they would make themselves.
pub fn forbids_calls(words: &[String]) -> bool {
    let mut passed = 0;
    while let Some((at, length)) = find(&words[passed..], &DO_NOT_CALL) {
        let (before, after) = (&words[..passed + at], &words[passed + at + length..]);
        if is_about_for_ever(before, after) {
            return true;
        }
        passed += at + length;
    }
    false
}

fn is_about_for_ever(before: &[String], mut after: &[String]) -> bool {
    let last = before.last().map_or("", String::as_str);
    let says_it_of_others = is_one_of(last, &OTHERS) || after.first().is_some_and(|word| word == "you");
    let complains = matches!(last, "you" | "people" | "guys") && after.first().is_some_and(|word| word == "back");
    if says_it_of_others || complains {
        return false;
    }
    while let Some(besides) = phrase_at(after, &BESIDES) {
        after = &after[besides..];
    }
    if phrase_at(after, &FOR_EVER).is_some() {
        return true;
    }
    let now_only = before.iter().rev().take(2).any(|word| is_one_of(word, &ONLY_A_TIME_BEFORE));
    !now_only && phrase_at(after, &ONLY_A_TIME).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_known_in_both_languages_and_scripts() {
        let yes = [
            "Hmm.",
            "uh-huh",
            "haan",
            "Haan haan.",
            "achha",
            "Achha, theek hai.",
            "okay okay",
            "Yes, yes.",
            "जी",
            "हाँ जी",
            "ठीक है",
            "I see.",
            "right",
            "Mm-hmm.",
            "ji haan",
            "oh okay",
            "got it",
            "sahi hai",
            "bilkul",
            "Yeah, sure.",
        ];
        for text in yes {
            assert!(is_acknowledgement(&words(text)), "{text}");
        }
        for text in ["", "wait", "haan but", "ruko", "yes I have a question", "no", "रुकिए", "okay what is the price"]
        {
            assert!(!is_acknowledgement(&words(text)), "{text}");
        }
    }

    #[test]
    fn the_other_languages_of_india_are_heard_in_their_own_scripts() {
        for text in ["ஆமாம், சரி.", "అవును", "ಹೌದು, ಸರಿ", "അതെ", "হ্যাঁ, ঠিক আছে", "હા", "ਹਾਂ ਜੀ", "हो, ठीक आहे"]
        {
            assert!(is_acknowledgement(&words(text)), "{text}");
            assert!(!demands_to_stop(&words(text)), "{text}");
        }
        for text in ["ஒரு நிமிடம்", "ఆగండి", "ಒಂದು ನಿಮಿಷ", "വേണ്ട", "শুনুন", "એક મિનિટ", "ਰੁਕੋ", "थांबा"]
        {
            assert!(demands_to_stop(&words(text)), "{text}");
        }
        for text in [
            "எனக்கு இனி போன் பண்ணாதீங்க.",
            "నాకు కాల్ చేయకండి",
            "ಮತ್ತೆ ಕರೆ ಮಾಡಬೇಡಿ",
            "ഇനി വിളിക്കരുത്",
            "আর ফোন করবেন না",
            "ફરી ફોન ન કરશો",
            "मला फोन करू नका",
        ] {
            assert!(forbids_calls(&words(text)), "{text}");
        }
        assert!(is_greeting(&words("வணக்கம்!")) && is_closed_answer(&words("సరే, చెప్పండి")));
    }

    #[test]
    fn interruptions_are_found_anywhere() {
        for text in ["Ruko ruko", "haan, ek minute", "Wait.", "सुनिए", "okay hold on", "No."] {
            assert!(demands_to_stop(&words(text)), "{text}");
        }
        assert!(!demands_to_stop(&words("I know nothing about notes")));
    }

    #[test]
    fn open_endings_and_numbers() {
        for text in ["I want a flat and", "So um", "मुझे घर चाहिए और", "let me think", "budget is around"]
        {
            assert!(ends_open(&words(text)), "{text}");
        }
        assert!(!ends_open(&words("I want a flat")));
        assert!(ends_in_number(&words("nine eight seven")));
        assert!(ends_in_number(&words("My number is 98450.")));
        assert!(ends_in_number(&words("ஒன்பது எட்டு நான்கு")) && ends_in_number(&words("তিন চার")));
        assert!(!ends_in_number(&words("two crore")));
        assert!(is_whole_contact_detail(&words("98450 12345")));
        assert!(is_whole_contact_detail(&words("asha at gmail dot com")));
        assert!(!is_whole_contact_detail(&words("nine eight four")));
    }

    #[test]
    fn questions_for_numbers_mails_and_dates_are_recognised() {
        assert!(asks_piecewise("Great. What is your phone number?"));
        assert!(asks_piecewise("ठीक है। आप कब आ सकते हैं?"));
        assert!(asks_piecewise("Which date suits you?"));
        assert!(asks_piecewise("உங்கள் போன் எண் என்ன?") && asks_piecewise("మీరు ఎప్పుడు రాగలరు?"));
        assert!(!asks_piecewise("I have your number. Is it for investment?"));
        assert!(!asks_piecewise("Tell me your number."));
    }

    #[test]
    fn machines_are_known_by_what_they_say_and_people_who_talk_of_them_are_not() {
        for text in [
            "Hi, you've reached Ravi. I can't come to the phone right now. Please leave a message after the beep.",
            "Your call has been forwarded to an automatic voice message system. At the tone, please record your message.",
            "The person you are trying to reach is not available. Please leave your message after the tone.",
            "Please leave your name and number and I will get back to you as soon as possible.",
            "नमस्ते, कृपया बीप के बाद अपना संदेश छोड़ें",
            "Kripya beep ke baad apna sandesh record karein",
        ] {
            assert_eq!(machine(&words(text)), Some(Machine::Voicemail), "{text}");
        }
        for text in [
            "The number you are trying to call is currently switched off. Please try again later.",
            "The subscriber you have called is not reachable at the moment.",
            "The number you have dialled does not exist. Please check the number.",
            "The person you are speaking to is on another call. Please stay on the line or call again later.",
            "आप जिस नंबर पर कॉल कर रहे हैं वह अभी पहुँच के बाहर है",
            "Aap jis vyakti se sampark karna chahte hain unka phone abhi switch off hai",
            "आप जिस उपभोक्ता से संपर्क करना चाहते हैं वह उत्तर नहीं दे रहा है",
            "நீங்கள் அழைத்த வாடிக்கையாளர் தற்போது ஸ்விட்ச் ஆஃப் செய்துள்ளார்",
            "మీరు కాల్ చేస్తున్న వ్యక్తి ప్రస్తుతం అందుబాటులో లేరు",
            "ನೀವು ಕರೆ ಮಾಡುತ್ತಿರುವ ಚಂದಾದಾರರು ಸ್ವಿಚ್ ಆಫ್ ಮಾಡಿದ್ದಾರೆ",
            "നിങ്ങൾ വിളിക്കുന്ന നമ്പർ ഇപ്പോൾ സ്വിച്ച് ഓഫ് ആണ്",
            "আপনি যে নম্বরে ফোন করেছেন সেটি এখন বন্ধ আছে",
            "आपण ज्या व्यक्तीला संपर्क करू इच्छिता तो सध्या व्यस्त आहे",
            "તમે જે નંબર પર કોલ કરી રહ્યા છો તે સ્વિચ ઓફ છે",
        ] {
            assert_eq!(machine(&words(text)), Some(Machine::Announcement), "{text}");
        }
        for text in [
            "Hello? Who is this?",
            "Can you leave a message with my wife?",
            "Sorry, my phone was switched off yesterday.",
            "Is this a voicemail?",
            "I am on another call, please call me later.",
            "I can't talk right now, can you call back?",
            "You can leave the details in a message.",
            "Hi, this is a call screening service. Please state your name and why you are calling.",
            "I'm busy on another call, please call again later.",
            "Sir is not available at the moment, please call after some time.",
            "Papa is busy, please try again later.",
            "His phone is switched off, try after some time.",
            "She is not available, can I take your name and number?",
            "Ravi is not available right now, he will get back to you as soon as he is free.",
            "He is not available, you can leave a message with me.",
            "वो अभी व्यस्त है, थोड़ी देर बाद फोन कीजिए",
            "woh vyast hai, thodi der baad call karo",
        ] {
            assert_eq!(machine(&words(text)), None, "{text}");
        }
        for text in ["Please leave a message.", "Ravi is not available right now.", "Papa is busy."] {
            assert!(may_be_a_machines(&words(text)), "{text}");
        }
        assert!(!may_be_a_machines(&words("Hello, who is this please?")));
    }

    #[test]
    fn a_wish_never_to_be_called_is_not_a_wish_about_the_hour() {
        for text in [
            "Please don't call me again",
            "Stop calling me!",
            "mujhe call mat karna",
            "remove my number from your list",
            "कॉल मत करना",
            "Don't call me at all.",
            "Do not call me on this number again.",
            "Please do not call me in the future.",
            "Do not contact me again.",
            "Please stop these calls.",
            "You people don't call me again, okay?",
            "I said don't call me!",
            "Please don't call back.",
            "mujhe phone na karein",
            "aage se call na karein",
            "आज के बाद कॉल मत करना",
            "मुझे फोन न करें",
        ] {
            assert!(forbids_calls(&words(text)), "{text}");
        }
        for text in [
            "don't call me before five",
            "Do not call me now, call tomorrow",
            "you can call me",
            "call mat karna abhi",
            "abhi call mat karo",
            "raat ko phone mat karna",
            "अभी फ़ोन मत करो, कल करना",
            "If I don't call you back by evening, call me tomorrow.",
            "We don't call at night.",
            "You people never call back.",
            "I will not call you.",
        ] {
            assert!(!forbids_calls(&words(text)), "{text}");
        }
    }
}
