//! The operator's hand: pausing, resuming, stopping, and putting numbers on the do-not-call list, while everything breaks.
//!
//! What was done is written down with the instants between which it certainly held, for the judge.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt;
use rand::rngs::StdRng;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shared::clock::wall;

/// One answer, of however many tries.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Operator {
    http: Client,
    api: String,
    journal: Arc<Mutex<Journal>>,
}

/// What certainly held, by the wall clock.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// From the answer to the pause, to the first request to resume.
    pub pauses: Vec<Pause>,
    pub stops: Vec<(i64, DateTime<Utc>)>,
    /// From the answer on.
    pub do_not_call: Vec<(String, DateTime<Utc>)>,
    /// Campaigns that paused by themselves, with the reason, and were resumed.
    pub resumed: Vec<(i64, String)>,
}

#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub campaign: i64,
    pub from: DateTime<Utc>,
    pub until: Option<DateTime<Utc>>,
}

impl Operator {
    pub fn new(api: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        Self { http, api: api.to_owned(), journal: Arc::default() }
    }

    pub fn journal(&self) -> Journal {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until an answer comes that is not the server's failure; `None` when none came in time.
    async fn ask(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
        let asked = async {
            loop {
                if let Ok(answer) = request().send().await
                    && !answer.status().is_server_error()
                {
                    let status = answer.status();
                    return (status, answer.json().await.unwrap_or_default());
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.ask(|| self.http.get(format!("{}{path}", self.api))).await?;
        status.is_success().then_some(answer)
    }

    /// A conflict means that an earlier try, whose answer was lost, has done it.
    async fn post(&self, path: &str, body: Value) -> bool {
        let answer = self.ask(|| self.http.post(format!("{}{path}", self.api)).json(&body)).await;
        answer.is_some_and(|(status, _)| status.is_success() || status == StatusCode::CONFLICT)
    }

    pub async fn start(&self, campaign: i64) -> bool {
        self.post(&format!("/campaigns/{campaign}/start"), json!({})).await
    }

    /// Pauses for so long. A pause that was not confirmed is not held against anybody.
    pub async fn pause(&self, campaign: i64, pause: Duration) {
        if !self.post(&format!("/campaigns/{campaign}/pause"), json!({})).await {
            return;
        }
        // It may have been over, or paused by itself, and then there was nothing to do.
        let status = self.get(&format!("/campaigns/{campaign}")).await.unwrap_or_default();
        if status["status"] == "paused" {
            let from = wall();
            self.lock().pauses.push(Pause { campaign, from, until: None });
            tokio::time::sleep(pause).await;
            self.resume(campaign).await;
        }
    }

    /// Resumes until it runs or is over.
    pub async fn resume(&self, campaign: i64) {
        let now = wall();
        for pause in self.lock().pauses.iter_mut().filter(|pause| pause.campaign == campaign && pause.until.is_none()) {
            pause.until = Some(now);
        }
        self.post(&format!("/campaigns/{campaign}/resume"), json!({})).await;
    }

    pub async fn stop(&self, campaign: i64) {
        if self.post(&format!("/campaigns/{campaign}/stop"), json!({})).await {
            let at = wall();
            self.lock().stops.push((campaign, at));
        }
    }

    pub async fn forbid(&self, phone: &str) {
        if self.post("/do-not-call", json!({"phone": phone, "reason": "asked by letter"})).await {
            let at = wall();
            self.lock().do_not_call.push((phone.to_owned(), at));
        }
    }

    /// Resumes what paused by itself; `true` if the campaign is over.
    pub async fn look_after(&self, campaign: i64) -> bool {
        let Some(seen) = self.get(&format!("/campaigns/{campaign}")).await else { return false };
        let reason = seen["pause_reason"].as_str().unwrap_or_default().to_owned();
        if seen["status"] == "paused" {
            if reason != "operator" {
                self.lock().resumed.push((campaign, reason));
            }
            self.resume(campaign).await;
        }
        matches!(seen["status"].as_str(), Some("completed" | "canceled"))
    }

    /// An ordinary working day, compressed: all are looked after, the second is paused again and again, and the last is stopped
    /// half-way.
    pub async fn work(&self, campaigns: &[i64], phones: &[String], mut dice: StdRng, day: Duration) {
        let began = tokio::time::Instant::now();
        let mut stopped = campaigns.len() < 3;
        while began.elapsed() < day {
            tokio::time::sleep(Duration::from_millis(dice.random_range(1_500..6_000))).await;
            for &campaign in campaigns {
                self.look_after(campaign).await;
            }
            match dice.random_range(0..3) {
                0 if campaigns.len() > 1 => {
                    let length = Duration::from_millis(dice.random_range(6_000..12_000));
                    self.pause(campaigns[1], length).await;
                }
                _ => self.forbid(&phones[dice.random_range(0..phones.len())]).await,
            }
            if !stopped && began.elapsed() > day / 2 {
                self.stop(campaigns[2]).await;
                stopped = true;
            }
        }
    }
}
