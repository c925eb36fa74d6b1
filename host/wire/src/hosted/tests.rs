use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tidegate_model::{Clock, Timestamp};

use super::*;

const START: u64 = 1_800_000_000_000;

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn addressee() -> Addressee {
    Addressee { org: "default".into(), connector: "files".into(), machine: "m1".into() }
}

/// A machine, the gateway's side of it, and one request.
struct Pair {
    key: HostedKey,
    clock: Arc<Hand>,
    minter: Minter,
    verifier: Verifier,
    headers: HeaderMap,
}

const HEAD: Head<'static> = Head { method: "POST", target: "/mcp?x=1" };
const BODY: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

fn pair() -> Pair {
    let key = HostedKey::generate().unwrap();
    let clock = Arc::new(Hand(AtomicU64::new(START)));
    let minter = Minter::new("gw-1", &addressee(), key.clone(), HEADER).unwrap();
    let verifier = Verifier::new(addressee(), key.clone(), HEADER, clock.clone());
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-tidegate-child", "u1"),
        ("accept", "application/json"),
        ("accept", "text/event-stream"),
    ] {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_static(value));
    }
    Pair { key, clock, minter, verifier, headers }
}

fn list(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Pair {
    fn mint(&self) -> HeaderValue {
        self.minter.mint(HEAD, &list(&self.headers), BODY, self.clock.now())
    }

    /// The headers as they arrive: with what the connection adds, in another order.
    fn arriving(&self, token: HeaderValue) -> HeaderMap {
        let mut arriving = HeaderMap::new();
        arriving.insert("host", HeaderValue::from_static("localhost"));
        arriving.insert("content-length", HeaderValue::from_static("40"));
        arriving.insert(HEADER, token);
        arriving.extend(self.headers.clone());
        arriving
    }

    fn admit(&self, token: HeaderValue) -> Result<(), Refused> {
        self.verifier.admit(HEAD, &self.arriving(token))?.check(BODY)
    }

    /// A token with this head and these claims, signed with the machine's key.
    fn forged(&self, head: &Value, claims: &Value) -> HeaderValue {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        HeaderValue::try_from(format!("{signed}.{signature}")).unwrap()
    }

    fn claims(&self) -> Value {
        let token = self.mint();
        let part = token.to_str().unwrap().split('.').nth(1).unwrap().to_owned();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }
}

#[test]
fn a_token_names_who_it_is_from_and_for_and_lasts_two_minutes() {
    let pair = pair();
    let claims = pair.claims();
    assert_eq!(claims["iss"], "gw-1");
    assert_eq!(claims["aud"], "m1");
    assert_eq!(claims["machine"], "m1");
    assert_eq!(claims["org"], "default");
    assert_eq!(claims["connector"], "files");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
    assert_eq!(pair.admit(pair.mint()), Ok(()));
}

#[test]
fn a_token_is_good_between_its_times_give_or_take_the_skew() {
    for (seconds, expected) in [
        (0, Ok(())),
        (119, Ok(())),
        (121, Ok(())),
        (125, Ok(())),
        (126, Err(Refused::Expired)),
        (-5, Ok(())),
        (-6, Err(Refused::Early)),
    ] {
        let pair = pair();
        let token = pair.mint();
        let at = START.checked_add_signed(seconds * 1000).unwrap();
        pair.clock.0.store(at, Ordering::Relaxed);
        assert_eq!(pair.admit(token), expected, "after {seconds} s");
    }
}

#[test]
fn what_claims_something_else_is_refused() {
    let good = json!({"alg": "HS256", "kid": pair().key.id(), "typ": "JWT"});
    assert_eq!(good["typ"], "JWT");
    type Case = (&'static str, fn(&mut Value, &mut Value), Refused);
    let cases: [Case; 20] = [
        ("alg none", |head, _| head["alg"] = json!("none"), Refused::Head),
        ("alg RS256", |head, _| head["alg"] = json!("RS256"), Refused::Head),
        ("alg HS512", |head, _| head["alg"] = json!("HS512"), Refused::Head),
        ("alg hs256", |head, _| head["alg"] = json!("hs256"), Refused::Head),
        ("another kid", |head, _| head["kid"] = json!("AAAAAAAAAAA"), Refused::Head),
        ("jwk", |head, _| head["jwk"] = json!({"kty": "oct", "k": "AA"}), Refused::Head),
        ("crit", |head, _| head["crit"] = json!(["x"]), Refused::Head),
        ("machine", |_, claims| claims["machine"] = json!("m2"), Refused::Misrouted),
        ("aud", |_, claims| claims["aud"] = json!("m2"), Refused::Misrouted),
        ("aud list", |_, claims| claims["aud"] = json!(["m1", "m2"]), Refused::Malformed),
        ("connector", |_, claims| claims["connector"] = json!("mail"), Refused::Misrouted),
        ("org", |_, claims| claims["org"] = json!("other"), Refused::Misrouted),
        ("exp", |_, claims| claims["exp"] = json!(START / 1000 + 121), Refused::Lifetime),
        ("exp wraps", |_, claims| claims["exp"] = json!(0), Refused::Lifetime),
        ("no jti", |_, claims| claims["jti"] = json!("x"), Refused::Malformed),
        ("jti", |_, claims| claims["jti"] = json!("a.-1"), Refused::Malformed),
        ("no iat", |_, claims| claims["iat"] = json!(null), Refused::Malformed),
        ("a float", |_, claims| claims["iat"] = json!(1.5), Refused::Malformed),
        ("more claims", |_, claims| claims["sub"] = json!("x"), Refused::Malformed),
        ("another head", |_, claims| claims["head"] = json!("x"), Refused::Changed),
    ];
    for (what, change, expected) in cases {
        let pair = pair();
        let mut claims = pair.claims();
        let mut head = json!({"alg": "HS256", "kid": pair.key.id(), "typ": "JWT"});
        change(&mut head, &mut claims);
        assert_eq!(pair.admit(pair.forged(&head, &claims)), Err(expected), "{what}");
    }
    // What all of these are made like would be taken.
    let pair = pair();
    let head = json!({"alg": "HS256", "kid": pair.key.id(), "typ": "JWT"});
    let claims = pair.claims();
    assert_eq!(pair.admit(pair.forged(&head, &claims)), Ok(()));
}

#[test]
fn what_is_no_token_is_refused() {
    let pair = pair();
    let good = pair.mint().to_str().unwrap().to_owned();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let other = HostedKey::generate().unwrap();
    let flipped: String = signature.chars().rev().collect();
    for (token, expected) in [
        (String::new(), Refused::Malformed),
        ("x".to_owned(), Refused::Malformed),
        ("..".to_owned(), Refused::Head),
        (format!("{head}.{claims}"), Refused::Malformed),
        (format!("{head}.{claims}."), Refused::Signature),
        (format!("{head}.{claims}.{flipped}"), Refused::Signature),
        (format!("{head}.{claims}.{}", other.sign(signed.as_bytes())), Refused::Signature),
        (format!("{head}.{claims}.{signature}="), Refused::Signature),
        (format!("{head}.{claims}.x.{signature}"), Refused::Signature),
        (format!(" {good}"), Refused::Head),
        (format!("Bearer {good}"), Refused::Head),
        (format!("{head}.{}.{signature}", "A".repeat(5_000)), Refused::Malformed),
    ] {
        let value = HeaderValue::try_from(&token).unwrap();
        assert_eq!(pair.admit(value), Err(expected), "{token}");
    }
    assert_eq!(pair.admit(HeaderValue::from_bytes(b"\xff").unwrap()), Err(Refused::Malformed));
    assert_eq!(pair.verifier.admit(HEAD, &pair.headers), Err(Refused::Missing));
    let mut twice = pair.arriving(HeaderValue::try_from(&good).unwrap());
    twice.append(HEADER, HeaderValue::try_from(&good).unwrap());
    assert_eq!(pair.verifier.admit(HEAD, &twice), Err(Refused::Repeated));
    // None of that has used it up.
    assert_eq!(pair.admit(HeaderValue::try_from(&good).unwrap()), Ok(()));
}

#[test]
fn a_token_is_good_once() {
    let pair = pair();
    let (first, second) = (pair.mint(), pair.mint());
    assert_eq!(pair.admit(second.clone()), Ok(()));
    assert_eq!(pair.admit(first.clone()), Ok(()));
    assert_eq!(pair.admit(first), Err(Refused::Replayed));
    assert_eq!(pair.admit(second), Err(Refused::Replayed));
    // Another gateway's numbers are its own.
    let minter = Minter::new("gw-2", &addressee(), pair.key.clone(), HEADER).unwrap();
    let token = minter.mint(HEAD, &list(&pair.headers), BODY, pair.clock.now());
    assert_eq!(pair.admit(token), Ok(()));
}

#[test]
fn a_token_is_for_one_request() {
    type Change = fn(&mut HeaderMap);
    let changes: [(&str, Change); 6] = [
        ("a header more", |headers| {
            headers.insert("x-tidegate-env", HeaderValue::from_static("e30"));
        }),
        ("a header less", |headers| {
            headers.remove("x-tidegate-child");
        }),
        ("another child", |headers| {
            headers.insert("x-tidegate-child", HeaderValue::from_static("u2"));
        }),
        ("a value more", |headers| {
            headers.append("x-tidegate-child", HeaderValue::from_static("u1"));
        }),
        ("values the other way round", |headers| {
            headers.insert("accept", HeaderValue::from_static("text/event-stream"));
            headers.append("accept", HeaderValue::from_static("application/json"));
        }),
        ("a border moved", |headers| {
            headers.insert("x-tidegate-child", HeaderValue::from_static("u"));
            headers.insert("x-tidegate-childu", HeaderValue::from_static("1"));
        }),
    ];
    for (what, change) in changes {
        let pair = pair();
        let mut headers = pair.arriving(pair.mint());
        change(&mut headers);
        assert_eq!(pair.verifier.admit(HEAD, &headers), Err(Refused::Changed), "{what}");
    }
    for head in [
        Head { method: "DELETE", ..HEAD },
        Head { target: "/mcp", ..HEAD },
        Head { target: "/mcp?x=1&y", ..HEAD },
        Head { method: "POST/", target: "mcp?x=1" },
    ] {
        let pair = pair();
        let headers = pair.arriving(pair.mint());
        assert_eq!(pair.verifier.admit(head, &headers), Err(Refused::Changed), "{head:?}");
        // The request that it was made for is still good.
        assert!(pair.verifier.admit(HEAD, &headers).is_ok());
    }
    let pair = pair();
    let admitted = pair.verifier.admit(HEAD, &pair.arriving(pair.mint())).unwrap();
    for body in [&b""[..], b"{}", &BODY[1..]] {
        assert_eq!(admitted.check(body), Err(Refused::Changed));
    }
    assert_eq!(admitted.check(BODY), Ok(()));
}

#[test]
fn keys_overlap_while_they_are_exchanged() {
    let pair = pair();
    let next = HostedKey::generate().unwrap();
    let early = Minter::new("gw-1", &addressee(), next.clone(), HEADER).unwrap();
    let mint = |minter: &Minter| minter.mint(HEAD, &list(&pair.headers), BODY, pair.clock.now());
    assert_eq!(pair.admit(mint(&early)), Err(Refused::Head));
    pair.verifier.add_key(next.clone());
    pair.verifier.add_key(next.clone());
    assert_eq!(pair.admit(pair.mint()), Ok(()));
    pair.minter.use_key(next);
    assert_eq!(pair.admit(pair.mint()), Ok(()));
    // The next exchange gives the first key up.
    pair.verifier.add_key(HostedKey::generate().unwrap());
    assert_eq!(pair.admit(pair.mint()), Ok(()));
    pair.minter.use_key(pair.key.clone());
    assert_eq!(pair.admit(pair.mint()), Err(Refused::Head));
}

#[test]
fn keys_are_read_as_they_were_written_and_never_shown() {
    let key = HostedKey::generate().unwrap();
    let text = key.write();
    let read = HostedKey::read(&format!("{}\n", text.expose())).unwrap();
    assert_eq!(read.sign(b"x"), key.sign(b"x"));
    assert!(read.has_signed(b"x", &key.sign(b"x")) && !read.has_signed(b"y", &key.sign(b"x")));
    let secret = text.expose().split_once('.').unwrap().1;
    assert!(!format!("{key:?}").contains(secret));
    let long = format!("{}A", text.expose());
    let short: String = text.expose().chars().skip(1).collect();
    for bad in ["", ".", "a.b", secret, &long, &short, "AAAAAAAAAAA.A+AA"] {
        assert_eq!(HostedKey::read(bad).err(), Some(BadKey::Spelling), "{bad}");
    }
    let other = HostedKey::generate().unwrap();
    assert_ne!(other.id(), key.id());
    assert_ne!(other.write().expose(), text.expose());
}
