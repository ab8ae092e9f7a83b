//! The simulated Exotel: its REST API, its calls, its streams, its callbacks.
//!
//! A call is placed in [`place`], lives in [`line`], talks in [`stream`], and is asked about in
//! [`read`]. What is played when is decided, without sockets, in [`playback`].

mod account;
mod answer;
mod applets;
mod bot_url;
pub(crate) mod call;
pub(crate) mod callbacks;
mod clock;
mod error;
pub mod flow;
pub(crate) mod form;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod leg;
pub(crate) mod line;
mod numbers;
pub mod phone;
pub mod place;
pub mod playback;
pub(crate) mod read;
pub mod recordings;
mod sms;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::call::{Call, Recording, Status, Truth};
use crate::{callee::Script, exotel::flow::Flow, scenarios, settings::Settings, world::World};

/// The oldest call is forgotten beyond this many.
const MAX_CALLS: usize = 200_000;

/// The carrier's memory and means.
pub struct Carrier {
    calls: Mutex<Calls>,
    flows: Mutex<HashMap<String, Flow>>,
    /// By national number.
    scripts: Mutex<HashMap<String, Script>>,
    /// When the requests of the last minute came.
    requests: Mutex<VecDeque<Instant>>,
    streams: AtomicUsize,
    passthrus: AtomicU64,
    pub(crate) recordings: recordings::Recordings,
    messages: sms::Messages,
    http: reqwest::Client,
    base_url: OnceLock<String>,
    /// Every task that outlives its request.
    pub tasks: TaskTracker,
    /// Cancelled when the sandbox stops.
    pub closing: CancellationToken,
}

#[derive(Default)]
struct Calls {
    by_sid: HashMap<String, Arc<Call>>,
    /// In the order of placing.
    placed: VecDeque<Arc<Call>>,
    /// Calls so far, by national number.
    attempts: HashMap<String, usize>,
}

/// One of the account's concurrent streams; given back when dropped.
pub struct StreamPlace<'a>(&'a AtomicUsize);

impl Drop for StreamPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Carrier {
    pub fn new(settings: &Settings) -> Self {
        // Nothing but loopback is ever asked; a proxy from the environment or a redirect would lead
        // out of the closed world.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build()
            .unwrap_or_default();
        let flows = Flow::from_settings(settings).map(|flow| (settings.app_id.clone(), flow)).into_iter().collect();
        Self {
            calls: Mutex::default(),
            flows: Mutex::new(flows),
            scripts: Mutex::new(scenarios::scripts()),
            requests: Mutex::default(),
            streams: AtomicUsize::new(0),
            passthrus: AtomicU64::new(0),
            recordings: recordings::Recordings::default(),
            messages: Mutex::default(),
            http,
            base_url: OnceLock::new(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Where this sandbox can be reached; recordings are announced under it.
    pub fn set_base_url(&self, url: String) {
        // Set once, by `serve`; a second router over the same world keeps the first address.
        let _ = self.base_url.set(url);
    }

    pub fn put_flow(&self, app_id: &str, flow: Flow) {
        lock(&self.flows).insert(app_id.to_owned(), flow);
    }

    pub fn flow(&self, app_id: &str) -> Option<Flow> {
        lock(&self.flows).get(app_id).cloned()
    }

    /// Gives a number its behaviour, from its next call on.
    pub fn put_script(&self, national: &str, script: Script) {
        lock(&self.scripts).insert(national.to_owned(), script);
    }

    /// The number's script, or that of somebody who answers every question.
    pub fn script(&self, national: &str) -> Script {
        lock(&self.scripts).get(national).cloned().unwrap_or_else(scenarios::anybody)
    }

    /// Every call, in the order of placing.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        lock(&self.calls).placed.iter().cloned().collect()
    }

    pub fn call(&self, sid: &str) -> Option<Arc<Call>> {
        lock(&self.calls).by_sid.get(sid).cloned()
    }

    /// Forgets calls and attempts; calls that are up go on unseen.
    pub fn forget_calls(&self) {
        *lock(&self.calls) = Calls::default();
        lock(&self.requests).clear();
    }

    /// The number of the next attempt to a phone, from 1, without making it.
    pub(crate) fn next_attempt(&self, national: &str) -> usize {
        lock(&self.calls).attempts.get(national).copied().unwrap_or(0) + 1
    }

    /// Counts an attempt and tells its number.
    pub(crate) fn count_attempt(&self, national: &str) -> usize {
        let mut calls = lock(&self.calls);
        let attempt = calls.attempts.entry(national.to_owned()).or_default();
        *attempt += 1;
        *attempt
    }

    fn remember(&self, call: &Arc<Call>) {
        let mut calls = lock(&self.calls);
        if calls.placed.len() == MAX_CALLS
            && let Some(oldest) = calls.placed.pop_front()
        {
            calls.by_sid.remove(&oldest.sid);
        }
        calls.by_sid.insert(call.sid.clone(), call.clone());
        calls.placed.push_back(call.clone());
    }

    /// Whether one more request fits into the rolling minute.
    fn admit_request(&self, per_minute: u32) -> bool {
        let now = Instant::now();
        let mut requests = lock(&self.requests);
        while requests.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(60)) {
            requests.pop_front();
        }
        if requests.len() >= per_minute as usize {
            return false;
        }
        requests.push_back(now);
        true
    }

    fn take_stream(&self, most: usize) -> Option<StreamPlace<'_>> {
        self.streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < most).then_some(open + 1))
            .ok()
            .map(|_| StreamPlace(&self.streams))
    }

    /// Where this sandbox can be reached.
    pub(crate) fn base_url(&self, settings: &Settings) -> String {
        self.base_url.get().cloned().unwrap_or_else(|| format!("http://{}:{}", settings.host, settings.port))
    }

    /// For requests to the product.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where the call's recording is, or will be, if it has one.
    fn recording_url(&self, settings: &Settings, call: &Call) -> Option<String> {
        if call.truth().recording == Recording::None {
            return None;
        }
        let base = self.base_url(settings);
        Some(format!("{base}/exotelrecordings/{}/{}.mp3", settings.exotel_sid, call.sid))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section leaves its map whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Exotel's routes.
pub fn router() -> Router<Arc<World>> {
    let account = Router::new()
        .route("/Calls/connect.json", post(place::connect))
        .route("/Calls/connect", post(place::connect))
        .route("/Calls/{call}", get(read::call))
        .route("/Calls.json", get(read::calls))
        .route("/Calls", get(read::calls))
        .route("/Numbers/{number}", get(numbers::metadata))
        .route("/IncomingPhoneNumbers.json", get(numbers::exophones))
        .route("/IncomingPhoneNumbers", get(numbers::exophones))
        .route("/Sms/send.json", post(sms::send))
        .route("/Sms/send", post(sms::send))
        .route("/SMS/Messages/{message}", get(sms::details))
        .route("/Sms/Messages/{message}", get(sms::details))
        .route("/ActiveStreams", get(numbers::active_streams))
        .fallback(account::nothing_here);
    Router::new()
        .nest("/v1/Accounts/{account}", account)
        .route("/v2_beta/Accounts/{account}/IncomingPhoneNumbers", get(numbers::exophones_v2))
        .route("/v2_beta/Accounts/{account}/IncomingPhoneNumbers/{sid}", get(numbers::exophone_v2))
        .route("/exotelrecordings/{account}/{file}", get(read::recording))
}
