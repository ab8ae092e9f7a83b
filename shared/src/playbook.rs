//! What a conversation is for, as data: stages, fields to collect, objections, rules, closing.
//!
//! A voice agent stores its playbook as JSON; every part has a default, so that `{}` is the seeds' real-estate
//! qualification. [`prompt`] turns it into the system prompt, [`lines`] holds the fixed lines.

pub mod greeting;
pub mod lines;
pub mod prompt;
mod real_estate;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use lines::Lines;

/// Everything the agent needs to know about its purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Playbook {
    pub name: String,
    /// The agent's own name, unless the facts say `agent_name`.
    pub agent_name: String,
    /// On whose behalf it calls, unless the facts say `company`.
    pub company: String,
    /// First words of the call. `{lead_name|there}`: a variable with the word to use when it is not known.
    pub greeting: String,
    /// By tag or bare language: the same in other languages.
    pub greetings: BTreeMap<String, String>,
    /// First words of an inbound call.
    pub inbound_greeting: String,
    /// What the call should achieve, in a sentence.
    pub goal: String,
    pub stages: Vec<Stage>,
    pub fields: Vec<Field>,
    pub objections: Vec<Objection>,
    pub rules: Vec<String>,
    /// What makes a lead qualified, for the model and for the scorer.
    pub qualified_when: String,
    /// How to end, in a sentence for the model.
    pub closing: String,
    /// Words that the STT should expect (projects, places). Given to the provider as key terms.
    pub key_terms: Vec<String>,
}

impl Default for Playbook {
    fn default() -> Self {
        real_estate::playbook()
    }
}

/// A part of the conversation. The stage of a call is derived from the fields that are filled, never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// `intro`, `qualification`, `site_visit`, `closing`.
    pub id: String,
    pub goal: String,
}

/// Something to find out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Key in the extracted data: `budget`.
    pub key: String,
    /// What to find out, for the model: "the budget, as a range in lakhs or crores".
    pub ask: String,
    /// The stage that is complete when its required fields are filled.
    pub stage: String,
    #[serde(default = "yes")]
    pub required: bool,
    /// The only values allowed, where they are few.
    #[serde(default)]
    pub options: Vec<String>,
}

fn yes() -> bool {
    true
}

/// What people say against it, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    pub when: String,
    pub answer: String,
}

impl Playbook {
    /// The stage that the collected answers put the call into: `first` before the human has spoken; otherwise the first stage
    /// with a required field still missing; the last stage when nothing is missing.
    pub fn stage(&self, human_spoke: bool, collected: &BTreeMap<String, String>) -> &str {
        let (Some(first), Some(last)) = (self.stages.first(), self.stages.last()) else { return "" };
        if !human_spoke {
            return &first.id;
        }
        let missing: BTreeSet<&str> = self
            .fields
            .iter()
            .filter(|field| field.required && !collected.contains_key(&field.key))
            .map(|field| field.stage.as_str())
            .collect();
        self.stages.iter().find(|stage| missing.contains(stage.id.as_str())).map_or(&last.id, |stage| &stage.id)
    }

    pub fn knows_field(&self, key: &str) -> bool {
        self.fields.iter().any(|field| field.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(keys: &[&str]) -> BTreeMap<String, String> {
        keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect()
    }

    #[test]
    fn the_stage_follows_what_has_been_collected() {
        let playbook = Playbook::default();
        assert_eq!(playbook.stage(false, &collected(&[])), "intro");
        assert_eq!(playbook.stage(true, &collected(&[])), "qualification");
        assert_eq!(playbook.stage(true, &collected(&["purpose", "budget"])), "qualification");
        let qualified = ["purpose", "budget", "timeline", "location", "property_type"];
        assert_eq!(playbook.stage(true, &collected(&qualified)), "site_visit");
        let all = [&qualified[..], &["site_visit"]].concat();
        assert_eq!(playbook.stage(true, &collected(&all)), "closing");
    }

    #[test]
    fn an_empty_object_is_the_default_playbook_and_parts_can_be_replaced() {
        let playbook: Playbook = serde_json::from_str("{}").unwrap();
        assert_eq!(playbook, Playbook::default());
        let playbook: Playbook = serde_json::from_str(r#"{"goal": "sell tea"}"#).unwrap();
        assert_eq!(playbook.goal, "sell tea");
        assert_eq!(playbook.fields, Playbook::default().fields);
    }
}
