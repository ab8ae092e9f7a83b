//! The dialogue's states, as the database and operators know them.

use shared::resumption;

use crate::dialogue::{EndReason, Phase};

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

pub(super) fn reason_name(reason: EndReason) -> &'static str {
    match reason {
        EndReason::AgentFinished => "agent_finished",
        EndReason::TransferToHuman => shared::transfer::TRANSFER_TO_HUMAN,
        EndReason::MachineAnswered => "machine_answered",
        EndReason::Silence => "silence",
        EndReason::MaxDuration => "max_duration",
        EndReason::LlmUnavailable => "llm_unavailable",
        EndReason::SpeechUnavailable => "speech_unavailable",
        EndReason::TranscriptUnavailable => "transcript_unavailable",
        EndReason::HumanHungUp => "human_hung_up",
        EndReason::StreamLost => resumption::STREAM_LOST,
        EndReason::HandedOver => resumption::HANDED_OVER,
    }
}
