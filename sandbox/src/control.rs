//! `/__sandbox/…`: how a test or the demo arranges the outside world and asks what it saw.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    callee::Script,
    exotel::{flow::Flow, phone, place},
    faults::Fault,
    log::Filter,
    world::World,
};

/// The routes under `/__sandbox`.
pub fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/__sandbox/health", get(health))
        .route("/__sandbox/log", get(read_log).delete(clear_log))
        .route("/__sandbox/faults", get(read_faults).post(arm_fault).delete(clear_faults))
        .route("/__sandbox/flows/{app_id}", put(put_flow).get(get_flow))
        .route("/__sandbox/scripts/{phone}", put(put_script).get(get_script))
        .route("/__sandbox/calls", get(read_calls).delete(clear_calls))
        .route("/__sandbox/calls/{sid}", get(read_call))
        .route("/__sandbox/inbound", post(ring_in))
        .route("/__sandbox/tool", post(answer_tool))
        .route("/__sandbox", delete(forget_everything))
}

async fn health(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!({"status": "ok", "calls": world.exotel.calls().len(), "tasks": world.exotel.tasks.len()}))
}

#[derive(Deserialize)]
struct Takes {
    ms: u64,
}

/// An account's own tool that knows which flats are free, and takes its time.
async fn answer_tool(Query(takes): Query<Takes>) -> &'static str {
    tokio::time::sleep(std::time::Duration::from_millis(takes.ms.min(30_000))).await;
    "Yes, flat three is still free."
}

async fn read_log(State(world): State<Arc<World>>, Query(filter): Query<Filter>) -> Json<Value> {
    Json(json!({"entries": world.log.entries(&filter), "dropped": world.log.dropped()}))
}

async fn clear_log(State(world): State<Arc<World>>) -> StatusCode {
    world.log.clear();
    StatusCode::NO_CONTENT
}

async fn read_faults(State(world): State<Arc<World>>) -> Json<Value> {
    Json(json!({"faults": world.faults.armed()}))
}

async fn arm_fault(State(world): State<Arc<World>>, Json(fault): Json<Fault>) -> StatusCode {
    world.faults.arm(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(world): State<Arc<World>>) -> StatusCode {
    world.faults.clear();
    StatusCode::NO_CONTENT
}

async fn put_flow(State(world): State<Arc<World>>, Path(app_id): Path<String>, Json(flow): Json<Flow>) -> Response {
    if let Some(problem) = flow.problem() {
        return refused(problem);
    }
    world.exotel.put_flow(&app_id, flow);
    StatusCode::NO_CONTENT.into_response()
}

async fn get_flow(State(world): State<Arc<World>>, Path(app_id): Path<String>) -> Response {
    match world.exotel.flow(&app_id) {
        Some(flow) => Json(flow).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn put_script(
    State(world): State<Arc<World>>,
    Path(number): Path<String>,
    Json(script): Json<Script>,
) -> Response {
    let Some(national) = phone::national(&number) else { return refused(format!("{number} is no phone number")) };
    if let Some(problem) = script.problem() {
        return refused(problem);
    }
    world.exotel.put_script(&national, script);
    StatusCode::NO_CONTENT.into_response()
}

async fn get_script(State(world): State<Arc<World>>, Path(number): Path<String>) -> Response {
    match phone::national(&number) {
        Some(national) => Json(world.exotel.script(&national)).into_response(),
        None => refused(format!("{number} is no phone number")),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CallFilter {
    from: Option<String>,
    reference: Option<String>,
}

async fn read_calls(State(world): State<Arc<World>>, Query(filter): Query<CallFilter>) -> Json<Value> {
    let calls: Vec<Value> = world
        .exotel
        .calls()
        .iter()
        .filter(|call| filter.from.as_deref().is_none_or(|from| phone::same(from, &call.request.from)))
        .filter(|call| filter.reference.is_none() || filter.reference == call.request.reference())
        .map(|call| call.report())
        .collect();
    Json(json!({"calls": calls}))
}

async fn read_call(State(world): State<Arc<World>>, Path(sid): Path<String>) -> Response {
    match world.exotel.call(&sid) {
        Some(call) => Json(call.report()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn clear_calls(State(world): State<Arc<World>>) -> StatusCode {
    world.exotel.forget_calls();
    StatusCode::NO_CONTENT
}

/// Somebody calls one of the account's numbers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    from: String,
    to: Option<String>,
    app_id: Option<String>,
}

async fn ring_in(State(world): State<Arc<World>>, Json(inbound): Json<Inbound>) -> Response {
    match place::ring_in(&world, &inbound.from, inbound.to.as_deref(), inbound.app_id.as_deref()) {
        Ok(call) => (StatusCode::CREATED, Json(json!({"sid": call.sid}))).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Log, faults and calls; flows and scripts stay.
async fn forget_everything(State(world): State<Arc<World>>) -> StatusCode {
    world.log.clear();
    world.faults.clear();
    world.exotel.forget_calls();
    StatusCode::NO_CONTENT
}

fn refused(why: String) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": why}))).into_response()
}
