//! The commands that administer, over the socket.

use serde_json::{Value, json};

use super::Office;
use crate::support::{CliOutput, Setup, TestGateway};

async fn done(gateway: &TestGateway, args: &[&str]) -> CliOutput {
    let output = gateway.cli(args).await;
    assert!(output.ok, "{args:?}: {output:?}");
    output
}

async fn json_of(gateway: &TestGateway, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.push("--json");
    serde_json::from_str(&done(gateway, &args).await.stdout).unwrap()
}

#[tokio::test]
async fn commands_administer_over_the_socket() {
    let office = Office::open(Setup::new()).await;
    let gateway = &office.gateway;
    let added =
        done(gateway, &["user", "add", "ae@example.com", "--name", "Ae\u{1b}[31m", "--owner"]);
    let added = added.await;
    assert!(added.stdout.contains("roles            member, owner"), "{added:?}");
    assert!(!added.stdout.contains('\u{1b}'), "{added:?}");
    assert!(added.stderr.contains("/welcome/"), "{added:?}");
    done(gateway, &["user", "add", "bot", "--agent", "--role", "auditor"]).await;
    let users = json_of(gateway, &["user", "list"]).await;
    assert_eq!(users.as_array().unwrap().len(), 2);
    let table = done(gateway, &["user", "list", "--prefix", "bo"]).await.stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("USER") && lines[1].starts_with("bot   agent"), "{table}");

    let change =
        ["user", "change", "ae@example.com", "--group", "it", "--group", "hr", "--name", ""];
    let changed = json_of(gateway, &change).await;
    assert_eq!((&changed["groups"], changed.get("name")), (&json!(["hr", "it"]), None));
    done(gateway, &["user", "sign-out", "ae@example.com"]).await;
    let refused = gateway.cli(&["user", "deactivate", "ae@example.com"]).await;
    assert!(!refused.ok && refused.stderr.contains("last active owner"), "{refused:?}");
    let refused = gateway.cli(&["user", "change", "ae@example.com"]).await;
    assert!(!refused.ok && refused.stderr.contains("say what"), "{refused:?}");
    let refused = gateway.cli(&["user", "show", "x@example.com"]).await;
    assert!(refused.stderr.contains("there is no user `x@example.com`"), "{refused:?}");

    done(gateway, &["group", "add", "sales", "--member", "ae@example.com"]).await;
    done(gateway, &["group", "change", "sales", "--add", "bot", "--remove", "ae@example.com"])
        .await;
    let group = json_of(gateway, &["group", "show", "sales"]).await;
    assert_eq!(group["members"], json!(["bot"]));
    let asked = gateway.cli(&["group", "remove", "sales"]).await;
    assert!(!asked.ok && asked.stderr.contains("--yes"), "{asked:?}");
    done(gateway, &["group", "remove", "sales", "--yes"]).await;
    assert_eq!(done(gateway, &["group", "list"]).await.stdout.trim(), "no groups");

    let made =
        done(gateway, &["key", "create", "k", "--user", "bot", "--expires", "2099-12-31"]).await;
    assert!(made.stdout.starts_with("tg_k_"), "{made:?}");
    let keys = done(gateway, &["key", "list"]).await.stdout;
    assert!(keys.contains("2100-01-01T00:00:00.000Z") && keys.contains("stored"), "{keys}");
    done(gateway, &["key", "revoke", "k"]).await;
    let roles = done(gateway, &["role", "list"]).await.stdout;
    let auditor = roles.lines().find(|line| line.starts_with("auditor")).unwrap();
    assert!(auditor.contains(" 1 ") && auditor.contains("payload_read"), "{roles}");
    let clients = done(gateway, &["client", "list"]).await.stdout;
    assert!(clients.contains("tidegate-cli"), "{clients}");
    done(gateway, &["client", "show", "tidegate-cli"]).await;
    assert_eq!(done(gateway, &["grant", "list"]).await.stdout.trim(), "no grants");
    let revoked = done(gateway, &["grant", "revoke", "--user", "bot"]).await;
    assert_eq!(revoked.stdout.trim(), "0 grants ended");
    let sessions = done(gateway, &["session", "list", "--user", "bot"]).await;
    assert_eq!(sessions.stdout.trim(), "no sessions");
    done(gateway, &["user", "remove", "bot", "--yes"]).await;
}

#[tokio::test]
async fn without_a_gateway_or_a_sign_in_a_command_says_what_to_do() {
    let setup = Setup::new();
    let home = tempfile::tempdir().unwrap();
    let setup = setup.environment("XDG_CONFIG_HOME", home.path().to_str().unwrap());
    let nobody = setup.bare_cli(&["user", "list", "--gateway", "http://127.0.0.1:1"]).await;
    assert!(nobody.stderr.contains("tidegate login http://127.0.0.1:1"), "{nobody:?}");
    let nobody = setup.bare_cli(&["logout"]).await;
    assert!(!nobody.ok && nobody.stderr.contains("nobody is signed in"), "{nobody:?}");
    let nobody = setup.bare_cli(&["login", "http://127.0.0.1:1"]).await;
    assert!(!nobody.ok && nobody.stderr.contains("no gateway can be reached"), "{nobody:?}");
    let open = home.path().join("tidegate/credentials.json");
    std::fs::create_dir_all(open.parent().unwrap()).unwrap();
    std::fs::write(&open, "{\"v\":1}").unwrap();
    let refused = setup.bare_cli(&["logout"]).await;
    assert!(refused.stderr.contains("chmod 600"), "{refused:?}");
}
