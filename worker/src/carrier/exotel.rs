//! Exotel's REST API v1. Facts are from the wire reference, §1.1 to §1.4.

mod answer;

use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::phone::Phone;
use shared::transfer;

use self::answer::{Body, CallFields, list_of};
use super::http::{self, Http};
use super::{CarrierCall, CarrierError, Doubt, PlaceRequest, Placed, TextMessage};
use crate::config::{Config, required};

const PAGE_SIZE: &str = "100";
/// The carrier's clock and ours may differ by so much.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// A client of one Exotel account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exotel {
    http: Http,
    base: url::Url,
    account: String,
    key: SecretString,
    token: SecretString,
    caller_id: String,
    flow_url: String,
    status_callback: url::Url,
    sms_sender: String,
    sms_callback: url::Url,
    dlt_entity_id: Option<String>,
    longest_conversation: Duration,
    ring_timeout_secs: u64,
}

impl Exotel {
    /// # Errors
    /// A setting that is missing or cannot be used, or a TLS stack that does not start.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let exotel = &config.exotel;
        let account = required("EXOTEL_ACCOUNT_SID", exotel.exotel_account_sid.as_ref())?.clone();
        let flow = required("EXOTEL_EXOPHLO_ID", exotel.exotel_exophlo_id.as_ref())?;
        let mut status_callback = config.our_base_url.clone();
        status_callback
            .path_segments_mut()
            .map_err(|()| anyhow::anyhow!("OUR_BASE_URL takes no path"))?
            .pop_if_empty()
            .extend(["webhooks", "exotel", "call-status"]);
        status_callback.set_query(None);
        status_callback.query_pairs_mut().append_pair("secret", config.callback_secret.expose_secret());
        let mut sms_callback = status_callback.clone();
        if let Ok(mut path) = sms_callback.path_segments_mut() {
            path.pop().push("sms-status");
        }
        let number = required("EXOTEL_VIRTUAL_NUMBER", exotel.exotel_virtual_number.as_ref())?.clone();
        Ok(Self {
            http: Http::new("exotel", config.dialing.timeout(), answer::rejected)?,
            base: exotel.exotel_api_base_url.clone(),
            flow_url: format!("http://my.exotel.com/{account}/exoml/start_voice/{flow}"),
            account,
            key: required("EXOTEL_API_KEY", exotel.exotel_api_key.as_ref())?.clone(),
            token: required("EXOTEL_API_TOKEN", exotel.exotel_api_token.as_ref())?.clone(),
            sms_sender: exotel.exotel_sms_sender.clone().unwrap_or_else(|| number.clone()),
            sms_callback,
            dlt_entity_id: exotel.exotel_dlt_entity_id.clone(),
            caller_id: number,
            status_callback,
            longest_conversation: config.max_call_duration(),
            ring_timeout_secs: config.dialing.ring_timeout().as_secs(),
        })
    }

    /// Rings `request.phone` and runs our flow when it is answered. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether a phone rings.
    pub async fn place_call(&self, request: &PlaceRequest) -> Result<Placed, CarrierError> {
        let mut callback = self.status_callback.clone();
        callback.query_pairs_mut().append_pair("reference", &request.reference);
        let time_limit = transfer::time_limit(self.longest_conversation, request.can_transfer).as_secs().to_string();
        let ring_timeout = self.ring_timeout_secs.to_string();
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
        let body = self.http.exchange(request).await?;
        let placed: Option<Body<CallFields>> = serde_json::from_slice(&body).ok();
        // One client in the wild was answered with 200 and nothing: that call may ring.
        let id = placed.and_then(|body| body.call.sid).filter(|sid| !sid.is_empty());
        id.map(|carrier_call_id| Placed { carrier_call_id }).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// Hands a text message over (§1.10); gives its sid. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether it was taken.
    pub async fn send_message(&self, message: &TextMessage) -> Result<String, CarrierError> {
        let encoding = if message.text.is_ascii() { "plain" } else { "unicode" };
        let mut form = vec![
            ("From", self.sms_sender.as_str()),
            ("To", &message.phone),
            ("Body", &message.text),
            ("EncodingType", encoding),
            // The human asked for it.
            ("SmsType", "transactional"),
            ("StatusCallback", self.sms_callback.as_str()),
        ];
        form.extend(self.dlt_entity_id.as_deref().map(|entity| ("DltEntityId", entity)));
        form.extend(message.dlt_template_id.as_deref().map(|template| ("DltTemplateId", template)));
        let request = self.authorized(self.http.post(self.url(&["Sms", "send.json"]))).form(&form);
        let body = self.http.exchange(request).await?;
        let taken: Option<SmsAnswer> = serde_json::from_slice(&body).ok();
        let sid = taken.and_then(|taken| taken.message.sid).filter(|sid| !sid.is_empty());
        sid.ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// What the carrier knows of a call; `None` if it knows of none with this id.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn call(&self, carrier_call_id: &str) -> Result<Option<CarrierCall>, CarrierError> {
        let url = self.url(&["Calls", &format!("{carrier_call_id}.json")]);
        let body = match self.http.exchange(self.authorized(self.http.get(url))).await {
            Err(CarrierError::Rejected { cause: super::Rejection::NotFound, .. }) => return Ok(None),
            other => other?,
        };
        Ok(http::read::<Body<CallFields>>(&body)?.call.read())
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
        let body = self.http.exchange(request).await?;
        list_of(&body).ok_or(CarrierError::Indeterminate(Doubt::Unreadable))
    }

    /// Whether our credentials may be shown to this host: Exotel's own, or the API that we are configured for.
    #[must_use]
    pub fn trusts(&self, url: &url::Url) -> bool {
        let same_origin = url.origin() == self.base.origin();
        let exotel = url.scheme() == "https"
            && url.host_str().is_some_and(|host| host == "exotel.com" || host.ends_with(".exotel.com"));
        same_origin || exotel
    }

    pub(super) fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
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
}

/// Exotel's times carry no zone and mean Indian Standard Time.
fn ist(at: DateTime<Utc>) -> String {
    let zone = FixedOffset::east_opt(5 * 3600 + 1800).expect("five and a half hours are less than a day");
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `{"SMSMessage": {"Sid": "…", "Status": "queued", …}}`.
#[derive(Debug, Deserialize)]
struct SmsAnswer {
    #[serde(rename = "SMSMessage")]
    message: SmsFields,
}

#[derive(Debug, Deserialize)]
struct SmsFields {
    #[serde(rename = "Sid")]
    sid: Option<String>,
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
