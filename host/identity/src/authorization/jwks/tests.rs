//! Table T13: tokens and key sets that try to choose how they are checked.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use model::{Clock, Timestamp};
use serde_json::{Value, json};
use tidegate_model as model;
use tidegate_wire::client::egress::AddressPolicy;

use super::*;
use crate::authorization::stand::{Act, START, SetClock, Site};

mod table;

/// Somebody who signs with Ed25519 and is known by the name `a`.
pub(super) fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn other() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn jwk(kid: &str, key: &SigningKey) -> Value {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "alg": "EdDSA", "x": x})
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with exactly this header and these claims.
fn token(header: &Value, claims: &Value, key: &SigningKey) -> String {
    sign_text(&encode(header), &encode(claims), key)
}

fn sign_text(header: &str, claims: &str, key: &SigningKey) -> String {
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "a", "typ": "test+jwt"})
}

fn claims() -> Value {
    let now = START / 1_000;
    json!({"iss": "https://idp.example", "aud": "us", "sub": "ae", "exp": now + 60, "iat": now, "nbf": now, "jti": "1", "extra": ["x"]})
}

/// `of` with `name` set to `value`; taken out where that is `null`.
fn with(mut of: Value, name: &str, value: Value) -> Value {
    let object = of.as_object_mut().unwrap();
    match value {
        Value::Null => object.remove(name),
        value => object.insert(name.to_owned(), value),
    };
    of
}

fn expected() -> Expected<'static> {
    Expected {
        algorithms: ASYMMETRIC,
        kind: Type::Exactly("test+jwt"),
        issuer: "https://idp.example",
        audiences: &["us"],
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(START)
}

fn keys(list: &[Value]) -> PublicKeys {
    PublicKeys::published(json!({ "keys": list }).to_string().as_bytes()).unwrap()
}

fn p256() -> (Value, EncodingKey) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y});
    (jwk, EncodingKey::from_ec_der(&pair.serialize_der()))
}

/// Keys and signatures that others have made: RFC 7515, appendices A.2 and A.3.
#[test]
fn published_examples_hold() {
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RSA: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    for (jwk, header, signature) in [
        (
            RSA,
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            EC,
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ] {
        let keys = keys(&[serde_json::from_str(jwk).unwrap()]);
        let expected = Expected {
            kind: Type::Preferably("jwt"),
            issuer: "joe",
            audiences: &["us"],
            ..expected()
        };
        // The signature holds; these examples have no audience.
        let token = format!("{header}.{PAYLOAD}.{signature}");
        let judged = keys.verify(&token, &expected, now());
        assert_eq!(judged.unwrap_err(), TokenRefused::Claim("aud"));
        let other = format!("{header}.{}.{signature}", PAYLOAD.replace("LA0K", "LA0J"));
        let judged = keys.verify(&other, &expected, now());
        assert_eq!(judged.unwrap_err(), TokenRefused::Signature);
    }
}

#[test]
fn a_good_token_is_read() {
    let (ec, ec_key) = p256();
    let keys = keys(&[jwk("b", &other()), jwk("a", &signer()), ec]);
    let verified = keys.verify(&token(&header(), &claims(), &signer()), &expected(), now());
    let verified = verified.unwrap();
    assert_eq!(verified.subject.as_deref(), Some("ae"));
    assert_eq!(verified.audiences, ["us"]);
    assert_eq!(verified.expires, now().after(Duration::from_secs(60)));
    assert_eq!(verified.claim::<Vec<String>>("extra").unwrap(), ["x"]);
    assert!(verified.has("extra") && !verified.has("nonce"));
    assert_eq!(verified.claim::<u64>("extra"), None);

    let header = json!({"alg": "ES256", "kid": "ec", "typ": "application/TEST+jwt", "x5t": "AAAA"});
    let signed = format!("{}.{}", encode(&header), encode(&claims()));
    let signature = crypto::sign(signed.as_bytes(), &ec_key, Algorithm::ES256).unwrap();
    let token = format!("{signed}.{signature}");
    assert!(keys.verify(&token, &expected(), now()).is_ok());
    assert_eq!(claimed(&token, "sub").as_deref(), Some("ae"));
    assert_eq!(claimed(&token, "exp"), None);
}

/// Without a name, a key serves only where no other could have signed.
#[test]
fn a_token_that_names_no_key_must_not_be_ambiguous() {
    let nameless = token(&with(header(), "kid", Value::Null), &claims(), &signer());
    let alone = keys(&[jwk("a", &signer()), p256().0]);
    assert!(alone.verify(&nameless, &expected(), now()).is_ok());
    let two = keys(&[jwk("a", &signer()), jwk("b", &other())]);
    assert_eq!(two.verify(&nameless, &expected(), now()).unwrap_err(), TokenRefused::WrongKey);
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    let keys = keys(&[jwk("a", &signer())]);
    let at = START / 1_000;
    for (name, seconds, expected_result) in [
        ("exp", at - 59, Ok(())),
        ("exp", at - 61, Err(TokenRefused::Expired)),
        ("exp", at - 60, Err(TokenRefused::Expired)),
        ("nbf", at + 59, Ok(())),
        ("nbf", at + 61, Err(TokenRefused::Early)),
        ("iat", at + 59, Ok(())),
        ("iat", at + 61, Err(TokenRefused::Early)),
        ("iat", 0, Ok(())),
    ] {
        let token = token(&header(), &with(claims(), name, json!(seconds)), &signer());
        let judged = keys.verify(&token, &expected(), now()).map(|_| ());
        assert_eq!(judged, expected_result, "{name} {seconds}");
    }
}

#[test]
fn kinds_that_need_no_type_take_it_or_leave_it() {
    let keys = keys(&[jwk("a", &signer())]);
    let expected = Expected { kind: Type::Preferably("logout+jwt"), ..expected() };
    for (typ, good) in [
        (Value::Null, true),
        (json!("JWT"), true),
        (json!("logout+jwt"), true),
        (json!("application/logout+jwt"), true),
        (json!("at+jwt"), false),
        (json!("test+jwt"), false),
        (json!(""), false),
        (json!(7), false),
    ] {
        let token = token(&with(header(), "typ", typ.clone()), &claims(), &signer());
        assert_eq!(keys.verify(&token, &expected, now()).is_ok(), good, "{typ}");
    }
}

#[test]
fn sets_of_keys_are_read_strictly() {
    let good = jwk("a", &signer());
    let x = good["x"].clone();
    let (ec, _) = p256();
    let rsa = |n: usize| {
        let mut n = vec![0xff; n];
        n[0] = 0x80;
        json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(n)})
    };
    assert!(PublicKeys::published(json!({"keys": [rsa(256)]}).to_string().as_bytes()).is_ok());
    for (name, key) in [
        ("symmetric", json!({"kty": "oct", "alg": "HS256"})),
        ("short Ed25519", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})),
        ("no x", with(good.clone(), "x", Value::Null)),
        ("padded", with(good.clone(), "x", json!(format!("{}=", x.as_str().unwrap())))),
        ("Ed448", with(good.clone(), "crv", json!("Ed448"))),
        ("X25519", with(good.clone(), "crv", json!("X25519"))),
        ("for encryption", with(good.clone(), "use", json!("enc"))),
        ("for signing only", with(good.clone(), "key_ops", json!(["sign"]))),
        ("other algorithm", with(good.clone(), "alg", json!("RS256"))),
        ("HS256", with(good.clone(), "alg", json!("HS256"))),
        ("kid with path", with(good.clone(), "kid", json!("../../etc/passwd"))),
        ("long kid", with(good.clone(), "kid", json!("k".repeat(65)))),
        ("kid number", with(good.clone(), "kid", json!(7))),
        ("1024-bit RSA", rsa(128)),
        ("2040-bit RSA", rsa(255)),
        ("8192-bit RSA", rsa(1024)),
        ("exponent 1", with(rsa(256), "e", json!("AQ"))),
        ("even exponent", with(rsa(256), "e", json!("Ag"))),
        ("long exponent", with(rsa(256), "e", json!("AQAAAAAB"))),
        ("other curve", with(ec.clone(), "crv", json!("secp256k1"))),
        ("P-384 of 32 bytes", with(ec.clone(), "crv", json!("P-384"))),
        ("half a point", with(ec.clone(), "y", Value::Null)),
        ("no kind", with(good.clone(), "kty", Value::Null)),
        ("a string", json!("key")),
    ] {
        let text = json!({ "keys": [key] }).to_string();
        let read = PublicKeys::published(text.as_bytes());
        assert_eq!(read.unwrap_err(), BadKeys::Nothing, "{name}");
        // Beside a good one it is left out.
        let text = json!({ "keys": [key, good] }).to_string();
        assert!(PublicKeys::published(text.as_bytes()).is_ok(), "{name}");
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "\u{feff}{}"] {
        assert_eq!(PublicKeys::published(text.as_bytes()).unwrap_err(), BadKeys::Form, "{text}");
    }
    let many = json!({ "keys": vec![good.clone(); 33] }).to_string();
    assert_eq!(PublicKeys::published(many.as_bytes()).unwrap_err(), BadKeys::Many);
    for secret in [with(good.clone(), "d", json!("x")), json!({"kty": "oct", "k": "AAAA"})] {
        let text = json!({ "keys": [good, secret] }).to_string();
        assert_eq!(PublicKeys::handed_over(text.as_bytes()).unwrap_err(), BadKeys::Private);
        assert!(PublicKeys::published(text.as_bytes()).is_ok());
    }
}

/// A key that is no point of its curve is refused when it is used, not by a panic.
#[test]
fn a_point_beside_the_curve_signs_nothing() {
    let (mut ec, key) = p256();
    ec["y"] = ec["x"].clone();
    let header = json!({"alg": "ES256", "kid": "ec", "typ": "test+jwt"});
    let signed = format!("{}.{}", encode(&header), encode(&claims()));
    let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
    let judged = keys(&[ec]).verify(&format!("{signed}.{signature}"), &expected(), now());
    assert_eq!(judged.unwrap_err(), TokenRefused::Signature);
}

#[test]
fn keys_outlive_their_storing() {
    let before = keys(&[jwk("a", &signer()), p256().0]);
    let stored = serde_json::to_string(&before).unwrap();
    let after: PublicKeys = serde_json::from_str(&stored).unwrap();
    assert!(after.verify(&token(&header(), &claims(), &signer()), &expected(), now()).is_ok());
    assert!(serde_json::from_str::<PublicKeys>("[]").is_err());
}

fn allow() -> AddressPolicy {
    AddressPolicy { loopback: true, ..AddressPolicy::default() }
}

#[tokio::test]
async fn unknown_keys_make_a_set_be_fetched_now_and_then_only() {
    let old = json!({ "keys": [jwk("old", &other())] }).to_string();
    let new = json!({ "keys": [jwk("old", &other()), jwk("a", &signer())] }).to_string();
    let turned = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let has_turned = Arc::clone(&turned);
    let site = Site::start(move |_, _| {
        Act::json(if has_turned.load(std::sync::atomic::Ordering::SeqCst) { &new } else { &old })
    })
    .await;
    let clock = SetClock::new();
    let shared: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
    let set = KeySet::new(&site.egress(), &shared, &site.url("docs.test", "/keys"), allow());

    // Header rows are refused without asking anybody.
    let odd = token(&with(header(), "jku", json!("https://evil.example/")), &claims(), &signer());
    assert_eq!(set.verify(&odd, &expected()).await.unwrap_err(), TokenRefused::Header);
    assert_eq!(site.seen().len(), 0);

    for n in 0..10_000 {
        let unknown = token(&with(header(), "kid", json!(format!("k{n}"))), &claims(), &signer());
        let judged = set.verify(&unknown, &expected()).await;
        assert_eq!(judged.unwrap_err(), TokenRefused::UnknownKey);
    }
    assert_eq!(site.seen().len(), 1);
    turned.store(true, std::sync::atomic::Ordering::SeqCst);
    let good = token(&header(), &claims(), &signer());
    assert_eq!(set.verify(&good, &expected()).await.unwrap_err(), TokenRefused::UnknownKey);
    clock.forward(Duration::from_secs(29));
    assert!(set.verify(&good, &expected()).await.is_err());
    assert_eq!(site.seen().len(), 1);
    clock.forward(Duration::from_secs(1));
    assert!(set.verify(&good, &expected()).await.is_ok());
    assert!(set.verify(&good, &expected()).await.is_ok());
    assert_eq!(site.seen().len(), 2);
}

#[tokio::test]
async fn all_who_wait_share_one_fetch() {
    let body = json!({ "keys": [jwk("a", &signer())] }).to_string();
    let site = Site::start(move |_, _| Act::json(&body)).await;
    let clock: Arc<dyn Clock> = SetClock::new();
    let sets = KeySets::default();
    let (egress, url) = (site.egress(), site.url("docs.test", "/keys"));
    let good = token(&header(), &claims(), &signer());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (set, good) = (sets.at(&egress, &clock, &url, allow()), good.clone());
        all.spawn(async move { set.verify(&good, &expected()).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|good| good));
    assert_eq!(site.seen().len(), 1);
}

#[tokio::test]
async fn keys_serve_for_a_day_while_their_server_is_away() {
    let body = json!({ "keys": [jwk("a", &signer())] }).to_string();
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_away = Arc::clone(&away);
    let site = Site::start(move |_, _| match is_away.load(std::sync::atomic::Ordering::SeqCst) {
        true => Act::reply(503, &[], ""),
        false => Act::json(&body),
    })
    .await;
    let clock = SetClock::new();
    let shared: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
    let set = KeySet::new(&site.egress(), &shared, &site.url("docs.test", "/keys"), allow());
    let far = with(claims(), "exp", json!(START / 1_000 + 400_000));
    let good = token(&header(), &far, &signer());
    assert!(set.verify(&good, &expected()).await.is_ok());
    away.store(true, std::sync::atomic::Ordering::SeqCst);
    clock.forward(Duration::from_secs(300));
    assert!(set.verify(&good, &expected()).await.is_ok());
    assert_eq!(site.seen().len(), 2);
    assert!(set.verify(&good, &expected()).await.is_ok());
    assert_eq!(site.seen().len(), 2, "a failure is remembered");
    clock.forward(Duration::from_secs(23 * 3_600 + 3_000));
    assert!(set.verify(&good, &expected()).await.is_ok());
    clock.forward(Duration::from_secs(600));
    let judged = set.verify(&good, &expected()).await;
    assert!(matches!(judged, Err(TokenRefused::Keys(_))), "{judged:?}");
    away.store(false, std::sync::atomic::Ordering::SeqCst);
    clock.forward(Duration::from_secs(30));
    assert!(set.verify(&good, &expected()).await.is_ok());
}

#[tokio::test]
async fn a_set_at_a_forbidden_address_is_not_fetched() {
    let body = json!({ "keys": [jwk("a", &signer())] }).to_string();
    let site = Site::start(move |_, _| Act::json(&body)).await;
    let clock: Arc<dyn Clock> = SetClock::new();
    let good = token(&header(), &claims(), &signer());
    for (url, allow) in [
        (site.url("docs.test", "/keys"), AddressPolicy::default()),
        (site.url("metadata.test", "/keys"), allow()),
        (site.url("docs.test", "/keys").replace("https", "http"), allow()),
    ] {
        let set = KeySet::new(&site.egress(), &clock, &url, allow);
        let judged = set.verify(&good, &expected()).await;
        assert!(matches!(judged, Err(TokenRefused::Keys(_))), "{url}: {judged:?}");
    }
    assert_eq!(site.seen().len(), 0);
}
