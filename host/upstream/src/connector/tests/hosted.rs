//! What is particular to `hosted`: starting, ending, restarting, the environment.

use super::{
    stand::{Speaks, parts, peer},
    *,
};

fn hosted(spec: HostedSpec, secrets: &[(&str, &str)]) -> Result<Arc<dyn Connector>, OpenError> {
    open(ConnectorId::new("files").unwrap(), &ConnectorSpec::Hosted(spec), &parts(secrets))
}

#[tokio::test]
async fn a_process_that_keeps_ending_is_started_with_pauses() {
    let connector = hosted(peer(Speaks::Modern, &["once"]), &[]).unwrap();
    let mut starts = 0;
    let error = loop {
        match call(&connector, "echo", "{}").await {
            Ok(_) => starts += 1,
            Err(error @ ConnectorError::Start { .. }) => break error,
            // Met the process while it was ending.
            Err(ConnectorError::Peer(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(starts < 10, "it is started again and again without a pause");
    };
    assert!(error.retry_after().is_some() && error.nothing_sent());
    assert!(connector.health().restarts >= 1);
}

#[tokio::test]
async fn a_command_that_is_not_there_is_a_sentence() {
    let connector = hosted(HostedSpec::command("no-such-command", []), &[]).unwrap();
    for _ in 0..2 {
        let error = call(&connector, "echo", "{}").await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("`no-such-command` was not found"), "{said}");
        assert_eq!(error.code(), RefusalCode::ConnectorUnavailable);
        assert_eq!(error.refusal("files").message, "`files` cannot be started");
    }
}

#[tokio::test]
async fn a_start_outlives_the_caller_who_asked_for_it() {
    let home = tempfile::tempdir().unwrap();
    let script = r#"echo start >> starts; sleep 0.2
        while read l; do
            case "$l" in
                *server/discover*) said='{"supportedVersions":["2026-07-28"]}';;
                *tools/call*) said='{"first":true}';;
                *) continue;;
            esac
            id=$(echo "$l" | sed 's/.*"id":\([0-9]*\).*/\1/')
            echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$said}"
        done"#;
    let slow = HostedSpec {
        args: vec!["-c".into(), script.into()],
        cwd: Some(home.path().to_owned()),
        ..HostedSpec::command("sh", [])
    };
    let connector = hosted(slow, &[]).unwrap();
    let hasty = call_within(&connector, "echo", "{}", Duration::from_millis(20)).await;
    assert!(matches!(hasty, Err(ConnectorError::Deadline)));
    let answer = call(&connector, "echo", "{}").await.unwrap();
    assert_eq!(value(&answer)["first"], true);
    assert_eq!(connector.health().restarts, 0);
    assert_eq!(std::fs::read_to_string(home.path().join("starts")).unwrap(), "start\n");
}

#[tokio::test]
async fn the_environment_holds_what_was_configured() {
    let env = BTreeMap::from([
        ("PLAIN".to_owned(), EnvValue::Plain("a b".into())),
        ("KEY".to_owned(), EnvValue::Secret("file:key".into())),
    ]);
    let script = r#"read l; echo '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}'
        read l; echo "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"env\":\"$PLAIN|$KEY|$GATEWAY_SECRET|$PATH\"}}"; read l"#;
    let spec =
        HostedSpec { env, args: vec!["-c".into(), script.into()], ..HostedSpec::command("sh", []) };
    assert_eq!(ConnectorSpec::Hosted(spec.clone()).secrets(), ["file:key"]);
    let connector = hosted(spec, &[("file:key", "s3cret\n")]).unwrap();
    let answer = call(&connector, "echo", "{}").await.unwrap();
    assert_eq!(value(&answer)["env"], "a b|s3cret||/usr/bin:/bin");
    assert!(!format!("{connector:?}").contains("s3cret"));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_at_once() {
    let env = |name: &str, value: EnvValue| HostedSpec {
        env: BTreeMap::from([(name.to_owned(), value)]),
        ..HostedSpec::command("sh", [])
    };
    for (spec, part) in [
        (HostedSpec::command("", []), "`` is not a command"),
        (HostedSpec::command("a\0b", []), "is not a command"),
        (HostedSpec::command("sh", ["a\0".to_owned()]), "is not a command"),
        (env("", EnvValue::Plain("x".into())), "cannot be set in the environment"),
        (env("A=B", EnvValue::Plain("x".into())), "`A=B` cannot be set"),
        (env("A", EnvValue::Plain("x\0".into())), "`A` cannot be set"),
        (env("A", EnvValue::Secret("env:NONE".into())), "`env:NONE` is not set"),
    ] {
        let error = hosted(spec, &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn dropping_a_connector_ends_its_process() {
    let home = tempfile::tempdir().unwrap();
    let spec = HostedSpec {
        args: vec!["-c".into(), r#"read l; echo '{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}'
            while read l; do echo '{"jsonrpc":"2.0","id":2,"result":{}}'; done; touch ended"#.into()],
        cwd: Some(home.path().to_owned()),
        ..HostedSpec::command("sh", [])
    };
    let connector = hosted(spec, &[]).unwrap();
    call(&connector, "echo", "{}").await.unwrap();
    drop(connector);
    while !home.path().join("ended").exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_client_can_have_a_process_of_its_own() {
    let calls = async |connector: &Arc<dyn Connector>, affinity: Option<u128>| {
        let affinity = affinity.map(crate::Affinity);
        let exchange = Exchange { affinity, ..Exchange::default() };
        let armed = armed(connector, "seen", "{}", Duration::from_secs(20));
        value(&connector.call(armed, exchange).await.unwrap())["calls"].as_u64().unwrap()
    };
    for (per_caller, expected) in [(true, [1, 2, 1, 1, 2, 1]), (false, [1, 2, 3, 4, 5, 6])] {
        let spec = HostedSpec { per_caller, ..peer(Speaks::Legacy, &[]) };
        let connector = hosted(spec, &[]).unwrap();
        let mut seen = Vec::new();
        for client in [Some(1), Some(1), Some(2), None, None] {
            seen.push(calls(&connector, client).await);
        }
        connector.release(crate::Affinity(1));
        seen.push(calls(&connector, Some(1)).await);
        assert_eq!(seen, expected, "{per_caller}");
        connector.close().await;
        let error = call(&connector, "echo", "{}").await.unwrap_err();
        assert!(matches!(error, ConnectorError::Closed));
    }
}
