//! The ways in which a reply gains time. Each can be switched off, to measure what it buys or to save what it costs.

use clap::ValueEnum;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Trick {
    /// The model is asked as soon as the human has probably finished; the answer is dropped if they go on. Costs tokens.
    Speculation,
    /// The first clause of an answer is spoken before its first sentence is whole.
    EarlyClause,
    /// Greetings and fixed lines are synthesised once per process.
    PhraseCache,
    /// The connection to the model is opened when the stream begins.
    WarmUp,
    /// The voice's socket, and the connection to the model, are opened while the phone rings.
    WhileRinging,
    /// A line bridges a second of silence while a tool runs.
    Filler,
}
