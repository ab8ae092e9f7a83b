//! What the human hears, and when: the only writer of the carrier's socket.
//!
//! [`Playout`] decides (no socket, no clock); [`run`] carries it out. Frames leave on an absolute schedule a little ahead of
//! real time: far enough that a late wake-up is not heard, near enough that stopping takes effect at once.

mod playout;

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, close_code};
use futures::{Sink, SinkExt};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

pub use playout::{Action, PacerSettings, Playout, Report};

use crate::{carrier::Writer, dialogue::Epoch, tape::Tape, tts::SpeechAudio};

/// A send that takes longer means that the carrier's socket is half dead: nothing else would tell.
const SEND_DEADLINE: Duration = Duration::from_secs(2);

/// What the call asks of its pacer.
#[derive(Debug)]
pub enum PacerCommand {
    /// Play after what was given before.
    Play {
        /// The reply.
        epoch: Epoch,
        /// A change of clause puts a mark between.
        clause: u32,
        /// The sound.
        audio: SpeechAudio,
    },
    /// The reply's sound is complete.
    End {
        /// The reply.
        epoch: Epoch,
    },
    /// Stop at once, forgetting nothing.
    Pause {
        /// The reply.
        epoch: Epoch,
    },
    /// Go on from a position of the reply's sound.
    Resume {
        /// The reply.
        epoch: Epoch,
        /// In samples; clamped to what is still known.
        from: u64,
    },
    /// Forget this reply and all before it, also what the carrier has queued.
    Clear {
        /// The reply.
        epoch: Epoch,
    },
    /// The carrier echoed a mark.
    Marked {
        /// Its name.
        name: String,
    },
    /// End the stream in order.
    Close,
    /// End it without a goodbye, as if the process had died.
    Break,
}

/// The human cannot be reached through this socket any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacerEnd {
    /// As asked, or because nobody listens any more.
    Closed,
    /// A send failed or took too long.
    Broken,
}

/// Runs until closed; `tape` is told what the human hears. Reports are awaited: the call's actor must never wait for the pacer in turn.
pub async fn run<S>(
    mut sink: S,
    mut writer: Writer,
    settings: PacerSettings,
    mut commands: mpsc::Receiver<PacerCommand>,
    reports: mpsc::Sender<Report>,
    tape: Option<Tape>,
) -> PacerEnd
where
    S: Sink<Message> + Unpin,
{
    let mut playout = Playout::new(settings);
    let mut frame = Vec::with_capacity(1_600);
    loop {
        let now = Instant::now();
        while let Some(action) = playout.poll(now, &mut frame) {
            let bytes = match action {
                Action::Frame { timestamp_ms, lateness, starts } => {
                    metrics::histogram!("frame_lateness_seconds").record(lateness);
                    if let Some(tape) = &tape {
                        tape.agent(starts, &frame);
                    }
                    writer.media(&frame, timestamp_ms)
                }
                Action::Mark(name) => writer.mark(&name),
                Action::Clear { heard_until } => {
                    if let Some(tape) = &tape {
                        tape.cut(heard_until);
                    }
                    writer.clear()
                }
            };
            let text = Utf8Bytes::try_from(bytes).expect("the writer writes JSON");
            match timeout(SEND_DEADLINE, sink.send(Message::Text(text))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => {
                    metrics::counter!("carrier_sends_failed_total").increment(1);
                    return PacerEnd::Broken;
                }
            }
        }
        while let Some(report) = playout.poll_report() {
            if reports.send(report).await.is_err() {
                return PacerEnd::Closed;
            }
        }
        let wake_at = playout.deadline();
        let command = tokio::select! {
            command = commands.recv() => command,
            () = sleep_until(wake_at.unwrap_or(now)), if wake_at.is_some() => continue,
        };
        let now = Instant::now();
        match command {
            Some(PacerCommand::Play { epoch, clause, audio }) => playout.push(now, epoch, clause, audio),
            Some(PacerCommand::End { epoch }) => playout.end(epoch),
            Some(PacerCommand::Pause { epoch }) => playout.pause(now, epoch),
            Some(PacerCommand::Resume { epoch, from }) => playout.resume(now, epoch, from),
            Some(PacerCommand::Clear { epoch }) => playout.clear(now, epoch),
            Some(PacerCommand::Marked { name }) => playout.marked(now, &name),
            Some(PacerCommand::Break) => return PacerEnd::Closed,
            Some(PacerCommand::Close) | None => {
                let goodbye =
                    Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") }));
                // The stream is over for us either way.
                let _ = timeout(SEND_DEADLINE, sink.send(goodbye)).await;
                return PacerEnd::Closed;
            }
        }
    }
}

#[cfg(test)]
mod tests;
