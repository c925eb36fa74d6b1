//! A large organisation.

use super::*;

const USERS: usize = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_are_read_and_found_by_every_name() {
    let bench = Bench::new().await;
    let org = OrgId::default_org();
    let made = |n: usize| {
        let mut user = bench.user(&format!("user-{n:05}"));
        user.email = Some(format!("user-{n:05}@example.com"));
        user.links = vec![link("okta", &n.to_string())];
        user.external_id = Some(format!("ext-{n}"));
        user.groups = texts(&["all"]);
        user
    };
    for from in (0..USERS).step_by(200) {
        let ops = (from..from + 200)
            .flat_map(|n| row::write_user(&org, &made(n), None, Expect::Absent).unwrap());
        let batch = ops.fold(Batch::new(), Batch::with);
        bench.ground.store.commit(batch).await.unwrap();
    }
    let directory = bench.again().await;
    assert_eq!(directory.len(), USERS);
    for n in [0, 1, 777, 25_000, USERS - 1] {
        let expected = Some(id(&format!("user-{n:05}")));
        let found = [
            directory.user(expected.as_ref().unwrap()),
            directory.by_email(&format!("USER-{n:05}@example.com")),
            directory.linked(&link("okta", &n.to_string())),
            directory.by_external_id(&format!("ext-{n}")),
        ];
        for one in found {
            assert_eq!(one.map(|one| one.user.id.clone()), expected);
        }
    }
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = directory.users(after.as_ref(), 999);
        let Some(last) = page.last() else { break };
        assert!(page.iter().is_sorted_by_key(|one| &one.user.id));
        (after, seen) = (Some(last.user.id.clone()), seen + page.len());
    }
    assert_eq!(seen, USERS);
    let mut settings = Settings::default();
    settings.roles.insert("auditor".into(), texts(&["all"]));
    directory.settings_changed(&settings);
    assert!(directory.users(None, USERS).iter().all(|one| one.has_role("auditor")));
}
