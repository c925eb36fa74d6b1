//! The official conformance suite: directly against the fixture, and through the gateway.
//!
//! Owns which suites run against what, and the rule: check id by check id, through the
//! gateway equals or beats direct. Where the connector speaks only the other era, what
//! fails is listed with its reason in `cross-era.toml`, which may only shrink. As an
//! authorization server the gateway passes everything (`authorization`).
//! The fixture is `conformance/server/`; how to run one scenario by hand is in `README.md`.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use self::{
    cross_era::Pair,
    outcome::{Outcome, worse},
    suite::Suite,
};
use crate::support::{Setup, TestGateway, eventually, patiently};

mod apart;
mod authorization;
mod cross_era;
mod outcome;
mod suite;
mod table;

/// The scenarios in which a client has to sign in by itself. Connectors carry fixed
/// credentials so far; signing in belongs to the issue about connectors, and this rule ends
/// with it.
const SIGNING_IN: &str = "auth/";

/// A program that Cargo built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: build with `--examples`", path.display());
    path
}

/// The fixture, until it is dropped.
pub(crate) struct Fixture {
    /// Its endpoint.
    pub(crate) url: String,
    _child: Child,
}

impl Fixture {
    /// A fixture that speaks `legacy`, `modern` or `both`.
    pub(crate) async fn start(era: &str) -> Self {
        let mut command = Command::new(example("conformance_server"));
        command.args(["--era", era]).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        patiently("the fixture's start", stdout.read_line(&mut line)).await.unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { url: ready["url"].as_str().unwrap().to_owned(), _child: child }
    }

    /// A gateway with the fixture as the only connector of a virtual MCP that anybody may
    /// use.
    async fn behind_a_gateway(&self) -> TestGateway {
        let url = &self.url;
        let connector = format!("kind = \"remote\"\nurl = \"{url}\"\nallow = [\"loopback\"]\n");
        let vmcp = "title = \"main\"\nconnectors = [\"fixture\"]\nanonymous = true\n";
        let gateway = Setup::new()
            .file("connectors/fixture.toml", &connector)
            .file("vmcps/main.toml", vmcp)
            .policy("all", "permit (principal, action, resource);")
            .start()
            .await;
        eventually("the fixture's tools", || async {
            (!gateway.anonymous("main").tool_names().await.is_empty()).then_some(())
        })
        .await;
        gateway
    }
}

/// Runs a suite against the fixture alone.
async fn direct(suite: Suite, era: &str) -> Outcome {
    let fixture = Fixture::start(era).await;
    let target = format!("fixture ({era})");
    suite.against_server(&fixture.url, &target).await
}

/// Runs a suite against a gateway in front of the fixture.
async fn through(suite: Suite, era: &str) -> Outcome {
    let fixture = Fixture::start(era).await;
    let gateway = fixture.behind_a_gateway().await;
    let target = format!("gateway, connector {era}");
    suite.against_server(&gateway.url("main"), &target).await
}

/// Through the gateway equals or beats direct, and direct passes all there is.
async fn equals_or_beats(suite: Suite) {
    let (direct, through) = tokio::join!(direct(suite, "both"), through(suite, "both"));
    let problems = direct.problems();
    assert!(problems.is_empty(), "the fixture itself fails:\n{}", problems.join("\n"));
    let worse = worse(&direct, &through);
    let shown: Vec<String> = worse.iter().map(ToString::to_string).collect();
    assert!(worse.is_empty(), "{suite}: worse through the gateway:\n{}", shown.join("\n"));
}

/// Where only loopback is up, or elsewhere if this machine does not let us.
fn run(test: &str, work: impl Future<Output = ()>) {
    apart::run(&format!("conformance::{test}"), work);
}

#[test]
fn suite_0_1_16_is_passed_as_without_a_gateway() {
    run("suite_0_1_16_is_passed_as_without_a_gateway", equals_or_beats(Suite::All2025));
}

#[test]
fn requirements_2025_11_25_are_passed_as_without_a_gateway() {
    run(
        "requirements_2025_11_25_are_passed_as_without_a_gateway",
        equals_or_beats(Suite::Requirements("2025-11-25")),
    );
}

#[test]
fn requirements_2026_07_28_are_passed_as_without_a_gateway() {
    run(
        "requirements_2026_07_28_are_passed_as_without_a_gateway",
        equals_or_beats(Suite::Requirements("2026-07-28")),
    );
}

/// The suite of one era over a connector of the other; what fails is on the list.
async fn bridges(pair: Pair) {
    let (direct, through) =
        tokio::join!(direct(pair.suite(), pair.own_era()), through(pair.suite(), pair.other_era()));
    pair.check(&worse(&direct, &through));
}

#[test]
fn modern_clients_use_a_legacy_connector() {
    run("modern_clients_use_a_legacy_connector", bridges(Pair::ModernOverLegacy));
}

#[test]
fn legacy_clients_use_a_modern_connector() {
    run("legacy_clients_use_a_modern_connector", bridges(Pair::LegacyOverModern));
}

/// The connector passes as a client, but for signing in.
async fn is_a_client(suite: Suite) {
    let outcome = suite.against_client(&example("conformance_client"), SIGNING_IN).await;
    let problems = outcome.problems();
    assert!(problems.is_empty(), "{suite}, as a client:\n{}", problems.join("\n"));
}

#[test]
fn the_connector_passes_0_1_16_as_a_client() {
    run("the_connector_passes_0_1_16_as_a_client", is_a_client(Suite::All2025));
}

#[test]
fn the_connector_passes_requirements_2025_11_25_as_a_client() {
    run(
        "the_connector_passes_requirements_2025_11_25_as_a_client",
        is_a_client(Suite::Requirements("2025-11-25")),
    );
}

#[test]
fn the_connector_passes_requirements_2026_07_28_as_a_client() {
    run(
        "the_connector_passes_requirements_2026_07_28_as_a_client",
        is_a_client(Suite::Requirements("2026-07-28")),
    );
}
