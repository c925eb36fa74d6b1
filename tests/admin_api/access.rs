//! Keys, clients, grants and sessions; what is a member's own.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Office, added};
use crate::support::{Client, Setup};

/// Everything under a folder that holds these bytes.
fn holding(folder: &std::path::Path, wanted: &[u8], found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            holding(&path, wanted, found);
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
        {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn a_key_works_at_once_is_shown_once_and_ends_at_once() {
    let office = Office::open(Setup::new()).await;
    added(&office, "bot", json!({ "agent": true, "roles": ["auditor"] })).await;
    let wanted = json!({ "id": "bot-key", "user": "bot", "expires": "2099-01-01T00:00:00Z" });
    let made = office.done("owner", Method::POST, "/keys", wanted.clone()).await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["key"]["expires"], "2099-01-01T00:00:00.000Z");
    office.refused("owner", (Method::POST, "/keys"), wanted, 409).await;
    let me = Client::new(office.gateway.address, "/api/v1/me").with_key(&secret);
    let answer = me.send(Method::GET, &[], "").await.json();
    assert_eq!((&answer["user"], &answer["kind"]), (&json!("bot"), &json!("agent")));
    assert_eq!(answer["key"], "bot-key");

    let keys = office.done("owner", Method::GET, "/keys", Value::Null).await;
    let of = |id: &str| {
        keys["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).cloned().unwrap()
    };
    assert_eq!((&of("bot-key")["kind"], &of("admin")["kind"]), (&json!("stored"), &json!("file")));
    assert_eq!(of("bot-key")["created_by"], "olivia@example.com");
    assert!(of("bot-key")["last_used"].is_string());

    // The holder's end is the key's.
    office.done("owner", Method::POST, "/users/bot/deactivate", Value::Null).await;
    assert_eq!(me.send(Method::GET, &[], "").await.status, StatusCode::UNAUTHORIZED);
    office.done("owner", Method::POST, "/users/bot/activate", Value::Null).await;
    assert_eq!(me.send(Method::GET, &[], "").await.status, StatusCode::OK);
    office.done("owner", Method::DELETE, "/keys/bot-key", Value::Null).await;
    assert_eq!(me.send(Method::GET, &[], "").await.status, StatusCode::UNAUTHORIZED);
    office.refused("owner", (Method::DELETE, "/keys/bot-key"), Value::Null, 404).await;
    let said = office.refused("owner", (Method::DELETE, "/keys/admin"), Value::Null, 409).await;
    assert!(said.contains("keys/admin.toml"), "{said}");
    for (wanted, status) in [
        (json!({ "id": "k", "user": "nobody" }), 400),
        (json!({ "id": "k", "user": "bot", "expires": "2001-01-01T00:00:00Z" }), 400),
        (json!({ "id": "k", "user": "bot", "vmcps": ["Not A Name"] }), 400),
        (json!({ "id": "K K", "user": "bot" }), 400),
        (json!({ "id": "admin", "user": "bot" }), 409),
    ] {
        office.refused("owner", (Method::POST, "/keys"), wanted, status).await;
    }
    assert_eq!(
        office.notes("admin:key_create").await,
        ["key bot-key made for user bot: virtual MCPs [], ends 2099-01-01T00:00:00.000Z"]
    );
    assert_eq!(office.notes("admin:key_revoke").await, ["key bot-key of user bot revoked"]);

    // The secret is in no file and no log: not the whole of it, not its secret part.
    let part = secret.strip_prefix("tg_bot-key_").unwrap();
    assert!(part.len() >= 40);
    let log = office.gateway.log();
    assert!(!log.contains(part), "{log}");
    let mut found = Vec::new();
    holding(&office.gateway.data(), part.as_bytes(), &mut found);
    holding(&office.gateway.config(), part.as_bytes(), &mut found);
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_link_to_a_password_is_shown_once() {
    let office = Office::open(Setup::new()).await;
    added(&office, "ae@example.com", json!({})).await;
    let path = "/users/ae@example.com/password-link";
    let made = office.done("admin", Method::POST, path, Value::Null).await;
    let link = made["link"].as_str().unwrap();
    let base = format!("http://{}/welcome/", office.gateway.address);
    let token = link.strip_prefix(&base).unwrap_or_else(|| panic!("{link}"));
    assert!(token.len() >= 43, "{link}");
    let mut found = Vec::new();
    holding(&office.gateway.data(), token.as_bytes(), &mut found);
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
    assert!(!office.gateway.log().contains(token));
    added(&office, "bot", json!({ "agent": true })).await;
    office.refused("admin", (Method::POST, "/users/bot/password-link"), Value::Null, 400).await;
}

#[tokio::test]
async fn clients_are_those_of_the_settings_and_those_that_registered() {
    let identity = "[clients.reporting]\nname = 'Reporting'\nredirect_uris = \
                    ['https://reports.example/cb']\n";
    let office = Office::open(Setup::new().file("identity.toml", identity)).await;
    let page = office.done("admin", Method::GET, "/clients", Value::Null).await;
    let kinds: Vec<_> = page["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| (client["id"].as_str().unwrap(), client["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("reporting", "settings"), ("tidegate-cli", "built-in")]);
    let one = office.done("admin", Method::GET, "/clients/reporting", Value::Null).await;
    assert_eq!(one["redirect_uris"], json!(["https://reports.example/cb"]));
    for (id, status) in [("reporting", 409), ("tidegate-cli", 409), ("tgc_nothing", 404)] {
        let path = format!("/clients/{id}");
        office.refused("admin", (Method::DELETE, &path), Value::Null, status).await;
    }
    let path = "/clients/https%3A%2F%2Fclient.example%2Fmetadata.json/grants";
    let ended = office.done("admin", Method::DELETE, path, Value::Null).await;
    assert_eq!(ended["grants"], 0);
    // One that is known by its document is not fetched because an administrator looks at it.
    let path = "/clients/https%3A%2F%2Fclient.example%2Fmetadata.json";
    office.refused("admin", (Method::GET, path), Value::Null, 404).await;
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there() {
    let office = Office::open(Setup::new()).await;
    let me = office.done("member", Method::GET, "/me", Value::Null).await;
    assert_eq!((&me["user"], &me["may"]), (&json!("mia@example.com"), &json!([])));
    for list in ["grants", "sessions"] {
        let own = office.done("member", Method::GET, &format!("/me/{list}"), Value::Null).await;
        assert_eq!(own[list], json!([]));
        let path = format!("/me/{list}/{}", "0".repeat(32));
        office.refused("member", (Method::DELETE, &path), Value::Null, 404).await;
    }
}
