//! The files of `policies/starter`, and the base schema, as they are shipped.

use std::{collections::BTreeSet, fs};

use super::sandboxes::{connectors, folder};
use crate::policy::{AdminAction, schema};

#[test]
fn every_starter_policy_is_valid_and_documented() {
    let starter = folder().join("starter");
    let readme = fs::read_to_string(starter.join("README.md")).unwrap();
    let world = connectors(&starter.join("tools.json")).with_vmcps(&["main"]);
    let (mut files, mut ids, mut all) = (0, BTreeSet::new(), world.clone());
    for entry in fs::read_dir(&starter).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        files += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("`{name}`")), "{name} is missing from the README");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("// "), "{name} begins with a comment that explains it");
        let policies = world.clone().with(&text).policies();
        for info in policies.list() {
            assert!(info.flags.is_empty(), "{name}: {:?}", info.flags);
            assert!(ids.insert(info.id.clone()), "{name}: the id `{}` is used twice", info.id);
        }
        all = all.with(&text);
    }
    assert!(files >= 5, "only {files} starter policies were found");
    assert_eq!(all.policies().list().len(), ids.len());
}

#[test]
fn the_base_schema_and_the_table_of_admin_actions_agree() {
    let base = schema::base().unwrap();
    let known = schema::base_actions(&base).unwrap();
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let admin: BTreeSet<&str> = AdminAction::ALL.iter().map(|action| action.name()).collect();
    let in_schema = known.iter().copied().filter(|id| id.starts_with("admin:")).collect();
    assert_eq!(admin, in_schema);
    for id in [
        "call_tool",
        "read_only",
        "destructive",
        "open_world",
        "get_prompt",
        "read_resource",
        "connect",
        "list",
        "admin",
    ] {
        assert!(known.contains(id), "{id}");
    }
}
