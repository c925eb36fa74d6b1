use std::collections::BTreeMap;

use tidegate_store::{FixedKeys, embedded::EmbeddedStore};
use tidegate_wire::client::egress::{Origin, Resolver};

use super::*;
use crate::{
    credential::{
        Credential, CredentialError, CredentialSpec, KeySource, KeySpec, Placing, Refused, Scope,
        Want, key,
    },
    tests::a_call,
};
use tidegate_model::{Secret, SystemClock};

fn identity() -> ClientIdentity {
    let redirect_uri = "https://gateway.example/connect/callback".to_owned();
    ClientIdentity { redirect_uri, document: None }
}

async fn vault() -> (Arc<Vault>, Arc<dyn Store>) {
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let store: Arc<dyn Store> =
        Arc::new(EmbeddedStore::memory(keys, Arc::new(SystemClock)).unwrap());
    let org = OrgId::default_org();
    store.ensure_org(&org).await.unwrap();
    let egress = Egress::new(Resolver::System, None).unwrap();
    let vault = Vault::new(org, Arc::clone(&store), Arc::new(SystemClock), egress, identity());
    tokio::spawn(Arc::clone(&vault).follow());
    (vault, store)
}

fn bearer() -> Placing {
    Placing::Header { name: "authorization".into(), format: "Bearer {}".into() }
}

fn credential(vault: &Arc<Vault>, connector: &str, origin: &str, scope: Scope) -> Credential {
    let spec = KeySpec { placing: bearer(), source: KeySource::Stored(scope) };
    let (origin, _) = Origin::split(origin).unwrap();
    let connector = ConnectorId::new(connector).unwrap();
    let spec = CredentialSpec::Key(spec);
    Credential::new(connector, Some(origin), &spec, Some(vault), |_| None).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

async fn bring(vault: &Vault, credential: &Credential, owner: Owner, secret: &str) {
    let slot = credential.slot(&owner).unwrap();
    key::put(vault, &slot, &bearer(), &Secret::new(secret.into()), "tests").await.unwrap();
}

/// What a call of `who` would carry.
async fn carried(credential: &Credential, connector: &str, who: &str) -> Result<String, Want> {
    let call = tidegate_model::Call { user: user(who), ..a_call(connector, "echo", "{}") };
    match credential.inject(&call).await {
        Ok(injection) => {
            let (origin, _) = Origin::split("https://crm.example/mcp").unwrap();
            let headers = injection.headers_for(&origin).unwrap();
            Ok(headers.iter().map(|(_, value)| value.to_str().unwrap()).collect())
        }
        Err(CredentialError::Wanted { want, .. }) => Err(want),
        Err(error) => panic!("{error}"),
    }
}

const CRM: &str = "https://crm.example/mcp";

#[tokio::test]
async fn each_person_gets_their_own_and_nobody_elses() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::PerUser);
    assert_eq!(carried(&crm, "crm", "ann").await, Err(Want::Absent));
    bring(&vault, &crm, Owner::User(user("ann")), "of-ann").await;
    bring(&vault, &crm, Owner::User(user("bo")), "of-bo").await;
    bring(&vault, &crm, Owner::Shared, "of-all").await;
    for _ in 0..2 {
        assert_eq!(carried(&crm, "crm", "ann").await.unwrap(), "Bearer of-ann");
        assert_eq!(carried(&crm, "crm", "bo").await.unwrap(), "Bearer of-bo");
        assert_eq!(carried(&crm, "crm", "cy").await, Err(Want::Absent));
    }
    bring(&vault, &crm, Owner::User(user("ann")), "newer").await;
    assert_eq!(carried(&crm, "crm", "ann").await.unwrap(), "Bearer newer");
    let (was_there, told) = crm.revoke(&Owner::User(user("ann"))).await.unwrap();
    assert!(was_there && told.is_none());
    assert_eq!(carried(&crm, "crm", "ann").await, Err(Want::Absent));
    assert_eq!(carried(&crm, "crm", "bo").await.unwrap(), "Bearer of-bo");
}

#[tokio::test]
async fn a_shared_one_serves_everybody() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::Shared);
    bring(&vault, &crm, Owner::User(user("ann")), "of-ann").await;
    assert_eq!(carried(&crm, "crm", "ann").await, Err(Want::Absent));
    bring(&vault, &crm, Owner::Shared, "of-all").await;
    for who in ["ann", "bo"] {
        assert_eq!(carried(&crm, "crm", who).await.unwrap(), "Bearer of-all");
    }
}

#[tokio::test]
async fn one_serves_no_other_connector_and_no_other_place() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::Shared);
    bring(&vault, &crm, Owner::Shared, "of-crm").await;
    for (connector, origin) in [
        ("mail", CRM),
        ("crm", "https://other.example/mcp"),
        ("crm", "http://crm.example/mcp"),
        ("crm", "https://crm.example:8443/mcp"),
    ] {
        let other = credential(&vault, connector, origin, Scope::Shared);
        let call = a_call(connector, "echo", "{}");
        let found = other.inject(&call).await;
        assert!(matches!(found, Err(CredentialError::Wanted { .. })), "{connector} {origin}");
    }
    let call = a_call("crm", "echo", "{}");
    let injection = crm.inject(&call).await.unwrap();
    let (elsewhere, _) = Origin::split("https://evil.example/").unwrap();
    assert!(injection.headers_for(&elsewhere).is_err());
    assert!(injection.for_machine().is_err());
}

#[tokio::test]
async fn a_row_that_was_moved_or_put_back_does_not_open() {
    let (vault, store) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::PerUser);
    let keyring = store.keyring();
    let org = OrgId::default_org();
    let key_of = |who: &str| crm.slot(&Owner::User(user(who))).unwrap().key();
    let place = |key, version| tidegate_store::envelope::Place {
        kind: "credential",
        key,
        version,
        schema: SCHEMA,
        ..Default::default()
    };
    let (ann, bo) = (key_of("ann"), key_of("bo"));
    let sealed = keyring.seal(&org, place(&ann, 3), b"secret").unwrap();
    assert_eq!(keyring.open(&org, place(&ann, 3), &sealed).unwrap(), b"secret");
    assert!(keyring.open(&org, place(&bo, 3), &sealed).is_err());
    assert!(keyring.open(&org, place(&ann, 4), &sealed).is_err());
}

#[tokio::test]
async fn a_key_that_is_refused_is_asked_for_again_and_only_that_one() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::PerUser);
    for who in ["ann", "bo"] {
        bring(&vault, &crm, Owner::User(user(who)), who).await;
    }
    let call = tidegate_model::Call { user: user("ann"), ..a_call("crm", "echo", "{}") };
    let old = crm.inject(&call).await.unwrap();
    let forbidden = Refused { status: 403, challenge: None };
    crm.refused(&old, &forbidden).await.unwrap();
    assert_eq!(carried(&crm, "crm", "ann").await.unwrap(), "Bearer ann");
    let refused = Refused { status: 401, challenge: None };
    let wanted = crm.refused(&old, &refused).await;
    assert!(matches!(wanted, Err(CredentialError::Wanted { want: Want::Refused(_), .. })));
    assert!(matches!(carried(&crm, "crm", "ann").await, Err(Want::Refused(_))));
    assert_eq!(carried(&crm, "crm", "bo").await.unwrap(), "Bearer bo");
    bring(&vault, &crm, Owner::User(user("ann")), "newer").await;
    // The refusal of the old one comes late.
    crm.refused(&old, &refused).await.unwrap();
    assert_eq!(carried(&crm, "crm", "ann").await.unwrap(), "Bearer newer");
}

#[tokio::test]
async fn another_process_is_heard_of() {
    let (vault, store) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::Shared);
    bring(&vault, &crm, Owner::Shared, "first").await;
    assert_eq!(carried(&crm, "crm", "ann").await.unwrap(), "Bearer first");
    let egress = Egress::new(Resolver::System, None).unwrap();
    let other = Vault::new(OrgId::default_org(), store, Arc::new(SystemClock), egress, identity());
    let its = credential(&other, "crm", CRM, Scope::Shared);
    bring(&other, &its, Owner::Shared, "second").await;
    while carried(&crm, "crm", "ann").await.unwrap() != "Bearer second" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn lists_hold_no_secret() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::PerUser);
    let mail = credential(&vault, "mail", CRM, Scope::Shared);
    bring(&vault, &crm, Owner::User(user("ann")), "canary-1").await;
    bring(&vault, &mail, Owner::Shared, "canary-2").await;
    let all = vault.list(None).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(!format!("{all:?}").contains("canary"));
    let of_crm = vault.list(Some(&ConnectorId::new("crm").unwrap())).await.unwrap();
    let shown: Vec<_> = of_crm
        .iter()
        .map(|one| (one.connector.as_str(), one.kind.as_str(), one.place.as_str()))
        .collect();
    assert_eq!(shown, [("crm", "key", "https://crm.example")]);
    assert_eq!(of_crm.first().unwrap().about.user, Some(user("ann")));
    assert!(vault.list(Some(&ConnectorId::new("cr").unwrap())).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_that_cannot_be_sent_are_refused_when_they_are_brought() {
    let (vault, _) = vault().await;
    let crm = credential(&vault, "crm", CRM, Scope::Shared);
    let slot = crm.slot(&Owner::Shared).unwrap();
    for bad in ["", "\n", "a\nb", "schlüssel", "a\0", &"x".repeat(9_000)] {
        let secret = Secret::new(bad.to_owned());
        assert!(key::put(&vault, &slot, &bearer(), &secret, "tests").await.is_err(), "{bad:?}");
    }
    assert!(vault.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_vault_a_stored_key_is_no_credential() {
    let spec = KeySpec { placing: bearer(), source: KeySource::Stored(Scope::Shared) };
    let (origin, _) = Origin::split(CRM).unwrap();
    let id = ConnectorId::new("crm").unwrap();
    let none = BTreeMap::<String, Secret>::new();
    let secret = |name: &str| none.get(name).cloned();
    let opened = Credential::new(id, Some(origin), &CredentialSpec::Key(spec), None, secret);
    assert!(matches!(opened, Err(CredentialError::NoVault(_))));
}
