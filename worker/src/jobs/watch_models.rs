//! Asks the provider which models it shuts down when, before a call finds out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::NaiveDate;
use secrecy::ExposeSecret;
use serde::Deserialize;
use shared::jobs::watch_models::WatchModels;
use shared::model_shutdown;

use crate::context::{Context, ModelList};
use crate::queue::{JobContext, JobError, JobResultExt};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A list is some 30 kB.
const MAX_ANSWER_BYTES: usize = 2_000_000;

/// # Errors
/// A provider that does not answer is asked again; after the last try tomorrow's poll goes on. Nobody is told of a failed poll: it
/// says nothing about any model, and others that speak this wire need not have a list.
pub async fn run(_job: WatchModels, job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let Some(list) = &ctx.settings.models else { return Ok(()) };
    let shutdowns = match ask(list, &ctx.http).await {
        Ok(shutdowns) => shutdowns,
        Err(error) if job_context.is_last_attempt() => {
            metrics::counter!("model_polls_failed_total").increment(1);
            tracing::warn!(error = format!("{error:#}"), "the list of models could not be read today");
            return Ok(());
        }
        Err(error) => return Err(JobError::Retry(error)),
    };
    let mut tx = ctx.db.begin().await.retry()?;
    model_shutdown::watch(&mut tx, &list.installation, &shutdowns, ctx.clock.now()).await.retry()?;
    tx.commit().await.retry()
}

/// Every model with a date.
async fn ask(list: &ModelList, http: &reqwest::Client) -> anyhow::Result<BTreeMap<String, NaiveDate>> {
    let request = http.get(list.url.clone()).bearer_auth(list.key.expose_secret()).timeout(ANSWER_WITHIN);
    let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
    anyhow::ensure!(response.status().is_success(), "the provider answered {}", response.status().as_u16());
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        anyhow::ensure!(answer.len() + chunk.len() <= MAX_ANSWER_BYTES, "the list is far too long");
        answer.extend_from_slice(&chunk);
    }
    shutdowns(&answer)
}

fn shutdowns(answer: &[u8]) -> anyhow::Result<BTreeMap<String, NaiveDate>> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        id: String,
        shutdown_date: Option<String>,
    }
    let list: List = serde_json::from_slice(answer).context("the list of models is not one")?;
    let dated = list.data.into_iter().filter_map(|row| {
        let date = row.shutdown_date?;
        match date.parse() {
            Ok(date) => Some((row.id, date)),
            Err(_) => {
                tracing::warn!(model = row.id, date, "a model's shutdown date cannot be read");
                None
            }
        }
    });
    Ok(dated.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_without_a_date_or_with_one_that_is_none_are_left_out() {
        let list =
            br#"{"object":"list","data":[{"id":"a","shutdown_date":"2027-01-14"},{"id":"b","shutdown_date":null},
            {"id":"c"},{"id":"d","shutdown_date":"soon"}]}"#;
        let found: Vec<(String, String)> =
            shutdowns(list).unwrap().into_iter().map(|(model, date)| (model, date.to_string())).collect();
        assert_eq!(found, [("a".to_owned(), "2027-01-14".to_owned())]);
        assert!(shutdowns(b"<html>").is_err());
    }
}
