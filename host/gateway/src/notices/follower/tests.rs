use super::{
    super::{
        follows::{MOST, NotFollowed},
        stand::{Scripted, Setup, Stand, json},
    },
    *,
};
use tidegate_upstream::connector::Connector;

const CRM: &str = r#"{"tools":[{"name":"find","inputSchema":{"type":"object"}}],
    "prompts":[{"name":"greet"}],
    "resources":[{"uri":"doc:a","name":"a"},{"uri":"doc:b","name":"b"}],
    "resourceTemplates":[{"uriTemplate":"doc:{id}","name":"any"}],
    "features":{"prompts":true,"resources":true,"subscribe":true}}"#;
const MAIL: &str = r#"{"tools":[{"name":"send","inputSchema":{"type":"object"}}]}"#;

fn everything() -> Wanted {
    Wanted { tools: true, prompts: true, resources: true, uris: BTreeSet::new() }
}

fn of(uris: &[&str]) -> Wanted {
    Wanted { uris: uris.iter().map(|uri| (*uri).to_owned()).collect(), ..Wanted::default() }
}

fn crm_alone() -> (Arc<Scripted>, Setup) {
    let crm = Scripted::new("crm");
    let setup = Setup {
        connectors: vec![(Arc::clone(&crm), CRM.to_owned())],
        identity: true,
        ..Setup::default()
    };
    (crm, setup)
}

fn both() -> (Arc<Scripted>, Setup) {
    let (crm, mut setup) = crm_alone();
    setup.connectors.push((Scripted::new("mail"), MAIL.to_owned()));
    setup.identity = false;
    (crm, setup)
}

fn follower(stand: &Stand, key: Option<&str>, wanted: Wanted) -> Follower {
    let context = stand.context(key);
    let vmcp = context.revision.snapshot.vmcp("all").unwrap();
    Follower::new(&stand.gateway, &context, vmcp, wanted)
}

fn updated(connector: &str, params: &str) -> Notice {
    Notice::Resource { connector: ConnectorId::new(connector).unwrap(), params: json(params) }
}

fn listed(connector: &str, list: List) -> Notice {
    Notice::Listed { connector: ConnectorId::new(connector).unwrap(), list }
}

/// All that is told without waiting.
fn told(follower: &mut Follower) -> Vec<Told> {
    use futures_util::FutureExt;
    let mut all = Vec::new();
    while let Some(next) = follower.next().now_or_never() {
        match next {
            Some(told) => all.push(told),
            None => break,
        }
    }
    all
}

/// Whether there will never be more.
fn has_ended(follower: &mut Follower) -> bool {
    use futures_util::FutureExt;
    matches!(follower.next().now_or_never(), Some(None))
}

#[tokio::test]
async fn a_list_has_changed_when_this_caller_sees_another() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = both();
    setup.policies = r#"permit (principal, action, resource) when { principal in Group::"all" };
        permit (principal, action, resource in Connector::"mail");"#
        .to_owned();
    setup.keys =
        vec![("boss".to_owned(), vec!["all".to_owned()], None), ("clerk".to_owned(), vec![], None)];
    stand.revise(&setup, &[]);
    let mut boss = follower(&stand, Some("boss"), everything());
    let mut clerk = follower(&stand, Some("clerk"), everything());

    setup.connectors[0].1 = CRM.replace(r#""name":"find""#, r#""name":"seek""#);
    stand.revise(&setup, &[]);
    assert_eq!(told(&mut boss), [Told::ToolsChanged]);
    assert_eq!(told(&mut clerk), [], "a tool that one may not know of is no news");

    setup.connectors[0].1 = CRM.replace("greet", "meet").replace("doc:{id}", "doc:{name}");
    stand.revise(&setup, &[]);
    let all = [Told::ToolsChanged, Told::PromptsChanged, Told::ResourcesChanged];
    assert_eq!(told(&mut boss), all);

    stand.revise(&setup, &[]);
    assert_eq!(told(&mut boss), [], "a revision that changes nothing is no news");

    setup.keys[1].1 = vec!["all".to_owned()];
    stand.revise(&setup, &[]);
    assert_eq!(told(&mut clerk), all, "rights that were added");
    assert_eq!(told(&mut boss), []);
}

#[tokio::test]
async fn a_list_that_reads_as_before_is_told_when_its_connector_announced_it() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = both();
    setup.policies = r#"permit (principal, action, resource in Connector::"crm");"#.to_owned();
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, Some("key"), everything());

    for list in [List::Prompts, List::Tools, List::Prompts] {
        stand.org.notices.tell(listed("crm", list));
    }
    assert_eq!(told(&mut one), [Told::ToolsChanged, Told::PromptsChanged], "a burst is joined");
    stand.org.notices.tell(listed("mail", List::Tools));
    stand.org.notices.tell(listed("other", List::Tools));
    assert_eq!(told(&mut one), [], "the caller sees nothing of that connector");

    stand.revise(&setup, &[("crm", List::Resources), ("mail", List::Tools)]);
    assert_eq!(told(&mut one), [Told::ResourcesChanged]);
    setup.connectors[0].1 = CRM.replace("greet", "meet");
    stand.revise(&setup, &[("crm", List::Prompts)]);
    assert_eq!(told(&mut one), [Told::PromptsChanged], "once, though there are two reasons");
}

#[tokio::test]
async fn only_what_was_accepted_is_told() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = both();
    stand.revise(&setup, &[]);
    let wish = Wanted { prompts: true, ..of(&["mcp+crm:doc:a", "mcp+mail:x", "doc:a", "zzz"]) };
    let mut one = follower(&stand, Some("key"), wish);
    let accepted = Wanted { prompts: true, ..of(&["mcp+crm:doc:a"]) };
    assert_eq!(*one.accepted(), accepted, "mail says nothing of resources");
    setup.connectors[0].1 = CRM.replace("find", "seek").replace("greet", "meet");
    stand.revise(&setup, &[("crm", List::Tools)]);
    assert_eq!(told(&mut one), [Told::PromptsChanged]);

    setup.connectors.remove(0);
    stand.revise(&setup, &[]);
    let none = follower(&stand, Some("key"), everything());
    let accepted = Wanted { tools: true, ..Wanted::default() };
    assert_eq!(*none.accepted(), accepted, "no connector has prompts or resources");
}

#[tokio::test]
async fn a_resource_is_told_under_its_published_uri_to_those_who_follow_it() {
    let stand = Stand::new().await;
    let (crm, setup) = both();
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, Some("key"), of(&["mcp+crm:doc:a"]));
    let mut other = follower(&stand, Some("key"), of(&["mcp+crm:doc:b"]));
    assert_eq!(crm.asked(), [vec!["doc:a"], vec!["doc:a", "doc:b"]]);

    let marked = r#"{"uri":"doc:a", "_meta":{"io.modelcontextprotocol/subscriptionId":7,"x":1}}"#;
    stand.org.notices.tell(updated("crm", marked));
    stand.org.notices.tell(updated("mail", r#"{"uri":"doc:a"}"#));
    stand.org.notices.tell(updated("crm", r#"{"uri":7}"#));
    let params = json(r#"{"uri":"mcp+crm:doc:a", "_meta":{"x":1}}"#);
    assert_eq!(told(&mut one), [Told::ResourceUpdated(params)]);
    assert_eq!(told(&mut other), []);

    stand.org.notices.tell(updated("crm", r#"{"uri":"doc:b/part"}"#));
    stand.org.notices.tell(updated("crm", r#"{"uri":"doc:bb"}"#));
    let part = Told::ResourceUpdated(json(r#"{"uri":"mcp+crm:doc:b/part"}"#));
    assert_eq!(told(&mut other), [part], "a part of what is followed");
    drop(one);
    drop(other);
    assert_eq!(crm.asked(), [vec!["doc:b"], vec![]]);
}

#[tokio::test]
async fn a_resource_that_may_not_be_read_is_never_told() {
    let stand = Stand::new().await;
    let (crm, mut setup) = crm_alone();
    let forbid = |uri: &str| {
        format!(
            r#"permit (principal, action, resource);
            forbid (principal, action == Action::"read_resource", resource == Resource::"crm/{uri}");"#
        )
    };
    setup.policies = forbid("doc:a");
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, Some("key"), of(&["doc:a", "doc:b"]));
    assert_eq!(*one.accepted(), of(&["doc:b"]));
    assert_eq!(crm.asked(), [["doc:b"]]);

    setup.policies = forbid("doc:b");
    stand.revise(&setup, &[]);
    stand.org.notices.tell(updated("crm", r#"{"uri":"doc:b"}"#));
    assert_eq!(told(&mut one), [], "the right to read it is gone");
    setup.policies = forbid("doc:b/secret");
    stand.revise(&setup, &[]);
    stand.org.notices.tell(updated("crm", r#"{"uri":"doc:b/secret"}"#));
    stand.org.notices.tell(updated("crm", r#"{"uri":"doc:b"}"#));
    assert_eq!(told(&mut one), [Told::ResourceUpdated(json(r#"{"uri":"doc:b"}"#))]);
}

#[tokio::test]
async fn a_session_follows_more_and_less_while_its_stream_listens() {
    let stand = Stand::new().await;
    let (crm, mut setup) = crm_alone();
    stand.revise(&setup, &[]);
    let context = stand.context(Some("key"));
    let vmcp = context.revision.snapshot.vmcp("all").unwrap();
    let follows = Follows::new(&stand.org.notices);
    let follow = |uri: &str| follows.follow(&context.revision, &context.caller, vmcp, uri);
    follow("doc:a").unwrap();
    let mut one =
        Follower::over(&stand.gateway, &context, vmcp, Wanted::default(), Arc::clone(&follows));
    follow("doc:b").unwrap();
    follow("doc:b").unwrap();
    assert!(follows.unfollow("doc:a") && !follows.unfollow("doc:a"));
    assert_eq!(crm.asked(), [vec!["doc:a"], vec!["doc:a", "doc:b"], vec!["doc:b"]]);
    for uri in ["doc:a", "doc:b"] {
        stand.org.notices.tell(updated("crm", &format!(r#"{{"uri":"{uri}"}}"#)));
    }
    assert_eq!(told(&mut one), [Told::ResourceUpdated(json(r#"{"uri":"doc:b"}"#))]);

    // Published under other URIs, nothing is followed any more; as before, it is again.
    setup.connectors.push((Scripted::new("mail"), MAIL.to_owned()));
    setup.identity = false;
    stand.revise(&setup, &[]);
    assert_eq!(told(&mut one), []);
    assert_eq!(crm.asked(), [Vec::<String>::new()]);
    setup.connectors.pop();
    setup.identity = true;
    stand.revise(&setup, &[]);
    assert_eq!(told(&mut one), []);
    assert_eq!(crm.asked(), [["doc:b"]]);

    for at in 1..MOST {
        follow(&format!("doc:{at}")).unwrap();
    }
    assert_eq!(follow("doc:more"), Err(NotFollowed::Full));
    assert!(follows.unfollow("doc:1"));
    follow("doc:more").unwrap();
}

#[tokio::test]
async fn why_a_resource_is_not_followed_is_said() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = both();
    setup.policies = r#"permit (principal, action, resource);
        forbid (principal, action == Action::"read_resource", resource == Resource::"crm/doc:a");"#
        .to_owned();
    stand.revise(&setup, &[]);
    let context = stand.context(Some("key"));
    let vmcp = context.revision.snapshot.vmcp("all").unwrap();
    let follows = Follows::new(&stand.org.notices);
    for (uri, expected) in [
        ("mcp+crm:doc:a", NotFollowed::Unknown("mcp+crm:doc:a".to_owned())),
        ("mcp+other:doc:a", NotFollowed::Unknown("mcp+other:doc:a".to_owned())),
        ("mcp+mail:doc:a", NotFollowed::Silent("mcp+mail:doc:a".to_owned())),
    ] {
        let followed = follows.follow(&context.revision, &context.caller, vmcp, uri);
        assert_eq!(followed, Err(expected));
    }
}

#[tokio::test]
async fn tasks_are_told_to_whoever_follows_them_and_to_nobody_else() {
    let stand = Stand::new().await;
    let (crm, setup) = crm_alone();
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, Some("key"), Wanted::default());
    let mut other = follower(&stand, Some("key"), everything());
    let crm = crm.id().clone();
    assert!(one.follows().follow_task(&crm, "t-1"));
    let status = |id: &str, status: &str| {
        let params = json(&format!(r#"{{"taskId":"{id}","status":"{status}"}}"#));
        (Notice::Task { connector: crm.clone(), params: params.clone() }, params)
    };
    let mut expected = Vec::new();
    for (id, how) in [("t-1", "working"), ("t-2", "working"), ("t-1", "completed")] {
        let (notice, params) = status(id, how);
        stand.org.notices.tell(notice);
        if id == "t-1" {
            expected.push(Told::TaskStatus { connector: crm.clone(), params });
        }
    }
    assert_eq!(told(&mut one), expected, "every state, in order");
    assert_eq!(told(&mut other), []);
    one.follows().unfollow_task(&crm, "t-1");
    stand.org.notices.tell(status("t-1", "late").0);
    assert_eq!(told(&mut one), []);
}

#[tokio::test]
async fn connectors_are_asked_for_tasks_that_they_will_tell_of() {
    const OTHERS: &str = r#","extensions":{"io.modelcontextprotocol/ui":{}}"#;
    const TASKS: &str = r#","extensions":{"io.modelcontextprotocol/tasks":{}}"#;
    let stand = Stand::new().await;
    let (crm, mut setup) = both();
    let tasks = |ids: &[&str]| -> BTreeSet<Place> {
        ids.iter().map(|id| (crm.id().clone(), Box::from(*id))).collect()
    };
    for (modern, declared, per_caller, told_of) in [
        (true, TASKS, false, true),
        (false, TASKS, false, false),
        (true, OTHERS, false, false),
        (true, "", false, false),
        // Each client's tasks are in a process of its own, which nobody listens to.
        (true, TASKS, true, false),
    ] {
        let features = format!(r#""features":{{"modern":{modern}{declared}}}"#);
        setup.connectors[0].1 = format!(r#"{{"tools":[],{features}}}"#);
        setup.per_caller = per_caller.then(|| crm.id().clone());
        stand.revise(&setup, &[]);
        let mut one = follower(&stand, Some("key"), Wanted::default());
        let context = stand.context(Some("key"));
        let vmcp = context.revision.snapshot.vmcp("all").unwrap();
        let mut wish = tasks(&["t-1", "t-2"]);
        wish.insert((ConnectorId::new("mail").unwrap(), "t-1".into()));
        wish.insert((ConnectorId::new("gone").unwrap(), "t-1".into()));
        let followed = one.follows().follow_tasks(&context.revision, vmcp, wish);
        let expected = if told_of { tasks(&["t-1", "t-2"]) } else { BTreeSet::new() };
        assert_eq!(followed, expected, "{features} {per_caller}");
        let params = json(r#"{"taskId":"t-1","status":"completed"}"#);
        let connector = crm.id().clone();
        stand.org.notices.tell(Notice::Task { connector, params });
        assert_eq!(told(&mut one).len(), usize::from(told_of), "{features} {per_caller}");
        drop(one);
        let asked: &[&[&str]] = if told_of { &[&["#t-1", "#t-2"], &[]] } else { &[] };
        assert_eq!(crm.asked(), asked, "{features} {per_caller}");
    }
}

#[tokio::test]
async fn one_client_follows_so_many_tasks_and_no_more() {
    let stand = Stand::new().await;
    let (crm, mut setup) = crm_alone();
    let features = r#"{"modern":true,"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    setup.connectors[0].1 = format!(r#"{{"tools":[],"features":{features}}}"#);
    stand.revise(&setup, &[]);
    let context = stand.context(Some("key"));
    let vmcp = context.revision.snapshot.vmcp("all").unwrap();
    let follows = Follows::new(&stand.org.notices);
    assert!(follows.follow_task(crm.id(), "unasked"));
    let many = (0..=MOST).map(|at| (crm.id().clone(), format!("t-{at}").into())).collect();
    assert_eq!(follows.follow_tasks(&context.revision, vmcp, many).len(), MOST - 1);
    assert!(!follows.follow_task(crm.id(), "more"));
    assert_eq!(crm.asked().pop().map(|asked| asked.len()), Some(MOST - 1));
}

#[tokio::test]
async fn a_listener_that_fell_behind_is_told_that_everything_may_have_changed() {
    let stand = Stand::new().await;
    let (_crm, setup) = crm_alone();
    stand.revise(&setup, &[]);
    let wish = Wanted { tools: true, resources: true, ..of(&["doc:a", "doc:b"]) };
    let mut one = follower(&stand, Some("key"), wish);
    for _ in 0..3_000 {
        stand.org.notices.tell(updated("crm", r#"{"uri":"doc:zzz"}"#));
    }
    let resource = |uri: &str| Told::ResourceUpdated(json(&format!(r#"{{"uri":"{uri}"}}"#)));
    let all = [Told::ToolsChanged, Told::ResourcesChanged, resource("doc:a"), resource("doc:b")];
    assert_eq!(told(&mut one), all);
    assert_eq!(told(&mut one), [], "once");
}

#[tokio::test]
async fn it_ends_with_the_right_to_listen() {
    let forbid = r#"permit (principal, action, resource);
        forbid (principal, action == Action::"connect", resource == VirtualMcp::"all");"#;
    type Change = fn(&mut Setup);
    let changes: [(&str, Change); 5] = [
        ("the key is taken away", |setup| setup.keys.clear()),
        ("the key is another one", |setup| setup.keys[0].0 = "other".to_owned()),
        ("the key has expired", |setup| setup.keys[0].2 = Some(0)),
        ("the virtual MCP is gone", |setup| setup.published = false),
        ("connecting is forbidden", |_| {}),
    ];
    for (why, change) in changes {
        let stand = Stand::new().await;
        let (crm, mut setup) = crm_alone();
        stand.revise(&setup, &[]);
        let mut one = follower(&stand, Some("key"), Wanted { tools: true, ..of(&["doc:a"]) });
        change(&mut setup);
        if why.starts_with("connecting") {
            setup.policies = forbid.to_owned();
        }
        stand.revise(&setup, &[("crm", List::Tools)]);
        assert!(has_ended(&mut one), "{why}");
        drop(one);
        assert_eq!(crm.asked(), [vec!["doc:a"], vec![]], "{why}");
    }
}

#[tokio::test]
async fn what_waits_for_a_slow_client_is_looked_at_again() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = crm_alone();
    stand.revise(&setup, &[]);
    let wish = Wanted { tools: true, ..of(&["doc:a", "doc:b"]) };
    let mut one = follower(&stand, Some("key"), wish.clone());
    let mut other = follower(&stand, Some("key"), wish);
    setup.connectors[0].1 = CRM.replace("find", "seek");
    stand.revise(&setup, &[]);
    for uri in ["doc:a", "doc:b"] {
        stand.org.notices.tell(updated("crm", &format!(r#"{{"uri":"{uri}"}}"#)));
    }
    assert_eq!(one.next().await, Some(Told::ToolsChanged));
    assert_eq!(other.next().await, Some(Told::ToolsChanged));
    setup.policies = r#"permit (principal, action, resource);
        forbid (principal, action == Action::"read_resource", resource == Resource::"crm/doc:a");"#
        .to_owned();
    stand.revise(&setup, &[]);
    assert_eq!(told(&mut one), [Told::ResourceUpdated(json(r#"{"uri":"doc:b"}"#))]);
    setup.keys.clear();
    stand.revise(&setup, &[]);
    assert!(has_ended(&mut other), "nothing of what waited is told");
}

#[tokio::test]
async fn a_caller_without_a_key_listens_where_such_are_served() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = crm_alone();
    setup.anonymous = true;
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, None, everything());
    stand.revise(&setup, &[("crm", List::Tools)]);
    assert_eq!(told(&mut one), [Told::ToolsChanged]);
    setup.anonymous = false;
    stand.revise(&setup, &[]);
    assert!(has_ended(&mut one));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_key_expires_though_nothing_happens() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = crm_alone();
    setup.keys[0].2 = Some(90_000_000);
    stand.revise(&setup, &[]);
    let mut one = follower(&stand, Some("key"), everything());
    let wait = tokio::spawn(async move { one.next().await });
    tokio::time::sleep(Duration::from_millis(89_999_000)).await;
    assert!(!wait.is_finished());
    stand.at(90_000_000);
    assert_eq!(wait.await.unwrap(), None);
}

#[tokio::test]
async fn a_change_between_the_request_and_the_stream_is_not_lost() {
    let stand = Stand::new().await;
    let (_crm, mut setup) = crm_alone();
    stand.revise(&setup, &[]);
    let context = stand.context(Some("key"));
    setup.connectors[0].1 = CRM.replace("find", "seek");
    stand.revise(&setup, &[]);
    let vmcp = context.revision.snapshot.vmcp("all").unwrap();
    let mut one = Follower::new(&stand.gateway, &context, vmcp, everything());
    assert_eq!(told(&mut one), [Told::ToolsChanged]);
}
