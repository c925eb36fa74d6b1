//! Tokens that are looked at and exchanged by clients of the organisation.

use serde_json::{Value, json};

use super::{
    bed::OWNER,
    clients::{SECRET, bed, with},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

#[tokio::test]
async fn a_client_learns_what_its_own_tokens_are_and_nothing_of_others() {
    let (bed, found, _) = bed().await;
    let page = bed.browser.open(&found.authorize("desk", &[("scope", "mcp offline_access")])).await;
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    let code = page.query("code").unwrap();
    let mut form = found.redeem("desk", &code);
    form.push(("client_secret", SECRET));
    let tokens = bed.ask(&found, &form).await.json();
    let path = found.path("introspection_endpoint");
    let asked = async |client: &str, token: &Value| {
        let token = token.as_str().unwrap();
        let form = [("token", token), ("client_id", client), ("client_secret", SECRET)];
        let answer = bed.post(&path, &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.json()
    };
    let said = asked("desk", &tokens["access_token"]).await;
    let expected = json!({
        "active": true, "token_type": "Bearer", "client_id": "desk", "sub": OWNER,
        "username": OWNER, "iss": found.metadata["issuer"], "aud": found.resource,
        "scope": "mcp offline_access", "iat": said["iat"], "nbf": said["nbf"], "exp": said["exp"],
    });
    assert_eq!(said, expected);
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 600);
    let said = asked("desk", &tokens["refresh_token"]).await;
    assert_eq!((&said["active"], &said["sub"]), (&json!(true), &json!(OWNER)), "{said}");
    assert!(said.get("token_type").is_none(), "it is no access token");
    let inactive = json!({ "active": false });
    for token in [&tokens["access_token"], &tokens["refresh_token"], &json!("x")] {
        assert_eq!(asked("broker", token).await, inactive);
    }
    // Asking changes nothing; what is given up is not active any more.
    assert_eq!(bed.calls("main", &tokens).await["caller"]["user"], OWNER);
    let token = tokens["access_token"].as_str().unwrap();
    let form = [("token", token), ("client_id", "desk"), ("client_secret", SECRET)];
    assert_eq!(bed.post(&found.path("revocation_endpoint"), &form).await.status, 200);
    for token in [&tokens["access_token"], &tokens["refresh_token"]] {
        assert_eq!(asked("desk", token).await, inactive);
    }
    let row = bed.rows("identity:revoke").await.pop().unwrap();
    assert!(row["note"].as_str().unwrap().starts_with("client desk gave up grant"), "{row}");
    // Whoever cannot say who they are learns nothing, on record.
    let form = [("token", token), ("client_id", "desk"), ("client_secret", "x")];
    let refused = bed.post(&path, &form).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]),
        (401, &json!("invalid_client"))
    );
    let row = bed.rows("identity:introspect").await.pop().unwrap();
    assert_eq!((&row["status"], &row["note"]), (&json!("refused"), &json!("invalid_client")));
}

fn exchanging<'a>(token: &'a Value, resource: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", EXCHANGE),
        ("subject_token", token["access_token"].as_str().unwrap()),
        ("subject_token_type", ACCESS),
        ("resource", resource),
        ("client_id", "broker"),
        ("client_secret", SECRET),
    ]
}

#[tokio::test]
async fn a_persons_token_is_exchanged_for_one_elsewhere_and_ends_with_it() {
    let (bed, found, _) = bed().await;
    let client = bed.register(&found, "An application").await;
    let subject = bed.connect("main", &client, "mcp").await;
    let other = bed.gateway.url("other");
    let answer = bed.ask(&found, &exchanging(&subject, &other)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(tokens["issued_token_type"], ACCESS);
    assert!(tokens.get("refresh_token").is_none());
    let row = bed.calls("other", &tokens).await;
    assert_eq!((&row["caller"]["user"], &row["vmcp"]), (&json!(OWNER), &json!("other")), "{row}");
    assert_eq!(bed.status_of("main", &tokens).await, 401);
    let row = bed.rows("identity:token").await.pop().unwrap();
    let note = row["note"].as_str().unwrap();
    assert!(note.starts_with(&format!("{EXCHANGE} to client broker under grant")), "{note}");
    assert_eq!((&row["caller"]["user"], &row["vmcp"]), (&json!(OWNER), &json!("other")), "{row}");
    // Both end when the person's own does.
    let token = subject["access_token"].as_str().unwrap();
    let form = [("token", token), ("client_id", &*client)];
    assert_eq!(bed.post(&found.path("revocation_endpoint"), &form).await.status, 200);
    assert_eq!(bed.status_of("other", &tokens).await, 401);
    let again = bed.ask(&found, &exchanging(&subject, &other)).await;
    bed.holds(&[("given up", "invalid_request", again)]).await;
}

/// RFC 8693 section 2.2.2.
#[tokio::test]
async fn every_refusal_of_an_exchange() {
    let (bed, found, _) = bed().await;
    let client = bed.register(&found, "An application").await;
    let subject = bed.connect("main", &client, "mcp").await;
    let (main, other) = (bed.gateway.url("main"), bed.gateway.url("other"));
    let admin = format!("{}/api/v1", bed.base());
    let once = bed.ask(&found, &exchanging(&subject, &other)).await.json();
    let itself = [
        ("grant_type", "client_credentials"),
        ("resource", &*main),
        ("client_id", "report"),
        ("client_secret", SECRET),
    ];
    let itself = bed.ask(&found, &itself).await.json();
    let token = subject["access_token"].as_str().unwrap();
    let refresh = subject["refresh_token"].as_str().unwrap();
    let (body, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{body}.{}", signature.chars().rev().collect::<String>());
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    let form = exchanging(&subject, &other);
    let mut said = Vec::new();
    for (name, edits, error) in [
        ("exchanged already", vec![("subject_token", text(&once))], "invalid_request"),
        ("an agent's", vec![("subject_token", text(&itself))], "invalid_request"),
        ("a refresh token", vec![("subject_token", refresh)], "invalid_request"),
        ("forged", vec![("subject_token", &*forged)], "invalid_request"),
        ("none", vec![("subject_token", "")], "invalid_request"),
        ("called an ID token", vec![("subject_token_type", id_token)], "invalid_request"),
        ("for an ID token", vec![("requested_token_type", id_token)], "invalid_request"),
        ("with another actor", vec![("actor_token", token)], "invalid_request"),
        ("more rights", vec![("scope", "mcp mcp:write")], "invalid_scope"),
        ("for no place", vec![("resource", "")], "invalid_target"),
        ("for administration", vec![("resource", &*admin)], "invalid_target"),
        (
            "for a place that is not listed",
            vec![("resource", &*main), ("client_id", "halfway")],
            "invalid_target",
        ),
        ("from a place that is not listed", vec![("client_id", "halfway")], "invalid_request"),
        ("by a client without a list", vec![("client_id", "desk")], "invalid_target"),
        (
            "by a client without a secret",
            vec![("client_id", &*client), ("client_secret", "")],
            "unauthorized_client",
        ),
        ("with another secret", vec![("client_secret", "x")], "invalid_client"),
    ] {
        said.push((name, error, bed.ask(&found, &with(&form, &edits)).await));
    }
    bed.holds(&said).await;
}

fn text(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}
