//! What servers tell of their own accord.

use std::collections::BTreeSet;

use super::{
    stand::{Speaks, at, parts, peer, serve},
    *,
};

fn resources(uris: &[&str]) -> Wanted {
    let resources = uris.iter().map(|uri| Box::from(*uri)).collect();
    Wanted { resources, ..Wanted::default() }
}

#[tokio::test]
async fn changes_of_lists_and_of_followed_resources_are_told() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        let mut updates = stand.connector.updates();
        stand.connector.follow(resources(&["test://one"]));
        stand.connector.list(&proof()).await.unwrap();
        let mut missing = vec![List::Tools, List::Prompts, List::Resources];
        let mut updated = false;
        while !missing.is_empty() || !updated {
            match updates.recv().await.unwrap() {
                Update::Changed(list) => missing.retain(|wanted| *wanted != list),
                Update::Resource(params) => {
                    let params: Value = params.read().unwrap();
                    assert_eq!(params["uri"], "test://one", "{kind:?}");
                    updated = true;
                }
                Update::Task(_) => panic!("there is none"),
            }
        }
        stand.connector.close().await;
    }
}

#[tokio::test]
async fn what_is_followed_can_change_at_any_time() {
    for kind in KINDS.into_iter().filter(|kind| kind.shares_a_channel() || !kind.is_legacy()) {
        let stand = Stand::open(kind).await;
        let mut updates = stand.connector.updates();
        stand.connector.list(&proof()).await.unwrap();
        for uris in [vec!["a:1"], vec!["a:1", "a:2"], vec!["a:3"]] {
            stand.connector.follow(resources(&uris));
            let wanted = *uris.last().unwrap();
            loop {
                if let Update::Resource(params) = updates.recv().await.unwrap()
                    && params.read::<Value>().unwrap()["uri"] == wanted
                {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn closing_ends_the_listening() {
    for kind in KINDS {
        let stand = Stand::open(kind).await;
        stand.connector.follow(resources(&["test://one"]));
        let mut updates = stand.connector.updates();
        stand.connector.list(&proof()).await.unwrap();
        updates.recv().await.unwrap();
        let open = stand.mock.as_ref().map_or(0, |mock| mock.connections() - mock.gone());
        stand.connector.close().await;
        if let Some(mock) = &stand.mock {
            mock.until(|mock| mock.connections() - mock.gone() < open).await;
        }
    }
}

#[tokio::test]
async fn tasks_are_asked_for_where_their_extension_is_carried() {
    for carried in [true, false] {
        let extensions: BTreeSet<String> =
            carried.then(|| EXTENSIONS.map(str::to_owned)).into_iter().flatten().collect();
        let mock = serve(Speaks::Modern).await;
        for spec in [
            ConnectorSpec::Remote(RemoteSpec { extensions: extensions.clone(), ..at(&mock) }),
            ConnectorSpec::Hosted(HostedSpec { extensions, ..peer(Speaks::Modern, &[]) }),
        ] {
            let connector = open(ConnectorId::new("crm").unwrap(), &spec, &parts(&[])).unwrap();
            let mut updates = connector.updates();
            let tasks = ["t-1".into(), "t-2".into()].into();
            connector.follow(Wanted { tasks, ..resources(&["test://one"]) });
            connector.list(&proof()).await.unwrap();
            let mut told = Vec::new();
            // The server tells of tasks first.
            loop {
                match updates.recv().await.unwrap() {
                    Update::Task(params) => told.push(params.read::<Value>().unwrap()),
                    Update::Changed(_) => {}
                    Update::Resource(_) => break,
                }
            }
            let told: Vec<_> = told.iter().map(|params| &params["taskId"]).collect();
            let expected = [json!("t-1"), json!("t-2")];
            let expected: Vec<_> = expected.iter().filter(|_| carried).collect();
            assert_eq!(told, expected, "{spec:?}");
        }
    }
}
