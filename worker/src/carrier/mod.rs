//! Carriers over REST: placing calls, and asking what became of them.

pub mod exotel;

use std::time::Duration;

use shared::call::CallStatus;

pub use exotel::Exotel;

/// A call to place. The same request is never sent twice.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    /// E.164.
    pub phone: String,
    /// Our own name for the call: it comes back with every event.
    pub reference: String,
    pub record: bool,
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
