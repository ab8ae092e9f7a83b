//! An answered call: asks the product for TwiML and performs it, verb by verb, until there is none left.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::{
    exotel::{
        call::{Call, StreamTruth},
        leg::Leg,
        line::cause,
        playback::SAMPLES_PER_MS,
        stream::{End, Session},
    },
    twilio::{
        Order,
        airtime::{Airtime, Cause, Ears, Gathered},
        play, stream,
        twiml::{self, Callable, Gather, Prompt, Verb},
        webhooks::{self, Fields},
    },
    world::World,
};

/// Documents of one call before it is taken for an endless loop.
const MAX_DOCUMENTS: usize = 200;
/// The voice of `<Say>`.
const VOICE: &str = "slt";
/// How long a human's phone rings before it is picked up, and how long they talk, after `<Dial>` (scaled by the rate).
const RING_MS: u64 = 2_000;
const TALK_MS: u64 = 10_000;
/// A busy phone says so this soon (scaled by the rate).
const BUSY_MS: u64 = 500;

/// What a document leads to.
enum Next {
    Ask(Url, Fields),
    End(Cause),
}

/// Performs the call; the answer is why it is over.
pub async fn run(world: &Arc<World>, call: &Arc<Call>, leg: &mut Leg, order: &Order) -> Cause {
    webhooks::detect_machine(world, call, order);
    let line = Airtime::begin(world, call, leg);
    let mut performance = Performance { world, call, leg, line: Some(line), last: "twiml_ended" };
    let mut next = Next::Ask(order.url.clone(), Vec::new());
    // Once: a fallback that fails, too, is the end.
    let mut fallback = order.fallback.clone();
    for _ in 0..MAX_DOCUMENTS {
        next = match next {
            Next::End(cause) => {
                performance.close_line();
                return cause;
            }
            Next::Ask(url, extra) => match performance.document(&url, extra).await {
                Ok(verbs) => performance.perform(verbs, &url).await.unwrap_or_else(Next::End),
                Err(cause) => Next::End(cause),
            },
        };
        if matches!(next, Next::End("application_error"))
            && let Some(url) = fallback.take()
        {
            next = Next::Ask(url, vec![("ErrorCode".into(), "11200".into())]);
        }
    }
    performance.close_line();
    "twiml_endless"
}

struct Performance<'a> {
    world: &'a Arc<World>,
    call: &'a Arc<Call>,
    leg: &'a mut Leg,
    /// `None` while a stream has the line.
    line: Option<Airtime>,
    /// Why the call ends if nothing more is asked for.
    last: Cause,
}

impl Performance<'_> {
    /// Asks for TwiML. The callee waits in silence meanwhile.
    async fn document(&mut self, url: &Url, extra: Fields) -> Result<Vec<Verb>, Cause> {
        let mut fields = webhooks::common(self.world, self.call, "in-progress");
        fields.extend(extra);
        if self.world.faults.take("twiml_lost", &format!("{} {url}", self.call.fault_key())).is_some() {
            self.note("twiml.refused", json!({"why": "lost on the way"}));
            return Err("application_error");
        }
        let (world, call) = (self.world, self.call);
        let lost = world.faults.take("lost_answer", &call.fault_key()).is_some();
        let asking = async {
            let answer = webhooks::post(world, call, url, &fields, "twiml.asked", json!({})).await;
            if lost { webhooks::post(world, call, url, &fields, "twiml.asked", json!({})).await } else { answer }
        };
        let (line, leg) = self.line();
        let answer = line.during(leg, asking).await?;
        let verbs = match answer {
            Ok((StatusCode::OK, text)) => twiml::read(&text),
            Ok((status, _)) => Err(format!("answered {status}")),
            Err(error) => Err(error),
        };
        verbs.map_err(|why| {
            self.note("twiml.refused", json!({"why": why}));
            "application_error"
        })
    }

    async fn perform(&mut self, verbs: Vec<Verb>, base: &Url) -> Result<Next, Cause> {
        for verb in verbs {
            match verb {
                Verb::Stream { url, parameters } => self.stream(&url, &parameters).await?,
                Verb::Say { text } => {
                    let pcm = self.sound(&[Prompt::Say(text)], base).await?;
                    let (line, leg) = self.line();
                    line.say(leg, pcm).await?;
                }
                Verb::Play { url } => {
                    let pcm = self.sound(&[Prompt::Play(url.clone())], base).await?;
                    let ms = pcm.len() as u64 / SAMPLES_PER_MS;
                    let (line, leg) = self.line();
                    line.say(leg, pcm).await?;
                    self.note("play.ended", json!({"url": url, "ms": ms}));
                }
                Verb::Gather(gather) => {
                    if let Some((url, fields)) = self.gather(&gather, base).await? {
                        return Ok(Next::Ask(url, fields));
                    }
                }
                Verb::Pause { secs } => {
                    let (line, leg) = self.line();
                    line.pause(leg, Duration::from_secs(secs)).await?;
                }
                Verb::Redirect { url } => {
                    let url = base.join(&url).map_err(|_error| "application_error")?;
                    return Ok(Next::Ask(url, Vec::new()));
                }
                Verb::Dial { numbers, sequential, timeout_secs, action } => {
                    let status = self.dial(numbers, sequential, timeout_secs, base).await?;
                    self.last = if status == "completed" { "transferred" } else { "nobody_answered" };
                    if let Some(action) = action {
                        let url = base.join(&action).map_err(|_error| "application_error")?;
                        let mut fields: Fields = vec![("DialCallStatus".into(), status.clone())];
                        if status == "completed" {
                            fields.push(("DialBridged".into(), "true".into()));
                            fields.push(("DialCallDuration".into(), "10".into()));
                        }
                        return Ok(Next::Ask(url, fields));
                    }
                }
                Verb::Hangup | Verb::Reject => return Ok(Next::End("agent_hung_up")),
            }
        }
        Ok(Next::End(self.last))
    }

    /// Rings phones until one is picked up, lets them talk, and gives the last phone's status.
    async fn dial(
        &mut self,
        numbers: Vec<Callable>,
        sequential: bool,
        timeout_secs: u64,
        base: &Url,
    ) -> Result<String, Cause> {
        let mut status = "no-answer".to_owned();
        let all: Vec<String> = numbers.iter().map(|callable| callable.number.clone()).collect();
        if !sequential {
            self.note("dial.ringing", json!({"numbers": all}));
        }
        for Callable { number, whisper } in numbers {
            if sequential {
                self.note("dial.ringing", json!({"numbers": [number]}));
            }
            let key = format!("{} {number}", self.call.fault_key());
            if let Some(value) = self.world.faults.take("advisor_unreachable", &key) {
                status = value.as_str().unwrap_or("no-answer").to_owned();
                let rings_ms = if status == "no-answer" { timeout_secs * 1_000 } else { BUSY_MS };
                self.wait(rings_ms).await?;
                self.note("dial.unanswered", json!({"number": number, "status": status}));
                continue;
            }
            self.wait(RING_MS).await?;
            self.note("call.transferred", json!({"numbers": all, "answered": number}));
            self.call.truth().transferred_to = Some(all);
            if let Some(url) = whisper {
                let url = base.join(&url).map_err(|_error| "application_error")?;
                let whispered = self.whispered(&url).await?;
                self.note("dial.whispered", json!({"texts": whispered}));
            }
            self.wait(TALK_MS).await?;
            return Ok("completed".to_owned());
        }
        Ok(status)
    }

    /// So long, scaled by the rate.
    async fn wait(&mut self, ms: u64) -> Result<(), Cause> {
        let time = self.world.settings.scaled(ms);
        let (line, leg) = self.line();
        line.pause(leg, time).await
    }

    /// What the phone that answered is told, alone. Whatever goes wrong with it, Twilio connects.
    async fn whispered(&mut self, url: &Url) -> Result<Vec<String>, Cause> {
        // The leg that was dialed has a call of its own.
        let parent = [("ParentCallSid".into(), self.call.sid.clone())].into();
        let verbs = self.document(url, parent).await.unwrap_or_default();
        let said = |verb| if let Verb::Say { text } = verb { Some(text) } else { None };
        Ok(verbs.into_iter().filter_map(said).collect())
    }

    /// Blocks until the product closes the socket, or it breaks; then the next verb runs.
    async fn stream(&mut self, url: &str, parameters: &Value) -> Result<(), Cause> {
        let opening = stream::open(self.world, self.call, url, parameters);
        let (line, leg) = self.line();
        let opened = line.during(leg, opening).await?;
        let (end, truth) = match opened {
            Ok((socket, wire)) => {
                self.close_line();
                let (end, truth) = Box::pin(Session::run(self.world, self.call, self.leg, socket, wire)).await;
                (Some(end), truth)
            }
            Err(error) => (
                None,
                StreamTruth { status: "failed", disconnected_by: "NA", error: Some(error), ..StreamTruth::default() },
            ),
        };
        self.call.truth().streams.push(truth);
        match end {
            None => self.last = "stream_failed",
            Some(end @ (End::Bot { .. } | End::Lost)) => self.last = cause(&end),
            Some(end) => return Err(cause(&end)),
        }
        match self.leg.has_hung_up() {
            true => Err("callee_hung_up"),
            false => Ok(()),
        }
    }

    /// Whom to ask, and what to tell them, if the callee said or pressed something.
    async fn gather(&mut self, gather: &Gather, base: &Url) -> Result<Option<(Url, Fields)>, Cause> {
        let pcm = self.sound(&gather.prompts, base).await?;
        let ears = Ears {
            speech: gather.speech,
            keys: gather.keys,
            patience: Duration::from_secs(gather.timeout_secs),
            most_keys: gather.most_keys,
            last_key: gather.last_key,
        };
        let (line, leg) = self.line();
        let fields: Fields = match line.gather(leg, pcm, ears).await? {
            Gathered::Nothing => {
                self.note("gather.ended", json!({"heard": null}));
                return Ok(None);
            }
            Gathered::Words(words) => {
                self.note("gather.ended", json!({"heard": words}));
                let unsure = self.world.faults.take("unsure_words", &self.call.fault_key()).is_some();
                let confidence = if unsure { "0.11" } else { "0.93" };
                vec![("SpeechResult".into(), words), ("Confidence".into(), confidence.into())]
            }
            Gathered::Keys(keys, last) => {
                self.note("gather.ended", json!({"keys": keys}));
                let last = last.map(|key| ("FinishedOnKey".into(), key.into()));
                [("Digits".into(), keys)].into_iter().chain(last).collect()
            }
        };
        let action = gather.action.as_deref().unwrap_or(base.as_str());
        Ok(Some((base.join(action).map_err(|_error| "application_error")?, fields)))
    }

    /// The sound of what Twilio itself says, and of what it plays. The callee waits while it is made.
    async fn sound(&mut self, prompts: &[Prompt], base: &Url) -> Result<Vec<i16>, Cause> {
        let (world, call) = (self.world, self.call);
        let making = async {
            let mut pcm = Vec::new();
            for prompt in prompts {
                match prompt {
                    Prompt::Say(text) => pcm.extend_from_slice(&world.speech.say(text, VOICE).await.pcm),
                    Prompt::Play(url) => pcm.extend(play::fetch(world, call, base, url).await?),
                    Prompt::Pause(secs) => pcm.resize(pcm.len() + (secs * 1_000 * SAMPLES_PER_MS) as usize, 0),
                }
            }
            Ok::<_, Cause>(pcm)
        };
        let (line, leg) = self.line();
        line.during(leg, making).await?
    }

    fn line(&mut self) -> (&mut Airtime, &mut Leg) {
        let line = self.line.get_or_insert_with(|| Airtime::begin(self.world, self.call, self.leg));
        (line, self.leg)
    }

    fn close_line(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish(self.leg);
        }
        let now_ms = self.leg.ms(Instant::now());
        if self.leg.has_hung_up() {
            self.leg.stop_saying(now_ms);
        }
    }

    fn note(&self, kind: &str, mut data: Value) {
        data["sid"] = self.call.sid.as_str().into();
        self.world.log.record("twilio", kind, data);
    }
}
