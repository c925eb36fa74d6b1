//! What a server gets wrong in an answer, and what is made of it.

use proptest::prelude::*;

use super::*;

type Fits = fn(&PeerError) -> bool;
type Wrong = fn(&Seen) -> Vec<Act>;

const MALFORMED: Fits = |error| matches!(error, PeerError::Protocol(Fault::Malformed(_)));
const WRONG_ID: Fits = |error| matches!(error, PeerError::Protocol(Fault::WrongId));
const TOO_LARGE: Fits = |error| matches!(error, PeerError::TooLarge { .. });
const BROKEN: Fits = |error| matches!(error, PeerError::Egress(_)) && !error.nothing_sent();
const CLOSED: Fits = |error| matches!(error, PeerError::Closed);
const KIND: Fits = |error| matches!(error, PeerError::Protocol(Fault::ContentType(_)));
const STATUS: Fits = |error| matches!(error, PeerError::Status { .. });
/// What a server gets wrong, and what is made of it.
const BAD_ANSWERS: &[(&str, Wrong, Fits)] = &[
    ("garbage", |_| vec![Act::json(200, "{]")], MALFORMED),
    ("nothing", |_| vec![Act::json(200, "")], MALFORMED),
    ("duplicate key", |seen| vec![Act::json(200, &result(seen, r#"{"a":1,"a":2}"#))], MALFORMED),
    ("lone surrogate", |seen| vec![Act::json(200, &result(seen, r#"{"a":"\ud800"}"#))], MALFORMED),
    ("deep", |seen| vec![Act::json(200, &result(seen, &"[".repeat(100_000)))], MALFORMED),
    ("two answers", |seen| vec![Act::json(200, &result(seen, "{}").repeat(2))], MALFORMED),
    ("a batch", |seen| vec![Act::json(200, &format!("[{}]", result(seen, "{}")))], MALFORMED),
    ("no object", |seen| vec![Act::json(200, &result(seen, "1"))], MALFORMED),
    (
        "both",
        |seen| vec![Act::json(200, &result(seen, r#"{},"error":{"code":1,"message":"x"}"#))],
        MALFORMED,
    ),
    (
        "a request",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)],
        MALFORMED,
    ),
    (
        "wrong id",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":424242,"result":{}}"#)],
        WRONG_ID,
    ),
    (
        "id as text",
        |seen| {
            vec![Act::json(
                200,
                &format!(r#"{{"jsonrpc":"2.0","id":"{}","result":{{}}}}"#, seen.at("/id")),
            )]
        },
        WRONG_ID,
    ),
    (
        "null id",
        |_| vec![Act::json(200, r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#)],
        STATUS,
    ),
    (
        "result type",
        |seen| vec![Act::json(200, &result(seen, r#"{"resultType":"surprise"}"#))],
        |e| matches!(e, PeerError::Protocol(Fault::ResultType(_))),
    ),
    (
        "input required",
        |seen| vec![Act::json(200, &result(seen, r#"{"resultType":"input_required"}"#))],
        |e| matches!(e, PeerError::Protocol(Fault::ResultType(_))),
    ),
    (
        "2 MB",
        |seen| {
            vec![Act::json(200, &result(seen, &format!(r#"{{"a":"{}"}}"#, "x".repeat(2 << 20))))]
        },
        TOO_LARGE,
    ),
    (
        "an endless event",
        |_| {
            let mut acts = vec![Act::stream(), Act::chunk("data: ")];
            acts.extend((0..40).map(|_| Act::chunk(&"x".repeat(1 << 16))));
            acts.push(Act::Hang);
            acts
        },
        TOO_LARGE,
    ),
    ("html", |_| vec![Act::reply(200, &[("content-type", "text/html")], "<p>")], KIND),
    ("no type", |_| vec![Act::reply(200, &[], "{}")], KIND),
    ("accepted", |_| vec![Act::accepted()], KIND),
    (
        "gzip",
        |_| {
            vec![Act::reply(
                200,
                &[("content-type", "application/json"), ("content-encoding", "gzip")],
                "x",
            )]
        },
        |e| matches!(e, PeerError::Protocol(Fault::ContentEncoding(_))),
    ),
    ("500", |_| vec![Act::reply(500, &[], "oh")], STATUS),
    (
        "401",
        |_| vec![Act::reply(401, &[], "")],
        |e| matches!(e, PeerError::Unauthorized { status: 401, challenge: None }),
    ),
    (
        "redirect",
        |_| vec![Act::reply(307, &[("location", "http://169.254.169.254/")], "")],
        |e| matches!(e, PeerError::Egress(_)),
    ),
    ("closed", |_| vec![Act::Close], BROKEN),
    ("reset", |_| vec![Act::Reset], BROKEN),
    (
        "cut off",
        |_| {
            vec![
                Act::raw(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
                ),
                Act::Close,
            ]
        },
        BROKEN,
    ),
    ("stream ends", |_| vec![Act::stream(), Act::chunk(": nothing\n\n"), Act::end()], CLOSED),
    ("stream is cut", |_| vec![Act::stream(), Act::chunk("data: {\"json"), Act::Close], BROKEN),
    ("stream of garbage", |_| vec![Act::stream(), Act::event("{]")], MALFORMED),
    (
        "stream with a wrong id",
        |_| vec![Act::stream(), Act::event(r#"{"jsonrpc":"2.0","id":424242,"result":{}}"#)],
        WRONG_ID,
    ),
];

#[tokio::test]
async fn bad_answers_are_typed_errors() {
    for (name, wrong, fits) in BAD_ANSWERS {
        let mock = modern(*wrong).await;
        match call(&peer(&mock)).await {
            Err(error) => assert!(fits(&error), "{name}: {error:?}"),
            Ok(answer) => panic!("{name}: {}", answer.json().as_str()),
        }
        assert_eq!(mock.methods().iter().filter(|m| *m == "tools/call").count(), 1, "{name}");
    }
}

#[tokio::test]
async fn only_the_first_answer_counts() {
    let mock = modern(|seen| {
        vec![
            Act::stream(),
            Act::event(&result(seen, r#"{"first":1}"#)),
            Act::event(&result(seen, r#"{"second":1}"#)),
            Act::event("{]"),
            Act::Hang,
        ]
    })
    .await;
    let peer = peer(&mock);
    for _ in 0..2 {
        assert_eq!(call(&peer).await.unwrap().json().as_str(), r#"{"first":1}"#);
    }
}

#[tokio::test]
async fn batches_are_read_where_the_revision_has_them() {
    for (revision, is_stream, works) in [
        ("2025-03-26", true, true),
        ("2025-03-26", false, true),
        ("2025-06-18", true, false),
        ("2025-06-18", false, false),
    ] {
        let mock = Mock::start(move |seen, _| match seen.at("/method").as_str() {
            Some("server/discover") => vec![Act::json(404, "{}")],
            Some("initialize") => {
                let initialized = INITIALIZED.replace("2025-06-18", revision);
                vec![Act::json(200, &result(seen, &initialized))]
            }
            Some("notifications/initialized") => vec![Act::accepted()],
            _ => {
                let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
                let batch = format!("[{note},{}]", result(seen, r#"{"ok":1}"#));
                match is_stream {
                    true => vec![Act::stream(), Act::event(&batch), Act::end()],
                    false => vec![Act::json(200, &batch)],
                }
            }
        })
        .await;
        let peer = peer(&mock);
        let outcome = call(&peer).await;
        assert_eq!(outcome.is_ok(), works, "{revision} {is_stream}: {outcome:?}");
        assert_eq!(*peer.changes().borrow(), if works { 2 } else { 1 });
    }
}

/// One piece of what a server may send over a stream; `@` stands for the id of the request.
fn piece() -> impl Strategy<Value = String> {
    let event = |data: &'static str| Just(format!("data: {data}\n\n"));
    prop_oneof![
        event(r#"{"jsonrpc":"2.0","id":@,"result":{"ours":1}}"#),
        event(r#"{"jsonrpc":"2.0","id":@,"error":{"code":1,"message":"ours"}}"#),
        event(r#"{"jsonrpc":"2.0","id":@0,"result":{"other":1}}"#),
        event(r#"{"jsonrpc":"2.0","id":"@","result":{"other":1}}"#),
        event(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"other"}}"#),
        event(r#"{"jsonrpc":"2.0","id":@,"result":1}"#),
        event(r#"{"jsonrpc":"2.0","id":@,"method":"elicitation/create"}"#),
        event(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":@}}"#),
        event(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":@}}"#
        ),
        Just("id: e\nretry: 0\n\n".to_owned()),
        Just("event: endpoint\ndata: /x\n\n".to_owned()),
        "\\PC{0,40}",
        "[\\x00-\\x7f]{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a server sends, there is no panic and never the answer to another request.
    #[test]
    fn no_bytes_make_the_answer_of_another(
        pieces in proptest::collection::vec(piece(), 0..8),
        is_stream in any::<bool>(),
        is_legacy in any::<bool>(),
        status in prop_oneof![4 => Just(200_u16), 1 => Just(400), 1 => Just(404), 1 => Just(503)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = pieces.concat();
        let answer = runtime.block_on(async move {
            let kind = if is_stream { "text/event-stream" } else { "application/json" };
            let act = move |seen: &Seen| {
                let body = text.replace('@', &seen.at("/id").to_string());
                let body = if is_stream { body } else { body.replace("data: ", "") };
                match &*seen.method {
                    // Whoever asks for the rest gets no more.
                    "GET" => vec![Act::reply(405, &[], "")],
                    _ => vec![Act::reply(status, &[("content-type", kind)], &body)],
                }
            };
            let mock = if is_legacy { legacy(act).await } else { modern(act).await };
            call(&peer(&mock)).await
        });
        if let Ok(answer) = answer {
            prop_assert!(answer.json().as_str().contains("ours"), "{}", answer.json().as_str());
        }
    }
}
