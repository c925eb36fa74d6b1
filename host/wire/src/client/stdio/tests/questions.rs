//! What a server says on the shared streams without saying to whom: questions and log lines.

use super::*;
use crate::{
    client::{ClientCan, Question},
    mcp::level::Level,
};

/// A peer with a legacy server whose requests are left to the test.
pub(super) async fn legacy(capabilities: Value) -> (Arc<StdioPeer>, Server) {
    let (ours, mut server) = pipes();
    let (reader, writer) = split(ours);
    let settings = StdioSettings { era: Some(Era::Legacy), ..settings() };
    let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
        let initialize = server.next().await.unwrap();
        assert_eq!(
            initialize["params"]["capabilities"],
            json!({
                "sampling": {"tools": {}, "context": {}},
                "elicitation": {"form": {}, "url": {}},
                "roots": {"listChanged": true},
            }),
        );
        let mut result = initialized();
        result["capabilities"] = capabilities;
        server.answer(&initialize, result).await;
        assert_eq!(server.next().await.unwrap()["method"], "notifications/initialized");
    });
    (Arc::new(peer.unwrap()), server)
}

/// A client: what reaches it comes out of the receiver.
fn client(affinity: Option<u128>, profile: Profile) -> (Exchange, mpsc::Receiver<Event>) {
    let (events, inbox) = mpsc::channel(64);
    let exchange = Exchange {
        affinity: affinity.map(Affinity),
        can: ClientCan { profile, ..ClientCan::default() },
        events: Some(events),
        patience: Duration::from_secs(60),
        ..Exchange::default()
    };
    (exchange, inbox)
}

type Calling = tokio::task::JoinHandle<Result<Answer, PeerError>>;

/// Begins a call; returns with its request as the server sees it.
async fn call(peer: &Arc<StdioPeer>, server: &mut Server, exchange: &Exchange) -> (Calling, Value) {
    let (peer, exchange) = (Arc::clone(peer), exchange.clone());
    let calling = tokio::spawn(async move {
        let outgoing =
            Outgoing { method: "tools/call", exchange: Some(&exchange), ..Outgoing::default() };
        peer.request(&outgoing).await
    });
    (calling, server.next().await.unwrap())
}

async fn question(inbox: &mut mpsc::Receiver<Event>) -> Question {
    match inbox.recv().await {
        Some(Event::Question(question)) => question,
        other => panic!("no question: {other:?}"),
    }
}

fn asks(id: &Value, method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"message": "?"}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_question_reaches_the_client_of_the_call_and_its_answer_the_server() {
    let (peer, mut server) = legacy(json!({})).await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (calling, request) = call(&peer, &mut server, &exchange).await;
    for (id, method) in [
        (json!("a\u{e9}"), "elicitation/create"),
        (json!(1), "sampling/createMessage"),
        (json!(-7), "roots/list"),
    ] {
        server.say(&asks(&id, method)).await;
        let question = question(&mut inbox).await;
        assert_eq!(question.method.name(), method);
        assert_eq!(question.params.read::<Value>().unwrap(), json!({"message": "?"}));
        let given = Json::of(&json!({"given": id})).unwrap();
        question.reply.send(Answer::Result(given)).unwrap();
        let reply = server.next().await.unwrap();
        assert_eq!(reply, json!({"jsonrpc": "2.0", "id": id, "result": {"given": id}}));
    }
    server.answer(&request, json!({"done": true})).await;
    assert_eq!(calling.await.unwrap().unwrap().json().as_str(), r#"{"done":true}"#);
    assert_eq!(peer.junk_lines(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_can_mean_nobody_or_several_is_refused() {
    const NONE: Profile = Profile::NONE;
    const ALL: Profile = Profile::ALL;
    for (calls, method, words) in [
        (&[][..], "elicitation/create", "no call is under way"),
        (&[(Some(1), ALL), (Some(2), ALL)], "elicitation/create", "several clients"),
        (&[(Some(1), ALL), (Some(2), NONE)], "roots/list", "several clients"),
        (&[(None, ALL), (None, ALL)], "roots/list", "several clients"),
        (&[(Some(1), ALL), (None, ALL)], "roots/list", "several clients"),
        (&[(Some(1), NONE)], "sampling/createMessage", "does not support sampling"),
        (&[(Some(1), ALL)], "tools/list", "no client here"),
        (&[(Some(1), ALL)], "x/unknown", "no client here"),
    ] {
        let (peer, mut server) = legacy(json!({})).await;
        let mut under_way = Vec::new();
        for (affinity, profile) in calls {
            let (exchange, inbox) = client(*affinity, *profile);
            under_way.push((call(&peer, &mut server, &exchange).await, inbox));
        }
        server.say(&asks(&json!("q"), method)).await;
        let reply = server.next().await.unwrap();
        assert_eq!(reply["id"], "q");
        let said = reply["error"]["message"].as_str().unwrap();
        assert!(said.contains(words), "{calls:?} {method}: {said}");
        for ((calling, request), mut inbox) in under_way {
            server.answer(&request, json!({})).await;
            calling.await.unwrap().unwrap();
            assert!(inbox.try_recv().is_err(), "{calls:?} {method}: somebody was asked");
        }
    }
}

/// A server need not heed at once that a call is cancelled: its question is not the next
/// client's.
#[tokio::test(start_paused = true)]
async fn a_question_about_a_call_that_was_given_up_goes_to_nobody_else() {
    let (peer, mut server) = legacy(json!({})).await;
    for is_answered in [true, false] {
        let (gone, _inbox) = client(Some(1), Profile::ALL);
        let (calling, abandoned) = call(&peer, &mut server, &gone).await;
        calling.abort();
        assert_eq!(server.next().await.unwrap()["method"], "notifications/cancelled");
        let (exchange, mut inbox) = client(Some(2), Profile::ALL);
        let exchange = Exchange { level: Some(Level::Info), ..exchange };
        let (calling, request) = call(&peer, &mut server, &exchange).await;
        server.say(&line("error", "about the other")).await;
        server.say(&asks(&json!(1), "elicitation/create")).await;
        let reply = server.next().await.unwrap();
        let said = reply["error"]["message"].as_str().unwrap();
        assert!(said.contains("several clients"), "{said}");
        assert!(inbox.try_recv().is_err());
        match is_answered {
            true => server.answer(&abandoned, json!({})).await,
            false => tokio::time::sleep(Duration::from_secs(61)).await,
        }
        server.say(&asks(&json!(2), "elicitation/create")).await;
        let given = Json::empty_object();
        question(&mut inbox).await.reply.send(Answer::Result(given)).unwrap();
        assert_eq!(server.next().await.unwrap()["result"], json!({}));
        server.answer(&request, json!({})).await;
        calling.await.unwrap().unwrap();
    }
}

/// News of a task holds all of it, and what a server says in words of its own may be about
/// anybody.
#[tokio::test(start_paused = true)]
async fn what_need_not_be_about_the_call_under_way_is_not_told_to_its_client() {
    let (peer, mut server) = modern().await;
    let say = |method: &str| json!({"jsonrpc": "2.0", "method": method, "params": {}}).to_string();
    for (affinity, expected) in [(1, &["notifications/own"][..]), (2, &[])] {
        let (exchange, mut inbox) = client(Some(affinity), Profile::ALL);
        let (calling, request) = call(&peer, &mut server, &exchange).await;
        for method in ["notifications/tasks", "notifications/own"] {
            server.say(&say(method)).await;
        }
        server.answer(&request, json!({})).await;
        calling.await.unwrap().unwrap();
        let mut heard = Vec::new();
        while let Ok(Event::Notification(note)) = inbox.try_recv() {
            heard.push(note.method);
        }
        assert_eq!(heard, expected, "client {affinity}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_calls_of_one_client_the_latest_that_can_is_asked() {
    let (peer, mut server) = legacy(json!({})).await;
    let calls = [Profile::ALL, Profile::FORM, Profile::NONE].map(|p| client(Some(1), p));
    let mut under_way = Vec::new();
    for (exchange, _) in &calls {
        under_way.push(call(&peer, &mut server, exchange).await);
    }
    let [(_, mut all), (_, mut form), (_, mut none)] = calls;
    server.say(&asks(&json!(1), "elicitation/create")).await;
    assert_eq!(question(&mut form).await.method, Method::Elicit);
    server.say(&asks(&json!(2), "roots/list")).await;
    assert_eq!(question(&mut all).await.method, Method::ListRoots);
    assert!(none.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_gateways_own_requests_are_nobodys_calls() {
    let (peer, mut server) = legacy(json!({})).await;
    let own = {
        let peer = Arc::clone(&peer);
        tokio::spawn(async move {
            peer.request(&Outgoing { method: "tools/list", ..Outgoing::default() }).await
        })
    };
    let listing = server.next().await.unwrap();
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (_calling, _request) = call(&peer, &mut server, &exchange).await;
    server.say(&asks(&json!(1), "roots/list")).await;
    question(&mut inbox).await;
    server.answer(&listing, json!({"tools": []})).await;
    own.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_questions_is_bounded_and_ends_with_the_call() {
    let (peer, mut server) = legacy(json!({})).await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (calling, request) = call(&peer, &mut server, &exchange).await;
    for id in 0..20 {
        server.say(&asks(&json!(id), "roots/list")).await;
    }
    for id in 16..20 {
        let reply = server.next().await.unwrap();
        assert_eq!(reply["id"], id);
        assert!(reply["error"]["message"].as_str().unwrap().contains("too many"), "{reply}");
    }
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(question(&mut inbox).await);
    }
    server.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    let mut ended = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let reply = server.next().await.unwrap();
        assert!(reply["error"]["message"].as_str().unwrap().contains("is over"), "{reply}");
        ended.insert(reply["id"].as_u64().unwrap());
    }
    assert_eq!(ended, (0..16).collect());
    for mut question in open {
        question.reply.closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_does_not_ask_without_end() {
    let (peer, mut server) = legacy(json!({})).await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (_calling, _request) = call(&peer, &mut server, &exchange).await;
    for id in 0..64 {
        server.say(&asks(&json!(id), "roots/list")).await;
        let reply = Answer::Result(Json::empty_object());
        question(&mut inbox).await.reply.send(reply).unwrap();
        assert_eq!(server.next().await.unwrap()["result"], json!({}));
    }
    server.say(&asks(&json!(64), "roots/list")).await;
    let reply = server.next().await.unwrap();
    assert!(reply["error"]["message"].as_str().unwrap().contains("during one call"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_withdrawn_gets_no_answer() {
    let (peer, mut server) = legacy(json!({})).await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (_calling, _request) = call(&peer, &mut server, &exchange).await;
    server.say(&asks(&json!("q"), "elicitation/create")).await;
    let mut first = question(&mut inbox).await;
    // The same id again is no second question.
    server.say(&asks(&json!("q"), "elicitation/create")).await;
    let reply = server.next().await.unwrap();
    assert!(reply["error"]["message"].as_str().unwrap().contains("open already"), "{reply}");
    for id in [json!("other"), json!("q")] {
        let params = json!({"requestId": id});
        let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        server.say(&note.to_string()).await;
    }
    first.reply.closed().await;
    // Nothing was said about it: the next message is the answer to the next question.
    server.say(&asks(&json!("p"), "ping")).await;
    assert_eq!(server.next().await.unwrap(), json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_silent_does_not_keep_anybody_waiting() {
    let (peer, mut server) = legacy(json!({})).await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let (_calling, _request) = call(&peer, &mut server, &exchange).await;
    server.say(&asks(&json!(1), "elicitation/create")).await;
    let held = question(&mut inbox).await;
    // Another question, its answer and progress pass the one that is open.
    server.say(&asks(&json!(2), "roots/list")).await;
    question(&mut inbox).await.reply.send(Answer::Result(Json::empty_object())).unwrap();
    assert_eq!(server.next().await.unwrap()["id"], 2);
    let late = server.next().await.unwrap();
    assert!(late["error"]["message"].as_str().unwrap().contains("in time"), "{late}");
    drop(held);
}

fn line(level: &str, data: &str) -> String {
    let params = json!({"level": level, "data": data});
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}).to_string()
}

fn lines_heard(inbox: &mut mpsc::Receiver<Event>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(Event::Notification(note)) = inbox.try_recv() {
        let params: Value = note.params.read().unwrap();
        heard.push(params["data"].as_str().unwrap().to_owned());
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn log_lines_go_to_the_only_client_under_way_once() {
    let (peer, mut server) = legacy(json!({})).await;
    let wanting = |affinity, level| {
        let (exchange, inbox) = client(Some(affinity), Profile::NONE);
        (Exchange { level, ..exchange }, inbox)
    };
    let (first, mut first_inbox) = wanting(1, Some(Level::Info));
    let (second, mut second_inbox) = wanting(1, Some(Level::Error));
    let (other, mut other_inbox) = wanting(2, Some(Level::Debug));
    let (one, one_request) = call(&peer, &mut server, &first).await;
    let (two, two_request) = call(&peer, &mut server, &second).await;
    server.say(&line("warning", "seen")).await;
    server.say(&line("debug", "too little")).await;
    let (three, three_request) = call(&peer, &mut server, &other).await;
    server.say(&line("error", "whose?")).await;
    server.answer(&one_request, json!({})).await;
    one.await.unwrap().unwrap();
    server.answer(&two_request, json!({})).await;
    two.await.unwrap().unwrap();
    server.say(&line("debug", "theirs")).await;
    server.answer(&three_request, json!({})).await;
    three.await.unwrap().unwrap();
    server.say(&line("error", "nobody's")).await;
    let probe = call(&peer, &mut server, &client(None, Profile::NONE).0).await;
    server.answer(&probe.1, json!({})).await;
    probe.0.await.unwrap().unwrap();
    assert_eq!(lines_heard(&mut first_inbox), ["seen"]);
    assert_eq!(lines_heard(&mut second_inbox), [""; 0]);
    assert_eq!(lines_heard(&mut other_inbox), ["theirs"]);
}

#[tokio::test(start_paused = true)]
async fn the_log_level_follows_the_calls_under_way() {
    let (peer, mut server) = legacy(json!({"logging": {}})).await;
    let mut under_way = Vec::new();
    for (level, expected) in [
        (None, None),
        (Some(Level::Warning), Some("warning")),
        (Some(Level::Error), None),
        (Some(Level::Debug), Some("debug")),
        (Some(Level::Info), None),
    ] {
        let exchange = Exchange { level, ..client(Some(1), Profile::NONE).0 };
        let peer = Arc::clone(&peer);
        under_way.push(tokio::spawn(async move {
            let outgoing =
                Outgoing { method: "tools/call", exchange: Some(&exchange), ..Outgoing::default() };
            peer.request(&outgoing).await
        }));
        let mut request = server.next().await.unwrap();
        if let Some(expected) = expected {
            assert_eq!(request["method"], "logging/setLevel");
            assert_eq!(request["params"], json!({"level": expected}));
            // A refusal is no reason not to go on.
            server.refuse(&request).await;
            request = server.next().await.unwrap();
        }
        assert_eq!(request["method"], "tools/call", "{level:?}");
    }
    for calling in under_way {
        calling.abort();
        assert_eq!(server.next().await.unwrap()["method"], "notifications/cancelled");
    }
    // Only one is left who wants anything.
    let exchange = Exchange { level: Some(Level::Alert), ..client(Some(2), Profile::NONE).0 };
    let (_calling, request) = call(&peer, &mut server, &exchange).await;
    assert_eq!(request["params"], json!({"level": "alert"}));
}

#[tokio::test(start_paused = true)]
async fn modern_servers_ask_nothing_and_log_to_the_only_client() {
    let (peer, mut server) = modern().await;
    let (exchange, mut inbox) = client(Some(1), Profile::ALL);
    let exchange = Exchange { level: Some(Level::Info), ..exchange };
    let (calling, request) = call(&peer, &mut server, &exchange).await;
    server.say(&asks(&json!(5), "roots/list")).await;
    let reply = server.next().await.unwrap();
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(5), &json!(-32601)));
    assert_eq!(peer.junk_lines(), 1);
    server.say(&line("info", "heard")).await;
    server.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    assert_eq!(lines_heard(&mut inbox), ["heard"]);
}

#[tokio::test(start_paused = true)]
async fn changed_roots_are_told_only_where_they_can_mean_one_client() {
    let (peer, mut server) = legacy(json!({})).await;
    // The next message tells whether something was said.
    async fn told(peer: &Arc<StdioPeer>, server: &mut Server, affinity: u128) -> bool {
        peer.roots_changed(Affinity(affinity));
        server.say(&asks(&json!("p"), "ping")).await;
        let next = server.next().await.unwrap();
        let told = next["method"] == "notifications/roots/list_changed";
        let pong = if told { server.next().await.unwrap() } else { next };
        assert_eq!(pong["id"], "p");
        told
    }
    assert!(!told(&peer, &mut server, 1).await, "nobody was here");
    let (one, _inbox) = client(Some(1), Profile::ALL);
    let (calling, request) = call(&peer, &mut server, &one).await;
    assert!(told(&peer, &mut server, 1).await);
    assert!(!told(&peer, &mut server, 2).await);
    server.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    assert!(told(&peer, &mut server, 1).await, "the only one ever");
    let (two, _inbox) = client(Some(2), Profile::ALL);
    let (calling, request) = call(&peer, &mut server, &two).await;
    assert!(told(&peer, &mut server, 2).await, "the only one under way");
    assert!(!told(&peer, &mut server, 1).await);
    server.answer(&request, json!({})).await;
    calling.await.unwrap().unwrap();
    assert!(!told(&peer, &mut server, 2).await, "one of two");
}
