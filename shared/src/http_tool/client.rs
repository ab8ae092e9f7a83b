//! Asks an account's own tools, from the middle of a call. What may be asked is [`crate::http_tool`]'s matter.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{HttpTool, LONGEST_TIMEOUT_MS, address, is_public, signing_secret};
use crate::{id::AccountId, signature};

/// Read of an answer; the rest is left.
const MOST_ANSWER_BYTES: usize = 16 * 1024;
/// Given to the model: more would cost time in every later turn.
const MOST_ANSWER_CHARS: usize = 2_000;

/// What a process needs to ask tools. Cheap to clone.
#[derive(Clone)]
pub struct HttpTools {
    http: reqwest::Client,
    secret: SecretString,
    private_allowed: bool,
}

/// One question.
#[derive(Debug)]
pub struct Question {
    pub tool: HttpTool,
    /// The same for every delivery of this question.
    pub id: String,
    pub account: AccountId,
    /// As the model wrote them: JSON text.
    pub arguments: String,
    /// What else the tool is told: `call_id`, `campaign_id`, `lead_id`, `lead`.
    pub about: Value,
}

impl HttpTools {
    /// # Errors
    /// A TLS client that does not start.
    pub fn new(secret: SecretString, private_allowed: bool) -> anyhow::Result<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .pool_max_idle_per_host(4)
            // A public address could send us on to one that is not; a proxy would resolve names for us.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if !private_allowed {
            http = http.dns_resolver(Arc::new(PublicOnly));
        }
        Ok(Self { http: http.build()?, secret, private_allowed })
    }

    /// The answer, as the model may read it. Never asks twice: the tool may have done something.
    ///
    /// # Errors
    /// A sentence for the model.
    pub async fn ask(&self, question: &Question) -> Result<String, &'static str> {
        let Question { tool, id, account, arguments, about } = question;
        let url = address(&tool.url, self.private_allowed).map_err(|_refused| "the address cannot be used")?;
        let arguments: Value = match arguments.trim() {
            "" => json!({}),
            text => serde_json::from_str(text).map_err(|_invalid| "arguments are not JSON")?,
        };
        let body = json!({"id": id, "tool": tool.name, "arguments": arguments, "call": about}).to_string();
        let signature = signature::of(&signing_secret(&self.secret, *account), body.as_bytes());
        let asking = async {
            let answer = self
                .http
                .post(url)
                .header("content-type", "application/json")
                .header("idempotency-key", id)
                .header(signature::HEADER, signature)
                .body(body)
                .send()
                .await
                .map_err(|_error| "the service could not be reached")?;
            if !answer.status().is_success() {
                return Err("the service answered with an error");
            }
            read(answer).await
        };
        let timeout = Duration::from_millis(tool.timeout_ms.min(LONGEST_TIMEOUT_MS).into());
        tokio::time::timeout(timeout, asking).await.map_err(|_elapsed| "the service did not answer in time")?
    }
}

async fn read(mut answer: reqwest::Response) -> Result<String, &'static str> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_error| "the service's answer broke off")? {
        bytes.extend_from_slice(&chunk[..chunk.len().min(MOST_ANSWER_BYTES - bytes.len())]);
        if bytes.len() == MOST_ANSWER_BYTES {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    Ok(if text.is_empty() { "done".to_owned() } else { text.chars().take(MOST_ANSWER_CHARS).collect() })
}

/// Resolves names to public addresses only, at the moment of connecting: a name that was public when somebody looked can lead
/// elsewhere a second later.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|found| is_public(found.ip())).collect();
            if public.is_empty() {
                return Err("the name leads to no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{
        Router,
        body::Bytes,
        http::{HeaderMap, StatusCode},
        response::Redirect,
        routing::post,
    };
    use secrecy::ExposeSecret;

    use super::*;

    type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

    async fn service(seen: Seen) -> String {
        let note = move |headers: HeaderMap, body: Bytes| {
            let seen = Arc::clone(&seen);
            async move {
                seen.lock().unwrap().push((headers, body));
                r#"{"free": true}"#
            }
        };
        let app = Router::new()
            .route("/ok", post(note))
            .route("/broken", post(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "a stack trace") }))
            .route("/elsewhere", post(|| async { Redirect::temporary("/ok") }))
            .route("/long", post(|| async { "x".repeat(100_000) }))
            .route("/never", post(std::future::pending::<()>));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    fn question(url: &str) -> Question {
        let tool = json!({"name": "check", "description": "d", "url": url, "timeout_ms": 500});
        Question {
            tool: serde_json::from_value(tool).unwrap(),
            id: "7-c1".into(),
            account: AccountId(3),
            arguments: r#"{"flat":"302"}"#.into(),
            about: json!({"call_id": 7}),
        }
    }

    #[tokio::test]
    async fn a_tool_is_asked_once_and_signed_and_its_answer_is_the_models() {
        let seen = Seen::default();
        let base = service(Arc::clone(&seen)).await;
        let tools = HttpTools::new("installation".into(), true).unwrap();
        let outcome = tools.ask(&question(&format!("{base}/ok"))).await;
        assert_eq!(outcome, Ok(r#"{"free": true}"#.into()));
        let seen = seen.lock().unwrap().clone();
        let [(headers, body)] = &seen[..] else { panic!("asked {} times", seen.len()) };
        assert_eq!(headers["idempotency-key"], "7-c1");
        let secret = signing_secret(&"installation".into(), AccountId(3));
        assert_eq!(headers["x-trunkline-signature"], signature::of(&secret, body).as_str());
        assert!(!String::from_utf8_lossy(body).contains(secret.expose_secret()));
        let body: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body, json!({"id": "7-c1", "tool": "check", "arguments": {"flat": "302"}, "call": {"call_id": 7}}));
    }

    #[tokio::test]
    async fn failures_are_sentences_for_the_model_and_come_in_time() {
        let seen = Seen::default();
        let base = service(Arc::clone(&seen)).await;
        let tools = HttpTools::new("installation".into(), true).unwrap();
        for (path, problem) in [
            ("/broken", "the service answered with an error"),
            ("/elsewhere", "the service answered with an error"),
            ("/missing", "the service answered with an error"),
        ] {
            assert_eq!(tools.ask(&question(&format!("{base}{path}"))).await, Err(problem), "{path}");
        }
        assert!(seen.lock().unwrap().is_empty(), "no redirect is followed");
        let outcome = tools.ask(&question(&format!("{base}/never"))).await;
        assert_eq!(outcome, Err("the service did not answer in time"));
        let long = tools.ask(&question(&format!("{base}/long"))).await.unwrap();
        assert_eq!(long.len(), MOST_ANSWER_CHARS);
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_own_network_is_not_connected_to() {
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(resolved.is_err());
        let tools = HttpTools::new("installation".into(), false).unwrap();
        let outcome = tools.ask(&question("http://127.0.0.1:9/")).await;
        assert_eq!(outcome, Err("the address cannot be used"));
    }
}
