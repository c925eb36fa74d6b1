//! What single sign-on is for: one sign-in for everything, one way in, and out again everywhere.

use serde_json::json;

use super::place::{ACME, BUTTON, Place, echo, over_tls, setup};
use crate::support::{Browser, Cookie, Page, Provider, eventually};

#[tokio::test]
async fn the_provider_is_asked_only_after_a_click_and_once_for_everything() {
    let place = Place::simple().await;
    let browser = Browser::new().stop_at("http://127.0.0.1:33418/");
    place.provider.hits().await;
    let asked = place.ask("main").await;
    let page = browser.open(&asked.url).await;
    assert!(page.text().contains("An application"), "{}", page.text());
    let hits = place.provider.hits().await;
    assert!(!hits.contains_key("/auth"), "asked before anybody has clicked: {hits:?}");

    let page = place.sign_in(&browser, &page, "ae").await;
    for told in ["An application", "127.0.0.1", "ae@example.com"] {
        assert!(page.text().contains(told), "no `{told}`: {}", page.text());
    }
    let page = browser.submit(&page, &page.form("Allow")).await;
    let first = place.redeem(asked, &page).await;
    assert_eq!(place.provider.hits().await.get("/auth"), Some(&1));

    // A second virtual MCP in the same browser costs one click and no sign-in.
    let second = place.connect(&browser, "other").await;
    assert!(place.provider.hits().await.is_empty());
    assert!(!place.call(&first, "main").await.is_tool_error());
    assert!(!place.call(&second, "other").await.is_tool_error());
    // Each token is good where it was asked for.
    assert_eq!(place.call(&first, "other").await.status, 401);
    assert_eq!(place.call(&second, "main").await.status, 401);
}

#[tokio::test]
async fn what_was_allowed_once_is_not_asked_again_unless_any_program_could_pose_as_the_client() {
    let desk = "[clients.desk]\nname = \"Desk assistant\"\n\
                redirect_uris = [\"http://127.0.0.1/callback\"]";
    let place = Place::open("okta", desk, |setup| setup).await;
    let web = "https://app.example.com/callback";
    let browser = Browser::new().stop_at(web).stop_at("http://127.0.0.1:33418/");
    let page = browser.open(&format!("{}/login", place.base())).await;
    place.sign_in(&browser, &page, "ae").await;
    let asked = place.ask_at("main", web).await;
    let page = browser.open(&asked.url).await;
    assert!(page.text().contains("app.example.com"), "{}", page.text());
    let page = browser.submit(&page, &page.form("Allow")).await;
    assert!(page.query("code").is_some(), "{}", page.url);
    let page = browser.open(&asked.url).await;
    assert!(page.query("code").is_some(), "asked again: {}", page.text());
    let app = place.redeem(asked, &page).await;
    assert!(!place.call(&app, "main").await.is_tool_error());
    // Another application is another question, and what was refused stays so.
    let other = place.ask_at("main", web).await;
    let page = browser.open(&other.url).await;
    let page = browser.submit(&page, &page.form("Cancel")).await;
    assert_eq!(page.query("error").as_deref(), Some("access_denied"), "{}", page.url);
    assert!(!browser.open(&other.url).await.forms().is_empty(), "it is asked again");

    // What it is called is no secret, and it is on the person's own machine.
    let local = place.ask("main").await;
    let (_, rest) = local.url.split_once("client_id=dyn_").unwrap();
    let id = format!("dyn_{}", rest.split('&').next().unwrap());
    for _ in 0..2 {
        let page = browser.open(&local.url.replace(&id, "desk")).await;
        let page = browser.submit(&page, &page.form("Allow")).await;
        assert!(page.query("code").is_some(), "{}", page.url);
    }
}

#[tokio::test]
async fn an_enforced_provider_is_the_only_way_in() {
    let enforced = "[sign_in]\nprovider = \"acme\"";
    let place = Place::open("okta", enforced, |setup| setup).await;
    let browser = Browser::new();
    let page = browser.open(&format!("{}/login", place.base())).await;
    assert_eq!(page.forms().len(), 1, "{}", page.body);
    assert_eq!(page.forms()[0].buttons(), [BUTTON]);
    assert!(!page.body.contains("type=\"password\""));
    // Nor by whoever writes the form themselves.
    let form = page.form(BUTTON).set("email", "ae@example.com").set("password", "any password");
    let answer = browser.submit(&page, &form.send_to("/login/password")).await;
    assert!(answer.status() >= 400, "{}", answer.text());
    // No link to make an account with was made.
    assert!(!place.gateway.log().contains("/welcome/"), "{}", place.gateway.log());
}

#[tokio::test]
async fn who_is_signed_out_at_the_provider_is_signed_out_here_and_so_are_their_clients() {
    let place = Place::simple().await;
    let (browser, _) = place.member("ae").await;
    let mut app = place.connect(&browser, "main").await;
    assert!(!place.call(&app, "main").await.is_tool_error());

    assert_eq!(place.provider.sign_out("ae").await, 1, "the gateway wants to know");
    eventually("the token's end", || async {
        (place.call(&app, "main").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(app.refresh().await.status, 400);
    let home = browser.open(&format!("{}/", place.base())).await;
    assert!(!home.text().contains("ae@example.com"), "{}", home.text());
    // Whoever else is signed in stays so.
    place.knows("bob", json!({})).await;
    let (other, _) = place.member("bob").await;
    assert_eq!(place.provider.sign_out("ae").await, 0);
    let home = other.open(&format!("{}/", place.base())).await;
    assert!(home.text().contains("bob@example.com"), "{}", home.text());
}

#[tokio::test]
async fn who_says_no_at_the_provider_is_told_so_and_nothing_is_left() {
    let place = Place::simple().await;
    let browser = Browser::new();
    let page = browser.open(&format!("{}/login", place.base())).await;
    let there = browser.submit(&page, &page.form(BUTTON)).await;
    let back = browser.submit(&there, &there.form("Cancel")).await;
    assert!(back.url.as_str().starts_with(&place.base()), "{}", back.url);
    assert!(back.status() >= 400 && !back.header("content-security-policy").is_empty());
    let home = browser.open(&format!("{}/", place.base())).await;
    assert!(!home.text().contains("ae@example.com"), "{}", home.text());
}

#[tokio::test]
async fn an_answer_that_another_browser_brings_back_signs_nobody_in() {
    let place = Place::simple().await;
    // Somebody signs in at the provider, and keeps the answer from their browser.
    let callback = format!("{}/login/acme/callback", place.base());
    let thief = Browser::new().stop_at(&callback);
    let page = thief.open(&format!("{}/login", place.base())).await;
    let answer = place.sign_in(&thief, &page, "ae").await;
    assert!(answer.query("code").is_some(), "{}", answer.url);
    // Somebody else's opens it.
    let victim = Browser::new();
    let page = victim.open(answer.url.as_str()).await;
    assert!(page.status() >= 400, "{}", page.text());
    let home = victim.open(&format!("{}/", place.base())).await;
    assert!(!home.text().contains("ae@example.com"), "{}", home.text());
}

#[tokio::test]
async fn a_form_that_no_page_of_ours_has_made_does_nothing() {
    let place = Place::simple().await;
    let (browser, _) = place.member("ae").await;
    let asked = place.ask("main").await;
    let page = browser.open(&asked.url).await;
    let refused = browser.submit(&page, &page.form("Allow").without("csrf")).await;
    assert!(refused.status() >= 400, "{}", refused.text());
    // One that another site's page sends, with everything that is on ours.
    let form = page.form("Allow").send_to(&format!("{}/oauth/consent", place.base()));
    let elsewhere = Page { url: "https://evil.example/".parse().unwrap(), ..page.clone() };
    let elsewhere = Page { headers: Default::default(), ..elsewhere };
    let refused = browser.submit(&elsewhere, &form).await;
    assert!(refused.status() >= 400, "{}", refused.text());
    // The person's own still does.
    let page = browser.submit(&page, &page.form("Allow")).await;
    let app = place.redeem(asked, &page).await;
    assert!(!place.call(&app, "main").await.is_tool_error());
}

#[tokio::test]
async fn over_tls_cookies_are_kept_to_the_host() {
    let (provider, mock) = tokio::join!(Provider::start("okta"), echo());
    let (setup, certificate) = over_tls(setup(&provider, &mock, ""));
    let gateway = setup.start().await;
    let base = format!("https://{}", gateway.address);
    provider.register(&base, ACME).await;
    provider.person("ae", json!({ "email": "ae@example.com", "email_verified": true })).await;
    let browser = Browser::new().trust(certificate);
    let page = browser.open(&format!("{base}/login")).await;
    let page = browser.submit(&page, &page.form(BUTTON)).await;
    let page = provider.sign_in(&browser, &page, "ae").await;
    assert!(page.text().contains("ae@example.com"), "{}", page.text());
    let own = browser.cookies("127.0.0.1").into_iter().filter(|it| it.name.contains("tidegate"));
    let own: Vec<Cookie> = own.collect();
    assert!(own.iter().any(|cookie| cookie.name == "__Host-tidegate"), "{own:?}");
    for cookie in own {
        assert!(cookie.name.starts_with("__Host-"), "{cookie:?}");
        for attribute in ["secure", "httponly", "samesite=lax"] {
            assert!(cookie.has(attribute), "no {attribute}: {cookie:?}");
        }
    }
    assert!(page.policy("frame-ancestors").is_some_and(|who| who == ["'none'"]));
}
