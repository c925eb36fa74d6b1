//! What the service is told, how it is proven, and what becomes of every kind of answer.

use outgoing::{Error, Response, double as network};
use serde_json::{Value, json};
use tidegate_plugin::double;

use super::*;

fn context(method: &str) -> Context {
    Context {
        call_id: "0123456789abcdef0123456789abcdef".into(),
        org: "default".into(),
        vmcp: "sales".into(),
        connector: "crm".into(),
        target: "search".into(),
        method: method.into(),
        user: "ae@example.com".into(),
        groups: vec!["sales".into()],
        client: None,
        trace_parent: None,
    }
}

/// A plugin with both credentials, and a service that says this.
fn asked(more: Value, answer: Result<Response, Error>) -> Webhook {
    double::reset();
    double::with(|double| {
        double.now = 1_700_000_000_999;
        double.credentials.extend(["key".to_owned(), "token".to_owned()]);
    });
    network::answering(vec![answer]);
    let mut config = json!({ "url": "https://decide.example.com/v1", "signing_key": "key" });
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    Webhook::configure(&config.to_string()).unwrap()
}

fn says(body: Value) -> Result<Response, Error> {
    Ok(Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() })
}

const ARGUMENTS: &str = r#"{ "n": 12345678901234567890123, "q":"x" }"#;

fn before(webhook: &Webhook) -> Decision {
    webhook.before_call(&context("tools/call"), ARGUMENTS, &Round::first()).decision
}

#[test]
fn the_service_sees_the_event_as_it_is_with_a_signature() {
    let webhook = asked(json!({ "token": "token" }), says(json!({ "decision": "proceed" })));
    assert!(matches!(before(&webhook), Decision::Proceed));
    let request = network::with(|network| network.requests.remove(0));
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("POST", "https://decide.example.com/v1")
    );
    let body = String::from_utf8(request.body.clone().unwrap()).unwrap();
    assert!(body.ends_with(&format!(r#","arguments":{ARGUMENTS}}}"#)), "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["event"], &told["phase"]), (&json!("tools/call"), &json!("request")));
    assert_eq!(told["context"]["user"], "ae@example.com");
    assert_eq!(told["context"]["groups"], json!(["sales"]));
    let header = |name: &str| {
        let found = request.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let id = "0123456789abcdef0123456789abcdef-request";
    assert_eq!(header("webhook-id"), id);
    assert_eq!(header("webhook-timestamp"), "1700000000");
    assert_eq!(header("authorization"), "Bearer tgh_token");
    let expected = sign::headers("key", id, 1_700_000_000, &body).unwrap();
    assert_eq!(header("webhook-signature"), expected[2].1);
    assert!(header("webhook-signature").starts_with("v1,"));
    assert_eq!(request.time_out, Some(800));
}

#[test]
fn every_event_has_its_name_and_payload() {
    let round = Round::first();
    let proceed = || says(json!({ "decision": "proceed" }));
    let (result, error) = (Answer::Result("{\"r\":1}".into()), Answer::Error("{\"e\":1}".into()));
    type Hook<'a> = &'a dyn Fn(&Webhook);
    let table: [(Hook<'_>, &str, &str, &str); 7] = [
        (
            &|it| drop(it.before_call(&context("tools/call"), "{}", &round)),
            "tools/call",
            "request",
            "arguments",
        ),
        (
            &|it| drop(it.after_call(&context("tools/call"), &result, None)),
            "tools/call",
            "response",
            "result",
        ),
        (
            &|it| drop(it.after_call(&context("tools/call"), &error, None)),
            "tools/call",
            "response",
            "error",
        ),
        (
            &|it| drop(it.before_prompt(&context("prompts/get"), "{}", &round)),
            "prompts/get",
            "request",
            "arguments",
        ),
        (
            &|it| drop(it.after_prompt(&context("prompts/get"), &result, None)),
            "prompts/get",
            "response",
            "result",
        ),
        (
            &|it| drop(it.before_read(&context("resources/read"), &round)),
            "resources/read",
            "request",
            "context",
        ),
        (
            &|it| drop(it.after_read(&context("resources/read"), &result, None)),
            "resources/read",
            "response",
            "result",
        ),
    ];
    for (hook, event, phase, member) in table {
        hook(&asked(json!({}), proceed()));
        let body = network::with(|network| network.requests.remove(0).body.unwrap());
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&told["event"], &told["phase"]), (&json!(event), &json!(phase)));
        assert!(told[member].is_object(), "{told}");
    }
}

#[test]
fn decisions_are_carried_out() {
    let webhook = asked(json!({}), says(json!({ "decision": "replace", "value": { "q": 1 } })));
    assert!(matches!(before(&webhook), Decision::Replace(json) if json == r#"{"q":1}"#));
    let webhook =
        asked(json!({}), says(json!({ "decision": "answer", "value": { "content": [] } })));
    assert!(matches!(before(&webhook), Decision::Answer(json) if json == r#"{"content":[]}"#));
    let webhook = asked(json!({}), says(json!({ "decision": "refuse", "reason": "Ask Ann." })));
    assert!(matches!(before(&webhook), Decision::Refuse(text) if text == "Ask Ann."));
    let answer = Answer::Result("{}".into());
    let webhook = asked(json!({}), says(json!({ "decision": "replace", "value": { "a": 1 } })));
    let review = webhook.after_call(&context("tools/call"), &answer, None);
    assert!(matches!(review, Review::Replace(json) if json == r#"{"a":1}"#));
    let webhook = asked(json!({}), says(json!({ "decision": "answer", "value": {} })));
    let review = webhook.after_call(&context("tools/call"), &answer, None);
    assert!(matches!(review, Review::Refuse(_)));
    let webhook = asked(json!({}), says(json!({ "decision": "replace", "value": {} })));
    let outcome = webhook.before_read(&context("resources/read"), &Round::first());
    assert!(matches!(outcome.decision, Decision::Refuse(_)));
}

#[test]
fn what_is_given_instead_stays_as_it_is_written() {
    let body = br#"{"decision": "replace", "value": { "n": 12345678901234567890123,"x":1.0 }}"#;
    let webhook =
        asked(json!({}), Ok(Response { status: 200, body: body.to_vec(), ..Response::default() }));
    let expected = r#"{ "n": 12345678901234567890123,"x":1.0 }"#;
    assert!(matches!(before(&webhook), Decision::Replace(json) if json == expected));
}

#[test]
fn whatever_is_no_decision_refuses() {
    let text = |status, body: &str| {
        Ok(Response { status, body: body.as_bytes().to_vec(), ..Response::default() })
    };
    let table = [
        (text(200, ""), "no decision"),
        (text(200, "proceed"), "no decision"),
        (text(200, r#"{"decision":"maybe"}"#), "maybe"),
        (text(200, r#"{"decision":"proceed","value":{}}"#), "`value`"),
        (text(200, r#"{"decision":"proceed","reason":"no!"}"#), "`reason`"),
        (text(200, r#"{"decision":"replace"}"#), "`value` is missing"),
        (text(200, r#"{"decision":"replace","value":[1]}"#), "no object"),
        (text(200, r#"{"decision":"replace","value":null}"#), "`value`"),
        (text(200, r#"{"decision":"proceed","decision":"refuse"}"#), "duplicate"),
        (text(200, r#"{"decision":"proceed"} {}"#), "trailing"),
        (text(204, ""), "204"),
        (text(302, r#"{"decision":"proceed"}"#), "302"),
        (text(500, r#"{"decision":"proceed"}"#), "500"),
        (Err(Error::TimedOut), "in time"),
        (Err(Error::Denied), "`http.hosts`"),
        (Err(Error::Failed("reset".into())), "reset"),
        (
            text(200, &format!("{{\"decision\":\"refuse\",\"reason\":\"{}\"}}", "x".repeat(2000))),
            "too large",
        ),
    ];
    for (answer, part) in table {
        let webhook = asked(json!({ "max_response_kib": 1 }), answer);
        let decision = before(&webhook);
        assert!(matches!(&decision, Decision::Refuse(text) if text.contains(part)), "{decision:?}");
        network::with(|network| assert_eq!(network.requests.len(), 1, "asked once only"));
    }
}

#[test]
fn the_whole_exchange_ends_before_the_hook_does() {
    let proceed = || says(json!({ "decision": "proceed" }));
    for (time_out, remaining, expected) in
        [(800, 1_000, 800), (800, 400, 350), (5_000, 2_000, 1_950), (100, 2_000, 100)]
    {
        let webhook = asked(json!({ "time_out_ms": time_out }), proceed());
        double::with(|double| double.remaining = Some(remaining));
        assert!(matches!(before(&webhook), Decision::Proceed));
        let request = network::with(|network| network.requests.remove(0));
        assert_eq!((request.time_out, request.within), (Some(expected), Some(expected)));
    }
    for remaining in [0, 1, 50] {
        let webhook = asked(json!({}), proceed());
        double::with(|double| double.remaining = Some(remaining));
        let decision = before(&webhook);
        assert!(matches!(&decision, Decision::Refuse(text) if text.contains("in time")));
        network::with(|network| assert!(network.requests.is_empty(), "nobody was asked"));
    }
}

#[test]
#[should_panic(expected = "in time")]
fn no_time_left_can_be_left_to_the_binding() {
    let webhook = asked(json!({ "unanswered": "fail" }), says(json!({ "decision": "proceed" })));
    double::with(|double| double.remaining = Some(0));
    before(&webhook);
}

#[test]
#[should_panic(expected = "in time")]
fn an_outage_can_be_left_to_the_binding() {
    let webhook = asked(json!({ "unanswered": "fail" }), Err(Error::TimedOut));
    before(&webhook);
}

#[test]
fn only_what_is_wanted_is_asked_about() {
    let config = json!({ "events": [{ "method": "tools/call", "phase": "response" }, { "method": "prompts/get" }] });
    let webhook = asked(config, says(json!({ "decision": "refuse" })));
    assert!(matches!(before(&webhook), Decision::Proceed));
    let outcome = webhook.before_read(&context("resources/read"), &Round::first());
    assert!(matches!(outcome.decision, Decision::Proceed));
    network::with(|network| assert!(network.requests.is_empty()));
    let outcome = webhook.before_prompt(&context("prompts/get"), "{}", &Round::first());
    assert!(matches!(outcome.decision, Decision::Refuse(_)));
}

#[test]
fn nothing_is_sent_without_proof_or_beyond_the_limit() {
    let webhook = asked(json!({ "token": "gone" }), says(json!({ "decision": "proceed" })));
    assert!(matches!(before(&webhook), Decision::Refuse(text) if text.contains("`gone`")));
    let webhook = asked(json!({ "max_request_kib": 1 }), says(json!({ "decision": "proceed" })));
    let long = json!({ "q": "x".repeat(2000) }).to_string();
    let outcome = webhook.before_call(&context("tools/call"), &long, &Round::first());
    assert!(matches!(outcome.decision, Decision::Refuse(text) if text.contains("too large")));
    network::with(|network| assert!(network.requests.is_empty()));
    let error = Webhook::configure(r#"{"url":"https://a.example"}"#).err().unwrap();
    assert!(error.contains("`signing_key`"), "{error}");
}

#[test]
fn the_cases_hold() {
    cases::interceptor::<Webhook>(env!("CARGO_MANIFEST_DIR"));
}
