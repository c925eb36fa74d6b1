//! The link of the first owner, and of those who are invited.

use super::*;
use crate::{
    directory::{Bench, id},
    settings::{ClaimNames, Preset, Provider},
};

struct Stand {
    bench: Bench,
    welcome: Welcome,
    passwords: Passwords,
    settings: Settings,
}

impl Stand {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let welcome = Welcome::new(bench.ground.clone(), bench.directory.clone());
        let passwords = Passwords::new(bench.ground.clock.clone());
        Self { bench, welcome, passwords, settings: Settings::default() }
    }

    async fn link(&self) -> String {
        token(&self.welcome.first_owner(&self.settings).await.unwrap().unwrap())
    }

    async fn accept(&self, token: &str, email: &str) -> Result<Arc<Person>, WelcomeRefused> {
        let password = Secret::new("three grey herons at dawn".into());
        let how = (&self.settings, &self.passwords);
        self.welcome.accept(how, token, Some(email), &password).await
    }
}

fn token(link: &Secret) -> String {
    let path = link.expose().strip_prefix("https://mcp.example.com/welcome/");
    path.expect("a link").to_owned()
}

fn unknown<T: std::fmt::Debug>(done: Result<T, WelcomeRefused>) {
    let refused = done.unwrap_err();
    assert!(matches!(refused, WelcomeRefused::Unknown), "{refused}");
}

#[tokio::test]
async fn the_first_owner_is_made_once_by_one_link() {
    let stand = Stand::new().await;
    let old = stand.link().await;
    let link = stand.link().await;
    assert_eq!(link.len(), 43);
    unknown(stand.welcome.look(&stand.settings, &old).await);
    let looked = stand.welcome.look(&stand.settings, &link).await.unwrap();
    assert_eq!(looked, Invited::FirstOwner);
    for bad in ["", " ", "no address"] {
        assert!(stand.accept(&link, bad).await.is_err(), "{bad:?}");
    }
    let how = (&stand.settings, &stand.passwords);
    let short = Secret::new("short".into());
    let weak = stand.welcome.accept(how, &link, Some("a@b.c"), &short).await;
    assert!(matches!(weak, Err(WelcomeRefused::Password(PasswordRefused::Weak(_)))));
    let ann = stand.accept(&link, "Ann@Example.com ").await.unwrap();
    assert_eq!((ann.user.id.as_str(), ann.has_role("owner")), ("ann@example.com", true));
    unknown(stand.accept(&link, "eve@example.com").await);
    assert!(!stand.welcome.is_needed(&stand.settings));
    assert!(stand.welcome.first_owner(&stand.settings).await.unwrap().is_none());
    let password = Secret::new("three grey herons at dawn".into());
    let (directory, passwords) = (&stand.bench.directory, &stand.passwords);
    passwords.sign_in(directory, "ann@example.com", &password, None).await.unwrap();
}

#[tokio::test]
async fn whoever_is_known_already_and_becomes_an_owner_begins_anew() {
    let stand = Stand::new().await;
    let link = stand.link().await;
    let ann = stand.bench.add("ann@example.com").await;
    stand.bench.clock.pass(2_000);
    let now = stand.bench.ground.clock.now();
    assert!(ann.user.not_before < now);
    let ann = stand.accept(&link, "ann@example.com").await.unwrap();
    assert!(ann.has_role("owner"));
    // What acted for her before, whoever had it, does not act for an owner.
    assert_eq!(ann.user.not_before, now);
}

#[tokio::test]
async fn of_two_at_once_with_one_link_one_gets_in() {
    let stand = Stand::new().await;
    let link = stand.link().await;
    let (one, other) = tokio::join!(
        stand.accept(&link, "ann@example.com"),
        stand.accept(&link, "eve@example.com")
    );
    assert_eq!([one.is_ok(), other.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert_eq!(stand.bench.again().await.len(), 1);
}

#[tokio::test]
async fn a_link_ends_after_a_day_and_whatever_else_is_no_link() {
    let stand = Stand::new().await;
    let link = stand.link().await;
    for bad in ["", "x", &link[1..], &format!("{link}A"), &link.to_uppercase()] {
        unknown(stand.accept(bad, "ann@example.com").await);
    }
    stand.bench.clock.pass(24 * 3_600_000);
    unknown(stand.accept(&link, "ann@example.com").await);
    assert!(stand.bench.directory.is_empty());
}

#[tokio::test]
async fn a_provider_makes_links_needless() {
    let mut stand = Stand::new().await;
    let link = stand.link().await;
    let provider = Provider {
        title: "Okta".into(),
        preset: Preset::Okta,
        issuer: "https://acme.okta.com".into(),
        client_id: "c".into(),
        client_secret: Secret::new("s".into()),
        scopes: vec!["openid".into()],
        claims: ClaimNames::default(),
        addresses: vec![],
        endpoint_hosts: vec![],
        trust_email: false,
    };
    stand.settings.providers.insert("okta".into(), provider);
    assert!(!stand.welcome.is_needed(&stand.settings));
    unknown(stand.accept(&link, "ann@example.com").await);
    stand.settings.enforced = Some("okta".into());
    let refused = stand.accept(&link, "ann@example.com").await.unwrap_err();
    assert!(matches!(refused, WelcomeRefused::NoAccounts), "{refused}");
}

#[tokio::test]
async fn who_is_invited_chooses_a_password_and_nothing_else() {
    let stand = Stand::new().await;
    let (directory, settings) = (&stand.bench.directory, &stand.settings);
    for name in ["ann", "bob"] {
        stand.bench.add(name).await;
    }
    let first = token(&stand.welcome.invite(settings, &id("ann")).await.unwrap());
    let bob = token(&stand.welcome.invite(settings, &id("bob")).await.unwrap());
    let link = token(&stand.welcome.invite(settings, &id("ann")).await.unwrap());
    unknown(stand.accept(&first, "x@example.com").await);
    stand.bench.clock.pass(2_000);
    let ann = stand.accept(&link, "x@example.com").await.unwrap();
    assert_eq!((ann.user.id.as_str(), ann.user.email.as_deref()), ("ann", None));
    assert!(!ann.has_role("owner") && ann.user.not_before == stand.bench.ground.clock.now());
    directory.deactivate(&id("bob")).await.unwrap();
    unknown(stand.accept(&bob, "").await);
    assert!(stand.welcome.invite(settings, &id("bob")).await.is_err());
    assert!(stand.welcome.invite(settings, &id("nobody")).await.is_err());
}
