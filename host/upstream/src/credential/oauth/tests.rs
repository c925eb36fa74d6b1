//! Against a scripted resource and authorization server that can be told to lie.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tidegate_model::{Call, Clock, ConnectorId, OrgId, UserId};
use tidegate_store::{FixedKeys, Store, embedded::EmbeddedStore};
use tidegate_wire::client::egress::{Egress, Origin, Resolver};

use super::{
    flow::{FlowError, Returned},
    registration::ClientIdentity,
    *,
};
use crate::{
    connector::tests::stand::mock::{Act, Mock, Seen},
    credential::{Credential, CredentialSpec, Injection, Vault},
    tests::a_call,
};

const REDIRECT: &str = "https://gateway.example/connect/callback";

/// A clock that stands until it is told otherwise.
#[derive(Debug)]
struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl Hands {
    fn forward(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now = now.after(Duration::from_secs(seconds));
    }
}

/// How the servers behave: changes to their documents and answers.
#[derive(Default)]
struct Lies {
    resource: Value,
    server: Value,
    /// The token endpoint's answers beside the usual one: status and body.
    token: Mutex<Vec<(u16, String)>>,
    /// No protected-resource metadata at all.
    bare: bool,
    /// Other bytes in place of the server's document.
    page: Option<fn(&str) -> Act>,
}

struct Stand {
    mock: Mock,
    /// Counts every connection: nobody has any business there.
    sentinel: Mock,
    lies: Arc<Lies>,
    hands: Arc<Hands>,
    store: Arc<dyn Store>,
}

impl Stand {
    async fn new(lies: impl FnOnce(&str, &str) -> Lies) -> Self {
        let sentinel = Mock::start(|_, _| vec![Act::json(200, "{}")]).await;
        let lies_cell: Arc<std::sync::OnceLock<Arc<Lies>>> = Arc::default();
        let (cell, issued) = (Arc::clone(&lies_cell), AtomicUsize::new(0));
        let mock = Mock::start(move |seen, mock| {
            let lies = cell.get().unwrap();
            vec![answer(seen, &format!("http://{}", mock.address()), lies, &issued)]
        })
        .await;
        let base = format!("http://{}", mock.address());
        let lies = Arc::new(lies(&base, &format!("http://{}", sentinel.address())));
        assert!(lies_cell.set(Arc::clone(&lies)).is_ok());
        let hands = Arc::new(Hands(Mutex::new(Timestamp::from_millis(1_000_000))));
        let clock = Arc::clone(&hands) as Arc<dyn Clock>;
        let keys = Arc::new(FixedKeys::new([[7; 32]]));
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory(keys, clock).unwrap());
        store.ensure_org(&OrgId::default_org()).await.unwrap();
        Self { mock, sentinel, lies, hands, store }
    }

    /// A process of its own over the same store.
    fn credential(&self, change: impl FnOnce(&mut OAuthSpec)) -> Credential {
        let egress = Egress::new(Resolver::System, None).unwrap();
        let identity = ClientIdentity { redirect_uri: REDIRECT.to_owned(), document: None };
        let clock = Arc::clone(&self.hands) as Arc<dyn Clock>;
        let org = OrgId::default_org();
        let vault = Vault::new(org, Arc::clone(&self.store), clock, egress, identity);
        let url = format!("http://{}/mcp", self.mock.address());
        let (origin, _) = Origin::split(&url).unwrap();
        let (name, format) = ("authorization".into(), "Bearer {}".into());
        let mut spec = OAuthSpec {
            placing: Placing::Header { name, format },
            scope: Scope::PerUser,
            url,
            allow: AddressPolicy { loopback: true, ..AddressPolicy::default() },
            named: Named::default(),
            client_id: None,
            client_secret: None,
            scopes: Vec::new(),
        };
        change(&mut spec);
        let id = ConnectorId::new("crm").unwrap();
        let spec = CredentialSpec::OAuth(spec);
        Credential::new(id, Some(origin), &spec, Some(&vault), |_| None).unwrap()
    }

    fn asked(&self, path: &str) -> Vec<Seen> {
        self.mock.seen().into_iter().filter(|seen| seen.path.starts_with(path)).collect()
    }
}

fn answer(seen: &Seen, base: &str, lies: &Lies, issued: &AtomicUsize) -> Act {
    let merged = |mut own: Value, lie: &Value| {
        for (name, value) in lie.as_object().into_iter().flatten() {
            own[name] = value.clone();
        }
        Act::json(200, &own.to_string())
    };
    match seen.path.as_str() {
        "/mcp" => Act::reply(401, &[("www-authenticate", "Bearer scope=\"read\"")], ""),
        "/.well-known/oauth-protected-resource/mcp" if !lies.bare => merged(
            json!({"resource": format!("{base}/mcp"), "authorization_servers": [base]}),
            &lies.resource,
        ),
        "/.well-known/oauth-authorization-server" => match lies.page {
            Some(page) => page(base),
            None if lies.bare => Act::reply(404, &[], ""),
            None => merged(
                json!({
                    "issuer": base,
                    "authorization_endpoint": format!("{base}/authorize"),
                    "token_endpoint": format!("{base}/token"),
                    "registration_endpoint": format!("{base}/register"),
                    "revocation_endpoint": format!("{base}/revoke"),
                    "scopes_supported": ["read", "write", "offline_access"],
                    "code_challenge_methods_supported": ["S256"],
                    "authorization_response_iss_parameter_supported": true,
                }),
                &lies.server,
            ),
        },
        "/register" => Act::json(201, r#"{"client_id":"c-1"}"#),
        "/revoke" => Act::json(200, "{}"),
        "/token" => match lies.token.lock().unwrap().pop() {
            Some((status, body)) => Act::json(status, &body),
            None => {
                let n = issued.fetch_add(1, Ordering::SeqCst) + 1;
                let answer = json!({
                    "access_token": format!("at-{n}"), "refresh_token": format!("rt-{n}"),
                    "token_type": "Bearer", "expires_in": 300, "scope": "read",
                });
                Act::json(200, &answer.to_string())
            }
        },
        _ => Act::reply(404, &[], ""),
    }
}

fn ann() -> Owner {
    Owner::User(UserId::new("ann").unwrap())
}

/// What the browser of somebody who agreed brings back.
fn agreed(url: &str, iss: &str) -> Returned {
    Returned {
        code: Some(Secret::new("code-1".into())),
        state: Some(parameter(url, "state")),
        iss: Some(iss.to_owned()),
        ..Returned::default()
    }
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

async fn connect(stand: &Stand, credential: &Credential) {
    let oauth = credential.oauth().unwrap();
    let (url, begun) = oauth.begin(&ann()).await.unwrap();
    let iss = format!("http://{}", stand.mock.address());
    oauth.finish(&begun, &agreed(&url, &iss), "ann").await.unwrap();
}

fn call() -> Call {
    Call { user: UserId::new("ann").unwrap(), ..a_call("crm", "echo", "{}") }
}

async fn inject(credential: &Credential) -> Result<Injection, CredentialError> {
    credential.inject(&call()).await
}

async fn token(credential: &Credential, stand: &Stand) -> String {
    let injection = inject(credential).await.unwrap();
    let (origin, _) = Origin::split(&format!("http://{}", stand.mock.address())).unwrap();
    let headers = injection.headers_for(&origin).unwrap();
    headers.first().unwrap().1.to_str().unwrap().to_owned()
}

fn want(error: CredentialError) -> Want {
    match error {
        CredentialError::Wanted { want, .. } => want,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_person_agrees_and_calls_carry_their_token() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    assert_eq!(want(inject(&credential).await.unwrap_err()), Want::Absent);
    let oauth = credential.oauth().unwrap();
    let outlook = oauth.outlook(&ann()).await.unwrap();
    assert_eq!(outlook.scopes, ["read", "offline_access"]);
    let (url, begun) = oauth.begin(&ann()).await.unwrap();
    assert!(!format!("{begun:?}").contains(&parameter(&url, "state")));
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", "c-1"),
        ("code_challenge_method", "S256"),
        ("scope", "read+offline_access"),
        ("redirect_uri", "https%3A%2F%2Fgateway.example%2Fconnect%2Fcallback"),
    ] {
        assert_eq!(parameter(&url, name), expected);
    }
    assert!(parameter(&url, "resource").ends_with("%2Fmcp"));
    let iss = format!("http://{}", stand.mock.address());
    oauth.finish(&begun, &agreed(&url, &iss), "ann").await.unwrap();
    assert_eq!(token(&credential, &stand).await, "Bearer at-1");
    let redeemed = stand.asked("/token").pop().unwrap().body;
    for part in ["grant_type=authorization_code", "code_verifier=", "resource=", "code=code-1"] {
        assert!(redeemed.contains(part), "{part}");
    }
    // Others have to agree themselves.
    let other = Call { user: UserId::new("bo").unwrap(), ..call() };
    assert_eq!(want(credential.inject(&other).await.unwrap_err()), Want::Absent);
    // Once registered, the gateway is known.
    oauth.begin(&ann()).await.unwrap();
    assert_eq!(stand.asked("/register").len(), 1);
}

#[tokio::test]
async fn answers_that_are_not_ours_are_worth_nothing() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    let oauth = credential.oauth().unwrap();
    let (url, begun) = oauth.begin(&ann()).await.unwrap();
    let iss = format!("http://{}", stand.mock.address());
    let changed = |change: fn(&mut Returned)| {
        let mut returned = agreed(&url, &iss);
        change(&mut returned);
        returned
    };
    for (returned, part) in [
        (changed(|it| it.state = None), "does not belong"),
        (changed(|it| it.state = Some("other".into())), "does not belong"),
        (changed(|it| it.code = None), "does not belong"),
        (changed(|it| it.iss = None), "another authorization server"),
        (changed(|it| it.iss = Some("https://evil.example".into())), "another authorization"),
        (
            changed(|it| {
                it.iss = Some("https://evil.example".into());
                it.error = Some("access_denied".into());
            }),
            "another authorization",
        ),
        (changed(|it| it.error = Some("access_denied".into())), "access_denied"),
    ] {
        let error = oauth.finish(&begun, &returned, "ann").await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(stand.asked("/token").is_empty());
    assert_eq!(want(inject(&credential).await.unwrap_err()), Want::Absent);
}

/// Documents that lie: nobody is asked for anything, no browser is sent anywhere.
#[tokio::test]
async fn servers_that_lie_are_asked_for_nothing() {
    type Lie = fn(&str, &str) -> Lies;
    let rows: [(&str, Lie); 14] = [
        ("calls itself", |_, _| Lies {
            server: json!({"issuer": "https://other.example"}),
            ..Lies::default()
        }),
        ("calls itself", |base, _| Lies {
            server: json!({"issuer": format!("{base}/")}),
            ..Lies::default()
        }),
        ("token_endpoint", |_, sentinel| Lies {
            server: json!({"token_endpoint": format!("{sentinel}/token")}),
            ..Lies::default()
        }),
        ("authorization_endpoint", |_, sentinel| Lies {
            server: json!({"authorization_endpoint": format!("{sentinel}/authorize")}),
            ..Lies::default()
        }),
        ("registration_endpoint", |_, sentinel| Lies {
            server: json!({"registration_endpoint": format!("{sentinel}/register")}),
            ..Lies::default()
        }),
        ("encryption", |_, _| Lies {
            server: json!({"token_endpoint": "http://10.0.0.7/token"}),
            ..Lies::default()
        }),
        ("must start with", |_, _| Lies {
            server: json!({"authorization_endpoint": "javascript:alert(1)"}),
            ..Lies::default()
        }),
        ("not a URL", |_, _| Lies {
            server: json!({"authorization_endpoint": "file:///etc/passwd"}),
            ..Lies::default()
        }),
        ("PKCE", |_, _| Lies {
            server: json!({"code_challenge_methods_supported": ["plain"]}),
            ..Lies::default()
        }),
        ("is about", |_, _| Lies {
            resource: json!({"resource": "https://other.example/mcp"}),
            ..Lies::default()
        }),
        ("redirect", |_, sentinel| {
            // Where to is said by the sentinel's address, which the page cannot know; any will do.
            let _ = sentinel;
            Lies {
                page: Some(|base| Act::reply(302, &[("location", &format!("{base}/x"))], "")),
                ..Lies::default()
            }
        }),
        ("JSON document", |_, _| Lies {
            page: Some(|_| Act::reply(200, &[("content-type", "text/html")], "<html>")),
            ..Lies::default()
        }),
        ("JSON document", |_, _| Lies { page: Some(|_| Act::json(200, "[]")), ..Lies::default() }),
        ("larger", |_, _| Lies {
            page: Some(|_| Act::json(200, &format!("{{\"x\":\"{}\"}}", "x".repeat(100_000)))),
            ..Lies::default()
        }),
    ];
    for (part, lie) in rows {
        let stand = Stand::new(lie).await;
        let credential = stand.credential(|_| {});
        let error = credential.oauth().unwrap().begin(&ann()).await.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert!(error.contains("finding its authorization server"), "{error}");
        assert_eq!(stand.sentinel.connections(), 0, "{part}");
        for path in ["/token", "/register", "/authorize"] {
            assert!(stand.asked(path).is_empty(), "{part}");
        }
    }
}

#[tokio::test]
async fn what_an_administrator_names_counts() {
    let stand = Stand::new(|_, sentinel| Lies {
        server: json!({"authorization_endpoint": format!("{sentinel}/authorize")}),
        ..Lies::default()
    })
    .await;
    let elsewhere = format!("http://{}", stand.sentinel.address());
    let credential = stand.credential(|spec| spec.named.endpoints = vec![elsewhere.clone()]);
    let (url, _) = credential.oauth().unwrap().begin(&ann()).await.unwrap();
    assert!(url.starts_with(&elsewhere));
    let credential = stand.credential(|spec| {
        spec.named.endpoints = vec![elsewhere];
        spec.client_id = Some("mine".into());
        spec.scopes = vec!["admin".into()];
    });
    let (url, _) = credential.oauth().unwrap().begin(&ann()).await.unwrap();
    assert_eq!(parameter(&url, "client_id"), "mine");
    assert_eq!(parameter(&url, "scope"), "admin+offline_access");
    let other = stand.credential(|spec| spec.named.issuer = Some("https://id.example".into()));
    let error = other.oauth().unwrap().begin(&ann()).await.unwrap_err().to_string();
    assert!(error.contains("trusts"), "{error}");
}

#[tokio::test]
async fn a_server_that_describes_nothing_is_where_the_old_revision_says() {
    let stand = Stand::new(|_, _| Lies { bare: true, ..Lies::default() }).await;
    let credential = stand.credential(|_| {});
    let (url, _) = credential.oauth().unwrap().begin(&ann()).await.unwrap();
    assert!(url.starts_with(&format!("http://{}/authorize?", stand.mock.address())));
}

#[tokio::test]
async fn fifty_calls_over_one_token_that_ended_make_one_request() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    stand.hands.forward(301);
    let calls = (0..50).map(|_| token(&credential, &stand));
    let tokens = futures_util::future::join_all(calls).await;
    assert!(tokens.iter().all(|token| token == "Bearer at-2"), "{tokens:?}");
    assert_eq!(stand.asked("/token").len(), 2);
    let refresh = stand.asked("/token").pop().unwrap().body;
    assert!(refresh.contains("refresh_token=rt-1") && refresh.contains("resource="));
    // The rotated one serves the next renewal, ahead of the end.
    stand.hands.forward(250);
    assert_eq!(token(&credential, &stand).await, "Bearer at-3");
    assert!(stand.asked("/token").pop().unwrap().body.contains("refresh_token=rt-2"));
}

#[tokio::test]
async fn a_server_in_trouble_costs_nothing_while_the_old_token_lives() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    stand.hands.forward(250);
    stand.lies.token.lock().unwrap().push((503, "<html>".into()));
    assert_eq!(token(&credential, &stand).await, "Bearer at-1");
    // It is not asked again at once.
    assert_eq!(token(&credential, &stand).await, "Bearer at-1");
    assert_eq!(stand.asked("/token").len(), 2);
    stand.hands.forward(11);
    assert_eq!(token(&credential, &stand).await, "Bearer at-2");
    stand.hands.forward(301);
    stand.lies.token.lock().unwrap().push((500, "secret trouble".into()));
    let error = inject(&credential).await.unwrap_err().to_string();
    assert!(error.contains("renewing the token") && !error.contains("secret"), "{error}");
    assert_eq!(token(&credential, &stand).await, "Bearer at-3");
}

#[tokio::test]
async fn a_grant_that_is_over_is_asked_for_again() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    stand.hands.forward(301);
    let said = r#"{"error":"invalid_grant","error_description":"was revoked"}"#;
    stand.lies.token.lock().unwrap().push((400, said.into()));
    let wanted = want(inject(&credential).await.unwrap_err());
    assert_eq!(
        wanted,
        Want::Refused("the authorization server says `invalid_grant: was revoked`".into())
    );
    // It is not tried again.
    assert!(matches!(want(inject(&credential).await.unwrap_err()), Want::Refused(_)));
    assert_eq!(stand.asked("/token").len(), 2);
    connect(&stand, &credential).await;
    assert_eq!(token(&credential, &stand).await, "Bearer at-2");
}

#[tokio::test]
async fn two_processes_renew_one_token_without_losing_it() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let (one, other) = (stand.credential(|_| {}), stand.credential(|_| {}));
    connect(&stand, &one).await;
    stand.hands.forward(301);
    let (a, b) = tokio::join!(token(&one, &stand), token(&other, &stand));
    // Whichever was written is what both use from now on.
    let written = token(&stand.credential(|_| {}), &stand).await;
    assert!(a == written && b == written, "{a} {b} {written}");
}

#[tokio::test]
async fn a_token_that_the_connector_refuses_is_renewed_once() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    let refused = Refused { status: 401, challenge: None };
    let first = inject(&credential).await.unwrap();
    credential.refused(&first, &refused).await.unwrap();
    assert_eq!(token(&credential, &stand).await, "Bearer at-2");
    // The first one's refusal comes once more, late.
    credential.refused(&first, &refused).await.unwrap();
    assert_eq!(token(&credential, &stand).await, "Bearer at-2");
    let second = inject(&credential).await.unwrap();
    let error = credential.refused(&second, &refused).await.unwrap_err();
    assert!(matches!(want(error), Want::Refused(_)));
    assert!(matches!(want(inject(&credential).await.unwrap_err()), Want::Refused(_)));
}

#[tokio::test]
async fn more_rights_are_asked_for_together_with_those_that_are_held() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"read write\"";
    let injection = inject(&credential).await.unwrap();
    let refused = Refused { status: 403, challenge: Some(challenge.into()) };
    let error = credential.refused(&injection, &refused).await.unwrap_err();
    assert_eq!(want(error), Want::Scopes(vec!["write".into()]));
    // What it has goes on working.
    assert_eq!(token(&credential, &stand).await, "Bearer at-1");
    let (url, _) = credential.oauth().unwrap().begin(&ann()).await.unwrap();
    assert_eq!(parameter(&url, "scope"), "read+write+offline_access");
    let plain = Refused { status: 403, challenge: None };
    let injection = inject(&credential).await.unwrap();
    credential.refused(&injection, &plain).await.unwrap();
}

#[tokio::test]
async fn what_is_removed_is_revoked_where_it_came_from() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    connect(&stand, &credential).await;
    let (was_there, told) = credential.revoke(&ann()).await.unwrap();
    assert!(was_there && told.is_none(), "{told:?}");
    let revoked: Vec<_> = stand.asked("/revoke").into_iter().map(|seen| seen.body).collect();
    assert!(revoked.iter().any(|body| body.contains("token=rt-1")), "{revoked:?}");
    assert!(revoked.iter().any(|body| body.contains("token=at-1")));
    assert_eq!(want(inject(&credential).await.unwrap_err()), Want::Absent);
}

#[tokio::test]
async fn what_was_begun_for_one_connector_does_not_serve_another() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    let oauth = credential.oauth().unwrap();
    let (url, mut begun) = oauth.begin(&ann()).await.unwrap();
    begun.connector = ConnectorId::new("mail").unwrap();
    let iss = format!("http://{}", stand.mock.address());
    let error = oauth.finish(&begun, &agreed(&url, &iss), "ann").await.unwrap_err();
    assert!(matches!(error, FlowError::NotOurs));
}

#[tokio::test]
async fn tokens_that_no_header_can_carry_are_refused() {
    let stand = Stand::new(|_, _| Lies::default()).await;
    let credential = stand.credential(|_| {});
    let oauth = credential.oauth().unwrap();
    let iss = format!("http://{}", stand.mock.address());
    for body in [
        r#"{"access_token":"a b","token_type":"Bearer"}"#,
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":"x","token_type":"mac"}"#,
        r#"{"token_type":"Bearer"}"#,
        "null",
        "<html>",
    ] {
        let (url, begun) = oauth.begin(&ann()).await.unwrap();
        stand.lies.token.lock().unwrap().push((200, body.into()));
        assert!(oauth.finish(&begun, &agreed(&url, &iss), "ann").await.is_err(), "{body}");
    }
    assert_eq!(want(inject(&credential).await.unwrap_err()), Want::Absent);
}
