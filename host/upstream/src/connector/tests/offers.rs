//! What is listed beside tools, and what a server is said to be able to do.

use super::{
    stand::{
        at,
        mock::{Act, Mock},
        parts,
    },
    *,
};

#[tokio::test]
async fn every_list_is_read_and_definitions_stay_as_they_are() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let list = stand.connector.list(&proof()).await.unwrap();
        let offer = &list.offer;
        let prompts: Vec<_> = offer.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        assert_eq!(prompts, ["greet", "needy"], "{kind:?}");
        let greet: Value = offer.prompts[0].definition.read().unwrap();
        assert_eq!(greet["_meta"]["n"], 1);
        let uris: Vec<_> = offer.resources.iter().map(|resource| &*resource.uri).collect();
        assert_eq!(uris, ["test://one"], "{kind:?}");
        assert_eq!(offer.resources[0].connector.as_str(), "crm");
        assert_eq!(&*offer.templates[0].template, "test://{id}/data");
        assert!(list.unread.is_empty());
        let dropped = |list: &str, name: Option<&str>| (list.to_owned(), name.map(str::to_owned));
        let found: Vec<_> =
            list.dropped.iter().map(|entry| dropped(entry.list, entry.name.as_deref())).collect();
        let expected = [
            dropped("tools/list", Some("bad")),
            dropped("tools/list", Some("echo")),
            dropped("prompts/list", None),
            dropped("prompts/list", Some("greet")),
            dropped("resources/list", Some("test://one")),
            dropped("resources/list", None),
        ];
        assert_eq!(found, expected, "{kind:?}");

        let features = &offer.features;
        assert_eq!(features.modern, !kind.is_legacy(), "{kind:?}");
        assert!(features.prompts && features.resources && features.subscribe);
        assert!(features.completions && !features.logging);
        assert_eq!(features.tasks.is_some(), kind.is_legacy(), "{kind:?}");
        let extensions: Vec<_> =
            features.extensions.iter().map(|(name, value)| (&**name, value.as_str())).collect();
        assert_eq!(extensions, [("io.modelcontextprotocol/tasks", r#"{"x":1}"#)], "{kind:?}");
    }
}

/// A legacy server that declares `capabilities` and answers lists as `list` says.
async fn server(capabilities: &'static str, list: fn(&str) -> Act) -> Mock {
    Mock::start(move |seen, _| {
        let result = |result: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, seen.at("/id"));
            Act::json(200, &body)
        };
        let method = seen.at("/method");
        vec![match method.as_str() {
            Some("initialize") => result(&format!(
                r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities}}}"#
            )),
            Some("tools/list") => result(r#"{"tools":[{"name":"echo","inputSchema":{}}]}"#),
            Some(name) if name.ends_with("/list") => match list(name) {
                Act::Raw(body) => result(std::str::from_utf8(&body).unwrap()),
                act => act,
            },
            Some(_) if !seen.at("/id").is_null() => Act::json(404, "{}"),
            Some(_) => Act::accepted(),
            None => Act::reply(405, &[], ""),
        }]
    })
    .await
}

async fn listed(mock: &Mock, wait: Duration) -> Listed {
    let id = ConnectorId::new("crm").unwrap();
    let connector = open(id, &ConnectorSpec::Remote(at(mock)), &parts(&[])).unwrap();
    let proof = Maintenance::new(Duty::Sync, Instant::now() + wait);
    connector.list(&proof).await.unwrap()
}

#[tokio::test]
async fn only_what_was_declared_is_asked_for() {
    let mock = server(r#"{"prompts":null,"logging":{}}"#, |_| Act::Hang).await;
    let list = listed(&mock, Duration::from_secs(20)).await;
    assert_eq!(list.offer.tools.len(), 1, "tools are asked for in any case");
    assert!(list.offer.features.logging && !list.offer.features.prompts);
    let asked = mock.methods();
    assert!(!asked.iter().any(|method| method.starts_with("prompts/")), "{asked:?}");
    assert!(!asked.iter().any(|method| method.starts_with("resources/")), "{asked:?}");
}

#[tokio::test]
async fn a_list_that_fails_costs_no_other() {
    type List = fn(&str) -> Act;
    for (fail, part) in [
        ((|_| Act::Hang) as List, "did not answer in time"),
        (|_| Act::Close, ""),
        (|_| Act::raw(r#"{"prompts":7}"#), "must be an array"),
        (|_| Act::raw(r#"{"prompts":[],"nextCursor":"x"}"#), "does not move on"),
    ] {
        let mock = server(r#"{"prompts":{}}"#, fail).await;
        let list = listed(&mock, Duration::from_millis(400)).await;
        assert_eq!(list.offer.tools.len(), 1);
        assert!(list.offer.prompts.is_empty() && list.offer.features.prompts);
        assert_eq!(list.unread.len(), 1, "{part}");
        assert_eq!(
            (list.unread[0].list, list.unread[0].method),
            (super::List::Prompts, "prompts/list")
        );
        assert!(list.unread[0].reason.contains(part), "{}", list.unread[0].reason);
    }
}
