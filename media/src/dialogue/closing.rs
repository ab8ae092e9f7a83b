//! The ways to the end. Each has a reason, and each ends within a bound.

use shared::conversation_event::EndReason;

use super::Dialogue;
use super::input::ToolOutcome;
use super::output::Output;
use super::reply::Kind;

impl Dialogue {
    /// Says a last line and hangs up behind it.
    pub(super) fn close(&mut self, line: &str, reason: EndReason) {
        self.opening = None;
        self.cut = None;
        self.drop_reply();
        self.say(line, Kind::Goodbye, Some(reason));
    }

    pub(super) fn say_time_is_up(&mut self) {
        let line = self.lines.time_goodbye.clone();
        self.close(&line, EndReason::MaxDuration);
    }

    pub(super) fn transcript_down(&mut self) {
        self.stt_down = None;
        let line = self.lines.failure_goodbye.clone();
        self.close(&line, EndReason::TranscriptUnavailable);
    }

    /// The model called `end_call` or `transfer_to_human`, and its answer is complete: this reply is the goodbye.
    pub(super) fn end_as_wanted(&mut self) {
        let Some(reply) = &mut self.reply else { return };
        let Some(reason) = reply.wants_end.take() else { return };
        reply.then_end = Some(reason);
        reply.protected = true;
        let nothing_said = !reply.says_something();
        for call in reply.rounds.iter().flatten() {
            self.ledger.answer(&call.id, ToolOutcome::Ok("the call ends after your words".to_owned()));
        }
        // A pause that is still undecided ends here: the goodbye is protected.
        if self.duck.is_some() {
            self.resume();
        }
        if nothing_said {
            let line = if reason == EndReason::TransferToHuman { &self.lines.transfer } else { &self.lines.goodbye };
            let line = line.clone();
            self.speak_whole(&line);
        }
        self.complete_reply();
    }

    /// The end. `by_us`: the carrier's stream is still open and has to be closed.
    pub(super) fn end(&mut self, reason: EndReason, by_us: bool) {
        if self.ended {
            return;
        }
        self.opening = None;
        self.drop_reply();
        // Words said over the goodbye, or cut off by the end, are still words.
        if let Some(utterance) = self.utterance.take().filter(|utterance| !utterance.text().is_empty()) {
            self.open_turn(utterance);
            self.settle_turn();
        }
        while let Some((_, id, _)) = self.ledger.oldest_running() {
            self.ledger.answer(&id, ToolOutcome::Failed("the call has ended".to_owned()));
        }
        self.ended = true;
        if by_us {
            self.emit(Output::HangUp { reason });
        }
        self.emit(Output::Ended { reason });
    }
}
