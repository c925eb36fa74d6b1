//! Egress against servers on loopback: what is dialled, what is followed, what is reused.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::client::mock::{Act, Mock};

fn loopback() -> Rules {
    let allow = AddressPolicy { loopback: true, ..AddressPolicy::default() };
    Rules { allow, ..Rules::default() }
}

fn fixed(table: impl Fn(&str) -> Vec<&'static str> + Send + Sync + 'static) -> Resolver {
    Resolver::Fixed(Arc::new(move |host| {
        Ok(table(host).into_iter().map(|ip| ip.parse::<IpAddr>().unwrap()).collect())
    }))
}

async fn post(destination: &Destination) -> Result<(u16, String), EgressError> {
    let reply = destination.send(&Method::POST, &[], &Bytes::from_static(b"{}")).await?;
    let status = reply.status.as_u16();
    let body = reply.body.collect(1 << 20).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn connections_are_reused() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "[1]")]).await;
    let egress = Egress::new(Resolver::System, None).unwrap();
    let destination = egress.destination(&mock.url(), loopback()).unwrap();
    for _ in 0..5 {
        assert_eq!(post(&destination).await.unwrap(), (200, "[1]".to_owned()));
    }
    assert_eq!(mock.connections(), 1);
    let seen = &mock.seen()[0];
    assert_eq!(seen.header("host"), Some(mock.address().to_string().as_str()));
    assert_eq!((seen.path.as_str(), seen.body.as_str()), ("/mcp", "{}"));
    assert_eq!(seen.header("accept-encoding"), None);
}

/// One request at a time empties the pool and fills it again.
#[tokio::test]
async fn one_task_alone_looks_for_idle_connections() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1")]).await;
    let egress = Egress::new(Resolver::System, None).unwrap();
    let rules = Rules { keep_idle: Duration::from_secs(3_600), ..loopback() };
    let destination = egress.destination(&mock.url(), rules).unwrap();
    for _ in 0..20 {
        post(&destination).await.unwrap();
    }
    assert_eq!(mock.connections(), 1);
    // That one, the mock's listener and its connection.
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks <= 3, "{tasks} tasks");
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1"), Act::Close]).await;
    let egress = Egress::new(Resolver::System, None).unwrap();
    let destination = egress.destination(&mock.url(), loopback()).unwrap();
    for round in 1..=3 {
        post(&destination).await.unwrap();
        mock.until(|mock| mock.gone() == round).await;
    }
    assert_eq!(mock.connections(), 3);
}

#[tokio::test]
async fn an_unread_body_closes_the_connection() {
    let mock = Mock::start(|_, _| vec![Act::stream(), Act::chunk("x"), Act::Hang]).await;
    let egress = Egress::new(Resolver::System, None).unwrap();
    let destination = egress.destination(&mock.url(), loopback()).unwrap();
    let mut reply = destination.send(&Method::GET, &[], &Bytes::new()).await.unwrap();
    assert_eq!(reply.body.next().await.unwrap().unwrap(), "x");
    drop(reply);
    mock.until(|mock| mock.gone() == 1).await;
}

#[tokio::test]
async fn private_addresses_are_never_dialled() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1")]).await;
    let port = mock.address().port();
    let resolver = fixed(|host| match host {
        "mixed.test" => vec!["1.1.1.1", "127.0.0.1"],
        "mapped.test" => vec!["::ffff:127.0.0.1"],
        "zero.test" => vec!["0.0.0.0"],
        "metadata.test" => vec!["169.254.169.254"],
        // What the system makes of octal, hexadecimal and short forms.
        _ => vec!["127.0.0.1"],
    });
    let egress = Egress::new(resolver, None).unwrap();
    let rules = Rules {
        allow: AddressPolicy { plain_http: true, ..AddressPolicy::default() },
        ..Rules::default()
    };
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "rebind.test",
        "mixed.test",
        "mapped.test",
        "zero.test",
        "metadata.test",
        "127.0.0.1.nip.io",
    ] {
        let outcome = match egress.destination(&format!("http://{host}:{port}/"), rules.clone()) {
            Ok(destination) => post(&destination).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(matches!(outcome, Err(EgressError::Forbidden { .. })), "{host}: {outcome:?}");
        assert!(outcome.unwrap_err().nothing_sent());
    }
    assert_eq!(mock.connections(), 0);
}

#[tokio::test]
async fn an_answer_that_flips_is_checked_again() {
    let mock = Mock::start(|_, _| vec![Act::json(200, "1"), Act::Close]).await;
    let asked = AtomicUsize::new(0);
    let resolver = fixed(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => vec!["127.0.0.1"],
        _ => vec!["10.0.0.1"],
    });
    let egress = Egress::new(resolver, None).unwrap();
    let url = format!("http://flip.test:{}/", mock.address().port());
    let destination = egress.destination(&url, loopback()).unwrap();
    post(&destination).await.unwrap();
    mock.until(|mock| mock.gone() == 1).await;
    let second = post(&destination).await;
    assert!(matches!(second, Err(EgressError::Forbidden { .. })), "{second:?}");
}

#[tokio::test]
async fn plain_http_to_the_internet_needs_leave() {
    let egress = Egress::new(fixed(|_| vec!["1.1.1.1"]), None).unwrap();
    let destination = egress.destination("http://example.test/", Rules::default()).unwrap();
    assert!(matches!(post(&destination).await, Err(EgressError::Plain(_))));
    assert!(matches!(
        egress.destination("http://1.1.1.1/", Rules::default()),
        Err(EgressError::Plain(_))
    ));
}

#[tokio::test]
async fn redirects_stay_at_home() {
    for (status, location, expected) in [
        (307, "/there", Ok("/there")),
        (308, "/there?x=1", Ok("/there?x=1")),
        (307, "http://SELF/there", Ok("/there")),
        (301, "/there", Err("not keep")),
        (302, "/there", Err("not keep")),
        (303, "/there", Err("not keep")),
        (307, "http://127.0.0.1:1/there", Err("another origin")),
        (307, "https://SELF/there", Err("another origin")),
        (307, "//10.0.0.1/there", Err("another origin")),
        (307, "http://169.254.169.254/latest/meta-data", Err("another origin")),
        (307, "http://user@SELF/there", Err("another origin")),
        (307, "file:///etc/passwd", Err("")),
        (307, "", Err("")),
        (307, "/loop", Err("again and again")),
    ] {
        let mock = Mock::start(move |seen, mock| {
            let location = location.replace("SELF", &mock.address().to_string());
            match seen.path.as_str() {
                "/mcp" | "/loop" => {
                    vec![Act::reply(status, &[("location", location.as_str())], "")]
                }
                _ => vec![Act::json(200, "1")],
            }
        })
        .await;
        let egress = Egress::new(Resolver::System, None).unwrap();
        let destination = egress.destination(&mock.url(), loopback()).unwrap();
        match (post(&destination).await, expected) {
            (Ok(_), Ok(path)) => {
                let seen = mock.seen();
                assert_eq!((seen[1].path.as_str(), seen[1].body.as_str()), (path, "{}"));
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{status} {location}: {error}");
            }
            (outcome, _) => panic!("{status} {location}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn large_and_broken_bodies_end_with_an_error() {
    let endless = || {
        let mut acts = vec![Act::stream()];
        acts.extend((0..64).map(|_| Act::chunk(&"x".repeat(64 * 1024))));
        acts.push(Act::Hang);
        acts
    };
    for (name, acts, too_large) in [
        (
            "declared",
            vec![Act::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")],
            true,
        ),
        ("endless", endless(), true),
        (
            "cut off",
            vec![Act::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), Act::Close],
            false,
        ),
        ("cut chunk", vec![Act::stream(), Act::raw("9\r\nabc"), Act::Close], false),
        ("bad chunk", vec![Act::stream(), Act::raw("zz\r\nabc\r\n")], false),
        ("garbage", vec![Act::raw("\u{1}\u{2}garbage\r\n\r\n")], false),
        (
            "two lengths",
            vec![Act::raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")],
            false,
        ),
        (
            "endless head",
            vec![Act::raw(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20)))],
            false,
        ),
        ("closed", vec![Act::Close], false),
        ("reset", vec![Act::Reset], false),
    ] {
        let mock = Mock::start(move |_, _| acts.clone()).await;
        let egress = Egress::new(Resolver::System, None).unwrap();
        let destination = egress.destination(&mock.url(), loopback()).unwrap();
        match post(&destination).await {
            Err(EgressError::TooLarge { .. }) => assert!(too_large, "{name}"),
            Err(EgressError::Broken { sent, .. }) => assert!(!too_large && sent, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn silence_ends_with_the_time_set_for_the_head() {
    let mock = Mock::start(|_, _| vec![Act::Hang]).await;
    let egress = Egress::new(Resolver::System, None).unwrap();
    let rules = Rules { head_timeout: Some(Duration::from_millis(50)), ..loopback() };
    let destination = egress.destination(&mock.url(), rules).unwrap();
    assert!(matches!(post(&destination).await, Err(EgressError::Head(_))));
    mock.until(|mock| mock.gone() == 1).await;
}

#[tokio::test]
async fn nobody_there_is_a_sentence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let egress = Egress::new(Resolver::System, None).unwrap();
    let error = post(&egress.destination(&url, loopback()).unwrap()).await.unwrap_err();
    assert!(error.nothing_sent());
    assert!(error.to_string().starts_with("no connection to `http://127.0.0.1:"), "{error}");
}

#[test]
fn roots_are_checked() {
    assert!(matches!(Egress::new(Resolver::System, Some(b"")), Err(EgressError::Roots(_))));
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Egress::new(Resolver::System, Some(broken)), Err(EgressError::Roots(_))));
}

/// A TLS server with a certificate for `localhost`, and that certificate as PEM.
async fn tls_server() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut seen = Vec::new();
                while stream.read_buf(&mut seen).await.is_ok_and(|n| n > 0) {
                    if seen.ends_with(b"\r\n\r\n{}") {
                        seen.clear();
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                            .await
                            .unwrap();
                    }
                }
            });
        }
    });
    (port, pem)
}

#[tokio::test]
async fn tls_is_for_the_right_name_under_a_trusted_root() {
    let (port, pem) = tls_server().await;
    let resolver = || fixed(|_| vec!["127.0.0.1"]);
    let trusting = Egress::new(resolver(), Some(pem.as_bytes())).unwrap();
    let wary = Egress::new(resolver(), None).unwrap();
    for (egress, host, works) in [
        (&trusting, "localhost", true),
        (&trusting, "other.test", false),
        (&trusting, "127.0.0.1", false),
        (&wary, "localhost", false),
    ] {
        let url = format!("https://{host}:{port}/mcp");
        let destination = egress.destination(&url, loopback()).unwrap();
        for _ in 0..2 {
            match post(&destination).await {
                Ok((200, body)) => assert!(works && body == "ok", "{url}"),
                Err(EgressError::Connect { .. }) => assert!(!works, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Failures of every kind, many times over, leave no connection and no task behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_leave_nothing_behind() {
    let mocks = [
        Mock::start(|_, _| vec![Act::Close]).await,
        Mock::start(|_, _| vec![Act::Reset]).await,
        Mock::start(|_, _| vec![Act::raw("nonsense\r\n\r\n")]).await,
        Mock::start(|_, _| vec![Act::stream(), Act::raw("5\r\nab"), Act::Close]).await,
        Mock::start(|_, _| vec![Act::Hang]).await,
    ];
    let egress = Egress::new(Resolver::System, None).unwrap();
    let rules = Rules { head_timeout: Some(Duration::from_millis(5)), ..loopback() };
    let destinations =
        mocks.each_ref().map(|mock| egress.destination(&mock.url(), rules.clone()).unwrap());
    for _ in 0..200 {
        for destination in &destinations {
            assert!(post(destination).await.is_err());
        }
    }
    for mock in &mocks {
        mock.until(|mock| mock.gone() == mock.connections()).await;
    }
    // The mocks' own accept loops are all that is left.
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > mocks.len() {
        tokio::task::yield_now().await;
    }
    assert!(open_files() < 200, "{} files are open", open_files());
}
