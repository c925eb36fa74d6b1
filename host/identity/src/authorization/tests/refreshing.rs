//! Refresh tokens: rotated, replayed, refused.

use super::*;

/// What is sent otherwise than it should be (parts of the token under names of their own), and
/// what comes of it.
type Row = (&'static str, Vec<(&'static str, Option<String>)>, &'static str);

/// RFC 6749 section 6, RFC 9700 section 4.14; T12.
#[tokio::test]
async fn every_refusal_of_a_refresh_token() {
    let bench = Bench::new().await;
    let swap = |text: &str, from: usize, to: &str| {
        let mut parts: Vec<&str> = text.splitn(4, '_').collect();
        parts[from] = to;
        parts.join("_")
    };
    let zeros = "0".repeat(32);
    let mac = "A".repeat(43);
    let rows: Vec<Row> = vec![
        ("nothing is wrong", vec![], "issued"),
        ("the resource once more", vec![("resource", Some(SALES.into()))], "issued"),
        ("another resource", vec![("resource", Some(SUPPORT.into()))], "invalid_target"),
        ("less scope", vec![("scope", Some("mcp".into()))], "issued"),
        ("more scope", vec![("scope", Some("mcp mcp:destructive".into()))], "invalid_scope"),
        ("malformed scope", vec![("scope", Some("\u{7}".into()))], "invalid_scope"),
        ("no token", vec![("refresh_token", None)], "invalid_request"),
        ("token twice", vec![("+refresh_token", Some("x".into()))], "invalid_request"),
        ("no token of ours", vec![("refresh_token", Some("x".into()))], "invalid_grant"),
        ("of another grant", vec![("", Some(zeros))], "invalid_grant"),
        ("with another MAC", vec![("mac", Some(mac))], "invalid_grant"),
        ("of the next generation", vec![("generation", Some("2".into()))], "invalid_grant"),
        ("of no generation", vec![("generation", Some("0".into()))], "invalid_grant"),
        (
            "another spelling of the generation",
            vec![("generation", Some("01".into()))],
            "invalid_grant",
        ),
        ("signed generation", vec![("generation", Some("+1".into()))], "invalid_grant"),
        ("huge generation", vec![("generation", Some("99999999999".into()))], "invalid_grant"),
        ("unknown client", vec![("client_id", Some("nobody".into()))], "invalid_client"),
    ];
    for (name, edits, expected) in rows {
        let query = edited(&Bench::query("public", SALES), &[("scope", Some("mcp mcp:write"))]);
        let code = bench.code_for(&query).await;
        let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
        let token = reply.refresh_token.unwrap();
        let mut form = Bench::refreshing("public", &token);
        for (what, value) in &edits {
            let text = value.as_deref().unwrap_or_default();
            let part = match *what {
                "" => Some(swap(token.expose(), 1, text)),
                "generation" => Some(swap(token.expose(), 2, text)),
                "mac" => Some(swap(token.expose(), 3, text)),
                _ => None,
            };
            form = match part {
                Some(token) => edited(&form, &[("refresh_token", Some(&token))]),
                None => edited(&form, &[(*what, value.as_deref())]),
            };
        }
        assert_eq!(code_of(&bench.token(&form).await), expected, "{name}");
        let right = Bench::refreshing("public", &token);
        assert_eq!(code_of(&bench.token(&right).await), "issued", "{name}, then rightly");
    }
}

#[tokio::test]
async fn a_refresh_narrows_its_own_token_only() {
    let bench = Bench::new().await;
    let query = edited(&Bench::query("public", SALES), &[("scope", Some("mcp mcp:write"))]);
    let code = bench.code_for(&query).await;
    let first = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    let form = Bench::refreshing("public", &first.refresh_token.unwrap());
    let second = bench.token(&edited(&form, &[("scope", Some("mcp"))])).await.unwrap();
    assert_eq!(bench.at(SALES, &second.access_token).unwrap().scopes().unwrap().to_string(), "mcp");
    let form = Bench::refreshing("public", &second.refresh_token.unwrap());
    let third = bench.token(&form).await.unwrap();
    assert_eq!(third.scopes.to_string(), "mcp mcp:write");
    assert_eq!((first.grant, second.grant), (third.grant, third.grant));
}

#[tokio::test]
async fn the_token_before_gives_the_same_successor_for_ten_seconds() {
    let bench = Bench::new().await;
    let first = bench.tokens("public", SALES).await.refresh_token.unwrap();
    let form = Bench::refreshing("public", &first);
    let second = bench.token(&form).await.unwrap().refresh_token.unwrap();
    assert_ne!(second.expose(), first.expose());
    for seconds in [0, 4, 6] {
        bench.pass(seconds);
        // The answer may be lost on the way out, and the process with it.
        let after = bench.restarted().await;
        let again = after.token(&form).await.unwrap().refresh_token.unwrap();
        assert_eq!(again.expose(), second.expose(), "{seconds} s later");
    }
    bench.pass(1);
    let refused = bench.token(&form).await.unwrap_err();
    assert_eq!(refused.incident.unwrap().what, Replayed::RefreshToken);
    let form = Bench::refreshing("public", &second);
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
    assert!(bench.server.grants_of(&bench.ann().user.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_generations_back_is_theft_however_soon() {
    let bench = Bench::new().await;
    let first = bench.tokens("public", SALES).await;
    let form = Bench::refreshing("public", first.refresh_token.as_ref().unwrap());
    let second = bench.token(&form).await.unwrap();
    let third = Bench::refreshing("public", &second.refresh_token.unwrap());
    let third = bench.token(&third).await.unwrap();
    assert!(bench.at(SALES, &third.access_token).is_ok());
    assert!(bench.token(&form).await.unwrap_err().incident.is_some());
    for token in [&first.access_token, &second.access_token, &third.access_token] {
        assert!(bench.at(SALES, token).is_err());
    }
}

#[tokio::test]
async fn in_the_hands_of_another_client_it_ends_the_grant() {
    let bench = Bench::new().await;
    let reply = bench.tokens("public", SALES).await;
    let token = reply.refresh_token.unwrap();
    let refused = bench.token(&Bench::refreshing("other", &token)).await.unwrap_err();
    assert_eq!(refused.incident.as_ref().unwrap().what, Replayed::ForeignRefreshToken);
    assert_eq!(refused.to_json(), TokenRefused::grant().to_json());
    assert_eq!(code_of(&bench.token(&Bench::refreshing("public", &token)).await), "invalid_grant");
    assert!(bench.at(SALES, &reply.access_token).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_32_refreshes_at_once_all_get_one_successor() {
    let bench = Arc::new(Bench::new().await);
    let other = Arc::new(bench.restarted().await);
    let first = bench.tokens("public", SALES).await;
    let form = Bench::refreshing("public", &first.refresh_token.unwrap());
    let all: Vec<_> = (0..32)
        .map(|at| {
            let (bench, form) =
                (Arc::clone(if at % 2 == 0 { &bench } else { &other }), form.clone());
            tokio::spawn(async move { bench.token(&form).await.unwrap() })
        })
        .collect();
    let mut successors = std::collections::BTreeSet::new();
    for one in all {
        let reply = one.await.unwrap();
        assert!(bench.at(SALES, &reply.access_token).is_ok());
        successors.insert(reply.refresh_token.unwrap().expose().to_owned());
    }
    assert_eq!(successors.len(), 1);
    let next = Secret::new(successors.pop_first().unwrap());
    assert!(next.expose().contains("_2_"));
    assert_eq!(code_of(&bench.token(&Bench::refreshing("public", &next)).await), "issued");
}

#[tokio::test]
async fn a_grant_ends_when_it_is_not_used() {
    let bench = Bench::new().await;
    let idle = bench.settings.grant_idle.as_secs();
    let mut token = bench.tokens("public", SALES).await.refresh_token.unwrap();
    for _ in 0..3 {
        bench.pass(idle - 1);
        token =
            bench.token(&Bench::refreshing("public", &token)).await.unwrap().refresh_token.unwrap();
    }
    assert_eq!(bench.server.grants_of(&bench.ann().user.id).await.unwrap().len(), 1);
    bench.pass(idle);
    assert_eq!(code_of(&bench.token(&Bench::refreshing("public", &token)).await), "invalid_grant");
    assert!(bench.server.grants_of(&bench.ann().user.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refresh_asks_whether_the_person_may_still_come() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    let token = bench.tokens("public", SALES).await.refresh_token.unwrap();
    let form = Bench::refreshing("public", &token);
    bench.pass(1);
    bench
        .directory
        .change(&ann, |user| {
            user.active = false;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
    bench
        .directory
        .change(&ann, |user| {
            user.active = true;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(code_of(&bench.token(&form).await), "issued");
    bench.directory.sign_out_everywhere(&ann).await.unwrap();
    let next = bench.server.grants_of(&ann).await.unwrap();
    assert_eq!(next.len(), 1, "the grant is there until it is revoked, and is worth nothing");
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
}

#[tokio::test]
async fn a_name_that_is_given_to_somebody_else_brings_nothing_along() {
    let bench = Bench::new().await;
    let ben = UserId::new("ben@acme.com").unwrap();
    let request = bench.request(&Bench::query("public", SALES)).await;
    let who = bench.person("ben@acme.com");
    let approved = bench.server.approve(&who, bench.signed_in(), &request, request.scopes, false);
    let code = answer(&approved.await.unwrap()).remove("code").unwrap();
    let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    assert!(bench.at(SALES, &reply.access_token).is_ok());
    bench.pass(1);
    bench.directory.remove(&ben).await.unwrap();
    assert!(bench.at(SALES, &reply.access_token).is_err());
    bench.pass(1);
    let again = User::new(ben, Kind::Person, bench.ground.clock.now());
    bench.directory.add(again).await.unwrap();
    assert!(bench.at(SALES, &reply.access_token).is_err());
    let form = Bench::refreshing("public", &reply.refresh_token.unwrap());
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
}
