//! Speech to speech: a model that hears and speaks by itself, in place of transcriber, language model and voice.
//!
//! [`wire`] has the messages, [`client`] the socket, [`conversation`] decides: what happened in, what to do out, without a world
//! around it, in the words of [`crate::dialogue`], so that a session, its transcript and everything behind it need not know which
//! of the two holds a call.

pub mod client;
pub mod conversation;
pub mod wire;

pub use client::{Event, Link, RealtimeHandle, Timing, link};
pub use conversation::{Conversation, Order};
pub use wire::{ClientEvent, Item, ServerEvent, Session};
