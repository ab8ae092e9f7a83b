//! Which answer fits what the callee heard.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::speech::script::is_of_a_word;

/// An answer to anything that contains one of the keywords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Lower-case words or phrases.
    pub when: Vec<String>,
    pub say: String,
    #[serde(default)]
    pub then: Then,
}

/// What the callee does after a reply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Goes on listening.
    #[default]
    Listen,
    /// Ends this conversation step and goes on with the script.
    NextStep,
    /// Hangs up once it has been said.
    HangUp,
}

/// The usual questions of a property call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// "Am I speaking with …?"
    Identity,
    /// "Is this a good time?"
    GoodTime,
    /// "Are you still looking?"
    Interest,
    Purpose,
    Budget,
    Timeline,
    Location,
    PropertyType,
    SiteVisit,
    /// "When may we call again?"
    CallbackTime,
    Email,
    Goodbye,
}

impl Topic {
    const ALL: [Self; 12] = [
        Self::Identity,
        Self::GoodTime,
        Self::Interest,
        Self::Purpose,
        Self::Budget,
        Self::Timeline,
        Self::Location,
        Self::PropertyType,
        Self::SiteVisit,
        Self::CallbackTime,
        Self::Email,
        Self::Goodbye,
    ];

    /// Lower-case phrases by which a question is recognised, in English and Hindi.
    fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Identity => {
                &["am i speaking", "speaking with", "is this", "am i talking", "से बात कर रही", "से बात कर रहा"]
            }
            Self::GoodTime => &[
                "good time",
                "a minute",
                "a moment",
                "few minutes",
                "quick call",
                "समय है",
                "बात कर सकते हैं",
                "बात हो सकती है",
                "बात कर सकती हूँ",
            ],
            Self::Interest => {
                &["still looking", "interested in", "are you looking", "your enquiry", "your inquiry", "रुचि", "दिलचस्पी"]
            }
            Self::Purpose => &[
                "purpose",
                "investment",
                "invest",
                "own use",
                "self use",
                "to live in",
                "live in it",
                "उद्देश्य",
                "मक़सद",
                "निवेश",
                "रहने के लिए",
            ],
            Self::Budget => &["budget", "price range", "how much", "spend", "बजट", "कितने तक", "bajat"],
            Self::Timeline => &[
                "timeline",
                "how soon",
                "when are you planning",
                "when do you plan",
                "by when",
                "time frame",
                "move in",
                "कब तक",
                "लेना चाहते हैं",
            ],
            Self::Location => &[
                "location",
                "which area",
                "what area",
                "locality",
                "which part",
                "where",
                "इलाके",
                "इलाका",
                "जगह",
                "कहाँ",
            ],
            Self::PropertyType => &[
                "type of property",
                "property type",
                "kind of property",
                "bhk",
                "bedroom",
                "villa",
                "plot",
                "configuration",
                "किस तरह",
                "बेडरूम",
                "बीएचके",
                "विला",
                "प्लॉट",
                "प्रॉपर्टी का प्रकार",
            ],
            Self::SiteVisit => {
                &["site visit", "visit", "come and see", "see the property", "show you", "साइट", "देखने आ", "देखने के लिए आ"]
            }
            Self::CallbackTime => &[
                "call you back",
                "call back",
                "callback",
                "better time",
                "when should i call",
                "when can i call",
                "कब फ़ोन",
                "कब कॉल",
                "किस समय",
            ],
            Self::Email => &["email", "e-mail", "mail id", "ईमेल"],
            Self::Goodbye => &[
                "goodbye",
                "good bye",
                "bye",
                "have a great day",
                "have a nice day",
                "have a good day",
                "take care",
                "अलविदा",
                "शुभ दिन",
                "दिन शुभ",
                // As the last word; a greeting goes on behind it.
                "नमस्ते।",
            ],
        }
    }

    /// What a callee without a scripted answer says.
    fn default_answer(self) -> (&'static str, Then) {
        match self {
            Self::Identity => ("Yes, speaking.", Then::Listen),
            Self::GoodTime => ("Yes, go ahead.", Then::Listen),
            Self::Interest => ("Yes, I am still looking.", Then::Listen),
            Self::Purpose => ("It is for my own use.", Then::Listen),
            Self::Budget => ("Around eighty lakh.", Then::Listen),
            Self::Timeline => ("Within three months.", Then::Listen),
            Self::Location => ("Somewhere in Whitefield.", Then::Listen),
            Self::PropertyType => ("A three bedroom apartment.", Then::Listen),
            Self::SiteVisit => ("Yes, Saturday morning works for me.", Then::Listen),
            Self::CallbackTime => ("Tomorrow at eleven in the morning.", Then::Listen),
            Self::Email => ("You already have it.", Then::Listen),
            Self::Goodbye => ("Thank you, bye.", Then::HangUp),
        }
    }
}

/// Said in turn where no keyword fits.
const OTHERWISE: [&str; 4] = ["Okay.", "Yes, please go on.", "I see.", "All right."];

/// Everything one callee may answer.
#[derive(Debug, Clone)]
pub struct Replies {
    replies: Vec<Reply>,
    otherwise: Vec<String>,
    fallbacks_used: usize,
}

impl Replies {
    /// Scripted replies first, then the topics, each with its scripted or its usual answer.
    pub fn new(answers: &BTreeMap<Topic, String>, scripted: &[Reply], otherwise: &[String]) -> Self {
        let mut replies = scripted.to_vec();
        replies.extend(Topic::ALL.into_iter().map(|topic| {
            let (usual, then) = topic.default_answer();
            Reply {
                when: topic.keywords().iter().map(|&keyword| keyword.to_owned()).collect(),
                say: answers.get(&topic).cloned().unwrap_or_else(|| usual.to_owned()),
                then,
            }
        }));
        let otherwise = if otherwise.is_empty() {
            OTHERWISE.iter().map(|&text| text.to_owned()).collect()
        } else {
            otherwise.to_vec()
        };
        Self { replies, otherwise, fallbacks_used: 0 }
    }

    /// Every text that may be said, so that it can be synthesized before it is needed.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.replies.iter().map(|reply| reply.say.as_str()).chain(self.otherwise.iter().map(String::as_str))
    }

    /// The answer to what was heard. The last question counts; in it, the last keyword; without a
    /// question, the last keyword of all.
    pub fn choose(&mut self, heard: &str) -> (String, Then) {
        let heard = heard.to_lowercase();
        let found = last_question(&heard)
            .and_then(|question| self.latest(question))
            .or_else(|| self.latest(&heard))
            .map(|reply| (reply.say.clone(), reply.then));
        found.unwrap_or_else(|| {
            let text = self.otherwise[self.fallbacks_used % self.otherwise.len()].clone();
            self.fallbacks_used += 1;
            (text, Then::Listen)
        })
    }

    fn latest(&self, text: &str) -> Option<&Reply> {
        let mut best: Option<(usize, &Reply)> = None;
        for reply in &self.replies {
            let at = reply.when.iter().filter_map(|keyword| find_last_phrase(text, keyword)).max();
            // Strictly later wins, so that a scripted reply beats a topic at the same place.
            if let Some(at) = at
                && best.is_none_or(|(best_at, _)| at > best_at)
            {
                best = Some((at, reply));
            }
        }
        best.map(|(_, reply)| reply)
    }
}

/// The last sentence that ends in a question mark.
fn last_question(text: &str) -> Option<&str> {
    text.split_inclusive(['.', '?', '!', '।']).rfind(|sentence| sentence.ends_with('?'))
}

/// Where `phrase` last occurs as whole words: "plot" is not in "exploit".
fn find_last_phrase(text: &str, phrase: &str) -> Option<usize> {
    let edge = |c: Option<char>| c.is_none_or(|c| !is_of_a_word(c));
    text.rmatch_indices(phrase)
        .map(|(at, _)| at)
        .find(|&at| edge(text[..at].chars().next_back()) && edge(text[at + phrase.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies() -> Replies {
        Replies::new(
            &BTreeMap::from([(Topic::Budget, "Ninety lakh.".into())]),
            &[Reply { when: vec!["discount".into()], say: "Only with a discount.".into(), then: Then::Listen }],
            &[],
        )
    }

    #[test]
    fn the_last_question_decides() {
        let mut replies = replies();
        let heard = "A three BHK in Whitefield, lovely. What is your budget? Take your time.";
        assert_eq!(replies.choose(heard).0, "Ninety lakh.");
        let heard = "So your budget is ninety lakh. When are you planning to buy?";
        assert_eq!(replies.choose(heard).0, "Within three months.");
    }

    #[test]
    fn scripted_replies_are_tried_too_and_goodbye_hangs_up() {
        let mut replies = replies();
        assert_eq!(replies.choose("We offer a discount.").0, "Only with a discount.");
        assert_eq!(replies.choose("Thank you and goodbye!"), ("Thank you, bye.".into(), Then::HangUp));
    }

    #[test]
    fn what_fits_nothing_gets_the_next_filler() {
        let mut replies = replies();
        assert_eq!(replies.choose("Let us exploit synergies").0, "Okay.");
        assert_eq!(replies.choose("").0, "Yes, please go on.");
    }
}
