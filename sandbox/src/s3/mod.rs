//! The simulated S3: objects, ranges and multipart uploads in one bucket, under `/s3` in path style.
//!
//! It refuses what the real one refuses: a request that is not signed as it was sent, a body that is not the signed one, a part that
//! is too small, an upload completed with other parts than were sent.
//!
//! Faults are keyed by `"{method} {bucket}/{key}?{query}"`:
//!
//! | Name | What happens | `value` |
//! |---|---|---|
//! | `s3_error` | the request is refused, and nothing is done | HTTP status (503) |
//! | `s3_slow` | the answer is delayed | milliseconds |
//! | `s3_cut` | the connection breaks: with half of the object (GET), or without an answer and with nothing done | – |

mod error;
mod signature;
mod store;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::any,
};
use serde_json::json;
use url::form_urlencoded;

use self::{error::S3Error, store::Part};
pub use self::{
    signature::{ACCESS_KEY, REGION, SECRET_KEY},
    store::{Object, Store},
};
use crate::world::World;

/// The one there is.
pub const BUCKET: &str = "recordings";
/// The whole of one request; a recording of an hour is twice as large, and comes in parts.
const MAX_BODY_BYTES: usize = 64 << 20;

/// S3's routes.
pub fn router() -> Router<Arc<World>> {
    Router::new().route("/s3/{bucket}/{*key}", any(object))
}

/// What the query string asks of an object.
#[derive(Default)]
struct Query {
    uploads: bool,
    upload_id: Option<String>,
    part_number: Option<u32>,
}

impl Query {
    fn of(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "uploads" => asked.uploads = true,
                "uploadId" => asked.upload_id = Some(value.into_owned()),
                "partNumber" => asked.part_number = value.parse().ok(),
                _ => {}
            }
        }
        asked
    }
}

async fn object(
    State(world): State<Arc<World>>,
    Path((bucket, key)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let fault_key = format!("{} {bucket}/{key}?{query}", parts.method);
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return S3Error::new(StatusCode::BAD_REQUEST, "EntityTooLarge").into_response();
    };
    if let Some(value) = world.faults.take("s3_slow", &fault_key) {
        tokio::time::sleep(Duration::from_millis(value.as_u64().unwrap_or(1_000))).await;
    }
    if let Some(value) = world.faults.take("s3_error", &fault_key) {
        let status = value.as_u64().and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        world.log.record(
            "s3",
            "request.failed",
            json!({"method": parts.method.as_str(), "key": key, "status": status.as_u16()}),
        );
        return S3Error::new(status, "SlowDown").into_response();
    }
    let is_cut = world.faults.take("s3_cut", &fault_key).is_some();
    if is_cut && parts.method != Method::GET {
        world.log.record("s3", "request.cut", json!({"method": parts.method.as_str(), "key": key}));
        // Unwinding the connection's task is the only way to end it without a byte of answer; it does not run the panic hook.
        std::panic::resume_unwind(Box::new("s3_cut"));
    }
    let outcome = signature::check(&parts, &body).and_then(|()| match bucket == BUCKET {
        true => answer(&world, &parts, &key, body, is_cut),
        false => Err(S3Error::new(StatusCode::NOT_FOUND, "NoSuchBucket")),
    });
    outcome.unwrap_or_else(|error| {
        let data =
            json!({"method": parts.method.as_str(), "key": key, "status": error.status.as_u16(), "code": error.code});
        world.log.record("s3", "request.refused", data);
        error.into_response()
    })
}

fn answer(world: &World, parts: &Parts, key: &str, body: Bytes, is_cut: bool) -> Result<Response, S3Error> {
    let asked = Query::of(parts.uri.query().unwrap_or_default());
    let store = &world.s3;
    let log = |kind: &str, bytes: usize| world.log.record("s3", kind, json!({"key": key, "bytes": bytes}));
    match (parts.method.as_str(), asked) {
        ("PUT", Query { upload_id: Some(upload), part_number: Some(number), .. }) => {
            let bytes = body.len();
            let e_tag = store.put_part(key, &upload, number, body)?;
            log("part.put", bytes);
            Ok([(header::ETAG, e_tag)].into_response())
        }
        ("PUT", Query { upload_id: None, part_number: None, .. }) => {
            log("object.put", body.len());
            Ok([(header::ETAG, store.put(key, body))].into_response())
        }
        ("POST", Query { uploads: true, upload_id: None, .. }) => {
            let upload = store.create_upload(key);
            log("upload.created", 0);
            Ok(xml(format!(
                "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>\
                 </InitiateMultipartUploadResult>"
            )))
        }
        ("POST", Query { upload_id: Some(upload), part_number: None, .. }) => {
            let object = store.complete_upload(key, &upload, &listed(&body)?)?;
            log("upload.completed", object.content.len());
            Ok(xml(format!(
                "<CompleteMultipartUploadResult><Location>/s3/{BUCKET}/{key}</Location><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
                 <ETag>{}</ETag></CompleteMultipartUploadResult>",
                object.e_tag.replace('"', "&quot;")
            )))
        }
        ("DELETE", Query { upload_id: Some(upload), .. }) => {
            store.abort_upload(key, &upload)?;
            log("upload.aborted", 0);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("DELETE", Query { upload_id: None, .. }) => {
            // That there was none is no error.
            let bytes = store.delete(key).map_or(0, |object| object.content.len());
            log("object.deleted", bytes);
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ("GET" | "HEAD", Query { upload_id: None, uploads: false, .. }) => {
            let object = store.get(key).ok_or_else(|| S3Error::new(StatusCode::NOT_FOUND, "NoSuchKey"))?;
            let is_head = parts.method == Method::HEAD;
            log(if is_head { "object.head" } else { "object.get" }, object.content.len());
            serve(&object, &parts.headers, is_head, is_cut)
        }
        _ => Err(S3Error::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented")),
    }
}

fn serve(object: &Object, headers: &HeaderMap, is_head: bool, is_cut: bool) -> Result<Response, S3Error> {
    let size = object.content.len();
    let range = headers.get(header::RANGE).map(|range| {
        let range = range.to_str().ok().and_then(|text| range_of(text, size));
        range.ok_or_else(|| S3Error::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"))
    });
    let (status, content, content_range) = match range.transpose()? {
        None => (StatusCode::OK, object.content.clone(), None),
        Some((first, last)) => {
            let content = object.content.slice(first..=last);
            (StatusCode::PARTIAL_CONTENT, content, Some(format!("bytes {first}-{last}/{size}")))
        }
    };
    let length = content.len();
    let body = match (is_head, is_cut) {
        (true, _) => Body::empty(),
        (false, false) => Body::from(content),
        (false, true) => {
            let half = [Ok(content.slice(..length / 2)), Err(std::io::Error::other("s3_cut"))];
            Body::from_stream(futures::stream::iter(half))
        }
    };
    let mut response = (status, body).into_response();
    let mut set = |name, value: &str| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "binary/octet-stream");
    set(header::ACCEPT_RANGES, "bytes");
    set(header::ETAG, &object.e_tag);
    set(header::LAST_MODIFIED, &object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    set(header::CONTENT_LENGTH, &length.to_string());
    if let Some(content_range) = content_range {
        set(header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

/// The first and last byte of `bytes=1-2`, `bytes=1-` or `bytes=-2`.
fn range_of(text: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", suffix) => (size.saturating_sub(suffix.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

/// The parts that an upload is to be completed with, as its XML lists them.
fn listed(body: &[u8]) -> Result<Vec<Part>, S3Error> {
    let malformed = || S3Error::new(StatusCode::BAD_REQUEST, "MalformedXML");
    let text = std::str::from_utf8(body).map_err(|_no_text| malformed())?;
    if !text.contains("<CompleteMultipartUpload") {
        return Err(malformed());
    }
    let inner = |text: &str, tag: &str| {
        let (_, behind) = text.split_once(&format!("<{tag}>"))?;
        behind.split_once(&format!("</{tag}>")).map(|(inner, _)| inner.replace("&quot;", "\""))
    };
    let parts = text.split("<Part>").skip(1).map(|part| {
        let number = inner(part, "PartNumber")?.parse().ok()?;
        Some(Part { number, e_tag: inner(part, "ETag")? })
    });
    let parts: Vec<Part> = parts.collect::<Option<_>>().ok_or_else(malformed)?;
    if parts.is_empty() { Err(malformed()) } else { Ok(parts) }
}

fn xml(inner: String) -> Response {
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{inner}");
    ([(header::CONTENT_TYPE, "application/xml")], document).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_within_the_object() {
        assert_eq!(range_of("bytes=2-4", 10), Some((2, 4)));
        assert_eq!(range_of("bytes=8-40", 10), Some((8, 9)));
        assert_eq!(range_of("bytes=-3", 10), Some((7, 9)));
        for no_range in ["bytes=10-12", "bytes=4-2", "2-4", "bytes=a-b"] {
            assert_eq!(range_of(no_range, 10), None, "{no_range}");
        }
        assert_eq!(range_of("bytes=0-", 0), None);
    }

    #[test]
    fn the_list_of_parts_is_read_in_its_order() {
        let body = "<CompleteMultipartUpload xmlns=\"x\"><Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part>\
                    <Part><PartNumber>2</PartNumber><ETag>\"b\"</ETag></Part></CompleteMultipartUpload>";
        let parts = listed(body.as_bytes()).unwrap();
        let parts: Vec<(u32, &str)> = parts.iter().map(|part| (part.number, part.e_tag.as_str())).collect();
        assert_eq!(parts, [(1, "\"a\""), (2, "\"b\"")]);
        assert!(listed(b"<Delete/>").is_err() && listed(b"<CompleteMultipartUpload/>").is_err());
    }
}
