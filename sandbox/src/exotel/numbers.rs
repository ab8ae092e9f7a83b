//! The account's numbers, other people's numbers, and how many streams are open.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    exotel::{
        account::Account,
        answer::{Format, answer},
        error::RestError,
        phone,
    },
    world::World,
};

/// `GET …/Numbers/{number}`: circle, operator, and whether it is on the do-not-disturb list.
pub async fn metadata(
    State(world): State<Arc<World>>,
    account: Account,
    Path((_account, segment)): Path<(String, String)>,
) -> Response {
    let (number, format) = Format::split(&segment);
    let Some(national) = phone::national(number) else { return RestError::not_found().respond(account.format) };
    let dnd = world.exotel.script(&national).refuses_dnd(1);
    world.log.record("exotel", "request.number", json!({"number": national}));
    let body = json!({"Numbers": {
        "PhoneNumber": phone::zero_prefixed(number),
        "Circle": "KA",
        "CircleName": "Karnataka",
        "Type": if national.starts_with(['6', '7', '8', '9']) { "Mobile" } else { "Landline" },
        "Operator": "A",
        "OperatorName": "Airtel",
        "DND": if dnd { "Yes" } else { "No" },
    }});
    answer(format, StatusCode::OK, &body)
}

pub async fn exophones(State(world): State<Arc<World>>, account: Account) -> Response {
    let numbers: Vec<Value> = world
        .settings
        .exophones
        .iter()
        .map(|number| {
            json!({"IncomingPhoneNumber": {
                "Sid": exophone_sid(number),
                "PhoneNumber": phone::zero_prefixed(number),
                "FriendlyName": phone::zero_prefixed(number),
            }})
        })
        .collect();
    answer(account.format, StatusCode::OK, &json!({"IncomingPhoneNumbers": numbers}))
}

pub async fn exophones_v2(State(world): State<Arc<World>>, _account: Account) -> Response {
    let numbers: Vec<Value> = world.settings.exophones.iter().map(|number| exophone(&world, number)).collect();
    let body = json!({"page": 0, "page_size": 50, "incoming_phone_numbers": numbers});
    answer(Format::Json, StatusCode::OK, &body)
}

pub async fn exophone_v2(
    State(world): State<Arc<World>>,
    _account: Account,
    Path((_account_sid, sid)): Path<(String, String)>,
) -> Response {
    match world.settings.exophones.iter().find(|number| exophone_sid(number) == sid) {
        Some(number) => answer(Format::Json, StatusCode::OK, &exophone(&world, number)),
        None => RestError::not_found().respond(Format::Json),
    }
}

fn exophone(world: &World, number: &str) -> Value {
    let plus = phone::national(number).map_or_else(|| number.to_owned(), |national| format!("+91{national}"));
    json!({
        "sid": exophone_sid(number),
        "phone_number": plus,
        "friendly_name": phone::zero_prefixed(number),
        "voice_url": format!("https://my.exotel.com/exoml/start/{}", world.settings.app_id),
        "sms_url": null,
        "capabilities": {"voice": true, "sms": true},
        "country": "IN",
        "region": "KA",
    })
}

/// Stable, so that a client may keep it.
fn exophone_sid(number: &str) -> String {
    format!("exo{}", phone::national(number).unwrap_or_default())
}

/// Always XML, whatever the path says.
pub async fn active_streams(State(world): State<Arc<World>>, _account: Account) -> Response {
    let body = json!({"Stream": {
        "ActiveStreamCount": world.exotel.streams.load(Ordering::Relaxed),
        "ThrottleLimit": world.settings.max_streams,
    }});
    answer(Format::Xml, StatusCode::OK, &body)
}
