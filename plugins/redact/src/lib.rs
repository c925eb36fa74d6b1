//! Masks personal data and secrets in arguments and results.
//!
//! Looks at every string value of the JSON, wherever it stands; member names and numbers are
//! left alone. Bytes around a masked value stay as they were, and where nothing matches the
//! call proceeds untouched. What counts as a match is in [`find`], how the strings are found
//! in [`walk`].

mod find;
mod walk;

use serde::Deserialize;
use tidegate_plugin::{After, Answer, Before, Context, Interceptor, Outcome};

use find::Kind;

/// The plugin, as configured.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Redact {
    mask: Vec<Kind>,
    #[serde(rename = "in")]
    places: Vec<Place>,
    replacement: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Place {
    Arguments,
    Results,
}

impl Default for Redact {
    fn default() -> Self {
        Self {
            mask: Kind::ALL.to_vec(),
            places: vec![Place::Arguments, Place::Results],
            replacement: "[{kind} masked]".to_owned(),
        }
    }
}

impl Redact {
    /// The JSON with every match masked, or nothing when there is none.
    fn masked(&self, json: &str, place: Place) -> Option<String> {
        if !self.places.contains(&place) {
            return None;
        }
        walk::replace_strings(json, |text| find::mask(text, &self.mask, &self.replacement))
    }
}

impl Interceptor for Redact {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        tidegate_plugin::read(config)
    }

    fn before(&self, _context: &Context, arguments: &str) -> Outcome {
        self.masked(arguments, Place::Arguments).map_or(Before::Proceed, Before::Replace).into()
    }

    fn after(&self, _context: &Context, answer: Answer<'_>, _state: Option<&[u8]>) -> After {
        self.masked(answer.json(), Place::Results).map_or(After::Proceed, After::Replace)
    }
}

tidegate_plugin::export!(interceptor Redact: before, after);

#[cfg(test)]
mod tests;
