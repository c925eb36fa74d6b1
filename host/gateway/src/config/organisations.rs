//! The folders `orgs/NAME` of a configuration directory: one organisation each, laid out like
//! the top, which is the organisation `default`.
//!
//! A folder that cannot be an organisation is a problem of its own and keeps no other from
//! being one. What is inside them is [`super::directory`]'s.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tidegate_model::OrgId;

use super::Problem;

/// The folder of organisations.
pub const FOLDER: &str = "orgs";

/// The folder of an organisation in a configuration directory.
pub fn folder(dir: &Path, org: &OrgId) -> PathBuf {
    if *org == OrgId::default_org() { dir.to_owned() } else { dir.join(FOLDER).join(org.as_str()) }
}

/// The organisations beside `default`, with their folders, and what is no organisation.
pub fn read(dir: &Path) -> (BTreeMap<OrgId, PathBuf>, Vec<Problem>) {
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    let top = dir.join(FOLDER);
    let entries = match std::fs::read_dir(&top) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (found, problems),
        Err(error) => {
            problems.push(Problem::of(&top, format!("cannot be read: {error}")));
            return (found, problems);
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || !path.is_dir() {
            continue;
        }
        match OrgId::new(&name) {
            Ok(org) if org == OrgId::default_org() => problems.push(
                Problem::of(&path, "the organisation `default` is the top of the directory")
                    .with_help("move these files there, or give the folder another name"),
            ),
            Ok(org) => {
                problems.extend(nested(&path));
                found.insert(org, path);
            }
            Err(bad) => {
                problems.push(Problem::of(&path, bad.to_string()).with_help("rename the folder"));
            }
        }
    }
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    (found, problems)
}

/// What only the top of a configuration directory may hold.
fn nested(dir: &Path) -> Vec<Problem> {
    let only_top = [
        (FOLDER, "an organisation holds no organisations"),
        ("gateway.toml", "the settings of the process stand at the top of the directory"),
    ];
    let present = only_top.into_iter().filter(|(name, _)| dir.join(name).exists());
    present
        .map(|(name, words)| {
            Problem::of(&dir.join(name), words).with_help("move it to the top, or remove it")
        })
        .collect()
}

/// The folders in which organisations come and go, for a watcher.
pub fn watched(dir: &Path) -> Vec<PathBuf> {
    vec![dir.to_owned(), dir.join(FOLDER)]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_good_folder_is_an_organisation_whatever_the_others_are() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        assert_eq!(read(top), (BTreeMap::new(), Vec::new()), "none is no fault");
        for name in ["acme", "beta", "default", "Not A Slug", ".hidden", "beta/orgs"] {
            fs::create_dir_all(top.join("orgs").join(name)).unwrap();
        }
        fs::write(top.join("orgs/README.md"), "who is who").unwrap();
        fs::write(top.join("orgs/acme/gateway.toml"), "").unwrap();
        let (found, problems) = read(top);
        let names: Vec<&str> = found.keys().map(AsRef::as_ref).collect();
        assert_eq!(names, ["acme", "beta"]);
        let at: Vec<String> = problems
            .iter()
            .map(|problem| {
                Path::new(&problem.file).strip_prefix(top).unwrap().display().to_string()
            })
            .collect();
        assert_eq!(
            at,
            ["orgs/Not A Slug", "orgs/acme/gateway.toml", "orgs/beta/orgs", "orgs/default"]
        );
        assert!(problems.iter().all(|problem| problem.help.is_some()));
    }

    #[test]
    fn the_default_organisation_is_the_top() {
        let dir = Path::new("conf");
        assert_eq!(folder(dir, &OrgId::default_org()), dir);
        assert_eq!(folder(dir, &OrgId::new("acme").unwrap()), Path::new("conf/orgs/acme"));
    }
}
