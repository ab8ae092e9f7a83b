//! The default campaign as data: 25 leads, and how each of the 24 that can be dialed behaves.
//!
//! `leads.csv` is what an operator would upload; its last row has no usable phone and must be
//! rejected by an importer. `scripts.json` is keyed by national number, and `hindi.json` has each of its lines in Hindi, for
//! callees who speak it. The table of stories:
//!
//! | Last digits | Story |
//! |---|---|
//! | 01–05, 21, 24 | answer every question (one presses a key, one asks back first) |
//! | 06, 07 | not interested, already bought |
//! | 08, 09 | ask to be called back, and are: one qualifies, one has decided otherwise |
//! | 10 · 11 | "do not call me again" · wrong number |
//! | 12 · 13 | hangs up in mid-sentence, then not interested · interrupts twice, then answers |
//! | 14 · 15 | long silence, then answers · never says a word |
//! | 16 · 17 · 22 | busy, then answers · never picks up · picks up the second time, not interested |
//! | 18 | voicemail with a beep |
//! | 19 · 20 | the carrier refuses (403, NDNC) · the carrier fails, then it answers |
//! | 23 | asks for a human |

use std::collections::{BTreeMap, HashMap};

use crate::callee::{Script, Step};

/// The upload of the default campaign.
pub const LEADS_CSV: &str = include_str!("leads.csv");

/// The same upload, whose list says of everybody that they prefer this language.
pub fn leads_csv_preferring(language: &str) -> String {
    let lines = LEADS_CSV.lines().enumerate().map(|(at, line)| match line.rsplit_once(',') {
        Some((row, _)) if at > 0 => format!("{row},{language}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

const SCRIPTS_JSON: &str = include_str!("scripts.json");

/// The default behaviours by national number.
pub fn scripts() -> HashMap<String, Script> {
    serde_json::from_str(SCRIPTS_JSON).expect("scripts.json is part of the program and a test reads it")
}

/// Whoever has no script: picks up and answers every question.
pub fn anybody() -> Script {
    Script {
        name: "anybody".into(),
        voice: "kal".into(),
        language: crate::callee::Language::default(),
        line: crate::callee::LineConditions::default(),
        attempts: vec![vec![
            Step::Ring { ms: 2_000 },
            Step::Answer,
            Step::Converse { answers: BTreeMap::new(), replies: Vec::new(), otherwise: Vec::new(), turns: 14 },
        ]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{callee::Language, exotel::phone};

    #[test]
    fn every_lead_but_the_bad_one_has_a_story() {
        let scripts = scripts();
        assert!(scripts.values().all(|script| script.problem().is_none()));
        let mut reader = csv::Reader::from_reader(LEADS_CSV.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next_back(), Some("preferred_language"));
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let phones: Vec<_> = rows.iter().map(|row| phone::national(row.get(1).unwrap())).collect();
        assert_eq!(phones.len(), 25);
        assert_eq!(phones.iter().filter(|phone| phone.is_none()).count(), 1);
        for national in phones.iter().flatten() {
            assert!(scripts.contains_key(national), "{national}");
        }
        assert_eq!(scripts.len(), 24);
        for (row, national) in rows.iter().zip(&phones) {
            let script = national.as_ref().map(|national| &scripts[national]);
            let speaks_hindi = script.is_some_and(|script| script.language == Language::Hindi);
            assert_eq!(speaks_hindi, row.get(8) == Some("Hindi"), "{row:?}");
        }
    }

    #[test]
    fn the_list_may_prefer_another_language() {
        let list = leads_csv_preferring("Hindi");
        let mut reader = csv::Reader::from_reader(list.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next_back(), Some("preferred_language"));
        let languages: Vec<_> = reader.records().map(|row| row.unwrap().get(8).unwrap().to_owned()).collect();
        assert_eq!(languages, vec!["Hindi"; 25]);
    }
}
