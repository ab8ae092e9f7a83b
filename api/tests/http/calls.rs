//! Calls whole, their recordings, exports and numbers.

use std::io::Cursor;

use axum::body::Body;
use axum::http::Request;
use calamine::{Reader, Xlsx};
use serde_json::json;

use crate::harness::{TestApi, monday};

/// An answered call with a transcript; its lead's name is a formula.
pub async fn conversation(api: &TestApi) -> (i64, i64) {
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    let lead = api.add_lead(campaign, "+919845012345", "=HYPERLINK(\"http://evil\")").await;
    let call = api.add_call(lead, "ref-1").await;
    sqlx::query(
        "update calls set status = 'completed', answered_at = $2, ended_at = $2, duration_seconds = 42,
            hangup_cause = 'callee_hung_up' where id = $1",
    )
    .bind(call)
    .bind(monday())
    .execute(&api.db)
    .await
    .unwrap();
    for (seq, role, text, stages) in [
        (1, "agent", "Hello, this is Asha.", json!({})),
        (2, "callee", "Who is this?", json!({})),
        (3, "agent", "Asha, from Trunkline.", json!({"speech_end": 2000, "first_frame_sent": 2700})),
    ] {
        sqlx::query(
            "insert into turns (account_id, call_id, seq, role, text, started_ms, ended_ms, stages)
             select account_id, id, $2, $3, $4, 0, 1, $5 from calls where id = $1",
        )
        .bind(call)
        .bind(seq)
        .bind(role)
        .bind(text)
        .bind(stages)
        .execute(&api.db)
        .await
        .unwrap();
    }
    sqlx::query(
        "insert into conversations (call_id, account_id, answers, summary, disposition, summary_status, score, lead_qualified)
         select id, account_id, '{\"budget\": \"80 lakh\"}', '+ wants a flat', 'qualified', 'completed', 80, true
         from calls where id = $1",
    )
    .bind(call)
    .execute(&api.db)
    .await
    .unwrap();
    sqlx::query("update leads set status = 'done', disposition = 'qualified' where id = $1")
        .bind(lead)
        .execute(&api.db)
        .await
        .unwrap();
    (campaign, call)
}

#[tokio::test]
async fn a_call_is_told_whole() {
    let api = TestApi::start().await;
    let (campaign, call) = conversation(&api).await;
    let listed = api.get(&format!("/calls?campaign_id={campaign}&status=completed")).await.json();
    assert_eq!((&listed["calls"][0]["id"], &listed["calls"][0]["disposition"]), (&json!(call), &json!("qualified")));
    assert_eq!(api.get("/calls?status=busy").await.json()["calls"], json!([]));
    let whole = api.get(&format!("/calls/{call}")).await.json();
    for (field, value) in [
        ("status", json!("completed")),
        ("attempt", json!(1)),
        ("duration_seconds", json!(42)),
        ("disposition", json!("qualified")),
        ("summary", json!("+ wants a flat")),
        ("score", json!(80)),
        ("lead_qualified", json!(true)),
        ("answers", json!({"budget": "80 lakh"})),
    ] {
        assert_eq!(whole[field], value, "{field}");
    }
    assert_eq!(whole["transcript"][1]["text"], "Who is this?");
    assert_eq!(whole["transcript"][2]["reply_latency_ms"], 700);

    let numbers = api.get(&format!("/analytics/campaign/{campaign}")).await.json();
    for (field, value) in [
        ("total_calls", json!(1)),
        ("answered_calls", json!(1)),
        ("answer_rate", json!(1.0)),
        ("leads_qualified", json!(1)),
        ("total_duration_seconds", json!(42)),
        ("dispositions", json!({"qualified": 1})),
        ("calls_by_status", json!({"completed": 1})),
        ("hangup_causes", json!({"callee_hung_up": 1})),
        ("by_attempt", json!([{"attempt": 1, "calls": 1, "answered": 1}])),
        ("calls_by_hour", json!([{"hour": 11, "calls": 1, "answered": 1}])),
        ("calls_by_day", json!([{"date": "2026-11-23", "count": 1, "answered": 1}])),
    ] {
        assert_eq!(numbers[field], value, "{field}");
    }
    assert_eq!(numbers["reply_latency"]["p50_ms"], 700.0);
    api.finish().await;
}

#[tokio::test]
async fn an_export_runs_nothing_in_a_spreadsheet_and_has_the_transcript() {
    let api = TestApi::start().await;
    let (campaign, call) = conversation(&api).await;
    let transcript = "agent: Hello, this is Asha.\ncallee: Who is this?\nagent: Asha, from Trunkline.";

    let csv = api.get(&format!("/exports/calls/{campaign}")).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let text = csv.text();
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let mut column = |name: &str| reader.headers().unwrap().iter().position(|header| header == name).unwrap();
    let (name, phone, summary, said) = (column("lead_name"), column("phone"), column("summary"), column("transcript"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(&rows[0][name], "'=HYPERLINK(\"http://evil\")");
    assert_eq!(&rows[0][summary], "'+ wants a flat");
    assert_eq!(&rows[0][phone], "+919845012345");
    assert_eq!(&rows[0][said], transcript);

    let json = api.get(&format!("/exports/calls/{campaign}?format=json")).await.json();
    assert_eq!((&json["calls"][0]["call_id"], &json["calls"][0]["transcript"]), (&json!(call), &json!(transcript)));

    let xlsx = api.get(&format!("/exports/calls/{campaign}?format=xlsx")).await;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(xlsx.bytes)).unwrap();
    let sheet = book.worksheet_range("Calls").unwrap();
    assert_eq!(sheet.height(), 2);
    assert_eq!(sheet.get((1, name)).unwrap().to_string(), "=HYPERLINK(\"http://evil\")");
    assert!(book.worksheet_formula("Calls").unwrap().is_empty(), "the text is no formula");
    assert_eq!(api.get(&format!("/exports/calls/{campaign}?format=pdf")).await.refusal().0, 400);
    api.finish().await;
}

#[tokio::test]
async fn a_recording_is_served_whole_and_in_parts() {
    let api = TestApi::start().await;
    let (_, call) = conversation(&api).await;
    let path = format!("/calls/{call}/recording");
    assert_eq!(api.get(&path).await.refusal(), (404, "recording_not_available".into()));
    api.app.storage.put("recordings/1.mp3", bytes::Bytes::from_static(b"0123456789")).await.unwrap();
    sqlx::query(
        "insert into recordings (call_id, account_id, source_url, status, object_key, content_type)
         select id, account_id, 'https://carrier/1.mp3', 'stored', 'recordings/1.mp3', 'audio/mpeg' from calls where id = $1",
    )
    .bind(call)
    .execute(&api.db)
    .await
    .unwrap();
    let whole = api.get(&path).await;
    assert_eq!((whole.status.as_u16(), whole.text().as_str()), (200, "0123456789"));
    assert_eq!(whole.headers["content-type"], "audio/mpeg");
    let part = |range: &'static str| {
        let request = Request::get(&path).header("authorization", format!("Bearer {}", api.key)).header("range", range);
        api.send(request.body(Body::empty()).unwrap())
    };
    let middle = part("bytes=2-4").await;
    assert_eq!((middle.status.as_u16(), middle.text().as_str()), (206, "234"));
    assert_eq!(middle.headers["content-range"], "bytes 2-4/10");
    assert_eq!(part("bytes=20-").await.refusal().0, 416);
    let detail = api.get(&format!("/calls/{call}")).await.json();
    assert_eq!(detail["recording_url"], format!("https://api.example{path}"));
    assert!(!detail.to_string().contains("https://carrier/"), "the carrier's own address stays inside");
    api.finish().await;
}

#[tokio::test]
async fn a_number_on_the_list_suppresses_its_waiting_leads() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Calls"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let bad = api.post("/do-not-call", json!({"phones": ["98450 12345", "12"]})).await;
    assert_eq!(bad.json()["errors"][0]["pointer"], "/phones/1");
    let added = api.post("/do-not-call", json!({"phone": "098450 12345", "reason": "asked by mail"})).await.json();
    assert_eq!(added["phones"], json!(["+919845012345"]));
    assert_eq!(api.number("select count(*) from leads where suppression_reason = 'do_not_call'").await, 1);
    let listed = api.get("/do-not-call?phone=9845012345").await.json();
    assert_eq!(listed["entries"][0]["reason"], "asked by mail");
    assert_eq!(api.call("DELETE", "/do-not-call?phone=+919845012345", None).await.status, 204);
    assert_eq!(api.call("DELETE", "/do-not-call?phone=%2B919845012345", None).await.refusal().0, 404);
    api.finish().await;
}

#[tokio::test]
async fn an_edited_voice_agent_is_a_new_version() {
    let api = TestApi::start().await;
    let made = api.post("/voice-agents", json!({"name": "Sales", "settings": {"agent_name": "Meera"}})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!((&made.json()["version"], &made.json()["settings"]["language"]), (&json!(1), &json!("en-IN")));
    let edited = api.call("PUT", &path, Some(json!({"settings": {"language": "hi-IN"}}))).await.json();
    assert_eq!((&edited["version"], &edited["name"]), (&json!(2), &json!("Sales")));
    assert_eq!((&edited["settings"]["language"], &edited["settings"]["agent_name"]), (&json!("hi-IN"), &json!("Asha")));
    assert_eq!(api.get(&path).await.json(), edited);
    let wrong = api.call("PUT", &path, Some(json!({"settings": {"voice": "x"}}))).await.json();
    assert_eq!(wrong["errors"][0]["pointer"], "/settings/voice", "{wrong}");
    let advisors = json!({"settings": {"transfer_to": ["080 4718 0001", "the front desk"]}});
    let wrong = api.call("PUT", &path, Some(advisors)).await.json();
    assert_eq!(wrong["errors"][0]["pointer"], "/settings/transfer_to/1", "{wrong}");
    let pointers = |problem: &serde_json::Value| {
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let languages = json!({"settings": {"language": "Hindi", "languages": ["ta-IN", "klingon"], "greetings": {"hi-IN": "x", "zz": "y"}}});
    let wrong = api.call("PUT", &path, Some(languages)).await.json();
    assert_eq!(pointers(&wrong), ["/settings/language", "/settings/languages/1", "/settings/greetings/zz"], "{wrong}");
    let tool = |name: &str, url: &str| json!({"name": name, "description": "Is it free?", "url": url});
    let tools = json!({"settings": {"tools": [tool("check", "https://10.0.0.1/"), tool("check", "https://example.com/"),
        tool("end_call", "https://example.com/")]}});
    let wrong = api.call("PUT", &path, Some(tools)).await.json();
    assert_eq!(
        pointers(&wrong),
        ["/settings/tools/0/url", "/settings/tools/1/name", "/settings/tools/2/name"],
        "{wrong}"
    );
    assert_eq!(api.number("select count(*) from voice_agent_versions").await, 2);
    let good = json!({"settings": {"languages": ["hi-IN", "hi-en"], "tools": [tool("check", "https://example.com/")]}});
    let made = api.call("PUT", &path, Some(good)).await.json();
    assert_eq!(made["settings"]["tools"][0]["timeout_ms"], 4_000, "{made}");
    let secret = api.get("/account/tool-secret").await.json()["tool_secret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 64, "and not the installation's own");
    api.finish().await;
}
