//! `POST …/Sms/send` and what became of a message.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use url::Url;

use crate::{
    exotel::{
        account::Account,
        answer::{Format, answer},
        call::new_sid,
        clock,
        error::RestError,
        flow::is_loopback,
        form::Form,
        lock, phone,
    },
    world::World,
};

/// Longer bodies are refused.
const MAX_BODY_CHARS: usize = 2_000;
/// A message is delivered this long after it was taken (scaled by the rate).
const DELIVERY_MS: u64 = 1_000;

/// Messages by sid.
pub type Messages = Mutex<HashMap<String, Message>>;

/// One message that was taken.
#[derive(Debug, Clone)]
pub struct Message {
    sid: String,
    from: String,
    to: String,
    body: String,
    created_at: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    callback: Option<Url>,
}

impl Message {
    fn view(&self, account: &str) -> Value {
        json!({"SMSMessage": {
            "Sid": self.sid,
            "AccountSid": account,
            "From": self.from,
            "To": self.to,
            "Body": self.body,
            "Status": if self.sent_at.is_some() { "sent" } else { "queued" },
            "DetailedStatus": if self.sent_at.is_some() { "DELIVERED_TO_HANDSET" } else { "PENDING_TO_OPERATOR" },
            "DateCreated": clock::stamp(self.created_at),
            "DateUpdated": clock::stamp(self.sent_at.unwrap_or(self.created_at)),
            "DateSent": self.sent_at.map(clock::stamp),
            "Price": self.sent_at.map(|_| "0.200"),
            "Uri": format!("/v1/Accounts/{account}/SMS/Messages/{}", self.sid),
        }})
    }
}

pub async fn send(State(world): State<Arc<World>>, account: Account, request: Request) -> Response {
    let taken = async {
        let form = Form::read(request).await?;
        world.log.record("exotel", "request.sms", json!({"fields": form.fields()}));
        take(&world, &form)
    };
    match taken.await {
        Ok(message) => {
            let view = message.view(&world.settings.exotel_sid);
            let (tasks, world) = (world.exotel.tasks.clone(), world.clone());
            tasks.spawn(async move { deliver(&world, message).await });
            answer(account.format, StatusCode::OK, &view)
        }
        Err(error) => error.respond(account.format),
    }
}

pub async fn details(
    State(world): State<Arc<World>>,
    account: Account,
    Path((_account, segment)): Path<(String, String)>,
) -> Response {
    let (sid, format) = Format::split(&segment);
    match lock(&world.exotel.messages).get(sid) {
        Some(message) => answer(format, StatusCode::OK, &message.view(&world.settings.exotel_sid)),
        None => RestError::not_found().respond(account.format),
    }
}

fn take(world: &World, form: &Form) -> Result<Message, RestError> {
    let required = |name: &str| form.get(name).ok_or_else(|| RestError::bad_request(format!("{name} is required")));
    let (from, to, body) = (required("From")?, required("To")?, required("Body")?);
    // India's registry of senders and texts: without the entity no operator takes a message.
    required("DltEntityId")?;
    if phone::national(to).is_none() {
        return Err(RestError::bad_request("Invalid parameter To"));
    }
    if body.chars().count() > MAX_BODY_CHARS {
        return Err(RestError::bad_request("Body is longer than 2000 characters"));
    }
    let callback = match form.get("StatusCallback").map(Url::parse).transpose() {
        Ok(url) if url.as_ref().is_none_or(is_loopback) => url,
        _ => return Err(RestError::bad_request("Invalid parameter StatusCallback")),
    };
    let message = Message {
        sid: new_sid(),
        from: from.to_owned(),
        to: phone::zero_prefixed(to),
        body: body.to_owned(),
        created_at: Utc::now(),
        sent_at: None,
        callback,
    };
    lock(&world.exotel.messages).insert(message.sid.clone(), message.clone());
    Ok(message)
}

async fn deliver(world: &World, message: Message) {
    tokio::time::sleep(world.settings.scaled(DELIVERY_MS)).await;
    let sent_at = Utc::now();
    if let Some(kept) = lock(&world.exotel.messages).get_mut(&message.sid) {
        kept.sent_at = Some(sent_at);
    }
    let Some(url) = message.callback else { return };
    let fields = [
        ("SmsSid", message.sid.as_str()),
        ("To", &message.to),
        ("From", &message.from),
        ("Status", "sent"),
        ("DetailedStatus", "DELIVERED_TO_HANDSET"),
        ("DateUpdated", &clock::stamp(sent_at)),
    ];
    let answered = world.exotel.http.post(url).form(&fields).send().await;
    let status = answered.ok().map(|answer| answer.status().as_u16());
    world.log.record("exotel", "sms.callback", json!({"sid": message.sid, "answer": status}));
}
