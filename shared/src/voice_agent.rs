//! A voice agent: the persona that speaks in a call. Versioned, because a call pins the version it began with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use crate::http_tool::HttpTool;
use crate::id::{AccountId, VoiceAgentId};
use crate::outgoing_message::MessageTemplate;
use crate::provider::{Choice, LlmProvider, SpeechProvider, SttProvider, TtsProvider};

/// What an account decides about its voice agent; every field has a default, so that an empty object is a working agent.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceAgentSettings {
    /// The name the agent gives itself.
    pub agent_name: String,
    /// On whose behalf it calls.
    pub company_name: String,
    /// The first sentence; `{name}`, `{agent_name}`, `{company_name}` and any lead variable are filled in.
    pub greeting: Option<String>,
    /// Added to the playbook's own instructions.
    pub instructions: Option<String>,
    /// BCP 47, e.g. `en-IN`, `hi-IN`.
    pub language: String,
    /// Others that it goes over to when the human speaks one of them. BCP 47.
    pub languages: Vec<String>,
    /// The greeting in other languages, by their tags. Without one the playbook's is used where it has one.
    pub greetings: BTreeMap<String, String>,
    /// Who hears, thinks and speaks; the installation's choice where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stt: Option<Choice<SttProvider>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm: Option<Choice<LlmProvider>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tts: Option<Choice<TtsProvider>>,
    /// Who takes over in the middle of a call when the first choice fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stt_fallback: Option<Choice<SttProvider>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm_fallback: Option<Choice<LlmProvider>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tts_fallback: Option<Choice<TtsProvider>>,
    /// One model that hears, thinks and speaks, in place of the three. Where `tts` is chosen as well, that voice says the words that
    /// must be exact: greeting, re-prompts and goodbyes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speech_to_speech: Option<Choice<SpeechProvider>>,
    /// Voice and models of the first choices that name none themselves.
    pub voice_id: Option<String>,
    pub llm_model: Option<String>,
    pub stt_model: Option<String>,
    /// Words that speech recognition should expect: project names, localities.
    pub keyterms: Vec<String>,
    /// Replaces the built-in real-estate qualification.
    pub playbook: Option<serde_json::Value>,
    /// Whether its calls are recorded, as far as their campaign wants them to be.
    pub recording_enabled: bool,
    /// Wait for the human's hello before greeting, instead of speaking at once.
    pub wait_for_hello: bool,
    /// On Twilio: the carrier gathers what is said and speaks our answers, turn by turn, instead of streaming sound to `media`.
    pub gathered_speech: bool,
    /// Texts that it may send when the human asks for one.
    pub messages: Vec<MessageTemplate>,
    /// What else the model may do in a call: ask addresses of the account's own.
    pub tools: Vec<HttpTool>,
    /// Humans to whom the agent may hand the call, in E.164, the first to be rung first. Without any it offers none.
    pub transfer_to: Vec<String>,
}

impl Default for VoiceAgentSettings {
    fn default() -> Self {
        Self {
            agent_name: "Asha".into(),
            company_name: "Trunkline Realty".into(),
            greeting: None,
            instructions: None,
            language: "en-IN".into(),
            languages: Vec::new(),
            greetings: BTreeMap::new(),
            stt: None,
            llm: None,
            tts: None,
            stt_fallback: None,
            llm_fallback: None,
            tts_fallback: None,
            speech_to_speech: None,
            voice_id: None,
            llm_model: None,
            stt_model: None,
            keyterms: Vec::new(),
            playbook: None,
            recording_enabled: true,
            wait_for_hello: false,
            gathered_speech: false,
            messages: Vec::new(),
            tools: Vec::new(),
            transfer_to: Vec::new(),
        }
    }
}

/// The account's first voice agent, made with the defaults if it has none. Pass a connection inside a transaction.
pub async fn ensure_default(db: &mut PgConnection, account: AccountId) -> sqlx::Result<VoiceAgentId> {
    if let Some(id) = first(&mut *db, account).await? {
        return Ok(id);
    }
    // Two requests that both found none must not make two: the second waits here, and looks again.
    sqlx::query!("select id from accounts where id = $1 for no key update", account as AccountId)
        .fetch_one(&mut *db)
        .await?;
    match first(&mut *db, account).await? {
        Some(id) => Ok(id),
        None => create(db, account, "Real-estate qualification", &VoiceAgentSettings::default()).await,
    }
}

async fn first(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<Option<VoiceAgentId>> {
    sqlx::query_scalar!(
        r#"select id as "id: VoiceAgentId" from voice_agents where account_id = $1 order by id limit 1"#,
        account as AccountId
    )
    .fetch_optional(db)
    .await
}

pub async fn create(
    db: &mut PgConnection,
    account: AccountId,
    name: &str,
    settings: &VoiceAgentSettings,
) -> sqlx::Result<VoiceAgentId> {
    let id = sqlx::query_scalar!(
        r#"insert into voice_agents (account_id, name) values ($1, $2) returning id as "id: VoiceAgentId""#,
        account as AccountId,
        name
    )
    .fetch_one(&mut *db)
    .await?;
    sqlx::query!(
        "insert into voice_agent_versions (account_id, voice_agent_id, version, settings) values ($1, $2, 1, $3)",
        account as AccountId,
        id as VoiceAgentId,
        serde_json::json!(settings),
    )
    .execute(&mut *db)
    .await?;
    Ok(id)
}

/// Whether the agent exists in this account.
pub async fn exists(db: impl PgExecutor<'_>, account: AccountId, id: VoiceAgentId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from voice_agents where account_id = $1 and id = $2) as "found!""#,
        account as AccountId,
        id as VoiceAgentId,
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}

/// An agent as its latest version stands.
#[derive(Clone, Debug)]
pub struct VoiceAgent {
    pub id: VoiceAgentId,
    pub name: String,
    pub version: i32,
    pub settings: Json<VoiceAgentSettings>,
    pub created_at: DateTime<Utc>,
    /// When the latest version was made.
    pub updated_at: DateTime<Utc>,
}

/// In the order in which they were made, behind the agent `after`, then behind `offset` of them.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    after: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<VoiceAgent>> {
    sqlx::query_as!(
        VoiceAgent,
        r#"
        select a.id as "id: VoiceAgentId", a.name, a.version, v.settings as "settings: Json<VoiceAgentSettings>",
            a.created_at, v.created_at as updated_at
        from voice_agents a
        join voice_agent_versions v on v.voice_agent_id = a.id and v.version = a.version
        where a.account_id = $1 and a.id > coalesce($2::bigint, 0)
        order by a.id
        offset $3 limit $4
        "#,
        account as AccountId,
        after,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: impl PgExecutor<'_>, account: AccountId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from voice_agents where account_id = $1"#, account as AccountId)
        .fetch_one(db)
        .await
}

pub async fn get(db: impl PgExecutor<'_>, account: AccountId, id: VoiceAgentId) -> sqlx::Result<Option<VoiceAgent>> {
    sqlx::query_as!(
        VoiceAgent,
        r#"
        select a.id as "id: VoiceAgentId", a.name, a.version, v.settings as "settings: Json<VoiceAgentSettings>",
            a.created_at, v.created_at as updated_at
        from voice_agents a
        join voice_agent_versions v on v.voice_agent_id = a.id and v.version = a.version
        where a.account_id = $1 and a.id = $2
        "#,
        account as AccountId,
        id as VoiceAgentId,
    )
    .fetch_optional(db)
    .await
}

/// Makes the agent's next version; calls under way keep theirs. `false` if there is no such agent. Pass a connection inside a
/// transaction.
pub async fn add_version(
    db: &mut PgConnection,
    account: AccountId,
    id: VoiceAgentId,
    name: &str,
    settings: &VoiceAgentSettings,
) -> sqlx::Result<bool> {
    let version = sqlx::query_scalar!(
        "update voice_agents set version = version + 1, name = $3 where account_id = $1 and id = $2 returning version",
        account as AccountId,
        id as VoiceAgentId,
        name,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(version) = version else { return Ok(false) };
    sqlx::query!(
        "insert into voice_agent_versions (account_id, voice_agent_id, version, settings) values ($1, $2, $3, $4)",
        account as AccountId,
        id as VoiceAgentId,
        version,
        serde_json::json!(settings),
    )
    .execute(db)
    .await?;
    Ok(true)
}
