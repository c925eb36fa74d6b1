//! Published tool names: unique within a virtual MCP, stable once given.
//!
//! A tool keeps its original name where no other tool of the virtual MCP has it, else it is
//! `connector__tool`. Connector slugs hold no underscore, so that form cannot be mistaken
//! for another tool's. Names longer than 64 characters, or with characters that clients do
//! not accept (MCP 2025-11-25, tool names), are shortened and end in a hash of the whole.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use tidegate_model::{ConnectorId, ToolName};

/// Longest name that every client accepts.
pub const LONGEST_NAME: usize = 64;

/// Names given before, by connector and original name.
pub type Pinned = HashMap<(ConnectorId, ToolName), String>;

/// One tool that wants a name.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its connector.
    pub connector: &'a ConnectorId,
    /// Its original name.
    pub tool: &'a ToolName,
    /// The name an administrator or customizer chose.
    pub chosen: Option<&'a str>,
}

/// Whether clients accept `name` as it is.
pub fn is_publishable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Gives each wanted tool its name, in order; `None` where the chosen name is taken already
/// by an earlier choice or is not publishable. Chosen names go first, then pinned ones, then
/// new ones, so a tool added later never takes a name away.
pub fn assign(wanted: &[Wanted<'_>], pinned: &Pinned) -> Vec<Option<String>> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names: Vec<Option<String>> = vec![None; wanted.len()];
    let mut refused = vec![false; wanted.len()];
    for ((want, name), refused) in wanted.iter().zip(&mut names).zip(&mut refused) {
        let Some(chosen) = want.chosen else { continue };
        if is_publishable(chosen) && taken.insert(chosen.to_owned()) {
            *name = Some(chosen.to_owned());
        } else {
            *refused = true;
        }
    }
    for ((want, name), refused) in wanted.iter().zip(&mut names).zip(&refused) {
        if name.is_some() || *refused {
            continue;
        }
        let key = (want.connector.clone(), want.tool.clone());
        if let Some(old) = pinned.get(&key).filter(|old| !taken.contains(*old)) {
            taken.insert(old.clone());
            *name = Some(old.clone());
        }
    }
    let mut shared: HashMap<&str, usize> = HashMap::new();
    for want in wanted {
        *shared.entry(want.tool.as_str()).or_default() += 1;
    }
    for ((want, name), refused) in wanted.iter().zip(&mut names).zip(&refused) {
        if name.is_some() || *refused {
            continue;
        }
        let alone = shared.get(want.tool.as_str()).copied() == Some(1);
        let fresh =
            if alone && is_publishable(want.tool.as_str()) && !taken.contains(want.tool.as_str()) {
                want.tool.as_str().to_owned()
            } else {
                qualified(want.connector, want.tool, alone, &taken)
            };
        taken.insert(fresh.clone());
        *name = Some(fresh);
    }
    names
}

/// `connector__tool` (or the cleaned original where it stands alone), with a hash suffix
/// where cleaning, length or a taken name asks for one.
fn qualified(
    connector: &ConnectorId,
    tool: &ToolName,
    alone: bool,
    taken: &HashSet<String>,
) -> String {
    let whole = format!("{connector}__{tool}");
    let base = if alone && !is_publishable(tool.as_str()) { tool.as_str() } else { whole.as_str() };
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

    fn names_of(
        tools: &[(&str, &str, Option<&str>)],
        pinned: &[(&str, &str, &str)],
    ) -> Vec<Option<String>> {
        let held: Vec<_> = tools
            .iter()
            .map(|(c, t, chosen)| {
                (ConnectorId::new(c).unwrap(), ToolName::new(t).unwrap(), *chosen)
            })
            .collect();
        let wanted: Vec<_> = held
            .iter()
            .map(|(connector, tool, chosen)| Wanted { connector, tool, chosen: *chosen })
            .collect();
        let pinned = pinned
            .iter()
            .map(|(c, t, n)| {
                ((ConnectorId::new(c).unwrap(), ToolName::new(t).unwrap()), (*n).to_owned())
            })
            .collect();
        assign(&wanted, &pinned)
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
}
