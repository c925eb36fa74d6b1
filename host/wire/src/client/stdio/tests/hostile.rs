//! Whatever a server writes, nobody gets an answer that is not their own, and nothing breaks.

use proptest::prelude::*;

use super::{questions::legacy, *};
use crate::mcp::level::Level;

#[tokio::test(start_paused = true)]
async fn batches_are_read_in_the_one_revision_that_has_them() {
    for (version, junk) in [("2025-03-26", 1), ("2025-06-18", 2)] {
        let (ours, mut server) = pipes();
        let (reader, writer) = split(ours);
        let settings = StdioSettings { era: Some(Era::Legacy), ..settings() };
        let (peer, ()) = tokio::join!(StdioPeer::over(reader, writer, &settings), async {
            let initialize = server.next().await.unwrap();
            let mut result = initialized();
            result["protocolVersion"] = json!(version);
            server.answer(&initialize, result).await;
            server.next().await.unwrap();
        });
        let peer = Arc::new(peer.unwrap());
        let calls = [ask(&peer, None), ask(&peer, None)];
        let ids = [server.next().await.unwrap(), server.next().await.unwrap()];
        let both = ids.clone().map(|id| json!({"jsonrpc": "2.0", "id": id["id"], "result": {}}));
        server.say(&json!(both).to_string()).await;
        server.say("[]").await;
        if junk == 2 {
            for id in &ids {
                server.answer(id, json!({})).await;
            }
        }
        for call in calls {
            call.await.unwrap().unwrap();
        }
        // The empty one is none in any revision; it has been read once this is answered.
        let call = ask(&peer, None);
        let request = server.next().await.unwrap();
        server.answer(&request, json!({})).await;
        call.await.unwrap().unwrap();
        assert_eq!(peer.junk_lines(), junk);
    }
}

/// Lines of a server that knows the words and not what they mean.
fn hostile_line() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        (0..12_u64).prop_map(|n| json!(n)),
        Just(json!(null)),
        Just(json!("1")),
        Just(json!(-1)),
        Just(json!(1.5)),
        "[a-c]".prop_map(|text| json!(text)),
    ];
    let method = prop::sample::select(vec![
        "elicitation/create",
        "sampling/createMessage",
        "roots/list",
        "ping",
        "tools/call",
        "notifications/progress",
        "notifications/cancelled",
        "notifications/message",
        "notifications/tools/list_changed",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "\u{0}",
    ]);
    let params = (id.clone(), any::<bool>()).prop_map(|(id, odd)| {
        let tag = json!({"io.modelcontextprotocol/subscriptionId": id});
        match odd {
            true => json!([id]),
            false => json!({
                "requestId": id, "progressToken": id, "progress": 1, "level": "error",
                "mode": id, "uri": "a:1", "_meta": tag,
            }),
        }
    });
    let message = (id, method, params, 0..5_u8).prop_map(|(id, method, params, kind)| {
        let common = json!({"jsonrpc": "2.0"});
        let mut message = common;
        let members = match kind {
            0 => json!({"id": id, "method": method, "params": params}),
            1 => json!({"method": method, "params": params}),
            // Never in the name of ours, which begin at a hundred here.
            2 => json!({"id": id, "result": {"hostile": 1}}),
            3 => json!({"id": id, "error": {"code": 1, "message": "x"}}),
            _ => json!({"id": id, "result": {}, "error": params, "method": method}),
        };
        let object = message.as_object_mut().unwrap();
        object.extend(members.as_object().unwrap().clone());
        message.to_string()
    });
    prop_oneof![4 => message, 1 => "[ -~]{0,40}", 1 => "[{}\\[\\]\",:0-9a-z\\\\\u{fe}]{0,40}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_line_breaks_anything_or_answers_another(
        lines in prop::collection::vec(hostile_line(), 0..60),
        is_modern in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (peer, mut server) = if is_modern {
                modern().await
            } else {
                legacy(json!({"resources": {"subscribe": true}})).await
            };
            // Ids of ours that the lines do not use.
            for _ in 0..12 {
                let call = ask(&peer, None);
                let request = server.next().await.unwrap();
                server.answer(&request, json!({})).await;
                call.await.unwrap().unwrap();
            }
            let (events, mut inbox) = mpsc::channel(4);
            let (_wanted, wishes) = watch::channel(Default::default());
            let (sink, _heard) = mpsc::channel(4);
            let listening = {
                let peer = Arc::clone(&peer);
                tokio::spawn(async move { peer.listen(wishes, &sink).await })
            };
            let call = {
                let peer = Arc::clone(&peer);
                tokio::spawn(async move {
                    let exchange = Exchange {
                        progress: true,
                        level: Some(Level::Debug),
                        events: Some(events),
                        can: crate::client::ClientCan {
                            profile: Profile::ALL,
                            ..Default::default()
                        },
                        patience: Duration::from_secs(1),
                        ..Exchange::default()
                    };
                    let outgoing = Outgoing {
                        method: "tools/call",
                        exchange: Some(&exchange),
                        ..Outgoing::default()
                    };
                    peer.request(&outgoing).await
                })
            };
            let client = tokio::spawn(async move {
                while let Some(event) = inbox.recv().await {
                    if let Event::Question(question) = event {
                        let _ = question.reply.send(Answer::Result(Json::empty_object()));
                    }
                }
            });
            let mut request = server.next().await.unwrap();
            while request["method"] != "tools/call" {
                request = server.next().await.unwrap();
            }
            for line in &lines {
                server.say(line).await;
            }
            server.answer(&request, json!({"mine": 1})).await;
            let answer = call.await.unwrap().unwrap();
            assert_eq!(answer.json().as_str(), r#"{"mine":1}"#);
            assert!(!peer.is_closed());
            client.await.unwrap();
            listening.abort();
        });
    }
}
