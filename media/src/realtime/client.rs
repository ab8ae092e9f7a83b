//! The socket of one speech-to-speech call: connected while its phone rings or when the conversation asks for it, lost without a word
//! of its own. Whether it is opened again is the conversation's to decide, which has the history.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::header::AUTHORIZATION;
use shared::ledger::Unit;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::wire::{self, Address, ClientEvent, Reader, ServerEvent, Session, Usage};
use crate::{
    carrier::SAMPLES_PER_MS,
    provider::{Connect, Provider, ProviderError, ProviderSocket, count_error},
    stt::{AudioSink, AudioSource, audio_queue},
    usage::Meter,
};

/// Most audio in one message.
const CHUNK_SAMPLES: usize = 40 * SAMPLES_PER_MS;
/// Messages that could not be read before the connection is given up.
const MAX_MALFORMED: u32 = 20;
/// Orders waiting for the socket: a conversation gives a handful per turn.
const ORDERS: usize = 64;

/// How the socket behaves in time.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Handshake deadline.
    pub connect: Duration,
    /// From the first message to the server's word that the session is as we asked.
    pub ready: Duration,
    /// A ping after this long without a word from the server; as long again without an answer is a dead socket.
    pub silence: Duration,
    /// A send that takes longer is a dead socket.
    pub send: Duration,
    /// How long to say good-bye.
    pub close: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            ready: Duration::from_secs(3),
            silence: Duration::from_secs(5),
            send: Duration::from_secs(2),
            close: Duration::from_millis(500),
        }
    }
}

/// What the socket tells the call.
#[derive(Debug)]
pub enum Event {
    /// It is open, and the session is as we asked.
    Ready {
        /// How long it took.
        after: Duration,
    },
    /// The server said something.
    Said(ServerEvent),
    /// It made a sound.
    Sound {
        /// Always [`ServerEvent::Audio`].
        event: ServerEvent,
        /// µ-law, 8 kHz.
        codes: Vec<u8>,
    },
    /// The socket is gone, or could not be opened. Nothing more comes of it.
    Lost(ProviderError),
}

/// What the call asks of its socket.
#[derive(Debug)]
pub enum Link {
    /// Connect already, before anything is known of the conversation. What fails here is tried again when the session is opened.
    Connect,
    /// Open a new one, in place of what there is.
    Open(Box<Session>),
    /// Say this over the open one. Without one it is dropped: the next session begins with the whole conversation.
    Tell(ClientEvent),
}

/// The call's end of its socket. Dropping it ends the task.
pub struct RealtimeHandle {
    /// The human's audio. Never blocks; two seconds are kept while there is no socket.
    pub audio: AudioSink,
    /// A full queue is a socket that has stopped.
    pub orders: mpsc::Sender<Link>,
}

/// A socket for one call: its handle, and the task to spawn. Nothing is opened before it is asked for.
pub fn link(
    connect: Connect,
    address: Address,
    timing: Timing,
    meter: Meter,
    events: mpsc::Sender<Event>,
) -> (RealtimeHandle, impl Future<Output = ()> + Send + 'static) {
    let (audio, source) = audio_queue();
    let (orders, requests) = mpsc::channel(ORDERS);
    let run = Run { connect, address, timing, meter, events, audio: source, orders: requests };
    (RealtimeHandle { audio, orders }, run.run())
}

struct Run {
    connect: Connect,
    address: Address,
    timing: Timing,
    meter: Meter,
    events: mpsc::Sender<Event>,
    audio: AudioSource,
    orders: mpsc::Receiver<Link>,
}

/// Why a socket is not served any more.
enum Ended {
    /// The call is over.
    Done,
    Broken(ProviderError),
    /// Another one is wanted.
    Replaced(Box<Session>),
}

impl From<ProviderError> for Ended {
    fn from(error: ProviderError) -> Self {
        Self::Broken(error)
    }
}

impl Run {
    async fn run(mut self) {
        let mut wanted: Option<Box<Session>> = None;
        let mut connected = None;
        loop {
            let session = match wanted.take() {
                Some(session) => session,
                None => match self.orders.recv().await {
                    Some(Link::Open(session)) => session,
                    Some(Link::Connect) => {
                        connected = self.connect().await.inspect_err(|error| count_error(Provider::OpenAi, error)).ok();
                        match self.wait_for_session(&mut connected).await {
                            Some(session) => session,
                            None => return,
                        }
                    }
                    Some(Link::Tell(_)) => continue,
                    None => return,
                },
            };
            match self.serve(connected.take(), &session).await {
                Ended::Done => return,
                Ended::Replaced(session) => wanted = Some(session),
                Ended::Broken(error) => {
                    count_error(Provider::OpenAi, &error);
                    if self.events.send(Event::Lost(error)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<ProviderSocket, ProviderError> {
        let (url, key) = (&self.address.url, &self.address.authorization);
        self.connect.open(url, (AUTHORIZATION, key), self.timing.connect).await
    }

    /// Keeps a socket alive until there is a conversation for it. `None` where there will be none.
    async fn wait_for_session(&mut self, connected: &mut Option<ProviderSocket>) -> Option<Box<Session>> {
        loop {
            let heard = async {
                match connected.as_mut() {
                    // Reading is what answers its pings; what it says of the session that it made up is of no interest.
                    Some(socket) => socket.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = self.orders.recv() => match order? {
                    Link::Open(session) => return Some(session),
                    Link::Connect | Link::Tell(_) => {}
                },
                frame = heard => {
                    if !matches!(frame, Some(Ok(frame)) if !frame.is_close()) {
                        *connected = None;
                    }
                }
            }
        }
    }

    async fn serve(&mut self, connected: Option<ProviderSocket>, session: &Session) -> Ended {
        let began = Instant::now();
        let socket = match connected {
            Some(socket) => socket,
            None => match self.connect().await {
                Ok(socket) => socket,
                Err(error) => return error.into(),
            },
        };
        let mut connection = Connection {
            run: self,
            socket,
            began,
            ready_by: Some(Instant::now()),
            last_heard_at: Instant::now(),
            pinged: false,
            reader: Reader::default(),
            malformed: 0,
            samples: Vec::new(),
        };
        match connection.begin(session).await {
            Ok(()) => connection.serve().await,
            Err(ended) => ended,
        }
    }
}

struct Connection<'a> {
    run: &'a mut Run,
    socket: ProviderSocket,
    began: Instant,
    /// Until when the session must be ready, if it is not yet.
    ready_by: Option<Instant>,
    last_heard_at: Instant,
    pinged: bool,
    reader: Reader,
    malformed: u32,
    samples: Vec<i16>,
}

impl Connection<'_> {
    /// The session, then the conversation so far: both before any sound.
    async fn begin(&mut self, session: &Session) -> Result<(), Ended> {
        self.ready_by = Some(Instant::now() + self.run.timing.ready);
        let update = wire::session_update(&self.run.address, session);
        self.send(Frame::text(update)).await?;
        for item in &session.items {
            self.send(Frame::text(ClientEvent::Create(item.clone()).text())).await?;
        }
        Ok(())
    }

    async fn serve(mut self) -> Ended {
        loop {
            let silence_at = self.last_heard_at + self.run.timing.silence * if self.pinged { 2 } else { 1 };
            let ready_by = self.ready_by;
            let step = tokio::select! {
                frame = self.socket.next() => match frame {
                    Some(Ok(frame)) => self.heard(frame).await,
                    Some(Err(_)) => Err(cut("socket").into()),
                    None => Err(cut("closed").into()),
                },
                order = self.run.orders.recv() => match order {
                    Some(Link::Tell(event)) => self.send(Frame::text(event.text())).await,
                    Some(Link::Open(session)) => Err(Ended::Replaced(session)),
                    Some(Link::Connect) => Ok(()),
                    None => Err(Ended::Done),
                },
                () = self.run.audio.ready(), if ready_by.is_none() => self.hear().await,
                () = sleep_until(silence_at) => self.ping().await,
                () = sleep_until(ready_by.unwrap_or(silence_at)), if ready_by.is_some() => {
                    let after = self.run.timing.ready;
                    Err(ProviderError::TimedOut { stage: "session", after }.into())
                }
            };
            if let Err(ended) = step {
                if !matches!(ended, Ended::Broken(_)) {
                    // We leave, whether it answers or not.
                    let _ = timeout(self.run.timing.close, self.socket.close(None)).await;
                }
                return ended;
            }
        }
    }

    /// Sends what the human has said since.
    async fn hear(&mut self) -> Result<(), Ended> {
        loop {
            self.samples.clear();
            let taken = self.run.audio.take(&mut self.samples, CHUNK_SAMPLES);
            if taken.taken == 0 {
                return if taken.closed { Err(Ended::Done) } else { Ok(()) };
            }
            let message = wire::append(&self.samples);
            self.send(Frame::text(message)).await?;
        }
    }

    async fn heard(&mut self, frame: Frame) -> Result<(), Ended> {
        self.last_heard_at = Instant::now();
        self.pinged = false;
        match frame {
            Frame::Text(text) => self.heard_text(&text).await,
            Frame::Close(close) => {
                let code = close.map_or(1005, |close| close.code.into());
                Err(cut(&format!("closed_{code}")).into())
            }
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Ok(()),
        }
    }

    async fn heard_text(&mut self, text: &str) -> Result<(), Ended> {
        let mut codes = Vec::new();
        let Ok(event) = self.reader.read(text, &mut codes) else {
            self.malformed += 1;
            metrics::counter!("malformed_frames_total", "from" => Provider::OpenAi.as_str()).increment(1);
            return if self.malformed > MAX_MALFORMED { Err(cut("malformed").into()) } else { Ok(()) };
        };
        let event = match event {
            ServerEvent::Noted => return Ok(()),
            ServerEvent::Unknown => {
                metrics::counter!("unknown_events_total", "from" => Provider::OpenAi.as_str()).increment(1);
                return Ok(());
            }
            ServerEvent::Failed(error) => return Err(error.into()),
            ServerEvent::Ready if self.ready_by.take().is_some() => Event::Ready { after: self.began.elapsed() },
            ServerEvent::Ready => return Ok(()),
            event @ ServerEvent::Audio { .. } => Event::Sound { event, codes },
            event => {
                self.bill(&event);
                Event::Said(event)
            }
        };
        // The call takes what comes at once; one that does not is over.
        let handing_over = self.run.events.send(event);
        match timeout_at(Instant::now() + self.run.timing.send, handing_over).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Done),
        }
    }

    fn bill(&self, event: &ServerEvent) {
        let (run, meter) = (&self.run, &self.run.meter);
        let count = |model: &str, unit, amount| meter.counter(Provider::OpenAi, model, unit).add(amount);
        match event {
            ServerEvent::ResponseDone {
                usage: Some(Usage { audio_in, text_in, cached, audio_out, text_out }), ..
            } => {
                let model = run.address.model.as_str();
                count(model, Unit::AudioInputToken, *audio_in);
                count(model, Unit::LlmInputToken, *text_in);
                count(model, Unit::LlmCachedToken, *cached);
                count(model, Unit::AudioOutputToken, *audio_out);
                count(model, Unit::LlmOutputToken, *text_out);
            }
            ServerEvent::SpeechStopped { speech_ms: Some(ms), .. } => {
                count(&run.address.transcriber, Unit::SttMillisecond, *ms);
            }
            _ => {}
        }
    }

    /// The server has been quiet: ask whether it is there, or give up on it.
    async fn ping(&mut self) -> Result<(), Ended> {
        if self.pinged {
            let after = self.run.timing.silence;
            return Err(ProviderError::TimedOut { stage: "pong", after }.into());
        }
        self.pinged = true;
        self.send(Frame::Ping(bytes::Bytes::new())).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Ended> {
        let deadline = self.run.timing.send;
        match timeout(deadline, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(cut("socket").into()),
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "send", after: deadline }.into()),
        }
    }
}

fn cut(cause: &str) -> ProviderError {
    ProviderError::Cut { cause: cause.to_owned() }
}

#[cfg(test)]
mod tests;
