//! A team that shares a virtual MCP, and a person who is shown the door: what an administrator
//! does once counts for everybody it is about, at once.

use futures_util::{StreamExt, stream};
use hyper::Method;
use serde_json::{Value, json};

use super::place::{App, Asked, BUTTON, Place};
use crate::support::{Browser, Client, EventStream, Page, eventually, modern_params};

/// Where the application of these tests waits for answers.
const CALLBACK: &str = "http://127.0.0.1:33418/callback";

/// `main` is the team's, `other` is for whoever has the role that the group gives.
const SHARED: &str = r#"
permit(principal, action in [Action::"connect", Action::"list", Action::"call_tool"], resource);
forbid(principal, action == Action::"connect", resource == VirtualMcp::"main")
unless { principal in Group::"team" };
forbid(principal, action == Action::"connect", resource == VirtualMcp::"other")
unless { principal in Role::"seller" };
"#;

/// The same before it was shared.
const CLOSED: &str = r#"
permit(principal, action in [Action::"list", Action::"call_tool"], resource);
forbid(principal, action == Action::"connect", resource);
"#;

/// What a command on the gateway's own machine answers.
async fn admin(place: &Place, args: &[&str]) -> Value {
    let output = place.gateway.cli(&[args, &["--json"]].concat()).await;
    assert!(output.ok, "{args:?}: {output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

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

/// The tool is there no more for anybody.
const HIDDEN: &str =
    "title = \"main\"\nconnectors = [\"up\"]\n[[tool]]\nfrom = \"up/echo\"\nhidden = true\n";

/// From an application's question to its answer, with the sign-in that it takes.
async fn connected(place: &Place, asked: &Asked, login: &str) -> (Browser, App) {
    let browser = Browser::new().stop_at(CALLBACK);
    let page = browser.open(&asked.url).await;
    let page = place.sign_in(&browser, &page, login).await;
    let page = browser.submit(&page, &page.form("Allow")).await;
    let app = place.redeem(asked.clone(), &page).await;
    (browser, app)
}

async fn works(place: &Place, app: &App, vmcp: &str) {
    let said = place.call(app, vmcp).await;
    assert_eq!(said.text(), r#"{"message":"hi"}"#, "{vmcp}");
}

/// Whether somebody who is signed in may connect an application.
async fn is_let_in(browser: &Browser, asked: &Asked) -> Option<Page> {
    let page = browser.open(&asked.url).await;
    if page.query("error").as_deref() == Some("access_denied") {
        return None;
    }
    Some(browser.submit(&page, &page.form("Allow")).await)
}

#[tokio::test]
async fn what_is_shared_with_a_group_of_fifty_reaches_each_of_them_and_nobody_else() {
    let roles = "[roles]\nseller = [\"team\"]\n";
    let place = Place::open("okta", roles, |setup| setup.policy("all", CLOSED)).await;
    let team: Vec<String> = (0..50).map(|number| format!("p{number:02}")).collect();
    for login in &team {
        place.knows(login, json!({ "groups": ["team"] })).await;
    }
    place.knows("late", json!({})).await;
    let [main, other] = [place.ask("main").await, place.ask("other").await];
    let (late, _) = place.member("late").await;
    let (first, _) = place.member("p00").await;
    for browser in [&late, &first] {
        assert!(is_let_in(browser, &main).await.is_none());
        assert!(is_let_in(browser, &other).await.is_none());
    }

    // One file shares both: one with the group, one with the role that it gives.
    place.gateway.write("policies/all.cedar", SHARED);
    let page = eventually("the virtual MCP that is shared", || is_let_in(&first, &main)).await;
    let first_app = place.redeem(main.clone(), &page).await;
    works(&place, &first_app, "main").await;
    // All the others know one URL and the company's account.
    let connect = |login: &String| {
        let (place, main, login) = (&place, &main, login.clone());
        async move {
            let (_, app) = connected(place, main, &login).await;
            works(place, &app, "main").await;
            app
        }
    };
    let apps: Vec<App> =
        stream::iter(team.iter().skip(1)).map(connect).buffer_unordered(8).collect().await;
    assert_eq!(apps.len(), 49);
    let page = is_let_in(&first, &other).await.expect("the group gives the role");
    let first_other = place.redeem(other.clone(), &page).await;
    works(&place, &first_other, "other").await;
    for asked in [&main, &other] {
        assert!(is_let_in(&late, asked).await.is_none());
    }

    // Joining counts at once, and so does leaving, for tokens that are out as well.
    let late_id = "late@example.com";
    admin(&place, &["group", "add", "team", "--member", late_id]).await;
    let mut joined = Vec::new();
    for (vmcp, asked) in [("main", &main), ("other", &other)] {
        let page = is_let_in(&late, asked).await.expect("whoever joined is let in");
        let app = place.redeem(asked.clone(), &page).await;
        works(&place, &app, vmcp).await;
        joined.push((vmcp, app));
    }
    admin(&place, &["group", "change", "team", "--remove", late_id]).await;
    for (vmcp, app) in &mut joined {
        let said = place.call(app, vmcp).await;
        assert_eq!(said.status, 404, "{vmcp}: {said:?}");
        assert_eq!(app.refresh().await.status, 400, "{vmcp}");
    }
    // The others did not notice.
    for app in &apps {
        works(&place, app, "main").await;
    }
}

#[tokio::test]
async fn whoever_is_deactivated_is_out_with_everything_that_acts_for_them() {
    let place = Place::simple().await;
    place.knows("bob", json!({})).await;
    let (browser, _) = place.member("ae").await;
    let (others_browser, _) = place.member("bob").await;
    let mut app = place.connect(&browser, "main").await;
    let other = place.connect(&others_browser, "main").await;
    let key = ["key", "create", "own", "--user", "ae@example.com", "--vmcp", "main"];
    let key = admin(&place, &key).await["secret"].clone();
    let keyed = place.gateway.anonymous("main").with_key(key.as_str().unwrap());
    let client = place.gateway.anonymous("main").with_key(app.access_token());
    let mut streams = [listen(&client).await, listen(&keyed).await];
    let mut staying = listen(&place.gateway.anonymous("main").with_key(other.access_token())).await;
    assert!(!place.call(&app, "main").await.is_tool_error());

    let ended = admin(&place, &["user", "deactivate", "ae@example.com"]).await;
    assert_eq!((&ended["sessions"], &ended["grants"]), (&json!(1), &json!(1)));
    for client in [&client, &keyed] {
        assert_eq!(client.request("tools/list", json!({})).await.status, 401);
    }
    for stream in &mut streams {
        let end = stream.next().await.unwrap();
        assert_eq!(end["result"]["resultType"], "complete", "{end}");
        assert_eq!(stream.next().await, None, "the stream goes on");
    }
    let refused = app.refresh().await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]), (400, &json!("invalid_grant")));
    let home = browser.open(&format!("{}/", place.base())).await;
    assert!(!home.text().contains("ae@example.com"), "{}", home.text());
    // Nor does the provider's word let them in again, who are signed in there.
    let page = browser.open(&format!("{}/login", place.base())).await;
    let page = browser.submit(&page, &page.form(BUTTON)).await;
    assert!(page.text().contains("you may not come in here"), "{}", page.text());
    let rows = place.gateway.audit().await;
    let row = rows.iter().rev().find(|row| row["method"] == "admin:user_write").unwrap();
    let said = (&row["status"], &row["caller"]["sign_in"]);
    assert_eq!(said, (&json!("ok"), &json!("admin_socket")));
    let note = row["note"].as_str().unwrap();
    assert!(note.starts_with("user ae@example.com: active true -> false"), "{note}");

    // Whoever else was connected is still; and active again, nothing of before is good.
    assert!(!place.call(&other, "main").await.is_tool_error());
    admin(&place, &["user", "activate", "ae@example.com"]).await;
    assert_eq!(client.request("tools/list", json!({})).await.status, 401);
    assert_eq!(app.refresh().await.status, 400);
    let (browser, _) = place.member("ae").await;
    let again = place.connect(&browser, "main").await;
    assert!(!place.call(&again, "main").await.is_tool_error());
    place.gateway.write("vmcps/main.toml", HIDDEN);
    let told = staying.next().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
}
