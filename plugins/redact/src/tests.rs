//! What is found, what is not, what becomes of it, and what stays byte for byte.

use proptest::prelude::*;
use tidegate_plugin::double;

use super::*;

const ALL: &str = r#"{"mask":["card","iban","email","phone","ip","ssn","key","private_key",
    "password"],"replacement":"[{kind}]"}"#;

const RESULTS: Message<'static> =
    Message { direction: Direction::Results, what: "results", target: "who", changeable: None };
const ARGUMENTS: Message<'static> =
    Message { direction: Direction::Arguments, what: "arguments", target: "who", changeable: None };

fn judge(config: &str, json: &str) -> Verdict {
    RESULTS.judge(config, json)
}

/// The text of one string after everything in it was masked.
fn masked(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    match judge(ALL, &json) {
        Verdict::Proceed => text.to_owned(),
        Verdict::Replace(json) => serde_json::from_str(&json).unwrap(),
        Verdict::Refuse(text) => panic!("{text}"),
    }
}

#[test]
fn finds_what_proves_itself() {
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
        ("npm_0123456789abcdefghijABCDEFGHIJ012345", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_1", "[key]"),
        ("tg_ae_0123456789abcdefghij0123456789ab", "[key]"),
        ("4111111111111111 and a@b.de", "[card] and [email]"),
        ("call +49 30 901820 now", "call [phone] now"),
        ("+1 (212) 555-0123", "[phone]"),
        ("tel:212-555-0123", "tel:[phone]"),
        ("(212) 555-0123, home", "[phone], home"),
        ("+49 30 901820  192.168.0.17", "[phone]  [ip]"),
        ("ip:10.0.0.1 or addr:fe80::1", "ip:[ip] or addr:[ip]"),
        ("SSN 123-45-6789.", "SSN [ssn]."),
        ("from 192.168.0.17 to 10.0.0.1.", "from [ip] to [ip]."),
        ("[2001:db8::8a2e:370:7334]:443", "[[ip]]:443"),
        ("at ::1, and fe80::1%eth0", "at [ip], and [ip]%eth0"),
        ("postgres://app:s3cr3t@db.internal/x", "postgres://app:[password]@db.internal/x"),
        ("https://:p@ss@h/", "https://:[password]@h/"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest",
            "[private_key]\nrest",
        ),
        ("x -----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "x [private_key]"),
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
        "2125550123",
        "+1 2 3",
        "+0123456789",
        "112-555-0123",
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-45-67890",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "std::vec::Vec",
        "a::b",
        "12:30:45",
        "::",
        "https://example.com/a:b@c",
        "https://user@host/",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "2026-11-21T12:00:00Z",
        "",
        "\u{1f600} caf\u{e9} 42",
    ];
    for text in table {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn only_string_values_change() {
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
        let verdict = judge(r#"{"replacement":"X"}"#, json);
        assert_eq!(verdict, Verdict::Replace(expected.into()), "{json}");
    }
    assert_eq!(judge("{}", r#"{"a":1.0,"b":["x","\u00e9"],"c":null}"#), Verdict::Proceed);
}

#[test]
fn every_direction_has_its_own_actions() {
    let json = r#"{"a":"a@b.de 4111111111111111"}"#;
    let mail = Verdict::Replace(r#"{"a":"[email masked] 4111111111111111"}"#.into());
    let both = Verdict::Replace(r#"{"a":"[email masked] [card masked]"}"#.into());
    let table = [
        (r#"{"mask":["email"],"in":["results"]}"#, Verdict::Proceed, mail.clone()),
        (r#"{"mask":["email"],"in":["arguments"]}"#, mail.clone(), Verdict::Proceed),
        (r#"{"results":{"card":"ignore"}}"#, both.clone(), mail.clone()),
        (r#"{"mask":["email"],"arguments":{"card":"mask"}}"#, both, mail),
        (r#"{"mask":[]}"#, Verdict::Proceed, Verdict::Proceed),
    ];
    for (config, arguments, results) in table {
        assert_eq!(ARGUMENTS.judge(config, json), arguments, "{config}");
        assert_eq!(RESULTS.judge(config, json), results, "{config}");
    }
}

#[test]
fn block_stops_the_whole_and_names_the_kind_only() {
    let verdict = judge(r#"{"block":["card"]}"#, r#"["fine","4111111111111111"]"#);
    let Verdict::Refuse(text) = verdict else { panic!("{verdict:?}") };
    assert!(text.contains("`card`") && text.contains("`who`") && !text.contains("4111"), "{text}");
}

#[test]
fn alerts_count_kinds_and_let_pass() {
    let json = r#"["a@b.de c@d.org","10.0.0.1"]"#;
    let verdict = RESULTS.judge(r#"{"alert":["email","ip"]}"#, json);
    assert_eq!(verdict, Verdict::Proceed);
    double::with(|double| {
        let lines: Vec<_> = double.lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["results of who: 2 x email, 1 x ip"]);
        assert!(double.facts.iter().eq(["redact:found:email", "redact:found:ip"]));
    });
}

#[test]
fn hashes_are_the_same_for_the_same_value_however_it_is_written() {
    double::with(|double| double.credentials.insert("pseudonyms".to_owned()));
    let config = r#"{"hash":["iban","email"],"hash_key":"pseudonyms"}"#;
    let json =
        r#"["DE89370400440532013000","de89 3704 0044 0532 0130 00","A@b.de","a@B.de","c@b.de"]"#;
    let Verdict::Replace(json) = RESULTS.judge(config, json) else { panic!() };
    let texts: Vec<String> = serde_json::from_str(&json).unwrap();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[2], texts[3]);
    assert_ne!(texts[2], texts[4]);
    assert!(texts[0].starts_with("[iban ") && texts[0].len() == "[iban ]".len() + 16);
    let unknown = config.replace("pseudonyms", "other");
    assert!(matches!(RESULTS.judge(&unknown, &json.replace('[', "[\"a@b.de\",")),
        Verdict::Refuse(text) if text.contains("`other`")));
}

#[test]
fn custom_patterns_join_the_kinds() {
    let config = r#"{"custom":{"x_employee":"E-[0-9]{6}","x_case":"(?i)case [0-9]+"},
        "block":["x_case"],"mask":["x_employee","email"]}"#;
    let verdict = judge(config, r#""E-123456 <E-123456@b.de>""#);
    // Where finds overlap they are one.
    assert_eq!(verdict, Verdict::Replace(r#""[x_employee masked] <[email masked]>""#.into()));
    assert!(matches!(judge(config, r#""Case 7""#), Verdict::Refuse(_)));
    // Without lists, whatever has a pattern is masked.
    let verdict = judge(r#"{"custom":{"x_a":"a+"}}"#, r#""baab""#);
    assert_eq!(verdict, Verdict::Replace(r#""b[x_a masked]b""#.into()));
}

#[test]
fn what_overlaps_is_found_and_the_strictest_action_holds() {
    let both = r#"{"mask":["phone","email","password","ip"],"block":["card","key"]}"#;
    let blocked = [
        "+4111 1111 1111 1111",
        "sk-proj-abcDEF0123456789abcd@x.org",
        "https://4111111111111111:pw@host/",
        "https://u:sk-proj-abcDEF0123456789abcd@x.org/",
        "4111111111111111@b.de",
    ];
    for text in blocked {
        let verdict = judge(both, &serde_json::Value::from(text).to_string());
        assert!(matches!(verdict, Verdict::Refuse(_)), "{text}: {verdict:?}");
    }
    let table = [
        ("https://jane@x.org:pw@host.example/", "https://[email]:[password]@host.example/"),
        ("https://u:a@b.de@host.example/", "https://u:[password]@host.example/"),
        ("x://u:s3cr3t@host.example/ a@b.de", "x://u:[password]@host.example/ [email]"),
        ("+4111 1111 1111 1111", "[phone]"),
    ];
    for (text, expected) in table {
        assert_eq!(masked(text), expected, "{text}");
    }
    // Of a text that cannot be changed, what has an effect there counts.
    let config = r#"{"mask":["phone"],"alert":["card"]}"#;
    assert_eq!(ARGUMENTS.judge_fixed(config, "x:+4111 1111 1111 1111"), Verdict::Proceed);
    double::with(|double| assert!(double.facts.contains("redact:found:card")));
}

#[test]
fn many_keys_in_one_text_are_found_in_time() {
    // Looked at from every start to the end, this would take hours.
    for piece in ["sk-", "-----BEGIN PRIVATE KEY-----\n", "eyJ.eyJ.", "::1 ", "4111 ", "a@"] {
        let text = piece.repeat((1 << 20) / piece.len());
        judge(ALL, &serde_json::Value::from(text).to_string());
    }
}

#[test]
fn what_cannot_be_changed_is_blocked_or_reported_only() {
    let uri = "crm://people/a@b.de";
    assert_eq!(ARGUMENTS.judge_fixed("{}", uri), Verdict::Proceed);
    let verdict = ARGUMENTS.judge_fixed(r#"{"block":["email"]}"#, uri);
    assert!(matches!(verdict, Verdict::Refuse(_)));
    let only = Message { changeable: Some(&["value"]), ..ARGUMENTS };
    let json = r#"{"name":"a@b.de","value":"a@b.de"}"#;
    let expected = r#"{"name":"a@b.de","value":"[email masked]"}"#;
    assert_eq!(only.judge("{}", json), Verdict::Replace(expected.into()));
    let nested = r#"{"value":{"name":["a@b.de"]},"name":{"value":"a@b.de"}}"#;
    let expected = r#"{"value":{"name":["[email masked]"]},"name":{"value":"a@b.de"}}"#;
    assert_eq!(only.judge("{}", nested), Verdict::Replace(expected.into()));
    // A name is what it means, not how it is written.
    let escaped = r#"{"v\u0061lue":"a@b.de","n\u0061me":"a@b.de"}"#;
    let expected = r#"{"v\u0061lue":"[email masked]","n\u0061me":"a@b.de"}"#;
    assert_eq!(only.judge("{}", escaped), Verdict::Replace(expected.into()));
}

#[test]
fn a_uri_in_a_result_stays_what_it_is() {
    let json = r#"{"contents":[{"uri":"crm://a@b.de","text":"a@b.de"},{"x":{"uri":["a@b.de"]}}]}"#;
    let expected = r#"{"contents":[{"uri":"crm://a@b.de","text":"X"},{"x":{"uri":["X"]}}]}"#;
    let config = r#"{"replacement":"X"}"#;
    assert_eq!(judge(config, json), Verdict::Replace(expected.into()));
    assert!(matches!(
        judge(r#"{"block":["email"]}"#, r#"{"contents":[{"uri":"crm://a@b.de"}]}"#),
        Verdict::Refuse(_)
    ));
    let stays = [
        r#"{"content":[{"type":"resource_link","uri":"crm://a@b.de"}]}"#,
        r#"{"content":[{"type":"resource","resource":{"ur\u0069":"crm://a@b.de"}}]}"#,
        r#"{"messages":[{"content":{"type":"resource_link","uri":"crm://a@b.de"}}]}"#,
        r#"{"messages":[{"content":{"type":"resource","resource":{"uri":"crm://a@b.de"}}}]}"#,
    ];
    for json in stays {
        assert_eq!(judge(config, json), Verdict::Proceed, "{json}");
    }
    let texts = [
        r#"{"uri":"crm://a@b.de"}"#,
        r#"{"structuredContent":{"uri":"crm://a@b.de"}}"#,
        r#"{"content":[{"annotations":{"uri":"crm://a@b.de"}}]}"#,
        r#"{"contents":{"uri":"crm://a@b.de"}}"#,
        r#"{"contents":{"":{"uri":"crm://a@b.de"}}}"#,
        r#"{"content":[["x"],{"resource":{"x":[]},"deep":{"resource":{"uri":"crm://a@b.de"}}}]}"#,
    ];
    for json in texts {
        let expected = json.replace("crm://a@b.de", "crm://X");
        assert_eq!(judge(config, json), Verdict::Replace(expected), "{json}");
    }
    let sent = ARGUMENTS.judge(config, r#"{"uri":"crm://a@b.de"}"#);
    assert_eq!(sent, Verdict::Replace(r#"{"uri":"crm://X"}"#.into()));
}

#[test]
fn a_configuration_that_does_not_fit_refuses_and_names_the_setting() {
    let table = [
        (r#"{"mask":["phones"]}"#, "`phones`"),
        (r#"{"mask":["card"],"block":["card"]}"#, "`card`"),
        (r#"{"hash":["card"]}"#, "`hash_key`"),
        (r#"{"results":{"x_none":"mask"}}"#, "`x_none`"),
        (r#"{"custom":{"x_a":"("}}"#, "`custom.x_a`"),
        (r#"{"custom":{"x_a":"a*"}}"#, "empty text"),
        (r#"{"custom":{"x_a":"(((a{100}){100}){100}){100}"}}"#, "`custom.x_a`"),
        (r#"{"msk":[]}"#, "msk"),
    ];
    for (config, says) in table {
        let verdict = judge(config, "{}");
        assert!(matches!(&verdict, Verdict::Refuse(text) if text.contains(says)), "{verdict:?}");
    }
}

#[test]
fn the_schema_takes_what_the_plugin_takes() {
    let schema: serde_json::Value = serde_json::from_str(Redact::SCHEMA).unwrap();
    let kinds = schema["properties"]["mask"]["items"]["pattern"].as_str().unwrap();
    for name in find::Kind::NAMES {
        assert!(regex_lite::Regex::new(kinds).unwrap().is_match(name), "{name}");
    }
}

/// Values that must never come through.
const PLANTED: [&str; 9] = [
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "jane.doe@example.org",
    "+49 30 901820",
    "192.168.0.17",
    "123-45-6789",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    "AKIAIOSFODNN7EXAMPLE",
];

/// JSON values whose strings hold planted values between words.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = prop_oneof![
        "[ a-z\"\\\\\n\u{e9}\u{1f600},;!?]{0,12} ",
        (0..PLANTED.len()).prop_map(|one| format!(" {} ", PLANTED[one])),
    ];
    let text = prop::collection::vec(words, 0..5).prop_map(|words| words.concat());
    let leaf = prop_oneof![
        any::<i32>().prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        Just(serde_json::Value::Null),
        text.prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-t\"]{1,4}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same value with every string masked one by one: what splicing has to come to.
fn by_tree(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(masked(text)),
        Value::Array(items) => items.iter().map(by_tree).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), by_tree(value))).collect()
        }
        other => other.clone(),
    }
}

fn context(method: &str, target: &str) -> Context {
    Context {
        call_id: "0".repeat(32),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "crm".into(),
        target: target.into(),
        method: method.into(),
        user: "ae@example.com".into(),
        groups: Vec::new(),
        client: None,
        trace_parent: None,
    }
}

#[test]
fn every_event_is_looked_at() {
    let redact = Redact::configure(r#"{"mask":["email"],"block":["ssn"]}"#).unwrap();
    let (json, masked) = (r#"{"value":"a@b.de"}"#, r#"{"value":"[email masked]"}"#.to_owned());
    let call = context("tools/call", "search");
    let (round, answer) = (Round::first(), Answer::Result(json.into()));
    let befores = [
        redact.before_call(&call, json, &round),
        redact.before_prompt(&call, json, &round),
        redact.before_completion(&call, json),
    ];
    for outcome in befores {
        assert!(matches!(outcome.decision, Decision::Replace(json) if json == masked));
    }
    let afters = [
        redact.after_call(&call, &answer, None),
        redact.after_prompt(&call, &answer, None),
        redact.after_read(&call, &answer, None),
        redact.after_completion(&call, &answer, None),
        redact.after_call(&call, &Answer::Error(json.into()), None),
    ];
    for review in afters {
        assert!(matches!(review, Review::Replace(json) if json == masked));
    }
    let read = redact.before_read(&context("resources/read", "crm://ssn/123-45-6789"), &round);
    assert!(matches!(read.decision, Decision::Refuse(text) if !text.contains("6789")));
    let read = redact.before_read(&context("resources/read", "crm://a@b.de"), &round);
    assert!(matches!(read.decision, Decision::Proceed));
}

#[test]
fn a_uri_is_neither_logged_nor_told() {
    let redact = Redact::configure(r#"{"alert":["email"],"block":["ssn"]}"#).unwrap();
    let uri = "crm://ssn/123-45-6789";
    let answer = Answer::Result(r#"{"contents":[{"text":"a@b.de 123-45-6789"}]}"#.into());
    let read = redact.after_read(&context("resources/read", uri), &answer, None);
    assert!(
        matches!(read, Review::Refuse(text) if text.contains("`crm`") && !text.contains("6789"))
    );
    let asked = redact
        .on_question(&context("elicitation/create", uri), r#"{"message":"a@b.de 123-45-6789"}"#);
    assert!(matches!(asked, QuestionDecision::Refuse(text) if !text.contains("6789")));
    double::with(|double| {
        assert_eq!(double.lines.len(), 2);
        assert!(double.lines.iter().all(|(_, line)| !line.contains("6789")), "{:?}", double.lines);
    });
}

#[test]
fn of_a_question_only_its_words_change() {
    let redact = Redact::configure(r#"{"mask":["email"]}"#).unwrap();
    let table = [
        (
            "elicitation/create",
            r#"{"message":"Is a@b.de right?","requestedSchema":{"title":"a@b.de"}}"#,
            r#"{"message":"Is [email masked] right?","requestedSchema":{"title":"a@b.de"}}"#,
        ),
        (
            "sampling/createMessage",
            r#"{"messages":[{"content":{"text":"a@b.de"}}],"metadata":{"x":"a@b.de"}}"#,
            r#"{"messages":[{"content":{"text":"[email masked]"}}],"metadata":{"x":"a@b.de"}}"#,
        ),
    ];
    for (method, params, expected) in table {
        let decision = redact.on_question(&context(method, "search"), params);
        assert!(
            matches!(decision, QuestionDecision::Replace(json) if json == expected),
            "{method}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_planted_comes_through_and_the_rest_stays(value in json(), pretty: bool) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let after = match judge(ALL, &text) {
            Verdict::Proceed => text.clone(),
            Verdict::Replace(json) => json,
            Verdict::Refuse(text) => panic!("{text}"),
        };
        for planted in PLANTED {
            let written = serde_json::Value::from(planted).to_string();
            prop_assert!(!after.contains(written.trim_matches('"')), "{after}");
        }
        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&after).unwrap(), &by_tree(&value));
        if after == text {
            prop_assert_eq!(judge(ALL, &text), Verdict::Proceed);
        }
    }

    #[test]
    fn no_text_whatever_makes_it_panic_or_change_twice(text in any::<String>()) {
        let once = masked(&text);
        prop_assert_eq!(masked(&once), once);
    }
}

#[test]
fn the_cases_hold() {
    cases::interceptor::<Redact>(env!("CARGO_MANIFEST_DIR"));
}
