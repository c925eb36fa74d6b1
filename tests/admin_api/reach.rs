//! Nobody hands out what policies give to groups and people, either.
//!
//! Roles are compared by name in `people`; here policies give administration to groups and to
//! single people, at some hours, and take it away.

use hyper::Method;
use serde_json::{Value, json};

use super::{Office, added};
use crate::support::{Setup, eventually};

/// Reading what calls carried is what an admin may not.
const POLICIES: &str = r#"
permit(principal in Group::"secops", action == Action::"admin:payload_read", resource);
permit(principal == User::"root@example.com", action in Action::"admin", resource);
permit(principal in Group::"someday", action == Action::"admin:payload_read", resource)
when { context.time < datetime("2001-01-01") };
permit(principal in Group::"both-1", action == Action::"admin:payload_read", resource)
when { principal in Group::"both-2" };
forbid(principal in Group::"interns", action in Action::"admin", resource);
permit(principal in Group::"help-desk", action in [Action::"admin:user_read",
    Action::"admin:user_write", Action::"admin:group_write", Action::"admin:key_create"], resource);
"#;

async fn office() -> Office {
    let office = Office::open(Setup::new().policy("reach", POLICIES)).await;
    for (id, groups) in [
        ("m@example.com", json!([])),
        ("sec@example.com", json!(["secops"])),
        ("asleep@example.com", json!(["secops"])),
        ("half@example.com", json!(["both-1"])),
        ("intern@example.com", json!(["secops"])),
    ] {
        added(&office, id, json!({ "groups": groups })).await;
    }
    let asleep = "/users/asleep@example.com/deactivate";
    office.done("owner", Method::POST, asleep, Value::Null).await;
    for (name, members) in
        [("plain", json!(["m@example.com"])), ("interns", json!(["intern@example.com"]))]
    {
        let group = json!({ "name": name, "members": members });
        office.done("owner", Method::POST, "/groups", group).await;
    }
    office
}

/// Everybody and every group, as the owner sees them.
async fn everything(office: &Office) -> Value {
    let mut all = Vec::new();
    for path in ["/users", "/groups", "/groups/plain", "/groups/interns", "/keys"] {
        all.push(office.done("owner", Method::GET, path, Value::Null).await);
    }
    Value::Array(all)
}

#[tokio::test]
async fn nobody_gains_what_policies_give_beyond_whoever_gives_it() {
    let office = office().await;
    let before = everything(&office).await;
    let user = |id: &str, rest: &str| format!("/users/{id}@example.com{rest}");
    let groups = |names: &[&str]| json!({ "groups": names });
    let key = |user: &str| json!({ "id": "k", "user": format!("{user}@example.com") });
    let members = |name: &str| json!({ "name": name, "members": ["m@example.com"] });
    for (method, path, body, word) in [
        // Somebody whom a policy names, or puts into a group that it names.
        (Method::POST, "/users".to_owned(), json!({ "id": "root@example.com" }), "admin:"),
        (
            Method::POST,
            "/users".to_owned(),
            json!({ "id": "x@y.z", "groups": ["secops"] }),
            "admin:",
        ),
        (Method::PUT, user("m", "/groups"), groups(&["secops"]), "admin:payload_read"),
        (Method::POST, "/groups".to_owned(), members("secops"), "admin:payload_read"),
        (
            Method::PATCH,
            "/groups/plain".to_owned(),
            json!({ "name": "secops" }),
            "admin:payload_read",
        ),
        // At another hour, and of two groups together.
        (Method::PUT, user("m", "/groups"), groups(&["someday"]), "admin:payload_read"),
        (Method::PUT, user("half", "/groups"), groups(&["both-1", "both-2"]), "admin:payload_read"),
        (
            Method::POST,
            "/groups".to_owned(),
            json!({ "name": "both-2", "members": ["m@example.com", "half@example.com"] }),
            "half@",
        ),
        // By leaving what a policy forbids.
        (
            Method::PATCH,
            "/groups/interns".to_owned(),
            json!({ "remove": ["intern@example.com"] }),
            "admin:payload_read",
        ),
        (
            Method::PATCH,
            "/groups/interns".to_owned(),
            json!({ "name": "trainees" }),
            "admin:payload_read",
        ),
        (Method::DELETE, "/groups/interns".to_owned(), Value::Null, "admin:payload_read"),
        // Ways to act as somebody.
        (Method::POST, "/keys".to_owned(), key("sec"), "admin:payload_read"),
        (Method::POST, user("sec", "/password-link"), Value::Null, "admin:payload_read"),
        (Method::POST, user("asleep", "/activate"), Value::Null, "admin:payload_read"),
        (Method::DELETE, user("sec", "/links/okta"), Value::Null, "admin:payload_read"),
        (Method::PATCH, user("sec", ""), json!({ "email": "" }), "admin:payload_read"),
        // Addresses by which somebody would become another.
        (
            Method::POST,
            "/users".to_owned(),
            json!({ "id": "cfo@example.com", "email": "adam@home.example" }),
            "sign in as",
        ),
        (
            Method::POST,
            "/users".to_owned(),
            json!({ "id": "cfo", "email": "adam@home.example" }),
            "sign in as",
        ),
        (Method::PATCH, user("m", ""), json!({ "email": "adam@home.example" }), "sign in as"),
    ] {
        let what = format!("{method} {path} {body}");
        let said = office.refused("admin", (method, &path), body, 403).await;
        assert!(said.contains(word) && said.contains("ask an owner"), "{what}: {said}");
    }
    assert_eq!(everything(&office).await, before);
}

#[tokio::test]
async fn what_gives_nothing_new_is_open_to_whoever_may_change_it() {
    let office = office().await;
    let m = "/users/m@example.com";
    for (caller, method, path, body) in [
        // What an admin may do, they may give; nobody asks what somebody has had before.
        ("admin", Method::PUT, format!("{m}/groups"), json!({ "groups": ["help-desk"] })),
        (
            "admin",
            Method::PUT,
            "/users/sec@example.com/groups".to_owned(),
            json!({ "groups": ["secops", "sales"] }),
        ),
        ("admin", Method::PATCH, "/groups/plain".to_owned(), json!({ "add": ["sec@example.com"] })),
        ("admin", Method::POST, "/groups".to_owned(), json!({ "name": "secops" })),
        ("admin", Method::POST, "/users/sec@example.com/deactivate".to_owned(), Value::Null),
        // The address that is their name, in any spelling, or none.
        ("admin", Method::PATCH, m.to_owned(), json!({ "email": "" })),
        ("admin", Method::PATCH, m.to_owned(), json!({ "email": "M@Example.com" })),
        ("admin", Method::PATCH, m.to_owned(), json!({ "name": "Em", "email": "m@example.com" })),
        (
            "admin",
            Method::POST,
            "/users".to_owned(),
            json!({ "id": "new@example.com", "email": "new@example.com" }),
        ),
        (
            "admin",
            Method::POST,
            "/users".to_owned(),
            json!({ "id": "mailer", "agent": true, "email": "ops@example.com" }),
        ),
        // Owners may all of it.
        ("owner", Method::POST, "/users".to_owned(), json!({ "id": "root@example.com" })),
        ("owner", Method::PUT, format!("{m}/groups"), json!({ "groups": ["secops"] })),
        ("owner", Method::PATCH, m.to_owned(), json!({ "email": "em@home.example" })),
    ] {
        office.done(caller, method, &path, body).await;
    }
    // An address that an owner gave is left alone by a change that repeats it.
    let path = "/users/new@example.com";
    office.done("owner", Method::PATCH, path, json!({ "email": "n@home.example" })).await;
    office.done("admin", Method::PATCH, path, json!({ "email": "N@home.example" })).await;
    let user = office.done("admin", Method::GET, path, Value::Null).await;
    assert_eq!(user["email"], "n@home.example");
    // And what was empty is not filled by somebody without what it gives.
    let secops = (Method::PATCH, "/groups/secops");
    office.refused("admin", secops, json!({ "add": ["half@example.com"] }), 403).await;
}

#[tokio::test]
async fn policies_that_permit_administration_with_everything_else_are_told_of_once() {
    let words = "it permits administration too; name an action";
    let setup = Setup::new()
        .policy("all", "permit (principal, action, resource)\nwhen { principal in Group::\"it\" };")
        .policy("named", "permit (principal, action in Action::\"call_tool\", resource);");
    let checked = setup.bare_cli(&["check", setup.config().to_str().unwrap()]).await;
    assert!(checked.ok, "{checked:?}");
    let lines: Vec<&str> = checked.stdout.lines().filter(|line| line.contains(words)).collect();
    assert_eq!(lines.len(), 1, "{checked:?}");
    assert!(lines[0].contains("all.cedar:1") && lines[0].contains("Action::\"call_tool\""));
    let gateway = setup.start().await;
    let told = |place: &str| {
        let log = gateway.log();
        log.lines().filter(|line| line.contains(words) && line.contains(place)).count()
    };
    assert_eq!(told("all.cedar:1"), 1, "{}", gateway.log());
    gateway.write("policies/more.cedar", "permit (principal is Agent, action, resource);");
    eventually("the other warning", || async { (told("more.cedar:1") == 1).then_some(()) }).await;
    assert_eq!((told("all.cedar:1"), told("named.cedar")), (1, 0), "{}", gateway.log());
}
