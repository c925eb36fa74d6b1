//! What is refused, and how.

use super::*;

#[tokio::test]
async fn users_that_cannot_be() {
    let office = Office::new().await;
    office.add("ann@example.com").await;
    let long = "x".repeat(600);
    for (body, expected) in [
        (json!({}), (400, "invalidValue")),
        (json!({ "userName": "" }), (400, "invalidValue")),
        (json!({ "userName": " " }), (400, "invalidValue")),
        (json!({ "userName": null }), (400, "invalidValue")),
        (json!({ "userName": 5 }), (400, "invalidValue")),
        (json!({ "userName": "a\nb" }), (400, "invalidValue")),
        (json!({ "userName": long }), (400, "invalidValue")),
        (json!({ "userName": "owner" }), (400, "invalidValue")),
        (json!({ "userName": "Anonymous" }), (400, "invalidValue")),
        (json!({ "userName": "ANN@example.com" }), (409, "uniqueness")),
        (json!({ "userName": "b", "active": "maybe" }), (400, "invalidValue")),
        (json!({ "userName": "b", "active": 1 }), (400, "invalidValue")),
        (json!({ "userName": "b", "name": "Bob" }), (400, "invalidValue")),
        (json!({ "userName": "b", "displayName": long }), (400, "invalidValue")),
        (json!({ "userName": "b", "displayName": "a\u{1b}[2Jb" }), (400, "invalidValue")),
        (json!({ "userName": "b", "emails": [{ "value": "no address" }] }), (400, "invalidValue")),
        (json!({ "userName": "b", "emails": [{ "value": 7 }] }), (400, "invalidValue")),
        (
            json!({ "userName": "b", "emails": [{ "value": "ann@example.com" }] }),
            (409, "uniqueness"),
        ),
        (json!({ "userName": "b", "roles": [{ "value": "emperor" }] }), (400, "invalidValue")),
        (json!({ "userName": "b", "roles": ["owner"] }), (400, "invalidValue")),
        (json!({ "userName": "b", "roles": ["admin", "owner"] }), (400, "invalidValue")),
        (json!({ "userName": "b", "ROLES": "owner" }), (400, "invalidValue")),
    ] {
        office.refused("POST", "Users", body, expected).await;
    }
    assert_eq!(office.bench.directory.len(), 1);
    let known = json!({ "userName": "b", "roles": ["admin", { "value": "analyst" }] });
    assert_eq!(office.done("POST", "Users", known).await.status, 201);
    for bad in ["", "[]", "{", "5", "{\"userName\":\"c\",\"userName\":\"d\"}", "\u{feff}{}"] {
        let said = office.ask_raw("POST", "Users", bad.as_bytes(), None).await;
        assert_eq!((said.status, &said.body["scimType"]), (400, &json!("invalidSyntax")), "{bad}");
    }
    let deep = format!("{{\"userName\":\"c\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(office.ask_raw("POST", "Users", deep.as_bytes(), None).await.status, 400);
    let said = office.ask_raw("POST", "Users", b"{\"userName\":\"\xff\"}", None).await;
    assert_eq!(said.status, 400);
}

#[tokio::test]
async fn changes_that_cannot_be() {
    let office = Office::new().await;
    office.add("ann@example.com").await;
    office.add("bob@example.com").await;
    let before = office.user("ann@example.com");
    let one =
        |op: Value| patch(json!([{ "op": "replace", "path": "displayName", "value": "New" }, op]));
    for (op, expected) in [
        (json!({ "op": "replace", "path": "userName", "value": "other" }), (400, "mutability")),
        (json!({ "op": "remove", "path": "userName" }), (400, "mutability")),
        (json!({ "op": "replace", "value": { "userName": "other" } }), (400, "mutability")),
        (json!({ "op": "replace", "path": "nothing", "value": 1 }), (400, "invalidPath")),
        (json!({ "op": "replace", "path": "a b", "value": 1 }), (400, "invalidPath")),
        (json!({ "op": "remove", "path": "active" }), (400, "invalidValue")),
        (json!({ "op": "replace", "path": "active", "value": "no" }), (400, "invalidValue")),
        (json!({ "op": "replace", "path": "active", "value": null }), (400, "invalidValue")),
        (json!({ "op": "add", "path": "roles", "value": "owner" }), (400, "invalidValue")),
        (
            json!({ "op": "add", "path": "roles[primary eq \"True\"].value", "value": "owner" }),
            (400, "invalidValue"),
        ),
        (json!({ "op": "add", "path": "emails", "value": "bob@example.com" }), (409, "uniqueness")),
        (json!({ "op": "jump", "path": "active" }), (400, "invalidSyntax")),
    ] {
        office.refused("PATCH", "Users/ann@example.com", one(op), expected).await;
    }
    // All of a patch or nothing.
    assert_eq!(office.user("ann@example.com"), before);
    let other = json!({ "userName": "bob@example.com" });
    office.refused("PUT", "Users/ann@example.com", other.clone(), (400, "mutability")).await;
    office.refused("PUT", "Users/nobody", other, (404, "")).await;
    office.refused("PATCH", "Users/nobody", patch(json!([])), (404, "")).await;
    office.refused("POST", "Users/ann@example.com", json!({}), (405, "")).await;
    office.refused("DELETE", "Users", Value::Null, (405, "")).await;
}

#[tokio::test]
async fn groups_that_cannot_be() {
    let office = Office::new().await;
    office.add("ann@example.com").await;
    let group = office.group("sales", &["ann@example.com"]).await;
    for (body, expected) in [
        (json!({}), (400, "invalidValue")),
        (json!({ "displayName": " " }), (400, "invalidValue")),
        (json!({ "displayName": "sales" }), (409, "uniqueness")),
        (json!({ "displayName": "x", "members": [{ "value": "nobody" }] }), (400, "invalidValue")),
        (json!({ "displayName": "x", "members": [{ "value": group }] }), (400, "invalidValue")),
        (json!({ "displayName": "x", "members": [{ "value": 5 }] }), (400, "invalidValue")),
        (json!({ "displayName": "x", "members": [{}] }), (400, "invalidValue")),
        (json!({ "displayName": "x", "members": 5 }), (400, "invalidValue")),
    ] {
        office.refused("POST", "Groups", body, expected).await;
    }
    assert_eq!(office.bench.directory.groups(None, 10).len(), 1);
    office.group("other", &[]).await;
    let target = format!("Groups/{group}");
    for (op, expected) in [
        (json!({ "op": "remove", "path": "displayName" }), (400, "invalidValue")),
        (json!({ "op": "replace", "path": "displayName", "value": "other" }), (409, "uniqueness")),
        (json!({ "op": "replace", "path": "nothing", "value": 1 }), (400, "invalidPath")),
        (json!({ "op": "remove", "path": "members[display eq \"Ann\"]" }), (400, "invalidFilter")),
        (
            json!({ "op": "add", "path": "members[value eq \"x\"]", "value": {} }),
            (400, "invalidPath"),
        ),
        (json!({ "op": "add", "path": "members", "value": ["nobody"] }), (400, "invalidValue")),
    ] {
        let all = patch(json!([{ "op": "remove", "path": "members" }, op]));
        office.refused("PATCH", &target, all, expected).await;
    }
    office.refused("PUT", &target, json!({ "members": [] }), (400, "invalidValue")).await;
    assert_eq!(office.members(&group), ["ann@example.com"]);
    office.refused("PATCH", "Groups/nothing", patch(json!([])), (404, "")).await;
    office.refused("DELETE", "Groups/nothing", Value::Null, (404, "")).await;
}

#[tokio::test]
async fn lists_that_cannot_be_and_parts_of_them() {
    let office = Office::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        office.add(name).await;
    }
    for (query, expected) in [
        ("filter=password pr", (400, "invalidFilter")),
        ("filter=userName", (400, "invalidFilter")),
        ("filter=userName gt \"a\"", (400, "invalidFilter")),
        ("filter=emails[display eq \"x\"].value pr", (400, "invalidFilter")),
        ("count=many", (400, "invalidValue")),
        ("startIndex=1.5", (400, "invalidValue")),
    ] {
        office.refused("GET", &format!("Users?{query}"), Value::Null, expected).await;
    }
    office.refused("GET", "Groups?filter=userName pr", Value::Null, (400, "invalidFilter")).await;
    for (query, expected, start) in [
        ("", vec!["a", "b", "c", "d", "e"], 1),
        ("?startIndex=2&count=2", vec!["b", "c"], 2),
        ("?startIndex=5&count=2", vec!["e"], 5),
        ("?startIndex=6", vec![], 6),
        ("?startIndex=0&count=1", vec!["a"], 1),
        ("?startIndex=-3&count=1", vec!["a"], 1),
        ("?count=0", vec![], 1),
        ("?count=-1", vec![], 1),
    ] {
        let body = office.done("GET", &format!("Users{query}"), Value::Null).await.body;
        let found: Vec<_> = body["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!(
            (&body["totalResults"], &body["startIndex"]),
            (&json!(5), &json!(start)),
            "{query}"
        );
        assert_eq!(body["itemsPerPage"], expected.len());
    }
    let query =
        "Users?count=1&attributes=userName,urn:ietf:params:scim:schemas:core:2.0:User:active";
    let body = office.done("GET", query, Value::Null).await.body;
    let one = json!({ "schemas": [USER], "id": "a", "userName": "a", "active": true });
    assert_eq!(body["Resources"], json!([one]));
}
