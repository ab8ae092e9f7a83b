//! All that a voice agent must know before it speaks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::call::Call;
use crate::callback::CallbackTerms;
use crate::id::{AccountId, CallId, CampaignId, LeadId};
use crate::turn::{self, Turn};
use crate::voice_agent::VoiceAgentSettings;
use crate::voicemail_recording::VoicemailRecording;

#[derive(Clone, Debug)]
pub struct Briefing {
    pub call_id: CallId,
    pub account_id: AccountId,
    pub campaign_id: Option<CampaignId>,
    pub lead_id: Option<LeadId>,
    pub attempt: i32,
    /// The human has called us.
    pub inbound: bool,
    pub settings: VoiceAgentSettings,
    /// BCP 47: what the conversation had gone over to before it broke off.
    pub language: Option<String>,
    /// The campaign wants its calls recorded, and so does the voice agent.
    pub records: bool,
    /// What the campaign has to say to an answering machine.
    pub voicemail_message: Option<String>,
    /// What it plays to one instead, where it can be had.
    pub voicemail_recording: Option<VoicemailRecording>,
    /// What the list says about the human: `name`, `property_type`, `location`, `budget`, `language`, and its own columns.
    pub lead: serde_json::Map<String, serde_json::Value>,
    /// Answers noted and turns heard before, when a conversation comes back in the middle of its call.
    pub answers: serde_json::Map<String, serde_json::Value>,
    pub turns: Vec<Turn>,
    /// The carrier took whoever answered for a machine, before it connected them.
    pub answered_by_machine: bool,
    /// When the human can be called back; `None`: not by a campaign.
    pub callbacks: Option<CallbackTerms>,
    /// `None` for the call's first stream.
    pub comeback: Option<Comeback>,
}

impl Briefing {
    /// Requests to a language model that begin alike share it.
    pub fn cache_key(&self) -> String {
        self.campaign_id.map_or_else(|| format!("account-{}", self.account_id), |id| format!("campaign-{id}"))
    }
}

/// How a conversation comes back whose earlier stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comeback {
    /// Since the conversation began (wall clock).
    pub elapsed: Duration,
    /// Between two turns, by a process that left: the human need not have noticed.
    pub handed_over: bool,
    /// The agent was saying goodbye.
    pub closing: bool,
}

/// What is known of the call as it stands.
pub(crate) async fn read(
    db: &mut PgConnection,
    call: &Call,
    comeback: Option<Comeback>,
    now: DateTime<Utc>,
) -> sqlx::Result<Briefing> {
    let known = sqlx::query!(
        r#"
        select v.settings, c.direction = 'inbound' as "inbound!",
            c.answered_by is not distinct from 'machine' as "answered_by_machine!", g.voicemail_message as "voicemail_message?",
            call_is_recorded(g.record, v.settings) as "records!", g.voicemail_recording_key as "recording_key?",
            g.voicemail_recording_title as "recording_title?", g.voicemail_recording_ms as "recording_ms?",
            to_jsonb(l) - '{id,account_id,campaign_id,contact_id,import_id,phone,variables,next_at,created_at,updated_at,
                status,attempts,priority,disposition,suppression_reason,score,callbacks_granted,last_attempt_at,
                consent_basis,consent_at,consent_source}'::text[]
                || coalesce(l.variables, '{}') as lead,
            coalesce((select answers from conversations where call_id = c.id), '{}') as "answers!",
            (select data->>'language' from call_events
                where call_id = c.id and kind = 'language_changed' order by id desc limit 1) as language
        from calls c
        join voice_agent_versions v on v.voice_agent_id = c.voice_agent_id and v.version = c.voice_agent_version
        left join campaigns g on g.id = c.campaign_id
        left join leads l on l.id = c.lead_id
        where c.id = $1
        "#,
        call.id as CallId,
    )
    .fetch_one(&mut *db)
    .await?;
    let object = |value: serde_json::Value| match value {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    let mut lead = object(known.lead.unwrap_or_default());
    lead.retain(|_, value| !value.is_null() && *value != serde_json::json!([]));
    Ok(Briefing {
        call_id: call.id,
        account_id: call.account_id,
        campaign_id: call.campaign_id,
        lead_id: call.lead_id,
        attempt: call.attempt,
        inbound: known.inbound,
        settings: serde_json::from_value(known.settings).unwrap_or_default(),
        language: known.language,
        records: known.records,
        voicemail_message: known.voicemail_message,
        voicemail_recording: match (known.recording_key, known.recording_title, known.recording_ms) {
            (Some(object_key), Some(title), Some(duration_ms)) => {
                Some(VoicemailRecording { object_key, title, duration_ms })
            }
            _ => None,
        },
        lead,
        answered_by_machine: known.answered_by_machine,
        answers: object(known.answers),
        turns: turn::of_call(&mut *db, call.id).await?,
        callbacks: CallbackTerms::load(db, call.campaign_id, call.lead_id, now).await?,
        comeback,
    })
}
