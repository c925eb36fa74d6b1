//! Browser sessions: how long they last, what ends them, what their cookies are.

use tidegate_store::{Row as StoredRow, Scan};
use tidegate_wire::client::egress::{Egress, Resolver};

use super::*;
use crate::{
    directory::Claimed,
    login::tests::stand::{Hand, ground},
    settings::{ClaimNames, Preset, Provider},
};

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;

struct Bench {
    clock: Arc<Hand>,
    directory: Arc<Directory>,
    sessions: Sessions,
    settings: Settings,
}

impl Bench {
    async fn new() -> Self {
        let clock = Hand::new();
        let egress = Egress::new(Resolver::System, None).unwrap();
        let ground = ground("acme", &clock, egress).await;
        let mut settings = Settings::default();
        settings.providers.insert("corp".into(), provider());
        let directory = Directory::open(&ground, &settings).await.unwrap();
        let sessions = Sessions::new(ground, Arc::clone(&directory));
        Self { clock, directory, sessions, settings }
    }

    async fn sign_in(&self, name: &str) -> Opened {
        let link = Link {
            provider: "corp".into(),
            issuer: "https://corp.test".into(),
            subject: name.to_owned(),
        };
        let claimed = Claimed {
            link: link.clone(),
            email: Some((format!("{name}@example.com"), true)),
            name: None,
            groups: Vec::new(),
            roles: Vec::new(),
        };
        let person = self.directory.signed_in(&claimed, true).await.unwrap();
        let new = NewSession {
            user: person.user.id.clone(),
            link: Some(link),
            sid: Some(format!("{name} there")),
            auth_time: self.sessions.ground.clock.now(),
            amr: vec!["pwd".into()],
            id_token: Some(Secret::new("canary".into())),
        };
        self.sessions.open(&self.settings, &person, new).await.unwrap()
    }

    async fn find(&self, cookie: &Secret) -> Option<Found> {
        self.sessions.find(&self.settings, cookie.expose()).await.unwrap()
    }

    async fn rows(&self) -> Vec<StoredRow> {
        let ground = &self.sessions.ground;
        ground.store.scan(Scan::all(row::TABLE, ground.issuer.org())).await.unwrap()
    }
}

fn provider() -> Provider {
    Provider {
        title: "Corp".into(),
        preset: Preset::Oidc,
        issuer: "https://corp.example".into(),
        client_id: "gate".into(),
        client_secret: Secret::new(String::new()),
        scopes: Vec::new(),
        claims: ClaimNames::default(),
        addresses: Vec::new(),
        endpoint_hosts: Vec::new(),
        trust_email: false,
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_cookie_alone() {
    let bench = Bench::new().await;
    let (ae, be) = (bench.sign_in("ae").await, bench.sign_in("be").await);
    let found = bench.find(&ae.cookie).await.unwrap();
    assert_eq!(found.person.user.id.as_str(), "ae@example.com");
    assert_eq!(found.session.id, ae.session.id);
    assert!(found.cookie.is_none(), "the cookie stays as it is");
    assert!(found.session.is_csrf(ae.session.csrf.expose()));
    for other in ["", "x", be.session.csrf.expose()] {
        assert!(!found.session.is_csrf(other));
    }
    let (own, other) = (ae.cookie.expose(), be.cookie.expose());
    let mac = |cookie: &str| cookie.rsplit_once('.').unwrap().1.to_owned();
    let id = ae.session.id.as_str();
    for cookie in [
        String::new(),
        id.to_owned(),
        format!("{id}.1"),
        format!("{id}.1."),
        format!("{id}.1.{}", mac(other)),
        format!("{id}.2.{}", mac(own)),
        format!("{id}.0.{}", mac(own)),
        format!("{id}.+1.{}", mac(own)),
        format!("{id}.99999999999999999999.{}", mac(own)),
        format!("{id}.1.{}", ae.session.csrf.expose()),
        format!("{}.1.{}", id.to_uppercase(), mac(own)),
        format!("{}.1.{}", be.session.id, mac(own)),
        format!("{own}x"),
        format!(" {own}"),
    ] {
        let found = bench.find(&Secret::new(cookie.clone())).await;
        assert!(found.is_none(), "{cookie}");
        assert!(bench.sessions.end_by_cookie(&cookie).await.unwrap().is_none(), "{cookie}");
    }
    assert!(bench.find(&ae.cookie).await.is_some());
    let shown = format!("{ae:?} {found:?}");
    assert!(!shown.contains("canary") && !shown.contains(&mac(own)), "{shown}");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_or_too_old() {
    let bench = Bench::new().await;
    let unused = bench.sign_in("ae").await;
    bench.clock.forward(12 * HOUR);
    assert!(bench.find(&unused.cookie).await.is_none());
    let used = bench.sign_in("ae").await;
    let mut cookie = used.cookie;
    for hour in (0..7 * 24).step_by(11) {
        let found = bench.find(&cookie).await.unwrap_or_else(|| panic!("after {hour} hours"));
        cookie = found.cookie.unwrap_or(cookie);
        bench.clock.forward(11 * HOUR);
    }
    assert!(bench.find(&cookie).await.is_none(), "a week is over");
    assert!(bench.rows().await.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn use_is_written_down_every_five_minutes() {
    let bench = Bench::new().await;
    let opened = bench.sign_in("ae").await;
    let version = async || {
        let (_, version) = bench.sessions.read(&opened.session.id).await.unwrap().unwrap();
        version
    };
    let first = version().await;
    for _ in 0..4 {
        bench.clock.forward(MINUTE);
        bench.find(&opened.cookie).await.unwrap();
    }
    assert_eq!(version().await, first);
    bench.clock.forward(MINUTE);
    let found = bench.find(&opened.cookie).await.unwrap();
    assert_eq!(found.session.last_used, bench.sessions.ground.clock.now());
    assert!(version().await > first);
}

#[tokio::test]
async fn a_cookie_is_good_for_an_hour_and_a_little_beside_the_next() {
    let bench = Bench::new().await;
    let first = bench.sign_in("ae").await.cookie;
    bench.clock.forward(HOUR);
    // Pages that load side by side all get the same successor.
    let pages = futures_util::future::join_all((0..8).map(|_| bench.find(&first))).await;
    let second = pages.iter().find_map(|page| page.as_ref()?.cookie.clone()).unwrap();
    for page in &pages {
        let next = page.as_ref().unwrap().cookie.as_ref().unwrap();
        assert_eq!(next.expose(), second.expose());
    }
    assert_ne!(first.expose(), second.expose());
    assert!(bench.find(&second).await.unwrap().cookie.is_none());
    bench.clock.forward(29);
    let late = bench.find(&first).await.unwrap();
    assert_eq!(late.cookie.unwrap().expose(), second.expose());
    bench.clock.forward(1);
    assert!(bench.find(&first).await.is_none());
    bench.clock.forward(HOUR);
    let third = bench.find(&second).await.unwrap().cookie.unwrap();
    assert!(bench.find(&first).await.is_none());
    assert_eq!(
        bench.find(&third).await.unwrap().session.csrf.expose(),
        late.session.csrf.expose(),
        "forms that are open stay good"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_person_and_their_way_in() {
    let mut bench = Bench::new().await;
    let ae = bench.sign_in("ae").await;
    let id = ae.session.user.clone();
    bench.clock.forward(1);
    bench.directory.sign_out_everywhere(&id).await.unwrap();
    assert!(bench.find(&ae.cookie).await.is_none(), "signed out everywhere");
    bench.clock.forward(1);
    let ae = bench.sign_in("ae").await;
    assert!(bench.find(&ae.cookie).await.is_some());

    bench.settings.enforced = Some("other".into());
    assert!(bench.find(&ae.cookie).await.is_none(), "another provider is the only way in");
    bench.settings.enforced = None;
    let corp = bench.settings.providers.remove("corp").unwrap();
    assert!(bench.find(&ae.cookie).await.is_none(), "the provider is gone");
    bench.settings.providers.insert("corp".into(), corp);
    assert!(bench.find(&ae.cookie).await.is_some());

    let unlink = |user: &mut crate::directory::User| {
        user.links.clear();
        Ok(())
    };
    bench.directory.change(&id, unlink).await.unwrap();
    assert!(bench.find(&ae.cookie).await.is_none(), "unlinked");
    let ae = bench.sign_in("ae").await;
    bench.directory.deactivate(&id).await.unwrap();
    assert!(bench.find(&ae.cookie).await.is_none(), "not active");
}

#[tokio::test]
async fn an_account_of_our_own_ends_where_accounts_are_not_taken() {
    let mut bench = Bench::new().await;
    let user = bench.sign_in("ae").await.session.user;
    let person = bench.directory.user(&user).unwrap();
    let new = NewSession {
        user,
        link: None,
        sid: None,
        auth_time: bench.sessions.ground.clock.now(),
        amr: vec!["pwd".into()],
        id_token: None,
    };
    let opened = bench.sessions.open(&bench.settings, &person, new).await.unwrap();
    assert!(bench.find(&opened.cookie).await.is_some());
    bench.settings.enforced = Some("corp".into());
    assert!(bench.find(&opened.cookie).await.is_none());
    bench.settings.enforced = None;
    bench.settings.accounts = false;
    assert!(bench.find(&opened.cookie).await.is_none());
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_whom_they_belong_to() {
    let bench = Bench::new().await;
    let one = bench.sign_in("ae").await;
    bench.clock.forward(1);
    let two = bench.sign_in("ae").await;
    let be = bench.sign_in("be").await;
    let user = &one.session.user;
    let ids = async || {
        let sessions = bench.sessions.of_user(user).await.unwrap();
        sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [two.session.id.clone(), one.session.id.clone()]);
    let ended = bench.sessions.end(&one.session.id).await.unwrap().unwrap();
    assert_eq!(ended.id, one.session.id);
    assert!(bench.sessions.end(&one.session.id).await.unwrap().is_none());
    assert!(bench.find(&one.cookie).await.is_none());
    assert_eq!(ids().await, std::slice::from_ref(&two.session.id));
    let ended = bench.sessions.end_user(user).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert!(ids().await.is_empty() && bench.find(&two.cookie).await.is_none());
    assert!(bench.find(&be.cookie).await.is_some());
    bench.sessions.end_by_cookie(be.cookie.expose()).await.unwrap().unwrap();
    assert!(bench.rows().await.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn one_person_has_a_hundred_sessions_at_most() {
    let bench = Bench::new().await;
    let first = bench.sign_in("ae").await;
    let other = bench.sign_in("be").await;
    for _ in 0..SESSIONS {
        bench.clock.forward(1);
        bench.sign_in("ae").await;
    }
    assert_eq!(bench.sessions.of_user(&first.session.user).await.unwrap().len(), SESSIONS);
    assert!(bench.find(&first.cookie).await.is_none(), "the oldest made room");
    assert!(bench.find(&other.cookie).await.is_some());
}

/// Whoever brings a cookie of their own choosing gets another one.
#[tokio::test]
async fn signing_in_again_is_a_session_of_its_own() {
    let bench = Bench::new().await;
    let (one, two) = (bench.sign_in("ae").await, bench.sign_in("ae").await);
    assert_ne!(one.session.id, two.session.id);
    assert_ne!(one.session.csrf.expose(), two.session.csrf.expose());
    assert_ne!(one.cookie.expose(), two.cookie.expose());
}

#[tokio::test]
async fn an_id_token_that_is_too_long_is_not_kept() {
    let bench = Bench::new().await;
    let opened = bench.sign_in("ae").await;
    assert!(opened.session.id_token.is_some());
    let person = bench.directory.user(&opened.session.user).unwrap();
    let new = NewSession {
        user: opened.session.user,
        link: opened.session.link,
        sid: None,
        auth_time: opened.session.auth_time,
        amr: Vec::new(),
        id_token: Some(Secret::new("x".repeat(ID_TOKEN + 1))),
    };
    let opened = bench.sessions.open(&bench.settings, &person, new).await.unwrap();
    assert!(opened.session.id_token.is_none());
}

/// Two processes over one store, of which neither follows the other.
#[tokio::test]
async fn nobody_signs_in_whom_another_process_has_put_out_meanwhile() {
    let bench = Bench::new().await;
    let user = bench.sign_in("ae").await.session.user;
    let other = Directory::open(&bench.sessions.ground, &bench.settings).await.unwrap();
    let open = async |proven: &Person| {
        let new = NewSession {
            user: user.clone(),
            link: None,
            sid: None,
            auth_time: bench.sessions.ground.clock.now(),
            amr: Vec::new(),
            id_token: None,
        };
        bench.clock.forward(1);
        bench.sessions.open(&bench.settings, proven, new).await
    };
    // Whatever else changes is taken over, and no reason to refuse.
    let proven = bench.directory.user(&user).unwrap();
    let rename = |user: &mut crate::directory::User| {
        user.name = Some("Another name".into());
        Ok(())
    };
    other.change(&user, rename).await.unwrap();
    open(&proven).await.unwrap();

    let proven = bench.directory.user(&user).unwrap();
    other.sign_out_everywhere(&user).await.unwrap();
    let refused = open(&proven).await;
    assert!(matches!(refused, Err(SessionError::PutOut(_))), "signed out: {refused:?}");
    // Who proves anew who they are comes in.
    let proven = bench.directory.user(&user).unwrap();
    open(&proven).await.unwrap();
    other.deactivate(&user).await.unwrap();
    let refused = open(&proven).await;
    assert!(matches!(refused, Err(SessionError::PutOut(_))), "deactivated: {refused:?}");
    // Also where this process has learned of it before the session was to begin.
    let activate = |user: &mut crate::directory::User| {
        user.active = true;
        Ok(())
    };
    bench.directory.change(&user, activate).await.unwrap();
    let refused = open(&proven).await;
    assert!(matches!(refused, Err(SessionError::PutOut(_))), "and back: {refused:?}");
}
