//! What the carrier refuses, and the answers that never come.

use super::*;

const URL: &str = "http://my.exotel.com/sandbox1/exoml/start_voice/1001";

async fn configured() -> Carrier {
    let carrier = Carrier::start().await;
    carrier.flow(json!({"voicebot_url": "ws://127.0.0.1:9/none"})).await;
    carrier.script(json!([[{"do": "ring", "ms": 100}, {"do": "busy"}]])).await;
    carrier
}

#[tokio::test]
async fn credentials_account_and_parameters_are_checked() {
    let carrier = configured().await;
    let place = |key: &'static str, account: &'static str| {
        let url = format!("{}/v1/Accounts/{account}/Calls/connect.json", carrier.running.url());
        carrier.http.post(url).basic_auth(key, Some("sandbox-token")).form(&[("From", PHONE)]).send()
    };
    assert_eq!(place("wrong", "sandbox1").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(place("sandbox-key", "other").await.unwrap().status(), StatusCode::NOT_FOUND);

    for (fields, message) in [
        (vec![("CallerId", "08047112233"), ("Url", URL)], "From is required"),
        (vec![("From", "12"), ("CallerId", "08047112233"), ("Url", URL)], "Invalid parameter From"),
        (vec![("From", PHONE), ("CallerId", "08011111111"), ("Url", URL)], "CallerId is not an ExoPhone"),
        (vec![("From", PHONE), ("CallerId", "08047112233"), ("Url", "http://bot.example/")], "Invalid parameter Url"),
        (vec![("From", PHONE), ("CallerId", "08047112233"), ("StreamUrl", "http://127.0.0.1/")], "StreamUrl"),
        (vec![("From", PHONE), ("CallerId", "08047112233"), ("StreamUrl", "ws://127.0.0.1/")], "StreamType"),
        (vec![("From", PHONE), ("CallerId", "08047112233"), ("To", PHONE)], "not supported"),
    ] {
        let answer = carrier.request(&fields).await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let body: Value = answer.json().await.unwrap();
        let said = body["RestException"]["Message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
    }
    assert!(carrier.running.world.exotel.calls().is_empty());
}

#[tokio::test]
async fn refusals_have_the_carriers_words() {
    let carrier = configured().await;
    let fields = [("From", PHONE), ("CallerId", "+918047112233"), ("Url", URL)];
    for (fault, status) in [("rate_limited", 429), ("server_error", 503), ("insufficient_balance", 402)] {
        carrier.arm(fault, Value::Null);
        assert_eq!(carrier.request(&fields).await.unwrap().status().as_u16(), status, "{fault}");
    }
    carrier.script(json!([[{"do": "refuse_dnd"}]])).await;
    let answer = carrier.request(&fields).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.text().await.unwrap().contains("because of TRAI NDNC regulations"));
    assert!(carrier.running.world.exotel.calls().is_empty());
}

#[tokio::test]
async fn a_call_may_be_placed_although_no_answer_says_so() {
    let carrier = configured().await;
    let fields = [("From", PHONE), ("CallerId", "08047112233"), ("Url", URL)];
    carrier.arm("accepted_no_reply", json!(50));
    assert!(carrier.request(&fields).await.is_err());
    carrier.arm("accepted_5xx", json!(504));
    assert_eq!(carrier.request(&fields).await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    carrier.arm("empty_body", Value::Null);
    assert_eq!(carrier.request(&fields).await.unwrap().text().await.unwrap(), "");
    assert_eq!(carrier.running.world.exotel.calls().len(), 3);

    let list = carrier
        .http
        .get(carrier.url("Calls.json?From=09999955501&PageSize=2&SortBy=DateCreated:asc"))
        .basic_auth("sandbox-key", Some("sandbox-token"))
        .send()
        .await
        .unwrap();
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["Metadata"]["Total"], 3);
    assert_eq!(list["Calls"].as_array().unwrap().len(), 2);
    let next = format!("{}{}", carrier.running.url(), list["Metadata"]["NextPageUri"].as_str().unwrap());
    let page = carrier.http.get(next).basic_auth("sandbox-key", Some("sandbox-token")).send().await.unwrap();
    let page: Value = page.json().await.unwrap();
    assert_eq!(page["Calls"].as_array().unwrap().len(), 1);
    assert_eq!(page["Metadata"]["NextPageUri"], Value::Null);
}

#[tokio::test]
async fn multipart_and_xml_work_as_in_the_official_examples() {
    let carrier = configured().await;
    let form = reqwest::multipart::Form::new().text("From", PHONE).text("CallerId", "08047112233").text("Url", URL);
    let answer = carrier
        .http
        .post(carrier.url("Calls/connect"))
        .basic_auth("sandbox-key", Some("sandbox-token"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    let body = answer.text().await.unwrap();
    assert!(body.contains("<TwilioResponse><Call>") && body.contains("<Status>in-progress</Status>"), "{body}");
}

#[tokio::test]
async fn the_rate_limit_is_a_rolling_minute() {
    let settings = Settings { port: 0, tones: true, requests_per_minute: 3, ..Settings::default() };
    let carrier = Carrier { running: serve(settings).await.unwrap(), http: reqwest::Client::new() };
    for expected in [200, 200, 200, 429] {
        let request = carrier.http.get(carrier.url("Calls.json"));
        let answer = request.basic_auth("sandbox-key", Some("sandbox-token")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
    }
}

#[tokio::test]
async fn only_loopback_is_served() {
    let settings = Settings { host: [0, 0, 0, 0].into(), port: 0, ..Settings::default() };
    assert!(serve(settings).await.is_err());
}

#[tokio::test]
async fn a_message_needs_its_registration_and_is_then_delivered() {
    let carrier = configured().await;
    let send = async |entity: &str| {
        let fields = [("From", "EXOTEL"), ("To", PHONE), ("Body", "Site visit on Saturday"), ("DltEntityId", entity)];
        let request = carrier.http.post(carrier.url("Sms/send.json"));
        request.basic_auth("sandbox-key", Some("sandbox-token")).form(&fields).send().await.unwrap()
    };
    assert_eq!(send("").await.status(), StatusCode::BAD_REQUEST);
    let taken: Value = send("1101").await.json().await.unwrap();
    assert_eq!(taken["SMSMessage"]["Status"], "queued");
    let url = carrier.url(&format!("SMS/Messages/{}.json", taken["SMSMessage"]["Sid"].as_str().unwrap()));
    eventually("delivery", async || {
        let request = carrier.http.get(&url).basic_auth("sandbox-key", Some("sandbox-token"));
        let message: Value = request.send().await.unwrap().json().await.unwrap();
        (message["SMSMessage"]["Status"] == "sent").then_some(())
    })
    .await;
}
