//! Signing in from the command line, and administering with what that gave.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::support::{Browser, CliOutput, Client, Setup, TestGateway, eventually, patiently};

const PASSWORD: &str = "correct horse battery";
const OWNER: &str = "owner@example.com";

/// A gateway, its owner's browser, and the settings folder of whoever types commands.
struct Desk {
    gateway: TestGateway,
    browser: Browser,
    home: TempDir,
}

/// A command that has been started and shows something on standard error.
struct Started {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(args).env("XDG_CONFIG_HOME", home).current_dir(home);
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Started {
    /// The first line that holds this, without the space around it.
    async fn line(&mut self, wanted: &str) -> String {
        patiently("what the command shows", async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without showing `{wanted}`"));
                if line.contains(wanted) {
                    return line.trim().to_owned();
                }
            }
        })
        .await
    }

    /// Its end: whether the status was 0, and all that was left on standard error.
    async fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        while let Some(line) = patiently("the end", self.lines.next_line()).await.unwrap() {
            rest.push_str(&line);
            rest.push('\n');
        }
        let status = patiently("the command's end", self.child.wait()).await.unwrap();
        (status.success(), rest)
    }
}

impl Desk {
    async fn open(setup: Setup) -> Self {
        let (gateway, browser) = (setup.start().await, Browser::new());
        let link = eventually("the owner's link", || async {
            let log = gateway.log();
            log.lines().find(|line| line.contains("/welcome/")).map(|line| line.trim().to_owned())
        })
        .await;
        let page = browser.open(&link).await;
        let form = page.form("Go on").set("email", OWNER).set("password", PASSWORD);
        assert_eq!(browser.submit(&page, &form).await.status(), 200);
        Self { gateway, browser, home: tempfile::tempdir().unwrap() }
    }

    fn base(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    fn start(&self, args: &[&str]) -> Started {
        let mut child = command(self.home.path(), args).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Started { child, lines }
    }

    /// A command that uses the sign-in.
    async fn run(&self, args: &[&str]) -> CliOutput {
        let output = command(self.home.path(), args).output();
        let output = patiently("a command", output).await.unwrap();
        CliOutput {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    async fn done(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert!(output.ok, "{args:?}: {output:?}");
        output.stdout
    }

    /// Signs in with a browser in which somebody is signed in already.
    async fn login(&self, browser: &Browser) {
        let mut started = self.start(&["login", &self.base()]);
        let url = started.line("/oauth/authorize?").await;
        let mut page = browser.open(&url).await;
        if page.url.as_str().starts_with(&self.base()) {
            page = browser.submit(&page, &page.form("Allow")).await;
        }
        assert!(page.text().contains("You are signed in"), "{}", page.text());
        let (ok, said) = started.end().await;
        assert!(ok, "{said}");
    }

    fn kept(&self) -> Value {
        let path = self.home.path().join("tidegate/credentials.json");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        kept["gateways"][self.base()].clone()
    }

    fn keep(&self, change: impl FnOnce(&mut Value)) {
        let path = self.home.path().join("tidegate/credentials.json");
        let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut kept["gateways"][self.base()]);
        std::fs::write(&path, kept.to_string()).unwrap();
    }
}

#[tokio::test]
async fn a_person_signs_in_administers_and_signs_out() {
    let desk = Desk::open(Setup::new()).await;
    desk.login(&desk.browser).await;
    let first = desk.kept();
    let users: Value = serde_json::from_str(&desk.done(&["user", "list", "--json"]).await).unwrap();
    assert_eq!(users[0]["id"], OWNER);
    desk.done(&["user", "add", "bot", "--agent"]).await;
    let rows = desk.gateway.audit().await;
    let row = rows.iter().rev().find(|row| row["method"] == "admin:user_write").unwrap();
    assert_eq!(
        (&row["caller"]["user"], &row["caller"]["sign_in"]),
        (&json!(OWNER), &json!("oauth"))
    );
    assert_eq!((&row["client"], &row["source"]), (&json!("tidegate-cli"), &json!("127.0.0.1")));

    // A token that is over is exchanged, and what it was exchanged for is kept.
    desk.keep(|kept| kept["expires"] = 0.into());
    desk.done(&["user", "show", "bot"]).await;
    let second = desk.kept();
    assert_ne!(first["access_token"], second["access_token"]);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let grants = desk.done(&["grant", "list", "--mine"]).await;
    assert!(grants.contains("Tidegate command line"), "{grants}");
    assert!(desk.done(&["session", "list"]).await.contains(OWNER));

    assert!(desk.done(&["logout"]).await.contains("signed out"));
    assert_eq!(desk.kept(), Value::Null);
    let me = Client::new(desk.gateway.address, "/api/v1/me");
    let token = second["access_token"].as_str().unwrap();
    let answer = me.with_key(token).send(Method::GET, &[], "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let over = desk.run(&["user", "list"]).await;
    assert!(!over.ok && over.stderr.contains("tidegate login"), "{over:?}");
}

#[tokio::test]
async fn a_device_without_a_browser_shows_a_code() {
    let desk = Desk::open(Setup::new()).await;
    let mut started = desk.start(&["login", "--device", &desk.base()]);
    let place = started.line("/device").await;
    let code = started.line("-").await;
    let place = place.split(' ').find(|word| word.starts_with("http")).unwrap().to_owned();
    let page = desk.browser.open(&place).await;
    let page = desk.browser.submit(&page, &page.form("Go on").set("code", &code)).await;
    desk.browser.submit(&page, &page.form("Allow")).await;
    let (ok, said) = started.end().await;
    assert!(ok, "{said}");
    assert!(
        desk.done(&["status", "--data", desk.gateway.data().to_str().unwrap()]).await.len() > 10
    );
    assert!(desk.done(&["user", "list"]).await.contains(OWNER));
}

#[tokio::test]
async fn who_refuses_is_not_signed_in_and_strangers_at_the_port_learn_nothing() {
    let desk = Desk::open(Setup::new()).await;
    let mut started = desk.start(&["login", &desk.base()]);
    let url = started.line("/oauth/authorize?").await;
    let asked = url::Url::parse(&url).unwrap();
    let redirect = asked.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1;
    let redirect = url::Url::parse(&redirect).unwrap();
    for query in ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=y"] {
        let page = Browser::new().open(&format!("{redirect}{query}")).await;
        assert_eq!(page.status(), 404, "{query}");
    }
    let page = desk.browser.open(&url).await;
    let page = desk.browser.submit(&page, &page.form("Cancel")).await;
    assert!(page.text().contains("refused"), "{}", page.text());
    let (ok, said) = started.end().await;
    assert!(!ok && said.contains("the sign-in was refused"), "{said}");
    assert!(!desk.home.path().join("tidegate/credentials.json").exists());
}

#[tokio::test]
async fn what_is_ended_elsewhere_ends_the_sign_in_at_once() {
    let desk = Desk::open(Setup::new()).await;
    desk.login(&desk.browser).await;
    desk.done(&["user", "list"]).await;
    let over = desk.gateway.cli(&["user", "sign-out", OWNER]).await;
    assert!(over.ok && over.stdout.contains("1 sessions, 1 grants"), "{over:?}");
    let refused = desk.run(&["user", "list"]).await;
    assert!(!refused.ok && refused.stderr.contains("has ended"), "{refused:?}");
    // Nor is there a new token for the old refresh token.
    desk.keep(|kept| kept["expires"] = 0.into());
    let refused = desk.run(&["user", "list"]).await;
    assert!(!refused.ok && refused.stderr.contains("has ended"), "{refused:?}");
}

/// The browser of somebody whom the owner has invited with these roles.
async fn invited(desk: &Desk, who: &str, roles: &[&str]) -> Browser {
    let mut args = vec!["user", "add", who];
    args.extend(roles.iter().flat_map(|role| ["--role", role]));
    desk.done(&args).await;
    let link = desk.done(&["user", "password-link", who]).await;
    let browser = Browser::new();
    let page = browser.open(link.trim()).await;
    let page = browser.submit(&page, &page.form("Go on").set("password", PASSWORD)).await;
    assert!(page.text().contains(who), "{}", page.text());
    browser
}

#[tokio::test]
async fn a_token_is_worth_what_its_holders_roles_are_worth() {
    let desk = Desk::open(Setup::new()).await;
    desk.login(&desk.browser).await;
    let owner = desk.kept();
    let auditor = invited(&desk, "august@example.com", &["auditor"]).await;
    let member = invited(&desk, "mia@example.com", &[]).await;

    // Whoever may do nothing here gets no token for it.
    let mut started = desk.start(&["login", &desk.base()]);
    let url = started.line("/oauth/authorize?").await;
    let page = member.open(&url).await;
    assert!(page.text().contains("refused"), "{}", page.text());
    let (ok, said) = started.end().await;
    assert!(!ok && said.contains("refused"), "{said}");
    assert_eq!(desk.kept(), owner);

    desk.login(&auditor).await;
    let token = desk.kept()["access_token"].as_str().unwrap().to_owned();
    let at = |path: &str, token: &str| {
        Client::new(desk.gateway.address, &format!("/api/v1{path}")).with_key(token)
    };
    let me = at("/me", &token).send(Method::GET, &[], "").await.json();
    assert_eq!(
        (&me["user"], &me["client"]),
        (&json!("august@example.com"), &json!("tidegate-cli"))
    );
    for (path, status) in [("/status", 200), ("/config", 200), ("/users", 403), ("/keys", 403)] {
        let answer = at(path, &token).send(Method::GET, &[], "").await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
    }
    let refused = desk.run(&["user", "list"]).await;
    assert!(!refused.ok && refused.stderr.contains("permits"), "{refused:?}");
    let rows = desk.gateway.audit().await;
    let row = rows.iter().rev().find(|row| row["method"] == "admin:user_read").unwrap();
    assert_eq!(
        (&row["caller"]["user"], &row["caller"]["sign_in"], &row["code"], &row["note"]),
        (
            &json!("august@example.com"),
            &json!("oauth"),
            &json!("policy_denied"),
            &json!("GET /api/v1/users"),
        )
    );

    // A role that is taken counts from the next request on.
    let owners = owner["access_token"].as_str().unwrap();
    let none = json!({ "roles": [] }).to_string();
    let path = "/users/august@example.com/roles";
    assert_eq!(at(path, owners).send(Method::PUT, &[], none).await.status, 200);
    assert_eq!(at("/status", &token).send(Method::GET, &[], "").await.status, 403);

    // What is somebody's own they may see and end; what is not is not there.
    let grants = at("/me/grants", &token).send(Method::GET, &[], "").await.json();
    let grants = grants["grants"].as_array().unwrap();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["scopes"], json!(["admin", "offline_access"]));
    let theirs = at("/grants?user=owner@example.com", owners).send(Method::GET, &[], "").await;
    let theirs = theirs.json()["grants"][0]["id"].as_str().unwrap().to_owned();
    let end = |id: &str| at(&format!("/me/grants/{id}"), &token);
    assert_eq!(end(&theirs).send(Method::DELETE, &[], "").await.status, 404);
    let sessions = at("/me/sessions", owners).send(Method::GET, &[], "").await.json();
    let session = sessions["sessions"][0]["id"].as_str().unwrap();
    let foreign = at(&format!("/me/sessions/{session}"), &token);
    assert_eq!(foreign.send(Method::DELETE, &[], "").await.status, 404);
    let own = grants[0]["id"].as_str().unwrap();
    assert_eq!(end(own).send(Method::DELETE, &[], "").await.status, 200);
    assert_eq!(at("/me", &token).send(Method::GET, &[], "").await.status, 401);
    assert_eq!(at("/me", owners).send(Method::GET, &[], "").await.status, 200);

    // A session that ends takes along what was granted in it.
    let end = at(&format!("/sessions/{session}"), owners);
    assert_eq!(end.send(Method::DELETE, &[], "").await.json()["grants"], 1);
    assert_eq!(at("/me", owners).send(Method::GET, &[], "").await.status, 401);
}

#[tokio::test]
async fn a_sign_in_to_one_organisation_is_none_to_another() {
    let setup = Setup::new();
    std::fs::create_dir_all(setup.config().join("orgs/acme/keys")).unwrap();
    let desk = Desk::open(setup).await;
    desk.login(&desk.browser).await;
    let kept = desk.kept();
    let token = kept["access_token"].as_str().unwrap();
    for (path, status) in [("/api/v1/me", 200), ("/o/acme/api/v1/me", 401)] {
        let at = Client::new(desk.gateway.address, path).with_key(token);
        assert_eq!(at.send(Method::GET, &[], "").await.status.as_u16(), status, "{path}");
    }
    let acme = format!("{}/o/acme", desk.base());
    let mut started = desk.start(&["login", &acme]);
    let url = started.line("/oauth/authorize?").await;
    assert!(url.contains("/o/acme/oauth/authorize?"), "{url}");
    // Whoever is signed in here is nobody there.
    let page = desk.browser.open(&url).await;
    assert!(page.text().contains("Password"), "{}", page.text());
    // An address that is not the gateway's own is not signed in to.
    let other = format!("http://localhost:{}", desk.gateway.address.port());
    let refused = desk.run(&["login", &other]).await;
    assert!(!refused.ok && refused.stderr.contains("name it by"), "{refused:?}");
}
