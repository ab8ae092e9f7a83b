//! Who took how long in a reply: the providers, or we.
//!
//! Our own share of the latency is what is left of "end of turn to first frame" when the time is taken out in which the
//! language model or the voice had our request and we had nothing from them to go on with.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::dialogue::{AskId, CallTime, Epoch, Latency};

/// Replies remembered: the one being spoken, and what it may have superseded.
const REMEMBERED: usize = 4;
/// The dialogue reads the clock a moment after us.
const SAME_INSTANT: Duration = Duration::from_millis(20);

/// Requests remembered per reply: more rounds of tools than a turn may have.
const MOST_ASKS: usize = 8;

/// One request to the language model: when it left, and when the last of its answer that mattered came in.
#[derive(Debug, Clone, Copy)]
struct Asked {
    ask: AskId,
    sent: Option<CallTime>,
    answered: Option<CallTime>,
}

#[derive(Debug, Clone, Default)]
struct Reply {
    /// All that were made before the first clause: a reply that first notes an answer asks twice.
    asks: Vec<Asked>,
    tts_asked: Option<CallTime>,
    tts_answered: Option<CallTime>,
    first_frame: Option<CallTime>,
    has_clause: bool,
}

impl Reply {
    fn llm_asked(&self) -> Option<CallTime> {
        self.asks.iter().find_map(|asked| asked.sent)
    }

    fn llm_answered(&self) -> Option<CallTime> {
        self.asks.iter().rev().find_map(|asked| asked.answered)
    }
}

/// Notes the instants the dialogue cannot see.
#[derive(Debug, Default)]
pub(super) struct ReplyClock {
    replies: VecDeque<(Epoch, Reply)>,
}

impl ReplyClock {
    fn reply(&mut self, epoch: Epoch) -> &mut Reply {
        let at = self.replies.iter().position(|(known, _)| *known == epoch).unwrap_or_else(|| {
            if self.replies.len() == REMEMBERED {
                self.replies.pop_front();
            }
            self.replies.push_back((epoch, Reply::default()));
            self.replies.len() - 1
        });
        &mut self.replies[at].1
    }

    pub(super) fn asked(&mut self, epoch: Epoch, ask: AskId) {
        let reply = self.reply(epoch);
        // What is asked once something has been spoken (another round after a tool) delays nothing that is measured.
        if !reply.has_clause && reply.asks.len() < MOST_ASKS {
            reply.asks.push(Asked { ask, sent: None, answered: None });
        }
    }

    pub(super) fn answered(&mut self, ask: AskId, asked_at: CallTime, arrived_at: CallTime) {
        let waiting = self.replies.iter_mut().filter(|(_, reply)| !reply.has_clause);
        let of_ask = waiting.flat_map(|(_, reply)| &mut reply.asks).find(|asked| asked.ask == ask);
        if let Some(asked) = of_ask {
            asked.sent = Some(asked_at);
            asked.answered = Some(arrived_at);
        }
    }

    pub(super) fn spoke(&mut self, epoch: Epoch) {
        self.reply(epoch).has_clause = true;
    }

    pub(super) fn sounded(&mut self, epoch: Epoch, asked_at: CallTime, received_at: CallTime) {
        let reply = self.reply(epoch);
        reply.tts_asked.get_or_insert(asked_at);
        reply.tts_answered.get_or_insert(received_at);
    }

    pub(super) fn started(&mut self, epoch: Epoch, now: CallTime) {
        self.reply(epoch).first_frame.get_or_insert(now);
    }

    /// The stages of a settled agent turn, in milliseconds since the stream began, as they are stored.
    pub(super) fn stages(&self, latency: &Latency) -> Value {
        let reply = self.of(latency);
        let mut stages = Map::new();
        let mut put = |name: &str, at: Option<CallTime>| {
            if let Some(at) = at {
                stages.insert(name.to_owned(), at.as_millis().into());
            }
        };
        put("speech_end", latency.speech_end);
        put("stt_final", latency.stt_final);
        put("end_of_turn", latency.end_of_turn);
        put("llm_asked", reply.llm_asked());
        put("first_token", latency.first_token);
        put("first_clause", latency.first_clause);
        put("tts_asked", reply.tts_asked);
        put("first_tts_byte", latency.first_tts_byte);
        put("first_frame_sent", latency.first_frame_sent);
        put("barge_in", latency.barge_in_voice);
        put("barge_in_paused", latency.barge_in_paused);
        put("barge_in_cleared", latency.barge_in_cleared);
        if let Some(own) = own_share(latency, &reply) {
            stages.insert("own_share_ms".to_owned(), (own.as_millis() as u64).into());
        }
        if latency.speculative {
            stages.insert("speculative".to_owned(), true.into());
        }
        Value::Object(stages)
    }

    fn of(&self, latency: &Latency) -> Reply {
        let Some(sent) = latency.first_frame_sent else { return Reply::default() };
        let is_it =
            |reply: &Reply| reply.first_frame.is_some_and(|at| at.since(sent).max(sent.since(at)) <= SAME_INSTANT);
        self.replies.iter().rev().map(|(_, reply)| reply).find(|reply| is_it(reply)).cloned().unwrap_or_default()
    }

    /// Measures a settled agent turn.
    pub(super) fn measure(&self, latency: &Latency) {
        let stage = |name: &'static str, from: Option<CallTime>, to: Option<CallTime>| {
            if let (Some(from), Some(to)) = (from, to) {
                metrics::histogram!("reply_stage_seconds", "stage" => name).record(to.since(from));
            }
        };
        if let Some(ms) = latency.voice_to_voice_ms() {
            metrics::histogram!("voice_to_voice_seconds").record(Duration::from_millis(ms));
        }
        let reply = self.of(latency);
        stage("endpointing", latency.speech_end, latency.end_of_turn);
        stage("stt_final", latency.speech_end, latency.stt_final);
        stage("llm_first_clause", reply.llm_asked(), reply.llm_answered());
        stage("tts_first_byte", reply.tts_asked, reply.tts_answered);
        stage("playout_start", latency.first_tts_byte, latency.first_frame_sent);
        if let Some(own) = own_share(latency, &reply) {
            metrics::histogram!("own_share_seconds").record(own);
        }
    }
}

/// From the end of turn to the first frame, without the time the providers had.
fn own_share(latency: &Latency, reply: &Reply) -> Option<Duration> {
    let (end_of_turn, first_frame) = (latency.end_of_turn?, latency.first_frame_sent?);
    // Speculative work that was done before the end of turn cost nobody anything.
    let within = |from: Option<CallTime>, to: Option<CallTime>| match (from, to) {
        (Some(from), Some(to)) => to.min(first_frame).since(from.max(end_of_turn)),
        _ => Duration::ZERO,
    };
    let llm: Duration = reply.asks.iter().map(|asked| within(asked.sent, asked.answered)).sum();
    let providers = llm + within(reply.tts_asked, reply.tts_answered);
    Some(first_frame.since(end_of_turn).saturating_sub(providers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> CallTime {
        CallTime::from_millis(ms)
    }

    fn latency(end_of_turn: u64, first_frame: u64) -> Latency {
        Latency { end_of_turn: Some(at(end_of_turn)), first_frame_sent: Some(at(first_frame)), ..Latency::default() }
    }

    #[test]
    fn our_share_is_what_the_providers_did_not_take() {
        let mut clock = ReplyClock::default();
        clock.asked(Epoch(1), AskId(1));
        clock.answered(AskId(1), at(1_005), at(1_300));
        clock.answered(AskId(1), at(1_005), at(1_355));
        clock.spoke(Epoch(1));
        clock.answered(AskId(1), at(1_005), at(1_900));
        clock.sounded(Epoch(1), at(1_360), at(1_490));
        clock.started(Epoch(1), at(1_500));
        let stages = clock.stages(&latency(1_000, 1_500));
        // 5 until the request left, 5 until the clause left, 10 until the first frame.
        assert_eq!(stages["own_share_ms"], 20);
        assert_eq!(stages["tts_asked"], 1_360);
    }

    #[test]
    fn a_round_that_only_called_a_tool_was_the_providers_time_too() {
        let mut clock = ReplyClock::default();
        clock.asked(Epoch(1), AskId(1));
        clock.answered(AskId(1), at(900), at(1_200));
        clock.asked(Epoch(1), AskId(2));
        clock.answered(AskId(2), at(1_205), at(1_500));
        clock.spoke(Epoch(1));
        clock.sounded(Epoch(1), at(1_505), at(1_600));
        clock.started(Epoch(1), at(1_601));
        assert_eq!(clock.stages(&latency(1_000, 1_601))["own_share_ms"], 11);
    }

    #[test]
    fn speculative_waits_before_the_end_of_turn_are_nobodys() {
        let mut clock = ReplyClock::default();
        clock.asked(Epoch(1), AskId(1));
        clock.answered(AskId(1), at(800), at(1_100));
        clock.spoke(Epoch(1));
        clock.sounded(Epoch(1), at(1_110), at(1_200));
        clock.started(Epoch(1), at(1_210));
        assert_eq!(clock.stages(&latency(1_000, 1_210))["own_share_ms"], 20);
    }

    #[test]
    fn a_turn_of_an_unknown_reply_has_the_stages_the_dialogue_knows() {
        let stages = ReplyClock::default().stages(&Latency { speech_end: Some(at(5)), ..Latency::default() });
        assert_eq!(stages, serde_json::json!({"speech_end": 5}));
    }
}
