//! What every job gets beside its payload. Cheap to clone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use sqlx::PgPool;

use shared::clock::Clock;
use shared::dispatch::Limits;
use shared::model_shutdown::Installation;
use shared::pace::CarrierRates;
use shared::provider::{LlmProvider, Vendor};
use shared::storage::Storage;

use crate::carrier::Carriers;
use crate::config::Config;
use crate::jobs::place_call::GUARDS_FRESH_FOR;
use crate::summary::Summarizer;

#[derive(Clone)]
pub struct Context {
    pub db: PgPool,
    pub clock: Clock,
    pub carriers: Carriers,
    pub storage: Storage,
    /// For recordings: follows no redirect by itself.
    pub http: reqwest::Client,
    pub summarizer: Arc<Summarizer>,
    pub settings: Arc<Settings>,
}

/// The durations and bounds of the jobs. All waits are wall-clock time.
#[derive(Clone, Debug)]
pub struct Settings {
    pub limits: Limits,
    /// How long after a request silence about its call is looked into.
    pub answer_within: Duration,
    /// How long a placed call may ring in silence.
    pub ring_silence: Duration,
    pub max_call: Duration,
    /// After so long, a carrier that finds no such call never had one.
    pub reconcile_horizon: Duration,
    pub max_recording_bytes: u64,
    /// How long the carrier's recording of a call is waited for before our own is kept.
    pub recording_patience: Duration,
    pub max_import_rows: usize,
    pub alert_webhook: Option<AlertWebhook>,
    /// Absent without a key.
    pub models: Option<ModelList>,
}

/// Where OpenAI lists its models, and which of them calls need.
#[derive(Clone, Debug)]
pub struct ModelList {
    pub url: url::Url,
    pub key: SecretString,
    pub installation: Installation,
}

/// Who hears of alerts, and with what they are signed.
#[derive(Clone, Debug)]
pub struct AlertWebhook {
    pub url: url::Url,
    pub secret: SecretString,
}

impl Context {
    /// # Errors
    /// A setting that cannot be used, with its variable's name.
    pub fn new(config: &Config, db: PgPool) -> anyhow::Result<Self> {
        let clock = config.clock.clock(config.exotel.exotel_api_base_url.as_str())?;
        if config.twilio.is_configured() {
            // The same clock; only that this carrier allows it, too, is of interest.
            config.clock.clock(config.twilio.twilio_api_base_url.as_str())?;
        }
        let max_call = config.max_call_duration();
        let carriers = Carriers::new(config)?;
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        let timeout = config.dialing.timeout();
        let last_dial_before_close = clock.domain(GUARDS_FRESH_FOR + timeout);
        Ok(Self {
            db,
            clock,
            carriers,
            storage: config.storage.open()?,
            http,
            summarizer: Arc::new(Summarizer::new(&config.llm)?),
            settings: Arc::new(Settings {
                limits: Limits {
                    carrier_rates: CarrierRates {
                        exotel: config.exotel.exotel_calls_per_second,
                        twilio: config.twilio.twilio_calls_per_second,
                    },
                    lease: Duration::from_secs(60),
                    last_dial_before_close,
                },
                answer_within: timeout + Duration::from_secs(5),
                ring_silence: config.dialing.ring_timeout() + Duration::from_secs(30),
                max_call,
                reconcile_horizon: config.reconcile_horizon(),
                max_recording_bytes: config.max_recording_bytes(),
                recording_patience: Duration::from_secs(config.recording_patience_secs),
                max_import_rows: config.max_import_rows,
                alert_webhook: config
                    .alert_webhook()?
                    .map(|url| AlertWebhook { url, secret: config.callback_secret.clone() }),
                models: models(config)?,
            }),
        })
    }
}

fn models(config: &Config) -> anyhow::Result<Option<ModelList>> {
    let (llm, speech) = (&config.llm, &config.speech);
    let Some(key) = llm.keys.of(Vendor::OpenAi) else { return Ok(None) };
    let mut url = llm.openai_base_url.clone();
    url.path_segments_mut()
        .map_err(|()| anyhow::anyhow!("OPENAI_BASE_URL takes no path"))?
        .pop_if_empty()
        .push("models");
    let writes = llm.writer().filter(|(provider, _)| *provider == LlmProvider::OpenAi);
    let installation = Installation {
        stt: speech.stt_provider.clone(),
        stt_fallback: speech.stt_fallback.clone(),
        llm: llm.llm_provider.clone(),
        llm_fallback: speech.llm_fallback.clone(),
        tts: speech.tts_provider.clone(),
        tts_fallback: speech.tts_fallback.clone(),
        llm_model: llm.llm_model.clone(),
        summary_model: writes.map(|(provider, _)| llm.summary_model(provider).to_owned()),
    };
    Ok(Some(ModelList { url, key: key.clone(), installation }))
}
