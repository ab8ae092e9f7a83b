//! Whether a text message asks never to be called again, or takes that back. Pure.
//!
//! A message of little but a command ("STOP", "Stop please") and one that holds a phrase such as "do not call" anywhere are
//! taken for the wish. "Do not call before five" is taken for it too: a text cannot be asked what it means, a call after it
//! cannot be taken back, and START lifts it.

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Never to be called again.
    Stop,
    /// To take a texted stop back.
    Start,
}

impl Intent {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

/// A command stands alone, but for so many words like "please".
const MOST_FILLERS: usize = 4;

/// Alone in a message, or with fillers: the words that carriers and the FCC name, and their like.
const STOP_COMMANDS: &str = "stop, stopall, unsubscribe, cancel, end, quit, revoke, optout, opt out, remove, dnd, dnc, \
    roko, roko mat, rokein, rokiye, rok do, band karo, bandh karo, band karein, band kijiye, hatao, nikalo, \
    रोकें, रोको, रोकिए, रोकिये, रोक दो, रोक दें, बंद, बंद करो, बंद करें, बंद कीजिए, बंद कर दो, बंद करा, बन्द करो, बन्द करें, \
    हटाओ, हटाएं, हटा दो, थांबा, थांबवा, বন্ধ, বন্ধ করুন, বন্ধ করো, বন্ধ কর, বন্ধ কৰক, থামুন, থামাও, \
    நிறுத்து, நிறுத்துங்கள், நிறுத்தவும், వద్దు, ఆపు, ఆపండి, ఆపివేయండి, ನಿಲ್ಲಿಸು, ನಿಲ್ಲಿಸಿ, ಬೇಡ, നിർത്തുക, നിർത്തൂ, നിര്‍ത്തുക, വേണ്ട, \
    બંધ, બંધ કરો, રોકો, ਬੰਦ, ਬੰਦ ਕਰੋ, ਰੋਕੋ, ବନ୍ଦ, ବନ୍ଦ କର, ବନ୍ଦ କରନ୍ତୁ, بند, بند کرو, بند کریں, روکو, روکیں";

/// Anywhere in a message.
const STOP_PHRASES: &str = "do not call, dont call, do not ever call, never call, stop calling, stop all calls, stop the calls, \
    stop these calls, stop your calls, no more calls, not call me, not call again, do not contact, dont contact, stop contacting, \
    do not phone, dont phone, do not disturb, remove my number, remove me, delete my number, take me off, unsubscribe, \
    unsubscribe me, opt me out, opt out, \
    call mat, mat call, mat karo call, mat karo phone, phone mat, fon mat, mat karo phone, call na karo, call na kare, \
    call na karen, call na karein, call nahi chahiye, call band, calls band, call karna band, phone karna band, phone na karo, \
    phone na kare, phone na karen, pareshan mat, contact mat, number hata, \
    कॉल मत, काल मत, मत करो कॉल, कॉल ना, कॉल न, कॉल नहीं चाहिए, कॉल बंद, कॉल करना बंद, फोन मत, फोन ना, फोन न, फोन करना बंद, फोन बंद, \
    संपर्क न, संपर्क ना, संपर्क मत, परेशान मत, नंबर हटा, \
    कॉल करू नका, फोन करू नका, कॉल नको, फोन नको, \
    কল করবেন না, ফোন করবেন না, কল করো না, ফোন করো না, কল বন্ধ, ফোন বন্ধ, ফোন নকৰিব, কল নকৰিব, \
    அழைக்க வேண்டாம், அழைக்காதீர்கள், அழைக்காதே, கால் பண்ணாதீங்க, போன் பண்ணாதீங்க, கால் செய்யாதீர்கள், போன் செய்யாதீர்கள், கால் வேண்டாம், \
    కాల్ చేయవద్దు, కాల్ చేయకండి, కాల్ చెయ్యొద్దు, కాల్ చేయొద్దు, ఫోన్ చేయవద్దు, ఫోన్ చేయకండి, ఫోన్ చెయ్యొద్దు, ఫోన్ చేయొద్దు, \
    ಕರೆ ಮಾಡಬೇಡಿ, ಕಾಲ್ ಮಾಡಬೇಡಿ, ಫೋನ್ ಮಾಡಬೇಡಿ, ಕರೆ ಬೇಡ, ಕಾಲ್ ಬೇಡ, \
    വിളിക്കരുത്, വിളിക്കണ്ട, വിളിക്കേണ്ട, കോൾ ചെയ്യരുത്, ഫോൺ ചെയ്യരുത്, കോൾ വേണ്ട, \
    કોલ ના કરો, કોલ ન કરો, કૉલ ના કરો, કૉલ ન કરો, ફોન ના કરો, ફોન ન કરો, કોલ બંધ, \
    ਕਾਲ ਨਾ ਕਰੋ, ਕਾਲ ਨਾ, ਫੋਨ ਨਾ ਕਰੋ, ਫੋਨ ਨਾ, ਕਾਲ ਬੰਦ, \
    କଲ୍ କରନ୍ତୁ ନାହିଁ, ଫୋନ୍ କରନ୍ତୁ ନାହିଁ, କଲ କରନ୍ତୁ ନାହିଁ, ଫୋନ କରନ୍ତୁ ନାହିଁ, \
    کال نہ کریں, کال نہ کرو, کال مت, فون نہ کریں, فون نہ کرو, فون مت";

const START_COMMANDS: &str = "start, unstop";

/// Beside a command they change nothing.
const FILLERS: &str = "please, pls, plz, plzz, kindly, sir, madam, mam, maam, ji, now, all, it, this, these, me, the, calls, call, \
    calling, messages, message, sms, msg, immediately, thanks, thank, you, ok, hi, hello, yaar, bhai, kripya, कृपया, जी, प्लीज";

/// What `body` asks for, if it asks for either.
#[must_use]
pub fn intent(body: &str) -> Option<Intent> {
    let words = words(body);
    if words.is_empty() {
        return None;
    }
    // Whoever writes both is not to be called.
    if is_command(&words, STOP_COMMANDS) || list(STOP_PHRASES).any(|phrase| contains(&words, &phrase)) {
        return Some(Intent::Stop);
    }
    is_command(&words, START_COMMANDS).then_some(Intent::Start)
}

/// A command with nothing beside it but fillers.
fn is_command(words: &[String], commands: &'static str) -> bool {
    let fillers: Vec<Vec<String>> = list(FILLERS).collect();
    list(commands).any(|command| {
        words.windows(command.len()).enumerate().any(|(at, window)| {
            let mut others = words[..at].iter().chain(&words[at + command.len()..]);
            window == command && words.len() <= command.len() + MOST_FILLERS
                // "Stop stop stop" is one command, said with emphasis.
                && others.all(|word| command.contains(word) || fillers.iter().any(|filler| filler[0] == *word))
        })
    })
}

fn contains(words: &[String], phrase: &[String]) -> bool {
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// Phrases divided by commas, each as its words.
fn list(phrases: &'static str) -> impl Iterator<Item = Vec<String>> {
    phrases.split(',').map(words)
}

/// Small letters; without apostrophes, and without what Indian scripts write in two ways (the nukta, joiners). Everything else
/// that is no letter divides words.
fn words(text: &str) -> Vec<String> {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '’' | '‘' | '`' | '\u{200c}' | '\u{200d}' | '\u{93c}' | '\u{9bc}' | '\u{a3c}' | '\u{abc}'
            | '\u{b3c}' => {}
            // Letters with their nukta in one code point, as without it.
            '\u{958}'..='\u{95f}' => plain.push(['क', 'ख', 'ग', 'ज', 'ड', 'ढ', 'फ', 'य'][c as usize - 0x958]),
            '\u{a5e}' => plain.push('ਫ'),
            c if c.is_alphanumeric() || ('\u{900}'..='\u{dff}').contains(&c) && !matches!(c, '\u{964}' | '\u{965}') => {
                plain.extend(c.to_lowercase());
            }
            _ => plain.push(' '),
        }
    }
    plain.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_carriers_stop_whatever_their_case_and_courtesy() {
        for body in [
            "STOP",
            "stop",
            " Stop. ",
            "Stop please!",
            "pls stop",
            "STOP STOP STOP",
            "stop all",
            "stop calling me",
            "StopAll",
            "UNSUBSCRIBE",
            "Cancel",
            "END",
            "quit",
            "opt-out",
            "Opt out please",
            "“STOP”",
            "STOP 🙏",
            "dnd",
        ] {
            assert_eq!(intent(body), Some(Intent::Stop), "{body}");
        }
    }

    #[test]
    fn a_sentence_that_forbids_calls_stops() {
        for body in [
            "Do not call me again",
            "please don't call",
            "Don’t call this number, I bought a flat already",
            "DONT CALL!!",
            "Kindly remove my number from your list",
            "no more calls please",
            "do not call before 5 pm",
        ] {
            assert_eq!(intent(body), Some(Intent::Stop), "{body}");
        }
    }

    #[test]
    fn the_languages_of_india_are_understood() {
        for body in [
            "mat karo call",
            "call mat karo",
            "mujhe call mat karna bhai",
            "Call na karein",
            "band karo",
            "बंद करो",
            "रोकें",
            "बंद करें जी",
            "कृपया रोकें",
            "मुझे फ़ोन मत करो",
            "मुझे फ\u{93c}ोन मत करो",
            "कॉल करना बंद करो।",
            "कॉल करू नका",
            "থামুন",
            "আমাকে কল করবেন না",
            "நிறுத்து",
            "என்னை அழைக்க வேண்டாம்",
            "ఆపండి",
            "నాకు కాల్ చేయవద్దు",
            "ನಿಲ್ಲಿಸಿ",
            "ಕರೆ ಮಾಡಬೇಡಿ",
            "നിർത്തുക",
            "എന്നെ വിളിക്കരുത്",
            "બંધ કરો",
            "ફોન ના કરો",
            "ਬੰਦ ਕਰੋ",
            "ਮੈਨੂੰ ਫ਼ੋਨ ਨਾ ਕਰੋ",
            "ବନ୍ଦ କରନ୍ତୁ",
            "فون نہ کریں",
            "بند کرو",
        ] {
            assert_eq!(intent(body), Some(Intent::Stop), "{body}");
        }
    }

    #[test]
    fn start_is_only_start() {
        for body in ["START", "start", "Unstop", "start please"] {
            assert_eq!(intent(body), Some(Intent::Start), "{body}");
        }
        assert_eq!(intent("don't call, start looking elsewhere"), Some(Intent::Stop));
        assert_eq!(intent("start stop"), None, "neither stands alone; nothing is lifted");
    }

    #[test]
    fn other_messages_are_left_alone() {
        for body in [
            "",
            "   ",
            "🙏",
            "Yes",
            "Call me tomorrow at 5",
            "The bus stop is near the site",
            "I will stop by on Sunday",
            "Please cancel my site visit and give me another day",
            "When does the offer end?",
            "कल कॉल करो",
            "What is the price",
        ] {
            assert_eq!(intent(body), None, "{body}");
        }
    }
}
