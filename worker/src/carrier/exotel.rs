//! Exotel's REST API v1. Facts are from the wire reference, §1.1 to §1.4.

mod answer;

use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::phone::Phone;

use self::answer::{Body, CallFields, list_of};
use super::{CarrierCall, CarrierError, Doubt, PlaceRequest, Placed};
use crate::config::ExotelConfig;

/// No answer of the API is longer: a list has at most 100 calls.
const MAX_ANSWER_BYTES: usize = 1_000_000;
const PAGE_SIZE: &str = "100";
/// The carrier's clock and ours may differ by so much.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// A client of one Exotel account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exotel {
    http: reqwest::Client,
    base: url::Url,
    account: String,
    key: SecretString,
    token: SecretString,
    caller_id: String,
    flow_url: String,
    status_callback: url::Url,
    time_limit_secs: u64,
    ring_timeout_secs: u64,
}

impl Exotel {
    /// `callback` is our own base URL; `max_call` ends every call.
    ///
    /// # Errors
    /// A base URL that takes no path, or a TLS stack that does not start.
    pub fn new(
        config: &ExotelConfig,
        callback: &url::Url,
        callback_secret: &SecretString,
        max_call: Duration,
    ) -> anyhow::Result<Self> {
        use anyhow::Context;
        let http = reqwest::Client::builder()
            .timeout(config.timeout())
            .connect_timeout(config.timeout().min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(20))
            // A request that may have arrived is never sent again, not even by a helpful library.
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        let mut status_callback = callback.clone();
        status_callback
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("OUR_BASE_URL takes no path"))?
            .pop_if_empty()
            .extend(["webhooks", "exotel", "call-status"]);
        status_callback.set_query(None);
        status_callback.query_pairs_mut().append_pair("secret", callback_secret.expose_secret());
        let account = config.exotel_account_sid.clone();
        Ok(Self {
            http,
            base: config.exotel_api_base_url.clone(),
            flow_url: format!("http://my.exotel.com/{account}/exoml/start_voice/{}", config.exotel_exophlo_id),
            account,
            key: config.exotel_api_key.clone(),
            token: config.exotel_api_token.clone(),
            caller_id: config.exotel_virtual_number.clone(),
            status_callback,
            time_limit_secs: max_call.as_secs(),
            ring_timeout_secs: config.ring_timeout().as_secs(),
        })
    }

    /// Rings `request.phone` and runs our flow when it is answered. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether a phone rings.
    pub async fn place_call(&self, request: &PlaceRequest) -> Result<Placed, CarrierError> {
        let mut callback = self.status_callback.clone();
        callback.query_pairs_mut().append_pair("reference", &request.reference);
        let (time_limit, ring_timeout) = (self.time_limit_secs.to_string(), self.ring_timeout_secs.to_string());
        // In flow mode `From` is the callee; our own number there would ring ourselves.
        let form = [
            ("From", request.phone.as_str()),
            ("CallerId", &self.caller_id),
            ("Url", &self.flow_url),
            ("CallType", "trans"),
            ("TimeLimit", &time_limit),
            ("TimeOut", &ring_timeout),
            ("Record", if request.record { "true" } else { "false" }),
            ("CustomField", &request.reference),
            ("StatusCallback", callback.as_str()),
            ("StatusCallbackEvents[0]", "terminal"),
            ("StatusCallbackEvents[1]", "answered"),
            ("StatusCallbackContentType", "application/json"),
        ];
        let request = self.authorized(self.http.post(self.url(&["Calls", "connect.json"]))).form(&form);
        let body = self.exchange(request).await?;
        let placed: Option<Body<CallFields>> = serde_json::from_slice(&body).ok();
        // One client in the wild was answered with 200 and nothing: that call may ring.
        let id = placed.and_then(|body| body.call.sid).filter(|sid| !sid.is_empty());
        id.map(|carrier_call_id| Placed { carrier_call_id }).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// What the carrier knows of a call; `None` if it knows of none with this id.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn call(&self, carrier_call_id: &str) -> Result<Option<CarrierCall>, CarrierError> {
        let url = self.url(&["Calls", &format!("{carrier_call_id}.json")]);
        let body = match self.exchange(self.authorized(self.http.get(url))).await {
            Err(CarrierError::Rejected { cause: super::Rejection::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        let answer: Body<CallFields> =
            serde_json::from_slice(&body).map_err(|_error| CarrierError::Indeterminate(Doubt::Unreadable))?;
        Ok(answer.call.read())
    }

    /// The calls that this account has placed to `phone` from shortly before `since` until `until`.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn calls_to(
        &self,
        phone: &str,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<CarrierCall>, CarrierError> {
        let national = Phone::from_e164(phone).ok().and_then(|phone| phone.national_with_zero());
        let numbers = [Some(phone.to_owned()), national].into_iter().flatten().collect::<Vec<_>>().join(",");
        let created = format!("gte:{};lte:{}", ist(since - CLOCK_SKEW), ist(until + CLOCK_SKEW));
        let query = [
            ("From", numbers.as_str()),
            ("DateCreated", &created),
            ("PageSize", PAGE_SIZE),
            ("SortBy", "DateCreated:asc"),
        ];
        let request = self.authorized(self.http.get(self.url(&["Calls.json"]))).query(&query);
        let body = self.exchange(request).await?;
        list_of(&body).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// A request for a recording: with our credentials only where they belong.
    pub fn recording_request(&self, http: &reqwest::Client, url: &url::Url) -> reqwest::RequestBuilder {
        let request = http.get(url.clone());
        if self.trusts(url) { self.authorized(request) } else { request }
    }

    /// Whether our credentials may be shown to this host: Exotel's own, or the API that we are configured for.
    #[must_use]
    pub fn trusts(&self, url: &url::Url) -> bool {
        let same_origin = url.origin() == self.base.origin();
        let exotel = url.scheme() == "https"
            && url.host_str().is_some_and(|host| host == "exotel.com" || host.ends_with(".exotel.com"));
        same_origin || exotel
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(self.key.expose_secret(), Some(self.token.expose_secret()))
    }

    fn url(&self, segments: &[&str]) -> url::Url {
        let mut url = self.base.clone();
        // A base URL that takes no path is refused by `url` when the configuration is read as http(s).
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "Accounts", &self.account]).extend(segments);
        }
        url
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CarrierError> {
        let started = tokio::time::Instant::now();
        let outcome = self.send(request).await;
        let label = outcome.as_ref().map_or_else(CarrierError::kind, |_| "ok");
        metrics::histogram!("carrier_request_seconds", "carrier" => "exotel", "outcome" => label)
            .record(started.elapsed().as_secs_f64());
        outcome
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CarrierError> {
        let mut response = request.send().await.map_err(|error| {
            // Refused, no route, no such name: the request never left.
            if error.is_connect() { CarrierError::Unavailable(error.without_url()) } else { broken(error) }
        })?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        // The status alone decides: a refusal whose words break off is still a refusal.
        let body = bounded_body(&mut response).await;
        match status.as_u16() {
            200..=299 => body,
            429 => Err(CarrierError::RateLimited { retry_after }),
            status @ 400..=499 if status != 408 => Err(answer::rejected(status, &body.unwrap_or_default())),
            status => Err(CarrierError::Indeterminate(Doubt::ServerError(status))),
        }
    }
}

async fn bounded_body(response: &mut reqwest::Response) -> Result<Vec<u8>, CarrierError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(CarrierError::Indeterminate(Doubt::Unreadable));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without the URL, which may hold a number.
fn broken(error: reqwest::Error) -> CarrierError {
    CarrierError::Indeterminate(Doubt::Broken(error.without_url()))
}

/// Exotel's times carry no zone and mean Indian Standard Time.
fn ist(at: DateTime<Utc>) -> String {
    let zone = FixedOffset::east_opt(5 * 3600 + 1800).expect("five and a half hours are less than a day");
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `{"RestException": {"Status": 403, "Message": ".."}}`.
#[derive(Debug, Deserialize)]
struct RestException {
    #[serde(rename = "Message")]
    message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_indian_standard_time() {
        let noon: DateTime<Utc> = DateTime::from_timestamp(0, 0).unwrap_or_default();
        assert_eq!(ist(noon), "1970-01-01 05:30:00");
    }
}
