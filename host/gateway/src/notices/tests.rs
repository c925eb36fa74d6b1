use super::{stand::Scripted, *};

fn connectors(all: &[&Arc<Scripted>]) -> HashMap<ConnectorId, Arc<dyn Connector>> {
    let one = |scripted: &&Arc<Scripted>| {
        (scripted.id().clone(), Arc::clone(scripted) as Arc<dyn Connector>)
    };
    all.iter().map(one).collect()
}

fn places(connector: &str, uris: &[&str]) -> BTreeSet<Place> {
    let connector = ConnectorId::new(connector).unwrap();
    uris.iter().map(|uri| (connector.clone(), Box::from(*uri))).collect()
}

#[test]
fn a_connector_is_asked_for_what_somebody_follows() {
    let notices = Notices::default();
    let crm = Scripted::new("crm");
    notices.revised(&connectors(&[&crm]), Vec::new());
    assert_eq!(crm.asked(), Vec::<Vec<String>>::new(), "nobody follows anything");

    let (mut one, mut other) = (notices.following(), notices.following());
    one.hold(places("crm", &["a", "b"])).unwrap();
    other.hold(places("crm", &["b"])).unwrap();
    one.hold(places("crm", &["b", "c"])).unwrap();
    assert_eq!(crm.asked(), [vec!["a", "b"], vec!["b", "c"]], "a second holder changes nothing");
    drop(one);
    drop(other);
    assert_eq!(crm.asked(), [vec!["b"], vec![]]);
}

#[test]
fn what_is_followed_outlives_the_connector_that_was_asked() {
    let notices = Notices::default();
    let (before, after) = (Scripted::new("crm"), Scripted::new("crm"));
    let mut one = notices.following();
    one.hold(places("crm", &["early"])).unwrap();
    notices.revised(&connectors(&[&before]), Vec::new());
    assert_eq!(before.asked(), [vec!["early"]], "a connector that comes later is asked, too");

    one.hold(places("crm", &["early", "late"])).unwrap();
    notices.revised(&connectors(&[&before]), Vec::new());
    assert_eq!(before.asked(), [vec!["early", "late"]], "nothing is said twice");
    notices.revised(&connectors(&[&after]), Vec::new());
    assert_eq!(after.asked(), [vec!["early", "late"]]);
    assert_eq!(Arc::strong_count(&before), 1, "the hub must not keep a connector from closing");

    notices.revised(&HashMap::new(), Vec::new());
    one.hold(places("crm", &["late"])).unwrap();
    notices.revised(&connectors(&[&after]), Vec::new());
    assert_eq!(after.asked(), [vec!["late"]]);
    assert_eq!(before.asked(), Vec::<Vec<String>>::new());
}

#[test]
fn one_connector_is_not_asked_for_more_than_it_may_be() {
    let notices = Notices::default();
    let crm = Scripted::new("crm");
    notices.revised(&connectors(&[&crm]), Vec::new());
    let id = ConnectorId::new("crm").unwrap();
    let many = (0..MOST).map(|at| (id.clone(), format!("m:{at}").into())).collect();
    let (mut most, mut more) = (notices.following(), notices.following());
    most.hold(many).unwrap();
    assert_eq!(crm.asked().last().map(Vec::len), Some(MOST));

    more.hold(places("crm", &["m:1"])).unwrap();
    let mut wanted = places("crm", &["m:2", "x"]);
    wanted.extend(places("mail", &["y"]));
    assert_eq!(more.hold(wanted), Err(Crowded(id)));
    assert_eq!(*more.held(), places("crm", &["m:1"]), "all or nothing");
    assert_eq!(crm.asked(), Vec::<Vec<String>>::new(), "a refusal asks for nothing");
    drop(most);
    assert_eq!(crm.asked(), [["m:1"]]);
    more.hold(places("crm", &["m:1", "x"])).unwrap();
    assert_eq!(crm.asked(), [["m:1", "x"]]);
}
