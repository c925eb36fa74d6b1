//! The configuration, as written and as used: an action for every kind in every direction.
//!
//! What does not fit together is an error that names the setting; the host has checked the
//! rest against the schema.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::find::{Kind, Kinds};

/// What becomes of a value that is found, the mildest first.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Nothing; it is not even looked for.
    #[default]
    Ignore,
    /// It goes on, and is told of.
    Alert,
    /// A keyed hash stands in its place: the same value, the same hash.
    Hash,
    /// The replacement stands in its place.
    Mask,
    /// The whole operation is refused.
    Block,
}

/// Which way something goes.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// To the connector.
    Arguments,
    /// To the client.
    Results,
    /// To the client, as a question of the connector.
    Questions,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Written {
    mask: Option<Vec<String>>,
    block: Option<Vec<String>>,
    hash: Option<Vec<String>>,
    alert: Option<Vec<String>>,
    #[serde(rename = "in")]
    directions: Option<Vec<Direction>>,
    arguments: BTreeMap<String, Action>,
    results: BTreeMap<String, Action>,
    questions: BTreeMap<String, Action>,
    custom: BTreeMap<String, String>,
    replacement: Option<String>,
    hash_key: Option<String>,
}

/// Masked where the configuration names no kind at all. Telephone numbers and addresses of
/// machines are ordinary content too often.
const USUAL: [Kind; 7] =
    [Kind::CARD, Kind::IBAN, Kind::EMAIL, Kind::SSN, Kind::KEY, Kind::PRIVATE_KEY, Kind::PASSWORD];

/// At most so many patterns of one's own.
const MOST_PATTERNS: usize = 100;
/// Bytes that one compiled pattern may take.
const LARGEST_PATTERN: usize = 64 << 10;

/// What to do in one direction.
#[derive(Debug)]
pub(crate) struct Settings {
    actions: Vec<Action>,
    names: Vec<String>,
    /// The configuration's own patterns, of kinds that are looked for.
    pub(crate) patterns: Vec<(Kind, Regex)>,
    /// What stands in place of a masked value; `{kind}` is its kind.
    pub(crate) replacement: String,
    /// The credential whose secret keys the hashes.
    pub(crate) hash_key: Option<String>,
}

impl Settings {
    /// Reads the configuration for one direction.
    #[inline(never)]
    pub(crate) fn read(config: &str, direction: Direction) -> Result<Self, String> {
        let written: Written =
            serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))?;
        let mut names: Vec<String> = Kind::NAMES.map(str::to_owned).to_vec();
        if written.custom.len() > MOST_PATTERNS {
            return Err(format!("configuration: `custom` has more than {MOST_PATTERNS} patterns"));
        }
        names.extend(written.custom.keys().cloned());
        let mut settings = Self {
            actions: vec![Action::Ignore; names.len()],
            names,
            patterns: Vec::new(),
            replacement: written.replacement.clone().unwrap_or_else(|| "[{kind} masked]".into()),
            hash_key: written.hash_key.clone(),
        };
        settings.take_lists(&written)?;
        if written.directions.as_ref().is_some_and(|only| !only.contains(&direction)) {
            settings.actions.fill(Action::Ignore);
        }
        settings.take_overrides(&written, direction)?;
        if settings.hash_key.is_none() && settings.actions.contains(&Action::Hash) {
            return Err("configuration: `hash` needs `hash_key`, the name of a credential".into());
        }
        settings.take_patterns(&written.custom)?;
        Ok(settings)
    }

    fn take_lists(&mut self, written: &Written) -> Result<(), String> {
        let lists = [
            ("mask", &written.mask, Action::Mask),
            ("block", &written.block, Action::Block),
            ("hash", &written.hash, Action::Hash),
            ("alert", &written.alert, Action::Alert),
        ];
        if lists.iter().all(|(_, list, _)| list.is_none()) {
            for kind in USUAL {
                self.set(kind, Action::Mask);
            }
            // Whoever writes a pattern wants it looked for.
            self.actions.iter_mut().skip(Kind::NAMES.len()).for_each(|one| *one = Action::Mask);
        }
        for (list, kinds, action) in lists {
            for name in kinds.iter().flatten() {
                let kind = self.kind(name, list)?;
                if self.action(kind) != Action::Ignore {
                    return Err(format!(
                        "configuration: `{name}` stands in `{list}` and elsewhere"
                    ));
                }
                self.set(kind, action);
            }
        }
        Ok(())
    }

    fn take_overrides(&mut self, written: &Written, direction: Direction) -> Result<(), String> {
        let all = [
            ("arguments", &written.arguments, Direction::Arguments),
            ("results", &written.results, Direction::Results),
            ("questions", &written.questions, Direction::Questions),
        ];
        for (table, overrides, of) in all {
            for (name, action) in overrides {
                let kind = self.kind(name, table)?;
                if of == direction {
                    self.set(kind, *action);
                }
            }
        }
        Ok(())
    }

    fn take_patterns(&mut self, custom: &BTreeMap<String, String>) -> Result<(), String> {
        for (name, pattern) in custom {
            let kind = self.kind(name, "custom")?;
            if self.action(kind) == Action::Ignore {
                continue;
            }
            let regex = RegexBuilder::new(pattern)
                .size_limit(LARGEST_PATTERN)
                .build()
                .map_err(|error| format!("configuration: `custom.{name}`: {error}"))?;
            // It would be found everywhere, and masking it would change every text.
            if regex.is_match("") {
                return Err(format!("configuration: `custom.{name}` matches the empty text"));
            }
            self.patterns.push((kind, regex));
        }
        Ok(())
    }

    fn kind(&self, name: &str, place: &str) -> Result<Kind, String> {
        self.names
            .iter()
            .position(|known| known == name)
            .and_then(|place| u8::try_from(place).ok())
            .map(Kind)
            .ok_or_else(|| {
                format!(
                    "configuration: `{place}` names `{name}`, which is no kind and not in `custom`"
                )
            })
    }

    fn set(&mut self, kind: Kind, action: Action) {
        if let Some(place) = self.actions.get_mut(usize::from(kind.0)) {
            *place = action;
        }
    }

    /// What becomes of a value of that kind.
    pub(crate) fn action(&self, kind: Kind) -> Action {
        self.actions.get(usize::from(kind.0)).copied().unwrap_or_default()
    }

    /// What the kind is called.
    pub(crate) fn name(&self, kind: Kind) -> &str {
        self.names.get(usize::from(kind.0)).map_or("", String::as_str)
    }

    /// The kinds of which something becomes.
    pub(crate) fn wanted(&self) -> Kinds {
        let known =
            (0..=u8::MAX).zip(&self.actions).filter(|(_, action)| **action != Action::Ignore);
        known.fold(Kinds::default(), |kinds, (number, _)| kinds.with(Kind(number)))
    }
}
