//! Servers that are no servers of this kind, or bad ones.

use super::*;

/// What a server does when a stream is opened.
enum Move {
    Say(&'static str),
    Endpoint(String),
    Close,
}

#[tokio::test]
async fn what_is_no_such_server_is_an_error_at_once() {
    use Move::{Close, Endpoint, Say};
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    const GZIP: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n";
    let empty = |status: &str| -> &'static str {
        format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").leak()
    };
    let endpoint = |text: &str| Endpoint(format!("event: endpoint\ndata: {text}\n\n"));
    for (moves, words) in [
        (vec![Say(empty("404"))], "HTTP status 404"),
        (vec![Say(empty("405"))], "HTTP status 405"),
        (vec![Say(empty("500"))], "HTTP status 500"),
        (vec![Say(empty("401"))], "refused the credential with HTTP status 401"),
        (vec![Say(empty("302"))], "redirects with status 302"),
        (
            vec![Say(
                "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            )],
            "content type `application/json`",
        ),
        (vec![Say("HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n")], "content type ``"),
        (vec![Say(GZIP)], "content encoding `gzip`"),
        (vec![Say(HEAD), Close], "ended before an `endpoint` event"),
        (vec![Say(HEAD), Say(": only a comment\n\n"), Close], "ended before an `endpoint` event"),
        (vec![Say(HEAD), Say("data: {}\n\n")], "first event is `message`"),
        (vec![Say(HEAD), Say("event: x\u{7}\ndata: /m\n\n")], "first event is `x `"),
        (vec![Say(HEAD), endpoint("http://127.0.0.1:1/m")], "another origin"),
        (vec![Say(HEAD), endpoint("//example.com/m")], "another origin"),
        (vec![Say(HEAD), endpoint("https://example.com/m")], "another origin"),
        (vec![Say(HEAD), endpoint("ftp://example.com/m")], "`endpoint` cannot be used"),
        (vec![Say(HEAD), endpoint("/a b")], "`endpoint` cannot be used"),
        (vec![Say(HEAD), endpoint(&"/x".repeat(5_000))], "`endpoint` cannot be used"),
        (vec![Say(HEAD), endpoint(&"/x".repeat(50_000))], "larger than 65536 bytes"),
        (vec![Close], "failed"),
    ] {
        let mut server = Server::start().await;
        let connecting = tokio::spawn(SsePeer::connect(destination(&server.url), settings(), &[]));
        let mut stream = Some(server.get().await);
        for step in moves {
            match step {
                // The client may have seen enough before all is written.
                Say(text) => stream.as_mut().unwrap().write_if_open(text).await,
                Endpoint(text) => stream.as_mut().unwrap().write_if_open(&text).await,
                Close => stream = None,
            }
        }
        let error = connecting.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    for opens in [false, true] {
        let mut server = Server::start().await;
        let settings = SseSettings { setup_timeout: Duration::from_millis(200), ..settings() };
        let connecting = tokio::spawn(SsePeer::connect(destination(&server.url), settings, &[]));
        let mut stream = server.get().await;
        if opens {
            stream.open().await;
            stream.event("endpoint", "/m").await;
        }
        let error = connecting.await.unwrap().unwrap_err();
        let expected = if opens { "initialize" } else { "endpoint" };
        assert!(matches!(error, PeerError::Silent(what) if what == expected), "{error}");
        stream.gone().await;
    }
}

#[tokio::test]
async fn a_set_up_that_is_refused_is_an_error() {
    let mut server = Server::start().await;
    let connecting = tokio::spawn(SsePeer::connect(destination(&server.url), settings(), &[]));
    let mut stream = server.get().await;
    stream.open().await;
    stream.event("endpoint", "/m").await;
    let initialize = server.taken().await;
    let error = json!({"code": -32602, "message": "not you"});
    stream.say(&json!({"jsonrpc": "2.0", "id": initialize["id"], "error": error})).await;
    let error = connecting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("refused `initialize`: not you"), "{error}");
    stream.gone().await;
}

/// A peer and a stream of a client with a call under way.
async fn under_way(server: &mut Server) -> (Arc<SsePeer>, Calling, Stream, Value) {
    let peer = peer(server);
    let calling = call(&peer, Some(client(1, Profile::ALL).0));
    let stream = server.session("s", json!({})).await;
    let request = server.taken().await;
    (peer, calling, stream, request)
}

#[tokio::test]
async fn junk_and_answers_to_nobody_are_passed_over() {
    let mut server = Server::start().await;
    let (peer, calling, mut stream, request) = under_way(&mut server).await;
    for junk in ["hello", "{]", "[]", r#"{"a":1,"a":2}"#, r#"{"jsonrpc":"2.0","id":1}"#] {
        stream.event("message", junk).await;
    }
    stream.event("endpoint", "http://127.0.0.1:1/elsewhere").await;
    stream.event("other", "x").await;
    for id in [json!(999), json!("1"), json!(null)] {
        stream.say(&json!({"jsonrpc": "2.0", "id": id, "result": {"no": 1}})).await;
    }
    stream.answer(&request, json!({"n": 1})).await;
    stream.answer(&request, json!({"n": "twice"})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"n":1}"#);
    // The connection is as good as before.
    let calling = call(&peer, Some(client(1, Profile::ALL).0));
    let request = server.posted().await;
    assert!(request.head.starts_with("post /messages?s=s "), "{}", request.head);
    stream.answer(&request.status(200), json!({"n": 2})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"n":2}"#);
}

#[tokio::test]
async fn a_stream_that_ends_fails_its_calls_and_the_next_opens_another() {
    let mut server = Server::start().await;
    let (peer, calling, stream, _request) = under_way(&mut server).await;
    drop(stream);
    assert!(matches!(calling.await.unwrap(), Err(PeerError::Closed)));
    let calling = call(&peer, Some(client(1, Profile::ALL).0));
    let mut stream = server.session("again", json!({})).await;
    let request = server.taken().await;
    stream.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_giant_event_fails_the_call_and_the_connection() {
    for alone in [true, false] {
        let mut server = Server::start().await;
        let (peer, calling, mut stream, request) = under_way(&mut server).await;
        let other = (!alone).then(|| call(&peer, Some(client(1, Profile::ALL).0)));
        if other.is_some() {
            server.taken().await;
        }
        let result = json!({"a": "x".repeat(80 * 1024)});
        let giant = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        stream.write_if_open(&format!("data: {giant}\n\n")).await;
        let outcome = calling.await.unwrap();
        match other {
            None => assert!(matches!(outcome, Err(PeerError::TooLarge { .. })), "{outcome:?}"),
            Some(other) => {
                assert!(matches!(outcome, Err(PeerError::Closed)), "{outcome:?}");
                assert!(matches!(other.await.unwrap(), Err(PeerError::Closed)));
            }
        }
        stream.gone().await;
    }
}

#[tokio::test]
async fn a_post_that_is_not_taken_fails_its_call_alone() {
    let mut server = Server::start().await;
    let (peer, calling, mut stream, request) = under_way(&mut server).await;
    for (status, words) in [
        (401, "refused the credential with HTTP status 401"),
        (403, "refused the credential with HTTP status 403"),
        (400, "HTTP status 400"),
        (500, "HTTP status 500"),
    ] {
        let refused = call(&peer, Some(client(1, Profile::ALL).0));
        server.posted().await.status(status);
        let error = refused.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    stream.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_made_anew_once() {
    for forgets_again in [false, true] {
        let mut server = Server::start().await;
        let (peer, calling, mut stream, request) = under_way(&mut server).await;
        stream.answer(&request, json!({})).await;
        calling.await.unwrap().unwrap();
        let calling = call(&peer, Some(client(1, Profile::ALL).0));
        server.posted().await.status(404);
        let mut second = server.session("again", json!({})).await;
        stream.gone().await;
        if forgets_again {
            server.posted().await.status(404);
            let error = calling.await.unwrap().unwrap_err();
            assert!(matches!(error, PeerError::Status { status: 404, .. }), "{error}");
        } else {
            let request = server.taken().await;
            second.answer(&request, json!({})).await;
            calling.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_storm_of_questions_leaves_the_answer_through() {
    let mut server = Server::start().await;
    let (_peer, calling, mut stream, request) = under_way(&mut server).await;
    let storm: String = (0..500)
        .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"}))
        .map(|question| format!("data: {question}\n\n"))
        .collect();
    stream.write(&storm).await;
    stream.answer(&request, json!({"n": 1})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"n":1}"#);
}
