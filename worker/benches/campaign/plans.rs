//! The plans of the product's own statements, as the server logged them while the product ran (auto_explain): no statement
//! is written down here a second time, so none can drift from what runs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};

use crate::database::{BenchDb, LARGE_TABLE_ROWS};

/// Statements that run for every call, every tick, every half minute or every look of an operator: each by some words of
/// its own. One that is not seen while the plans are collected fails the run: then this list is out of date.
const HOT: [(&str, &str); 39] = [
    ("dispatch: lock", "for no key update skip locked\n        |from campaigns\n"),
    ("dispatch: count_live", "as \"account!\"|filter (where campaign_id = $2)"),
    ("dispatch: pick", "as \"number_busy!\"|picked as materialized"),
    ("dispatch: insert_calls", "insert into calls (account_id|reference, guards"),
    ("dispatch: next_due", "min(opens_at) from campaign_windows|min(closes_at) from campaign_windows"),
    ("dispatch: complete", "'campaign_completed'"),
    ("dispatch: let_go", "update leads l set status = $3, updated_at"),
    ("dispatch: set_aside", "with verdicts as ("),
    ("windows: zones", "with recursive zones (time_zone, country)"),
    ("dial: begin", "set status = 'dialing', dialing_at = $2"),
    ("dial: withdraw", "set status = 'canceled', withdrawn_at"),
    ("dial: record_carrier_id", "set carrier_call_id = $2|carrier_call_id is null or"),
    ("webhook: store", "insert into call_events (kind, carrier, event_key"),
    ("webhook: claim", "select data, at, carrier as"),
    ("webhook: mark_applied", "set applied_at = now(), call_id"),
    ("call: by_reference", "where reference = $1"),
    ("call: apply_status", "ringing_at = case when $2"),
    ("settle: claim", "update calls set settled_at = $2"),
    ("settle: lock_lead", "for no key update of l|call_unknown"),
    ("settle: release", "callbacks_granted = case when $7"),
    ("event: record", "coalesce($3, (select lead_id from calls"),
    ("sweep: ensure", "select wanted.key as"),
    ("sweep: overdue_reservations", "where status = 'queued' and lease_until < now()"),
    ("sweep: silent_calls", "s.heartbeat_at > now()"),
    ("sweep: unsettled_calls", "order by ended_at|settled_at is null and withdrawn_at is null"),
    ("sweep: pending_summaries", "where summary_status = 'pending' order by"),
    ("sweep: pending_recordings", "from recordings where status = 'pending'"),
    ("sweep: unnamed_recordings", "from recordings r where r.call_id = c.id|g.record"),
    ("sweep: unapplied_webhooks", "received_at between now()"),
    ("sweep: free_stranded_leads", "set status = 'waiting_retry', next_at = $1"),
    ("queue: claim", "picked as (\n            select due.id"),
    ("queue: settle", "took_secs|settled as ("),
    ("queue: nudge", "nudged as (\n            insert"),
    ("leads: a page", "strpos(lower(concat_ws(|offset $7 limit $8"),
    ("calls: a page", "left join recordings r on r.call_id = c.id|offset $6 limit $7"),
    ("campaign: counts", "from leads where campaign_id = any($1) group by"),
    ("analytics: calls", "as \"leads_reached!\""),
    ("analytics: shares", "group by grouping sets"),
    ("analytics: dispositions", "disposition is not null\n        group by 1"),
];

/// One execution of a statement.
#[derive(Clone, Debug)]
pub struct Plan {
    pub text: String,
    pub ms: f64,
    pub blocks: i64,
    /// How each table was reached: `leads by leads_due`, `calls by seq scan`.
    pub paths: Vec<String>,
    /// Large tables that were read from end to end.
    pub large_scans: Vec<String>,
    json: Value,
}

pub struct Collected {
    /// The latest execution of each statement.
    pub by_text: BTreeMap<String, Plan>,
    pub executions: usize,
}

/// From here on every new connection's statements are explained.
pub async fn begin(db: &BenchDb) -> anyhow::Result<i64> {
    let settings = [
        ("session_preload_libraries", "'auto_explain'"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_buffers", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_nested_statements", "on"),
        ("auto_explain.log_format", "'json'"),
    ];
    for (name, value) in settings {
        query(AssertSqlSafe(format!("alter role trunkline in database {} set {name} = {value}", db.name)))
            .execute(&db.observer)
            .await?;
    }
    log_bytes(db).await
}

/// Reads what the server has logged behind `from`, and explains nothing more.
pub async fn end(db: &BenchDb, from: i64) -> anyhow::Result<Collected> {
    query(AssertSqlSafe(format!("alter role trunkline in database {} reset all", db.name)))
        .execute(&db.observer)
        .await?;
    let large: Vec<(String,)> = query_as("select relname from pg_class where relkind = 'r' and reltuples > $1")
        .bind(LARGE_TABLE_ROWS)
        .fetch_all(&db.observer)
        .await?;
    let large: Vec<String> = large.into_iter().map(|(name,)| name).collect();
    let (until, path) = (log_bytes(db).await?, log_path(db).await?);
    let mut log = Vec::new();
    // The server hands out a gigabyte at most; a tenth of it is gentler.
    const PIECE: i64 = 100_000_000;
    for offset in (from..until).step_by(PIECE as usize) {
        let piece: Vec<u8> = query_scalar("select pg_read_binary_file($1, $2, $3)")
            .bind(&path)
            .bind(offset)
            .bind(PIECE.min(until - offset))
            .fetch_one(&db.observer)
            .await?;
        log.extend(piece);
    }
    let mut collected = Collected { by_text: BTreeMap::new(), executions: 0 };
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&log[..]);
    for row in rows.byte_records() {
        let row = row.context("the server's log is no CSV")?;
        // Columns of the server's CSV log: 2 is the user, 3 the database, 14 the message.
        let column = |number: usize| row.get(number - 1).map(String::from_utf8_lossy).unwrap_or_default();
        if column(3) != db.name.as_str() || column(2) != "trunkline" {
            continue;
        }
        let message = column(14);
        let Some((head, json)) = message.split_once("plan:\n") else { continue };
        let plan = read(head, json, &large)?;
        collected.executions += 1;
        // A scan that happened once is not forgiven for a later execution that went better.
        let slot = collected.by_text.entry(plan.text.clone());
        let scanned =
            matches!(&slot, std::collections::btree_map::Entry::Occupied(known) if !known.get().large_scans.is_empty());
        if !scanned {
            slot.insert_entry(plan);
        }
    }
    Ok(collected)
}

async fn log_path(db: &BenchDb) -> anyhow::Result<String> {
    query_scalar("select pg_current_logfile('csvlog')")
        .fetch_one(&db.observer)
        .await
        .context("the server writes no CSV log")
}

async fn log_bytes(db: &BenchDb) -> anyhow::Result<i64> {
    let path = log_path(db).await?;
    Ok(query_scalar("select size from pg_stat_file($1)").bind(path).fetch_one(&db.observer).await?)
}

fn read(head: &str, json: &str, large: &[String]) -> anyhow::Result<Plan> {
    let json: Value = serde_json::from_str(json).context("a plan is no JSON")?;
    let text = json["Query Text"].as_str().unwrap_or_default().to_owned();
    let ms = head.split_whitespace().nth(1).and_then(|ms| ms.parse().ok()).unwrap_or_default();
    let top = &json["Plan"];
    let blocks = ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|kind| top[*kind].as_i64()).sum();
    let mut plan = Plan { text, ms, blocks, paths: Vec::new(), large_scans: Vec::new(), json: Value::Null };
    walk(top, large, &mut plan);
    plan.json = json;
    Ok(plan)
}

fn walk(node: &Value, large: &[String], plan: &mut Plan) {
    let (kind, table) = (node["Node Type"].as_str().unwrap_or_default(), node["Relation Name"].as_str());
    if let (true, Some(table)) = (kind.ends_with("Scan"), table) {
        // A branch that was planned and never run has read nothing.
        let ran = node["Actual Loops"].as_f64().unwrap_or_default() > 0.0;
        let by = match node["Index Name"].as_str() {
            Some(index) if kind.starts_with("Index Only") => format!("{index} alone"),
            Some(index) => index.to_owned(),
            None => kind.to_lowercase(),
        };
        let path = format!("{table} by {by}");
        if ran && !plan.paths.contains(&path) {
            plan.paths.push(path);
        }
        if ran && kind == "Seq Scan" && large.iter().any(|name| name == table) {
            plan.large_scans.push(table.to_owned());
        }
    }
    if kind == "Bitmap Index Scan"
        && let Some(index) = node["Index Name"].as_str()
    {
        plan.paths.push(format!("bitmap of {index}"));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, large, plan);
    }
}

impl Collected {
    /// Prints each hot statement's plan in a line, and answers what is wrong with them.
    pub fn report(&self, keep: Option<&Path>) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        println!(
            "plans of {} executions of {} statements: the latest of each hot one{:>31}{:>9}",
            self.executions,
            self.by_text.len(),
            "ms",
            "pages"
        );
        for (name, words) in HOT {
            let mut found = false;
            for plan in self.by_text.values().filter(|plan| words.split('|').all(|words| plan.text.contains(words))) {
                found = true;
                println!("  {name:<30}{:>72.2}{:>9}   {}", plan.ms, plan.blocks, plan.paths.join(", "));
                if let Some(directory) = keep {
                    std::fs::create_dir_all(directory)?;
                    let file = directory.join(format!("{}.json", name.replace([':', ' '], "_")));
                    std::fs::write(file, serde_json::to_string_pretty(&plan.json)?)?;
                }
            }
            if !found {
                faults.push(format!("{name}: no such statement ran while the plans were collected"));
            }
        }
        for plan in self.by_text.values().filter(|plan| !plan.large_scans.is_empty()) {
            let words: Vec<&str> = plan.text.split_whitespace().take(14).collect();
            faults.push(format!("{} read from end to end by: {} …", plan.large_scans.join(", "), words.join(" ")));
        }
        println!();
        Ok(faults)
    }
}
