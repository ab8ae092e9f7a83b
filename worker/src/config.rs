//! What the worker is told by its environment. `--help` prints the same.

use std::time::Duration;

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use shared::clock::{ClockConfig, is_loopback};
use shared::provider::{Choice, LlmProvider, Provider as _, ProviderKeys, SttProvider, TtsProvider, usual};
use shared::storage::StorageConfig;

/// Runs Trunkline's jobs: dispatch, dialing, settling, recordings, summaries, imports.
#[derive(Clone, Debug, Parser)]
#[command(name = "worker", version)]
pub struct Config {
    /// The Postgres that every process of the installation shares.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// Connections to it for handlers; the queue has a few of its own.
    #[arg(long, env = "WORKER_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,
    /// Where the carrier reaches our `api`: `https://example.com`, without a path.
    #[arg(long, env = "OUR_BASE_URL")]
    pub our_base_url: url::Url,
    /// Part of every callback's URL; the carrier signs nothing. The same in `api`.
    #[arg(long, env = "CALLBACK_SECRET", hide_env_values = true)]
    pub callback_secret: SecretString,
    /// Where alerts are told, besides `GET /alerts`: https, or http on this machine. Signed with CALLBACK_SECRET.
    #[arg(long, env = "ALERT_WEBHOOK_URL", hide_env_values = true)]
    pub alert_webhook_url: Option<String>,
    #[command(flatten)]
    pub exotel: ExotelConfig,
    #[command(flatten)]
    pub twilio: TwilioConfig,
    #[command(flatten)]
    pub dialing: DialingConfig,
    #[command(flatten)]
    pub llm: LlmConfig,
    #[command(flatten)]
    pub speech: SpeechConfig,
    #[command(flatten)]
    pub clock: ClockConfig,
    #[command(flatten)]
    pub storage: StorageConfig,
    /// No call is longer; the carrier cuts it off.
    #[arg(long, env = "MAX_CALL_DURATION_MINUTES", default_value_t = 10)]
    pub max_call_duration_minutes: u32,
    /// Seconds after which a carrier's silence about a call means that it has none.
    #[arg(long, env = "RECONCILE_HORIZON_SECS", default_value_t = 120)]
    pub reconcile_horizon_secs: u64,
    /// The largest recording that is kept, in megabytes.
    #[arg(long, env = "MAX_RECORDING_MB", default_value_t = 200)]
    pub max_recording_mb: u64,
    /// Seconds that a carrier's recording of a call is waited for, before what `media` recorded is kept in its place.
    #[arg(long, env = "RECORDING_PATIENCE_SECS", default_value_t = 600)]
    pub recording_patience_secs: u64,
    /// The most rows of one uploaded list.
    #[arg(long, env = "MAX_IMPORT_ROWS", default_value_t = crate::lead_list::DEFAULT_MAX_ROWS)]
    pub max_import_rows: usize,
    /// Where `/health`, `/ready` and `/metrics` are served; 0 takes any free port.
    #[arg(long, env = "METRICS_PORT", default_value_t = 8002)]
    pub metrics_port: u16,
    /// A filter such as `info` or `info,worker=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Seconds after which the jobs of a worker that has died are taken over by others; it renews its hold six times as often.
    #[arg(long, env = "JOB_LEASE_SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(6..=600))]
    pub job_lease_secs: u64,
    /// Seconds that running jobs get to finish after SIGTERM; the platform kills the process some seconds later.
    #[arg(long, env = "DRAIN_GRACE_SECS", default_value_t = 25)]
    pub drain_grace_secs: u64,
}

/// The Exotel account that calls are placed with, where there is one. Names as the carrier's own documents have them.
#[derive(Clone, Debug, clap::Args)]
pub struct ExotelConfig {
    /// Path segment of every request; not the user name.
    #[arg(long, env = "EXOTEL_ACCOUNT_SID")]
    pub exotel_account_sid: Option<String>,
    /// User name of Basic authentication.
    #[arg(long, env = "EXOTEL_API_KEY", hide_env_values = true)]
    pub exotel_api_key: Option<SecretString>,
    /// Its password.
    #[arg(long, env = "EXOTEL_API_TOKEN", hide_env_values = true)]
    pub exotel_api_token: Option<SecretString>,
    /// The ExoPhone that callees see.
    #[arg(long, env = "EXOTEL_VIRTUAL_NUMBER")]
    pub exotel_virtual_number: Option<String>,
    /// The flow that runs on answer: a Voicebot applet at our `media`.
    #[arg(long, env = "EXOTEL_EXOPHLO_ID")]
    pub exotel_exophlo_id: Option<String>,
    /// Sender of text messages as registered (DLT); the ExoPhone where absent.
    #[arg(long, env = "EXOTEL_SMS_SENDER")]
    pub exotel_sms_sender: Option<String>,
    /// The account's entity in India's registry (DLT), without which no text message is taken there.
    #[arg(long, env = "EXOTEL_DLT_ENTITY_ID")]
    pub exotel_dlt_entity_id: Option<String>,
    /// `https://api.in.exotel.com` for accounts of the Mumbai cluster.
    #[arg(long, env = "EXOTEL_API_BASE_URL", default_value = "https://api.exotel.com")]
    pub exotel_api_base_url: url::Url,
    /// Calls that the carrier lets the account start per second. Exotel allows 200 requests a minute, questions included.
    #[arg(long, env = "EXOTEL_CALLS_PER_SECOND", default_value_t = 3.0)]
    pub exotel_calls_per_second: f64,
}

/// The Twilio account, where there is one.
#[derive(Clone, Debug, clap::Args)]
pub struct TwilioConfig {
    /// `AC…`: path segment of every request, and the user name.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    pub twilio_account_sid: Option<String>,
    /// The password; Twilio signs its webhooks with it, so that `api` and `media` are given the same.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub twilio_auth_token: Option<SecretString>,
    /// The number that callees see, as `+14155550100`.
    #[arg(long, env = "TWILIO_NUMBER")]
    pub twilio_number: Option<String>,
    /// `https://api.dublin.ie1.twilio.com` and its like for accounts of other regions.
    #[arg(long, env = "TWILIO_API_BASE_URL", default_value = "https://api.twilio.com")]
    pub twilio_api_base_url: url::Url,
    /// Calls that the carrier starts per second; what is asked beyond waits in its queue.
    #[arg(long, env = "TWILIO_CALLS_PER_SECOND", default_value_t = 1.0)]
    pub twilio_calls_per_second: f64,
    /// Whether Twilio listens for answering machines, at a price per call, and tells us while the voice agent speaks already.
    #[arg(long, env = "TWILIO_MACHINE_DETECTION", action = clap::ArgAction::Set, default_value_t = false)]
    pub twilio_machine_detection: bool,
}

/// Waits of every carrier.
#[derive(Clone, Debug, clap::Args)]
pub struct DialingConfig {
    /// Seconds to wait for an answer of the carrier's API.
    #[arg(long, env = "CARRIER_TIMEOUT_SECS", default_value_t = 10)]
    pub carrier_timeout_secs: u64,
    /// Seconds a phone rings before the carrier gives up.
    #[arg(long, env = "RING_TIMEOUT_SECS", default_value_t = 45)]
    pub ring_timeout_secs: u32,
}

/// What `media` holds calls with, the same as there: their models are watched.
#[derive(Clone, Debug, clap::Args)]
pub struct SpeechConfig {
    /// Who hears.
    #[arg(long, env = "STT_PROVIDER", default_value = "deepgram")]
    pub stt_provider: Choice<SttProvider>,
    /// Who takes over from them.
    #[arg(long, env = "STT_FALLBACK")]
    pub stt_fallback: Option<Choice<SttProvider>>,
    /// Who takes over from the language model.
    #[arg(long, env = "LLM_FALLBACK")]
    pub llm_fallback: Option<Choice<LlmProvider>>,
    /// Who speaks.
    #[arg(long, env = "TTS_PROVIDER", default_value = "elevenlabs")]
    pub tts_provider: Choice<TtsProvider>,
    /// Who takes over from them.
    #[arg(long, env = "TTS_FALLBACK")]
    pub tts_fallback: Option<Choice<TtsProvider>>,
}

/// The language model that reads finished conversations.
#[derive(Clone, Debug, clap::Args)]
pub struct LlmConfig {
    /// Without one of a language model, conversations are judged by rules alone.
    #[command(flatten)]
    pub keys: ProviderKeys,
    /// Whose model holds live conversations; it writes summaries too, if its key is here, and otherwise whoever has one.
    #[arg(long, env = "LLM_PROVIDER", default_value = "openai")]
    pub llm_provider: Choice<LlmProvider>,
    /// Any API of the same shape, with its `/v1`.
    #[arg(long, env = "OPENAI_BASE_URL", default_value = "https://api.openai.com/v1")]
    pub openai_base_url: url::Url,
    /// The model of live conversations; it also writes summaries, unless SUMMARY_MODEL names another.
    #[arg(long, env = "LLM_MODEL", default_value = "gpt-6-luna")]
    pub llm_model: String,
    #[arg(long, env = "SUMMARY_MODEL")]
    pub summary_model: Option<String>,
    /// Gemini's endpoint that speaks OpenAI's wire.
    #[arg(long, env = "GEMINI_BASE_URL", default_value = "https://generativelanguage.googleapis.com/v1beta/openai")]
    pub gemini_base_url: url::Url,
    /// Sarvam's host.
    #[arg(long, env = "SARVAM_URL", default_value = "https://api.sarvam.ai")]
    pub sarvam_url: url::Url,
    /// Without `/v1`.
    #[arg(long, env = "ANTHROPIC_BASE_URL", default_value = "https://api.anthropic.com")]
    pub anthropic_base_url: url::Url,
    /// Bedrock's endpoint that speaks Anthropic's wire; without `/v1`.
    #[arg(long, env = "BEDROCK_BASE_URL", default_value = "https://bedrock-mantle.ap-south-1.api.aws/anthropic")]
    pub bedrock_base_url: url::Url,
}

impl Config {
    /// # Errors
    /// An address that would carry alerts over the open network without encryption, or is none. An empty one is none given.
    pub fn alert_webhook(&self) -> anyhow::Result<Option<url::Url>> {
        use anyhow::Context;
        let Some(text) = self.alert_webhook_url.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let url = url::Url::parse(text).context("ALERT_WEBHOOK_URL")?;
        let allowed = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(text));
        anyhow::ensure!(allowed, "ALERT_WEBHOOK_URL must be https, or http on this machine");
        Ok(Some(url))
    }

    #[must_use]
    pub fn max_call_duration(&self) -> Duration {
        // Exotel's TimeLimit is at most 14,400 s.
        Duration::from_secs((u64::from(self.max_call_duration_minutes) * 60).clamp(60, 14_400))
    }

    #[must_use]
    pub fn reconcile_horizon(&self) -> Duration {
        Duration::from_secs(self.reconcile_horizon_secs)
    }

    #[must_use]
    pub fn max_recording_bytes(&self) -> u64 {
        self.max_recording_mb * 1_000_000
    }
}

impl LlmConfig {
    /// Who writes summaries, with the key.
    #[must_use]
    pub fn writer(&self) -> Option<(LlmProvider, &SecretString)> {
        use LlmProvider::{Anthropic, Bedrock, Gemini, OpenAi, Sarvam};
        [self.llm_provider.provider, OpenAi, Anthropic, Gemini, Bedrock, Sarvam]
            .into_iter()
            .find_map(|provider| Some((provider, self.keys.of(provider.vendor())?)))
    }

    #[must_use]
    pub fn summary_model(&self, writer: LlmProvider) -> &str {
        let named = self.summary_model.as_deref().filter(|model| !model.is_empty());
        let of_calls = self.llm_provider.model.as_deref().filter(|_| writer == self.llm_provider.provider);
        named.or(of_calls).unwrap_or_else(|| usual::llm(writer).unwrap_or(&self.llm_model))
    }
}

impl ExotelConfig {
    /// Whether there is an account; an empty setting is none.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.exotel_account_sid.as_ref().is_some_and(|sid| !sid.is_empty())
    }
}

impl TwilioConfig {
    /// Whether there is an account; an empty setting is none.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.twilio_account_sid.as_ref().is_some_and(|sid| !sid.is_empty())
    }
}

impl DialingConfig {
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.carrier_timeout_secs.max(1))
    }

    #[must_use]
    pub fn ring_timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.ring_timeout_secs))
    }
}

/// # Errors
/// The setting is missing or empty; the error names its variable.
pub fn required<'a, T: Setting>(name: &'static str, value: Option<&'a T>) -> anyhow::Result<&'a T> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| anyhow::anyhow!("{name} is missing"))
}

/// A text that a setting may hold.
pub trait Setting {
    fn is_empty(&self) -> bool;
}

impl Setting for String {
    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

impl Setting for SecretString {
    fn is_empty(&self) -> bool {
        self.expose_secret().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str) -> anyhow::Result<Option<url::Url>> {
        let arguments = [
            "worker",
            "--database-url",
            "x",
            "--our-base-url",
            "http://127.0.0.1",
            "--callback-secret",
            "x",
            "--alert-webhook-url",
            url,
        ];
        Config::try_parse_from(arguments)?.alert_webhook()
    }

    #[test]
    fn alerts_leave_this_machine_encrypted_or_not_at_all() {
        for (url, taken) in [
            ("https://ops.example.com/hook?key=1", true),
            ("http://127.0.0.1:9000/hook", true),
            ("http://localhost/hook", true),
            ("http://ops.example.com/hook", false),
            ("ftp://127.0.0.1/hook", false),
            ("not a url", false),
        ] {
            assert_eq!(webhook(url).is_ok_and(|url| url.is_some()), taken, "{url}");
        }
        assert!(webhook(" ").unwrap().is_none());
    }
}
