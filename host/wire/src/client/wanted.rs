//! What a server shall tell of its own accord: what is wanted of it, what it has said that
//! it tells, and the filter in which a modern server is asked for both.

use std::{collections::BTreeSet, sync::Arc};

use tidegate_model::Json;
use tokio::sync::watch;

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
    /// Which wish it is, and where it is said that it is in force.
    pub round: Round,
}

/// One of a row of wishes: whoever makes one can wait until the server goes by it, or by a
/// later one. Two are equal: they say nothing of what is wanted.
#[derive(Debug, Clone)]
pub struct Round {
    number: u64,
    settled: Arc<watch::Sender<u64>>,
}

impl Default for Round {
    /// The first of a row, which is in force.
    fn default() -> Self {
        Self { number: 0, settled: Arc::new(watch::Sender::new(0)) }
    }
}

impl PartialEq for Round {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Round {}

impl Round {
    /// The wish after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { number: self.number + 1, settled: Arc::clone(&self.settled) }
    }

    /// Says that the server goes by this wish, as far as it does at all.
    pub(super) fn settle(&self) {
        self.settled.send_if_modified(|settled| {
            let is_news = *settled < self.number;
            *settled = self.number.max(*settled);
            is_news
        });
    }

    /// Waits until that has been said; as long as nobody listens to the server, for ever.
    pub fn in_force(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut settled, number) = (self.settled.subscribe(), self.number);
        // The sender is kept: it cannot close.
        let kept = Arc::clone(&self.settled);
        async move {
            drop(settled.wait_for(|settled| *settled >= number).await);
            drop(kept);
        }
    }
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

    #[tokio::test]
    async fn a_wish_is_in_force_when_it_or_a_later_one_is() {
        let first = Round::default();
        first.in_force().await;
        let (second, third) = (first.next(), first.next().next());
        let waiting = second.in_force();
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, second.in_force()).await.is_err());
        third.settle();
        second.settle();
        waiting.await;
        third.in_force().await;
        assert!(tokio::time::timeout(soon, third.next().in_force()).await.is_err());
    }

    #[test]
    fn a_server_is_asked_for_what_it_tells_and_nothing_else() {
        let everything = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},
            "resources":{"listChanged":true,"subscribe":true},
            "extensions":{"io.modelcontextprotocol/tasks":{"x":1}}}"#;
        let lists =
            r#""toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true"#;
        let some = Wanted {
            resources: set(&["b", "a\"b"]),
            tasks: set(&["t-2", "t\n1"]),
            ..Wanted::default()
        };
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
