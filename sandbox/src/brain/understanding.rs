//! What somebody means, beyond the facts: refusals, wishes and questions.

use super::words::{NO, YES, begins, moment, plain, says};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    DoNotCall,
    WrongNumber,
    NotInterested,
    /// Cannot talk now.
    Busy,
    AlreadyBought,
    WantsHuman,
    WhoIsThis,
    HowDidYouGetMyNumber,
    Robot,
    AsksPrice,
    WantsDetails,
    Repeat,
    /// An answer, but "I do not know yet".
    Unsure,
    Goodbye,
    Yes,
    No,
    /// Another question that has no rule.
    Question,
    /// Anything else: an answer, a greeting.
    Statement,
}

/// The strongest intent of what was said.
pub(super) fn intent(text: &str) -> Intent {
    let said = plain(text);
    let table: &[(Intent, &[&str])] = &[
        (
            Intent::DoNotCall,
            &[
                "do not call",
                "don't call",
                "dont call",
                "stop calling",
                "never call",
                "not call me again",
                "remove my number",
                "remove me",
                "delete my number",
                "take me off",
                "do not disturb",
                "call mat karna",
                "call mat karo",
                "phone mat karo",
                "कॉल मत",
            ],
        ),
        (
            Intent::WrongNumber,
            &["wrong number", "wrong person", "no one by that name", "nobody by that name", "galat number", "गलत नंबर"],
        ),
        (
            Intent::AlreadyBought,
            &["already bought", "already purchased", "already booked", "have bought", "already found"],
        ),
        (
            Intent::NotInterested,
            &[
                "not interested",
                "no interest",
                "not looking",
                "don't want",
                "do not want",
                "don't need",
                "not required",
                "no longer looking",
                "interested nahi",
                "nahi chahiye",
                "zaroorat nahi",
            ],
        ),
        (
            Intent::Busy,
            &[
                "call me later",
                "call later",
                "call back",
                "call me back",
                "callback",
                "call me tomorrow",
                "call me after",
                "call me in",
                "busy",
                "in a meeting",
                "driving",
                "not a good time",
                "bad time",
                "can't talk",
                "cannot talk",
                "later please",
                "talk later",
                "some other time",
                "baad mein",
                "बाद में",
            ],
        ),
        (
            Intent::WantsHuman,
            &[
                "speak to a human",
                "talk to a human",
                "real person",
                "your manager",
                "speak to someone",
                "talk to someone",
                "an agent please",
            ],
        ),
        (
            Intent::HowDidYouGetMyNumber,
            &["get my number", "got my number", "have my number", "get this number", "got this number"],
        ),
        (
            Intent::Robot,
            &["robot", "a bot", "a machine", "are you real", "a recording", "are you human", "an ai", "automated"],
        ),
        (
            Intent::WhoIsThis,
            &[
                "who is this",
                "who's this",
                "who are you",
                "who is calling",
                "who's calling",
                "who am i speaking",
                "who is speaking",
                "calling from where",
                "which company",
                "where are you calling from",
                "what is this about",
                "what's this about",
                "kaun bol raha",
                "kaun hai",
                "कौन",
            ],
        ),
        (
            Intent::AsksPrice,
            &[
                "what is the price",
                "what's the price",
                "how much is",
                "how much does",
                "how much are",
                "the rates",
                "what price",
                "price range do you",
            ],
        ),
        (Intent::WantsDetails, &["whatsapp", "send me", "send details", "share details", "brochure", "email me"]),
        (
            Intent::Repeat,
            &[
                "pardon",
                "say again",
                "say that again",
                "repeat",
                "come again",
                "can't hear",
                "cannot hear",
                "didn't hear",
                "didn't get",
                "didn't catch",
                "did not hear",
                "what did you say",
                "not audible",
                "hear you",
            ],
        ),
        (
            Intent::Unsure,
            &[
                "don't know",
                "do not know",
                "not sure",
                "not decided",
                "haven't decided",
                "no idea",
                "can't say",
                "cannot say",
                "not yet",
                "depends",
                "pata nahi",
            ],
        ),
        (Intent::Goodbye, &["bye", "goodbye", "bye bye", "good bye", "have a nice day"]),
    ];
    let listed = table.iter().find(|(_, phrases)| says(&said, phrases)).map(|(intent, _)| *intent);
    match listed {
        Some(intent) => intent,
        None if matches!(said.trim(), "sorry" | "what" | "huh" | "excuse me") => Intent::Repeat,
        None if begins(&said, NO) => Intent::No,
        None if text.trim_end().ends_with('?')
            || begins(&said, &["what", "which", "how", "why", "is there", "do you have"]) =>
        {
            Intent::Question
        }
        None if begins(&said, YES) => Intent::Yes,
        None => Intent::Statement,
    }
}

/// When somebody wants to be called back.
pub(super) fn callback_time(text: &str) -> Option<String> {
    moment(&plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_meaning_wins() {
        for (said, expected) in [
            ("Who is this?", Intent::WhoIsThis),
            ("I'm not interested, don't call me again.", Intent::DoNotCall),
            ("Sorry, wrong number.", Intent::WrongNumber),
            ("I am driving, call me later", Intent::Busy),
            ("No thanks, not interested", Intent::NotInterested),
            ("yes speaking", Intent::Yes),
            ("No.", Intent::No),
            ("Sorry?", Intent::Repeat),
            ("I don't know yet", Intent::Unsure),
            ("Is this a robot?", Intent::Robot),
            ("Under ninety lakhs", Intent::Statement),
        ] {
            assert_eq!(intent(said), expected, "{said}");
        }
    }
}
