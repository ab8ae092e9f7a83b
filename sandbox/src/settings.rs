//! What can be set from flags and the environment. The defaults are those of the demo.

use std::{net::IpAddr, time::Duration};

use clap::Args;

/// The sandbox's configuration. `Settings::default()` reads no environment: tests use it.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// A loopback address; anything else is refused.
    #[arg(long, env = "SANDBOX_HOST", default_value_t = Settings::default().host)]
    pub host: IpAddr,
    /// 0 asks for any free port.
    #[arg(long, env = "SANDBOX_PORT", default_value_t = Settings::default().port)]
    pub port: u16,
    #[arg(long, env = "SANDBOX_EXOTEL_SID", default_value_t = Settings::default().exotel_sid)]
    pub exotel_sid: String,
    #[arg(long, env = "SANDBOX_EXOTEL_KEY", default_value_t = Settings::default().exotel_key)]
    pub exotel_key: String,
    #[arg(long, env = "SANDBOX_EXOTEL_TOKEN", default_value_t = Settings::default().exotel_token)]
    pub exotel_token: String,
    /// The account's ExoPhones, comma-separated; the first is the default caller id.
    #[arg(long, env = "SANDBOX_EXOTEL_NUMBERS", value_delimiter = ',', default_values_t = Settings::default().exophones)]
    pub exophones: Vec<String>,
    /// The flow (App Bazaar applet chain) that exists from the start.
    #[arg(long, env = "SANDBOX_EXOTEL_APP_ID", default_value_t = Settings::default().app_id)]
    pub app_id: String,
    /// Voicebot URL of that flow: `ws(s)://` itself, or `http(s)://` answering `{"url"}`. Without
    /// it the flow must be configured through `PUT /__sandbox/flows/{app_id}`.
    #[arg(long, env = "SANDBOX_VOICEBOT_URL")]
    pub voicebot_url: Option<String>,
    /// Passthru URL of that flow, asked after each voicebot round.
    #[arg(long, env = "SANDBOX_PASSTHRU_URL")]
    pub passthru_url: Option<String>,
    /// Connect applet's dynamic URL of that flow, asked where the flow transfers.
    #[arg(long, env = "SANDBOX_CONNECT_URL")]
    pub connect_url: Option<String>,
    /// URL of that flow's Passthru applet behind Connect, asked when they have talked or nobody was reached.
    #[arg(long, env = "SANDBOX_AFTER_CONNECT_URL")]
    pub after_connect_url: Option<String>,
    #[arg(long, env = "SANDBOX_TWILIO_SID", default_value_t = Settings::default().twilio_sid)]
    pub twilio_sid: String,
    #[arg(long, env = "SANDBOX_TWILIO_TOKEN", default_value_t = Settings::default().twilio_token)]
    pub twilio_token: String,
    /// The account's numbers, comma-separated, as `+14155550100`.
    #[arg(long, env = "SANDBOX_TWILIO_NUMBERS", value_delimiter = ',', default_values_t = Settings::default().twilio_numbers)]
    pub twilio_numbers: Vec<String>,
    /// Divides ring times and carrier delays (never speech): 10 makes a 5 s ring last 0.5 s.
    #[arg(long, env = "SANDBOX_RATE", default_value_t = Settings::default().rate)]
    pub rate: f64,
    /// REST requests per rolling minute before 429.
    #[arg(long, env = "SANDBOX_REQUESTS_PER_MINUTE", default_value_t = Settings::default().requests_per_minute)]
    pub requests_per_minute: u32,
    /// How long after the end Duration, Price, EndTime and RecordingUrl stay empty in call
    /// details, in ms. Scaled by the rate.
    #[arg(long, env = "SANDBOX_DETAILS_DELAY_MS", default_value_t = Settings::default().details_delay_ms)]
    pub details_delay_ms: u64,
    /// How long after the end the recording answers 404, in ms. Scaled by the rate.
    #[arg(long, env = "SANDBOX_RECORDING_DELAY_MS", default_value_t = Settings::default().recording_delay_ms)]
    pub recording_delay_ms: u64,
    /// How long after the end the terminal StatusCallback is sent, in ms. Scaled by the rate.
    #[arg(long, env = "SANDBOX_CALLBACK_DELAY_MS", default_value_t = Settings::default().callback_delay_ms)]
    pub callback_delay_ms: u64,
    /// Pause before a failed StatusCallback is tried again, in ms. Scaled by the rate.
    #[arg(long, env = "SANDBOX_CALLBACK_RETRY_MS", default_value_t = Settings::default().callback_retry_ms)]
    pub callback_retry_ms: u64,
    /// Length of one audio message to the bot, 20 to 100 ms in steps of 20.
    #[arg(long, env = "SANDBOX_CHUNK_MS", default_value_t = Settings::default().chunk_ms)]
    pub chunk_ms: u64,
    /// Strict pacing: more than this many seconds of audio queued ahead drops the call 4 s later,
    /// as Exotel does. 0 switches it off.
    #[arg(long, env = "SANDBOX_STRICT_AHEAD_SECS", default_value_t = Settings::default().strict_ahead_secs)]
    pub strict_ahead_secs: f64,
    /// The least time a callee takes to begin to answer, in ms.
    #[arg(long, env = "SANDBOX_REACTION_MIN_MS", default_value_t = Settings::default().reaction_min_ms)]
    pub reaction_min_ms: u64,
    /// The longest time a callee takes to begin to answer, in ms.
    #[arg(long, env = "SANDBOX_REACTION_MAX_MS", default_value_t = Settings::default().reaction_max_ms)]
    pub reaction_max_ms: u64,
    /// Whether marks are echoed although `clear` dropped their audio (as live streams may).
    #[arg(long, env = "SANDBOX_ECHO_CLEARED_MARKS", action = clap::ArgAction::Set, default_value_t = Settings::default().echo_cleared_marks)]
    pub echo_cleared_marks: bool,
    /// Whether flow calls (mode B) get the typed callbacks that they subscribed to. The documents
    /// disagree; the one live capture shows the plain callback.
    #[arg(long, env = "SANDBOX_FLOW_EVENTS", action = clap::ArgAction::Set, default_value_t = Settings::default().flow_events)]
    pub flow_events: bool,
    /// Speak in tones even where a synthesiser is installed: quick, and the same everywhere.
    #[arg(long, env = "SANDBOX_TONES", action = clap::ArgAction::Set, default_value_t = Settings::default().tones)]
    pub tones: bool,
    /// Concurrent streams the account may have (`Streaming_call_throttled` beyond).
    #[arg(long, env = "SANDBOX_MAX_STREAMS", default_value_t = Settings::default().max_streams)]
    pub max_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 9100,
            exotel_sid: "sandbox1".into(),
            exotel_key: "sandbox-key".into(),
            exotel_token: "sandbox-token".into(),
            exophones: vec!["08047112233".into()],
            app_id: "1001".into(),
            voicebot_url: None,
            passthru_url: None,
            connect_url: None,
            after_connect_url: None,
            twilio_sid: "AC0123456789abcdef0123456789abcdef".into(),
            twilio_token: "sandbox-twilio-token".into(),
            twilio_numbers: vec!["+14155550100".into()],
            rate: 1.0,
            requests_per_minute: 200,
            details_delay_ms: 5_000,
            recording_delay_ms: 3_000,
            callback_delay_ms: 500,
            callback_retry_ms: 2_000,
            chunk_ms: 100,
            strict_ahead_secs: 5.0,
            reaction_min_ms: 300,
            reaction_max_ms: 900,
            echo_cleared_marks: true,
            flow_events: false,
            tones: false,
            max_streams: 300,
        }
    }
}

impl Settings {
    /// A carrier-side delay, scaled by the rate.
    pub fn scaled(&self, ms: u64) -> Duration {
        let rate = if self.rate.is_finite() && self.rate > 0.0 { self.rate } else { 1.0 };
        Duration::from_secs_f64(ms as f64 / 1_000.0 / rate)
    }
}
