//! Who speaks in a call, and what they know of the human: the voice agent's settings and the list's columns, read for a conversation.
//!
//! The same for every way of holding it, a stream's dialogue as well as one that the carrier gathers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::agent_tool::{self, Means, ToolSpec};
use crate::answering_machine::OnMachine;
use crate::callback::{self, CallbackTerms};
use crate::calling_window::ZoneSet;
use crate::http_tool::HttpTool;
use crate::language;
use crate::outgoing_message::MessageTemplate;
use crate::playbook::greeting::OwnGreeting;
use crate::playbook::prompt::{self, Situation};
use crate::playbook::{Lines, Playbook};
use crate::reach::Reach;
use crate::stream::Briefing;
use crate::voice_agent::VoiceAgentSettings;

/// What is known about the person, by name (`lead_name`, `property_type`, `budget`, `location`, `agent_name`, ...): the
/// variables of greeting and prompt. Values come from uploads, so they are data and never instructions.
pub type Facts = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub struct Persona {
    pub playbook: Playbook,
    pub facts: Facts,
    /// BCP 47: what is spoken.
    pub language: String,
    /// The voice agent's own language, in which `greeting` is written.
    pub usual_language: String,
    /// Others that it may go over to.
    pub also_speaks: Vec<String>,
    /// The account's own words, in place of the playbook's.
    pub greeting: Option<String>,
    pub greetings: BTreeMap<String, String>,
    /// `Saturday 21 November 2026, 15:30 (Asia/Kolkata)`.
    pub local_time: String,
    /// Answers that are noted already.
    pub collected: BTreeMap<String, String>,
    pub on_machine: OnMachine,
    /// When the human can be called back.
    pub callbacks: Option<CallbackTerms>,
    pub messages: Vec<MessageTemplate>,
    /// The account's own tools.
    pub tools: Vec<ToolSpec>,
    pub can_transfer: bool,
}

impl Persona {
    /// `reach`: what those can hear and say who hold the conversation. `None`: a carrier does, in whatever language it is asked to.
    pub fn of(briefing: &Briefing, reach: Option<&Reach<'_>>, now: DateTime<Utc>) -> Self {
        let agent = &briefing.settings;
        let facts = facts(briefing);
        let wanted = language(briefing);
        let language = reach.map_or_else(|| wanted.clone(), |reach| reach.language(&wanted));
        // What nobody could say the agent does not go over to.
        let is_spoken = |tag: &&String| reach.is_none_or(|reach| reach.speaks(tag));
        let zone = zone(&facts, now);
        let is_other = |tag: &&String| **tag != language;
        let mut persona = Self {
            playbook: playbook(briefing),
            usual_language: agent.language.clone(),
            also_speaks: {
                let others = agent.languages.iter().chain([&agent.language]).filter(is_other);
                others.filter(is_spoken).cloned().collect()
            },
            greeting: agent.greeting.clone(),
            greetings: agent.greetings.clone(),
            local_time: format!("{} ({zone})", now.with_timezone(&zone).format("%A %-d %B %Y, %H:%M")),
            collected: collected(briefing),
            on_machine: on_machine(briefing),
            callbacks: briefing.callbacks.clone(),
            messages: agent.messages.clone(),
            tools: agent.tools.iter().map(tool).collect(),
            can_transfer: !agent.transfer_to.is_empty(),
            facts,
            language,
        };
        if briefing.inbound {
            persona.is_called();
        }
        persona
    }

    /// What greets somebody who is called says why they are; who calls knows.
    fn is_called(&mut self) {
        self.greeting = None;
        self.greetings.clear();
        self.playbook.greetings.clear();
        self.playbook.greeting.clone_from(&self.playbook.inbound_greeting);
    }

    /// The fixed lines in the language that is spoken.
    pub fn lines(&self) -> Lines {
        Lines::for_language(&self.language)
    }

    /// The first words.
    pub fn first_words(&self) -> String {
        let own = OwnGreeting {
            usual: self.greeting.as_deref(),
            usual_language: &self.usual_language,
            others: &self.greetings,
        };
        prompt::render(self.playbook.greeting_in(&self.language, own), &self.facts)
    }

    /// What the model is told before all else.
    pub fn system_prompt(&self) -> String {
        let situation = Situation {
            facts: &self.facts,
            language: &self.language,
            local_time: Some(&self.local_time),
            collected: &self.collected,
        };
        prompt::system_prompt(&self.playbook, situation)
    }

    pub fn means(&self) -> Means<'_> {
        Means {
            playbook: &self.playbook,
            facts: &self.facts,
            language: &self.language,
            callbacks: self.callbacks.as_ref(),
            messages: &self.messages,
            can_transfer: self.can_transfer,
        }
    }

    /// All tools of the conversation.
    pub fn offered_tools(&self) -> Vec<ToolSpec> {
        agent_tool::offered(&self.means(), &self.tools)
    }
}

/// What a conversation begins in.
pub fn opening_language(of_lead: Option<&str>, agent: &VoiceAgentSettings) -> String {
    of_lead.and_then(language::tag).unwrap_or_else(|| agent.language.clone())
}

/// The answers that are noted already.
pub fn collected(briefing: &Briefing) -> BTreeMap<String, String> {
    briefing.answers.iter().filter_map(|(field, value)| Some((field.clone(), text(value)?))).collect()
}

/// What the account's own tools are told of the call.
pub fn about(briefing: &Briefing) -> Value {
    serde_json::json!({"call_id": briefing.call_id, "campaign_id": briefing.campaign_id, "lead_id": briefing.lead_id,
        "lead": briefing.lead})
}

fn tool(tool: &HttpTool) -> ToolSpec {
    ToolSpec { name: tool.name.clone(), description: tool.description.clone(), parameters: tool.schema() }
}

fn on_machine(briefing: &Briefing) -> OnMachine {
    let message = briefing.voicemail_message.clone();
    match (&briefing.voicemail_recording, message) {
        (Some(recording), otherwise) => OnMachine::PlayRecording { title: recording.title.clone(), otherwise },
        (None, Some(message)) => OnMachine::LeaveMessage(message),
        (None, None) => OnMachine::HangUp,
    }
}

/// A playbook that cannot be read is reported and replaced by the built-in one: a call that is answered must be spoken to.
fn playbook(briefing: &Briefing) -> Playbook {
    let agent = &briefing.settings;
    let mut playbook = match &agent.playbook {
        None => Playbook::default(),
        Some(json) => own_playbook(json).unwrap_or_else(|error| {
            tracing::error!(call_id = %briefing.call_id, %error, "the voice agent's playbook cannot be read; using the built-in one");
            Playbook::default()
        }),
    };
    playbook.rules.extend(agent.instructions.clone());
    playbook.agent_name.clone_from(&agent.agent_name);
    playbook.company.clone_from(&agent.company_name);
    playbook
}

fn own_playbook(json: &Value) -> serde_json::Result<Playbook> {
    let mut playbook: Playbook = serde_json::from_value(json.clone())?;
    // What the built-in one says of itself in other languages is another business's.
    if json.get("greetings").is_none() && !is_built_in(&playbook) {
        playbook.greetings.clear();
    }
    Ok(playbook)
}

/// Names and words to listen for make no other business of it.
fn is_built_in(playbook: &Playbook) -> bool {
    let usual = Playbook::default();
    let (name, agent_name, company) = (usual.name.clone(), usual.agent_name.clone(), usual.company.clone());
    Playbook { name, agent_name, company, key_terms: usual.key_terms.clone(), ..playbook.clone() } == usual
}

/// The list's columns, by name. `name` is also `lead_name`, the word that greetings use.
fn facts(briefing: &Briefing) -> Facts {
    let mut facts: Facts = briefing.lead.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect();
    if let Some(name) = facts.get("name").cloned() {
        facts.entry("lead_name".to_owned()).or_insert(name);
    }
    facts.insert("agent_name".to_owned(), briefing.settings.agent_name.clone());
    facts.insert("company".to_owned(), briefing.settings.company_name.clone());
    facts.insert("company_name".to_owned(), briefing.settings.company_name.clone());
    facts
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(text).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        _ => None,
    }
}

/// What the conversation had gone over to, the lead's own language, the voice agent's.
pub fn language(briefing: &Briefing) -> String {
    let of_lead = briefing.lead.get("language").and_then(Value::as_str);
    briefing.language.clone().unwrap_or_else(|| opening_language(of_lead, &briefing.settings))
}

fn zone(facts: &Facts, now: DateTime<Utc>) -> Tz {
    let known = ["time_zone", "timezone"].iter().filter_map(|key| facts.get(*key));
    callback::zone(known.map(String::as_str).find(|zones| ZoneSet::parse(zones).is_ok()), now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::{AccountId, CallId};

    fn briefing(settings: Value, lead: Value) -> Briefing {
        Briefing {
            call_id: CallId(1),
            account_id: AccountId(1),
            campaign_id: None,
            lead_id: None,
            attempt: 1,
            inbound: false,
            settings: serde_json::from_value(settings).unwrap(),
            language: None,
            records: false,
            voicemail_message: None,
            voicemail_recording: None,
            lead: lead.as_object().unwrap().clone(),
            answers: json!({"budget": "80 lakh", "visits": ["Sat", "Sun"]}).as_object().unwrap().clone(),
            turns: Vec::new(),
            answered_by_machine: false,
            callbacks: None,
            comeback: None,
        }
    }

    fn persona(briefing: &Briefing) -> Persona {
        Persona::of(briefing, None, DateTime::parse_from_rfc3339("2026-11-23T05:30:00Z").unwrap().to_utc())
    }

    #[test]
    fn the_lead_is_spoken_to_in_their_language_and_at_their_hour() {
        let mut call =
            briefing(json!({}), json!({"name": "Ravi", "language": "Hindi", "time_zone": "America/New_York"}));
        let found = persona(&call);
        assert_eq!((found.language.as_str(), found.usual_language.as_str()), ("hi-IN", "en-IN"));
        assert!(found.first_words().starts_with("नमस्ते Ravi जी, मैं Asha"), "{}", found.first_words());
        assert_eq!(found.local_time, "Monday 23 November 2026, 00:30 (America/New_York)");
        assert_eq!(found.collected["visits"], "Sat, Sun");
        let prompt = found.system_prompt();
        assert!(prompt.contains("Speak Hindi") && prompt.contains("- budget: \"80 lakh\""), "{prompt}");
        call.language = Some("en-IN".into());
        assert_eq!(persona(&call).language, "en-IN", "they had gone over to it");
        call.lead.clear();
        call.language = None;
        assert_eq!(persona(&call).language, "en-IN");
    }

    #[test]
    fn a_playbook_of_their_own_greets_in_their_own_words() {
        let own = json!({"playbook": {"greeting": "Hello {name|there}!", "goal": "sell tea"}});
        let call = briefing(own, json!({"language": "hi"}));
        assert_eq!(persona(&call).first_words(), "Hello there!", "and not with the built-in Hindi");
        let broken = briefing(json!({"playbook": {"goal": 7}}), json!({}));
        assert_eq!(persona(&broken).playbook.goal, Playbook::default().goal);
    }

    #[test]
    fn another_business_has_no_greeting_of_ours_in_any_language() {
        let greets = |json: Value| !own_playbook(&json).unwrap().greetings.is_empty();
        assert!(!greets(json!({"goal": "sell tea"})));
        assert!(!greets(json!({"greeting": "Hello, tea?"})));
        assert!(!greets(json!({"stages": [{"id": "tea", "goal": "which tea"}]})));
        assert!(greets(json!({"goal": "sell tea", "greetings": {"hi": "चाय?"}})));
        // The same business under another name.
        assert!(
            greets(json!({})) && greets(json!({"name": "ours", "company": "Lake Homes", "key_terms": ["Whitefield"]}))
        );
    }

    #[test]
    fn who_calls_us_is_not_told_why_we_call() {
        let own = json!({"greeting": "I am calling about your enquiry.", "greetings": {"hi": "नमस्ते"}});
        let mut call = briefing(own, json!({"language": "hi"}));
        assert_eq!(persona(&call).first_words(), "नमस्ते");
        call.inbound = true;
        assert!(persona(&call).first_words().starts_with("Hello, thank you for calling Trunkline Realty."));
    }
}
