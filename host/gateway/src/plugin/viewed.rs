//! What plugins let a caller see of a list: after policies, connector by connector.
//!
//! Verdicts are worked out for the whole list before it is cut into pages, each time it is
//! asked for: hooks are told who asks and what is known of their session, so that an answer
//! is good for nobody else. Where every verdict is to show, the text made ahead is used.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_governance::{audit::Record, catalog::PublishedVmcp};
use tidegate_model::{ConnectorId, Json};
use tidegate_wasm::{Asker, CallContext, Interface, ListKind, Listing, Shown};
use tidegate_wire::{
    json::Raw,
    mcp::splice::{self, Edit},
};

use super::{Bound, Ran, chains::Viewer};
use crate::call::{
    Context,
    list::{List, Visible},
};

/// What is shown otherwise than it is published, by place: `None` where not at all.
pub(crate) type Changes = BTreeMap<usize, Option<Json>>;

/// A list that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Who asks, under which revision.
    pub(crate) context: &'a Context,
    /// The virtual MCP.
    pub(crate) vmcp: &'a PublishedVmcp,
    /// The list.
    pub(crate) list: List,
    /// What policies let them know of.
    pub(crate) visible: &'a Visible,
}

/// What the plugins change of a list; nothing where nobody is bound to look at it.
pub(crate) async fn changes(asked: Asked<'_>, record: &mut Record) -> Changes {
    let mut all = Changes::new();
    let viewers = asked.context.revision.chains.viewers(&asked.vmcp.vmcp.id);
    for (connector, viewers) in viewers {
        let places: Vec<usize> = (0..asked.list.len(asked.vmcp))
            .filter(|place| asked.visible.contains(*place))
            .filter(|place| asked.list.connector(asked.vmcp, *place) == Some(connector))
            .collect();
        if places.is_empty() {
            continue;
        }
        let context = describe(asked, connector, record);
        for viewer in viewers {
            view(asked, (viewer, &context), &places, &mut all, record).await;
        }
    }
    all
}

/// Shows one plugin what is left of one connector's items.
async fn view(
    asked: Asked<'_>,
    (viewer, context): (&Viewer, &CallContext),
    places: &[usize],
    all: &mut Changes,
    record: &mut Record,
) {
    let bound = &viewer.bound;
    let (mut shown, mut items) = (Vec::new(), Vec::new());
    for place in places {
        let item = match all.get(place) {
            Some(None) => continue,
            Some(Some(changed)) => changed.clone(),
            None => match asked.list.definition(asked.vmcp, *place) {
                Some(definition) => definition.clone(),
                None => continue,
            },
        };
        if is_theirs(viewer, asked.list, *place) {
            shown.push(*place);
            items.push(item);
        }
    }
    if items.is_empty() {
        return;
    }
    let ran = Ran::begin(Interface::Shown);
    let said = bound.interceptor.shown(context, kind(asked.list), &items).await;
    let verdicts = match bound.settle(ran, said, |verdicts| word(verdicts), record) {
        Ok(None) => return,
        Ok(Some(verdicts)) => verdicts,
        Err(refused) => {
            warn(bound, asked, &refused.to_string());
            all.extend(shown.into_iter().map(|place| (place, None)));
            return;
        }
    };
    for ((place, item), verdict) in shown.into_iter().zip(&items).zip(verdicts) {
        match verdict {
            Shown::Show => {}
            Shown::Hide => drop(all.insert(place, None)),
            Shown::Relabel(members) => drop(all.insert(place, relabelled(item, &members))),
        }
    }
}

fn is_theirs(viewer: &Viewer, list: List, place: usize) -> bool {
    match &viewer.tools {
        None => true,
        Some(tools) => list == List::Tools && tools.contains(&place),
    }
}

fn describe(asked: Asked<'_>, connector: &ConnectorId, record: &Record) -> CallContext {
    let Asked { context, vmcp, list, .. } = asked;
    let listing = Listing {
        id: record.id(),
        org: context.caller.org(),
        vmcp: &vmcp.vmcp.id,
        connector,
        method: list.method().name(),
        trace: &context.trace,
        deadline: context.deadline,
    };
    let asker = Asker {
        user: context.caller.user(),
        groups: context.caller.shared_groups(),
        client: context.client.as_deref(),
        facts: context.facts.clone().map(|facts| facts as _),
    };
    CallContext::of_listing(&listing, asker)
}

const fn kind(list: List) -> ListKind {
    match list {
        List::Tools => ListKind::Tools,
        List::Prompts => ListKind::Prompts,
        List::Resources => ListKind::Resources,
        List::Templates => ListKind::Templates,
    }
}

/// One word for the verdicts of a list.
fn word(verdicts: &[Shown]) -> &'static str {
    if verdicts.iter().all(|verdict| *verdict == Shown::Show) { "proceed" } else { "replace" }
}

/// The item with the members of a relabelling.
fn relabelled(item: &Json, members: &Json) -> Option<Json> {
    let members: Vec<_> = Raw::from(members).members().collect();
    let edits: Vec<_> = members.iter().map(|it| Edit::set(&it.key, it.value)).collect();
    splice::object(Raw::from(item), &edits).ok()
}

fn warn(bound: &Arc<Bound>, asked: Asked<'_>, why: &str) {
    let (plugin, vmcp, list) = (&bound.plugin, &asked.vmcp.vmcp.id, asked.list.method().name());
    tracing::warn!(%plugin, %vmcp, list, why, "a plugin failed: the items that it was to look at are not shown");
}
