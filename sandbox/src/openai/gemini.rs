//! What is different where Gemini speaks this wire: calls come whole, in one chunk, under odd ids; usage comes with every chunk; and
//! calls are signed. A signature belongs to its call: shown again without it, or changed, the call is refused (400). Gemini itself
//! checks the calls since the human's last words; here all of them are, since it asks for all.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::error::Error;
use crate::brain::Call;

/// Documented for calls that another model made, or nobody.
const SKIPPED: &str = "skip_thought_signature_validator";

/// Opaque to everybody else.
fn signature(name: &str, arguments: &Value) -> String {
    let sum = format!("{name} {arguments}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    STANDARD.encode(format!("signed:{sum:016x}"))
}

/// All calls of an answer, whole. Of several the first alone is signed.
pub(super) fn calls(calls: &[(String, Call)]) -> Value {
    calls
        .iter()
        .enumerate()
        .map(|(index, (id, call))| {
            let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            let mut piece = json!({ "index": index, "id": id, "type": "function", "function": function });
            if index == 0 {
                piece["extra_content"] =
                    json!({ "google": { "thought_signature": signature(&call.name, &call.arguments) } });
            }
            piece
        })
        .collect()
}

/// Are the calls that are shown again those that were made?
pub(super) fn check(body: &Value) -> Result<(), Error> {
    let model = body["model"].as_str().unwrap_or_default();
    if !model.starts_with("gemini-") {
        return Err(Error::unknown_model(model));
    }
    for message in body["messages"].as_array().into_iter().flatten() {
        for (at, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let name = call["function"]["name"].as_str().unwrap_or_default();
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            match call["extra_content"]["google"]["thought_signature"].as_str() {
                None if at > 0 => {}
                None => {
                    let message = format!(
                        "Function call is missing a thought_signature in functionCall parts. This is required for tools to work \
                         correctly, and missing thought_signature may lead to degraded model performance. Additional data, \
                         function call `default_api:{name}`."
                    );
                    return Err(Error::invalid("", message));
                }
                Some(known) if known == SKIPPED || known == signature(name, &arguments) => {}
                Some(_) => return Err(Error::invalid("", "Corrupted thought signature.")),
            }
        }
    }
    Ok(())
}

/// The error as this endpoint words it: a list of one.
pub(super) fn refusal(status: u16, message: &str) -> Value {
    let name = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!([{ "error": { "code": status, "message": message, "status": name } }])
}
