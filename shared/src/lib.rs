//! What every process knows: the domain's types, states and transitions, all SQL, and the payloads of the jobs.
//!
//! It must never know routes, audio or sockets of a live call. Start reading with [`campaign`], [`lead`] and [`call`] (the
//! three state machines), then [`dispatch`] (who is called next) and [`settle`] (what a finished call means for its lead).
//!
//! Invariants: domain rows are the truth and a job is only a nudge; every transition is one guarded statement; a state
//! change and the jobs it causes are written in one transaction.

pub mod account;
pub mod agent_tool;
pub mod alert;
pub mod alert_watch;
pub mod answering_machine;
pub mod api_key;
pub mod breaker;
pub mod call;
pub mod call_detail;
pub mod call_event;
pub mod callback;
pub mod calling_window;
pub mod campaign;
pub mod campaign_window;
pub mod carrier_event;
pub mod clock;
pub mod consent;
pub mod conversation;
pub mod conversation_event;
pub mod db;
pub mod dial;
pub mod dispatch;
pub mod do_not_call;
pub mod forecast;
pub mod gathered;
pub mod guard;
pub mod http_tool;
pub mod id;
pub mod idempotency;
pub mod import;
pub mod job_queue;
pub mod jobs;
pub mod language;
pub mod lead;
pub mod lead_import;
pub mod ledger;
pub mod message;
pub mod model_shutdown;
pub mod opt_out_words;
pub mod outgoing_message;
pub mod outlook;
pub mod pace;
pub mod persona;
pub mod phone;
pub mod phrases;
pub mod playbook;
pub mod preflight;
pub mod price_book;
pub mod provider;
pub mod reach;
pub mod recording;
pub mod recording_piece;
pub mod report;
pub mod resumption;
pub mod retention;
pub mod retry_policy;
pub mod settle;
pub mod signature;
pub mod spoken;
pub mod storage;
pub mod stream;
pub mod sweep;
pub mod telemetry;
pub mod transfer;
pub mod turn;
pub mod twilio_signature;
pub mod voice_agent;
pub mod voicemail_recording;
