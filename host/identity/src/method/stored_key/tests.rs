//! Keys that the gateway made: used, ended, remembered.

use super::*;
use crate::{
    directory::{Bench, Kind, User, id},
    method::{
        admin_socket::owner,
        api_key::{ApiKeys, KeyRecord},
    },
};

struct Stand {
    bench: Bench,
    keys: Arc<StoredKeys>,
}

impl Stand {
    async fn new() -> Self {
        let bench = Bench::new().await;
        bench.add("ann").await;
        let keys = StoredKeys::open(&bench.ground).await.unwrap();
        Self { bench, keys }
    }

    fn now(&self) -> Timestamp {
        self.bench.ground.clock.now()
    }

    async fn try_make(&self, name: &str, user: &str, end: u64) -> Result<Secret, StoredKeyError> {
        let new = NewKey {
            id: KeyId::new(name).unwrap(),
            user: id(user),
            vmcps: vec![VmcpId::new("sales").unwrap()],
            expires: (end > 0).then(|| self.now().after(Duration::from_millis(end))),
        };
        let by = owner(OrgId::default_org()).unwrap();
        let made = self.keys.create(&self.bench.directory, new, &by).await;
        made.map(|(_, secret)| secret)
    }

    async fn make(&self, name: &str, user: &str, end: u64) -> Secret {
        self.try_make(name, user, end).await.unwrap()
    }

    fn authenticate(&self, key: &Secret) -> Result<Caller, KeyRefused> {
        self.keys.authenticate(&self.bench.directory, key.expose())
    }

    fn renew(&self, caller: &Caller) -> Result<(Caller, Option<Timestamp>), KeyRefused> {
        self.keys.renew(&self.bench.directory, caller, self.now())
    }
}

fn key_id(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

#[tokio::test]
async fn a_key_is_its_holder_as_they_are_now() {
    let stand = Stand::new().await;
    let key = stand.make("one", "ann", 0).await;
    assert!(key.expose().starts_with("tg_one_"));
    let caller = stand.authenticate(&key).unwrap();
    assert_eq!((caller.user().as_str(), caller.roles()), ("ann", &["member".to_owned()][..]));
    assert_eq!((caller.kind(), caller.key()), (Kind::Person, Some(&key_id("one"))));
    assert!(caller.reaches(&VmcpId::new("sales").unwrap()));
    assert!(!caller.reaches(&VmcpId::new("hr").unwrap()) && !caller.reaches_admin());
    let members = BTreeSet::from([id("ann")]);
    stand.bench.directory.add_group("leads", None, members).await.unwrap();
    assert_eq!(stand.authenticate(&key).unwrap().groups(), ["leads"]);
    assert_eq!(stand.renew(&caller).unwrap().0.groups(), ["leads"]);
    for wrong in ["", "tg_one_", &key.expose()[..key.expose().len() - 1]] {
        let refused = stand.authenticate(&Secret::new(wrong.to_owned())).unwrap_err();
        assert_eq!(refused, KeyRefused::Unknown, "{wrong}");
    }
    let mut bot = User::new(id("bot"), Kind::Agent, stand.now());
    bot.roles = vec!["auditor".into()];
    stand.bench.directory.add(bot).await.unwrap();
    let bot = stand.make("two", "bot", 0).await;
    let bot = stand.authenticate(&bot).unwrap();
    assert_eq!((bot.kind(), bot.roles()), (Kind::Agent, &["auditor".to_owned()][..]));
}

#[tokio::test]
async fn a_key_ends_with_its_time_its_revocation_and_its_holder() {
    let stand = Stand::new().await;
    let (short, long) =
        (stand.make("short", "ann", 1_000).await, stand.make("long", "ann", 0).await);
    let callers = [&short, &long].map(|key| stand.authenticate(key).unwrap());
    assert_eq!(
        stand.renew(&callers[0]).unwrap().1,
        Some(stand.now().after(Duration::from_secs(1)))
    );
    stand.bench.clock.pass(1_000);
    assert_eq!(stand.authenticate(&short).unwrap_err(), KeyRefused::Expired(key_id("short")));
    assert_eq!(stand.renew(&callers[0]).unwrap_err(), KeyRefused::Expired(key_id("short")));
    assert_eq!(stand.keys.list().len(), 1);
    stand.bench.directory.deactivate(&id("ann")).await.unwrap();
    assert_eq!(stand.authenticate(&long).unwrap_err(), KeyRefused::NotActive(key_id("long")));
    assert_eq!(stand.renew(&callers[1]).unwrap_err(), KeyRefused::NotActive(key_id("long")));
    let back = |user: &mut User| {
        user.active = true;
        Ok(())
    };
    stand.bench.directory.change(&id("ann"), back).await.unwrap();
    stand.authenticate(&long).unwrap();
    // Whoever gets the name later does not get the key.
    stand.bench.directory.remove(&id("ann")).await.unwrap();
    assert_eq!(stand.authenticate(&long).unwrap_err(), KeyRefused::NotActive(key_id("long")));
    stand.bench.clock.pass(1);
    stand.bench.add("ann").await;
    assert_eq!(stand.authenticate(&long).unwrap_err(), KeyRefused::NotActive(key_id("long")));
    let own = stand.make("own", "ann", 0).await;
    let caller = stand.authenticate(&own).unwrap();
    assert_eq!(stand.keys.revoke_of(&id("ann")).await.unwrap().len(), 2);
    for key in [&own, &long] {
        assert_eq!(stand.authenticate(key).unwrap_err(), KeyRefused::Unknown);
    }
    assert_eq!(stand.renew(&caller).unwrap_err(), KeyRefused::Unknown);
    let refused = stand.keys.revoke(&key_id("own")).await.unwrap_err();
    assert!(matches!(refused, StoredKeyError::Unknown(_)), "{refused}");
}

#[tokio::test]
async fn what_would_be_no_key_is_not_made() {
    let stand = Stand::new().await;
    stand.make("one", "ann", 0).await;
    let taken = stand.try_make("one", "ann", 0).await.unwrap_err();
    assert!(matches!(taken, StoredKeyError::Taken(_)), "{taken}");
    let nobody = stand.try_make("two", "bob", 0).await.unwrap_err();
    assert!(matches!(nobody, StoredKeyError::NoUser(_)), "{nobody}");
    let new =
        NewKey { id: key_id("x"), user: id("ann"), vmcps: vec![], expires: Some(stand.now()) };
    let by = owner(OrgId::default_org()).unwrap();
    let late = stand.keys.create(&stand.bench.directory, new, &by).await.unwrap_err();
    assert!(matches!(late, StoredKeyError::Expired), "{late}");
    for n in 1..MOST {
        stand.make(&format!("key-{n}"), "ann", 0).await;
    }
    let many = stand.try_make("more", "ann", 0).await.unwrap_err();
    assert!(matches!(many, StoredKeyError::TooMany(_)), "{many}");
    stand.bench.directory.deactivate(&id("ann")).await.unwrap();
    let gone = stand.try_make("two", "ann", 0).await.unwrap_err();
    assert!(matches!(gone, StoredKeyError::NoUser(_)), "{gone}");
}

#[tokio::test]
async fn uses_are_written_down_now_and_then() {
    let stand = Stand::new().await;
    let key = stand.make("one", "ann", 0).await;
    stand.make("never", "ann", 0).await;
    let kept = async || {
        let again = StoredKeys::open(&stand.bench.ground).await.unwrap();
        again.list().into_iter().map(|key| key.last_used).collect::<Vec<_>>()
    };
    let first = stand.now();
    stand.authenticate(&key).unwrap();
    assert_eq!(kept().await, [None, None]);
    stand.keys.keep_uses().await.unwrap();
    assert_eq!(kept().await, [None, Some(first)]);
    stand.bench.clock.pass(9 * 60_000);
    stand.authenticate(&key).unwrap();
    stand.keys.keep_uses().await.unwrap();
    assert_eq!(kept().await, [None, Some(first)]);
    assert_eq!(stand.keys.list()[1].last_used, Some(stand.now()));
    stand.bench.clock.pass(60_000);
    stand.authenticate(&key).unwrap();
    stand.keys.keep_uses().await.unwrap();
    assert_eq!(kept().await, [None, Some(stand.now())]);
    // A key that was revoked elsewhere does not come back by its use.
    let elsewhere = StoredKeys::open(&stand.bench.ground).await.unwrap();
    elsewhere.revoke(&key_id("one")).await.unwrap();
    stand.bench.clock.pass(20 * 60_000);
    stand.authenticate(&key).unwrap();
    stand.keys.keep_uses().await.unwrap();
    assert_eq!(kept().await, [None]);
    assert_eq!(stand.authenticate(&key).unwrap_err(), KeyRefused::Unknown);
}

#[tokio::test]
async fn another_process_sees_keys_come_and_go_and_organisations_are_apart() {
    let stand = Stand::new().await;
    let other = StoredKeys::open(&stand.bench.ground).await.unwrap();
    let followed = tokio::spawn(other.clone().follow());
    let store = stand.bench.ground.store.clone();
    let acme = Bench::on(store, stand.bench.clock.clone(), "acme").await;
    acme.add("ann").await;
    let acme_keys = StoredKeys::open(&acme.ground).await.unwrap();
    let key = stand.make("one", "ann", 0).await;
    let directory = &stand.bench.directory;
    while other.authenticate(directory, key.expose()).is_err() {
        tokio::task::yield_now().await;
    }
    let foreign = acme_keys.authenticate(&acme.directory, key.expose()).unwrap_err();
    assert_eq!(foreign, KeyRefused::Unknown);
    assert!(StoredKeys::open(&acme.ground).await.unwrap().list().is_empty());
    stand.keys.revoke(&key_id("one")).await.unwrap();
    while other.authenticate(directory, key.expose()).is_ok() {
        tokio::task::yield_now().await;
    }
    followed.abort();
}

#[tokio::test]
async fn a_key_in_a_file_rests_while_its_holder_is_not_active() {
    let stand = Stand::new().await;
    let (text, hash) = generate(&key_id("file")).unwrap();
    let of = |user: &str, kind| {
        ApiKeys::new([KeyRecord {
            id: key_id("file"),
            org: OrgId::default_org(),
            hash,
            user: id(user),
            kind,
            groups: vec![],
            roles: vec![],
            vmcps: vec![],
            expires: None,
        }])
    };
    let directory = &stand.bench.directory;
    let good = of("Ann", Kind::Person);
    let caller = good.authenticate(&OrgId::default_org(), text.expose(), &*stand.bench.clock);
    let caller = caller.unwrap();
    let is_good = |files: &ApiKeys| {
        let found = crate::method::key((files, &stand.keys, directory), text.expose(), stand.now());
        let renewed =
            crate::method::renew_key((files, &stand.keys, directory), &caller, stand.now());
        assert_eq!(found.is_ok(), renewed.is_ok());
        found.is_ok()
    };
    assert!(is_good(&good) && is_good(&of("somebody-else", Kind::Agent)));
    assert!(!is_good(&of("ann", Kind::Agent)), "an agent of a person's name");
    directory.deactivate(&id("ann")).await.unwrap();
    assert!(!is_good(&good));
    assert!(!is_good(&ApiKeys::default()));
}
