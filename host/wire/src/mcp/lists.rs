//! `prompts/list`, `resources/list` and `resources/templates/list` results, taken apart
//! without being rebuilt.
//!
//! Like [`super::tools`], which has more to check: each entry is a slice of the answer it
//! came in, and a bad one never costs the others. URIs and templates stay as the upstream
//! wrote them; what they become outside is the catalogue's business.

use std::collections::HashSet;

use tidegate_model::{ConnectorId, Json, Prompt, PromptName, Resource, ResourceTemplate};

use super::peek::{PeekError, ResultPeek};
use crate::json::{Kind, Raw};

/// The longest URI or template in bytes.
const LONGEST_URI: usize = 8 * 1024;

/// An entry that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// What it is called (its name or URI), where it says so, cut to 80 characters.
    pub name: Option<String>,
    /// Why.
    pub reason: SkipReason,
}

/// Why an entry was set aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// It is no object.
    #[error("it is no object")]
    NotAnObject,
    /// A member that has to be a string is none.
    #[error("its `{0}` is no string")]
    Text(&'static str),
    /// Its name cannot be used.
    #[error(transparent)]
    Name(#[from] tidegate_model::BadName),
    /// Its URI or template is empty, too long or holds control characters.
    #[error("its `{0}` must have 1 to 8,192 bytes without control characters")]
    Uri(&'static str),
    /// A prompt whose arguments are no list of objects with a name.
    #[error("its `arguments` are no list of objects with a `name`")]
    Arguments,
    /// An earlier entry says the same of itself.
    #[error("an earlier entry has the same `{0}`")]
    Duplicate(&'static str),
}

/// Makes an entry from what tells it apart and its definition.
type Make<T> = fn(&ConnectorId, &str, Raw<'_>, Json) -> Result<T, SkipReason>;

/// The entries of one list of one connector, gathered a page at a time.
#[derive(Debug)]
pub struct Entries<T> {
    connector: ConnectorId,
    /// The member of the result that holds the entries.
    member: &'static str,
    /// The member of an entry that tells it apart.
    key: &'static str,
    make: Make<T>,
    known: HashSet<Box<str>>,
    /// The usable ones, in the upstream's order.
    pub usable: Vec<T>,
    /// The others.
    pub skipped: Vec<Skipped>,
}

impl Entries<Prompt> {
    /// No page of `prompts/list` yet.
    pub fn prompts(connector: ConnectorId) -> Self {
        Self::none(connector, "prompts", "name", prompt)
    }
}

impl Entries<Resource> {
    /// No page of `resources/list` yet.
    pub fn resources(connector: ConnectorId) -> Self {
        Self::none(connector, "resources", "uri", resource)
    }
}

impl Entries<ResourceTemplate> {
    /// No page of `resources/templates/list` yet.
    pub fn templates(connector: ConnectorId) -> Self {
        Self::none(connector, "resourceTemplates", "uriTemplate", template)
    }
}

impl<T> Entries<T> {
    fn none(
        connector: ConnectorId,
        member: &'static str,
        key: &'static str,
        make: Make<T>,
    ) -> Self {
        let (usable, skipped) = (Vec::new(), Vec::new());
        Self { connector, member, key, make, known: HashSet::new(), usable, skipped }
    }

    /// Adds the `result` of one page; the cursor of the next page, if there is one.
    ///
    /// Fails only if the result is no such list at all; what was gathered stays.
    pub fn add_page(&mut self, result: &Json) -> Result<Option<String>, PeekError> {
        let raw = Raw::from(result);
        let peek = ResultPeek::read(raw)?;
        let entries = raw.get(self.member).ok_or(PeekError::Missing(self.member))?;
        if entries.kind() != Kind::Array {
            return Err(PeekError::Type(self.member, "an array"));
        }
        for entry in entries.elements() {
            match self.read(result, entry) {
                Ok(entry) => self.usable.push(entry),
                Err(reason) => {
                    let name = entry.get(self.key).and_then(Raw::string);
                    let name = name.map(|name| name.chars().take(80).collect());
                    self.skipped.push(Skipped { name, reason });
                }
            }
        }
        Ok(peek.next_cursor.map(std::borrow::Cow::into_owned))
    }

    /// Good and bad entries so far.
    pub fn seen(&self) -> usize {
        self.usable.len() + self.skipped.len()
    }

    fn read(&mut self, page: &Json, entry: Raw<'_>) -> Result<T, SkipReason> {
        if entry.kind() != Kind::Object {
            return Err(SkipReason::NotAnObject);
        }
        let id = text(entry, self.key)?;
        if self.known.contains(&*id) {
            return Err(SkipReason::Duplicate(self.key));
        }
        let made = (self.make)(&self.connector, &id, entry, entry.within(page))?;
        self.known.insert(id.into());
        Ok(made)
    }
}

fn prompt(
    connector: &ConnectorId,
    name: &str,
    entry: Raw<'_>,
    definition: Json,
) -> Result<Prompt, SkipReason> {
    let name = PromptName::new(name)?;
    // Some servers write `null` for a prompt without arguments.
    if let Some(arguments) = entry.get("arguments").filter(|raw| !raw.is_null()) {
        let named = |argument: Raw<'_>| argument.get("name").and_then(Raw::string).is_some();
        if arguments.kind() != Kind::Array || !arguments.elements().all(named) {
            return Err(SkipReason::Arguments);
        }
    }
    Ok(Prompt { connector: connector.clone(), name, definition })
}

fn resource(
    connector: &ConnectorId,
    uri: &str,
    entry: Raw<'_>,
    definition: Json,
) -> Result<Resource, SkipReason> {
    let uri = usable_uri(uri, "uri")?;
    text(entry, "name")?;
    Ok(Resource { connector: connector.clone(), uri, definition })
}

fn template(
    connector: &ConnectorId,
    template: &str,
    entry: Raw<'_>,
    definition: Json,
) -> Result<ResourceTemplate, SkipReason> {
    let template = usable_uri(template, "uriTemplate")?;
    text(entry, "name")?;
    Ok(ResourceTemplate { connector: connector.clone(), template, definition })
}

fn text<'a>(entry: Raw<'a>, member: &'static str) -> Result<std::borrow::Cow<'a, str>, SkipReason> {
    entry.get(member).and_then(Raw::string).ok_or(SkipReason::Text(member))
}

fn usable_uri(uri: &str, member: &'static str) -> Result<Box<str>, SkipReason> {
    let fits = (1..=LONGEST_URI).contains(&uri.len()) && !uri.chars().any(char::is_control);
    if fits { Ok(uri.into()) } else { Err(SkipReason::Uri(member)) }
}

#[cfg(test)]
mod tests;
