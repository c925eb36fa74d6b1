//! What tokens are good for, and when they are not any more.

use hyper::Method;
use serde_json::{Value, json};

use super::bed::{Bed, OWNER, field};
use crate::support::{Client, EventStream, eventually, modern_params};

async fn listen(client: &Client) -> EventStream {
    let params = modern_params(json!({ "notifications": { "toolsListChanged": true } }));
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params });
    let headers = Client::modern_headers("subscriptions/listen", &params);
    let mut stream = client.stream(Method::POST, &headers, body.to_string()).await;
    assert_eq!(stream.status, 200);
    assert!(stream.next().await.is_some(), "it begins with what is listened to");
    stream
}

#[tokio::test]
async fn a_token_is_good_for_its_virtual_mcp_and_nothing_else() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let main = bed.connect("main", &client, "mcp").await;
    let other = bed.connect("other", &client, "mcp").await;
    for (tokens, vmcp, status) in [
        (&main, "main", 200),
        (&main, "other", 401),
        (&other, "other", 200),
        (&other, "main", 401),
        (&main, "nothing", 401),
    ] {
        let answer = bed.with(vmcp, tokens).request("tools/list", json!({})).await;
        assert_eq!(answer.status, status, "{vmcp}");
    }
    // Nor is it good for administration, nor a refresh token for anything but refreshing.
    let access = main["access_token"].as_str().unwrap();
    assert_eq!(
        bed.at("/api/v1/status").with_key(access).send(Method::GET, &[], "").await.status,
        401
    );
    let refresh = json!({ "access_token": main["refresh_token"] });
    assert_eq!(bed.with("main", &refresh).request("tools/list", json!({})).await.status, 401);
    // Never in the query, and never two at once.
    let path = format!("/mcp/main?access_token={access}");
    assert_eq!(bed.at(&path).request("tools/list", json!({})).await.status, 401);
    // One letter changed is another token.
    let (head, tail) = access.split_at(access.len() - 10);
    let letter = if tail.starts_with('A') { 'B' } else { 'A' };
    let flipped = json!({ "access_token": format!("{head}{letter}{}", &tail[1..]) });
    assert_eq!(bed.with("main", &flipped).request("tools/list", json!({})).await.status, 401);
}

#[tokio::test]
async fn revoking_a_grant_ends_its_streams_and_tokens_at_once() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let one = bed.register(&found, "One").await;
    let two = bed.register(&found, "Two").await;
    let first = bed.connect("main", &one, "mcp").await;
    let second = bed.connect("main", &two, "mcp").await;
    let mut ending = listen(&bed.with("main", &first)).await;
    let mut staying = listen(&bed.with("main", &second)).await;

    // The owner revokes one of them on the start page.
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    let card = page.body.split("<section").find(|card| card.contains("Revoke One at"));
    let card = card.unwrap_or_else(|| panic!("nothing to revoke on {}", page.body));
    let is_on_card = |grant: &str| card.contains(grant);
    let mut forms = page.forms().into_iter();
    let form = forms.find(|form| field(form, "grant").is_some_and(is_on_card)).unwrap();
    let page = bed.browser.submit(&page, &form).await;
    assert_eq!(page.status(), 200, "{}", page.text());

    let end = ending.next().await.unwrap();
    assert_eq!(end["result"]["resultType"], "complete", "{end}");
    assert_eq!(ending.next().await, None, "the stream goes on");
    let answer = bed.with("main", &first).request("tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first["refresh_token"].as_str().unwrap()),
        ("client_id", &one),
    ];
    let answer = bed.post(&found.path("token_endpoint"), &fields).await;
    assert_eq!(answer.json()["error"], "invalid_grant");
    // The other one is untouched.
    assert_eq!(bed.with("main", &second).request("tools/list", json!({})).await.status, 200);
    bed.mock.set_tools(vec![crate::support::MockTool::echo("new")]);
    bed.mock.tell("notifications/tools/list_changed", json!({}));
    let told = staying.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert!(!bed.rows("identity:revoke").await.is_empty());
}

#[tokio::test]
async fn a_client_gives_up_its_own_grant_only() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let one = bed.register(&found, "One").await;
    let two = bed.register(&found, "Two").await;
    let tokens = bed.connect("main", &one, "mcp").await;
    let access = tokens["access_token"].as_str().unwrap();
    let path = found.path("revocation_endpoint");
    // Another client's word counts for nothing, and is answered alike.
    let answer = bed.post(&path, &[("token", access), ("client_id", &two)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
    let answer = bed.post(&path, &[("token", "unknown"), ("client_id", &one)]).await;
    assert_eq!(answer.status, 200);
    let answer = bed.post(&path, &[("token", access), ("client_id", &one)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 401);
    // A public client may not ask what tokens are.
    let path = found.path("introspection_endpoint");
    let answer = bed.post(&path, &[("token", access), ("client_id", &one)]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"], "invalid_client");
}

#[tokio::test]
async fn a_refresh_token_that_comes_twice_ends_everything_that_came_of_it() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let first = bed.connect("main", &client, "mcp").await;
    let refresh = |tokens: &Value| {
        let token = tokens["refresh_token"].as_str().unwrap().to_owned();
        let (bed, path, client) = (&bed, found.path("token_endpoint"), client.clone());
        async move {
            let fields = [
                ("grant_type", "refresh_token"),
                ("refresh_token", &*token),
                ("client_id", &*client),
            ];
            bed.post(&path, &fields).await
        }
    };
    let second = refresh(&first).await.json();
    assert_eq!(bed.with("main", &second).request("tools/list", json!({})).await.status, 200);
    let third = refresh(&second).await.json();
    // Two generations old: somebody else has it.
    let answer = refresh(&first).await;
    assert_eq!(answer.json()["error"], "invalid_grant");
    assert_eq!(refresh(&third).await.json()["error"], "invalid_grant");
    assert_eq!(bed.with("main", &third).request("tools/list", json!({})).await.status, 401);
    let rows = bed.rows("identity:token").await;
    let noted = rows.iter().any(|row| row["note"].to_string().contains("refresh_token_replayed"));
    assert!(noted, "{rows:?}");
}

#[tokio::test]
async fn signing_out_ends_a_browser_and_no_client() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let host = bed.gateway.address.ip().to_string();
    let before = bed.browser.cookies(&host);
    let page = bed.browser.open(&format!("{}/logout", bed.base())).await;
    let page = bed.browser.submit(&page, &page.form("Sign out")).await;
    assert!(page.text().contains("You are signed out"), "{}", page.text());
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    assert!(page.text().contains("Password"), "{}", page.text());
    // The cookie of before is worth nothing.
    let copied = bed.stranger();
    before.into_iter().for_each(|cookie| copied.plant(cookie));
    let page = copied.open(&format!("{}/", bed.base())).await;
    assert!(!page.text().contains(&format!("Hello, {OWNER}")), "{}", page.text());
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
}

#[tokio::test]
async fn tokens_and_sessions_survive_a_restart() {
    let bed = Bed::open(|setup| setup).await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let address = bed.gateway.address;
    let (ended, setup) = bed.gateway.stop().await;
    assert!(ended);
    let setup = setup.listening_at(address);
    let gateway = setup.start().await;
    let bed = Bed { gateway, ..bed };
    eventually("the tools", || async {
        let answer = bed.with("main", &tokens).request("tools/list", json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    assert!(page.text().contains(&format!("Hello, {OWNER}")), "{}", page.text());
    assert!(!bed.gateway.log().contains("/welcome/"), "an owner is there already");
}

#[tokio::test]
async fn signing_somebody_out_everywhere_ends_what_acts_for_them() {
    let bed = Bed::open(|setup| setup.key("boss", &[])).await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let tokens = bed.connect("main", &client, "mcp").await;
    let access = bed.with("main", &tokens);
    let mut stream = listen(&access).await;
    let path = format!("/api/v1/users/{OWNER}/sign-out");
    let boss = bed.at(&path).with_key(bed.gateway.key("boss"));
    let done = boss.send(Method::POST, &[], "").await;
    assert_eq!(done.status, 200, "{done:?}");
    let end = stream.next().await.unwrap();
    assert_eq!(end["result"]["resultType"], "complete", "{end}");
    assert_eq!(stream.next().await, None);
    assert_eq!(access.request("tools/list", json!({})).await.status, 401);
    // The browser is signed out as well.
    let page = bed.browser.open(&format!("{}/", bed.base())).await;
    assert!(page.text().contains("Password"), "{}", page.text());
}
