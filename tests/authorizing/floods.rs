//! Whoever asks too often is told so, and nobody else notices.

use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;

use super::bed::{Bed, CALLBACK};
use crate::support::Response;

/// Answers that say no more than that it was too much.
fn is_too_many(answer: &Response) {
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_flood_of_registrations_ends_and_every_client_that_there_is_has_its_row() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let before = bed.register(&found, "Before the flood").await;
    let tokens = bed.connect("main", &before, "mcp").await;
    let path = found.path("registration_endpoint");
    let mut made = 1;
    let refused = loop {
        let metadata = json!({ "client_name": "One of many", "redirect_uris": [CALLBACK] });
        let answer = bed.at(&path).send(Method::POST, &[], metadata.to_string()).await;
        if answer.status != 201 {
            break answer;
        }
        made += 1;
        assert!(made < 1_000, "there is no end");
    };
    is_too_many(&refused);
    let rows = bed.rows("identity:register").await;
    assert_eq!(rows.len(), made, "a row for each that was made, and none for the flood");
    assert!(rows.iter().all(|row| row["status"] == "ok"));
    // Whoever is there already goes on.
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &*before)];
    assert_eq!(bed.post(&found.path("token_endpoint"), &form).await.status, 200);
}

#[tokio::test]
async fn a_flood_at_the_token_endpoint_ends_and_what_was_given_is_good_still() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let path = found.path("token_endpoint");
    let rows = bed.rows("identity:token").await.len();
    // What is no form costs an allowance and leaves no row.
    let mut sent = 0;
    let refused = loop {
        let some =
            join_all((0..8).map(|_| async { bed.at(&path).send(Method::POST, &[], "{}").await }));
        if let Some(refused) = some.await.into_iter().find(|answer| answer.status != 400) {
            break refused;
        }
        sent += 8;
        assert!(sent < 20_000, "there is no end");
    };
    is_too_many(&refused);
    assert_eq!(bed.rows("identity:token").await.len(), rows);
    // Revoking and asking what a token is are behind the same door; calls are not.
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let mut shut = 0;
    for endpoint in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
        let path = found.path(endpoint);
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh),
            ("client_id", &*client),
            ("token", "x"),
        ];
        // The allowance comes back bit by bit.
        for _ in 0..1_000 {
            let answer = bed.post(&path, &form).await;
            if answer.status == 429 {
                is_too_many(&answer);
                shut += 1;
                break;
            }
        }
    }
    assert_eq!(shut, 3);
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
}
