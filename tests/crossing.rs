//! Many callers at once through one connector: nothing of one ever reaches another.
//!
//! Everybody uses the same JSON-RPC ids, the same progress tokens and the same names, and the
//! upstream answers in any order it likes; only a nonce tells whose is whose (T29).

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hyper::Method;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

use crate::support::{
    Client, Era, EventStream, Mock, MockTool, Received, Reply, Session, Setup, TestGateway,
    modern_params,
};

/// Clients, half of them alice's and half bob's, in turn modern and legacy.
const CLIENTS: usize = 64;
/// What each of them does, one after the other.
const CALLS: usize = 8;

/// What the shuffler is told.
enum Told {
    /// Somebody has begun a call that the upstream will hold back.
    Begun,
    /// A call has reached the upstream and is held back.
    Held(Arc<Notify>),
}

/// Lets calls go in an order of its own: whenever all that were begun are held back, or many,
/// it picks one.
async fn shuffle(mut told: mpsc::UnboundedReceiver<Told>) {
    let (mut begun, mut held, mut seed) = (0_usize, Vec::new(), 0x5eed_u64);
    while let Some(one) = told.recv().await {
        match one {
            Told::Begun => begun += 1,
            Told::Held(gate) => held.push(gate),
        }
        while !held.is_empty() && (held.len() >= begun || held.len() > 16) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(seed >> 33).unwrap() % held.len();
            held.swap_remove(pick).notify_one();
            begun -= 1;
        }
    }
}

fn nonce(received: &Received) -> String {
    received.message["params"]["arguments"]["nonce"].as_str().unwrap_or("none").to_owned()
}

/// Tells of its progress, of somebody else's too, and answers when it is let go.
fn slow(told: mpsc::UnboundedSender<Told>) -> MockTool {
    let definition = json!({ "name": "slow", "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received| {
        let gate = Arc::new(Notify::new());
        told.send(Told::Held(Arc::clone(&gate))).unwrap();
        let nonce = nonce(received);
        let own = received.message["params"]["_meta"]["progressToken"].as_u64().unwrap();
        let progress = |token: u64, words: &str| {
            let params = json!({ "progressToken": token, "progress": 1, "message": words });
            json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
        };
        let before = vec![
            progress(own, &nonce),
            progress(own + 1, "of another"),
            progress(own - 1, "of another"),
        ];
        let content = json!([{ "type": "text", "text": nonce }]);
        Reply::StreamUntil(before, gate, json!({ "resultType": "complete", "content": content }))
    })
}

fn form(nonce: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { "nonce": { "type": "string" } } });
    json!({ "message": format!("nonce {nonce}"), "requestedSchema": schema })
}

/// Asks its client for a nonce, having named the one it was called with.
fn asking(era: Era) -> MockTool {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let definition = json!({ "name": "ask", "inputSchema": { "type": "object" } });
    MockTool::new(definition, move |received| {
        let nonce = nonce(received);
        if era == Era::Legacy {
            let id = format!("q-{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let params = form(&nonce);
            let method = "elicitation/create";
            let question =
                json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            return Reply::Ask(vec![question]);
        }
        let params = &received.message["params"];
        match params.get("inputResponses") {
            Some(given) => {
                assert_eq!(params["requestState"], nonce.as_str(), "a state of another call");
                Reply::Text(given["k"].to_string())
            }
            None => Reply::Result(json!({
                "resultType": "input_required",
                "inputRequests": { "k": { "method": "elicitation/create", "params": form(&nonce) } },
                "requestState": nonce,
            })),
        }
    })
}

/// A client, with the ids that everybody else has too.
enum Caller {
    Modern(Client),
    Legacy(Session),
}

impl Caller {
    async fn number(gateway: &TestGateway, n: usize) -> Self {
        let client = gateway.client(if n.is_multiple_of(2) { "alice" } else { "bob" }, "main");
        if (n / 2).is_multiple_of(2) {
            return Self::Modern(client);
        }
        let can = json!({ "elicitation": {} });
        Self::Legacy(Session::open_as(client, "2025-11-25", can).await)
    }

    /// A call whose answer is read while it arrives.
    async fn post(&self, id: usize, params: Value) -> EventStream {
        match self {
            Self::Modern(client) => {
                let (message, params) = modern_call(id, params);
                let headers = Client::modern_headers("tools/call", &params);
                client.stream(Method::POST, &headers, message).await
            }
            Self::Legacy(session) => session.send_stream(call(id, &params)).await,
        }
    }

    /// A call with progress; everything on its stream is its own.
    async fn slow(&self, id: usize, nonce: &str) {
        let params = json!({
            "name": "slow", "arguments": { "nonce": nonce }, "_meta": { "progressToken": id },
        });
        let mut stream = self.post(id, params).await;
        let progress = stream.next().await.unwrap();
        let expected = json!({ "progressToken": id, "progress": 1, "message": nonce });
        assert_eq!(progress["params"], expected, "{nonce}");
        let answer = stream.next().await.unwrap();
        check(&answer, id, nonce);
        assert_eq!(stream.next().await, None, "{nonce}");
    }

    /// A call that asks in the middle; the question is its own, and the answer reaches it.
    async fn ask(&self, id: usize, nonce: &str) {
        let mut params = json!({ "name": "ask", "arguments": { "nonce": nonce } });
        let given = json!({ "action": "accept", "content": { "nonce": nonce } });
        match self {
            Self::Modern(client) => {
                let whole = async |id, params| {
                    let (message, params) = modern_call(id, params);
                    let headers = Client::modern_headers("tools/call", &params);
                    client.send(Method::POST, &headers, message).await.rpc().message
                };
                let asked = whole(id, params.clone()).await;
                assert_eq!(asked["id"], id, "{asked}");
                let result = &asked["result"];
                let questions = result["inputRequests"].as_object();
                let questions = questions.unwrap_or_else(|| panic!("{nonce}: {asked}"));
                let (key, question) = questions.iter().next().unwrap();
                assert!(is_own(question, nonce), "{nonce}: {asked}");
                params["requestState"] = result["requestState"].clone();
                params["inputResponses"] = json!({ key: given });
                check(&whole(id + 1, params).await, id + 1, nonce);
            }
            Self::Legacy(session) => {
                let mut stream = self.post(id, params).await;
                let question = stream.next().await.unwrap();
                assert!(is_own(&question, nonce), "{nonce}: {question}");
                session.answer(&question, json!({ "result": given })).await;
                check(&stream.next().await.unwrap(), id, nonce);
            }
        }
    }
}

fn call(id: usize, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
}

/// A call of a client that can be asked, and its parameters.
fn modern_call(id: usize, mut params: Value) -> (String, Value) {
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": {} });
    let params = modern_params(params);
    (call(id, &params), params)
}

/// Whether the question is the one that the call with this nonce leads to.
fn is_own(question: &Value, nonce: &str) -> bool {
    question["params"]["message"] == format!("nonce {nonce}")
}

/// The answer to that id, with that nonce and no other.
fn check(answer: &Value, id: usize, nonce: &str) {
    assert_eq!(answer["id"], id, "{nonce}: {answer}");
    let text = answer["result"]["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{nonce}: {answer}"));
    let found: HashSet<_> =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    let nonces: Vec<_> = found.into_iter().filter(|word| word.starts_with("n-")).collect();
    assert_eq!(nonces, [nonce], "{answer}");
}

async fn check_nothing_crosses(era: Era) {
    let (tell, told) = mpsc::unbounded_channel();
    let mock = Mock::start(era, vec![slow(tell.clone()), asking(era)]).await;
    let gateway = Setup::simple(&mock)
        .remote("up", &mock, "[limits]\nconcurrency = 128\nqueue = 256")
        .key("bob", &["staff"])
        .start()
        .await;
    let shuffler = tokio::spawn(shuffle(told));
    let mut callers = JoinSet::new();
    for n in 0..CLIENTS {
        let caller = Caller::number(&gateway, n).await;
        let tell = tell.clone();
        callers.spawn(async move {
            for step in 0..CALLS {
                // Ids are used once in a session, and by every client.
                let (id, nonce) = (1 + 2 * step, format!("n-{n}-{step}"));
                if step % 3 == 2 {
                    caller.ask(id, &nonce).await;
                } else {
                    tell.send(Told::Begun).unwrap();
                    caller.slow(id, &nonce).await;
                }
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    shuffler.abort();

    let rows = gateway.audit().await;
    for user in ["alice@example.com", "bob@example.com"] {
        let of_user = |row: &&Value| row["caller"]["user"] == user && row["method"] == "tools/call";
        let slow = rows.iter().filter(of_user).filter(|row| row["tool"] == "slow");
        assert_eq!(slow.filter(|row| row["status"] == "ok").count(), CLIENTS / 2 * 6, "{user}");
        let asked =
            |row: &&Value| row["caller"]["user"] == user && row["method"] == "elicitation/create";
        assert_eq!(rows.iter().filter(asked).count(), CLIENTS / 2 * 2, "{user}");
    }
    assert_eq!(mock.calls("slow").len(), CLIENTS * 6, "each call went up once");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_at_a_modern_server() {
    check_nothing_crosses(Era::Modern).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_crosses_at_a_legacy_server() {
    check_nothing_crosses(Era::Legacy).await;
}
