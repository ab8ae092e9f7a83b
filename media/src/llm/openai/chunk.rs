//! The pieces of a streamed completion, put together.

use std::{borrow::Cow, collections::VecDeque};

use serde::Deserialize;

use crate::{
    dialogue::{LlmFinish, ToolCall},
    llm::{Estimate, LlmPiece, Usage, answer::Assemble},
    provider::ProviderError,
};

/// Tool calls in one answer; an index beyond it is a broken stream.
const MAX_TOOL_CALLS: usize = 16;
/// Joined arguments of one call.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Chunk<'a> {
    // First of all: a stream that fails half-way sends `{"error":{...}}` in place of a chunk.
    #[serde(default, borrow)]
    error: Option<&'a serde_json::value::RawValue>,
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, borrow)]
    delta: Option<Delta<'a>>,
    #[serde(default, borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, borrow)]
    content: Option<Text<'a>>,
    #[serde(default, borrow)]
    refusal: Option<Text<'a>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<CallPiece<'a>>>,
}

#[derive(Deserialize)]
struct CallPiece<'a> {
    // Some compatible servers leave it out for a single call.
    #[serde(default)]
    index: Option<usize>,
    #[serde(default, borrow)]
    id: Option<Text<'a>>,
    #[serde(default, borrow)]
    function: Option<FunctionPiece<'a>>,
    /// Gemini's: its thought signature.
    #[serde(default)]
    extra_content: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct FunctionPiece<'a> {
    #[serde(default, borrow)]
    name: Option<Text<'a>>,
    #[serde(default, borrow)]
    arguments: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// Joins chunks into pieces.
#[derive(Default)]
pub(super) struct Assembler {
    calls: Vec<ToolCall>,
    finish: Option<LlmFinish>,
    refused: bool,
    usage: Option<Usage>,
}

impl Assemble for Assembler {
    fn event(&mut self, data: &str, out: &mut VecDeque<LlmPiece>) -> Result<bool, ProviderError> {
        if data == "[DONE]" {
            return Ok(true);
        }
        self.chunk(data, out)?;
        Ok(false)
    }

    fn finish(&mut self, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError> {
        self.end(out)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

impl Assembler {
    fn chunk(&mut self, data: &str, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError> {
        let chunk: Chunk<'_> =
            serde_json::from_str(data).map_err(|_malformed| ProviderError::Cut { cause: "malformed".into() })?;
        if chunk.error.is_some_and(|error| error.get() != "null") {
            let code = crate::provider::error_code(data.as_bytes());
            return Err(ProviderError::Cut { cause: code.unwrap_or_else(|| "error_object".into()) });
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(Usage {
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
                completion_tokens: usage.completion_tokens,
            });
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(()) };
        if let Some(delta) = choice.delta {
            if let Some(Text(content)) = delta.content
                && !content.is_empty()
            {
                out.push_back(LlmPiece::Delta(content.into_owned()));
            }
            self.refused |= delta.refusal.is_some_and(|Text(refusal)| !refusal.is_empty());
            for piece in delta.tool_calls.into_iter().flatten() {
                out.push_back(LlmPiece::Writing(self.call_piece(piece)?));
            }
        }
        if let Some(Text(reason)) = choice.finish_reason {
            self.finish = Some(match &*reason {
                "length" => LlmFinish::Length,
                "tool_calls" | "function_call" => LlmFinish::ToolCalls,
                "content_filter" => LlmFinish::Refused,
                _ => LlmFinish::Stop,
            });
        }
        Ok(())
    }

    /// Joins a fragment to its call, and gives its size.
    fn call_piece(&mut self, piece: CallPiece<'_>) -> Result<Estimate, ProviderError> {
        let broken = || ProviderError::Cut { cause: "tool_call_out_of_bounds".into() };
        let index = piece.index.unwrap_or_else(|| match (&piece.id, self.calls.len()) {
            (Some(_), next) => next,
            (None, started) => started.saturating_sub(1),
        });
        if index >= MAX_TOOL_CALLS {
            return Err(broken());
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, ToolCall::default);
        }
        let call = &mut self.calls[index];
        if let Some(Text(id)) = piece.id
            && call.id.is_empty()
        {
            call.id = id.into_owned();
        }
        if let Some(extra) = piece.extra_content.filter(|extra| !extra.is_null()) {
            call.extra = Some(extra);
        }
        let mut size = Estimate::default();
        if let Some(function) = piece.function {
            if let Some(Text(name)) = function.name
                && call.name.is_empty()
            {
                size.add(Estimate::of(&name));
                call.name = name.into_owned();
            }
            if let Some(Text(arguments)) = function.arguments {
                size.add(Estimate::of(&arguments));
                call.arguments.push_str(&arguments);
            }
        }
        if call.arguments.len() > MAX_ARGUMENT_BYTES { Err(broken()) } else { Ok(size) }
    }

    /// Gives the tool calls, then the end.
    fn end(&mut self, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError> {
        let Some(finish) = self.finish else { return Err(ProviderError::Cut { cause: "no_finish".into() }) };
        let calls = std::mem::take(&mut self.calls).into_iter().filter(|call| !call.name.is_empty());
        let mut called = false;
        for (index, call) in calls.enumerate() {
            called = true;
            let id = if call.id.is_empty() { format!("call_{index}") } else { call.id };
            out.push_back(LlmPiece::ToolCall(ToolCall { id, ..call }));
        }
        let finish = match finish {
            _ if self.refused => LlmFinish::Refused,
            // Some compatible servers say `stop` after tool calls.
            LlmFinish::Stop if called => LlmFinish::ToolCalls,
            other => other,
        };
        out.push_back(LlmPiece::Done { finish, usage: self.usage });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(chunks: &[&str]) -> Result<Vec<LlmPiece>, ProviderError> {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        for chunk in chunks {
            assembler.chunk(chunk, &mut out)?;
        }
        assembler.end(&mut out)?;
        // Of the fragments only their calls are of interest here.
        Ok(out.into_iter().filter(|piece| !matches!(piece, LlmPiece::Writing(_))).collect())
    }

    const ROLE: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#;

    #[test]
    fn words_come_as_they_are_written_and_usage_at_the_end() {
        let pieces = assemble(&[
            ROLE,
            r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}],"obfuscation":"x"}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"lo\n"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0}}}"#,
        ]);
        let usage = Some(Usage { prompt_tokens: 10, cached_tokens: 8, completion_tokens: 2 });
        assert_eq!(
            pieces.unwrap(),
            [
                LlmPiece::Delta("Hel".into()),
                LlmPiece::Delta("lo\n".into()),
                LlmPiece::Done { finish: LlmFinish::Stop, usage }
            ]
        );
    }

    #[test]
    fn two_calls_in_one_character_pieces_are_joined_by_index() {
        let mut chunks = vec![
            ROLE.to_owned(),
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"record_answer","arguments":""}}]}}]}"#.into(),
            r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"end_call","arguments":""}}]}}]}"#.into(),
        ];
        for (a, b) in r#"{"f":"b"}"#.chars().zip(r#"{"r":"x"}"#.chars()) {
            let piece = |index, c: char| {
                let c = serde_json::to_string(&c).unwrap();
                format!(
                    r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index},"function":{{"arguments":{c}}}}}]}}}}]}}"#
                )
            };
            chunks.push(piece(1, b));
            chunks.push(piece(0, a));
        }
        chunks.push(r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#.into());
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        let call = |id: &str, name: &str, arguments: &str| {
            LlmPiece::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), extra: None })
        };
        assert_eq!(
            assemble(&chunks).unwrap(),
            [
                call("call_1", "record_answer", r#"{"f":"b"}"#),
                call("call_2", "end_call", r#"{"r":"x"}"#),
                LlmPiece::Done { finish: LlmFinish::ToolCalls, usage: None },
            ]
        );
    }

    #[test]
    fn geminis_call_comes_whole_with_its_signature_and_usage_on_every_chunk() {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        let whole = r#"{"choices":[{"delta":{"role":"assistant","tool_calls":[{"extra_content":{"google":{"thought_signature":"c2ln"}},"function":{"arguments":"{}","name":"end_call"},"id":"function-call-1","type":"function"}]},"index":0}],"usage":{"completion_tokens":7,"prompt_tokens":50,"total_tokens":57}}"#;
        assembler.chunk(whole, &mut out).unwrap();
        assert!(matches!(out.front(), Some(LlmPiece::Writing(_))), "a sign before its end: {out:?}");
        assert_eq!(assembler.usage().map(|usage| usage.prompt_tokens), Some(50), "known if it breaks off here");
        let end = r#"{"choices":[{"delta":{},"finish_reason":"stop","index":0}],"usage":{"completion_tokens":9,"prompt_tokens":50,"total_tokens":59}}"#;
        assembler.chunk(end, &mut out).unwrap();
        assembler.end(&mut out).unwrap();
        let extra = Some(serde_json::json!({"google": {"thought_signature": "c2ln"}}));
        let call = ToolCall { id: "function-call-1".into(), name: "end_call".into(), arguments: "{}".into(), extra };
        let usage = Some(Usage { prompt_tokens: 50, cached_tokens: 0, completion_tokens: 9 });
        let rest: Vec<LlmPiece> = out.into_iter().skip(1).collect();
        assert_eq!(rest, [LlmPiece::ToolCall(call), LlmPiece::Done { finish: LlmFinish::ToolCalls, usage }]);
    }

    #[test]
    fn an_error_object_ends_the_answer_by_its_code() {
        let error =
            assemble(&[ROLE, r#"{"error":{"message":"you said ...","type":"server_error","code":null}}"#]).unwrap_err();
        assert!(matches!(error, ProviderError::Cut { cause } if cause == "server_error"));
    }

    #[test]
    fn a_stream_that_ends_without_saying_why_is_a_cut() {
        assert_eq!(assemble(&[ROLE]).unwrap_err().kind(), "cut");
        assert_eq!(assemble(&["nonsense"]).unwrap_err().kind(), "cut");
    }

    #[test]
    fn a_refusal_and_an_index_out_of_bounds_are_noticed() {
        let refused = assemble(&[
            r#"{"choices":[{"delta":{"refusal":"I cannot"}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        ]);
        assert_eq!(refused.unwrap(), [LlmPiece::Done { finish: LlmFinish::Refused, usage: None }]);
        assert!(
            assemble(&[r#"{"choices":[{"delta":{"tool_calls":[{"index":99,"function":{"name":"x"}}]}}]}"#]).is_err()
        );
    }
}
