//! `Idempotency-Key`: a client that got no answer sends its POST again, and makes nothing twice.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use shared::id::AccountId;
use shared::idempotency::{self, Claim};
use sqlx::PgConnection;

use crate::error::ApiError;

const MAX_KEY_CHARS: usize = 255;

/// The header, if there is one.
pub struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
        let detail = format!("an Idempotency-Key has 1 to {MAX_KEY_CHARS} ASCII characters");
        let key = key.ok_or_else(|| ApiError::refused(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail))?;
        Ok(Self(Some(key.to_owned())))
    }
}

impl IdempotencyKey {
    /// What the same request made before; `None` if it is to be carried out, with [`Self::complete`] in the same transaction.
    ///
    /// # Errors
    /// Another request has used the key.
    pub async fn claim(
        &self,
        db: &mut PgConnection,
        account: AccountId,
        operation: &str,
        request_hash: &[u8],
    ) -> Result<Option<i64>, ApiError> {
        let Some(key) = &self.0 else { return Ok(None) };
        match idempotency::claim(db, account, key, operation, request_hash).await? {
            Claim::New => Ok(None),
            Claim::Replay(id) => Ok(Some(id)),
            Claim::Mismatch => Err(ApiError::unprocessable(
                "idempotency_key_reused",
                "this Idempotency-Key belongs to another request; take a new one",
            )),
        }
    }

    /// Notes what the request made.
    ///
    /// # Errors
    /// The database is out of reach.
    pub async fn complete(&self, db: &mut PgConnection, account: AccountId, resource_id: i64) -> Result<(), ApiError> {
        if let Some(key) = &self.0 {
            idempotency::complete(db, account, key, resource_id).await?;
        }
        Ok(())
    }
}
