//! The language model of one call: the first choice, and the second one for the rest of the call when the first fails.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{sync::mpsc, time::Instant};

use super::actor::LlmEvent;
use crate::{
    dialogue::{AskId, LlmFailure, LlmFinish},
    health::Health,
    llm::{self, Answer, Llm, LlmPiece, LlmRequest},
    provider::{FailOver, Part, ProviderError},
    usage::Meter,
};

/// Cheap to clone: each request runs in a task of its own.
#[derive(Clone)]
pub(super) struct Thinker {
    choices: Arc<[Llm]>,
    /// The choice that answers now; it only rises.
    current: Arc<AtomicUsize>,
    health: Health,
    meter: Meter,
    events: mpsc::Sender<LlmEvent>,
    overs: mpsc::Sender<FailOver>,
}

impl Thinker {
    pub(super) fn new(
        first: Llm,
        second: Option<Llm>,
        health: Health,
        meter: Meter,
        events: mpsc::Sender<LlmEvent>,
        overs: mpsc::Sender<FailOver>,
    ) -> Self {
        let first = if second.is_some() { first.hurried() } else { first };
        let choices = std::iter::once(first).chain(second).collect();
        Self { choices, current: Arc::default(), health, meter, events, overs }
    }

    /// So that nobody's first question pays for a handshake.
    pub(super) async fn warm_up(&self) {
        self.choices[0].warm_up().await;
    }

    /// Asks, and gives every piece to the call; ends early when the call is over.
    pub(super) async fn answer(self, ask: AskId, request: LlmRequest) {
        let asked_at = Instant::now();
        let event = |what| LlmEvent { ask, asked_at, arrived_at: Instant::now(), what };
        let (at, mut answer) = match self.begin(&request).await {
            Ok(begun) => begun,
            Err(error) => {
                // A closed queue: the call is over.
                let _ = self.events.send(event(Err(llm::failure(&error)))).await;
                return;
            }
        };
        let mut empty = true;
        loop {
            let what = match answer.next().await {
                Ok(Some(LlmPiece::Done { finish: LlmFinish::Stop, .. })) if empty => Err(LlmFailure::Empty),
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => return self.health.worked(Part::Llm, self.choices[at].provider(), asked_at),
                Err(error) => {
                    // What was said stands. The dialogue asks for the rest, and then somebody else answers.
                    let failure = llm::failure(&error);
                    self.go_over(at, error).await;
                    Err(failure)
                }
            };
            empty &= matches!(what, Ok(LlmPiece::Writing(_)));
            let over = what.is_err();
            if self.events.send(event(what)).await.is_err() || over {
                return;
            }
        }
    }

    /// The first choice that begins to answer. Nothing has been said yet, so that another one can be asked the same.
    async fn begin(&self, request: &LlmRequest) -> Result<(usize, Answer), ProviderError> {
        loop {
            let at = self.current.load(Ordering::Relaxed);
            let error = match self.choices[at].ask(request, &self.meter).await {
                Ok(answer) => return Ok((at, answer)),
                Err(error) => error,
            };
            if !self.go_over(at, error.clone()).await {
                return Err(error);
            }
        }
    }

    /// `false`: there is nobody to go over to. A refusal to speak about something is not a failure of the provider.
    async fn go_over(&self, at: usize, error: ProviderError) -> bool {
        let refused = llm::failure(&error) == LlmFailure::Refused;
        let Some(next) = self.choices.get(at + 1).filter(|_| !refused) else { return false };
        // Another request of this call may have gone over already.
        if self.current.compare_exchange(at, at + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.health.failed(Part::Llm, self.choices[at].provider(), &error);
            let over = FailOver { part: Part::Llm, from: self.choices[at].provider(), to: next.provider(), error };
            let _ = self.overs.send(over).await;
        }
        true
    }
}
