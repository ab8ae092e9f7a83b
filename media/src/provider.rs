//! What the clients of outside speech and language services have in common: the error, by what the caller may do
//! next, and the WebSocket connection with one TLS configuration for the whole process.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};
use url::Url;

/// A provider's WebSocket, plain or TLS.
pub type ProviderSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Which provider an error or a metric belongs to.
pub use shared::provider::Vendor as Provider;

/// The work that a provider does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Speech to text.
    Stt,
    /// The language model.
    Llm,
    /// Text to speech.
    Tts,
}

impl Part {
    /// The `part` label in metrics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stt => "stt",
            Self::Llm => "llm",
            Self::Tts => "tts",
        }
    }
}

/// The second choice took over, for the rest of the call.
#[derive(Debug, Clone)]
pub struct FailOver {
    /// In which work.
    pub part: Part,
    /// Who failed.
    pub from: Provider,
    /// Who goes on.
    pub to: Provider,
    /// Why.
    pub error: ProviderError,
}

/// Why a provider did not do its part, by what the caller may do next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// Asking again changes nothing: bad key, no credit, no such model or voice, bad request.
    #[error("the provider rejected the request ({code})")]
    Rejected {
        /// The provider's own short code, or the HTTP status as text. Never free text, which may quote the caller.
        code: String,
    },
    /// Ask again, but later.
    #[error("the provider is rate limiting")]
    RateLimited {
        /// How long it asked us to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// It could not be reached, or failed by itself; another try or another provider may work.
    #[error("the provider is unavailable ({cause})")]
    Unavailable {
        /// What went wrong, as a fixed word for metrics: `connect`, `http_503`, `closed_1011`, …
        cause: String,
    },
    /// It did not answer within the deadline. The work may still have been done, and billed.
    #[error("the provider did not answer within {after:?} ({stage})")]
    TimedOut {
        /// `connect`, `first_token`, `total`, …
        stage: &'static str,
        /// The deadline that passed.
        after: Duration,
    },
    /// It broke off in the middle: part of the answer was delivered, the rest will not come.
    #[error("the provider broke off ({cause})")]
    Cut {
        /// As in [`ProviderError::Unavailable`].
        cause: String,
    },
}

impl ProviderError {
    /// The `kind` label in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::TimedOut { .. } => "timed_out",
            Self::Cut { .. } => "cut",
        }
    }

    /// Whether asking the same provider again can help at all.
    pub fn is_worth_another_try(&self) -> bool {
        !matches!(self, Self::Rejected { .. })
    }

    /// Sorts an HTTP status that came before any content. `code` is the provider's own, where its body had one.
    ///
    /// 408 and 409 are transient, 429 is a rate limit unless the account is out of credit, and every 5xx
    /// (with Anthropic's 529) is the provider's own trouble.
    pub fn from_status(status: u16, code: Option<&str>, headers: &HeaderMap) -> Self {
        match (status, code) {
            (429, Some(code @ ("insufficient_quota" | "insufficient_quota_error"))) => {
                Self::Rejected { code: code.into() }
            }
            (429, _) => Self::RateLimited { retry_after: retry_after(headers) },
            (408 | 409 | 500..=599, _) => Self::Unavailable { cause: format!("http_{status}") },
            (_, code) => Self::Rejected { code: code.map_or_else(|| format!("http_{status}"), str::to_owned) },
        }
    }
}

/// Counts an error once, where it is handled.
pub fn count_error(provider: Provider, error: &ProviderError) {
    metrics::counter!("provider_errors_total", "provider" => provider.as_str(), "kind" => error.kind()).increment(1);
}

/// `retry-after-ms`, else `retry-after` in whole seconds. Capped at 120 s, as the official SDKs do.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok().filter(|n| *n >= 0.0);
    let wait = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Some(Duration::from_secs_f64(wait.min(120.0)))
}

/// Opens provider sockets with one shared TLS configuration. Cheap to clone.
///
/// A configuration per connection costs about 100 KiB and several milliseconds: other voice servers leaked it per call.
#[derive(Clone)]
pub struct Connect {
    tls: Arc<ClientConfig>,
}

impl Connect {
    /// Builds the TLS configuration: Mozilla's roots, TLS 1.2 and 1.3.
    pub fn new() -> Result<Self, rustls::Error> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Connects and shakes hands within `deadline`. `header` carries the key, so that it never stands in a URL.
    pub async fn open(
        &self,
        url: &Url,
        header: (HeaderName, &SecretString),
        deadline: Duration,
    ) -> Result<ProviderSocket, ProviderError> {
        let mut request = url.as_str().into_client_request().map_err(|error| handshake_error(&error))?;
        let mut value = HeaderValue::from_str(header.1.expose_secret())
            .map_err(|_invalid| ProviderError::Rejected { code: "key_is_not_a_header_value".into() })?;
        value.set_sensitive(true);
        request.headers_mut().insert(header.0, value);

        let connecting = connect_async_tls_with_config(request, Some(socket_config()), true, Some(self.connector(url)));
        match tokio::time::timeout(deadline, connecting).await {
            Ok(Ok((socket, _response))) => Ok(socket),
            Ok(Err(error)) => Err(handshake_error(&error)),
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "connect", after: deadline }),
        }
    }

    fn connector(&self, url: &Url) -> Connector {
        if url.scheme() == "wss" { Connector::Rustls(Arc::clone(&self.tls)) } else { Connector::Plain }
    }
}

/// Small buffers: the defaults (128 KiB each way, eagerly allocated) would be most of a call's memory.
fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(256 * 1024)
        .max_message_size(Some(4 * 1024 * 1024))
        .max_frame_size(Some(4 * 1024 * 1024))
}

fn handshake_error(error: &tungstenite::Error) -> ProviderError {
    match error {
        tungstenite::Error::Http(response) => {
            let code = response.body().as_deref().and_then(error_code);
            ProviderError::from_status(response.status().as_u16(), code.as_deref(), response.headers())
        }
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            ProviderError::Rejected { code: "bad_url".into() }
        }
        tungstenite::Error::Tls(_) => ProviderError::Unavailable { cause: "tls".into() },
        tungstenite::Error::Io(_) => ProviderError::Unavailable { cause: "connect".into() },
        _ => ProviderError::Unavailable { cause: "handshake".into() },
    }
}

/// The provider's code in an error body: Deepgram's `err_code`, ElevenLabs' `detail.status`, OpenAI's and Sarvam's `error.code`,
/// Anthropic's `error.type`, Gemini's `error.status` (which it wraps in a list where it speaks OpenAI's wire).
/// Only something that looks like a code is taken, because messages may quote what the caller said.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    [
        "/err_code",
        "/error_code",
        "/detail/status",
        "/detail/code",
        "/error/code",
        "/error/type",
        "/error/status",
        "/0/error/status",
        "/error",
        "/code",
    ]
    .iter()
    .filter_map(|path| body.pointer(path)?.as_str())
    .find(|code| looks_like_code(code))
    .map(str::to_owned)
}

/// A provider's short name for what went wrong, or `error` where that is none: what is logged never quotes what was said.
pub(crate) fn code_or_error(name: Option<String>) -> String {
    name.filter(|name| looks_like_code(name)).unwrap_or_else(|| "error".to_owned())
}

fn looks_like_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_status_is_sorted_by_what_the_caller_may_do_next() {
        let none = HeaderMap::new();
        let kind = |status, code| ProviderError::from_status(status, code, &none).kind();
        assert_eq!(kind(400, None), "rejected");
        assert_eq!(kind(401, Some("INVALID_AUTH")), "rejected");
        assert_eq!(kind(404, Some("model_not_found")), "rejected");
        assert_eq!(kind(429, Some("insufficient_quota")), "rejected");
        assert_eq!(kind(429, Some("rate_limit_exceeded")), "rate_limited");
        for status in [408, 409, 500, 502, 503, 504, 529] {
            assert_eq!(kind(status, None), "unavailable", "{status}");
        }
    }

    #[test]
    fn the_wait_asked_for_is_read_from_either_header_and_capped() {
        let wait = |pairs: &[_]| retry_after(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[("retry-after", "86400")]), Some(Duration::from_secs(120)));
        assert_eq!(wait(&[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")]), None);
        assert_eq!(wait(&[("retry-after", "-1")]), None);
    }

    #[test]
    fn the_code_is_taken_from_each_providers_envelope_and_never_a_sentence() {
        let code = |body: &str| error_code(body.as_bytes());
        assert_eq!(code(r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials."}"#).unwrap(), "INVALID_AUTH");
        assert_eq!(code(r#"{"detail":{"status":"quota_exceeded","message":"x"}}"#).unwrap(), "quota_exceeded");
        assert_eq!(
            code(r#"{"error":{"message":"m","type":"invalid_request_error","param":null,"code":null}}"#).unwrap(),
            "invalid_request_error"
        );
        let gemini = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#;
        assert_eq!(
            (code(gemini).unwrap(), code(&format!("[{gemini}]")).unwrap()),
            ("INVALID_ARGUMENT".into(), "INVALID_ARGUMENT".into())
        );
        assert_eq!(code(r#"{"error":"you said: my number is 1"}"#), None);
        assert_eq!(code("not json"), None);
        assert_eq!(code_or_error(Some("INTERNAL_SERVER_ERROR".into())), "INTERNAL_SERVER_ERROR");
        assert_eq!(code_or_error(Some("you said: my number is 1".into())), "error");
        assert_eq!(code_or_error(None), "error");
    }
}
