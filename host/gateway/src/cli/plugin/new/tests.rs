use clap::ValueEnum;
use serde_json::Value;

use super::{
    Event, Language, NewPlugin, World, check_name, run,
    template::{Choice, File},
};

/// Every language with every world, and an interceptor with each event alone and with all.
fn every_choice(check: impl Fn(&str, World, &[Event], &[File])) {
    let all = Event::value_variants();
    for language in Language::value_variants() {
        for world in World::value_variants() {
            let several: Vec<&[Event]> = match world {
                World::Interceptor => all.chunks(1).chain([all]).collect(),
                _ => vec![&[]],
            };
            for events in several {
                let choice =
                    Choice { name: "office-hours", language: *language, world: *world, events };
                let which = format!("{language:?} {world:?} {events:?}");
                check(&which, *world, events, &choice.files());
            }
        }
    }
}

fn named<T: ValueEnum>(choices: &[T]) -> Vec<String> {
    let name = |choice: &T| choice.to_possible_value().unwrap().get_name().to_owned();
    choices.iter().map(name).collect()
}

#[test]
fn no_folder_keeps_a_mark_of_its_template() {
    every_choice(|which, _, _, files| {
        for file in files {
            for mark in ["only: ", "plugin-name", "plugin_name", "// end", "# end", "<!--"] {
                assert!(!file.text.contains(mark), "{which}: {} has `{mark}`", file.path);
            }
            assert!(!file.text.ends_with("\n\n"), "{which}: {} ends with a gap", file.path);
        }
    });
}

#[test]
fn a_world_names_exactly_what_was_chosen() {
    every_choice(|which, world, events, files| {
        let file = files.iter().find(|file| file.path == "wit/world.wit").unwrap();
        let export = |line: &str| {
            let name = line.trim().strip_prefix("export tidegate:plugin/")?;
            Some(name.strip_suffix("@0.1.0;").unwrap().to_owned())
        };
        let mut expected = vec!["configuration".to_owned()];
        expected.extend(match world {
            World::Interceptor => named(events),
            World::Customizer => vec!["customize".to_owned()],
            World::Connector => vec!["server".to_owned(), "tools".to_owned()],
        });
        assert_eq!(file.text.lines().filter_map(export).collect::<Vec<_>>(), expected, "{which}");
    });
}

#[test]
fn every_event_has_two_cases() {
    every_choice(|which, world, events, files| {
        let mut expected = match world {
            World::Interceptor => named(events),
            World::Customizer => vec!["edits".to_owned()],
            World::Connector => vec!["call".to_owned()],
        };
        expected.sort();
        let cases = files.iter().filter(|file| file.path.starts_with("cases/"));
        let mut found: Vec<String> = cases
            .map(|file| {
                let case: Value = serde_json::from_str(&file.text).unwrap();
                let event = case["event"].as_str().unwrap().to_owned();
                assert!(
                    file.path.starts_with(&format!("cases/{event}-")),
                    "{which}: {}",
                    file.path
                );
                assert!(!case["expect"].is_null(), "{which}: {}", file.path);
                event
            })
            .collect();
        found.sort();
        let twice: Vec<String> =
            expected.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
        assert_eq!(found, twice, "{which}");
    });
}

#[test]
fn a_name_has_to_be_one_for_every_tool() {
    for name in ["a", "office-hours", "redact2", &"a".repeat(64)] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    for name in ["", "-", "a-", "Office", "2fa", "a-2", "a_b", "../a", "a b", "é", &"a".repeat(65)]
    {
        let said = check_name(name).unwrap_err().to_string();
        assert!(said.contains("is no name for a plugin"), "{name}: {said}");
    }
}

fn asked(dir: &std::path::Path, world: World, events: Vec<Event>) -> NewPlugin {
    let dir = Some(dir.to_path_buf());
    NewPlugin { name: "office-hours".into(), lang: Language::Rust, world, events, dir }
}

#[test]
fn a_folder_is_written_once_and_never_over_another() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let new = asked(&folder, World::Interceptor, Vec::new());
    run(&new).unwrap();
    let mode = |name| std::fs::metadata(folder.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("build.sh") & 0o111, 0o111);
    assert_eq!(mode("Cargo.toml") & 0o111, 0);
    assert!(folder.join("cases/after-call-cleans.json").is_file());
    assert!(!folder.join("cases/shown-hides.json").exists());
    std::fs::write(folder.join("build.sh"), "mine").unwrap();
    assert!(run(&new).unwrap_err().to_string().contains("is not empty"));
    assert_eq!(std::fs::read_to_string(folder.join("build.sh")).unwrap(), "mine");
}

#[test]
fn only_an_interceptor_has_events() {
    let dir = tempfile::tempdir().unwrap();
    for world in [World::Customizer, World::Connector] {
        let new = asked(dir.path(), world, vec![Event::Shown]);
        assert!(run(&new).unwrap_err().to_string().contains("only an interceptor has events"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
