//! The engine of voices that speak one text after the other: clauses wait their turn, each is spoken to its end, and what breaks off
//! goes on once over a new connection, from the word that was not heard.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use shared::ledger::Unit;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until},
};

use super::{
    FirstSound, MAX_AHEAD_MS, SpeechAudio, TtsCommand, TtsEvent, TtsHandle,
    cache::{PhraseCache, PhraseKey},
    permits_of,
    progress::{Progress, SAMPLES_PER_CHAR},
    synth::{Made, Synth},
};
use crate::{
    dialogue::Epoch,
    provider::{ProviderError, count_error},
    usage::{Counter, Meter},
};

/// Commands waiting for the task: more than any reply has clauses.
const COMMANDS: usize = 64;

/// How the engine behaves in time. Tests shorten it.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Handshake deadline, and that of every send.
    pub connect: Duration,
    /// A sign of life after this long without a word from us; Sarvam closes after 60 s.
    pub keep_alive: Duration,
    /// Waits before each reconnection in a row; after the last one speech fails until it is asked for again.
    pub backoff: Vec<Duration>,
    /// A clause that brings no sound for this long has failed.
    pub stall: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            keep_alive: Duration::from_secs(20),
            backoff: [0, 250, 1_000].map(Duration::from_millis).to_vec(),
            stall: Duration::from_secs(4),
        }
    }
}

impl Timing {
    /// While somebody stands by to take over: the human must not hear the change.
    #[must_use]
    pub fn impatient(&self) -> Self {
        Self {
            connect: self.connect.min(Duration::from_millis(800)),
            backoff: self.backoff.iter().take(1).copied().collect(),
            stall: self.stall.min(Duration::from_millis(1_500)),
            ..self.clone()
        }
    }
}

/// A voice for one call: the call's handle, and the task to spawn, which connects at once and ends when the handle is dropped.
pub fn speak(
    synth: Box<dyn Synth>,
    timing: Timing,
    phrases: PhraseCache,
    meter: &Meter,
    events: mpsc::Sender<TtsEvent>,
) -> (TtsHandle, impl Future<Output = ()> + Send + 'static) {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let now = Instant::now();
    let run = Run {
        characters: meter.counter(synth.provider(), synth.model(), Unit::TtsCharacter),
        voice: synth.fingerprint().into(),
        synth,
        timing,
        phrases,
        commands: inbox,
        events,
        replies: VecDeque::new(),
        speaking: None,
        ahead: Arc::new(Semaphore::new(MAX_AHEAD_MS)),
        held: VecDeque::new(),
        failures: 0,
        connect_at: Some(now),
        connecting_since: None,
        rejected: None,
        last_sent_at: now,
    };
    (TtsHandle { commands }, run.run())
}

struct Reply {
    epoch: Epoch,
    clauses: VecDeque<Clause>,
    /// No more clauses will come.
    finished: bool,
}

struct Clause {
    number: u32,
    text: String,
    /// Its whole sound, if the phrase cache wants it.
    keep: Option<Vec<i16>>,
    /// It broke off once already.
    retried: bool,
}

/// The clause that is being spoken: the first of the first reply.
struct Speaking {
    asked_at: Instant,
    active_at: Instant,
    progress: Progress,
}

struct Run {
    synth: Box<dyn Synth>,
    timing: Timing,
    phrases: PhraseCache,
    voice: Arc<str>,
    characters: Counter,
    commands: mpsc::Receiver<TtsCommand>,
    events: mpsc::Sender<TtsEvent>,
    replies: VecDeque<Reply>,
    speaking: Option<Speaking>,
    ahead: Arc<Semaphore>,
    /// Events that wait for room ahead of the playout. While there are any, nothing is read from the provider.
    held: VecDeque<TtsEvent>,
    /// Failed connections in a row, and when to try again; `None` where nobody asks for one.
    failures: usize,
    connect_at: Option<Instant>,
    connecting_since: Option<Instant>,
    /// The provider will not have us: bad key, no credit, no such voice.
    rejected: Option<ProviderError>,
    last_sent_at: Instant,
}

/// The call is over.
struct Gone;

/// What came of the provider.
enum Came {
    Connected(Result<(), ProviderError>),
    Made(Result<Made, ProviderError>),
}

async fn next_of(synth: &mut dyn Synth, is_connecting: bool) -> Came {
    if is_connecting { Came::Connected(synth.connect().await) } else { Came::Made(synth.next().await) }
}

impl Run {
    async fn run(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Gone> {
        let permits = self.held.front().map(permits_of);
        let wake_at = self.next_deadline();
        let is_connecting = self.connecting_since.is_some();
        let listens = self.synth.is_listening() && permits.is_none();
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.command(command).await,
                None => Err(Gone),
            },
            came = next_of(&mut *self.synth, is_connecting), if is_connecting || listens => match came {
                Came::Connected(outcome) => self.connected(outcome).await,
                Came::Made(Ok(made)) => self.made(made).await,
                Came::Made(Err(error)) => self.broken(error).await,
            },
            permit = Arc::clone(&self.ahead).acquire_many_owned(permits.unwrap_or(0)), if permits.is_some() => {
                let mut event = self.held.pop_front();
                if let (Some(TtsEvent::Audio { audio, .. }), Ok(permit)) = (&mut event, permit) {
                    audio.permit = Some(Arc::new(permit));
                }
                if let (true, Some(speaking)) = (self.held.is_empty(), &mut self.speaking) {
                    // It was us who did not listen: the provider is not late.
                    speaking.active_at = Instant::now();
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
            TtsCommand::Speak { epoch, clause, text, repeats } => self.add(epoch, clause, text, repeats).await,
            TtsCommand::Finish { epoch } => match self.replies.iter_mut().find(|reply| reply.epoch == epoch) {
                Some(reply) => {
                    reply.finished = true;
                    self.go_on().await
                }
                None => self.emit(TtsEvent::Done { epoch }).await,
            },
            TtsCommand::Cancel { epoch } => {
                self.held.retain(|event| event.epoch() != Some(epoch));
                let was_speaking = self.speaking.is_some() && self.replies.front().is_some_and(|r| r.epoch == epoch);
                self.replies.retain(|reply| reply.epoch != epoch);
                if was_speaking {
                    self.speaking = None;
                    if let Err(error) = self.synth.cancel().await {
                        return self.broken(error).await;
                    }
                    // Warm again before the next reply.
                    self.want_connection();
                }
                self.go_on().await
            }
        }
    }

    async fn add(&mut self, epoch: Epoch, clause: u32, text: String, repeats: bool) -> Result<(), Gone> {
        let text = text.trim().to_owned();
        let key = PhraseKey { voice: Arc::clone(&self.voice), text: text.as_str().into() };
        // A cached clause may not overtake the ones before it that are still being made.
        if self.replies.iter().all(|reply| reply.clauses.is_empty())
            && let Some(phrase) = self.phrases.get(&key)
        {
            let audio = SpeechAudio { samples: phrase.samples, permit: None };
            let now = Instant::now();
            let first = Some(FirstSound { asked_at: now, received_at: now });
            return self.emit(TtsEvent::Audio { epoch, clause, audio, alignment: Vec::new(), first }).await;
        }
        if let Some(error) = self.rejected.clone() {
            return self.emit(TtsEvent::Failed { epoch, clause, error }).await;
        }
        let keep = self.phrases.wants(&key, repeats).then(Vec::new);
        let clause = Clause { number: clause, text, keep, retried: false };
        match self.replies.iter_mut().find(|reply| reply.epoch == epoch) {
            Some(reply) => reply.clauses.push_back(clause),
            None => self.replies.push_back(Reply { epoch, clauses: [clause].into(), finished: false }),
        }
        self.want_connection();
        self.go_on().await
    }

    fn want_connection(&mut self) {
        if !self.synth.is_ready()
            && self.connecting_since.is_none()
            && self.connect_at.is_none()
            && !self.synth.is_listening()
        {
            self.failures = 0;
            self.connect_at = Some(Instant::now());
        }
    }

    /// Says good-bye to replies that are over, and begins the next clause if nothing is being spoken.
    async fn go_on(&mut self) -> Result<(), Gone> {
        if self.speaking.is_some() {
            return Ok(());
        }
        while let Some(reply) = self.replies.pop_front_if(|reply| reply.clauses.is_empty() && reply.finished) {
            self.emit(TtsEvent::Done { epoch: reply.epoch }).await?;
        }
        // A reply that waits for its next clause does not hold up one that has some.
        let Some(at) = self.replies.iter().position(|reply| !reply.clauses.is_empty()) else { return Ok(()) };
        if self.connecting_since.is_some() || !self.synth.is_ready() {
            return Ok(());
        }
        self.replies.swap(0, at);
        let text = self.replies[0].clauses[0].text.clone();
        let count = text.chars().count() as u64;
        self.characters.add(count);
        metrics::counter!("tts_characters_total").increment(count);
        let now = Instant::now();
        self.last_sent_at = now;
        self.speaking = Some(Speaking { asked_at: now, active_at: now, progress: Progress::default() });
        match self.synth.speak(&text).await {
            Ok(()) => Ok(()),
            Err(error) => Box::pin(self.broken(error)).await,
        }
    }

    async fn made(&mut self, made: Made) -> Result<(), Gone> {
        let (Some(speaking), Some(reply)) = (&mut self.speaking, self.replies.front_mut()) else {
            // What is left of a text that was given up, or the last of a connection.
            self.want_connection();
            return self.go_on().await;
        };
        let Some(clause) = reply.clauses.front_mut() else { return Ok(()) };
        match made {
            Made::Nothing => Ok(()),
            Made::Sound(samples) if samples.is_empty() => Ok(()),
            Made::Sound(samples) => {
                let received_at = Instant::now();
                speaking.active_at = received_at;
                let is_first = speaking.progress.samples == 0;
                let first = is_first.then_some(FirstSound { asked_at: speaking.asked_at, received_at });
                speaking.progress.heard(samples.len(), &[]);
                if let Some(keep) = &mut clause.keep {
                    keep.extend_from_slice(&samples);
                }
                self.failures = 0;
                let (epoch, clause) = (reply.epoch, clause.number);
                let audio = SpeechAudio { samples: samples.into(), permit: None };
                self.emit(TtsEvent::Audio { epoch, clause, audio, alignment: Vec::new(), first }).await
            }
            // A clause without any sound was not spoken, whatever the provider says.
            Made::End if speaking.progress.samples == 0 && clause.text.chars().any(char::is_alphanumeric) => {
                self.broken(ProviderError::Cut { cause: "ended_early".into() }).await
            }
            Made::End => self.clause_is_over().await,
        }
    }

    async fn clause_is_over(&mut self) -> Result<(), Gone> {
        self.speaking = None;
        if let Some(clause) = self.replies.front_mut().and_then(|reply| reply.clauses.pop_front())
            && let Some(samples) = clause.keep.filter(|_| !clause.retried)
        {
            self.phrases.put(PhraseKey { voice: Arc::clone(&self.voice), text: clause.text.into() }, samples);
        }
        // A connection may have ended with its text: the next one is made ready before it is asked for.
        self.want_connection();
        self.go_on().await
    }

    /// The connection, or the request, broke. The clause goes on once, from the word that was not heard.
    async fn broken(&mut self, error: ProviderError) -> Result<(), Gone> {
        self.synth.disconnect();
        let speaking = self.speaking.take();
        count_error(self.synth.provider(), &error);
        let clause =
            self.replies.front_mut().and_then(|reply| reply.clauses.front_mut()).filter(|_| speaking.is_some());
        if let (Some(speaking), Some(clause)) = (speaking, clause) {
            let may_retry = error.is_worth_another_try()
                && !matches!(error, ProviderError::TimedOut { stage: "audio", .. })
                && !std::mem::replace(&mut clause.retried, true);
            if !may_retry {
                return self.fail(error).await;
            }
            let text: Vec<char> = clause.text.chars().collect();
            let rest: String = text[speaking.progress.unspoken_from(&text)..].iter().collect();
            if rest.trim().is_empty() {
                self.clause_is_over().await?;
            } else {
                clause.text = rest;
            }
        }
        self.connection_failed(error).await
    }

    async fn connection_failed(&mut self, error: ProviderError) -> Result<(), Gone> {
        self.connecting_since = None;
        if !error.is_worth_another_try() {
            self.rejected = Some(error.clone());
            return self.fail(error).await;
        }
        match self.timing.backoff.get(self.failures) {
            Some(wait) => {
                self.failures += 1;
                self.connect_at = Some(Instant::now() + *wait);
                Ok(())
            }
            // The next clause will try again.
            None => self.fail(error).await,
        }
    }

    /// Nothing that waits will be spoken.
    async fn fail(&mut self, error: ProviderError) -> Result<(), Gone> {
        self.speaking = None;
        self.connect_at = None;
        for reply in std::mem::take(&mut self.replies) {
            match reply.clauses.front() {
                Some(clause) => {
                    let (epoch, clause) = (reply.epoch, clause.number);
                    self.emit(TtsEvent::Failed { epoch, clause, error: error.clone() }).await?;
                }
                None if reply.finished => self.emit(TtsEvent::Done { epoch: reply.epoch }).await?,
                None => self.replies.push_back(reply),
            }
        }
        Ok(())
    }

    async fn connected(&mut self, outcome: Result<(), ProviderError>) -> Result<(), Gone> {
        let began = self.connecting_since.take().unwrap_or_else(Instant::now);
        match outcome {
            Ok(()) => {
                self.last_sent_at = Instant::now();
                let provider = self.synth.provider();
                self.emit(TtsEvent::Connected { provider, after: began.elapsed() }).await?;
                self.go_on().await
            }
            Err(error) => {
                count_error(self.synth.provider(), &error);
                self.connection_failed(error).await
            }
        }
    }

    /// Gives an event to the call, in order, and only when there is room ahead for its sound.
    async fn emit(&mut self, mut event: TtsEvent) -> Result<(), Gone> {
        if !self.held.is_empty() {
            self.held.push_back(event);
            return Ok(());
        }
        let needed = permits_of(&event);
        if needed > 0 {
            let Ok(permit) = Arc::clone(&self.ahead).try_acquire_many_owned(needed) else {
                self.held.push_back(event);
                return Ok(());
            };
            if let TtsEvent::Audio { audio, .. } = &mut event {
                audio.permit = Some(Arc::new(permit));
            }
        }
        self.events.send(event).await.map_err(|_closed| Gone)
    }

    fn next_deadline(&self) -> Instant {
        let mut next = self.connect_at.unwrap_or(self.last_sent_at + Duration::from_secs(3_600));
        if self.synth.is_listening() {
            next = next.min(self.last_sent_at + self.timing.keep_alive);
        }
        match &self.speaking {
            Some(speaking) if self.held.is_empty() => next.min(speaking.active_at + self.timing.stall),
            _ => next,
        }
    }

    async fn tick(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect_at = None;
            self.connecting_since = Some(now);
        }
        if self.synth.is_listening() && self.last_sent_at + self.timing.keep_alive <= now {
            self.last_sent_at = now;
            if let Err(error) = self.synth.keep_alive().await {
                return self.broken(error).await;
            }
        }
        let stalled = self.speaking.as_ref().filter(|_| self.held.is_empty());
        if stalled.is_some_and(|speaking| speaking.active_at + self.timing.stall <= now) {
            return self.stalled().await;
        }
        Ok(())
    }

    /// No sound for too long: the clause is over if about all of it was heard, and has failed otherwise.
    async fn stalled(&mut self) -> Result<(), Gone> {
        let heard = self.speaking.as_ref().map_or(0, |speaking| speaking.progress.samples);
        let clause = self.replies.front().and_then(|reply| reply.clauses.front());
        let usual = clause.map_or(0, |clause| clause.text.chars().count() as u64 * SAMPLES_PER_CHAR);
        if heard > 0 && heard * 3 >= usual * 2 {
            metrics::counter!("tts_ends_missing_total").increment(1);
            // Or its late end would be taken for that of the next clause.
            if self.synth.cancel().await.is_err() {
                self.synth.disconnect();
            }
            self.want_connection();
            return self.clause_is_over().await;
        }
        self.broken(ProviderError::TimedOut { stage: "audio", after: self.timing.stall }).await
    }
}
