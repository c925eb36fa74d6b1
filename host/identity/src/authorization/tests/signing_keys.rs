//! Signing keys: agreed on, replaced, let go.

use serde_json::Value;

use super::*;

fn kids(bench: &Bench) -> Vec<String> {
    let jwks: Value = serde_json::from_slice(&bench.server.jwks()).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!((&key["kty"], &key["crv"]), (&"OKP".into(), &"Ed25519".into()));
        assert!(key.get("d").is_none(), "the private half stays here");
    }
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn processes_that_start_at_once_agree_on_one_key() {
    let clock = SetClock::new();
    let ground = ground(&clock, no_egress()).await;
    let start = || Bench::on(Arc::clone(&clock), ground.clone(), settings());
    let directory = Directory::open(&ground, &settings()).await.unwrap();
    let open =
        || AuthorizationServer::open(ground.clone(), Arc::clone(&directory), Arc::new(settings()));
    let (one, two, three) = tokio::join!(open(), open(), open());
    let all = [one.unwrap().jwks(), two.unwrap().jwks(), three.unwrap().jwks()];
    assert!(all.iter().all(|jwks| *jwks == all[0]));
    assert_eq!(kids(&start().await).len(), 1);
}

#[tokio::test]
async fn a_key_that_was_replaced_verifies_until_its_tokens_are_over() {
    let bench = Bench::new().await;
    let first = kids(&bench).remove(0);
    let token = bench.tokens("public", SALES).await.access_token;
    bench.server.rotate_signing_key().await.unwrap();
    assert_eq!(kids(&bench).len(), 2);
    let next = bench.tokens("public", SALES).await.access_token;
    for token in [&token, &next] {
        assert!(bench.at(SALES, token).is_ok());
        assert!(bench.restarted().await.at(SALES, token).is_ok());
    }
    let header = next.expose().split('.').next().unwrap();
    let header = String::from_utf8(spelling::from_base64url(header).unwrap()).unwrap();
    assert!(!header.contains(&first), "the new key signs");
    bench.pass(86_400 + 599);
    assert_eq!(kids(&bench).len(), 2);
    bench.pass(1);
    assert_eq!(kids(&bench).len(), 1);
    assert!(!kids(&bench).contains(&first));
    assert_eq!(kids(&bench.restarted().await), kids(&bench));
}

#[tokio::test]
async fn a_key_is_replaced_after_ninety_days() {
    let bench = Bench::new().await;
    let first = kids(&bench);
    bench.pass(90 * 86_400 - 1);
    assert_eq!(kids(&bench.restarted().await), first);
    bench.pass(1);
    let after = bench.restarted().await;
    assert_eq!(kids(&after).len(), 2);
    // The one that runs finds it by itself.
    bench.server.keys.rotate_if_due().await.unwrap();
    assert_eq!(kids(&bench), kids(&after));
}

#[tokio::test]
async fn a_new_key_is_seen_by_other_processes() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let following = tokio::spawn(Arc::clone(&other.server).follow());
    bench.server.rotate_signing_key().await.unwrap();
    let token = bench.tokens("public", SALES).await.access_token;
    let seen = async {
        while kids(&other) != kids(&bench) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    assert!(other.at(SALES, &token).is_ok());
    following.abort();
}

#[tokio::test]
async fn rotations_at_once_leave_one_key_in_use() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let (one, two) =
        tokio::join!(bench.server.rotate_signing_key(), other.server.rotate_signing_key());
    one.unwrap();
    two.unwrap();
    let after = bench.restarted().await;
    assert_eq!(kids(&after).len(), 2);
    for one in [&bench, &other] {
        let token = one.tokens("public", SALES).await.access_token;
        assert!(after.at(SALES, &token).is_ok());
    }
}
