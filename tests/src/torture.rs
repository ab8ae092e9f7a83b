//! The torture run: a campaign that is called to its end while its processes are killed, its database crashes and stalls, and
//! its carrier and providers misbehave; then everything settles, and the carrier's own log is held against every promise.
//!
//! The same seed does the same things in the same order; what they meet depends on the moment, as in life.

mod evidence;
mod judge;
mod operator;
mod people;
mod violence;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sandbox::settings::Settings as SandboxSettings;
use serde_json::json;
use shared::clock::wall;

use self::evidence::{DomainClock, Evidence};
use self::judge::{Rule, Terms, judge, table};
use self::operator::Operator;
use self::violence::Tally;
use crate::harness::{Setup, TestApp, binaries};

/// A Monday, 10:00 in India; a minute of domain time passes in each second.
const CLOCK_START: &str = "2026-11-23T04:30:00Z";
const CLOCK_SPEED: i32 = 60;
/// When people may be called: four stretches with half an hour between them, by their own clocks.
const HOURS: [(u32, u32); 4] =
    [(10 * 60, 12 * 60), (12 * 60 + 30, 15 * 60), (15 * 60 + 30, 18 * 60), (18 * 60 + 30, 21 * 60)];
/// Campaigns end so long (wall clock) after the violence.
const STILL_CALLED: TimeDelta = TimeDelta::seconds(100);
const ACCOUNT_CAP: usize = 40;
const CALLS_PER_SECOND: f64 = 20.0;
const MIN_GAP_MINUTES: i32 = 10;
const MAX_CALLS_PER_NUMBER_PER_DAY: i32 = 4;

pub struct Settings {
    pub leads: usize,
    /// How long everything is broken again and again.
    pub violence: Duration,
    /// How long it may take afterwards until nothing is left to do.
    pub settling: Duration,
    pub seed: u64,
    /// Where the product's programs are.
    pub binaries: PathBuf,
    /// Crashes the database's server and starts it again; without it the server is left alone.
    pub restart_postgres: Option<PathBuf>,
    /// Logs are kept there for whoever wants to know why.
    pub keep_logs: Option<PathBuf>,
}

impl Settings {
    pub fn new(leads: usize, violence: Duration, seed: u64) -> Self {
        Self {
            leads,
            violence,
            settling: Duration::from_secs(25 * 60),
            seed,
            binaries: binaries(),
            restart_postgres: None,
            keep_logs: None,
        }
    }
}

/// What became of it.
pub struct Report {
    rules: Vec<Rule>,
    text: String,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.rules.iter().all(|rule| rule.breaches.is_empty())
    }

    /// Figures, the table of the rules, and every breach.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Runs it, and ends the processes. `progress` hears a line every few seconds.
pub async fn run(settings: Settings, progress: impl Fn(String) + Send + 'static) -> Report {
    let people = people::crowd(settings.leads, settings.seed);
    let epoch = wall();
    let clock = DomainClock { epoch, start: CLOCK_START.parse().expect("it is a time"), speed: CLOCK_SPEED };
    let mut app = TestApp::start_as(Setup {
        sandbox: SandboxSettings {
            rate: 10.0,
            requests_per_minute: 100_000,
            tones: true,
            details_delay_ms: 10_000,
            ..SandboxSettings::default()
        },
        workers: 2,
        medias: 2,
        recordings_in_s3: false,
        environment: &[
            ("CLOCK_START", CLOCK_START),
            ("CLOCK_SPEED", &CLOCK_SPEED.to_string()),
            ("CLOCK_EPOCH", &epoch.to_rfc3339()),
            ("EXOTEL_CALLS_PER_SECOND", &CALLS_PER_SECOND.to_string()),
            // So short that leases also expire while their worker lives, cut off from its database.
            ("JOB_LEASE_SECS", "6"),
            // No longer than the carrier takes at its slowest, so that phones do not ring on in silence.
            ("MAX_CALL_DURATION_MINUTES", "2"),
        ],
        binaries: settings.binaries.clone(),
    })
    .await;
    // Who could not be reached by then (a number at its daily cap, say) is not called any more.
    let ends_at = clock.at(epoch + TimeDelta::from_std(settings.violence).expect("minutes") + STILL_CALLED);
    let campaigns = prepare(&app, &people, ends_at).await;
    let terms = Terms {
        clock,
        hours: HOURS.into(),
        campaign_cap: campaigns.iter().map(|campaign| (campaign.id, campaign.cap)).collect(),
        account_cap: ACCOUNT_CAP,
        calls_per_second: CALLS_PER_SECOND,
        min_gap: TimeDelta::minutes(i64::from(MIN_GAP_MINUTES)),
        max_calls_per_number_per_day: MAX_CALLS_PER_NUMBER_PER_DAY as usize,
    };
    let ids: Vec<i64> = campaigns.iter().map(|campaign| campaign.id).collect();
    let operator = Operator::new(&app.api_url);
    for &id in &ids {
        assert!(operator.start(id).await, "campaign {id} does not start");
    }
    progress(format!("{} leads in {} campaigns; violence for {:?}", people.len(), ids.len(), settings.violence));

    let dice = |stream: u64| StdRng::seed_from_u64(settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream);
    let phones: Vec<String> = people.iter().map(|person| person.phone.clone()).collect();
    let spoiling = tokio::spawn(violence::spoil_the_world(app.world.world.clone(), dice(1), settings.violence));
    let working = tokio::spawn({
        let (operator, ids, dice, day) = (operator.clone(), ids.clone(), dice(2), settings.violence);
        async move { operator.work(&ids, &phones, dice, day).await }
    });
    let telling = watch(&app, progress);
    let mut tally =
        violence::break_processes(&mut app, dice(3), settings.violence, settings.restart_postgres.as_deref()).await;
    tally.extend(spoiling.await.expect("faults can always be armed"));
    working.await.expect("the operator never gives up");

    let settled = settle(&app, &operator, &ids, settings.settling).await;
    telling.abort();
    let evidence = Evidence::gather(&app.db, &app.world.world, &people).await.unwrap();
    let mut rules = judge(&evidence, &operator.journal(), &terms);
    rules.push(Rule {
        name: "everything comes to its end",
        looked_at: ids.len(),
        breaches: settled.err().into_iter().collect(),
    });
    let mut failures = Vec::new();
    for process in app.processes_mut() {
        failures.extend(process.stop().await.err());
    }
    rules.push(Rule { name: "every process leaves with status 0 on SIGTERM", looked_at: 5, breaches: failures });
    let text = describe(&settings, &tally, &evidence, &operator, &rules, epoch);
    if let Some(kept) = &settings.keep_logs {
        std::fs::create_dir_all(kept).unwrap();
        for process in app.processes() {
            std::fs::write(kept.join(format!("{}.log", process.name)), process.log()).unwrap();
        }
    }
    app.discard().await;
    Report { rules, text }
}

struct Campaign {
    id: i64,
    cap: usize,
}

/// Three campaigns: one that is left to run, one that is paused again and again, and one that is stopped; some numbers are in
/// the first two.
async fn prepare(app: &TestApp, people: &[people::Person], ends_at: DateTime<Utc>) -> Vec<Campaign> {
    sqlx::query(
        "update accounts set calls_per_second = $1, max_concurrent_calls = $2, min_gap_minutes = $3, max_calls_per_number_per_day = $4",
    )
    .bind(CALLS_PER_SECOND)
    .bind(ACCOUNT_CAP as i32)
    .bind(MIN_GAP_MINUTES)
    .bind(MAX_CALLS_PER_NUMBER_PER_DAY)
    .execute(&app.db)
    .await
    .unwrap();
    for person in people {
        app.script(&person.phone, person.script()).await;
    }
    let ranges: Vec<[String; 2]> = HOURS
        .iter()
        .map(|&(start, end)| [start, end].map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60)))
        .collect();
    let hours: serde_json::Map<String, serde_json::Value> =
        ["mon", "tue", "wed", "thu", "fri", "sat"].into_iter().map(|day| (day.to_owned(), json!(ranges))).collect();
    let count = people.len();
    let shares = [(0..count * 6 / 10, 24), (count * 5 / 10..count * 9 / 10, 12), (count * 9 / 10..count, 6)];
    let mut campaigns = Vec::new();
    for (share, cap) in shares {
        let id = app
            .create_campaign(json!({
                "name": "Torture", "calling_hours": hours, "max_concurrent_calls": cap, "max_attempts_per_lead": 3, "ends_at": ends_at,
                "retry_policy": {"no_answer_minutes": 20, "busy_minutes": 15, "failed_minutes": 15,
                    "voicemail_minutes": 30, "disconnected_minutes": 20},
            }))
            .await;
        let people: Vec<&people::Person> = people[share].iter().collect();
        app.upload_file(id, "leads.csv", people::list(&people)).await;
        campaigns.push(Campaign { id, cap });
    }
    campaigns
}

/// Waits until every campaign is over and no job has anything left to do.
async fn settle(app: &TestApp, operator: &Operator, campaigns: &[i64], bound: Duration) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + bound;
    let mut over = false;
    loop {
        if !over {
            over = true;
            for &campaign in campaigns {
                over &= operator.look_after(campaign).await;
            }
        }
        // Summaries and recordings trickle in behind the last call.
        let left: Result<(i64, i64), sqlx::Error> = sqlx::query_as(
            r#"
            select (select count(*) from calls where settled_at is null and withdrawn_at is null),
                (select count(*) from conversations where summary_status = 'pending')
            "#,
        )
        .fetch_one(&app.db)
        .await;
        let (calls, summaries) = left.unwrap_or((-1, -1));
        let recordings = missing_recordings(app).await;
        if over && (calls, summaries, recordings) == (0, 0, 0) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!(
                "after {bound:?}: campaigns over: {over}; left: {calls} calls, {summaries} summaries, {recordings} recordings"
            ));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Recordings that the carrier has and we do not, yet.
async fn missing_recordings(app: &TestApp) -> usize {
    let stored: Vec<(Option<String>,)> = sqlx::query_as(
        "select c.carrier_call_id from recordings r join calls c on c.id = r.call_id where r.status = 'stored'",
    )
    .fetch_all(&app.db)
    .await
    .unwrap_or_default();
    let stored: std::collections::HashSet<String> = stored.into_iter().filter_map(|(sid,)| sid).collect();
    let has = |call: &sandbox::exotel::Call| matches!(call.truth().recording, sandbox::exotel::Recording::Due { .. });
    app.world.world.exotel.calls().iter().filter(|call| has(call) && !stored.contains(&call.sid)).count()
}

/// Says every few seconds how far it is, from the carrier's own account.
fn watch(app: &TestApp, progress: impl Fn(String) + Send + 'static) -> tokio::task::JoinHandle<()> {
    let (world, db) = (app.world.world.clone(), app.db.clone());
    tokio::spawn(async move {
        let began = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let calls = world.exotel.calls();
            let live = calls.iter().filter(|call| call.truth().ended_at.is_none()).count();
            let open: Option<i64> = sqlx::query_scalar(
                "select count(*) from leads where status in ('pending', 'dialing', 'in_call', 'waiting_retry', 'callback_scheduled')",
            )
            .fetch_one(&db)
            .await
            .ok();
            let open = open.map_or("?".to_owned(), |open| open.to_string());
            progress(format!(
                "{:>5.0} s  {} calls placed, {live} live, {open} leads open",
                began.elapsed().as_secs_f64(),
                calls.len()
            ));
        }
    })
}

fn describe(
    settings: &Settings,
    tally: &Tally,
    evidence: &Evidence,
    operator: &Operator,
    rules: &[Rule],
    epoch: DateTime<Utc>,
) -> String {
    let mut text = String::new();
    let journal = operator.journal();
    let _ = writeln!(
        text,
        "seed {}: {} leads, {:.0} s of violence, {} s in all",
        settings.seed,
        settings.leads,
        settings.violence.as_secs_f64(),
        (wall() - epoch).num_seconds()
    );
    let _ = writeln!(
        text,
        "{} requests to the carrier, {} calls placed; {} pauses, {} stops, {} numbers put on the do-not-call list",
        evidence.requests.len(),
        evidence.placed.len(),
        journal.pauses.len(),
        journal.stops.len(),
        journal.do_not_call.len(),
    );
    let counted = |items: &mut dyn Iterator<Item = String>| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for item in items {
            *counts.entry(item).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{what} ×{count}")).collect();
        counts.sort();
        counts.join(", ")
    };
    let leads = counted(&mut evidence.leads.iter().map(|lead| {
        let why = lead.suppression_reason.as_ref().or(lead.disposition.as_ref());
        let manner = evidence.person(&lead.phone).map(|person| person.manner);
        let why = why.map_or(String::new(), |why| format!(" ({why})"));
        format!("{} {}{why}", manner.map_or(String::new(), |manner| format!("{manner:?}")), lead.status)
    }));
    let calls = counted(&mut evidence.calls.iter().map(|call| match &call.failure_reason {
        Some(reason) => format!("{} ({reason})", if call.withdrawn { "withdrawn" } else { &call.status }),
        None => call.status.clone(),
    }));
    let itself = counted(&mut journal.resumed.iter().map(|(_, reason)| reason.clone()));
    let _ = writeln!(text, "leads: {leads}\ncalls: {calls}\npaused by itself and resumed: {itself}");
    let done: Vec<String> = tally.iter().map(|(what, times)| format!("{what} ×{times}")).collect();
    let _ = writeln!(text, "done to it: {}\n", done.join(", "));
    text.push_str(&table(rules));
    text
}
