//! Streams that are picked up after their end (SEP-1699, `Last-Event-ID`).

use super::*;

/// The event that only carries an id, and asks for short pauses.
fn primed(id: &str) -> Act {
    Act::chunk(&format!("id: {id}\nretry: 1\ndata:\n\n"))
}

fn with_id(id: &str, data: &str) -> Act {
    Act::chunk(&format!("id: {id}\ndata: {data}\n\n"))
}

/// The ids from after which streams were picked up.
fn picked_up(mock: &Mock) -> Vec<String> {
    let seen = mock.seen();
    let gets = seen.iter().filter(|seen| seen.method == "GET");
    gets.map(|seen| seen.header("last-event-id").unwrap_or("none").to_owned()).collect()
}

/// A legacy server: `first` answers the call, and `more` each request to go on, of which it
/// gets the number; both know the id of the call.
async fn polling(
    first: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static,
    more: impl Fn(usize, &str) -> Vec<Act> + Send + Sync + 'static,
) -> Mock {
    let answer = std::sync::Mutex::new(String::new());
    let gets = AtomicUsize::new(0);
    numbered("{}", move |seen| match &*seen.method {
        "GET" => {
            assert_eq!(seen.header("mcp-session-id"), Some("s1"));
            more(gets.fetch_add(1, Ordering::SeqCst), &answer.lock().unwrap())
        }
        _ => {
            *answer.lock().unwrap() = result(seen, r#"{"ok":true}"#);
            first(seen)
        }
    })
    .await
}

#[tokio::test]
async fn a_stream_is_picked_up_where_it_ended() {
    let mock = polling(
        |_| vec![Act::stream(), primed("e1"), Act::end()],
        |number, answer| match number {
            // A server that fails now and then is asked again.
            0 => vec![Act::reply(503, &[], "")],
            1 => vec![Act::Close],
            // What was cut off was not received: the id before it counts.
            2 => vec![Act::stream(), with_id("e2", ""), Act::chunk("id: e3\ndata: {"), Act::Close],
            3 => vec![Act::stream(), Act::chunk("id: e4\n\n"), Act::end()],
            _ => vec![Act::stream(), with_id("e5", answer), Act::end()],
        },
    )
    .await;
    let answer = call(&peer(&mock)).await.unwrap();
    assert_eq!(answer.json().as_str(), r#"{"ok":true}"#);
    assert_eq!(picked_up(&mock), ["e1", "e1", "e1", "e2", "e4"]);
    assert_eq!(count(&mock, "tools/call"), 1);
}

#[tokio::test]
async fn the_pause_is_the_one_asked_for() {
    let mock = polling(
        |_| vec![Act::stream(), Act::chunk("id: e1\nretry: 300\ndata:\n\n"), Act::end()],
        |_, answer| vec![Act::stream(), with_id("e2", answer), Act::end()],
    )
    .await;
    let began = tokio::time::Instant::now();
    call(&peer(&mock)).await.unwrap();
    // A bound from below: no slowness of the machine breaks it.
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn it_is_not_tried_for_ever() {
    let mock = polling(
        |_| vec![Act::stream(), primed("e1"), Act::end()],
        |_, _| vec![Act::stream(), Act::end()],
    )
    .await;
    let outcome = call(&peer(&mock)).await;
    assert!(matches!(outcome, Err(PeerError::Closed)), "{outcome:?}");
    assert_eq!(picked_up(&mock).len(), 8);
}

#[tokio::test]
async fn what_cannot_be_picked_up_is_closed() {
    for refusal in [
        Act::reply(405, &[], ""),
        Act::reply(404, &[], ""),
        Act::reply(401, &[], ""),
        Act::json(200, "{}"),
    ] {
        let mock = polling(
            |_| vec![Act::stream(), primed("e1"), Act::end()],
            move |_, _| vec![refusal.clone()],
        )
        .await;
        let error = call(&peer(&mock)).await.unwrap_err();
        assert!(matches!(error, PeerError::Closed), "{error:?}");
        assert!(!error.nothing_sent(), "the call may have had effects");
        assert_eq!((picked_up(&mock).len(), count(&mock, "tools/call")), (1, 1));
    }
    // Nothing to pick up from.
    for events in [": nothing\n\n", "data:\n\n", "id: \u{1}\ndata:\n\n", "id:\ndata:\n\n"] {
        let mock = polling(
            move |_| vec![Act::stream(), Act::chunk(events), Act::end()],
            |_, _| vec![Act::Reset],
        )
        .await;
        let outcome = call(&peer(&mock)).await;
        assert!(matches!(outcome, Err(PeerError::Closed)), "{events:?}: {outcome:?}");
        assert!(picked_up(&mock).is_empty(), "{events:?}");
    }
}

#[tokio::test]
async fn a_modern_stream_is_never_picked_up() {
    let mock = modern(|_| vec![Act::stream(), primed("e1"), Act::end()]).await;
    let outcome = call(&peer(&mock)).await;
    assert!(matches!(outcome, Err(PeerError::Closed)), "{outcome:?}");
    assert_eq!(mock.methods(), ["server/discover", "tools/call"]);
}

#[tokio::test]
async fn the_answer_of_another_is_nobodys() {
    let mock = polling(
        |_| vec![Act::stream(), primed("e1"), Act::end()],
        |_, answer| {
            let other = r#"{"jsonrpc":"2.0","id":424242,"result":{"other":1}}"#;
            vec![Act::stream(), with_id("e2", other), with_id("e3", answer), Act::end()]
        },
    )
    .await;
    let answer = call(&peer(&mock)).await.unwrap();
    assert_eq!(answer.json().as_str(), r#"{"ok":true}"#);
}

#[tokio::test]
async fn questions_go_on_over_the_gap() {
    let ask = r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#;
    let is_picked_up: fn(&Seen) -> bool = |seen| seen.header("last-event-id").is_some();
    let answer = std::sync::Mutex::new(String::new());
    let mock = numbered("{}", move |seen| match (&*seen.method, is_picked_up(seen)) {
        ("GET", false) => vec![Act::reply(405, &[], "")],
        ("GET", true) => vec![
            Act::stream(),
            Act::Answered("q".to_owned()),
            with_id("e2", &answer.lock().unwrap()),
            Act::end(),
        ],
        _ => {
            *answer.lock().unwrap() = result(seen, "{}");
            vec![Act::stream(), primed("e0"), with_id("e1", ask), Act::end()]
        }
    })
    .await;
    let peer = peer(&mock);
    let (exchange, mut met) = client(1, Profile::FORM);
    let client = async {
        let Some(Event::Question(question)) = met.recv().await else { panic!("no question") };
        mock.until(|mock| mock.seen().iter().any(is_picked_up)).await;
        question.reply.send(Answer::Result(Json::empty_object())).unwrap();
    };
    let (outcome, ()) = tokio::join!(call_as(&peer, &exchange), client);
    outcome.unwrap();
}
