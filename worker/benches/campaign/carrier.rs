//! A carrier on loopback that accepts every call, and whose callees are all busy: no audio, no waiting but the moment that a
//! network takes to find out, only what a call costs us. Its callbacks are stored and applied by the code that `api` uses.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use shared::call::Carrier;
use shared::carrier_event::{self, Source, Webhook};
use shared::clock::Clock;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between the carrier's answer and the busy tone. Without it, callbacks would overtake the answers they are about.
const BUSY_AFTER: Duration = Duration::from_millis(300);

struct Line {
    /// `api`'s connections.
    db: PgPool,
    clock: Clock,
}

pub struct BusyCarrier {
    pub base: url::Url,
    serving: JoinHandle<()>,
}

impl BusyCarrier {
    pub async fn start(db: PgPool, clock: Clock) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let base = url::Url::parse(&format!("http://{}", listener.local_addr()?))?;
        let line = Arc::new(Line { db, clock });
        let router = Router::new().route("/v1/Accounts/{account}/Calls/connect.json", post(place)).with_state(line);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the carrier ended");
            }
        });
        Ok(Self { base, serving })
    }
}

impl Drop for BusyCarrier {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn place(State(line): State<Arc<Line>>, body: Bytes) -> Json<Value> {
    let fields = url::form_urlencoded::parse(&body);
    let reference = fields.into_owned().find(|(name, _)| name == "CustomField").map(|(_, value)| value);
    let sid = ulid::Ulid::generate().to_string();
    let answer = json!({"Call": {"Sid": sid, "Status": "in-progress", "Direction": "outbound-api"}});
    tokio::spawn(async move {
        sleep(BUSY_AFTER).await;
        if let Err(error) = report_busy(&line, sid, reference).await {
            tracing::error!(%error, "a callback was lost; sweep asks for it");
        }
    });
    Json(answer)
}

/// What `POST /webhooks/exotel/call-status` does with it: stored in one transaction, applied in the next.
async fn report_busy(line: &Line, sid: String, reference: Option<String>) -> anyhow::Result<()> {
    let said = [
        ("CallSid", sid.as_str()),
        ("EventType", "terminal"),
        ("Status", "busy"),
        ("Direction", "outbound-api"),
        ("DateUpdated", "2026-11-23 13:00:00"),
    ];
    let fields = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let webhook = Webhook { source: Source::StatusCallback, reference, fields };
    let stored = webhook.store(&line.db, Carrier::Exotel, line.clock.now()).await?.context("a callback came twice")?;
    let mut tx = line.db.begin().await?;
    carrier_event::apply(&mut tx, stored).await?;
    tx.commit().await?;
    Ok(())
}
