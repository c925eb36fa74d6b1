//! Authorization requests, before anybody signs in.

use super::*;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// A page; the browser goes nowhere.
    Page,
    /// The client is told this error, with this state.
    Told(&'static str, Option<&'static str>),
    /// Somebody may be asked.
    Asked,
}

use Ends::{Asked, Page, Told};

const STATE: Option<&str> = Some("st&te");

fn told(error: &'static str) -> Ends {
    Told(error, STATE)
}

type Row = (&'static str, Vec<Edit>, Ends);
type Edit = (&'static str, Option<&'static str>);

fn set(name: &'static str, value: &'static str) -> Vec<Edit> {
    vec![(name, Some(value))]
}

fn without(name: &'static str) -> Vec<Edit> {
    vec![(name, None)]
}

/// Who asks, and where the answer would go.
fn about_the_client() -> Vec<Row> {
    vec![
        ("nothing is wrong", vec![], Asked),
        ("no client", without("client_id"), Page),
        ("empty client", set("client_id", ""), Page),
        ("unknown client", set("client_id", "nobody"), Page),
        ("client that never registered", set("client_id", "dyn_AAAA"), Page),
        ("client twice", set("+client_id", "public"), Page),
        ("another client as well", set("+client_id", "other"), Page),
        ("client of a path", set("client_id", "../public"), Page),
        ("no redirect URI", without("redirect_uri"), Page),
        ("redirect URI twice", set("+redirect_uri", WEB), Page),
        ("foreign redirect URI", set("redirect_uri", "https://evil.example/cb"), Page),
        ("longer redirect URI", set("redirect_uri", "https://app.example/cb/x"), Page),
        ("redirect URI with a slash more", set("redirect_uri", "https://app.example/cb/"), Page),
        ("redirect URI with a query", set("redirect_uri", "https://app.example/cb?x=y"), Page),
        ("redirect URI over http", set("redirect_uri", "http://app.example/cb"), Page),
        ("redirect URI of a user", set("redirect_uri", "https://a@app.example/cb"), Page),
        ("script as redirect URI", set("redirect_uri", "javascript:alert(1)"), Page),
        ("loopback on any port", set("redirect_uri", "http://127.0.0.1:49152/cb"), Asked),
        ("another loopback name", set("redirect_uri", "http://localhost:49152/cb"), Page),
    ]
}

/// What is asked for.
fn about_the_rest() -> Vec<Row> {
    vec![
        ("no response type", without("response_type"), told("invalid_request")),
        ("implicit", set("response_type", "token"), told("unsupported_response_type")),
        ("hybrid", set("response_type", "code token"), told("unsupported_response_type")),
        ("ID token", set("response_type", "id_token"), told("unsupported_response_type")),
        ("response type twice", set("+response_type", "code"), told("invalid_request")),
        ("answer in a fragment", set("response_mode", "fragment"), told("invalid_request")),
        ("answer in a form", set("response_mode", "form_post"), told("invalid_request")),
        ("answer in the query", set("response_mode", "query"), Asked),
        ("no challenge", without("code_challenge"), told("invalid_request")),
        ("empty challenge", set("code_challenge", ""), told("invalid_request")),
        ("no method", without("code_challenge_method"), told("invalid_request")),
        ("plain", set("code_challenge_method", "plain"), told("invalid_request")),
        ("s256", set("code_challenge_method", "s256"), told("invalid_request")),
        ("short challenge", set("code_challenge", "abc"), told("invalid_request")),
        (
            "challenge that is no base64url",
            set("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"),
            told("invalid_request"),
        ),
        (
            "challenge with padding",
            set("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="),
            told("invalid_request"),
        ),
        ("challenge twice", set("+code_challenge", CHALLENGE), told("invalid_request")),
        ("method twice", set("+code_challenge_method", "plain"), told("invalid_request")),
        ("no resource", without("resource"), told("invalid_target")),
        ("resource twice", set("+resource", SUPPORT), told("invalid_target")),
        ("the same resource twice", set("+resource", SALES), told("invalid_target")),
        (
            "foreign resource",
            set("resource", "https://evil.example/mcp/sales"),
            told("invalid_target"),
        ),
        (
            "the gateway as resource",
            set("resource", "https://mcp.example.com"),
            told("invalid_target"),
        ),
        (
            "resource of another organisation",
            set("resource", "https://mcp.example.com/o/acme/mcp/sales"),
            told("invalid_target"),
        ),
        (
            "resource with a fragment",
            set("resource", "https://mcp.example.com/mcp/sales#x"),
            told("invalid_target"),
        ),
        (
            "resource with a query",
            set("resource", "https://mcp.example.com/mcp/sales?x"),
            told("invalid_target"),
        ),
        (
            "resource with an encoded slash",
            set("resource", "https://mcp.example.com/mcp%2Fsales"),
            told("invalid_target"),
        ),
        (
            "resource with a final slash",
            set("resource", "https://mcp.example.com/mcp/sales/"),
            Asked,
        ),
        ("resource in capitals", set("resource", "HTTPS://MCP.EXAMPLE.COM/mcp/sales"), Asked),
        ("no scope", without("scope"), Asked),
        ("unknown scope", set("scope", "mcp everything"), Asked),
        ("scope with two blanks", set("scope", "mcp  mcp:write"), told("invalid_scope")),
        ("scope with quotes", set("scope", "mcp \"x\""), told("invalid_scope")),
        ("scope with a line break", set("scope", "mcp\nadmin"), told("invalid_scope")),
        ("scope twice", set("+scope", "admin"), told("invalid_request")),
        ("request object", set("request", "e30."), told("request_not_supported")),
        (
            "request object elsewhere",
            set("request_uri", "https://evil.example/"),
            told("request_uri_not_supported"),
        ),
        ("registration in passing", set("registration", "{}"), told("registration_not_supported")),
        ("nobody and somebody asked", set("prompt", "none login"), told("invalid_request")),
        ("nobody to be asked", set("prompt", "none"), Asked),
        ("age that is none", set("max_age", "soon"), told("invalid_request")),
        ("age below zero", set("max_age", "-1"), told("invalid_request")),
        ("no state", without("state"), Asked),
        ("state twice", set("+state", "other"), Told("invalid_request", None)),
    ]
}

/// RFC 6749 sections 3.1 and 4.1.2.1, RFC 7636 section 4.4.1, RFC 8707 section 2, RFC 9101,
/// RFC 9700 sections 2.1 and 4.1, OpenID Connect Core section 3.1.2.6.
#[tokio::test]
async fn every_refusal_of_an_authorization_request() {
    let bench = Bench::new().await;
    let query = Bench::query("public", SALES);
    for (name, edits, expected) in about_the_client().into_iter().chain(about_the_rest()) {
        let got = bench.server.check(&bench.settings, &edited(&query, &edits)).await;
        match (got, expected) {
            (Ok(_), Asked) | (Err(RequestRefused::Page(_)), Page) => {}
            (Err(RequestRefused::Redirect(to)), Told(error, state)) => {
                assert!(to.as_str().starts_with("https://app.example/cb?error="), "{name}: {to:?}");
                let answer = answer(&to);
                assert_eq!(answer["error"], error, "{name}");
                assert_eq!(answer["iss"], "https://mcp.example.com", "{name}");
                assert_eq!(answer.get("state").map(String::as_str), state, "{name}");
                assert!(!answer.contains_key("code"), "{name}");
            }
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_carried_along_is_refused_and_not_cut() {
    let bench = Bench::new().await;
    for (length, is_taken) in [(2_048, true), (2_049, false)] {
        let state = "x".repeat(length);
        let query = edited(&Bench::query("public", SALES), &[("state", Some(&state))]);
        match bench.server.check(&bench.settings, &query).await {
            Ok(request) => {
                let denied = bench.server.deny(&request, DenyReason::AccessDenied);
                assert!(is_taken && answer(&denied)["state"] == state);
            }
            Err(RequestRefused::Redirect(to)) => {
                assert!(!is_taken && !answer(&to).contains_key("state"));
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
}

#[tokio::test]
async fn scopes_are_those_of_the_resource_and_the_least_by_default() {
    let bench = Bench::new().await;
    for (resource, scope, expected) in [
        (SALES, None, "mcp"),
        (SALES, Some("mcp:write"), "mcp mcp:write"),
        (SALES, Some("admin"), "mcp"),
        (SALES, Some("openid profile offline_access"), "mcp offline_access"),
        (ADMIN, None, "admin"),
        (ADMIN, Some("mcp mcp:write"), "admin"),
    ] {
        let query = edited(&Bench::query("public", resource), &[("scope", scope)]);
        assert_eq!(bench.request(&query).await.scopes.to_string(), expected, "{scope:?}");
    }
}

#[tokio::test]
async fn a_client_gets_to_ask_for_what_it_can_have() {
    let mut settings = settings();
    let narrow = RegisteredClient { vmcps: vec![vmcp("sales")], ..client(&[WEB], false) };
    settings.clients.insert("narrow".to_owned(), narrow);
    let bench = Bench::with(settings).await;
    let registered = br#"{"redirect_uris":["https://app.example/cb"],"client_name":"Stranger","token_endpoint_auth_method":"none"}"#;
    let source = "192.0.2.1".parse().unwrap();
    let registered = bench.server.clients().register(&bench.settings, source, registered).await;
    let stranger = registered.unwrap().client.id.to_string();
    for (client, resource, is_asked) in [
        ("narrow", SALES, true),
        ("narrow", SUPPORT, false),
        ("narrow", ADMIN, false),
        ("public", ADMIN, true),
        (stranger.as_str(), SALES, true),
        (stranger.as_str(), ADMIN, false),
    ] {
        let got = bench.server.check(&bench.settings, &Bench::query(client, resource)).await;
        match got {
            Ok(_) => assert!(is_asked, "{client} at {resource}"),
            Err(RequestRefused::Redirect(to)) => {
                assert!(!is_asked && answer(&to)["error"] == "invalid_target", "{client}");
            }
            Err(refused) => panic!("{client}: {refused:?}"),
        }
    }
}

#[tokio::test]
async fn the_command_line_asks_for_the_admin_api_unless_it_says_otherwise() {
    let bench = Bench::new().await;
    let local = [("redirect_uri", Some("http://127.0.0.1:5000/callback")), ("resource", None)];
    let query = edited(&Bench::query("tidegate-cli", SALES), &local);
    assert_eq!(bench.request(&query).await.resource, Resource::Admin);
}

#[tokio::test]
async fn a_request_travels_as_text_and_says_what_people_look_at() {
    let bench = Bench::new().await;
    let extras =
        [("prompt", Some("login consent")), ("max_age", Some("60")), ("login_hint", Some("ann"))];
    let query = edited(&Bench::query("public", SALES), &extras);
    let request = bench.request(&query).await;
    let text = serde_json::to_vec(&request).unwrap();
    let back: AuthorizationRequest = serde_json::from_slice(&text).unwrap();
    assert_eq!((back.redirect_host().as_str(), back.client_id.as_str()), ("app.example", "public"));
    assert!(back.wants_sign_in && back.wants_consent && !back.is_silent);
    assert_eq!((back.max_age, back.login_hint.as_deref()), (Some(60), Some("ann")));
    assert_eq!(back.scopes, request.scopes);
    let location = bench.server.deny(&back, DenyReason::LoginRequired);
    assert_eq!(answer(&location)["error"], "login_required");
    assert_eq!(answer(&location)["state"], "st&te");
}

#[tokio::test]
async fn metadata_lists_what_is_served_and_nothing_else() {
    let bench = Bench::new().await;
    let read = |settings: &Settings| -> serde_json::Value {
        serde_json::from_slice(&bench.server.metadata(settings)).unwrap()
    };
    let of = read(&bench.settings);
    assert_eq!(of["issuer"], "https://mcp.example.com");
    assert_eq!(of["token_endpoint"], "https://mcp.example.com/oauth/token");
    assert_eq!(of["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    assert_eq!(of["response_types_supported"], serde_json::json!(["code"]));
    assert_eq!(of["authorization_response_iss_parameter_supported"], true);
    assert_eq!(of["client_id_metadata_document_supported"], true);
    assert_eq!(of["registration_endpoint"], "https://mcp.example.com/oauth/register");
    let jwt_bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let serves = |of: &serde_json::Value| {
        of["grant_types_supported"].as_array().unwrap().contains(&jwt_bearer.into())
    };
    assert!(!serves(&of) && of.get("authorization_grant_profiles_supported").is_none());
    let mut other = Settings {
        dynamic_registration: false,
        client_documents: false,
        ..(*bench.settings).clone()
    };
    other.assertion_issuers.insert(
        "https://idp.example".into(),
        crate::settings::AssertionIssuer {
            jwks_uri: "https://idp.example/jwks".into(),
            addresses: Vec::new(),
            provider: None,
        },
    );
    let of = read(&other);
    assert!(of.get("registration_endpoint").is_none() && serves(&of));
    assert_eq!(of["client_id_metadata_document_supported"], false);
    let profiles = serde_json::json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
    assert_eq!(of["authorization_grant_profiles_supported"], profiles);
}
