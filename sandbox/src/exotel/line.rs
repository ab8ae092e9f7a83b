//! A call's life: ring, answer, flow, end. One task per call.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::Utc;
use futures::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use crate::{
    callee::{Callee, Pickup},
    exotel::{
        StreamPlace, applets,
        bot_url::BotUrl,
        call::{Call, Mode, Recording, Status, StreamTruth, new_sid},
        callbacks::{self, Event},
        flow::{Flow, Next},
        frames, handshake,
        leg::{self, Leg},
        stream::{End, Session},
        wire::Wire,
    },
    twilio,
    world::World,
};

/// Rounds of the voicebot in one call before the flow is taken for an endless loop.
const MAX_ROUNDS: usize = 10;
/// How long a human agent's phone rings before it is picked up (scaled by the rate).
const TRANSFER_RING_MS: u64 = 2_000;
/// How long a transferred conversation lasts at most (scaled by the rate).
const TRANSFER_TALK_MS: u64 = 10_000;

/// Starts the call's task.
pub fn begin(world: &Arc<World>, call: Arc<Call>) {
    let (task_world, closing) = (world.clone(), world.exotel.closing.clone());
    world.exotel.tasks.spawn(async move {
        let sid = call.sid.clone();
        tokio::select! {
            () = Box::pin(live(task_world, call)) => {}
            // A stream says its own goodbye first; everything else may just stop.
            () = async { closing.cancelled().await; sleep(Duration::from_secs(1)).await } => {
                tracing::debug!(%sid, "call cut by the sandbox's end");
            }
        }
    });
}

async fn live(world: Arc<World>, call: Arc<Call>) {
    let attempt = call.script.attempt(call.attempt);
    callbacks::deliver(&world, &call, Event::Initiated).await;
    callbacks::deliver(&world, &call, Event::Ringing).await;

    // The callee learns its lines while the phone rings, so that it can speak without delay.
    let texts = if attempt.pickup == Pickup::Answered {
        Callee::texts(&attempt.steps, call.script.language)
    } else {
        Vec::new()
    };
    let voice = async {
        let lines = texts.iter().map(|text| world.speech.say_over(text, &call.script.voice, call.script.line.noise));
        let spoken = join_all(lines).await;
        texts.iter().cloned().zip(spoken).collect::<HashMap<_, _>>()
    };
    let timeout_ms = call.request.ring_timeout_secs * 1_000;
    let rings_out = attempt.pickup == Pickup::NoAnswer || attempt.ring_ms > timeout_ms;
    let ring_ms = if rings_out { timeout_ms } else { attempt.ring_ms };
    let ringing = async {
        tokio::select! {
            () = sleep(world.settings.scaled(ring_ms)) => {}
            () = call.hang_up.cancelled() => {}
        }
    };
    let (voice, ()) = tokio::join!(voice, ringing);

    let ending = match attempt.pickup {
        _ if call.hang_up.is_cancelled() => Ending { status: Status::Canceled, cause: "canceled" },
        _ if rings_out => Ending { status: Status::NoAnswer, cause: "ring_timeout" },
        Pickup::NoAnswer => Ending { status: Status::NoAnswer, cause: "ring_timeout" },
        Pickup::Busy => Ending { status: Status::Busy, cause: "busy" },
        Pickup::Failed => Ending { status: Status::Failed, cause: "network" },
        Pickup::Answered => {
            let callee = Callee::new(attempt.steps, leg::reactions(&world.settings, &call), call.script.language);
            Box::pin(answered(&world, &call, callee, voice)).await
        }
    };
    end(&world, &call, ending).await;
}

struct Ending {
    status: Status,
    cause: &'static str,
}

/// From the answer to the last applet.
async fn answered(
    world: &Arc<World>,
    call: &Arc<Call>,
    callee: Callee,
    voice: HashMap<String, Arc<crate::speech::Utterance>>,
) -> Ending {
    let now = Instant::now();
    call.truth().answered_at = Some(Utc::now());
    world.log.record(call.service(), "call.answered", json!({"sid": call.sid, "from": call.customer()}));
    let answered_last = world.faults.take("reordered", &call.fault_key()).is_some();
    call.quirks().answered_last = answered_last;
    if !answered_last {
        let (world, call) = (world.clone(), call.clone());
        let tasks = world.exotel.tasks.clone();
        tasks.spawn(async move { callbacks::deliver(&world, &call, Event::Answered).await });
    }

    let flow = match &call.request.mode {
        Mode::Flow { app_id } => world.exotel.flow(app_id),
        Mode::Stream { .. } | Mode::Twiml(_) => None,
    };
    let records = call.request.record || flow.as_ref().is_some_and(|flow| flow.record);
    let recorder = records.then(|| world.exotel.recordings.begin(&call.sid, call.request.dual_channels));
    let recorder =
        recorder.and_then(|begun| begun.inspect_err(|error| tracing::warn!(%error, "this call is not recorded")).ok());
    if recorder.is_some() {
        call.truth().recording = Recording::UnderWay;
    }
    let mut leg = Leg::new(world.clone(), call.clone(), callee, voice, now, recorder);
    let cause = match (&call.request.mode, flow) {
        (Mode::Stream { url }, _) => Box::pin(run_direct(world, call, &mut leg, url)).await,
        (Mode::Flow { .. }, Some(flow)) => Box::pin(run_flow(world, call, &mut leg, &flow)).await,
        (Mode::Flow { .. }, None) => "flow_unconfigured",
        (Mode::Twiml(order), _) => Box::pin(twilio::interpreter::run(world, call, &mut leg, order)).await,
    };
    let now_ms = leg.ms(Instant::now());
    leg.stop_saying(now_ms);
    match leg.recorder.take().filter(|recorder| recorder.ms() > 0) {
        Some(recorder) => keep_recording(world, call, recorder),
        None => call.truth().recording = Recording::None,
    }
    Ending { status: Status::Completed, cause }
}

/// Mode C: the stream is the call.
async fn run_direct(world: &Arc<World>, call: &Arc<Call>, leg: &mut Leg, url: &str) -> &'static str {
    let Ok(url) = Url::parse(url) else { return "flow_failed" };
    let Some(opened) = leg.alone(open(world, call, BotUrl::take_apart(url, true))).await else {
        return "callee_hung_up";
    };
    let (truth, cause) = match opened {
        Ok(stream) => {
            let (end, truth) = Box::pin(stream.hold(world, call, leg)).await;
            (truth, cause(&end))
        }
        Err(truth) => (truth, "stream_failed"),
    };
    call.truth().streams.push(truth);
    cause
}

/// Mode B: voicebot, Passthru, and where it leads.
async fn run_flow(world: &Arc<World>, call: &Arc<Call>, leg: &mut Leg, flow: &Flow) -> &'static str {
    for _ in 0..MAX_ROUNDS {
        // While no stream is up the callee is alone with the silence, and may hang up.
        let opened = leg.alone(async {
            match applets::bot_url(world, call, flow).await {
                Ok(url) => open(world, call, BotUrl::take_apart(url, false)).await,
                Err(error) => Err(failed_stream(error)),
            }
        });
        let (end, truth) = match opened.await {
            None => return "callee_hung_up",
            Some(Ok(stream)) => {
                let (end, truth) = Box::pin(stream.hold(world, call, leg)).await;
                (Some(end), truth)
            }
            Some(Err(truth)) => (None, truth),
        };
        call.truth().streams.push(truth.clone());
        if end == Some(End::ShuttingDown) {
            return "shut_down";
        }
        let gone = match &end {
            _ if leg.has_hung_up() => Some("callee_hung_up"),
            Some(end @ (End::CalleeHungUp | End::HungUpByRequest)) => Some(cause(end)),
            Some(End::TimeLimit) => Some("time_limit"),
            Some(End::Dropped) => Some("stream_dropped"),
            _ => None,
        };
        // Passthru hears of every stream, even when the callee is gone; its answer then means nothing.
        let asked = async {
            match flow.passthru_url {
                Some(_) => applets::passthru(world, call, flow, Some(&truth)).await,
                None => Some(Next::Hangup),
            }
        };
        let next = match gone {
            Some(cause) => {
                asked.await;
                return cause;
            }
            None => leg.alone(asked).await,
        };
        match next {
            None => return "callee_hung_up",
            Some(Some(Next::Voicebot)) => {}
            Some(Some(Next::Connect)) => return transfer(world, call, leg, flow).await,
            Some(Some(Next::Hangup)) => return end.map_or("stream_failed", |end| cause(&end)),
            Some(None) => return "flow_stalled",
        }
    }
    "flow_endless"
}

/// A stream that is open and belongs to nobody yet.
struct Opened<'a> {
    socket: handshake::Socket,
    bot: BotUrl,
    _place: StreamPlace<'a>,
}

impl Opened<'_> {
    async fn hold(self, world: &Arc<World>, call: &Arc<Call>, leg: &mut Leg) -> (End, StreamTruth) {
        let wire = Wire::Exotel { writer: frames::Writer::new(new_sid()), bot: self.bot };
        Session::run(world, call, leg, self.socket, wire).await
    }
}

/// Reaches the bot; the error is the account of a stream that never opened.
async fn open<'a>(world: &'a World, call: &Call, bot: BotUrl) -> Result<Opened<'a>, StreamTruth> {
    let Some(place) = world.exotel.take_stream(world.settings.max_streams) else {
        world.log.record("exotel", "stream.throttled", json!({"sid": call.sid}));
        return Err(failed_stream("Streaming_call_throttled".into()));
    };
    let socket = handshake::open(world, call, &bot).await.map_err(failed_stream)?;
    Ok(Opened { socket, bot, _place: place })
}

fn failed_stream(error: String) -> StreamTruth {
    StreamTruth { status: "failed", disconnected_by: "NA", error: Some(error), ..StreamTruth::default() }
}

pub fn cause(end: &End) -> &'static str {
    match end {
        End::Bot { clean: true } => "agent_hung_up",
        End::Bot { clean: false } => "stream_broke",
        End::CalleeHungUp => "callee_hung_up",
        End::HungUpByRequest => "hung_up_by_request",
        End::TimeLimit => "time_limit",
        End::Dropped | End::Lost => "stream_dropped",
        End::ShuttingDown => "shut_down",
    }
}

/// The Connect applet: human agents' phones ring one after the other, until one is answered, and they talk for a while.
async fn transfer(world: &Arc<World>, call: &Arc<Call>, leg: &Leg, flow: &Flow) -> &'static str {
    let Some(to) = applets::connect(world, call, flow).await else { return "nobody_to_connect" };
    let pause = |ms: u64| sleep_until(leg.deadline.min(Instant::now() + world.settings.scaled(ms)));
    let mut ended = "no-answer".to_owned();
    for number in &to.numbers {
        world.log.record("exotel", "dial.ringing", json!({"sid": call.sid, "numbers": [number]}));
        applets::dial_event(world, call, &to, number, "Dial", None).await;
        if let Some(value) = world.faults.take("advisor_unreachable", &format!("{} {number}", call.fault_key())) {
            ended = value.as_str().unwrap_or("no-answer").to_owned();
            pause(if ended == "no-answer" { to.ring_secs * 1_000 } else { TRANSFER_RING_MS }).await;
            world.log.record("exotel", "dial.unanswered", json!({"sid": call.sid, "number": number, "status": ended}));
            applets::dial_event(world, call, &to, number, "Terminal", Some(&ended)).await;
            continue;
        }
        pause(TRANSFER_RING_MS).await;
        call.truth().transferred_to = Some(to.numbers.clone());
        let data = json!({"sid": call.sid, "numbers": to.numbers, "answered": number});
        world.log.record("exotel", "call.transferred", data);
        applets::dial_event(world, call, &to, number, "Answered", None).await;
        if let Some((whom, text)) = &to.playback {
            world.log.record("exotel", "dial.played", json!({"sid": call.sid, "playback_to": whom, "text": text}));
        }
        pause(to.talk_secs.map_or(TRANSFER_TALK_MS, |secs| TRANSFER_TALK_MS.min(secs * 1_000))).await;
        ended = "completed".to_owned();
        applets::dial_event(world, call, &to, number, "Terminal", Some(&ended)).await;
        break;
    }
    applets::after_connect(world, call, flow, &ended).await;
    if ended == "completed" { "transferred" } else { "nobody_answered" }
}

/// The call is over: status, callbacks, details.
async fn end(world: &Arc<World>, call: &Arc<Call>, ending: Ending) {
    settle(world, call, &ending);
    let quirks = *call.quirks();
    if !quirks.told_early {
        sleep(world.settings.scaled(world.settings.callback_delay_ms)).await;
        callbacks::deliver(world, call, Event::Terminal).await;
    }
    if quirks.answered_last {
        callbacks::deliver(world, call, Event::Answered).await;
    }
}

fn settle(world: &World, call: &Call, ending: &Ending) {
    {
        let mut truth = call.truth();
        if truth.status == Status::InProgress {
            truth.status = ending.status;
            truth.ended_at = Some(Utc::now());
        }
        truth.end_cause = Some(ending.cause.to_owned());
    }
    world.log.record(
        call.service(),
        "call.ended",
        json!({
            "sid": call.sid, "from": call.customer(), "status": ending.status.as_str(), "cause": ending.cause,
            "talked_secs": call.talked_secs(),
        }),
    );
}

/// Called when the callee hangs up, before the stream hears of it: with `callback_before_stop`
/// armed, the terminal callback overtakes the `stop`.
pub async fn before_stop(world: &Arc<World>, call: &Arc<Call>) {
    if world.faults.take("callback_before_stop", &call.fault_key()).is_none() {
        return;
    }
    {
        let mut truth = call.truth();
        truth.status = Status::Completed;
        truth.ended_at = Some(Utc::now());
    }
    call.quirks().told_early = true;
    callbacks::deliver(world, call, Event::Terminal).await;
}

fn keep_recording(world: &Arc<World>, call: &Arc<Call>, recorder: crate::exotel::recordings::Recorder) {
    if world.exotel.closing.is_cancelled() {
        // Nobody will be there to fetch it.
        call.truth().recording = Recording::None;
        return;
    }
    let key = call.fault_key();
    let never = world.faults.take("recording_never", &key).is_some();
    let late_ms =
        world.faults.take("recording_late", &key).map_or(0, |value| value.as_u64().unwrap_or(10_000).min(86_400_000));
    let delay = world.settings.scaled(world.settings.recording_delay_ms) + Duration::from_millis(late_ms);
    let ms = recorder.ms();
    call.truth().recording = if never { Recording::Never } else { Recording::Due { at: Utc::now() + delay, ms } };
    if let Mode::Twiml(order) = &call.request.mode {
        twilio::webhooks::recorded(world, call, order, delay, ms);
    }
    if never {
        return;
    }
    let (world, call) = (world.clone(), call.clone());
    let tasks = world.exotel.tasks.clone();
    tasks.spawn(async move {
        match world.exotel.recordings.encode(recorder).await {
            Ok(()) => world.log.record(call.service(), "recording.encoded", json!({"sid": call.sid, "ms": ms})),
            Err(error) => tracing::warn!(sid = %call.sid, error = format!("{error:#}"), "a recording is lost"),
        }
    });
}
