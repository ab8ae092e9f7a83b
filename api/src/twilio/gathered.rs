//! The gathered-speech path: Twilio recognises what the human says and asks; a language model answers; Twilio speaks it.
//!
//! Every question is one turn, and its address counts them: one that is repeated is answered as it was. [`request`] reads it,
//! [`course`] decides what comes next, [`thinking`] has the model's answer, [`keeping`] stores what was said and done, [`document`]
//! words it for Twilio. What the agent knows, says and does is the streaming agent's: `shared`'s persona, lines, tools and events. What
//! was spoken is stored when it is handed over, for nothing tells how much of it was heard.
//!
//! Twilio gives up after 15 s. Everything here ends before, and with a polite line at worst.

mod course;
mod document;
mod keeping;
mod language;
mod request;
mod thinking;
pub mod voicemail;

use std::time::Duration;

use shared::answering_machine::{self, OnMachine};
use shared::call::Carrier;
use shared::carrier_event::Webhook;
use shared::conversation_event::{CallEvent, EndReason};
use shared::gathered::{self, Asked, Named, Talk};
use shared::persona::Persona;
use shared::phrases::{self, Machine};
use shared::playbook::{Lines, prompt};
use shared::spoken::spoken;
use shared::transfer::TRANSFER_TO_HUMAN;
use shared::turn::Role;
use tokio::time::{Instant, timeout, timeout_at};

use self::course::{Standing, Step};
use self::document::Place;
use self::keeping::{Work, keep};
use self::language::Tags;
use self::request::Request;
use self::thinking::Thinking;
use super::twiml::{Twiml, Verb};
use crate::llm::Llm;
use crate::state::App;

/// From the question on. Connecting a human, which follows, has to fit in as well.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// The model's part of it, with all that its tools take: storing what came of it must fit in behind.
const REPLY_WITHIN: Duration = Duration::from_millis(8_500);
const LOOK_UP_WITHIN: Duration = Duration::from_secs(2);

/// Who answers Twilio.
pub(super) enum Answer {
    /// The call's voice agent is none that gathers, or nobody can say so in time.
    Elsewhere,
    /// It goes on to the human whom its agent has promised.
    Leave,
    Say(Twiml),
}

/// The answer to Twilio's question, if the call's voice agent is one that gathers.
pub(super) async fn answer(app: &App, webhook: &Webhook, reference: &str, asked_at: Instant) -> Answer {
    let Some(llm) = &app.llm else { return Answer::Elsewhere };
    let Some(call_sid) = webhook.fields.get("CallSid") else { return Answer::Elsewhere };
    let request = Request::read(webhook);
    let named = Named { carrier: Carrier::Twilio, carrier_call_id: call_sid, reference };
    let answering = async {
        match timeout(LOOK_UP_WITHIN, take_up(app, named)).await {
            Ok(Ok(asked)) => Some(go_on(app, llm, &request, reference, asked, asked_at).await),
            Ok(Err(error)) => {
                tracing::error!(%error, "the call of a question cannot be looked up");
                None
            }
            Err(_elapsed) => None,
        }
    };
    match timeout_at(asked_at + ANSWER_WITHIN, answering).await {
        Ok(Some(answer)) => answer,
        // Of a first question nobody knows yet whether it is ours.
        _ if !request.is_under_way() => Answer::Elsewhere,
        // That has been announced; who was promised is looked up once more.
        _ if request.leaves => Answer::Leave,
        _ => Answer::Say(late(app, &request, reference)),
    }
}

async fn take_up(app: &App, named: Named<'_>) -> sqlx::Result<Asked> {
    let mut tx = app.db.begin().await?;
    let speaks = |language: &str| Tags::of(language).is_some();
    let asked = gathered::take_up(&mut tx, named, app.max_call_duration, speaks, app.clock.now()).await?;
    tx.commit().await?;
    Ok(asked)
}

/// Nothing came in time: an apology, and a second time in a row the end.
fn late(app: &App, request: &Request, reference: &str) -> Twiml {
    metrics::counter!("gathered_answers_late_total").increment(1);
    let language = request.language.as_deref().unwrap_or_default();
    let lines = Lines::for_language(language);
    // A turn that was not stored is none; the next one is another all the same.
    let Request { turn, silences, .. } = *request;
    let place = Place { app, reference, language, turn, silences, is_late: true };
    match request.was_late {
        true => place.and_hang_up(&lines.failure_goodbye),
        false => place.and_listen(&lines.apology, "", false),
    }
}

async fn go_on(app: &App, llm: &Llm, request: &Request, reference: &str, asked: Asked, asked_at: Instant) -> Answer {
    match asked {
        Asked::Elsewhere => Answer::Elsewhere,
        Asked::Over => Answer::Say(Twiml::of(&[Verb::Hangup])),
        Asked::Ended(talk, reason) => Turn::new(app, request, reference, *talk).again_at_the_end(&reason).await,
        Asked::Talk(talk) => {
            let turn = Turn::new(app, request, reference, *talk);
            match request.leaves {
                true => turn.leave().await,
                false => Answer::Say(turn.take(llm, asked_at + REPLY_WITHIN).await),
            }
        }
    }
}

/// What is said, and how it goes on.
enum Saying {
    Listen(String),
    End(String, EndReason),
}

/// One turn of the conversation.
struct Turn<'a> {
    app: &'a App,
    request: &'a Request,
    reference: &'a str,
    talk: Talk,
    persona: Persona,
    lines: Lines,
}

impl<'a> Turn<'a> {
    fn new(app: &'a App, request: &'a Request, reference: &'a str, talk: Talk) -> Self {
        let persona = Persona::of(&talk.briefing, None, app.clock.now());
        let lines = persona.lines();
        Self { app, request, reference, talk, persona, lines }
    }

    fn standing(&self) -> Standing<'_> {
        Standing {
            turns: &self.talk.briefing.turns,
            elapsed: self.talk.elapsed(),
            longest_call: self.app.max_call_duration,
            carrier_suspects: (self.talk.briefing.answered_by_machine || self.request.machine_answered)
                && !self.talk.machine_doubted,
            can_transfer: self.persona.can_transfer,
            lines: &self.lines,
        }
    }

    /// Of the human, stored or not.
    fn place(&self) -> Place<'_> {
        let turn = self.request.turn.max(self.standing().human_turns());
        let silences = if self.request.heard.is_some() { 0 } else { self.request.silences };
        let Self { app, reference, persona, .. } = self;
        Place { app, reference, language: &persona.language, turn, silences, is_late: false }
    }

    /// The conversation is over. A closing line that did not arrive is said once more.
    async fn again_at_the_end(&self, reason: &str) -> Answer {
        let promised = reason == TRANSFER_TO_HUMAN;
        if promised && self.request.leaves {
            return Answer::Leave;
        }
        let Some(text) = self.standing().said_before(self.request) else {
            return Answer::Say(Twiml::of(&[Verb::Hangup]));
        };
        Answer::Say(match (&self.persona.on_machine, promised) {
            (_, true) => self.place().and_leave(text),
            (OnMachine::PlayRecording { title, .. }, _) if answering_machine::as_text(title) == text => {
                self.recording().await.unwrap_or_else(|| Twiml::of(&[Verb::Hangup]))
            }
            _ => self.place().and_hang_up(text),
        })
    }

    /// The transfer was announced, and that it was is perhaps not stored yet.
    async fn leave(&self) -> Answer {
        self.keep(Work::Said(None, String::new(), Some(EndReason::TransferToHuman))).await;
        Answer::Leave
    }

    async fn take(mut self, llm: &Llm, until: Instant) -> Twiml {
        let (step, is_new) = (self.standing().step(self.request), self.standing().is_new(self.request));
        let failed_before = self.standing().failed_before();
        if self.standing().doubts_machine(self.request) {
            self.keep(Work::Event(CallEvent::MachineDoubted)).await;
        }
        if let (Some(heard), true) = (&self.request.heard, is_new) {
            let turn = self.talk.turn(Role::Callee, &heard.text());
            self.keep(Work::Heard(heard.clone(), turn.clone())).await;
            self.talk.forbids_calls |= self.talk.newly_forbids_calls(&heard.words);
            self.talk.briefing.turns.push(turn);
        }
        let saying = match step {
            Step::Again(text) => return self.listen(&text),
            Step::MachineAnswered(machine) => return self.leave_on(machine).await,
            Step::Greet => Saying::Listen(self.persona.first_words()),
            Step::Prompt(count) => {
                self.keep(Work::Event(CallEvent::SilencePrompted { count: u32::try_from(count).unwrap_or(u32::MAX) }))
                    .await;
                let line = self.lines.reprompts.get(count - 1).or(self.lines.reprompts.last());
                Saying::Listen(line.unwrap_or(&self.lines.not_understood).clone())
            }
            Step::SilenceOver => Saying::End(self.lines.silence_goodbye.clone(), EndReason::Silence),
            Step::TimeIsUp => Saying::End(self.lines.time_goodbye.clone(), EndReason::MaxDuration),
            Step::Connect => {
                let note = Some("pressed 0".to_owned());
                self.keep(Work::Event(CallEvent::TransferRequested { note })).await;
                Saying::End(self.lines.transfer.clone(), EndReason::TransferToHuman)
            }
            Step::AskAgain => {
                self.keep(Work::Event(CallEvent::NothingUnderstood { count: 1 })).await;
                Saying::Listen(self.lines.not_understood.clone())
            }
            Step::Answer => self.think(llm, until, failed_before).await,
        };
        self.say(saying).await
    }

    /// The model's answer, or what is said in its place.
    async fn think(&mut self, llm: &Llm, until: Instant, failed_before: bool) -> Saying {
        let (app, turn) = (self.app, self.request.turn);
        let thinking = Thinking { app, llm, talk: &mut self.talk, persona: &mut self.persona, turn, until };
        let reply = thinking.reply().await;
        let lines = &self.lines;
        match (reply.ends, reply.text) {
            (None, text) if !text.is_empty() => Saying::Listen(text),
            (Some(reason), text) if !text.is_empty() => Saying::End(text, reason),
            (Some(EndReason::TransferToHuman), _) => Saying::End(lines.transfer.clone(), EndReason::TransferToHuman),
            (Some(reason), _) => Saying::End(lines.goodbye.clone(), reason),
            // Whoever wants no call wants this one to end.
            (None, _) if self.talk.forbids_calls => Saying::End(lines.goodbye.clone(), EndReason::AgentFinished),
            // Twice in a row: it will not come.
            (None, _) if failed_before => Saying::End(lines.failure_goodbye.clone(), EndReason::LlmUnavailable),
            (None, _) if reply.acted => Saying::Listen(lines.noted.clone()),
            (None, _) => Saying::Listen(lines.apology.clone()),
        }
    }

    async fn say(&mut self, saying: Saying) -> Twiml {
        let (text, ends) = match saying {
            Saying::Listen(text) => (text, None),
            Saying::End(text, reason) => (text, Some(reason)),
        };
        let text = spoken(&text, &self.persona.language).into_owned();
        self.keep_said(&text, ends).await;
        match ends {
            None => self.listen(&text),
            Some(EndReason::TransferToHuman) => self.place().and_leave(&text),
            Some(_) => self.place().and_hang_up(&text),
        }
    }

    fn listen(&self, text: &str) -> Twiml {
        let hints = document::hints(&self.talk.briefing.settings, &self.persona.playbook);
        self.place().and_listen(text, &hints, phrases::asks_piecewise(text))
    }

    /// What the campaign has for a machine.
    async fn leave_on(&mut self, machine: Machine) -> Twiml {
        self.keep(Work::Event(CallEvent::MachineAnswered { machine })).await;
        let (title, message) = match (self.persona.on_machine.clone(), machine) {
            (OnMachine::LeaveMessage(message), Machine::Voicemail) => (None, Some(message)),
            (OnMachine::PlayRecording { title, otherwise }, Machine::Voicemail) => (Some(title), otherwise),
            _ => (None, None),
        };
        let ends = Some(EndReason::MachineAnswered);
        if let Some(title) = title
            && let Some(document) = self.recording().await
        {
            self.keep_said(&answering_machine::as_text(&title), ends).await;
            return document;
        }
        let Some(message) = message else {
            self.keep(Work::Said(None, String::new(), ends)).await;
            return Twiml::of(&[Verb::Hangup]);
        };
        let text = prompt::render(&message, &self.persona.facts);
        let text = spoken(&text, &self.persona.language).into_owned();
        self.keep_said(&text, ends).await;
        self.place().leave_message(&text)
    }

    async fn recording(&self) -> Option<Twiml> {
        let recording = self.talk.briefing.voicemail_recording.as_ref()?;
        let url = voicemail::address(self.app, self.reference, &recording.object_key).await?;
        Some(self.place().leave_recording(&url))
    }

    async fn keep_said(&mut self, text: &str, ends: Option<EndReason>) {
        let human_spoke = self.standing().human_turns() > 0;
        let stage = self.persona.playbook.stage(human_spoke, &self.persona.collected).to_owned();
        let turn = self.talk.turn(Role::Agent, text);
        self.keep(Work::Said(Some(turn), stage, ends)).await;
    }

    async fn keep(&self, work: Work) {
        keep(self.app, &self.talk, work).await;
    }
}
