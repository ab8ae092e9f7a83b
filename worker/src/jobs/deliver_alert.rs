//! Tells the installation's webhook of an alert.
//!
//! `POST` with a JSON body that is the same at every try but for `status`, its id in `X-Trunkline-Id` too, and in
//! `X-Trunkline-Signature` `sha256=` and the hexadecimal HMAC-SHA256 of the body under CALLBACK_SECRET.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use shared::alert::{self, Alert};
use shared::jobs::deliver_alert::DeliverAlert;
use shared::signature;

use crate::context::{AlertWebhook, Context};
use crate::queue::{JobContext, JobError, JobResultExt};

/// A receiver that takes longer has not taken it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

/// # Errors
/// Retries whatever may pass: a receiver that is away, fails or asks for patience. One that says `410 Gone` wants no more.
pub async fn run(job: DeliverAlert, _job_context: JobContext, ctx: Context) -> Result<(), JobError> {
    let Some(webhook) = &ctx.settings.alert_webhook else { return Ok(()) };
    let Some(alert) = alert::get(&ctx.db, job.alert_id).await.retry()? else { return Ok(()) };
    if alert.delivered_at.is_some() {
        return Ok(());
    }
    send(&alert, webhook, &ctx.http).await?;
    alert::delivered(&ctx.db, alert.id, ctx.clock.now()).await.retry()?;
    tracing::info!(alert_id = %alert.id, "the webhook has taken an alert");
    Ok(())
}

async fn send(alert: &Alert, webhook: &AlertWebhook, http: &reqwest::Client) -> Result<(), JobError> {
    let id = format!("alert-{}", alert.id);
    let body = json!({
        "id": id,
        "type": "alert",
        "alert_id": alert.id,
        "account_id": alert.account_id,
        "campaign_id": alert.campaign_id,
        "kind": alert.kind,
        "severity": alert.severity,
        "status": if alert.resolved_at.is_some() { "resolved" } else { "open" },
        "title": alert.title,
        "detail": alert.detail,
        "at": alert.at,
    })
    .to_string();
    let request = http
        .post(webhook.url.clone())
        .timeout(ANSWER_WITHIN)
        .header("content-type", "application/json")
        .header("x-trunkline-id", id)
        .header(signature::HEADER, signature::of(&webhook.secret, body.as_bytes()))
        .body(body);
    // Its URL may hold a secret of the receiver's.
    let answer = request.send().await.map_err(reqwest::Error::without_url).retry()?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(JobError::Discard(anyhow::anyhow!("the webhook wants no more alerts (410)"))),
        status => {
            let patience =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            match patience.map(Duration::from_secs) {
                Some(wait) if status == StatusCode::TOO_MANY_REQUESTS => Err(JobError::snooze(
                    wait.clamp(Duration::from_secs(1), LONGEST_PATIENCE),
                    "the webhook asks for patience",
                )),
                _ => Err(JobError::Retry(anyhow::anyhow!("the webhook answered {}", status.as_u16()))),
            }
        }
    }
}
