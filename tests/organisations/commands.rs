//! The command line and the admin API, about one organisation or all of them.

use hyper::Method;
use serde_json::{Value, json};

use super::{ORGS, Stand, fill, status, upstream};
use crate::support::{Client, Setup};

#[tokio::test]
async fn status_and_configuration_are_of_one_organisation() {
    let stand = Stand::new().await;
    let of_acme = status(&stand.gateway, "acme").await;
    assert_eq!(of_acme["org"], "acme");
    assert_eq!(of_acme.get("organisations"), None, "one is told nothing of the others");
    let urls: Vec<&str> = of_acme["vmcps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["url"].as_str().unwrap())
        .collect();
    assert!(urls.iter().all(|url| url.contains("/o/acme/mcp/")), "{urls:?}");
    let top = status(&stand.gateway, "").await;
    let others: Vec<_> = top["organisations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(others, [("acme", "serving"), ("beta", "serving")]);

    // What is applied to one is in one, under a name that all of them have free.
    let dir = tempfile::tempdir().unwrap();
    for folder in ["vmcps", "connectors"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    let url = stand.mocks[2].url();
    let remote = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
    std::fs::write(dir.path().join("connectors/more.toml"), remote).unwrap();
    std::fs::write(
        dir.path().join("vmcps/applied.toml"),
        "title = \"A\"\nconnectors = [\"more\"]\n",
    )
    .unwrap();
    let applied = stand.cli("beta", &["apply", dir.path().to_str().unwrap()]).await;
    assert!(applied.ok && applied.stdout.contains("+ vmcp applied"), "{applied:?}");
    for org in ORGS {
        let list = stand.alice(org, "applied").request("tools/list", json!({})).await;
        assert_eq!(list.status == 200, org == "beta", "{org}: {list:?}");
    }
    let nobody = stand.cli("nobody", &["status"]).await;
    assert!(!nobody.ok && nobody.stderr.contains("no organisation `nobody`"), "{nobody:?}");
}

#[tokio::test]
async fn the_command_line_knows_organisations() {
    let mock = upstream("acme").await;
    let setup = Setup::simple(&mock)
        .organisation("acme", |setup| fill(setup, &mock, "facts"))
        .organisation("beta", |setup| setup.file("vmcps/b.toml", "title = 1\n"));
    let config = setup.config();
    let dir = config.to_str().unwrap();
    let made = setup
        .cli(&["key", "new", "--name", "bob", "--user", "bob@example.com", "--org", "acme"])
        .await;
    assert!(made.ok, "{made:?}");
    assert!(config.join("orgs/acme/keys/bob.toml").is_file());
    assert!(!config.join("keys/bob.toml").exists());
    let nowhere = setup
        .cli(&["key", "new", "--name", "bob", "--user", "bob@example.com", "--org", "nobody"])
        .await;
    assert!(!nowhere.ok && nowhere.stderr.contains("no organisation `nobody`"), "{nowhere:?}");

    let checked = setup.bare_cli(&["check", dir]).await;
    assert!(!checked.ok && checked.stderr.contains("orgs/beta/vmcps/b.toml"), "{checked:?}");
    let one = setup.bare_cli(&["check", dir, "--org", "acme"]).await;
    assert!(one.ok && one.stdout.contains("organisation acme: 1 connectors"), "{one:?}");

    std::fs::remove_dir_all(config.join("orgs/beta")).unwrap();
    for (folder, says) in [
        ("orgs/default", "the organisation `default` is the top"),
        ("orgs/Not A Name", "rename the folder"),
        ("orgs/acme/orgs", "holds no organisations"),
    ] {
        std::fs::create_dir_all(config.join(folder)).unwrap();
        let checked = setup.bare_cli(&["check", dir]).await;
        assert!(!checked.ok && checked.stderr.contains(says), "{folder}: {checked:?}");
        std::fs::remove_dir_all(config.join(folder)).unwrap();
    }
    let checked = setup.bare_cli(&["check", dir]).await;
    assert!(checked.ok, "{checked:?}");

    let observed = setup.cli(&["plugin", "observe", "noter", "--org", "acme"]).await;
    assert!(observed.ok, "{observed:?}");
    let text = std::fs::read_to_string(config.join("orgs/acme/plugins/noter.toml")).unwrap();
    assert!(text.contains("observe"), "{text}");
    let listed = setup.cli(&["plugin", "list", "--org", "acme"]).await;
    assert!(listed.ok && listed.stdout.contains("noter"), "{listed:?}");
    let listed = setup.cli(&["plugin", "list"]).await;
    assert!(listed.ok && !listed.stdout.contains("noter"), "{listed:?}");
}

#[tokio::test]
async fn a_directory_with_organisations_is_applied_whole_or_not_at_all() {
    let mock = upstream("acme").await;
    let gateway = Setup::simple(&mock)
        .organisation("acme", |setup| setup)
        .organisation("beta", |setup| setup)
        .start()
        .await;
    let from = fill(Setup::new(), &mock, "facts")
        .organisation("acme", |setup| fill(setup, &mock, "facts"));
    let dir = from.config();
    for shared in ["connectors/up.toml", "vmcps/main.toml", "keys/alice.toml", "policies/all.cedar"]
    {
        std::fs::remove_file(dir.join(shared)).unwrap();
    }
    for plugin in ["counter", "noter", "talker"] {
        std::fs::remove_file(dir.join(format!("plugins/{plugin}.toml"))).unwrap();
    }
    for vmcp in ["notes", "spoken"] {
        std::fs::write(dir.join(format!("vmcps/{vmcp}.toml")), "title = \"x\"\nconnectors = []\n")
            .unwrap();
    }
    let gone = dir.join("orgs/gamma");
    std::fs::create_dir_all(&gone).unwrap();
    let refused = gateway.cli(&["apply", dir.to_str().unwrap()]).await;
    assert!(!refused.ok && refused.stderr.contains("no organisation `gamma`"), "{refused:?}");
    assert_eq!(status(&gateway, "acme").await["vmcps"], json!([]), "nothing was changed");
    std::fs::remove_dir(&gone).unwrap();
    let applied = gateway.cli(&["apply", dir.to_str().unwrap()]).await;
    assert!(applied.ok && applied.stdout.contains("organisation acme"), "{applied:?}");
    let count = async |org: &str| status(&gateway, org).await["vmcps"].as_array().unwrap().len();
    assert_eq!((count("").await, count("acme").await, count("beta").await), (3, 3, 0));
}

#[tokio::test]
async fn an_owner_reaches_no_further_than_the_organisation() {
    let (top, acme) = (upstream("default").await, upstream("acme").await);
    let gateway = Setup::simple(&top)
        .organisation("acme", |setup| owned(fill(setup, &acme, "facts"), "orgs/acme/"))
        .start()
        .await;
    let boss =
        |path: &str| Client::new(gateway.address, path).with_key(gateway.key("orgs/acme/boss"));
    let own = boss("/o/acme/api/v1/status").send(Method::GET, &[], "").await;
    assert_eq!((own.status.as_u16(), &own.json()["org"]), (200, &json!("acme")), "{own:?}");
    assert_eq!(own.json().get("organisations"), None);
    for path in ["/api/v1/status", "/o/default/api/v1/status", "/o/nobody/api/v1/status"] {
        assert_eq!(boss(path).send(Method::GET, &[], "").await.status, 401, "{path}");
    }
    let apply = async |resources: Value| {
        let body = json!({ "resources": resources }).to_string();
        boss("/o/acme/api/v1/config/apply").send(Method::POST, &[], body).await
    };
    let remote = "https://mcp.example.com/mcp";
    for connector in [
        json!({ "kind": "hosted", "command": "sh" }),
        json!({ "kind": "remote", "url": remote, "allow": ["loopback"] }),
        json!({ "kind": "remote", "url": remote, "auth": { "secret": "env:HOME" } }),
    ] {
        let refused = apply(json!({ "connectors": { "more": connector } })).await;
        assert_eq!(refused.status, 403, "{connector}: {refused:?}");
        assert!(refused.json()["error"].as_str().unwrap().contains("the machine"), "{refused:?}");
    }
    let vmcp = json!({ "vmcps": { "more": { "title": "More", "connectors": ["up"] } } });
    let applied = apply(vmcp).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    let names =
        async |org: &str| status(&gateway, org).await["vmcps"].to_string().contains("\"more\"");
    assert_eq!((names("acme").await, names("").await), (true, false));
}

/// With a key `boss` that has the role of an owner; `within` is the folder.
fn owned(setup: Setup, within: &str) -> Setup {
    let setup = setup.key("boss", &[]);
    let file = setup.config().join(within).join("keys/boss.toml");
    let text = std::fs::read_to_string(file).unwrap();
    setup.file("keys/boss.toml", &format!("roles = [\"owner\"]\n{text}"))
}
