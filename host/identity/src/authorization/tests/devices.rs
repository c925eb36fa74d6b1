//! Devices without a browser: let in, turned away, paced.

use super::*;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn began(bench: &Bench, form: &[(&str, &str)]) -> Result<DeviceReply, TokenRefused> {
    let form = Bench::by("tidegate-cli", fields(form));
    let form = Form { authorization: &[], fields: &form };
    bench.server.device_authorization(&bench.settings, form).await
}

fn polling(reply: &DeviceReply) -> Fields {
    let code = reply.device_code.expose();
    Bench::by("tidegate-cli", fields(&[("grant_type", DEVICE_CODE), ("device_code", code)]))
}

async fn approved(bench: &Bench, code: &str) -> bool {
    let (who, at) = (bench.ann(), bench.signed_in());
    bench.server.approve_device(&who, at, code, Scopes::parse("admin")).await.unwrap()
}

#[tokio::test]
async fn a_device_gets_in_once_somebody_lets_it_in() {
    let bench = Bench::new().await;
    let reply = began(&bench, &[]).await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&reply.to_json()).unwrap();
    assert_eq!((&told["expires_in"], &told["interval"]), (&600.into(), &5.into()));
    assert_eq!(told["verification_uri"], "https://mcp.example.com/device");
    let complete = format!("https://mcp.example.com/device?user_code={}", reply.user_code);
    assert_eq!(told["verification_uri_complete"], complete);
    let form = polling(&reply);
    assert_eq!(code_of(&bench.token(&form).await), "authorization_pending");
    let typed = format!(" {} ", reply.user_code.to_lowercase().replace('-', ""));
    let request = bench.server.device(&typed).await.unwrap().unwrap();
    assert_eq!((request.client_id.as_str(), request.resource), ("tidegate-cli", Resource::Admin));
    assert!(approved(&bench, &typed).await);
    // Nobody answers twice, or looks at what was answered.
    assert!(!approved(&bench, &typed).await);
    assert!(!bench.server.deny_device(&typed).await.unwrap());
    assert!(bench.server.device(&typed).await.unwrap().is_none());
    let bench = bench.restarted().await;
    let tokens = bench.token(&form).await.unwrap();
    let caller = bench.at(ADMIN, &tokens.access_token).unwrap();
    assert_eq!((caller.user().as_str(), caller.client()), ("ann@acme.com", Some("tidegate-cli")));
    assert!(tokens.refresh_token.is_some() && caller.reaches_admin());
    // The code is used; whoever has it as well has stolen it.
    let again = bench.token(&form).await.unwrap_err();
    assert_eq!(again.incident.unwrap().what, Replayed::DeviceCode);
    assert!(bench.at(ADMIN, &tokens.access_token).is_err());
}

/// RFC 8628 sections 3.1 and 3.5.
#[tokio::test]
async fn every_refusal_of_a_device() {
    let bench = Bench::new().await;
    for (name, client, form, expected) in [
        (
            "a client without device codes",
            "public",
            vec![("resource", SALES)],
            "unauthorized_client",
        ),
        ("unknown client", "nobody", vec![], "invalid_client"),
        (
            "foreign resource",
            "tidegate-cli",
            vec![("resource", "https://evil.example/")],
            "invalid_target",
        ),
        (
            "two resources",
            "tidegate-cli",
            vec![("resource", SALES), ("resource", ADMIN)],
            "invalid_target",
        ),
        ("malformed scope", "tidegate-cli", vec![("scope", "a  b")], "invalid_scope"),
        ("nothing is wrong", "tidegate-cli", vec![("resource", SALES)], "issued"),
    ] {
        let form = edited(&fields(&form), &[("client_id", Some(client))]);
        let form = Form { authorization: &[], fields: &form };
        let got = bench.server.device_authorization(&bench.settings, form).await;
        assert_eq!(code_of(&got), expected, "{name}");
    }
    let reply = began(&bench, &[]).await.unwrap();
    let form = polling(&reply);
    for (name, edits, expected) in [
        ("no code", vec![("device_code", None)], "invalid_request"),
        ("another code", vec![("device_code", Some("x"))], "invalid_grant"),
        ("the user code", vec![("device_code", Some(reply.user_code.as_str()))], "invalid_grant"),
        ("another client", vec![("client_id", Some("public"))], "unauthorized_client"),
        ("code twice", vec![("+device_code", Some("x"))], "invalid_request"),
    ] {
        assert_eq!(code_of(&bench.token(&edited(&form, &edits)).await), expected, "{name}");
    }
    assert!(bench.server.deny_device(&reply.user_code).await.unwrap());
    assert_eq!(code_of(&bench.token(&form).await), "access_denied");
}

#[tokio::test]
async fn a_device_that_asks_too_often_waits_longer_each_time() {
    let bench = Bench::new().await;
    let reply = began(&bench, &[]).await.unwrap();
    let form = polling(&reply);
    for (seconds, expected) in [
        (0, "authorization_pending"),
        (5, "authorization_pending"),
        (4, "slow_down"),
        (5, "slow_down"),
        (14, "slow_down"),
        (20, "authorization_pending"),
        (20, "authorization_pending"),
    ] {
        bench.pass(seconds);
        assert_eq!(code_of(&bench.token(&form).await), expected, "{seconds} s later");
    }
    assert!(approved(&bench, &reply.user_code).await);
    assert_eq!(code_of(&bench.token(&form).await), "issued");
}

#[tokio::test]
async fn a_device_code_lasts_ten_minutes_and_is_then_called_expired() {
    let bench = Bench::new().await;
    let reply = began(&bench, &[]).await.unwrap();
    bench.pass(599);
    assert!(bench.server.device(&reply.user_code).await.unwrap().is_some());
    assert!(approved(&bench, &reply.user_code).await);
    bench.pass(1);
    assert_eq!(code_of(&bench.token(&polling(&reply)).await), "expired_token");
    bench.pass(600);
    assert_eq!(code_of(&bench.token(&polling(&reply)).await), "invalid_grant");
    assert!(!approved(&bench, &reply.user_code).await);
}

#[tokio::test]
async fn user_codes_are_letters_that_nobody_mixes_up() {
    let bench = Bench::new().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let code = began(&bench, &[]).await.unwrap().user_code;
        assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
        assert!(code.replace('-', "").bytes().all(|b| b"BCDFGHJKLMNPQRSTVWXZ".contains(&b)));
        assert!(seen.insert(code));
    }
    for typed in ["", "BCDF", "BCDF-GHJ", "BCDF-GHJA", "BCDF-GHJK-L", "../../etc", "ÄÖÜÄÖÜÄÖ"]
    {
        assert!(bench.server.device(typed).await.unwrap().is_none(), "{typed}");
    }
    assert!(bench.server.device(&"B".repeat(100_000)).await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_polls_at_once_at_most_one_gets_tokens_and_they_end() {
    let bench = Bench::new().await;
    let reply = began(&bench, &[]).await.unwrap();
    assert!(approved(&bench, &reply.user_code).await);
    let form = polling(&reply);
    let (one, two) = (bench.pending(&form).await.unwrap(), bench.pending(&form).await.unwrap());
    let first = bench.server.issue(one).await.unwrap();
    assert!(bench.server.issue(two).await.unwrap_err().incident.is_some());
    assert!(bench.at(ADMIN, &first.access_token).is_err());
}

#[tokio::test]
async fn whoever_approved_and_was_signed_out_since_lets_nobody_in() {
    let bench = Bench::new().await;
    let reply = began(&bench, &[]).await.unwrap();
    assert!(approved(&bench, &reply.user_code).await);
    bench.pass(1);
    bench.directory.sign_out_everywhere(&bench.ann().user.id).await.unwrap();
    assert_eq!(code_of(&bench.token(&polling(&reply)).await), "invalid_grant");
}
