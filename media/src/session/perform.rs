//! Carrying out what the dialogue wants. Nothing in here waits.

use shared::http_tool::client::Question;

use super::actor::Actor;
use crate::{
    dialogue::{AskId, CallEvent, CallTime, Epoch, Input, Output, Speaker, ToolOutcome, TurnRecord},
    llm::LlmRequest,
    pacer::PacerCommand,
    provider::ProviderError,
    recorder::Entry,
    store::{self, Held},
    tts::TtsCommand,
};

impl Actor {
    pub(super) fn perform(&mut self, now: CallTime, output: Output) {
        match output {
            Output::AskLlm { ask, epoch, messages, tools, speculative } => {
                metrics::counter!("llm_requests_total", "speculative" => if speculative { "true" } else { "false" })
                    .increment(1);
                self.clock.asked(epoch, ask);
                let request = LlmRequest { messages, tools, cache_key: self.cache_key.clone() };
                self.ask(ask, request);
            }
            Output::CancelLlm { ask } => {
                if let Some((_, asking)) = self.asking.take_if(|(running, _)| *running == ask) {
                    asking.abort();
                }
            }
            Output::RunTool { call_id, name, arguments } => self.run_tool(call_id, &name, arguments),
            Output::Speak { epoch, clause, text } => self.speak(epoch, clause, text),
            Output::FlushSpeech { epoch } => self.tell_voice(epoch, TtsCommand::Finish { epoch }),
            Output::CancelSpeech { epoch } => self.tell_voice(epoch, TtsCommand::Cancel { epoch }),
            Output::PausePlayout { epoch } => self.order(PacerCommand::Pause { epoch }),
            Output::ResumePlayout { epoch, from_samples } => {
                self.order(PacerCommand::Resume { epoch, from: from_samples });
            }
            Output::ClearPlayout { epoch } => {
                self.reservoir.clear(epoch);
                self.order(PacerCommand::Clear { epoch });
            }
            Output::FinalizeStt => self.finalize(),
            Output::ListenForBeep => self.listen_for_beep(),
            Output::PrepareRecording => self.prepare_recording(),
            Output::PlayRecording { epoch, clause } => self.play_recording(epoch, clause),
            Output::Record(turn) => self.record(&turn),
            Output::NoteUnsettled(words) => {
                self.recorder.put(Entry::Unsettled(words.as_ref().map(store::unsettled)));
            }
            Output::NoteHeard(words) => self.recorder.put(Entry::Heard(store::unsettled(&words))),
            Output::RecordAnswer { field, value, .. } => self.recorder.put(Entry::Answer { field, value }),
            Output::SendMessage { template, text, dlt_template_id } => {
                let at = self.app.store.now();
                self.recorder.put(Entry::Message { template, text, dlt_template_id, at });
            }
            Output::Event(event) => {
                if let CallEvent::NothingUnderstood { .. } = event {
                    self.no_words();
                }
                self.recorder.put(Entry::Event { event, at: self.app.store.now() });
            }
            Output::Metric(name) => metrics::counter!(format!("dialogue_{name}_total")).increment(1),
            Output::HangUp { reason } => {
                // The socket is closed when the end is stored: the flow asks why as soon as it is.
                tracing::debug!(call_id = %self.held.call_id, ?reason, at_ms = now.as_millis(), "hanging up");
            }
            Output::SpeakLanguage { language } => self.speak_in(&language),
            Output::Ended { reason } => self.ended = Some(reason),
        }
    }

    fn ask(&mut self, ask: AskId, request: LlmRequest) {
        let Some(thinker) = self.thinker.clone() else { return };
        let asking = self.tasks.spawn(thinker.answer(ask, request));
        if let Some((_, superseded)) = self.asking.replace((ask, asking)) {
            superseded.abort();
        }
        // Finished tasks are collected as we go, or a long call would gather them.
        while self.tasks.try_join_next().is_some() {}
    }

    /// In a task of its own that no turn cancels: the tool may have done something, and the dialogue waits for its answer.
    fn run_tool(&mut self, call_id: String, name: &str, arguments: String) {
        let Some(tool) = self.agent.tools.iter().find(|tool| tool.name == name) else {
            let outcome = ToolOutcome::Failed(format!("The function {name} is not available in this call."));
            return self.inputs.push_back(Input::ToolResult { call_id, outcome });
        };
        let question = Question {
            tool: tool.clone(),
            id: question_id(&self.held, &call_id),
            account: self.held.account_id,
            arguments,
            about: self.about.clone(),
        };
        let (tools, results) = (self.app.http_tools.clone(), self.tool_results.clone());
        self.tasks.spawn(async move {
            let outcome = match tools.ask(&question).await {
                Ok(answer) => ToolOutcome::Ok(answer),
                Err(problem) => ToolOutcome::Failed(problem.to_owned()),
            };
            // Nobody listens any more if the call ended first.
            let _ = results.send((call_id, outcome)).await;
        });
    }

    fn speak(&mut self, epoch: Epoch, clause: u32, text: String) {
        self.clock.spoke(epoch);
        let is_first = *self.first_epoch.get_or_insert(epoch) == epoch;
        let repeats = is_first && !self.personal.iter().any(|value| text.contains(value.as_str()));
        let command = TtsCommand::Speak { epoch, clause, text, repeats };
        if !self.mouth.order(&mut self.tasks, command) {
            let error = ProviderError::Unavailable { cause: "queue".into() };
            tracing::error!(call_id = %self.held.call_id, kind = error.kind(), "the voice takes no more clauses");
            self.inputs.push_back(Input::TtsFailed { epoch, clause });
        }
    }

    /// Another voice from here on. Whoever transcribes was told before of every language that may come.
    fn speak_in(&mut self, language: &str) {
        match self.app.providers.voices(&self.agent, language) {
            Ok(voices) => self.mouth.change(&mut self.tasks, voices),
            // It worked for the language before: a key cannot be missing.
            Err(error) => tracing::error!(call_id = %self.held.call_id, %error, language, "no voice for this language"),
        }
    }

    fn tell_voice(&mut self, epoch: Epoch, command: TtsCommand) {
        if !self.mouth.order(&mut self.tasks, command) {
            metrics::counter!("orders_lost_total", "to" => "tts").increment(1);
            // Its end will not come: the reply is as complete as it will ever be.
            self.inputs.push_back(Input::TtsDone { epoch });
        }
    }

    fn record(&mut self, turn: &TurnRecord) {
        let stages = match turn.speaker {
            Speaker::Agent => {
                self.clock.measure(&turn.latency);
                self.clock.stages(&turn.latency)
            }
            Speaker::Human => serde_json::json!({}),
        };
        self.recorder.put(Entry::Turn(store::turn(turn, stages)));
        self.note_usage();
    }
}

/// Names one question to an account's service, as its `Idempotency-Key`. A model counts its calls anew in every stream, and two
/// streams of one call ask different things under the same number.
fn question_id(held: &Held, call_id: &str) -> String {
    let plain =
        |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect::<String>();
    format!("{}-{}-{}", held.call_id, plain(&held.stream_sid), plain(call_id))
}

#[cfg(test)]
mod tests {
    use shared::id::{AccountId, CallId};

    use super::*;

    #[test]
    fn two_streams_of_one_call_never_ask_under_the_same_name() {
        let held = |sid: &str| Held { call_id: CallId(7), account_id: AccountId(1), stream_sid: sid.into() };
        assert_eq!(question_id(&held("MZ1"), "call_0"), "7-MZ1-call_0");
        assert_ne!(question_id(&held("MZ1"), "call_0"), question_id(&held("MZ2"), "call_0"));
        assert_eq!(question_id(&held("s\n1"), "c 1"), "7-s1-c1", "it is a header's value");
    }
}
