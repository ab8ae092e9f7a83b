//! Rehearsed calls. Each reads as what a listener would have heard.
//! The world's times are in `rehearsal`: 60 ms per spoken character, model 300 ms, voice 100 ms, STT 250 ms.

mod endings;
mod failures;
mod languages;
mod machines;
mod noise;
mod overlap;
mod resuming;
mod tools;
mod turns;

use super::rehearsal::{Answer, Rehearsal, settings};
use shared::outgoing_message::MessageTemplate;

use super::*;

use Answer::{Calls, Fails, Silent, Text};

const LONG: &str = "We have three very nice flats near the lake in Whitefield. Each of them has two bedrooms. Would you like to see one?";

/// A call in which the long answer begins to sound at 3.4 s.
fn agent_talks() -> Rehearsal {
    let mut call = Rehearsal::after_greeting();
    call.answers([Text(LONG), Text("From sixty lakhs.")]);
    call.says(1_500, 2_500, "Tell me about the flats.");
    call.until(3_500);
    call.forget();
    call
}
