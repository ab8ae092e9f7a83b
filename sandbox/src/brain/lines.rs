//! What the caller says. Short, for the ear: no digits, no lists.

use super::{
    briefing::{Briefing, Field},
    facts::Kind,
};

pub(super) fn greeting(briefing: &Briefing) -> String {
    format!(
        "Hello, this is {} from {}, about your property enquiry. Is this a good time to talk?",
        briefing.agent_name, briefing.company
    )
}

/// The question for a field, asked for the first time.
pub(super) fn question(field: &Field) -> String {
    match field.kind {
        Kind::Purpose => "Are you looking for a home to live in, or to invest?".into(),
        Kind::Budget => "What budget do you have in mind?".into(),
        Kind::Timeline => "When are you planning to move in or decide?".into(),
        Kind::Location => "Which area do you prefer?".into(),
        Kind::PropertyType => {
            "What type of property would you like, for example a two bedroom apartment or a villa?".into()
        }
        Kind::SiteVisit => "Would you like to come for a site visit this weekend?".into(),
        Kind::Other => match &field.ask {
            Some(ask) => format!("May I ask you about this: {}?", ask.trim_end_matches(['.', '?'])),
            None => format!("Could you tell me your {}?", field.key.replace('_', " ")),
        },
    }
}

/// The same question, when the first answer did not help.
pub(super) fn question_again(field: &Field) -> String {
    match field.kind {
        Kind::Purpose => "I mean, is the home for yourself to live in, or is it to invest?".into(),
        Kind::Budget => "Even a rough budget helps, for example up to eighty lakhs. What would be comfortable?".into(),
        Kind::Timeline => "Roughly when, for example within three months or next year?".into(),
        Kind::Location => "Which area or locality should we look in?".into(),
        Kind::PropertyType => "Would that be an apartment, a villa or a plot? What type of property suits you?".into(),
        Kind::SiteVisit => "Which day would suit you for a site visit?".into(),
        Kind::Other => question(field),
    }
}

/// What the lead's record says, to be confirmed.
pub(super) fn confirmation(field: &Field, known: &str) -> String {
    let known = known.replace('_', " ");
    match field.kind {
        Kind::Purpose => format!("I see that the purpose is {known}. Is that still right?"),
        Kind::Budget => format!("I see your budget is {known}. Is that still right?"),
        Kind::Timeline => format!("I see your timeline is {known}. Is that still right?"),
        Kind::Location => format!("I see you prefer the location {known}. Is that still right?"),
        Kind::PropertyType => format!("I see the property type you want is {known}. Is that still right?"),
        Kind::SiteVisit | Kind::Other => {
            format!("I have noted {known} as your {}. Is that still right?", field.key.replace('_', " "))
        }
    }
}

/// Words before the next question, by what was just answered.
pub(super) fn acknowledgement(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Purpose) => "That is good to know.",
        Some(Kind::Budget) => "Thank you, that helps.",
        Some(Kind::Timeline) => "Understood.",
        Some(Kind::Location) => "Nice choice.",
        Some(Kind::PropertyType) => "Great, we have some of those.",
        Some(Kind::SiteVisit | Kind::Other) => "Noted, thank you.",
        None => "Alright.",
    }
}

pub(super) fn introduction(briefing: &Briefing) -> String {
    format!(
        "I am {}, an AI assistant from {}, calling about your property enquiry.",
        briefing.agent_name, briefing.company
    )
}

pub(super) const ROBOT: &str = "Yes, I am an AI assistant, and a human advisor can call you any time.";
pub(super) const NUMBER_SOURCE: &str = "You had enquired about a property with us and left this number.";
pub(super) const PRICE: &str = "Prices depend on the project, and our advisor will confirm them.";
pub(super) const DETAILS: &str = "Sure, our team will send you the details.";
pub(super) const OTHER_QUESTION: &str = "Our advisor will be happy to explain that.";
pub(super) const HUMAN: &str = "Of course, a human advisor will call you.";
pub(super) const GO_ON: &str = "Please go ahead.";

pub(super) const ASK_CALLBACK_TIME: &str = "No problem. When may I call you back?";
pub(super) const TIMING_OR_PROPERTY: &str = "I understand. May I ask, is it the timing, or the property itself?";

pub(super) fn callback_agreed(when: &str) -> String {
    format!("Sure, I will call you back {when}. Thank you, goodbye.")
}

pub(super) const DO_NOT_CALL: &str = "I am sorry for the disturbance. We will not call you again. Goodbye.";
pub(super) const WRONG_NUMBER: &str = "I am sorry, I must have the wrong number. Have a good day, goodbye.";
pub(super) const NOT_INTERESTED: &str = "I understand. Thank you for your time, goodbye.";
pub(super) const ALREADY_BOUGHT: &str = "Congratulations on your new home! Thank you for telling me, goodbye.";
pub(super) const FAREWELL: &str = "Thank you for your time, goodbye.";
pub(super) const NO_VISIT: &str = "No problem, our advisor will share more details. Thank you for your time, goodbye.";

pub(super) fn visit_agreed(when: &str) -> String {
    format!("Wonderful, I have noted the site visit for {when}, and our advisor will confirm it. Thank you, goodbye.")
}
