//! `POST …/Messages.json`, and what is told of a message afterwards.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use url::Url;

use crate::{
    exotel::{call::new_sid, flow::is_loopback, form::Form, phone},
    twilio::{account::Account, error::TwilioError, webhooks},
    world::World,
};

/// Longer bodies are refused (21617).
const MAX_BODY_CHARS: usize = 1_600;
/// A message is delivered this long after it was taken (scaled by the rate).
const DELIVERY_MS: u64 = 1_000;

pub async fn create(State(world): State<Arc<World>>, _account: Account, body: Bytes) -> Result<Response, TwilioError> {
    let form = Form::from_urlencoded(&body);
    world.log.record("twilio", "request.message", json!({"fields": form.fields()}));
    let required = |name: &str, code| {
        form.get(name).ok_or_else(|| TwilioError::bad_request(code, format!("A '{name}' is required.")))
    };
    let (to, from, text) = (required("To", 21604)?, required("From", 21603)?, required("Body", 21602)?);
    if phone::national(to).is_none() {
        return Err(TwilioError::bad_request(21211, format!("Invalid 'To' Phone Number: {to}")));
    }
    if text.chars().count() > MAX_BODY_CHARS {
        return Err(TwilioError::bad_request(21617, "The concatenated message body exceeds the 1600 character limit"));
    }
    let callback = match form.get("StatusCallback").map(Url::parse).transpose() {
        Ok(url) if url.as_ref().is_none_or(is_loopback) => url,
        _ => return Err(TwilioError::bad_request(21609, "The 'StatusCallback' URL is not a valid URL")),
    };
    let sid = format!("SM{}", new_sid());
    let account = world.settings.twilio_sid.clone();
    let view = json!({"sid": sid, "account_sid": account, "to": to, "from": from, "body": text, "status": "queued",
        "num_segments": "1", "direction": "outbound-api", "error_code": null, "error_message": null,
        "api_version": "2010-04-01", "uri": format!("/2010-04-01/Accounts/{account}/Messages/{sid}.json")});
    if let Some(url) = callback {
        let fields = [
            ("MessageSid", sid.as_str()),
            ("SmsSid", &sid),
            ("MessageStatus", "delivered"),
            ("SmsStatus", "delivered"),
            ("To", to),
            ("From", from),
            ("AccountSid", &account),
            ("ApiVersion", "2010-04-01"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (tasks, world, sid) = (world.exotel.tasks.clone(), world.clone(), sid.clone());
        tasks.spawn(async move {
            tokio::time::sleep(world.settings.scaled(DELIVERY_MS)).await;
            // What comes of it is in the log.
            let _ = webhooks::send(&world, &sid, &url, &fields, "sms.callback", json!({})).await;
        });
    }
    Ok((StatusCode::CREATED, Json(view)).into_response())
}
