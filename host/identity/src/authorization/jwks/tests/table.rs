//! One bad token per row.

use super::*;

struct Row {
    name: &'static str,
    token: String,
    refused: TokenRefused,
}

fn row(name: &'static str, token: String, refused: TokenRefused) -> Row {
    Row { name, token, refused }
}

/// Signed as it should be, but for one member of the header.
fn head(name: &'static str, member: &str, value: Value, refused: TokenRefused) -> Row {
    row(name, token(&with(header(), member, value), &claims(), &signer()), refused)
}

/// Signed as it should be, but for one claim.
fn claim(name: &'static str, member: &str, value: Value, refused: TokenRefused) -> Row {
    row(name, token(&header(), &with(claims(), member, value), &signer()), refused)
}

fn headers() -> Vec<Row> {
    use TokenRefused::{Algorithm, Form, Header, Kid, Type, UnknownKey, WrongKey};
    vec![
        head("none", "alg", json!("none"), Algorithm),
        head("None", "alg", json!("None"), Algorithm),
        head("nOnE", "alg", json!("nOnE"), Algorithm),
        head("empty alg", "alg", json!(""), Algorithm),
        head("no alg", "alg", Value::Null, Algorithm),
        head("alg as a list", "alg", json!(["EdDSA"]), Form),
        head("alg in other case", "alg", json!("eddsa"), Algorithm),
        head("HS256", "alg", json!("HS256"), Algorithm),
        head("HS384", "alg", json!("HS384"), Algorithm),
        head("HS512", "alg", json!("HS512"), Algorithm),
        head("ES256K", "alg", json!("ES256K"), Algorithm),
        head("RS1", "alg", json!("RS1"), Algorithm),
        head("encrypted", "alg", json!("RSA-OAEP"), Algorithm),
        head("RS256 with an Ed25519 key", "alg", json!("RS256"), WrongKey),
        head("PS256 with an Ed25519 key", "alg", json!("PS256"), WrongKey),
        head("ES256 with an Ed25519 key", "alg", json!("ES256"), WrongKey),
        head("jwk", "jwk", jwk("a", &signer()), Header),
        head("jku", "jku", json!("https://evil.example/keys"), Header),
        head("x5u", "x5u", json!("https://evil.example/cert"), Header),
        head("x5c", "x5c", json!(["MIIB"]), Header),
        head("crit", "crit", json!(["exp"]), Header),
        head("empty crit", "crit", json!([]), Header),
        head("b64", "b64", json!(false), Header),
        head("zip", "zip", json!("DEF"), Header),
        head("cty", "cty", json!("JWT"), Header),
        head("enc", "enc", json!("A128GCM"), Header),
        head("kid with a path", "kid", json!("../../../dev/null"), Kid),
        head("kid with SQL", "kid", json!("' UNION SELECT 'x"), Kid),
        head("kid as a URL", "kid", json!("https://evil.example/key"), Kid),
        head("kid with NUL", "kid", json!("a\u{0}"), Kid),
        head("kid with a space", "kid", json!("a "), Kid),
        head("kid beyond ASCII", "kid", json!("\u{430}"), Kid),
        head("empty kid", "kid", json!(""), Kid),
        head("kid of 65", "kid", json!("k".repeat(65)), Kid),
        head("kid of 1 KiB", "kid", json!("k".repeat(1_024)), Form),
        head("kid of 1 MiB", "kid", json!("k".repeat(1 << 20)), Form),
        head("kid as a number", "kid", json!(7), Form),
        head("unknown kid", "kid", json!("z"), UnknownKey),
        head("other case of kid", "kid", json!("A"), UnknownKey),
        head("kid of another key", "kid", json!("b"), TokenRefused::Signature),
        head("other typ", "typ", json!("at+jwt"), Type),
        head("general typ", "typ", json!("JWT"), Type),
        head("no typ", "typ", Value::Null, Type),
        head("typ as a list", "typ", json!(["test+jwt"]), Form),
    ]
}

fn forms() -> Vec<Row> {
    use TokenRefused::{Algorithm, Form, Signature};
    let good = token(&header(), &claims(), &signer());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    let twice = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let unsigned = encode(&json!({"alg": "none", "typ": "test+jwt"}));
    // What a library makes of a public key that it takes for a shared secret.
    let symmetric = format!("{}.{body}", encode(&with(header(), "alg", json!("HS256"))));
    let secret = EncodingKey::from_secret(signer().verifying_key().as_bytes());
    let mac = crypto::sign(symmetric.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256).unwrap();
    let text_secret =
        EncodingKey::from_secret(jwk("a", &signer())["x"].as_str().unwrap().as_bytes());
    let text_mac =
        crypto::sign(symmetric.as_bytes(), &text_secret, jsonwebtoken::Algorithm::HS256).unwrap();
    let swapped = encode(&with(claims(), "sub", json!("owner")));
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[10] ^= 1;
    vec![
        row("empty", String::new(), Form),
        row("dots", "..".into(), Form),
        row("one part", head.into(), Form),
        row("two parts", signed.into(), Form),
        row("four parts", format!("{good}.x"), Form),
        row("five parts", format!("{good}.x.y"), Form),
        row("empty header", format!(".{body}.{signature}"), Form),
        row("white space", format!(" {good}"), Form),
        row("line feed", format!("{good}\n"), Form),
        row("padding", format!("{good}="), Form),
        row("other alphabet", format!("{head}.{body}.{}+/", &signature[..84]), Form),
        row("percent-encoded", good.replace('.', "%2E"), Form),
        row("header no JSON", sign_text(&twice("alg"), body, &signer()), Form),
        row("header a list", sign_text(&twice("[]"), body, &signer()), Form),
        row(
            "alg twice",
            sign_text(&twice(r#"{"alg":"none","alg":"EdDSA","typ":"test+jwt"}"#), body, &signer()),
            Form,
        ),
        row(
            "alg twice, escaped",
            sign_text(&twice(r#"{"alg":"EdDSA","\u0061lg":"none"}"#), body, &signer()),
            Form,
        ),
        row(
            "more after the header",
            sign_text(&twice(r#"{"alg":"EdDSA"}{}"#), body, &signer()),
            Form,
        ),
        row("claims no JSON", sign_text(head, &twice("claims"), &signer()), Form),
        row("claims a list", sign_text(head, &twice("[]"), &signer()), Form),
        row("claims a number", sign_text(head, &twice("7"), &signer()), Form),
        row("claims not UTF-8", sign_text(head, &URL_SAFE_NO_PAD.encode([0xff]), &signer()), Form),
        row(
            "iss twice",
            sign_text(
                head,
                &twice(&claims().to_string().replacen('{', r#"{"iss":"x","#, 1)),
                &signer(),
            ),
            Form,
        ),
        row("no signature, none", format!("{unsigned}.{body}."), Form),
        row("none with a signature", format!("{unsigned}.{body}.{signature}"), Algorithm),
        row("no signature", format!("{signed}."), Form),
        row("HMAC with the public key", format!("{symmetric}.{mac}"), Algorithm),
        row("HMAC with the public key's text", format!("{symmetric}.{text_mac}"), Algorithm),
        row("half a signature", format!("{signed}.{}", &signature[..43]), Signature),
        row(
            "one bit of the signature",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(flipped)),
            Signature,
        ),
        row("zeros", format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64])), Signature),
        row("claims of another token", format!("{head}.{swapped}.{signature}"), Signature),
        row("signed by somebody else", token(&header(), &claims(), &other()), Signature),
        row(
            "too long",
            token(&header(), &with(claims(), "x", json!("x".repeat(16 << 10))), &signer()),
            Form,
        ),
        row(
            "too deep",
            sign_text(
                head,
                &twice(&format!("{{\"x\":{}{}}}", "[".repeat(50), "]".repeat(50))),
                &signer(),
            ),
            Form,
        ),
    ]
}

fn claim_rows() -> Vec<Row> {
    use TokenRefused::{Audience, Claim, Early, Expired, Issuer};
    let at = START / 1_000;
    vec![
        claim("no iss", "iss", Value::Null, Claim("iss")),
        claim("iss as a list", "iss", json!(["https://idp.example"]), Claim("iss")),
        claim("other iss", "iss", json!("https://evil.example"), Issuer),
        claim("iss with a slash", "iss", json!("https://idp.example/"), Issuer),
        claim("iss in other case", "iss", json!("https://IDP.example"), Issuer),
        claim("iss with more", "iss", json!("https://idp.example.evil"), Issuer),
        claim("iss null", "iss", json!("\u{0}"), Issuer),
        claim("no aud", "aud", Value::Null, Claim("aud")),
        claim("other aud", "aud", json!("them"), Audience),
        claim("aud with more", "aud", json!("us/x"), Audience),
        claim("aud in other case", "aud", json!("US"), Audience),
        claim("aud of others", "aud", json!(["them", "they"]), Audience),
        claim("aud empty", "aud", json!([]), Audience),
        claim("aud of numbers", "aud", json!([7]), Claim("aud")),
        claim("aud nested", "aud", json!([["us"]]), Claim("aud")),
        claim("aud an object", "aud", json!({"us": true}), Claim("aud")),
        claim("no exp", "exp", Value::Null, Claim("exp")),
        claim("exp as text", "exp", json!((at + 60).to_string()), Claim("exp")),
        claim("exp negative", "exp", json!(-1), Claim("exp")),
        claim("exp beyond numbers", "exp", json!(1e300), Claim("exp")),
        claim("exp in milliseconds and over", "exp", json!(at - 3_600), Expired),
        claim("exp zero", "exp", json!(0), Expired),
        claim("nbf tomorrow", "nbf", json!(at + 86_400), Early),
        claim("nbf as text", "nbf", json!("0"), Claim("nbf")),
        claim("iat tomorrow", "iat", json!(at + 86_400), Early),
        claim("iat as text", "iat", json!("0"), Claim("iat")),
        claim("sub as a number", "sub", json!(7), Claim("sub")),
        claim("jti as a list", "jti", json!(["1"]), Claim("jti")),
    ]
}

#[test]
fn each_bad_token_is_refused_for_what_is_wrong_with_it() {
    let keys = keys(&[jwk("a", &signer()), jwk("b", &other())]);
    let rows: Vec<Row> = headers().into_iter().chain(forms()).chain(claim_rows()).collect();
    assert!(rows.len() > 100, "{}", rows.len());
    for row in rows {
        let judged = keys.verify(&row.token, &expected(), now());
        assert_eq!(judged.unwrap_err(), row.refused, "{}", row.name);
    }
    // The same without any mistake is taken.
    assert!(keys.verify(&token(&header(), &claims(), &signer()), &expected(), now()).is_ok());
}

#[test]
fn an_algorithm_must_be_one_of_the_issuer() {
    let keys = keys(&[jwk("a", &signer())]);
    let good = token(&header(), &claims(), &signer());
    let only = Expected { algorithms: &[Algorithm::ES256], ..expected() };
    assert_eq!(keys.verify(&good, &only, now()).unwrap_err(), TokenRefused::Algorithm);
    // Even whoever asks for a symmetric one does not get it.
    let lax = Expected { algorithms: &[Algorithm::HS256], ..expected() };
    let symmetric = token(&with(header(), "alg", json!("HS256")), &claims(), &signer());
    assert_eq!(keys.verify(&symmetric, &lax, now()).unwrap_err(), TokenRefused::Algorithm);
}
