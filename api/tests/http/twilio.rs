//! What Twilio asks and tells: only what it signed is taken, once each, and a call is connected again only if it was broken off.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use shared::id::{CallId, MessageId};
use shared::outgoing_message;
use shared::stream::{self, NewStream};
use url::form_urlencoded::Serializer;

use crate::harness::{Answer, TWILIO_TOKEN, TestApi, eventually, monday};

/// As Twilio does it: the whole address, then each field's name and value in the order of the names.
fn sign(address: &str, fields: &[(&str, &str)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text = sorted.iter().fold(address.to_owned(), |text, (name, value)| text + name + value);
    let mut mac = Hmac::<Sha1>::new_from_slice(TWILIO_TOKEN.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

async fn send(api: &TestApi, path: &str, fields: &[(&str, &str)], signature: &str) -> Answer {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-twilio-signature", signature)
        .body(Body::from(body));
    api.send(request.unwrap()).await
}

/// A request of Twilio's own.
pub async fn twilio(api: &TestApi, path: &str, fields: &[(&str, &str)]) -> Answer {
    let path = format!("/webhooks/twilio/{path}");
    send(api, &path, fields, &sign(&format!("https://api.example{path}"), fields)).await
}

/// A call that is being dialed through Twilio as `ref-1`.
pub async fn dialed(api: &TestApi) -> i64 {
    let campaign = api.create_campaign(serde_json::json!({"name": "C"})).await;
    let lead = api.add_lead(campaign, "+919999900101", "Priyamvada").await;
    let call = api.add_call(lead, "ref-1").await;
    sqlx::query("update calls set carrier = 'twilio'").execute(&api.db).await.unwrap();
    call
}

async fn status(api: &TestApi) -> (String, Option<String>, Option<i32>) {
    sqlx::query_as("select status, answered_by, duration_seconds from calls").fetch_one(&api.db).await.unwrap()
}

async fn begins(api: &TestApi, call: i64, stream_sid: &str) {
    let stream = NewStream { stream_sid, instance: "media-1", longest_call: Duration::from_secs(600) };
    let mut tx = api.db.begin().await.unwrap();
    assert!(stream::begin(&mut tx, CallId(call), &stream, monday()).await.unwrap().is_some());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_twilio_did_not_sign_is_refused_and_not_kept() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let path = "/webhooks/twilio/status?reference=ref-1";
    let fields = [("CallSid", "CA1"), ("CallStatus", "completed")];
    let genuine = sign(&format!("https://api.example{path}"), &fields);
    let elsewhere = sign("https://api.example/webhooks/twilio/status?reference=ref-2", &fields);
    let forged = [("CallSid", "CA1"), ("CallStatus", "failed")];
    for (fields, signature) in
        [(fields, ""), (fields, "bm8="), (fields, elsewhere.as_str()), (forged, genuine.as_str())]
    {
        assert_eq!(
            send(&api, path, &fields, signature).await.refusal(),
            (403, "wrong_signature".into()),
            "{signature}"
        );
    }
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook'").await, 0);
    assert_eq!(send(&api, path, &fields, &genuine).await.status, 200);
    assert_eq!(status(&api).await.0, "completed");
    api.finish().await;
}

#[tokio::test]
async fn a_call_rises_through_its_events_whatever_their_order_and_number() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let ringing = [("CallSid", "CA1"), ("CallStatus", "ringing"), ("SequenceNumber", "1")];
    let over = [
        ("CallSid", "CA1"),
        ("CallStatus", "completed"),
        ("CallDuration", "49"),
        ("Duration", "1"),
        ("SequenceNumber", "3"),
    ];
    for fields in [&over[..], &ringing, &over] {
        assert_eq!(twilio(&api, "status?reference=ref-1", fields).await.status, 200);
    }
    assert_eq!(status(&api).await, ("completed".into(), None, Some(49)));
    assert_eq!(api.number("select count(*) from call_events where kind = 'webhook'").await, 2);
    // Another call's news under this call's name is kept, and changes nothing.
    let other = [("CallSid", "CA2"), ("CallStatus", "busy")];
    assert_eq!(twilio(&api, "status?reference=ref-1", &other).await.status, 200);
    assert_eq!(api.number("select count(*) from call_events where kind = 'carrier_call_conflict'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn machines_and_recordings_are_noted_with_their_call() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let machine = [("CallSid", "CA1"), ("AnsweredBy", "machine_start"), ("MachineDetectionDuration", "4120")];
    assert_eq!(twilio(&api, "machine-detection?reference=ref-1", &machine).await.status, 200);
    assert_eq!(status(&api).await, ("dialing".into(), Some("machine".into()), None));
    let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
    let recorded =
        [("CallSid", "CA1"), ("RecordingSid", "RE1"), ("RecordingStatus", "completed"), ("RecordingUrl", url)];
    assert_eq!(twilio(&api, "recording?reference=ref-1", &recorded).await.status, 200);
    assert_eq!(api.number("select count(*) from recordings where source_url like '%/RE1.mp3'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn an_answered_call_is_connected_to_its_voice_agent_and_known_by_its_id() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let asked = [("CallSid", "CA1"), ("CallStatus", "in-progress"), ("Direction", "outbound-api")];
    let answer = twilio(&api, "voice?reference=ref-1", &asked).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()),
        (200, "text/xml; charset=utf-8")
    );
    assert_eq!(
        answer.text(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"wss://media.example/twilio/media\">\
         <Parameter name=\"reference\" value=\"ref-1\"/></Stream></Connect><Redirect method=\"POST\">\
         https://api.example/webhooks/twilio/voice?reference=ref-1&amp;round=1</Redirect></Response>"
    );
    eventually(async || {
        let known = "select count(*) from calls where carrier_call_id = 'CA1' and status = 'in_progress'";
        (api.number(known).await == 1).then_some(())
    })
    .await;
    // Somebody calls us: there is no campaign for them.
    let inbound = [("CallSid", "CA9"), ("CallStatus", "ringing"), ("Direction", "inbound")];
    assert!(twilio(&api, "voice", &inbound).await.text().ends_with("<Response><Hangup/></Response>"));
    api.finish().await;
}

#[tokio::test]
async fn after_its_stream_a_call_goes_back_if_it_was_broken_off_and_ends_if_it_is_over() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    let asked = [("CallSid", "CA1"), ("CallStatus", "in-progress")];
    let asks = async |round: i32| twilio(&api, &format!("voice?reference=ref-1&round={round}"), &asked).await.text();
    assert!(asks(1).await.contains("round=2"), "its stream never reached us");
    begins(&api, call, "MZ1").await;
    let again = asks(2).await;
    assert!(again.contains("<Connect>") && again.contains("round=3"), "nobody ended it: its process died; {again}");
    begins(&api, call, "MZ2").await;
    stream::end(&api.db, CallId(call), "MZ2", "handed_over", monday()).await.unwrap();
    assert!(asks(3).await.contains("<Connect>"), "another process takes it");
    begins(&api, call, "MZ3").await;
    stream::end(&api.db, CallId(call), "MZ3", "agent_finished", monday()).await.unwrap();
    assert!(asks(4).await.ends_with("<Response><Hangup/></Response>"), "the agent had said goodbye");
    api.finish().await;
}

#[tokio::test]
async fn a_human_who_was_promised_is_dialed_behind_the_stream() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    sqlx::query("update voice_agent_versions set settings = settings || '{\"transfer_to\": [\"+919811100001\"]}'")
        .execute(&api.db)
        .await
        .unwrap();
    begins(&api, call, "MZ1").await;
    stream::end(&api.db, CallId(call), "MZ1", "transfer_to_human", monday()).await.unwrap();
    let asked = [("CallSid", "CA1"), ("CallStatus", "in-progress"), ("From", "+14155550100")];
    let answer = twilio(&api, "voice?reference=ref-1&round=1", &asked).await.text();
    let dial = "<Dial sequential=\"true\" timeout=\"25\" timeLimit=\"3600\" action=\"https://api.example/webhooks/twilio/dialed?reference=ref-1\" method=\"POST\" callerId=\"+14155550100\"><Number url=\"https://api.example/webhooks/twilio/whisper?reference=ref-1\">+919811100001</Number></Dial></Response>";
    assert!(answer.ends_with(dial), "{answer}");
    assert_eq!(status(&api).await.0, "in_progress", "nobody has picked up");
    let whispered =
        twilio(&api, "whisper?reference=ref-1", &[("CallSid", "CA2"), ("ParentCallSid", "CA1")]).await.text();
    assert!(whispered.contains("Priyamvada, from your campaign C."), "{whispered}");
    assert_eq!(status(&api).await.0, "transferred");
    let over = [("CallSid", "CA1"), ("CallStatus", "in-progress"), ("DialCallStatus", "completed")];
    let answer = twilio(&api, "dialed?reference=ref-1", &over).await.text();
    assert!(answer.ends_with("<Response><Hangup/></Response>"), "{answer}");
    assert_eq!(api.number("select count(*) from call_events where kind = 'transferred'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn whoever_is_put_through_to_nobody_hears_so_in_their_language_and_is_to_be_called_back() {
    for (language, regret) in [("en-IN", "nobody could take the call"), ("Hindi", "वापस कॉल")] {
        let api = TestApi::start().await;
        let call = dialed(&api).await;
        sqlx::query("update leads set language = $1").bind(language).execute(&api.db).await.unwrap();
        begins(&api, call, "MZ1").await;
        stream::end(&api.db, CallId(call), "MZ1", "transfer_to_human", monday()).await.unwrap();
        let left = [("CallSid", "CA1"), ("CallStatus", "completed"), ("DialCallStatus", "canceled")];
        let answer = twilio(&api, "dialed?reference=ref-1", &left).await.text();
        assert!(answer.ends_with("<Response><Hangup/></Response>"), "they hung up while it rang; {answer}");
        let nobody = [("CallSid", "CA1"), ("CallStatus", "in-progress"), ("DialCallStatus", "no-answer")];
        for _ in 0..2 {
            let answer = twilio(&api, "dialed?reference=ref-1", &nobody).await.text();
            assert!(answer.contains(regret) && answer.ends_with("<Hangup/></Response>"), "{answer}");
        }
        eventually(async || {
            (api.number("select count(*) from call_events where kind = 'transfer_failed'").await == 1).then_some(())
        })
        .await;
        let wish: (String, String) = sqlx::query_as("select live_disposition, callback_text from conversations")
            .fetch_one(&api.db)
            .await
            .unwrap();
        assert_eq!(wish.0, "callback_requested");
        assert_eq!(status(&api).await.0, "in_progress");
        let path = "/webhooks/twilio/dialed?reference=ref-1";
        assert_eq!(send(&api, path, &nobody, "bm8=").await.refusal().1, "wrong_signature");
        api.finish().await;
    }
}

#[tokio::test]
async fn what_twilio_cannot_go_on_with_ends_with_a_word() {
    let api = TestApi::start().await;
    let answer = twilio(&api, "fallback?reference=ref-1", &[("CallSid", "CA1"), ("ErrorCode", "11200")]).await.text();
    assert!(
        answer.contains("something went wrong on our side") && answer.ends_with("<Hangup/></Response>"),
        "{answer}"
    );
    api.finish().await;
}

#[tokio::test]
async fn a_stop_that_is_texted_to_the_number_takes_effect_with_its_answer() {
    let api = TestApi::start().await;
    dialed(&api).await;
    let stop = [("MessageSid", "SM1"), ("From", "+919999900101"), ("To", "+14155550100"), ("Body", "Stop")];
    assert_eq!(send(&api, "/webhooks/twilio/sms", &stop, "bm8=").await.refusal().1, "wrong_signature");
    assert_eq!(api.number("select count(*) from messages").await, 0);
    for _ in 0..2 {
        let answer = twilio(&api, "sms", &stop).await;
        assert!(answer.text().ends_with("<Response></Response>"), "{}", answer.text());
    }
    assert_eq!(api.number("select count(*) from messages where carrier = 'twilio'").await, 1);
    assert_eq!(
        api.number("select count(*) from do_not_call where phone = '+919999900101' and source = 'sms'").await,
        1
    );
    let start = [("MessageSid", "SM2"), ("From", "+919999900101"), ("To", "+14155550100"), ("Body", "START")];
    twilio(&api, "sms", &start).await;
    assert_eq!(api.number("select count(*) from do_not_call").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn a_text_that_twilio_does_not_deliver_to_who_has_opted_out_is_a_stop() {
    let api = TestApi::start().await;
    let call = CallId(dialed(&api).await);
    let mut db = api.db.acquire().await.unwrap();
    outgoing_message::request(&mut db, call, "brochure", "Here it is.", None, monday()).await.unwrap();
    let id = MessageId(api.number("select id from messages").await);
    outgoing_message::begin(&mut db, id, monday()).await.unwrap().unwrap();
    outgoing_message::sent(&mut db, id, "SM9", monday()).await.unwrap();
    drop(db);
    let failed = [("MessageSid", "SM9"), ("MessageStatus", "undelivered"), ("ErrorCode", "21610")];
    assert_eq!(twilio(&api, "sms-status", &failed).await.status, 200);
    assert_eq!(api.number("select count(*) from do_not_call where source = 'sms'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn a_call_is_not_connected_for_ever() {
    let api = TestApi::start().await;
    let call = dialed(&api).await;
    begins(&api, call, "MZ1").await;
    let asked = [("CallSid", "CA1"), ("CallStatus", "in-progress")];
    for round in ["8", "many"] {
        let answer = twilio(&api, &format!("voice?reference=ref-1&round={round}"), &asked).await;
        assert!(answer.text().ends_with("<Hangup/></Response>"), "{round}");
    }
    api.finish().await;
}
