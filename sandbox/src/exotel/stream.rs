//! One stream: Exotel as WebSocket client of the bot, in real time.
//!
//! [`Session::run`] holds an open stream until somebody ends it. The only `select!` of a stream is
//! here; what is played when is decided in [`Playback`].

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    callee::{Input, listener::Listener},
    exotel::{
        bot_url::BotUrl,
        call::{Call, StreamTruth, new_sid},
        frames::{self, FromBot, PAYLOAD_MAX, PAYLOAD_MIN, PAYLOAD_MULTIPLE, Writer},
        handshake::Socket,
        leg::{Leg, LineAct},
        playback::{Playback, Played, SAMPLES_PER_MS},
    },
    world::World,
};

/// A bot that does not read is taken for dead after this.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// The carrier drops a stream this long after a burst that it could not hold.
const BURST_DROP_AFTER: Duration = Duration::from_secs(4);
/// A stream lasts at most an hour.
const MAX_SESSION: Duration = Duration::from_secs(3_600);
/// People overlap a little when they take turns.
const OVERLAP_MS: u64 = 200;
/// Of each kind of protocol mistake this many are logged per stream; the rest are only counted.
const MISTAKES_LOGGED: u64 = 5;

/// Why a stream is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The bot closed the socket, or it broke.
    Bot {
        clean: bool,
    },
    CalleeHungUp,
    TimeLimit,
    /// The carrier gave the call up: a burst beyond what it holds.
    Dropped,
    /// The socket broke on the carrier's side (a fault); the call is up.
    Lost,
    /// The sandbox is stopping.
    ShuttingDown,
}

/// One open stream.
pub struct Session<'a> {
    world: &'a Arc<World>,
    call: &'a Arc<Call>,
    leg: &'a mut Leg,
    socket: Socket,
    sample_rate: u64,
    writer: Writer,
    playback: Playback,
    listener: Listener,
    truth: StreamTruth,
    started: Instant,
    /// The same moment in the call's time.
    offset_ms: u64,
    chunk_ms: u64,
    chunks: u64,
    /// Played since the last tick.
    played: Vec<i16>,
    chunk: Vec<i16>,
    drop_at: Option<Instant>,
    lose_at: Option<Instant>,
    /// The callee finishes speaking then (call time) and nobody has answered yet.
    unanswered_since: Option<u64>,
    /// The callee began to speak over the agent then (call time).
    barged_at: Option<u64>,
}

impl<'a> Session<'a> {
    /// Holds the stream until it ends.
    pub async fn run(
        world: &'a Arc<World>,
        call: &'a Arc<Call>,
        leg: &'a mut Leg,
        socket: Socket,
        bot: &BotUrl,
    ) -> (End, StreamTruth) {
        let started = Instant::now();
        let offset_ms = leg.ms(started);
        let chunk_ms = (world.settings.chunk_ms / 20 * 20).clamp(20, 100);
        let writer = Writer::new(new_sid());
        let truth = StreamTruth {
            stream_sid: writer.stream_sid().to_owned(),
            opened_at: Some(Utc::now()),
            ..StreamTruth::default()
        };
        let mut session = Self {
            world,
            call,
            leg,
            socket,
            sample_rate: bot.sample_rate,
            writer,
            playback: Playback::default(),
            listener: Listener::new(&world.speech, offset_ms),
            truth,
            started,
            offset_ms,
            chunk_ms,
            chunks: 0,
            played: Vec::with_capacity(1_024),
            chunk: vec![0; (chunk_ms * SAMPLES_PER_MS) as usize],
            drop_at: None,
            lose_at: None,
            unanswered_since: None,
            barged_at: None,
        };
        session.note("stream.opened", json!({"custom_parameters": bot.custom_parameters}));
        let end = match session.hold(bot).await {
            Ok(end) => end,
            Err(Broken) => End::Bot { clean: false },
        };
        session.finish(end)
    }

    async fn hold(&mut self, bot: &BotUrl) -> Result<End, Broken> {
        let key = self.call.fault_key();
        let connected = self.writer.connected();
        self.send(connected).await?;
        let start = self.writer.start(self.call, &self.world.settings.exotel_sid, bot);
        self.send(start).await?;
        if self.world.faults.take("bad_frames", &key).is_some() {
            self.send_bad_frames().await?;
        }
        if let Some(value) = self.world.faults.take("drop_stream", &key) {
            self.lose_at = Some(self.started + Duration::from_millis(value.as_u64().unwrap_or(3_000)));
        }
        let deadline = self.leg.deadline.min(self.started + MAX_SESSION);
        let closing = self.world.exotel.closing.clone();
        loop {
            let wake = self.wake_at(deadline);
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.receive(text.as_str()).await?,
                    Some(Ok(Message::Close(_))) => {
                        // Lets the library answer the close before the socket goes.
                        let _ = timeout(WRITE_WITHIN, self.socket.close(None)).await;
                        return Ok(End::Bot { clean: true });
                    }
                    Some(Ok(Message::Binary(_))) => self.mistake("binary message"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Broken),
                },
                () = sleep_until(wake) => {
                    self.play().await?;
                    if let Some(end) = self.ticks().await? {
                        return Ok(end);
                    }
                    let now = Instant::now();
                    if self.drop_at.is_some_and(|at| now >= at) {
                        return Ok(End::Dropped);
                    }
                    if self.lose_at.is_some_and(|at| now >= at) {
                        return Ok(End::Lost);
                    }
                    if now >= deadline {
                        self.say_stop().await?;
                        return Ok(End::TimeLimit);
                    }
                }
                () = closing.cancelled() => {
                    self.say_stop().await?;
                    return Ok(End::ShuttingDown);
                }
            }
        }
    }

    /// The next chunk, the next mark, or the end, whatever is first.
    fn wake_at(&self, deadline: Instant) -> Instant {
        let tick = self.started + Duration::from_millis((self.chunks + 1) * self.chunk_ms);
        let mark = self.playback.until_mark().map(|ahead| {
            let at = self.playback.position() + ahead as u64;
            self.started + Duration::from_micros(at * 1_000 / SAMPLES_PER_MS)
        });
        [Some(tick), mark, self.drop_at, self.lose_at, Some(deadline)].into_iter().flatten().min().unwrap_or(tick)
    }

    /// Plays what real time says should have been played by now, and echoes the marks passed.
    async fn play(&mut self) -> Result<(), Broken> {
        let due = self.started.elapsed().as_micros() as u64 * SAMPLES_PER_MS / 1_000;
        let samples = due.saturating_sub(self.playback.position()) as usize;
        for event in self.playback.advance(samples, &mut self.played) {
            match event {
                Played::Mark { name, .. } => {
                    let mark = self.writer.mark(&name);
                    self.send(mark).await?;
                }
                Played::Began { at } => {
                    let at_ms = self.offset_ms + at / SAMPLES_PER_MS;
                    self.truth.agent.begin(at_ms);
                    self.answered_at(at_ms);
                }
                Played::Underrun { at, ms } => {
                    self.truth.underruns += 1;
                    self.truth.underrun_ms += ms;
                    self.note("stream.underrun", json!({"at_ms": at / SAMPLES_PER_MS, "ms": ms}));
                }
            }
        }
        Ok(())
    }

    async fn receive(&mut self, text: &str) -> Result<(), Broken> {
        // The queue must be as long as it is now, not as it was at the last tick.
        self.play().await?;
        match frames::read(text, self.writer.stream_sid()) {
            Ok(FromBot::Media(bytes)) => self.receive_media(&bytes),
            Ok(FromBot::Mark(name)) => {
                self.truth.marks += 1;
                self.playback.mark(name);
            }
            Ok(FromBot::Clear) => {
                let dropped = self.playback.clear(self.world.settings.echo_cleared_marks);
                self.truth.clears += 1;
                let now_ms = self.offset_ms + self.playback.position() / SAMPLES_PER_MS;
                self.truth.agent.clear(now_ms);
                self.truth.cleared_ms += dropped as u64 / SAMPLES_PER_MS;
                self.note("stream.clear", json!({"dropped_ms": dropped as u64 / SAMPLES_PER_MS}));
            }
            Err(why) => self.mistake(&why),
        }
        // A mark behind nothing is echoed at once.
        self.play().await
    }

    fn receive_media(&mut self, bytes: &[u8]) {
        self.truth.media_received += 1;
        let odd = !bytes.len().is_multiple_of(PAYLOAD_MULTIPLE);
        for (wrong, count, what) in [
            (odd, &mut self.truth.odd_payloads, "not a multiple of 320"),
            (bytes.len() < PAYLOAD_MIN, &mut self.truth.small_payloads, "under 3200"),
            (bytes.len() > PAYLOAD_MAX, &mut self.truth.large_payloads, "over 100000"),
        ] {
            if wrong {
                *count += 1;
                if *count <= MISTAKES_LOGGED {
                    self.world.log.record(
                        "exotel",
                        "stream.payload_size",
                        json!({"sid": self.call.sid, "bytes": bytes.len(), "is": what}),
                    );
                }
            }
        }
        if bytes.len() > PAYLOAD_MAX {
            return;
        }
        self.playback.audio(frames::to_8k(bytes, self.sample_rate), odd);
        let ahead_ms = self.playback.queued() as u64 / SAMPLES_PER_MS;
        self.truth.most_ahead_ms = self.truth.most_ahead_ms.max(ahead_ms);
        let limit = self.world.settings.strict_ahead_secs;
        if limit > 0.0 && ahead_ms as f64 > limit * 1_000.0 && self.drop_at.is_none() {
            self.drop_at = Some(Instant::now() + BURST_DROP_AFTER);
            self.note("stream.too_far_ahead", json!({"ahead_ms": ahead_ms}));
        }
    }

    /// Everything that is due once per chunk. `Some` ends the stream.
    async fn ticks(&mut self) -> Result<Option<End>, Broken> {
        let due = self.started.elapsed().as_millis() as u64 / self.chunk_ms;
        while self.chunks < due {
            if let Some(end) = self.tick().await? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    async fn tick(&mut self) -> Result<Option<End>, Broken> {
        let stream_ms = self.chunks * self.chunk_ms;
        let call_ms = self.offset_ms + stream_ms;
        self.chunks += 1;

        // What the microphone took up until now goes out before the callee decides anew: nobody
        // reacts to what has not happened yet.
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut played = std::mem::take(&mut self.played);
        let ended = self.leg.fill(&mut chunk, call_ms, &played);
        self.leg.record(&chunk, &played);
        let media = self.writer.media(stream_ms, &frames::to_rate(&chunk, self.sample_rate));
        self.chunk = chunk;
        self.send(media).await?;
        self.truth.media_sent += 1;

        let (mut inputs, speech) = self.listener.hear(&played);
        played.clear();
        self.played = played;
        self.leg.note_heard(speech);
        for input in &inputs {
            if let Input::AgentBegan { at } = input {
                self.answered_at(*at);
            }
        }
        if ended {
            inputs.insert(0, Input::Spoke);
        }
        let now_ms = call_ms + self.chunk_ms;
        let was_speaking = self.leg.speech_ends_ms();
        let acts = self.leg.decide(now_ms, inputs);
        let speaking = self.leg.speech_ends_ms();
        if speaking.is_some() && speaking != was_speaking {
            // Known in advance: a quick agent answers before the microphone's next chunk is due.
            self.unanswered_since = speaking;
            if self.playback.queued() > 0 {
                self.barged_at = Some(now_ms);
            }
        }
        if let Some(quiet) = self.playback.dry_since() {
            self.truth.agent.end(self.offset_ms + quiet / SAMPLES_PER_MS);
        }
        if let Some(barged) = self.barged_at
            && let Some(quiet) = self.playback.dry_since()
        {
            let quiet_ms = self.offset_ms + quiet / SAMPLES_PER_MS;
            self.truth.barge_in_ms.push(quiet_ms.saturating_sub(barged));
            self.barged_at = None;
        }
        for act in acts {
            match act {
                LineAct::Press(digit) => {
                    let dtmf = self.writer.dtmf(digit);
                    self.send(dtmf).await?;
                }
                LineAct::HangUp => {
                    crate::exotel::line::before_stop(self.world, self.call).await;
                    self.say_stop().await?;
                    return Ok(Some(End::CalleeHungUp));
                }
            }
        }
        Ok(None)
    }

    /// The agent's sound began: the callee has its answer. An agent that began at most
    /// [`OVERLAP_MS`] before the callee had finished answered at once.
    fn answered_at(&mut self, at_ms: u64) {
        if let Some(since) = self.unanswered_since
            && at_ms + OVERLAP_MS >= since
        {
            self.truth.response_ms.push(at_ms.saturating_sub(since));
            self.unanswered_since = None;
        }
    }

    async fn say_stop(&mut self) -> Result<(), Broken> {
        let stop = self.writer.stop(self.call, &self.world.settings.exotel_sid, "callended");
        self.send(stop).await?;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(WRITE_WITHIN, self.socket.close(Some(frame))).await;
        Ok(())
    }

    async fn send_bad_frames(&mut self) -> Result<(), Broken> {
        let odd = self.writer.media_bytes(0, &[1; 333]);
        for text in [
            r#"{"event":"media","media":"#.to_owned(),
            odd,
            format!(
                r#"{{"event":"media","sequence_number":"x","stream_sid":"{}","media":{{"payload":"%%%"}}}}"#,
                self.writer.stream_sid()
            ),
            format!(r#"{{"event":"weather","stream_sid":"{}"}}"#, self.writer.stream_sid()),
            "[]".to_owned(),
        ] {
            self.send(text).await?;
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), Broken> {
        match timeout(WRITE_WITHIN, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Broken),
        }
    }

    fn mistake(&mut self, why: &str) {
        self.truth.bad_messages += 1;
        if self.truth.bad_messages <= MISTAKES_LOGGED {
            self.note("stream.bad_message", json!({"why": why}));
        }
    }

    fn note(&self, kind: &str, mut data: serde_json::Value) {
        data["sid"] = self.call.sid.as_str().into();
        self.world.log.record("exotel", kind, data);
    }

    fn finish(mut self, end: End) -> (End, StreamTruth) {
        let (inputs, speech) = self.listener.hear(&self.played);
        self.leg.note_heard(speech);
        let last = self.listener.finish();
        let now_ms = self.leg.ms(Instant::now());
        self.truth.agent.end(now_ms);
        self.leg.line_went_dead(now_ms, inputs, &last);
        self.leg.note_heard(last);
        let (status, disconnected_by) = match end {
            End::Bot { clean: true } => ("completed", "bot"),
            End::Bot { clean: false } => ("failed", "bot"),
            End::CalleeHungUp => ("cancelled", "user"),
            End::TimeLimit | End::ShuttingDown => ("completed", "NA"),
            End::Dropped | End::Lost => ("failed", "NA"),
        };
        if !matches!(end, End::Bot { clean: true } | End::CalleeHungUp | End::TimeLimit) {
            self.truth.error = Some("1006 abnormal closure".into());
        }
        self.truth.status = status;
        self.truth.disconnected_by = disconnected_by;
        self.truth.duration_secs = self.started.elapsed().as_secs();
        self.truth.closed_at = Some(Utc::now());
        let data = json!({"by": disconnected_by, "status": status, "truth": self.truth});
        self.note("stream.closed", data);
        (end, self.truth)
    }
}

/// The socket is gone, or nobody reads it.
struct Broken;
