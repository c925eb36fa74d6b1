//! `tools/list`: what this caller could call, a page at a time.
//!
//! The mask of visible tools and the text of each page are worked out once per revision,
//! virtual MCP and class of callers; a request after that copies bytes.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use bytes::Bytes;
use tidegate_governance::{catalog::PublishedVmcp, policy::Policies};
use tidegate_identity::{Caller, CallerClass};
use tidegate_model::VmcpId;

/// Most classes remembered per revision; one more and the memory starts anew.
const REMEMBERED: usize = 4_096;

/// The tools of one virtual MCP that one class of callers may know of.
#[derive(Debug)]
pub(crate) struct Visible {
    mask: Vec<bool>,
    pages: Vec<Page>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The JSON array of tool definitions.
    pub(crate) tools: Bytes,
    /// The published name of the last one, where another page follows.
    pub(crate) last: Option<Arc<str>>,
    /// Published names of this page's tools, first and last place in the virtual MCP.
    places: (usize, usize),
}

impl Page {
    /// A page without tools, the last of its list.
    pub(crate) fn empty() -> Self {
        Self { tools: Bytes::from_static(b"[]"), last: None, places: (0, 0) }
    }
}

impl Visible {
    /// Works out what is visible, in pages of at most `page` tools.
    fn compute(policies: &Policies, caller: &Caller, vmcp: &PublishedVmcp, page: usize) -> Self {
        let mask: Vec<bool> = vmcp
            .tools
            .iter()
            .map(|tool| policies.visible(caller, &vmcp.vmcp.id, &tool.tool))
            .collect();
        let shown: Vec<usize> = mask
            .iter()
            .enumerate()
            .filter(|(_, visible)| **visible)
            .map(|(place, _)| place)
            .collect();
        let mut pages = Vec::new();
        let mut chunks = shown.chunks(page.max(1)).peekable();
        while let Some(chunk) = chunks.next() {
            let mut text = Vec::with_capacity(chunk.len() * 256);
            for place in chunk {
                text.push(if text.is_empty() { b'[' } else { b',' });
                if let Some(tool) = vmcp.tools.get(*place) {
                    text.extend_from_slice(tool.definition.as_str().as_bytes());
                }
            }
            text.push(b']');
            let (first, last) = (chunk.first().copied(), chunk.last().copied());
            let places = (first.unwrap_or_default(), last.unwrap_or_default());
            let name = vmcp.tools.get(places.1).map(|tool| Arc::clone(&tool.name));
            let last = if chunks.peek().is_some() { name } else { None };
            pages.push(Page { tools: text.into(), last, places });
        }
        if pages.is_empty() {
            pages.push(Page::empty());
        }
        Self { mask, pages }
    }

    /// Whether the tool at that place may be known of.
    pub(crate) fn contains(&self, place: usize) -> bool {
        self.mask.get(place).copied().unwrap_or(false)
    }

    /// The first page, or the one that begins after the tool at `place`.
    pub(crate) fn page_after(&self, place: Option<usize>) -> Option<&Page> {
        match place {
            None => self.pages.first(),
            Some(place) => self.pages.iter().find(|page| page.places.0 > place),
        }
    }
}

/// What is visible to whom, remembered for one revision.
#[derive(Debug, Default)]
pub(crate) struct VisibleCache(RwLock<HashMap<(VmcpId, CallerClass), Arc<Visible>>>);

impl VisibleCache {
    /// What of `vmcp` is visible to `caller`.
    pub(crate) fn get(
        &self,
        policies: &Policies,
        caller: &Caller,
        vmcp: &PublishedVmcp,
        page: usize,
    ) -> Arc<Visible> {
        let key = (vmcp.vmcp.id.clone(), caller.class());
        if let Some(known) =
            self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(&key)
        {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Visible::compute(policies, caller, vmcp, page));
        let mut known = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        Arc::clone(known.entry(key).or_insert(fresh))
    }
}
