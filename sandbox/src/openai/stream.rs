//! An answer as server-sent events, in the order and at the pace of a real model.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Settings,
    answer::{Answer, tokens},
    completions::Flavor,
    error::Error,
    gemini,
    request::Request,
};
use crate::world::World;

/// A stalled stream is given up at last, so that no connection stays for ever.
const STALL: Duration = Duration::from_secs(120);

/// What happens next on the wire.
enum Step {
    Wait(Duration),
    Send(Bytes),
    /// The connection breaks.
    Break,
}

/// The broken connection, for hyper.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
pub(super) struct Cut;

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The body of a streamed answer.
pub(super) fn body(
    request: &Request,
    answer: &Answer,
    settings: &Settings,
    world: &Arc<World>,
) -> impl Stream<Item = Result<Bytes, Cut>> + use<> {
    let by_letter = world.faults.take("openai.args_by_letter", &request.fault_key).is_some();
    let steps = with_faults(events(request, answer, by_letter), request, settings, world);
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

/// One chunk, and whether it is a piece of the answer (which takes a token's time).
struct Event {
    data: Value,
    is_piece: bool,
}

fn events(request: &Request, answer: &Answer, by_letter: bool) -> Vec<Event> {
    let envelope = |choices: Value, usage: Value| {
        json!({
            "id": answer.id,
            "object": "chat.completion.chunk",
            "created": answer.created,
            "model": request.model,
            "service_tier": "default",
            "system_fingerprint": "fp_sandbox",
            "choices": choices,
            "usage": usage,
        })
    };
    let chunk = |delta: Value, finish_reason: Value| {
        envelope(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason }]), Value::Null)
    };
    let mut events = vec![Event {
        data: chunk(
            json!({ "role": "assistant", "content": if answer.text.is_some() { json!("") } else { Value::Null }, "refusal": null }),
            Value::Null,
        ),
        is_piece: false,
    }];
    if answer.flavor == Flavor::Gemini {
        // The role comes with the first piece.
        events.clear();
    }
    let mut piece = |delta: Value| events.push(Event { data: chunk(delta, Value::Null), is_piece: true });
    for token in tokens(answer.refusal.as_deref().unwrap_or_default()) {
        piece(json!({ "refusal": token }));
    }
    for token in tokens(answer.text.as_deref().unwrap_or_default()) {
        piece(json!({ "content": token }));
    }
    if answer.flavor == Flavor::Gemini && !answer.calls.is_empty() {
        piece(json!({ "tool_calls": gemini::calls(&answer.calls) }));
    }
    let in_fragments = if answer.flavor == Flavor::OpenAi { answer.calls.as_slice() } else { &[] };
    for (index, (id, call)) in in_fragments.iter().enumerate() {
        let function = json!({ "name": call.name, "arguments": "" });
        piece(json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] }));
        let arguments = call.arguments.to_string();
        let fragments: Vec<&str> = if by_letter {
            arguments.split("").filter(|letter| !letter.is_empty()).collect()
        } else {
            tokens(&arguments).collect()
        };
        for fragment in fragments {
            piece(json!({ "tool_calls": [{ "index": index, "function": { "arguments": fragment } }] }));
        }
    }
    events.push(Event { data: chunk(json!({}), json!(answer.finish_reason)), is_piece: false });
    if answer.flavor == Flavor::Gemini {
        for event in &mut events {
            event.data["choices"][0]["delta"]["role"] = "assistant".into();
            if request.include_usage {
                event.data["usage"] = answer.usage(request);
            }
        }
    } else if request.include_usage {
        events.push(Event { data: envelope(json!([]), answer.usage(request)), is_piece: false });
    }
    events
}

fn with_faults(events: Vec<Event>, request: &Request, settings: &Settings, world: &Arc<World>) -> Vec<Step> {
    let fault = |name: &str, otherwise: u64| {
        world.faults.take(name, &request.fault_key).map(|value| value.as_u64().unwrap_or(otherwise))
    };
    let stall = fault("openai.stall", 0);
    let cut = fault("openai.cut", 3);
    let error = fault("openai.error_midstream", 3);
    let nonsense = fault("openai.nonsense", 2);
    let truncated = fault("openai.truncated", 3);
    let token_time = Duration::from_secs(1) / u32::try_from(settings.tokens_per_second.max(1)).unwrap_or(u32::MAX);

    let mut steps = Vec::with_capacity(2 * events.len() + 1);
    let mut pieces = 0;
    for event in events {
        if event.is_piece {
            if nonsense == Some(pieces) {
                steps.push(Step::Send("data: {\"id\":\"chatcmpl-\n\n".into()));
            }
            if error == Some(pieces) {
                steps.push(Step::Send(line(&Error::midstream())));
                return steps;
            }
            if truncated == Some(pieces) {
                return steps;
            }
            if cut == Some(pieces) {
                // A moment, so that what was sent before arrives before the connection breaks.
                steps.extend([Step::Wait(Duration::from_millis(20)), Step::Break]);
                return steps;
            }
            if stall == Some(pieces) {
                steps.push(Step::Wait(STALL));
                return steps;
            }
            if pieces > 0 {
                steps.push(Step::Wait(token_time));
            }
            pieces += 1;
        }
        steps.push(Step::Send(line(&event.data)));
    }
    steps.push(Step::Send("data: [DONE]\n\n".into()));
    steps
}

fn line(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// The same bytes in pieces of 1 to 7, so that characters and lines are cut anywhere.
pub(crate) fn in_small_pieces<E>(body: impl Stream<Item = Result<Bytes, E>>) -> impl Stream<Item = Result<Bytes, E>> {
    body.flat_map(|item| {
        let pieces = match item {
            Err(cut) => vec![Err(cut)],
            Ok(bytes) => {
                let mut rest = bytes;
                let mut sizes = [1, 5, 2, 7, 3].into_iter().cycle();
                std::iter::from_fn(|| {
                    let size = sizes.next()?.min(rest.len());
                    (size > 0).then(|| Ok(rest.split_to(size)))
                })
                .collect()
            }
        };
        stream::iter(pieces)
    })
}
