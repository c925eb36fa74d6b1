//! Questions in the middle of a call.

use tidegate_model::Json;

use super::*;

const ASK: Profile = Profile::FORM;

fn question(id: &str) -> Act {
    Act::event(&format!(
        r#"{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{{"message":"{id}?"}}}}"#
    ))
}

fn withdrawn(id: &str) -> Act {
    Act::event(&format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":"{id}"}}}}"#
    ))
}

/// A legacy server without a stream of its own, whose answer to a call is `call`.
async fn asking(call: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Mock {
    numbered("{}", move |seen| match &*seen.method {
        "GET" => vec![Act::reply(405, &[], "")],
        _ => call(seen),
    })
    .await
}

async fn next_question(met: &mut mpsc::Receiver<Event>) -> crate::client::Question {
    loop {
        match met.recv().await.unwrap() {
            Event::Question(question) => return question,
            Event::Notification(_) => {}
        }
    }
}

fn said(text: &'static str) -> Answer {
    Answer::Result(Json::parse(text).unwrap())
}

/// The reply to the question with this id.
fn reply_to(mock: &Mock, id: &str) -> Option<Seen> {
    replies(mock).into_iter().find(|seen| seen.at("/id") == id)
}

#[tokio::test]
async fn questions_are_answered_while_the_call_goes_on() {
    let mock = legacy(|seen| match seen.at("/method").as_str() {
        Some("tools/call") => vec![
            Act::stream(),
            Act::event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#),
            Act::event(r#"{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{}}"#),
            Act::event(&result(seen, "{}")),
        ],
        _ => vec![Act::accepted()],
    })
    .await;
    call(&peer(&mock)).await.unwrap();
    mock.until(|mock| replies(mock).len() == 2).await;
    let mut replies = replies(&mock);
    replies.sort_by_key(|seen| seen.at("/id") == 7);
    assert_eq!(
        (replies[0].at("/id"), replies[0].at("/result")),
        ("p".into(), serde_json::json!({}))
    );
    assert_eq!((replies[1].at("/id"), replies[1].at("/error/code")), (7.into(), (-32_601).into()));
    assert_eq!(replies[1].header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn a_client_is_asked_while_its_call_goes_on() {
    let mock = asking(|seen| {
        let token = seen.at("/params/_meta/progressToken");
        vec![
            Act::stream(),
            question("q1"),
            question("q2"),
            progress(&token, 1),
            // The second answer comes first, and the call waits for both.
            Act::Answered("q2".to_owned()),
            progress(&token, 2),
            Act::Answered("q1".to_owned()),
            Act::event(&result(seen, r#"{"ok":true}"#)),
            Act::end(),
        ]
    })
    .await;
    let peer = peer(&mock);
    let (exchange, mut met) = client(1, ASK);
    let client = async {
        let first = next_question(&mut met).await;
        let second = next_question(&mut met).await;
        assert_eq!(first.params.as_str(), r#"{"message":"q1?"}"#);
        second.reply.send(said(r#"{"action":"accept", "content":{}}"#)).unwrap();
        mock.until(|mock| reply_to(mock, "q2").is_some()).await;
        first.reply.send(said(r#"{"action":"decline"}"#)).unwrap();
    };
    let (answer, ()) = tokio::join!(call_as(&peer, &exchange), client);
    assert_eq!(answer.unwrap().json().as_str(), r#"{"ok":true}"#);
    let reply = reply_to(&mock, "q2").unwrap();
    assert!(reply.body.contains(r#"{"action":"accept", "content":{}}"#), "byte for byte");
    assert_eq!(reply.header("mcp-session-id"), Some("s1"));
    assert_eq!(reply_to(&mock, "q1").unwrap().at("/result/action"), "decline");
    let mut told = 0;
    while let Ok(Event::Notification(_)) = met.try_recv() {
        told += 1;
    }
    assert!(told >= 1, "progress passes a question by");
}

#[tokio::test]
async fn only_what_was_declared_can_be_asked() {
    let mock = asking(|seen| {
        vec![
            Act::stream(),
            Act::event(r#"{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage"}"#),
            Act::Answered("s".to_owned()),
            Act::event(r#"{"jsonrpc":"2.0","id":"u","method":"unheard/of"}"#),
            Act::Answered("u".to_owned()),
            Act::event(&result(seen, "{}")),
        ]
    })
    .await;
    let (exchange, mut met) = client(1, ASK);
    call_as(&peer(&mock), &exchange).await.unwrap();
    for id in ["s", "u"] {
        assert_eq!(reply_to(&mock, id).unwrap().at("/error/code"), -32_601, "{id}");
    }
    assert!(met.try_recv().is_err(), "the client heard nothing");
}

#[tokio::test]
async fn a_server_may_withdraw_its_question() {
    let mock = asking(|seen| {
        vec![
            Act::stream(),
            question("q1"),
            withdrawn("other"),
            Act::Met(|seen| seen.at("/method") == "notifications/roots/list_changed"),
            withdrawn("q1"),
            question("q2"),
            Act::Answered("q2".to_owned()),
            Act::event(&result(seen, "{}")),
        ]
    })
    .await;
    let peer = peer(&mock);
    let (exchange, mut met) = client(1, ASK.with(Profile::ROOTS).with(Profile::ROOTS_CHANGED));
    let client = async {
        let mut first = next_question(&mut met).await;
        assert!(!first.reply.is_closed(), "another one was withdrawn");
        // Only now the server goes on to withdraw it.
        peer.roots_changed(Affinity(1));
        first.reply.closed().await;
        let second = next_question(&mut met).await;
        second.reply.send(said("{}")).unwrap();
    };
    let (answer, ()) = tokio::join!(call_as(&peer, &exchange), client);
    answer.unwrap();
    assert!(reply_to(&mock, "q1").is_none(), "what was withdrawn is not answered");
}

#[tokio::test]
async fn questions_end_with_their_call() {
    let mock = asking(|seen| {
        vec![
            Act::stream(),
            question("q1"),
            Act::Met(|seen| seen.at("/method") == "notifications/roots/list_changed"),
            Act::event(&result(seen, "{}")),
            question("after"),
            Act::end(),
        ]
    })
    .await;
    let peer = peer(&mock);
    let (exchange, mut met) = client(1, ASK.with(Profile::ROOTS).with(Profile::ROOTS_CHANGED));
    let client = async {
        let mut question = next_question(&mut met).await;
        peer.roots_changed(Affinity(1));
        question.reply.closed().await;
    };
    let (answer, ()) = tokio::join!(call_as(&peer, &exchange), client);
    answer.unwrap();
    call_as(&peer, &exchange).await.unwrap();
    assert!(replies(&mock).is_empty(), "nobody answers what the call no longer needs");
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_given_up() {
    let mock = asking(|_| {
        let questions = (0..100).map(|number| question(&format!("q{number}")));
        std::iter::once(Act::stream()).chain(questions).chain([Act::Hang]).collect()
    })
    .await;
    let (exchange, mut met) = client(1, ASK);
    let outcome = call_as(&peer(&mock), &exchange).await;
    assert!(matches!(outcome, Err(PeerError::Protocol(Fault::TooManyRequests))), "{outcome:?}");
    let mut asked = 0;
    while met.try_recv().is_ok() {
        asked += 1;
    }
    assert_eq!(asked, 16, "no more at once");
}

#[tokio::test]
async fn a_flood_of_pings_ends_nothing() {
    let mock = asking(|seen| {
        let ping = Act::event(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
        let pings = std::iter::repeat_n(ping, 1000);
        let end = [Act::event(&result(seen, r#"{"ok":true}"#)), Act::end()];
        std::iter::once(Act::stream()).chain(pings).chain(end).collect()
    })
    .await;
    let (exchange, _met) = client(1, ASK);
    let answer = call_as(&peer(&mock), &exchange).await.unwrap();
    assert_eq!(answer.json().as_str(), r#"{"ok":true}"#);
}

#[tokio::test]
async fn a_modern_server_cannot_ask() {
    let mock = modern(|seen| {
        vec![Act::stream(), question("q1"), Act::event(&result(seen, "{}")), Act::end()]
    })
    .await;
    let (exchange, mut met) = client(1, Profile::ALL);
    call_as(&peer(&mock), &exchange).await.unwrap();
    assert!(met.try_recv().is_err());
    assert!(replies(&mock).is_empty());
}

#[tokio::test]
async fn what_comes_apart_from_a_request_reaches_the_call_under_way() {
    let is_call: fn(&Seen) -> bool = |seen| seen.at("/method") == "tools/call";
    let mock = numbered("{}", move |seen| match &*seen.method {
        "GET" => vec![
            Act::stream(),
            question("early"),
            Act::Met(is_call),
            Act::event(
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error"}}"#,
            ),
            question("g"),
            Act::Hang,
        ],
        _ => vec![
            Act::stream(),
            Act::Answered("g".to_owned()),
            Act::event(&result(seen, "{}")),
            Act::end(),
        ],
    })
    .await;
    let peer = peer(&mock);
    let (mut exchange, mut met) = client(1, ASK);
    exchange.level = Some(Level::Error);
    let client = async {
        let mut lines = 0;
        loop {
            match met.recv().await.unwrap() {
                Event::Notification(note) => lines += u32::from(note.params.len() > 2),
                Event::Question(question) if question.params.as_str().contains("early") => {
                    // It met the call before that was sent; that is as good.
                    drop(question);
                }
                Event::Question(question) => {
                    question.reply.send(said(r#"{"action":"accept"}"#)).unwrap();
                    return lines;
                }
            }
        }
    };
    let (answer, lines) = tokio::join!(call_as(&peer, &exchange), client);
    answer.unwrap();
    assert_eq!(lines, 1);
    let seen = mock.seen();
    let get = seen.iter().position(|seen| seen.method == "GET").unwrap();
    let call = seen.iter().position(is_call).unwrap();
    assert!(get < call, "the stream is open before the call can be asked about");
    assert_eq!(seen[get].header("mcp-session-id"), Some("s1"));
    assert_eq!(seen[get].header("accept"), Some("text/event-stream"));
    assert_eq!(reply_to(&mock, "g").unwrap().at("/result/action"), "accept");
    // Another client's call opens its own, and is not asked what concerns the first.
    let (other, _met) = client_without_questions();
    let outgoing = Outgoing { method: "tools/call", exchange: Some(&other), ..Outgoing::default() };
    let again = peer.request(&outgoing);
    assert!(again.await.is_ok());
    assert_eq!(mock.seen().iter().filter(|seen| seen.method == "GET").count(), 1);
}

#[tokio::test]
async fn a_server_without_a_stream_is_asked_for_it_once() {
    for (refusal, asked) in [
        (Act::reply(405, &[], ""), 1),
        (Act::json(200, "{}"), 1),
        // That may pass.
        (Act::reply(503, &[], ""), 2),
        // That may be about the session.
        (Act::reply(400, &[], ""), 2),
    ] {
        let mock = numbered("{}", move |seen| match &*seen.method {
            "GET" => vec![refusal.clone()],
            _ => vec![Act::json(200, &result(seen, "{}"))],
        })
        .await;
        let peer = peer(&mock);
        for affinity in [1, 2] {
            let (exchange, _met) = client(affinity, ASK);
            call_as(&peer, &exchange).await.unwrap();
        }
        let seen = mock.seen();
        assert_eq!(seen.iter().filter(|seen| seen.method == "GET").count(), asked);
    }
}

fn client_without_questions() -> (Exchange, mpsc::Receiver<Event>) {
    client(2, Profile::NONE)
}
