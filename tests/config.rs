//! Every way a person gets a file wrong, and the one sentence they get for it.
//!
//! A row changes or adds one file of a directory that is in order and says what
//! `tidegate check` must answer: where, what, and what to do.

use crate::{
    guests::guest,
    support::{CliOutput, Setup},
};

/// A directory that is in order: one component as connector, a virtual MCP, a plugin, a
/// policy and a key.
fn good() -> Setup {
    let connector = format!("kind = \"wasm\"\ncomponent = {:?}\n", guest("crm"));
    Setup::new()
        .file("gateway.toml", "listen = \"127.0.0.1:0\"\n")
        .file("connectors/crm.toml", &connector)
        .vmcp("sales", &["crm"])
        .key("alice", &["staff"])
        .file("plugins/redact.toml", &redact(""))
        .policy("all", "permit (principal, action, resource);")
}

/// What the component of `redact` imports.
const REDACT_GRANTS: &str = "grants = [\"credential\", \"facts\", \"log\"]\n";

fn redact(more: &str) -> String {
    let grants = if more.contains("grants") { "" } else { REDACT_GRANTS };
    format!("component = {:?}\n{grants}{more}\n", guest("redact"))
}

async fn check(setup: &Setup) -> CliOutput {
    setup.bare_cli(&["check", setup.config().to_str().unwrap()]).await
}

/// One wrong file and what must be said about it.
struct Row {
    file: &'static str,
    text: String,
    says: &'static [&'static str],
}

fn row(file: &'static str, text: &str, says: &'static [&'static str]) -> Row {
    Row { file, text: text.to_owned(), says }
}

async fn check_rows(rows: Vec<Row>) {
    for row in rows {
        let setup = good().file(row.file, &row.text);
        let output = check(&setup).await;
        let (file, text) = (row.file, &row.text);
        assert!(!output.ok, "{file} was taken: {text}");
        assert!(output.stdout.is_empty(), "{file}: {output:?}");
        let lines: Vec<&str> = output.stderr.lines().collect();
        let named = lines.iter().find(|line| line.contains(file));
        let named = named.unwrap_or_else(|| panic!("{file} is not named: {output:?}"));
        for word in row.says {
            assert!(named.contains(word), "`{word}` is missing: {named}");
        }
        assert_eq!(lines.last(), Some(&"1 problem"), "{file} {text}: {output:?}");
    }
}

#[tokio::test]
async fn a_directory_in_order_is_said_to_be() {
    let output = check(&good()).await;
    assert!(output.ok && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout.contains("all in order"), "{output:?}");
}

#[tokio::test]
async fn mistakes_in_gateway_toml() {
    let at = |text, says| row("gateway.toml", text, says);
    check_rows(vec![
        at("listn = \"127.0.0.1:0\"", &["gateway.toml:1:1", "`listn`", "did you mean `listen`?"]),
        at("\n\nlisten = \"localhost\"", &["gateway.toml:3:10"]),
        at("listen = ", &["gateway.toml:1:"]),
        at("listen = \"0.0.0.0:80\"", &["without TLS", "127.0.0.1"]),
        at("public_url = \"ftp://x\"", &["`public_url`", "https://"]),
        at("[audit]\ndurabilty = \"disk\"", &["gateway.toml:2:1", "did you mean `durability`?"]),
        at("[audit]\ndurability = \"dsk\"", &["gateway.toml:2:14", "did you mean `disk`?"]),
        at("[audit]\npayload_limit = \"16\"", &["gateway.toml:2:17", "a whole number"]),
        at("[keys]\nprovider = \"vault:x\"", &["`keys.provider`", "file:PATH"]),
        at("[limits]\nbody = 1", &["`[limits]`", "too small"]),
        at("[plugins]\nmemory_mib = 63", &["`plugins.memory_mib` is 63", "64 to 1048576"]),
        at("[plugins]\ninstances = 4097", &["`plugins.instances` is 4097", "8 to 4096"]),
    ])
    .await;
}

#[tokio::test]
async fn mistakes_in_a_connector() {
    let at = |text, says| row("connectors/crm.toml", text, says);
    check_rows(vec![
        at("url = \"http://127.0.0.1:1/mcp\"", &["missing field `kind`"]),
        at("kind = \"remot\"", &["crm.toml:1:8", "did you mean `remote`?"]),
        at("kind = \"remote\"", &["needs `url`", "Streamable HTTP"]),
        at("kind = \"remote\"\nurll = \"x\"", &["crm.toml:2:1", "did you mean `url`?"]),
        at("kind = \"remote\"\nurl = \"nonsense\"", &["nonsense"]),
        at("kind = \"remote\"\nurl = \"ftp://example.com/mcp\"", &["ftp"]),
        at("kind = \"remote\"\nurl = \"https://a/\"\nallow = [\"everything\"]", &["crm.toml:3:", "everything"]),
        at("kind = \"hosted\"", &["needs `command`"]),
        at("kind = \"wasm\"", &["needs `component`"]),
        at("kind = \"wasm\"\ncomponent = \"nope.wasm\"", &["nope.wasm", "does not exist", "relative to this file"]),
        at("kind = \"wasm\"\ncomponent = \"crm.toml\"\nurl = \"http://a\"", &["`url` does not belong", "`kind = \"remote\"`"]),
        at("kind = \"remote\"\nurl = \"https://a/\"\n[limits]\nconcurrency = 0", &["`[limits]`", "too small"]),
        at("kind = \"remote\"\nurl = \"https://a/\"\n[auth]\nsecret = \"env:X\"\nformat = \"Bearer\"", &["`auth.format`", "{}"]),
        at("kind = \"remote\"\nurl = \"https://a/\"\n[auth]\nsecret = \"env:X\"\nheader = \"a b\"", &["`a b`", "header"]),
        at("kind = \"remote\"\nurl = \"https://a/\"\n[tools.echo]\nreadonly = true", &["crm.toml:4:1", "did you mean `read_only`?"]),
    ])
    .await;
}

#[tokio::test]
async fn a_secret_that_is_written_down_is_refused_and_not_repeated() {
    let text = "kind = \"remote\"\nurl = \"https://a/\"\n[auth]\nsecret = \"canary-4711\"\n";
    let output = check(&good().file("connectors/crm.toml", text)).await;
    assert!(!output.ok && output.stderr.contains("`env:NAME` or `file:PATH`"), "{output:?}");
    assert!(output.stderr.contains("crm.toml:4:"), "{output:?}");
    assert!(!output.stderr.contains("canary-4711"), "{output:?}");
}

#[tokio::test]
async fn mistakes_in_a_virtual_mcp() {
    let at = |text, says| row("vmcps/sales.toml", text, says);
    check_rows(vec![
        at("connectors = [\"crm\"]", &["missing field `title`"]),
        at(
            "title = \"x\"\nconnectors = [\"crn\"]",
            &["connector `crn` does not exist", "did you mean `crm`?"],
        ),
        at("title = \"x\"\nconnectors = [\"crm\", \"crm\"]", &["lists `crm` twice"]),
        at(
            "title = \"x\"\nconnectors = [\"crm\"]\nonly = [\"crm\"]",
            &["`crm`", "`connector/tool`"],
        ),
        at(
            "title = \"x\"\nconnectors = [\"crm\"]\n[[tool]]\nfrom = \"mail/send\"",
            &["`mail`", "`connectors` does not list"],
        ),
        at(
            "title = \"x\"\nconnectors = [\"crm\"]\n[[tools]]\nfrom = \"crm/x\"",
            &["sales.toml:3:", "did you mean `tool`?"],
        ),
        at(
            "title = \"x\"\nconnectors = [\"crm\"]\n[[tool]]\nfrom = \"crm/x\"\nhide = true",
            &["sales.toml:5:1", "`hide`"],
        ),
        row(
            "vmcps/Sales Team.toml",
            "title = \"x\"\nconnectors = [\"crm\"]",
            &["`Sales Team`", "rename the file"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn mistakes_in_a_plugin() {
    let at = |text: String, says| Row { file: "plugins/redact.toml", text, says };
    let other = |name| format!("component = {:?}\n", guest(name));
    check_rows(vec![
        at("bind = []".into(), &["`component` is missing"]),
        at("component = \"nope.wasm\"".into(), &["nope.wasm", "does not exist"]),
        at("component = \"redact.toml\"".into(), &["redact.toml", "component"]),
        at(other("crm"), &["neither an interceptor nor a customizer", "connectors/"]),
        at(other("hostile-import"), &["import"]),
        at(other("hostile"), &["capability", "`grants`"]),
        at(redact("grants = [\"network\"]"), &["`network`"]),
        at(redact("bind = [{ vmcp = \"sale\" }]"), &["`sale`", "did you mean `sales`?"]),
        at(redact("bind = [{ tool = \"crm\" }]"), &["`crm`", "`connector/tool`"]),
        at(redact("bind = [{ connector = \"mail\" }]"), &["`mail`, which does not exist"]),
        at(redact("bind = [{ vmpc = \"sales\" }]"), &["redact.toml:3:", "did you mean `vmcp`?"]),
        at(redact("mode = \"watch\""), &["redact.toml:3:8", "`watch`"]),
        at(redact("[limits]\ntime_ms = 0"), &["`limits.time_ms`", "1 to 10000"]),
        at(redact("[config]\nmask = [\"cards\"]"), &["cards"]),
        at(redact("[config]\nmsk = [\"card\"]"), &["msk"]),
    ])
    .await;
}

#[tokio::test]
async fn mistakes_in_a_key() {
    let hash = format!("hash = \"sha256:{}\"", "0".repeat(64));
    let at = |text: String, says| Row { file: "keys/bob.toml", text, says };
    check_rows(vec![
        at("user = \"bob\"".into(), &["missing field `hash`"]),
        at("user = \"bob\"\nhash = \"secret\"".into(), &["bob.toml"]),
        at(format!("user = \"b o b\"\n{hash}"), &["`b o b`", "user"]),
        at(format!("user = \"bob\"\n{hash}\nexpires = \"soon\""), &["`soon`", "2027-12-31"]),
        at(
            format!("user = \"bob\"\n{hash}\nvmcps = [\"sails\"]"),
            &["`sails`", "did you mean `sales`?"],
        ),
        at(
            format!("user = \"bob\"\n{hash}\ngroup = [\"a\"]"),
            &["bob.toml:3:1", "did you mean `groups`?"],
        ),
        row("keys/Bob.toml", "user = \"bob\"", &["`Bob`", "rename the file"]),
    ])
    .await;
    let setup = good();
    let alice = std::fs::read_to_string(setup.config().join("keys/alice.toml")).unwrap();
    let output = check(&setup.file("keys/twin.toml", &alice)).await;
    assert!(output.stderr.contains("same hash as key `alice`"), "{output:?}");
}

#[tokio::test]
async fn mistakes_in_a_policy() {
    let at = |text, says| row("policies/all.cedar", text, says);
    check_rows(vec![
        at("permit (principal, action, resource)", &["all.cedar:1:"]),
        at("// ok\npermit (principal, action, resorce);", &["all.cedar:2:"]),
        at(
            "permit (principal, action == Action::\"crm/search_contact\", resource);",
            &["all.cedar:1:", "crm/search_contact", "crm/search_contacts"],
        ),
        at(
            "permit (principal,\n  action == Action::\"crm/update_opportunity\", resource)\nwhen { context.input.amount > 5 };",
            &["all.cedar:3:", "amount"],
        ),
        at(
            "permit (principal, action == Action::\"crm/search_contacts\", resource)\nwhen { context.input.query > 5 };",
            &["all.cedar:2:"],
        ),
        at("permit (principal in Grup::\"a\", action, resource);", &["all.cedar:1:", "Group"]),
        at("@reson(\"x\") permit (principal, action, resource);", &["all.cedar:1:1", "reason"]),
        at("@mode(\"shadows\") permit (principal, action, resource);", &["all.cedar:1:1", "shadow"]),
        at(
            "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
            &["all.cedar:2:", "`a`"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let setup = good()
        .file("gateway.toml", "listn = 1")
        .file("connectors/crm.toml", "kind = \"remot\"")
        .file("vmcps/sales.toml", "title = 7")
        .file("keys/bob.toml", "user = \"bob\"")
        .file("plugins/redact.toml", "x = 1");
    std::fs::create_dir(setup.config().join("connector")).unwrap();
    let output = check(&setup).await;
    for word in
        ["gateway.toml", "crm.toml", "sales.toml", "bob.toml", "redact.toml", "`connectors`?"]
    {
        assert!(output.stderr.contains(word), "{word}: {output:?}");
    }
    // What the program starts with is held to the same.
    let refused = setup.file("gateway.toml", "").start_refused().await;
    assert!(refused.contains("crm.toml:1:8"), "{refused}");
    let output = Setup::new().bare_cli(&["check", "/nonexistent/directory"]).await;
    assert!(!output.ok && output.stderr.contains("is no directory"), "{output:?}");
}
