//! What a server shall tell of its own accord: what is wanted of it, what it has said that
//! it tells, and the filter in which a modern server is asked for both.

use std::collections::BTreeSet;

use tidegate_model::Json;

use super::{ClientCan, Exchange, Heard, PeerError, PeerInfo, Profile, handshake};
use crate::{
    json::{Raw, write_string},
    mcp::{
        Era, code,
        method::{Method, TASKS_EXTENSION},
        peek::ErrorObject,
    },
};

/// What a server shall tell of its own accord, beside its changed lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The resources to be told of, all of them, by the server's own URI.
    pub resources: BTreeSet<Box<str>>,
    /// The tasks to be told of, all of them, by the server's own id. Only modern servers
    /// with the tasks extension are asked; a legacy one tells of tasks unasked.
    pub tasks: BTreeSet<Box<str>>,
}

impl Wanted {
    /// Whether it is nothing but lists.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.tasks.is_empty()
    }
}

/// What a server has said that it tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tells {
    tools: bool,
    prompts: bool,
    resources: bool,
    /// Of single resources.
    pub(super) updates: bool,
    pub(super) tasks: bool,
}

impl Tells {
    pub(super) fn of(info: &PeerInfo) -> Self {
        Self {
            tools: info.declares(&["tools", "listChanged"]),
            prompts: info.declares(&["prompts", "listChanged"]),
            resources: info.declares(&["resources", "listChanged"]),
            updates: info.declares(&["resources", "subscribe"]),
            tasks: match info.revision.era() {
                Era::Legacy => info.declares(&["tasks"]),
                Era::Modern => info.declares(&["extensions", TASKS_EXTENSION]),
            },
        }
    }

    /// Whether it tells anything, so that it is worth listening to.
    pub(super) const fn any(self) -> bool {
        self.tools || self.prompts || self.resources || self.updates || self.tasks
    }

    /// What to ask a modern server for: all lists that it tells of, and of `wanted` what it
    /// can tell. `None` where that is nothing.
    pub(super) fn ask(self, wanted: &Wanted) -> Option<Wishes> {
        let mut out = vec![b'{'];
        for (told, name) in [
            (self.tools, "toolsListChanged"),
            (self.prompts, "promptsListChanged"),
            (self.resources, "resourcesListChanged"),
        ] {
            if told {
                next(&mut out);
                write_string(&mut out, name);
                out.extend_from_slice(b":true");
            }
        }
        let tasks = self.tasks && !wanted.tasks.is_empty();
        for (told, name, all) in [
            (self.updates, "resourceSubscriptions", &wanted.resources),
            (tasks, "taskIds", &wanted.tasks),
        ] {
            if told && !all.is_empty() {
                next(&mut out);
                write_string(&mut out, name);
                out.extend_from_slice(b":[");
                for one in all {
                    next(&mut out);
                    write_string(&mut out, one);
                }
                out.push(b']');
            }
        }
        out.push(b'}');
        (out.len() > 2).then(|| Wishes { filter: Json::from_checked(out.into()), tasks })
    }
}

/// What an error in place of a stream means: that the server knows no such thing, or that it
/// refuses.
pub(super) fn refused(error: &Json) -> Result<Heard, PeerError> {
    match ErrorObject::read(Raw::from(error)) {
        Some(found) if found.code == code::METHOD_NOT_FOUND => Ok(Heard::Nothing),
        _ => Err(handshake::refusal(Method::Listen.name(), error)),
    }
}

/// A comma, unless an object or array has just been opened.
fn next(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// What a modern server is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wishes {
    filter: Json,
    tasks: bool,
}

impl Wishes {
    /// The `notifications` member of the request.
    pub(super) const fn filter(&self) -> &Json {
        &self.filter
    }

    /// The gateway as the client of the request: it takes all that it can carry, and tasks
    /// where it asks for them, since those belong to an extension that each request has to
    /// declare.
    pub(super) fn client(&self) -> Exchange {
        let extensions = match self.tasks {
            true => vec![(TASKS_EXTENSION.into(), Json::empty_object())],
            false => Vec::new(),
        };
        Exchange { can: ClientCan { profile: Profile::ALL, extensions }, ..Exchange::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::Revision;

    const TASKS: &str = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

    fn tells(revision: Revision, capabilities: &str) -> Tells {
        let capabilities = Json::parse(capabilities.to_owned()).unwrap();
        Tells::of(&PeerInfo { revision, capabilities, ..PeerInfo::unknown() })
    }

    fn set(all: &[&str]) -> BTreeSet<Box<str>> {
        all.iter().map(|one| Box::from(*one)).collect()
    }

    #[test]
    fn a_server_is_asked_for_what_it_tells_and_nothing_else() {
        let everything = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},
            "resources":{"listChanged":true,"subscribe":true},
            "extensions":{"io.modelcontextprotocol/tasks":{"x":1}}}"#;
        let lists =
            r#""toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true"#;
        let some = Wanted { resources: set(&["b", "a\"b"]), tasks: set(&["t-2", "t\n1"]) };
        for (capabilities, wanted, expected) in [
            ("{}", &some, None),
            (r#"{"tasks":{},"tools":{},"extensions":{"x/y":{}}}"#, &some, None),
            (TASKS, &Wanted::default(), None),
            (TASKS, &some, Some((r#"{"taskIds":["t\n1","t-2"]}"#.to_owned(), true))),
            (
                r#"{"resources":{"subscribe":true}}"#,
                &some,
                Some((r#"{"resourceSubscriptions":["a\"b","b"]}"#.to_owned(), false)),
            ),
            (everything, &Wanted::default(), Some((format!("{{{lists}}}"), false))),
            (
                everything,
                &some,
                Some((
                    format!(
                        r#"{{{lists},"resourceSubscriptions":["a\"b","b"],"taskIds":["t\n1","t-2"]}}"#
                    ),
                    true,
                )),
            ),
        ] {
            let asked = tells(Revision::V2026_07_28, capabilities).ask(wanted);
            let found = asked.as_ref().map(|asked| {
                let declared = !asked.client().can.extensions.is_empty();
                (asked.filter().as_str().to_owned(), declared)
            });
            assert_eq!(found, expected, "{capabilities}");
            if let Some(asked) = asked {
                Json::parse(asked.filter().as_str().to_owned()).unwrap();
            }
        }
    }

    #[test]
    fn each_era_says_in_its_own_way_that_it_tells_of_tasks() {
        for (revision, capabilities, expected) in [
            (Revision::V2026_07_28, TASKS, true),
            (Revision::V2026_07_28, r#"{"tasks":{}}"#, false),
            (Revision::V2025_11_25, TASKS, false),
            (Revision::V2025_11_25, r#"{"tasks":{}}"#, true),
            (Revision::V2025_11_25, r#"{"tools":{"listChanged":false}}"#, false),
        ] {
            assert_eq!(tells(revision, capabilities).any(), expected, "{capabilities}");
        }
    }
}
