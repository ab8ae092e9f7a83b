//! What each job does. Their payloads, and what happens if one runs twice, half-way or late, are in `shared::jobs`.

pub mod assemble_recording;
pub mod deliver_alert;
pub mod dispatch_campaign;
pub mod fetch_recording;
pub mod import_leads;
pub mod place_call;
pub mod reconcile_call;
pub mod retain;
pub mod send_message;
pub mod settle_call;
pub mod summarize_call;
pub mod sweep;
pub mod watch_models;
