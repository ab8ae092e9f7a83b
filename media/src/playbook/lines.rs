//! Sentences that no model is asked for: they must come at once, or come when the model cannot.

use serde::{Deserialize, Serialize};

/// The fixed lines of one language. Short, and worth keeping in the phrase cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lines {
    /// After silence, first to last.
    pub reprompts: Vec<String>,
    /// Nobody answered the re-prompts.
    pub silence_goodbye: String,
    /// Voice was heard, but no words.
    pub not_understood: String,
    /// The model failed twice.
    pub apology: String,
    /// It failed again in the next turn.
    pub failure_goodbye: String,
    /// The time is over.
    pub time_goodbye: String,
    /// `end_call` without words of its own.
    pub goodbye: String,
    /// `transfer_to_human` without words of its own.
    pub transfer: String,
    /// After a lost stream came back, before the conversation goes on. Says nothing of where it was.
    pub bridge: String,
}

impl Default for Lines {
    fn default() -> Self {
        Self::english()
    }
}

impl Lines {
    /// Devanagari for Hindi, otherwise English: voices for the other languages of India speak English lines well, and a
    /// voice agent can bring its own.
    pub fn for_language(language: &str) -> Self {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("hi") && !language.to_ascii_lowercase().ends_with("en") {
            Self::hindi()
        } else {
            Self::english()
        }
    }

    pub fn english() -> Self {
        Self {
            reprompts: vec!["Hello, are you still there?".to_owned(), "I can't hear you. Can you hear me?".to_owned()],
            silence_goodbye: "I can't hear you, so I will try again another time. Goodbye.".to_owned(),
            not_understood: "Sorry, I did not catch that. Could you say it again?".to_owned(),
            apology: "Sorry, I had a small problem on my side. Could you say that once more?".to_owned(),
            failure_goodbye: "I am sorry, I have a technical problem. We will call you back. Goodbye.".to_owned(),
            time_goodbye: "I am sorry, our time is up. Thank you for talking with me. Goodbye.".to_owned(),
            goodbye: "Thank you for your time. Goodbye.".to_owned(),
            transfer: "One moment please, I am connecting you.".to_owned(),
            bridge: "Sorry, the line dropped for a moment.".to_owned(),
        }
    }

    pub fn hindi() -> Self {
        Self {
            reprompts: vec![
                "हैलो, क्या आप लाइन पर हैं?".to_owned(),
                "मुझे आपकी आवाज़ नहीं आ रही। क्या आप मुझे सुन पा रहे हैं?".to_owned(),
            ],
            silence_goodbye: "आपकी आवाज़ नहीं आ रही, मैं बाद में कॉल करूँगी। नमस्ते।".to_owned(),
            not_understood: "माफ़ कीजिए, मैं ठीक से सुन नहीं पाई। क्या आप दोबारा कह सकते हैं?".to_owned(),
            apology: "माफ़ कीजिए, मेरी तरफ़ थोड़ी दिक्कत हुई। क्या आप एक बार फिर कहेंगे?".to_owned(),
            failure_goodbye: "माफ़ कीजिए, कुछ तकनीकी समस्या है। हम आपको फिर कॉल करेंगे। नमस्ते।".to_owned(),
            time_goodbye: "माफ़ कीजिए, हमारा समय पूरा हो गया है। बात करने के लिए धन्यवाद। नमस्ते।".to_owned(),
            goodbye: "आपके समय के लिए धन्यवाद। नमस्ते।".to_owned(),
            transfer: "एक क्षण, मैं आपको हमारे सलाहकार से जोड़ रही हूँ।".to_owned(),
            bridge: "माफ़ कीजिए, एक पल के लिए लाइन कट गई थी।".to_owned(),
        }
    }
}
