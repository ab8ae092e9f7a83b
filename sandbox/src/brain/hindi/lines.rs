//! The caller's own lines in English and Hindi, with numbered slots. A woman speaks.

use super::{lexicon, values};

pub(super) const LINES: &[(&str, &str)] = &[
    (
        "Hello, this is {1} from {2}, about your property enquiry. Is this a good time to talk?",
        "नमस्ते, मैं {1} बोल रही हूँ, {2} से, आपकी प्रॉपर्टी की पूछताछ के बारे में। क्या अभी बात कर सकते हैं?",
    ),
    ("Are you looking for a home to live in, or to invest?", "आप घर रहने के लिए ढूँढ रहे हैं या निवेश के लिए?"),
    ("What budget do you have in mind?", "आपका बजट कितना है?"),
    ("When are you planning to move in or decide?", "आप कब तक घर लेना चाहते हैं?"),
    ("Which area do you prefer?", "आपको कौन सा इलाका पसंद है?"),
    (
        "What type of property would you like, for example a two bedroom apartment or a villa?",
        "आपको किस तरह की प्रॉपर्टी चाहिए, जैसे दो बेडरूम का अपार्टमेंट या विला?",
    ),
    ("Would you like to come for a site visit this weekend?", "क्या आप इस वीकेंड साइट विज़िट के लिए आना चाहेंगे?"),
    ("May I ask you about this: {1}?", "क्या मैं आपसे इसके बारे में पूछ सकती हूँ: {1}?"),
    ("Could you tell me your {1}?", "क्या आप मुझे अपना {1} बता सकते हैं?"),
    (
        "I mean, is the home for yourself to live in, or is it to invest?",
        "मेरा मतलब है, घर अपने रहने के लिए है या निवेश के लिए?",
    ),
    (
        "Even a rough budget helps, for example up to eighty lakhs. What would be comfortable?",
        "मोटा-मोटा बजट भी काफ़ी है, जैसे अस्सी लाख तक। आपके लिए कितना ठीक रहेगा?",
    ),
    ("Roughly when, for example within three months or next year?", "मोटे तौर पर कब तक, जैसे तीन महीने में या अगले साल?"),
    ("Which area or locality should we look in?", "हमें किस इलाके में देखना चाहिए?"),
    (
        "Would that be an apartment, a villa or a plot? What type of property suits you?",
        "अपार्टमेंट, विला या प्लॉट? आपके लिए किस तरह की प्रॉपर्टी ठीक रहेगी?",
    ),
    ("Which day would suit you for a site visit?", "साइट विज़िट के लिए आपको कौन सा दिन ठीक रहेगा?"),
    ("I see that the purpose is {1}. Is that still right?", "मेरे पास घर लेने का मक़सद {1} लिखा है। क्या यह अब भी सही है?"),
    ("I see your budget is {1}. Is that still right?", "मेरे पास आपका बजट {1} लिखा है। क्या यह अब भी सही है?"),
    ("I see your timeline is {1}. Is that still right?", "मेरे पास लिखा है कि आप घर {1} लेना चाहते हैं। क्या यह अब भी सही है?"),
    (
        "I see you prefer the location {1}. Is that still right?",
        "मेरे पास आपका पसंदीदा इलाका {1} लिखा है। क्या यह अब भी सही है?",
    ),
    (
        "I see the property type you want is {1}. Is that still right?",
        "मेरे पास प्रॉपर्टी का प्रकार {1} लिखा है। क्या यह अब भी सही है?",
    ),
    ("I have noted {1} as your {2}. Is that still right?", "मैंने {2} के लिए {1} लिखा है। क्या यह अब भी सही है?"),
    ("That is good to know.", "यह जानकर अच्छा लगा।"),
    ("Thank you, that helps.", "धन्यवाद, इससे मदद मिलेगी।"),
    ("Understood.", "समझ गई।"),
    ("Nice choice.", "अच्छी पसंद है।"),
    ("Great, we have some of those.", "बढ़िया, हमारे पास ऐसे विकल्प हैं।"),
    ("Noted, thank you.", "नोट कर लिया, धन्यवाद।"),
    ("Alright.", "ठीक है।"),
    ("Thank you.", "धन्यवाद।"),
    (
        "I am {1}, an AI assistant from {2}, calling about your property enquiry.",
        "मैं {1} हूँ, {2} की AI सहायक, आपकी प्रॉपर्टी की पूछताछ के बारे में फ़ोन कर रही हूँ।",
    ),
    (
        "Yes, I am an AI assistant, and a human advisor can call you any time.",
        "हाँ, मैं AI सहायक हूँ, और हमारे सलाहकार आपको कभी भी फ़ोन कर सकते हैं।",
    ),
    (
        "You had enquired about a property with us and left this number.",
        "आपने हमसे प्रॉपर्टी के बारे में पूछा था और यह नंबर दिया था।",
    ),
    (
        "Prices depend on the project, and our advisor will confirm them.",
        "दाम प्रोजेक्ट पर निर्भर हैं, हमारे सलाहकार आपको ठीक बताएँगे।",
    ),
    ("Sure, our team will send you the details.", "ज़रूर, हमारी टीम आपको जानकारी भेज देगी।"),
    ("Our advisor will be happy to explain that.", "हमारे सलाहकार आपको यह ख़ुशी से समझाएँगे।"),
    ("Of course, a human advisor will call you.", "ज़रूर, हमारे सलाहकार आपको ख़ुद फ़ोन करेंगे।"),
    ("Please go ahead.", "जी, बोलिए।"),
    ("No problem. When may I call you back?", "कोई बात नहीं। मैं आपको फिर कब फ़ोन करूँ?"),
    (
        "I understand. May I ask, is it the timing, or the property itself?",
        "समझ गई। क्या समय ठीक नहीं है, या प्रॉपर्टी ही पसंद नहीं?",
    ),
    ("Sure, I will call you back {1}. Thank you, goodbye.", "ठीक है, मैं आपको {1} फ़ोन करूँगी। धन्यवाद, नमस्ते।"),
    (
        "I am sorry for the disturbance. We will not call you again. Goodbye.",
        "परेशानी के लिए माफ़ कीजिए। हम आपको दोबारा फ़ोन नहीं करेंगे। नमस्ते।",
    ),
    (
        "I am sorry, I must have the wrong number. Have a good day, goodbye.",
        "माफ़ कीजिए, नंबर गलत लग गया। आपका दिन शुभ हो, नमस्ते।",
    ),
    ("I understand. Thank you for your time, goodbye.", "समझ गई। आपके समय के लिए धन्यवाद, नमस्ते।"),
    ("Congratulations on your new home! Thank you for telling me, goodbye.", "नए घर की बधाई! बताने के लिए धन्यवाद, नमस्ते।"),
    ("Thank you for your time, goodbye.", "आपके समय के लिए धन्यवाद, नमस्ते।"),
    (
        "No problem, our advisor will share more details. Thank you for your time, goodbye.",
        "कोई बात नहीं, हमारे सलाहकार आपको और जानकारी देंगे। आपके समय के लिए धन्यवाद, नमस्ते।",
    ),
    (
        "Wonderful, I have noted the site visit for {1}, and our advisor will confirm it. Thank you, goodbye.",
        "बहुत बढ़िया, मैंने साइट विज़िट {1} के लिए लिख ली है, हमारे सलाहकार आपसे पक्का कर लेंगे। धन्यवाद, नमस्ते।",
    ),
];

/// What stands in a slot is a name or an answer; nobody says more.
const LONGEST_VALUE: usize = 300;

/// A text of the caller's lines in Hindi. Anything else in it stays.
pub(super) fn in_hindi(text: &str) -> String {
    let pairs = LINES.iter().map(|(english, hindi)| (*english, *hindi));
    translate(text, &pairs.collect::<Vec<_>>(), values::in_hindi, str::to_owned)
}

/// What the caller said, in English. Words of no line (another wrote it, or it was cut off) go through the lexicon.
pub(super) fn in_english(text: &str) -> String {
    let pairs = LINES.iter().map(|(english, hindi)| (*hindi, *english));
    translate(text, &pairs.collect::<Vec<_>>(), lexicon::in_english, lexicon::in_english)
}

/// Line after line, each time the one that covers most.
fn translate(text: &str, pairs: &[(&str, &str)], value: fn(&str) -> String, otherwise: fn(&str) -> String) -> String {
    let mut translated: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let found = pairs
            .iter()
            .filter_map(|(from, to)| matched(from, rest).map(|(length, slots)| (length, slots, *to)))
            .max_by_key(|(length, ..)| *length);
        let length = match found {
            Some((length, slots, to)) => {
                translated.push(filled(to, &slots, value));
                length
            }
            None => {
                let length = sentence(rest);
                translated.push(otherwise(&rest[..length]));
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    translated.join(" ")
}

/// How many bytes of `text` the line covers from the beginning, and what stands in its slots, by number.
fn matched<'a>(line: &str, text: &'a str) -> Option<(usize, Vec<(&'static str, &'a str)>)> {
    const SLOTS: [&str; 2] = ["{1}", "{2}"];
    let (mut line, mut at) = (line, 0);
    let mut slots = Vec::new();
    loop {
        let next = SLOTS.iter().filter_map(|slot| Some((line.find(slot)?, *slot))).min();
        let Some((before, slot)) = next else {
            let end = at + text[at..].strip_prefix(line).map(|_| line.len())?;
            let is_whole = text[end..].is_empty() || text[end..].starts_with(char::is_whitespace);
            return is_whole.then_some((end, slots));
        };
        at += text[at..].strip_prefix(&line[..before]).map(|_| before)?;
        line = &line[before + slot.len()..];
        let literal = SLOTS.iter().filter_map(|slot| line.find(slot)).min().map_or(line, |until| &line[..until]);
        let length = text[at..].find(literal).filter(|length| (1..LONGEST_VALUE).contains(length))?;
        slots.push((slot, &text[at..at + length]));
        at += length;
    }
}

fn filled(line: &str, slots: &[(&str, &str)], value: fn(&str) -> String) -> String {
    slots.iter().fold(line.to_owned(), |line, (slot, text)| line.replace(slot, &value(text)))
}

/// Length of the first sentence.
fn sentence(text: &str) -> usize {
    let ends = |(at, c): (usize, char)| {
        let end = at + c.len_utf8();
        (matches!(c, '.' | '?' | '!' | '।') && text[end..].starts_with(char::is_whitespace)).then_some(end)
    };
    text.char_indices().find_map(ends).unwrap_or(text.len())
}
