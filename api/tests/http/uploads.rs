//! Lists of leads. The job that reads them is the worker's; here its outcome is written by hand.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::harness::{TestApi, eventually};

const LIST: &[u8] = b"name,phone\nAsha,9845012345\nNobody,12\n";

#[tokio::test]
async fn an_uploaded_list_is_stored_and_answered_with_its_result() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "List"})).await;
    let upload = api.upload(campaign, &[("note", None, b"hello"), ("anything", Some("leads.csv"), LIST)]);
    let read = async {
        let stored: (i64, Vec<u8>) = eventually(async || {
            sqlx::query_as("select id, content from imports where status = 'queued'")
                .fetch_optional(&api.db)
                .await
                .unwrap()
        })
        .await;
        assert_eq!(stored.1, LIST);
        let jobs = api.number("select count(*) from apalis.jobs where job_type = 'import_leads'").await;
        assert_eq!(jobs, 1, "the list and its job are stored together");
        sqlx::query(
            "insert into import_rows (account_id, import_id, line, column_name, value, reason)
             select account_id, id, 3, 'phone', '=12', 'the number is too short' from imports where id = $1",
        )
        .bind(stored.0)
        .execute(&api.db)
        .await
        .unwrap();
        sqlx::query(
            "update imports set status = 'completed', rows_total = 2, rows_imported = 1, rows_rejected = 1, content = null
             where id = $1",
        )
        .bind(stored.0)
        .execute(&api.db)
        .await
        .unwrap();
    };
    let (answer, ()) = tokio::join!(upload, read);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = answer.json();
    for (field, value) in [
        ("status", json!("completed")),
        ("total_rows", json!(2)),
        ("imported", json!(1)),
        ("leads_created", json!(1)),
        ("duplicates", json!(0)),
        ("rejected", json!(1)),
    ] {
        assert_eq!(result[field], value, "{field}");
    }
    assert_eq!(result["rejections"][0]["line"], 3);
    assert_eq!(result["rejections"][0]["reason"], "the number is too short");

    let csv = api.get(result["rejections_csv"].as_str().unwrap()).await;
    assert_eq!(csv.text(), "line,severity,column,value,reason\r\n3,rejected,phone,'=12,the number is too short\r\n");
    let listed = api.get(&format!("/campaigns/{campaign}/imports")).await.json();
    assert_eq!(listed["imports"][0]["import_id"], result["import_id"]);
    let rejections = api.get(&format!("/imports/{}/rejections?severity=rejected", result["import_id"])).await.json();
    assert_eq!(rejections["rejections"][0]["column"], "phone");
    api.finish().await;
}

#[tokio::test]
async fn a_long_list_goes_on_behind_the_answer() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Long"})).await;
    // A process that is asked to end answers at once; patience ends in the same way.
    api.app.stopping.cancel();
    let answer = api.upload(campaign, &[("file", Some("leads.csv"), LIST)]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (202, &json!("queued")));
    assert_eq!(answer.headers["location"], "/imports/1");
    // A campaign whose list is still being read may be started.
    assert_eq!(api.call("POST", &format!("/campaigns/{campaign}/start"), None).await.status, 200);
    api.finish().await;
}

#[tokio::test]
async fn what_is_no_list_is_refused_plainly() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Bad"})).await;
    let big = vec![b'x'; 1024 * 1024 + 1];
    for (parts, refusal) in [
        (vec![("file", Some("a.csv"), &b""[..])], (422, "file_empty")),
        (vec![("file", None, &b"name,phone"[..])], (422, "file_missing")),
        (vec![("a", Some("a.csv"), LIST), ("b", Some("b.csv"), LIST)], (422, "one_file_expected")),
        (vec![("file", Some("a.csv"), &big[..])], (413, "file_too_large")),
    ] {
        let answer = api.upload(campaign, &parts).await;
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()));
    }
    let no_form = api.post(&format!("/campaigns/{campaign}/upload-csv"), json!({})).await;
    assert_eq!(no_form.refusal(), (415, "form_expected".into()));
    let broken_off = Request::post(format!("/campaigns/{campaign}/upload-csv"))
        .header("authorization", format!("Bearer {}", api.key))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Body::from("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.csv\"\r\n\r\nname"));
    assert_eq!(api.send(broken_off.unwrap()).await.refusal(), (400, "broken_form".into()));
    assert_eq!(api.upload(99, &[("file", Some("a.csv"), LIST)]).await.refusal().0, 404);
    assert_eq!(api.number("select count(*) from imports").await, 0);

    sqlx::query("update campaigns set status = 'completed'").execute(&api.db).await.unwrap();
    let over = api.upload(campaign, &[("file", Some("a.csv"), LIST)]).await;
    assert_eq!(over.refusal(), (409, "campaign_finished".into()));
    api.finish().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_says_why() {
    let api = TestApi::start().await;
    let campaign = api.create_campaign(json!({"name": "Bad"})).await;
    let upload = api.upload(campaign, &[("file", Some("photo.csv"), b"\x89PNG")]);
    let read = async {
        eventually(async || {
            let done = sqlx::query("update imports set status = 'failed', error = 'this is a picture, not a list'")
                .execute(&api.db)
                .await
                .unwrap();
            (done.rows_affected() == 1).then_some(())
        })
        .await;
    };
    let (answer, ()) = tokio::join!(upload, read);
    assert_eq!(answer.refusal(), (422, "import_failed".into()));
    assert_eq!(answer.json()["detail"], "this is a picture, not a list");
    api.finish().await;
}
