use super::{stand::Scripted, *};

fn connectors(all: &[&Arc<Scripted>]) -> HashMap<ConnectorId, Arc<dyn Connector>> {
    let one = |scripted: &&Arc<Scripted>| {
        (scripted.id().clone(), Arc::clone(scripted) as Arc<dyn Connector>)
    };
    all.iter().map(one).collect()
}

/// Resources, and tasks where there is a `#` in front.
fn places(connector: &str, names: &[&str]) -> Held {
    let connector = ConnectorId::new(connector).unwrap();
    let mut held = Held::default();
    for name in names {
        let (set, name) = match name.strip_prefix('#') {
            Some(id) => (&mut held.tasks, id),
            None => (&mut held.resources, *name),
        };
        set.insert((connector.clone(), Box::from(name)));
    }
    held
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
fn tasks_are_counted_apart_from_resources() {
    let notices = Notices::default();
    let crm = Scripted::new("crm");
    notices.revised(&connectors(&[&crm]), Vec::new());
    let (mut one, mut other) = (notices.following(), notices.following());
    one.hold(places("crm", &["same", "#same"])).unwrap();
    other.hold(places("crm", &["#same"])).unwrap();
    assert_eq!(crm.asked(), [["same", "#same"]]);
    one.hold(places("crm", &["#same"])).unwrap();
    drop(one);
    assert_eq!(crm.asked(), [["#same"]]);

    let after = Scripted::new("crm");
    notices.revised(&connectors(&[&after]), Vec::new());
    assert_eq!(after.asked(), [["#same"]], "tasks alone are handed over, too");
    notices.revised(&HashMap::new(), Vec::new());
    notices.revised(&connectors(&[&crm]), Vec::new());
    assert_eq!(crm.asked(), [["#same"]], "they outlive a connector that was away");
    drop(other);
    assert_eq!(crm.asked(), [Vec::<String>::new()]);
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
    for mark in ["", "#"] {
        let notices = Notices::default();
        let crm = Scripted::new("crm");
        notices.revised(&connectors(&[&crm]), Vec::new());
        let id = ConnectorId::new("crm").unwrap();
        let many: Vec<String> = (0..MOST).map(|at| format!("{mark}m:{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let [first, second, new] = ["m:1", "m:2", "x"].map(|name| format!("{mark}{name}"));
        let (mut most, mut more) = (notices.following(), notices.following());
        most.hold(places("crm", &many)).unwrap();
        assert_eq!(crm.asked().last().map(Vec::len), Some(MOST));

        more.hold(places("crm", &[&first])).unwrap();
        let mut wanted = places("crm", &[&second, &new]);
        wanted.resources.extend(places("mail", &["y"]).resources);
        assert_eq!(more.hold(wanted), Err(Crowded(id)));
        assert_eq!(*more.held(), places("crm", &[&first]), "all or nothing");
        assert_eq!(crm.asked(), Vec::<Vec<String>>::new(), "a refusal asks for nothing");
        // There is room for the other kind.
        let other = if mark.is_empty() { "#t" } else { "r" };
        more.hold(places("crm", &[&first, other])).unwrap();
        assert_eq!(crm.asked().last().map(Vec::len), Some(MOST + 1));
        more.hold(places("crm", &[&first])).unwrap();
        crm.asked();
        drop(most);
        assert_eq!(crm.asked(), [[first.clone()]]);
        more.hold(places("crm", &[&first, &new])).unwrap();
        assert_eq!(crm.asked(), [[first, new]]);
    }
}
