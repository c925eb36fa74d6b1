//! Every role on every route.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::Value;

use super::{CALLERS, Office};
use crate::support::{Client, Setup};

/// The actions of each role; an owner has all of them.
const ROLES: [(&str, &[&str]); 7] = [
    (
        "admin",
        &[
            "config_apply",
            "config_read",
            "status",
            "audit_read",
            "plugin_logs",
            "key_create",
            "key_read",
            "key_revoke",
            "user_read",
            "user_write",
            "role_assign",
            "group_read",
            "group_write",
            "client_read",
            "client_write",
            "grant_read",
            "grant_revoke",
            "session_read",
            "session_end",
        ],
    ),
    ("policy-author", &["config_read"]),
    ("plugin-developer", &["config_read", "plugin_logs", "status"]),
    ("auditor", &["audit_read", "config_read", "payload_read", "status"]),
    ("member", &[]),
    ("nobody", &[]),
    ("agent", &[]),
];

/// A route as the gateway describes it: method, path without parameters, action.
struct Described {
    method: Method,
    path: String,
    action: Option<String>,
}

async fn described(office: &Office) -> Vec<Described> {
    let open = Client::new(office.gateway.address, "/api/v1/openapi.json");
    let document = open.send(Method::GET, &[], "").await.json();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // Nothing is called that: what may be done finds nothing, or a body that is none.
            let filled: Vec<&str> = path
                .split('/')
                .map(|part| if part.starts_with('{') { "zz" } else { part })
                .collect();
            let action = operation.get("x-tidegate-action").and_then(Value::as_str);
            routes.push(Described {
                method: method.to_uppercase().parse().unwrap(),
                path: filled.join("/").strip_prefix("/api/v1").unwrap().to_owned(),
                action: action.map(|action| action.strip_prefix("admin:").unwrap().to_owned()),
            });
        }
    }
    routes
}

fn may(caller: &str, action: Option<&str>) -> bool {
    match (caller, action) {
        // Whose key is for virtual MCPs has no business here, whatever their roles.
        ("limited", _) => false,
        ("owner", _) | (_, None) => true,
        (role, Some(action)) => {
            let (_, actions) = ROLES.iter().find(|(known, _)| *known == role).unwrap();
            actions.contains(&action)
        }
    }
}

#[tokio::test]
async fn every_role_on_every_route() {
    let office = Office::open(Setup::new()).await;
    let routes = described(&office).await;
    assert!(routes.len() >= 40, "{}", routes.len());
    let mut refused = Vec::new();
    for route in &routes {
        for (caller, ..) in CALLERS {
            let client = office.client(caller, &route.path);
            // An object that no route takes, so that nothing is changed by whoever may.
            let response = client.send(route.method.clone(), &[], "{\"no-such-member\":1}").await;
            let (status, action) = (response.status.as_u16(), route.action.as_deref());
            let what = format!("{caller}: {} {} -> {response:?}", route.method, route.path);
            if may(caller, action) {
                assert!([200, 400, 404].contains(&status), "{what}");
            } else {
                assert_eq!(status, 403, "{what}");
                assert_eq!(response.json()["code"], "policy_denied", "{what}");
                refused.push((caller, format!("{} /api/v1{}", route.method, route.path)));
            }
        }
        for credential in [None, Some("tg_x_y"), Some("a.b.c"), Some("")] {
            let open = Client::new(office.gateway.address, &format!("/api/v1{}", route.path));
            let client = credential.map_or(open.clone(), |key| open.with_key(key));
            let response = client.send(route.method.clone(), &[], "{}").await;
            assert_eq!(response.status, 401, "{credential:?} {} {}", route.method, route.path);
            assert!(response.header("www-authenticate").starts_with("Bearer "), "{response:?}");
        }
    }
    // Each refusal has its row: who, and what they tried.
    let rows = office.gateway.audit().await;
    let rows: BTreeSet<(String, String)> = rows
        .iter()
        .filter(|row| row["status"] == "refused" && row["code"] == "policy_denied")
        .map(|row| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&row["caller"]["key"]), text(&row["note"]))
        })
        .collect();
    for (caller, what) in refused {
        assert!(rows.contains(&(caller.to_owned(), what.clone())), "no row: {caller} {what}");
    }
}

#[tokio::test]
async fn what_the_gateway_says_of_roles_is_what_the_matrix_found() {
    let office = Office::open(Setup::new()).await;
    let roles = office.done("admin", Method::GET, "/roles", Value::Null).await;
    let routes = described(&office).await;
    let actions: BTreeSet<&str> = routes.iter().filter_map(|it| it.action.as_deref()).collect();
    for (role, expected) in ROLES.iter().take(5) {
        let of = roles["roles"].as_array().unwrap().iter().find(|it| it["name"] == *role).unwrap();
        let may = of["may"].as_array().unwrap();
        let may = may.iter().map(|it| it.as_str().unwrap().strip_prefix("admin:").unwrap());
        let may: BTreeSet<&str> = may.filter(|action| actions.contains(action)).collect();
        assert_eq!(may, expected.iter().copied().collect(), "{role}");
    }
    // What a caller is told of themselves is the same.
    let me = office.done("auditor", Method::GET, "/me", Value::Null).await;
    let may: Vec<&str> = me["may"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(
        may,
        ["admin:config_read", "admin:status", "admin:audit_read", "admin:payload_read"]
    );
    assert_eq!(me["user"], "august@example.com");
}

#[tokio::test]
async fn a_forbid_of_the_organisation_wins_over_the_role() {
    let forbid = "forbid (principal, action == Action::\"admin:user_read\", resource)\n\
                  unless { context.auth == \"admin_socket\" };";
    let office = Office::open(Setup::new().policy("closed", forbid)).await;
    office.refused("owner", (Method::GET, "/users"), Value::Null, 403).await;
    office.done("owner", Method::GET, "/groups", Value::Null).await;
    let output = office.gateway.cli(&["user", "list"]).await;
    assert!(output.ok, "{output:?}");
}
