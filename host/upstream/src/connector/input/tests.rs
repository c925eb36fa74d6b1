//! Input that servers ask for, as tables, and a client that answers by hand.

use std::time::Duration;

use tidegate_wire::client::{ClientCan, Event, Profile, Question as Asked};
use tokio::sync::mpsc;

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.to_owned()).unwrap()
}

fn client(profile: Profile) -> (Exchange, mpsc::Receiver<Event>) {
    let (events, questions) = mpsc::channel(1);
    let can = ClientCan { profile, ..ClientCan::default() };
    let patience = Duration::from_secs(60);
    (Exchange { can, events: Some(events), patience, ..Exchange::default() }, questions)
}

async fn next(questions: &mut mpsc::Receiver<Event>) -> Asked {
    match questions.recv().await.unwrap() {
        Event::Question(question) => question,
        other @ Event::Notification(_) => panic!("{other:?}"),
    }
}

#[test]
fn what_no_client_could_answer_is_refused() {
    let many: Vec<_> = (0..=64).map(|n| format!(r#""k{n}":{{"method":"roots/list"}}"#)).collect();
    let many = format!(r#"{{"inputRequests":{{{}}}}}"#, many.join(","));
    for (result, part) in [
        ("{}", "says not which"),
        (r#"{"inputRequests":{}}"#, "says not which"),
        (r#"{"inputRequests":[]}"#, "`inputRequests` is no object"),
        (r#"{"requestState":7}"#, "`requestState` is no string"),
        (r#"{"inputRequests":{"a":{}}}"#, "has no `method`"),
        (r#"{"inputRequests":{"a":7}}"#, "has no `method`"),
        (
            r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
            "no client can be asked `tools/call`",
        ),
        (r#"{"inputRequests":{"a":{"method":"ping"}}}"#, "no client can be asked `ping`"),
        (r#"{"inputRequests":{"a":{"method":"x\ny"}}}"#, r"no client can be asked `x\ny`"),
        (r#"{"inputRequests":{"a":{"method":"roots/list","params":[]}}}"#, "are no object"),
        (&many, "more than 64 questions"),
    ] {
        let error = Needed::read(&json(result)).unwrap_err();
        assert!(error.contains(part), "{result}: {error}");
    }
    assert!(Needed::read(&json(r#"{"requestState":""}"#)).is_ok());
}

#[tokio::test]
async fn all_questions_are_asked_before_any_is_answered() {
    let needed = Needed::read(&json(
        r#"{"inputRequests":{
            "b\"": {"method":"elicitation/create","params":{"message":  "?"}},
            "a": {"method":"roots/list"}
        },"requestState":"s"}"#,
    ))
    .unwrap();
    let (exchange, mut questions) = client(Profile::ALL);
    let answering = async {
        let first = next(&mut questions).await;
        let second = next(&mut questions).await;
        assert_eq!((first.method, second.method), (Method::Elicit, Method::ListRoots));
        assert_eq!(first.params.as_str(), r#"{"message":  "?"}"#);
        assert_eq!(second.params.as_str(), "{}");
        second.reply.send(Answer::Result(json(r#"{"roots":[ ]}"#))).unwrap();
        first.reply.send(Answer::Result(json(r#"{"action":"accept"}"#))).unwrap();
    };
    let (given, ()) = tokio::join!(needed.ask(&exchange), answering);
    let given = given.unwrap();
    assert_eq!(given.state.as_deref(), Some("s"));
    let responses = given.responses.unwrap();
    assert_eq!(responses.as_str(), r#"{"b\"":{"action":"accept"},"a":{"roots":[ ]}}"#);
}

#[tokio::test]
async fn a_state_alone_is_given_back_alone() {
    let (exchange, _questions) = client(Profile::ALL);
    let needed = Needed::read(&json(r#"{"requestState":"s"}"#)).unwrap();
    let given = needed.ask(&exchange).await.unwrap();
    assert!(given.responses.is_none());
    assert_eq!(given.state.as_deref(), Some("s"));
}

#[tokio::test]
async fn a_form_that_nobody_fills_in_is_put_aside_and_other_questions_end_the_call() {
    for (method, expected) in [
        ("elicitation/create", Ok(r#"{"k":{"action":"cancel"}}"#)),
        ("roots/list", Err("no \"roots\"")),
        ("sampling/createMessage", Err("no \"roots\"")),
    ] {
        let text = format!(r#"{{"inputRequests":{{"k":{{"method":"{method}"}}}}}}"#);
        let needed = Needed::read(&json(&text)).unwrap();
        let (exchange, mut questions) = client(Profile::ALL);
        let error = json(r#"{"code":-1,"message":"no \"roots\""}"#);
        let answering = async {
            next(&mut questions).await.reply.send(Answer::Error(error)).unwrap();
        };
        let (given, ()) = tokio::join!(needed.ask(&exchange), answering);
        match (given, expected) {
            (Ok(given), Ok(expected)) => assert_eq!(given.responses.unwrap().as_str(), expected),
            (Err(unanswered), Err(why)) => {
                let expected =
                    Unanswered { method: Method::parse(method).unwrap().name(), why: why.into() };
                assert_eq!(unanswered, expected);
                let result: serde_json::Value = unanswered.answer(true).json().read().unwrap();
                assert_eq!(result["isError"], true);
                assert!(result["content"][0]["text"].as_str().unwrap().ends_with(why));
                let answer = unanswered.answer(false);
                assert!(matches!(answer, Answer::Error(_)));
                let error: serde_json::Value = answer.json().read().unwrap();
                assert!(error["message"].as_str().unwrap().contains(method));
            }
            (given, _) => panic!("{method}: {given:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_asked_is_not() {
    let (exchange, mut questions) = client(Profile::FORM);
    let text = r#"{"inputRequests":{"k":{"method":"roots/list"}}}"#;
    let unanswered = Needed::read(&json(text)).unwrap().ask(&exchange).await.unwrap_err();
    assert_eq!(unanswered.why, "the client does not support roots");
    assert!(questions.try_recv().is_err());
}
