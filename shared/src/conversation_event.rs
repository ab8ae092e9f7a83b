//! What happens in a conversation, whoever holds it, and what of it means something for the lead.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use crate::call::Call;
use crate::call_event::{self, NewEvent};
use crate::conversation::{self, Disposition};
use crate::id::{AccountId, CallId};
use crate::phrases::Machine;
use crate::{do_not_call, lead, resumption, transfer};

/// How it became known that somebody must not be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The model called `mark_do_not_call`.
    Tool,
    /// A fixed phrase in the human's words.
    Phrase,
}

/// Why a request to the language model failed, by what may be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LlmFailure {
    /// Connection, 5xx, cut stream: another try may work.
    Unavailable,
    /// 429 with a wait: another try (perhaps with the fallback provider) may work.
    RateLimited,
    /// Nothing came in time.
    TimedOut,
    /// The provider will not answer this conversation.
    Refused,
    /// Wrong key, no credit, unknown model, bad request: the same request can never work.
    Misconfigured,
    /// It ended without text and without a tool call.
    Empty,
}

impl LlmFailure {
    pub const fn worth_a_retry(self) -> bool {
        !matches!(self, Self::Misconfigured)
    }
}

/// Something worth a row in `call_events`. Serialises as `{"kind": "...", ...}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CallEvent {
    DoNotCallRequested {
        evidence: Evidence,
        note: Option<String>,
    },
    /// `when` is the model's ISO 8601 local time, or the human's words where it could not tell.
    CallbackRequested {
        when: String,
        note: Option<String>,
    },
    TransferRequested {
        note: Option<String>,
    },
    /// The model ended the call, with its word for the result (`qualified`, `not_interested`, `wrong_number`, ...).
    EndRequested {
        disposition: Option<String>,
    },
    SilencePrompted {
        count: u32,
    },
    NothingUnderstood {
        count: u32,
    },
    BargeIn {
        heard_ms: u64,
        of_ms: u64,
    },
    FalseBargeIn,
    ReplyFailed {
        failure: LlmFailure,
        retried: bool,
    },
    SpeechFailed {
        retried: bool,
    },
    ToolFailed {
        name: String,
        problem: &'static str,
    },
    TranscriptUnavailable,
    TranscriptRecovered,
    KeyPressed {
        digits: String,
    },
    /// A phase was left because its time was over and nothing else had ended it.
    TimedOut {
        waiting_for: &'static str,
    },
    MachineAnswered {
        machine: Machine,
    },
    /// The carrier takes somebody for a machine who has answered as a person.
    MachineDoubted,
    /// The human speaks another language, and the agent goes on in it.
    LanguageChanged {
        language: String,
    },
    /// Nobody hears or speaks the language that the call should have begun in: it is held in the voice agent's own.
    LanguageNotReached {
        language: String,
        spoken: String,
    },
    Resumed,
    /// The connection to a speech-to-speech model is gone. `cause` is the provider's word for it, `again`: another one is opened.
    SpeechToSpeechLost {
        cause: String,
        again: bool,
    },
    /// A speech-to-speech model was to say the greeting word for word, and its own transcript differs.
    GreetingChanged,
}

/// Why the call ended, as whoever held the conversation saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The agent said goodbye after `end_call`.
    AgentFinished,
    /// Goes on with a human: the carrier's next step connects them.
    TransferToHuman,
    /// A machine, or the carrier's own announcement; a message was left if there was one to leave.
    MachineAnswered,
    /// Nobody answered the re-prompts.
    Silence,
    /// The limit on a call's length.
    MaxDuration,
    LlmUnavailable,
    SpeechUnavailable,
    TranscriptUnavailable,
    /// The human hung up (or the carrier's flow ended the stream).
    HumanHungUp,
    /// The stream broke; a reconnect may resume the conversation.
    StreamLost,
    /// This process is leaving; a reconnect resumes the conversation elsewhere.
    HandedOver,
}

impl EndReason {
    /// As `streams.end_reason` and `calls.hangup_cause` have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentFinished => "agent_finished",
            Self::TransferToHuman => transfer::TRANSFER_TO_HUMAN,
            Self::MachineAnswered => "machine_answered",
            Self::Silence => "silence",
            Self::MaxDuration => "max_duration",
            Self::LlmUnavailable => "llm_unavailable",
            Self::SpeechUnavailable => "speech_unavailable",
            Self::TranscriptUnavailable => "transcript_unavailable",
            Self::HumanHungUp => "human_hung_up",
            Self::StreamLost => resumption::STREAM_LOST,
            Self::HandedOver => resumption::HANDED_OVER,
        }
    }
}

/// Stores an event, with what it means for the lead. Pass a connection inside a transaction.
pub async fn store(
    db: &mut PgConnection,
    account: AccountId,
    call: CallId,
    event: &CallEvent,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    match event {
        CallEvent::DoNotCallRequested { note, .. } => {
            do_not_call::opt_out(&mut *db, call, note.as_deref().unwrap_or("asked in the call"), at).await?;
            conversation::note_disposition(&mut *db, account, call, Disposition::DoNotCall).await?;
        }
        CallEvent::CallbackRequested { when, .. } => {
            conversation::request_callback(&mut *db, account, call, when, at).await?;
        }
        CallEvent::TransferRequested { .. } => {
            conversation::note_disposition(&mut *db, account, call, Disposition::Interested).await?;
        }
        CallEvent::MachineAnswered { .. } => {
            Call::answered_by_machine(&mut *db, call).await?;
            conversation::note_disposition(&mut *db, account, call, Disposition::Voicemail).await?;
        }
        CallEvent::LanguageChanged { language } => lead::speaks(&mut *db, call, language).await?,
        CallEvent::EndRequested { disposition: Some(word) } => {
            if let Some(disposition) = Disposition::ALL.into_iter().find(|known| known.as_str() == word) {
                conversation::note_disposition(&mut *db, account, call, disposition).await?;
            }
        }
        _ => {}
    }
    let data = serde_json::to_value(event).unwrap_or_default();
    let kind = data.get("kind").and_then(Value::as_str).unwrap_or("conversation").to_owned();
    let event = NewEvent { account_id: account, call_id: Some(call), lead_id: None, kind: &kind, data, at };
    call_event::record(db, event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_stored_by_the_name_that_it_is_told_by() {
        for reason in [
            EndReason::AgentFinished,
            EndReason::TransferToHuman,
            EndReason::MachineAnswered,
            EndReason::Silence,
            EndReason::MaxDuration,
            EndReason::LlmUnavailable,
            EndReason::SpeechUnavailable,
            EndReason::TranscriptUnavailable,
            EndReason::HumanHungUp,
            EndReason::StreamLost,
            EndReason::HandedOver,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
