//! Why JSON is no value of its type, and where.

use std::fmt::{self, Write as _};

/// Characters of a client's own text that an error repeats.
const SHOWN: usize = 64;
/// Names that an error lists.
const LISTED: usize = 20;

/// One place that does not fit, told from the outside in: `` `a.b[3]` must be a string ``.
#[derive(Debug)]
pub(super) struct Misfit {
    // Innermost first.
    path: Vec<Step>,
    problem: String,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
}

impl Misfit {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    /// It must be `what`.
    pub(super) fn wanted(what: &str) -> Self {
        Self::new(format!("must be {what}"))
    }

    /// It must be one of these.
    pub(super) fn one_of<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Self {
        Self::new(format!("must be one of {}", listed(names)))
    }

    /// It has a member that its type has not; `names` are those that it has.
    pub(super) fn unknown<'n>(member: &str, names: impl ExactSizeIterator<Item = &'n str>) -> Self {
        let shown: String = member.chars().take(SHOWN).collect();
        let known = if names.len() == 0 { "none".to_owned() } else { listed(names) };
        Self::new(format!("has no member `{shown}`; there is {known}"))
    }

    pub(super) fn in_member(mut self, name: &str) -> Self {
        self.path.push(Step::Member(name.to_owned()));
        self
    }

    pub(super) fn in_element(mut self, place: usize) -> Self {
        self.path.push(Step::Element(place));
        self
    }
}

fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let names: Vec<_> = names.take(LISTED).map(|name| format!("`{name}`")).collect();
    let mut list = names.join(", ");
    if more > 0 {
        let _ = write!(list, " and {more} more");
    }
    list
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "the object of arguments {}", self.problem);
        }
        f.write_char('`')?;
        for (place, step) in self.path.iter().rev().enumerate() {
            match step {
                Step::Member(name) if place == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
            }
        }
        write!(f, "` {}", self.problem)
    }
}
