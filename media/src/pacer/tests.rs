use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc::error::TryRecvError;

use super::*;
use crate::carrier::Carrier;

/// A pacer whose carrier notes what arrived when; time is tokio's, paused.
struct Rig {
    commands: mpsc::Sender<PacerCommand>,
    reports: mpsc::Receiver<Report>,
    wire: futures::channel::mpsc::UnboundedReceiver<Message>,
    began: Instant,
    log: Vec<(u128, Value)>,
}

impl Rig {
    fn new(frame_ms: u32) -> Self {
        let (sink, wire) = futures::channel::mpsc::unbounded();
        let (commands, inbox) = mpsc::channel(64);
        let (outbox, reports) = mpsc::channel(1_024);
        tokio::spawn(run(
            sink,
            Writer::of(Carrier::Exotel, "s1"),
            PacerSettings::of_frames(frame_ms),
            inbox,
            outbox,
            None,
        ));
        Self { commands, reports, wire, began: Instant::now(), log: Vec::new() }
    }

    async fn give(&self, command: PacerCommand) {
        self.commands.send(command).await.expect("the pacer runs");
    }

    async fn play(&self, epoch: u32, clause: u32, ms: usize) {
        let samples: Arc<[i16]> = vec![epoch as i16 + 1; ms * 8].into();
        let audio = SpeechAudio { samples, permit: None };
        self.give(PacerCommand::Play { epoch: Epoch(epoch), clause, audio }).await;
    }

    /// Lets this much time pass, noting what goes over the wire.
    async fn pass(&mut self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        while let Ok(Some(message)) = tokio::time::timeout_at(until, self.wire.next()).await {
            let at = self.began.elapsed().as_millis();
            if let Message::Text(text) = message {
                self.log.push((at, serde_json::from_str(&text).expect("JSON")));
            }
        }
    }

    fn events(&self, kind: &str) -> Vec<(u128, &Value)> {
        self.log.iter().filter(|(_, frame)| frame["event"] == kind).map(|(at, frame)| (*at, frame)).collect()
    }

    /// Arrival and length in ms of every audio frame.
    fn audio(&self) -> Vec<(u128, usize)> {
        self.events("media").iter().map(|(at, frame)| (*at, bytes(frame).len() / 16)).collect()
    }

    fn reports(&mut self) -> Vec<Report> {
        let mut all = Vec::new();
        loop {
            match self.reports.try_recv() {
                Ok(report) => all.push(report),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return all,
            }
        }
    }

    /// Time by which what has been sent lies ahead of its playing, at each frame's arrival.
    fn leads(&self) -> Vec<i128> {
        let Some((start, _)) = self.audio().first().copied() else { return vec![] };
        let mut sent = 0;
        let lead = |(at, ms): (u128, usize)| {
            sent += ms as i128;
            sent - (at - start) as i128
        };
        self.audio().into_iter().map(lead).collect()
    }
}

fn bytes(frame: &Value) -> Vec<u8> {
    STANDARD.decode(frame["media"]["payload"].as_str().expect("payload")).expect("base64")
}

#[tokio::test(start_paused = true)]
async fn frames_leave_on_schedule_with_two_frames_of_lead_and_no_gap() {
    let mut rig = Rig::new(100);
    rig.play(0, 0, 5_000).await;
    rig.give(PacerCommand::End { epoch: Epoch(0) }).await;
    rig.pass(5_500).await;
    let audio = rig.audio();
    assert_eq!(audio.len(), 50);
    assert!(audio.iter().all(|(_, ms)| *ms == 100));
    assert_eq!(&audio[..4], [(0, 100), (0, 100), (100, 100), (200, 100)]);
    assert!(rig.leads().iter().all(|lead| (100..=210).contains(lead)), "{:?}", rig.leads());
    // Seconds of speech do not drift.
    assert_eq!(audio[49].0, 4_800);
}

#[tokio::test(start_paused = true)]
async fn the_tail_is_padded_to_whole_units_and_followed_by_the_end_mark() {
    let mut rig = Rig::new(100);
    rig.play(0, 0, 130).await;
    rig.give(PacerCommand::Play {
        epoch: Epoch(0),
        clause: 0,
        audio: SpeechAudio { samples: vec![9; 5].into(), permit: None },
    })
    .await;
    rig.give(PacerCommand::End { epoch: Epoch(0) }).await;
    rig.pass(100).await;
    assert_eq!(rig.audio().iter().map(|(_, ms)| ms).collect::<Vec<_>>(), [&100, &40]);
    let names: Vec<&Value> = rig.log.iter().map(|(_, frame)| &frame["event"]).collect();
    assert_eq!(names, ["media", "media", "mark"]);
    assert_eq!(rig.log[2].1["mark"]["name"], "e0.0.end");
}

#[tokio::test(start_paused = true)]
async fn speech_that_arrives_in_bursts_has_no_gap_while_it_is_ahead() {
    let mut rig = Rig::new(100);
    // 130 ms of sound every 125 ms: never a whole number of frames.
    for _ in 0..40 {
        rig.play(0, 0, 130).await;
        rig.pass(125).await;
    }
    rig.give(PacerCommand::End { epoch: Epoch(0) }).await;
    rig.pass(1_000).await;
    assert!(rig.leads().iter().all(|lead| *lead > 0), "never dry: {:?}", rig.leads());
    // At the start, before anything is ahead, the end of a burst may be padded.
    let sent: usize = rig.audio().iter().map(|(_, ms)| ms).sum();
    assert!((5_200..=5_240).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_effect_at_once_and_a_resume_steps_back_to_what_was_heard() {
    let mut rig = Rig::new(100);
    rig.play(0, 0, 2_000).await;
    rig.pass(450).await;
    rig.reports();
    rig.give(PacerCommand::Pause { epoch: Epoch(0) }).await;
    rig.pass(1_000).await;
    assert_eq!(rig.events("clear").iter().map(|(at, _)| *at).collect::<Vec<_>>(), [450]);
    let reports = rig.reports();
    assert!(reports.contains(&Report::Played { epoch: Epoch(0), samples: 3_600 }), "{reports:?}");
    let before = rig.audio().len();
    assert!(rig.audio().iter().all(|(at, _)| *at <= 450), "nothing while paused");

    rig.give(PacerCommand::Resume { epoch: Epoch(0), from: 3_200 }).await;
    rig.pass(3_000).await;
    let resumed: usize = rig.audio()[before..].iter().map(|(_, ms)| ms).sum();
    assert_eq!(resumed, 1_600, "from 400 ms to the end");
    assert_eq!(rig.audio()[before].0, 1_450, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_pause_with_little_left_lets_it_run_out() {
    let mut rig = Rig::new(20);
    rig.play(0, 0, 90).await;
    rig.pass(50).await;
    rig.give(PacerCommand::Pause { epoch: Epoch(0) }).await;
    rig.pass(200).await;
    assert!(rig.events("clear").is_empty());
}

#[tokio::test(start_paused = true)]
async fn clear_goes_out_at_once_voids_marks_and_refuses_late_sound() {
    let mut rig = Rig::new(100);
    rig.play(3, 0, 300).await;
    rig.play(3, 1, 1_700).await;
    rig.pass(420).await;
    let mark = rig.events("mark")[0].1["mark"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(mark, "e3.0.c0");
    rig.give(PacerCommand::Clear { epoch: Epoch(3) }).await;
    rig.pass(1).await;
    assert_eq!(rig.events("clear").iter().map(|(at, _)| *at).collect::<Vec<_>>(), [420]);
    rig.reports();
    rig.play(2, 0, 500).await;
    rig.play(3, 1, 500).await;
    rig.give(PacerCommand::End { epoch: Epoch(3) }).await;
    rig.give(PacerCommand::Marked { name: mark }).await;
    rig.pass(1_000).await;
    assert!(rig.audio().iter().all(|(at, _)| *at <= 420), "late sound is refused");
    assert_eq!(rig.reports(), [], "a voided mark says nothing");

    // The next reply starts at once.
    rig.play(4, 0, 200).await;
    rig.pass(10).await;
    assert_eq!(rig.audio().last(), Some(&(1_421, 100)));
    assert_eq!(rig.events("clear").len(), 1, "nothing to clear twice");
}

#[tokio::test(start_paused = true)]
async fn playing_is_reported_from_the_first_frame_to_the_echo_of_the_end_mark() {
    let mut rig = Rig::new(100);
    rig.play(1, 0, 300).await;
    rig.give(PacerCommand::End { epoch: Epoch(1) }).await;
    rig.pass(330).await;
    let played = |samples| Report::Played { epoch: Epoch(1), samples };
    let reports = rig.reports();
    assert_eq!(reports[0], Report::Started { epoch: Epoch(1) });
    assert!(reports.ends_with(&[played(1_600), played(2_400)]), "{reports:?}");
    rig.give(PacerCommand::Marked { name: "e1.0.end".into() }).await;
    rig.pass(1).await;
    assert_eq!(rig.reports(), [played(2_400), Report::Drained { epoch: Epoch(1) }]);
    rig.pass(5_000).await;
    assert_eq!(rig.reports(), []);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_never_comes_back_counts_as_played_after_a_second() {
    let mut rig = Rig::new(100);
    rig.play(1, 0, 300).await;
    rig.give(PacerCommand::End { epoch: Epoch(1) }).await;
    rig.pass(1_290).await;
    assert!(!rig.reports().contains(&Report::Drained { epoch: Epoch(1) }));
    rig.pass(30).await;
    assert!(rig.reports().contains(&Report::Drained { epoch: Epoch(1) }));
}

#[tokio::test(start_paused = true)]
async fn speech_that_runs_dry_says_so_and_goes_on_later() {
    let mut rig = Rig::new(100);
    rig.play(1, 0, 250).await;
    rig.pass(600).await;
    // The half frame goes out at the last moment instead of waiting for more.
    assert_eq!(rig.audio(), [(0, 100), (0, 100), (160, 40), (200, 20)]);
    assert_eq!(rig.reports().iter().filter(|r| **r == Report::Drained { epoch: Epoch(1) }).count(), 1);
    rig.play(1, 1, 100).await;
    rig.pass(10).await;
    assert_eq!(rig.audio().last(), Some(&(600, 100)));
}

#[tokio::test(start_paused = true)]
async fn late_marks_move_the_clock_but_not_far() {
    let mut rig = Rig::new(100);
    for epoch in 0..20 {
        rig.play(epoch, 0, 100).await;
        rig.give(PacerCommand::End { epoch: Epoch(epoch) }).await;
        rig.pass(900).await;
        rig.give(PacerCommand::Marked { name: format!("e{epoch}.0.end") }).await;
        rig.pass(10).await;
    }
    rig.reports();
    rig.play(99, 0, 2_000).await;
    rig.pass(1_000).await;
    let Some(Report::Played { samples, .. }) = rig.reports().pop() else { panic!("not playing") };
    assert!((3_100..=5_000).contains(&samples), "about half a second behind: {samples}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_reply_is_over_at_once() {
    let mut rig = Rig::new(100);
    rig.give(PacerCommand::End { epoch: Epoch(7) }).await;
    rig.pass(1).await;
    assert_eq!(rig.reports(), [Report::Drained { epoch: Epoch(7) }]);
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_takes_nothing_is_given_up_after_two_seconds() {
    // A sink with room for one message that nobody reads.
    let (sink, _wire) = futures::channel::mpsc::channel(0);
    let (commands, inbox) = mpsc::channel(4);
    let (outbox, _reports) = mpsc::channel(64);
    let pacer =
        tokio::spawn(run(sink, Writer::of(Carrier::Exotel, "s"), PacerSettings::of_frames(100), inbox, outbox, None));
    let audio = SpeechAudio { samples: vec![1; 8_000].into(), permit: None };
    commands.send(PacerCommand::Play { epoch: Epoch(0), clause: 0, audio }).await.expect("the pacer runs");
    let end = tokio::time::timeout(Duration::from_secs(3), pacer).await.expect("in time").expect("no panic");
    assert_eq!(end, PacerEnd::Broken);
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_reply_that_was_heard_out_under_a_pause_sounds_once_that_is_over() {
    let mut rig = Rig::new(20);
    rig.play(0, 0, 90).await;
    rig.give(PacerCommand::End { epoch: Epoch(0) }).await;
    rig.pass(50).await;
    rig.give(PacerCommand::Pause { epoch: Epoch(0) }).await;
    let name = rig.events("mark")[0].1["mark"]["name"].as_str().expect("a name").to_owned();
    rig.pass(60).await;
    rig.give(PacerCommand::Marked { name }).await;
    rig.give(PacerCommand::Resume { epoch: Epoch(0), from: 0 }).await;
    rig.play(1, 0, 200).await;
    rig.pass(500).await;
    assert!(rig.audio().iter().any(|(at, _)| *at >= 110), "{:?}", rig.audio());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_again_after_a_pause_is_not_ended_by_the_mark_of_the_first_time() {
    let mut rig = Rig::new(20);
    rig.play(0, 0, 90).await;
    rig.give(PacerCommand::End { epoch: Epoch(0) }).await;
    rig.pass(50).await;
    let name = rig.events("mark")[0].1["mark"]["name"].as_str().expect("a name").to_owned();
    rig.give(PacerCommand::Pause { epoch: Epoch(0) }).await;
    rig.pass(10).await;
    rig.give(PacerCommand::Resume { epoch: Epoch(0), from: 0 }).await;
    rig.give(PacerCommand::Marked { name: name.clone() }).await;
    rig.pass(300).await;
    let said: usize = rig.audio().iter().map(|(_, ms)| ms).sum();
    assert!(said >= 180, "all of it twice: {:?}", rig.audio());
    assert!(!rig.reports().contains(&Report::Drained { epoch: Epoch(0) }), "its own mark is still to come");
    let again = rig.events("mark").last().expect("a mark").1["mark"]["name"].as_str().expect("a name").to_owned();
    assert_ne!(again, name);
    rig.give(PacerCommand::Marked { name: again }).await;
    rig.pass(10).await;
    assert!(rig.reports().contains(&Report::Drained { epoch: Epoch(0) }));
}
