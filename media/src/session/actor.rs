//! The actor of one call: every event in, one at a time, and what the dialogue makes of it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use futures::{
    StreamExt,
    stream::{SplitSink, SplitStream},
};
use shared::{persona, playbook::prompt, resumption, stream::Briefing, voice_agent::VoiceAgentSettings};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    briefing,
    engine::Engine,
    mouth::Mouth,
    parts::{Inbox, Parts},
    reply_clock::ReplyClock,
    reservoir::Reservoir,
    thinking::Thinker,
    words::phase_name,
};
use crate::{
    app::{Admission, App},
    audio::vad::Vad,
    carrier::{Carrier, Reader, StreamStart, Writer},
    dialogue::{
        AskId, CallEvent, CallTime, DialogueSettings, EndReason, Epoch, Input, LlmFailure, Phase, StreamEnd,
        ToolOutcome,
    },
    llm::LlmPiece,
    pacer::{self, PacerCommand, PacerEnd, Report},
    realtime::Link,
    recorder::{Entry, Recorder},
    store::Held,
    stt::{AudioSink, SttControl},
    tape::{Piece, Tape},
    usage::Meter,
    verdicts::Verdict,
};

/// No media for this long is worth counting, and for so long means that the leg is gone.
const MEDIA_GONE_AFTER: Duration = Duration::from_secs(10);
/// The dialogue ends a call at its maximum by itself; this much later it is cut without asking.
const OVERTIME: Duration = Duration::from_secs(5);
/// Between two signs of life in the sessions view.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// How long the tasks of a call may take to say good-bye to their providers.
const LEAVE_WITHIN: Duration = Duration::from_millis(1_500);
/// A socket is closed this long after the conversation's end at the latest, stored or not.
const STORED_WITHIN: Duration = Duration::from_secs(1);
/// A hole in the carrier's media shorter than this is jitter.
const HOLE: Duration = Duration::from_secs(2);

/// A piece of an answer, with the instants that separate the provider's time from ours.
pub(super) struct LlmEvent {
    pub ask: AskId,
    pub asked_at: Instant,
    pub arrived_at: Instant,
    pub what: Result<LlmPiece, LlmFailure>,
}

pub(super) struct Actor {
    pub(super) app: Arc<App>,
    pub(super) held: Held,
    pub(super) began: Instant,
    /// How old the conversation was then.
    elapsed: Duration,
    pub(super) dialogue: Engine,
    /// Inputs that came up while outputs were being performed.
    pub(super) inputs: VecDeque<Input>,
    pub(super) clock: ReplyClock,
    /// Where the human's sound goes.
    pub(super) hearing: AudioSink,
    pub(super) stt: Option<mpsc::Sender<SttControl>>,
    pub(super) mouth: Mouth,
    /// Of a model that hears and speaks.
    pub(super) model: Option<mpsc::Sender<Link>>,
    pub(super) reservoir: Reservoir,
    /// When the human's last turn went to it.
    pub(super) asked_model_at: Option<CallTime>,
    pub(super) agent: VoiceAgentSettings,
    /// What the account's own tools are told of the call.
    pub(super) about: serde_json::Value,
    pub(super) tool_results: mpsc::Sender<(String, ToolOutcome)>,
    pub(super) pacer: mpsc::Sender<PacerCommand>,
    pub(super) recorder: Recorder,
    /// The call's own recording, where its campaign wants one.
    pub(super) tape: Option<Tape>,
    pub(super) asking: Option<(AskId, AbortHandle)>,
    pub(super) thinker: Option<Thinker>,
    pub(super) meter: Meter,
    pub(super) cache_key: String,
    pub(super) first_epoch: Option<Epoch>,
    /// What the greeting says of the human: sound with it in it is for nobody else.
    pub(super) personal: Vec<String>,
    pub(super) tasks: JoinSet<()>,
    pub(super) ended: Option<EndReason>,
    max_duration: Duration,
    pub(super) reader: Reader,
    pub(super) samples: Vec<i16>,
    pub(super) vad: Vad,
    /// When the voice that is being heard now began.
    pub(super) voice_began: Option<CallTime>,
    pub(super) malformed: u32,
    pub(super) saw_unknown: bool,
    pub(super) stt_down: bool,
    pub(super) last_media_at: Instant,
    taken_over: CancellationToken,
    /// The campaign's recording for answering machines: where it is, and its sound once that is here.
    pub(super) voicemail_key: Option<String>,
    pub(super) voicemail: Option<Arc<[i16]>>,
    pub(super) fetched: mpsc::Sender<Arc<[i16]>>,
    /// The goodbye has begun: whoever takes the call up must know.
    closing: bool,
    /// Of the dialogue, as of its last input: asking for it reads the human's words, and frames come fifty times a second.
    deadline: Option<Instant>,
    /// Says that the carrier takes whoever answered for a machine.
    verdict: Verdict,
    inbox: Inbox,
    tools: mpsc::Receiver<(String, ToolOutcome)>,
    reports: mpsc::Receiver<Report>,
    pacer_end: mpsc::Receiver<PacerEnd>,
    recording: mpsc::Receiver<Arc<[i16]>>,
}

impl Actor {
    /// Starts the tasks of the call.
    pub(super) fn new(
        app: Arc<App>,
        sink: SplitSink<WebSocket, Message>,
        carrier: Carrier,
        start: StreamStart,
        began: Instant,
        briefing: Box<Briefing>,
    ) -> anyhow::Result<Self> {
        let held = Held {
            call_id: briefing.call_id,
            account_id: briefing.account_id,
            stream_sid: start.stream_sid.as_str().into(),
        };
        let reach = app.providers.reach(&briefing.settings);
        let settings = briefing::dialogue(&app.config, &reach, &briefing, app.store.now());
        let (wanted, spoken) = (persona::language(&briefing), settings.language.clone());
        let is_reached = wanted == spoken && reach.reaches(&spoken);
        let max_duration = Duration::from_millis(settings.limits.max_duration_ms);
        let personal = personal(&settings);
        let (parts, mut tasks) = Parts::start(&app, &briefing, settings)?;

        let (tool_results, tools_inbox) = mpsc::channel(16);
        let elapsed = briefing.comeback.map_or(Duration::ZERO, |comeback| comeback.elapsed);
        let tape = briefing.records.then(|| {
            let piece = Piece { account_id: held.account_id, call_id: held.call_id, offset: elapsed };
            app.record(piece, began)
        });
        let (pacer, commands) = mpsc::channel(256);
        let (reports, report_inbox) = mpsc::channel(64);
        let (pacer_ended, pacer_end) = mpsc::channel(1);
        let pacing =
            pacer::run(sink, Writer::of(carrier, &start.stream_sid), app.pacer, commands, reports, tape.clone());
        tasks.spawn(async move {
            let end = pacing.await;
            // Nobody listens any more if the call ended first.
            let _ = pacer_ended.send(end).await;
        });

        let verdict = app.verdicts.expect(held.call_id);
        if briefing.answered_by_machine {
            verdict.machine.cancel();
        }
        let (fetched, fetched_inbox) = mpsc::channel(1);
        let taken_over = CancellationToken::new();
        let (recorder, recording) = Recorder::new(app.store.clone(), held.clone(), taken_over.clone());
        // Outlives the call: what was said is still written when the human has hung up.
        app.tasks.spawn(recording);

        if !is_reached {
            tracing::warn!(call_id = %held.call_id, wanted, spoken, "nobody reaches the language that the call should be held in");
            let event = CallEvent::LanguageNotReached { language: wanted, spoken };
            recorder.put(Entry::Event { event, at: app.store.now() });
        }
        if let Some(comeback) = briefing.comeback {
            let gap = if comeback.handed_over { "handed_over" } else { "lost" };
            metrics::counter!("streams_resumed_total", "gap" => gap).increment(1);
        }
        tracing::info!(call_id = %held.call_id, resumed = briefing.comeback.is_some(), "stream began");
        Ok(Self {
            dialogue: parts.engine,
            cache_key: briefing.cache_key(),
            app,
            held,
            began,
            elapsed,
            inputs: VecDeque::new(),
            clock: ReplyClock::default(),
            hearing: parts.hearing,
            stt: parts.stt,
            mouth: parts.mouth,
            thinker: parts.thinker,
            model: parts.model,
            reservoir: Reservoir::default(),
            asked_model_at: None,
            about: persona::about(&briefing),
            agent: briefing.settings,
            tool_results,
            pacer,
            recorder,
            tape,
            asking: None,
            meter: parts.meter,
            first_epoch: None,
            personal,
            tasks,
            ended: None,
            max_duration,
            reader: Reader::of(carrier),
            samples: Vec::with_capacity(1_600),
            vad: Vad::default(),
            voice_began: None,
            malformed: 0,
            saw_unknown: false,
            stt_down: false,
            last_media_at: began,
            taken_over,
            voicemail_key: briefing.voicemail_recording.map(|recording| recording.object_key),
            voicemail: None,
            fetched,
            closing: false,
            deadline: None,
            verdict,
            inbox: parts.inbox,
            tools: tools_inbox,
            reports: report_inbox,
            pacer_end,
            recording: fetched_inbox,
        })
    }

    pub(super) async fn run(mut self, mut carrier: SplitStream<WebSocket>) {
        self.give(Input::Started);
        self.converse(&mut carrier).await;
        self.leave(carrier).await;
    }

    async fn converse(&mut self, carrier: &mut SplitStream<WebSocket>) {
        let app = Arc::clone(&self.app);
        let hard_end = self.instant(CallTime::new(self.max_duration + OVERTIME));
        let mut heartbeat = interval_at(Instant::now() + Duration::from_millis(500), HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_to_leave = false;
        let mut told_of_machine = false;
        let mut line_is_open = true;
        while self.ended.is_none() {
            let deadline = self.deadline;
            let media_gone_at = self.last_media_at + MEDIA_GONE_AFTER;
            tokio::select! {
                // Playout positions first: a barge-in cuts at the last one the dialogue knows.
                biased;
                Some(report) = self.reports.recv() => self.reported(report),
                frame = carrier.next(), if line_is_open => {
                    line_is_open = matches!(frame, Some(Ok(_)));
                    self.heard(frame);
                }
                Some(event) = self.inbox.tts.recv() => self.voiced(event),
                Some(event) = self.inbox.llm.recv() => self.thought(event),
                Some(over) = self.inbox.overs.recv() => self.went_over(&over),
                Some((call_id, outcome)) = self.tools.recv() => self.give(Input::ToolResult { call_id, outcome }),
                Some(event) = self.inbox.stt.recv() => self.transcribed(event),
                Some(event) = self.inbox.model.recv() => self.model_said(event),
                () = sleep_until(deadline.unwrap_or(hard_end)), if deadline.is_some() => self.give(Input::Deadline),
                Some(end) = self.pacer_end.recv() => {
                    if end == PacerEnd::Broken {
                        self.give(Input::StreamStopped { reason: StreamEnd::Lost });
                    }
                }
                () = self.verdict.machine.cancelled(), if !told_of_machine => {
                    told_of_machine = true;
                    self.give(Input::MachineVerdict);
                }
                Some(samples) = self.recording.recv() => self.recording_fetched(samples),
                _ = heartbeat.tick() => self.heartbeat(),
                () = sleep_until(media_gone_at) => {
                    metrics::counter!("streams_cut_total", "cause" => "no_media").increment(1);
                    self.give(Input::StreamStopped { reason: StreamEnd::Lost });
                }
                () = app.admission.leave_soon().cancelled(), if !told_to_leave => {
                    told_to_leave = true;
                    let by = self.now() + Admission::asking(self.app.config.drain_grace());
                    self.give(Input::Drain { by });
                }
                () = app.admission.leave_now().cancelled() => self.cut(EndReason::HandedOver),
                () = self.taken_over.cancelled() => {
                    tracing::warn!(call_id = %self.held.call_id, "another stream holds this call now");
                    self.cut(EndReason::StreamLost);
                }
                () = sleep_until(hard_end) => self.cut(EndReason::MaxDuration),
            }
        }
    }

    /// Ends the call whatever the dialogue thinks.
    fn cut(&mut self, reason: EndReason) {
        metrics::counter!("streams_cut_total", "cause" => reason.as_str()).increment(1);
        self.ended.get_or_insert(reason);
    }

    /// Everything that belongs to the call ends here. Its end is stored before its socket is closed, so that the carrier's next
    /// question finds the answer; where that takes too long, a conversation that goes on elsewhere says so by breaking the socket.
    async fn leave(self, mut carrier: SplitStream<WebSocket>) {
        let reason = self.ended.unwrap_or(EndReason::StreamLost);
        if let Some(tape) = &self.tape {
            tape.end(Instant::now());
        }
        let snapshot = self.dialogue.snapshot();
        let phase = if self.closing && goes_on(reason) { Phase::Closing } else { Phase::Ended };
        self.recorder.put(Entry::Heartbeat {
            phase: phase_name(phase),
            stage: snapshot.stage,
            turns: snapshot.human_turns + snapshot.agent_turns,
        });
        self.note_usage();
        let (reason_name, at, stored) = (reason.as_str(), self.app.store.now(), CancellationToken::new());
        self.recorder.put(Entry::End { reason: reason_name.to_owned(), at, stored: stored.clone() });
        metrics::counter!("calls_ended_total", "reason" => reason_name).increment(1);
        tracing::info!(
            call_id = %self.held.call_id,
            reason = reason_name,
            seconds = self.began.elapsed().as_secs(),
            human_turns = snapshot.human_turns,
            agent_turns = snapshot.agent_turns,
            barge_ins = snapshot.barge_ins,
            "stream ended"
        );
        let is_stored = timeout(STORED_WITHIN, stored.cancelled()).await.is_ok();
        let breaks = goes_on(reason) && !is_stored;
        // Full: then it is closed by the drop of its queue below.
        let _ = self.pacer.try_send(if breaks { PacerCommand::Break } else { PacerCommand::Close });
        let Self { mut tasks, hearing, stt, mouth, thinker, model, pacer, inbox, reports, recorder, meter, .. } = self;
        drop((hearing, stt, mouth, thinker, model, pacer, inbox, reports));
        if !breaks {
            let leaving = async {
                while tasks.join_next().await.is_some() {}
                // The carrier answers our close; what it still sends is of no interest.
                while let Some(Ok(_)) = carrier.next().await {}
            };
            // Those that stay are ended below.
            let _ = timeout(LEAVE_WITHIN, leaving).await;
        }
        tasks.shutdown().await;
        // An answer that was still being made is charged when its task is over.
        recorder.put(Entry::Usage(meter.used()));
    }

    // ---- the dialogue -----------------------------------------------------------------------------------------------

    pub(super) fn now(&self) -> CallTime {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> CallTime {
        CallTime::new(self.elapsed + instant.saturating_duration_since(self.began))
    }

    /// The stream's beginning, for what lies before it.
    fn instant(&self, at: CallTime) -> Instant {
        self.began + at.as_duration().saturating_sub(self.elapsed)
    }

    /// Gives one input and performs all that comes of it.
    pub(super) fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.carry_out();
    }

    /// Gives the inputs that wait, and performs all that comes of everything given so far.
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(order) = self.dialogue.poll() {
                self.perform_order(order);
            }
            let Some(input) = self.inputs.pop_front() else { break };
            let now = self.now();
            self.dialogue.handle(now, input);
        }
        self.feed();
        self.deadline = self.dialogue.deadline().map(|at| self.instant(at));
        if !self.closing && self.dialogue.phase() == Phase::Closing {
            self.closing = true;
            self.heartbeat();
        }
    }

    fn heartbeat(&mut self) {
        let snapshot = self.dialogue.snapshot();
        if self.last_media_at.elapsed() > HOLE {
            metrics::counter!("media_holes_total").increment(1);
        }
        self.recorder.put(Entry::Heartbeat {
            phase: phase_name(snapshot.phase),
            stage: snapshot.stage,
            turns: snapshot.human_turns + snapshot.agent_turns,
        });
    }

    /// Orders something of the pacer. Its queue holds far more than can be meant at once: full means that it is stuck.
    pub(super) fn order(&mut self, command: PacerCommand) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.pacer.try_send(command) {
            metrics::counter!("orders_lost_total", "to" => "pacer").increment(1);
            self.cut(EndReason::StreamLost);
        }
    }

    pub(super) fn listen_for_beep(&mut self) {
        self.vad.listen_for_beep();
    }

    /// Whoever transcribes made nothing of a voice that our own ear has heard.
    pub(super) fn no_words(&self) {
        if let Some(stt) = &self.stt {
            // Full: it has too much to do as it is.
            let _ = stt.try_send(SttControl::NoWords);
        }
    }

    pub(super) fn finalize(&self) {
        if let Some(stt) = &self.stt {
            // Full: one is on its way already.
            let _ = stt.try_send(SttControl::Finalize);
        }
    }
}

/// The values of the lead's own that the greeting holds.
fn personal(settings: &DialogueSettings) -> Vec<String> {
    prompt::variables(settings.greeting())
        .filter(|name| !matches!(*name, "agent_name" | "company" | "company_name"))
        .filter_map(|name| settings.facts.get(name))
        .filter(|value| !value.trim().is_empty())
        .cloned()
        .collect()
}

/// The conversation is broken off, not over.
fn goes_on(reason: EndReason) -> bool {
    resumption::breaks_off(reason.as_str())
}
