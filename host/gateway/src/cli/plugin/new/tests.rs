use clap::ValueEnum;
use serde_json::Value;

use super::{
    Event, Language, World, check_name,
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
