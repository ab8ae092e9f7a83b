//! The product in an operator's verbs.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use sandbox::log::{Entry, Filter};
use sandbox::settings::Settings;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::database::Database;
use super::eventually;
use super::process::{Process, binaries};
use super::relay::Relay;

/// A Monday, 11:00 in India; a minute of domain time passes in each second.
const CLOCK_START: &str = "2026-11-23T05:30:00Z";
const CLOCK_SPEED: &str = "60";

/// The whole product, with the outside world in this process.
pub struct TestApp {
    /// Straight to the database, past its relay.
    pub db: PgPool,
    pub api_url: String,
    /// Where the first `media` process listens; the carrier's streams come through [`TestApp::streams`].
    pub media_port: u16,
    pub world: sandbox::Running,
    pub client: Client,
    pub logs: tempfile::TempDir,
    pub api: Process,
    pub workers: Vec<Process>,
    pub medias: Vec<Process>,
    /// The load balancer before the `media` processes.
    pub streams: Relay,
    /// The network between the processes and their database.
    pub wire: Relay,
    database: Database,
}

/// What is started, and how it differs from the usual.
pub struct Setup<'a> {
    pub sandbox: Settings,
    pub workers: usize,
    pub medias: usize,
    /// Overrides of the processes' environment.
    pub environment: &'a [(&'a str, &'a str)],
    /// In the sandbox's object store, not in a directory.
    pub recordings_in_s3: bool,
    /// Where the programs are.
    pub binaries: PathBuf,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            sandbox: Settings::default(),
            workers: 1,
            medias: 1,
            environment: &[],
            recordings_in_s3: false,
            binaries: binaries(),
        }
    }
}

/// One row of an uploaded list.
#[derive(Clone, Copy)]
pub struct Lead {
    pub name: &'static str,
    pub phone: &'static str,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_as(Setup::default()).await
    }

    /// `extra` overrides the processes' environment.
    pub async fn start_with(sandbox: Settings, extra: &[(&str, &str)]) -> Self {
        Self::start_as(Setup { sandbox, environment: extra, ..Setup::default() }).await
    }

    pub async fn start_as(setup: Setup<'_>) -> Self {
        let database = Database::fresh().await;
        let db = PgPoolOptions::new().max_connections(4).connect(database.url.as_str()).await.unwrap();
        shared::db::migrate(&db).await.unwrap();
        let wire = Relay::start(vec![database.address()]).await;

        let api_port = free_port();
        let api_url = format!("http://127.0.0.1:{api_port}");
        let media_ports: Vec<u16> = (0..setup.medias).map(|_| free_port()).collect();
        let metrics_ports: Vec<u16> = (0..setup.workers).map(|_| free_port()).collect();
        let streams =
            Relay::start(media_ports.iter().map(|&port| SocketAddr::from(([127, 0, 0, 1], port))).collect()).await;
        let world = sandbox::serve(Settings {
            port: 0,
            voicebot_url: Some(format!("ws://{}/media", streams.address)),
            passthru_url: Some(format!("{api_url}/passthru-handler?secret=story-secret")),
            connect_url: Some(format!("{api_url}/connect-handler?secret=story-secret")),
            after_connect_url: Some(format!("{api_url}/dial-handler?secret=story-secret")),
            requests_per_minute: setup.sandbox.requests_per_minute.max(2_000),
            ..setup.sandbox
        })
        .await
        .unwrap();
        let logs = tempfile::tempdir().unwrap();
        let mut environment = environment(&database.through(wire.address), &api_url, &world, &logs, &streams);
        if setup.recordings_in_s3 {
            for (name, value) in object_store(&world) {
                set(&mut environment, name, &value);
            }
        }
        for (name, value) in setup.environment {
            set(&mut environment, name, value);
        }
        let start = |program: &str, name: &str, arguments: &[&str], own: &[(&str, u16)]| {
            let mut environment = environment.clone();
            for (variable, port) in own {
                set(&mut environment, variable, &port.to_string());
            }
            Process::start(&setup.binaries, program, name, arguments, environment, logs.path())
        };
        let numbered = |program: &str, index: usize| match index {
            0 => program.to_owned(),
            _ => format!("{program}-{}", index + 1),
        };
        let several = |program: &str, ports: &[u16], variable: &str| -> Vec<Process> {
            let each = |(index, &port)| start(program, &numbered(program, index), &[], &[(variable, port)]);
            ports.iter().enumerate().map(each).collect()
        };
        let app = Self {
            db,
            api: start("api", "api", &["serve"], &[("PORT", api_port)]),
            workers: several("worker", &metrics_ports, "METRICS_PORT"),
            medias: several("media", &media_ports, "MEDIA_PORT"),
            api_url,
            media_port: media_ports[0],
            world,
            client: Client::new(),
            streams,
            wire,
            logs,
            database,
        };
        app.is_ready(app.api_url.clone()).await;
        for port in media_ports.iter().chain(&metrics_ports) {
            app.is_ready(format!("http://127.0.0.1:{port}")).await;
        }
        app
    }

    async fn is_ready(&self, url: String) {
        eventually(Duration::from_secs(30), || async {
            match self.client.get(format!("{url}/ready")).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(format!("{url}/ready: {}", answer.status())),
                Err(error) => {
                    Err(format!("{url}/ready: {error}\n{}", self.processes().map(Process::log).collect::<String>()))
                }
            }
        })
        .await;
    }

    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.api).chain(&self.workers).chain(&self.medias)
    }

    /// In the order in which they are best stopped.
    pub fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.workers.iter_mut().chain(&mut self.medias).chain([&mut self.api])
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

    /// Whom the account's calls are placed with from now on.
    pub async fn choose_carrier(&self, carrier: &str) {
        let url = format!("{}/account", self.api_url);
        let answer = self.client.patch(url).json(&json!({"carrier": carrier})).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
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

    /// What the outside world saw of one kind, of all its services or of one: entries with `seq`, `at` and `data`.
    pub fn logged(&self, service: Option<&str>, kind: &str) -> Vec<Entry> {
        let filter = Filter { service: service.map(str::to_owned), kind: Some(kind.into()), ..Filter::default() };
        self.world.world.log.entries(&filter)
    }

    /// The campaign's calls with their transcripts and histories, in the order in which they were made.
    pub async fn calls(&self, campaign: i64) -> Vec<Value> {
        let list = self.get(&format!("/calls?campaign_id={campaign}&limit=100")).await;
        let mut calls = Vec::new();
        for call in list["calls"].as_array().unwrap() {
            calls.push(self.get(&format!("/calls/{}", call["id"])).await);
        }
        calls.sort_by_key(|call| call["id"].as_i64());
        calls
    }

    /// The campaign's one call.
    pub async fn only_call(&self, campaign: i64) -> Value {
        let mut calls = self.calls(campaign).await;
        assert_eq!(calls.len(), 1, "one call");
        calls.remove(0)
    }

    /// Which of the media processes holds the one stream.
    pub async fn holder(&self) -> usize {
        let instance: String =
            sqlx::query_scalar("select media_instance from streams").fetch_one(&self.db).await.unwrap();
        let holds = |media: &Process| media.log().contains(&format!("\"{instance}\""));
        self.medias.iter().position(holds).unwrap_or_else(|| panic!("{instance} is none of ours"))
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
        for process in self.processes_mut() {
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
        self.discard().await;
    }

    /// Lets the database go, without a look at anything.
    pub async fn discard(self) {
        self.db.close().await;
        self.database.drop_it().await;
    }
}

/// What every process reads: the outside world is only base URLs and keys.
fn environment(
    database_url: &url::Url,
    api_url: &str,
    world: &sandbox::Running,
    logs: &tempfile::TempDir,
    streams: &Relay,
) -> Vec<(String, String)> {
    let address = world.addr;
    [
        ("DATABASE_URL", database_url.as_str()),
        ("HOST", "127.0.0.1"),
        ("OUR_BASE_URL", api_url),
        ("AUTH", "open"),
        ("CALLBACK_SECRET", "story-secret"),
        ("LOG_LEVEL", "info"),
        ("RECORDINGS_DIR", &logs.path().join("recordings").to_string_lossy()),
        ("SPOOL_DIR", &logs.path().join("spool").to_string_lossy()),
        ("EXOTEL_API_BASE_URL", &format!("http://{address}")),
        ("EXOTEL_ACCOUNT_SID", "sandbox1"),
        ("EXOTEL_API_KEY", "sandbox-key"),
        ("EXOTEL_API_TOKEN", "sandbox-token"),
        ("EXOTEL_VIRTUAL_NUMBER", "08047112233"),
        ("EXOTEL_EXOPHLO_ID", "1001"),
        ("TWILIO_API_BASE_URL", &format!("http://{address}")),
        ("TWILIO_ACCOUNT_SID", &world.world.settings.twilio_sid),
        ("TWILIO_AUTH_TOKEN", &world.world.settings.twilio_token),
        ("TWILIO_NUMBER", "+14155550100"),
        ("TWILIO_CALLS_PER_SECOND", "3"),
        ("TWILIO_MACHINE_DETECTION", "true"),
        ("TWILIO_STREAM_URL", &format!("ws://{}/twilio/media", streams.address)),
        ("DEEPGRAM_URL", &format!("ws://{address}")),
        ("DEEPGRAM_API_KEY", "sandbox-key"),
        ("OPENAI_BASE_URL", &format!("http://{address}/v1")),
        ("OPENAI_API_KEY", "sandbox-key"),
        ("LLM_MODEL", "gpt-6-luna"),
        ("ELEVENLABS_URL", &format!("http://{address}")),
        ("ELEVENLABS_API_KEY", "sandbox-key"),
        ("ELEVENLABS_VOICE_ID", "sandbox-voice"),
        ("SARVAM_URL", &format!("http://{address}")),
        ("SARVAM_API_KEY", "sandbox-key"),
        ("ANTHROPIC_BASE_URL", &format!("http://{address}")),
        ("ANTHROPIC_API_KEY", "sandbox-key"),
        ("BEDROCK_BASE_URL", &format!("http://{address}/anthropic")),
        ("AWS_BEARER_TOKEN_BEDROCK", "sandbox-key"),
        ("GEMINI_BASE_URL", &format!("http://{address}/v1beta/openai")),
        ("GEMINI_API_KEY", "sandbox-key"),
        ("CARRIER_TIMEOUT_SECS", "2"),
        ("RECONCILE_HORIZON_SECS", "5"),
        ("CLOCK_START", CLOCK_START),
        ("CLOCK_SPEED", CLOCK_SPEED),
        ("CLOCK_EPOCH", &shared::clock::wall().to_rfc3339()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// As an operator names an S3 of their own.
fn object_store(world: &sandbox::Running) -> [(&'static str, String); 5] {
    [
        ("RECORDINGS_URL", format!("s3://{}/story", sandbox::s3::BUCKET)),
        ("AWS_ENDPOINT_URL", format!("{}/s3", world.url())),
        ("AWS_ACCESS_KEY_ID", sandbox::s3::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", sandbox::s3::SECRET_KEY.to_owned()),
        ("AWS_REGION", sandbox::s3::REGION.to_owned()),
    ]
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    environment.retain(|(known, _)| known != name);
    environment.push((name.to_owned(), value.to_owned()));
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
