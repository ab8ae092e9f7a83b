//! Who hears, thinks and speaks in a call: the clients of every provider this installation has a key for, and which of them a voice
//! agent gets.
//!
//! A choice that cannot be kept (a key was taken away after the voice agent was saved) falls back to the other choice, then to the
//! installation's own: a call that is answered must be spoken to. Who reaches which language is [`shared::reach`]'s to say.

use anyhow::Context;
use secrecy::SecretString;
use shared::{
    provider::{Choice, LlmProvider, Provider as _, SpeechProvider, SttProvider, TtsProvider, usual},
    reach::{self, Candidate, Reach},
    voice_agent::VoiceAgentSettings,
};

use crate::{
    config::Config,
    health::Health,
    latency::Trick,
    llm::{Llm, http_client},
    provider::{Connect, Part},
    realtime::wire::Address,
    stt::{self, Transcriber, deepgram::Nova, flux::Flux, wire::Wire},
    tts::{
        ClauseWire, Voice,
        aura::Aura,
        cache::PhraseCache,
        elevenlabs::{ElevenLabs, Sound},
        openai, sarvam,
    },
};

/// A first choice, and who stands by.
pub type Pair<T> = (T, Option<T>);

/// The clients of the process. Nothing is connected yet.
pub struct Providers {
    config: Config,
    connect: Connect,
    http: reqwest::Client,
    phrases: PhraseCache,
    /// Who of them lately failed.
    pub health: Health,
    /// Transcribes with whatever wire.
    pub transcriber: Transcriber,
}

impl Providers {
    /// # Errors
    /// A provider in use by default without its key, by the variable's name; an HTTP or TLS client that does not start.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let connect = Connect::new().context("the TLS configuration could not be built")?;
        let health = Health::default();
        let providers = Self {
            config: config.clone(),
            http: http_client()?,
            phrases: if config.uses(Trick::PhraseCache) { PhraseCache::default() } else { PhraseCache::off() },
            transcriber: Transcriber::new(connect.clone()).with_health(health.clone()),
            connect,
            health,
        };
        let options = stt::Options::default();
        let speech = &config.speech;
        providers.wire(&speech.stt_provider, None, &options).context("STT_PROVIDER")?;
        providers.llm(&config.llm_provider, None).context("LLM_PROVIDER")?;
        providers.voice(&speech.tts_provider, None, "en").context("TTS_PROVIDER")?;
        if let Some(choice) = &speech.stt_fallback {
            providers.wire(choice, None, &options).context("STT_FALLBACK")?;
        }
        if let Some(choice) = &config.llm_fallback {
            providers.llm(choice, None).context("LLM_FALLBACK")?;
        }
        if let Some(choice) = &speech.tts_fallback {
            providers.voice(choice, None, "en").context("TTS_FALLBACK")?;
        }
        Ok(providers)
    }

    /// Which languages reach this voice agent.
    pub fn reach<'a>(&'a self, agent: &'a VoiceAgentSettings) -> Reach<'a> {
        Reach { agent, installation: &self.config.speech, keys: &self.config.keys }
    }

    /// Who hears for this voice agent, in the language of the options.
    pub fn ears(&self, agent: &VoiceAgentSettings, options: &stt::Options) -> anyhow::Result<Pair<Box<dyn Wire>>> {
        let model = agent.stt_model.as_deref();
        let ears = pair(&self.reach(agent).ears(&options.language), |choice, is_first| {
            self.wire(choice, model.filter(|_| is_first), options)
        })?;
        Ok(self.health.in_order(Part::Stt, ears, |wire| wire.provider()))
    }

    /// Who thinks for this voice agent.
    pub fn minds(&self, agent: &VoiceAgentSettings) -> anyhow::Result<Pair<Llm>> {
        let model = agent.llm_model.as_deref();
        let installations = [Some(&self.config.llm_provider), self.config.llm_fallback.as_ref()];
        let candidates = reach::in_order([agent.llm.as_ref(), agent.llm_fallback.as_ref()], installations);
        let minds = pair(&candidates, |choice, is_first| self.llm(choice, model.filter(|_| is_first)))?;
        Ok(self.health.in_order(Part::Llm, minds, Llm::provider))
    }

    /// Who speaks for this voice agent, in the language of a BCP 47 tag.
    pub fn voices(&self, agent: &VoiceAgentSettings, language: &str) -> anyhow::Result<Pair<Voice>> {
        let voice = agent.voice_id.as_deref();
        let voices = pair(&self.reach(agent).voices(language), |choice, is_first| {
            self.voice(choice, voice.filter(|_| is_first), language)
        })?;
        Ok(self.health.in_order(Part::Tts, voices, Voice::provider))
    }

    /// Where a model that hears and speaks is reached, if this voice agent chose one. Without its key the three parts hold the call.
    pub fn speech_to_speech(&self, agent: &VoiceAgentSettings, language: &str) -> Option<(Address, Connect)> {
        let choice = agent.speech_to_speech.as_ref()?;
        let vendor = choice.provider.vendor();
        let Some(key) = self.config.keys.of(vendor) else {
            tracing::error!(variable = vendor.key_variable(), "a provider that a voice agent names cannot be used");
            return None;
        };
        let address = match choice.provider {
            SpeechProvider::OpenAi => Address::new(
                &self.config.openai_base_url,
                key,
                choice.model.as_deref().unwrap_or(usual::REALTIME),
                choice.voice.as_deref().unwrap_or(usual::REALTIME_VOICE),
                usual::REALTIME_TRANSCRIBER,
                // One that is told a language hears no other.
                if agent.languages.is_empty() { language } else { "" },
            ),
        };
        Some((address, self.connect.clone()))
    }

    fn key(&self, vendor: crate::provider::Provider) -> anyhow::Result<&SecretString> {
        self.config.keys.of(vendor).with_context(|| format!("{} is not set", vendor.key_variable()))
    }

    fn wire(
        &self,
        choice: &Choice<SttProvider>,
        model: Option<&str>,
        options: &stt::Options,
    ) -> anyhow::Result<Box<dyn Wire>> {
        let config = &self.config;
        let key = self.key(choice.provider.vendor())?;
        let model = choice.model.as_deref().or(model);
        Ok(match choice.provider {
            SttProvider::Deepgram => {
                let model = model.unwrap_or(&config.speech.deepgram_model);
                Box::new(Nova::new(&config.deepgram_url, key, model, options))
            }
            SttProvider::DeepgramFlux => Box::new(Flux::new(&config.deepgram_url, key, model, options)),
            SttProvider::Sarvam => {
                let model = model.unwrap_or(usual::SARVAM_STT);
                Box::new(stt::sarvam::Sarvam::new(&config.sarvam_url, key, model, options))
            }
            SttProvider::OpenAi => {
                let model = model.unwrap_or(usual::OPENAI_STT);
                Box::new(stt::openai::OpenAi::new(&config.openai_base_url, key, model, options))
            }
        })
    }

    fn llm(&self, choice: &Choice<LlmProvider>, model: Option<&str>) -> anyhow::Result<Llm> {
        let config = &self.config;
        let vendor = choice.provider.vendor();
        let key = self.key(vendor)?;
        let base = match choice.provider {
            LlmProvider::OpenAi => &config.openai_base_url,
            LlmProvider::Gemini => &config.gemini_base_url,
            LlmProvider::Sarvam => &config.sarvam_url,
            LlmProvider::Anthropic => &config.anthropic_base_url,
            LlmProvider::Bedrock => &config.bedrock_base_url,
        };
        let usual = usual::llm(choice.provider).unwrap_or(&config.llm_model);
        let model = choice.model.as_deref().or(model).unwrap_or(usual);
        let client = match choice.provider {
            LlmProvider::Anthropic | LlmProvider::Bedrock => Llm::messages(self.http.clone(), vendor, base, key, model),
            LlmProvider::Sarvam => {
                let base = base.join("v1").context("SARVAM_URL takes no path")?;
                Llm::chat(self.http.clone(), vendor, &base, key, model)
            }
            LlmProvider::OpenAi | LlmProvider::Gemini => Llm::chat(self.http.clone(), vendor, base, key, model),
        };
        client.with_context(|| format!("{} cannot be used", vendor.key_variable()))
    }

    fn voice(&self, choice: &Choice<TtsProvider>, voice: Option<&str>, language: &str) -> anyhow::Result<Voice> {
        let config = &self.config;
        let vendor = choice.provider.vendor();
        let key = self.key(vendor)?;
        let model = choice.model.as_deref();
        let voice = choice.voice.as_deref().or(voice);
        let wire = match choice.provider {
            TtsProvider::ElevenLabs => {
                let (base, rest) = language.split_once(['-', '_']).unwrap_or((language, ""));
                let is_mixed = rest.eq_ignore_ascii_case("en") && base != "en";
                let client = ElevenLabs::new(
                    self.connect.clone(),
                    config.elevenlabs_url.clone(),
                    key.clone(),
                    self.phrases.clone(),
                );
                let sound = Sound {
                    voice_id: voice.unwrap_or(&config.elevenlabs_voice_id).to_owned(),
                    model: model.unwrap_or(&config.speech.elevenlabs_model).to_owned(),
                    language: (!is_mixed).then(|| base.to_owned()),
                };
                return Ok(Voice::ElevenLabs { client, sound });
            }
            TtsProvider::Sarvam => {
                let (model, voice) = (model.unwrap_or(usual::SARVAM_TTS), voice.unwrap_or(usual::SARVAM_VOICE));
                ClauseWire::Sarvam(sarvam::Sarvam::new(&config.sarvam_url, key, model, voice, language)?)
            }
            // A voice is a model there.
            TtsProvider::Deepgram => {
                ClauseWire::Aura(Aura::new(&config.deepgram_url, key, voice.or(model).unwrap_or(usual::AURA)))
            }
            TtsProvider::OpenAi => {
                let (model, voice) = (model.unwrap_or(usual::OPENAI_TTS), voice.unwrap_or(usual::OPENAI_VOICE));
                let synth = openai::OpenAi::new(self.http.clone(), &config.openai_base_url, key, model, voice)
                    .with_context(|| format!("{} cannot be used", vendor.key_variable()))?;
                ClauseWire::OpenAi(synth)
            }
        };
        Ok(Voice::ByClause { wire, connect: self.connect.clone(), phrases: self.phrases.clone() })
    }
}

/// The first two that can be had. A voice agent that names a first choice only gets the installation's second one, unless that is
/// the same.
fn pair<P: Clone, T>(
    candidates: &[Candidate<P>],
    build: impl Fn(&Choice<P>, bool) -> anyhow::Result<T>,
) -> anyhow::Result<Pair<T>> {
    let mut built = Vec::new();
    let mut failure = None;
    for candidate in candidates {
        if built.len() == 2 || candidate.is_last_resort && !built.is_empty() {
            break;
        }
        match build(&candidate.choice, candidate.is_first) {
            Ok(client) => built.push(client),
            Err(error) => {
                tracing::error!(%error, "a provider that a voice agent names cannot be used");
                failure = Some(error);
            }
        }
    }
    let mut built = built.into_iter();
    match built.next() {
        Some(first) => Ok((first, built.next())),
        None => Err(failure.unwrap_or_else(|| anyhow::anyhow!("no provider is chosen"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::provider::Provider;

    fn config(more: &[&str]) -> Config {
        let needed = [
            "media",
            "--database-url=postgres://localhost/t",
            "--deepgram-api-key=d",
            "--openai-api-key=o",
            "--elevenlabs-api-key=e",
            "--callback-secret=c",
        ];
        Config::try_parse_from(needed.iter().chain(more)).unwrap()
    }

    #[test]
    fn only_the_keys_of_the_providers_in_use_by_default_are_needed() {
        let error = |arguments: &[&str]| {
            let needed = ["media", "--database-url=postgres://localhost/t", "--callback-secret=c"];
            let arguments = needed.iter().chain(arguments);
            let config = Config::try_parse_from(arguments).unwrap();
            Providers::new(&config).err().map(|error| format!("{error:#}"))
        };
        let sarvam =
            ["--stt-provider=sarvam", "--llm-provider=sarvam", "--tts-provider=sarvam@simran", "--sarvam-api-key=s"];
        assert_eq!(error(&sarvam), None);
        assert_eq!(error(&[]).as_deref(), Some("STT_PROVIDER: DEEPGRAM_API_KEY is not set"));
        let more = [&sarvam[..], &["--llm-fallback=anthropic/claude-haiku-5-5"]].concat();
        assert_eq!(error(&more).as_deref(), Some("LLM_FALLBACK: ANTHROPIC_API_KEY is not set"));
    }

    #[test]
    fn a_voice_agents_choice_goes_before_the_installations_and_what_cannot_be_had_is_left_out() {
        let config = config(&["--llm-fallback=anthropic", "--anthropic-api-key=a"]);
        let providers = Providers::new(&config).unwrap();
        let minds = |agent: VoiceAgentSettings| {
            let (first, second) = providers.minds(&agent).unwrap();
            let name = |llm: &Llm| (llm.provider(), llm.model().to_owned());
            (name(&first), second.as_ref().map(name))
        };
        let luna = (Provider::OpenAi, "gpt-6-luna".to_owned());
        let haiku = (Provider::Anthropic, "claude-haiku-5-5".to_owned());
        assert_eq!(minds(VoiceAgentSettings::default()), (luna.clone(), Some(haiku.clone())));
        let mine = VoiceAgentSettings { llm_model: Some("gpt-6-sol".into()), ..Default::default() };
        assert_eq!(minds(mine).0.1, "gpt-6-sol");
        let anthropic = Some(Choice::of(LlmProvider::Anthropic));
        let first_only = VoiceAgentSettings { llm: anthropic.clone(), ..Default::default() };
        assert_eq!(minds(first_only), (haiku.clone(), None));
        // Gemini's key was taken away.
        let gemini = Some(Choice::of(LlmProvider::Gemini));
        let gone = VoiceAgentSettings { llm: gemini.clone(), ..Default::default() };
        assert_eq!(minds(gone), (haiku, None));
        let both_gone =
            VoiceAgentSettings { llm: gemini, llm_fallback: Some("gemini/x".parse().unwrap()), ..Default::default() };
        assert_eq!(minds(both_gone), (luna, None));
    }

    #[test]
    fn a_language_goes_to_a_provider_that_reaches_it() {
        let who = |arguments: &[&str], language: &str| {
            let config = config(arguments);
            let providers = Providers::new(&config).unwrap();
            let agent = VoiceAgentSettings { voice_id: Some("asha".into()), ..Default::default() };
            let options = stt::Options { language: language.into(), ..Default::default() };
            let (ear, second_ear) = providers.ears(&agent, &options).unwrap();
            let (voice, second_voice) = providers.voices(&agent, language).unwrap();
            (
                [Some(ear.provider()), second_ear.map(|ear| ear.provider())],
                [Some(voice.provider()), second_voice.map(|voice| voice.provider())],
            )
        };
        let (deepgram, elevenlabs) = (Some(Provider::Deepgram), Some(Provider::ElevenLabs));
        let (sarvam, openai) = (Some(Provider::Sarvam), Some(Provider::OpenAi));
        let key = "--sarvam-api-key=s";
        assert_eq!(who(&[key], "hi-IN"), ([deepgram, None], [elevenlabs, None]));
        assert_eq!(who(&[key], "te-IN"), ([sarvam, None], [sarvam, None]));
        let second = [key, "--stt-fallback=openai", "--tts-fallback=openai"];
        assert_eq!(who(&second, "te-IN"), ([openai, sarvam], [openai, sarvam]));
        // Better not understood than not answered.
        assert_eq!(who(&[], "te-IN"), ([deepgram, None], [elevenlabs, None]));
        let config = config(&[]);
        let providers = Providers::new(&config).unwrap();
        let agent = VoiceAgentSettings::default();
        assert_eq!(providers.reach(&agent).language("te-IN"), "en-IN");
    }

    #[test]
    fn a_choice_that_fails_every_call_is_asked_second_for_a_while() {
        let providers = Providers::new(&config(&["--tts-fallback=openai"])).unwrap();
        let agent = VoiceAgentSettings::default();
        let voices = || {
            let (first, second) = providers.voices(&agent, "en").unwrap();
            (first.provider(), second.map(|voice| voice.provider()))
        };
        assert_eq!(voices(), (Provider::ElevenLabs, Some(Provider::OpenAi)));
        let error = crate::provider::ProviderError::Rejected { code: "quota_exceeded".into() };
        providers.health.failed(Part::Tts, Provider::ElevenLabs, &error);
        assert_eq!(voices(), (Provider::OpenAi, Some(Provider::ElevenLabs)));
        // Whoever has no second choice keeps the first.
        providers.health.failed(Part::Stt, Provider::Deepgram, &error);
        let (ears, nobody) = providers.ears(&agent, &stt::Options::default()).unwrap();
        assert!(ears.provider() == Provider::Deepgram && nobody.is_none());
    }

    #[test]
    fn a_voice_that_does_not_speak_the_language_leaves_it_to_the_next_one() {
        let providers = Providers::new(&config(&["--sarvam-api-key=s", "--tts-fallback=openai"])).unwrap();
        let sarvam = Some(Choice::of(TtsProvider::Sarvam));
        let voices = |agent: &VoiceAgentSettings, language: &str| {
            let (first, second) = providers.voices(agent, language).unwrap();
            (first.provider(), second.as_ref().map(Voice::provider))
        };
        let sarvams = VoiceAgentSettings { tts: sarvam.clone(), ..Default::default() };
        assert_eq!(voices(&sarvams, "or-IN"), (Provider::Sarvam, Some(Provider::OpenAi)));
        assert_eq!(voices(&sarvams, "ur-IN"), (Provider::OpenAi, None));
        // Nor does the second choice: the installation's own is left.
        let nobody = VoiceAgentSettings { tts_fallback: Some("sarvam@anushka".parse().unwrap()), ..sarvams };
        assert_eq!(voices(&nobody, "as-IN"), (Provider::ElevenLabs, None));
    }
}
