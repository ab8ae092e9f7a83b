//! Carriers over REST: placing calls, and asking what became of them.

pub mod exotel;
mod http;
pub mod twilio;

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use shared::call::{CallStatus, Carrier};

pub use exotel::Exotel;
pub use twilio::Twilio;

use crate::config::Config;

/// The carriers that this installation has credentials for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Carriers {
    exotel: Option<Exotel>,
    twilio: Option<Twilio>,
}

impl Carriers {
    /// # Errors
    /// Settings of a carrier that are there in part, by the variable's name, or no carrier at all.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let exotel = match config.exotel.is_configured() {
            true => Some(Exotel::new(config).context("Exotel")?),
            false => None,
        };
        let twilio = match config.twilio.is_configured() {
            true => Some(Twilio::new(config).context("Twilio")?),
            false => None,
        };
        anyhow::ensure!(
            exotel.is_some() || twilio.is_some(),
            "no carrier is configured: set EXOTEL_ACCOUNT_SID or TWILIO_ACCOUNT_SID, and what belongs to it"
        );
        Ok(Self { exotel, twilio })
    }

    /// The client of `carrier`.
    ///
    /// # Errors
    /// This installation has no credentials for it: nothing can be placed, and nothing was.
    pub fn of(&self, carrier: Carrier) -> Result<Client, CarrierError> {
        let client = match carrier {
            Carrier::Exotel => self.exotel.clone().map(Client::Exotel),
            Carrier::Twilio => self.twilio.clone().map(Client::Twilio),
        };
        client.ok_or_else(|| CarrierError::Rejected {
            cause: Rejection::Credentials,
            detail: format!("{} is not configured here", carrier.as_str()),
        })
    }
}

/// One carrier's REST API.
#[derive(Clone, Debug)]
pub enum Client {
    Exotel(Exotel),
    Twilio(Twilio),
}

impl Client {
    /// Rings `request.phone`, and lets our voice agent speak when it is answered. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether a phone rings.
    pub async fn place_call(&self, request: &PlaceRequest) -> Result<Placed, CarrierError> {
        match self {
            Self::Exotel(exotel) => exotel.place_call(request).await,
            Self::Twilio(twilio) => twilio.place_call(request).await,
        }
    }

    /// What the carrier knows of a call; `None` if it knows of none with this id.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn call(&self, carrier_call_id: &str) -> Result<Option<CarrierCall>, CarrierError> {
        match self {
            Self::Exotel(exotel) => exotel.call(carrier_call_id).await,
            Self::Twilio(twilio) => twilio.call(carrier_call_id).await,
        }
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
        match self {
            Self::Exotel(exotel) => exotel.calls_to(phone, since, until).await,
            Self::Twilio(twilio) => twilio.calls_to(phone, since, until).await,
        }
    }

    /// Ends a call that is up. `false`: this carrier offers no way to. A call that is over already stays so.
    ///
    /// # Errors
    /// See [`CarrierError`]; asking again is always safe.
    pub async fn hang_up(&self, carrier_call_id: &str) -> Result<bool, CarrierError> {
        match self {
            Self::Exotel(_) => Ok(false),
            Self::Twilio(twilio) => twilio.hang_up(carrier_call_id).await.map(|()| true),
        }
    }

    /// Hands a text message over; gives the carrier's own id for it. Send a request at most once.
    ///
    /// # Errors
    /// See [`CarrierError`]: only `Indeterminate` leaves open whether it was taken.
    pub async fn send_message(&self, message: &TextMessage) -> Result<String, CarrierError> {
        match self {
            Self::Exotel(exotel) => exotel.send_message(message).await,
            Self::Twilio(twilio) => twilio.send_message(message).await,
        }
    }

    /// A request for a recording: with our credentials only where they belong.
    pub fn recording_request(&self, http: &reqwest::Client, url: &url::Url) -> reqwest::RequestBuilder {
        let request = http.get(url.clone());
        match self {
            Self::Exotel(exotel) if exotel.trusts(url) => exotel.authorized(request),
            Self::Twilio(twilio) if twilio.trusts(url) => twilio.authorized(request),
            _ => request,
        }
    }

    /// Whether our credentials may be shown to this host: the carrier's own, or the API that we are configured for.
    #[must_use]
    pub fn trusts(&self, url: &url::Url) -> bool {
        match self {
            Self::Exotel(exotel) => exotel.trusts(url),
            Self::Twilio(twilio) => twilio.trusts(url),
        }
    }
}

/// A call to place. The same request is never sent twice.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// E.164.
    pub phone: String,
    /// Our own name for the call: it comes back with every event.
    pub reference: String,
    pub record: bool,
    /// A human may talk on when the voice agent has let go.
    pub can_transfer: bool,
}

/// A text message to send. The same request is never sent twice.
#[derive(Clone, Debug)]
pub struct TextMessage {
    /// E.164.
    pub phone: String,
    pub text: String,
    /// India's registry of texts knows it by this.
    pub dlt_template_id: Option<String>,
}

/// The carrier took the call; the phone may ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub carrier_call_id: String,
}

/// A call as its carrier knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierCall {
    pub carrier_call_id: String,
    pub progress: Progress,
    pub duration_seconds: Option<i32>,
    pub recording_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has it in hand. Whether the phone rings or somebody speaks, these carriers do not tell.
    Live,
    /// Over, with a terminal status.
    Over(CallStatus),
    /// A status that we do not know.
    Unclear,
}

/// Why a carrier did not do as asked, by what may be done next.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// It understood and refused: nothing was placed, and the same request would be refused again.
    #[error("the carrier refused: {}", cause.as_str())]
    Rejected {
        cause: Rejection,
        /// The carrier's words, with every number masked.
        detail: String,
    },
    /// Nothing was placed; it may be asked again later.
    #[error("the carrier asks for patience")]
    RateLimited { retry_after: Option<Duration> },
    /// Nothing was sent.
    #[error("the carrier is out of reach")]
    Unavailable(#[source] reqwest::Error),
    /// The request may have arrived, and no answer that can be used came back: the phone may be ringing.
    #[error("the carrier's answer is unknown")]
    Indeterminate(#[source] Doubt),
}

/// What stands in the place of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Doubt {
    #[error("the exchange broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the carrier failed with status {0}")]
    ServerError(u16),
    #[error("the answer names no call")]
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A setting is malformed, ours or the account's.
    BadRequest,
    /// The callee's number is none that it can call.
    BadNumber,
    /// Key, token or region are wrong.
    Credentials,
    /// The account has no balance left.
    Balance,
    /// The number is on the carrier's do-not-disturb register.
    DoNotDisturb,
    /// The number has texted STOP: it gets no text.
    OptedOut,
    /// Not allowed for this account: documents missing, a feature not enabled.
    Forbidden,
    NotFound,
    Other(u16),
}

impl Rejection {
    /// As it stands in `calls.failure_reason`. `carrier_…` are the system's failures, which trip the circuit breaker.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "carrier_bad_request",
            Self::BadNumber => "number_refused",
            Self::Credentials => "carrier_auth",
            Self::Balance => "carrier_balance",
            Self::DoNotDisturb => "do_not_call",
            Self::OptedOut => "opted_out",
            Self::Forbidden => "carrier_forbidden",
            Self::NotFound => "carrier_not_found",
            Self::Other(_) => "carrier_rejected",
        }
    }
}

impl CarrierError {
    /// A word for metrics and histories.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable(_) => "unavailable",
            Self::Indeterminate(_) => "indeterminate",
        }
    }
}
