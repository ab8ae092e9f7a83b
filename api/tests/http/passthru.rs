//! Which way a flow goes after a stream: back to the voice agent, or on; and what is kept of its question.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use shared::id::CallId;
use shared::stream::{self, NewStream};
use tokio::time::Instant;

use crate::harness::{SECRET, TestApi, eventually, monday};

const BROKE: &str = "&Stream%5BStreamSID%5D=s1&Stream%5BStatus%5D=failed&Stream%5BDisconnectedBy%5D=bot";
const CLOSED: &str = "&Stream%5BStreamSID%5D=s1&Stream%5BStatus%5D=completed&Stream%5BDisconnectedBy%5D=bot";
const LEFT: &str = "&Stream%5BStreamSID%5D=s1&Stream%5BStatus%5D=cancelled&Stream%5BDisconnectedBy%5D=user";
const NEVER_OPENED: &str = "&Stream%5BStatus%5D=failed&Stream%5BDisconnectedBy%5D=NA&Stream%5BError%5D=3009+failed";

/// A call that is being dialed, known to the carrier as `sid-1`.
async fn dialed(api: &TestApi) -> i64 {
    let campaign = api.create_campaign(serde_json::json!({"name": "C"})).await;
    let lead = api.add_lead(campaign, "+919999900101", "Priyamvada").await;
    let call = api.add_call(lead, "ref-1").await;
    sqlx::query("update calls set carrier_call_id = 'sid-1'").execute(&api.db).await.unwrap();
    call
}

/// A stream of the call begins, as `media` takes it.
async fn begins(api: &TestApi, call: i64, stream_sid: &str) {
    let longest_call = Duration::from_secs(600);
    let stream = NewStream { stream_sid, instance: "media-1", longest_call };
    let mut tx = api.db.begin().await.unwrap();
    assert!(stream::begin(&mut tx, CallId(call), &stream, monday()).await.unwrap().is_some());
    tx.commit().await.unwrap();
}

async fn ends(api: &TestApi, call: i64, reason: &str) {
    stream::end(&api.db, CallId(call), "s1", reason, monday()).await.unwrap();
}

/// The status that the flow is answered with.
async fn asks(api: &TestApi, about: &str) -> u16 {
    let asked = format!("/passthru-handler?secret={SECRET}&CallSid=sid-1{about}");
    let answer = api.send(Request::get(&asked).body(Body::empty()).unwrap()).await;
    assert_eq!(answer.text(), "");
    answer.status.as_u16()
}

#[tokio::test]
async fn a_flow_connects_only_those_to_whom_a_human_was_promised() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    sqlx::query("update voice_agent_versions set settings = settings || '{\"transfer_to\": [\"+919811100001\"]}'")
        .execute(&api.db)
        .await
        .unwrap();
    let asked = async |secret: &str| {
        let url = format!("/connect-handler?secret={secret}&CallSid=sid-1&CallTo=08047112233");
        api.send(Request::get(&url).body(Body::empty()).unwrap()).await
    };
    begins(&api, call, "s1").await;
    assert_eq!(asked(SECRET).await.json()["destination"]["numbers"], serde_json::json!([]), "nobody was promised");
    ends(&api, call, "transfer_to_human").await;
    assert_eq!(asked("wrong").await.status, 403);
    for _ in 0..2 {
        let answer = asked(SECRET).await.json();
        assert_eq!(answer["destination"]["numbers"], serde_json::json!(["09811100001"]), "{answer}");
        assert_eq!(answer["outgoing_phone_number"], "08047112233", "{answer}");
        let playback = serde_json::json!({"playback_to": "both", "type": "text", "value": "You are connected now."});
        assert_eq!(answer["start_call_playback"], playback, "{answer}");
        let events = format!("https://api.example/dial-handler?secret={SECRET}");
        assert!(answer["dial_passthru_event_url"].as_str().unwrap().starts_with(&events), "{answer}");
        assert_eq!(answer["record"], true, "{answer}");
    }
    let off = "update voice_agent_versions set settings = settings || '{\"recording_enabled\": false}'";
    sqlx::query(off).execute(&api.db).await.unwrap();
    assert_eq!(asked(SECRET).await.json()["record"], false, "its voice agent is not to be recorded");
    assert_eq!(api.number("select count(*) from calls where status = 'in_progress'").await, 1, "nobody has picked up");
    assert_eq!(api.number("select count(*) from call_events where kind = 'transfer_dialed'").await, 1);
    assert_eq!(asks(&api, CLOSED).await, 302, "on, to the advisor");
    sqlx::query("update calls set status = 'completed'").execute(&api.db).await.unwrap();
    assert_eq!(asked(SECRET).await.json()["destination"]["numbers"], serde_json::json!([]), "the call is over");
    api.finish().await;
}

/// What the Connect applet, or a Passthru behind it, is answered with.
async fn tells(api: &TestApi, about: &str) -> u16 {
    let told = format!("/dial-handler?secret={SECRET}&CallSid=sid-1{about}");
    api.send(Request::get(&told).body(Body::empty()).unwrap()).await.status.as_u16()
}

/// Until an event of this kind is written.
async fn happens(api: &TestApi, kind: &str) {
    eventually(async || {
        let query = sqlx::query_scalar("select count(*) from call_events where kind = $1").bind(kind);
        let events: i64 = query.fetch_one(&api.db).await.unwrap();
        (events > 0).then_some(())
    })
    .await;
}

const WISHES: &str = "select count(*) from conversations where live_disposition = 'callback_requested'";

#[tokio::test]
async fn a_call_counts_as_transferred_once_an_advisor_has_picked_up_whoever_did_not_before() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    assert_eq!(tells(&api, "&EventType=Answered").await, 200);
    // Applied, not only kept: later it would be about a promise.
    eventually(async || {
        (api.number("select count(*) from call_events where kind = 'webhook' and applied_at is not null").await == 1)
            .then_some(())
    })
    .await;
    assert_eq!(api.number("select count(*) from calls where status = 'transferred'").await, 0, "nobody was promised");
    ends(&api, call, "transfer_to_human").await;
    assert_eq!(tells(&api, "&EventType=Terminal&DialWhomNumber=1&DialCallStatus=no-answer").await, 200);
    happens(&api, "transfer_failed").await;
    assert_eq!(api.number(WISHES).await, 1);
    assert_eq!(tells(&api, "&EventType=Answered&DialWhomNumber=2").await, 200);
    happens(&api, "transferred").await;
    assert_eq!(api.number("select count(*) from calls where status = 'transferred'").await, 1);
    assert_eq!(api.number(WISHES).await, 0, "they were reached after all");
    assert_eq!(tells(&api, "&EventType=Terminal&DialWhomNumber=1&DialCallStatus=busy&late=1").await, 200);
    assert_eq!(tells(&api, "&DialCallStatus=completed").await, 200);
    eventually(async || {
        (api.number("select count(*) from call_events where kind = 'webhook' and applied_at is not null").await == 5)
            .then_some(())
    })
    .await;
    assert_eq!(api.number(WISHES).await, 0);
    assert_eq!(api.number("select count(*) from call_events where kind = 'transferred'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn whoever_was_promised_a_human_and_got_none_wants_to_be_called_back() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    ends(&api, call, "transfer_to_human").await;
    assert_eq!(tells(&api, "&DialCallStatus=busy").await, 302, "the flow has a word of regret");
    happens(&api, "transfer_failed").await;
    assert_eq!(api.number(WISHES).await, 1);
    assert_eq!(api.number("select count(*) from calls where status = 'in_progress'").await, 1);
    let forged = "/dial-handler?secret=wrong&CallSid=sid-1&DialCallStatus=completed";
    assert_eq!(api.send(Request::get(forged).body(Body::empty()).unwrap()).await.status, 403);
    api.finish().await;
}

#[tokio::test]
async fn a_broken_conversation_goes_back_and_a_finished_one_on() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    assert_eq!(asks(&api, BROKE).await, 200, "nobody ended it: its process died");
    ends(&api, call, "handed_over").await;
    assert_eq!(asks(&api, CLOSED).await, 200, "another process takes it");
    assert_eq!(asks(&api, LEFT).await, 302, "whoever hung up is not called back");
    begins(&api, call, "s2").await;
    stream::end(&api.db, CallId(call), "s2", "agent_finished", monday()).await.unwrap();
    assert_eq!(asks(&api, BROKE).await, 302, "the agent had said goodbye");
    assert_eq!(api.number("select sent_back::bigint from calls").await, 2);
    assert_eq!(api.number("select count(*) from call_events where kind = 'sent_back'").await, 2);
    assert_eq!(api.get(&format!("/calls/{call}")).await.json()["resumptions"], 1);
    api.finish().await;
}

#[tokio::test]
async fn a_question_that_outruns_the_reason_waits_for_it() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    let said = async {
        eventually(async || {
            (api.number("select count(*) from call_events where kind = 'webhook'").await > 0).then_some(())
        })
        .await;
        ends(&api, call, "agent_finished").await;
    };
    let (status, ()) = tokio::join!(asks(&api, CLOSED), said);
    assert_eq!(status, 302);
    api.finish().await;
}

#[tokio::test]
async fn a_closed_stream_that_nobody_accounts_for_goes_back_in_time() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    let started = Instant::now();
    assert_eq!(asks(&api, CLOSED).await, 200);
    let took = started.elapsed();
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(2), "{took:?}");
    api.finish().await;
}

#[tokio::test]
async fn a_stream_that_never_opened_is_tried_again_a_moment_later_and_not_for_ever() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let started = Instant::now();
    assert_eq!(asks(&api, NEVER_OPENED).await, 200);
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
    sqlx::query("update calls set sent_back = 7").execute(&api.db).await.unwrap();
    assert_eq!(asks(&api, NEVER_OPENED).await, 200);
    assert_eq!(asks(&api, NEVER_OPENED).await, 302);
    api.finish().await;
}

#[tokio::test]
async fn two_questions_at_once_do_not_pass_the_bound_together() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    sqlx::query("update calls set sent_back = 7").execute(&api.db).await.unwrap();
    let mut answers = <[u16; 2]>::from(tokio::join!(asks(&api, BROKE), asks(&api, BROKE)));
    answers.sort_unstable();
    assert_eq!(answers, [200, 302]);
    api.finish().await;
}

#[tokio::test]
async fn a_conversation_that_broke_too_often_or_too_late_is_let_go() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    sqlx::query("update streams set resumptions = 5").execute(&api.db).await.unwrap();
    assert_eq!(asks(&api, BROKE).await, 302);
    sqlx::query("update streams set resumptions = 0, ends_by = now()").execute(&api.db).await.unwrap();
    assert_eq!(asks(&api, BROKE).await, 302);
    sqlx::query("update streams set ends_by = null").execute(&api.db).await.unwrap();
    sqlx::query("update calls set status = 'completed'").execute(&api.db).await.unwrap();
    assert_eq!(asks(&api, BROKE).await, 302);
    sqlx::query("delete from calls").execute(&api.db).await.unwrap();
    assert_eq!(asks(&api, BROKE).await, 302, "nobody knows this call");
    api.finish().await;
}

#[tokio::test]
async fn what_a_flow_says_is_kept_once_and_the_streams_of_a_call_add_up() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    sqlx::query("update calls set carrier_call_id = null").execute(&api.db).await.unwrap();
    let stream = "%7B%22Status%22%3A%22cancelled%22%2C%22Duration%22%3A%2212%22%2C%22DisconnectedBy%22%3A%22user%22%2C\
        %22RecordingUrl%22%3A%22https%3A%2F%2Frecordings.exotel.com%2F2.mp3%22%7D";
    let about = format!(
        "&CustomField=%22ref-1%22&Direction=outbound-dial&digits=%228%22&EndTime=1970-01-01+05%3A30%3A00&Stream={stream}"
    );
    let seconds = || async {
        let seconds: Option<i32> = sqlx::query_scalar("select duration_seconds from calls where id = $1")
            .bind(call)
            .fetch_one(&api.db)
            .await
            .unwrap();
        seconds
    };
    assert_eq!(asks(&api, &format!("{about}&CurrentTime=1")).await, 302);
    eventually(async || (seconds().await == Some(12)).then_some(())).await;
    assert_eq!(
        api.number("select count(*) from calls where status = 'in_progress' and carrier_call_id = 'sid-1'").await,
        1
    );
    assert_eq!(api.number("select count(*) from recordings where source_url like '%/2.mp3'").await, 1);
    // Asked once more, a second later, it is the same question; the next stream's is another.
    let again = format!("/passthru-handler?secret={SECRET}&CallSid=sid-1{about}&CurrentTime=2");
    assert_eq!(api.send(Request::post(&again).body(Body::empty()).unwrap()).await.status, 302);
    asks(&api, &format!("{LEFT}&Stream%5BDuration%5D=30")).await;
    eventually(async || (seconds().await == Some(42)).then_some(())).await;
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook'").await, 2);
    // Once the carrier has counted the whole call, that holds.
    sqlx::query("update calls set status = 'completed', duration_seconds = 44").execute(&api.db).await.unwrap();
    asks(&api, &format!("{LEFT}&Stream%5BDuration%5D=31")).await;
    eventually(async || {
        let applied = "select count(*) from call_events where kind = 'webhook' and applied_at is not null";
        (api.number(applied).await == 3).then_some(())
    })
    .await;
    assert_eq!(seconds().await, Some(44));
    api.finish().await;
}

#[tokio::test]
async fn a_flow_is_answered_within_two_seconds_of_a_database_that_does_not_answer() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "s1").await;
    let mut blocker = api.db.begin().await.unwrap();
    sqlx::query("lock table call_events, calls in access exclusive mode").execute(&mut *blocker).await.unwrap();
    for (about, expected) in [(BROKE, 200), (CLOSED, 302), (NEVER_OPENED, 302), ("", 302), (LEFT, 302)] {
        let started = Instant::now();
        assert_eq!(asks(&api, about).await, expected, "{about}");
        assert!(started.elapsed() < Duration::from_secs(2), "{about} {:?}", started.elapsed());
    }
    blocker.rollback().await.unwrap();
    // What was asked meanwhile is kept all the same.
    eventually(async || {
        (api.number("select count(*) from call_events where kind = 'webhook' and applied_at is not null").await == 5)
            .then_some(())
    })
    .await;
    api.finish().await;
}
