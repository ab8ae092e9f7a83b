//! An uploaded list: the file, how far it has been read, and what was wrong with which row. `lead_import` reads it.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::id::{AccountId, CampaignId, ImportId};
use crate::jobs::import_leads::ImportLeads;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ImportStatus {
    Queued,
    Running,
    Completed,
    /// The file as a whole could not be read; `error` says why.
    Failed,
}

impl ImportStatus {
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

#[derive(Clone, Debug)]
pub struct Import {
    pub id: ImportId,
    pub campaign_id: CampaignId,
    pub file_name: String,
    pub file_bytes: i64,
    pub status: ImportStatus,
    /// Once its reader has looked the file through.
    pub rows_in_file: Option<i64>,
    /// Read so far.
    pub rows_total: i64,
    pub rows_imported: i64,
    pub rows_duplicate: i64,
    pub rows_rejected: i64,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A row that became no lead, or became one with a remark.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ImportRow {
    #[serde(skip)]
    pub id: i64,
    /// In the file, counted from 1; the header is a line too.
    pub line: i64,
    pub column_name: String,
    pub value: String,
    pub reason: String,
    /// `rejected`, `duplicate` or `warning`.
    pub severity: String,
}

/// A file as it was uploaded.
#[derive(Debug)]
pub struct Upload<'a> {
    pub file_name: &'a str,
    pub content_type: Option<&'a str>,
    pub content: &'a [u8],
}

/// Stores the file and asks for it to be read: both or neither, so pass a connection inside a transaction.
pub async fn create(
    db: &mut PgConnection,
    account: AccountId,
    campaign: CampaignId,
    upload: &Upload<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<ImportId> {
    let id = sqlx::query_scalar!(
        r#"
        insert into imports (account_id, campaign_id, file_name, content_type, file_bytes, content, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        returning id as "id: ImportId"
        "#,
        account as AccountId,
        campaign as CampaignId,
        upload.file_name,
        upload.content_type,
        i64::try_from(upload.content.len()).unwrap_or(i64::MAX),
        upload.content,
        now,
    )
    .fetch_one(&mut *db)
    .await?;
    crate::jobs::nudge(db, &ImportLeads { import_id: id }).await?;
    Ok(id)
}

pub async fn get(db: impl PgExecutor<'_>, account: AccountId, id: ImportId) -> sqlx::Result<Option<Import>> {
    sqlx::query_as!(
        Import,
        r#"
        select id as "id: ImportId", campaign_id as "campaign_id: CampaignId", file_name, file_bytes,
            status as "status: ImportStatus", rows_in_file, rows_total, rows_imported, rows_duplicate, rows_rejected, error, created_at,
            finished_at
        from imports
        where account_id = $1 and id = $2
        "#,
        account as AccountId,
        id as ImportId,
    )
    .fetch_optional(db)
    .await
}

/// Newest first, older than `before`, then behind `offset` of them.
pub async fn list(
    db: impl PgExecutor<'_>,
    account: AccountId,
    campaign: CampaignId,
    before: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<Import>> {
    sqlx::query_as!(
        Import,
        r#"
        select id as "id: ImportId", campaign_id as "campaign_id: CampaignId", file_name, file_bytes,
            status as "status: ImportStatus", rows_in_file, rows_total, rows_imported, rows_duplicate, rows_rejected, error, created_at,
            finished_at
        from imports
        where account_id = $1 and campaign_id = $2 and ($3::bigint is null or id < $3)
        order by id desc
        offset $4 limit $5
        "#,
        account as AccountId,
        campaign as CampaignId,
        before,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: impl PgExecutor<'_>, account: AccountId, campaign: CampaignId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from imports where account_id = $1 and campaign_id = $2"#,
        account as AccountId,
        campaign as CampaignId,
    )
    .fetch_one(db)
    .await
}

/// The remarks on an upload's rows, in the order in which they were found, behind the remark `after`, then behind `offset`.
pub async fn rows(
    db: impl PgExecutor<'_>,
    account: AccountId,
    import: ImportId,
    severity: Option<&str>,
    after: Option<i64>,
    offset: i64,
    limit: i64,
) -> sqlx::Result<Vec<ImportRow>> {
    sqlx::query_as!(
        ImportRow,
        r#"
        select id, line, column_name, value, reason, severity
        from import_rows
        where account_id = $1 and import_id = $2 and id > coalesce($3::bigint, 0) and ($4::text is null or severity = $4)
        order by id
        offset $5 limit $6
        "#,
        account as AccountId,
        import as ImportId,
        after,
        severity,
        offset,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count_rows(
    db: impl PgExecutor<'_>,
    account: AccountId,
    import: ImportId,
    severity: Option<&str>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from import_rows
        where account_id = $1 and import_id = $2 and ($3::text is null or severity = $3)
        "#,
        account as AccountId,
        import as ImportId,
        severity,
    )
    .fetch_one(db)
    .await
}
