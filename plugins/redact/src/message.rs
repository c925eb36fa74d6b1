//! Which parts of a message are looked at, and which of those may be changed.
//!
//! Owns the differences between the events; knows nothing of how the host calls.

use crate::{
    review::Review,
    settings::{Direction, Settings},
    walk::{self, Stand},
};

/// What a message may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is to be changed.
    Proceed,
    /// This JSON goes on instead.
    Replace(String),
    /// It does not go on; the text is for the caller.
    Refuse(String),
}

/// A message that is to be looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Which way it goes.
    pub(crate) direction: Direction,
    /// What refusals and log lines call it.
    pub(crate) what: &'a str,
    /// What it is about.
    pub(crate) target: &'a str,
    /// Members of the outermost object whose texts may be changed; all of them when `None`.
    pub(crate) changeable: Option<&'a [&'a str]>,
}

impl Message<'_> {
    /// Looks at every string of `json`.
    #[inline(never)]
    pub(crate) fn judge(self, config: &str, json: &str) -> Verdict {
        self.with(config, |review| {
            walk::replace_strings(json, |stand, text| {
                let link = self.direction == Direction::Results && names_resource(stand);
                let fixed = self
                    .changeable
                    .is_some_and(|all| !stand.outermost().is_some_and(|name| all.contains(&name)));
                if !link && !fixed {
                    review.text(text)
                } else {
                    review.fixed(text);
                    None
                }
            })
        })
    }

    /// Looks at a text that nothing can take the place of, such as a URI.
    #[inline(never)]
    pub(crate) fn judge_fixed(self, config: &str, text: &str) -> Verdict {
        self.with(config, |review| {
            review.fixed(text);
            None
        })
    }

    fn with(self, config: &str, look: impl FnOnce(&mut Review<'_>) -> Option<String>) -> Verdict {
        let settings = match Settings::read(config, self.direction) {
            Ok(settings) => settings,
            Err(text) => return Verdict::Refuse(text),
        };
        let mut review = Review::new(&settings);
        if review.idle() {
            return Verdict::Proceed;
        }
        let changed = look(&mut review);
        match review.end(self.what, self.target) {
            Ok(()) => changed.map_or(Verdict::Proceed, Verdict::Replace),
            Err(text) => Verdict::Refuse(text),
        }
    }
}

/// Where the URI of a resource stands: of one that was read, or of a block of content, which a
/// tool's result has in a list and a message of a prompt alone. Any other member of that name
/// is a text like all.
const RESOURCES: [&[Option<&str>]; 7] = [
    &[Some("contents"), None],
    &[Some("content"), None],
    &[Some("content"), None, Some("resource")],
    &[Some("messages"), None, Some("content")],
    &[Some("messages"), None, Some("content"), Some("resource")],
    &[Some("messages"), None, Some("content"), None],
    &[Some("messages"), None, Some("content"), None, Some("resource")],
];

/// Whether this names a resource: another URI would be another resource.
fn names_resource(stand: Stand<'_>) -> bool {
    RESOURCES.iter().any(|containers| stand.is(containers, "uri"))
}

/// The members of a question's parameters that the contract lets an interceptor change.
pub(crate) fn of_question(method: &str) -> &'static [&'static str] {
    if method == "sampling/createMessage" { &["messages", "systemPrompt"] } else { &["message"] }
}
