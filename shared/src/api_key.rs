//! API keys. A key is shown once, when it is made; afterwards only its SHA-256 is known. A key holds 256 random bits, so that
//! a plain hash is enough: there is nothing to guess.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::PgExecutor;

use crate::id::{AccountId, ApiKeyId};

/// What every key begins with, so that a scanner recognises a leaked one.
const MARK: &str = "tk_";
/// Characters of a key that lists show: the mark and eight of its own.
const PREFIX_LEN: usize = MARK.len() + 8;

#[derive(Clone, Debug, serde::Serialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub account_id: AccountId,
    pub name: String,
    pub prefix: String,
    pub created_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Makes a key; the answer is the only time it can be read.
pub async fn create(db: impl PgExecutor<'_>, account: AccountId, name: &str) -> sqlx::Result<SecretString> {
    let key = SecretString::from(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())));
    sqlx::query!(
        "insert into api_keys (account_id, name, prefix, key_hash) values ($1, $2, $3, $4)",
        account as AccountId,
        name,
        &key.expose_secret()[..PREFIX_LEN],
        hash(key.expose_secret()),
    )
    .execute(db)
    .await?;
    Ok(key)
}

/// Whose key this is; `None` if it is unknown or revoked. Notes the use at most once a minute, so that reading stays reading.
pub async fn authenticate(db: impl PgExecutor<'_>, key: &str) -> sqlx::Result<Option<AccountId>> {
    if !key.starts_with(MARK) {
        return Ok(None);
    }
    sqlx::query_scalar!(
        r#"
        with used as (
            update api_keys set last_used_at = now()
            where key_hash = $1 and revoked_at is null
                and (last_used_at is null or last_used_at < now() - interval '1 minute')
        )
        select account_id as "account_id: AccountId" from api_keys where key_hash = $1 and revoked_at is null
        "#,
        hash(key),
    )
    .fetch_optional(db)
    .await
}

/// All keys, or one account's, revoked ones included; newest first.
pub async fn list(db: impl PgExecutor<'_>, account: Option<AccountId>) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"
        select id as "id: ApiKeyId", account_id as "account_id: AccountId", name, prefix, created_at, last_used_at, revoked_at
        from api_keys
        where $1::bigint is null or account_id = $1
        order by id desc
        limit 1000
        "#,
        account as Option<AccountId>,
    )
    .fetch_all(db)
    .await
}

/// Ends a key at once. `false` if there is no such key, or it is revoked already.
pub async fn revoke(db: impl PgExecutor<'_>, id: ApiKeyId) -> sqlx::Result<bool> {
    let done =
        sqlx::query!("update api_keys set revoked_at = now() where id = $1 and revoked_at is null", id as ApiKeyId)
            .execute(db)
            .await?;
    Ok(done.rows_affected() == 1)
}

fn hash(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}
