//! Published names of tools and prompts: unique within a virtual MCP.
//!
//! With one connector and identity naming everything keeps its original name. Else it does
//! where nothing else of the virtual MCP has it, and is `connector__name` where something
//! has. Connector slugs hold no underscore, so that form cannot be mistaken for another's.
//! Names longer than 64 characters, or with characters that clients do not accept (MCP
//! 2025-11-25, tool names), are shortened and end in a hash of the whole.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, ToolName};

/// Longest name that every client accepts.
pub const LONGEST_NAME: usize = 64;

/// Names of tools given before, by connector and original name.
pub type Pinned = HashMap<(ConnectorId, ToolName), String>;

/// A tool or prompt that wants a name.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its connector.
    pub connector: &'a ConnectorId,
    /// Its original name.
    pub original: &'a str,
    /// The name an administrator or customizer chose.
    pub chosen: Option<&'a str>,
    /// The name it was published under before.
    pub pinned: Option<&'a str>,
}

/// Whether clients accept `name` as it is.
pub fn is_publishable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Gives each its name, in order; `None` where the chosen name is taken already by an earlier
/// choice or is not publishable. Chosen names go first, then pinned ones, then new ones, so
/// what is added later never takes a name away.
pub fn assign(wanted: &[Wanted<'_>]) -> Vec<Option<String>> {
    let mut names = Names::chosen(wanted);
    names.give(wanted, |want| want.pinned);
    let mut shared: HashMap<&str, usize> = HashMap::new();
    for want in wanted {
        *shared.entry(want.original).or_default() += 1;
    }
    names.rest(wanted, |want, taken| {
        let alone = shared.get(want.original).copied() == Some(1);
        if alone && is_publishable(want.original) && !taken.contains(want.original) {
            want.original.to_owned()
        } else {
            qualified(want, alone, taken)
        }
    })
}

/// Like [`assign`] for what has one connector: everything without a chosen name keeps its
/// original, whatever it looks like. Only an original that was chosen for another, or that
/// the connector gave twice, is qualified.
pub fn keep(wanted: &[Wanted<'_>]) -> Vec<Option<String>> {
    let mut names = Names::chosen(wanted);
    names.give(wanted, |want| Some(want.original));
    names.rest(wanted, |want, taken| qualified(want, false, taken))
}

/// Names as they are given out.
struct Names {
    taken: HashSet<String>,
    /// One for each that wants one; `Some(None)` where the chosen one was refused.
    given: Vec<Option<Option<String>>>,
}

impl Names {
    /// Gives the chosen names.
    fn chosen(wanted: &[Wanted<'_>]) -> Self {
        let mut taken = HashSet::new();
        let given = wanted.iter().map(|want| {
            let chosen = want.chosen?;
            let free = is_publishable(chosen) && taken.insert(chosen.to_owned());
            Some(free.then(|| chosen.to_owned()))
        });
        Self { given: given.collect(), taken }
    }

    /// Gives this name to each that has none yet, where it is free.
    fn give<'a>(&mut self, wanted: &[Wanted<'a>], name: impl Fn(&Wanted<'a>) -> Option<&'a str>) {
        for (want, given) in wanted.iter().zip(&mut self.given) {
            if given.is_none()
                && let Some(name) = name(want)
                && self.taken.insert(name.to_owned())
            {
                *given = Some(Some(name.to_owned()));
            }
        }
    }

    /// Makes a name for each that has none yet; all names.
    fn rest<'a>(
        mut self,
        wanted: &[Wanted<'a>],
        make: impl Fn(&Wanted<'a>, &HashSet<String>) -> String,
    ) -> Vec<Option<String>> {
        let names = wanted.iter().zip(self.given).map(|(want, given)| {
            given.unwrap_or_else(|| {
                let fresh = make(want, &self.taken);
                self.taken.insert(fresh.clone());
                Some(fresh)
            })
        });
        names.collect()
    }
}

/// `connector__name` (or the cleaned original where it stands alone), with a hash suffix
/// where cleaning, length or a taken name asks for one.
fn qualified(want: &Wanted<'_>, alone: bool, taken: &HashSet<String>) -> String {
    let whole = format!("{}__{}", want.connector, want.original);
    let base = if alone && !is_publishable(want.original) { want.original } else { &whole };
    if is_publishable(base) && !taken.contains(base) {
        return base.to_owned();
    }
    let clean: String = base
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
        .collect();
    let digest = Sha256::digest(whole.as_bytes());
    let suffix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST_NAME - suffix.len() - 1;
    let cut: String = clean.chars().take(room).collect();
    format!("{cut}_{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Naming = fn(&[Wanted<'_>]) -> Vec<Option<String>>;

    /// The names of tools given as connector, original and chosen name.
    fn names_by(
        naming: Naming,
        tools: &[(&str, &str, Option<&str>)],
        pinned: &[(&str, &str, &str)],
    ) -> Vec<Option<String>> {
        let connectors: Vec<_> =
            tools.iter().map(|(connector, ..)| ConnectorId::new(connector).unwrap()).collect();
        let wanted = tools.iter().zip(&connectors).map(|((id, original, chosen), connector)| {
            let pin = pinned.iter().find(|(c, t, _)| (c, t) == (id, original));
            Wanted { connector, original, chosen: *chosen, pinned: pin.map(|(.., name)| *name) }
        });
        naming(&wanted.collect::<Vec<_>>())
    }

    fn names_of(
        tools: &[(&str, &str, Option<&str>)],
        pinned: &[(&str, &str, &str)],
    ) -> Vec<Option<String>> {
        names_by(assign, tools, pinned)
    }

    fn some(names: &[&str]) -> Vec<Option<String>> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[test]
    fn originals_where_unique_and_qualified_where_shared() {
        let names = names_of(
            &[("crm", "search", None), ("mail", "search", None), ("crm", "get", None)],
            &[],
        );
        assert_eq!(names, some(&["crm__search", "mail__search", "get"]));
    }

    #[test]
    fn a_pinned_name_survives_a_newcomer() {
        let names = names_of(
            &[("crm", "search", None), ("mail", "search", None)],
            &[("crm", "search", "search")],
        );
        assert_eq!(names, some(&["search", "mail__search"]));
    }

    #[test]
    fn a_chosen_name_wins_over_a_pinned_one_and_is_given_once() {
        let names = names_of(
            &[("crm", "a", Some("find")), ("mail", "b", Some("find")), ("x", "find", None)],
            &[("x", "find", "find")],
        );
        assert_eq!(names, [Some("find".into()), None, Some("x__find".into())]);
    }

    #[test]
    fn odd_and_long_names_are_cleaned_with_a_stable_hash() {
        let long = "t".repeat(100);
        let names = names_of(
            &[("crm", "do it/now", None), ("crm", &long, None), ("crm", "do it now", None)],
            &[],
        );
        let names: Vec<_> = names.into_iter().flatten().collect();
        assert!(names.iter().all(|name| is_publishable(name)), "{names:?}");
        assert!(names[0].starts_with("do_it_now_"));
        assert_ne!(names[0], names[2]);
        assert_eq!(names[1].len(), LONGEST_NAME);
        assert_eq!(names_of(&[("crm", &long, None)], &[]), [Some(names[1].clone())]);
    }

    #[test]
    fn with_one_connector_nothing_is_renamed_that_nobody_renamed() {
        let long = "t".repeat(200);
        type Original<'a> = (&'a str, &'a str, Option<&'a str>);
        let cases: &[(&[Original<'_>], &[&str])] = &[
            (&[("crm", "do it/now", None), ("crm", &long, None)], &["do it/now", &long]),
            (&[("crm", "a", Some("b")), ("crm", "b", Some("a"))], &["b", "a"]),
            (
                &[("crm", "a", Some("b")), ("crm", "b", None), ("crm", "crm__b", None)],
                &["b", "crm__b_88b8f971", "crm__b"],
            ),
        ];
        for (tools, expected) in cases {
            assert_eq!(names_by(keep, tools, &[]), some(expected));
        }
        // A name that was made for clients before counts no more.
        let pinned = [("crm", "do it/now", "do_it_now_00000000")];
        assert_eq!(names_by(keep, &[("crm", "do it/now", None)], &pinned), some(&["do it/now"]));
        let refused = names_by(keep, &[("crm", "a", Some("not a name")), ("crm", "b", None)], &[]);
        assert_eq!(refused, [None, Some("b".into())]);
    }
}
