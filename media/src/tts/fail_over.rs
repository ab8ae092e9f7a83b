//! Two voices of one call: when the first is beyond its own retries, the second says the rest, for the rest of the call. The call
//! sees one voice; where a clause breaks off, its sound goes on from the word that was not heard.

use std::{collections::VecDeque, pin::Pin};

use tokio::{sync::mpsc, time::Instant};

use super::{TtsCommand, TtsEvent, TtsHandle, Voice, progress::Progress};
use crate::{
    dialogue::{CharAt, Epoch},
    health::Health,
    provider::{FailOver, Part, Provider, ProviderError},
    usage::Meter,
};

/// As in each voice itself.
const COMMANDS: usize = 64;
const EVENTS: usize = 64;

/// Tasks of a voice, to be spawned.
pub type Speaking = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The voice of one call, with the second choice behind it.
pub fn speak(
    first: Voice,
    second: Option<Voice>,
    health: Health,
    meter: Meter,
    events: mpsc::Sender<TtsEvent>,
) -> (TtsHandle, Speaking) {
    let Some(second) = second else { return first.speak(false, &meter, events) };
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let relay = async move {
        let (from_voice, heard) = mpsc::channel(EVENTS);
        let from = first.provider();
        let (voice, speaking) = first.speak(true, &meter, from_voice);
        let (second, replies, began) = (Some(second), VecDeque::new(), Instant::now());
        let relay = Relay { inbox, events, voice, heard, from, began, second, health, meter, replies };
        relay.run(speaking).await;
    };
    (TtsHandle { commands }, Box::pin(relay))
}

struct Relay {
    inbox: mpsc::Receiver<TtsCommand>,
    events: mpsc::Sender<TtsEvent>,
    /// The voice that speaks now.
    voice: TtsHandle,
    heard: mpsc::Receiver<TtsEvent>,
    from: Provider,
    /// When its present connection was made.
    began: Instant,
    second: Option<Voice>,
    health: Health,
    meter: Meter,
    /// Replies that are not over, oldest first.
    replies: VecDeque<Reply>,
}

struct Reply {
    epoch: Epoch,
    clauses: Vec<Clause>,
    finished: bool,
}

struct Clause {
    number: u32,
    text: Vec<char>,
    progress: Progress,
    /// Characters that the voice before this one has said.
    said_before: usize,
}

/// The call is over.
struct Gone;

impl Relay {
    async fn run(mut self, mut speaking: Speaking) {
        loop {
            let step = tokio::select! {
                // In order: what was heard before a command is noted before it.
                biased;
                Some(event) = self.heard.recv() => self.event(event).await,
                command = self.inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                () = &mut speaking => Err(Gone),
            };
            match step {
                Ok(None) => {}
                Ok(Some(next)) => speaking = next,
                Err(Gone) => return,
            }
        }
        // The call lets go: so does the voice, in its own time.
        drop(self.voice);
        drop(self.heard);
        speaking.await;
    }

    fn command(&mut self, command: TtsCommand) -> Result<Option<Speaking>, Gone> {
        match &command {
            TtsCommand::Speak { epoch, clause, text, .. } => {
                let text = text.trim().chars().collect();
                let clause = Clause { number: *clause, text, progress: Progress::default(), said_before: 0 };
                match self.replies.iter_mut().find(|reply| reply.epoch == *epoch) {
                    Some(reply) => reply.clauses.push(clause),
                    None => self.replies.push_back(Reply { epoch: *epoch, clauses: vec![clause], finished: false }),
                }
            }
            TtsCommand::Finish { epoch } => {
                if let Some(reply) = self.replies.iter_mut().find(|reply| reply.epoch == *epoch) {
                    reply.finished = true;
                }
            }
            TtsCommand::Cancel { epoch } => self.replies.retain(|reply| reply.epoch != *epoch),
        }
        self.tell(command);
        Ok(None)
    }

    /// Never waits: the voice's queue is as long as ours, and ours was drained into it.
    fn tell(&self, command: TtsCommand) {
        if self.voice.commands.try_send(command).is_err() {
            metrics::counter!("orders_lost_total", "to" => "tts").increment(1);
        }
    }

    async fn event(&mut self, mut event: TtsEvent) -> Result<Option<Speaking>, Gone> {
        match &mut event {
            TtsEvent::Audio { epoch, clause, audio, alignment, .. } => {
                let clause = self.reply(*epoch).and_then(|r| r.clauses.iter_mut().find(|c| c.number == *clause));
                if let Some(clause) = clause {
                    clause.progress.heard(audio.samples.len(), alignment);
                    let before = u32::try_from(clause.said_before).unwrap_or(u32::MAX);
                    for CharAt { char_offset, .. } in alignment {
                        *char_offset = char_offset.saturating_add(before);
                    }
                }
            }
            TtsEvent::Done { epoch } => {
                self.health.worked(Part::Tts, self.from, self.began);
                self.replies.retain(|reply| reply.epoch != *epoch);
            }
            TtsEvent::Failed { clause, epoch, error } => {
                if let Some(second) = self.second.take() {
                    let (epoch, clause, error) = (*epoch, *clause, error.clone());
                    return self.go_over(second, epoch, clause, error).await.map(Some);
                }
                let (epoch, clause) = (*epoch, *clause);
                // The dialogue says what is missing again, under new numbers.
                if let Some(reply) = self.reply(epoch) {
                    reply.clauses.retain(|known| known.number < clause);
                }
            }
            TtsEvent::Connected { .. } => self.began = Instant::now(),
            TtsEvent::FailedOver(_) => {}
        }
        self.events.send(event).await.map_err(|_closed| Gone)?;
        Ok(None)
    }

    fn reply(&mut self, epoch: Epoch) -> Option<&mut Reply> {
        self.replies.iter_mut().find(|reply| reply.epoch == epoch)
    }

    /// The second voice says what the first did not.
    async fn go_over(
        &mut self,
        second: Voice,
        failed: Epoch,
        clause: u32,
        error: ProviderError,
    ) -> Result<Speaking, Gone> {
        self.health.failed(Part::Tts, self.from, &error);
        let over = FailOver { part: Part::Tts, from: self.from, to: second.provider(), error };
        self.from = over.to;
        let (from_voice, heard) = mpsc::channel(EVENTS);
        let (voice, speaking) = second.speak(false, &self.meter, from_voice);
        (self.voice, self.heard) = (voice, heard);
        for reply in &mut self.replies {
            for known in &mut reply.clauses {
                let said = if reply.epoch == failed && known.number < clause {
                    known.text.len()
                } else {
                    known.said_before + known.progress.unspoken_from(&known.text[known.said_before..])
                };
                (known.said_before, known.progress) = (said, Progress::default());
            }
        }
        for command in self.what_is_left() {
            self.tell(command);
        }
        self.events.send(TtsEvent::FailedOver(over)).await.map_err(|_closed| Gone)?;
        Ok(speaking)
    }

    fn what_is_left(&self) -> Vec<TtsCommand> {
        let mut left = Vec::new();
        for Reply { epoch, clauses, finished } in &self.replies {
            for known in clauses.iter().filter(|known| known.said_before < known.text.len()) {
                let text = known.text[known.said_before..].iter().collect();
                left.push(TtsCommand::Speak { epoch: *epoch, clause: known.number, text, repeats: false });
            }
            if *finished {
                left.push(TtsCommand::Finish { epoch: *epoch });
            }
        }
        left
    }
}
