//! The HTTP+SSE peer against a server whose every move is scripted.

mod misbehaving;
mod server;

use serde_json::{Value, json};
use tidegate_model::Json;

use super::*;
use crate::client::{
    ClientCan, Event, Exchange,
    egress::{AddressPolicy, Egress, Resolver, Rules},
};

use server::{Server, Stream};

fn destination(url: &str) -> Destination {
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let rules = Rules { allow, ..Rules::default() };
    Egress::new(Resolver::System, None).unwrap().destination(url, rules).unwrap()
}

fn settings() -> SseSettings {
    SseSettings { name: "test".into(), answer_limit: 64 * 1024, ..SseSettings::default() }
}

fn peer(server: &Server) -> Arc<SsePeer> {
    Arc::new(SsePeer::new(destination(&server.url), settings()))
}

/// A client: what reaches it comes out of the receiver.
fn client(affinity: u128, profile: Profile) -> (Exchange, mpsc::Receiver<Event>) {
    let (events, inbox) = mpsc::channel(16);
    let exchange = Exchange {
        affinity: Some(Affinity(affinity)),
        can: ClientCan { profile, ..ClientCan::default() },
        events: Some(events),
        patience: Duration::from_secs(60),
        ..Exchange::default()
    };
    (exchange, inbox)
}

type Calling = tokio::task::JoinHandle<Result<Answer, PeerError>>;

fn call(peer: &Arc<SsePeer>, exchange: Option<Exchange>) -> Calling {
    call_with(peer, exchange, &[])
}

fn call_with(peer: &Arc<SsePeer>, exchange: Option<Exchange>, headers: &Headers) -> Calling {
    let (peer, headers) = (Arc::clone(peer), headers.to_vec());
    tokio::spawn(async move {
        let outgoing = Outgoing {
            method: "tools/call",
            exchange: exchange.as_ref(),
            headers: &headers,
            ..Outgoing::default()
        };
        peer.request(&outgoing).await
    })
}

fn credential(value: &'static str) -> Vec<(HeaderName, HeaderValue)> {
    vec![(http::header::AUTHORIZATION, HeaderValue::from_static(value))]
}

fn note(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

#[tokio::test]
async fn a_call_is_posted_and_answered_on_the_stream() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let headers = credential("Bearer canary");
    let calling = call_with(&peer, Some(client(1, Profile::FORM).0), &headers);
    let mut stream = server.get().await;
    assert!(stream.head.starts_with("get /base/sse http/1.1\r\n"), "{}", stream.head);
    for part in ["accept: text/event-stream\r\n", "authorization: bearer canary\r\n"] {
        assert!(stream.head.contains(part), "{}", stream.head);
    }
    stream.open().await;
    stream.event("endpoint", "../messages?s=1").await;
    let initialize = server.posted().await;
    assert!(initialize.head.starts_with("post /messages?s=1 http/1.1\r\n"), "{}", initialize.head);
    assert!(initialize.head.contains("authorization: bearer canary\r\n"));
    let initialize = initialize.status(202);
    assert_eq!(initialize["params"]["capabilities"], json!({"elicitation": {"form": {}}}));
    let result = json!({"protocolVersion": "2024-11-05", "serverInfo": {"name": "old"}});
    stream.answer(&initialize, result).await;
    assert_eq!(server.taken().await["method"], "notifications/initialized");
    let request = server.posted().await;
    // The answer may be quicker than the status of the post.
    stream.answer(&request.body, json!({"n": 1})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"n":1}"#);
    let info = peer.info().unwrap();
    assert_eq!((info.name.as_deref(), info.revision.name()), (Some("old"), "2024-11-05"));
    // The same client again, over the same connection.
    let calling = call_with(&peer, Some(client(1, Profile::FORM).0), &headers);
    let request = server.taken().await;
    stream.answer(&request, json!({"n": 2})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"n":2}"#);
    assert!(!format!("{peer:?}").contains("canary"));
}

#[tokio::test]
async fn every_client_profile_and_credential_has_a_connection_of_its_own() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let mut open = Vec::new();
    for (at, (exchange, headers)) in [
        (Some(client(1, Profile::ALL).0), credential("a")),
        (Some(client(2, Profile::ALL).0), credential("a")),
        (Some(client(1, Profile::FORM).0), credential("a")),
        (Some(client(1, Profile::ALL).0), credential("b")),
        (None, credential("a")),
    ]
    .into_iter()
    .enumerate()
    {
        let calling = call_with(&peer, exchange, &headers);
        let stream = server.session(&at.to_string(), json!({})).await;
        let request = server.posted().await;
        assert!(request.head.starts_with(&format!("post /messages?s={at} ")), "{}", request.head);
        open.push((calling, stream, request.status(202)));
    }
    for (at, (calling, stream, request)) in open.iter_mut().enumerate() {
        stream.answer(request, json!({"at": at})).await;
        let answer: Value = calling.await.unwrap().unwrap().json().read().unwrap();
        assert_eq!(answer["at"], at);
    }
    assert_eq!(peer.info().unwrap().name.as_deref(), Some("4"), "the gateway's own counts");
}

#[tokio::test]
async fn calls_at_the_same_time_open_one_connection() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let calls: Vec<_> = (0..4).map(|_| call(&peer, Some(client(1, Profile::ALL).0))).collect();
    let mut stream = server.session("s", json!({})).await;
    for _ in 0..4 {
        let request = server.taken().await;
        stream.answer(&request, json!({})).await;
    }
    for calling in calls {
        calling.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn questions_and_notifications_reach_the_client_of_the_connection() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let (exchange, mut inbox) = client(1, Profile::ALL);
    let (other, mut other_inbox) = client(2, Profile::ALL);
    let theirs = call(&peer, Some(other));
    let _their_stream = server.session("2", json!({})).await;
    server.taken().await;
    let calling = call(&peer, Some(Exchange { progress: true, ..exchange }));
    let mut stream = server.session("1", json!({})).await;
    let request = server.taken().await;
    // Calls of other clients are under way elsewhere, which makes nothing unclear here.
    let question = json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"});
    stream.say(&question).await;
    let Some(Event::Question(question)) = inbox.recv().await else { panic!("no question") };
    let progress = json!({"progressToken": request["id"], "progress": 1});
    stream.say(&note("notifications/progress", progress)).await;
    let Some(Event::Notification(told)) = inbox.recv().await else { panic!("no notification") };
    assert_eq!(told.method, "notifications/progress");
    question.reply.send(Answer::Result(Json::of(&json!({"roots": []})).unwrap())).unwrap();
    let reply = server.taken().await;
    assert_eq!(reply, json!({"jsonrpc": "2.0", "id": "q", "result": {"roots": []}}));
    stream.say(&json!({"jsonrpc": "2.0", "id": 9, "method": "ping"})).await;
    assert_eq!(server.taken().await, json!({"jsonrpc": "2.0", "id": 9, "result": {}}));
    stream.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    assert!(other_inbox.try_recv().is_err());
    theirs.abort();
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_at_the_server() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let calling = call(&peer, Some(client(1, Profile::ALL).0));
    let _stream = server.session("s", json!({})).await;
    let request = server.taken().await;
    calling.abort();
    let told = server.taken().await;
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"]["requestId"], request["id"]);
    // Even while its post is not taken yet.
    let calling = call(&peer, Some(client(1, Profile::ALL).0));
    let posted = server.posted().await;
    let id = posted.body["id"].clone();
    calling.abort();
    posted.abandoned().await;
    assert_eq!(server.taken().await["params"]["requestId"], id);
}

#[tokio::test]
async fn a_client_that_is_gone_loses_its_connections_only() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let gone = call(&peer, Some(client(1, Profile::ALL).0));
    let mut gone_stream = server.session("1", json!({})).await;
    server.taken().await;
    let stays = call(&peer, Some(client(2, Profile::ALL).0));
    let mut stream = server.session("2", json!({})).await;
    let request = server.taken().await;
    let opening = call(&peer, Some(client(1, Profile::FORM).0));
    let mut unopened = server.get().await;
    peer.roots_changed(Affinity(2));
    assert_eq!(server.taken().await["method"], "notifications/roots/list_changed");
    peer.release(Affinity(1));
    assert!(matches!(gone.await.unwrap(), Err(PeerError::Closed)));
    assert!(matches!(opening.await.unwrap(), Err(PeerError::Closed)));
    gone_stream.gone().await;
    unopened.gone().await;
    stream.answer(&request, json!({})).await;
    stays.await.unwrap().unwrap();
    peer.close();
    stream.gone().await;
}

#[tokio::test]
async fn the_gateway_listens_on_a_connection_of_its_own() {
    let mut server = Server::start().await;
    let peer = peer(&server);
    let mut changes = peer.changes();
    let resources = ["a:1".into()].into();
    let (_wanted, wishes) = watch::channel(Wanted { resources, ..Wanted::default() });
    let (sink, mut heard) = mpsc::channel(4);
    let listening = {
        let peer = Arc::clone(&peer);
        tokio::spawn(async move { peer.listen(wishes, &credential("x"), &sink).await })
    };
    let capabilities = json!({"resources": {"subscribe": true, "listChanged": true}});
    let mut stream = server.session("own", capabilities).await;
    changes.changed().await.unwrap();
    let request = server.taken().await;
    assert_eq!(request["method"], "resources/subscribe");
    stream.answer(&request, json!({})).await;
    stream.say(&note("notifications/resources/updated", json!({"uri": "a:1"}))).await;
    assert_eq!(heard.recv().await.unwrap().params.as_str(), r#"{"uri":"a:1"}"#);
    stream.say(&note("notifications/resources/list_changed", json!({}))).await;
    assert_eq!(heard.recv().await.unwrap().method, "notifications/resources/list_changed");
    changes.changed().await.unwrap();
    drop(stream);
    assert_eq!(listening.await.unwrap().unwrap(), Heard::Ended);
}

#[tokio::test]
async fn a_server_of_this_kind_is_found_out() {
    let mut server = Server::start().await;
    let connecting = tokio::spawn(SsePeer::connect(destination(&server.url), settings(), &[]));
    let mut stream = server.session("found", json!({"tools": {}})).await;
    let peer = Arc::new(connecting.await.unwrap().unwrap());
    assert_eq!(peer.info().unwrap().name.as_deref(), Some("found"));
    let calling = call(&peer, None);
    let request = server.taken().await;
    stream.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    drop(peer);
    stream.gone().await;
}
