//! Provisioning as requests and answers: what the big directories send, and what must not work.
//!
//! The requests have the shapes that Okta and Entra document, with data of our own.

use std::sync::Arc;

use model::UserId;
use tidegate_model as model;

use super::*;
use crate::directory::{Bench, Kind, User, id};

mod dialects;
mod refused;
mod size;

/// An organisation and everything that ends with a user.
struct Office {
    bench: Bench,
    settings: Settings,
    key_holders: BTreeSet<UserId>,
    keys: Arc<StoredKeys>,
    server: Arc<AuthorizationServer>,
    browsers: Sessions,
}

/// What came back.
#[derive(Debug)]
struct Said {
    status: u16,
    body: Value,
    etag: Option<String>,
    location: Option<String>,
    note: String,
}

impl Office {
    async fn new() -> Self {
        Self::on(Bench::new().await).await
    }

    async fn on(bench: Bench) -> Self {
        let settings = Settings {
            roles: [("analyst".to_owned(), vec!["Analysts".to_owned()])].into(),
            ..Settings::default()
        };
        bench.directory.settings_changed(&settings);
        let server = AuthorizationServer::open(
            bench.ground.clone(),
            Arc::clone(&bench.directory),
            Arc::new(settings.clone()),
        );
        Self {
            key_holders: BTreeSet::new(),
            keys: StoredKeys::open(&bench.ground).await.unwrap(),
            server: server.await.unwrap(),
            browsers: Sessions::new(bench.ground.clone(), Arc::clone(&bench.directory)),
            settings,
            bench,
        }
    }

    async fn ask(&self, method: &str, target: &str, body: Value, tag: Option<&str>) -> Said {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.ask_raw(method, target, &body, tag).await
    }

    async fn ask_raw(&self, method: &str, target: &str, body: &[u8], tag: Option<&str>) -> Said {
        let url = url::Url::parse(&format!("http://x/{target}")).unwrap();
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let method: Method = method.parse().unwrap();
        let request = ScimRequest {
            method: &method,
            path: target.split('?').next().unwrap(),
            query: &query,
            if_match: tag,
            if_none_match: tag,
            body,
        };
        let scim = Scim {
            key_holders: &self.key_holders,
            issuer: &self.bench.ground.issuer,
            settings: &self.settings,
            directory: &self.bench.directory,
            keys: &self.keys,
            server: &self.server,
            browsers: &self.browsers,
        };
        match scim.answer(&request).await {
            Ok(answer) => Said {
                status: answer.status.as_u16(),
                etag: answer.etag(),
                location: answer.location,
                note: answer.note.unwrap_or_default(),
                body: answer.body.unwrap_or_default(),
            },
            Err(error) => {
                let (status, body) = (error.status.as_u16(), error.body());
                Said { status, body, etag: None, location: None, note: String::new() }
            }
        }
    }

    /// What must be done.
    async fn done(&self, method: &str, target: &str, body: Value) -> Said {
        let said = self.ask(method, target, body, None).await;
        assert!(said.status < 300, "{method} {target}: {said:?}");
        said
    }

    /// What must be refused so.
    async fn refused(&self, method: &str, target: &str, body: Value, expected: (u16, &str)) {
        let shown = body.to_string();
        let said = self.ask(method, target, body, None).await;
        let kind = said.body["scimType"].as_str().unwrap_or_default();
        let found = (said.status, kind);
        assert_eq!(found, expected, "{method} {target} {shown:.200}: {}", said.body);
        assert_eq!(said.body["status"], expected.0.to_string());
        assert!(!said.body["detail"].as_str().unwrap().is_empty());
    }

    async fn add(&self, name: &str) -> Said {
        self.done("POST", "Users", json!({ "schemas": [USER], "userName": name })).await
    }

    /// Adds a group and gives its id.
    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let said = self.done("POST", "Groups", body).await;
        assert_eq!(said.status, 201);
        said.body["id"].as_str().unwrap().to_owned()
    }

    fn user(&self, name: &str) -> User {
        self.bench.directory.user(&id(name)).unwrap().user.clone()
    }

    fn members(&self, group: &str) -> Vec<String> {
        let group = self.bench.directory.group(group).unwrap();
        group.members.iter().map(UserId::to_string).collect()
    }
}

/// A patch.
fn patch(operations: Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": operations,
    })
}

#[tokio::test]
async fn a_version_that_is_not_the_last_changes_nothing() {
    let office = Office::new().await;
    let old = office.add("ann@example.com").await.etag.unwrap();
    let target = "Users/ann@example.com";
    let rename =
        |name: &str| patch(json!([{ "op": "replace", "path": "displayName", "value": name }]));
    let said = office.ask("PATCH", target, rename("Ann"), Some(&old)).await;
    assert_eq!(said.status, 200, "{said:?}");
    let new = said.etag.unwrap();
    assert_ne!(old, new);
    for (method, body) in [
        ("PATCH", rename("Other")),
        ("PUT", json!({ "userName": "ann@example.com" })),
        ("DELETE", Value::Null),
    ] {
        let said = office.ask(method, target, body, Some(&old)).await;
        assert_eq!(said.status, 412, "{method}: {said:?}");
    }
    assert_eq!(office.user("ann@example.com").name.as_deref(), Some("Ann"));
    assert_eq!(office.ask("GET", target, Value::Null, Some(&new)).await.status, 304);
    assert_eq!(office.ask("GET", target, Value::Null, Some(&old)).await.status, 200);

    let group = format!("Groups/{}", office.group("g", &[]).await);
    let old = office.ask("GET", &group, Value::Null, None).await.etag.unwrap();
    let add = || {
        patch(json!([{ "op": "add", "path": "members",
        "value": [{ "value": "ann@example.com" }] }]))
    };
    let said = office.ask("PATCH", &group, add(), Some(&old)).await;
    assert_eq!(said.status, 204, "{said:?}");
    for method in ["PATCH", "DELETE"] {
        assert_eq!(office.ask(method, &group, add(), Some(&old)).await.status, 412, "{method}");
    }
    assert_eq!(office.ask("DELETE", &group, Value::Null, said.etag.as_deref()).await.status, 204);
    let said = office.ask("DELETE", target, Value::Null, Some("*")).await;
    assert_eq!(said.status, 204);
}

#[tokio::test]
async fn agents_and_owners_are_the_gateways_own() {
    let office = Office::new().await;
    let mut bot = office.bench.user("bot");
    bot.kind = Kind::Agent;
    office.bench.directory.add(bot).await.unwrap();
    let mut owner = office.bench.user("olivia@example.com");
    owner.email = Some("olivia@example.com".into());
    owner.roles = vec!["owner".into()];
    office.bench.directory.add(owner).await.unwrap();

    // An agent is nobody here, by whatever way, and keeps its name and its groups.
    for method in ["GET", "DELETE"] {
        office.refused(method, "Users/bot", Value::Null, (404, "")).await;
    }
    office.refused("PUT", "Users/bot", json!({ "userName": "bot" }), (404, "")).await;
    office.refused("POST", "Users", json!({ "userName": "Bot" }), (409, "uniqueness")).await;
    let listed = office.done("GET", "Users?filter=userName eq \"bot\"", Value::Null).await;
    assert_eq!(listed.body["totalResults"], 0);
    let group =
        office.bench.directory.add_group("g", None, [id("bot")].into()).await.unwrap().id.clone();
    let body = json!({ "displayName": "g", "members": [{ "value": "olivia@example.com" }] });
    let said = office.done("PUT", &format!("Groups/{group}"), body).await;
    assert_eq!(said.body["members"].as_array().unwrap().len(), 1, "{}", said.body);
    assert_eq!(office.members(&group), ["bot", "olivia@example.com"]);
    let member = json!({ "displayName": "h", "members": [{ "value": "bot" }] });
    office.refused("POST", "Groups", member, (400, "invalidValue")).await;

    // Nobody becomes an owner, an owner stays one, and keeps their address.
    let target = "Users/olivia@example.com";
    let owner_role = json!({ "userName": "eve", "roles": [{ "value": "owner" }] });
    office.refused("POST", "Users", owner_role, (400, "invalidValue")).await;
    let said = office.done("PUT", target, json!({ "userName": "olivia@example.com", "roles": [] }));
    assert_eq!(said.await.body["roles"], json!([{ "value": "owner" }]));
    // Their own name as address tells nothing new.
    let clear = patch(json!([{ "op": "remove", "path": "emails" }]));
    assert_eq!(office.done("PATCH", target, clear).await.body.get("emails"), None);
    let said = office.done("PUT", target, json!({ "userName": "olivia@example.com" })).await;
    assert_eq!(said.body["emails"][0]["value"], "olivia@example.com");
    let moved = json!([{ "op": "replace", "path": "emails[type eq \"work\"].value",
        "value": "eve@example.com" }]);
    office.refused("PATCH", target, patch(moved), (400, "mutability")).await;
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    office.refused("PATCH", target, patch(off), (409, "")).await;
    office.refused("DELETE", target, Value::Null, (409, "")).await;
    let olivia = office.user("olivia@example.com");
    assert!(olivia.active && olivia.roles == ["owner"]);
    assert_eq!(olivia.email.as_deref(), Some("olivia@example.com"));
}

#[tokio::test]
async fn what_ends_with_a_user_ends() {
    let office = Office::new().await;
    office.add("ann@example.com").await;
    office.bench.clock.pass(5_000);
    let target = "Users/ann@example.com";
    let set =
        |active: Value| patch(json!([{ "op": "Replace", "path": "active", "value": active }]));
    let open = || async {
        let new = crate::login::NewSession {
            user: id("ann@example.com"),
            link: None,
            sid: None,
            auth_time: office.bench.ground.clock.now(),
            amr: vec!["pwd".into()],
            id_token: None,
        };
        let person = office.bench.directory.user(&id("ann@example.com")).unwrap();
        office.browsers.open(&office.settings, &person, new).await.unwrap().cookie
    };
    let cookie = open().await;
    let find = || office.browsers.find(&office.settings, cookie.expose());
    assert!(find().await.unwrap().is_some());
    let said = office.done("PATCH", target, set(json!("False"))).await;
    assert_eq!(said.body["active"], false);
    assert!(said.note.contains("active true -> false"), "{}", said.note);
    assert!(said.note.contains("1 sessions and 0 grants ended"), "{}", said.note);
    assert!(find().await.unwrap().is_none());
    // What was ended stays so when they come back.
    office.done("PATCH", target, set(json!("True"))).await;
    assert!(office.user("ann@example.com").active);
    assert!(find().await.unwrap().is_none());
    assert_eq!(office.user("ann@example.com").not_before, office.bench.ground.clock.now());

    // Saying it again ends what somehow is left.
    office.done("PATCH", target, set(json!(false))).await;
    assert!(office.done("PATCH", target, set(json!(false))).await.note.contains("as before"));
    let said = office.done("DELETE", target, Value::Null).await;
    assert!(said.status == 204 && said.note.contains("removed"), "{said:?}");
    office.refused("GET", target, Value::Null, (404, "")).await;
    office.refused("DELETE", target, Value::Null, (404, "")).await;
}

#[tokio::test]
async fn organisations_do_not_see_each_other() {
    let office = Office::new().await;
    let other =
        Bench::on(office.bench.ground.store.clone(), office.bench.clock.clone(), "acme").await;
    let other = Office::on(other).await;
    office.add("ann@example.com").await;
    let group = office.group("sales", &["ann@example.com"]).await;
    for target in ["Users", "Groups"] {
        assert_eq!(other.done("GET", target, Value::Null).await.body["totalResults"], 0);
    }
    for target in ["Users/ann@example.com".to_owned(), format!("Groups/{group}")] {
        other.refused("GET", &target, Value::Null, (404, "")).await;
        other.refused("DELETE", &target, Value::Null, (404, "")).await;
    }
    let said = other.add("ann@example.com").await;
    let expected = "https://mcp.example.com/o/acme/scim/v2/Users/ann@example.com";
    assert_eq!(said.location.as_deref(), Some(expected));
    other.group("sales", &[]).await;
    other.done("DELETE", "Users/ann@example.com", Value::Null).await;
    assert_eq!(office.members(&group), ["ann@example.com"]);
}

#[tokio::test]
async fn it_says_what_it_can_do() {
    let office = Office::new().await;
    let said = office.done("GET", "ServiceProviderConfig", Value::Null).await.body;
    let supported = |name: &str| said[name]["supported"].as_bool().unwrap();
    let found = ["patch", "bulk", "filter", "changePassword", "sort", "etag"].map(supported);
    assert_eq!(found, [true, false, true, false, false, true]);
    assert_eq!(said["filter"]["maxResults"], 200);
    for kind in ["ResourceTypes", "Schemas"] {
        let all = office.done("GET", kind, Value::Null).await.body;
        assert_eq!(all["totalResults"], 2, "{all}");
        for one in all["Resources"].as_array().unwrap() {
            let target = format!("{kind}/{}", one["id"].as_str().unwrap());
            assert_eq!(&office.done("GET", &target, Value::Null).await.body, one);
        }
        office.refused("GET", &format!("{kind}/Other"), Value::Null, (404, "")).await;
        office.refused("POST", kind, json!({}), (405, "")).await;
    }
    office.refused("POST", "Bulk", json!({}), (501, "")).await;
    for target in ["", "Me", "users", "Users2", "ServiceProviderConfig/x"] {
        let status = office.ask("GET", target, Value::Null, None).await.status;
        assert_eq!(status, 404, "{target}");
    }
}
