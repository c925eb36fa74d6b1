//! Two processes over one store: what one of them ends, the other does not begin, whether it
//! has seen it yet or not. Nobody drives the feed in these tests, so neither has.

use super::*;

/// What ends access.
#[derive(Debug, Clone, Copy)]
enum End {
    SignedOut,
    Deactivated,
}

async fn end(bench: &Bench, how: End) {
    let ann = bench.ann().user.id.clone();
    let done = match how {
        End::SignedOut => bench.directory.sign_out_everywhere(&ann).await,
        End::Deactivated => bench.directory.deactivate(&ann).await,
    };
    done.unwrap();
    bench.server.revoke_user(&ann).await.unwrap();
}

#[tokio::test]
async fn nothing_begins_for_somebody_whom_another_process_has_put_out() {
    for how in [End::SignedOut, End::Deactivated] {
        let bench = Bench::new().await;
        let other = bench.restarted().await;
        let early = bench.code("public", SALES).await;
        let asked = bench.code("public", SALES).await;
        let asked = bench.pending(&Bench::redeeming("public", &asked)).await.unwrap();
        let tokens = bench.tokens("public", SALES).await;
        bench.pass(1);
        end(&other, how).await;
        // This process does not know of it, and its clock goes on.
        bench.pass(1);
        assert!(bench.ann().user.active);
        let got = bench.server.issue(asked).await;
        assert_eq!(code_of(&got), "invalid_grant", "{how:?}, asked for before");
        let other_code = bench.token(&Bench::redeeming("public", &early)).await;
        assert_eq!(code_of(&other_code), "invalid_grant", "{how:?}, a code of before");
        let refresh = tokens.refresh_token.unwrap();
        let got = bench.token(&Bench::refreshing("public", &refresh)).await;
        assert_eq!(code_of(&got), "invalid_grant", "{how:?}, a refresh");
        assert!(bench.server.grants_of(&bench.ann().user.id).await.unwrap().is_empty());
    }
}

/// Somebody who was changed otherwise, as by their own sign-in, is not put out by it.
#[tokio::test]
async fn what_else_another_process_changes_of_somebody_is_no_reason_to_refuse() {
    let bench = Bench::new().await;
    let other = bench.restarted().await;
    let asked = bench.code("public", SALES).await;
    let asked = bench.pending(&Bench::redeeming("public", &asked)).await.unwrap();
    let ann = bench.ann().user.id.clone();
    other
        .directory
        .change(&ann, |user| {
            user.name = Some("Ann Other".into());
            Ok(())
        })
        .await
        .unwrap();
    let reply = bench.server.issue(asked).await.unwrap();
    assert!(bench.at(SALES, &reply.access_token).is_ok());
    assert_eq!(bench.ann().user.name.as_deref(), Some("Ann Other"), "it has looked");
}

/// What a grant is compared with when somebody is signed out is when they gave it.
#[tokio::test]
async fn a_grant_is_as_old_as_what_was_agreed_to() {
    let bench = Bench::new().await;
    let agreed = bench.ground.clock.now();
    let code = bench.code("public", SALES).await;
    bench.pass(30);
    let reply = bench.token(&Bench::redeeming("public", &code)).await.unwrap();
    let grant = bench.server.grant(reply.grant).await.unwrap().unwrap();
    assert_eq!(grant.created, agreed);
    assert_eq!(grant.last_used, bench.ground.clock.now());
}
