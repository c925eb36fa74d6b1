//! Plugins as an administrator handles them: installed, granted, bound, turned, rolled back,
//! with and without a running gateway.
//!
//! Owns how tests make several versions of one component. What the commands do to the text of
//! a file is tested beside them; here it is what they say and what the gateway then does.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    guests::guest,
    support::{CliOutput, Client, Era, Mock, MockTool, Setup, TestGateway, eventually},
};

mod many;
mod registry;
mod replacing;
mod signing;

/// A version of a guest: the same component with a note of `number` in it, so that it has
/// another hash. The file is called after the guest.
fn version(dir: &Path, name: &str, number: u8) -> PathBuf {
    let mut bytes = std::fs::read(guest(name)).unwrap();
    // A custom section: its kind, its length, the length of its name, its name, the note.
    bytes.extend([0, 3, 1, b'v', number]);
    let folder = dir.join(number.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The digest of a file as text.
fn digest(path: &Path) -> String {
    let digits: String = Sha256::digest(std::fs::read(path).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{digits}")
}

/// The short form of a digest, as audit rows have it.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

async fn echo() -> Mock {
    Mock::start(Era::Modern, vec![MockTool::echo("echo")]).await
}

/// A command that must succeed.
async fn done(setup: &Setup, args: &[&str]) -> CliOutput {
    let mut all = vec!["plugin"];
    all.extend(args);
    let output = setup.cli(&all).await;
    assert!(output.ok, "{args:?}: {output:?}");
    output
}

/// The same beside a running gateway.
async fn done_at(gateway: &TestGateway, args: &[&str]) -> CliOutput {
    let mut all = vec!["plugin"];
    all.extend(args);
    let output = gateway.cli(&all).await;
    assert!(output.ok, "{args:?}: {output:?}");
    output
}

/// What `plugin list` tells of one plugin.
async fn listed(setup: &Setup, name: &str) -> Value {
    let lines = done(setup, &["list", "--json"]).await.stdout;
    let lines: Vec<Value> = serde_json::from_str(&lines).unwrap();
    lines.into_iter().find(|line| line["name"] == name).unwrap_or_default()
}

fn file(setup: &Setup, name: &str) -> String {
    std::fs::read_to_string(setup.config().join(format!("plugins/{name}.toml"))).unwrap()
}

/// Calls until the note of the only plugin that ran is as expected; `None` for no plugin.
async fn until_note(gateway: &TestGateway, client: &Client, expected: Option<(&str, &str)>) {
    eventually(&format!("the note {expected:?}"), || async {
        client.call("echo", json!({ "message": "hi" })).await.result();
        let rows = gateway.audit().await;
        let calls = rows.iter().rev().find(|row| row["method"] == "tools/call")?;
        let notes = calls["plugins"].as_array().cloned().unwrap_or_default();
        let first = notes.first().map(|note| {
            let text = |name: &str| note[name].as_str().unwrap().to_owned();
            (text("hash"), text("verdict"))
        });
        let expected = expected.map(|(hash, verdict)| (hash.to_owned(), verdict.to_owned()));
        (first == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_component_is_installed_bound_and_turned_while_the_gateway_runs() {
    let mock = echo().await;
    let builds = tempfile::tempdir().unwrap();
    let path = version(builds.path(), "bench-pass", 1);
    let gateway = Setup::simple(&mock).start().await;
    let client = gateway.client("alice", "main");
    let source = path.to_str().unwrap();
    let said = done_at(&gateway, &["install", source, "--name", "pass", "--yes"]).await.stdout;
    for words in [
        "not signed",
        "exports   configuration, before-call, after-call",
        "needs     nothing",
        "nowhere yet",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let pinned = digest(&path);
    let hash = short(&pinned).to_owned();
    let text = std::fs::read_to_string(gateway.config().join("plugins/pass.toml")).unwrap();
    assert!(text.contains(&pinned) && text.contains(&format!("components/pass-{hash}.wasm")));
    until_note(&gateway, &client, None).await;

    done_at(&gateway, &["bind", "pass", "--vmcp", "main", "--limit", "wait_ms=2000"]).await;
    until_note(&gateway, &client, Some((&hash, "proceed"))).await;
    done_at(&gateway, &["observe", "pass"]).await;
    until_note(&gateway, &client, Some((&hash, "observed:proceed"))).await;
    done_at(&gateway, &["disable", "pass"]).await;
    until_note(&gateway, &client, None).await;
    done_at(&gateway, &["enable", "pass"]).await;
    done_at(&gateway, &["enforce", "pass"]).await;
    until_note(&gateway, &client, Some((&hash, "proceed"))).await;

    let shown = done_at(&gateway, &["show", "pass"]).await.stdout;
    assert!(shown.contains("pass (enforce)") && shown.contains("vmcp main"), "{shown}");
    let list = done_at(&gateway, &["list"]).await.stdout;
    assert!(list.contains(&hash) && list.contains("proceed"), "{list}");

    done_at(&gateway, &["unbind", "pass", "--vmcp", "main"]).await;
    until_note(&gateway, &client, None).await;
    done_at(&gateway, &["remove", "pass", "--yes"]).await;
    let left: Vec<_> = std::fs::read_dir(gateway.config().join("plugins/components"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
    assert!(!gateway.config().join("plugins/pass.toml").exists());
    until_note(&gateway, &client, None).await;
}

#[tokio::test]
async fn what_asks_for_more_than_is_granted_is_held() {
    let builds = tempfile::tempdir().unwrap();
    let modest = version(builds.path(), "bench-pass", 1);
    let greedy = version(builds.path(), "hostile", 2);
    let setup = Setup::new();
    let install = |path: &Path| -> Vec<String> {
        ["install", path.to_str().unwrap(), "--name", "p", "--yes"].map(str::to_owned).to_vec()
    };
    let run = async |args: Vec<String>| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        done(&setup, &args).await.stdout
    };

    // The first version is held as a whole: nothing runs, and the directory is in order.
    let said = run(install(&greedy)).await;
    assert!(said.contains("on hold, nothing runs") && said.contains("(not granted)"), "{said}");
    let line = listed(&setup, "p").await;
    assert_eq!(line["state"], "held");
    let needs: Vec<String> = serde_json::from_value(line["needs"].clone()).unwrap();
    assert!(needs.len() > 2 && needs.contains(&"clock".to_owned()), "{needs:?}");
    let check = setup.bare_cli(&["check", setup.config().to_str().unwrap()]).await;
    assert!(check.ok, "{check:?}");
    let again = run(install(&greedy)).await;
    assert!(again.contains("on hold already"), "{again}");

    // One by one; the last one puts it in force.
    for (number, capability) in needs.iter().enumerate() {
        let said = done(&setup, &["grant", "p", capability]).await.stdout;
        let is_last = number + 1 == needs.len();
        assert_eq!(said.contains("is in force now"), is_last, "{said}");
        assert_eq!(listed(&setup, "p").await["state"] == "enforce", is_last);
    }
    let before = file(&setup, "p");
    let again = run(install(&greedy)).await;
    assert!(again.contains("runs this very component already"), "{again}");
    assert_eq!(file(&setup, "p"), before);
    // What else was wanted is not silently left undone, and who signed it is asked first.
    let other_key = builds.path().join("other");
    assert!(setup.bare_cli(&["plugin", "keygen", other_key.to_str().unwrap()]).await.ok);
    for (more, words) in [
        (["--set", "do=loop"], "nothing was changed"),
        (["--grant", "clock"], "nothing was changed"),
        (["--key", "PUB"], "not signed"),
    ] {
        let mut args = vec!["plugin".to_owned()];
        args.extend(install(&greedy));
        let public = other_key.with_extension("pub").to_str().unwrap().to_owned();
        args.extend(more.map(|arg| if arg == "PUB" { public.clone() } else { arg.to_owned() }));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = setup.cli(&args).await;
        assert!(!output.ok && output.stderr.contains(words), "{args:?}: {output:?}");
        assert_eq!(file(&setup, "p"), before, "{args:?}");
    }

    // A version that needs less takes its place; going back needs what is still granted.
    run(install(&modest)).await;
    assert_eq!(listed(&setup, "p").await["digest"], digest(&modest));
    done(&setup, &["rollback", "p"]).await;
    assert_eq!(listed(&setup, "p").await["digest"], digest(&greedy));
    let refused = setup.cli(&["plugin", "revoke", "p", "clock"]).await;
    assert!(!refused.ok && refused.stderr.contains("cannot run without `clock`"), "{refused:?}");
    done(&setup, &["rollback", "p"]).await;
    done(&setup, &["revoke", "p", "clock"]).await;
    let refused = setup.cli(&["plugin", "rollback", "p"]).await;
    assert!(!refused.ok && refused.stderr.contains("`clock`"), "{refused:?}");
    assert_eq!(listed(&setup, "p").await["digest"], digest(&modest));

    // A newer one that needs more again waits beside the one in force.
    let newer = version(builds.path(), "hostile", 3);
    let said = run(install(&newer)).await;
    assert!(said.contains("the version before stays in force"), "{said}");
    let line = listed(&setup, "p").await;
    assert_eq!((&line["digest"], &line["needs"]), (&json!(digest(&modest)), &json!(["clock"])));
    // Taking something away puts nothing in force, whatever the file grants.
    let text = file(&setup, "p");
    let setup = setup
        .file("plugins/p.toml", &text.replace("grants = [", "grants = [\"http\", \"clock\", "));
    done(&setup, &["revoke", "p", "http"]).await;
    let line = listed(&setup, "p").await;
    assert_eq!(line["digest"], digest(&modest), "{line}");
    assert!(file(&setup, "p").contains("[held]"));
    // What takes effect takes the place of what waited.
    let setup = setup.file("plugins/p.toml", &text);
    let newest = version(builds.path(), "bench-pass", 4);
    let install_plain = ["install", newest.to_str().unwrap(), "--name", "p", "--yes"];
    done(&setup, &install_plain).await;
    assert_eq!(listed(&setup, "p").await["digest"], digest(&newest));
    assert!(!file(&setup, "p").contains("[held]"));
    done(&setup, &["install", newer.to_str().unwrap(), "--name", "p", "--yes"]).await;
    done(&setup, &["grant", "p", "clock", "--set", "do=nothing", "--set", "calls_only=true"]).await;
    let line = listed(&setup, "p").await;
    assert_eq!((&line["digest"], &line["needs"]), (&json!(digest(&newer)), &Value::Null));
    assert!(file(&setup, "p").contains("do = \"nothing\"\ncalls_only = true"));
}

#[tokio::test]
async fn a_fault_leaves_everything_as_it_was() {
    let mock = echo().await;
    let builds = tempfile::tempdir().unwrap();
    let modest = version(builds.path(), "bench-pass", 1);
    let greedy = version(builds.path(), "hostile", 1);
    let connector = version(builds.path(), "crm", 1);
    let module = builds.path().join("module.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    let setup = Setup::simple(&mock).file(
        "plugins/p.toml",
        &format!("# Kept by hand.\ncomponent = {:?}\nmode = \"observe\"\n", guest("bench-pass")),
    );
    let [modest, greedy, connector, module] =
        [&modest, &greedy, &connector, &module].map(|path| path.to_str().unwrap());
    let all = |setup: &Setup| {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(setup.config().join("plugins")).unwrap() {
            names.push(entry.unwrap().file_name());
        }
        names.sort();
        (names, file(setup, "p"))
    };
    done(&setup, &["install", modest, "--name", "other", "--yes"]).await;
    let before = all(&setup);
    for (args, words) in [
        (&["install", "nowhere.wasm", "--yes"][..], "nowhere.wasm"),
        (&["install", module, "--yes"], "core module"),
        (&["install", connector, "--yes"], "is a connector"),
        (&["install", modest, "--name", "Bad Name", "--yes"], "Bad Name"),
        (&["install", modest, "--name", "new"], "--yes"),
        (&["install", modest, "--name", "new", "--yes", "--grant", "http"], "does not ask"),
        (&["install", modest, "--name", "new", "--yes", "--grant", "files"], "`files`"),
        (
            &["install", modest, "--name", "new", "--yes", "--set", "a=1"],
            "does not fit its component",
        ),
        (&["grant", "p", "log"], "does not ask for `log`"),
        (&["revoke", "p", "log"], "is not granted `log`"),
        (&["grant", "q", "log"], "did you mean `p`?"),
        (&["bind", "p"], "say where"),
        (&["bind", "p", "--order", "3", "--fail", "open"], "--order is of a place"),
        (&["bind", "p", "--vmcp", "mian"], "did you mean `main`?"),
        (&["bind", "p", "--tool", "echo"], "echo"),
        (&["bind", "p", "--everywhere", "--limit", "time_ms=0"], "`limits.time_ms` is 0"),
        (&["bind", "p", "--limit", "time_ms=soon"], "no number"),
        (&["bind", "p", "--set", "a"], "NAME=VALUE"),
        (&["bind", "p", "--set", "a=1"], "does not fit its component"),
        (&["unbind", "p"], "say from where"),
        (&["unbind", "p", "--vmcp", "main"], "is not bound there"),
        (&["rollback", "p"], "no version to go back to"),
        (&["remove", "p"], "--yes"),
        (&["show", "zzz"], "there is no plugin `zzz`"),
    ] {
        let mut whole = vec!["plugin"];
        whole.extend(args);
        let output = setup.cli(&whole).await;
        assert!(!output.ok && output.stderr.contains(words), "{args:?}: {output:?}");
        assert_eq!(all(&setup), before, "{args:?}");
    }
    let held = setup.cli(&["plugin", "install", greedy, "--name", "g", "--yes"]).await;
    assert!(held.ok, "{held:?}");
    let wrong = setup.cli(&["plugin", "bind", "p", "--everywhere"]).await;
    assert!(wrong.ok, "{wrong:?}");
    assert!(file(&setup, "p").starts_with("# Kept by hand.\n"));
    // A command has another environment than the gateway: what only that has is no fault.
    let secret = "[http]\nhosts = [\"api.example.com\"]\n[credentials.crm]\nenv = \"NOT_HERE\"\n";
    let text = file(&setup, "p") + secret;
    let setup = setup.file("plugins/p.toml", &text);
    done(&setup, &["observe", "p"]).await;
    let refused = setup.start_refused().await;
    assert!(refused.contains("`credentials.crm`") && refused.contains("NOT_HERE"), "{refused}");
    let nowhere = builds.path().to_str().unwrap();
    let output = setup.bare_cli(&["plugin", "list", "--config", nowhere]).await;
    assert!(!output.ok && output.stderr.contains("tidegate apply"), "{output:?}");
}
