//! Who is called: a seeded crowd, each with a way of answering the phone.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Zones in which the same hours open at other moments.
const ZONES: [&str; 4] = ["Asia/Kolkata", "Asia/Kolkata", "Asia/Dubai", "Asia/Singapore"];

/// What somebody does when rung, and how many of a hundred do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Refuses,
    Qualifies,
    HangsUp,
    AsksNotToBeCalled,
    WrongNumber,
    Voicemail,
    Busy,
    NoAnswer,
    NetworkFails,
    Forbidden,
}

const SHARES: [(Manner, u32); 10] = [
    (Manner::Refuses, 22),
    (Manner::Qualifies, 6),
    (Manner::HangsUp, 8),
    (Manner::AsksNotToBeCalled, 6),
    (Manner::WrongNumber, 4),
    (Manner::Voicemail, 3),
    (Manner::Busy, 20),
    (Manner::NoAnswer, 14),
    (Manner::NetworkFails, 12),
    (Manner::Forbidden, 5),
];

#[derive(Clone, Debug)]
pub struct Person {
    /// E.164.
    pub phone: String,
    pub manner: Manner,
    pub zone: &'static str,
}

/// `count` people, the same for the same seed.
pub fn crowd(count: usize, seed: u64) -> Vec<Person> {
    let mut dice = StdRng::seed_from_u64(seed);
    let everybody: u32 = SHARES.iter().map(|(_, share)| share).sum();
    let mut manners: Vec<Manner> = SHARES
        .iter()
        .flat_map(|&(manner, share)| std::iter::repeat_n(manner, (count * share as usize).div_ceil(everybody as usize)))
        .collect();
    manners.shuffle(&mut dice);
    manners.truncate(count);
    manners
        .into_iter()
        .enumerate()
        .map(|(index, manner)| Person {
            phone: format!("+9198{:08}", 10_000_000 + index),
            manner,
            zone: ZONES[dice.random_range(0..ZONES.len())],
        })
        .collect()
}

impl Person {
    pub fn script(&self) -> Value {
        let ring = json!({"do": "ring", "ms": 1500});
        let answers = |steps: Vec<Value>| {
            let mut all = vec![ring.clone(), json!({"do": "answer"})];
            all.extend(steps);
            Value::from(all)
        };
        let say = |text: &str| json!({"do": "say", "text": text});
        let (wait, hang_up) = (json!({"do": "wait_for_agent", "max_ms": 8000}), json!({"do": "hang_up"}));
        let refuses =
            || answers(vec![wait.clone(), say("No thank you, I am not interested."), wait.clone(), hang_up.clone()]);
        let attempts: Vec<Value> = match self.manner {
            Manner::Refuses => vec![refuses()],
            Manner::Qualifies => vec![answers(vec![
                json!({"do": "converse", "turns": 12, "answers": {
                "interest": "Yes, I am still looking.", "purpose": "For my own family.", "budget": "Around eighty lakh.",
                "timeline": "Within three months.", "location": "Whitefield.", "property_type": "A two bedroom apartment.",
                "site_visit": "Yes, Saturday works."}}),
                hang_up.clone(),
            ])],
            Manner::HangsUp => {
                vec![answers(vec![say("Hello?"), json!({"do": "hang_up_mid_sentence", "after_ms": 1200})]), refuses()]
            }
            Manner::AsksNotToBeCalled => vec![answers(vec![
                wait.clone(),
                say("Please do not call me again. Remove my number from your list."),
                wait.clone(),
                hang_up.clone(),
            ])],
            Manner::WrongNumber => vec![answers(vec![
                wait.clone(),
                say("You have the wrong number, there is nobody of that name here."),
                wait.clone(),
                hang_up.clone(),
            ])],
            Manner::Voicemail => vec![answers(vec![json!({"do": "voicemail", "record_ms": 4000, "beep_ms": 300,
                "greeting": "Hello, you have reached my voicemail. Please leave a message after the beep."})])],
            Manner::Busy => vec![json!([ring, {"do": "busy"}]), refuses()],
            Manner::NoAnswer => vec![json!([{"do": "no_answer"}])],
            Manner::NetworkFails => vec![json!([ring, {"do": "fail"}]), refuses()],
            Manner::Forbidden => vec![json!([{"do": "refuse_dnd"}])],
        };
        json!({"name": format!("{:?}", self.manner), "attempts": attempts})
    }
}

/// What an operator uploads for them.
pub fn list(people: &[&Person]) -> Vec<u8> {
    let mut csv = String::from("name,phone,location,time zone\n");
    for person in people {
        csv.push_str(&format!("Lead,{},Whitefield,{}\n", person.phone, person.zone));
    }
    csv.into_bytes()
}
