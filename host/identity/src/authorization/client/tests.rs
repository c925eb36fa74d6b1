use super::*;
use crate::{
    authorization::stand::{SetClock, ground, no_egress},
    settings::RegisteredClient,
};

async fn clients() -> Arc<Clients> {
    Clients::new(ground(&SetClock::new(), no_egress()).await)
}

fn settings(id: &str, entry: RegisteredClient) -> Settings {
    Settings { clients: [(id.to_owned(), entry)].into(), ..Settings::default() }
}

fn uri(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap()
}

#[tokio::test]
async fn the_command_line_is_always_known() {
    let clients = clients().await;
    // An entry of the settings does not take its place.
    let taken = RegisteredClient {
        redirect_uris: vec!["https://evil.example/cb".into()],
        ..RegisteredClient::default()
    };
    let client = clients.find(&settings(COMMAND_LINE, taken), COMMAND_LINE).await.unwrap();
    assert_eq!((client.kind, client.is_confidential()), (ClientKind::BuiltIn, false));
    assert!(client.is_loopback_only() && client.is_vouched_for());
    assert!(client.may(GrantType::DeviceCode) && !client.may(GrantType::ClientCredentials));
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        assert!(client.redirects_to(&uri(&format!("http://{host}:40123/callback"))));
    }
    assert!(!client.redirects_to(&uri("https://evil.example/cb")));
}

#[tokio::test]
async fn clients_of_the_settings_may_what_their_entry_says() {
    use GrantType::{
        AuthorizationCode, ClientCredentials, DeviceCode, JwtBearer, RefreshToken, TokenExchange,
    };
    let agent = Some(UserId::new("bot").unwrap());
    let redirects = vec!["https://app.example.com/cb".to_owned()];
    let plain =
        RegisteredClient { redirect_uris: redirects.clone(), ..RegisteredClient::default() };
    let secret = Some([7; 32]);
    for (name, entry, grants) in [
        ("public", plain.clone(), vec![AuthorizationCode, RefreshToken]),
        (
            "confidential",
            RegisteredClient { secret, ..plain.clone() },
            vec![AuthorizationCode, RefreshToken, JwtBearer, TokenExchange],
        ),
        (
            "agent",
            RegisteredClient { secret, agent: agent.clone(), ..RegisteredClient::default() },
            vec![JwtBearer, TokenExchange, ClientCredentials],
        ),
        // Without a proof of who it is, nobody acts for an agent.
        (
            "public agent",
            RegisteredClient { agent, ..plain },
            vec![AuthorizationCode, RefreshToken],
        ),
    ] {
        let client = clients().await.find(&settings("app", entry), "app").await.unwrap();
        assert_eq!(client.grant_types, grants, "{name}");
        assert_eq!(client.agent.is_some(), grants.contains(&ClientCredentials), "{name}");
        assert!(!client.may(DeviceCode));
    }
    let entry = RegisteredClient { device_codes: true, ..RegisteredClient::default() };
    let client = clients().await.find(&settings("tv", entry), "tv").await.unwrap();
    assert_eq!(client.grant_types, [RefreshToken, DeviceCode]);
}

#[tokio::test]
async fn what_is_wrong_in_the_settings_makes_a_client_unusable() {
    for (entry, part) in [
        (
            RegisteredClient {
                redirect_uris: vec!["http://app.example.com/cb".into()],
                ..RegisteredClient::default()
            },
            "redirect URIs of `app`",
        ),
        (
            RegisteredClient { jwks: Some("{}".into()), ..RegisteredClient::default() },
            "keys of `app`",
        ),
    ] {
        let error = clients().await.find(&settings("app", entry), "app").await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn anything_else_is_unknown() {
    let clients = clients().await;
    let settings = Settings { client_documents: false, ..Settings::default() };
    let long = "x".repeat(513);
    for id in [
        "",
        "nobody",
        "dyn_",
        "dyn_AAAAAAAAAAAAAAAAAAAAAA",
        "registered\0dyn_x",
        "tidegate-cli ",
        "TIDEGATE-CLI",
        "\u{e9}",
        "a b",
        "../../etc",
        long.as_str(),
        "http://docs.test/client.json",
        "https://docs.test/client.json",
    ] {
        let error = clients.find(&settings, id).await.unwrap_err();
        assert!(matches!(error, ClientError::Unknown), "{id:?}: {error:?}");
    }
}

#[test]
fn grant_types_are_spelled_one_way() {
    for grant in GrantType::ALL {
        assert_eq!(GrantType::named(grant.name()), Some(grant));
        assert_eq!(serde_json::to_value(grant).unwrap(), grant.name());
    }
    assert_eq!(GrantType::named("password"), None);
    assert_eq!(GrantType::named("implicit"), None);
}
