//! What a campaign plays to an answering machine after its beep: an uploaded recording, kept in the object store as 8 kHz WAV.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::id::{AccountId, CampaignId};

/// A recording that is in the object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoicemailRecording {
    pub object_key: String,
    /// What stands in a transcript for it.
    pub title: String,
    pub duration_ms: i32,
}

/// Makes it the campaign's, or with `None` leaves the campaign without one. `None` while the campaign runs or when it is over.
pub async fn set(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    recording: Option<&VoicemailRecording>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<()>> {
    let done = sqlx::query!(
        r#"
        update campaigns
        set voicemail_recording_key = $3, voicemail_recording_title = $4, voicemail_recording_ms = $5, updated_at = $6
        where account_id = $1 and id = $2 and status in ('draft', 'scheduled', 'paused')
        "#,
        account as AccountId,
        campaign as CampaignId,
        recording.map(|recording| recording.object_key.as_str()),
        recording.map(|recording| recording.title.as_str()),
        recording.map(|recording| recording.duration_ms),
        now,
    )
    .execute(db)
    .await?;
    Ok((done.rows_affected() == 1).then_some(()))
}

/// The campaign's recording, if it has one.
pub async fn of_campaign(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
) -> sqlx::Result<Option<VoicemailRecording>> {
    sqlx::query_as!(
        VoicemailRecording,
        r#"
        select voicemail_recording_key as "object_key!", voicemail_recording_title as "title!",
            voicemail_recording_ms as "duration_ms!"
        from campaigns
        where account_id = $1 and id = $2 and voicemail_recording_key is not null
        "#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_optional(db)
    .await
}

/// The recording of the campaign that a live call belongs to, by our own name for the call.
pub async fn of_call(db: impl PgExecutor<'_>, reference: &str) -> sqlx::Result<Option<VoicemailRecording>> {
    sqlx::query_as!(
        VoicemailRecording,
        r#"
        select g.voicemail_recording_key as "object_key!", g.voicemail_recording_title as "title!",
            g.voicemail_recording_ms as "duration_ms!"
        from calls c join campaigns g on g.id = c.campaign_id
        where c.reference = $1 and g.voicemail_recording_key is not null and c.ended_at is null
        "#,
        reference,
    )
    .fetch_optional(db)
    .await
}
