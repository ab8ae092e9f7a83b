//! The outside world on loopback: carriers, callees, speech and a language model.
//!
//! Owns the providers' side of every wire the product speaks. It must never know the product: it
//! imports no workspace crate and writes its JSON from the providers' documents, so that a field
//! misspelt in the product is refused here instead of agreeing with itself.
//!
//! Start reading at [`exotel`] (a call's life, also that of a call of [`twilio`]), then [`callee`] (the human at the other end).

#![expect(
    clippy::disallowed_methods,
    reason = "the outside world has clocks of its own; the ban is for the product, whose time a test can set"
)]

pub mod anthropic;
pub mod bench;
pub mod brain;
pub mod callee;
mod control;
pub mod deepgram;
pub mod demo;
pub mod elevenlabs;
pub mod environment;
pub mod exotel;
pub mod faults;
mod listening;
pub mod log;
#[cfg(test)]
mod loopback;
pub mod openai;
pub mod s3;
pub mod sarvam;
pub mod scenarios;
mod server;
pub mod settings;
mod speaking;
pub mod speech;
pub mod twilio;
pub mod world;

use std::sync::Arc;

use axum::Router;

pub use crate::server::{Running, Shutdown, serve};
use crate::world::World;

/// Every simulated service behind one router.
pub fn app(world: Arc<World>) -> Router {
    Router::new()
        .merge(control::router())
        .merge(exotel::router())
        .merge(twilio::router())
        .merge(deepgram::router())
        .merge(openai::router())
        .merge(elevenlabs::router())
        .merge(anthropic::router())
        .merge(sarvam::router())
        .merge(s3::router())
        .with_state(world)
}
