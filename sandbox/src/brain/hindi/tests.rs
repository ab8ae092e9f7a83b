use std::collections::BTreeMap;

use super::{lexicon::in_english, *};
use crate::{
    brain::{
        Call, Choice, Message, Reply, Tool,
        facts::volunteered,
        reply,
        understanding::{Intent, intent},
    },
    callee::{Callee, Language, Topic, replies::Replies},
    scenarios,
    speech::script::languages,
};

const ENGLISH_LINES: &str = include_str!("../lines.rs");

/// With every slot written alike.
fn bare(line: &str) -> String {
    let mut parts = line.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |bare, part| bare + "{}" + part.split_once('}').map_or("", |(_, rest)| rest))
}

#[test]
fn every_line_of_the_caller_has_its_counterpart() {
    let sentences: Vec<String> =
        ENGLISH_LINES.split('"').skip(1).step_by(2).filter(|text| text.ends_with(['.', '?'])).map(bare).collect();
    assert!(sentences.len() > 40, "{}", sentences.len());
    for sentence in sentences {
        assert!(lines::LINES.iter().any(|(english, _)| bare(english) == sentence), "{sentence:?} has no Hindi");
    }
}

#[test]
fn every_line_goes_to_hindi_and_back() {
    for (english, _) in lines::LINES {
        let (value, other) = ("saturday morning", "Lake View");
        let line = english.replace("{1}", value).replace("{2}", other);
        let hindi = lines::in_hindi(&line);
        assert!(languages(hindi.split_whitespace())[0] == "hi" && !hindi.contains('{'), "{hindi}");
        let back = lines::in_english(&hindi);
        assert_eq!(back.to_lowercase(), line.to_lowercase(), "{hindi}");
    }
}

#[test]
fn what_is_composed_of_several_lines_is_put_into_hindi_as_a_whole() {
    let english = "Thank you, that helps. When are you planning to move in or decide?";
    let hindi = lines::in_hindi(english);
    assert_eq!(hindi, "धन्यवाद, इससे मदद मिलेगी। आप कब तक घर लेना चाहते हैं?");
    assert_eq!(lines::in_english(&hindi), english);
    let agreed = lines::in_hindi("Sure, I will call you back tomorrow after six o'clock. Thank you, goodbye.");
    assert_eq!(agreed, "ठीक है, मैं आपको कल छह बजे के बाद फ़ोन करूँगी। धन्यवाद, नमस्ते।");
}

#[test]
fn what_people_say_is_understood() {
    for (hindi, english) in [
        ("हाँ जी, बोलिए।", "yes, go ahead."),
        ("करीब नब्बे लाख।", "around ninety lakh."),
        ("एक करोड़ बीस लाख तक।", "up to one crore twenty lakh."),
        ("अस्सी से नब्बे लाख", "eighty to ninety lakh"),
        ("डेढ़ करोड़ से कम", "under one point five crore"),
        ("साढ़े तीन करोड़", "three point five crore"),
        ("अगले तीन महीने में", "within next three months"),
        ("मार्च से पहले", "before march"),
        ("कल सुबह ग्यारह बजे", "tomorrow morning at eleven o'clock"),
        ("कल शाम साढ़े पाँच बजे के बाद", "tomorrow evening after five thirty o'clock"),
        ("हेब्बल, मेरे ऑफ़िस के पास।", "Hebbal, near my office."),
        ("तीन बीएचके अपार्टमेंट", "three BHK apartment"),
        ("दो बेडरूम का फ्लैट", "two bedroom flat"),
        ("बनशंकरी।", "बनशंकरी."),
    ] {
        assert_eq!(in_english(hindi), english, "{hindi}");
    }
}

#[test]
fn one_spelling_is_as_good_as_another() {
    for (one, other) in
        [("हाँ, पाँच", "हां, पांच"), ("फ़ोन मत करना", "फोन मत करना"), ("करोड\u{93c}", "करो\u{95c}"), ("५ लाख", "5 लाख")]
    {
        assert_eq!(in_english(one), in_english(other));
    }
}

/// Everything that the scripts say means in Hindi what it means in English.
#[test]
fn people_mean_the_same_in_both_languages() {
    let scripts = scenarios::scripts();
    let steps: Vec<_> = scripts.values().flat_map(|script| script.attempts.concat()).collect();
    let mut differ = Vec::new();
    for line in Callee::texts(&steps, Language::English) {
        let hindi = in_english(Language::Hindi.says(&line));
        // "It is for my parents" begins like a yes; what it states counts.
        let meant = |text: &str| match intent(text) {
            Intent::Yes if !volunteered(text).is_empty() => Intent::Statement,
            other => other,
        };
        let kinds = |text: &str| volunteered(text).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        let (ours, theirs) = ((meant(&hindi), kinds(&hindi)), (meant(&line), kinds(&line)));
        if ours != theirs {
            differ.push(format!("{line:?} {theirs:?} is {hindi:?} {ours:?}"));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

fn tools() -> Vec<Tool> {
    let text = serde_json::json!({ "type": "string" });
    let tool = |name: &str, properties: serde_json::Value| Tool {
        name: name.into(),
        parameters: serde_json::json!({ "type": "object", "properties": properties }),
    };
    let fields = ["purpose", "budget", "timeline", "location", "property_type", "site_visit"];
    vec![
        tool("end_call", serde_json::json!({ "reason": text })),
        tool("record_answer", serde_json::json!({ "field": { "type": "string", "enum": fields }, "value": text })),
        tool("schedule_callback", serde_json::json!({ "when": text })),
        tool("mark_do_not_call", serde_json::json!({ "note": { "type": ["string", "null"] } })),
    ]
}

/// A call in Hindi: tools are answered, and the model is asked again after a reply without words.
struct Rehearsal(Conversation);

impl Rehearsal {
    fn new() -> Self {
        let prompt = "# What to find out\n- purpose: why (one of: own_use, investment, rent)\n- budget: how much\n- timeline: when\n\
            - location: where\n- property_type: what\n- site_visit: day\n\n# This call\nYou are Asha, an AI assistant of Lake View \
            Homes. Speak Hindi, simply and kindly.\n\n# Facts about the person\n- location: \"Hebbal\"\n";
        let message = Message { role: Role::System, text: prompt.into(), calls: vec![] };
        let mut call =
            Self(Conversation { messages: vec![message], tools: tools(), choice: Choice::Auto, parallel: true });
        call.say(Role::Assistant, "नमस्ते Ravi जी, मैं Asha बोल रही हूँ। क्या अभी बात कर सकते हैं?");
        call
    }

    fn say(&mut self, role: Role, text: &str) {
        self.0.messages.push(Message { role, text: text.into(), calls: vec![] });
    }

    fn hear(&mut self, text: &str) -> String {
        self.say(Role::User, text);
        for _round in 0..8 {
            let Reply { text, calls } = reply(&self.0);
            self.0.messages.push(Message { role: Role::Assistant, text: text.clone(), calls });
            if !text.is_empty() {
                return text;
            }
            self.say(Role::Tool, "ok");
        }
        panic!("no words in eight rounds: {:?}", self.calls())
    }

    fn calls(&self) -> Vec<&Call> {
        self.0.messages.iter().flat_map(|message| &message.calls).collect()
    }

    fn recorded(&self) -> BTreeMap<&str, &str> {
        let records = self.calls().into_iter().filter(|call| call.name == "record_answer");
        records
            .filter_map(|call| Some((call.arguments["field"].as_str()?, call.arguments["value"].as_str()?)))
            .collect()
    }

    fn names(&self) -> Vec<&str> {
        self.calls().iter().map(|call| call.name.as_str()).collect()
    }
}

#[test]
fn a_lead_is_qualified_in_hindi_and_recorded_in_english() {
    let mut call = Rehearsal::new();
    let mut asked = vec![call.hear("हाँ जी, बोलिए।")];
    for answer in ["परिवार के साथ रहने के लिए।", "करीब नब्बे लाख।", "अगले तीन महीने में।", "हाँ, सही है।", "तीन बीएचके अपार्टमेंट।"]
    {
        asked.push(call.hear(answer));
    }
    for (line, word) in asked.iter().zip(["रहने", "बजट", "कब तक", "Hebbal", "किस तरह", "साइट विज़िट"])
    {
        assert!(line.contains(word) && line.ends_with('?'), "{asked:#?}");
    }
    let bye = call.hear("हाँ, शनिवार सुबह ग्यारह बजे ठीक रहेगा।");
    assert!(bye.contains("शनिवार सुबह ग्यारह बजे") && bye.ends_with("नमस्ते।"), "{bye}");
    let expected = [
        ("budget", "around ninety lakh"),
        ("location", "Hebbal"),
        ("property_type", "three bhk apartment"),
        ("purpose", "own_use"),
        ("site_visit", "saturday morning at eleven o'clock"),
        ("timeline", "within next three months"),
    ];
    assert_eq!(call.recorded(), BTreeMap::from(expected));
    assert!(call.names().contains(&"end_call"));
}

#[test]
fn refusals_and_wishes_have_their_consequences() {
    let mut call = Rehearsal::new();
    call.hear("मुझे कॉल मत करना।");
    assert_eq!(call.names(), ["mark_do_not_call", "end_call"]);
    let mut call = Rehearsal::new();
    assert!(call.hear("गलत नंबर है।").contains("नंबर गलत"));
    let mut call = Rehearsal::new();
    assert!(call.hear("मैं व्यस्त हूँ, बाद में।").contains("कब फ़ोन"));
    call.hear("कल शाम छह बजे के बाद।");
    let when =
        call.calls().iter().find(|call| call.name == "schedule_callback").map(|call| call.arguments["when"].clone());
    assert_eq!(when, Some("tomorrow evening after six o'clock".into()));
    let mut call = Rehearsal::new();
    assert!(call.hear("मुझे कोई दिलचस्पी नहीं है।").contains("समय ठीक नहीं"));
    assert!(call.hear("नहीं, धन्यवाद।").contains("आपके समय के लिए धन्यवाद"));
}

#[test]
fn a_line_is_repeated_in_the_words_in_which_it_was_said() {
    let mut call = Rehearsal::new();
    let line = call.hear("हाँ");
    assert_eq!(call.hear("माफ़ कीजिए, दोबारा बोलिए?"), line);
    call.say(Role::Assistant, "आपके लिए कौन-सा इलाका सबसे ठीक —");
    assert_eq!(call.hear("क्या?"), "आपके लिए कौन-सा इलाका सबसे ठीक");
}

#[test]
fn an_english_prompt_is_answered_in_english_even_where_hindi_is_heard() {
    let mut call = Rehearsal::new();
    call.0.messages[0].text = "You are Asha. Speak English, simply and kindly.".into();
    assert!(call.hear("हाँ, बोलिए।").contains("home to live in"));
}

/// Questions of the caller and what somebody answers who has an answer of their own to every topic.
#[test]
fn people_know_what_the_caller_asks_in_hindi_as_in_english() {
    let topics = [
        "good_time",
        "purpose",
        "budget",
        "timeline",
        "location",
        "property_type",
        "site_visit",
        "callback_time",
        "goodbye",
    ];
    let answers: BTreeMap<Topic, String> = topics
        .iter()
        .map(|topic| (serde_json::from_value(serde_json::json!(topic)).unwrap(), (*topic).to_owned()))
        .collect();
    let mut people = Replies::new(&answers, &[], &["?".to_owned()]);
    for (english, hindi) in lines::LINES {
        let (english, hindi) =
            (english.replace("{1}", "x").replace("{2}", "y"), hindi.replace("{1}", "x").replace("{2}", "y"));
        if english.ends_with('?') || english.contains("oodbye") {
            let answer = people.choose(&english);
            // Of one question in English, only the previous one tells what is meant.
            if answer.0 != "?" {
                assert_eq!(people.choose(&hindi), answer, "{hindi} ({english})");
            }
        }
    }
}
