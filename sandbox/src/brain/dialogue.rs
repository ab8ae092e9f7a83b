//! Decides the next reply from the whole conversation. Nothing is remembered between requests: what
//! was asked, answered and recorded is read from the messages, as a language model reads it.

use std::collections::{HashMap, HashSet};

use super::{
    Call, Choice, Conversation, Message, Reply, Role,
    briefing::{Briefing, Field},
    facts::{Kind, answered, volunteered},
    hindi, lines,
    outcome::Outcome,
    schema::{self, Hints},
    understanding::{Intent, callback_time, intent},
    words::{plain, says},
};

/// After this many tries a question is left alone.
const MAX_ASKS: usize = 2;
/// What stands for an answer that somebody does not have.
pub(super) const UNDECIDED: &str = "undecided";

/// Functions that every agent of the product has; any other is its account's own.
const KNOWN: [&str; 6] =
    ["end_call", "record_answer", "schedule_callback", "mark_do_not_call", "transfer_to_human", "send_message"];

/// What the caller last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Field(String),
    /// Whether a known fact is still right.
    Confirmation(String),
    GoodTime,
    CallbackTime,
    TimingOrProperty,
}

/// The conversation as far as it went.
pub(super) struct State {
    pub briefing: Briefing,
    /// By field key.
    pub answers: HashMap<String, String>,
    asks: HashMap<String, usize>,
    asked: Option<Asked>,
    recorded: HashSet<String>,
    called: HashSet<String>,
    refusals: usize,
    /// The intent of the last thing the human said, and what it answered.
    pub intent: Option<Intent>,
    just_answered: Option<Kind>,
    pub callback: Option<String>,
    pub strongest: Option<Intent>,
    wants_callback: bool,
    tool_rounds: usize,
    /// The last function called was the account's own, and what it told since the human last spoke.
    asked_own: bool,
    told: Option<String>,
    last_line: String,
    /// Whether the human spoke after the last words of the caller.
    heard_something: bool,
    pub human_turns: usize,
}

/// The answer of the model.
pub fn reply(conversation: &Conversation) -> Reply {
    let (english, said) = hindi::understood(conversation);
    let mut reply = english_reply(&english);
    if hindi::is_asked_for(conversation) {
        reply.text = said.again(&reply.text);
    }
    reply
}

fn english_reply(conversation: &Conversation) -> Reply {
    let state = State::read(conversation);
    let reply = match &conversation.choice {
        Choice::Named(name) => forced(conversation, &state, Some(name)),
        Choice::Required => Some(state.decide(conversation))
            .filter(|reply| !reply.calls.is_empty())
            .or_else(|| forced(conversation, &state, None)),
        Choice::Auto | Choice::None => None,
    };
    reply.unwrap_or_else(|| state.decide(conversation))
}

/// A call that the request demands, with arguments that fit its schema.
fn forced(conversation: &Conversation, state: &State, name: Option<&str>) -> Option<Reply> {
    let tool = conversation.tools.iter().find(|tool| name.is_none_or(|name| tool.name == name))?;
    let arguments = schema::fill_with(&tool.parameters, &state.hints(), state);
    Some(Reply { text: String::new(), calls: vec![Call { name: tool.name.clone(), arguments }] })
}

impl State {
    pub(super) fn read(conversation: &Conversation) -> Self {
        let briefing = Briefing::read(conversation);
        let answers = briefing.answered.iter().cloned().collect();
        let recorded = briefing.answered.iter().map(|(key, _)| key.clone()).collect();
        let mut state = Self {
            briefing,
            answers,
            asks: HashMap::new(),
            asked: None,
            recorded,
            called: HashSet::new(),
            refusals: 0,
            intent: None,
            just_answered: None,
            callback: None,
            strongest: None,
            wants_callback: false,
            tool_rounds: 0,
            asked_own: false,
            told: None,
            last_line: String::new(),
            heard_something: false,
            human_turns: 0,
        };
        for message in &conversation.messages {
            match message.role {
                Role::Assistant => state.note_caller(message),
                Role::User => state.note_human(&message.text),
                Role::Tool if state.asked_own => state.told = Some(message.text.trim().to_owned()),
                Role::System | Role::Tool => {}
            }
        }
        state
    }

    pub(super) fn note_caller(&mut self, message: &Message) {
        for call in &message.calls {
            self.called.insert(call.name.clone());
            self.asked_own = !KNOWN.contains(&call.name.as_str());
            if call.name == "record_answer" {
                self.recorded.extend(call.arguments["field"].as_str().map(str::to_owned));
            }
        }
        self.tool_rounds += usize::from(!message.calls.is_empty());
        if message.text.trim().is_empty() {
            return;
        }
        self.heard_something = false;
        self.last_line = message.text.clone();
        self.asked = self.question_in(&message.text).or_else(|| self.asked.take());
        if let Some(Asked::Field(key) | Asked::Confirmation(key)) = &self.asked {
            *self.asks.entry(key.clone()).or_default() += 1;
        }
    }

    /// Which question a line of the caller's asks. Also of lines that this brain did not write.
    fn question_in(&self, line: &str) -> Option<Asked> {
        let asks: String =
            line.split_inclusive(['.', '?', '!']).filter(|sentence| sentence.trim_end().ends_with('?')).collect();
        let said = plain(if asks.is_empty() { line } else { &asks });
        let field =
            |kind: Kind| self.briefing.fields.iter().find(|field| field.kind == kind).map(|field| field.key.clone());
        if says(&said, &["call you back", "call back", "callback", "good time to call", "i call you"]) {
            return Some(Asked::CallbackTime);
        }
        if says(&said, &["timing"]) {
            return Some(Asked::TimingOrProperty);
        }
        let kinds: &[(Kind, &[&str])] = &[
            (Kind::SiteVisit, &["visit", "come and see", "see the property", "see it"]),
            (Kind::Budget, &["budget", "price range", "spend"]),
            (Kind::Timeline, &["when", "how soon", "timeline", "which month"]),
            (Kind::Location, &["area", "location", "locality", "where", "which city", "which part", "areas"]),
            (Kind::Purpose, &["live in", "invest", "investment", "own use", "purpose"]),
            (Kind::PropertyType, &["type", "kind of home", "kind of property", "bhk", "villa", "how many bedrooms"]),
        ];
        let kind =
            kinds.iter().find(|(kind, words)| says(&said, words) && field(*kind).is_some()).map(|(kind, _)| *kind);
        let confirms = line.contains("still right?") || line.contains("Is that right?") || line.contains("correct?");
        // A sentence that confirms names its fact before the question.
        let kind = match (kind, confirms) {
            (None, true) => {
                let line = plain(line);
                kinds
                    .iter()
                    .rev()
                    .find(|(kind, words)| says(&line, words) && field(*kind).is_some())
                    .map(|(kind, _)| *kind)
            }
            (kind, _) => kind,
        };
        if let Some(key) = kind.and_then(field) {
            return Some(if confirms { Asked::Confirmation(key) } else { Asked::Field(key) });
        }
        let own = self
            .briefing
            .fields
            .iter()
            .find(|field| field.kind == Kind::Other && line.contains(&lines::question(field)));
        match own {
            Some(field) => Some(Asked::Field(field.key.clone())),
            None if says(&said, &["good time", "a minute", "talk now", "speak now"]) => Some(Asked::GoodTime),
            None => None,
        }
    }

    pub(super) fn note_human(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.human_turns += 1;
        self.heard_something = true;
        self.told = None;
        self.just_answered = None;
        let meant = self.meaning(text);
        self.intent = Some(meant);
        match meant {
            Intent::DoNotCall | Intent::WrongNumber | Intent::AlreadyBought => self.strongest = Some(meant),
            Intent::NotInterested => {
                self.refusals += 1;
                self.strongest.get_or_insert(meant);
                // "No thank you" to "is this a good time" was the beginning of a refusal, not a wish to be called back.
                self.wants_callback = false;
            }
            Intent::Busy => {
                self.wants_callback = true;
                self.callback = callback_time(text).or(self.callback.take());
            }
            _ => self.note_answers(text, meant),
        }
    }

    /// The intent, in the light of what was asked.
    fn meaning(&self, text: &str) -> Intent {
        let meant = intent(text);
        match (&self.asked, meant) {
            // "No" to "is this a good time" is no answer to a question about property.
            (Some(Asked::GoodTime), Intent::No) => Intent::Busy,
            (Some(Asked::TimingOrProperty), Intent::No) => Intent::NotInterested,
            (Some(Asked::CallbackTime), Intent::Statement | Intent::Yes | Intent::Unsure | Intent::No) => Intent::Busy,
            // "No, I'm not looking to invest" tells the purpose.
            (Some(Asked::Field(_)), Intent::NotInterested) if !volunteered(text).is_empty() => Intent::Statement,
            _ => meant,
        }
    }

    fn note_answers(&mut self, text: &str, meant: Intent) {
        let asked_key = match &self.asked {
            Some(Asked::Field(key) | Asked::Confirmation(key)) => Some(key.clone()),
            _ => None,
        };
        let asked_kind = asked_key.as_deref().map(|key| self.kind_of(key));
        for (kind, value) in volunteered(text) {
            // "Next month" may be the day of the visit.
            let about_the_visit = asked_kind == Some(Kind::SiteVisit) && kind == Kind::Timeline;
            if let Some(field) = self.briefing.fields.iter().find(|field| field.kind == kind && !about_the_visit) {
                let (key, value) = (field.key.clone(), as_option(field, value));
                self.answer(&key, value);
            }
        }
        let Some(key) = asked_key.filter(|key| !self.answers.contains_key(key)) else { return };
        let Some(field) = self.briefing.fields.iter().find(|field| field.key == key).cloned() else { return };
        let confirmed = matches!(self.asked, Some(Asked::Confirmation(_)));
        let known = self.known(&key).map(str::to_owned);
        let value = match meant {
            Intent::Yes if confirmed => known,
            Intent::Yes | Intent::Statement if field.kind == Kind::SiteVisit => {
                answered(Kind::SiteVisit, text).or_else(|| (meant == Intent::Yes).then(|| "this weekend".into()))
            }
            Intent::No if field.kind == Kind::SiteVisit => answered(Kind::SiteVisit, text).or(Some("declined".into())),
            Intent::Unsure if field.kind == Kind::SiteVisit => Some("declined".into()),
            Intent::Unsure => Some(UNDECIDED.into()),
            Intent::Statement => answered(field.kind, text),
            // "Yes" to "which area" is no answer, "yes, near the old town" is one.
            Intent::Yes | Intent::No if field.kind != Kind::Other => {
                answered(field.kind, text).filter(|value| value.split_whitespace().count() >= 2)
            }
            Intent::Yes | Intent::No => Some(text.trim().to_owned()),
            _ => None,
        };
        if let Some(value) = value {
            self.answer(&key, as_option(&field, value));
        } else if confirmed && meant == Intent::No {
            // Not right any more: it has to be asked.
            self.briefing.known.retain(|(known, _)| Kind::of(known) != field.kind);
            self.asks.remove(&key);
        }
    }

    fn answer(&mut self, key: &str, value: String) {
        self.just_answered = Some(self.kind_of(key));
        if self.answers.insert(key.to_owned(), value.clone()).is_some_and(|before| before != value) {
            self.recorded.remove(key);
        }
    }

    fn kind_of(&self, key: &str) -> Kind {
        self.briefing.fields.iter().find(|field| field.key == key).map_or(Kind::Other, |field| field.kind)
    }

    /// What the lead's record says about a field.
    fn known(&self, key: &str) -> Option<&str> {
        let kind = self.kind_of(key);
        let same = |known: &str| known == key || kind != Kind::Other && Kind::of(known) == kind;
        self.briefing.known.iter().find(|(known, _)| same(known)).map(|(_, value)| value.as_str())
    }

    fn decide(&self, conversation: &Conversation) -> Reply {
        let mut pending = self.pending(conversation);
        let too_many = !conversation.parallel && pending.len() > 1;
        if too_many {
            pending.truncate(1);
        }
        // A note at the end asks for more words of the caller's own: the line had dropped, or somebody coughed.
        let goes_on = conversation.messages.len() > 1
            && conversation.messages.last().is_some_and(|message| message.role == Role::System);
        // A line may have bridged the wait for it.
        let was_told = self.asked_own && conversation.messages.last().is_some_and(|message| message.role == Role::Tool);
        if !self.heard_something && self.human_turns > 0 && !goes_on && !was_told {
            // Called again after tool results, or after its own words.
            return if pending.is_empty() { self.after_tools() } else { Reply { text: String::new(), calls: pending } };
        }
        let (text, closing) = self.next_line();
        let side_effect = pending.iter().any(|call| call.name != "record_answer");
        // Every second time the notes come first and the words after their results.
        let notes_first = !pending.is_empty() && self.tool_rounds % 2 == 1;
        if side_effect || notes_first || too_many || closing && !pending.is_empty() {
            return Reply { text: String::new(), calls: pending };
        }
        let mut calls = pending;
        if closing {
            calls.extend(self.call(conversation, "end_call"));
        }
        Reply { text, calls }
    }

    fn after_tools(&self) -> Reply {
        let text = if self.called.contains("end_call") { lines::FAREWELL } else { lines::GO_ON };
        Reply { text: text.into(), calls: Vec::new() }
    }

    /// What has to be noted before or with the next words.
    fn pending(&self, conversation: &Conversation) -> Vec<Call> {
        let mut calls = Vec::new();
        if self.strongest == Some(Intent::DoNotCall) && !self.called.contains("mark_do_not_call") {
            calls.extend(self.call(conversation, "mark_do_not_call"));
        }
        if self.wants_callback && self.callback_agreed() && !self.called.contains("schedule_callback") {
            calls.extend(self.call(conversation, "schedule_callback"));
        }
        if self.intent == Some(Intent::WantsDetails) && !self.called.contains("send_message") {
            calls.extend(self.call(conversation, "send_message"));
        }
        // Whatever else it is offered it uses where somebody wants to know something, once per question.
        if matches!(self.intent, Some(Intent::Question | Intent::AsksPrice))
            && self.heard_something
            && self.told.is_none()
        {
            let own = conversation.tools.iter().find(|tool| !KNOWN.contains(&tool.name.as_str()));
            calls.extend(own.and_then(|tool| self.call(conversation, &tool.name)));
        }
        if let Some(tool) = conversation.tool("record_answer") {
            let allowed = tool.parameters["properties"]["field"]["enum"].as_array();
            let takes = |key: &str| allowed.is_none_or(|keys| keys.iter().any(|allowed| allowed == key));
            for field in &self.briefing.fields {
                let Some(value) = self.answers.get(&field.key) else { continue };
                if self.recorded.contains(&field.key) || !takes(&field.key) || value == UNDECIDED {
                    continue;
                }
                let hints = Hints { field: Some(&field.key), value: Some(value), ..self.hints() };
                let arguments = schema::fill_with(&tool.parameters, &hints, self);
                calls.push(Call { name: tool.name.clone(), arguments });
            }
        }
        calls
    }

    fn call(&self, conversation: &Conversation, name: &str) -> Option<Call> {
        let tool = conversation.tool(name)?;
        Some(Call { name: name.to_owned(), arguments: schema::fill_with(&tool.parameters, &self.hints(), self) })
    }

    /// A time was named, or asked for and not given.
    fn callback_agreed(&self) -> bool {
        self.callback.is_some() || matches!(self.asked, Some(Asked::CallbackTime))
    }

    /// The next words, and whether they are the last.
    fn next_line(&self) -> (String, bool) {
        if self.human_turns == 0 {
            return (lines::greeting(&self.briefing), false);
        }
        match self.strongest {
            Some(Intent::DoNotCall) => return (lines::DO_NOT_CALL.into(), true),
            Some(Intent::WrongNumber) => return (lines::WRONG_NUMBER.into(), true),
            Some(Intent::AlreadyBought) => return (lines::ALREADY_BOUGHT.into(), true),
            _ => {}
        }
        match self.intent.unwrap_or(Intent::Statement) {
            Intent::Busy if self.callback_agreed() => {
                let when = self.callback.as_deref().unwrap_or("later");
                (lines::callback_agreed(when), true)
            }
            Intent::Busy => (lines::ASK_CALLBACK_TIME.into(), false),
            Intent::NotInterested if self.refusals >= 2 || self.asked == Some(Asked::TimingOrProperty) => {
                (lines::NOT_INTERESTED.into(), true)
            }
            Intent::NotInterested => (lines::TIMING_OR_PROPERTY.into(), false),
            Intent::Goodbye => (lines::FAREWELL.into(), true),
            Intent::Repeat if !self.last_line.is_empty() => {
                (self.last_line.trim_end_matches([' ', '—']).to_owned(), false)
            }
            _ if self.asked == Some(Asked::TimingOrProperty) => (lines::NOT_INTERESTED.into(), true),
            meant => self.go_on(meant),
        }
    }

    /// An answer to what they asked, then the next question.
    fn go_on(&self, meant: Intent) -> (String, bool) {
        let before = match meant {
            _ if self.told.is_some() => self.told.clone().unwrap_or_default(),
            Intent::WhoIsThis => lines::introduction(&self.briefing),
            Intent::Robot => lines::ROBOT.into(),
            Intent::HowDidYouGetMyNumber => lines::NUMBER_SOURCE.into(),
            Intent::AsksPrice => lines::PRICE.into(),
            Intent::WantsDetails => lines::DETAILS.into(),
            Intent::WantsHuman => lines::HUMAN.into(),
            Intent::Question if self.just_answered.is_none() => lines::OTHER_QUESTION.into(),
            _ if self.human_turns == 1 && self.just_answered.is_none() => "Thank you.".into(),
            _ => lines::acknowledgement(self.just_answered).to_owned(),
        };
        match self.next_question() {
            Some(question) => (format!("{before} {question}"), false),
            None => (self.settled(), true),
        }
    }

    fn next_question(&self) -> Option<String> {
        let field = self.briefing.fields.iter().find(|field| {
            !self.answers.contains_key(&field.key) && self.asks.get(&field.key).copied().unwrap_or(0) < MAX_ASKS
        })?;
        let asked_before = self.asks.contains_key(&field.key);
        Some(match self.known(&field.key) {
            Some(known) if field.kind != Kind::SiteVisit => lines::confirmation(field, known),
            _ if asked_before => lines::question_again(field),
            _ => lines::question(field),
        })
    }

    /// The farewell when nothing is left to ask.
    fn settled(&self) -> String {
        match self.visit() {
            Some(when) => lines::visit_agreed(when),
            None => lines::NO_VISIT.into(),
        }
    }

    /// The agreed day of a visit.
    pub(super) fn visit(&self) -> Option<&str> {
        let field = self.briefing.fields.iter().find(|field| field.kind == Kind::SiteVisit)?;
        self.answers.get(&field.key).map(String::as_str).filter(|value| !matches!(*value, "declined" | UNDECIDED))
    }

    pub(super) fn wants_callback(&self) -> bool {
        self.wants_callback
    }

    pub(super) fn refused(&self) -> bool {
        self.refusals > 0
    }

    fn hints(&self) -> Hints<'_> {
        Hints {
            outcome: Outcome::of(self),
            when: Some(self.callback.as_deref().unwrap_or("later")),
            field: None,
            value: None,
        }
    }
}

/// The option that an answer means, where only some are allowed.
fn as_option(field: &Field, value: String) -> String {
    let said = plain(&value);
    let means = |option: &&String| {
        let option = option.to_lowercase();
        let words: Vec<&str> = option.split('_').collect();
        words.iter().all(|word| says(&said, &[word]))
            || said.split_whitespace().any(|word| option.starts_with(word) && word.len() > 3)
            || (said.contains("own use") && ["live", "own", "self", "end"].iter().any(|word| option.contains(word)))
            || (said.contains("invest") && option.contains("invest"))
    };
    field.options.iter().find(means).cloned().unwrap_or(value)
}

#[cfg(test)]
#[path = "dialogue_tests.rs"]
mod tests;
