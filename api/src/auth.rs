//! Who is asking. Keys come as `Authorization: Bearer tk_…` or `X-API-Key`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use shared::account;
use shared::api_key;
use shared::db::Tx;
use shared::id::AccountId;

use crate::error::ApiError;
use crate::state::{App, AppState};

/// The account a request speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub account: AccountId,
}

impl Caller {
    /// A transaction that sees this account's rows alone.
    ///
    /// # Errors
    /// The database is out of reach.
    pub async fn tenant(&self, app: &AppState) -> Result<Tx, ApiError> {
        Ok(shared::db::tenant(&app.db, self.account).await?)
    }

    /// The region whose numbers are written without a country code in this account.
    ///
    /// # Errors
    /// The database is out of reach.
    pub async fn region(&self, tx: &mut Tx) -> Result<String, ApiError> {
        let account = account::get(&mut **tx, self.account).await?.ok_or_else(|| ApiError::not_found("account"))?;
        Ok(account.region)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let account = match (app.open_account, key(&parts.headers)) {
            (Some(account), _) => account,
            (None, Some(key)) => api_key::authenticate(&app.db, key)
                .await?
                .ok_or_else(|| unauthorized("this API key is not known, or was revoked"))?,
            (None, None) => return Err(unauthorized("send an API key: Authorization: Bearer tk_…, or X-API-Key")),
        };
        tracing::Span::current().record("account_id", account.0);
        Ok(Self { account })
    }
}

fn key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim))
}

fn unauthorized(detail: &str) -> ApiError {
    ApiError::refused(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}
