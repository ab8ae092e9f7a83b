//! The events of a streamed message, put together.

use std::{borrow::Cow, collections::VecDeque};

use serde::Deserialize;

use crate::{
    dialogue::{LlmFinish, ToolCall},
    llm::{Estimate, LlmPiece, Usage, answer::Assemble},
    provider::ProviderError,
};

/// Blocks in one answer; an index beyond it is a broken stream.
const MAX_BLOCKS: usize = 32;
/// Joined arguments of one call.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default)]
    index: usize,
    #[serde(default)]
    message: Option<Started>,
    #[serde(default, borrow)]
    content_block: Option<Block<'a>>,
    #[serde(default, borrow)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    text: Option<Text<'a>>,
    #[serde(default, borrow)]
    partial_json: Option<Text<'a>>,
    #[serde(default, borrow)]
    stop_reason: Option<Text<'a>>,
}

/// Counts rise in the course of the stream; what an event does not name has not changed.
#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

struct Call {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// Joins events into pieces.
#[derive(Default)]
pub(super) struct Assembler {
    calls: Vec<Call>,
    finish: Option<LlmFinish>,
    input: u64,
    cache_read: u64,
    cache_written: u64,
    output: u64,
    has_usage: bool,
}

impl Assemble for Assembler {
    fn event(&mut self, data: &str, out: &mut VecDeque<LlmPiece>) -> Result<bool, ProviderError> {
        let event: Event<'_> =
            serde_json::from_str(data).map_err(|_malformed| ProviderError::Cut { cause: "malformed".into() })?;
        match &*event.kind.0 {
            "message_start" => self.count(event.message.and_then(|message| message.usage)),
            "content_block_start" => self.block(event.index, event.content_block, out)?,
            "content_block_delta" => self.delta(event.index, event.delta, out)?,
            "message_delta" => {
                self.count(event.usage);
                if let Some(Text(reason)) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.finish = Some(match &*reason {
                        "max_tokens" | "model_context_window_exceeded" => LlmFinish::Length,
                        "tool_use" => LlmFinish::ToolCalls,
                        "refusal" => LlmFinish::Refused,
                        _ => LlmFinish::Stop,
                    });
                }
            }
            "message_stop" => return Ok(true),
            "error" => {
                let code = crate::provider::error_code(data.as_bytes());
                return Err(ProviderError::Cut { cause: code.unwrap_or_else(|| "error_object".into()) });
            }
            // `ping`, `content_block_stop`, and whatever is new.
            _ => {}
        }
        Ok(false)
    }

    fn finish(&mut self, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError> {
        let Some(finish) = self.finish else { return Err(ProviderError::Cut { cause: "no_finish".into() }) };
        for call in self.calls.drain(..) {
            let arguments = if call.arguments.is_empty() { "{}".to_owned() } else { call.arguments };
            out.push_back(LlmPiece::ToolCall(ToolCall { id: call.id, name: call.name, arguments, extra: None }));
        }
        out.push_back(LlmPiece::Done { finish, usage: self.usage() });
        Ok(())
    }

    fn usage(&self) -> Option<Usage> {
        let usage = Usage {
            // Here what was cached is not part of the input.
            prompt_tokens: self.input + self.cache_read + self.cache_written,
            cached_tokens: self.cache_read,
            completion_tokens: self.output,
        };
        self.has_usage.then_some(usage)
    }
}

impl Assembler {
    fn count(&mut self, usage: Option<WireUsage>) {
        let Some(usage) = usage else { return };
        self.has_usage = true;
        self.input = usage.input_tokens.unwrap_or(self.input);
        self.cache_read = usage.cache_read_input_tokens.unwrap_or(self.cache_read);
        self.cache_written = usage.cache_creation_input_tokens.unwrap_or(self.cache_written);
        self.output = usage.output_tokens.unwrap_or(self.output);
    }

    fn block(
        &mut self,
        index: usize,
        block: Option<Block<'_>>,
        out: &mut VecDeque<LlmPiece>,
    ) -> Result<(), ProviderError> {
        let Some(block) = block else { return Ok(()) };
        match &*block.kind.0 {
            "tool_use" if self.calls.len() >= MAX_BLOCKS => Err(out_of_bounds()),
            "tool_use" => {
                out.push_back(LlmPiece::Writing(Estimate::of(&block.name)));
                self.calls.push(Call { index, id: block.id, name: block.name, arguments: String::new() });
                Ok(())
            }
            _ => {
                words(block.text, out);
                Ok(())
            }
        }
    }

    fn delta(
        &mut self,
        index: usize,
        delta: Option<Delta<'_>>,
        out: &mut VecDeque<LlmPiece>,
    ) -> Result<(), ProviderError> {
        let Some(delta) = delta else { return Ok(()) };
        words(delta.text, out);
        let Some(Text(json)) = delta.partial_json else { return Ok(()) };
        let call = self.calls.iter_mut().find(|call| call.index == index).ok_or_else(out_of_bounds)?;
        out.push_back(LlmPiece::Writing(Estimate::of(&json)));
        call.arguments.push_str(&json);
        if call.arguments.len() > MAX_ARGUMENT_BYTES { Err(out_of_bounds()) } else { Ok(()) }
    }
}

fn words(text: Option<Text<'_>>, out: &mut VecDeque<LlmPiece>) {
    if let Some(Text(text)) = text
        && !text.is_empty()
    {
        out.push_back(LlmPiece::Delta(text.into_owned()));
    }
}

fn out_of_bounds() -> ProviderError {
    ProviderError::Cut { cause: "tool_call_out_of_bounds".into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn assemble(events: &[Value]) -> Result<Vec<LlmPiece>, ProviderError> {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        for event in events {
            if assembler.event(&event.to_string(), &mut out)? {
                break;
            }
        }
        assembler.finish(&mut out)?;
        // Of the fragments only their calls are of interest here.
        Ok(out.into_iter().filter(|piece| !matches!(piece, LlmPiece::Writing(_))).collect())
    }

    fn started() -> Value {
        json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "model": "m",
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 1}}})
    }

    fn text(text: &str) -> Value {
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    }

    fn ended(reason: &str) -> Value {
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 7}})
    }

    #[test]
    fn words_come_as_they_are_written_and_usage_counts_the_cache_apart() {
        let pieces = assemble(&[
            started(),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "ping"}),
            text("Hel"),
            text("lo"),
            json!({"type": "content_block_stop", "index": 0}),
            ended("end_turn"),
            json!({"type": "message_stop"}),
        ]);
        let usage = Some(Usage { prompt_tokens: 105, cached_tokens: 90, completion_tokens: 7 });
        let done = LlmPiece::Done { finish: LlmFinish::Stop, usage };
        assert_eq!(pieces.unwrap(), [LlmPiece::Delta("Hel".into()), LlmPiece::Delta("lo".into()), done]);
    }

    #[test]
    fn two_calls_in_one_character_pieces_are_joined_by_their_block() {
        let tool = |index: usize, id: &str, name: &str| {
            json!({"type": "content_block_start", "index": index,
                "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}})
        };
        let piece = |index: usize, c: char| {
            json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": c.to_string()}})
        };
        let mut events = vec![started(), tool(1, "t1", "record_answer"), tool(2, "t2", "end_call")];
        events.extend(r#"{"f":"b"}"#.chars().map(|c| piece(1, c)));
        events.push(ended("tool_use"));
        let pieces = assemble(&events).unwrap();
        let call = |id: &str, name: &str, arguments: &str| {
            LlmPiece::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), extra: None })
        };
        assert_eq!(pieces[..2], [call("t1", "record_answer", r#"{"f":"b"}"#), call("t2", "end_call", "{}")]);
        assert!(matches!(pieces[2], LlmPiece::Done { finish: LlmFinish::ToolCalls, .. }));
    }

    #[test]
    fn what_breaks_off_is_a_cut_by_its_code() {
        let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "you said ..."}, "request_id": "r"});
        let error = assemble(&[started(), text("Hel"), error]).unwrap_err();
        assert!(matches!(error, ProviderError::Cut { cause } if cause == "overloaded_error"));
        assert_eq!(assemble(&[started(), text("Hel")]).unwrap_err().kind(), "cut");
        let stray = json!({"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta", "partial_json": "x"}});
        assert_eq!(assemble(&[started(), stray]).unwrap_err().kind(), "cut");
    }

    #[test]
    fn reasons_are_told_apart() {
        for (reason, finish) in [
            ("max_tokens", LlmFinish::Length),
            ("refusal", LlmFinish::Refused),
            ("stop_sequence", LlmFinish::Stop),
            ("model_context_window_exceeded", LlmFinish::Length),
        ] {
            let pieces = assemble(&[started(), ended(reason)]).unwrap();
            assert!(matches!(pieces[0], LlmPiece::Done { finish: f, .. } if f == finish), "{reason}");
        }
    }
}
