//! One request to a carrier, and what its outcome allows to be done next: the same rules for every carrier.

use std::time::Duration;

use anyhow::Context;
use reqwest::redirect;
use serde::de::DeserializeOwned;

use super::{CarrierError, Doubt};

/// No answer of these APIs is longer: a list has at most 100 calls.
const MAX_ANSWER_BYTES: usize = 1_000_000;

/// The carrier's words are kept up to this length.
const MAX_DETAIL_CHARS: usize = 300;

/// Reads a refusal: its status, and the body.
type Refusal = fn(u16, &[u8]) -> CarrierError;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    /// The `carrier` label in metrics.
    carrier: &'static str,
    refusal: Refusal,
}

impl Http {
    /// # Errors
    /// A TLS stack that does not start.
    pub fn new(carrier: &'static str, timeout: Duration, refusal: Refusal) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(Duration::from_secs(20))
            // A request that may have arrived is never sent again, not even by a helpful library.
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::none())
            .build()
            .context("the HTTP client does not start")?;
        Ok(Self { client, carrier, refusal })
    }

    pub fn get(&self, url: url::Url) -> reqwest::RequestBuilder {
        self.client.get(url)
    }

    pub fn post(&self, url: url::Url) -> reqwest::RequestBuilder {
        self.client.post(url)
    }

    pub async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CarrierError> {
        let started = tokio::time::Instant::now();
        let outcome = self.send(request).await;
        let label = outcome.as_ref().map_or_else(CarrierError::kind, |_| "ok");
        metrics::histogram!("carrier_request_seconds", "carrier" => self.carrier, "outcome" => label)
            .record(started.elapsed().as_secs_f64());
        outcome
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CarrierError> {
        let mut response = request.send().await.map_err(|error| {
            // Refused, no route, no such name: the request never left.
            if error.is_connect() { CarrierError::Unavailable(error.without_url()) } else { broken(error) }
        })?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        // The status alone decides: a refusal whose words break off is still a refusal.
        let body = bounded_body(&mut response).await;
        match status.as_u16() {
            200..=299 => body,
            429 => Err(CarrierError::RateLimited { retry_after }),
            status @ 400..=499 if status != 408 => Err((self.refusal)(status, &body.unwrap_or_default())),
            status => Err(CarrierError::Indeterminate(Doubt::ServerError(status))),
        }
    }
}

/// The answer as JSON of the shape that is asked for.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, CarrierError> {
    serde_json::from_slice(body).map_err(|_error| CarrierError::Indeterminate(Doubt::Unreadable))
}

async fn bounded_body(response: &mut reqwest::Response) -> Result<Vec<u8>, CarrierError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(CarrierError::Indeterminate(Doubt::Unreadable));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without the URL, which may hold a number.
fn broken(error: reqwest::Error) -> CarrierError {
    CarrierError::Indeterminate(Doubt::Broken(error.without_url()))
}

/// Without any run of digits that could be a phone number.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    let flush = |digits: &mut String, out: &mut String| {
        out.push_str(if digits.len() >= 5 { "(number)" } else { digits.as_str() });
        digits.clear();
    };
    for letter in text.chars().take(MAX_DETAIL_CHARS) {
        if letter.is_ascii_digit() {
            digits.push(letter);
        } else {
            flush(&mut digits, &mut out);
            out.push(letter);
        }
    }
    flush(&mut digits, &mut out);
    out
}
