//! One live call, from its stream's first frame to the last row it leaves behind.
//!
//! All tasks of the call belong to one [`JoinSet`](tokio::task::JoinSet) and end with it. The actor is the only place with a
//! `select!` over everything; it reads the carrier's socket itself (one wake-up less per frame than a reader task, and it
//! never waits for anything but its inputs), and it never awaits the network while it performs an output: every order goes
//! into a bounded queue, and a full queue is a failure of that part, not a wait.

mod actor;
mod briefing;
mod engine;
mod events;
mod mouth;
mod parts;
mod perform;
mod reply_clock;
mod reservoir;
mod speech;
mod speech_to_speech;
mod thinking;
mod voicemail;
mod words;

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures::{SinkExt, StreamExt, stream::SplitStream};
use shared::stream::Briefing;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    app::{App, Place},
    carrier::{Carrier, CarrierEvent, Reader, SAMPLE_RATE_HZ, StreamStart},
};
use actor::Actor;
pub(crate) use speech::Speech;

/// The carrier sends `start` right after the handshake; a socket that does not is not a call.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// Everything between `start` and the first word of the agent: the look-up and taking the stream.
const BRIEFING_DEADLINE: Duration = Duration::from_secs(8);
/// Frames before `start` that are tolerated (`connected`, and whatever else there may be).
const MAX_FRAMES_BEFORE_START: usize = 50;

/// Holds one stream of this carrier's until it is over. `place` is given back at the end.
pub async fn serve(app: Arc<App>, carrier: Carrier, socket: WebSocket, place: Place) {
    let (mut sink, mut source) = socket.split();
    let refusal = match begin(&app, carrier, &mut source).await {
        Ok((start, began, briefing)) => {
            match Actor::new(app, sink, carrier, start, began, briefing) {
                Ok(actor) => Box::pin(actor.run(source)).await,
                // Dropping the socket breaks the stream: the carrier's next step finds a process that can speak.
                Err(error) => tracing::error!(error = format!("{error:#}"), "no provider can hold this call"),
            }
            drop(place);
            return;
        }
        Err(refusal) => refusal,
    };
    metrics::counter!("streams_refused_total", "cause" => refusal.as_str()).increment(1);
    tracing::warn!(cause = refusal.as_str(), "a stream was closed before it became a call");
    let close = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static(refusal.as_str()) };
    // It may be gone already; we are done with it.
    let _ = timeout(Duration::from_secs(2), sink.send(Message::Close(Some(close)))).await;
    drop(place);
}

/// Why a stream did not become a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotACall {
    /// No `start` in time, or the socket closed before it.
    NoStart,
    /// A rate we do not speak. The carrier sends 8 kHz unless the stream URL asks for more.
    SampleRate,
    /// Nobody expects a call of this id.
    Unknown,
    /// The database did not answer in time: without it we do not know what to say.
    NoBriefing,
}

impl NotACall {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoStart => "no_start",
            Self::SampleRate => "sample_rate",
            Self::Unknown => "unknown_call",
            Self::NoBriefing => "no_briefing",
        }
    }
}

async fn begin(
    app: &App,
    carrier: Carrier,
    source: &mut SplitStream<WebSocket>,
) -> Result<(StreamStart, Instant, Box<Briefing>), NotACall> {
    let start = timeout(START_DEADLINE, start_frame(carrier, source)).await.ok().flatten().ok_or(NotACall::NoStart)?;
    let began = Instant::now();
    if start.sample_rate_hz != SAMPLE_RATE_HZ {
        return Err(NotACall::SampleRate);
    }
    let taking = app.store.take_stream(carrier, &start, app.config.max_call_duration());
    match timeout_at(began + BRIEFING_DEADLINE, taking).await {
        Ok(Some(briefing)) => Ok((start, began, Box::new(briefing))),
        Ok(None) => Err(NotACall::Unknown),
        Err(_elapsed) => Err(NotACall::NoBriefing),
    }
}

async fn start_frame(carrier: Carrier, source: &mut SplitStream<WebSocket>) -> Option<StreamStart> {
    let mut reader = Reader::of(carrier);
    let mut samples = Vec::new();
    for _ in 0..MAX_FRAMES_BEFORE_START {
        let Message::Text(text) = source.next().await?.ok()? else { continue };
        match reader.parse(&text, &mut samples) {
            Ok(CarrierEvent::Start(start)) => return Some(start),
            Ok(CarrierEvent::Stop { .. }) => return None,
            Ok(_) => {}
            Err(error) => {
                metrics::counter!("malformed_frames_total", "from" => "carrier", "kind" => error.kind()).increment(1);
            }
        }
    }
    None
}
