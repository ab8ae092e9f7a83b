//! Which speech services reach which language, and so who hears and who speaks in a call: one answer for `media`, which holds it, and
//! for whoever looks at a campaign before it starts.
//!
//! The tables are the providers' own lists (Deepgram's models, ElevenLabs' models, Sarvam's speech services) as of November 2026. The
//! Indian languages beside Hindi are Sarvam's alone, mostly: it stands in wherever its key is there.

use crate::language;
use crate::provider::{Choice, Provider, ProviderKeys, SttProvider, TtsProvider};
use crate::voice_agent::VoiceAgentSettings;

/// Nova-3 and Flux, alone or mixed.
const DEEPGRAM: &[&str] = &["en", "es", "fr", "de", "hi", "ru", "pt", "ja", "it", "nl"];
/// Flash and Turbo 2.5.
const ELEVENLABS: &[&str] = &[
    "en", "ja", "zh", "de", "hi", "fr", "ko", "pt", "it", "es", "id", "nl", "tr", "fil", "pl", "sv", "bg", "ro", "ar",
    "cs", "el", "fi", "hr", "ms", "sk", "da", "ta", "uk", "ru", "hu", "no", "vi",
];
/// What version 3 adds of India's.
const ELEVENLABS_3: &[&str] = &["as", "bn", "gu", "kn", "ml", "mr", "pa", "te", "ur"];
const SARVAM_HEARS: &[&str] = &[
    "hi", "bn", "gu", "kn", "ml", "mr", "or", "od", "pa", "ta", "te", "en", "as", "ur", "ne", "kok", "ks", "sd", "sa",
    "sat", "mni", "brx", "mai", "doi",
];
const SARVAM_SPEAKS: &[&str] = &["bn", "en", "gu", "hi", "kn", "ml", "mr", "or", "od", "pa", "ta", "te"];

/// Who hears and speaks where a voice agent does not say.
#[derive(Clone, Debug, clap::Args)]
pub struct SpeechConfig {
    /// Who hears: `deepgram`, `deepgram_flux`, `sarvam` or `openai`, perhaps with a model (`sarvam/saaras:v3-realtime`).
    #[arg(long, env = "STT_PROVIDER", default_value = "deepgram")]
    pub stt_provider: Choice<SttProvider>,
    /// Who takes over in the middle of a call when the first choice fails, and who hears what the first choice does not understand.
    #[arg(long, env = "STT_FALLBACK")]
    pub stt_fallback: Option<Choice<SttProvider>>,
    /// Who speaks: `elevenlabs`, `sarvam`, `openai` or `deepgram`, perhaps with model and voice (`sarvam/bulbul:v3@shubh`).
    #[arg(long, env = "TTS_PROVIDER", default_value = "elevenlabs")]
    pub tts_provider: Choice<TtsProvider>,
    /// As for hearing.
    #[arg(long, env = "TTS_FALLBACK")]
    pub tts_fallback: Option<Choice<TtsProvider>>,
    /// Nova's model, where none is named.
    #[arg(long, env = "DEEPGRAM_MODEL", default_value = "nova-3")]
    pub deepgram_model: String,
    /// Speech model: low latency matters more than the last bit of expression.
    #[arg(long, env = "ELEVENLABS_MODEL", default_value = "eleven_flash_v2_5")]
    pub elevenlabs_model: String,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self {
            stt_provider: Choice::of(SttProvider::Deepgram),
            stt_fallback: None,
            tts_provider: Choice::of(TtsProvider::ElevenLabs),
            tts_fallback: None,
            deepgram_model: "nova-3".to_owned(),
            elevenlabs_model: "eleven_flash_v2_5".to_owned(),
        }
    }
}

/// The bare language of a BCP 47 tag. Odia is `or`, and `od` to some.
fn base(tag: &str) -> String {
    tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Whether the provider understands a language, with this model.
#[must_use]
pub fn hears(provider: SttProvider, model: Option<&str>, tag: &str) -> bool {
    let base = base(tag);
    let (english, listed) = (base == "en" && !language::is_mixed(tag), |list: &[&str]| list.contains(&base.as_str()));
    match provider {
        // Of the models for telephones and trades only English is known to be understood.
        SttProvider::Deepgram => match model.unwrap_or("nova-3") {
            "nova-3" | "nova-3-general" => listed(DEEPGRAM),
            "nova-2" | "nova-2-general" => listed(DEEPGRAM) && !language::is_mixed(tag),
            _ => english,
        },
        SttProvider::DeepgramFlux => english || model.is_none_or(|model| model.ends_with("-multi")) && listed(DEEPGRAM),
        SttProvider::Sarvam => listed(SARVAM_HEARS),
        SttProvider::OpenAi => true,
    }
}

/// Whether the provider can say something in a language, with this model or voice.
#[must_use]
pub fn speaks(provider: TtsProvider, model: Option<&str>, voice: Option<&str>, tag: &str) -> bool {
    let base = base(tag);
    let listed = |list: &[&str]| list.contains(&base.as_str());
    match provider {
        TtsProvider::ElevenLabs => match model.unwrap_or("eleven_flash_v2_5") {
            "eleven_flash_v2" | "eleven_turbo_v2" | "eleven_monolingual_v1" => base == "en",
            "eleven_multilingual_v2" => listed(ELEVENLABS) && !listed(&["hu", "no", "vi"]),
            model if model.starts_with("eleven_v3") => listed(ELEVENLABS) || listed(ELEVENLABS_3),
            _ => listed(ELEVENLABS),
        },
        TtsProvider::Sarvam => listed(SARVAM_SPEAKS),
        // A voice is a model there, and its last part its language: `aura-2-thalia-en`.
        TtsProvider::Deepgram => {
            let of_voice = voice.or(model).and_then(|name| name.rsplit('-').next()).filter(|part| part.len() == 2);
            of_voice.unwrap_or("en") == base
        }
        TtsProvider::OpenAi => true,
    }
}

/// A provider that a call may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<P> {
    pub choice: Choice<P>,
    /// What the voice agent says of models and voices by themselves is about its first choice.
    pub is_first: bool,
    /// Only where nobody else can be had.
    pub is_last_resort: bool,
    /// Whether it reaches the language.
    pub reaches: bool,
}

/// The voice agent's choices before the installation's, whatever the language. What the installation starts with can always be had.
#[must_use]
pub fn in_order<P: Provider>(
    agents: [Option<&Choice<P>>; 2],
    installations: [Option<&Choice<P>>; 2],
) -> Vec<Candidate<P>> {
    let first = agents[0].or(installations[0]);
    let second = agents[1].or(installations[1]).filter(|second| Some(*second) != first);
    let last = installations[0].filter(|last| Some(*last) != first && Some(*last) != second);
    let candidate = |choice: Option<&Choice<P>>, is_first: bool, is_last_resort: bool| {
        choice.map(|choice| Candidate { choice: choice.clone(), is_first, is_last_resort, reaches: true })
    };
    [candidate(first, true, false), candidate(second, false, false), candidate(last, false, true)]
        .into_iter()
        .flatten()
        .collect()
}

/// What a voice agent and its installation choose among.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    pub agent: &'a VoiceAgentSettings,
    pub installation: &'a SpeechConfig,
    pub keys: &'a ProviderKeys,
}

impl Reach<'_> {
    /// Who may hear a call in this language, best first. Where nobody reaches it: those who would hear any call.
    #[must_use]
    pub fn ears(&self, tag: &str) -> Vec<Candidate<SttProvider>> {
        let reaches = |choice: &Choice<SttProvider>, is_first: bool| {
            let named = choice.model.as_deref().or(self.agent.stt_model.as_deref().filter(|_| is_first));
            let model = match choice.provider {
                SttProvider::Deepgram => named.or(Some(&self.installation.deepgram_model)),
                _ => named,
            };
            hears(choice.provider, model, tag)
        };
        let agents = [self.agent.stt.as_ref(), self.agent.stt_fallback.as_ref()];
        let installations = [Some(&self.installation.stt_provider), self.installation.stt_fallback.as_ref()];
        self.candidates(agents, installations, SttProvider::Sarvam, reaches)
    }

    /// Who may speak in this language, as for hearing.
    #[must_use]
    pub fn voices(&self, tag: &str) -> Vec<Candidate<TtsProvider>> {
        let reaches = |choice: &Choice<TtsProvider>, is_first: bool| {
            let voice = choice.voice.as_deref().or(self.agent.voice_id.as_deref().filter(|_| is_first));
            let model = match choice.provider {
                TtsProvider::ElevenLabs => choice.model.as_deref().or(Some(&self.installation.elevenlabs_model)),
                _ => choice.model.as_deref(),
            };
            speaks(choice.provider, model, voice, tag)
        };
        let agents = [self.agent.tts.as_ref(), self.agent.tts_fallback.as_ref()];
        let installations = [Some(&self.installation.tts_provider), self.installation.tts_fallback.as_ref()];
        self.candidates(agents, installations, TtsProvider::Sarvam, reaches)
    }

    /// Whether a call can be held in this language.
    #[must_use]
    pub fn reaches(&self, tag: &str) -> bool {
        self.hears(tag) && self.speaks(tag)
    }

    /// Whether anybody understands it.
    #[must_use]
    pub fn hears(&self, tag: &str) -> bool {
        self.is_speech_to_speech() || self.ears(tag).iter().any(|ear| ear.reaches && self.has_key(ear.choice.provider))
    }

    /// Whether anybody can say it.
    #[must_use]
    pub fn speaks(&self, tag: &str) -> bool {
        let mut voices = self.voices(tag).into_iter();
        self.is_speech_to_speech() || voices.any(|voice| voice.reaches && self.has_key(voice.choice.provider))
    }

    /// The language a call is held in whose lead has this one: theirs, or the voice agent's own where nobody reaches that.
    #[must_use]
    pub fn language(&self, wanted: &str) -> String {
        if self.reaches(wanted) { wanted.to_owned() } else { self.agent.language.clone() }
    }

    /// Such a model knows them all.
    fn is_speech_to_speech(&self) -> bool {
        self.agent.speech_to_speech.as_ref().is_some_and(|choice| self.has_key(choice.provider))
    }

    fn has_key(&self, provider: impl Provider) -> bool {
        self.keys.of(provider.vendor()).is_some()
    }

    fn candidates<P: Provider>(
        &self,
        agents: [Option<&Choice<P>>; 2],
        installations: [Option<&Choice<P>>; 2],
        sarvam: P,
        reaches: impl Fn(&Choice<P>, bool) -> bool,
    ) -> Vec<Candidate<P>> {
        let mut candidates = in_order(agents, installations);
        for candidate in &mut candidates {
            candidate.reaches = reaches(&candidate.choice, candidate.is_first);
        }
        let (last, mut chosen): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| candidate.is_last_resort);
        if chosen.iter().any(|candidate| !candidate.reaches) {
            let choice = Choice::of(sarvam);
            let reaches = reaches(&choice, false);
            let stands_in = Candidate { choice, is_first: false, is_last_resort: false, reaches };
            let is_chosen = chosen.iter().any(|candidate| candidate.choice.provider == sarvam);
            if stands_in.reaches && !is_chosen && self.has_key(sarvam) {
                chosen.push(stands_in);
            }
        }
        chosen.extend(last);
        if chosen.iter().any(|candidate| candidate.reaches && self.has_key(candidate.choice.provider)) {
            chosen.retain(|candidate| candidate.reaches);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn keys(sarvam: bool) -> ProviderKeys {
        ProviderKeys {
            deepgram_api_key: Some("d".into()),
            elevenlabs_api_key: Some("e".into()),
            openai_api_key: Some("o".into()),
            sarvam_api_key: sarvam.then(|| "s".into()),
            ..Default::default()
        }
    }

    fn who(agent: &VoiceAgentSettings, tag: &str, sarvam: bool) -> (Vec<String>, Vec<String>) {
        let (installation, keys) = (SpeechConfig::default(), keys(sarvam));
        let reach = Reach { agent, installation: &installation, keys: &keys };
        let ears = reach.ears(tag).into_iter().map(|ear| ear.choice.provider.as_str().to_owned());
        (ears.collect(), reach.voices(tag).into_iter().map(|voice| voice.choice.provider.as_str().to_owned()).collect())
    }

    #[test]
    fn every_indian_language_is_heard_by_somebody_and_spoken_by_most() {
        let reached = |of: &dyn Fn(&str) -> bool| {
            Language::ALL
                .into_iter()
                .filter(|language| of(&format!("{}-IN", language.code())))
                .map(Language::code)
                .collect::<Vec<_>>()
        };
        assert_eq!(reached(&|tag| hears(SttProvider::Deepgram, None, tag)), ["en", "hi"]);
        assert_eq!(reached(&|tag| hears(SttProvider::Deepgram, Some("nova-2-phonecall"), tag)), ["en"]);
        assert_eq!(reached(&|tag| hears(SttProvider::DeepgramFlux, None, tag)), ["en", "hi"]);
        assert_eq!(reached(&|tag| hears(SttProvider::DeepgramFlux, Some("flux-general-en"), tag)), ["en"]);
        assert_eq!(reached(&|tag| hears(SttProvider::Sarvam, None, tag)).len(), Language::ALL.len());
        assert_eq!(reached(&|tag| speaks(TtsProvider::ElevenLabs, None, None, tag)), ["en", "hi", "ta"]);
        assert_eq!(reached(&|tag| speaks(TtsProvider::ElevenLabs, Some("eleven_turbo_v2"), None, tag)), ["en"]);
        assert_eq!(reached(&|tag| speaks(TtsProvider::Deepgram, None, None, tag)), ["en"]);
        assert!(speaks(TtsProvider::Deepgram, None, Some("aura-2-celeste-es"), "es"));
        let sarvam = reached(&|tag| speaks(TtsProvider::Sarvam, None, None, tag));
        assert_eq!(sarvam, ["en", "hi", "bn", "ta", "te", "kn", "ml", "mr", "gu", "pa", "or"]);
        assert!(hears(SttProvider::Deepgram, None, "hi-en") && !hears(SttProvider::Deepgram, Some("nova-2"), "hi-en"));
    }

    #[test]
    fn sarvam_stands_in_where_the_chosen_ones_do_not_reach() {
        let agent = VoiceAgentSettings::default();
        let (deepgram, elevenlabs, sarvam) = (vec!["deepgram"], vec!["elevenlabs"], vec!["sarvam"]);
        for (tag, with_sarvam, ears, voices) in [
            ("en-IN", true, &deepgram, &elevenlabs),
            ("hi-IN", true, &deepgram, &elevenlabs),
            ("hi-en", true, &deepgram, &elevenlabs),
            ("ta-IN", true, &sarvam, &elevenlabs),
            ("te-IN", true, &sarvam, &sarvam),
            // Nobody: rather somebody who does not understand than a silent call.
            ("te-IN", false, &deepgram, &elevenlabs),
        ] {
            let (heard, spoken) = who(&agent, tag, with_sarvam);
            assert_eq!(
                (&heard, &spoken),
                (&ears.iter().map(|&e| e.to_owned()).collect(), &voices.iter().map(|&v| v.to_owned()).collect()),
                "{tag}"
            );
        }
    }

    #[test]
    fn a_second_choice_that_reaches_goes_before_sarvam_and_one_that_does_not_is_replaced() {
        let openai = VoiceAgentSettings {
            stt_fallback: Some(Choice::of(SttProvider::OpenAi)),
            tts_fallback: Some(Choice::of(TtsProvider::OpenAi)),
            ..Default::default()
        };
        assert_eq!(who(&openai, "te-IN", true).0, ["openai", "sarvam"]);
        assert_eq!(who(&openai, "hi-IN", true).0, ["deepgram", "openai"]);
        let aura = VoiceAgentSettings { tts_fallback: Some(Choice::of(TtsProvider::Deepgram)), ..Default::default() };
        assert_eq!(who(&aura, "hi-IN", true).1, ["elevenlabs", "sarvam"]);
        assert_eq!(who(&aura, "hi-IN", false).1, ["elevenlabs"]);
        assert_eq!(who(&aura, "en-IN", true).1, ["elevenlabs", "deepgram"]);
    }

    #[test]
    fn a_language_that_nobody_reaches_is_not_spoken() {
        let (agent, installation) = (VoiceAgentSettings::default(), SpeechConfig::default());
        let language = |agent: &VoiceAgentSettings, wanted: &str, sarvam: bool| {
            Reach { agent, installation: &installation, keys: &keys(sarvam) }.language(wanted)
        };
        assert_eq!(language(&agent, "te-IN", true), "te-IN");
        assert_eq!(language(&agent, "te-IN", false), agent.language);
        // Heard and not spoken.
        assert_eq!(language(&agent, "ur-IN", true), agent.language);
        let whole = VoiceAgentSettings { speech_to_speech: Some("openai".parse().unwrap()), ..Default::default() };
        assert_eq!(language(&whole, "ur-IN", false), "ur-IN");
    }
}
