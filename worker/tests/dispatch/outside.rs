//! The outside world: one HTTP server that plays the carrier and the language model, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub enum Reply {
    Json(u16, Value),
    Text(u16, &'static str),
    Bytes(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// No answer for longer than any client waits.
    Silence,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub authorization: Option<String>,
    pub headers: HeaderMap,
}

impl Asked {
    pub fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub fn field(&self, name: &str) -> String {
        self.form().into_iter().find(|(known, _)| known == name).map(|(_, value)| value).unwrap_or_default()
    }

    pub fn param(&self, name: &str) -> String {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Inner {
    asked: Vec<Asked>,
    place: VecDeque<Reply>,
    call: VecDeque<Reply>,
    list: VecDeque<Reply>,
    completion: VecDeque<Reply>,
    file: VecDeque<Reply>,
    placed: usize,
}

#[derive(Clone)]
pub struct Outside {
    pub base: url::Url,
    inner: Arc<Mutex<Inner>>,
}

impl Outside {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = url::Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let outside = Self { base, inner: Arc::default() };
        let router = Router::new().fallback(answer).with_state(outside.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        outside
    }

    /// The next answers to a request to place a call; when there are none left, it is placed.
    pub fn on_place(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.lock().unwrap().place.extend(replies);
    }

    /// The next answers about one call; the last one stays.
    pub fn on_call(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.lock().unwrap().call = replies.into_iter().collect();
    }

    /// The next lists of calls; the last one stays. Without any, no call is known.
    pub fn on_list(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.lock().unwrap().list = replies.into_iter().collect();
    }

    /// The next completions; the last one stays.
    pub fn on_completion(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.lock().unwrap().completion = replies.into_iter().collect();
    }

    /// The next answers to a request for anything else, such as a recording; the last one stays.
    pub fn on_file(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inner.lock().unwrap().file = replies.into_iter().collect();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }

    pub fn place_requests(&self) -> Vec<Asked> {
        let places = |asked: &Asked| asked.path.ends_with("/connect.json") || is_twilios(&asked.method, &asked.path);
        self.asked().into_iter().filter(places).collect()
    }
}

/// One call as the carrier's lists and details have it.
pub fn carrier_call(sid: &str, status: &str) -> Value {
    json!({"Sid": sid, "Status": status, "Direction": "outbound-api", "Duration": null, "RecordingUrl": null})
}

/// Exotel's lists are asked for with GET, at the same address.
fn is_twilios(method: &Method, path: &str) -> bool {
    method == Method::POST && path.ends_with("/Calls.json")
}

fn keep_last(replies: &mut VecDeque<Reply>) -> Option<Reply> {
    if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
}

async fn answer(State(outside): State<Outside>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let reply = {
        let mut inner = outside.inner.lock().unwrap();
        inner.asked.push(Asked {
            method: method.clone(),
            path: path.clone(),
            query: url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
            body: body.to_vec(),
            authorization: headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()),
            headers,
        });
        if path.ends_with("/Calls/connect.json") {
            inner.place.pop_front().unwrap_or_else(|| {
                inner.placed += 1;
                Reply::Json(200, json!({"Call": carrier_call(&format!("sid{}", inner.placed), "in-progress")}))
            })
        } else if is_twilios(&method, &path) {
            inner.place.pop_front().unwrap_or_else(|| {
                inner.placed += 1;
                Reply::Json(201, json!({"sid": format!("CA{}", inner.placed), "status": "queued"}))
            })
        } else if path.ends_with("/Calls.json") {
            keep_last(&mut inner.list).unwrap_or(Reply::Json(200, json!({"Metadata": {"Total": 0}, "Calls": []})))
        } else if path.contains("/Calls/") {
            keep_last(&mut inner.call).unwrap_or(Reply::Json(404, json!({"RestException": {"Status": 404}})))
        } else if path.ends_with("/chat/completions") || path.ends_with("/v1/messages") {
            keep_last(&mut inner.completion).unwrap_or(Reply::Json(500, json!({"error": {"type": "server_error"}})))
        } else {
            keep_last(&mut inner.file).unwrap_or(Reply::Text(404, "no such file"))
        }
    };
    match reply {
        Reply::Json(status, body) => response(status, &[("content-type", "application/json".into())], body.to_string()),
        Reply::Text(status, body) => response(status, &[], body),
        Reply::Bytes(status, headers, body) => response(status, &headers, body),
        Reply::Silence => std::future::pending().await,
    }
}

fn response(status: u16, headers: &[(&'static str, String)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(body.into()).unwrap()
}
