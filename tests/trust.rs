//! Whom the gateway trusts on the way out: `[egress]` in gateway.toml.

use serde_json::json;

use crate::support::{Authority, Era, Mock, MockTool, Setup, eventually};

/// A set-up with a connector behind TLS of this authority.
fn behind(url: &str) -> Setup {
    let text = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    Setup::new()
        .file("connectors/up.toml", &text)
        .vmcp("main", &["up"])
        .key("alice", &["staff"])
        .policy("all", "permit (principal, action, resource);")
}

#[tokio::test]
async fn a_connector_is_reached_under_an_authority_that_was_added_and_under_no_other() {
    let mock = Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await;
    let (known, other) = (Authority::new(), Authority::new());
    let front = known.front(mock.address).await;
    let url = format!("{}/mcp", front.origin());

    // Two authorities in two files, one of them with both: all count.
    let gateway = behind(&url)
        .file("ca.pem", &(other.pem() + &known.pem()))
        .file("other.pem", &other.pem())
        .settings("[egress]\nroots = [\"file:ca.pem\", \"file:other.pem\"]")
        .start()
        .await;
    let answer = gateway.client("alice", "main").call("echo", json!({ "message": "hi" })).await;
    assert_eq!(answer.text(), r#"{"message":"hi"}"#);
    drop(gateway);

    let received = mock.received().len();
    for roots in ["", "[egress]\nroots = [\"file:other.pem\"]"] {
        let before = front.connections();
        let gateway = behind(&url).file("other.pem", &other.pem()).settings(roots).start().await;
        eventually("an attempt", || async { (front.connections() > before).then_some(()) }).await;
        let answer = gateway.client("alice", "main").call("echo", json!({ "message": "hi" })).await;
        assert!(!answer.message.to_string().contains(r#"{\"message\":\"hi\"}"#), "{answer:?}");
    }
    assert_eq!(mock.received().len(), received, "something was said to a server without trust");
}

#[tokio::test]
async fn roots_that_cannot_be_used_are_said_before_anything_starts() {
    let authority = Authority::new();
    for (file, text, says) in [
        ("none.pem", None, "cannot be read"),
        ("empty.pem", Some(String::new()), "no certificate"),
        ("cut.pem", Some(authority.pem().replace("-----END", "----")), ""),
    ] {
        let roots = format!("[egress]\nroots = [\"file:{file}\"]");
        let setup = Setup::new().settings(&roots);
        let setup = match text {
            Some(text) => setup.file(file, &text),
            None => setup,
        };
        let refused = setup.start_refused().await;
        let checked = setup.bare_cli(&["check", setup.config().to_str().unwrap()]).await;
        assert!(!checked.ok, "{file}");
        for told in [refused, checked.stderr] {
            for word in [file, says, "egress.roots"] {
                assert!(told.contains(word), "no `{word}`: {told}");
            }
        }
    }
}
