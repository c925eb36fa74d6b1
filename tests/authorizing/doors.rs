//! What does not open: foreign redirects, forms that are not ours, other browsers, other codes.

use hyper::Method;
use serde_json::json;

use super::bed::{Bed, OWNER, PASSWORD, VERIFIER, field};

#[tokio::test]
async fn whoever_is_not_known_is_sent_nowhere() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let mut table = vec![
        ("client_id", "dyn_unknown".to_owned()),
        ("client_id", String::new()),
        ("client_id", "https://localhost/client.json".to_owned()),
        ("redirect_uri", String::new()),
    ];
    for uri in [
        "http://127.0.0.1:33418/callback/",
        "http://127.0.0.1:33418/Callback",
        "http://127.0.0.1:33418/callback?x=1",
        "http://127.0.0.1:33418/callback#x",
        "http://127.0.0.1:33418/callback/../evil",
        "http://127.0.0.1:33418/%63allback",
        "http://127.0.0.1.evil.example:33418/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://user@127.0.0.1:33418/callback",
        "http://localhost:33418/callback",
        "http://[::1]:33418/callback",
        "https://127.0.0.1:33418/callback",
        "//127.0.0.1:33418/callback",
        "/callback",
        "\\\\evil.example\\callback",
        "http:\\\\127.0.0.1:33418\\callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1:33418/callback\u{0}",
        "http://127.0.0.1:33418/call\tback",
        " http://127.0.0.1:33418/callback",
        "https://evil.example/callback",
    ] {
        table.push(("redirect_uri", uri.to_owned()));
    }
    for (name, value) in table {
        let url = found.authorize(&client, &[(name, &value)]);
        let page = bed.browser.look(&url).await;
        assert_eq!(page.status(), 400, "{name}={value:?}: {}", page.text());
        assert!(page.location().is_none() && page.refresh().is_none(), "{name}={value:?}");
        assert_eq!(page.header("x-frame-options"), "DENY");
    }
    // Twice is worse than wrong.
    let twice =
        format!("{}&redirect_uri=https%3A%2F%2Fevil.example", found.authorize(&client, &[]));
    let page = bed.browser.look(&twice).await;
    assert_eq!(page.status(), 400, "{}", page.text());
    // Another port of the machine is the same program, by the RFC for native apps.
    let moved = found.authorize(&client, &[("redirect_uri", "http://127.0.0.1:40000/callback")]);
    assert_eq!(bed.browser.look(&moved).await.status(), 200);
}

#[tokio::test]
async fn what_else_is_wrong_is_told_to_the_client() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("resource", "", "invalid_target"),
        ("resource", "https://elsewhere.example/mcp/main", "invalid_target"),
    ] {
        let page = bed.browser.open(&found.authorize(&client, &[(name, value)])).await;
        assert!(page.status.is_none(), "{name}={value}: {}", page.text());
        assert_eq!(page.query("error").as_deref(), Some(error), "{name}={value}");
        assert_eq!(page.query("state").as_deref(), Some("a state"), "{name}={value}");
        assert!(page.query("iss").is_some() && page.query("code").is_none());
    }
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_and_verifier() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let other = bed.register(&found, "Another").await;
    let page = bed.browser.open(&found.authorize(&client, &[])).await;
    let page = bed.browser.submit(&page, &page.form("Allow")).await;
    let code = page.query("code").unwrap();
    let token = found.path("token_endpoint");
    let elsewhere = found.resource.replace("/main", "/other");
    let wrong = VERIFIER.replace('d', "e");
    for (name, value, error) in [
        ("code_verifier", wrong.as_str(), "invalid_grant"),
        ("code_verifier", "", "invalid_grant"),
        ("client_id", &other, "invalid_grant"),
        ("redirect_uri", "http://127.0.0.1:1/callback", "invalid_grant"),
        ("resource", &elsewhere, "invalid_target"),
        ("code", "unknown", "invalid_grant"),
        ("grant_type", "password", "unsupported_grant_type"),
    ] {
        let mut form = found.redeem(&client, &code);
        form.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
        let answer = bed.post(&token, &form).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        assert_eq!(answer.json()["error"], error, "{name}");
    }
    let form = found.redeem(&client, &code);
    let answer = bed.post(&token, &form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tokens = answer.json();
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 200);
    // Twice: somebody else has it, so what it gave has ended.
    assert_eq!(bed.post(&token, &form).await.json()["error"], "invalid_grant");
    assert_eq!(bed.with("main", &tokens).request("tools/list", json!({})).await.status, 401);
    // Only a form is taken.
    let json = json!({ "grant_type": "authorization_code" }).to_string();
    let answer = bed.at(&token).send(Method::POST, &[], json).await;
    assert_eq!(answer.json()["error"], "invalid_request");
    assert_eq!(bed.at(&token).send(Method::GET, &[], "").await.status, 405);
}

#[tokio::test]
async fn nobody_elses_page_or_browser_can_agree() {
    let bed = Bed::simple().await;
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let page = bed.browser.open(&found.authorize(&client, &[])).await;
    let form = page.form("Allow");
    // No token, another form's token, another transaction's, another browser's session.
    let other = bed.register(&found, "Another").await;
    let second = bed.browser.open(&found.authorize(&other, &[])).await.form("Allow");
    let sign_out = page.form("Sign out");
    let logout = field(&sign_out, "csrf").unwrap();
    let long = "x".repeat(3_000);
    for (form, status) in [
        (form.clone().without("csrf"), 403),
        (form.clone().set("csrf", logout), 403),
        (form.clone().set("csrf", ""), 403),
        (form.clone().set("request", ""), 400),
        (form.clone().set("request", &long), 400),
        (form.clone().set("request", &field(&second, "request").unwrap()[1..]), 400),
    ] {
        let page = bed.browser.submit(&page, &form).await;
        assert_eq!(page.status(), status, "{}", page.text());
    }
    let stranger = bed.stranger();
    let answer = stranger.submit(&page, &form).await;
    assert_eq!(answer.status(), 400, "{}", answer.text());
    // As another site would send it: with the cookies, if they were sent at all.
    let cookies: Vec<String> = bed
        .browser
        .cookies(&bed.gateway.address.ip().to_string())
        .iter()
        .map(|cookie| format!("{}={}", cookie.name, cookie.value))
        .collect();
    let cookies = cookies.join("; ");
    for from in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("cookie", &*cookies), from];
        let answer = bed.at("/oauth/consent").send(Method::POST, &headers, form.encoded()).await;
        assert_eq!(answer.status, 403, "{from:?}");
    }
    // Agreeing is never a matter of following a link.
    let link = format!("{}/oauth/consent?{}", bed.base(), form.encoded());
    assert_eq!(bed.browser.open(&link).await.status(), 405);
    // And then the person really agrees, or does not.
    let no = bed.browser.submit(&page, &page.form("Cancel")).await;
    assert_eq!(no.query("error").as_deref(), Some("access_denied"));
    let yes = bed.browser.submit(&page, &form).await;
    assert!(yes.query("code").is_some(), "{}", yes.url);
}

#[tokio::test]
async fn a_sign_in_needs_its_own_page_and_leads_only_here() {
    let bed = Bed::simple().await;
    let login = format!("{}/login", bed.base());
    let browser = bed.stranger();
    let page = browser.open(&login).await;
    let form = page.form("Sign in").set("email", OWNER).set("password", PASSWORD);
    for wrong in [form.clone().without("csrf"), form.clone().set("csrf", "AAAA")] {
        let answer = browser.submit(&page, &wrong).await;
        assert_eq!(answer.status(), 403, "{}", answer.text());
    }
    // The page of one browser in another: somebody else's account cannot be slipped in.
    let answer = bed.stranger().submit(&page, &form).await;
    assert_eq!(answer.status(), 403, "{}", answer.text());
    for evil in ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x"] {
        let wish: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let url = format!("{login}?return_to={wish}");
        let page = browser.open(&url).await;
        assert_eq!(field(&page.form("Sign in"), "return_to"), Some("/"), "{evil}");
        let browser = bed.stranger();
        let page = browser.open(&login).await;
        let form = page.form("Sign in").set("email", OWNER).set("password", PASSWORD);
        let page = browser.submit(&page, &form.set("return_to", evil)).await;
        assert_eq!(page.url.as_str(), format!("{}/", bed.base()), "{evil}");
    }
    // Whoever is unknown and whose password is wrong read the same.
    let mut said = Vec::new();
    for (email, password) in [(OWNER, "wrong password"), ("nobody@example.com", PASSWORD)] {
        let page = browser.open(&login).await;
        let form = page.form("Sign in").set("email", email).set("password", password);
        let page = browser.submit(&page, &form).await;
        assert_eq!(page.status(), 401);
        said.push(page.text().replace(email, ""));
    }
    assert_eq!(said[0], said[1]);
    // A cookie that somebody planted is not the session's after signing in.
    let host = bed.gateway.address.ip().to_string();
    let planted = bed.browser.cookies(&host).into_iter().find(|it| it.name == "tidegate").unwrap();
    let browser = bed.stranger();
    browser.plant(planted.clone());
    let page = browser.open(&format!("{}/logout", bed.base())).await;
    browser.submit(&page, &page.form("Sign out")).await;
    browser.plant(planted.clone());
    let page = browser.open(&login).await;
    let form = page.form("Sign in").set("email", OWNER).set("password", PASSWORD);
    browser.submit(&page, &form).await;
    let now = browser.cookies(&host).into_iter().find(|it| it.name == "tidegate").unwrap();
    assert_ne!(now.value, planted.value);
}

#[tokio::test]
async fn programs_of_other_web_sites_may_ask_what_needs_no_cookie_and_nothing_else() {
    let bed = Bed::simple().await;
    let origin = ("origin", "https://inspector.example");
    for path in [
        "/.well-known/oauth-protected-resource/mcp/main",
        "/.well-known/oauth-authorization-server",
        "/oauth/jwks",
    ] {
        let answer = bed.at(path).send(Method::GET, &[origin], "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), "", "{path}");
    }
    for path in ["/oauth/token", "/oauth/register"] {
        let asked = bed.at(path).send(Method::OPTIONS, &[origin], "").await;
        assert_eq!(asked.status, 204, "{path}");
        assert_eq!(asked.header("access-control-allow-origin"), "*", "{path}");
    }
    let found = bed.discover("main").await;
    let client = bed.register(&found, "An application").await;
    let authorize = found.authorize(&client, &[]);
    for path in ["/", "/login", "/logout", "/device", &authorize[bed.base().len()..]] {
        let answer = bed.at(path).send(Method::GET, &[origin], "").await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    // Another host name is nobody's here: DNS that points to this machine gains nothing.
    for path in ["/", "/oauth/jwks", "/.well-known/oauth-authorization-server"] {
        let answer = bed.at(path).send(Method::GET, &[("host", "evil.example")], "").await;
        assert_eq!(answer.status, 403, "{path}");
    }
}
