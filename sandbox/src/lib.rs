//! The outside world on loopback: carriers, callees, speech and a language model.
//!
//! Owns the providers' side of every wire the product speaks. It must never know the product: it
//! imports no workspace crate and writes its JSON from the providers' documents, so that a field
//! misspelt in the product is refused here instead of agreeing with itself.
//!
//! Start reading at [`exotel`] (a call's life), then [`callee`] (the human at the other end).

pub mod deepgram;
pub mod environment;
pub mod exotel;
pub mod faults;
pub mod log;
pub mod settings;
pub mod speech;
pub mod world;

use std::sync::Arc;

use axum::Router;

use crate::world::World;

/// Every simulated service behind one router.
pub fn app(world: Arc<World>) -> Router {
    Router::new().merge(deepgram::router()).with_state(world)
}
