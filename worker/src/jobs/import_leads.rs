//! Reads an uploaded list into leads, some thousand rows per transaction, going on where an earlier run ended.
//!
//! Three stages at once, each a batch ahead of the next: a thread reads rows, one connection finds their people in the address
//! book, another stores them as leads.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::campaign_window::{self, CampaignHours};
use shared::id::{AccountId, ContactId};
use shared::jobs;
use shared::jobs::dispatch_campaign::DispatchCampaign;
use shared::jobs::import_leads::ImportLeads;
use shared::lead_import::{self, Batch, ImportFile, NewLead, Remark, Severity};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};

use crate::context::Context;
use crate::lead_list::{self, LeadList, LeadRow, ListOptions, Rejection};
use crate::queue::{JobContext, JobError, JobResultExt};

/// Rows per transaction.
const BATCH_ROWS: usize = 2_000;
/// Batches that wait while the database is slower than the reader.
const BATCHES_AHEAD: usize = 2;

/// # Errors
/// A failing database is retried; a file that cannot be read is not, it says so to whoever uploaded it.
pub async fn run(job: ImportLeads, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let Some(mut file) = lead_import::begin(&ctx.db, job.import_id).await.retry()? else { return Ok(()) };
    let now = ctx.clock.now();
    if file.campaign_over {
        let error = "The campaign is over, so nobody of this list would be called.";
        return lead_import::fail(&ctx.db, file.id, error, now).await.retry();
    }
    let Some(hours) = CampaignHours::load(&ctx.db, file.campaign_id).await.retry()? else { return Ok(()) };
    let content = std::mem::take(&mut file.content);
    let (batches, read) = mpsc::channel(BATCHES_AHEAD);
    let (counted, count) = oneshot::channel();
    let reader = {
        let (file, max_rows) = (file.clone(), ctx.settings.max_import_rows);
        let openings = Openings { hours, now, known: HashMap::new() };
        tokio::task::spawn_blocking(move || read_list(&content, &file, openings, max_rows, counted, &batches))
    };
    let (met, mut ready) = mpsc::channel(1);
    let people = tokio::spawn(meet_people(ctx.db.clone(), file.account_id, now, read, met));
    // A file that cannot be read has no count; the reader says why.
    if let Ok(rows) = count.await {
        lead_import::expect_rows(&ctx.db, file.id, rows).await.retry()?;
    }
    let mut done = file.lines_done;
    while let Some((batch, people)) = ready.recv().await {
        if job_context.is_cancelled() {
            // The batches so far are stored; whoever takes the job goes on behind them.
            return Ok(());
        }
        let mut tx = ctx.db.begin().await.retry()?;
        if !lead_import::insert_batch(&mut tx, &file, done, &batch, &people, now).await.retry()? {
            tracing::info!(import_id = %file.id, "another run reads this list");
            return Ok(());
        }
        campaign_window::refresh_stale(&mut tx, file.campaign_id, now).await.retry()?;
        if file.campaign_running {
            jobs::nudge(&mut *tx, &DispatchCampaign { campaign_id: file.campaign_id }).await.retry()?;
        }
        tx.commit().await.retry()?;
        done = batch.last_line;
    }
    // The people of a batch could not be met: it and what comes behind it are read again.
    people.await.discard()?.retry()?;
    match reader.await.discard()? {
        Ok(()) => {
            let mut tx = ctx.db.begin().await.retry()?;
            lead_import::complete(&mut *tx, file.id, now).await.retry()?;
            // It may be running by now; one that is not lets the nudge pass.
            jobs::nudge(&mut *tx, &DispatchCampaign { campaign_id: file.campaign_id }).await.retry()?;
            tx.commit().await.retry()?;
            tracing::info!(import_id = %file.id, "a list has been read");
            Ok(())
        }
        Err(error) => {
            tracing::info!(import_id = %file.id, code = error.code(), "a list cannot be read");
            lead_import::fail(&ctx.db, file.id, &error.to_string(), now).await.retry()
        }
    }
}

/// Puts the people of each batch into the address book, while the batch before is being stored.
async fn meet_people(
    db: PgPool,
    account: AccountId,
    now: DateTime<Utc>,
    mut batches: mpsc::Receiver<Batch>,
    met: mpsc::Sender<(Batch, Vec<ContactId>)>,
) -> sqlx::Result<()> {
    while let Some(batch) = batches.recv().await {
        let people = match &batch.leads[..] {
            [] => Vec::new(),
            leads => lead_import::meet_people(&mut *db.acquire().await?, account, leads, now).await?,
        };
        // Nobody listens any more: the run was cut off, and the next one reads on.
        if met.send((batch, people)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Runs on a thread of its own: parsing a list takes the processor for seconds.
fn read_list(
    content: &[u8],
    file: &ImportFile,
    mut openings: Openings,
    max_rows: usize,
    counted: oneshot::Sender<u64>,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), lead_list::ListError> {
    let list = LeadList::open(content, ListOptions { region: &file.region, max_rows })?;
    // Nobody waits for it after a run that was cut off.
    let _ = counted.send(list.row_count());
    let mut batch = Batch::default();
    for row in list {
        let line = match &row {
            Ok(lead) => lead.line,
            Err(rejection) => rejection.line,
        };
        let line = i64::try_from(line).unwrap_or(i64::MAX);
        // An earlier run has stored it.
        if line <= file.lines_done {
            continue;
        }
        batch.rows += 1;
        batch.last_line = line;
        match row {
            Ok(lead) => take(lead, file, &mut openings, &mut batch),
            Err(rejection) => {
                match rejection.severity {
                    lead_list::Severity::Duplicate => batch.duplicates += 1,
                    _ => batch.rejected += 1,
                }
                batch.remarks.push(remark(rejection));
            }
        }
        if batch.rows as usize >= BATCH_ROWS && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
    if batch.rows > 0 {
        // Nobody listens any more: the run was cut off, and the next one reads on.
        drop(batches.blocking_send(batch));
    }
    Ok(())
}

fn take(row: LeadRow, file: &ImportFile, openings: &mut Openings, batch: &mut Batch) {
    let country = row.phone.country();
    // The lead's own, else what its number says, else the campaign's, else the account's.
    let time_zone = row
        .time_zone
        .unwrap_or_else(|| row.phone.time_zones(country).map_or_else(|| file.time_zone.clone(), ToString::to_string));
    if openings.never(&time_zone, country) {
        batch.remarks.push(Remark {
            line: i64::try_from(row.line).unwrap_or(i64::MAX),
            column: "phone".into(),
            value: time_zone.clone(),
            reason:
                "the campaign's hours never open in this time zone, or never in all of these at once, within the law's \
                     hours: the lead waits for ever unless the hours change or it is given a time_zone of its own"
                    .into(),
            severity: Severity::Warning,
        });
    }
    batch.remarks.extend(row.warnings.into_iter().map(remark));
    batch.leads.push(NewLead {
        line: i64::try_from(row.line).unwrap_or(i64::MAX),
        phone: row.phone.as_str().to_owned(),
        country: country.to_owned(),
        name: row.name,
        email: row.email,
        property_type: row.property_type,
        location: row.location,
        budget: row.budget,
        source: row.source,
        language: row.language,
        tags: row.tags,
        variables: row.variables.into_iter().map(|(name, value)| (name, Value::String(value))).collect(),
        time_zone,
        priority: 0,
        consent_basis: row.consent_basis,
        consent_at: row.consent_at,
        consent_source: row.consent_source,
    });
}

fn remark(rejection: Rejection) -> Remark {
    Remark {
        line: i64::try_from(rejection.line).unwrap_or(i64::MAX),
        column: rejection.column,
        value: rejection.value,
        reason: rejection.reason,
        severity: match rejection.severity {
            lead_list::Severity::Rejected => Severity::Rejected,
            lead_list::Severity::Duplicate => Severity::Duplicate,
            lead_list::Severity::Warning => Severity::Warning,
        },
    }
}

/// Which zones the campaign never opens in, asked once per zone and country.
struct Openings {
    hours: CampaignHours,
    now: DateTime<Utc>,
    known: HashMap<&'static str, HashMap<String, bool>>,
}

impl Openings {
    fn never(&mut self, zones: &str, country: &'static str) -> bool {
        let known = self.known.entry(country).or_default();
        if let Some(never) = known.get(zones) {
            return *never;
        }
        let never = self.hours.opening(zones, country, self.now).is_none();
        known.insert(zones.to_owned(), never);
        never
    }
}
