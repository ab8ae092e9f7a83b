//! The caller's account: the limits that hold for all of its campaigns together.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use shared::account::{self, Account, AccountSettings};
use shared::call::Carrier;
use shared::calling_window::parse_zone;
use shared::http_tool;
use shared::phone;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::Fields;
use crate::state::App;

/// A week.
const LONGEST_GAP_MINUTES: i32 = 7 * 24 * 60;
/// Ten years.
const LONGEST_KEPT_DAYS: i32 = 3_650;
/// One that outran its call is applied within a day.
const LEAST_WEBHOOK_DAYS: i32 = 7;

#[derive(Debug, Serialize, ToSchema)]
pub struct AccountView {
    pub id: i64,
    pub name: String,
    /// Two-letter country in which a number without a country code is meant.
    pub region: String,
    /// Of leads whose number does not tell theirs, where their campaign names none.
    pub time_zone: String,
    /// Calls in progress at once, across campaigns.
    pub max_concurrent_calls: i32,
    /// Calls started per second, across campaigns; the carrier's own rate holds besides.
    pub calls_per_second: f64,
    /// Minutes between two calls to one number, whatever campaign asks for them.
    pub min_gap_minutes: i32,
    /// Calls to one number in any 24 hours, whatever campaigns ask for them.
    pub max_calls_per_number_per_day: i32,
    /// `exotel` or `twilio`: whom new calls are placed with.
    pub carrier: &'static str,
    /// Days after which recordings are deleted; null keeps them.
    pub keep_recordings_days: Option<i32>,
    /// Days after a call's end after which its transcript is deleted, and what was made of it in words; null keeps them.
    pub keep_transcripts_days: Option<i32>,
    /// Days after which carriers' webhooks are deleted from the calls' histories; null keeps them.
    pub keep_webhooks_days: Option<i32>,
    pub created_at: DateTime<Utc>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.0,
            name: account.name,
            region: account.region,
            time_zone: account.time_zone,
            max_concurrent_calls: account.max_concurrent_calls,
            calls_per_second: account.calls_per_second,
            min_gap_minutes: account.min_gap_minutes,
            max_calls_per_number_per_day: account.max_calls_per_number_per_day,
            carrier: account.carrier.as_str(),
            keep_recordings_days: account.keep_recordings_days,
            keep_transcripts_days: account.keep_transcripts_days,
            keep_webhooks_days: account.keep_webhooks_days,
            created_at: account.created_at,
        }
    }
}

/// What is left out keeps its value.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose fields are read one by one")]
pub struct AccountRequest {
    #[schema(example = "IN")]
    region: Option<String>,
    /// Leads that are uploaded already keep theirs.
    #[schema(example = "Asia/Kolkata")]
    time_zone: Option<String>,
    /// 0 calls nobody.
    #[schema(minimum = 0, maximum = 10000)]
    max_concurrent_calls: Option<i32>,
    #[schema(minimum = 0.01, maximum = 100)]
    calls_per_second: Option<f64>,
    #[schema(minimum = 0, maximum = 10080)]
    min_gap_minutes: Option<i32>,
    #[schema(minimum = 1, maximum = 50)]
    max_calls_per_number_per_day: Option<i32>,
    /// `exotel` or `twilio`; the installation must have its credentials. Calls that are reserved already keep theirs.
    #[schema(example = "exotel")]
    carrier: Option<String>,
    /// Days; null keeps recordings for ever. What is past its time is deleted within an hour or so.
    #[schema(minimum = 1, maximum = 3650)]
    keep_recordings_days: Option<i32>,
    /// Days after a call's end; null keeps transcripts for ever. A call's disposition and score stay.
    #[schema(minimum = 1, maximum = 3650)]
    keep_transcripts_days: Option<i32>,
    /// Days; null keeps webhooks for ever.
    #[schema(minimum = 7, maximum = 3650)]
    keep_webhooks_days: Option<i32>,
}

/// The account and its limits.
#[utoipa::path(get, path = "/account", tag = "account", responses((status = OK, body = AccountView)))]
pub async fn get_account(State(app): State<App>, caller: Caller) -> Result<Json<AccountView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let account = account::get(&mut *tx, caller.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
    Ok(Json(account.into()))
}

#[derive(Serialize, ToSchema)]
pub struct ToolSecretView {
    /// Key of the HMAC-SHA256 in `X-Trunkline-Signature`. It changes only when the installation's secret does.
    pub tool_secret: String,
}

/// What the requests to your voice agents' own tools are signed with.
#[utoipa::path(get, path = "/account/tool-secret", tag = "account", responses((status = OK, body = ToolSecretView)))]
pub async fn get_tool_secret(State(app): State<App>, caller: Caller) -> Json<ToolSecretView> {
    let secret = http_tool::signing_secret(&app.callback_secret, caller.account);
    Json(ToolSecretView { tool_secret: secret.expose_secret().to_owned() })
}

/// Change the account's limits. They hold from the next call that is reserved; the change is kept in the history.
#[utoipa::path(
    patch, path = "/account", tag = "account", request_body = AccountRequest,
    responses((status = OK, body = AccountView), (status = UNPROCESSABLE_ENTITY, body = Problem))
)]
pub async fn update_account(
    State(app): State<App>,
    caller: Caller,
    mut fields: Fields,
) -> Result<Json<AccountView>, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let before = account::lock(&mut tx, caller.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
    let settings = read(before.settings(), &mut fields);
    fields.finish()?;
    account::update(&mut tx, &before, &settings, app.clock.now()).await?;
    let after = account::get(&mut *tx, caller.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
    tx.commit().await?;
    Ok(Json(after.into()))
}

/// `base` with the body's fields laid over it; mistakes are noted.
fn read(base: AccountSettings, fields: &mut Fields) -> AccountSettings {
    let mut settings = base;
    if let Some(region) = fields.take::<String>("region") {
        settings.region = region.trim().to_ascii_uppercase();
        if !phone::is_region(&settings.region) {
            fields.refuse("/region", "unknown_region", "this is not a country; use a two-letter code such as IN");
        }
    }
    if let Some(zone) = fields.take::<String>("time_zone") {
        match parse_zone(&zone) {
            Ok(zone) => settings.time_zone = zone.name().to_owned(),
            Err(error) => fields.refuse("/time_zone", "unknown_time_zone", error.to_string()),
        }
    }
    let bounded = |fields: &mut Fields, name: &str, value: &mut i32, least: i32, most: i32| {
        let Some(given) = fields.take::<i32>(name) else { return };
        if !(least..=most).contains(&given) {
            let detail = format!("{name} must be between {least} and {most}, not {given}");
            fields.refuse(format!("/{name}"), "out_of_range", detail);
        }
        *value = given;
    };
    bounded(fields, "max_concurrent_calls", &mut settings.max_concurrent_calls, 0, 10_000);
    bounded(fields, "min_gap_minutes", &mut settings.min_gap_minutes, 0, LONGEST_GAP_MINUTES);
    bounded(fields, "max_calls_per_number_per_day", &mut settings.max_calls_per_number_per_day, 1, 50);
    let mut kept = |name: &str, value: &mut Option<i32>, least: i32| {
        let Some(given) = fields.take::<Option<i32>>(name) else { return };
        if given.is_some_and(|days| !(least..=LONGEST_KEPT_DAYS).contains(&days)) {
            let detail = format!("{name} must be between {least} and {LONGEST_KEPT_DAYS}, or null to keep everything");
            fields.refuse(format!("/{name}"), "out_of_range", detail);
        }
        *value = given;
    };
    kept("keep_recordings_days", &mut settings.retention.keep_recordings_days, 1);
    kept("keep_transcripts_days", &mut settings.retention.keep_transcripts_days, 1);
    kept("keep_webhooks_days", &mut settings.retention.keep_webhooks_days, LEAST_WEBHOOK_DAYS);
    if let Some(pace) = fields.take::<f64>("calls_per_second") {
        if !(0.01..=100.0).contains(&pace) {
            fields.refuse("/calls_per_second", "out_of_range", "calls_per_second must be between 0.01 and 100");
        }
        settings.calls_per_second = pace;
    }
    if let Some(name) = fields.take::<String>("carrier") {
        match [Carrier::Exotel, Carrier::Twilio].into_iter().find(|carrier| carrier.as_str() == name) {
            Some(carrier) => settings.carrier = carrier,
            None => fields.refuse("/carrier", "unknown_carrier", "carrier must be exotel or twilio"),
        }
    }
    settings
}
