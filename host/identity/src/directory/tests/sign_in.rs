//! Who somebody is whom a provider vouches for.

use super::*;

fn claimed(subject: &str, email: &str) -> Claimed {
    Claimed {
        link: link("okta", subject),
        email: Some((email.into(), true)),
        name: Some("Ann E.".into()),
        groups: texts(&["sales"]),
        roles: vec![],
    }
}

#[tokio::test]
async fn somebody_new_joins_and_is_the_same_the_next_time() {
    let bench = Bench::new().await;
    let first = bench.directory.signed_in(&claimed("1", "Ann@Example.com"), true).await.unwrap();
    assert_eq!(first.user.id.as_str(), "ann@example.com");
    assert_eq!(*first.groups, texts(&["sales"]));
    bench.clock.pass(60_000);
    // Another address and other groups: the same person, by the same name.
    let mut moved = claimed("1", "ann.e@example.com");
    moved.groups = texts(&["leads"]);
    let again = bench.directory.signed_in(&moved, false).await.unwrap();
    assert_eq!(again.user.id, first.user.id);
    assert_eq!(again.user.email.as_deref(), Some("ann.e@example.com"));
    assert_eq!(*again.groups, texts(&["leads"]));
    assert_eq!(again.user.last_sign_in, Some(Timestamp::from_millis(1_060_000)));
    // Whoever gets the old address is somebody else.
    let other = bench.directory.signed_in(&claimed("2", "ann@example.com"), true).await;
    assert!(matches!(other.unwrap_err(), SignInRefused::OtherPerson(_)));
    let other = bench.directory.signed_in(&claimed("2", "ann.e@example.com"), true).await;
    assert!(matches!(other.unwrap_err(), SignInRefused::OtherPerson(_)));
    assert_eq!(bench.directory.len(), 1);
}

#[tokio::test]
async fn only_a_verified_address_leads_to_somebody() {
    let bench = Bench::new().await;
    let mut invited = bench.user("u-17");
    invited.email = Some("ann@example.com".into());
    invited.roles = texts(&["admin"]);
    bench.directory.add(invited).await.unwrap();
    let mut unverified = claimed("1", "ann@example.com");
    unverified.email = Some(("ann@example.com".into(), false));
    let refused = bench.directory.signed_in(&unverified, true).await.unwrap_err();
    assert!(matches!(refused, SignInRefused::NotVerified(_)), "{refused}");
    for none in [None, Some(("ann".to_owned(), true)), Some(("a b@c".to_owned(), true))] {
        let nobody = Claimed { email: none, ..claimed("1", "") };
        let refused = bench.directory.signed_in(&nobody, true).await.unwrap_err();
        assert!(matches!(refused, SignInRefused::NoEmail), "{refused}");
    }
    let ann = bench.directory.signed_in(&claimed("1", "ANN@example.com"), false).await.unwrap();
    assert_eq!(ann.user.id.as_str(), "u-17");
    assert!(ann.has_role("admin"));
    // Once linked, nothing depends on the address.
    let ann = bench.directory.signed_in(&unverified, false).await.unwrap();
    assert_eq!(ann.user.id.as_str(), "u-17");
}

#[tokio::test]
async fn who_may_not_come_in_stays_out() {
    let bench = Bench::new().await;
    let stranger = bench.directory.signed_in(&claimed("9", "eve@example.com"), false).await;
    assert!(matches!(stranger.unwrap_err(), SignInRefused::NotInvited(_)));
    let mut bot = bench.user("bot@example.com");
    bot.kind = Kind::Agent;
    bench.directory.add(bot).await.unwrap();
    let as_bot = bench.directory.signed_in(&claimed("9", "bot@example.com"), true).await;
    assert!(matches!(as_bot.unwrap_err(), SignInRefused::IsAgent(_)));
    bench.directory.signed_in(&claimed("1", "ann@example.com"), true).await.unwrap();
    bench.directory.deactivate(&id("ann@example.com")).await.unwrap();
    let back = bench.directory.signed_in(&claimed("1", "ann@example.com"), true).await;
    assert!(matches!(back.unwrap_err(), SignInRefused::NotActive(_)));
    let ann = bench.directory.user(&id("ann@example.com")).unwrap();
    assert!(!ann.user.active && ann.user.links.len() == 1);
    // One address, two users: nobody guesses.
    bench.add("x@example.com").await;
    let mut other = bench.user("other");
    other.email = Some("x@example.com".into());
    bench.directory.add(other).await.unwrap();
    let both = bench.directory.signed_in(&claimed("3", "x@example.com"), true).await;
    assert!(matches!(both.unwrap_err(), SignInRefused::Ambiguous(_)));
    let mut many = claimed("4", "many@example.com");
    many.groups = (0..10_001).map(|n| n.to_string()).collect();
    let many = bench.directory.signed_in(&many, true).await;
    assert!(matches!(many.unwrap_err(), SignInRefused::TooManyGroups(10_001)));
}

#[tokio::test]
async fn two_providers_may_know_the_same_person() {
    let bench = Bench::new().await;
    let ann = bench.directory.signed_in(&claimed("1", "ann@example.com"), true).await.unwrap();
    let google = Claimed { link: link("google", "1"), ..claimed("", "ann@example.com") };
    let same = bench.directory.signed_in(&google, false).await.unwrap();
    assert_eq!((same.user.id.clone(), same.user.links.len()), (ann.user.id.clone(), 2));
    // An address that is somebody else's is not taken from them.
    bench.directory.signed_in(&claimed("2", "bob@example.com"), true).await.unwrap();
    let moved = bench.directory.signed_in(&claimed("1", "bob@example.com"), true).await.unwrap();
    assert_eq!(moved.user.email.as_deref(), Some("ann@example.com"));
}

/// The settings lead to another provider under a name that was used before.
#[tokio::test]
async fn another_issuer_of_the_same_name_speaks_of_other_people() {
    let bench = Bench::new().await;
    let ann = bench.directory.signed_in(&claimed("1", "ann@example.com"), true).await.unwrap();
    let moved = |subject: &str, email: &str| {
        let mut claimed = claimed(subject, email);
        claimed.link.issuer = "https://new.test".into();
        claimed
    };
    // Its first subject is somebody else, whatever the old one's was.
    let refused = bench.directory.signed_in(&moved("1", "eve@example.com"), false).await;
    assert!(matches!(refused.unwrap_err(), SignInRefused::NotInvited(_)));
    let mut unverified = moved("1", "ann@example.com");
    unverified.email = Some(("ann@example.com".into(), false));
    let refused = bench.directory.signed_in(&unverified, true).await;
    assert!(matches!(refused.unwrap_err(), SignInRefused::NotVerified(_)));
    // By an address that it vouches for they come back, and are who they are there from now on.
    let again = bench.directory.signed_in(&moved("7", "ann@example.com"), false).await.unwrap();
    assert_eq!(again.user.id, ann.user.id);
    assert_eq!(again.user.links, [moved("7", "").link]);
    for directory in [bench.directory.clone(), bench.again().await] {
        assert!(directory.linked(&link("okta", "1")).is_none());
        assert!(directory.linked(&moved("7", "").link).is_some());
    }
    let other = bench.directory.signed_in(&moved("8", "ann@example.com"), true).await;
    assert!(matches!(other.unwrap_err(), SignInRefused::OtherPerson(_)));
}

#[tokio::test]
async fn many_claimed_groups_are_kept_and_replaced() {
    let bench = Bench::new().await;
    let mut ann = claimed("1", "ann@example.com");
    ann.groups = (0..9_000).map(|n| format!("00000000-0000-0000-0000-{n:012}")).collect();
    bench.directory.signed_in(&ann, true).await.unwrap();
    let again = bench.again().await;
    assert_eq!(again.user(&id("ann@example.com")).unwrap().groups.len(), 9_000);
    let rows = bench.rows().await;
    let again = again.signed_in(&claimed("1", "ann@example.com"), true).await.unwrap();
    assert_eq!(*again.groups, texts(&["sales"]));
    assert!(bench.rows().await < rows - 20);
    assert_eq!(*bench.again().await.user(&id("ann@example.com")).unwrap(), *again);
}

#[tokio::test]
async fn a_first_sign_in_twice_at_once_makes_one_user() {
    let bench = Bench::new().await;
    let other = bench.again().await;
    let who = claimed("1", "ann@example.com");
    let (one, two) =
        tokio::join!(bench.directory.signed_in(&who, true), other.signed_in(&who, true));
    assert_eq!(one.unwrap().user.id, two.unwrap().user.id);
    assert_eq!(bench.again().await.len(), 1);
}
