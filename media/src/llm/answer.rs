//! An answer piece by piece, and how long the next one may take.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{LlmPiece, Usage, bill::Bill, client::Budget, sse::EventStream};
use crate::provider::{Provider, ProviderError, count_error};

/// Joins the `data` of events into pieces.
pub(super) trait Assemble: Send {
    /// Takes one event; `true` if it was the last.
    fn event(&mut self, data: &str, out: &mut VecDeque<LlmPiece>) -> Result<bool, ProviderError>;
    /// The stream has ended: what was gathered, and why it ended. An end without a reason is a cut.
    fn finish(&mut self, out: &mut VecDeque<LlmPiece>) -> Result<(), ProviderError>;
    /// What the provider has said of its cost so far.
    fn usage(&self) -> Option<Usage>;
}

/// An answer as it comes. Dropping it cancels the request.
pub struct Answer {
    provider: Provider,
    response: reqwest::Response,
    events: EventStream,
    assembler: Box<dyn Assemble>,
    ready: VecDeque<LlmPiece>,
    finished: bool,
    bill: Bill,
    /// When the last piece of content came.
    moved_at: Instant,
    gap: Duration,
    total_by: Instant,
    total: Duration,
}

impl Answer {
    pub(super) fn new(
        provider: Provider,
        response: reqwest::Response,
        assembler: Box<dyn Assemble>,
        bill: Bill,
        budget: &Budget,
        total_by: Instant,
    ) -> Self {
        Self {
            provider,
            response,
            events: EventStream::default(),
            assembler,
            ready: VecDeque::new(),
            finished: false,
            bill,
            moved_at: Instant::now(),
            gap: budget.next_token,
            total_by,
            total: budget.total,
        }
    }

    /// Waits for the first piece. Its deadline is the caller's.
    pub(super) async fn begin(&mut self) -> Result<(), ProviderError> {
        if let Some(first) = self.pull(None).await? {
            self.ready.push_front(first);
        }
        Ok(())
    }

    /// The next piece; `None` after [`LlmPiece::Done`]. An error ends the answer: what came before it stands.
    pub async fn next(&mut self) -> Result<Option<LlmPiece>, ProviderError> {
        let outcome = match timeout_at(self.total_by, self.pull(Some(self.gap))).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(ProviderError::TimedOut { stage: "total", after: self.total }),
        };
        match &outcome {
            Ok(Some(piece)) => self.bill.note(piece),
            Ok(None) => {}
            Err(error) => {
                self.finished = true;
                count_error(self.provider, error);
            }
        }
        outcome
    }

    /// `gap`: how long no content may come. What else keeps a stream open (pings, comments) is no content.
    async fn pull(&mut self, gap: Option<Duration>) -> Result<Option<LlmPiece>, ProviderError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.moved_at = Instant::now();
                return Ok(Some(piece));
            }
            if self.finished {
                return Ok(None);
            }
            while let Some(data) = self.events.next_event() {
                if self.assembler.event(&data, &mut self.ready)? {
                    self.finish()?;
                    break;
                }
            }
            if !self.ready.is_empty() || self.finished {
                continue;
            }
            let chunk = match gap {
                None => self.response.chunk().await,
                Some(gap) => match timeout_at(self.moved_at + gap, self.response.chunk()).await {
                    Ok(chunk) => chunk,
                    Err(_elapsed) => return self.overdue(gap),
                },
            };
            match chunk {
                Ok(Some(bytes)) => self
                    .events
                    .feed(&bytes)
                    .map_err(|_too_long| ProviderError::Cut { cause: "line_too_long".into() })?,
                // Some servers end without their last event: whole if it said why it stopped, cut otherwise.
                Ok(None) => self.finish()?,
                Err(_) => return Err(ProviderError::Cut { cause: "transport".into() }),
            }
        }
    }

    /// An answer that has said why it stopped is whole, even if its last event does not come.
    fn overdue(&mut self, gap: Duration) -> Result<Option<LlmPiece>, ProviderError> {
        let late = |_cut| ProviderError::TimedOut { stage: "next_token", after: gap };
        self.finish().map_err(late)?;
        Ok(self.ready.pop_front())
    }

    fn finish(&mut self) -> Result<(), ProviderError> {
        self.finished = true;
        self.assembler.finish(&mut self.ready)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Pieces that nobody fetched were written all the same.
        for piece in &self.ready {
            self.bill.note(piece);
        }
        self.bill.note_usage(self.assembler.usage());
    }
}
