//! Exotel's client against a server that does what servers do.

use std::time::Duration;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use worker::carrier::{CarrierError, Doubt, Exotel, PlaceRequest, Rejection};
use worker::config::Config;

use crate::outside::{Outside, Reply};

fn client(base: &str) -> Exotel {
    let config = Config::try_parse_from([
        "worker",
        "--database-url",
        "unused",
        "--our-base-url",
        "http://127.0.0.1:8000",
        "--callback-secret",
        "s3cret",
        "--exotel-account-sid",
        "acme1",
        "--exotel-api-key",
        "key",
        "--exotel-api-token",
        "token",
        "--exotel-virtual-number",
        "08047112233",
        "--exotel-exophlo-id",
        "1001",
        "--exotel-api-base-url",
        base,
        "--carrier-timeout-secs",
        "1",
    ])
    .unwrap();
    Exotel::new(&config).unwrap()
}

fn request() -> PlaceRequest {
    PlaceRequest { phone: "+919876543210".into(), reference: "ref1".into(), record: true, can_transfer: false }
}

#[tokio::test]
async fn each_status_says_what_may_be_done_next() {
    let outside = Outside::start().await;
    let exotel = client(outside.base.as_str());
    let cause = |status, body: &'static str| {
        let (outside, exotel) = (outside.clone(), exotel.clone());
        async move {
            outside.on_place([Reply::Text(status, body)]);
            match exotel.place_call(&request()).await {
                Err(CarrierError::Rejected { cause, .. }) => cause,
                other => panic!("{status}: {other:?}"),
            }
        }
    };
    assert_eq!(cause(400, "").await, Rejection::BadRequest);
    assert_eq!(cause(401, "").await, Rejection::Credentials);
    assert_eq!(cause(402, "").await, Rejection::Balance);
    assert_eq!(cause(403, "because of TRAI NDNC regulations").await, Rejection::DoNotDisturb);
    assert_eq!(cause(403, "KYC pending").await, Rejection::Forbidden);
    assert_eq!(cause(404, "").await, Rejection::NotFound);
    assert_eq!(cause(422, "").await, Rejection::Other(422));

    outside.on_place([Reply::Text(429, "")]);
    assert!(matches!(exotel.place_call(&request()).await, Err(CarrierError::RateLimited { retry_after: None })));
    for status in [408, 500, 502, 503] {
        outside.on_place([Reply::Text(status, "")]);
        let outcome = exotel.place_call(&request()).await;
        assert!(
            matches!(outcome, Err(CarrierError::Indeterminate(Doubt::ServerError(seen))) if seen == status),
            "{outcome:?}"
        );
    }
    outside.on_place([Reply::Silence]);
    assert!(matches!(exotel.place_call(&request()).await, Err(CarrierError::Indeterminate(Doubt::Broken(_)))));
    // A redirect is no answer to a request that must not be repeated.
    outside.on_place([Reply::Bytes(307, vec![("location", outside.base.to_string())], Vec::new())]);
    assert!(matches!(exotel.place_call(&request()).await, Err(CarrierError::Indeterminate(_))));
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(client(&base).place_call(&request()).await, Err(CarrierError::Unavailable(_))));
}

#[tokio::test]
async fn a_connection_cut_after_the_request_proves_nothing_and_the_request_is_not_repeated() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests = tokio::spawn(async move {
        let mut requests = 0;
        while let Ok(Ok((mut socket, _))) = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await {
            let mut buffer = vec![0; 8192];
            let read = socket.read(&mut buffer).await.unwrap();
            requests += usize::from(buffer[..read].starts_with(b"POST "));
            // Half an answer.
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await.unwrap();
        }
        requests
    });
    let outcome = client(&base).place_call(&request()).await;
    assert!(matches!(outcome, Err(CarrierError::Indeterminate(Doubt::Broken(_)))), "{outcome:?}");
    assert_eq!(requests.await.unwrap(), 1);
}

#[tokio::test]
async fn errors_never_show_a_number() {
    let outside = Outside::start().await;
    let exotel = client(outside.base.as_str());
    outside.on_list([Reply::Silence]);
    let since = chrono::DateTime::UNIX_EPOCH;
    let error = anyhow::Error::new(exotel.calls_to("+919876543210", since, since).await.unwrap_err());
    assert!(!format!("{error:?}").contains("9876543210"), "{error:?}");
}

#[test]
fn credentials_are_shown_to_the_carriers_own_hosts_alone() {
    let exotel = client("https://api.exotel.com");
    let trusts = |url: &str| exotel.trusts(&url.parse().unwrap());
    assert!(trusts("https://recordings.exotel.com/exotelrecordings/acme1/a.mp3"));
    assert!(!trusts("http://recordings.exotel.com/a.mp3"));
    assert!(!trusts("https://s3-ap-southeast-1.amazonaws.com/exotelrecordings/a.mp3"));
    assert!(!trusts("https://recordings.exotel.com.evil.example/a.mp3"));
    assert!(!trusts("https://notexotel.com/a.mp3"));
}
