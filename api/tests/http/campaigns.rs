//! A campaign's settings and its life.

use serde_json::{Value, json};

use crate::harness::TestApi;

#[tokio::test]
async fn a_campaign_has_the_published_fields_and_defaults() {
    let api = TestApi::start().await;
    let answer = api
        .post("/campaigns", json!({"name": "Test Campaign", "max_attempts_per_lead": 3, "calling_hours_start": 10, "calling_hours_end": 19}))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["location"], "/campaigns/1");
    let campaign = answer.json();
    for (field, value) in [
        ("id", json!(1)),
        ("name", json!("Test Campaign")),
        ("status", json!("draft")),
        ("max_attempts_per_lead", json!(3)),
        ("calling_hours_start", json!(10)),
        ("calling_hours_end", json!(19)),
        ("max_concurrent_calls", json!(10)),
        ("time_zone", json!("Asia/Kolkata")),
        ("record", json!(true)),
        ("leads", json!({"total": 0})),
    ] {
        assert_eq!(campaign[field], value, "{field}");
    }
    assert_eq!(campaign["calling_hours"]["sat"], json!([["10:00", "19:00"]]));
    assert_eq!(campaign["calling_hours"]["sun"], Value::Null);
    assert_eq!(campaign["retry_policy"]["no_answer_minutes"], 120);
    assert_eq!(api.get("/campaigns/1").await.json(), campaign);
    api.finish().await;
}

#[tokio::test]
async fn every_mistake_is_told_at_once_and_where_it_is() {
    let api = TestApi::start().await;
    let body = json!({
        "nmae": "x", "calling_hours_start": 19, "calling_hours_end": 10, "time_zone": "Asia/Bangalore",
        "retry_policy": {"busy_minutes": 0}, "holidays": ["2026-13-01"], "voice_agent_id": 99, "calls_per_second": -1,
        "scheduled_start_at": "tomorrow", "max_concurrent_calls": 0, "record": "yes"
    });
    let answer = api.post("/campaigns", body).await;
    assert_eq!(answer.refusal(), (422, "invalid_request".into()));
    let problem = answer.json();
    let told: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    for expected in [
        ("/name", "required"),
        ("/nmae", "unknown_field"),
        ("/calling_hours_end", "reversed"),
        ("/time_zone", "unknown_time_zone"),
        ("/retry_policy/busy_minutes", "invalid_value"),
        ("/holidays/0", "invalid_value"),
        ("/voice_agent_id", "unknown_voice_agent"),
        ("/calls_per_second", "out_of_range"),
        ("/scheduled_start_at", "not_a_time"),
        ("/max_concurrent_calls", "out_of_range"),
        ("/record", "invalid_value"),
    ] {
        assert!(told.contains(&expected), "{expected:?} is not among {told:#?}");
    }
    assert_eq!(told.len(), 11, "{told:#?}");
    assert_eq!(api.number("select count(*) from campaigns").await, 0);
    api.finish().await;
}

#[tokio::test]
async fn hours_per_day_are_read_with_the_place_of_a_mistake() {
    let api = TestApi::start().await;
    let hours = |hours: Value| json!({"name": "x", "calling_hours": hours});
    for (given, pointer) in [
        (json!({"mon": [["10:00", "25:00"]]}), "/calling_hours/mon/0/1"),
        (json!({"funday": []}), "/calling_hours/funday"),
        (json!({"mon": [["10:00"]]}), "/calling_hours/mon/0"),
        (json!({"mon": []}), "/calling_hours"),
    ] {
        let problem = api.post("/campaigns", hours(given.clone())).await.json();
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{given}: {problem}");
    }
    let both = json!({"name": "x", "calling_hours": {"mon": [["10:00", "12:00"]]}, "calling_hours_start": 9});
    assert_eq!(api.post("/campaigns", both).await.json()["errors"][0]["code"], "conflicting_fields");
    let made = api.post("/campaigns", hours(json!({"mon": [["10:00", "12:00"]], "tue": [["10:30", "12:00"]]}))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["calling_hours_start"], Value::Null);
    api.finish().await;
}

#[tokio::test]
async fn a_campaign_lives_from_draft_to_deleted() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Life"})).await;
    let path = format!("/campaigns/{campaign}");
    let step = |verb: &'static str| {
        let (api, path) = (&api, format!("{path}/{verb}"));
        async move { api.call("POST", &path, None).await }
    };
    assert_eq!(step("start").await.refusal(), (422, "campaign_without_leads".into()));
    assert_eq!(step("pause").await.refusal(), (409, "campaign_not_running".into()));
    let lead = api.add_lead(campaign, "+919845012345", "Asha").await;

    let started = step("start").await;
    assert_eq!((started.status.as_u16(), &started.json()["status"]), (200, &json!("running")), "{}", started.text());
    assert_eq!(started.json()["leads"], json!({"total": 1, "pending": 1}));
    assert_eq!(started.json()["waiting_for_window"], Value::Null, "it is Monday, eleven o'clock");
    assert_eq!(api.number("select count(*) from apalis.jobs where job_type = 'dispatch_campaign'").await, 1);
    assert_eq!(api.number("select count(*) from campaign_windows").await, 1);
    assert_eq!(step("start").await.refusal(), (409, "campaign_already_running".into()));
    let change = || api.call("PATCH", &path, Some(json!({"name": "Other", "retry_policy": {"busy_minutes": 5}})));
    assert_eq!(change().await.refusal(), (409, "campaign_running".into()));

    assert_eq!(step("pause").await.json()["pause_reason"], "operator");
    assert_eq!(step("pause").await.refusal(), (409, "campaign_already_paused".into()));
    assert_eq!(step("start").await.refusal(), (409, "campaign_paused".into()));
    let changed = change().await.json();
    assert_eq!((&changed["name"], &changed["retry_policy"]["busy_minutes"]), (&json!("Other"), &json!(5)));
    assert_eq!(changed["retry_policy"]["no_answer_minutes"], 120, "what the change leaves out stays");
    assert_eq!(step("resume").await.json()["status"], "running");
    assert_eq!(api.call("DELETE", &path, None).await.refusal(), (409, "campaign_not_finished".into()));

    let call = api.add_call(lead, "ref-live").await;
    assert_eq!(step("stop").await.json()["status"], "canceled");
    assert_eq!(step("resume").await.refusal(), (409, "campaign_finished".into()));
    assert_eq!(api.number("select count(*) from leads where status = 'canceled'").await, 1);
    assert_eq!(api.call("DELETE", &path, None).await.refusal(), (409, "campaign_has_live_calls".into()));
    sqlx::query("update calls set status = 'completed' where id = $1").bind(call).execute(&api.db).await.unwrap();
    assert_eq!(api.call("DELETE", &path, None).await.status, 204);
    assert_eq!(api.get(&path).await.refusal().0, 404);
    let history: Vec<String> =
        sqlx::query_scalar("select kind from call_events where kind like 'campaign_%' order by id")
            .fetch_all(&api.db)
            .await
            .unwrap();
    assert_eq!(history, ["campaign_started", "campaign_paused", "campaign_resumed", "campaign_canceled"]);
    api.finish().await;
}

#[tokio::test]
async fn of_two_clicks_at_once_one_starts_the_campaign() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Race"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let path = format!("/campaigns/{campaign}/start");
    let clicks = futures::future::join_all((0..6).map(|_| api.call("POST", &path, None))).await;
    let started = clicks.iter().filter(|answer| answer.status == 200).count();
    let refused = clicks.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((started, refused), (1, 5));
    assert_eq!(api.number("select count(*) from call_events where kind = 'campaign_started'").await, 1);
    api.finish().await;
}

#[tokio::test]
async fn a_start_in_the_future_is_kept_until_then() {
    let api = TestApi::start().await;
    let campaign =
        api.create_campaign(json!({"name": "Later", "scheduled_start_at": "2026-11-24T10:00:00+05:30"})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let scheduled = api.call("POST", &format!("/campaigns/{campaign}/start"), None).await.json();
    assert_eq!(scheduled["status"], "scheduled");
    assert_eq!(scheduled["scheduled_start_at"], "2026-11-24T04:30:00Z");
    // Started again without a time, it starts now.
    let started = api.call("POST", &format!("/campaigns/{campaign}/start"), None).await.json();
    assert_eq!((&started["status"], &started["scheduled_start_at"]), (&json!("running"), &Value::Null));
    api.finish().await;
}

#[tokio::test]
async fn outside_its_hours_a_running_campaign_says_when_it_opens() {
    let api = TestApi::start().await;
    let campaign =
        api.create_campaign(json!({"name": "Evening", "calling_hours_start": 15, "calling_hours_end": 19})).await;
    api.add_lead(campaign, "+919845012345", "Asha").await;
    let started = api.call("POST", &format!("/campaigns/{campaign}/start"), None).await.json();
    assert_eq!(started["status"], "running");
    assert_eq!(started["waiting_for_window"], json!({"opens_at": "2026-11-23T09:30:00Z"}));
    api.finish().await;
}

#[tokio::test]
async fn a_cursor_visits_every_row_once_and_pages_are_counted() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Long"})).await;
    for index in 0..7 {
        api.add_lead(campaign, &format!("+91984501234{index}"), &format!("Lead {index}")).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/campaigns/{campaign}/leads?limit=3{cursor}")).await.json();
        seen.extend(page["leads"].as_array().unwrap().iter().map(|lead| lead["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|index| format!("Lead {index}")).collect::<Vec<_>>());

    let page = api.get(&format!("/campaigns/{campaign}/leads?page=3&page_size=3")).await.json();
    assert_eq!((&page["total"], &page["page"], &page["page_size"]), (&json!(7), &json!(3), &json!(3)));
    assert_eq!(page["leads"].as_array().unwrap().len(), 1);
    let found = api.get(&format!("/campaigns/{campaign}/leads?search=lead%205&status=pending")).await.json();
    assert_eq!(found["leads"][0]["phone"], "+919845012345");
    for bad in ["limit=0", "limit=1000", "page=0", "cursor=x", "status=gone", "colour=red"] {
        let status = api.get(&format!("/campaigns/{campaign}/leads?{bad}")).await.refusal().0;
        assert!([400, 422].contains(&status), "{bad}: {status}");
    }
    api.finish().await;
}

#[tokio::test]
async fn a_request_sent_again_with_its_key_makes_nothing_twice() {
    let api = TestApi::start().await;
    let create = |key: &'static str, body: Value| {
        let request = axum::http::Request::post("/campaigns")
            .header("authorization", format!("Bearer {}", api.key))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        api.send(request.body(axum::body::Body::from(body.to_string())).unwrap())
    };
    let sent = futures::future::join_all((0..4).map(|_| create("k1", json!({"name": "Once"})))).await;
    for answer in &sent {
        assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (201, &sent[0].json()["id"]), "{}", answer.text());
    }
    assert_eq!(api.number("select count(*) from campaigns").await, 1);
    assert_eq!(api.number("select count(*) from voice_agents").await, 1, "of the first requests one makes the agent");
    assert_eq!(create("k1", json!({"name": "Other"})).await.refusal(), (422, "idempotency_key_reused".into()));
    assert_eq!(create("k2", json!({"name": "Once"})).await.status, 201);
    assert_eq!(api.number("select count(*) from campaigns").await, 2);
    api.finish().await;
}
