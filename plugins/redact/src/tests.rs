//! What is masked, what is not, and what stays byte for byte.

use super::*;

fn context() -> Context {
    Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "crm".into(),
        tool: "search".into(),
        method: "tools/call".into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
    }
}

fn masked(text: &str) -> String {
    find::mask(text, &Kind::ALL, "[{kind}]").unwrap_or_else(|| text.to_owned())
}

#[test]
fn masks_what_proves_itself() {
    let table = [
        ("4111111111111111", "[card]"),
        ("pay 4111 1111 1111 1111 12/27", "pay [card] 12/27"),
        ("5555-5555-5555-4444.", "[card]."),
        ("378282246310005, then", "[card], then"),
        ("6011000990139424", "[card]"),
        ("DE89370400440532013000", "[iban]"),
        ("IBAN: GB82 WEST 1234 5698 7654 32!", "IBAN: [iban]!"),
        ("nl91abna0417164300", "[iban]"),
        ("write to jane.doe+x@mail.example.co.uk.", "write to [email]."),
        ("<a@b.de>", "<[email]>"),
        ("m\u{fc}ller@example.org", "[email]"),
        ("sk-proj-abcDEF0123456789abcd", "[key]"),
        ("token=ghp_0123456789abcdefghijABCDEFGHIJ012345", "token=[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("xoxb-1234567890-abcdef", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1", "[key]"),
        ("tg_ae_0123456789abcdefghij0123456789ab", "[key]"),
        ("4111111111111111 and a@b.de", "[card] and [email]"),
    ];
    for (text, expected) in table {
        assert_eq!(masked(text), expected, "{text}");
    }
}

#[test]
fn leaves_what_only_looks_alike() {
    let table = [
        "4111111111111112",
        "41111111111111110000000",
        "order A4111111111111111",
        "1111111111111117",
        "1700000000000",
        "DE89370400440532013001",
        "DE8937040044053201300",
        "XX89370400440532013000",
        "@handle",
        "user@localhost",
        "a@b.1",
        "sk-short",
        "risk-0123456789abcdef0123",
        "AKIAlowercase0123456789",
        "eyJhbGciOiJIUzI1NiJ9",
        "",
        "\u{1f600} caf\u{e9} 42",
    ];
    for text in table {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn only_string_values_change() {
    let redact = Redact { replacement: "X".into(), ..Redact::default() };
    let table = [
        (
            r#"{ "a@b.de" : "a@b.de",  "n": 4111111111111111, "deep":[[{"x":"t: 4111111111111111"}]]}"#,
            r#"{ "a@b.de" : "X",  "n": 4111111111111111, "deep":[[{"x":"t: X"}]]}"#,
        ),
        (r#""quote \" a@b.de \\""#, r#""quote \" X \\""#),
        (r#"["a\u0040b.de","\u0000"]"#, r#"["X","\u0000"]"#),
        (r#"{"text":"{\"mail\":\"a@b.de\"}"}"#, r#"{"text":"{\"mail\":\"X\"}"}"#),
    ];
    for (json, expected) in table {
        assert_eq!(redact.masked(json, Place::Results).as_deref(), Some(expected), "{json}");
    }
}

#[test]
fn nothing_found_proceeds() {
    let redact = Redact::default();
    let json = r#"{"a":1.0,"b":["x","\u00e9"],"c":null}"#;
    assert_eq!(redact.before(&context(), json), Before::Proceed.into());
    assert_eq!(redact.after(&context(), Answer::Result(json), None), After::Proceed);
}

#[test]
fn configuration_says_what_and_where() {
    let json = r#"{"a":"a@b.de 4111111111111111"}"#;
    let redact =
        Redact::configure(r#"{"mask":["card"],"in":["results"],"replacement":"*"}"#).unwrap();
    assert_eq!(redact.before(&context(), json), Before::Proceed.into());
    let expected = After::Replace(r#"{"a":"a@b.de *"}"#.into());
    assert_eq!(redact.after(&context(), Answer::Result(json), None), expected);
    assert_eq!(redact.after(&context(), Answer::Error(json), None), expected);
    assert!(Redact::configure(r#"{"mask":["phone"]}"#).is_err());
}
