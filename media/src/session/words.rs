//! The dialogue's states, as the database and operators know them.

use crate::dialogue::Phase;

pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Listening => "listening",
        Phase::Heard => "heard",
        Phase::Thinking => "thinking",
        Phase::Speaking => "speaking",
        Phase::Ducked => "ducked",
        Phase::Machine => "machine",
        Phase::Closing => "closing",
        Phase::Ended => "ended",
    }
}
