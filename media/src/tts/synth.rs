//! A provider that speaks one text after the other: what the engine asks of it, whatever wire it has.

use std::{collections::VecDeque, future::Future, pin::Pin, time::Duration};

use futures::{SinkExt, StreamExt};
use http::HeaderName;
use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use crate::provider::{Connect, Provider, ProviderError, ProviderSocket};

/// A boxed step of a synthesiser.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// What comes of a text.
#[derive(Debug, PartialEq)]
pub enum Made {
    /// 8 kHz samples.
    Sound(Vec<i16>),
    /// All sound of the text has come.
    End,
    /// Nothing that matters.
    Nothing,
}

/// One voice of one call. At most one text is being spoken at a time.
pub trait Synth: Send {
    /// Whose voice it is.
    fn provider(&self) -> Provider;
    /// Which of its models is billed.
    fn model(&self) -> &str;
    /// Everything that decides the sound of a text.
    fn fingerprint(&self) -> String;
    /// Makes ready to speak; returns at once where it is ready. Safe to drop and ask again.
    fn connect(&mut self) -> Step<'_, ()>;
    /// Whether a text can be spoken now.
    fn is_ready(&self) -> bool;
    /// Begins to speak.
    fn speak<'a>(&'a mut self, text: &'a str) -> Step<'a, ()>;
    /// What comes next. Safe to drop and ask again.
    fn next(&mut self) -> Step<'_, Made>;
    /// Nobody wants the rest of the text.
    fn cancel(&mut self) -> Step<'_, ()>;
    /// A sign of life, when nothing has been said for a while.
    fn keep_alive(&mut self) -> Step<'_, ()>;
    /// Whether sound can come, or a connection can break, while nothing is spoken.
    fn is_listening(&self) -> bool;
    /// Lets go of the connection.
    fn disconnect(&mut self);
}

/// What tells one speech socket from another.
pub trait SpeechWire: Send {
    /// Whose socket it is.
    fn provider(&self) -> Provider;
    /// Which model is billed.
    fn model(&self) -> &str;
    /// Everything that decides the sound of a text.
    fn fingerprint(&self) -> String;
    /// Where, and the header that carries the key.
    fn address(&self) -> (&Url, HeaderName, &SecretString);
    /// Said before the first text of every connection.
    fn hello(&self) -> Option<String>;
    /// Speaks a text, to its end.
    fn speak(&self, text: &str) -> Vec<String>;
    /// Throws away what is being made, where the provider can; the answer to it is [`Read::Cleared`].
    fn clear(&self) -> Option<&'static str>;
    /// How many texts one connection takes in how long, where that is limited.
    fn limit(&self) -> Option<(usize, Duration)> {
        None
    }
    /// A sign of life, where idle sockets are closed.
    fn keep_alive(&self) -> Option<&'static str>;
    /// Reads one frame.
    fn read(&mut self, frame: &Frame) -> Result<Read, ProviderError>;
}

/// What a frame says.
#[derive(Debug, PartialEq)]
pub enum Read {
    /// 8 kHz samples.
    Sound(Vec<i16>),
    /// The text is over.
    End,
    /// What was being made has been thrown away.
    Cleared,
    /// Nothing that matters.
    Nothing,
    /// Nothing this version knows.
    Unknown,
}

/// The provider throws away at once what it is told to. Without a word of it, the next sound could be of the old text for ever.
const CLEARED_WITHIN: Duration = Duration::from_secs(1);

/// A synthesiser over a socket that lives as long as the call.
pub struct SocketSynth<W> {
    wire: W,
    connect: Connect,
    within: Duration,
    socket: Option<ProviderSocket>,
    connecting: Option<Step<'static, ProviderSocket>>,
    hello_due: bool,
    /// Since then sound is of a text that was cleared, until the provider says that it is thrown away.
    muted_since: Option<Instant>,
    speaking: bool,
    /// When this connection was given its last texts.
    texts: VecDeque<Instant>,
}

impl<W: SpeechWire> SocketSynth<W> {
    /// Connects, and sends every message, within `within`.
    pub fn new(wire: W, connect: Connect, within: Duration) -> Self {
        let (socket, connecting, hello_due, texts) = (None, None, true, VecDeque::new());
        Self { wire, connect, within, socket, connecting, hello_due, muted_since: None, speaking: false, texts }
    }

    /// Nothing is being spoken: a connection that takes no more texts for now is let go of, before one would be lost in it.
    fn renew(&mut self) {
        if let Some((most, within)) = self.wire.limit()
            && self.texts.len() >= most
            && self.texts.front().is_some_and(|first| first.elapsed() < within)
        {
            metrics::counter!("tts_connections_renewed_total", "provider" => self.wire.provider().as_str())
                .increment(1);
            self.socket = None;
        }
    }

    fn note_text(&mut self) {
        if let Some((most, _)) = self.wire.limit() {
            if self.texts.len() == most {
                self.texts.pop_front();
            }
            self.texts.push_back(Instant::now());
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), ProviderError> {
        let Some(socket) = self.socket.as_mut() else {
            return Err(ProviderError::Unavailable { cause: "not_connected".into() });
        };
        match timeout(self.within, socket.send(Frame::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ProviderError::Cut { cause: "socket".into() }),
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "send", after: self.within }),
        }
    }

    async fn read(&mut self) -> Result<Made, ProviderError> {
        let Some(socket) = self.socket.as_mut() else {
            return Err(ProviderError::Unavailable { cause: "not_connected".into() });
        };
        let next = match self.muted_since {
            Some(since) => timeout_at(since + CLEARED_WITHIN, socket.next()).await,
            None => Ok(socket.next().await),
        };
        let Ok(next) = next else { return Err(ProviderError::TimedOut { stage: "clear", after: CLEARED_WITHIN }) };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(ProviderError::Cut { cause: "socket".into() }),
            None => return Err(ProviderError::Cut { cause: "closed".into() }),
        };
        Ok(match self.wire.read(&frame)? {
            Read::Cleared => {
                self.muted_since = None;
                self.renew();
                Made::Nothing
            }
            Read::Sound(_) | Read::End if self.muted_since.is_some() || !self.speaking => {
                metrics::counter!("tts_late_audio_total").increment(1);
                Made::Nothing
            }
            Read::Sound(samples) => Made::Sound(samples),
            Read::End => {
                self.speaking = false;
                self.renew();
                Made::End
            }
            Read::Nothing => Made::Nothing,
            Read::Unknown => {
                metrics::counter!("unknown_events_total", "from" => self.wire.provider().as_str()).increment(1);
                Made::Nothing
            }
        })
    }
}

impl<W: SpeechWire> Synth for SocketSynth<W> {
    fn provider(&self) -> Provider {
        self.wire.provider()
    }

    fn model(&self) -> &str {
        self.wire.model()
    }

    fn fingerprint(&self) -> String {
        self.wire.fingerprint()
    }

    fn connect(&mut self) -> Step<'_, ()> {
        Box::pin(async move {
            if self.socket.is_some() {
                return Ok(());
            }
            let connecting = self.connecting.get_or_insert_with(|| {
                let (url, header, key) = self.wire.address();
                let (url, key) = (url.clone(), key.clone());
                let (connect, within) = (self.connect.clone(), self.within);
                Box::pin(async move { connect.open(&url, (header, &key), within).await })
            });
            let outcome = connecting.await;
            self.connecting = None;
            self.socket = Some(outcome?);
            (self.muted_since, self.speaking, self.hello_due) = (None, false, true);
            self.texts.clear();
            Ok(())
        })
    }

    fn is_ready(&self) -> bool {
        self.socket.is_some() && self.muted_since.is_none()
    }

    fn speak<'a>(&'a mut self, text: &'a str) -> Step<'a, ()> {
        Box::pin(async move {
            self.speaking = true;
            self.note_text();
            if std::mem::take(&mut self.hello_due)
                && let Some(hello) = self.wire.hello()
            {
                self.send(&hello).await?;
            }
            for message in self.wire.speak(text) {
                self.send(&message).await?;
            }
            Ok(())
        })
    }

    fn next(&mut self) -> Step<'_, Made> {
        Box::pin(self.read())
    }

    fn cancel(&mut self) -> Step<'_, ()> {
        Box::pin(async move {
            if !std::mem::take(&mut self.speaking) {
                return Ok(());
            }
            match self.wire.clear() {
                Some(clear) => {
                    self.muted_since = Some(Instant::now());
                    self.send(clear).await
                }
                // The only way to make it stop.
                None => {
                    self.socket = None;
                    Ok(())
                }
            }
        })
    }

    fn keep_alive(&mut self) -> Step<'_, ()> {
        Box::pin(async move {
            match self.wire.keep_alive().filter(|_| self.socket.is_some()) {
                Some(text) => self.send(text).await,
                None => Ok(()),
            }
        })
    }

    fn is_listening(&self) -> bool {
        self.socket.is_some()
    }

    fn disconnect(&mut self) {
        self.socket = None;
    }
}
