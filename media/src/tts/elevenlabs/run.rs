//! The task that owns the socket: opens and closes contexts, turns clauses into messages and messages into sound.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use http::HeaderName;
use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message as Frame;
use url::Url;

use super::{ElevenLabs, MAX_OPEN_CONTEXTS, context::Context};
use crate::{
    dialogue::Epoch,
    provider::{Provider, ProviderError, ProviderSocket, count_error},
    tts::{FirstSound, MAX_AHEAD_MS, SpeechAudio, TtsCommand, TtsEvent, cache::PhraseKey, permits_of},
    usage::Counter,
};

mod hearing;

const API_KEY: HeaderName = HeaderName::from_static("xi-api-key");

type Connecting = Pin<Box<dyn Future<Output = Result<ProviderSocket, ProviderError>> + Send>>;

pub(super) struct Run {
    client: ElevenLabs,
    url: Url,
    voice: Arc<str>,
    characters: Counter,
    commands: mpsc::Receiver<TtsCommand>,
    events: mpsc::Sender<TtsEvent>,
    contexts: Vec<Context>,
    next_id: u32,
    ahead: Arc<Semaphore>,
    /// Events that wait for room ahead of the playout. While there are any, nothing is read from the socket.
    held: VecDeque<TtsEvent>,
    socket: Option<ProviderSocket>,
    connecting: Option<(Instant, Connecting)>,
    /// Failed connections in a row, and when to try again.
    failures: usize,
    reconnect_at: Option<Instant>,
    /// The provider will not have us: bad key, no credit, no such voice.
    rejected: Option<ProviderError>,
    last_sent_at: Instant,
    malformed: u32,
}

/// The call is over.
struct Gone;

impl Run {
    pub(super) fn new(
        client: ElevenLabs,
        url: Url,
        voice: Arc<str>,
        characters: Counter,
        commands: mpsc::Receiver<TtsCommand>,
        events: mpsc::Sender<TtsEvent>,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            url,
            voice,
            characters,
            commands,
            events,
            contexts: Vec::new(),
            next_id: 0,
            ahead: Arc::new(Semaphore::new(MAX_AHEAD_MS)),
            held: VecDeque::new(),
            socket: None,
            connecting: None,
            failures: 0,
            reconnect_at: Some(now),
            rejected: None,
            last_sent_at: now,
            malformed: 0,
        }
    }

    pub(super) async fn run(mut self) {
        while self.step().await.is_ok() {}
        if let Some(mut socket) = self.socket.take() {
            // A courtesy: the provider would notice by itself.
            let closing = async {
                let _ = socket.send(Frame::text(r#"{"close_socket":true}"#)).await;
                let _ = socket.close(None).await;
            };
            let _ = timeout(Duration::from_millis(500), closing).await;
        }
    }

    async fn step(&mut self) -> Result<(), Gone> {
        let permits = self.held.front().map(permits_of);
        let wake_at = self.next_deadline();
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.command(command).await,
                None => Err(Gone),
            },
            socket = async { self.connecting.as_mut().expect("guarded").1.as_mut().await }, if self.connecting.is_some() => {
                self.connected(socket).await
            }
            frame = async { self.socket.as_mut().expect("guarded").next().await }, if self.socket.is_some() && permits.is_none() => {
                self.heard(frame).await
            }
            permit = Arc::clone(&self.ahead).acquire_many_owned(permits.unwrap_or(0)), if permits.is_some() => {
                let mut event = self.held.pop_front();
                if let (Some(TtsEvent::Audio { audio, .. }), Ok(permit)) = (&mut event, permit) {
                    audio.permit = Some(Arc::new(permit));
                }
                if self.held.is_empty() {
                    // It was us who did not listen: the provider is not late.
                    let now = Instant::now();
                    self.contexts.iter_mut().for_each(|context| context.active_at = now);
                }
                match event {
                    Some(event) => self.events.send(event).await.map_err(|_closed| Gone),
                    None => Ok(()),
                }
            }
            () = sleep_until(wake_at) => self.tick().await,
        }
    }

    async fn command(&mut self, command: TtsCommand) -> Result<(), Gone> {
        match command {
            TtsCommand::Speak { epoch, clause, text, repeats } => self.speak(epoch, clause, &text, repeats).await,
            TtsCommand::Finish { epoch } => match self.context_of(epoch) {
                Some(context) => {
                    context.finished = true;
                    self.send_due().await
                }
                None => self.emit(TtsEvent::Done { epoch }).await,
            },
            TtsCommand::Cancel { epoch } => {
                self.held.retain(|event| event.epoch() != Some(epoch));
                self.cancel(epoch);
                self.send_due().await
            }
        }
    }

    async fn speak(&mut self, epoch: Epoch, clause: u32, text: &str, repeats: bool) -> Result<(), Gone> {
        let key = PhraseKey { voice: Arc::clone(&self.voice), text: text.trim().into() };
        // A cached clause may not overtake the ones before it that are still being made.
        let nothing_before_it = self.context_of(epoch).is_none_or(|context| context.clauses.is_empty());
        if nothing_before_it && let Some(phrase) = self.client.phrases.get(&key) {
            let audio = SpeechAudio { samples: phrase.samples, permit: None };
            let now = Instant::now();
            let first = Some(FirstSound { asked_at: now, received_at: now });
            return self.emit(TtsEvent::Audio { epoch, clause, audio, alignment: Vec::new(), first }).await;
        }
        if let Some(error) = self.rejected.clone() {
            return self.emit(TtsEvent::Failed { epoch, clause, error }).await;
        }
        let keep = self.client.phrases.wants(&key, repeats);
        let now = Instant::now();
        let at = match self.contexts.iter().position(|c| c.epoch == Some(epoch) && c.takes_text()) {
            Some(at) => at,
            None => self.adopt_spare(epoch, now),
        };
        self.contexts[at].push(clause, text, keep);
        self.contexts[at].active_at = now;
        if self.socket.is_none() && self.connecting.is_none() && self.reconnect_at.is_none() {
            self.failures = 0;
            self.reconnect_at = Some(now);
        }
        self.send_due().await
    }

    /// The context that was opened ahead of time, or a new one.
    fn adopt_spare(&mut self, epoch: Epoch, now: Instant) -> usize {
        if let Some(at) = self.contexts.iter().position(|c| c.epoch.is_none() && c.takes_text()) {
            self.contexts[at].epoch = Some(epoch);
            return at;
        }
        let id = self.new_id();
        self.contexts.push(Context::new(id, Some(epoch), now));
        self.contexts.len() - 1
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("c{}", self.next_id)
    }

    fn context_of(&mut self, epoch: Epoch) -> Option<&mut Context> {
        self.contexts.iter_mut().find(|c| c.epoch == Some(epoch) && !c.cancelled)
    }

    fn cancel(&mut self, epoch: Epoch) {
        for context in self.contexts.iter_mut().filter(|c| c.epoch == Some(epoch)) {
            context.cancelled = true;
            context.clauses.clear();
        }
        // What the provider has never heard of needs no good-bye.
        self.contexts.retain(|c| c.open || !c.cancelled);
    }

    /// Gives an event to the call, in order, and only when there is room ahead for its sound.
    async fn emit(&mut self, mut event: TtsEvent) -> Result<(), Gone> {
        if !self.held.is_empty() {
            self.held.push_back(event);
            return Ok(());
        }
        let needed = permits_of(&event);
        if needed > 0 {
            match Arc::clone(&self.ahead).try_acquire_many_owned(needed) {
                Ok(permit) => {
                    if let TtsEvent::Audio { audio, .. } = &mut event {
                        audio.permit = Some(Arc::new(permit));
                    }
                }
                Err(_full) => {
                    self.held.push_back(event);
                    return Ok(());
                }
            }
        }
        self.events.send(event).await.map_err(|_closed| Gone)
    }

    // ---- the connection ---------------------------------------------------------------------------------------------

    fn connect(&mut self) {
        let connect = self.client.connect.clone();
        let (url, key, deadline) = (self.url.clone(), Arc::clone(&self.client.api_key), self.client.timing.connect);
        let connecting = async move { connect.open(&url, (API_KEY, &key), deadline).await };
        self.reconnect_at = None;
        self.connecting = Some((Instant::now(), Box::pin(connecting)));
    }

    async fn connected(&mut self, outcome: Result<ProviderSocket, ProviderError>) -> Result<(), Gone> {
        let began = self.connecting.take().map_or_else(Instant::now, |(began, _)| began);
        match outcome {
            Ok(socket) => {
                self.socket = Some(socket);
                self.malformed = 0;
                self.last_sent_at = Instant::now();
                for context in &mut self.contexts {
                    context.active_at = self.last_sent_at;
                }
                self.emit(TtsEvent::Connected { provider: Provider::ElevenLabs, after: began.elapsed() }).await?;
                self.send_due().await
            }
            Err(error) => self.connection_failed(error).await,
        }
    }

    async fn connection_failed(&mut self, error: ProviderError) -> Result<(), Gone> {
        count_error(Provider::ElevenLabs, &error);
        if !error.is_worth_another_try() {
            self.rejected = Some(error.clone());
            return self.fail_all(&error).await;
        }
        match self.client.timing.backoff.get(self.failures) {
            Some(wait) => {
                self.failures += 1;
                self.reconnect_at = Some(Instant::now() + *wait);
                Ok(())
            }
            // The next clause will try again.
            None => self.fail_all(&error).await,
        }
    }

    /// The socket broke. Replies that were being spoken go on over a new one, once each.
    async fn lost(&mut self, error: ProviderError) -> Result<(), Gone> {
        self.socket = None;
        let now = Instant::now();
        let mut kept = Vec::new();
        for mut context in std::mem::take(&mut self.contexts) {
            let Some(epoch) = context.epoch.filter(|_| !context.cancelled) else { continue };
            if context.is_spoken() {
                if context.finished {
                    self.emit(TtsEvent::Done { epoch }).await?;
                }
                continue;
            }
            let clause = context.current().unwrap_or(0);
            let id = self.new_id();
            if !error.is_worth_another_try() || !context.rewind(id, now) {
                self.emit(TtsEvent::Failed { epoch, clause, error: error.clone() }).await?;
            } else {
                kept.push(context);
            }
        }
        self.contexts = kept;
        self.connection_failed(error).await
    }

    async fn fail_all(&mut self, error: &ProviderError) -> Result<(), Gone> {
        for context in std::mem::take(&mut self.contexts) {
            let (Some(epoch), Some(clause)) = (context.epoch, context.current()) else { continue };
            if !context.cancelled {
                self.emit(TtsEvent::Failed { epoch, clause, error: error.clone() }).await?;
            }
        }
        Ok(())
    }

    // ---- to the provider --------------------------------------------------------------------------------------------

    /// Sends all that is due: initial messages while there is room, clauses, ends, closes.
    async fn send_due(&mut self) -> Result<(), Gone> {
        if self.socket.is_none() {
            return Ok(());
        }
        for message in self.due() {
            if let Err(error) = self.send(message).await {
                return Box::pin(self.lost(error)).await;
            }
        }
        Ok(())
    }

    fn due(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        if !self.contexts.iter().any(|c| c.takes_text() && !c.finished) {
            // One context is always open ahead of the next reply: it saves the reply a message and keeps the socket alive.
            let id = self.new_id();
            self.contexts.push(Context::new(id, None, now));
        }
        let mut open = self.contexts.iter().filter(|c| c.open).count();
        for context in &mut self.contexts {
            let id = &context.id;
            if context.cancelled {
                if context.open && !context.closing {
                    context.closing = true;
                    context.active_at = now;
                    due.push(json!({"context_id": id, "close_context": true}).to_string());
                }
                continue;
            }
            if !context.open {
                if open == MAX_OPEN_CONTEXTS {
                    continue;
                }
                open += 1;
                context.open = true;
                due.push(
                    json!({"text": " ", "context_id": id, "voice_settings":
                        {"stability": 0.5, "similarity_boost": 0.75, "style": 0, "use_speaker_boost": true, "speed": 1.0}})
                    .to_string(),
                );
            }
            for clause in context.clauses.iter_mut().filter(|c| !c.sent) {
                clause.sent = true;
                context.active_at = now;
                if clause.number == 0 {
                    context.asked_at = Some(now);
                }
                let text = clause.unspoken();
                let count = text.trim_end().chars().count() as u64;
                self.characters.add(count);
                metrics::counter!("tts_characters_total").increment(count);
                due.push(json!({"text": text, "context_id": id, "flush": true}).to_string());
            }
            if context.finished && !context.closing {
                context.closing = true;
                context.active_at = now;
                // What was flushed is still finished after this.
                due.push(json!({"context_id": id, "close_context": true}).to_string());
            }
        }
        due
    }

    async fn send(&mut self, message: String) -> Result<(), ProviderError> {
        let Some(socket) = self.socket.as_mut() else { return Ok(()) };
        let deadline = self.client.timing.send;
        self.last_sent_at = Instant::now();
        match timeout(deadline, socket.send(Frame::text(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ProviderError::Cut { cause: "socket".into() }),
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "send", after: deadline }),
        }
    }

    // ---- time -------------------------------------------------------------------------------------------------------

    fn next_deadline(&self) -> Instant {
        let timing = &self.client.timing;
        let idle = Instant::now() + Duration::from_secs(3_600);
        let mut next = self.reconnect_at.unwrap_or(idle);
        if self.socket.is_some() {
            next = next.min(self.last_sent_at + timing.keep_alive);
            if self.held.is_empty() {
                let patience = self.contexts.iter().filter_map(|c| Some(c.active_at + self.patience(c)?));
                next = patience.fold(next, Instant::min);
            }
        }
        next
    }

    /// How long a context may stay silent; `None` where nothing is expected of it.
    fn patience(&self, context: &Context) -> Option<Duration> {
        let timing = &self.client.timing;
        if context.cancelled {
            return Some(timing.linger);
        }
        context.epoch?;
        if !context.open {
            // All places are taken: by contexts whose end never came.
            return Some(timing.stall / 2);
        }
        if context.finished {
            return Some(if context.is_spoken() { timing.tail } else { timing.stall });
        }
        context.clauses.iter().any(|c| c.sent && !c.is_about_heard()).then_some(timing.stall)
    }

    async fn tick(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        if self.reconnect_at.is_some_and(|at| at <= now) {
            self.connect();
        }
        if self.socket.is_none() {
            return Ok(());
        }
        if self.last_sent_at + self.client.timing.keep_alive <= now {
            // Only an open context may be kept alive: before its first message this would be a policy violation.
            let open = self.contexts.iter().find(|c| c.open && c.takes_text());
            let keep_alive = open.map(|c| json!({"text": "", "context_id": c.id}).to_string());
            self.last_sent_at = now;
            if let Some(message) = keep_alive
                && let Err(error) = self.send(message).await
            {
                return self.lost(error).await;
            }
        }
        if !self.held.is_empty() {
            return Ok(());
        }
        while let Some(at) =
            self.contexts.iter().position(|c| self.patience(c).is_some_and(|patience| c.active_at + patience <= now))
        {
            self.out_of_patience(at).await?;
            if self.socket.is_none() {
                return Ok(());
            }
        }
        self.send_due().await
    }

    async fn out_of_patience(&mut self, at: usize) -> Result<(), Gone> {
        let context = &mut self.contexts[at];
        if context.cancelled {
            metrics::counter!("tts_contexts_never_closed_total").increment(1);
            self.contexts.remove(at);
            return Ok(());
        }
        if !context.open {
            return self.lost(ProviderError::TimedOut { stage: "context", after: self.client.timing.stall / 2 }).await;
        }
        if let (true, true, Some(epoch)) = (context.finished, context.is_about_heard(), context.epoch) {
            // About all is said, only the end is missing. The provider still counts the context, so it stays until it lingers out.
            context.cancelled = true;
            context.clauses.clear();
            context.active_at = Instant::now();
            return self.emit(TtsEvent::Done { epoch }).await;
        }
        self.contexts[at].active_at = Instant::now();
        let error = ProviderError::TimedOut { stage: "audio", after: self.client.timing.stall };
        Box::pin(self.fail_context(at, error)).await
    }
}
