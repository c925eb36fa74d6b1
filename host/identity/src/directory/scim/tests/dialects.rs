//! Users and groups as Okta and Entra send them.

use super::*;

const ANN: &str = "Users/ann@example.com";

#[tokio::test]
async fn a_user_as_okta_sends_them() {
    let office = Office::new().await;
    let list = "Users?filter=userName eq \"Ann@Example.com\"&startIndex=1&count=100";
    assert_eq!(office.done("GET", list, Value::Null).await.body["totalResults"], 0);
    let user = json!({
        "schemas": [USER],
        "userName": "Ann@Example.com",
        "name": { "givenName": "Ann", "familyName": "van den Berg" },
        "emails": [
            { "primary": false, "type": "home", "value": "ann@home.example" },
            { "primary": true, "type": "work", "value": "Ann.Berg@Example.com" },
        ],
        "displayName": "Ann Berg",
        "locale": "en-US",
        "externalId": "00u1ab",
        "groups": [],
        "password": "a canary",
        "active": true,
    });
    let said = office.done("POST", "Users", user.clone()).await;
    assert_eq!(said.status, 201);
    let expected = "https://mcp.example.com/scim/v2/Users/ann@example.com";
    assert_eq!(said.location.as_deref(), Some(expected));
    assert!(!format!("{said:?}").contains("canary"));
    let created = said.body.clone();
    assert_eq!(created["meta"]["location"], expected);
    assert_eq!(created["meta"]["version"], said.etag.unwrap());
    assert_eq!(created["meta"]["created"], "1970-01-01T00:16:40.000Z");
    for (name, expected) in [
        ("id", json!("ann@example.com")),
        ("userName", json!("ann@example.com")),
        ("externalId", json!("00u1ab")),
        ("active", json!(true)),
        ("displayName", json!("Ann Berg")),
        ("emails", json!([{ "value": "ann.berg@example.com", "type": "work", "primary": true }])),
        (
            "name",
            json!({ "formatted": "Ann Berg", "givenName": "Ann", "familyName": "van den Berg" }),
        ),
    ] {
        assert_eq!(created[name], expected, "{name}");
    }
    let found = office.done("GET", list, Value::Null).await.body;
    assert_eq!(found["Resources"], json!([created]));
    assert_eq!(office.done("GET", ANN, Value::Null).await.body, created);
    // The same name again, and another name with the same id of the directory.
    office.refused("POST", "Users", user.clone(), (409, "uniqueness")).await;
    let mut other = user.clone();
    (other["userName"], other["emails"]) = (json!("bob@example.com"), json!([]));
    office.refused("POST", "Users", other, (409, "uniqueness")).await;

    // A profile is pushed as a whole; roles that an administrator gave stay.
    let directory = &office.bench.directory;
    let ann = id("ann@example.com");
    let give = directory.change(&ann, |user| {
        user.roles = vec!["auditor".into()];
        Ok(())
    });
    give.await.unwrap();
    let mut pushed = user.clone();
    pushed["name"]["familyName"] = json!("Example");
    pushed["displayName"] = json!("Ann Example");
    pushed["id"] = json!("ann@example.com");
    let said = office.done("PUT", ANN, pushed).await;
    assert_eq!(said.body["name"]["familyName"], "Example");
    assert_eq!(said.body["roles"], json!([{ "value": "auditor" }]));
    assert!(said.note.contains("\"Ann Berg\" -> \"Ann Example\""), "{}", said.note);
    // Deactivation comes as a patch without a path.
    let off = json!([{ "op": "replace", "value": { "active": false } }]);
    assert_eq!(office.done("PATCH", ANN, patch(off)).await.body["active"], false);
    assert!(!office.user("ann@example.com").active);
    let on = json!([{ "op": "replace", "value": { "active": true } }]);
    assert_eq!(office.done("PATCH", ANN, patch(on)).await.body["active"], true);
}

#[tokio::test]
async fn a_user_as_entra_sends_them() {
    const MORE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let office = Office::new().await;
    let user = json!({
        "schemas": [USER, MORE],
        "externalId": "5a1b",
        "userName": "ann@example.com",
        "active": true,
        "displayName": "Ann Example",
        "emails": [{ "primary": true, "type": "work", "value": "ann@example.com" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "Ann Example", "familyName": "Example", "givenName": "Ann" },
        "roles": [],
        "title": "Analyst",
        MORE: { "department": "Sales", "manager": { "value": "x" } },
    });
    assert_eq!(office.done("POST", "Users", user).await.status, 201);
    for filter in [
        "externalId eq \"5a1b\"",
        "emails[type eq \"work\"].value eq \"Ann@example.com\"",
        "userName eq \"ann@example.com\" and active eq true",
        "externalId eq \"5a1b\" and userName eq \"ann@example.com\"",
        "emails eq \"ann@example.com\"",
        "name.familyName sw \"exam\"",
        "active eq \"True\"",
        "id pr and not (displayName eq \"Bob\")",
    ] {
        let found = office.done("GET", &format!("Users?filter={filter}"), Value::Null).await.body;
        assert_eq!(found["totalResults"], 1, "{filter}: {found}");
    }
    for filter in [
        "externalId eq \"5A1B\"",
        "emails[type eq \"home\"].value eq \"ann@example.com\"",
        "userName eq \"ann@example.com\" and active eq false",
        "roles pr",
    ] {
        let found = office.done("GET", &format!("Users?filter={filter}"), Value::Null).await.body;
        assert_eq!(found["totalResults"], 0, "{filter}: {found}");
    }

    // Changes come as many operations, with texts for booleans and paths in brackets.
    let many = json!([
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "Ann2@example.com" },
        { "op": "Add", "path": "name.familyName", "value": "Other" },
        { "op": "Add", "path": "emails[type eq \"home\"].value", "value": "x@home.example" },
        { "op": "Add", "path": "addresses[type eq \"work\"].formatted", "value": "Street 1" },
        { "op": "Add", "path": format!("{MORE}:department"), "value": "Legal" },
        { "op": "Replace", "path": "title", "value": "Boss" },
        { "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "auditor" },
        { "op": "Remove", "path": "externalId" },
    ]);
    let body = office.done("PATCH", ANN, patch(many)).await.body;
    assert_eq!(body["emails"][0]["value"], "ann2@example.com");
    // The name followed its parts, and goes on doing so.
    assert_eq!(body["displayName"], "Ann Other");
    assert_eq!(body["roles"], json!([{ "value": "auditor" }]));
    assert_eq!(body.get("externalId"), None);
    let plain = json!([{ "op": "Add", "value": {
        "displayName": "A. Other",
        "name.givenName": "Anna",
        "emails[type eq \"work\"].value": "ann3@example.com",
        "externalId": "5a1b",
        "something of ours": 1,
    } }]);
    let body = office.done("PATCH", ANN, patch(plain)).await.body;
    assert_eq!(
        (&body["displayName"], &body["name"]["givenName"]),
        (&json!("A. Other"), &json!("Anna"))
    );
    assert_eq!(body["emails"][0]["value"], "ann3@example.com");
    // The oldest dialect.
    let old = json!([{ "op": "Replace", "path": "active", "value": [{ "$ref": null, "value": "False" }] }]);
    assert_eq!(office.done("PATCH", ANN, patch(old)).await.body["active"], false);
    let roles = json!([{ "op": "Remove", "path": "roles[value eq \"auditor\"]" }]);
    assert_eq!(office.done("PATCH", ANN, patch(roles)).await.body.get("roles"), None);
}

#[tokio::test]
async fn groups_as_both_send_them() {
    let office = Office::new().await;
    for name in ["ann@example.com", "bob@example.com", "eve@example.com"] {
        office.add(name).await;
    }
    let group = office.group("Analysts", &["ann@example.com"]).await;
    let target = format!("Groups/{group}");
    let ann = || office.bench.directory.user(&id("ann@example.com")).unwrap();
    assert!(ann().has_role("analyst") && ann().groups.iter().any(|name| name == "Analysts"));
    let found = office
        .done(
            "GET",
            "Groups?filter=displayName eq \"analysts\"&excludedAttributes=members",
            Value::Null,
        )
        .await
        .body;
    assert_eq!(found["totalResults"], 1);
    assert_eq!(found["Resources"][0].get("members"), None);
    assert_eq!(
        office.done("GET", &target, Value::Null).await.body["members"],
        json!([{ "value": "ann@example.com", "type": "User" }])
    );
    // Entra asks so whether somebody is in it.
    for (member, expected) in [("Ann@example.com", 1), ("bob@example.com", 0), ("nobody", 0)] {
        for name in ["members", "members.value"] {
            let asked = format!("Groups?filter=id eq \"{group}\" and {name} eq \"{member}\"");
            let found = office.done("GET", &asked, Value::Null).await.body;
            assert_eq!(found["totalResults"], expected, "{asked}");
            let asked = format!("Groups?filter={name} eq \"{member}\"&attributes=id");
            let found = office.done("GET", &asked, Value::Null).await.body;
            assert_eq!(found["totalResults"], expected, "{asked}");
        }
    }
    let shown = office.done("GET", ANN, Value::Null).await.body;
    assert_eq!(shown["groups"], json!([{ "value": group, "display": "Analysts" }]));

    let steps: [(Value, &[&str]); 9] = [
        // Entra, one and several.
        (
            json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": "bob@example.com" }] }]),
            &["ann@example.com", "bob@example.com"],
        ),
        (
            json!([{ "op": "Remove", "path": "members", "value": [{ "value": "bob@example.com" }] }]),
            &["ann@example.com"],
        ),
        // Okta.
        (
            json!([{ "op": "remove", "path": "members[value eq \"ann@example.com\"]" },
                { "op": "add", "path": "members", "value": [
                    { "value": "Eve@example.com", "display": "Eve" }, { "value": "bob@example.com" }] }]),
            &["bob@example.com", "eve@example.com"],
        ),
        // Who is not in it is not taken out, and who is in it is not put in twice.
        (
            json!([{ "op": "remove", "path": "members[value eq \"nobody\"]" },
                { "op": "add", "path": "members", "value": { "value": "eve@example.com" } }]),
            &["bob@example.com", "eve@example.com"],
        ),
        (
            json!([{ "op": "replace", "path": "members", "value": [{ "value": "ann@example.com" }] }]),
            &["ann@example.com"],
        ),
        (
            json!([{ "op": "add", "value": { "members": [{ "value": "bob@example.com" }] } }]),
            &["ann@example.com", "bob@example.com"],
        ),
        (
            json!([{ "op": "remove", "path": "members[value eq \"ann@example.com\" or value eq \"x\"]" }]),
            &["bob@example.com"],
        ),
        (json!([{ "op": "remove", "path": "members" }]), &[]),
        (
            json!([{ "op": "replace", "value": { "id": group, "displayName": "Readers",
            "members": [{ "value": "ann@example.com" }] } }]),
            &["ann@example.com"],
        ),
    ];
    for (operations, expected) in steps {
        let shown = operations.to_string();
        let said = office.done("PATCH", &target, patch(operations)).await;
        assert_eq!((said.status, said.body), (204, Value::Null));
        assert_eq!(office.members(&group), expected, "{shown}");
    }
    // Another name is another group to policies.
    assert!(!ann().has_role("analyst") && ann().groups.iter().any(|name| name == "Readers"));
    let whole = json!({ "displayName": "Analysts", "externalId": "g-1",
        "members": [{ "value": "bob@example.com" }] });
    let said = office.done("PUT", &target, whole).await;
    assert!(said.note.contains("\"Readers\" -> \"Analysts\""), "{}", said.note);
    assert!(said.note.contains("put in [bob@example.com]; took out [ann@example.com]"));
    assert_eq!(said.body["externalId"], "g-1");
    let found = office.done("GET", "Groups?filter=externalId eq \"g-1\"", Value::Null).await.body;
    assert_eq!(found["totalResults"], 1);
    let asked = format!("{target}?attributes=displayName");
    let nothing = patch(json!([{ "op": "add", "path": "members", "value": [] }]));
    let said = office.done("PATCH", &asked, nothing).await;
    assert_eq!(said.body["displayName"], "Analysts");
    assert_eq!((said.body.get("members"), said.body.get("meta")), (None, None));
    office.done("DELETE", &target, Value::Null).await;
    office.refused("GET", &target, Value::Null, (404, "")).await;
    assert!(office.bench.directory.user(&id("bob@example.com")).unwrap().groups.is_empty());
}
