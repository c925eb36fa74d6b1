//! Who has which session, and when it ends.

use tokio::time::advance;

use super::{
    pool::{Key, Pool},
    *,
};

async fn plain_server(capabilities: &str) -> Mock {
    numbered(capabilities, |seen| match &*seen.method {
        "GET" => vec![Act::reply(405, &[], "")],
        _ => vec![Act::json(200, &result(seen, "{}"))],
    })
    .await
}

/// The sessions ended so far.
fn ended(mock: &Mock) -> Vec<String> {
    let seen = mock.seen();
    let ends = seen.iter().filter(|seen| seen.method == "DELETE");
    ends.map(|seen| seen.header("mcp-session-id").unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn each_client_has_a_session_of_its_own() {
    let mock = plain_server("{}").await;
    let peer = peer(&mock);
    let (one, _met) = client(1, Profile::FORM);
    let (two, _met) = client(2, Profile::SAMPLING.with(Profile::ROOTS));
    let (one_again, _met) = client(1, Profile::NONE);
    let nobody = Exchange::default();
    for exchange in [&one, &two, &one, &one_again, &nobody] {
        call_as(&peer, exchange).await.unwrap();
    }
    call(&peer).await.unwrap();
    let seen = mock.seen();
    let of = |method: &str| -> Vec<&Seen> {
        seen.iter().filter(|seen| seen.at("/method") == method).collect()
    };
    let declared: Vec<_> =
        of("initialize").iter().map(|seen| seen.at("/params/capabilities")).collect();
    let own = serde_json::json!({
        "sampling": {"tools": {}, "context": {}},
        "elicitation": {"form": {}, "url": {}},
        "roots": {"listChanged": true},
    });
    assert_eq!(
        declared,
        [
            serde_json::json!({"elicitation": {"form": {}}}),
            serde_json::json!({"sampling": {}, "roots": {}}),
            serde_json::json!({}),
            own,
        ],
        "the gateway's own declares all that can be carried"
    );
    let used: Vec<_> = of("tools/call")
        .iter()
        .map(|seen| seen.header("mcp-session-id").unwrap().to_owned())
        .collect();
    assert_eq!(used, ["s1", "s2", "s1", "s3", "s4", "s4"]);
    assert_eq!(count(&mock, "server/discover"), 1, "the era is found out once");
    let infos: Vec<_> = [1, 2]
        .into_iter()
        .flat_map(|number| peer.pool.of(Affinity(number)))
        .map(|(_, session)| Arc::clone(&session.info))
        .collect();
    assert_eq!(infos.len(), 3);
    assert!(infos.iter().all(|info| Arc::ptr_eq(info, &infos[0])), "what is equal is shared");
}

/// A server with too many sessions is still the server it was.
#[tokio::test]
async fn a_handshake_that_fails_costs_nobody_else_anything() {
    for (refusal, probes) in [
        (Act::reply(503, &[], ""), 1),
        (
            Act::json(400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}"#),
            2,
        ),
    ] {
        let count_ = AtomicUsize::new(0);
        let mock = Mock::start(move |seen, _| match seen.at("/method").as_str() {
            Some("server/discover") => vec![Act::json(404, "{}")],
            Some("initialize") if count_.fetch_add(1, Ordering::SeqCst) > 0 => {
                vec![refusal.clone()]
            }
            Some("initialize") => vec![Act::json(200, &result(seen, INITIALIZED))],
            Some("notifications/initialized") => vec![Act::accepted()],
            _ => vec![Act::json(200, &result(seen, "{}"))],
        })
        .await;
        let peer = peer(&mock);
        let (one, two) = (client(1, Profile::NONE).0, client(2, Profile::NONE).0);
        call_as(&peer, &one).await.unwrap();
        call_as(&peer, &two).await.unwrap_err();
        call_as(&peer, &one).await.unwrap();
        assert_eq!(count(&mock, "server/discover"), 1, "who has a session goes on with it");
        call_as(&peer, &two).await.unwrap_err();
        assert_eq!(count(&mock, "server/discover"), probes);
    }
}

#[tokio::test]
async fn what_is_told_aside_is_bounded() {
    let mock = plain_server("{}").await;
    let peer = peer(&mock);
    let (exchange, _met) = client(1, Profile::ALL);
    call_as(&peer, &exchange).await.unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..100 {
        peer.roots_changed(Affinity(1));
    }
    assert_eq!(tasks(), before + 1);
    mock.until(|mock| count(mock, "notifications/roots/list_changed") == 1).await;
    let (_, session) = peer.pool.of(Affinity(1)).pop().unwrap();
    for _ in 0..5_000 {
        peer.link.aside(&session, handshake::cancelled(1), None, "a cancellation");
    }
    assert!(tasks() <= before + 2_000, "{}", tasks());
    mock.until(|mock| count(mock, "notifications/cancelled") >= 1_000).await;
    peer.roots_changed(Affinity(1));
    mock.until(|mock| count(mock, "notifications/roots/list_changed") == 2).await;
}

#[tokio::test]
async fn clients_are_released_and_bounded() {
    let mock = plain_server("{}").await;
    let peer = peer_with(&mock, HttpSettings { sessions: 2, ..HttpSettings::default() });
    call(&peer).await.unwrap();
    for affinity in [1, 2, 1, 3] {
        call_as(&peer, &client(affinity, Profile::NONE).0).await.unwrap();
    }
    // `s1` is the gateway's own, which does not count; 2 was used longest ago.
    mock.until(|mock| !ended(mock).is_empty()).await;
    assert_eq!(ended(&mock), ["s3"]);
    peer.release(Affinity(1));
    mock.until(|mock| ended(mock).len() == 2).await;
    assert_eq!(ended(&mock)[1], "s2");
    peer.release(Affinity(1));
    call_as(&peer, &client(1, Profile::NONE).0).await.unwrap();
    assert_eq!(count(&mock, "initialize"), 5);
    peer.close(&[]).await;
    let mut all = ended(&mock);
    all.sort();
    assert_eq!(all, ["s1", "s2", "s3", "s4", "s5"], "each once");
}

#[tokio::test]
async fn a_session_in_use_outlives_its_release() {
    let is_told: fn(&Seen) -> bool = |seen| seen.at("/params/name") == "done";
    let mock = numbered("{}", move |seen| match (&*seen.method, is_told(seen)) {
        ("GET", _) => vec![Act::reply(405, &[], "")],
        (_, false) => vec![Act::Met(is_told), Act::json(200, &result(seen, "{}"))],
        (_, true) => vec![Act::json(200, &result(seen, "{}"))],
    })
    .await;
    let peer = peer(&mock);
    let (exchange, _met) = client(1, Profile::NONE);
    let release = async {
        mock.until(|mock| count(mock, "tools/call") == 1).await;
        peer.release(Affinity(1));
        let params = [("name", Member::Text("done"))];
        let outgoing = Outgoing { method: "tools/call", params: &params, ..Outgoing::default() };
        peer.request(&outgoing).await.unwrap();
        assert!(ended(&mock).is_empty() || count(&mock, "tools/call") == 2);
    };
    let (answer, ()) = tokio::join!(call_as(&peer, &exchange), release);
    answer.unwrap();
    mock.until(|mock| ended(mock) == ["s1"]).await;
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_are_given_up() {
    let egress = Egress::new(Resolver::System, None).unwrap();
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    let rules = Rules { allow, ..Rules::default() };
    let destination = egress.destination("http://127.0.0.1:1/", rules).unwrap();
    let link = Arc::new(Link::new(destination, HttpSettings::default()));
    let info = PeerInfo { revision: Revision::V2025_11_25, ..PeerInfo::unknown() };
    let info = Arc::new(info);
    let idle = Duration::from_secs(600);
    let pool = Arc::new(Pool::new(10_000, idle));
    let key = |number| Key { affinity: Some(Affinity(number)), profile: Profile::NONE };
    let sit = |key: Key| {
        let session = Session::new(Arc::clone(&link), Arc::clone(&info), None, true, &[]);
        let session = Arc::new(session);
        pool.seat(key).take_place(&session);
        session
    };
    let there = |number| !pool.of(Affinity(number)).is_empty();
    sit(key(1));
    let visit = sit(key(2)).enter(7, Some(&Exchange::default()), &[]);
    let own = sit(OWN);
    tokio::task::yield_now().await;
    advance(idle / 2).await;
    sit(key(3));
    for _ in 0..8 {
        advance(idle / 4).await;
        tokio::task::yield_now().await;
    }
    assert!(!there(1) && !there(3), "unused for long");
    assert!(there(2), "in use");
    drop(visit);
    for _ in 0..8 {
        advance(idle / 4).await;
        tokio::task::yield_now().await;
    }
    assert!(!there(2));
    let held = pool.seat(OWN).session().unwrap();
    assert!(Arc::ptr_eq(&own, &held), "the gateway's own stays");
}

#[test]
fn an_idle_session_is_small() {
    // All that is kept for one but its id, its credential and the room around map entries.
    let size = size_of::<Session>() + size_of::<pool::Seat>() + size_of::<Key>() + 128;
    assert!(size < 768, "{size}");
}

#[tokio::test]
async fn changed_roots_are_told_to_those_who_know_them() {
    let mock = plain_server("{}").await;
    let peer = peer(&mock);
    let knows = Profile::ROOTS.with(Profile::ROOTS_CHANGED);
    for (affinity, profile) in [(1, knows), (1, Profile::ROOTS), (2, knows)] {
        call_as(&peer, &client(affinity, profile).0).await.unwrap();
    }
    peer.roots_changed(Affinity(1));
    peer.roots_changed(Affinity(3));
    let told = "notifications/roots/list_changed";
    mock.until(|mock| count(mock, told) > 0).await;
    // What is in the background has its turn before what comes after it.
    call_as(&peer, &client(2, knows).0).await.unwrap();
    let seen = mock.seen();
    let told: Vec<_> = seen.iter().filter(|seen| seen.at("/method") == told).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].header("mcp-session-id"), Some("s1"));
}

#[tokio::test]
async fn the_log_level_is_the_clients() {
    let (debug, error) = (Some(Level::Debug), Some(Level::Error));
    for (capabilities, personal, wanted, expected) in [
        ("{}", true, vec![debug, error], vec![]),
        (r#"{"logging":{}}"#, true, vec![None, None], vec![]),
        (
            r#"{"logging":{}}"#,
            true,
            vec![error, error, None, debug, error],
            vec!["error", "debug", "error"],
        ),
        // What many share only ever becomes more.
        (r#"{"logging":{}}"#, false, vec![error, debug, error], vec!["error", "debug"]),
    ] {
        let mock = plain_server(capabilities).await;
        let peer = peer(&mock);
        for level in wanted {
            let (mut exchange, _met) = client(1, Profile::NONE);
            exchange.level = level;
            exchange.affinity = exchange.affinity.filter(|_| personal);
            call_as(&peer, &exchange).await.unwrap();
        }
        let seen = mock.seen();
        let set: Vec<_> = seen
            .iter()
            .filter(|seen| seen.at("/method") == "logging/setLevel")
            .map(|seen| seen.at("/params/level").as_str().unwrap().to_owned())
            .collect();
        assert_eq!(set, expected, "{capabilities} {personal}");
    }
}

#[tokio::test]
async fn a_clients_session_is_made_anew_quietly() {
    for (version, ticks) in [("1", 1), ("2", 2)] {
        let count_ = AtomicUsize::new(0);
        let mock = Mock::start(move |seen, _| {
            let id = count_.load(Ordering::SeqCst);
            match seen.at("/method").as_str() {
                Some("server/discover") => vec![Act::json(404, "{}")],
                Some("initialize") => {
                    count_.fetch_add(1, Ordering::SeqCst);
                    let version = if id < 2 { "1" } else { version };
                    let info = INITIALIZED
                        .replace(r#""version":"1""#, &format!(r#""version":"{version}""#));
                    let id = format!("s{}", id + 1);
                    let headers = [("content-type", "application/json"), ("mcp-session-id", &*id)];
                    vec![Act::reply(200, &headers, &result(seen, &info))]
                }
                // The client's first session expires.
                Some("tools/call") if seen.header("mcp-session-id") == Some("s2") => {
                    vec![Act::reply(404, &[], "")]
                }
                Some("tools/call") => {
                    let headers = [("content-type", "application/json"), ("mcp-session-id", "odd")];
                    vec![Act::reply(200, &headers, &result(seen, "{}"))]
                }
                _ => vec![Act::accepted()],
            }
        })
        .await;
        let peer = peer(&mock);
        call(&peer).await.unwrap();
        let (exchange, _met) = client(1, Profile::NONE);
        for _ in 0..2 {
            call_as(&peer, &exchange).await.unwrap();
        }
        assert_eq!(count(&mock, "initialize"), 3);
        assert_eq!(*peer.changes().borrow(), ticks, "lists are looked at for another server only");
        let last = mock.seen().pop().unwrap();
        assert_eq!(last.header("mcp-session-id"), Some("s3"), "an id that changes is ignored");
        assert!(ended(&mock).is_empty(), "what the server has forgotten is not ended");
    }
}

#[tokio::test]
async fn what_goes_in_the_background_carries_the_last_credential() {
    let mock = plain_server("{}").await;
    let peer = peer(&mock);
    let (exchange, _met) = client(1, Profile::NONE);
    for token in ["one", "two"] {
        let headers = [
            (http::header::AUTHORIZATION, HeaderValue::from_static(token)),
            (HeaderName::from_static("mcp-param-x"), HeaderValue::from_static("x")),
        ];
        let outgoing = Outgoing {
            method: "tools/call",
            headers: &headers,
            exchange: Some(&exchange),
            ..Outgoing::default()
        };
        peer.request(&outgoing).await.unwrap();
    }
    peer.release(Affinity(1));
    mock.until(|mock| !ended(mock).is_empty()).await;
    let seen = mock.seen();
    let set_up = seen.iter().find(|seen| seen.at("/method") == "initialize").unwrap();
    let end = seen.last().unwrap();
    for (seen, token) in [(set_up, "one"), (end, "two")] {
        assert_eq!(seen.header("authorization"), Some(token));
        assert_eq!(seen.header("mcp-param-x"), None, "that belongs to one request");
    }
}
