//! What does not get through the public door, and that organisations are kept apart.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Office, key_of};
use crate::support::{Client, Setup};

#[tokio::test]
async fn a_challenge_leads_to_the_metadata_of_this_api() {
    let office = Office::open(Setup::new()).await;
    let base = format!("http://{}", office.gateway.address);
    let at = |path: &str| Client::new(office.gateway.address, path);
    for (path, org) in [("/api/v1/me", ""), ("/o/acme/api/v1/me", "/o/acme")] {
        let response = at(path).send(Method::GET, &[], "").await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        let expected = format!(
            "Bearer resource_metadata=\"{base}/.well-known/oauth-protected-resource{org}/api/v1\", \
             scope=\"admin\""
        );
        assert_eq!(response.header("www-authenticate"), expected);
        assert_eq!(response.json()["code"], "unauthenticated");
        // An organisation that is not there looks like one that is.
        let wrong = at(path).with_key("tg_a_b").send(Method::GET, &[], "").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        assert!(wrong.header("www-authenticate").starts_with(&expected));
        assert!(wrong.header("www-authenticate").contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn web_pages_cookies_other_hosts_and_odd_requests_are_refused() {
    let office = Office::open(Setup::new()).await;
    let me = office.client("owner", "/me");
    for (name, value, status) in [
        ("origin", "http://127.0.0.1:1", 403),
        ("origin", "null", 403),
        ("origin", "https://evil.example", 403),
        ("sec-fetch-site", "same-origin", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.example", 403),
        ("content-encoding", "gzip", 400),
        ("authorization", "Basic b3duZXI6eA==", 401),
        ("accept", "*/*", 200),
    ] {
        let response = me.send(Method::GET, &[(name, value)], "").await;
        assert_eq!(response.status.as_u16(), status, "{name}: {value}: {response:?}");
        assert_eq!(response.header("access-control-allow-origin"), "");
        assert_eq!(response.header("cache-control"), "no-store");
    }
    let mut bare = me.clone();
    bare.key = None;
    let cookie = bare.send(Method::GET, &[("cookie", "tidegate=x; tidegate-flow=y")], "").await;
    assert_eq!(cookie.status, StatusCode::UNAUTHORIZED);
    let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
    let preflight = bare.send(Method::OPTIONS, &preflight, "").await;
    assert!(!preflight.status.is_success(), "{preflight:?}");
    assert_eq!(preflight.header("access-control-allow-origin"), "");

    for (path, status) in [
        ("/users?limit=1&no=1", 400),
        ("/users?limit=x", 400),
        ("/users?limit=1&limit=2", 400),
        ("/users?after=a%20b", 400),
        ("/grants?after=zz", 400),
        ("/sessions", 400),
        ("/users/%00", 400),
        ("/users/..%2Fconfig", 404),
        ("/users/", 404),
        ("/nothing", 404),
    ] {
        let response = office.get("owner", path).await;
        assert_eq!(response.status.as_u16(), status, "{path}: {response:?}");
    }
    let response = office.client("owner", "/users").send(Method::DELETE, &[], "").await;
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    for (body, status) in [
        (String::new(), 400),
        ("[]".to_owned(), 400),
        ("{\"id\":\"a@b.c\",\"id\":\"d@e.f\"}".to_owned(), 400),
        ("{\"id\":\"a@b.c\"} {}".to_owned(), 400),
        ("{\"id\":\"a b\"}".to_owned(), 400),
        ("{\"id\":\"a@b.c\",\"admin\":true}".to_owned(), 400),
        (format!("{{\"id\":\"{}\"}}", "x".repeat(2 << 20)), 413),
    ] {
        let response = office.client("owner", "/users").send(Method::POST, &[], body).await;
        assert_eq!(response.status.as_u16(), status, "{response:?}");
    }
    let users = office.done("owner", Method::GET, "/users", Value::Null).await;
    assert_eq!(users["users"], json!([]));
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_told_to_wait_and_others_are_not() {
    let office = Office::open(Setup::new()).await;
    // More than a minute's allowance, faster than it comes back.
    let mut last = None;
    for _ in 0..1_400 {
        let response = office.get("member", "/me").await;
        if response.status != StatusCode::OK {
            last = Some(response);
            break;
        }
    }
    let last = last.expect("never too often");
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(last.header("retry-after"), "1");
    assert_eq!(office.get("owner", "/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_of_another_organisation_can_be_reached() {
    let same = "user = 'olivia@example.com'";
    let setup = Setup::new();
    std::fs::create_dir_all(setup.config().join("orgs/acme/keys")).unwrap();
    let (setup, theirs) = key_of(setup, "orgs/acme/keys/owner", same, "roles = ['owner']");
    let office = Office::open(setup).await;
    let ours = office.keys["owner"].clone();
    let at = |path: &str, key: &str| Client::new(office.gateway.address, path).with_key(key);
    for (path, key, status) in [
        ("/api/v1/me", &ours, 200),
        ("/o/acme/api/v1/me", &theirs, 200),
        ("/o/acme/api/v1/me", &ours, 401),
        ("/api/v1/me", &theirs, 401),
        ("/o/default/api/v1/me", &theirs, 401),
        ("/o/other/api/v1/me", &ours, 401),
        ("/o/Acme/api/v1/me", &theirs, 401),
        ("/o/acme%2F/api/v1/me", &theirs, 401),
    ] {
        let response = at(path, key).send(Method::GET, &[], "").await;
        assert_eq!(response.status.as_u16(), status, "{path}: {response:?}");
    }
    // The same id on both sides is two users, two keys, two lists.
    let body = json!({ "id": "robot", "agent": true }).to_string();
    let made = at("/o/acme/api/v1/users", &theirs).send(Method::POST, &[], body).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let body = json!({ "id": "theirs", "user": "robot" }).to_string();
    let made = at("/o/acme/api/v1/keys", &theirs).send(Method::POST, &[], body).await.json();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(at("/o/acme/api/v1/me", secret).send(Method::GET, &[], "").await.status, 200);
    assert_eq!(at("/api/v1/me", secret).send(Method::GET, &[], "").await.status, 401);
    for path in ["/users/robot", "/keys/theirs"] {
        let method = if path.starts_with("/keys") { Method::DELETE } else { Method::GET };
        office.refused("owner", (method, path), Value::Null, 404).await;
    }
    assert_eq!(office.done("owner", Method::GET, "/users", Value::Null).await["users"], json!([]));
    // What one may see of the process is its own organisation.
    let status = at("/api/v1/status", &ours).send(Method::GET, &[], "").await.json();
    assert_eq!(status.get("organisations"), None);
    let found = json!({ "limit": 100 }).to_string();
    let rows = at("/api/v1/audit/find", &ours).send(Method::POST, &[], found).await.json();
    let rows = rows.as_array().unwrap();
    assert!(rows.iter().all(|row| row["row"]["org"] == "default"), "{rows:?}");
}
