use std::collections::BTreeSet;

use tidegate_model::{ConnectorId, OrgId};
use tidegate_upstream::connector::Unread;
use tokio::task::JoinHandle;

use super::*;
use crate::notices::stand::{Scripted, Stand, json};

const FULL: &str = r#"{"tools":[{"name":"find","inputSchema":{"type":"object"}}],
    "prompts":[{"name":"greet"}],
    "resources":[{"uri":"doc:a","name":"a"}],
    "resourceTemplates":[{"uriTemplate":"doc:{id}","name":"any"}],
    "features":{"prompts":true,"resources":true}}"#;

/// A connector whose record is kept, and everything that is told meanwhile.
struct Kept {
    stand: Stand,
    crm: Arc<Scripted>,
    notices: Receiver<Notice>,
    tasks: [JoinHandle<()>; 2],
}

impl Kept {
    /// After the first listing is in effect.
    async fn new() -> Self {
        let stand = Stand::new().await;
        let crm = Scripted::new("crm");
        crm.lists(FULL);
        let notices = stand.org.notices.subscribe();
        let control =
            Arc::new(Control::new(Arc::clone(&stand.gateway), Arc::clone(&stand.org), None));
        let refreshing = tokio::spawn(Arc::clone(&control).refreshing());
        let connector = Arc::clone(&crm) as Arc<dyn Connector>;
        let (first, listed) = oneshot::channel();
        let syncing = tokio::spawn(run(control, connector, Some(first)));
        listed.await.unwrap();
        let mut kept = Self { stand, crm, notices, tasks: [refreshing, syncing] };
        assert_eq!(kept.next().await, "revised []", "the first record makes a revision");
        kept
    }

    /// What is told next, in a few words.
    async fn next(&mut self) -> String {
        match self.notices.recv().await.unwrap() {
            Notice::Revised(lists) => {
                let mut lists: Vec<_> = lists.iter().map(|(_, list)| list).collect();
                lists.sort_by_key(|list| format!("{list:?}"));
                format!("revised {lists:?}")
            }
            Notice::Listed { connector, list } => format!("{connector} listed {list:?}"),
            Notice::Resource { connector, params } => format!("{connector} resource {params:?}"),
            Notice::Task { connector, params } => format!("{connector} task {params:?}"),
        }
    }

    async fn record(&self) -> Offer {
        let id = ConnectorId::new("crm").unwrap();
        let records = self.stand.gateway.records();
        let record = records.offer(&OrgId::default_org(), &id).await.unwrap().unwrap();
        offers::approved(&id, &record, None)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[tokio::test]
async fn what_a_connector_announced_is_told_once_it_is_in_effect() {
    let mut kept = Kept::new().await;
    kept.crm.lists(&FULL.replace("greet", "meet").replace("doc:a", "doc:z"));
    kept.crm.says(Update::Changed(List::Prompts));
    kept.crm.says(Update::Changed(List::Resources));
    assert_eq!(kept.next().await, "revised [Prompts, Resources]");
    let record = kept.record().await;
    assert_eq!(record.prompts[0].name.as_str(), "meet");
    assert_eq!(&*record.resources[0].uri, "doc:z");

    kept.crm.says(Update::Changed(List::Tools));
    assert_eq!(kept.next().await, "crm listed Tools", "though the text is the same");
}

#[tokio::test]
async fn changes_to_single_things_are_handed_on() {
    let mut kept = Kept::new().await;
    let params = json(r#"{"uri":"doc:a"}"#);
    kept.crm.says(Update::Resource(params.clone()));
    assert_eq!(kept.next().await, format!("crm resource {params:?}"));
    kept.crm.says(Update::Task(params.clone()));
    assert_eq!(kept.next().await, format!("crm task {params:?}"));
}

#[tokio::test]
async fn a_list_that_could_not_be_read_stays_as_it_was() {
    let mut kept = Kept::new().await;
    let before = kept.record().await;
    kept.crm.lists(&FULL.replace("find", "seek"));
    kept.crm.lists_as(|listed| {
        let offer = &mut listed.offer;
        (offer.prompts, offer.resources, offer.templates) =
            (Arc::default(), Arc::default(), Arc::default());
        let unread = |list, method| Unread { list, method, reason: "timed out".to_owned() };
        listed.unread = vec![
            unread(List::Prompts, "prompts/list"),
            unread(List::Resources, "resources/templates/list"),
        ];
    });
    kept.crm.says(Update::Changed(List::Tools));
    assert_eq!(kept.next().await, "revised [Tools]");
    let record = kept.record().await;
    assert_eq!(record.tools[0].name.as_str(), "seek");
    assert_eq!((&record.prompts, &record.templates), (&before.prompts, &before.templates));
    assert_eq!(record.resources.len(), 0, "this one was read");
}

#[tokio::test]
async fn a_connector_that_says_too_much_at_once_is_asked_for_everything() {
    let mut kept = Kept::new().await;
    for at in 0..64 {
        kept.crm.says(Update::Resource(json(&at.to_string())));
    }
    let mut told = BTreeSet::new();
    while told.len() < 3 {
        let next = kept.next().await;
        if next.contains("listed") {
            told.insert(next);
        }
    }
    let all = ["Prompts", "Resources", "Tools"].map(|list| format!("crm listed {list}"));
    assert!(told.iter().eq(&all), "{told:?}");
}
