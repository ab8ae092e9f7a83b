//! What the database knows about a call, as the dialogue and the providers want it.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use shared::{
    calling_window::ZoneSet,
    http_tool::HttpTool,
    language,
    playbook::Playbook,
    stream::{Briefing, Comeback},
    turn::{Role, Turn},
    voice_agent::VoiceAgentSettings,
};

use crate::{
    config::Config,
    dialogue::{DialogueSettings, Facts, Gap, History, OnMachine, Opening, Said, Speaker, ToolSpec},
    latency::Trick,
    stt,
};

/// Where people live on the first carrier, if nothing says otherwise.
const HOME_ZONE: Tz = chrono_tz::Asia::Kolkata;
/// Words given to speech recognition; the provider allows 500 tokens.
const MAX_KEYTERMS: usize = 50;

/// The dialogue's settings. A playbook that cannot be read is reported and replaced by the built-in one: a call that is
/// answered must be spoken to.
pub(super) fn dialogue(config: &Config, briefing: &Briefing, now: DateTime<Utc>) -> DialogueSettings {
    let agent = &briefing.settings;
    let mut playbook = playbook(briefing);
    playbook.rules.extend(agent.instructions.clone());
    playbook.agent_name.clone_from(&agent.agent_name);
    playbook.company.clone_from(&agent.company_name);

    let mut settings = DialogueSettings::new(Arc::new(playbook));
    settings.facts = facts(briefing);
    settings.language = language(briefing);
    settings.usual_language.clone_from(&agent.language);
    settings.also_speaks =
        agent.languages.iter().chain([&agent.language]).filter(|&tag| *tag != settings.language).cloned().collect();
    settings.greeting.clone_from(&agent.greeting);
    settings.greetings.clone_from(&agent.greetings);
    if agent.wait_for_hello {
        settings.opening = Opening::WaitForHello { up_to_ms: 1_800 };
    }
    let message = briefing.voicemail_message.clone();
    settings.on_machine = match (&briefing.voicemail_recording, message) {
        (Some(recording), otherwise) => OnMachine::PlayRecording { title: recording.title.clone(), otherwise },
        (None, Some(message)) => OnMachine::LeaveMessage(message),
        (None, None) => OnMachine::HangUp,
    };
    let zone = zone(&settings.facts, now);
    settings.local_time = Some(format!("{} ({zone})", now.with_timezone(&zone).format("%A %-d %B %Y, %H:%M")));
    settings.messages.clone_from(&agent.messages);
    settings.tools = agent.tools.iter().map(tool).collect();
    settings.can_transfer = !agent.transfer_to.is_empty();
    settings.speculate = config.uses(Trick::Speculation);
    settings.early_clause = config.uses(Trick::EarlyClause);
    settings.limits.max_duration_ms = config.max_call_duration().as_millis() as u64;
    settings
}

fn tool(tool: &HttpTool) -> ToolSpec {
    ToolSpec { name: tool.name.clone(), description: tool.description.clone(), parameters: tool.schema() }
}

fn playbook(briefing: &Briefing) -> Playbook {
    let Some(json) = &briefing.settings.playbook else { return Playbook::default() };
    let read = serde_json::from_value::<Playbook>(json.clone()).map(|mut playbook| {
        // A greeting of its own is not the built-in one in other languages.
        if json.get("greeting").is_some() && json.get("greetings").is_none() {
            playbook.greetings.clear();
        }
        playbook
    });
    read.unwrap_or_else(|error| {
        tracing::error!(call_id = %briefing.call_id, %error, "the voice agent's playbook cannot be read; using the built-in one");
        Playbook::default()
    })
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
fn language(briefing: &Briefing) -> String {
    let of_lead = briefing.lead.get("language").and_then(Value::as_str);
    briefing.language.clone().unwrap_or_else(|| opening_language(of_lead, &briefing.settings))
}

/// What a conversation begins in.
pub(crate) fn opening_language(of_lead: Option<&str>, agent: &VoiceAgentSettings) -> String {
    of_lead.and_then(language::tag).unwrap_or_else(|| agent.language.clone())
}

fn zone(facts: &Facts, now: DateTime<Utc>) -> Tz {
    let zones = ["time_zone", "timezone"].iter().find_map(|key| ZoneSet::parse(facts.get(*key)?).ok());
    zones.map_or(HOME_ZONE, |zones| zones.likely(now))
}

/// The conversation so far, when it comes back in the middle of its call.
pub(super) fn history(briefing: &Briefing) -> Option<History> {
    let comeback = briefing.comeback?;
    let gap = match comeback {
        Comeback { closing: true, .. } => Gap::Goodbye,
        Comeback { handed_over: true, .. } => Gap::HandedOver,
        Comeback { .. } => Gap::Lost,
    };
    let next_seq = briefing.turns.iter().map(|turn| turn.seq.saturating_add(1)).max().unwrap_or(0);
    let said = |turn: &Turn| {
        let speaker = match turn.role {
            Role::Agent => Speaker::Agent,
            Role::Callee => Speaker::Human,
            Role::Tool => return None,
        };
        Some(Said { speaker, text: turn.text.clone(), interrupted: turn.interrupted })
    };
    let collected: BTreeMap<String, String> =
        briefing.answers.iter().filter_map(|(field, value)| Some((field.clone(), text(value)?))).collect();
    let next_seq = u32::try_from(next_seq).unwrap_or(0);
    Some(History::resume(briefing.turns.iter().filter_map(said), collected, next_seq, gap))
}

/// What the transcriber is told.
pub(super) fn transcriber(briefing: &Briefing, settings: &DialogueSettings) -> stt::Options {
    let mut keyterms = briefing.settings.keyterms.clone();
    keyterms.extend(settings.playbook.key_terms.iter().cloned());
    keyterms.truncate(MAX_KEYTERMS);
    stt::Options { language: settings.language.clone(), others: settings.also_speaks.clone(), keyterms }
}

/// What the account's own tools are told of the call.
pub(super) fn about(briefing: &Briefing) -> Value {
    serde_json::json!({"call_id": briefing.call_id, "campaign_id": briefing.campaign_id, "lead_id": briefing.lead_id,
        "lead": briefing.lead})
}
