//! Revoking, giving up, asking about, listing.

use serde_json::Value;

use super::*;

/// More changes than the store's feed holds.
const FEED: usize = 1_100;

fn naming(client: &str, token: &str) -> Fields {
    Bench::by(client, fields(&[("token", token), ("token_type_hint", "access_token")]))
}

async fn given_up(bench: &Bench, form: &Fields) -> Result<Option<GivenUp>, TokenRefused> {
    bench.server.revoke(&bench.settings, Form { authorization: &[], fields: form }).await
}

async fn asked(bench: &Bench, form: &Fields) -> Result<Value, TokenRefused> {
    let form = Form { authorization: &[], fields: form };
    let body = bench.server.introspect(&bench.settings, form).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

/// RFC 7009 sections 2.1 and 2.2.
#[tokio::test]
async fn a_client_gives_up_its_own_tokens_and_learns_nothing_of_others() {
    let bench = Bench::new().await;
    for which in ["access", "refresh"] {
        let reply = bench.tokens("public", SALES).await;
        let refresh = reply.refresh_token.as_ref().unwrap();
        let token = if which == "access" { &reply.access_token } else { refresh };
        for (name, client, token, is_taken) in [
            ("another client", "other", token.expose(), true),
            ("unknown token", "public", "x", true),
            ("JWT of nobody", "public", "a.b.c", true),
            ("unknown client", "nobody", token.expose(), false),
            ("no token", "public", "", false),
        ] {
            let form = edited(&naming("public", token), &[("client_id", Some(client))]);
            match given_up(&bench, &form).await {
                Ok(ended) => assert!(is_taken && ended.is_none(), "{name}"),
                Err(refused) => assert!(!is_taken, "{name}: {refused}"),
            }
            assert!(bench.at(SALES, &reply.access_token).is_ok(), "{name}");
        }
        let ended = given_up(&bench, &naming("public", token.expose())).await.unwrap().unwrap();
        assert_eq!((ended.grant, ended.user.as_str()), (reply.grant, "ann@acme.com"));
        assert!(bench.at(SALES, &reply.access_token).is_err(), "{which}");
        let form = Bench::refreshing("public", refresh);
        assert_eq!(code_of(&bench.token(&form).await), "invalid_grant", "{which}");
        // Twice is as good as once.
        assert!(given_up(&bench, &naming("public", token.expose())).await.unwrap().is_none());
    }
}

/// RFC 7662 sections 2.1 to 2.3.
#[tokio::test]
async fn a_client_that_proves_who_it_is_asks_about_its_own_tokens() {
    let bench = Bench::new().await;
    let reply = bench.tokens("confidential", SALES).await;
    let refresh = reply.refresh_token.as_ref().unwrap().expose().to_owned();
    let access = reply.access_token.expose();
    for token in [access, &refresh] {
        let said = asked(&bench, &naming("confidential", token)).await.unwrap();
        assert_eq!(said["active"], true);
        assert_eq!((&said["sub"], &said["aud"]), (&"ann@acme.com".into(), &SALES.into()));
        assert_eq!((&said["client_id"], &said["scope"]), (&"confidential".into(), &"mcp".into()));
        let inactive = serde_json::json!({ "active": false });
        // Of another client's token it is not even said that there is one.
        assert_eq!(asked(&bench, &naming("agent", token)).await.unwrap(), inactive);
        assert_eq!(asked(&bench, &naming("confidential", "x")).await.unwrap(), inactive);
        for (name, form) in [
            ("public client", naming("public", token)),
            (
                "wrong secret",
                edited(&naming("confidential", token), &[("client_secret", Some("x"))]),
            ),
            ("no client", edited(&naming("public", token), &[("client_id", None)])),
        ] {
            assert_eq!(code_of(&asked(&bench, &form).await), "invalid_client", "{name}");
        }
        let form = edited(&naming("confidential", token), &[("token", None)]);
        assert_eq!(code_of(&asked(&bench, &form).await), "invalid_request");
    }
    bench.server.revoke_grant(reply.grant).await.unwrap();
    for token in [access, &refresh] {
        let said = asked(&bench, &naming("confidential", token)).await.unwrap();
        assert_eq!(said, serde_json::json!({ "active": false }));
    }
}

#[tokio::test]
async fn a_revocation_counts_at_once_after_a_restart_and_on_other_processes() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let following = tokio::spawn(Arc::clone(&other.server).follow());
    let reply = bench.tokens("public", SALES).await;
    assert!(bench.at(SALES, &reply.access_token).is_ok());
    assert!(other.at(SALES, &reply.access_token).is_ok());
    let mut changed = other.server.revocations().changed();
    assert!(bench.server.revoke_grant(reply.grant).await.unwrap());
    assert!(bench.at(SALES, &reply.access_token).is_err());
    let seen = tokio::time::timeout(Duration::from_secs(30), changed.changed()).await;
    seen.unwrap().unwrap();
    assert!(other.at(SALES, &reply.access_token).is_err());
    assert!(bench.restarted().await.at(SALES, &reply.access_token).is_err());
    assert!(!bench.server.revoke_grant(reply.grant).await.unwrap(), "it is gone");
    following.abort();
}

#[tokio::test]
async fn revocations_are_forgotten_when_no_token_can_name_them() {
    let bench = Bench::new().await;
    let reply = bench.tokens("public", SALES).await;
    bench.server.revoke_grant(reply.grant).await.unwrap();
    bench.pass(86_400);
    assert!(bench.restarted().await.server.revocations().has(&reply.grant));
    bench.pass(120);
    let now = bench.ground.clock.now();
    bench.server.revocations().purge(now);
    assert!(!bench.server.revocations().has(&reply.grant));
    assert!(!bench.restarted().await.server.revocations().has(&reply.grant));
}

/// A client that takes tokens and gives them up leaves nothing behind for a day.
#[tokio::test]
async fn what_was_never_written_down_is_remembered_no_longer_than_its_token_lasts() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let following = tokio::spawn(Arc::clone(&other.server).follow());
    let form = [("grant_type", "client_credentials"), ("resource", SALES)];
    let form = Bench::by("agent", fields(&form));
    let rows = async || {
        let mut count = 0;
        let count_one = |_: &tidegate_store::Row| count += 1;
        let rows = &bench.server.rows;
        rows.each(tidegate_store::Table::Grant, revocations::PREFIX, count_one).await.unwrap();
        count
    };
    let mut given_up = Vec::new();
    for _ in 0..10 {
        let reply = bench.token(&form).await.unwrap();
        let token = reply.access_token.expose();
        let asked = Bench::by("agent", fields(&[("token", token)]));
        let mut changed = other.server.revocations().changed();
        for is_first in [true, false] {
            let form = Form { authorization: &[], fields: &asked };
            let said = bench.server.revoke(&bench.settings, form).await.unwrap();
            assert_eq!(said.is_some(), is_first, "it has ended once");
        }
        assert!(bench.at(SALES, &reply.access_token).is_err());
        let seen = tokio::time::timeout(Duration::from_secs(30), changed.changed()).await;
        seen.unwrap().unwrap();
        assert!(other.at(SALES, &reply.access_token).is_err());
        given_up.push(reply.grant);
    }
    assert_eq!(rows().await, 10);
    // The other process learns from the rows how long each counts.
    let all = Arc::clone(&other.server);
    let last = *given_up.last().unwrap();
    let known = async || {
        while all.revocations().until(&last) != bench.server.revocations().until(&last) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known()).await.unwrap();
    bench.pass(600 + 120);
    assert_eq!(rows().await, 0);
    for bench in [&bench, &other] {
        bench.server.revocations().purge(bench.ground.clock.now());
        assert!(!given_up.iter().any(|grant| bench.server.revocations().has(grant)));
    }
    following.abort();
}

#[tokio::test]
async fn grants_are_listed_by_user_and_all_and_ended_by_user_client_and_session() {
    let bench = Bench::new().await;
    let (ann, ben) = (bench.ann(), bench.person("ben@acme.com"));
    let mut all = Vec::new();
    for (who, client, session) in [
        (&ann, "public", "s1"),
        (&ann, "other", "s1"),
        (&ann, "public", "s2"),
        (&ben, "public", "s1"),
    ] {
        bench.pass(1);
        let request = bench.request(&Bench::query(client, SALES)).await;
        let at = SignInFacts { session: Some(session.into()), ..bench.signed_in() };
        let to = bench.server.approve(who, at, &request, request.scopes, false).await.unwrap();
        let code = answer(&to).remove("code").unwrap();
        let reply = bench.token(&Bench::redeeming(client, &code)).await.unwrap();
        all.push((reply.grant, reply.access_token));
    }
    let of_ann = bench.server.grants_of(&ann.user.id).await.unwrap();
    let ids: Vec<GrantId> = of_ann.iter().map(|grant| grant.id).collect();
    assert_eq!(ids, [all[2].0, all[1].0, all[0].0], "the one used last first");
    let shown = bench.server.grant(all[1].0).await.unwrap().unwrap();
    assert_eq!((shown.client.as_str(), shown.origin), ("other", Origin::AuthorizationCode));
    let mut paged = Vec::new();
    while let Some(page) = Some(bench.server.grants(paged.last().copied(), 3).await.unwrap())
        && !page.is_empty()
    {
        paged.extend(page.iter().map(|grant| grant.id));
    }
    let mut sorted: Vec<GrantId> = all.iter().map(|(id, _)| *id).collect();
    sorted.sort();
    assert_eq!(paged, sorted);
    let alive = |expected: [bool; 4]| {
        let got: Vec<bool> = all.iter().map(|(_, token)| bench.at(SALES, token).is_ok()).collect();
        assert_eq!(got, expected);
    };
    alive([true; 4]);
    assert_eq!(bench.server.revoke_session(&ann.user.id, "s2").await.unwrap(), 1);
    alive([true, true, false, true]);
    assert_eq!(bench.server.revoke_client("public").await.unwrap(), 2);
    alive([false, true, false, false]);
    assert_eq!(bench.server.revoke_user(&ann.user.id).await.unwrap(), 1);
    alive([false; 4]);
    assert_eq!(bench.server.revoke_user(&ann.user.id).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refresh_and_a_revocation_at_once_leave_nothing() {
    let bench = Bench::new().await;
    for round in 0..20 {
        let reply = bench.tokens("public", SALES).await;
        let form = Bench::refreshing("public", &reply.refresh_token.unwrap());
        let (refreshed, revoked) =
            tokio::join!(bench.token(&form), bench.server.revoke_grant(reply.grant));
        assert!(revoked.unwrap());
        if let Ok(next) = refreshed {
            assert!(bench.at(SALES, &next.access_token).is_err(), "round {round}");
            let form = Bench::refreshing("public", &next.refresh_token.unwrap());
            assert_eq!(code_of(&bench.token(&form).await), "invalid_grant", "round {round}");
        }
        assert!(bench.server.grant(reply.grant).await.unwrap().is_none(), "round {round}");
    }
}

/// A process that was too slow for the store's feed reads everything again.
#[tokio::test]
async fn revocations_that_were_missed_are_read() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let mut revoked = Vec::new();
    // Nobody drives the other one meanwhile.
    for _ in 0..FEED {
        let id = GrantId::random().unwrap();
        bench.server.revoke_grant(id).await.unwrap();
        revoked.push(id);
    }
    bench.server.rotate_signing_key().await.unwrap();
    let following = tokio::spawn(Arc::clone(&other.server).follow());
    let mut changed = other.server.revocations().changed();
    let all = async {
        while !revoked.iter().all(|id| other.server.revocations().has(id)) {
            changed.changed().await.unwrap();
        }
        while other.server.jwks() != bench.server.jwks() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    following.abort();
}
