//! Groups: who is in them, what they give.

use super::*;

fn settings(role: &str, groups: &[&str]) -> Settings {
    let mut settings = Settings::default();
    settings.roles.insert(role.into(), texts(groups));
    settings
}

#[tokio::test]
async fn groups_come_from_three_sides_and_give_roles() {
    let bench = Bench::new().await;
    bench.directory.settings_changed(&settings("admin", &["platform", "claimed", "listed"]));
    for (name, edit) in [
        ("assigned", (|user| user.groups = texts(&["platform"])) as fn(&mut User)),
        ("claimed", |user| user.claimed_groups = texts(&["claimed"])),
        ("none", |_| {}),
    ] {
        let mut user = bench.user(name);
        edit(&mut user);
        let person = bench.directory.add(user).await.unwrap();
        assert_eq!(person.has_role("admin"), name != "none", "{name}");
    }
    let members = BTreeSet::from([id("none")]);
    let group = bench.directory.add_group("listed", Some("x".into()), members).await.unwrap();
    let none = || bench.directory.user(&id("none")).unwrap();
    assert!(none().has_role("admin"));
    // A new name gives what that name gives.
    let renamed = bench.directory.change_group(&group.id, |group| {
        group.name = "other".into();
        Ok(())
    });
    renamed.await.unwrap();
    assert_eq!(*none().groups, texts(&["other"]));
    assert!(!none().has_role("admin"));
    assert!(bench.directory.group_named("listed").is_none());
    bench.directory.settings_changed(&settings("auditor", &["other"]));
    assert!(none().has_role("auditor"));
    assert!(!bench.directory.user(&id("assigned")).unwrap().has_role("admin"));
    bench.directory.remove_group(&group.id).await.unwrap();
    assert_eq!(*none().roles, texts(&["member"]));
}

#[tokio::test]
async fn a_large_group_survives_a_restart_and_loses_its_members_one_by_one() {
    let bench = Bench::new().await;
    let mut members = BTreeSet::new();
    for n in 0..2_500 {
        members.insert(bench.add(&format!("user-{n:04}")).await.user.id.clone());
    }
    let group = bench.directory.add_group("all", None, members.clone()).await.unwrap();
    assert_eq!(group.members, members);
    assert_eq!(*bench.again().await.group(&group.id).unwrap(), *group);
    bench.directory.remove(&id("user-0007")).await.unwrap();
    let again = bench.again().await;
    assert_eq!(again.group(&group.id).unwrap().members.len(), 2_499);
    // Whoever gets the name later is not in it.
    bench.add("user-0007").await;
    assert!(bench.directory.user(&id("user-0007")).unwrap().groups.is_empty());
    assert_eq!(*again.user(&id("user-2499")).unwrap().groups, texts(&["all"]));
    assert_eq!(bench.directory.groups_of(&id("user-0001")).len(), 1);
}

#[tokio::test]
async fn names_are_taken_and_members_exist() {
    let bench = Bench::new().await;
    let group = bench.directory.add_group("a", None, BTreeSet::new()).await.unwrap();
    let taken = bench.directory.add_group("a", None, BTreeSet::new()).await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Taken { what: "group name", .. }), "{taken}");
    let other = bench.again().await;
    bench.directory.add_group("b", None, BTreeSet::new()).await.unwrap();
    let renamed = other.change_group(&group.id, |group| {
        group.name = "b".into();
        Ok(())
    });
    let taken = renamed.await.unwrap_err();
    assert!(matches!(taken, DirectoryError::Taken { what: "group name", .. }), "{taken}");
    let missing = bench.directory.change_group(&group.id, |group| {
        group.members.insert(id("nobody"));
        Ok(())
    });
    assert!(matches!(missing.await.unwrap_err(), DirectoryError::NoUser(_)));
    for bad in ["", " ", "a\nb"] {
        let refused = bench.directory.add_group(bad, None, BTreeSet::new()).await.unwrap_err();
        assert!(matches!(refused, DirectoryError::Bad(_)), "{bad:?}");
    }
    let none = bench.directory.remove_group("0").await.unwrap_err();
    assert!(matches!(none, DirectoryError::NoGroup(_)));
}

#[tokio::test]
async fn the_group_that_makes_the_last_owner_stays() {
    let bench = Bench::new().await;
    bench.directory.settings_changed(&settings("owner", &["founders"]));
    bench.add("ann").await;
    let members = BTreeSet::from([id("ann")]);
    let group = bench.directory.add_group("founders", None, members).await.unwrap();
    assert_eq!(bench.directory.owners().len(), 1);
    let edits: [fn(&mut Group); 2] =
        [|group| group.members.clear(), |group| group.name = "others".into()];
    for edit in edits {
        let changed = bench.directory.change_group(&group.id, |group| {
            edit(group);
            Ok(())
        });
        assert!(matches!(changed.await.unwrap_err(), DirectoryError::LastOwner(_)));
    }
    let removed = bench.directory.remove_group(&group.id).await.unwrap_err();
    assert!(matches!(removed, DirectoryError::LastOwner(_)));
    let mut bob = bench.user("bob");
    bob.roles = texts(&["owner"]);
    bench.directory.add(bob).await.unwrap();
    bench.directory.remove_group(&group.id).await.unwrap();
    assert_eq!(bench.directory.owners().len(), 1);
}

#[tokio::test]
async fn members_added_at_once_are_all_there() {
    let bench = Bench::new().await;
    for n in 0..20 {
        bench.add(&format!("user-{n}")).await;
    }
    let group = bench.directory.add_group("all", None, BTreeSet::new()).await.unwrap();
    let other = bench.again().await;
    let joins = (0..20).map(|n| {
        let directory = if n % 2 == 0 { &bench.directory } else { &other };
        let (group, member) = (group.id.clone(), id(&format!("user-{n}")));
        async move {
            let edit = |group: &mut Group| {
                group.members.insert(member.clone());
                Ok(())
            };
            while let Err(error) = directory.change_group(&group, edit).await {
                assert!(matches!(error, DirectoryError::Busy(_)), "{error}");
            }
        }
    });
    let mut joins: Vec<_> = joins.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        joins.retain_mut(|join| join.as_mut().poll(cx).is_pending());
        if joins.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(bench.again().await.group(&group.id).unwrap().members.len(), 20);
}
