//! A POST that is sent twice with the same `Idempotency-Key` makes one thing.

use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor};

use crate::id::AccountId;

/// What a key turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has used it: carry the request out, and call [`complete`] in the same transaction.
    New,
    /// The same request was carried out, and made this.
    Replay(i64),
    /// Another request has used it.
    Mismatch,
}

/// A digest of what a request says.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Claims the key for this transaction; a second request with it waits for the first one's end. Keys are forgotten after a day.
pub async fn claim(
    db: &mut PgConnection,
    account: AccountId,
    key: &str,
    operation: &str,
    request_hash: &[u8],
) -> sqlx::Result<Claim> {
    sqlx::query!(
        "delete from idempotency_keys where account_id = $1 and key = $2 and created_at < now() - interval '1 day'",
        account as AccountId,
        key,
    )
    .execute(&mut *db)
    .await?;
    let inserted = sqlx::query!(
        r#"
        insert into idempotency_keys (account_id, key, operation, request_hash) values ($1, $2, $3, $4)
        on conflict (account_id, key) do nothing
        "#,
        account as AccountId,
        key,
        operation,
        request_hash,
    )
    .execute(&mut *db)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Claim::New);
    }
    let used = sqlx::query!(
        "select operation, request_hash, resource_id from idempotency_keys where account_id = $1 and key = $2",
        account as AccountId,
        key,
    )
    .fetch_one(db)
    .await?;
    Ok(match used.resource_id {
        Some(id) if used.operation == operation && used.request_hash == request_hash => Claim::Replay(id),
        _ => Claim::Mismatch,
    })
}

/// Notes what the request made.
pub async fn complete(db: impl PgExecutor<'_>, account: AccountId, key: &str, resource_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update idempotency_keys set resource_id = $3 where account_id = $1 and key = $2",
        account as AccountId,
        key,
        resource_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
