//! The product's REST API and the sandbox's own account, as the demo needs them.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Transient refusals (a restarting process) are tried again this many times.
const TRIES: u32 = 20;

pub struct Client {
    http: reqwest::Client,
    api: String,
    world: String,
}

impl Client {
    pub fn new(api: &str, world: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap_or_default();
        Self { http, api: api.trim_end_matches('/').to_owned(), world: world.trim_end_matches('/').to_owned() }
    }

    /// Waits until the API says that it can serve.
    pub async fn ready(&self, bound: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + bound;
        loop {
            let last = match self.http.get(format!("{}/ready", self.api)).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "GET /ready, after {bound:?}: {last}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.read(format!("{}{path}", self.api)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.http.post(format!("{}{path}", self.api)).json(&body).send().await?;
        accepted(&format!("POST {path}"), answer).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.http.patch(format!("{}{path}", self.api)).json(&body).send().await?;
        accepted(&format!("PATCH {path}"), answer).await
    }

    pub async fn upload(
        &self,
        campaign: i64,
        name: &'static str,
        csv: impl Into<std::borrow::Cow<'static, str>>,
    ) -> anyhow::Result<Value> {
        let path = format!("/campaigns/{campaign}/upload-csv");
        let form = Form::new().part("file", Part::text(csv).file_name(name).mime_str("text/csv")?);
        let answer = self.http.post(format!("{}{path}", self.api)).multipart(form).send().await?;
        accepted(&format!("POST {path}"), answer).await
    }

    /// Every lead of the campaign.
    pub async fn leads(&self, campaign: i64) -> anyhow::Result<Vec<Value>> {
        self.pages(&format!("/campaigns/{campaign}/leads"), "leads").await
    }

    /// Every call of the campaign, whole: with transcript, summary and recording.
    pub async fn calls(&self, campaign: i64) -> anyhow::Result<Vec<Value>> {
        let mut calls = Vec::new();
        for call in self.pages(&format!("/calls?campaign_id={campaign}"), "calls").await? {
            let id = call["id"].as_i64().context("a call without an id")?;
            calls.push(self.get(&format!("/calls/{id}")).await?);
        }
        Ok(calls)
    }

    /// What the carrier saw: every call it placed.
    pub async fn carrier_calls(&self) -> anyhow::Result<Vec<Value>> {
        let mut answer = self.read(format!("{}/__sandbox/calls", self.world)).await?;
        match answer["calls"].take() {
            Value::Array(calls) => Ok(calls),
            other => bail!("the sandbox's calls are {other}"),
        }
    }

    /// Starts the carrier's own account anew.
    pub async fn forget_carrier_calls(&self) -> anyhow::Result<()> {
        self.http.delete(format!("{}/__sandbox/calls", self.world)).send().await?.error_for_status()?;
        Ok(())
    }

    /// What the callee at this number does when rung.
    pub async fn script(&self, phone: &str, script: Value) -> anyhow::Result<()> {
        let url = format!("{}/__sandbox/scripts/{phone}", self.world);
        let answer = self.http.put(url).json(&script).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "the script of {phone}: {status} {}", answer.text().await?);
        Ok(())
    }

    async fn pages(&self, path: &str, field: &str) -> anyhow::Result<Vec<Value>> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("{path}{glue}limit=100{cursor}")).await?;
            match page[field].take() {
                Value::Array(items) => found.extend(items),
                other => bail!("GET {path}: `{field}` is {other}"),
            }
            match &page["next_cursor"] {
                Value::String(next) => cursor = format!("&cursor={next}"),
                Value::Number(next) => cursor = format!("&cursor={next}"),
                _ => return Ok(found),
            }
        }
    }

    async fn read(&self, url: String) -> anyhow::Result<Value> {
        let mut tries = 0;
        loop {
            match self.http.get(&url).send().await {
                Ok(answer) => return accepted(&format!("GET {url}"), answer).await,
                Err(error) if tries >= TRIES => return Err(error).with_context(|| format!("GET {url}")),
                Err(_refused) => {
                    tries += 1;
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn accepted(what: &str, answer: reqwest::Response) -> anyhow::Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{what}: {status} {text}");
    serde_json::from_str(&text).with_context(|| format!("{what}: the answer is no JSON"))
}
