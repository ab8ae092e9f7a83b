//! Words that mean something to the turn-taking, in English, Hindi and Hinglish, as data.
//!
//! Both languages are always active: on an Indian line a sentence may begin in one and end in the other, and STT writes
//! Hindi in either script.

/// Spoken while the other one talks, to say "I am listening". Never a reason to stop. Phrases are matched greedily.
const ACKNOWLEDGEMENTS: &[&str] = &[
    "hmm", "hm", "hmmm", "mm", "mmm", "mhm", "mm hmm", "mmhmm", "uh huh", "uhhuh", "uh", "um", "umm", "ah", "oh", "yeah", "yep", "yup",
    "yes", "ok", "okay", "okey", "right", "alright", "all right", "sure", "fine", "great", "nice", "good", "cool", "i see", "got it", "go on",
    "go ahead", "of course", "correct", "true", "haan", "han", "haa", "ha", "haanji", "haan ji", "ji", "jee", "ji haan", "achha", "accha",
    "acha", "achcha", "theek", "thik", "theek hai", "thik hai", "teek hai", "sahi", "sahi hai", "bilkul", "hai na", "हाँ", "हां", "हा", "जी",
    "जी हाँ", "जी हां", "हाँ जी", "हां जी", "अच्छा", "ठीक", "ठीक है", "हम्म", "हूँ", "सही", "सही है", "बिल्कुल", "ओके",
];

/// Said to stop the other one. Enough on their own, even where the VAD heard nothing.
const INTERRUPTIONS: &[&str] = &[
    "stop", "wait", "hold on", "hang on", "one minute", "one second", "one moment", "just a minute", "just a second", "listen", "excuse me",
    "no", "not interested", "wrong number", "who is this", "ruko", "rukiye", "rukho", "suno", "suniye", "suno", "ek minute", "ek minat",
    "ek second", "ek min", "bas", "nahi", "nahin", "nai", "mat karo", "chup", "रुको", "रुकिए", "सुनो", "सुनिए", "एक मिनट", "एक सेकंड",
    "बस", "नहीं", "नही", "मत",
];

/// Said on picking up, and again over a greeting.
const GREETINGS: &[&str] = &["hello", "hi", "hey", "halo", "namaste", "namaskar", "good morning", "good afternoon", "good evening", "हेलो", "हैलो", "नमस्ते", "नमस्कार"];

/// Whole answers that need no more waiting.
const CLOSED_ANSWERS: &[&str] = &[
    "yes", "yeah", "yep", "yup", "no", "nope", "nah", "sure", "ok", "okay", "fine", "correct", "right", "exactly", "speaking", "hello", "hi",
    "hey", "bye", "goodbye", "thanks", "thank you", "not interested", "not now", "please", "sir", "madam", "mam", "ma'am", "of course",
    "i am", "it is", "this is", "i do", "i don't", "haan", "han", "ji", "jee", "nahi", "nahin", "nai", "achha", "accha", "acha", "theek hai",
    "thik hai", "bilkul", "namaste", "boliye", "bolo", "हाँ", "हां", "जी", "नहीं", "नही", "ठीक है", "अच्छा", "बिल्कुल", "नमस्ते", "बोलिए", "बोलो",
    "हेलो", "हैलो",
];

/// A turn that ends in one of these has not ended.
const OPEN_ENDINGS: &[&str] = &[
    "um", "umm", "uh", "uhh", "er", "err", "hmm", "like", "so", "and", "but", "or", "because", "cause", "if", "when", "with", "for", "the", "a",
    "an", "my", "our", "your", "is", "are", "was", "to", "of", "in", "at", "on", "from", "that", "which", "i", "we", "i'm", "it's", "maybe",
    "around", "about", "between", "under", "near", "then", "also", "actually", "basically", "well", "let me see", "let me think", "matlab",
    "woh", "wo", "toh", "to", "aur", "lekin", "magar", "kyunki", "kyonki", "agar", "ki", "ke", "ka", "mein", "mera", "meri", "hamara", "ya",
    "और", "लेकिन", "मगर", "क्योंकि", "अगर", "तो", "मतलब", "वो", "कि", "की", "के", "का", "में", "मेरा", "मेरी", "या",
];

const NUMBER_WORDS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    "double", "triple", "hundred", "ek", "do", "teen", "char", "chaar", "paanch", "panch", "chhe", "saat", "aath", "nau", "das", "bees",
    "pachas", "एक", "दो", "तीन", "चार", "पाँच", "पांच", "छह", "छः", "सात", "आठ", "नौ", "दस", "बीस", "पचास", "शून्य",
];

/// A question with one of these asks for something that people say in pieces.
const PIECEWISE_QUESTIONS: &[&str] = &[
    "number", "phone", "mobile", "whatsapp", "email", "e mail", "mail id", "address", "pin code", "pincode", "spell", "date", "what day",
    "which day", "what time", "when would", "when can", "kab", "tareekh", "tarikh", "samay", "नंबर", "ईमेल", "पता", "कब", "तारीख", "किस दिन",
    "समय",
];

/// "Never call me again", in so many words.
const DO_NOT_CALL: &[&str] = &[
    "do not call", "don't call", "dont call", "stop calling", "never call", "not call me again", "remove my number", "delete my number",
    "take me off", "remove me from", "unsubscribe", "call mat karna", "call mat karo", "call mat kijiye", "call mat kariye", "phone mat karna",
    "phone mat karo", "phone mat kijiye", "fon mat karna", "mat call karna", "कॉल मत", "फोन मत", "फ़ोन मत",
];

/// After a phrase of [`DO_NOT_CALL`] these make it a wish about the hour, not about for ever.
const ONLY_A_TIME: &[&str] = &[
    "before", "after", "at", "on", "in", "until", "till", "today", "now", "tomorrow", "during", "while", "abhi", "aaj", "kal", "subah",
    "अभी", "आज", "कल", "सुबह",
];

/// Lower-case words without punctuation, in either script. `don't` stays one word.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '—' | '–' | '/'))
        .map(|word| {
            word.chars()
                // Devanagari vowel signs are no alphanumerics, but belong to their word.
                .filter(|c| c.is_alphanumeric() || *c == '\'' || *c == '’' || ('\u{0900}'..='\u{0963}').contains(c))
                .map(|c| if c == '’' { '\'' } else { c })
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// Are all words covered by phrases of the list?
fn covered_by(words: &[String], list: &[&str]) -> bool {
    let mut rest = words;
    while !rest.is_empty() {
        let longest = list.iter().filter_map(|phrase| phrase_length(rest, phrase)).max();
        match longest {
            Some(length) => rest = &rest[length..],
            None => return false,
        }
    }
    !words.is_empty()
}

/// Number of words of `phrase`, if `words` begins with it.
fn phrase_length(words: &[String], phrase: &str) -> Option<usize> {
    let mut length = 0;
    for part in phrase.split(' ') {
        if words.get(length)? != part {
            return None;
        }
        length += 1;
    }
    Some(length)
}

/// Position after the first occurrence of a phrase of the list.
fn position_after(words: &[String], list: &[&str]) -> Option<usize> {
    (0..words.len()).find_map(|at| list.iter().filter_map(|phrase| phrase_length(&words[at..], phrase)).max().map(|length| at + length))
}

pub(crate) fn is_acknowledgement(words: &[String]) -> bool {
    covered_by(words, ACKNOWLEDGEMENTS)
}

pub(crate) fn is_greeting(words: &[String]) -> bool {
    covered_by(words, GREETINGS)
}

/// Words that are not part of an acknowledgement.
pub(crate) fn meaningful_words(words: &[String]) -> usize {
    let mut rest = words;
    let mut count = 0;
    while !rest.is_empty() {
        let skip = ACKNOWLEDGEMENTS.iter().filter_map(|phrase| phrase_length(rest, phrase)).max();
        if skip.is_none() {
            count += 1;
        }
        rest = &rest[skip.unwrap_or(1)..];
    }
    count
}

pub(crate) fn demands_to_stop(words: &[String]) -> bool {
    position_after(words, INTERRUPTIONS).is_some()
}

pub(crate) fn is_closed_answer(words: &[String]) -> bool {
    words.len() <= 5 && covered_by(words, CLOSED_ANSWERS)
}

pub(crate) fn ends_open(words: &[String]) -> bool {
    OPEN_ENDINGS.iter().any(|ending| {
        let length = ending.split(' ').count();
        words.len() >= length && phrase_length(&words[words.len() - length..], ending) == Some(length)
    })
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit()) || NUMBER_WORDS.contains(&word)
}

/// Does the text end in a number without its unit ("nine eight seven", but not "two crore")?
pub(crate) fn ends_in_number(words: &[String]) -> bool {
    words.last().is_some_and(|word| is_number(word))
}

/// A phone number that is complete, or an e-mail address with its ending.
pub(crate) fn is_whole_contact_detail(words: &[String]) -> bool {
    let digits: usize = words
        .iter()
        .map(|word| if word.chars().all(|c| c.is_ascii_digit()) { word.len() } else { usize::from(NUMBER_WORDS.contains(&word.as_str())) })
        .sum();
    let last = words.last().map(String::as_str).unwrap_or_default();
    digits >= 10 || ["com", "in", "org", "net"].iter().any(|ending| last == *ending && words.iter().any(|w| w == "at" || w == "dot"))
        || ["gmailcom", "yahoocom", "outlookcom"].iter().any(|ending| last.ends_with(ending))
}

/// Did the agent, in its last sentence, ask for a number, an e-mail, an address or a date?
pub(crate) fn asks_piecewise(agent_text: &str) -> bool {
    let question = agent_text.trim_end();
    if !question.ends_with('?') {
        return false;
    }
    let start = question[..question.len() - 1].rfind(['.', '!', '?', '।']).map_or(0, |at| at + 1);
    // `start` is just behind a matched character; `।` is three bytes long.
    let sentence = question.get(start..).or_else(|| question.get(start + 2..)).unwrap_or(question);
    position_after(&words(sentence), PIECEWISE_QUESTIONS).is_some()
}

pub(crate) fn forbids_calls(words: &[String]) -> bool {
    let mut rest = words;
    while let Some(after) = position_after(rest, DO_NOT_CALL) {
        rest = &rest[after..];
        let next = rest.iter().find(|word| !matches!(word.as_str(), "me" | "us" | "here" | "please" | "karna" | "करना" | "करो"));
        if !next.is_some_and(|word| ONLY_A_TIME.contains(&word.as_str())) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_known_in_both_languages_and_scripts() {
        let yes = [
            "Hmm.", "uh-huh", "haan", "Haan haan.", "achha", "Achha, theek hai.", "okay okay", "Yes, yes.", "जी", "हाँ जी", "ठीक है", "I see.",
            "right", "Mm-hmm.", "ji haan", "oh okay", "got it", "sahi hai", "bilkul", "Yeah, sure.",
        ];
        for text in yes {
            assert!(is_acknowledgement(&words(text)), "{text}");
        }
        for text in ["", "wait", "haan but", "ruko", "yes I have a question", "no", "रुकिए", "okay what is the price"] {
            assert!(!is_acknowledgement(&words(text)), "{text}");
        }
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
        for text in ["I want a flat and", "So um", "मुझे घर चाहिए और", "let me think", "budget is around"] {
            assert!(ends_open(&words(text)), "{text}");
        }
        assert!(!ends_open(&words("I want a flat")));
        assert!(ends_in_number(&words("nine eight seven")));
        assert!(ends_in_number(&words("My number is 98450.")));
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
        assert!(!asks_piecewise("I have your number. Is it for investment?"));
        assert!(!asks_piecewise("Tell me your number."));
    }

    #[test]
    fn a_wish_never_to_be_called_is_not_a_wish_about_the_hour() {
        for text in ["Please don't call me again", "Stop calling me!", "mujhe call mat karna", "remove my number from your list", "कॉल मत करना"] {
            assert!(forbids_calls(&words(text)), "{text}");
        }
        for text in ["don't call me before five", "Do not call me now, call tomorrow", "you can call me", "call mat karna abhi"] {
            assert!(!forbids_calls(&words(text)), "{text}");
        }
    }
}
