//! The product in an operator's verbs.

use std::net::TcpListener;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use sandbox::settings::Settings;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool};

use super::eventually;
use super::process::Process;

/// A Monday, 11:00 in India; a minute of domain time passes in each second.
const CLOCK_START: &str = "2026-11-23T05:30:00Z";
const CLOCK_SPEED: &str = "60";

pub struct TestApp {
    pub db: PgPool,
    pub api_url: String,
    pub media_port: u16,
    pub world: sandbox::Running,
    pub client: Client,
    pub logs: tempfile::TempDir,
    pub api: Process,
    pub worker: Process,
    pub media: Process,
    environment: Vec<(String, String)>,
    database: String,
}

/// One row of an uploaded list.
#[derive(Clone, Copy)]
pub struct Lead {
    pub name: &'static str,
    pub phone: &'static str,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(Settings::default(), &[]).await
    }

    /// `extra` overrides the processes' environment.
    pub async fn start_with(settings: Settings, extra: &[(&str, &str)]) -> Self {
        let (database, database_url) = fresh_database().await;
        let db = PgPoolOptions::new().max_connections(4).connect(&database_url).await.unwrap();
        shared::db::migrate(&db).await.unwrap();

        let [api_port, media_port, metrics_port] = free_ports();
        let api_url = format!("http://127.0.0.1:{api_port}");
        let world = sandbox::serve(Settings {
            port: 0,
            voicebot_url: Some(format!("ws://127.0.0.1:{media_port}/media")),
            passthru_url: Some(format!("{api_url}/passthru-handler?secret=story-secret")),
            requests_per_minute: 2_000,
            ..settings
        })
        .await
        .unwrap();
        let address = world.addr;
        let logs = tempfile::tempdir().unwrap();
        let mut environment: Vec<(String, String)> = [
            ("DATABASE_URL", database_url.as_str()),
            ("HOST", "127.0.0.1"),
            ("PORT", &api_port.to_string()),
            ("MEDIA_PORT", &media_port.to_string()),
            ("METRICS_PORT", &metrics_port.to_string()),
            ("OUR_BASE_URL", &api_url),
            ("AUTH", "open"),
            ("CALLBACK_SECRET", "story-secret"),
            ("LOG_LEVEL", "info"),
            ("RECORDINGS_DIR", &logs.path().join("recordings").to_string_lossy()),
            ("EXOTEL_API_BASE_URL", &format!("http://{address}")),
            ("EXOTEL_ACCOUNT_SID", "sandbox1"),
            ("EXOTEL_API_KEY", "sandbox-key"),
            ("EXOTEL_API_TOKEN", "sandbox-token"),
            ("EXOTEL_VIRTUAL_NUMBER", "08047112233"),
            ("EXOTEL_EXOPHLO_ID", "1001"),
            ("DEEPGRAM_URL", &format!("ws://{address}")),
            ("DEEPGRAM_API_KEY", "sandbox-key"),
            ("OPENAI_BASE_URL", &format!("http://{address}/v1")),
            ("OPENAI_API_KEY", "sandbox-key"),
            ("LLM_MODEL", "gpt-6-luna"),
            ("ELEVENLABS_URL", &format!("http://{address}")),
            ("ELEVENLABS_API_KEY", "sandbox-key"),
            ("ELEVENLABS_VOICE_ID", "sandbox-voice"),
            ("CARRIER_TIMEOUT_SECS", "2"),
            ("RECONCILE_HORIZON_SECS", "5"),
            ("CLOCK_START", CLOCK_START),
            ("CLOCK_SPEED", CLOCK_SPEED),
            ("CLOCK_EPOCH", &shared::clock::wall().to_rfc3339()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in extra {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        let app = Self {
            db,
            api_url,
            media_port,
            world,
            client: Client::new(),
            api: Process::start("api", &["serve"], &environment, logs.path()),
            worker: Process::start("worker", &[], &environment, logs.path()),
            media: Process::start("media", &[], &environment, logs.path()),
            logs,
            environment,
            database,
        };
        for url in
            [app.api_url.clone(), format!("http://127.0.0.1:{media_port}"), format!("http://127.0.0.1:{metrics_port}")]
        {
            eventually(Duration::from_secs(30), || async {
                match app.client.get(format!("{url}/ready")).send().await {
                    Ok(answer) if answer.status().is_success() => Ok(()),
                    Ok(answer) => Err(format!("{url}/ready: {}", answer.status())),
                    Err(error) => {
                        Err(format!("{url}/ready: {error}\n{}{}{}", app.api.log(), app.worker.log(), app.media.log()))
                    }
                }
            })
            .await;
        }
        app
    }

    pub fn restart_worker(&mut self) {
        self.worker = Process::start("worker", &[], &self.environment, self.logs.path());
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.api_url)).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.client.post(format!("{}{path}", self.api_url)).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Creates a campaign that retries after minutes instead of hours; `settings` overrides.
    pub async fn create_campaign(&self, settings: Value) -> i64 {
        let mut body = json!({
            "name": "Story",
            "retry_policy": {"no_answer_minutes": 3, "busy_minutes": 3, "failed_minutes": 3, "voicemail_minutes": 3, "disconnected_minutes": 3}
        });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let (status, campaign) = self.post("/campaigns", body).await;
        assert!(status.is_success(), "{status} {campaign}");
        campaign["id"].as_i64().unwrap()
    }

    pub async fn upload(&self, campaign: i64, leads: &[Lead]) -> Value {
        let mut csv = String::from("name,phone,location\n");
        for lead in leads {
            csv.push_str(&format!("{},{},Whitefield\n", lead.name, lead.phone));
        }
        self.upload_file(campaign, "leads.csv", csv.into_bytes()).await.1
    }

    pub async fn upload_file(&self, campaign: i64, name: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned()));
        let url = format!("{}/campaigns/{campaign}/upload-csv", self.api_url);
        let answer = self.client.post(url).multipart(form).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    pub async fn start_campaign(&self, campaign: i64) {
        let (status, answer) = self.post(&format!("/campaigns/{campaign}/start"), json!({})).await;
        assert!(status.is_success(), "{status} {answer}");
    }

    /// Waits until every lead is in its final state.
    pub async fn campaign_completes(&self, campaign: i64, bound: Duration) -> Value {
        eventually(bound, || async {
            let seen = self.get(&format!("/campaigns/{campaign}")).await;
            if seen["status"] == "completed" { Ok(seen) } else { Err(seen.to_string()) }
        })
        .await
    }

    /// What callee `phone` (E.164) does when rung.
    pub async fn script(&self, phone: &str, script: Value) {
        let url = format!("http://{}/__sandbox/scripts/{phone}", self.world.addr);
        let answer = self.client.put(url).json(&script).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    pub async fn fault(&self, fault: Value) {
        let url = format!("http://{}/__sandbox/faults", self.world.addr);
        let answer = self.client.post(url).json(&fault).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// The carrier's own truth: every call it placed.
    pub async fn carrier_calls(&self) -> Vec<Value> {
        let url = format!("http://{}/__sandbox/calls", self.world.addr);
        let calls: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        calls.as_array().or_else(|| calls["calls"].as_array()).cloned().unwrap_or_default()
    }

    /// Ends the three processes as a platform does, and holds what must hold after every story: exit 0, no number or name in a
    /// log, no job left that could still do something.
    pub async fn finish(mut self) {
        let dead: Vec<(String, Option<Value>)> =
            sqlx::query_as("select job_type, last_result from apalis.jobs where status in ('Killed', 'Failed')")
                .fetch_all(&self.db)
                .await
                .unwrap();
        assert!(dead.is_empty(), "failed jobs are left: {dead:?}");
        let phones: Vec<(String, Option<String>)> =
            sqlx::query_as("select phone, name from leads").fetch_all(&self.db).await.unwrap();
        for process in [&mut self.worker, &mut self.media, &mut self.api] {
            process.stop().await.unwrap();
            let log = process.log();
            for (phone, name) in &phones {
                let national = &phone[phone.len().saturating_sub(10)..];
                assert!(!log.contains(national), "the log of {} holds a phone number", process.name);
                if let Some(name) = name {
                    assert!(!log.contains(name.as_str()), "the log of {} holds a name", process.name);
                }
            }
        }
        self.db.close().await;
        drop_database(&self.database).await;
    }
}

async fn superuser() -> sqlx::PgConnection {
    let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a cluster; bin/test starts one");
    sqlx::PgConnection::connect_with(&PgConnectOptions::from_str(&url).unwrap()).await.unwrap()
}

/// A database of its own for this test, owned by the role `trunkline`, which is no superuser.
async fn fresh_database() -> (String, String) {
    let name = format!("story_{}_{}", std::process::id(), shared::clock::wall().timestamp_micros());
    let mut connection = superuser().await;
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name} owner trunkline")))
        .execute(&mut connection)
        .await
        .unwrap();
    let url = std::env::var("TEST_DATABASE_URL").unwrap().replacen("postgres:", "trunkline:", 2).replacen(
        "trunkline://",
        "postgres://",
        1,
    );
    let (server, _) = url.rsplit_once('/').unwrap();
    (name.clone(), format!("{server}/{name}"))
}

async fn drop_database(name: &str) {
    let mut connection = superuser().await;
    sqlx::query(sqlx::AssertSqlSafe(format!("drop database if exists {name} with (force)")))
        .execute(&mut connection)
        .await
        .unwrap();
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
