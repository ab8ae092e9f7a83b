//! A database of its own for each test, and requests without sockets.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api::llm::Llm;
use api::state::{App, AppState, CampaignDefaults};
use api::twilio::TwilioAccount;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;
use shared::calling_window::CallingHours;
use shared::clock::Clock;
use shared::http_tool::client::HttpTools;
use shared::id::AccountId;
use shared::pace::CarrierRates;
use shared::provider::ProviderKeys;
use shared::reach::SpeechConfig;
use shared::storage::Storage;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgPool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub const SECRET: &str = "test-secret";
pub const TWILIO_TOKEN: &str = "twilio-token";

pub struct TestApi {
    pub app: App,
    pub db: PgPool,
    router: Router,
    /// Of the first account.
    pub key: String,
    pub account: AccountId,
    /// Kept until the test ends.
    _recordings: tempfile::TempDir,
    database: String,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status and the problem's code.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

/// A Monday, 11:00 in India.
pub fn monday() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-23T05:30:00Z").unwrap().to_utc()
}

impl TestApi {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a language model for calls whose carrier gathers speech.
    pub async fn start_with(llm: Option<Llm>) -> Self {
        let (database, url) = fresh_database().await;
        let db = shared::db::connect(&url, 8, "api-tests").unwrap();
        shared::db::migrate(&db).await.unwrap();
        let recordings = tempfile::tempdir().unwrap();
        let app = Arc::new(AppState {
            db: db.clone(),
            clock: Clock::fixed(monday()),
            open_account: None,
            callback_secret: SECRET.to_owned().into(),
            base_url: "https://api.example".into(),
            storage: Storage::local(recordings.path()).unwrap(),
            defaults: CampaignDefaults { calling_hours: CallingHours::default(), max_concurrent_calls: 10 },
            carrier_rates: CarrierRates { exotel: 3.0, twilio: 1.0 },
            llm,
            // Tests' tools are on this machine.
            http_tools: HttpTools::new(SECRET.into(), true).unwrap(),
            max_call_duration: Duration::from_secs(600),
            twilio: Some(TwilioAccount {
                auth_token: TWILIO_TOKEN.into(),
                stream_url: Some("wss://media.example/twilio/media".parse().unwrap()),
            }),
            max_upload_bytes: 1024 * 1024,
            private_tools: false,
            provider_keys: ProviderKeys {
                deepgram_api_key: Some("d".into()),
                openai_api_key: Some("o".into()),
                elevenlabs_api_key: Some("e".into()),
                ..ProviderKeys::default()
            },
            speech: SpeechConfig::default(),
            metrics: Arc::new(String::new),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let router = api::router::router(Arc::clone(&app));
        let (account, key) = account(&db, "First").await;
        Self { app, db, router, key, account, _recordings: recordings, database }
    }

    pub async fn another_account(&self) -> (AccountId, String) {
        account(&self.db, "Second").await
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec();
        Answer { status, headers, bytes }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(&self.key, method, path, body).await
    }

    pub async fn call_as(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub async fn create_campaign(&self, body: Value) -> i64 {
        let answer = self.post("/campaigns", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_i64().unwrap()
    }

    pub async fn upload(&self, campaign: i64, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        let mut body = Vec::new();
        for (field, file, content) in parts {
            let file = file.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
            body.extend(format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"{file}\r\n\r\n").into_bytes());
            body.extend_from_slice(content);
            body.extend(b"\r\n");
        }
        body.extend(b"--b--\r\n");
        let request = Request::post(format!("/campaigns/{campaign}/upload-csv"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "multipart/form-data; boundary=b")
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }

    pub async fn add_lead(&self, campaign: i64, phone: &str, name: &str) -> i64 {
        sqlx::query_scalar(
            r"
            with contact as (
                insert into contacts (account_id, phone, name) select account_id, $2, $3 from campaigns where id = $1
                on conflict (account_id, phone) do update set name = excluded.name
                returning id, account_id
            )
            insert into leads (account_id, campaign_id, contact_id, phone, country, name, time_zone, next_at, created_at, updated_at)
            select account_id, $1, id, $2, 'IN', $3, 'Asia/Kolkata', $4, $4, $4 from contact
            returning id
            ",
        )
        .bind(campaign)
        .bind(phone)
        .bind(name)
        .bind(monday())
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    /// A call of the lead that is being dialed.
    pub async fn add_call(&self, lead: i64, reference: &str) -> i64 {
        sqlx::query_scalar(
            r"
            insert into calls (account_id, campaign_id, lead_id, voice_agent_id, voice_agent_version, carrier, attempt, reference,
                phone, status, queued_at, dialing_at, lease_until)
            select l.account_id, l.campaign_id, l.id, c.voice_agent_id, 1, 'exotel',
                1 + (select count(*) from calls where lead_id = l.id), $2, l.phone, 'dialing', $3, $3, now() + interval '1 hour'
            from leads l join campaigns c on c.id = l.campaign_id
            where l.id = $1
            returning id
            ",
        )
        .bind(lead)
        .bind(reference)
        .bind(monday())
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.db).await.unwrap()
    }

    pub async fn finish(self) {
        self.db.close().await;
        let mut connection = superuser().await;
        let drop = format!("drop database if exists {} with (force)", self.database);
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    }
}

/// Asks again and again until `look` answers something, for five seconds at most.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within five seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn account(db: &PgPool, name: &str) -> (AccountId, String) {
    let id = shared::account::create(db, name, "IN", "Asia/Kolkata").await.unwrap();
    let key = shared::api_key::create(db, id, "test").await.unwrap();
    (id, key.expose_secret().to_owned())
}

fn superuser_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a cluster; bin/test starts one")
}

async fn superuser() -> sqlx::PgConnection {
    sqlx::PgConnection::connect_with(&PgConnectOptions::from_str(&superuser_url()).unwrap()).await.unwrap()
}

/// A database that belongs to the role `trunkline`, which is no superuser; its password is the cluster's.
async fn fresh_database() -> (String, String) {
    let name = format!("api_{}_{}", std::process::id(), shared::clock::wall().timestamp_micros());
    let mut connection = superuser().await;
    let create = format!("create database {name} owner trunkline");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let url = superuser_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    (name.clone(), format!("{}/{name}", server.replacen("//postgres:", "//trunkline:", 1)))
}
