//! Voice agents: the personas that speak. An edit makes a new version; calls under way keep theirs.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::http_tool::{MOST_TOOLS, is_name};
use shared::id::VoiceAgentId;
use shared::language::{self, Language};
use shared::outgoing_message::{LONGEST_TEXT, MOST_TEMPLATES};
use shared::phone::Phone;
use shared::provider::ProviderKeys;
use shared::voice_agent::{self, VoiceAgent, VoiceAgentSettings};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{Fields, Path, Query};
use crate::page::{Window, list_of};
use crate::provider_choice::{self, ProviderChoiceView};
use crate::state::App;

const MAX_NAME_CHARS: usize = 200;
/// Of one text of the settings: a prompt of more is not read out by any model in time.
const MAX_TEXT_CHARS: usize = 8_000;
const MAX_KEYTERMS: usize = 100;
/// More than there are voices for.
const MAX_LANGUAGES: usize = 12;
/// A flow rings that many at most, one after the other.
const MAX_HUMANS: usize = 5;

#[derive(Debug, Serialize, ToSchema)]
pub struct VoiceAgentView {
    pub id: i64,
    pub name: String,
    /// Rises with every edit; a call tells with which version it was made.
    pub version: i32,
    #[schema(value_type = VoiceAgentSettingsView)]
    pub settings: VoiceAgentSettings,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Every field may be left out.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the settings, which `shared` defines without knowing of OpenAPI")]
pub struct VoiceAgentSettingsView {
    /// The name the agent gives itself.
    #[schema(example = "Asha")]
    agent_name: String,
    /// On whose behalf it calls.
    company_name: String,
    /// The first sentence; `{name}`, `{agent_name}`, `{company_name}` and the list's columns are filled in.
    greeting: Option<String>,
    /// Added to the playbook's own instructions.
    instructions: Option<String>,
    /// BCP 47.
    #[schema(example = "en-IN")]
    language: String,
    /// Other languages (BCP 47) that the agent goes over to when the human speaks one of them: the greeting is said again in it.
    #[schema(max_items = 12, example = json!(["hi-IN"]))]
    languages: Vec<String>,
    /// The greeting in other languages, by their tags; for the built-in playbook there is one in each.
    #[schema(example = json!({"hi-IN": "नमस्ते {name} जी, मैं {agent_name} बोल रही हूँ।"}))]
    greetings: std::collections::BTreeMap<String, String>,
    /// Who hears, thinks and speaks; the installation's choice where absent.
    stt: Option<ProviderChoiceView>,
    llm: Option<ProviderChoiceView>,
    tts: Option<ProviderChoiceView>,
    /// Who takes over in the middle of a call when the first choice fails.
    stt_fallback: Option<ProviderChoiceView>,
    llm_fallback: Option<ProviderChoiceView>,
    tts_fallback: Option<ProviderChoiceView>,
    /// One model that hears, thinks and speaks, in place of `stt` and `llm`. Where `tts` is chosen as well, that voice says the words
    /// that must be exact: greeting, re-prompts and goodbyes; otherwise the model is asked to.
    speech_to_speech: Option<ProviderChoiceView>,
    /// Voice and models of the first choices that name none themselves.
    voice_id: Option<String>,
    llm_model: Option<String>,
    stt_model: Option<String>,
    /// Words that speech recognition should expect: project names, localities.
    keyterms: Vec<String>,
    /// Replaces the built-in real-estate qualification.
    #[schema(value_type = Option<Object>)]
    playbook: Option<serde_json::Value>,
    /// Whether its calls are recorded; those of a campaign only if that records, too.
    #[schema(default = true)]
    recording_enabled: bool,
    /// Wait for the human's hello before greeting.
    wait_for_hello: bool,
    /// On Twilio: hold the conversation turn by turn, through the carrier's own speech recognition and voice and the installation's
    /// OpenAI model, instead of streaming. A call in a language that Twilio does not both hear and speak streams all the same.
    gathered_speech: bool,
    /// Texts that the agent may send by SMS when the human asks for one; each once per call.
    #[schema(max_items = 10)]
    messages: Vec<MessageTemplateView>,
    /// Addresses of your own that the agent may ask in a call. `POST` with `{id, tool, arguments, call}`; `X-Trunkline-Signature` is
    /// `sha256=` and the HMAC-SHA256 of the body under the account's `tool_secret`. What you answer (up to 2,000 characters, JSON or
    /// text) is read by the model. Only https, and only public addresses.
    #[schema(max_items = 8)]
    tools: Vec<HttpToolView>,
    /// Numbers of humans to whom the agent may hand the call, in the order in which they are rung. A `0` on the phone asks for
    /// them, too.
    #[schema(max_items = 5)]
    transfer_to: Vec<String>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents a text, which `shared` defines without knowing of OpenAPI")]
pub struct MessageTemplateView {
    /// What the model calls it.
    #[schema(example = "brochure")]
    name: String,
    /// What it holds, for the model.
    description: String,
    /// Up to 1,000 characters; `{name}` and the list's columns are filled in.
    #[schema(example = "Hello {name}, the brochure you asked for: https://example.com/b")]
    text: String,
    /// Its id in India's registry of texts (DLT), without which operators there deliver none.
    dlt_template_id: Option<String>,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents a tool, which `shared` defines without knowing of OpenAPI")]
pub struct HttpToolView {
    /// What the model calls it.
    #[schema(example = "check_availability")]
    name: String,
    /// When to use it and what it gives, for the model.
    description: String,
    #[schema(example = "https://api.example.com/availability")]
    url: String,
    #[schema(max_items = 12)]
    arguments: Vec<ArgumentView>,
    /// 200 to 7000; 4000 unless given. A second of silence is bridged with a word.
    timeout_ms: u32,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents an argument, which `shared` defines without knowing of OpenAPI")]
pub struct ArgumentView {
    name: String,
    description: String,
    /// `text`, `number` or `yes_no`.
    #[schema(example = "text")]
    kind: String,
    /// The only values allowed; for texts.
    options: Vec<String>,
    optional: bool,
}

#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose fields are read one by one")]
pub struct VoiceAgentRequest {
    name: String,
    settings: Option<VoiceAgentSettingsView>,
}

impl From<VoiceAgent> for VoiceAgentView {
    fn from(agent: VoiceAgent) -> Self {
        Self {
            id: agent.id.0,
            name: agent.name,
            version: agent.version,
            settings: agent.settings.0,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
        }
    }
}

list_of!(VoiceAgentList { voice_agents: VoiceAgentView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VoiceAgentQuery {
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// The account's voice agents.
#[utoipa::path(
    get, path = "/voice-agents", tag = "voice agents", params(VoiceAgentQuery),
    responses((status = OK, body = VoiceAgentList))
)]
pub async fn list_voice_agents(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<VoiceAgentQuery>,
) -> Result<Json<VoiceAgentList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let mut tx = caller.tenant(&app).await?;
    let rows = voice_agent::list(&mut *tx, caller.account, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(voice_agent::count(&mut *tx, caller.account).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |agent| agent.id.0, VoiceAgentView::from).into()))
}

/// One voice agent, as its latest version stands.
#[utoipa::path(
    get, path = "/voice-agents/{id}", tag = "voice agents", params(("id" = i64, Path)),
    responses((status = OK, body = VoiceAgentView), (status = NOT_FOUND, body = Problem))
)]
pub async fn get_voice_agent(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<VoiceAgentId>,
) -> Result<Json<VoiceAgentView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let agent = voice_agent::get(&mut *tx, caller.account, id).await?;
    Ok(Json(agent.ok_or_else(|| ApiError::not_found("voice agent"))?.into()))
}

/// Create a voice agent.
#[utoipa::path(
    post, path = "/voice-agents", tag = "voice agents", request_body = VoiceAgentRequest,
    responses((status = CREATED, body = VoiceAgentView), (status = UNPROCESSABLE_ENTITY, body = Problem))
)]
pub async fn create_voice_agent(
    State(app): State<App>,
    caller: Caller,
    fields: Fields,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<VoiceAgentView>), ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let (name, settings) = read(fields, &app.provider_keys, app.private_tools, None, &caller.region(&mut tx).await?)?;
    let id = voice_agent::create(&mut tx, caller.account, &name, &settings).await?;
    let agent =
        voice_agent::get(&mut *tx, caller.account, id).await?.ok_or_else(|| ApiError::not_found("voice agent"))?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/voice-agents/{id}"))], Json(agent.into())))
}

/// Make the agent's next version. Settings that are left out fall back to their defaults, not to the version before.
#[utoipa::path(
    put, path = "/voice-agents/{id}", tag = "voice agents", params(("id" = i64, Path)), request_body = VoiceAgentRequest,
    responses((status = OK, body = VoiceAgentView), (status = NOT_FOUND, body = Problem), (status = UNPROCESSABLE_ENTITY, body = Problem))
)]
pub async fn replace_voice_agent(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<VoiceAgentId>,
    fields: Fields,
) -> Result<Json<VoiceAgentView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let missing = || ApiError::not_found("voice agent");
    let before = voice_agent::get(&mut *tx, caller.account, id).await?.ok_or_else(missing)?;
    let (name, settings) =
        read(fields, &app.provider_keys, app.private_tools, Some(&before.name), &caller.region(&mut tx).await?)?;
    if !voice_agent::add_version(&mut tx, caller.account, id, &name, &settings).await? {
        return Err(missing());
    }
    let agent = voice_agent::get(&mut *tx, caller.account, id).await?.ok_or_else(missing)?;
    tx.commit().await?;
    Ok(Json(agent.into()))
}

fn read(
    mut fields: Fields,
    keys: &ProviderKeys,
    private_tools: bool,
    old_name: Option<&str>,
    region: &str,
) -> Result<(String, VoiceAgentSettings), ApiError> {
    let name = fields.take::<String>("name").map(|name| name.trim().to_owned());
    let name = name.or_else(|| old_name.map(str::to_owned)).unwrap_or_default();
    match name.chars().count() {
        0 => fields.refuse("/name", "required", "a voice agent needs a name"),
        count if count > MAX_NAME_CHARS => {
            fields.refuse("/name", "too_long", format!("the name is longer than {MAX_NAME_CHARS} characters"));
        }
        _ => {}
    }
    let mut settings = fields.take::<VoiceAgentSettings>("settings").unwrap_or_default();
    let texts = [
        ("agent_name", Some(&settings.agent_name)),
        ("company_name", Some(&settings.company_name)),
        ("greeting", settings.greeting.as_ref()),
        ("instructions", settings.instructions.as_ref()),
    ];
    for (field, text) in texts {
        if text.is_some_and(|text| text.chars().count() > MAX_TEXT_CHARS) {
            let detail = format!("{field} is longer than {MAX_TEXT_CHARS} characters");
            fields.refuse(format!("/settings/{field}"), "too_long", detail);
        }
    }
    check_languages(&mut fields, &settings);
    check_tools(&mut fields, &settings, private_tools);
    check_messages(&mut fields, &settings);
    if settings.keyterms.len() > MAX_KEYTERMS {
        fields.refuse("/settings/keyterms", "too_many", format!("at most {MAX_KEYTERMS} key terms"));
    }
    if settings.transfer_to.len() > MAX_HUMANS {
        fields.refuse("/settings/transfer_to", "too_many", format!("at most {MAX_HUMANS} numbers"));
    }
    for (at, number) in settings.transfer_to.iter_mut().enumerate() {
        match Phone::parse(number, region) {
            Ok(phone) => *number = phone.as_str().to_owned(),
            Err(error) => fields.refuse(format!("/settings/transfer_to/{at}"), "not_a_phone_number", error.to_string()),
        }
    }
    provider_choice::check(&mut fields, keys, &settings);
    fields.finish()?;
    Ok((name, settings))
}

/// Unknown languages would be found out by a person who is not understood.
fn check_languages(fields: &mut Fields, settings: &VoiceAgentSettings) {
    let known = || Language::ALL.map(Language::code).join(", ");
    let mut check = |at: String, tag: &str| {
        if language::tag(tag).as_deref() != Some(tag) {
            let detail = format!(
                "{tag:?} is not a language tag that is known here, such as hi-IN, hi-en (mixed), or one of {}",
                known()
            );
            fields.refuse(at, "unknown_language", detail);
        }
    };
    check("/settings/language".to_owned(), &settings.language);
    for (at, tag) in settings.languages.iter().enumerate() {
        check(format!("/settings/languages/{at}"), tag);
    }
    for tag in settings.greetings.keys() {
        check(format!("/settings/greetings/{tag}"), tag);
    }
    if settings.languages.len() > MAX_LANGUAGES {
        fields.refuse("/settings/languages", "too_many", format!("at most {MAX_LANGUAGES} other languages"));
    }
    for (tag, greeting) in &settings.greetings {
        if greeting.chars().count() > MAX_TEXT_CHARS {
            let detail = format!("the greeting is longer than {MAX_TEXT_CHARS} characters");
            fields.refuse(format!("/settings/greetings/{tag}"), "too_long", detail);
        }
    }
}

fn check_tools(fields: &mut Fields, settings: &VoiceAgentSettings, private_allowed: bool) {
    if settings.tools.len() > MOST_TOOLS {
        fields.refuse("/settings/tools", "too_many", format!("at most {MOST_TOOLS} tools"));
    }
    for (at, tool) in settings.tools.iter().enumerate() {
        for (within, detail) in tool.problems(private_allowed) {
            fields.refuse(format!("/settings/tools/{at}{within}"), "invalid", detail);
        }
        if settings.tools[..at].iter().any(|other| other.name == tool.name) {
            fields.refuse(format!("/settings/tools/{at}/name"), "duplicate", "another tool has this name");
        }
    }
}

fn check_messages(fields: &mut Fields, settings: &VoiceAgentSettings) {
    if settings.messages.len() > MOST_TEMPLATES {
        fields.refuse("/settings/messages", "too_many", format!("at most {MOST_TEMPLATES} texts"));
    }
    for (at, message) in settings.messages.iter().enumerate() {
        let at_field = |field: &str| format!("/settings/messages/{at}/{field}");
        if !is_name(&message.name) {
            let detail = "a name is 1 to 64 lower-case letters, digits and underscores";
            fields.refuse(at_field("name"), "invalid", detail);
        } else if settings.messages[..at].iter().any(|other| other.name == message.name) {
            fields.refuse(at_field("name"), "duplicate", "another text has this name");
        }
        match message.text.trim().chars().count() {
            0 => fields.refuse(at_field("text"), "required", "there is nothing to send"),
            count if count > LONGEST_TEXT => {
                fields.refuse(
                    at_field("text"),
                    "too_long",
                    format!("the text is longer than {LONGEST_TEXT} characters"),
                );
            }
            _ => {}
        }
    }
}
