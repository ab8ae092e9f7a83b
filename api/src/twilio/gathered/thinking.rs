//! The model's answer to the human's last turn. What it does takes effect as it comes, whatever becomes of its words.

use serde_json::{Value, json};
use shared::agent_tool::{self, Deed, Effect, ToolSpec};
use shared::conversation_event::{CallEvent, EndReason, Evidence, LlmFailure};
use shared::gathered::Talk;
use shared::http_tool::client::Question as ToolQuestion;
use shared::persona::{self, Persona};
use shared::provider::LlmProvider;
use shared::turn::{Role, push_words};
use shared::voice_agent::VoiceAgentSettings;
use tokio::time::{Duration, Instant, timeout_at};

use super::keeping::{self, Work};
use crate::llm::{Llm, LlmError, Question, Said, ToolCall};
use crate::state::App;

/// Requests for one answer that a model may spend on tools before it must speak.
const TOOL_ROUNDS: usize = 4;
/// Tool calls of one answer.
const MOST_CALLS: usize = 8;
/// A model that failed is asked once more if so much time is left.
const LEAST_FOR_A_RETRY: Duration = Duration::from_millis(2_500);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// Empty if it gave no words.
    pub text: String,
    pub ends: Option<EndReason>,
    /// Tools of its were carried out.
    pub acted: bool,
}

/// One answer in the making.
pub(super) struct Thinking<'a> {
    pub app: &'a App,
    pub llm: &'a Llm,
    pub talk: &'a mut Talk,
    pub persona: &'a mut Persona,
    /// The human's turn that is answered, for the names of what tools are asked.
    pub turn: usize,
    /// Nothing is waited for any longer.
    pub until: Instant,
}

impl Thinking<'_> {
    pub(super) async fn reply(mut self) -> Reply {
        let (mut messages, tools) = (messages(self.talk, self.persona), self.persona.offered_tools());
        let (mut reply, mut calls, mut retried) = (Reply::default(), 0, false);
        for round in 0..=TOOL_ROUNDS {
            // Out of rounds the model can only speak.
            let offered = if round < TOOL_ROUNDS { &tools[..] } else { &[] };
            let Some(said) = self.ask(&messages, offered, &mut retried, !reply.text.is_empty()).await else { break };
            self.keep(Work::Used(format!("{}.{round}", self.turn), said.used.clone())).await;
            push_words(&mut reply.text, &said.text);
            if said.calls.is_empty() {
                break;
            }
            let mut results = Vec::new();
            for call in &said.calls {
                calls += 1;
                let told = match calls {
                    0..=MOST_CALLS => self.act(call, &mut reply).await,
                    _ => self.refuse(call, "too many calls").await,
                };
                results.push(json!({"role": "tool", "tool_call_id": call.id, "content": told}));
            }
            // With a question asked and only notes taken, a further request would only make the model repeat itself.
            let only_notes = said.calls.iter().all(|call| agent_tool::is_built_in(&call.name));
            if reply.ends.is_some() || only_notes && said.text.ends_with('?') {
                break;
            }
            messages.push(called(&said));
            messages.extend(results);
        }
        reply
    }

    /// One request, made twice if the first one fails early. `None`: no answer will come.
    async fn ask(&self, messages: &[Value], tools: &[ToolSpec], retried: &mut bool, has_words: bool) -> Option<Said> {
        let cache_key = self.talk.briefing.cache_key();
        let question = Question { messages, tools, model: model(&self.talk.briefing.settings), cache_key: &cache_key };
        loop {
            let failure = match timeout_at(self.until, self.llm.ask(question)).await {
                Ok(Ok(said)) => return Some(said),
                // Nothing more to say after what was said before the tools is no failure.
                Ok(Err(LlmError::Empty)) if has_words => return None,
                Ok(Err(error)) => {
                    tracing::warn!(call_id = %self.talk.briefing.call_id, %error, "the language model gave no answer");
                    error.failure()
                }
                Err(_elapsed) => LlmFailure::TimedOut,
            };
            metrics::counter!("gathered_replies_failed_total").increment(1);
            self.keep(Work::Event(CallEvent::ReplyFailed { failure, retried: *retried })).await;
            let time_is_left = self.until.saturating_duration_since(Instant::now()) >= LEAST_FOR_A_RETRY;
            if std::mem::replace(retried, true) || has_words || !time_is_left || !failure.worth_a_retry() {
                return None;
            }
        }
    }

    /// Carries a call out; what the model is told of it.
    async fn act(&mut self, call: &ToolCall, reply: &mut Reply) -> String {
        if !agent_tool::is_built_in(&call.name) {
            return self.ask_tool(call, reply).await;
        }
        let means = self.persona.means();
        let deed =
            agent_tool::parse(&call.name, &call.arguments).and_then(|built_in| agent_tool::deed(built_in, &means));
        let deed = match deed {
            Ok(deed) => deed,
            Err(problem) => return self.refuse(call, problem).await,
        };
        reply.acted = true;
        match deed {
            Deed::Done { effect, told } => {
                if let Effect::Answer { field, value } = &effect {
                    self.persona.collected.insert(field.clone(), value.clone());
                }
                self.keep(Work::Effect(effect)).await;
                told
            }
            Deed::Forbids { note, told } => {
                if !std::mem::replace(&mut self.talk.forbids_calls, true) {
                    let event = CallEvent::DoNotCallRequested { evidence: Evidence::Tool, note };
                    self.keep(Work::Event(event)).await;
                }
                told
            }
            Deed::Ends { event, reason } => {
                self.keep(Work::Event(event)).await;
                reply.ends = Some(reason);
                "the call ends after your words".to_owned()
            }
        }
    }

    /// One of the account's own tools.
    async fn ask_tool(&mut self, call: &ToolCall, reply: &mut Reply) -> String {
        let briefing = &self.talk.briefing;
        let Some(tool) = briefing.settings.tools.iter().find(|tool| tool.name == call.name) else {
            return self.refuse(call, "there is no such tool").await;
        };
        let question = ToolQuestion {
            tool: tool.clone(),
            id: format!("{}-{}-{}", briefing.call_id, self.turn, call.id),
            account: briefing.account_id,
            arguments: call.arguments.clone(),
            about: persona::about(briefing),
        };
        reply.acted = true;
        match timeout_at(self.until, self.app.http_tools.ask(&question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => self.failed(call, "the tool failed", problem).await,
            Err(_elapsed) => self.failed(call, "no result in time", "the service did not answer in time").await,
        }
    }

    async fn refuse(&self, call: &ToolCall, problem: &'static str) -> String {
        self.failed(call, problem, problem).await
    }

    async fn failed(&self, call: &ToolCall, problem: &'static str, told: &str) -> String {
        self.keep(Work::Event(CallEvent::ToolFailed { name: call.name.clone(), problem })).await;
        json!({"error": told}).to_string()
    }

    async fn keep(&self, work: Work) {
        keeping::keep(self.app, self.talk, work).await;
    }
}

/// The model that the voice agent names, if it is one of this wire.
fn model(agent: &VoiceAgentSettings) -> Option<&str> {
    let choice = agent.llm.as_ref();
    let is_ours = choice.is_none_or(|choice| choice.provider == LlmProvider::OpenAi);
    choice.and_then(|choice| choice.model.as_deref()).or(agent.llm_model.as_deref()).filter(|_| is_ours)
}

/// The conversation in the wire's words.
fn messages(talk: &Talk, persona: &Persona) -> Vec<Value> {
    let mut messages: Vec<(&str, String)> = vec![("system", persona.system_prompt())];
    for turn in &talk.briefing.turns {
        let role = match turn.role {
            Role::Agent => "assistant",
            Role::Callee => "user",
            Role::Tool => continue,
        };
        match messages.last_mut() {
            // Neighbours are one message, as the model would have it.
            Some((last, text)) if *last == role => push_words(text, &turn.text),
            _ => messages.push((role, turn.text.clone())),
        }
    }
    messages.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// The model's own message, for its next request.
fn called(said: &Said) -> Value {
    let calls: Vec<Value> = said
        .calls
        .iter()
        .map(|call| {
            json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
        })
        .collect();
    // An assistant that only calls says null, not "".
    let content = if said.text.is_empty() { Value::Null } else { said.text.as_str().into() };
    json!({"role": "assistant", "content": content, "tool_calls": calls})
}
