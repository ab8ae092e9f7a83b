//! Everything `media` can be told from outside. Each variable is documented here and named in `.env.example`.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use shared::provider::{Choice, LlmProvider, ProviderKeys, SttProvider, TtsProvider};
use url::Url;

use crate::latency::Trick;

/// The environment (or the command line) of the process.
#[derive(Debug, Clone, Parser)]
#[command(name = "media", about = "Holds Trunkline's live calls")]
pub struct Config {
    /// Address to listen on. Falls back to HOST, then 127.0.0.1.
    #[arg(long, env = "MEDIA_HOST")]
    pub media_host: Option<IpAddr>,
    /// Shared with the other processes.
    #[arg(long, env = "HOST", hide = true)]
    pub host: Option<IpAddr>,
    /// Port to listen on. Falls back to PORT (which Heroku sets), then 8001.
    #[arg(long, env = "MEDIA_PORT")]
    pub media_port: Option<u16>,
    /// Shared with the other processes.
    #[arg(long, env = "PORT", hide = true)]
    pub port: Option<u16>,

    /// How domain time runs.
    #[command(flatten)]
    pub clock: shared::clock::ClockConfig,
    /// The carrier's REST API. Not called from here: a hurried clock is refused unless it is on loopback.
    #[arg(long, env = "EXOTEL_API_BASE_URL", default_value = "https://api.exotel.com")]
    pub exotel_api_base_url: String,

    /// The Postgres that all processes share.
    #[arg(long, env = "DATABASE_URL", value_parser = secret)]
    pub database_url: SecretString,

    /// Those of the providers in use by default are needed, and of those that voice agents name.
    #[command(flatten)]
    pub keys: ProviderKeys,
    /// Who hears: `deepgram`, `deepgram_flux`, `sarvam` or `openai`, perhaps with a model (`sarvam/saaras:v3-realtime`).
    #[arg(long, env = "STT_PROVIDER", default_value = "deepgram")]
    pub stt_provider: Choice<SttProvider>,
    /// Who takes over in the middle of a call when the first choice fails.
    #[arg(long, env = "STT_FALLBACK")]
    pub stt_fallback: Option<Choice<SttProvider>>,
    /// Who thinks: `openai`, `gemini`, `sarvam`, `anthropic` or `bedrock`, perhaps with a model (`anthropic/claude-haiku-5-5`).
    #[arg(long, env = "LLM_PROVIDER", default_value = "openai")]
    pub llm_provider: Choice<LlmProvider>,
    /// As for hearing.
    #[arg(long, env = "LLM_FALLBACK")]
    pub llm_fallback: Option<Choice<LlmProvider>>,
    /// Who speaks: `elevenlabs`, `sarvam`, `openai` or `deepgram`, perhaps with model and voice (`sarvam/bulbul:v3@shubh`).
    #[arg(long, env = "TTS_PROVIDER", default_value = "elevenlabs")]
    pub tts_provider: Choice<TtsProvider>,
    /// As for hearing.
    #[arg(long, env = "TTS_FALLBACK")]
    pub tts_fallback: Option<Choice<TtsProvider>>,

    /// Deepgram's host: a regional one (`wss://api.in.deepgram.com`), or a simulator.
    #[arg(long, env = "DEEPGRAM_URL", default_value = "wss://api.deepgram.com")]
    pub deepgram_url: Url,
    /// Nova's model, where none is named.
    #[arg(long, env = "DEEPGRAM_MODEL", default_value = "nova-3")]
    pub deepgram_model: String,

    /// With `/v1`: OpenAI or anything that speaks its wire.
    #[arg(long, env = "OPENAI_BASE_URL", default_value = "https://api.openai.com/v1")]
    pub openai_base_url: Url,
    /// OpenAI's model, where none is named. Models are shut down: see the wire notes.
    #[arg(long, env = "LLM_MODEL", default_value = "gpt-6-luna")]
    pub llm_model: String,

    /// ElevenLabs' host (a residency host, or a simulator); the socket's address is derived from it.
    #[arg(long, env = "ELEVENLABS_URL", default_value = "https://api.elevenlabs.io")]
    pub elevenlabs_url: Url,
    /// ElevenLabs' voice, where none is named.
    #[arg(long, env = "ELEVENLABS_VOICE_ID", default_value = "21m00Tcm4TlvDq8ikWAM")]
    pub elevenlabs_voice_id: String,
    /// Speech model: low latency matters more than the last bit of expression.
    #[arg(long, env = "ELEVENLABS_MODEL", default_value = "eleven_flash_v2_5")]
    pub elevenlabs_model: String,

    /// Sarvam's host, or a simulator; its sockets' addresses are derived from it.
    #[arg(long, env = "SARVAM_URL", default_value = "https://api.sarvam.ai")]
    pub sarvam_url: Url,
    /// Gemini's endpoint that speaks OpenAI's wire.
    #[arg(long, env = "GEMINI_BASE_URL", default_value = "https://generativelanguage.googleapis.com/v1beta/openai")]
    pub gemini_base_url: Url,
    /// Without `/v1`.
    #[arg(long, env = "ANTHROPIC_BASE_URL", default_value = "https://api.anthropic.com")]
    pub anthropic_base_url: Url,
    /// Bedrock's endpoint that speaks Anthropic's wire, in a region near the calls; without `/v1`.
    #[arg(long, env = "BEDROCK_BASE_URL", default_value = "https://bedrock-mantle.ap-south-1.api.aws/anthropic")]
    pub bedrock_base_url: Url,

    /// Shared with the API: voice agents' own tools know our requests by what is derived from it.
    #[arg(long, env = "CALLBACK_SECRET", hide_env_values = true, value_parser = secret)]
    pub callback_secret: SecretString,
    /// Voice agents' own tools may lie in private networks, and be asked over http. For development: whoever may edit a voice agent
    /// then reaches whatever this process reaches.
    #[arg(long, env = "PRIVATE_TOOLS", default_value_t = false, action = clap::ArgAction::Set)]
    pub private_tools: bool,

    /// Longest call. The agent says goodbye before it; the stream is cut shortly after it whatever happens.
    #[arg(long, env = "MAX_CALL_DURATION_MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub max_call_duration_minutes: u32,
    /// Calls held at once; further streams get 503. Measure before raising it.
    #[arg(long, env = "MAX_LIVE_CALLS", default_value_t = 200)]
    pub max_live_calls: usize,
    /// When set, a stream must carry it: as the last path segment (`/media/{secret}`) or as Basic credentials. Carriers strip
    /// query strings, so that a `?token=` would never arrive.
    #[arg(long, env = "MEDIA_STREAM_SECRET", value_parser = secret)]
    pub media_stream_secret: Option<SecretString>,
    /// Twilio signs the opening of its streams with it; the worker's. Without it, or without TWILIO_STREAM_URL, no signature is
    /// asked for.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", value_parser = secret)]
    pub twilio_auth_token: Option<SecretString>,
    /// The address of this process that Twilio is given; the API's.
    #[arg(long, env = "TWILIO_STREAM_URL")]
    pub twilio_stream_url: Option<String>,
    /// Length of the frames we send, in milliseconds: 20 to 200, a multiple of 20. Exotel recommends 100 to 200.
    #[arg(long, env = "FRAME_MS", default_value_t = 100, value_parser = frame_ms)]
    pub frame_ms: u32,
    /// How long calls may go on after SIGTERM; in the last half of it they are handed over to another process. Storing their last
    /// words can take four seconds more.
    #[arg(long, env = "DRAIN_GRACE_SECS", default_value_t = 25)]
    pub drain_grace_secs: u64,
    /// Where recordings are written while their call is up, and wait until the object store has taken them. Processes of one
    /// machine share it: what one that was killed leaves there, another one ships.
    #[arg(long, env = "SPOOL_DIR", default_value = ".data/spool")]
    pub spool_dir: PathBuf,
    /// What may lie there, in megabytes; a call that begins beyond it is not recorded. A minute takes two.
    #[arg(long, env = "MAX_SPOOL_MB", default_value_t = 10_000)]
    pub max_spool_mb: u64,
    /// Where recordings go.
    #[command(flatten)]
    pub storage: shared::storage::StorageConfig,
    /// Ways of gaining time that are not to be used, comma-separated: `speculation`, `early_clause`, `phrase_cache`, `warm_up`,
    /// `while_ringing`, `filler`.
    #[arg(long, env = "LATENCY_OFF", value_delimiter = ',', value_enum)]
    pub latency_off: Vec<Trick>,
    /// Log filter: `info`, or `info,media=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl Config {
    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        let host = self.media_host.or(self.host).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        SocketAddr::new(host, self.media_port.or(self.port).unwrap_or(8_001))
    }

    /// Longest call.
    pub fn max_call_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_call_duration_minutes) * 60)
    }

    /// What Twilio signs with, and what; `None` unless both are set.
    pub fn twilio(&self) -> Option<(&SecretString, &str)> {
        let token = self.twilio_auth_token.as_ref().filter(|token| !token.expose_secret().is_empty())?;
        let url = self.twilio_stream_url.as_deref().map(str::trim).filter(|url| !url.is_empty())?;
        Some((token, url))
    }

    /// What may wait in the spool.
    pub fn max_spool_bytes(&self) -> u64 {
        self.max_spool_mb.saturating_mul(1_000_000)
    }

    /// Whether time is gained in this way.
    pub fn uses(&self, trick: Trick) -> bool {
        !self.latency_off.contains(&trick)
    }

    /// How long calls may go on after SIGTERM.
    pub fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_grace_secs)
    }
}

fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

fn frame_ms(text: &str) -> Result<u32, String> {
    let ms: u32 = text.parse().map_err(|_not_a_number| "not a number".to_owned())?;
    if (20..=200).contains(&ms) && ms.is_multiple_of(20) {
        Ok(ms)
    } else {
        Err("must be a multiple of 20 between 20 and 200".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 10] = [
        "media",
        "--database-url=postgres://u:p@localhost/t",
        "--deepgram-api-key=d",
        "--openai-api-key=o",
        "--elevenlabs-api-key=e",
        "--callback-secret=c",
        "--media-host=127.0.0.1",
        "--media-port=8001",
        "--deepgram-url=ws://127.0.0.1:1",
        "--elevenlabs-url=http://127.0.0.1:1",
    ];

    #[test]
    fn no_secret_shows_in_its_debug_form() {
        let config = Config::try_parse_from(KEYS).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("u:p@"), "{shown}");
        assert_eq!(config.address(), "127.0.0.1:8001".parse().unwrap());
    }

    #[test]
    fn every_way_of_gaining_time_is_used_until_it_is_switched_off() {
        let config = |off: &str| Config::try_parse_from(KEYS.iter().copied().chain([off]));
        let off = config("--latency-off=speculation,early_clause").unwrap();
        assert!(!off.uses(Trick::Speculation) && !off.uses(Trick::EarlyClause) && off.uses(Trick::WarmUp));
        assert!(config("--latency-off=magic").is_err());
        assert!(Config::try_parse_from(KEYS).unwrap().uses(Trick::Speculation));
    }

    #[test]
    fn frames_that_the_carrier_would_stumble_over_are_refused() {
        for (ms, fine) in
            [("20", true), ("100", true), ("200", true), ("0", false), ("90", false), ("220", false), ("x", false)]
        {
            let arguments = KEYS.iter().map(|s| (*s).to_owned()).chain([format!("--frame-ms={ms}")]);
            assert_eq!(Config::try_parse_from(arguments).is_ok(), fine, "{ms}");
        }
    }
}
