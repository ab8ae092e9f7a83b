//! An answer, whole or as the events of a stream.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Error, random_id, request::Request};
use crate::{
    brain::{self, Call},
    openai::answer::tokens,
    world::World,
};

/// A stalled stream is given up at last, so that no connection stays for ever.
const STALL: Duration = Duration::from_secs(120);

pub(super) struct Answer {
    id: String,
    pub text: String,
    calls: Vec<(String, Call)>,
    pub stop_reason: &'static str,
    output_tokens: usize,
    /// To be sent in pieces that cut characters apart.
    pub split_bytes: bool,
    by_letter: bool,
}

impl Answer {
    pub(super) fn to(request: &Request, world: &World) -> Self {
        let fault = |name: &str| world.faults.take(name, &request.model);
        let mut answer = Self {
            id: random_id("msg_"),
            text: String::new(),
            calls: Vec::new(),
            stop_reason: "end_turn",
            output_tokens: 0,
            split_bytes: fault("anthropic.utf8_split").is_some(),
            by_letter: fault("anthropic.args_by_letter").is_some(),
        };
        if fault("anthropic.refusal").is_some() {
            answer.stop_reason = "refusal";
        } else if let Some(schema) = &request.schema {
            answer.text = brain::fill(schema, &request.conversation).to_string();
        } else {
            let reply = brain::reply(&request.conversation);
            answer.text = reply.text;
            answer.calls = reply.calls.into_iter().map(|call| (random_id("toolu_"), call)).collect();
            if !answer.calls.is_empty() {
                answer.stop_reason = "tool_use";
            }
        }
        if answer.split_bytes {
            answer.text = format!("“{}” …", answer.text.replace('\'', "’"));
        }
        if let Some(reason) = fault("anthropic.finish") {
            answer.stop_reason = match reason.as_str() {
                Some("stop_sequence") => "stop_sequence",
                Some("model_context_window_exceeded") => "model_context_window_exceeded",
                _ => "pause_turn",
            };
        }
        let of_calls: usize =
            answer.calls.iter().map(|(_, call)| tokens(&call.arguments.to_string()).count() + 4).sum();
        answer.output_tokens = tokens(&answer.text).count() + of_calls;
        let limit = fault("anthropic.length").map_or(request.max_tokens, |value| value.as_u64().unwrap_or(4) as usize);
        if limit < answer.output_tokens {
            answer.text = tokens(&answer.text).take(limit).collect();
            answer.calls.clear();
            answer.output_tokens = limit;
            answer.stop_reason = "max_tokens";
        }
        answer
    }

    fn usage(&self, request: &Request, output: usize) -> Value {
        // Half of what is marked for the cache is found in it.
        let cached = if request.cached { request.input_tokens / 2 } else { 0 };
        json!({ "input_tokens": request.input_tokens - cached, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached, "output_tokens": output })
    }

    fn message(&self, request: &Request, content: Value, stop_reason: Value, output: usize) -> Value {
        json!({ "id": self.id, "type": "message", "role": "assistant", "model": request.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": self.usage(request, output) })
    }

    pub(super) fn body(&self, request: &Request) -> Value {
        let mut content = Vec::new();
        if !self.text.is_empty() {
            content.push(json!({ "type": "text", "text": self.text }));
        }
        for (id, call) in &self.calls {
            content.push(json!({ "type": "tool_use", "id": id, "name": call.name, "input": call.arguments }));
        }
        self.message(request, content.into(), self.stop_reason.into(), self.output_tokens)
    }

    /// All events, and whether each is a piece of the answer (which takes a token's time).
    fn events(&self, request: &Request) -> Vec<(Value, bool)> {
        let mut events = vec![
            (json!({ "type": "message_start", "message": self.message(request, json!([]), Value::Null, 1) }), false),
            (json!({ "type": "ping" }), false),
        ];
        let mut index = 0;
        let mut block = |start: Value, deltas: Vec<Value>| {
            events.push((json!({ "type": "content_block_start", "index": index, "content_block": start }), false));
            let delta = |delta| (json!({ "type": "content_block_delta", "index": index, "delta": delta }), true);
            events.extend(deltas.into_iter().map(delta));
            events.push((json!({ "type": "content_block_stop", "index": index }), false));
            index += 1;
        };
        if !self.text.is_empty() {
            let deltas = tokens(&self.text).map(|token| json!({ "type": "text_delta", "text": token })).collect();
            block(json!({ "type": "text", "text": "" }), deltas);
        }
        for (id, call) in &self.calls {
            let arguments = call.arguments.to_string();
            let fragments: Vec<&str> = if self.by_letter {
                arguments.split("").filter(|letter| !letter.is_empty()).collect()
            } else {
                tokens(&arguments).collect()
            };
            let deltas =
                fragments.iter().map(|json| json!({ "type": "input_json_delta", "partial_json": json })).collect();
            block(json!({ "type": "tool_use", "id": id, "name": call.name, "input": {} }), deltas);
        }
        let delta = json!({ "stop_reason": self.stop_reason, "stop_sequence": null });
        let usage = json!({ "output_tokens": self.output_tokens });
        events.push((json!({ "type": "message_delta", "delta": delta, "usage": usage }), false));
        events.push((json!({ "type": "message_stop" }), false));
        events
    }
}

/// The broken connection, for hyper.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
pub(super) struct Cut;

enum Step {
    Wait(Duration),
    Send(Bytes),
    Break,
}

pub(super) fn body(
    request: &Request,
    answer: &Answer,
    tokens_per_second: u64,
    world: &Arc<World>,
) -> impl Stream<Item = Result<Bytes, Cut>> + use<> {
    let fault = |name: &str, otherwise: u64| {
        world.faults.take(name, &request.model).map(|value| value.as_u64().unwrap_or(otherwise))
    };
    let (stall, cut, error) =
        (fault("anthropic.stall", 0), fault("anthropic.cut", 3), fault("anthropic.error_midstream", 3));
    let truncated = fault("anthropic.truncated", 3);
    let token_time = Duration::from_secs(1) / u32::try_from(tokens_per_second.max(1)).unwrap_or(u32::MAX);
    let mut steps = Vec::new();
    let mut pieces = 0;
    for (event, is_piece) in answer.events(request) {
        if is_piece {
            if error == Some(pieces) {
                steps.push(Step::Send(line(&Error::new(529, "Overloaded").body())));
                break;
            }
            if truncated == Some(pieces) {
                break;
            }
            if cut == Some(pieces) {
                steps.push(Step::Break);
                break;
            }
            if stall == Some(pieces) {
                steps.extend([Step::Wait(STALL), Step::Break]);
                break;
            }
            pieces += 1;
            steps.push(Step::Wait(token_time));
        }
        steps.push(Step::Send(line(&event)));
    }
    stream::iter(steps).filter_map(|step| async move {
        match step {
            Step::Wait(time) => {
                sleep(time).await;
                None
            }
            Step::Send(bytes) => Some(Ok(bytes)),
            Step::Break => Some(Err(Cut)),
        }
    })
}

fn line(event: &Value) -> Bytes {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()).into()
}
