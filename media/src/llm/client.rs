//! A streaming chat endpoint over HTTP, whatever it speaks: deadlines, retries, and the answer piece by piece.
//!
//! One HTTP client for the process: its warm connections are what makes the first token early. Dropping the answer drops
//! the HTTP stream, which is all that cancelling takes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use reqwest::header::HeaderMap;
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{
    LlmPiece, LlmRequest,
    anthropic::{self, Messages},
    openai::{ChatCompletions, Dialect},
    sse::EventStream,
};
use crate::provider::{self, Provider, ProviderError, count_error};

/// Deadlines and retries of one request.
#[derive(Debug, Clone)]
pub struct Budget {
    /// From the request to its first content. A retry happens only inside it: once words have been spoken, a second
    /// answer would not fit the first.
    pub first_token: Duration,
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
        Self { first_token: self.first_token.min(Duration::from_millis(2_000)), ..self.clone() }
    }
}

/// What tells one chat wire from another.
#[derive(Clone)]
pub(super) enum Wire {
    Chat(ChatCompletions),
    Messages(Messages),
}

/// Joins the `data` of events into pieces.
pub(super) trait Assemble: Send {
    /// Takes one event; `true` if it was the last.
    fn event(&mut self, data: &str, out: &mut VecDeque<LlmPiece>) -> Result<bool, ProviderError>;
    /// The stream has ended: what was gathered, and why it ended. An end without a reason is a cut.
    fn finish(&mut self, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError>;
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
            // The connection returns to the pool only when the body has been read.
            let _ = response.bytes().await;
        }
    }

    /// Asks. Returns once the first piece is there, so that what failed before it could be retried.
    pub async fn ask(&self, request: &LlmRequest) -> Result<Answer, ProviderError> {
        let body = match &self.wire {
            Wire::Chat(wire) => wire.body(request, &self.model),
            Wire::Messages(wire) => wire.body(request, &self.model),
        };
        let began = Instant::now();
        let first_by = began + self.budget.first_token;
        let total_by = began + self.budget.total;
        let mut tried = 0;
        loop {
            tried += 1;
            let attempt = self.attempt(&body, total_by);
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

    async fn attempt(&self, body: &bytes::Bytes, total_by: Instant) -> Result<Answer, Failed> {
        let response = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body.clone())
            .send()
            .await
            .map_err(|error| ProviderError::Unavailable { cause: cause_of(&error).into() })?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let mut answer = Answer {
            provider: self.provider,
            response,
            events: EventStream::default(),
            assembler: match &self.wire {
                Wire::Chat(wire) => wire.assembler(),
                Wire::Messages(wire) => wire.assembler(),
            },
            ready: VecDeque::new(),
            finished: false,
            total_by,
            total: self.budget.total,
        };
        if let Some(first) = answer.pull().await? {
            answer.ready.push_front(first);
        }
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

/// Reads the error body, which names the code that a status alone does not (`insufficient_quota`).
async fn refusal(response: reqwest::Response) -> Failed {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let told = headers.get("x-should-retry").and_then(|value| value.to_str().ok()).map(|value| value == "true");
    let code = response.bytes().await.ok().and_then(|body| provider::error_code(&body));
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

/// An answer as it comes. Dropping it cancels the request.
pub struct Answer {
    provider: Provider,
    response: reqwest::Response,
    events: EventStream,
    assembler: Box<dyn Assemble>,
    ready: VecDeque<LlmPiece>,
    finished: bool,
    total_by: Instant,
    total: Duration,
}

impl Answer {
    /// The next piece; `None` after [`LlmPiece::Done`]. An error ends the answer: what came before it stands.
    pub async fn next(&mut self) -> Result<Option<LlmPiece>, ProviderError> {
        let outcome = match timeout_at(self.total_by, self.pull()).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "total", after: self.total }),
        };
        outcome.inspect_err(|error| {
            self.finished = true;
            count_error(self.provider, error);
        })
    }

    async fn pull(&mut self) -> Result<Option<LlmPiece>, ProviderError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.finished {
                return Ok(None);
            }
            while let Some(data) = self.events.next_event() {
                if self.assembler.event(&data, &mut self.ready)? {
                    self.finish()?;
                    break;
                }
            }
            if !self.ready.is_empty() || self.finished {
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self
                    .events
                    .feed(&bytes)
                    .map_err(|_too_long| ProviderError::Cut { cause: "line_too_long".into() })?,
                // Some servers end without their last event: whole if it said why it stopped, cut otherwise.
                Ok(None) => self.finish()?,
                Err(_) => return Err(ProviderError::Cut { cause: "transport".into() }),
            }
        }
    }

    fn finish(&mut self) -> Result<(), ProviderError> {
        self.finished = true;
        self.assembler.finish(&mut self.ready)
    }
}
