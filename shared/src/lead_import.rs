//! From an uploaded list to leads, batch by batch: each batch is one transaction that also says how far the list has been read.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::consent::ConsentBasis;
use crate::id::{AccountId, CampaignId, ContactId, ImportId};
use crate::message;

/// A list to be read, or to be read on.
#[derive(Clone, Debug)]
pub struct ImportFile {
    pub id: ImportId,
    pub account_id: AccountId,
    pub campaign_id: CampaignId,
    pub file_name: String,
    pub content_type: Option<String>,
    pub content: Vec<u8>,
    /// Lines up to this one have been dealt with.
    pub lines_done: i64,
    /// Country in which a number without a country code is meant.
    pub region: String,
    /// The campaign's zone, else the account's: for leads whose own zone is not known and whose number says none.
    pub time_zone: String,
    pub campaign_running: bool,
    pub campaign_over: bool,
}

/// One good row.
#[derive(Clone, Debug, Default)]
pub struct NewLead {
    pub line: i64,
    /// E.164.
    pub phone: String,
    pub country: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub property_type: Option<String>,
    pub location: Option<String>,
    pub budget: Option<String>,
    pub source: Option<String>,
    pub language: Option<String>,
    pub tags: Vec<String>,
    /// The list's own columns.
    pub variables: serde_json::Map<String, serde_json::Value>,
    /// As a [`ZoneSet`](crate::calling_window::ZoneSet) writes itself.
    pub time_zone: String,
    pub priority: i32,
    pub consent_basis: ConsentBasis,
    pub consent_at: Option<DateTime<Utc>>,
    pub consent_source: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The row became no lead.
    Rejected,
    /// It became none, because an earlier row has its number.
    Duplicate,
    /// It became one, without this value.
    Warning,
}

/// Something that is wrong with a row.
#[derive(Clone, Debug)]
pub struct Remark {
    pub line: i64,
    pub column: String,
    pub value: String,
    pub reason: String,
    pub severity: Severity,
}

/// The next lines of a list.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub leads: Vec<NewLead>,
    pub remarks: Vec<Remark>,
    /// Rows among these lines, blank ones not counted.
    pub rows: i64,
    pub rejected: i64,
    /// Rows whose number an earlier row of the list has; those that the campaign has are counted by the database.
    pub duplicates: i64,
    /// The last of these lines.
    pub last_line: i64,
}

/// Takes a list to read: `queued | running → running`. `None` if it is finished or does not exist.
pub async fn begin(db: impl PgExecutor<'_>, id: ImportId) -> sqlx::Result<Option<ImportFile>> {
    sqlx::query_as!(
        ImportFile,
        r#"
        update imports i set status = 'running'
        from campaigns g join accounts a on a.id = g.account_id
        where i.id = $1 and i.status in ('queued', 'running') and g.id = i.campaign_id
        returning i.id as "id: ImportId", i.account_id as "account_id: AccountId", i.campaign_id as "campaign_id: CampaignId",
            i.file_name, i.content_type, coalesce(i.content, '') as "content!", i.lines_done, a.region,
            coalesce(g.time_zone, a.time_zone) as "time_zone!", g.status = 'running' as "campaign_running!",
            g.status in ('completed', 'canceled') as "campaign_over!"
        "#,
        id as ImportId,
    )
    .fetch_optional(db)
    .await
}

/// How many rows the list has, for whoever watches its progress.
pub async fn expect_rows(db: impl PgExecutor<'_>, id: ImportId, rows: u64) -> sqlx::Result<()> {
    sqlx::query!(
        "update imports set rows_in_file = $2 where id = $1 and status = 'running'",
        id as ImportId,
        i64::try_from(rows).unwrap_or(i64::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The contacts of `leads`, in their order; who is not in the address book yet joins it, and a name or an e-mail address that
/// was missing is filled in.
///
/// Statements of their own, before the batch's transaction and beside the one of the batch before: they are a third of the work,
/// and doing them twice changes nothing.
pub async fn meet_people(
    conn: &mut PgConnection,
    account: AccountId,
    leads: &[NewLead],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ContactId>> {
    let phones: Vec<String> = leads.iter().map(|lead| lead.phone.clone()).collect();
    let names: Vec<Option<String>> = leads.iter().map(|lead| lead.name.clone()).collect();
    let emails: Vec<Option<String>> = leads.iter().map(|lead| lead.email.clone()).collect();
    // While the numbers are still strangers: a wish that was texted before we knew them holds from now on.
    message::remember_opt_outs(&mut *conn, account, &phones).await?;
    sqlx::query!(
        r#"
        insert into contacts (account_id, phone, name, email, created_at)
        -- Sorted by number, so that two lists of one account lock their contacts in the same order.
        select distinct on (phone) $1, phone, name, email, $5::timestamptz
        from unnest($2::text[], $3::text[], $4::text[]) with ordinality as r (phone, name, email, at)
        order by phone, at
        on conflict (account_id, phone) do update
        set name = coalesce(contacts.name, excluded.name), email = coalesce(contacts.email, excluded.email)
        where (contacts.name is null and excluded.name is not null)
            or (contacts.email is null and excluded.email is not null)
        "#,
        account as AccountId,
        &phones,
        &names as &[Option<String>],
        &emails as &[Option<String>],
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        r#"
        select c.id as "id: ContactId"
        from unnest($2::text[]) with ordinality as r (phone, at)
        join contacts c on c.account_id = $1 and c.phone = r.phone
        order by r.at
        "#,
        account as AccountId,
        &phones,
    )
    .fetch_all(conn)
    .await
}

/// Stores a batch: leads, remarks and the progress, in the caller's transaction. A number that the campaign has already is a
/// duplicate, one on the do-not-call list a suppressed lead. A duplicate that states its consent restates it: a refusal always
/// holds, anything else unless what is known is younger; and a lead that was passed over for want of consent is called after
/// all once it holds.
///
/// `people` are the contacts of the batch's leads ([`meet_people`]); `after_line` is how far the caller believes the list has
/// been read. `false`: somebody else has read on meanwhile, and nothing was stored.
pub async fn insert_batch(
    conn: &mut PgConnection,
    file: &ImportFile,
    after_line: i64,
    batch: &Batch,
    people: &[ContactId],
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    // The file is kept until it has been read to its end: what a crash of the server takes back, progress and leads together,
    // is read again. So nobody waits for the disk here; `complete` does, and with it for all before it.
    sqlx::query!("select set_config('synchronous_commit', 'off', true)").fetch_one(&mut *conn).await?;
    let mine = sqlx::query!(
        r#"
        update imports
        set lines_done = $3, rows_total = rows_total + $4, rows_rejected = rows_rejected + $5,
            rows_duplicate = rows_duplicate + $6
        where id = $1 and status = 'running' and lines_done = $2
        "#,
        file.id as ImportId,
        after_line,
        batch.last_line,
        batch.rows,
        batch.rejected,
        batch.duplicates,
    )
    .execute(&mut *conn)
    .await?;
    if mine.rows_affected() == 0 {
        return Ok(false);
    }
    insert_leads(&mut *conn, file, &batch.leads, people, now).await?;
    insert_remarks(conn, file, &batch.remarks).await?;
    Ok(true)
}

async fn insert_leads(
    conn: &mut PgConnection,
    file: &ImportFile,
    leads: &[NewLead],
    people: &[ContactId],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if leads.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&NewLead) -> &Option<String>| leads.iter().map(|lead| of(lead).clone()).collect::<Vec<_>>();
    let lines: Vec<i64> = leads.iter().map(|lead| lead.line).collect();
    let phones: Vec<String> = leads.iter().map(|lead| lead.phone.clone()).collect();
    let countries: Vec<String> = leads.iter().map(|lead| lead.country.clone()).collect();
    let contacts: Vec<i64> = people.iter().map(|person| person.0).collect();
    let zones: Vec<String> = leads.iter().map(|lead| lead.time_zone.clone()).collect();
    let priorities: Vec<i32> = leads.iter().map(|lead| lead.priority).collect();
    let tags: Vec<serde_json::Value> = leads.iter().map(|lead| serde_json::json!(lead.tags)).collect();
    let bases: Vec<String> = leads.iter().map(|lead| lead.consent_basis.as_str().to_owned()).collect();
    let consented: Vec<Option<DateTime<Utc>>> = leads.iter().map(|lead| lead.consent_at).collect();
    let variables: Vec<serde_json::Value> = leads.iter().map(|lead| serde_json::json!(lead.variables)).collect();
    sqlx::query!(
        r#"
        with rows as (
            select * from unnest($5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::text[], $13::text[], $14::text[], $15::jsonb[], $16::jsonb[], $17::text[], $18::int[], $19::bigint[],
                $20::text[], $21::timestamptz[], $22::text[])
            as r (line, phone, country, name, email, property_type, location, budget, source, language, tags, variables,
                time_zone, priority, contact_id, consent_basis, consent_at, consent_source)
        ),
        firsts as (select distinct on (phone) * from rows order by phone, line),
        inserted as (
            insert into leads (account_id, campaign_id, contact_id, import_id, phone, country, name, email, property_type,
                location, budget, source, language, tags, variables, time_zone, priority, consent_basis, consent_at,
                consent_source, status, suppression_reason, next_at, created_at, updated_at)
            select $1, $2, f.contact_id, $3, f.phone, f.country, f.name, f.email, f.property_type, f.location, f.budget, f.source,
                f.language, array(select jsonb_array_elements_text(f.tags)), f.variables, f.time_zone, f.priority,
                f.consent_basis, f.consent_at, f.consent_source,
                case when d.id is null and f.consent_basis <> 'refused' then 'pending' else 'suppressed' end,
                case when d.id is not null then 'do_not_call' when f.consent_basis = 'refused' then 'no_consent' end,
                $4, $4, $4
            from firsts f
            left join do_not_call d on d.account_id = $1 and d.phone = f.phone
            order by f.line
            on conflict (campaign_id, phone) do nothing
            returning phone
        ),
        -- Sees the leads that were there before, and none of those just inserted.
        restated as (
            update leads l
            set consent_basis = f.consent_basis, consent_at = f.consent_at,
                consent_source = coalesce(f.consent_source, l.consent_source), updated_at = $4,
                status = case
                    when f.consent_basis = 'refused' and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
                        then 'suppressed'
                    when l.status = 'suppressed' and l.suppression_reason = 'no_consent'
                        and consent_holds(f.consent_basis, f.consent_at, g.require_consent, g.consent_max_age_days, $4)
                        then case when l.attempts > 0 then 'waiting_retry' else 'pending' end
                    else l.status
                end,
                suppression_reason = case
                    when f.consent_basis = 'refused' and l.status in ('pending', 'waiting_retry', 'callback_scheduled')
                        then 'no_consent'
                    when l.status = 'suppressed' and l.suppression_reason = 'no_consent'
                        and consent_holds(f.consent_basis, f.consent_at, g.require_consent, g.consent_max_age_days, $4)
                        then null
                    else l.suppression_reason
                end
            from firsts f
            -- Number by number in the index, which the `offset` holds the planner to: in a table that was never analyzed it
            -- takes a campaign's leads for a handful, and compares each of them with each row.
            cross join lateral (select id from leads where campaign_id = $2 and phone = f.phone offset 0) known
            join campaigns g on g.id = $2
            where l.id = known.id and f.consent_basis <> 'unknown'
                and (f.consent_basis = 'refused' or l.consent_at is null or f.consent_at >= l.consent_at)
                and (l.consent_basis, l.consent_at) is distinct from (f.consent_basis, f.consent_at)
            returning l.id, l.phone, l.consent_basis, l.consent_at, l.status
        ),
        noted as (
            insert into call_events (account_id, lead_id, kind, data, at, applied_at)
            select $1, id, 'consent_restated', jsonb_build_object('basis', consent_basis, 'at', consent_at,
                'import_id', $3::bigint, 'lead_status', status), $4, now()
            from restated
        ),
        duplicates as (
            insert into import_rows (account_id, import_id, line, column_name, value, reason, severity)
            select $1, $3, r.line, 'phone', r.phone,
                case when f.line = r.line and s.id is not null
                        then 'this number is in the campaign already; its consent was updated'
                    when f.line = r.line then 'this number is in the campaign already'
                    else 'this number is in the list already, in line ' || f.line end,
                'duplicate'
            from rows r
            join firsts f on f.phone = r.phone
            left join inserted i on i.phone = r.phone
            left join restated s on s.phone = r.phone
            where i.phone is null or f.line <> r.line
            on conflict (import_id, line, column_name) do nothing
            returning 1
        )
        update imports
        set rows_imported = rows_imported + (select count(*) from inserted),
            rows_duplicate = rows_duplicate + (select count(*) from duplicates)
        where id = $3
        "#,
        file.account_id as AccountId,
        file.campaign_id as CampaignId,
        file.id as ImportId,
        now,
        &lines,
        &phones,
        &countries,
        &column(|lead| &lead.name) as &[Option<String>],
        &column(|lead| &lead.email) as &[Option<String>],
        &column(|lead| &lead.property_type) as &[Option<String>],
        &column(|lead| &lead.location) as &[Option<String>],
        &column(|lead| &lead.budget) as &[Option<String>],
        &column(|lead| &lead.source) as &[Option<String>],
        &column(|lead| &lead.language) as &[Option<String>],
        &tags,
        &variables,
        &zones,
        &priorities,
        &contacts,
        &bases,
        &consented as &[Option<DateTime<Utc>>],
        &column(|lead| &lead.consent_source) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_remarks(conn: &mut PgConnection, file: &ImportFile, remarks: &[Remark]) -> sqlx::Result<()> {
    if remarks.is_empty() {
        return Ok(());
    }
    let lines: Vec<i64> = remarks.iter().map(|remark| remark.line).collect();
    let columns: Vec<String> = remarks.iter().map(|remark| remark.column.clone()).collect();
    let values: Vec<String> = remarks.iter().map(|remark| remark.value.clone()).collect();
    let reasons: Vec<String> = remarks.iter().map(|remark| remark.reason.clone()).collect();
    let severities: Vec<String> = remarks
        .iter()
        .map(|remark| match remark.severity {
            Severity::Rejected => "rejected".to_owned(),
            Severity::Duplicate => "duplicate".to_owned(),
            Severity::Warning => "warning".to_owned(),
        })
        .collect();
    sqlx::query!(
        r#"
        insert into import_rows (account_id, import_id, line, column_name, value, reason, severity)
        select $1, $2, r.line, r.col, r.value, r.reason, r.severity
        from unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) as r (line, col, value, reason, severity)
        on conflict (import_id, line, column_name) do nothing
        "#,
        file.account_id as AccountId,
        file.id as ImportId,
        &lines,
        &columns,
        &values,
        &reasons,
        &severities,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The whole list has been read; the file itself is no longer needed.
pub async fn complete(db: impl PgExecutor<'_>, id: ImportId, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update imports set status = 'completed', finished_at = $2, content = null
        where id = $1 and status = 'running'
        "#,
        id as ImportId,
        now,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The file cannot be read (on); `error` is for the person who uploaded it. What was imported before stays.
pub async fn fail(db: impl PgExecutor<'_>, id: ImportId, error: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update imports set status = 'failed', error = $2, finished_at = $3, content = null
        where id = $1 and status in ('queued', 'running')
        "#,
        id as ImportId,
        error,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
