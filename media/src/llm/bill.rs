//! What one request is charged for. A request that is dropped, cut or late never says: then it is estimated.

use shared::ledger::Unit;

use super::{LlmPiece, LlmRequest, Usage};
use crate::{
    dialogue::{Message, ToolCall},
    provider::Provider,
    usage::Meter,
};

/// About how many tokens a text is, where nobody counted: a token is four characters, or one and a half of an Indian script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    twelfths: u64,
}

impl Estimate {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        let twelfths = text.chars().map(|c| if matches!(c, '\u{900}'..='\u{dff}') { 8 } else { 3 }).sum();
        Self { twelfths }
    }

    /// Of the whole conversation, and of every function that is offered with it.
    pub(super) fn of_request(request: &LlmRequest) -> Self {
        let mut estimate = Self::default();
        for message in &request.messages {
            match message {
                Message::System { text } | Message::User { text } => estimate.add(Self::of(text)),
                Message::Assistant { text, tool_calls } => {
                    estimate.add(Self::of(text));
                    for ToolCall { name, arguments, .. } in tool_calls {
                        estimate.add(Self::of(name));
                        estimate.add(Self::of(arguments));
                    }
                }
                Message::Tool { content, .. } => estimate.add(Self::of(content)),
            }
        }
        for tool in request.tools.iter() {
            estimate.add(Self::of(&tool.name));
            estimate.add(Self::of(&tool.description));
            estimate.add(Self::of(&tool.parameters.to_string()));
        }
        estimate
    }

    pub(super) fn add(&mut self, more: Self) {
        self.twelfths += more.twelfths;
    }

    fn tokens(self) -> u64 {
        self.twelfths.div_ceil(12)
    }
}

/// Is there from before the request is sent, and charges it when it goes, however that comes about.
pub(super) struct Bill {
    meter: Meter,
    provider: Provider,
    model: String,
    prompt: Estimate,
    answer: Estimate,
    usage: Option<Usage>,
    is_whole: bool,
    waived: bool,
}

impl Bill {
    pub(super) fn new(meter: &Meter, provider: Provider, model: &str, prompt: Estimate) -> Self {
        let (meter, model) = (meter.clone(), model.to_owned());
        Self {
            meter,
            provider,
            model,
            prompt,
            answer: Estimate::default(),
            usage: None,
            is_whole: false,
            waived: false,
        }
    }

    /// The request was refused, or never arrived: no work was done on it.
    pub(super) fn waive(&mut self) {
        self.waived = true;
    }

    pub(super) fn note(&mut self, piece: &LlmPiece) {
        match piece {
            LlmPiece::Delta(text) => self.answer.add(Estimate::of(text)),
            LlmPiece::Writing(more) => self.answer.add(*more),
            // Counted while it was written.
            LlmPiece::ToolCall(_) => {}
            LlmPiece::Done { usage, .. } => {
                self.usage = *usage;
                self.is_whole = true;
            }
        }
    }

    /// What the provider has said so far, of an answer that may yet break off.
    pub(super) fn note_usage(&mut self, so_far: Option<Usage>) {
        if !self.is_whole {
            self.usage = so_far;
        }
    }

    fn charged(&self) -> Usage {
        let answer = self.answer.tokens();
        match self.usage {
            Some(usage) if self.is_whole => usage,
            // Told in the middle, it does not know of what came behind.
            Some(usage) => Usage { completion_tokens: usage.completion_tokens.max(answer), ..usage },
            None => Usage { prompt_tokens: self.prompt.tokens(), cached_tokens: 0, completion_tokens: answer },
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.waived {
            return;
        }
        let charged = self.charged();
        let count = |unit, tokens| self.meter.counter(self.provider, &self.model, unit).add(tokens);
        count(Unit::LlmInputToken, charged.prompt_tokens.saturating_sub(charged.cached_tokens));
        count(Unit::LlmCachedToken, charged.cached_tokens);
        count(Unit::LlmOutputToken, charged.completion_tokens);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialogue::{LlmFinish, ToolSpec};

    fn charged(notes: impl FnOnce(&mut Bill)) -> Vec<(Unit, i64)> {
        let meter = Meter::default();
        let mut bill = Bill::new(&meter, Provider::OpenAi, "m", Estimate { twelfths: 12 * 100 });
        notes(&mut bill);
        drop(bill);
        meter.used().into_iter().map(|used| (used.unit, used.quantity)).collect()
    }

    #[test]
    fn indian_scripts_take_more_tokens_and_functions_are_read_too() {
        assert_eq!(Estimate::of("four").tokens(), 1);
        assert_eq!(Estimate::of("नमस्ते").tokens(), 4);
        let spec = ToolSpec { name: "n".into(), description: "d".into(), parameters: json!({"type": "object"}) };
        let request = |tools: Vec<ToolSpec>| LlmRequest {
            messages: vec![Message::User { text: "hi".into() }],
            tools: tools.into(),
            cache_key: String::new(),
        };
        let with = Estimate::of_request(&request(vec![spec])).tokens();
        assert!(with >= Estimate::of_request(&request(vec![])).tokens() + 4, "{with}");
    }

    #[test]
    fn what_the_provider_counted_goes_before_any_estimate() {
        let usage = Usage { prompt_tokens: 50, cached_tokens: 40, completion_tokens: 2 };
        let whole = charged(|bill| {
            bill.note(&LlmPiece::Delta("a rather long answer".into()));
            bill.note(&LlmPiece::Done { finish: LlmFinish::Stop, usage: Some(usage) });
        });
        assert_eq!(whole, [(Unit::LlmInputToken, 10), (Unit::LlmCachedToken, 40), (Unit::LlmOutputToken, 2)]);
        let cut = charged(|bill| {
            bill.note(&LlmPiece::Delta("a rather long answer".into()));
            bill.note_usage(Some(usage));
        });
        assert_eq!(cut, [(Unit::LlmInputToken, 10), (Unit::LlmCachedToken, 40), (Unit::LlmOutputToken, 5)]);
    }

    #[test]
    fn what_was_dropped_is_estimated_and_what_was_refused_is_not_charged() {
        let dropped = charged(|bill| bill.note(&LlmPiece::Writing(Estimate::of("record_answer"))));
        assert_eq!(dropped, [(Unit::LlmInputToken, 100), (Unit::LlmOutputToken, 4)]);
        assert_eq!(charged(Bill::waive), []);
    }
}
