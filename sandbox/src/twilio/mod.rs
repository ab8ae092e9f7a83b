//! The simulated Twilio: its REST API, its signed requests, its TwiML, its streams.
//!
//! A call is placed in [`calls`] and lives on the same line as Exotel's (ring, callee, recording); what it does once it is
//! answered is asked for and done in [`interpreter`]. Faults are those of [`crate::faults`].

mod account;
mod airtime;
mod calls;
mod error;
pub mod frames;
pub mod interpreter;
mod messages;
mod play;
mod recordings;
pub mod signature;
mod stream;
mod twiml;
pub mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use url::Url;

use crate::world::World;

/// What a call was asked to do, beyond what calls of every carrier are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Asked for TwiML when the call is answered.
    pub url: Url,
    /// Asked instead where that, or what followed, cannot be had or performed.
    pub fallback: Option<Url>,
    /// Told who has answered.
    pub machine_detection: Option<Url>,
    /// Told where the recording is.
    pub recording_callback: Option<Url>,
}

/// Twilio's routes.
pub fn router() -> Router<Arc<World>> {
    let account = Router::new()
        .route("/Calls.json", post(calls::create).get(calls::list))
        .route("/Calls/{call}", get(calls::fetch).post(calls::update))
        .route("/Messages.json", post(messages::create))
        .route("/Recordings.json", get(recordings::list))
        .route("/Recordings/{recording}", get(recordings::fetch))
        .fallback(account::nothing_here);
    Router::new().nest("/2010-04-01/Accounts/{account}", account)
}
