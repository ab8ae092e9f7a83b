//! Numbers that must not be called.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::do_not_call::{self, Entry, Source};
use shared::phone::{Phone, PhoneError};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::error::{ApiError, FieldProblem, Problem};
use crate::extract::{Fields, Query};
use crate::page::{Window, list_of};
use crate::state::App;

/// Numbers in one request.
const MAX_NUMBERS: usize = 1_000;
const MAX_REASON_CHARS: usize = 500;

#[derive(Debug, Serialize, ToSchema)]
pub struct DoNotCallView {
    pub id: i64,
    /// E.164.
    pub phone: String,
    pub reason: String,
    /// `operator`, `call`, `carrier` or `sms`.
    pub source: String,
    /// The call in which it was asked for.
    pub call_id: Option<i64>,
    pub created_at: DateTime<Utc>,
}

impl From<Entry> for DoNotCallView {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            phone: entry.phone,
            reason: entry.reason,
            source: entry.source,
            call_id: entry.call_id.map(|id| id.0),
            created_at: entry.created_at,
        }
    }
}

/// `phone`, or `phones` for many.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "documents the body, whose fields are read one by one")]
pub struct DoNotCallRequest {
    #[schema(example = "+91 98450 12345")]
    phone: Option<String>,
    phones: Option<Vec<String>>,
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DoNotCallAdded {
    /// E.164, as they are on the list now.
    pub phones: Vec<String>,
}

list_of!(DoNotCallList { entries: DoNotCallView });

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DoNotCallQuery {
    /// Look for this number.
    phone: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
    page: Option<i64>,
    page_size: Option<i64>,
}

/// In a query string a `+` must be written `%2B`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DoNotCallRemoval {
    phone: String,
}

/// The account's list, newest first.
#[utoipa::path(
    get, path = "/do-not-call", tag = "do-not-call", params(DoNotCallQuery),
    responses((status = OK, body = DoNotCallList))
)]
pub async fn list_do_not_call(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<DoNotCallQuery>,
) -> Result<Json<DoNotCallList>, ApiError> {
    let window = Window::new(query.cursor.as_deref(), query.limit, query.page, query.page_size)?;
    let mut tx = caller.tenant(&app).await?;
    let phone = match &query.phone {
        Some(text) => {
            Some(parse(text, &caller.region(&mut tx).await?, "/phone").map_err(|p| ApiError::invalid(vec![p]))?)
        }
        None => None,
    };
    let phone = phone.as_ref().map(Phone::as_str);
    let rows = do_not_call::list(&mut *tx, caller.account, phone, window.cursor, window.offset, window.probe()).await?;
    let total = match window.is_numbered() {
        true => Some(do_not_call::count(&mut *tx, caller.account, phone).await?),
        false => None,
    };
    Ok(Json(window.page(rows, total, |entry| entry.id, DoNotCallView::from).into()))
}

/// Put numbers on the list; waiting leads with them are suppressed at once, in every campaign.
#[utoipa::path(
    post, path = "/do-not-call", tag = "do-not-call", request_body = DoNotCallRequest,
    responses((status = CREATED, body = DoNotCallAdded), (status = UNPROCESSABLE_ENTITY, body = Problem))
)]
pub async fn add_do_not_call(
    State(app): State<App>,
    caller: Caller,
    mut fields: Fields,
) -> Result<(StatusCode, Json<DoNotCallAdded>), ApiError> {
    let mut tx = caller.tenant(&app).await?;
    let region = caller.region(&mut tx).await?;
    let one = fields.take::<String>("phone").map(|text| ("/phone".to_owned(), text));
    let many = fields.take::<Vec<String>>("phones").unwrap_or_default();
    let many = many.into_iter().enumerate().map(|(index, text)| (format!("/phones/{index}"), text));
    let texts: Vec<(String, String)> = one.into_iter().chain(many).collect();
    if texts.len() > MAX_NUMBERS {
        fields.refuse("/phones", "too_many", format!("at most {MAX_NUMBERS} numbers in one request"));
    }
    if texts.is_empty() {
        fields.refuse("/phone", "required", "give a phone, or phones");
    }
    let mut phones = Vec::new();
    for (pointer, text) in texts.iter().take(MAX_NUMBERS) {
        match parse(text, &region, pointer) {
            Ok(phone) => phones.push(phone),
            Err(problem) => fields.refuse(problem.pointer, problem.code, problem.detail),
        }
    }
    let reason = fields.take::<String>("reason").unwrap_or_else(|| "added by an operator".into());
    if reason.chars().count() > MAX_REASON_CHARS {
        fields.refuse("/reason", "too_long", format!("the reason is longer than {MAX_REASON_CHARS} characters"));
    }
    fields.finish()?;
    for phone in &phones {
        do_not_call::add(&mut tx, caller.account, phone.as_str(), Source::Operator, &reason, None, app.clock.now())
            .await?;
    }
    tx.commit().await?;
    let phones = phones.iter().map(|phone| phone.as_str().to_owned()).collect();
    Ok((StatusCode::CREATED, Json(DoNotCallAdded { phones })))
}

/// Take a number off the list. Leads that it suppressed stay suppressed.
#[utoipa::path(
    delete, path = "/do-not-call", tag = "do-not-call", params(DoNotCallRemoval),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = Problem))
)]
pub async fn remove_do_not_call(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<DoNotCallRemoval>,
) -> Result<StatusCode, ApiError> {
    let mut tx = caller.tenant(&app).await?;
    // A plus that was not escaped arrives as a space.
    let text = query.phone.strip_prefix(' ').map_or_else(|| query.phone.clone(), |rest| format!("+{rest}"));
    let region = caller.region(&mut tx).await?;
    let phone = parse(&text, &region, "/phone").map_err(|problem| ApiError::invalid(vec![problem]))?;
    if !do_not_call::remove(&mut *tx, caller.account, phone.as_str()).await? {
        return Err(ApiError::not_found("number on the list"));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(text: &str, region: &str, pointer: &str) -> Result<Phone, FieldProblem> {
    Phone::parse(text, region).map_err(|error: PhoneError| FieldProblem {
        pointer: pointer.to_owned(),
        code: error.code(),
        detail: error.to_string(),
    })
}
