//! Users, groups and roles: what is done, what is refused, what is remembered.

use hyper::Method;
use serde_json::{Value, json};

use super::{Office, added};
use crate::support::Setup;

/// Groups that give roles, and accounts of the gateway's own.
const IDENTITY: &str = "[roles]\nadmin = ['platform']\nowner = ['founders']\n";

async fn office() -> Office {
    Office::open(Setup::new().file("identity.toml", IDENTITY)).await
}

#[tokio::test]
async fn users_are_added_changed_and_removed_on_record() {
    let office = office().await;
    let more = json!({ "name": "Ae", "groups": ["sales"], "roles": ["auditor"] });
    let user = added(&office, "AE@Example.com", more).await;
    assert_eq!(user["id"], "ae@example.com");
    assert_eq!(user["email"], "ae@example.com");
    assert_eq!(user["roles"], json!(["auditor", "member"]));
    office.refused("owner", (Method::POST, "/users"), json!({ "id": "ae@example.com" }), 409).await;

    let path = "/users/ae%40example.com";
    office.done("admin", Method::PATCH, path, json!({ "name": "Ann\n" })).await;
    office.done("admin", Method::PUT, &format!("{path}/groups"), json!({ "groups": ["it"] })).await;
    office.done("owner", Method::PUT, &format!("{path}/roles"), json!({ "roles": [] })).await;
    office.done("admin", Method::POST, &format!("{path}/deactivate"), Value::Null).await;
    let user = office.done("admin", Method::GET, path, Value::Null).await;
    assert_eq!((&user["active"], &user["roles"]), (&json!(false), &json!([])));
    office.done("admin", Method::POST, &format!("{path}/activate"), Value::Null).await;
    let user = office.done("admin", Method::GET, path, Value::Null).await;
    assert_eq!((&user["groups"], &user["roles"]), (&json!(["it"]), &json!(["member"])));
    office.done("admin", Method::DELETE, path, Value::Null).await;
    office.refused("admin", (Method::GET, path), Value::Null, 404).await;

    // One for whom a key in a file stands would be back with the next request.
    added(&office, "mia@example.com", json!({})).await;
    let mia = (Method::DELETE, "/users/mia@example.com");
    let said = office.refused("owner", mia, Value::Null, 409).await;
    assert!(said.contains("keys/member.toml"), "{said}");
    office.done("owner", Method::POST, "/users/mia@example.com/deactivate", Value::Null).await;
    assert_eq!(office.get("member", "/me").await.status, 401);

    let mut notes = office.notes("admin:user_write").await;
    notes.retain(|note| !note.contains("mia@"));
    assert_eq!(
        notes,
        [
            "person ae@example.com added: name \"Ae\", e-mail \"ae@example.com\", groups \
             [\"sales\"], roles [\"auditor\"]",
            "user ae@example.com: name \"Ae\" -> \"Ann\\n\", e-mail \"ae@example.com\" -> \
             \"ae@example.com\"",
            "user ae@example.com: active true -> false; 0 sessions, 0 grants and 0 keys ended",
            "user ae@example.com: active false -> true",
            "person ae@example.com removed, who had groups [\"it\"] and roles [\"member\"]; 0 \
             sessions, 0 grants and 0 keys ended",
        ]
    );
    let roles = office.notes("admin:role_assign").await;
    assert_eq!(roles, ["user ae@example.com: roles [\"auditor\"] -> []"]);
    let groups = office.notes("admin:group_write").await;
    assert_eq!(groups, ["user ae@example.com: groups [\"sales\"] -> [\"it\"]"]);
}

#[tokio::test]
async fn nobody_hands_out_what_they_do_not_have() {
    let office = office().await;
    added(&office, "boss@example.com", json!({ "roles": ["owner"] })).await;
    added(&office, "second@example.com", json!({ "roles": ["owner"] })).await;
    added(&office, "audit@example.com", json!({ "roles": ["auditor"] })).await;
    added(&office, "m@example.com", json!({})).await;
    let founders = json!({ "name": "founders", "members": ["second@example.com"] });
    office.done("owner", Method::POST, "/groups", founders).await;
    let m = "/users/m@example.com";
    let (boss, auditor) = ("/users/boss@example.com", "/users/audit@example.com");
    let key = |user: &str| json!({ "id": "k", "user": user });
    for (method, path, body) in [
        // Roles, given outright or by a group.
        (Method::POST, "/users".to_owned(), json!({ "id": "x@y.z", "roles": ["owner"] })),
        (Method::POST, "/users".to_owned(), json!({ "id": "x@y.z", "roles": ["auditor"] })),
        (Method::POST, "/users".to_owned(), json!({ "id": "x@y.z", "groups": ["founders"] })),
        (Method::PUT, format!("{m}/roles"), json!({ "roles": ["owner"] })),
        (Method::PUT, format!("{m}/roles"), json!({ "roles": ["admin", "sales-lead"] })),
        (Method::PUT, format!("{m}/groups"), json!({ "groups": ["founders"] })),
        (Method::PATCH, "/groups/founders".to_owned(), json!({ "add": ["m@example.com"] })),
        (Method::PATCH, "/groups/founders".to_owned(), json!({ "remove": ["second@example.com"] })),
        (Method::DELETE, "/groups/founders".to_owned(), Value::Null),
        // Owners are for owners.
        (Method::PATCH, boss.to_owned(), json!({ "name": "x" })),
        (Method::PATCH, boss.to_owned(), json!({ "email": "adam@example.com" })),
        (Method::PUT, format!("{boss}/roles"), json!({ "roles": [] })),
        (Method::POST, format!("{boss}/deactivate"), Value::Null),
        (Method::DELETE, boss.to_owned(), Value::Null),
        (Method::DELETE, format!("{boss}/links/okta"), Value::Null),
        // Ways to act as somebody who can do more.
        (Method::POST, "/keys".to_owned(), key("boss@example.com")),
        (Method::POST, "/keys".to_owned(), key("audit@example.com")),
        (Method::POST, format!("{boss}/password-link"), Value::Null),
        (Method::POST, format!("{auditor}/password-link"), Value::Null),
        (Method::PATCH, auditor.to_owned(), json!({ "email": "adam@example.com" })),
        (Method::DELETE, format!("{auditor}/links/okta"), Value::Null),
    ] {
        let what = format!("{method} {path} {body}");
        let response = office.send("admin", method, &path, body).await;
        assert_eq!(response.status.as_u16(), 403, "{what}: {response:?}");
    }
    // A group that is renamed to one that gives a role.
    let plain = json!({ "name": "plain", "members": ["m@example.com"] });
    office.done("admin", Method::POST, "/groups", plain).await;
    let renamed = json!({ "name": "founders-2" });
    office.done("admin", Method::PATCH, "/groups/plain", renamed).await;
    office.done("owner", Method::DELETE, "/groups/founders", Value::Null).await;
    let to_owners = (Method::PATCH, "/groups/founders-2");
    office.refused("admin", to_owners, json!({ "name": "founders" }), 403).await;
    // What an admin has they may give, and taking away is open to them.
    office.done("admin", Method::PUT, &format!("{m}/roles"), json!({ "roles": ["admin"] })).await;
    let groups = json!({ "groups": ["platform"] });
    office.done("admin", Method::PUT, &format!("{m}/groups"), groups).await;
    office.done("admin", Method::PUT, &format!("{auditor}/roles"), json!({ "roles": [] })).await;
    office.done("admin", Method::POST, "/keys", key("m@example.com")).await;
    let user = office.done("admin", Method::GET, m, Value::Null).await;
    assert_eq!(user["roles"], json!(["admin", "member"]));
    for path in ["/users/boss@example.com", "/users/second@example.com"] {
        let user = office.done("admin", Method::GET, path, Value::Null).await;
        assert_eq!((&user["active"], &user["assigned_roles"]), (&json!(true), &json!(["owner"])));
    }
}

#[tokio::test]
async fn a_configuration_by_somebody_else_than_an_owner_changes_no_rights() {
    let office =
        Office::open(Setup::new().policy("all", "permit (principal, action, resource);")).await;
    let permit = "permit (principal, action, resource);";
    let key = json!({ "user": "adam@example.com", "roles": ["owner"],
        "hash": format!("sha256:{}", "0".repeat(64)) });
    let (apply, empty) = ("/config/apply", json!({}));
    for (what, resources, prune) in [
        ("policies", json!({ "policies": { "mine.cedar": permit } }), false),
        ("keys", json!({ "keys": { "mine": key } }), false),
        ("sign-in", json!({ "identity": { "roles": { "owner": ["staff"] } } }), false),
        ("pruning", empty.clone(), true),
    ] {
        let body = json!({ "resources": resources, "prune": prune, "dry_run": true });
        let said = office.refused("admin", (Method::POST, apply), body, 403).await;
        assert!(said.contains("only an owner"), "{what}: {said}");
    }
    let body = json!({ "resources": empty, "dry_run": true });
    office.done("admin", Method::POST, apply, body).await;
    let body = json!({ "resources": { "policies": { "mine.cedar": permit } }, "dry_run": true });
    office.done("owner", Method::POST, apply, body).await;
}

#[tokio::test]
async fn the_last_owner_stays() {
    let office = office().await;
    added(&office, "boss@example.com", json!({ "roles": ["owner"] })).await;
    let boss = "/users/boss@example.com";
    for (method, path, body) in [
        (Method::DELETE, boss.to_owned(), Value::Null),
        (Method::POST, format!("{boss}/deactivate"), Value::Null),
        (Method::PUT, format!("{boss}/roles"), json!({ "roles": [] })),
    ] {
        let said = office.refused("owner", (method, &path), body, 409).await;
        assert!(said.contains("last active owner"), "{said}");
    }
    // By a group, too.
    added(&office, "f@example.com", json!({})).await;
    let founders = json!({ "name": "founders", "members": ["f@example.com"] });
    office.done("owner", Method::POST, "/groups", founders).await;
    office.done("owner", Method::DELETE, boss, Value::Null).await;
    let group = (Method::DELETE, "/groups/founders");
    let said = office.refused("owner", group, Value::Null, 409).await;
    assert!(said.contains("last active owner"), "{said}");
}

#[tokio::test]
async fn lists_are_paged_and_searched() {
    let office = office().await;
    for number in 0..25 {
        let name = format!("Person {number:02}");
        added(&office, &format!("u{number:02}@example.com"), json!({ "name": name })).await;
    }
    added(&office, "robot", json!({ "agent": true })).await;
    let (mut seen, mut path) = (Vec::new(), "/users?limit=10".to_owned());
    loop {
        let page = office.done("admin", Method::GET, &path, Value::Null).await;
        let users = page["users"].as_array().unwrap();
        assert!(users.len() <= 10);
        seen.extend(users.iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/users?limit=10&after={next}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = (0..25).map(|it| format!("u{it:02}@example.com")).collect();
    expected.insert(0, "robot".to_owned());
    assert_eq!(seen, expected);
    for (prefix, count) in [("u1", 10), ("U24", 1), ("person", 25), ("07", 1), ("rob", 1), ("x", 0)]
    {
        let path = format!("/users?prefix={prefix}");
        let page = office.done("admin", Method::GET, &path, Value::Null).await;
        assert_eq!(page["users"].as_array().unwrap().len(), count, "{prefix}");
    }
    for number in 0..3 {
        let group = json!({ "name": format!("g{number}"), "members": ["u01@example.com"] });
        office.done("admin", Method::POST, "/groups", group).await;
    }
    let page = office.done("admin", Method::GET, "/groups?limit=2", Value::Null).await;
    let next = page["next"].as_str().unwrap();
    let rest =
        office.done("admin", Method::GET, &format!("/groups?after={next}"), Value::Null).await;
    assert_eq!(rest["groups"].as_array().unwrap().len(), 1);
    let user = office.done("admin", Method::GET, "/users/u01@example.com", Value::Null).await;
    assert_eq!(user["groups"], json!(["g0", "g1", "g2"]));
    let missing = json!({ "name": "h", "members": ["nobody@example.com"] });
    let said = office.refused("admin", (Method::POST, "/groups"), missing, 404).await;
    assert!(said.contains("nobody@example.com"), "{said}");
    office
        .done("admin", Method::PATCH, "/groups/g0", json!({ "remove": ["u01@example.com"] }))
        .await;
    let notes = office.notes("admin:group_write").await;
    assert_eq!(
        notes.last().unwrap(),
        "group \"g0\" -> \"g0\": put in [], took out [\"u01@example.com\"]; 1 -> 0 members"
    );
}
