//! What `api` reads from its environment; each variable also is a flag.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use shared::clock::{ClockConfig, is_loopback};
use shared::provider::{ProviderKeys, Vendor};
use shared::reach::SpeechConfig;
use shared::storage::StorageConfig;
use url::Url;

use crate::llm::Llm;
use crate::twilio::TwilioAccount;

/// Who may use the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMode {
    /// Whoever has an API key, as that key's account.
    Keys,
    /// Everybody on this machine, as the first account: for rehearsals.
    Open,
}

/// What a web process does; a platform such as Heroku sends traffic to its `web` process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WebRole {
    Api,
    /// Becomes the `media` program beside this one, listening on PORT.
    Media,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseConfig {
    /// The one Postgres that all processes share.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Connections that this process opens at most.
    #[arg(long, env = "API_DATABASE_CONNECTIONS", default_value_t = 20)]
    pub database_connections: u32,
    /// The address to listen on; 0.0.0.0 for every interface.
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,
    /// What this web process does.
    #[arg(long, env = "WEB_ROLE", default_value = "api")]
    pub web_role: WebRole,
    /// The address under which people and carriers reach this API.
    #[arg(long, env = "OUR_BASE_URL", default_value = "http://127.0.0.1:8000")]
    pub our_base_url: url::Url,
    /// `keys`, or `open` for rehearsals on this machine.
    #[arg(long, env = "AUTH", default_value = "keys")]
    pub auth: AuthMode,
    /// Carried by every callback URL that is handed to Exotel: its webhooks are not signed.
    #[arg(long, env = "CALLBACK_SECRET", hide_env_values = true)]
    pub callback_secret: SecretString,
    /// Hour at which a campaign that says nothing begins to call, Monday to Saturday, by the lead's clock.
    #[arg(long, env = "CALLING_HOURS_START", default_value_t = 10)]
    pub calling_hours_start: u32,
    /// Hour at which it ends.
    #[arg(long, env = "CALLING_HOURS_END", default_value_t = 19)]
    pub calling_hours_end: u32,
    /// Calls that a campaign which says nothing has at once, at most.
    #[arg(long, env = "MAX_CONCURRENT_CALLS", default_value_t = 10)]
    pub max_concurrent_calls: i32,
    /// Largest list that may be uploaded.
    #[arg(long, env = "MAX_UPLOAD_MB", default_value_t = 25)]
    pub max_upload_mb: usize,
    /// Where the carrier's REST API is. This process never calls it: a hurried clock is only allowed in front of loopback.
    #[arg(long, env = "EXOTEL_API_BASE_URL", default_value = "https://api.exotel.com")]
    pub exotel_api_base_url: url::Url,
    /// Calls that the carrier lets the account start per second, for forecasts; the worker's setting is the one that holds.
    #[arg(long, env = "EXOTEL_CALLS_PER_SECOND", default_value_t = 3.0)]
    pub exotel_calls_per_second: f64,
    /// Twilio signs its webhooks with it; the worker's. Without it none is taken.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    pub twilio_auth_token: Option<SecretString>,
    /// Where Twilio reaches our `media`: `wss://media.example.com/twilio/media`, and `/{secret}` behind it where
    /// MEDIA_STREAM_SECRET is set. Without a query string, which Twilio does not take.
    #[arg(long, env = "TWILIO_STREAM_URL")]
    pub twilio_stream_url: Option<String>,
    /// Calls that Twilio starts per second, for forecasts; the worker's setting is the one that holds.
    #[arg(long, env = "TWILIO_CALLS_PER_SECOND", default_value_t = 1.0)]
    pub twilio_calls_per_second: f64,
    /// Base URL, with `/v1`, of the language model that answers where a carrier gathers speech.
    #[arg(long, env = "OPENAI_BASE_URL", default_value = "https://api.openai.com/v1")]
    pub openai_base_url: Url,
    /// Its name, for voice agents that name none.
    #[arg(long, env = "LLM_MODEL", default_value = "gpt-6-luna")]
    pub llm_model: String,
    /// They tell which providers a voice agent may name. One is used from here: OpenAI's, to answer where a carrier gathers speech;
    /// without it every call streams.
    #[command(flatten)]
    pub provider_keys: ProviderKeys,
    /// As for `media`: a campaign's preflight says which languages nobody hears or speaks.
    #[command(flatten)]
    pub speech: SpeechConfig,
    /// Longest call; the worker's and media's. Here it ends conversations whose speech the carrier gathers.
    #[arg(long, env = "MAX_CALL_DURATION_MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_call_duration_minutes: u32,
    /// As for `media`: voice agents' own tools may lie in private networks. For development.
    #[arg(long, env = "PRIVATE_TOOLS", default_value_t = false, action = clap::ArgAction::Set)]
    pub private_tools: bool,
    #[command(flatten)]
    pub clock: ClockConfig,
    #[command(flatten)]
    pub storage: StorageConfig,
    /// What is logged: `info`, `debug`, or a filter such as `info,api=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl ServeConfig {
    /// What this process needs of the Twilio account, where there is one; an empty token is none.
    ///
    /// # Errors
    /// An address of streams that Twilio would not take.
    pub fn twilio(&self) -> anyhow::Result<Option<TwilioAccount>> {
        let Some(auth_token) = self.twilio_auth_token.clone().filter(|token| !token.expose_secret().is_empty()) else {
            return Ok(None);
        };
        let stream_url = match self.twilio_stream_url.as_deref().map(str::trim).filter(|url| !url.is_empty()) {
            None => None,
            Some(text) => {
                let url = Url::parse(text).context("TWILIO_STREAM_URL")?;
                let local = url.scheme() == "ws" && is_loopback(text);
                ensure!(url.scheme() == "wss" || local, "TWILIO_STREAM_URL must be wss, or ws on this machine");
                ensure!(url.query().is_none(), "TWILIO_STREAM_URL must have no query string: Twilio drops it");
                Some(url)
            }
        };
        Ok(Some(TwilioAccount { auth_token, stream_url }))
    }

    /// The language model's client, where there is a key; an empty one is none.
    ///
    /// # Errors
    /// A base URL that cannot be used.
    pub fn llm(&self) -> anyhow::Result<Option<Llm>> {
        let key = self.provider_keys.of(Vendor::OpenAi).cloned();
        key.map(|key| Llm::new(&self.openai_base_url, key, &self.llm_model)).transpose()
    }

    /// Longest call.
    #[must_use]
    pub fn max_call_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_call_duration_minutes) * 60)
    }

    /// # Errors
    /// Settings that do not go together, by the variable's name.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.auth == AuthMode::Open {
            let loopback = self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || self.host == "localhost";
            ensure!(
                loopback,
                "AUTH=open lets everybody in, and is for this machine alone: HOST must be a loopback address"
            );
        }
        ensure!((1..=1000).contains(&self.max_concurrent_calls), "MAX_CONCURRENT_CALLS must be between 1 and 1000");
        ensure!((1..=1024).contains(&self.max_upload_mb), "MAX_UPLOAD_MB must be between 1 and 1024");
        ensure!((2..=200).contains(&self.database_connections), "API_DATABASE_CONNECTIONS must be between 2 and 200");
        shared::calling_window::CallingHours::from_whole_hours(self.calling_hours_start, self.calling_hours_end)
            .context("CALLING_HOURS_START and CALLING_HOURS_END")?;
        if !is_loopback(self.our_base_url.as_str()) && self.our_base_url.scheme() != "https" {
            tracing::warn!("OUR_BASE_URL is not https: carriers will send call data in the clear");
        }
        Ok(())
    }
}
