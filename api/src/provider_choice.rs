//! Which speech and language services a voice agent may name: those that exist, and that this installation has keys for.

use shared::provider::{Choice, Provider, ProviderKeys};
use shared::voice_agent::VoiceAgentSettings;
use utoipa::ToSchema;

use crate::extract::Fields;

/// A speech or language service.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents a choice, which `shared` defines without knowing of OpenAPI")]
pub struct ProviderChoiceView {
    /// `stt`: `deepgram`, `deepgram_flux`, `sarvam`, `openai`; `llm`: `openai`, `gemini`, `sarvam`, `anthropic`, `bedrock`;
    /// `tts`: `elevenlabs`, `sarvam`, `openai`, `deepgram`; `speech_to_speech`: `openai`.
    #[schema(example = "sarvam")]
    provider: String,
    /// The installation's, or the provider's usual one, if absent.
    model: Option<String>,
    /// For `tts` and `speech_to_speech` alone.
    voice: Option<String>,
}

/// Notes every choice of the settings that cannot be kept.
pub fn check(fields: &mut Fields, keys: &ProviderKeys, settings: &VoiceAgentSettings) {
    check_part(fields, keys, "stt", settings.stt.as_ref(), settings.stt_fallback.as_ref(), false);
    check_part(fields, keys, "llm", settings.llm.as_ref(), settings.llm_fallback.as_ref(), false);
    check_part(fields, keys, "tts", settings.tts.as_ref(), settings.tts_fallback.as_ref(), true);
    check_part(fields, keys, "speech_to_speech", settings.speech_to_speech.as_ref(), None, true);
    check_whole(fields, settings);
}

/// A model that hears, thinks and speaks takes the place of what else was chosen for that.
fn check_whole(fields: &mut Fields, settings: &VoiceAgentSettings) {
    if settings.speech_to_speech.is_none() {
        return;
    }
    let replaced = [
        ("stt", settings.stt.is_some()),
        ("stt_fallback", settings.stt_fallback.is_some()),
        ("llm", settings.llm.is_some()),
        ("llm_fallback", settings.llm_fallback.is_some()),
    ];
    for (field, _) in replaced.into_iter().filter(|(_, is_chosen)| *is_chosen) {
        let detail = "a speech-to-speech model hears and thinks by itself: leave this out";
        fields.refuse(format!("/settings/{field}"), "not_applicable", detail);
    }
    if settings.gathered_speech {
        let detail = "the carrier cannot gather speech for a speech-to-speech model: it needs the stream";
        fields.refuse("/settings/gathered_speech", "not_applicable", detail);
    }
}

fn check_part<P: Provider>(
    fields: &mut Fields,
    keys: &ProviderKeys,
    part: &str,
    first: Option<&Choice<P>>,
    second: Option<&Choice<P>>,
    speaks: bool,
) {
    for (field, choice) in [(part.to_owned(), first), (format!("{part}_fallback"), second)] {
        let Some(choice) = choice else { continue };
        let vendor = choice.provider.vendor();
        if keys.of(vendor).is_none() {
            let detail =
                format!("this installation has no key for {}: {} is not set", vendor.as_str(), vendor.key_variable());
            fields.refuse(format!("/settings/{field}/provider"), "provider_not_configured", detail);
        }
        if let Err(error) = choice.check() {
            fields.refuse(format!("/settings/{field}"), "invalid_value", error.to_string());
        }
        if choice.voice.is_some() && !speaks {
            fields.refuse(format!("/settings/{field}/voice"), "not_applicable", "only what speaks has a voice");
        }
    }
    if first.is_some() && first == second {
        let detail = "the second choice must differ from the first: what one lacks the other lacks too";
        fields.refuse(format!("/settings/{part}_fallback"), "same_as_first", detail);
    }
}
