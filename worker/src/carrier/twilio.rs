//! Twilio's REST API of 2010-04-01. Facts are from the wire reference, §2.1 and §2.2.

mod answer;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::transfer::time_limit;

use self::answer::{CallFields, CallList, RecordingList};
use super::http::{self, Http};
use super::{CarrierCall, CarrierError, Doubt, PlaceRequest, Placed, Progress, Rejection, TextMessage};
use crate::config::{Config, required};

/// One person is not called more often between a request and its horizon.
const PAGE_SIZE: usize = 100;
/// The carrier's clock and ours may differ by so much.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// A client of one Twilio account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Twilio {
    http: Http,
    base: url::Url,
    /// Where Twilio finds our `api`.
    ours: url::Url,
    account: String,
    token: SecretString,
    number: String,
    detects_machines: bool,
    longest_conversation: Duration,
    ring_timeout_secs: u64,
}

impl Twilio {
    /// # Errors
    /// A setting that is missing or cannot be used, or a TLS stack that does not start.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let twilio = &config.twilio;
        anyhow::ensure!(!config.our_base_url.cannot_be_a_base(), "OUR_BASE_URL takes no path");
        Ok(Self {
            http: Http::new("twilio", config.dialing.timeout(), answer::rejected)?,
            base: twilio.twilio_api_base_url.clone(),
            ours: config.our_base_url.clone(),
            account: required("TWILIO_ACCOUNT_SID", twilio.twilio_account_sid.as_ref())?.clone(),
            token: required("TWILIO_AUTH_TOKEN", twilio.twilio_auth_token.as_ref())?.clone(),
            number: required("TWILIO_NUMBER", twilio.twilio_number.as_ref())?.clone(),
            detects_machines: twilio.twilio_machine_detection,
            longest_conversation: config.max_call_duration(),
            ring_timeout_secs: config.dialing.ring_timeout().as_secs(),
        })
    }

    /// Rings `request.phone`; when it is answered, Twilio asks our `api` what the call does. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether a phone rings.
    pub async fn place_call(&self, request: &PlaceRequest) -> Result<Placed, CarrierError> {
        let webhook = |name: &str| self.webhook(name, &request.reference);
        let mut form = vec![
            ("To", request.phone.clone()),
            ("From", self.number.clone()),
            ("Url", webhook("voice")),
            ("Method", "POST".into()),
            // Where an answer of ours does not come, or cannot be performed.
            ("FallbackUrl", webhook("fallback")),
            ("FallbackMethod", "POST".into()),
            ("StatusCallback", webhook("status")),
            ("StatusCallbackMethod", "POST".into()),
            ("Timeout", self.ring_timeout_secs.to_string()),
            ("TimeLimit", time_limit(self.longest_conversation, request.can_transfer).as_secs().to_string()),
        ];
        form.extend(["ringing", "answered", "completed"].map(|event| ("StatusCallbackEvent", event.to_owned())));
        if request.record {
            form.extend([
                ("Record", "true".to_owned()),
                // Its silences are part of a conversation.
                ("Trim", "do-not-trim".to_owned()),
                ("RecordingStatusCallback", webhook("recording")),
                ("RecordingStatusCallbackEvent", "completed absent".to_owned()),
            ]);
        }
        if self.detects_machines {
            form.extend([
                ("MachineDetection", "Enable".to_owned()),
                // Otherwise a human who answers hears nothing for seconds.
                ("AsyncAmd", "true".to_owned()),
                ("AsyncAmdStatusCallback", webhook("machine-detection")),
                ("AsyncAmdStatusCallbackMethod", "POST".to_owned()),
            ]);
        }
        let request = self.authorized(self.http.post(self.url(&["Calls.json"]))).form(&form);
        let placed: CallFields = http::read(&self.http.exchange(request).await?)?;
        let id = placed.sid.filter(|sid| !sid.is_empty());
        id.map(|carrier_call_id| Placed { carrier_call_id }).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// Hands a text message over (§2.7); gives its sid. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether it was taken.
    pub async fn send_message(&self, message: &TextMessage) -> Result<String, CarrierError> {
        let mut callback = self.ours.clone();
        if let Ok(mut path) = callback.path_segments_mut() {
            path.pop_if_empty().extend(["webhooks", "twilio", "sms-status"]);
        }
        callback.set_query(None);
        let form = [
            ("To", message.phone.as_str()),
            ("From", &self.number),
            ("Body", &message.text),
            ("StatusCallback", callback.as_str()),
        ];
        let request = self.authorized(self.http.post(self.url(&["Messages.json"]))).form(&form);
        // It answers as calls do.
        let taken: CallFields = http::read(&self.http.exchange(request).await?)?;
        taken.sid.filter(|sid| !sid.is_empty()).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// What the carrier knows of a call; `None` if it knows of none with this id.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn call(&self, carrier_call_id: &str) -> Result<Option<CarrierCall>, CarrierError> {
        let url = self.url(&["Calls", &format!("{carrier_call_id}.json")]);
        let body = match self.http.exchange(self.authorized(self.http.get(url))).await {
            Err(CarrierError::Rejected { cause: Rejection::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        let Some(mut call) = http::read::<CallFields>(&body)?.read() else { return Ok(None) };
        if matches!(call.progress, Progress::Over(_)) {
            call.recording_url = self.recording_of(carrier_call_id).await?;
        }
        Ok(Some(call))
    }

    /// The calls that this account has placed to `phone` from shortly before `since` until `until`.
    ///
    /// No field of a call is ours to search by, and one that waits in the carrier's queue has no `StartTime` yet: the number's
    /// calls are listed, newest first, and chosen by when they were created.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn calls_to(
        &self,
        phone: &str,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<CarrierCall>, CarrierError> {
        let size = PAGE_SIZE.to_string();
        let query = [("To", phone), ("From", &self.number), ("PageSize", &size)];
        let request = self.authorized(self.http.get(self.url(&["Calls.json"]))).query(&query);
        let list: CallList = http::read(&self.http.exchange(request).await?)?;
        let (since, until) = (since - CLOCK_SKEW, until + CLOCK_SKEW);
        let reaches_back = list.calls.len() < PAGE_SIZE
            || list.calls.iter().filter_map(CallFields::created_at).any(|created| created < since);
        if !reaches_back {
            return Err(CarrierError::Indeterminate(Doubt::Unreadable));
        }
        let ours = list.calls.into_iter().filter(|call| {
            let created = call.created_at();
            call.was_placed_by_us() && created.is_none_or(|created| since <= created && created <= until)
        });
        Ok(ours.filter_map(CallFields::read).collect())
    }

    /// Ends a call, ringing or answered. One that is over, or unknown, stays as it is.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn hang_up(&self, carrier_call_id: &str) -> Result<(), CarrierError> {
        let url = self.url(&["Calls", &format!("{carrier_call_id}.json")]);
        let request = self.authorized(self.http.post(url)).form(&[("Status", "completed")]);
        match self.http.exchange(request).await {
            Ok(_) | Err(CarrierError::Rejected { cause: Rejection::NotFound, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The address of a finished call's recording, once it is complete.
    async fn recording_of(&self, carrier_call_id: &str) -> Result<Option<String>, CarrierError> {
        let query = [("CallSid", carrier_call_id), ("PageSize", "20")];
        let request = self.authorized(self.http.get(self.url(&["Recordings.json"]))).query(&query);
        let list: RecordingList = http::read(&self.http.exchange(request).await?)?;
        let complete = list.recordings.into_iter().find(|recording| recording.is_complete());
        Ok(complete.map(|recording| self.url(&["Recordings", &format!("{}.mp3", recording.sid)]).into()))
    }

    /// Whether our credentials may be shown to this host: Twilio's own, or the API that we are configured for.
    #[must_use]
    pub fn trusts(&self, url: &url::Url) -> bool {
        let same_origin = url.origin() == self.base.origin();
        let twilio = url.scheme() == "https"
            && url.host_str().is_some_and(|host| host == "twilio.com" || host.ends_with(".twilio.com"));
        same_origin || twilio
    }

    pub(super) fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(&self.account, Some(self.token.expose_secret()))
    }

    /// One of our webhooks, with our own name for the call; Twilio signs the whole of it.
    fn webhook(&self, name: &str, reference: &str) -> String {
        let mut url = self.ours.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["webhooks", "twilio", name]);
        }
        url.set_query(None);
        url.query_pairs_mut().append_pair("reference", reference);
        url.into()
    }

    fn url(&self, segments: &[&str]) -> url::Url {
        let mut url = self.base.clone();
        // A base URL that takes no path is refused by `url` when the configuration is read as http(s).
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["2010-04-01", "Accounts", &self.account]).extend(segments);
        }
        url
    }
}
