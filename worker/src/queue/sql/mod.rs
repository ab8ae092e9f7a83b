//! Every statement of the worker's side of the queue. Times are the database's: workers need not agree on a clock.
//!
//! Statements that touch several held jobs skip rows that somebody else has locked (a `nudge` whose transaction is still
//! open): one slow transaction must delay one job, never the leases and acknowledgements of all the others. It also
//! keeps two statements of ours from ever waiting for each other.

mod claim;
mod lease;
mod settle;
mod tick;
mod upkeep;

pub(super) use claim::{ClaimedRow, claim, hand_back_strays};
pub(super) use lease::{beat, reap, sign_off};
pub(super) use settle::{settle, still_held};
pub(super) use tick::tick;
pub(super) use upkeep::{depths, prune};
