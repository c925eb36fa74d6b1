use std::sync::Arc;

use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;
use crate::client::{
    egress::{AddressPolicy, Egress, Resolver, Rules},
    mock::{Act, Mock},
};

type Piece = Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>;

fn destination(url: &str) -> Destination {
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let rules = Rules { allow, ..Rules::default() };
    Egress::new(Resolver::System, None).unwrap().destination(url, rules).unwrap()
}

fn request(method: Method, path: &'static str, body: BodyStream) -> StreamRequest {
    StreamRequest {
        method,
        path: PathAndQuery::from_static(path),
        headers: HeaderMap::new(),
        body,
        connect_timeout: None,
        head_timeout: None,
    }
}

fn nothing() -> BodyStream {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body, and where its pieces are put in.
fn written() -> (mpsc::Sender<Piece>, BodyStream) {
    let (pen, paper) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(paper, async |mut paper| {
        paper.recv().await.map(|piece| (piece, paper))
    });
    (pen, StreamBody::new(pieces).boxed_unsync())
}

async fn write(pen: &mpsc::Sender<Piece>, text: &'static str) {
    pen.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).await.unwrap();
}

async fn listen() -> (TcpListener, Destination) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, destination(&url))
}

/// Reads until `text` has come, and returns all of it.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&seen).into_owned();
        if so_far.contains(text) {
            return so_far;
        }
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{text} never came: {so_far}");
    }
}

#[tokio::test]
async fn a_body_leaves_while_it_is_written() {
    let (listener, destination) = listen().await;
    let (pen, body) = written();
    let first = pen.clone();
    let server = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_until(&mut stream, "one").await;
        assert!(head.contains("POST /up?x=1 HTTP/1.1\r\n"), "{head}");
        // Only now is the rest written.
        write(&pen, "two").await;
        drop(pen);
        read_until(&mut stream, "two\r\n0\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    };
    let client = async move {
        write(&first, "one").await;
        // The server holds the last pen: the body ends when that is put down.
        drop(first);
        let reply = destination.stream(request(Method::POST, "/up?x=1", body)).await.unwrap();
        assert_eq!(reply.body.collect(10).await.unwrap(), "ok");
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let (listener, destination) = listen().await;
    let (pen, body) = written();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nearly\r\n";
        stream.write_all(head).await.unwrap();
        read_until(&mut stream, "la\r\n4\r\nstly").await;
        stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    });
    let mut reply = destination.stream(request(Method::POST, "/", body)).await.unwrap();
    assert_eq!(reply.body.next().await.unwrap().unwrap(), "early");
    // Nobody reads the answer now, and the request goes on all the same.
    let rest = async {
        write(&pen, "la").await;
        write(&pen, "stly").await;
        write(&pen, "!").await;
    };
    tokio::select! {
        () = reply.body.drive() => panic!("the connection is not over"),
        () = rest => {}
    }
    assert_eq!(reply.body.next().await.unwrap().unwrap(), "last");
    assert_eq!(reply.body.next().await.unwrap(), None);
    server.await.unwrap();
}

#[tokio::test]
async fn connections_are_kept_only_when_all_was_read() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1")]).await;
    let kept = destination(&mock.url());
    for _ in 0..3 {
        let reply = kept.stream(request(Method::GET, "/", nothing())).await.unwrap();
        assert_eq!(reply.body.collect(10).await.unwrap(), "1");
    }
    assert_eq!(mock.connections(), 1);
    // Answered before the request was over: the connection is of no use to others.
    let (pen, body) = written();
    let reply = kept.stream(request(Method::POST, "/", body)).await.unwrap();
    assert_eq!(reply.body.collect(10).await.unwrap(), "1");
    mock.until(|mock| mock.gone() == 1).await;
    pen.closed().await;
}

#[tokio::test]
async fn a_body_that_fails_closes_the_connection_and_says_why() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("the pen broke")]
    struct Broke;

    let (listener, destination) = listen().await;
    let (pen, body) = written();
    let client = tokio::spawn(async move {
        destination.stream(request(Method::POST, "/", body)).await.unwrap_err()
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    write(&pen, "half").await;
    read_until(&mut stream, "half").await;
    pen.send(Err(Box::new(Broke))).await.unwrap();
    let error = client.await.unwrap();
    assert!(!error.nothing_sent());
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    assert_eq!(innermost.downcast_ref::<Broke>(), Some(&Broke));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "half a body is no body");
}

#[tokio::test]
async fn redirects_are_handed_back() {
    let mock =
        Mock::start(|_, _| vec![Act::reply(307, &[("location", "/elsewhere")], "gone")]).await;
    let reply = destination(&mock.url());
    let reply = reply.stream(request(Method::GET, "/", nothing())).await.unwrap();
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["location"]),
        (307, &"/elsewhere".parse().unwrap())
    );
    assert_eq!(mock.seen().len(), 1);
}

#[tokio::test]
async fn a_request_says_how_long_it_waits() {
    let mock = Mock::start(|_, _| vec![Act::Hang]).await;
    let hanging = destination(&mock.url());
    let short = Some(Duration::from_millis(20));
    let head = StreamRequest { head_timeout: short, ..request(Method::GET, "/", nothing()) };
    assert!(matches!(hanging.stream(head).await, Err(EgressError::Head(_))));
    mock.until(|mock| mock.gone() == mock.connections()).await;
    // It takes the connection and never greets.
    let (listener, _) = listen().await;
    let silent = destination(&format!("https://{}/", listener.local_addr().unwrap()));
    let connect = StreamRequest { connect_timeout: short, ..request(Method::GET, "/", nothing()) };
    let error = silent.stream(connect).await.unwrap_err();
    assert!(error.nothing_sent(), "{error}");
    assert!(
        matches!(&error, EgressError::Connect { source, .. } if source.kind() == std::io::ErrorKind::TimedOut),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_host_is_the_destinations() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1")]).await;
    let there = destination(&mock.url());
    let mut forged = request(Method::GET, "/", nothing());
    forged.headers.append(header::HOST, "other.test".parse().unwrap());
    forged.headers.append("x-twice", "a".parse().unwrap());
    forged.headers.append("x-twice", "b".parse().unwrap());
    let shown = format!("{forged:?}");
    let _reply = there.stream(forged).await.unwrap();
    let seen = mock.seen().remove(0);
    let all = |name: &str| seen.headers.iter().filter(|(n, _)| n == name).count();
    assert_eq!(seen.header("host"), Some(mock.address().to_string().as_str()));
    assert_eq!((all("host"), all("x-twice")), (1, 2));
    assert_eq!(shown, "StreamRequest(GET /)");
}

#[tokio::test]
async fn whole_bodies_are_sent_as_they_were() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1")]).await;
    let there = Arc::new(destination(&mock.url()));
    let mut with_length = request(
        Method::PUT,
        "/a?b=c%20d",
        http_body_util::Full::new(Bytes::from_static(b"whole"))
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    with_length.headers.insert(header::CONTENT_LENGTH, 5.into());
    there.stream(with_length).await.unwrap();
    let seen = mock.seen().remove(0);
    let told = (seen.method.as_str(), seen.path.as_str(), seen.body.as_str());
    assert_eq!(told, ("PUT", "/a?b=c%20d", "whole"));
    assert_eq!(seen.header("transfer-encoding"), None);
}
