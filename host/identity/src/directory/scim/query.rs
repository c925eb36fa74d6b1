//! What a query asks for: which part of a list, and which attributes.

use serde_json::Value;

use super::{error::ScimError, filter::Filter};

/// Resources in one answer at most.
pub(super) const MOST: usize = 200;
/// Resources in one answer where nothing is said.
const USUAL: usize = 100;

/// A query.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    /// How many are passed over.
    pub(super) skip: usize,
    pub(super) count: usize,
    only: Vec<String>,
    without: Vec<String>,
    /// Something is said of attributes.
    pub(super) is_shaped: bool,
}

impl Query {
    /// Reads the decoded pairs of a query; those that we do not know are not looked at.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<Self, ScimError> {
        let mut query = Self { count: USUAL, ..Self::default() };
        for (name, value) in pairs {
            match name.to_ascii_lowercase().as_str() {
                "filter" => query.filter = Some(Filter::parse(value)?),
                "startindex" => query.skip = number(name, value)?.saturating_sub(1),
                "count" => query.count = number(name, value)?.min(MOST),
                "attributes" => query.only = names(value),
                "excludedattributes" => query.without = names(value),
                _ => {}
            }
        }
        query.is_shaped = !query.only.is_empty() || !query.without.is_empty();
        Ok(query)
    }

    /// Whether this attribute is wanted; its name is in lower case.
    pub(super) fn wants(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|one| one == name);
        is_in(&["id".to_owned(), "schemas".to_owned()])
            || (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.without)
    }

    /// The resource without what is not wanted.
    pub(super) fn shape(&self, mut resource: Value) -> Value {
        if let Some(object) = resource.as_object_mut().filter(|_| self.is_shaped) {
            object.retain(|name, _| self.wants(&name.to_ascii_lowercase()));
        }
        resource
    }
}

/// A number; what is less than none is none.
fn number(name: &str, text: &str) -> Result<usize, ScimError> {
    let number: i64 = text
        .trim()
        .parse()
        .map_err(|_| ScimError::value(format!("`{}` is a whole number", name.escape_debug())))?;
    Ok(usize::try_from(number.max(0)).unwrap_or(usize::MAX))
}

/// The attributes that a list names, without what stands before and behind their names.
fn names(text: &str) -> Vec<String> {
    let name = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        // `urn:…:2.0:User:name.givenName` is of `name`.
        let plain = name.rsplit_once(':').map_or(name.as_str(), |(_, plain)| plain).to_owned();
        plain.split('.').next().unwrap_or_default().to_owned()
    };
    text.split(',').map(name).filter(|name| !name.is_empty()).collect()
}
