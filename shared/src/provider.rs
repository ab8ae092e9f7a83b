//! The outside services a conversation is held with: which there are, who holds the key of which, and how an installation or a
//! voice agent chooses among them.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Longest name of a model or a voice.
const MAX_NAME_CHARS: usize = 100;

/// Whose account, and so whose key, a service is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    Deepgram,
    OpenAi,
    ElevenLabs,
    Sarvam,
    Gemini,
    Anthropic,
    Bedrock,
}

impl Vendor {
    /// The value of the `provider` label in metrics, and of `provider` in the ledger and the price book.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
            Self::OpenAi => "openai",
            Self::ElevenLabs => "elevenlabs",
            Self::Sarvam => "sarvam",
            Self::Gemini => "gemini",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
        }
    }

    /// The environment variable that holds its key.
    #[must_use]
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Deepgram => "DEEPGRAM_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
            Self::ElevenLabs => "ELEVENLABS_API_KEY",
            Self::Sarvam => "SARVAM_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Bedrock => "AWS_BEARER_TOKEN_BEDROCK",
        }
    }
}

/// One of several services that do the same work.
pub trait Provider: Copy + PartialEq + fmt::Debug + FromStr<Err = ChoiceError> + 'static {
    fn vendor(self) -> Vendor;
}

macro_rules! providers {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal by $vendor:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            pub const WORDS: &[&str] = &[$($word),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Provider for $name {
            fn vendor(self) -> Vendor {
                match self { $(Self::$variant => Vendor::$vendor,)+ }
            }
        }

        impl FromStr for $name {
            type Err = ChoiceError;

            fn from_str(word: &str) -> Result<Self, ChoiceError> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ChoiceError::Unknown { known: Self::WORDS }),
                }
            }
        }
    };
}

providers!(
    /// Speech to text.
    SttProvider {
        /// Nova, with endpointing by silence.
        Deepgram = "deepgram" by Deepgram,
        /// Flux, which judges the end of a turn by what is said.
        DeepgramFlux = "deepgram_flux" by Deepgram,
        /// The Indian languages that others lack.
        Sarvam = "sarvam" by Sarvam,
        OpenAi = "openai" by OpenAi,
    }
);
providers!(
    /// Language models.
    LlmProvider {
        /// OpenAI, or anything that speaks its wire at `OPENAI_BASE_URL`.
        OpenAi = "openai" by OpenAi,
        Gemini = "gemini" by Gemini,
        Sarvam = "sarvam" by Sarvam,
        Anthropic = "anthropic" by Anthropic,
        /// Anthropic's models on AWS.
        Bedrock = "bedrock" by Bedrock,
    }
);
providers!(
    /// Text to speech.
    TtsProvider {
        ElevenLabs = "elevenlabs" by ElevenLabs,
        Sarvam = "sarvam" by Sarvam,
        /// Ends on 2027-01-06: for installations that use it already.
        OpenAi = "openai" by OpenAi,
        /// Aura.
        Deepgram = "deepgram" by Deepgram,
    }
);
providers!(
    /// Models that hear, think and speak by themselves.
    SpeechProvider {
        /// Realtime.
        OpenAi = "openai" by OpenAi,
    }
);

/// What each provider is asked for where nobody names a model or a voice. Models are shut down: see the wire notes.
pub mod usual {
    use super::LlmProvider;

    pub const SARVAM_STT: &str = "saaras:v3-realtime";
    pub const OPENAI_STT: &str = "gpt-live-transcribe";
    pub const SARVAM_TTS: &str = "bulbul:v3";
    pub const SARVAM_VOICE: &str = "shubh";
    pub const OPENAI_TTS: &str = "gpt-4o-mini-tts";
    pub const OPENAI_VOICE: &str = "coral";
    pub const REALTIME: &str = "gpt-realtime-2.1";
    pub const REALTIME_VOICE: &str = "marin";
    /// Writes down what is said to a model that needs no transcript: nobody waits for it.
    pub const REALTIME_TRANSCRIBER: &str = "gpt-transcribe";
    pub const AURA: &str = "aura-2-thalia-en";

    /// `None` of OpenAI, whose usual model is the installation's setting.
    #[must_use]
    pub fn llm(provider: LlmProvider) -> Option<&'static str> {
        match provider {
            LlmProvider::OpenAi => None,
            LlmProvider::Gemini => Some("gemini-3.8-flash"),
            LlmProvider::Sarvam => Some("sarvam-105b"),
            LlmProvider::Anthropic => Some("claude-haiku-5-5"),
            LlmProvider::Bedrock => Some("anthropic.claude-haiku-5-5"),
        }
    }
}

/// A provider, and which of its models. As text: `provider`, `provider/model`, `provider@voice` or `provider/model@voice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice<P> {
    pub provider: P,
    /// The installation's, or the provider's usual one, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Of what speaks alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
}

impl<P: Provider> Choice<P> {
    /// The provider with its usual model.
    pub fn of(provider: P) -> Self {
        Self { provider, model: None, voice: None }
    }
}

/// A choice that names nothing that exists.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error("the provider must be one of {}", known.join(", "))]
    Unknown { known: &'static [&'static str] },
    #[error(
        "a model or voice is named by at most {MAX_NAME_CHARS} letters, digits and any of . _ : - (a model also /)"
    )]
    Name,
}

impl<P: Provider> FromStr for Choice<P> {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        let (rest, voice) = text.split_once('@').map_or((text, None), |(rest, voice)| (rest, Some(voice)));
        let (provider, model) = rest.split_once('/').map_or((rest, None), |(word, model)| (word, Some(model)));
        let choice = Self {
            provider: provider.trim().parse()?,
            model: model.map(|model| model.trim().to_owned()),
            voice: voice.map(|voice| voice.trim().to_owned()),
        };
        choice.check()?;
        Ok(choice)
    }
}

impl<P> Choice<P> {
    /// # Errors
    /// A model or voice that no provider could have: they become part of addresses.
    pub fn check(&self) -> Result<(), ChoiceError> {
        let model_is_name = self.model.as_deref().is_none_or(|model| is_name(model, true));
        let voice_is_name = self.voice.as_deref().is_none_or(|voice| is_name(voice, false));
        if model_is_name && voice_is_name { Ok(()) } else { Err(ChoiceError::Name) }
    }
}

fn is_name(text: &str, slash: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-') || (slash && c == '/');
    !text.is_empty() && text.len() <= MAX_NAME_CHARS && text.chars().all(allowed)
}

/// The keys of all vendors. Only those of the providers in use by default are needed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProviderKeys {
    /// Nova, Flux and Aura.
    #[arg(long, env = "DEEPGRAM_API_KEY", hide_env_values = true)]
    pub deepgram_api_key: Option<SecretString>,
    /// OpenAI, or what is at `OPENAI_BASE_URL`.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    pub openai_api_key: Option<SecretString>,
    #[arg(long, env = "ELEVENLABS_API_KEY", hide_env_values = true)]
    pub elevenlabs_api_key: Option<SecretString>,
    #[arg(long, env = "SARVAM_API_KEY", hide_env_values = true)]
    pub sarvam_api_key: Option<SecretString>,
    #[arg(long, env = "GEMINI_API_KEY", hide_env_values = true)]
    pub gemini_api_key: Option<SecretString>,
    #[arg(long, env = "ANTHROPIC_API_KEY", hide_env_values = true)]
    pub anthropic_api_key: Option<SecretString>,
    /// A Bedrock API key, sent as a bearer token.
    #[arg(long, env = "AWS_BEARER_TOKEN_BEDROCK", hide_env_values = true)]
    pub aws_bearer_token_bedrock: Option<SecretString>,
}

impl ProviderKeys {
    /// The vendor's key; an empty variable is none.
    #[must_use]
    pub fn of(&self, vendor: Vendor) -> Option<&SecretString> {
        let key = match vendor {
            Vendor::Deepgram => &self.deepgram_api_key,
            Vendor::OpenAi => &self.openai_api_key,
            Vendor::ElevenLabs => &self.elevenlabs_api_key,
            Vendor::Sarvam => &self.sarvam_api_key,
            Vendor::Gemini => &self.gemini_api_key,
            Vendor::Anthropic => &self.anthropic_api_key,
            Vendor::Bedrock => &self.aws_bearer_token_bedrock,
        };
        key.as_ref().filter(|key| !key.expose_secret().trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_names_a_provider_and_perhaps_a_model_and_a_voice() {
        let choice = |text: &str| text.parse::<Choice<TtsProvider>>().map(|c| (c.provider, c.model, c.voice));
        assert_eq!(choice("elevenlabs"), Ok((TtsProvider::ElevenLabs, None, None)));
        let sarvam = (TtsProvider::Sarvam, Some("bulbul:v3".into()), Some("shubh".into()));
        assert_eq!(choice("sarvam/bulbul:v3@shubh"), Ok(sarvam));
        assert_eq!(choice("sarvam@shubh"), Ok((TtsProvider::Sarvam, None, Some("shubh".into()))));
        let llm: Choice<LlmProvider> = "openai/openai/gpt-oss-120b".parse().unwrap();
        assert_eq!(llm.model.as_deref(), Some("openai/gpt-oss-120b"));
        assert_eq!(
            choice("").unwrap_err().to_string(),
            "the provider must be one of elevenlabs, sarvam, openai, deepgram"
        );
        for wrong in ["elevenlabs/", "elevenlabs@", "elevenlabs@../x", "elevenlabs/a b"] {
            assert_eq!(choice(wrong), Err(ChoiceError::Name), "{wrong}");
        }
    }

    #[test]
    fn an_empty_key_is_none() {
        let keys =
            ProviderKeys { sarvam_api_key: Some(" ".into()), gemini_api_key: Some("k".into()), ..Default::default() };
        assert!(keys.of(Vendor::Sarvam).is_none() && keys.of(Vendor::OpenAi).is_none());
        assert!(keys.of(Vendor::Gemini).is_some());
    }
}
