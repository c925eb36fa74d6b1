//! The gateway's own client in front of a bridge: what it finds out, and that nothing of an
//! era is lost on the way through two hops.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tidegate_model::{Answer, Json, SystemClock};
use tidegate_wire::{
    bridge,
    client::{
        Affinity, ClientCan, Event, Exchange, Member, Outgoing, PeerError, Profile, Wanted,
        egress::{Destination, machine::MachineAddress},
        http::{HttpPeer, HttpSettings},
    },
    hosted::{HEADER, Minter},
    mcp::Revision,
};
use tokio::sync::{mpsc, watch};

use crate::machine::{Machine, addressee, eventually, header, machine, text, within};

fn peer(machine: &Machine) -> HttpPeer {
    let minter = Minter::new("gw", &addressee(), machine.key.clone(), HEADER).unwrap();
    let address = MachineAddress::Unix(machine.socket.clone());
    let clock = Arc::new(SystemClock);
    let destination =
        Destination::machine(&address, bridge::PATH, Arc::new(minter), clock).unwrap();
    HttpPeer::new(destination, HttpSettings::default())
}

fn client(affinity: u128, profile: Profile) -> (Exchange, mpsc::Receiver<Event>) {
    let (events, met) = mpsc::channel(64);
    let exchange = Exchange {
        affinity: Some(Affinity(affinity)),
        can: ClientCan { profile, ..ClientCan::default() },
        progress: true,
        events: Some(events),
        patience: std::time::Duration::from_secs(30),
        ..Exchange::default()
    };
    (exchange, met)
}

async fn call(
    peer: &HttpPeer,
    name: &str,
    arguments: &Value,
    exchange: Option<&Exchange>,
) -> Result<Value, PeerError> {
    let arguments = Json::of(arguments).unwrap();
    let params = [("name", Member::Text(name)), ("arguments", Member::Json(&arguments))];
    let outgoing = Outgoing {
        method: "tools/call",
        params: &params,
        name: Some(name),
        exchange,
        ..Outgoing::default()
    };
    match within(peer.request(&outgoing)).await? {
        Answer::Result(result) => {
            let result: Value = serde_json::from_str(result.as_str()).unwrap();
            Ok(text(&json!({"result": result})))
        }
        Answer::Error(error) => panic!("{}", error.as_str()),
    }
}

#[tokio::test]
async fn the_era_of_the_child_is_found_out() {
    for (era, revision) in [("modern", Revision::V2026_07_28), ("legacy", Revision::V2025_11_25)] {
        let machine = machine(&[era], &[]);
        let peer = peer(&machine);
        assert_eq!(call(&peer, "echo", &json!({"a": 1}), None).await.unwrap(), json!({"a": 1}));
        assert_eq!(peer.info().unwrap().revision, revision);
        peer.close(&[]).await;
        let sessions = machine.health().await["sessions"].clone();
        assert_eq!(sessions, 0, "{era}");
    }
}

#[tokio::test]
async fn calls_of_many_clients_come_back_to_them() {
    for era in ["modern", "legacy"] {
        let machine = machine(&[era], &[]);
        let peer = peer(&machine);
        let calls = (0..60_u128).map(|n| {
            let peer = &peer;
            async move {
                let (exchange, mut met) = client(n % 7, Profile::NONE);
                let steps = u64::try_from(n % 5).unwrap();
                let echoed = json!({"n": n.to_string(), "steps": steps});
                let tool = if n % 2 == 0 { "echo" } else { "progress" };
                let result = call(peer, tool, &echoed, Some(&exchange)).await.unwrap();
                drop(exchange);
                let mut told = 0;
                while let Some(event) = met.recv().await {
                    assert!(matches!(event, Event::Notification(_)));
                    told += 1;
                }
                match tool {
                    "echo" => assert_eq!((result, told), (echoed, 0)),
                    _ => assert_eq!((result, told), (json!("done"), steps)),
                }
            }
        });
        join_all(calls).await;
        assert_eq!(machine.health().await["starts"], 1, "{era}");
    }
}

#[tokio::test]
async fn a_question_goes_through_both_hops_and_back() {
    let machine = machine(&["legacy"], &[]);
    let peer = peer(&machine);
    let (exchange, mut met) = client(1, Profile::FORM);
    let asks = json!({"method": "elicitation/create", "params": {"message": "Which?"}});
    let answered = async {
        loop {
            if let Some(Event::Question(question)) = within(met.recv()).await {
                assert_eq!(question.params.as_str(), r#"{"message":"Which?"}"#);
                let answer = Json::parse(r#"{"action":"accept","content":{"x":1}}"#).unwrap();
                return question.reply.send(Answer::Result(answer)).unwrap();
            }
        }
    };
    let (result, ()) = futures_util::join!(call(&peer, "ask", &asks, Some(&exchange)), answered);
    assert_eq!(result.unwrap()["result"]["content"], json!({"x": 1}));
    // A client that cannot be asked is not, and the child learns why.
    let (exchange, _met) = client(2, Profile::NONE);
    let refused = call(&peer, "ask", &asks, Some(&exchange)).await.unwrap();
    assert!(refused["error"]["message"].as_str().unwrap().contains("does not support"));
}

#[tokio::test]
async fn what_the_child_tells_is_heard() {
    for era in ["modern", "legacy"] {
        let machine = machine(&[era], &[]);
        let peer = Arc::new(peer(&machine));
        assert!(call(&peer, "pid", &json!({}), None).await.is_ok());
        let (_wanted, wish) = watch::channel(Wanted::default());
        let (sink, mut heard) = mpsc::channel(16);
        let listening = Arc::clone(&peer);
        let task = tokio::spawn(async move { listening.listen(wish, &[], &sink).await });
        // Until the stream is open, what is told may be missed.
        eventually(async || {
            assert_eq!(call(&peer, "grow", &json!({}), None).await.unwrap(), "grown");
            heard.try_recv().is_ok_and(|note| note.method.ends_with("tools/list_changed"))
        })
        .await;
        task.abort();
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_child() {
    for era in ["modern", "legacy"] {
        let machine = machine(&[era], &[]);
        let peer = peer(&machine);
        let pid = call(&peer, "pid", &json!({}), None).await.unwrap();
        {
            let empty = json!({});
            let (exchange, _met) = client(1, Profile::NONE);
            let mut hold = Box::pin(call(&peer, "hold", &empty, Some(&exchange)));
            let begun = Box::pin(machine.until(|health| health["under_way"] == 1));
            let first = futures_util::future::select(&mut hold, begun).await;
            assert!(matches!(first, futures_util::future::Either::Right(_)));
        }
        eventually(async || {
            let heard = call(&peer, "heard", &json!({}), None).await.unwrap();
            let heard = heard["heard"].as_array().unwrap().clone();
            heard.iter().any(|it| it["method"] == "notifications/cancelled")
        })
        .await;
        assert_eq!(call(&peer, "pid", &json!({}), None).await.unwrap(), pid, "{era}");
    }
}

#[tokio::test]
async fn the_end_of_a_child_is_an_error_and_the_next_call_works() {
    for era in ["modern", "legacy"] {
        let machine = machine(&[era], &[]);
        let peer = peer(&machine);
        assert!(call(&peer, "pid", &json!({}), None).await.is_ok());
        let ended = call(&peer, "die", &json!({"status": 2}), None).await;
        let ended = ended.expect_err("an answer of a process that ended");
        assert!(matches!(&ended, PeerError::Status { status: 502, .. }), "{era}: {ended:?}");
        assert!(call(&peer, "pid", &json!({}), None).await.is_ok(), "{era}");
        assert_eq!(machine.health().await["starts"], 2, "{era}");
    }
}

#[tokio::test]
async fn credentials_come_with_each_call_and_never_meet() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    for era in ["modern", "legacy"] {
        let machine = machine(&[era], &[]);
        let peer = peer(&machine);
        let calls = (0..60_u128).map(|n| {
            let peer = &peer;
            async move {
                let user = format!("user{}", n % 6);
                let env = STANDARD.encode(json!({"TOKEN": user}).to_string());
                let headers = [header("x-tidegate-child", &user), header("x-tidegate-env", &env)];
                // A person's session at the gateway is of one credential.
                let (exchange, _met) = client(n % 6, Profile::NONE);
                let empty = Json::empty_object();
                let params = [("name", Member::Text("env")), ("arguments", Member::Json(&empty))];
                let outgoing = Outgoing {
                    method: "tools/call",
                    params: &params,
                    name: Some("env"),
                    headers: &headers,
                    exchange: Some(&exchange),
                    ..Outgoing::default()
                };
                let Answer::Result(result) = within(peer.request(&outgoing)).await.unwrap() else {
                    panic!("no result");
                };
                let result: Value = serde_json::from_str(result.as_str()).unwrap();
                assert_eq!(text(&json!({"result": result}))["TOKEN"], user);
            }
        });
        join_all(calls).await;
        assert_eq!(machine.health().await["children"], 6, "{era}");
    }
}
