//! Browser sessions that end: what was given in them and waits to be redeemed ends, too.

use super::*;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl Bench {
    fn in_session(&self, session: &str) -> SignInFacts {
        SignInFacts { session: Some(session.to_owned()), ..self.signed_in() }
    }

    /// The form of a client that has a code which Ann gave in this session.
    async fn coded(&self, session: &str) -> Fields {
        let request = self.request(&Self::query("public", SALES)).await;
        let (who, at) = (self.ann(), self.in_session(session));
        let to = self.server.approve(&who, at, &request, request.scopes, false).await.unwrap();
        Self::redeeming("public", &answer(&to).remove("code").unwrap())
    }

    /// The form of a device that Ann let in in this session.
    async fn devised(&self, session: &str) -> Fields {
        let begin = Self::by("tidegate-cli", Vec::new());
        let form = Form { authorization: &[], fields: &begin };
        let reply = self.server.device_authorization(&self.settings, form).await.unwrap();
        let (who, at) = (self.ann(), self.in_session(session));
        let admin = Scopes::parse("admin");
        assert!(self.server.approve_device(&who, at, &reply.user_code, admin).await.unwrap());
        let form = [("grant_type", DEVICE_CODE), ("device_code", reply.device_code.expose())];
        Self::by("tidegate-cli", fields(&form))
    }
}

#[tokio::test]
async fn what_was_given_in_a_session_that_ended_is_not_redeemed() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    for is_device in [false, true] {
        let given = async |session: &str| match is_device {
            true => bench.devised(session).await,
            false => bench.coded(session).await,
        };
        let (ending, asked, staying) =
            (given("ending").await, given("ending").await, given("staying").await);
        let pending = bench.pending(&asked).await.unwrap();
        assert_eq!(bench.server.revoke_session(&ann, "ending").await.unwrap(), 0);
        let late = bench.server.issue(pending).await;
        assert_eq!(code_of(&late), "invalid_grant", "asked for before, device: {is_device}");
        assert_eq!(code_of(&bench.token(&ending).await), "invalid_grant", "device: {is_device}");
        // Nor anything that was given while it ended.
        let after = given("ending").await;
        assert_eq!(code_of(&bench.token(&after).await), "invalid_grant", "device: {is_device}");
        assert_eq!(code_of(&bench.token(&staying).await), "issued", "device: {is_device}");
    }
    assert!(bench.restarted().await.token(&bench.coded("ending").await).await.is_err());
}

/// A device may be redeemed ten minutes after it has begun, so that is how long it counts.
#[tokio::test]
async fn the_end_of_a_session_counts_for_as_long_as_anything_can_be_redeemed() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    let form = bench.devised("ending").await;
    bench.server.revoke_session(&ann, "ending").await.unwrap();
    bench.pass(599);
    assert_eq!(code_of(&bench.token(&form).await), "invalid_grant");
    bench.pass(1);
    assert_eq!(code_of(&bench.token(&form).await), "expired_token");
}

#[tokio::test]
async fn a_session_that_ends_while_a_code_is_redeemed_leaves_nothing() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    for round in 0..20 {
        let session = format!("session {round}");
        let form = bench.coded(&session).await;
        let (got, ended) =
            tokio::join!(bench.token(&form), bench.server.revoke_session(&ann, &session));
        ended.unwrap();
        if let Ok(reply) = got {
            assert!(bench.at(SALES, &reply.access_token).is_err(), "round {round}");
        }
        assert!(bench.server.grants_of(&ann).await.unwrap().is_empty(), "round {round}");
    }
}
