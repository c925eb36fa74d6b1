//! Large groups, and many users.

use std::collections::BTreeSet;

use super::*;

fn values(from: usize, to: usize) -> Vec<Value> {
    (from..to).map(|n| json!({ "value": format!("user-{n:05}") })).collect()
}

#[tokio::test]
async fn a_group_of_thousands_takes_a_thousand_at_once() {
    let office = Office::new().await;
    for n in 0..5_000 {
        office.bench.add(&format!("user-{n:05}")).await;
    }
    let body = json!({ "displayName": "all", "members": values(0, 5_000) });
    let id = office.done("POST", "Groups", body).await.body["id"].as_str().unwrap().to_owned();
    let target = format!("Groups/{id}");
    assert_eq!(office.members(&id).len(), 5_000);
    let remove: Vec<_> = (0..1_000)
        .map(|n| json!({ "op": "remove", "path": format!("members[value eq \"user-{n:05}\"]") }))
        .collect();
    office.done("PATCH", &target, patch(json!(remove))).await;
    assert_eq!(office.members(&id).len(), 4_000);
    let change = json!([
        { "op": "add", "path": "members", "value": values(0, 1_000) },
        { "op": "remove", "path": "members", "value": values(1_000, 4_500) },
        { "op": "replace", "path": "displayName", "value": "some" },
    ]);
    // More than one commit takes: carried out in steps that come to the same.
    office.done("PATCH", &target, patch(change)).await;
    let expected: BTreeSet<String> =
        (0..1_000).chain(4_500..5_000).map(|n| format!("user-{n:05}")).collect();
    assert_eq!(office.members(&id).into_iter().collect::<BTreeSet<_>>(), expected);
    let again = office.bench.again().await;
    let stored = again.group(&id).unwrap();
    assert_eq!((stored.name.as_str(), stored.members.len()), ("some", 1_500));

    let page = office.done("GET", "Users?startIndex=4901&count=1000", Value::Null).await.body;
    assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(5_000), &json!(100)));
    let page = office.done("GET", "Users?count=1000", Value::Null).await.body;
    assert_eq!(page["itemsPerPage"], 200);
}
