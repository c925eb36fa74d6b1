//! The list of checks that cannot pass where client and connector are of different eras.
//!
//! Owns reading `cross-era.toml` and holding it to the truth: a check that fails without
//! being listed is a fault of ours, one that is listed and passes has to go from the list.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{outcome::Worse, suite::Suite};

const LIST: &str = include_str!("cross-era.toml");

/// Clients of one era over a connector of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    /// 2026-07-28 over 2025-11-25 and before.
    ModernOverLegacy,
    /// 2025-11-25 over 2026-07-28.
    LegacyOverModern,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Lists {
    #[serde(default)]
    modern_over_legacy: Vec<Entry>,
    #[serde(default)]
    legacy_over_modern: Vec<Entry>,
}

/// Checks that fail for one reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    /// `scenario: check-id`.
    checks: Vec<String>,
}

impl Pair {
    /// The suite of the clients' era.
    pub(super) fn suite(self) -> Suite {
        match self {
            Self::ModernOverLegacy => Suite::Requirements("2026-07-28"),
            Self::LegacyOverModern => Suite::Requirements("2025-11-25"),
        }
    }

    /// The clients' era.
    pub(super) fn own_era(self) -> &'static str {
        match self {
            Self::ModernOverLegacy => "modern",
            Self::LegacyOverModern => "legacy",
        }
    }

    /// The connector's era.
    pub(super) fn other_era(self) -> &'static str {
        match self {
            Self::ModernOverLegacy => "legacy",
            Self::LegacyOverModern => "modern",
        }
    }

    /// Fails where the list and what went worse differ.
    pub(super) fn check(self, worse: &[Worse]) {
        let lists: Lists = toml::from_str(LIST).unwrap();
        let entries = match self {
            Self::ModernOverLegacy => lists.modern_over_legacy,
            Self::LegacyOverModern => lists.legacy_over_modern,
        };
        let problems = differences(&entries, worse);
        assert!(problems.is_empty(), "{self:?}, {}:\n{}", self.suite(), problems.join("\n"));
    }
}

fn differences(entries: &[Entry], worse: &[Worse]) -> Vec<String> {
    let mut listed: BTreeMap<&str, bool> = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in entries {
        assert!(!entry.reason.trim().is_empty(), "a reason is missing: {entry:?}");
        for check in &entry.checks {
            if listed.insert(check, false).is_some() {
                problems.push(format!("`{check}` is listed twice"));
            }
        }
    }
    for one in worse {
        match listed.get_mut(one.check.to_string().as_str()) {
            Some(seen) => *seen = true,
            None => problems.push(one.to_string()),
        }
    }
    let stale = listed.into_iter().filter(|(_, seen)| !seen);
    problems.extend(stale.map(|(check, _)| format!("`{check}` passes: stale, remove it")));
    problems
}

#[test]
fn the_list_may_only_shrink() {
    let outcome = |status: &str| {
        let dir = tempfile::TempDir::new().unwrap();
        let folder = dir.path().join("server-ping-2026-07-28T12-00-00-000Z");
        std::fs::create_dir(&folder).unwrap();
        let check = format!(r#"[{{"id":"a","status":"{status}","errorMessage":"why"}}]"#);
        std::fs::write(folder.join("checks.json"), check).unwrap();
        super::outcome::Outcome::read(dir.path(), None)
    };
    let listed = [Entry { reason: "so it is".to_owned(), checks: vec!["ping: a".to_owned()] }];
    let worse = |first, second| super::worse(&outcome(first), &outcome(second));
    let failing = worse("SUCCESS", "FAILURE");
    assert_eq!(differences(&listed, &failing), [] as [&str; 0]);
    assert_eq!(differences(&[], &failing), ["ping: a: Failure instead of Success: why"]);
    let passing = worse("SUCCESS", "SUCCESS");
    assert_eq!(differences(&listed, &passing), ["`ping: a` passes: stale, remove it"]);
}
