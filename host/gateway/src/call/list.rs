//! The list methods: what this caller may know of, a page at a time.
//!
//! The mask of visible entries and the text of each page are worked out once per revision,
//! virtual MCP, list and class of callers; a request after that copies bytes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use tidegate_governance::{catalog::PublishedVmcp, policy::Policies};
use tidegate_identity::{Caller, CallerClass};
use tidegate_model::{ConnectorId, Json, ResourceRef, VmcpId};
use tidegate_wire::mcp::method::Method;

use crate::plugin::viewed::Changes;

/// Most masks remembered per revision; one more and the memory starts anew.
const REMEMBERED: usize = 4_096;

/// One of the lists of a virtual MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum List {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl List {
    /// Its method.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Tools => Method::ListTools,
            Self::Prompts => Method::ListPrompts,
            Self::Resources => Method::ListResources,
            Self::Templates => Method::ListResourceTemplates,
        }
    }

    /// The member of the result that holds the entries.
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// How many entries a virtual MCP has, whoever asks.
    pub(crate) fn len(self, vmcp: &PublishedVmcp) -> usize {
        match self {
            Self::Tools => vmcp.tools.len(),
            Self::Prompts => vmcp.prompts.len(),
            Self::Resources => vmcp.resources.len(),
            Self::Templates => vmcp.templates.len(),
        }
    }

    /// The definition at a place, and the name by which the entry is found again.
    fn entry(self, vmcp: &PublishedVmcp, place: usize) -> Option<(&Json, &Arc<str>)> {
        match self {
            Self::Tools => vmcp.tools.get(place).map(|one| (&one.definition, &one.name)),
            Self::Prompts => vmcp.prompts.get(place).map(|one| (&one.definition, &one.name)),
            Self::Resources => vmcp.resources.get(place).map(|one| (&one.definition, &one.uri)),
            Self::Templates => {
                vmcp.templates.get(place).map(|one| (&one.definition, &one.uri_template))
            }
        }
    }

    /// The definition at a place, as it is published.
    pub(crate) fn definition(self, vmcp: &PublishedVmcp, place: usize) -> Option<&Json> {
        self.entry(vmcp, place).map(|(definition, _)| definition)
    }

    /// The connector that offers the entry at a place.
    pub(crate) fn connector(self, vmcp: &PublishedVmcp, place: usize) -> Option<&ConnectorId> {
        match self {
            Self::Tools => vmcp.tools.get(place).map(|one| &one.tool.connector),
            Self::Prompts => vmcp.prompts.get(place).map(|one| &one.prompt.connector),
            Self::Resources => vmcp.resources.get(place).map(|one| &one.resource.connector),
            Self::Templates => vmcp.templates.get(place).map(|one| &one.template.connector),
        }
    }

    /// The place of the entry of that name.
    pub(crate) fn place(self, vmcp: &PublishedVmcp, name: &str) -> Option<usize> {
        match self {
            Self::Tools => vmcp.tool(name).map(|(place, _)| place),
            Self::Prompts => vmcp.prompt(name).map(|(place, _)| place),
            Self::Resources => vmcp.resource(name).map(|(place, _)| place),
            Self::Templates => vmcp.templates.iter().position(|one| *one.uri_template == *name),
        }
    }

    fn is_visible(
        self,
        policies: &Policies,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        place: usize,
    ) -> bool {
        let id = &vmcp.vmcp.id;
        match self {
            Self::Tools => {
                vmcp.tools.get(place).is_some_and(|one| policies.visible(caller, id, &one.tool))
            }
            Self::Prompts => vmcp
                .prompts
                .get(place)
                .is_some_and(|one| policies.visible_prompt(caller, id, &one.prompt)),
            Self::Resources => vmcp.resources.get(place).is_some_and(|one| {
                let (connector, uri) = (one.resource.connector.clone(), one.resource.uri.clone());
                policies.visible_resource(caller, id, &ResourceRef { connector, uri })
            }),
            Self::Templates => vmcp.templates.get(place).is_some_and(|one| {
                let (connector, uri) =
                    (one.template.connector.clone(), one.template.template.clone());
                policies.visible_resource(caller, id, &ResourceRef { connector, uri })
            }),
        }
    }
}

/// The entries of one list of one virtual MCP that one class of callers may know of.
#[derive(Debug)]
pub(crate) struct Visible {
    mask: Vec<bool>,
    pages: Vec<Page>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The JSON array of definitions.
    pub(crate) entries: Bytes,
    /// The published name of the last one, where another page follows.
    pub(crate) last: Option<Arc<str>>,
    /// First and last place in the virtual MCP.
    places: (usize, usize),
}

impl Page {
    /// The page of the entries at these places; `more` where another page follows.
    fn of(vmcp: &PublishedVmcp, list: List, places: &[usize], more: bool) -> Self {
        Self::with(vmcp, list, (places, more), &Changes::new())
    }

    /// The same with some entries in another text.
    fn with(
        vmcp: &PublishedVmcp,
        list: List,
        (places, more): (&[usize], bool),
        changes: &Changes,
    ) -> Self {
        let mut text = Vec::with_capacity(places.len() * 256);
        for place in places {
            text.push(if text.is_empty() { b'[' } else { b',' });
            let changed = changes.get(place).and_then(Option::as_ref);
            if let Some(definition) = changed.or_else(|| list.definition(vmcp, *place)) {
                text.extend_from_slice(definition.bytes());
            }
        }
        text.push(b']');
        let (first, last) = (places.first().copied(), places.last().copied());
        let places = (first.unwrap_or_default(), last.unwrap_or_default());
        let name = list.entry(vmcp, places.1).map(|(_, name)| Arc::clone(name));
        Self { entries: text.into(), last: name.filter(|_| more), places }
    }

    /// A page without entries, the last of its list.
    pub(crate) fn empty() -> Self {
        Self { entries: Bytes::from_static(b"[]"), last: None, places: (0, 0) }
    }
}

impl Visible {
    /// Works out what is visible, in pages of at most `page` entries.
    fn compute(
        policies: &Policies,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        list: List,
        page: usize,
    ) -> Self {
        let all = 0..list.len(vmcp);
        let mask: Vec<bool> =
            all.map(|place| list.is_visible(policies, caller, vmcp, place)).collect();
        let shown: Vec<usize> = mask
            .iter()
            .enumerate()
            .filter(|(_, visible)| **visible)
            .map(|(place, _)| place)
            .collect();
        let mut pages = Vec::new();
        let mut chunks = shown.chunks(page.max(1)).peekable();
        while let Some(chunk) = chunks.next() {
            pages.push(Page::of(vmcp, list, chunk, chunks.peek().is_some()));
        }
        if pages.is_empty() {
            pages.push(Page::empty());
        }
        Self { mask, pages }
    }

    /// Whether the entry at that place may be known of.
    pub(crate) fn contains(&self, place: usize) -> bool {
        self.mask.get(place).copied().unwrap_or(false)
    }

    /// Whether there is any entry.
    pub(crate) fn any(&self) -> bool {
        self.mask.contains(&true)
    }

    /// The first page, or what follows the entry at `place`: a page, or the rest of the one that
    /// the entry stands in since the list has changed. Empty after the last entry. The list and
    /// the virtual MCP must be those it was worked out for.
    pub(crate) fn page_after(
        &self,
        vmcp: &PublishedVmcp,
        list: List,
        place: Option<usize>,
    ) -> Page {
        let mut pages = self.pages.iter();
        let Some(place) = place else {
            return pages.next().cloned().unwrap_or_else(Page::empty);
        };
        match pages.find(|page| page.places.1 > place) {
            None => Page::empty(),
            Some(page) if page.places.0 > place => page.clone(),
            Some(page) => {
                let rest: Vec<usize> =
                    (place + 1..=page.places.1).filter(|place| self.contains(*place)).collect();
                Page::of(vmcp, list, &rest, page.last.is_some())
            }
        }
    }

    /// The same where plugins change what is shown: at most `most` entries after that place,
    /// cut anew, since what is hidden leaves room for what follows.
    pub(crate) fn changed_page_after(
        &self,
        vmcp: &PublishedVmcp,
        list: List,
        (place, most): (Option<usize>, usize),
        changes: &Changes,
    ) -> Page {
        let from = place.map_or(0, |place| place.saturating_add(1));
        let is_shown =
            |place: &usize| self.contains(*place) && !matches!(changes.get(place), Some(None));
        let mut left = (from..list.len(vmcp)).filter(is_shown);
        let places: Vec<usize> = left.by_ref().take(most.max(1)).collect();
        if places.is_empty() {
            return Page::empty();
        }
        let more = left.next().is_some();
        Page::with(vmcp, list, (&places, more), changes)
    }
}

type Key = (VmcpId, CallerClass, List);

/// What is visible to whom, remembered for one revision.
#[derive(Debug, Default)]
pub(crate) struct VisibleCache(RwLock<HashMap<Key, Arc<Visible>>>);

impl VisibleCache {
    /// What of a list of `vmcp` is visible to `caller`.
    pub(crate) fn get(
        &self,
        policies: &Policies,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        list: List,
        page: usize,
    ) -> Arc<Visible> {
        let key = (vmcp.vmcp.id.clone(), caller.class(), list);
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Visible::compute(policies, caller, vmcp, list, page));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        Arc::clone(known.entry(key).or_insert(fresh))
    }
}

#[cfg(test)]
mod tests;
