//! People's side in a real browser, over TLS: what they see, and that it works.

use serde_json::{Value, json};
use url::Url;

use super::{
    place::{ACME, BUTTON, Place, echo, get, over_tls, setup},
    window::Window,
};
use crate::support::{Client, Provider, Setup, TestGateway, eventually};

fn base(gateway: &TestGateway) -> String {
    format!("https://{}", gateway.address)
}

fn text(shown: &Value, name: &str) -> String {
    shown[name].as_str().unwrap_or_else(|| panic!("no `{name}`: {shown}")).to_owned()
}

/// Where a client that is written down sends the browser.
fn authorize(gateway: &TestGateway, callback: &str) -> String {
    let url = Url::parse_with_params(
        &format!("{}/oauth/authorize", base(gateway)),
        [
            ("response_type", "code"),
            ("client_id", "desk"),
            ("redirect_uri", callback),
            ("state", "a state"),
            ("scope", "mcp"),
            ("resource", &format!("{}/mcp/main", base(gateway))),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ],
    );
    url.unwrap().into()
}

/// A client that is written down and waits on this machine.
const DESK: &str = "[clients.desk]\nname = \"Desk assistant\"\n\
                    redirect_uris = [\"http://127.0.0.1/callback\"]\n";

#[tokio::test]
async fn a_person_connects_a_client_through_the_organisations_provider() {
    let (provider, mock) = tokio::join!(Provider::start("okta"), echo());
    let gateway = over_tls(setup(&provider, &mock, DESK)).0.start().await;
    provider.register(&base(&gateway), ACME).await;
    let claims = json!({ "email": "ae@example.com", "email_verified": true, "name": "Ada Ek" });
    provider.person("ae", claims).await;
    let window = Window::open("sso").await;
    let callback = window.listen().await;

    let shown = window.go(&authorize(&gateway, &callback)).await;
    assert!(text(&shown, "url").starts_with(&base(&gateway)), "{shown}");
    assert!(text(&shown, "text").contains("Desk assistant"), "{shown}");
    window.picture("1-sign-in").await;
    window.press(BUTTON).await;
    window.arrive(&provider.issuer).await;
    window.fill(json!({ "Account": "ae", "Password": "any" })).await;
    window.press("Sign in").await;
    let shown = window.arrive(&base(&gateway)).await;
    let words = text(&shown, "text");
    for told in ["Desk assistant", "127.0.0.1", "ae@example.com"] {
        assert!(words.contains(told), "no `{told}`: {shown}");
    }
    window.picture("2-consent").await;
    window.press("Allow").await;
    let shown = window.arrive(&callback).await;
    let arrived: Url = text(&shown, "url").parse().unwrap();
    let query: Vec<String> = arrived.query_pairs().map(|(name, _)| name.into_owned()).collect();
    for name in ["code", "state", "iss"] {
        assert!(query.iter().any(|it| it == name), "{arrived}");
    }

    let cookies = window.cookies().await;
    let own = |cookie: &&Value| text(cookie, "name").contains("tidegate");
    let own: Vec<&Value> = cookies.iter().filter(own).collect();
    assert!(!own.is_empty(), "{cookies:?}");
    for cookie in own {
        let bound = text(cookie, "name").starts_with("__Host-") && cookie["path"] == "/";
        let kept = cookie["secure"] == true && cookie["httpOnly"] == true;
        assert!(bound && kept && cookie["sameSite"] == "Lax", "{cookie}");
    }

    let shown = window.go(&format!("{}/", base(&gateway))).await;
    assert!(text(&shown, "text").contains("Ada Ek"), "{shown}");
    window.picture("3-start").await;
    // Out here, and at the provider as well, which asks and sends the person back.
    window.press("Sign out").await;
    window.arrive(&provider.issuer).await;
    window.press("Sign out").await;
    window.arrive(&base(&gateway)).await;
    window.picture("4-signed-out").await;
    let shown = window.go(&format!("{}/", base(&gateway))).await;
    assert!(!text(&shown, "text").contains("ae@example.com"), "{shown}");
}

#[tokio::test]
async fn the_first_owner_makes_an_account_and_signs_in_with_it() {
    let mock = echo().await;
    let setup = Setup::new()
        .remote("up", &mock, "")
        .vmcp("main", &["up"])
        .policy("all", "permit (principal, action, resource);")
        .file("identity.toml", DESK);
    let gateway = over_tls(setup).0.start().await;
    let link = eventually("the link for the first owner", async || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("/welcome/"));
        line.map(|line| line.trim().to_owned())
    })
    .await;
    let window = Window::open("account").await;
    window.go(&link).await;
    window.picture("1-welcome").await;
    let secret = "a gate by the river at noon";
    window.fill(json!({ "E-mail address": "owner@example.com", "Password": secret })).await;
    window.press("Go on").await;
    let shown = window.go(&format!("{}/", base(&gateway))).await;
    if text(&shown, "text").contains("Password") {
        let wrong = json!({ "E-mail address": "owner@example.com", "Password": "wrong password" });
        window.fill(wrong).await;
        window.press("Sign in").await;
        window.picture("2-wrong").await;
        let right = json!({ "E-mail address": "owner@example.com", "Password": secret });
        window.fill(right).await;
        window.press("Sign in").await;
        window.arrive(&base(&gateway)).await;
    }
    let shown = window.go(&format!("{}/", base(&gateway))).await;
    assert!(text(&shown, "text").contains("owner@example.com"), "{shown}");
    window.picture("3-start").await;

    // The link is good once.
    let stranger = Window::open("account-again").await;
    let shown = stranger.go(&link).await;
    assert!(shown["status"].as_u64().is_some_and(|status| status >= 400), "{shown}");
    stranger.picture("1-used-link").await;
}

#[tokio::test]
async fn a_wrong_client_and_a_wrong_redirect_are_told_to_the_person_only() {
    let (provider, mock) = tokio::join!(Provider::start("okta"), echo());
    let gateway = over_tls(setup(&provider, &mock, DESK)).0.start().await;
    let window = Window::open("wrong").await;
    for (name, callback, client) in [
        ("redirect", "https://evil.example/callback", "desk"),
        ("client", "http://127.0.0.1:1/callback", "nobody"),
    ] {
        let url =
            authorize(&gateway, callback).replace("client_id=desk", &format!("client_id={client}"));
        let shown = window.go(&url).await;
        assert!(text(&shown, "url").starts_with(&base(&gateway)), "{shown}");
        assert!(shown["status"].as_u64().is_some_and(|status| status >= 400), "{shown}");
        window.picture(name).await;
    }
}

/// Begins access for a program without a browser; the code that it shows, and where to type it.
async fn begin(place: &Place, client: &str, scope: &str, resource: &str) -> (String, String) {
    let metadata = get(&format!("{}/.well-known/oauth-authorization-server", place.base())).await;
    let endpoint = metadata.json()["device_authorization_endpoint"].as_str().unwrap().to_owned();
    let endpoint: Url = endpoint.parse().unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("client_id", client), ("scope", scope), ("resource", resource)])
        .finish();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let asking = Client::new(place.gateway.address, endpoint.path());
    let answer = asking.send(hyper::Method::POST, &kind, form).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (begun, text) = (answer.json(), |it: &Value| it.as_str().unwrap().to_owned());
    (text(&begun["user_code"]), text(&begun["verification_uri"]))
}

#[tokio::test]
async fn a_program_without_a_browser_is_let_in_after_a_look_at_who_asks() {
    let screen = "[clients.screen]\nname = \"Meeting room screen\"\ndevice_codes = true\n";
    let place = Place::open("okta", screen, |setup| setup).await;
    let (code, at) = begin(&place, "screen", "mcp", &place.gateway.url("main")).await;
    let window = Window::open("device").await;
    window.go(&at).await;
    window.press(BUTTON).await;
    window.arrive(&place.provider.issuer).await;
    window.fill(json!({ "Account": "ae", "Password": "any" })).await;
    window.press("Sign in").await;
    let shown = window.arrive(&at).await;
    assert!(text(&shown, "text").contains("never one that somebody sent you"), "{shown}");
    window.picture("1-code").await;
    window.fill(json!({ "Code": "BBBB-BBBB" })).await;
    let shown = window.press("Go on").await;
    assert_eq!(shown["status"], 400, "{shown}");
    window.fill(json!({ "Code": code })).await;
    let shown = window.press("Go on").await;
    let words = text(&shown, "text");
    let known = "Meeting room screen (set up by an administrator here)";
    for told in [known, code.as_str(), "ae@example.com", "act in your name"] {
        assert!(words.contains(told), "no `{told}`: {shown}");
    }
    window.picture("2-confirm").await;
    let shown = window.press("Allow").await;
    assert!(text(&shown, "text").contains("goes on by itself"), "{shown}");
    window.picture("3-connected").await;
    // The command line is known without anybody's word.
    let (code, at) =
        begin(&place, "tidegate-cli", "admin", &format!("{}/api/v1", place.base())).await;
    window.go(&at).await;
    window.fill(json!({ "Code": code })).await;
    let shown = window.press("Go on").await;
    assert!(text(&shown, "text").contains("the command line of this gateway"), "{shown}");
}
