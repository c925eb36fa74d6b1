//! Programs that come without a person: with a secret, or with a key. Tokens are used for
//! calls, and every answer has its row.

use serde_json::{Value, json};

use super::{
    bed::Found,
    clients::{SECRET, bed, with},
    signer::{Signer, edited, now, unsigned},
};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn an_agent_with_a_secret_takes_a_token_and_calls_a_tool() {
    let (bed, found, _) = bed().await;
    let form =
        [("grant_type", "client_credentials"), ("resource", &*found.resource), ("scope", "mcp")];
    let basic = format!("report:{}", SECRET.replace(' ', "+"));
    let posted = with(&form, &[("client_id", "report"), ("client_secret", SECRET)]);
    for answer in [bed.ask_with(&found, &basic, &form).await, bed.ask(&found, &posted).await] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let tokens = answer.json();
        assert_eq!((&tokens["token_type"], &tokens["scope"]), (&json!("Bearer"), &json!("mcp")));
        assert!(tokens.get("refresh_token").is_none(), "it can ask again");
        let row = bed.calls("main", &tokens).await;
        assert_eq!(row["caller"]["user"], "report-bot", "{row}");
        assert_eq!(row["caller"]["groups"], json!(["bots"]), "{row}");
        assert_eq!(bed.status_of("other", &tokens).await, 401, "it is for one virtual MCP");
        let row = bed.rows("identity:token").await.pop().unwrap();
        assert_eq!((&row["status"], &row["vmcp"]), (&json!("ok"), &json!("main")), "{row}");
        let note = row["note"].as_str().unwrap();
        assert!(note.starts_with("client_credentials to client report under grant"), "{note}");
        assert_eq!(row["caller"]["user"], "report-bot");
    }
}

#[tokio::test]
async fn every_refusal_of_a_program_with_a_secret() {
    let (bed, found, _) = bed().await;
    let nothing = found.resource.replace("/main", "/nothing");
    let form = [
        ("grant_type", "client_credentials"),
        ("resource", &*found.resource),
        ("client_id", "report"),
        ("client_secret", SECRET),
    ];
    let mut said = Vec::new();
    for (name, edits, error) in [
        ("another secret", vec![("client_secret", "x")], "invalid_client"),
        ("no secret", vec![("client_secret", "")], "invalid_client"),
        ("nobody", vec![("client_id", "")], "invalid_client"),
        ("somebody unknown", vec![("client_id", "unknown")], "invalid_client"),
        ("two secrets", vec![("+client_secret", SECRET)], "invalid_client"),
        ("a client with a key", vec![("client_id", "keyed")], "invalid_client"),
        ("no way", vec![("grant_type", "")], "invalid_request"),
        ("a way that there is not", vec![("grant_type", "password")], "unsupported_grant_type"),
        ("a client that is nobody", vec![("client_id", "desk")], "unauthorized_client"),
        ("no resource", vec![("resource", "")], "invalid_target"),
        ("two resources", vec![("+resource", &*found.resource)], "invalid_target"),
        ("elsewhere", vec![("resource", "https://evil.example/mcp/main")], "invalid_target"),
        ("not for this client", vec![("client_id", "narrow")], "invalid_target"),
        ("nothing that there is", vec![("resource", &*nothing)], "access_denied"),
        ("no scope", vec![("scope", "\u{e9}")], "invalid_scope"),
    ] {
        said.push((name, error, bed.ask(&found, &with(&form, &edits)).await));
    }
    // Tried in the header, it is told how that goes; never both ways.
    let bare = with(&form, &[("client_id", ""), ("client_secret", "")]);
    let wrong = bed.ask_with(&found, "report:x", &bare).await;
    assert!(wrong.header("www-authenticate").starts_with("Basic "), "{wrong:?}");
    said.push(("another secret in the header", "invalid_client", wrong));
    let basic = format!("report:{}", SECRET.replace(' ', "+"));
    let both = bed.ask_with(&found, &basic, &form).await;
    said.push(("header and form", "invalid_client", both));
    bed.holds(&said).await;
    // Unknown and wrong look the same, but for nothing.
    assert_eq!(said[0].2.body, said[3].2.body);
    let rows = format!("{:?}", bed.gateway.audit().await);
    assert!(!rows.contains(SECRET) && !bed.gateway.log().contains(SECRET));
}

/// What a program with a key says of itself, good once.
fn assertion(found: &Found, id: &str) -> Value {
    let (client, issuer) = ("keyed", &found.metadata["issuer"]);
    json!({
        "iss": client, "sub": client, "aud": issuer, "jti": id, "iat": now(), "exp": now() + 60,
    })
}

fn proving<'a>(found: &'a Found, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("resource", &*found.resource),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", token),
    ]
}

#[tokio::test]
async fn an_agent_with_a_key_takes_a_token_and_calls_a_tool() {
    let (bed, found, key) = bed().await;
    let methods = &found.metadata["token_endpoint_auth_methods_supported"];
    assert!(methods.as_array().unwrap().contains(&json!("private_key_jwt")), "{methods}");
    let token_endpoint = found.metadata["token_endpoint"].clone();
    for (id, edits) in [("1", json!({})), ("2", json!({ "aud": token_endpoint }))] {
        let claims = edited(&assertion(&found, id), &edits);
        let proof = key.sign(&key.header("JWT"), &claims);
        let answer = bed.ask(&found, &proving(&found, &proof)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let row = bed.calls("main", &answer.json()).await;
        assert_eq!(row["caller"]["user"], "keyed-bot", "{row}");
        let row = bed.rows("identity:token").await.pop().unwrap();
        let note = row["note"].as_str().unwrap();
        assert!(note.starts_with("client_credentials to client keyed under grant"), "{note}");
    }
}

/// RFC 7523 section 3 and RFC 8725: whatever is wrong with the proof, the answer is the same.
#[tokio::test]
async fn every_refusal_of_a_program_with_a_key() {
    let (bed, found, key) = bed().await;
    let (other, header) = (Signer::new("k1", 4), key.header("JWT"));
    let issuer = found.metadata["issuer"].clone();
    let good = |id: &str| assertion(&found, id);
    let made = |id: &str, edits: Value| key.sign(&header, &edited(&good(id), &edits));
    let used = made("used", json!({}));
    assert_eq!(bed.ask(&found, &proving(&found, &used)).await.status, 200);
    let none = edited(&header, &json!({ "alg": "none" }));
    let symmetric = edited(&header, &json!({ "alg": "HS256" }));
    let table = [
        ("replayed", used.clone()),
        ("for somebody else", made("a", json!({ "aud": "https://evil.example" }))),
        ("for two", made("b", json!({ "aud": [issuer, "https://evil.example"] }))),
        ("for nobody", made("c", json!({ "aud": null }))),
        ("over", made("d", json!({ "exp": now() - 120, "iat": now() - 180 }))),
        ("without an end", made("e", json!({ "exp": null }))),
        ("for a day", made("f", json!({ "exp": now() + 86_400 }))),
        ("not yet", made("g", json!({ "nbf": now() + 600 }))),
        ("without an id", made("h", json!({ "jti": null }))),
        ("of another client", made("i", json!({ "sub": "report", "iss": "report" }))),
        ("said by another", made("j", json!({ "iss": "report" }))),
        ("signed by another", other.sign(&header, &good("k"))),
        ("signed by none", format!("{}.", unsigned(&none, &good("l")))),
        ("called unsigned", key.sign(&none, &good("m"))),
        ("called a secret's", key.sign(&symmetric, &good("n"))),
        ("under no known name", key.sign(&edited(&header, &json!({ "kid": "k2" })), &good("o"))),
        ("of another kind", key.sign(&key.header("at+jwt"), &good("p"))),
        ("cut off", used.rsplit_once('.').unwrap().0.to_owned()),
        ("no token", "x".to_owned()),
    ];
    let mut said = Vec::new();
    for (name, proof) in &table {
        said.push((*name, "invalid_client", bed.ask(&found, &proving(&found, proof)).await));
    }
    let fine = made("q", json!({}));
    for (name, edits) in [
        ("another type", vec![("client_assertion_type", "urn:x")]),
        ("no type", vec![("client_assertion_type", "")]),
        ("another client's name", vec![("client_id", "report")]),
        ("a secret beside it", vec![("client_secret", SECRET)]),
    ] {
        let form = with(&proving(&found, &fine), &edits);
        said.push((name, "invalid_client", bed.ask(&found, &form).await));
    }
    bed.holds(&said).await;
    // None of it used up the one that was good.
    assert_eq!(bed.ask(&found, &proving(&found, &fine)).await.status, 200);
}
