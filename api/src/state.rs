//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use shared::calling_window::CallingHours;
use shared::clock::Clock;
use shared::http_tool::client::HttpTools;
use shared::id::AccountId;
use shared::pace::CarrierRates;
use shared::provider::ProviderKeys;
use shared::reach::SpeechConfig;
use shared::storage::Storage;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::llm::Llm;
use crate::twilio::TwilioAccount;

/// Renders the metrics of this process.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

pub struct AppState {
    pub db: PgPool,
    pub clock: Clock,
    /// Whom a request without a key speaks for: `AUTH=open`.
    pub open_account: Option<AccountId>,
    pub callback_secret: SecretString,
    /// Without a trailing slash.
    pub base_url: String,
    pub storage: Storage,
    pub defaults: CampaignDefaults,
    pub max_upload_bytes: usize,
    /// What the carriers let one account start, for forecasts.
    pub carrier_rates: CarrierRates,
    /// `None`: Twilio is not configured here, and none of its webhooks is taken.
    pub twilio: Option<TwilioAccount>,
    /// Answers on the gathered-speech path; `None`: that path is closed, and every call streams.
    pub llm: Option<Llm>,
    /// Asks voice agents' own tools, on that path.
    pub http_tools: HttpTools,
    /// After which the agent says goodbye, on that path.
    pub max_call_duration: Duration,
    /// Which speech and language services a voice agent may name.
    pub provider_keys: ProviderKeys,
    /// Who hears and speaks where a voice agent does not say.
    pub speech: SpeechConfig,
    /// Voice agents' own tools may lie in private networks.
    pub private_tools: bool,
    pub metrics: RenderMetrics,
    /// Work that outlives its request by a little; shutting down waits for it.
    pub tasks: TaskTracker,
    /// Canceled when the process is asked to end: nobody waits for a long answer any more.
    pub stopping: CancellationToken,
}

/// What a campaign gets that does not say.
#[derive(Clone, Debug)]
pub struct CampaignDefaults {
    pub calling_hours: CallingHours,
    pub max_concurrent_calls: i32,
}

pub type App = Arc<AppState>;
