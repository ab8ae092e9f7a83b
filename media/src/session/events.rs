//! What comes in from the carrier, from whoever hears, thinks and speaks, and from the pacer: made inputs of the dialogue.

use axum::extract::ws::Message;
use tokio::time::Instant;

use super::actor::{Actor, LlmEvent};
use crate::{
    audio::vad::VadEvent,
    carrier::{CarrierEvent, FrameError},
    dialogue::{Epoch, Input, StreamEnd},
    llm::LlmPiece,
    pacer::{PacerCommand, Report},
    provider::{FailOver, ProviderError},
    recorder::Entry,
    stt::SttEvent,
    tts::TtsEvent,
};

/// Malformed frames tolerated before the stream is closed: a codec of ours that is wrong would otherwise be a silent call.
const MAX_MALFORMED: u32 = 50;

impl Actor {
    pub(super) fn heard(&mut self, frame: Option<Result<Message, axum::Error>>) {
        match frame {
            Some(Ok(Message::Text(text))) => {
                let mut samples = std::mem::take(&mut self.samples);
                let event = self.reader.parse(&text, &mut samples);
                self.carrier_event(event, &samples);
                self.samples = samples;
            }
            Some(Ok(Message::Binary(_))) => self.malformed("binary"),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => self.give(Input::StreamStopped { reason: StreamEnd::Lost }),
            Some(Err(error)) => {
                tracing::debug!(call_id = %self.held.call_id, %error, "the carrier's socket broke");
                self.give(Input::StreamStopped { reason: StreamEnd::Lost });
            }
        }
    }

    fn carrier_event(&mut self, event: Result<CarrierEvent, FrameError>, samples: &[i16]) {
        match event {
            Ok(CarrierEvent::Media { timestamp_ms }) => self.listen(timestamp_ms, samples),
            Ok(CarrierEvent::Mark { name }) => self.order(PacerCommand::Marked { name }),
            Ok(CarrierEvent::Dtmf { digit }) => self.give(Input::Dtmf { digit }),
            Ok(CarrierEvent::Stop { reason }) => {
                tracing::debug!(call_id = %self.held.call_id, reason, "the carrier stopped the stream");
                self.give(Input::StreamStopped { reason: StreamEnd::HungUp });
            }
            // A second start, or the carrier clearing its own queue, changes nothing that the playout clock would not show.
            Ok(CarrierEvent::Connected | CarrierEvent::Start(_) | CarrierEvent::Clear) => {}
            Ok(CarrierEvent::Unknown { kind }) => {
                metrics::counter!("unknown_events_total", "from" => "carrier").increment(1);
                if !std::mem::replace(&mut self.saw_unknown, true) {
                    tracing::warn!(call_id = %self.held.call_id, kind, "the carrier sends an event we do not know");
                }
            }
            Err(error) => self.malformed(error.kind()),
        }
    }

    fn malformed(&mut self, kind: &'static str) {
        metrics::counter!("malformed_frames_total", "from" => "carrier", "kind" => kind).increment(1);
        self.malformed += 1;
        if self.malformed > MAX_MALFORMED {
            tracing::error!(call_id = %self.held.call_id, kind, "too many malformed frames: closing the stream");
            self.give(Input::StreamStopped { reason: StreamEnd::Lost });
        }
    }

    /// Sound of the human: to the transcriber at once, and through our own ear.
    fn listen(&mut self, timestamp_ms: Option<u64>, samples: &[i16]) {
        self.last_media_at = Instant::now();
        if let Some(tape) = &self.tape {
            tape.human(self.last_media_at, timestamp_ms, samples);
        }
        let dropped = self.hearing.push(samples);
        if dropped > 0 {
            metrics::counter!("dropped_audio_samples_total", "to" => "stt").increment(dropped as u64);
        }
        let now = self.now();
        let mut inputs = Vec::new();
        for event in self.vad.push(samples) {
            match event {
                VadEvent::Started { ago } => inputs.push(Input::VoiceStarted { began: now - ago }),
                VadEvent::Stopped { ago } => inputs.push(Input::VoiceStopped { ended: now - ago }),
                VadEvent::GoesOn { ago } => inputs.push(Input::VoiceGoesOn { until: now - ago }),
                VadEvent::Beep => inputs.push(Input::Beep),
            }
        }
        for input in inputs {
            match input {
                Input::VoiceStarted { began } => self.voice_began = Some(began),
                Input::VoiceStopped { .. } => self.voice_began = None,
                _ => {}
            }
            self.give(input);
        }
    }

    pub(super) fn transcribed(&mut self, event: SttEvent) {
        match event {
            SttEvent::Connected { provider, after } => {
                metrics::histogram!("provider_connect_seconds", "provider" => provider.as_str()).record(after);
                if std::mem::take(&mut self.stt_down) {
                    self.give(Input::SttRecovered);
                }
            }
            // A blink is covered by the replay; from the second attempt on the dialogue should know.
            SttEvent::Reconnecting { attempt } if attempt < 2 => {}
            SttEvent::Reconnecting { .. } | SttEvent::Lost(_) => {
                if let SttEvent::Lost(error) = &event {
                    tracing::error!(call_id = %self.held.call_id, kind = error.kind(), %error, "no transcripts any more");
                }
                if !std::mem::replace(&mut self.stt_down, true) {
                    self.give(Input::SttUnavailable);
                }
            }
            SttEvent::SpeechStarted { .. } => {}
            SttEvent::Interim { text, .. } => self.give(Input::SttInterim { text }),
            SttEvent::Final(transcript) => {
                if let Some(language) = transcript.languages.into_iter().next() {
                    self.give(Input::SttLanguage { language });
                }
                self.give(Input::SttFinal { text: transcript.text, speech_final: transcript.speech_final });
            }
            SttEvent::UtteranceEnd { .. } => self.give(Input::SttUtteranceEnd),
            SttEvent::EagerEndOfTurn => self.give(Input::SttEagerEndOfTurn),
            SttEvent::TurnResumed => self.give(Input::SttTurnResumed),
            SttEvent::EndOfTurn => self.give(Input::SttEndOfTurn),
            SttEvent::FailedOver(over) => self.went_over(&over),
        }
    }

    pub(super) fn thought(&mut self, event: LlmEvent) {
        let LlmEvent { ask, asked_at, arrived_at, what } = event;
        self.clock.answered(ask, self.at(asked_at), self.at(arrived_at));
        let input = match what {
            Ok(LlmPiece::Delta(text)) => Input::LlmDelta { ask, text },
            Ok(LlmPiece::Writing(_)) => Input::LlmWriting { ask },
            Ok(LlmPiece::ToolCall(call)) => Input::LlmToolCall { ask, call },
            Ok(LlmPiece::Done { finish, usage }) => {
                if let Some(usage) = usage {
                    metrics::counter!("llm_tokens_total", "kind" => "prompt").increment(usage.prompt_tokens);
                    metrics::counter!("llm_tokens_total", "kind" => "cached").increment(usage.cached_tokens);
                    metrics::counter!("llm_tokens_total", "kind" => "completion").increment(usage.completion_tokens);
                }
                Input::LlmDone { ask, finish }
            }
            Err(kind) => Input::LlmFailed { ask, kind },
        };
        self.give(input);
    }

    pub(super) fn voiced(&mut self, event: TtsEvent) {
        match event {
            TtsEvent::Connected { provider, after } => {
                metrics::histogram!("provider_connect_seconds", "provider" => provider.as_str()).record(after);
            }
            TtsEvent::FailedOver(over) => self.went_over(&over),
            TtsEvent::Audio { epoch, clause, audio, alignment, first } => {
                if let Some(first) = first {
                    self.clock.sounded(epoch, self.at(first.asked_at), self.at(first.received_at));
                }
                let samples = u32::try_from(audio.samples.len()).unwrap_or(u32::MAX);
                self.order(PacerCommand::Play { epoch, clause, audio });
                self.give(Input::TtsAudio { epoch, clause, samples, alignment });
            }
            TtsEvent::Done { epoch } => {
                self.order(PacerCommand::End { epoch });
                self.give(Input::TtsDone { epoch });
            }
            TtsEvent::Failed { epoch, clause, error } => self.speech_failed(epoch, clause, &error),
        }
    }

    /// A second choice took over: the human need not have noticed, operators must.
    pub(super) fn went_over(&mut self, over: &FailOver) {
        let (part, from, to) = (over.part.as_str(), over.from.as_str(), over.to.as_str());
        metrics::counter!("provider_failovers_total", "part" => part, "from" => from, "to" => to, "kind" => over.error.kind())
            .increment(1);
        tracing::warn!(call_id = %self.held.call_id, part, from, to, error = %over.error, "the second choice goes on");
        self.recorder.put(Entry::FailedOver { over: over.clone(), at: self.app.store.now() });
    }

    /// Hands what the call used so far to the ledger.
    pub(super) fn note_usage(&self) {
        let used = self.meter.used();
        if !used.is_empty() {
            self.recorder.put(Entry::Usage(used));
        }
    }

    pub(super) fn speech_failed(&mut self, epoch: Epoch, clause: u32, error: &ProviderError) {
        tracing::warn!(call_id = %self.held.call_id, kind = error.kind(), %error, "speech failed");
        self.give(Input::TtsFailed { epoch, clause });
    }

    pub(super) fn reported(&mut self, report: Report) {
        match report {
            Report::Started { epoch } => {
                self.clock.started(epoch, self.now());
                self.give(Input::PlayoutStarted { epoch });
            }
            Report::Played { epoch, samples } => {
                self.reservoir.played(epoch, samples);
                self.give(Input::Played { epoch, samples });
            }
            Report::Drained { epoch } => self.give(Input::PlayoutDrained { epoch }),
            Report::Cleared => {
                if let Some(began) = self.voice_began {
                    metrics::histogram!("barge_in_stop_seconds").record(self.now().since(began));
                }
            }
        }
    }
}
