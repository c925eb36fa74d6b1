//! What is particular to `remote`: credentials, headers, addresses.

use tidegate_wire::client::egress::AddressPolicy;

use super::{
    stand::{
        Speaks, at,
        mock::{Act, Mock},
        on_loopback, parts, serve, sse,
    },
    *,
};
use crate::credential::{CredentialSpec, KeySource, KeySpec, Placing};

fn bearer(secret: &str) -> CredentialSpec {
    let (name, format) = ("Authorization".into(), "Bearer {}".into());
    let (placing, source) = (Placing::Header { name, format }, KeySource::Reference(secret.into()));
    CredentialSpec::Key(KeySpec { placing, source })
}

fn remote(
    id: &str,
    spec: RemoteSpec,
    secrets: &[(&str, &str)],
) -> Result<Arc<dyn Connector>, OpenError> {
    open(ConnectorId::new(id).unwrap(), &ConnectorSpec::Remote(spec), &parts(secrets))
}

#[tokio::test]
async fn each_server_sees_its_own_credential_only() {
    let mut stands = Vec::new();
    for (place, era) in [Speaks::Modern, Speaks::Legacy, Speaks::Modern].into_iter().enumerate() {
        let mock = serve(era).await;
        let spec = RemoteSpec { credential: bearer("env:KEY"), ..at(&mock) };
        let canary = format!("canary-{place}");
        let id = format!("c{place}");
        stands.push((remote(&id, spec, &[("env:KEY", &canary)]).unwrap(), mock, canary));
    }
    let calls = (0..60).map(|n| {
        let connector = Arc::clone(&stands[n % 3].0);
        tokio::spawn(async move { drop(call(&connector, "echo", "{}").await.unwrap()) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    for (connector, mock, canary) in &stands {
        connector.list(&proof()).await.unwrap();
        connector.close().await;
        let expected = format!("Bearer {canary}");
        for seen in mock.seen() {
            assert_eq!(seen.header("authorization"), Some(expected.as_str()), "{seen:?}");
        }
        assert!(!format!("{connector:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_credential_does_not_follow_a_changed_url() {
    let (one, other) = (serve(Speaks::Modern).await, serve(Speaks::Modern).await);
    let spec = |mock| RemoteSpec { credential: bearer("env:KEY"), ..at(mock) };
    let first = remote("crm", spec(&one), &[("env:KEY", "canary")]).unwrap();
    let second = remote("crm", spec(&other), &[("env:KEY", "other")]).unwrap();
    let the_call = a_call("crm", "echo", "{}");
    let stolen = first.credential().inject_now(&the_call).unwrap();
    assert!(!format!("{stolen:?}").contains("canary"));
    let error =
        second.call(Armed::for_test(the_call, stolen), Exchange::default()).await.unwrap_err();
    assert!(matches!(error, ConnectorError::WrongOrigin));
    assert_eq!(error.code(), RefusalCode::Internal);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let mock = serve(Speaks::Modern).await;
    let header = |name: &str, value: &str| {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        RemoteSpec { headers, ..at(&mock) }
    };
    for (spec, part) in [
        (RemoteSpec::at("example.com"), "must start with"),
        (RemoteSpec::at("ftp://example.com"), "must start with"),
        (RemoteSpec::at("https://a:b@example.com/"), "use a credential"),
        (RemoteSpec::at("https://127.0.0.1/"), "not allowed to reach"),
        (RemoteSpec::at("http://[::ffff:169.254.169.254]/"), "not allowed to reach"),
        (RemoteSpec { credential: bearer("env:NONE"), ..at(&mock) }, "`env:NONE` is not set"),
        (header("host", "x"), "`host` cannot be set"),
        (header("Authorization", "x"), "`Authorization` cannot be set"),
        (header("Mcp-Name", "x"), "`Mcp-Name` cannot be set"),
        (header("x-a", "b\r\nc: d"), "`x-a` cannot be set"),
    ] {
        let error = remote("crm", spec, &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(mock.connections(), 0);
}

#[tokio::test]
async fn a_server_that_is_down_opens_and_fails_with_a_sentence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let connector = remote("crm", RemoteSpec { allow, ..RemoteSpec::at(url) }, &[]).unwrap();
    for _ in 0..5 {
        let error = call(&connector, "echo", "{}").await.unwrap_err();
        assert!(error.nothing_sent());
        assert_eq!(error.refusal("crm").message, "`crm` cannot be reached");
    }
    let error = call(&connector, "echo", "{}").await.unwrap_err();
    assert!(matches!(error, ConnectorError::Open { .. }), "{error:?}");
    assert_eq!(connector.health().state, HealthState::Down);
    assert!(connector.health().retry_after.is_some());
}

#[tokio::test]
async fn only_the_headers_that_belong_there_leave() {
    let mock = serve(Speaks::Modern).await;
    let headers = BTreeMap::from([("x-team".to_owned(), "sales".to_owned())]);
    let connector = remote("crm", RemoteSpec { headers, ..at(&mock) }, &[]).unwrap();
    call(&connector, "echo", "{}").await.unwrap();
    let seen = mock.seen().pop().unwrap();
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "content-length",
            "content-type",
            "host",
            "mcp-method",
            "mcp-name",
            "mcp-protocol-version",
            "x-team"
        ]
    );
}

#[tokio::test]
async fn a_list_that_changes_between_calls_ticks() {
    let (changed, has_changed) = tokio::sync::watch::channel(false);
    let mock = Mock::start(move |seen, _| {
        let result = |result: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.at("/id"));
            vec![Act::json(200, &body)]
        };
        match seen.at("/method").as_str() {
            Some("initialize") => result(
                r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}}}"#,
            ),
            Some("tools/list") => result(r#"{"tools":[]}"#),
            Some(_) if !seen.at("/id").is_null() => vec![Act::json(404, "{}")],
            Some(_) => vec![Act::accepted()],
            None => {
                changed.send_replace(true);
                let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
                vec![Act::stream(), Act::event(note), Act::Hang]
            }
        }
    })
    .await;
    let connector = remote("crm", at(&mock), &[]).unwrap();
    let mut changes = connector.changes();
    connector.list(&proof()).await.unwrap();
    has_changed.clone().wait_for(|changed| *changed).await.unwrap();
    changes.wait_for(|count| *count == 2).await.unwrap();
    connector.close().await;
    mock.until(|mock| mock.gone() >= 1).await;
}

fn over(server: &sse::Server, transport: Transport) -> Arc<dyn Connector> {
    let spec = RemoteSpec { transport, ..on_loopback(server.url.clone()) };
    remote("crm", spec, &[]).unwrap()
}

#[tokio::test]
async fn the_transport_is_found_out_once_and_again_when_it_fails() {
    let server = sse::Server::start().await;
    let connector = over(&server, Transport::Auto);
    connector.list(&proof()).await.unwrap();
    let looked = server.refused();
    assert!(looked > 0, "Streamable HTTP comes first");
    let calls = (0..8).map(|_| {
        let connector = Arc::clone(&connector);
        tokio::spawn(async move { drop(call(&connector, "echo", "{}").await.unwrap()) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(server.refused(), looked, "it is known by now");

    server.move_on();
    let mut errors = 0;
    while let Err(error) = call(&connector, "echo", "{}").await {
        assert_eq!(error.code(), RefusalCode::ConnectorUnavailable, "{error}");
        errors += 1;
        assert!(errors < 4, "it keeps to what does not work: {error}");
    }
}

#[tokio::test]
async fn a_transport_that_was_named_is_the_only_one_tried() {
    let server = sse::Server::start().await;
    let connector = over(&server, Transport::Sse);
    call(&connector, "echo", "{}").await.unwrap();
    assert_eq!(server.refused(), 0);

    let connector = over(&server, Transport::StreamableHttp);
    let error = call(&connector, "echo", "{}").await.unwrap_err();
    assert!(error.nothing_sent());
    assert_eq!(error.refusal("crm").message, "`crm` answered with HTTP status 405");

    let neither = Mock::start(|_, _| vec![Act::reply(404, &[], "")]).await;
    let connector = remote("crm", at(&neither), &[]).unwrap();
    for _ in 0..2 {
        let error = connector.list(&proof()).await.unwrap_err();
        assert_eq!(error.to_string(), "the server takes no messages at this URL (HTTP status 404)");
    }
}
