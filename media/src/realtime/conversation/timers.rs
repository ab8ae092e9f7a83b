//! Every deadline of the conversation, derived from its state, and what happens when it comes.

use shared::agent_tool;

use super::reply::{Kind, Reply, Source};
use super::{Conversation, ms};
use crate::dialogue::{CallEvent, CallTime, EndReason, Epoch, LlmFailure, SAMPLES_PER_MS};
use crate::realtime::wire::ClientEvent;

/// Without `Started` there is no call.
const NEVER_STARTED_MS: u64 = 10_000;
/// The server begins its answer the moment a turn is over: where it has not, it never will (another answer was still being made).
const UNASKED_MS: u64 = 1_500;
/// After the last key of a number.
const KEYS_MS: u64 = 1_500;
/// Timers that may come due at one instant before something must be wrong.
const MOST_AT_ONCE: u32 = 16;

/// What a deadline waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    NeverStarted,
    HelloAwaited,
    BeepAwaited,
    LinkLate,
    TranscriptLate,
    AnswerUnasked,
    SoundLate(Epoch),
    PlayoutStuck(Epoch),
    BargeInForgotten,
    TurnTooLong,
    KeysPressed,
    HumanSilent,
    ToolLate,
    ToolSlow(Epoch),
    LastWords,
    DrainOver,
    TimeForGoodbye,
    MaxDuration,
}

#[derive(Default)]
struct Earliest(Option<(CallTime, Reason)>);

impl Earliest {
    fn offer(&mut self, at: Option<CallTime>, reason: Reason) {
        if let Some(at) = at
            && self.0.is_none_or(|(earliest, _)| at < earliest)
        {
            self.0 = Some((at, reason));
        }
    }
}

impl Conversation {
    /// When to give [`crate::dialogue::Input::Deadline`] if nothing else happens before. Always there until the end.
    pub fn deadline(&self) -> Option<CallTime> {
        self.next_deadline().map(|(at, _)| at.max(self.now + ms(1)))
    }

    fn next_deadline(&self) -> Option<(CallTime, Reason)> {
        if self.ended {
            return None;
        }
        let mut earliest = Earliest::default();
        let limits = &self.settings.limits;
        let max = limits.max_duration_ms;
        earliest.offer(Some(CallTime::from_millis(max)), Reason::MaxDuration);
        earliest.offer(self.drain_by, Reason::DrainOver);
        if !self.started {
            earliest.offer(Some(CallTime::from_millis(NEVER_STARTED_MS)), Reason::NeverStarted);
            return earliest.0;
        }
        if !self.is_closing() && self.lingering.is_none() {
            earliest.offer(Some(limits.goodbye_at()), Reason::TimeForGoodbye);
        }
        let running = self.ledger.oldest_running().filter(|(_, _, name)| !agent_tool::is_built_in(name));
        earliest.offer(running.map(|(since, ..)| since + ms(limits.tool_ms)), Reason::ToolLate);
        earliest.offer(self.lingering.map(|(until, _)| until), Reason::LastWords);
        earliest.offer(self.link.deadline(), Reason::LinkLate);
        earliest.offer(self.turns.deadline(), Reason::TranscriptLate);
        earliest.offer(self.opening, Reason::HelloAwaited);
        earliest.offer(self.machine_waited(), Reason::BeepAwaited);
        earliest.offer(self.awaited.map(|since| since + ms(UNASKED_MS)), Reason::AnswerUnasked);
        earliest.offer(self.voice.keys.as_ref().map(|(_, at)| *at + ms(KEYS_MS)), Reason::KeysPressed);
        let too_long = self.voice.speaking.map(|since| since + ms(limits.longest_turn_ms));
        earliest.offer(too_long, Reason::TurnTooLong);
        match self.duck_ends() {
            Some(at) => earliest.offer(Some(at), Reason::BargeInForgotten),
            None => self.offer_reply_deadlines(&mut earliest),
        }
        self.offer_silence(&mut earliest);
        earliest.0
    }

    fn offer_reply_deadlines(&self, earliest: &mut Earliest) {
        let limits = &self.settings.limits;
        if let Some((at, epoch)) = self.tool_slow_at() {
            earliest.offer(Some(at), Reason::ToolSlow(epoch));
        }
        for (at, reply) in self.replies.iter().enumerate() {
            if !reply.made && (!reply.awaits_tools || reply.is_being_made()) {
                let wait = if reply.source == Source::Model { limits.first_token_ms } else { limits.first_audio_ms };
                // What lies ready is played first, if its turn has come.
                let since = reply.moved.max(reply.asked);
                let since = if reply.started.is_some() { since.max(reply.expected_end()) } else { since };
                earliest.offer(Some(since + ms(wait)), Reason::SoundLate(reply.epoch));
            } else if at == 0 && reply.made && !reply.drained && !reply.paused {
                let slack = if reply.then_end.is_some() { limits.drain_slack_ms } else { limits.playout_stuck_ms };
                // One that waited behind another begins when that one has been heard.
                let begins = if reply.started.is_some() { reply.moved } else { reply.moved.max(self.quiet_since) };
                let length = ms(reply.samples() / SAMPLES_PER_MS);
                let end = if reply.started.is_some() { reply.expected_end() } else { begins + length };
                earliest.offer(Some(end + ms(slack)), Reason::PlayoutStuck(reply.epoch));
            }
        }
    }

    fn offer_silence(&self, earliest: &mut Earliest) {
        let limits = &self.settings.limits;
        let is_quiet = self.begun
            && self.replies.is_empty()
            && self.awaited.is_none()
            && self.opening.is_none()
            && self.machine.is_none()
            && self.voice.speaking.is_none()
            && self.lingering.is_none()
            && self.voice.keys.is_none();
        if is_quiet && self.link.is_up() {
            let wait = if self.reprompts == 0 { limits.silence_ms } else { limits.silence_again_ms };
            earliest.offer(Some(self.quiet_since + ms(wait)), Reason::HumanSilent);
        }
    }

    /// Does everything whose time has come.
    pub(super) fn fire_due(&mut self) {
        for _ in 0..MOST_AT_ONCE {
            match self.next_deadline() {
                Some((at, reason)) if at <= self.now => {
                    self.fire(reason);
                    self.finish_replies();
                    self.settle_turns(false);
                }
                _ => return,
            }
        }
        // The caller sleeps at least 1 ms, so even then nothing spins.
        self.metric("timers_stuck");
    }

    fn fire(&mut self, reason: Reason) {
        match reason {
            Reason::NeverStarted => self.end(EndReason::StreamLost, true),
            Reason::HelloAwaited => self.greet(""),
            Reason::BeepAwaited => self.leave_message(),
            Reason::LinkLate => self.opening_late(),
            // Settled by what follows every input.
            Reason::TranscriptLate => self.metric("transcript_late"),
            Reason::AnswerUnasked => {
                self.metric("answer_unasked");
                self.ask(None);
            }
            Reason::SoundLate(epoch) => self.sound_late(epoch),
            Reason::PlayoutStuck(epoch) => self.playout_stuck(epoch),
            Reason::BargeInForgotten => self.resume(),
            Reason::TurnTooLong => self.turn_too_long(),
            Reason::KeysPressed => self.keys_pressed(),
            Reason::HumanSilent => self.human_silent(),
            Reason::ToolLate => self.tool_late(),
            Reason::ToolSlow(epoch) => self.fill_wait(epoch),
            Reason::LastWords => {
                if let Some((_, reason)) = self.lingering {
                    self.end(reason, false);
                }
            }
            Reason::DrainOver => {
                let reason = self.lingering.map_or(EndReason::HandedOver, |(_, reason)| reason);
                self.end(reason, self.lingering.is_none());
            }
            Reason::TimeForGoodbye => self.say_time_is_up(),
            Reason::MaxDuration => {
                self.event(CallEvent::TimedOut { waiting_for: "max_duration" });
                self.end(EndReason::MaxDuration, true);
            }
        }
    }

    fn sound_late(&mut self, epoch: Epoch) {
        match self.reply(epoch).map(|reply: &mut Reply| reply.source) {
            Some(Source::Model) => self.model_failed(epoch, LlmFailure::TimedOut),
            Some(Source::Voice | Source::Recording) => self.on_voice_failed(epoch),
            None => {}
        }
    }

    /// The server has heard a voice for so long that it cannot be one turn.
    fn turn_too_long(&mut self) {
        self.event(CallEvent::TimedOut { waiting_for: "end_of_turn" });
        self.voice.speaking = None;
        self.quiet_since = self.now;
        self.tell(ClientEvent::Commit);
        if self.may_answer() {
            self.awaited = Some(self.now);
        }
    }

    fn human_silent(&mut self) {
        if self.is_wrapping_up() {
            return self.say_time_is_up();
        }
        let line = self.lines.reprompts.get(self.reprompts as usize).or(self.lines.reprompts.last()).cloned();
        match line {
            Some(line) if self.reprompts < self.settings.limits.reprompts => {
                self.reprompts += 1;
                self.event(CallEvent::SilencePrompted { count: self.reprompts });
                self.say(&line, Kind::Reprompt, false, None);
            }
            _ => {
                let line = self.lines.silence_goodbye.clone();
                self.close(&line, EndReason::Silence);
            }
        }
    }
}
