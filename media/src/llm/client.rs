//! A streaming chat endpoint over HTTP, whatever it speaks: deadlines, retries, and the answer piece by piece.
//!
//! One HTTP client for the process: its warm connections are what makes the first token early. Dropping the answer drops
//! the HTTP stream, which is all that cancelling takes.

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderMap;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    LlmRequest,
    answer::Answer,
    anthropic::{self, Messages},
    bill::{Bill, Estimate},
    openai::{ChatCompletions, Dialect},
};
use crate::{
    provider::{self, Provider, ProviderError, count_error},
    usage::Meter,
};

/// Read of a refusal; what is longer says nothing that we could use.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Read of a list of models.
const MAX_LIST_BYTES: usize = 1024 * 1024;

/// Deadlines and retries of one request.
#[derive(Debug, Clone)]
pub struct Budget {
    /// From the request to its first content, be it a word or a fragment of a call. A retry happens only inside it: once words
    /// have been spoken, a second answer would not fit the first.
    pub first_token: Duration,
    /// Between two pieces of content. Shorter than the dialogue's own patience, which knows nobody to go over to.
    pub next_token: Duration,
    /// From the request to its end.
    pub total: Duration,
    /// Requests made at most.
    pub tries: u32,
    /// Wait before the second, unless the provider names one.
    pub backoff: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            first_token: Duration::from_millis(3_500),
            next_token: Duration::from_millis(2_500),
            total: Duration::from_secs(30),
            tries: 2,
            backoff: Duration::from_millis(250),
        }
    }
}

impl Budget {
    /// While somebody stands by to answer instead: both together must have a token before the human wonders.
    #[must_use]
    pub fn impatient(&self) -> Self {
        Self {
            first_token: self.first_token.min(Duration::from_millis(2_000)),
            next_token: self.next_token.min(Duration::from_millis(1_500)),
            ..self.clone()
        }
    }
}

/// What tells one chat wire from another.
#[derive(Clone)]
pub(super) enum Wire {
    Chat(ChatCompletions),
    Messages(Messages),
}

/// The client of one endpoint. Cheap to clone.
#[derive(Clone)]
pub struct Llm {
    http: reqwest::Client,
    provider: Provider,
    url: Url,
    headers: HeaderMap,
    model: Arc<str>,
    wire: Wire,
    budget: Budget,
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key holds characters that no HTTP header can.
    #[error("the key is not a valid header value")]
    Key(#[source] http::header::InvalidHeaderValue),
    /// The HTTP client could not start.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// The HTTP client that all endpoints of the process share.
pub fn http_client() -> Result<reqwest::Client, BuildError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        .pool_idle_timeout(Duration::from_secs(90))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .http2_keep_alive_while_idle(true)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(BuildError::Http)
}

impl Llm {
    /// Chat completions of OpenAI, or of somebody who speaks its wire, under `base_url`. `model` is used where a request names
    /// none.
    pub fn chat(
        http: reqwest::Client,
        provider: Provider,
        base_url: &Url,
        api_key: &SecretString,
        model: &str,
    ) -> Result<Self, BuildError> {
        let url = under(base_url, "chat/completions");
        let wire = Wire::Chat(ChatCompletions { dialect: Dialect::of(provider) });
        let headers = super::openai::headers(api_key).map_err(BuildError::Key)?;
        Ok(Self { http, provider, url, headers, model: model.into(), wire, budget: Budget::default() })
    }

    /// Anthropic's Messages under `base_url` (without `/v1`), of Anthropic itself or of Bedrock.
    pub fn messages(
        http: reqwest::Client,
        provider: Provider,
        base_url: &Url,
        api_key: &SecretString,
        model: &str,
    ) -> Result<Self, BuildError> {
        let url = under(base_url, "v1/messages");
        let headers = anthropic::headers(api_key).map_err(BuildError::Key)?;
        let wire = Wire::Messages(Messages);
        Ok(Self { http, provider, url, headers, model: model.into(), wire, budget: Budget::default() })
    }

    /// The same client with other deadlines.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The same client for another model.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.model = model.into();
        self
    }

    /// The same client, hurried because somebody stands by.
    #[must_use]
    pub fn hurried(self) -> Self {
        let budget = self.budget.impatient();
        self.with_budget(budget)
    }

    /// Who answers.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Which of its models.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Opens a connection and leaves it in the pool, so that the first question does not pay for the handshake.
    pub async fn warm_up(&self) {
        let mut url = self.url.clone();
        let path = url.path().trim_end_matches("/chat/completions").trim_end_matches("/messages").to_owned();
        url.set_path(&format!("{path}/models"));
        let request = self.http.get(url).headers(self.headers.clone()).timeout(Duration::from_secs(3));
        if let Ok(response) = request.send().await {
            // The connection returns to the pool only when the body has been read; a list of models is some 30 kB.
            let _ = read_at_most(response, MAX_LIST_BYTES).await;
        }
    }

    /// Asks. Returns once the first piece is there, so that what failed before it could be retried. Every try is charged to
    /// `meter` when it goes, but for those that were refused.
    pub async fn ask(&self, request: &LlmRequest, meter: &Meter) -> Result<Answer, ProviderError> {
        let body = match &self.wire {
            Wire::Chat(wire) => wire.body(request, &self.model),
            Wire::Messages(wire) => wire.body(request, &self.model),
        };
        let prompt = Estimate::of_request(request);
        let began = Instant::now();
        let first_by = began + self.budget.first_token;
        let total_by = began + self.budget.total;
        let mut tried = 0;
        loop {
            tried += 1;
            let bill = Bill::new(meter, self.provider, &self.model, prompt);
            let attempt = self.attempt(&body, total_by, bill);
            let outcome = match timeout_at(first_by, attempt).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => {
                    Err(Failed::from(ProviderError::TimedOut { stage: "first_token", after: self.budget.first_token }))
                }
            };
            let failed = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            count_error(self.provider, &failed.error);
            let wait = match failed.error {
                ProviderError::RateLimited { retry_after: Some(wait) } => wait,
                _ => self.budget.backoff,
            };
            let again_at = Instant::now() + wait;
            if !failed.may_retry || tried >= self.budget.tries || again_at >= first_by {
                return Err(failed.error);
            }
            tokio::time::sleep_until(again_at).await;
        }
    }

    async fn attempt(&self, body: &bytes::Bytes, total_by: Instant, mut bill: Bill) -> Result<Answer, Failed> {
        let request = self.http.post(self.url.clone()).headers(self.headers.clone()).body(body.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                if error.is_connect() {
                    bill.waive();
                }
                return Err(ProviderError::Unavailable { cause: cause_of(&error).into() }.into());
            }
        };
        if !response.status().is_success() {
            bill.waive();
            return Err(refusal(response).await);
        }
        let assembler = match &self.wire {
            Wire::Chat(wire) => wire.assembler(),
            Wire::Messages(wire) => wire.assembler(),
        };
        let mut answer = Answer::new(self.provider, response, assembler, bill, &self.budget, total_by);
        answer.begin().await?;
        Ok(answer)
    }
}

fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// A failed try, and whether the provider allows another.
struct Failed {
    error: ProviderError,
    may_retry: bool,
}

impl From<ProviderError> for Failed {
    fn from(error: ProviderError) -> Self {
        let may_retry = error.is_worth_another_try() && !matches!(error, ProviderError::TimedOut { .. });
        Self { error, may_retry }
    }
}

/// The body, unless it breaks off or is longer.
async fn read_at_most(mut response: reqwest::Response, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.ok()? {
        if body.len() + bytes.len() > most {
            return None;
        }
        body.extend_from_slice(&bytes);
    }
    Some(body)
}

/// Reads the error body, which names the code that a status alone does not (`insufficient_quota`).
async fn refusal(response: reqwest::Response) -> Failed {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let told = headers.get("x-should-retry").and_then(|value| value.to_str().ok()).map(|value| value == "true");
    let code = read_at_most(response, MAX_ERROR_BYTES).await.and_then(|body| provider::error_code(&body));
    let failed = Failed::from(ProviderError::from_status(status, code.as_deref(), &headers));
    Failed { may_retry: told.unwrap_or(failed.may_retry), ..failed }
}

/// What became of an HTTP request that brought no response.
pub(crate) fn cause_of(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "connect"
    } else if error.is_timeout() {
        "timeout"
    } else {
        "transport"
    }
}
