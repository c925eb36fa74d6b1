//! Access tokens: what they say, where they are good, how they are forged.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::{
    authorization::{spelling::base64url, token},
    method::access_token::AccessRefused,
};

/// Header and claims of a token.
fn parts(token: &Secret) -> (Value, Value) {
    let part = |at: usize| {
        let text = token.expose().split('.').nth(at).unwrap();
        serde_json::from_slice(&spelling::from_base64url(text).unwrap()).unwrap()
    };
    (part(0), part(1))
}

/// A token of these parts, signed with this key.
fn signed(key: &SigningKey, header: &str, claims: &Value) -> Secret {
    let text =
        format!("{}.{}", base64url(header.as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = base64url(&key.sign(text.as_bytes()).to_bytes());
    Secret::new(format!("{text}.{signature}"))
}

#[tokio::test]
async fn a_token_says_who_and_for_what_and_nothing_secret() {
    let bench = Bench::new().await;
    let reply = bench.tokens("public", SALES).await;
    let (header, claims) = parts(&reply.access_token);
    let (_, jwks) = (0, serde_json::from_slice::<Value>(&bench.server.jwks()).unwrap());
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": jwks["keys"][0]["kid"] }));
    let now = bench.ground.clock.now().as_millis() / 1_000;
    for (name, value) in [
        ("iss", json!("https://mcp.example.com")),
        ("sub", json!("ann@acme.com")),
        ("aud", json!(SALES)),
        ("client_id", json!("public")),
        ("scope", json!("mcp")),
        ("iat", json!(now)),
        ("nbf", json!(now)),
        ("exp", json!(now + 600)),
        ("auth_time", json!(now)),
        ("amr", json!(["pwd"])),
        ("gid", json!(reply.grant.to_string())),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    // Two tokens of one grant are told apart.
    let next = bench.token(&Bench::refreshing("public", &reply.refresh_token.unwrap())).await;
    assert_ne!(parts(&next.unwrap().access_token).1["jti"], claims["jti"]);
}

type Row = (&'static str, Secret);

/// A good token, and what it takes to make others like it.
struct Forge {
    good: Secret,
    header: Value,
    claims: Value,
    key: SigningKey,
}

impl Forge {
    async fn new(bench: &Bench) -> Self {
        let good = bench.tokens("public", SALES).await.access_token;
        let (header, claims) = parts(&good);
        let key = bench.server.keys.now().signer.clone();
        Self { good, header, claims, key }
    }

    /// Rightly signed with another header.
    fn head(&self, edit: impl Fn(&mut Value)) -> Secret {
        let mut header = self.header.clone();
        edit(&mut header);
        signed(&self.key, &header.to_string(), &self.claims)
    }

    /// Rightly signed with other claims.
    fn says(&self, edit: impl Fn(&mut Value)) -> Secret {
        let mut claims = self.claims.clone();
        edit(&mut claims);
        signed(&self.key, &self.header.to_string(), &claims)
    }

    /// Without a member of its header.
    fn head_without(&self, name: &str) -> Secret {
        self.head(|header| drop(header.as_object_mut().unwrap().remove(name)))
    }

    /// Without a claim.
    fn says_no(&self, name: &str) -> Secret {
        self.says(|claims| drop(claims.as_object_mut().unwrap().remove(name)))
    }

    fn forms(&self) -> Vec<Row> {
        let text = |text: String| Secret::new(text);
        let own = self.good.expose();
        let (unsigned, _) = own.rsplit_once('.').unwrap();
        let public = self.key.verifying_key();
        let mut header = self.header.clone();
        header["alg"] = "HS256".into();
        let (_, body) = unsigned.split_once('.').unwrap();
        let symmetric = format!("{}.{body}", base64url(header.to_string().as_bytes()));
        let mac = base64url(&spelling::hmac(public.as_bytes(), &[symmetric.as_bytes()]));
        let kid = self.header["kid"].as_str().unwrap();
        let twice = format!(r#"{{"alg":"EdDSA","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#);
        let other = SigningKey::from_bytes(&[3; 32]);
        vec![
            ("nothing", text(String::new())),
            ("no JWT", text("a.b.c".into())),
            ("two parts", text(unsigned.into())),
            ("four parts", text(format!("{own}.x"))),
            ("five parts, as if encrypted", text(format!("{own}.x.y"))),
            ("a blank behind", text(format!("{own} "))),
            ("padding", text(format!("{own}="))),
            ("1 MiB", text(format!("{own}{}", "k".repeat(1 << 20)))),
            ("no signature", text(format!("{unsigned}."))),
            ("a MAC by the public key", text(format!("{symmetric}.{mac}"))),
            ("an algorithm twice", signed(&self.key, &twice, &self.claims)),
            ("signed by somebody else", signed(&other, &self.header.to_string(), &self.claims)),
        ]
    }

    fn headers(&self) -> Vec<Row> {
        let head = |edit: &dyn Fn(&mut Value)| self.head(edit);
        let long = "k".repeat(1 << 20);
        vec![
            ("none", head(&|it| it["alg"] = "none".into())),
            ("nOnE", head(&|it| it["alg"] = "nOnE".into())),
            ("HS256 as header alone", head(&|it| it["alg"] = "HS256".into())),
            ("RS256", head(&|it| it["alg"] = "RS256".into())),
            ("no algorithm", self.head_without("alg")),
            ("no type", self.head_without("typ")),
            ("an ordinary JWT", head(&|it| it["typ"] = "JWT".into())),
            ("an assertion", head(&|it| it["typ"] = "oauth-id-jag+jwt".into())),
            ("no key id", self.head_without("kid")),
            ("another key id", head(&|it| it["kid"] = "x".into())),
            ("a path as key id", head(&|it| it["kid"] = "../../dev/null".into())),
            ("a URL as key id", head(&|it| it["kid"] = "https://evil.example/".into())),
            ("a statement as key id", head(&|it| it["kid"] = "' or 1=1 --".into())),
            ("a key id of 1 MiB", head(&|it| it["kid"] = long.as_str().into())),
            ("a number as key id", head(&|it| it["kid"] = 7.into())),
            ("a key of its own", head(&|it| it["jwk"] = json!({ "kty": "OKP" }))),
            ("a key elsewhere", head(&|it| it["jku"] = "https://evil.example/".into())),
            ("a certificate elsewhere", head(&|it| it["x5u"] = "https://evil.example/".into())),
            ("something critical", head(&|it| it["crit"] = json!(["exp"]))),
            ("an unencoded payload", head(&|it| it["b64"] = false.into())),
        ]
    }

    fn sayings(&self) -> Vec<Row> {
        let says = |edit: &dyn Fn(&mut Value)| self.says(edit);
        let now = self.claims["iat"].as_u64().unwrap();
        vec![
            ("another issuer", says(&|it| it["iss"] = "https://evil.example".into())),
            ("issuer with a slash", says(&|it| it["iss"] = "https://mcp.example.com/".into())),
            (
                "issuer of another organisation",
                says(&|it| it["iss"] = "https://mcp.example.com/o/acme".into()),
            ),
            ("no issuer", self.says_no("iss")),
            ("another audience", says(&|it| it["aud"] = SUPPORT.into())),
            ("two audiences", says(&|it| it["aud"] = json!([SALES, SUPPORT]))),
            ("audience with a slash", says(&|it| it["aud"] = format!("{SALES}/").into())),
            (
                "audience in capitals",
                says(&|it| it["aud"] = "https://MCP.example.com/mcp/sales".into()),
            ),
            (
                "audience with a port",
                says(&|it| it["aud"] = "https://mcp.example.com:443/mcp/sales".into()),
            ),
            (
                "audience with an encoded slash",
                says(&|it| it["aud"] = "https://mcp.example.com/mcp%2Fsales".into()),
            ),
            ("no audience", self.says_no("aud")),
            ("over", says(&|it| it["exp"] = now.into())),
            ("no end", self.says_no("exp")),
            ("not yet", says(&|it| it["nbf"] = (now + 1).into())),
            ("an end as text", says(&|it| it["exp"] = "9999999999".into())),
            ("nobody", says(&|it| it["sub"] = "nobody@acme.com".into())),
            ("an agent of that name", says(&|it| it["sub_kind"] = "agent".into())),
            ("no grant", self.says_no("gid")),
            ("a grant that is none", says(&|it| it["gid"] = "../".into())),
            ("two times of issue", says(&|it| it["iat_ms"] = 0.into())),
        ]
    }
}

/// RFC 8725, RFC 9068 section 4; T03 and T13.
#[tokio::test]
async fn every_refusal_of_an_access_token() {
    let bench = Bench::new().await;
    let forge = Forge::new(&bench).await;
    let another = bench.tokens("public", SALES).await;
    let (_, signature) = forge.good.expose().rsplit_once('.').unwrap();
    let (body, _) = another.access_token.expose().rsplit_once('.').unwrap();
    let rows: Vec<Row> = vec![
        ("a refresh token", another.refresh_token.unwrap()),
        ("signature of another token", Secret::new(format!("{body}.{signature}"))),
    ];
    assert!(bench.at(SALES, &forge.good).is_ok());
    let rows = rows.into_iter().chain(forge.forms()).chain(forge.headers()).chain(forge.sayings());
    for (name, token) in rows {
        assert!(bench.at(SALES, &token).is_err(), "{name}");
    }
    assert!(bench.at(SALES, &forge.says(|_| {})).is_ok(), "what is signed the same way is taken");
}

#[tokio::test]
async fn no_bit_of_a_token_can_be_turned() {
    let bench = Bench::new().await;
    let good = bench.tokens("public", SALES).await.access_token;
    let good = good.expose().as_bytes();
    for at in 0..good.len() {
        for bit in 0..7 {
            let mut turned = good.to_vec();
            turned[at] ^= 1 << bit;
            let turned = Secret::new(String::from_utf8(turned).unwrap());
            assert!(bench.at(SALES, &turned).is_err(), "bit {bit} of byte {at}");
        }
    }
}

/// T03: tokens for five resources at five resources, seen for the first time and again.
#[tokio::test]
async fn a_token_is_good_for_one_resource_alone() {
    let bench = Bench::new().await;
    let names = ["sales", "support", "hr", "sale"];
    let mut all: Vec<String> =
        names.iter().map(|name| format!("https://mcp.example.com/mcp/{name}")).collect();
    all.push(ADMIN.to_owned());
    for (row, own) in all.iter().enumerate() {
        let token = bench.tokens("public", own).await.access_token;
        for round in 0..2 {
            for (column, there) in all.iter().enumerate() {
                let got = bench.at(there, &token);
                assert_eq!(got.is_ok(), row == column, "{own} at {there}, round {round}");
            }
        }
        let caller = bench.at(own, &token).unwrap();
        for name in names {
            assert_eq!(caller.reaches(&vmcp(name)), own.ends_with(&format!("/{name}")), "{own}");
        }
        assert_eq!(caller.reaches_admin(), own == ADMIN);
    }
}

#[tokio::test]
async fn a_token_of_one_organisation_is_nothing_in_another() {
    let bench = Bench::new().await;
    let acme = other_org(&bench.ground).await;
    let acme = Bench::on(Arc::clone(&bench.clock), acme, settings()).await;
    let token = bench.tokens("public", SALES).await;
    let there = "https://mcp.example.com/o/acme/mcp/sales";
    assert_eq!(acme.at(there, &token.access_token).unwrap_err(), AccessRefused::Invalid);
    let form = Bench::refreshing("public", &token.refresh_token.unwrap());
    assert_eq!(code_of(&acme.token(&form).await), "invalid_grant");
    let code = bench.code("public", SALES).await;
    assert_eq!(code_of(&acme.token(&Bench::redeeming("public", &code)).await), "invalid_grant");
    assert!(acme.server.grants(None, 10).await.unwrap().is_empty());
    assert_ne!(acme.server.jwks(), bench.server.jwks());
}

#[tokio::test]
async fn what_changes_counts_for_tokens_that_were_seen_before() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    let token = bench.tokens("public", SALES).await.access_token;
    let before = bench.at(SALES, &token).unwrap();
    assert_eq!(before.roles(), ["member"]);
    let change = |groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|name| (*name).to_owned()).collect();
        bench.directory.change(&ann, move |user| {
            user.groups = groups.clone();
            Ok(())
        })
    };
    change(&["night-shift"]).await.unwrap();
    let after = bench.at(SALES, &token).unwrap();
    assert_eq!(after.groups(), ["night-shift"]);
    assert_ne!(after.class(), before.class());
    change(&[]).await.unwrap();
    assert_eq!(bench.at(SALES, &token).unwrap().class(), before.class());
    bench
        .directory
        .change(&ann, |user| {
            user.active = false;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(bench.at(SALES, &token).unwrap_err(), AccessRefused::Inactive);
    bench
        .directory
        .change(&ann, |user| {
            user.active = true;
            Ok(())
        })
        .await
        .unwrap();
    assert!(bench.at(SALES, &token).is_ok());
    bench.pass(599);
    assert!(bench.at(SALES, &token).is_ok());
    bench.pass(1);
    assert_eq!(bench.at(SALES, &token).unwrap_err(), AccessRefused::Invalid);
}

#[tokio::test]
async fn what_was_issued_in_the_second_of_a_sign_out_is_told_apart() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    bench.clock.forward(Duration::from_millis(300));
    let before = bench.tokens("public", SALES).await.access_token;
    bench.clock.forward(Duration::from_millis(100));
    let at_once = bench.tokens("public", SALES).await.access_token;
    bench.directory.sign_out_everywhere(&ann).await.unwrap();
    bench.clock.forward(Duration::from_millis(100));
    let after = bench.tokens("public", SALES).await.access_token;
    for (token, is_good) in [(before, false), (at_once, false), (after, true)] {
        assert_eq!(bench.at(SALES, &token).is_ok(), is_good);
    }
}

#[tokio::test]
async fn an_open_stream_lasts_as_long_as_its_grant() {
    let bench = Bench::new().await;
    let ann = bench.ann().user.id.clone();
    let reply = bench.tokens("public", SALES).await;
    let caller = bench.at(SALES, &reply.access_token).unwrap();
    let renew = || bench.server.tokens().renew(&caller, bench.ground.clock.now());
    let end = bench.ground.clock.now().after(bench.settings.grant_idle);
    let end = token::moment(token::seconds(end));
    assert_eq!(renew().unwrap().1, Some(end));
    // The token is over, the stream is not.
    bench.pass(3_600);
    assert!(bench.at(SALES, &reply.access_token).is_err());
    bench
        .directory
        .change(&ann, |user| {
            user.groups = vec!["a".into()];
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(renew().unwrap().0.groups(), ["a"]);
    bench
        .directory
        .change(&ann, |user| {
            user.active = false;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(renew().unwrap_err(), AccessRefused::Inactive);
    bench
        .directory
        .change(&ann, |user| {
            user.active = true;
            Ok(())
        })
        .await
        .unwrap();
    assert!(renew().is_ok());
    bench.server.revoke_grant(reply.grant).await.unwrap();
    assert_eq!(renew().unwrap_err(), AccessRefused::Revoked);
    let idle = bench.settings.grant_idle.as_secs();
    let other = bench.tokens("public", SALES).await;
    let caller = bench.at(SALES, &other.access_token).unwrap();
    bench.pass(idle);
    let now = bench.ground.clock.now();
    assert_eq!(bench.server.tokens().renew(&caller, now).unwrap_err(), AccessRefused::Revoked);
    // Of another method there is nothing to renew here.
    let key = crate::Caller::new(OrgId::default_org(), ann, crate::SignIn::ApiKey);
    assert_eq!(bench.server.tokens().renew(&key, now).unwrap_err(), AccessRefused::Invalid);
}

#[tokio::test]
async fn however_long_the_settings_say_a_token_lasts_a_day_at_most() {
    let long = Settings { access_lifetime: Duration::from_secs(7 * 86_400), ..settings() };
    let bench = Bench::with(long).await;
    assert_eq!(bench.tokens("public", SALES).await.expires_in, 86_400);
}

#[tokio::test]
async fn a_token_ends_when_its_client_is_taken_out_of_the_settings() {
    let bench = Bench::new().await;
    let token = bench.tokens("public", SALES).await.access_token;
    assert!(bench.at(SALES, &token).is_ok());
    let mut without = (*bench.settings).clone();
    without.clients.remove("public");
    bench.server.settings_changed(Arc::new(without));
    assert_eq!(bench.at(SALES, &token).unwrap_err(), AccessRefused::Client);
    bench.server.settings_changed(Arc::clone(&bench.settings));
    assert!(bench.at(SALES, &token).is_ok());
}
