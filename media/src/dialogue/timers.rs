//! Every deadline of the conversation, derived from its state, and what happens when it comes.

use serde::Serialize;
use shared::conversation_event::{CallEvent, EndReason};

use super::input::CallTime;
use super::output::Output;
use super::{Dialogue, ms};

/// Without `Started` there is no call.
const NEVER_STARTED_MS: u64 = 10_000;
/// Somebody who says hello for longer than this is heard out by the ordinary rules.
const LONGEST_HELLO_MS: u64 = 3_000;
/// Silence after the hello before the greeting.
const AFTER_HELLO_MS: u64 = 400;
/// Timers that may come due at one instant before something must be wrong.
const MOST_AT_ONCE: u32 = 16;

/// What a deadline waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NeverStarted,
    HelloAwaited,
    BeepAwaited,
    FinalizeStt,
    EndOfTurn,
    NothingTranscribed,
    TurnTooLong,
    HumanSilent,
    FirstTokenLate,
    NextTokenLate,
    ToolLate,
    ToolSlow,
    FirstAudioLate,
    SpeechStalled,
    PlayoutStuck,
    GoodbyeDrained,
    BargeInConfirmed,
    BargeInForgotten,
    TranscriptDown,
    DrainOver,
    TimeForGoodbye,
    MaxDuration,
}

/// The earliest of the deadlines offered.
#[derive(Default)]
struct Earliest(Option<(CallTime, Reason)>);

impl Earliest {
    fn offer(&mut self, at: CallTime, reason: Reason) {
        if self.0.is_none_or(|(earliest, _)| at < earliest) {
            self.0 = Some((at, reason));
        }
    }
}

impl Dialogue {
    /// When to give [`super::Input::Deadline`] if nothing else happens before, and what for. Always after the last `handle`,
    /// and always there until the dialogue has ended.
    pub fn deadline(&self) -> Option<(CallTime, Reason)> {
        let (at, reason) = self.next_deadline()?;
        Some((at.max(self.now + ms(1)), reason))
    }

    fn next_deadline(&self) -> Option<(CallTime, Reason)> {
        if self.ended {
            return None;
        }
        let mut earliest = Earliest::default();
        self.offer_call_deadlines(&mut earliest);
        self.offer_phase_deadlines(&mut earliest);
        earliest.0
    }

    /// Those that hold whatever the phase.
    fn offer_call_deadlines(&self, earliest: &mut Earliest) {
        let limits = &self.settings.limits;
        let max = limits.max_duration_ms;
        earliest.offer(CallTime::from_millis(max), Reason::MaxDuration);
        let closing = self.reply.as_ref().is_some_and(|reply| reply.then_end.is_some());
        if !closing {
            earliest.offer(limits.goodbye_at(), Reason::TimeForGoodbye);
            if let Some(since) = self.stt_down {
                earliest.offer(since + ms(limits.stt_down_ms), Reason::TranscriptDown);
            }
        }
        if let Some(by) = self.drain_by {
            earliest.offer(by, Reason::DrainOver);
        }
        if let Some((since, ..)) = self.running_tool() {
            earliest.offer(since + ms(limits.tool_ms), Reason::ToolLate);
        }
    }

    /// The way out of the phase: without one a lost event would leave the call hanging.
    fn offer_phase_deadlines(&self, earliest: &mut Earliest) {
        if !self.started {
            return earliest.offer(CallTime::from_millis(NEVER_STARTED_MS), Reason::NeverStarted);
        }
        self.offer_finalize(earliest);
        if self.reply.is_some() {
            self.offer_reply_deadlines(earliest);
        } else if let Some(at) = self.machine_waited() {
            earliest.offer(at, Reason::BeepAwaited);
        } else if let Some(until) = self.opening {
            earliest.offer(self.hello_until(until), Reason::HelloAwaited);
        } else if self.utterance.is_some() {
            self.offer_utterance_deadlines(earliest);
        } else {
            let limits = &self.settings.limits;
            let wait = if self.reprompts == 0 { limits.silence_ms } else { limits.silence_again_ms };
            earliest.offer(self.quiet_since + ms(wait), Reason::HumanSilent);
        }
    }

    /// The way out of the present phase, beside the limits of the whole call.
    #[cfg(test)]
    pub(super) fn phase_deadline(&self) -> Option<(CallTime, Reason)> {
        let mut earliest = Earliest::default();
        self.offer_phase_deadlines(&mut earliest);
        if let Some((since, ..)) = self.ledger.oldest_running() {
            earliest.offer(since + ms(self.settings.limits.tool_ms), Reason::ToolLate);
        }
        earliest.0
    }

    fn hello_until(&self, until: CallTime) -> CallTime {
        match self.utterance.as_ref().map(|utterance| utterance.silent_since()) {
            None => until,
            Some(None) => until + ms(LONGEST_HELLO_MS),
            Some(Some(silent)) => silent + ms(AFTER_HELLO_MS),
        }
    }

    fn offer_finalize(&self, earliest: &mut Earliest) {
        let Some(utterance) =
            self.utterance.as_ref().filter(|utterance| !utterance.finalize_sent && utterance.voice_since.is_none())
        else {
            return;
        };
        if let (Some(ended), false) = (utterance.voice_ended, utterance.is_settled()) {
            earliest.offer(ended + ms(self.settings.endpointing.eager_ms), Reason::FinalizeStt);
        }
    }

    fn offer_utterance_deadlines(&self, earliest: &mut Earliest) {
        let Some(utterance) = &self.utterance else { return };
        if let Some(at) = self.end_of_turn_at(utterance) {
            earliest.offer(at, Reason::EndOfTurn);
        }
        match utterance.silent_since() {
            None => {
                let since = utterance.voice_since.unwrap_or(utterance.began);
                earliest.offer(since + ms(self.settings.limits.longest_turn_ms), Reason::TurnTooLong);
            }
            Some(silent) if utterance.text().is_empty() => {
                earliest.offer(silent + ms(self.settings.endpointing.no_text_ms), Reason::NothingTranscribed);
            }
            Some(_) => {}
        }
        // However the noise comes and goes.
        if utterance.text().is_empty()
            && let Some(at) = self.endpointing.wordless_until(utterance)
        {
            earliest.offer(at, Reason::NothingTranscribed);
        }
    }

    fn offer_reply_deadlines(&self, earliest: &mut Earliest) {
        let Some(reply) = &self.reply else { return };
        let limits = &self.settings.limits;
        if let Some(ask) = reply.ask {
            match ask.last_token {
                None => earliest.offer(ask.asked + ms(limits.first_token_ms), Reason::FirstTokenLate),
                Some(last) => earliest.offer(last + ms(limits.token_gap_ms), Reason::NextTokenLate),
            }
        }
        if let Some((at, interrupts)) = self.duck_ends() {
            return earliest.offer(at, if interrupts { Reason::BargeInConfirmed } else { Reason::BargeInForgotten });
        }
        if self.settings.fillers && reply.awaits_tools && !reply.filled && reply.speech.first_silent().is_none() {
            let since = self.ledger.oldest_running().map_or(self.now, |(since, ..)| since);
            earliest.offer(since.max(reply.expected_end()) + ms(limits.filler_ms), Reason::ToolSlow);
        }
        if reply.speech.first_silent().is_some() {
            earliest.offer(
                reply.expected_end().max(reply.speech_moved) + ms(limits.first_audio_ms),
                Reason::FirstAudioLate,
            );
        } else if reply.flushed && !reply.speech_done {
            // The voice has deadlines of its own, and a second choice.
            let moved = reply.expected_end().max(reply.speech_moved);
            earliest.offer(moved + ms(limits.speech_stalled_ms), Reason::SpeechStalled);
        } else if reply.flushed && reply.then_end.is_some() {
            earliest.offer(reply.expected_end() + ms(limits.drain_slack_ms), Reason::GoodbyeDrained);
        } else if reply.flushed {
            earliest.offer(reply.expected_end() + ms(limits.playout_stuck_ms), Reason::PlayoutStuck);
        }
    }

    /// Does everything whose time has come.
    pub(super) fn fire_due(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            match self.next_deadline() {
                Some((at, reason)) if at <= self.now => {
                    self.fire(reason);
                    self.advance();
                }
                _ => return,
            }
        }
        // Cannot happen, as far as the property tests know. The caller sleeps at least 1 ms, so even then nothing spins.
        self.metric("timers_stuck");
    }

    fn fire(&mut self, reason: Reason) {
        match reason {
            Reason::NeverStarted => self.end(EndReason::StreamLost, true),
            Reason::HelloAwaited => self.hello_waited(),
            Reason::BeepAwaited => self.leave_message(),
            Reason::FinalizeStt => {
                if let Some(utterance) = &mut self.utterance {
                    utterance.finalize_sent = true;
                }
                self.emit(Output::FinalizeStt);
            }
            Reason::EndOfTurn => self.end_turn(),
            Reason::NothingTranscribed => self.nothing_transcribed(),
            Reason::TurnTooLong => self.turn_too_long(),
            Reason::HumanSilent => self.human_silent(),
            Reason::FirstTokenLate | Reason::NextTokenLate => self.token_late(),
            Reason::ToolLate => self.tool_late(),
            Reason::ToolSlow => self.fill_wait(),
            Reason::FirstAudioLate => self.first_audio_late(),
            Reason::SpeechStalled => self.speech_stalled(),
            Reason::PlayoutStuck | Reason::GoodbyeDrained => self.playout_stuck(),
            Reason::BargeInConfirmed => self.voice_insists(),
            Reason::BargeInForgotten => self.resume(),
            Reason::TranscriptDown => self.transcript_down(),
            Reason::DrainOver => self.end(EndReason::HandedOver, true),
            Reason::TimeForGoodbye => self.say_time_is_up(),
            Reason::MaxDuration => {
                self.event(CallEvent::TimedOut { waiting_for: "max_duration" });
                self.end(EndReason::MaxDuration, true);
            }
        }
    }
}
