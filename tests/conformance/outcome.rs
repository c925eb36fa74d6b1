//! What the suite found, read from the files that it writes, and how two runs compare.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The end of a folder's name: `-2026-07-28T12-00-00-000Z`.
const STAMP: usize = 25;

/// How a check went; later is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// A must that does not hold.
    Failure,
    /// A should that does not hold.
    Warning,
    /// Left out or not there.
    Skipped,
    /// Told without a judgement, where the protocol leaves it open.
    Info,
    /// It holds.
    Success,
}

/// A check: the scenario and the id in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Check {
    /// The scenario's name.
    pub(super) scenario: String,
    /// The check's id.
    pub(super) id: String,
}

/// How the checks of one run went. Of several with one id the worst counts.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    checks: BTreeMap<Check, (Status, String)>,
    counts: BTreeMap<String, usize>,
}

/// A check that went worse than in another run.
#[derive(Debug)]
pub(super) struct Worse {
    /// Which.
    pub(super) check: Check,
    status: Status,
    expected: Status,
    message: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scenario, self.id)
    }
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, status, expected, message } = self;
        write!(f, "{check}: {status:?} instead of {expected:?}: {message}")
    }
}

impl Outcome {
    /// Reads the results below `dir`, without the scenarios whose names begin with `except`;
    /// there must be some.
    pub(super) fn read(dir: &Path, except: Option<&str>) -> Self {
        let mut outcome = Self::default();
        let mut scenarios = Vec::new();
        collect(dir, &mut scenarios);
        scenarios
            .retain(|(_, scenario)| !except.is_some_and(|except| scenario.starts_with(except)));
        assert!(!scenarios.is_empty(), "the suite wrote nothing; see {}/log.txt", dir.display());
        for (folder, scenario) in scenarios {
            match std::fs::read(folder.join("checks.json")) {
                Ok(bytes) => outcome.add_all(&scenario, &bytes),
                Err(_) => {
                    let message = "the scenario did not come to its end".to_owned();
                    outcome.add(&scenario, &scenario, Status::Failure, message);
                }
            }
        }
        outcome
    }

    fn add_all(&mut self, scenario: &str, bytes: &[u8]) {
        let checks: Vec<Value> = serde_json::from_slice(bytes).unwrap();
        for check in checks {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            let status = match check["status"].as_str().unwrap() {
                "FAILURE" => Status::Failure,
                "WARNING" => Status::Warning,
                "SUCCESS" => Status::Success,
                "INFO" => Status::Info,
                _ => Status::Skipped,
            };
            self.add(scenario, &text("id"), status, text("errorMessage"));
        }
    }

    fn add(&mut self, scenario: &str, id: &str, status: Status, message: String) {
        *self.counts.entry(format!("{status:?}")).or_default() += 1;
        let check = Check { scenario: scenario.to_owned(), id: id.to_owned() };
        let entry = self.checks.entry(check).or_insert((status, message.clone()));
        if status < entry.0 {
            *entry = (status, message);
        }
    }

    /// How many single checks had this status; of one id there may be several.
    pub(super) fn count(&self, status: Status) -> usize {
        self.counts.get(&format!("{status:?}")).copied().unwrap_or_default()
    }

    /// The checks that failed or came with a warning, and what is wrong.
    pub(super) fn problems(&self) -> Vec<String> {
        let bad = self.checks.iter().filter(|(_, (status, _))| *status <= Status::Warning);
        bad.map(|(check, (status, message))| format!("{check}: {status:?}: {message}")).collect()
    }

    /// Whether a check was made, and holds.
    pub(super) fn has_passed(&self, scenario: &str, id: &str) -> bool {
        let check = Check { scenario: scenario.to_owned(), id: id.to_owned() };
        self.status(&check) == Status::Success
    }

    fn status(&self, check: &Check) -> Status {
        self.checks.get(check).map_or(Status::Skipped, |(status, _)| *status)
    }
}

/// The checks that go worse in `second` than in `first`. What the suite only tells is as good
/// as passed; what is not there is not.
pub(super) fn worse(first: &Outcome, second: &Outcome) -> Vec<Worse> {
    let mut checks: Vec<&Check> = first.checks.keys().chain(second.checks.keys()).collect();
    checks.sort();
    checks.dedup();
    let worse = checks.into_iter().filter_map(|check| {
        // What the first run only told is nothing to be held to.
        let expected = Some(first.status(check)).filter(|status| *status != Status::Info);
        let (expected, status) = (expected.unwrap_or(Status::Skipped), second.status(check));
        let message = second.checks.get(check).map_or("it is not there", |(_, words)| words);
        (status < expected && status != Status::Info).then(|| Worse {
            check: check.clone(),
            status,
            expected,
            message: message.to_owned(),
        })
    });
    worse.collect()
}

/// The folders of scenarios below `dir`, with the scenarios' names.
fn collect(dir: &Path, into: &mut Vec<(PathBuf, String)>) {
    gather(dir, "", into);
    into.sort();
}

fn gather(dir: &Path, before: &str, into: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match name.len().checked_sub(STAMP).filter(|_| name.ends_with('Z')) {
            Some(end) => {
                // The leg stands in front, but for that of clients.
                let leg = ["authorization-server-", "server-"]
                    .into_iter()
                    .find(|leg| before.is_empty() && name.starts_with(leg));
                let scenario = &name[leg.map_or(0, str::len)..end];
                into.push((path, format!("{before}{scenario}")));
            }
            // A scenario with a slash in its name.
            None => gather(&path, &format!("{before}{name}/"), into),
        }
    }
}

#[test]
fn a_check_that_goes_worse_is_noticed() {
    let mut first = Outcome::default();
    first.add_all("ping", br#"[{"id":"a","status":"SUCCESS"},{"id":"b","status":"WARNING"}]"#);
    first.add_all("ping", br#"[{"id":"d","status":"INFO"}]"#);
    let mut second = Outcome::default();
    second.add_all("ping", br#"[{"id":"a","status":"INFO"},{"id":"b","status":"SKIPPED"}]"#);
    assert!(worse(&first, &second).is_empty());
    second.add_all("ping", br#"[{"id":"a","status":"FAILURE","errorMessage":"no"}]"#);
    second.add_all("echo", br#"[{"id":"c","status":"WARNING"}]"#);
    let found: Vec<String> = worse(&first, &second).iter().map(ToString::to_string).collect();
    let expected =
        ["echo: c: Warning instead of Skipped: ", "ping: a: Failure instead of Success: no"];
    assert_eq!(found, expected);
    let missing = worse(&first, &Outcome::default());
    assert_eq!(missing.len(), 1, "what is not there is not passed: {missing:?}");
}
