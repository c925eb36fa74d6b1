//! Reading all lists of a server, page by page, within caps.
//!
//! The list of tools decides whether the server could be read at all. The others are only
//! asked for where the server said that it has them, and one that fails costs nothing but
//! itself.

use std::sync::Arc;

use futures_util::future::OptionFuture;
use http::{HeaderName, HeaderValue};
use tidegate_model::{Answer, ConnectorId, Features, Offer, Tool};
use tidegate_wire::{
    client::{Member, Outgoing, Peer, PeerError, PeerInfo, peer::Fault},
    json::Raw,
    mcp::{
        code,
        lists::{self, Entries},
        method::Method,
        peek::{ErrorObject, PeekError},
        tools::{Listing, SkippedTool},
    },
};
use tokio::time::Instant;

use super::{ConnectorError, List};

/// What a connector offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// What can be used, in the order of the upstream.
    pub offer: Offer,
    /// Entries that were left out, each with its reason.
    pub dropped: Vec<Dropped>,
    /// Lists that could not be read this time, each with its reason. What is known of them
    /// from before is as good as it was.
    pub unread: Vec<Unread>,
}

/// An entry of a list that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The method of the list that it stands in.
    pub list: &'static str,
    /// Its name (for a resource its URI, for a template its text), where it has a usable one.
    pub name: Option<String>,
    /// Why, in a few words.
    pub reason: String,
}

/// A list that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub list: List,
    /// The method that failed.
    pub method: &'static str,
    /// Why, in a few words.
    pub reason: String,
}

/// The most pages of one list.
const PAGES: usize = 1_000;
/// The most entries of one list, good and bad together.
const ENTRIES: usize = 10_000;
/// The most bytes of one list, all pages together.
const BYTES: usize = 64 << 20;

const TOOLS: &str = Method::ListTools.name();
const PROMPTS: &str = Method::ListPrompts.name();
const RESOURCES: &str = Method::ListResources.name();
const TEMPLATES: &str = Method::ListResourceTemplates.name();

/// Where a list is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// The server.
    pub(super) peer: &'a Peer,
    /// What it is called here.
    pub(super) connector: &'a ConnectorId,
    /// Headers of the requests: the credential.
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
}

impl Source<'_> {
    /// Asks for everything; `features` reads what the server said of itself, which it has
    /// done once its tools are known. Nobody waits after `deadline`.
    pub(super) async fn read(
        self,
        features: impl FnOnce(&PeerInfo) -> Features,
        deadline: std::time::Instant,
    ) -> Result<Listed, ConnectorError> {
        let mut listed = Listed::from(self.tools().await?);
        // Without a word about itself, what it does not list could not be told from what it
        // does not have.
        let info = self.peer.info().ok_or(PeerError::Closed)?;
        let features = features(&info);
        // Some time is left to whoever waits, so that a list that hangs loses no other.
        let left = Instant::from_std(deadline).saturating_duration_since(Instant::now());
        let until = Instant::now() + left * 3 / 4;
        let prompts = features.prompts.then(|| self.entries(PROMPTS, Entries::prompts, until));
        let resources =
            features.resources.then(|| self.entries(RESOURCES, Entries::resources, until));
        let templates =
            features.resources.then(|| self.entries(TEMPLATES, Entries::templates, until));
        let (prompts, resources, templates) = tokio::join!(
            OptionFuture::from(prompts),
            OptionFuture::from(resources),
            OptionFuture::from(templates),
        );
        listed.offer.prompts = listed.take(prompts, List::Prompts, PROMPTS);
        listed.offer.resources = listed.take(resources, List::Resources, RESOURCES);
        listed.offer.templates = listed.take(templates, List::Resources, TEMPLATES);
        listed.offer.features = features;
        Ok(listed)
    }

    /// The tool called like `tool`, as the server lists it now.
    pub(super) async fn again(self, tool: &Tool) -> Result<Option<Tool>, ConnectorError> {
        let listing = self.tools().await?;
        let same = |listed: &Tool| listed.name == tool.name;
        Ok(listing.tools.into_iter().map(|listed| listed.tool).find(same))
    }

    async fn tools(self) -> Result<Listing, ConnectorError> {
        let mut listing = Listing::new(self.connector.clone());
        self.pages(TOOLS, |page| {
            let next = listing.add_page(page)?;
            Ok((next, listing.tools.len() + listing.skipped.len()))
        })
        .await?;
        Ok(listing)
    }

    async fn entries<T>(
        self,
        method: &'static str,
        none: impl FnOnce(ConnectorId) -> Entries<T>,
        until: Instant,
    ) -> Result<Entries<T>, ConnectorError> {
        let mut entries = none(self.connector.clone());
        let pages = self.pages(method, |page| Ok((entries.add_page(page)?, entries.seen())));
        tokio::time::timeout_at(until, pages).await.unwrap_or(Err(ConnectorError::Deadline))?;
        Ok(entries)
    }

    /// Hands each page to `add`, which says where the next one is and how many entries there
    /// are by now.
    async fn pages(
        self,
        method: &'static str,
        mut add: impl FnMut(&tidegate_model::Json) -> Result<(Option<String>, usize), PeekError>,
    ) -> Result<(), ConnectorError> {
        let mut cursor: Option<String> = None;
        let mut bytes = 0;
        for _ in 0..PAGES {
            let Some(page) = self.page(method, cursor.as_deref()).await? else { return Ok(()) };
            bytes += page.len();
            let (next, entries) = add(&page).map_err(|error| bad(method, error.to_string()))?;
            if bytes > BYTES {
                return Err(ConnectorError::TooMuch { method, what: "more than 64 MiB" });
            }
            if entries > ENTRIES {
                return Err(ConnectorError::TooMuch { method, what: "more than 10,000 entries" });
            }
            match next {
                None => return Ok(()),
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(bad(method, "the cursor does not move on".to_owned()));
                }
                next => cursor = next,
            }
        }
        Err(ConnectorError::TooMuch { method, what: "more than 1,000 pages" })
    }

    async fn page(
        self,
        method: &'static str,
        cursor: Option<&str>,
    ) -> Result<Option<tidegate_model::Json>, ConnectorError> {
        let params = cursor.map(|cursor| ("cursor", Member::Text(cursor)));
        let (params, headers) = (params.as_slice(), self.headers);
        let outgoing = Outgoing { method, params, headers, ..Outgoing::default() };
        match self.peer.request(&outgoing).await? {
            Answer::Result(page) => Ok(Some(page)),
            Answer::Error(error) => match ErrorObject::read(Raw::from(&error)) {
                // A server that has none need not know the method.
                Some(error) if error.code == code::METHOD_NOT_FOUND && cursor.is_none() => Ok(None),
                error => {
                    let message = error.map(|error| error.message).unwrap_or_default();
                    Err(PeerError::refused(method, &message).into())
                }
            },
        }
    }
}

impl Listed {
    /// The usable entries of one list; what else there is to say about it is noted.
    pub(super) fn take<T>(
        &mut self,
        entries: Option<Result<Entries<T>, ConnectorError>>,
        list: List,
        method: &'static str,
    ) -> Arc<[Arc<T>]> {
        match entries {
            None => Arc::default(),
            Some(Err(error)) => {
                self.unread.push(Unread { list, method, reason: error.to_string() });
                Arc::default()
            }
            Some(Ok(entries)) => {
                let dropped = |skipped: lists::Skipped| Dropped {
                    list: method,
                    name: skipped.name,
                    reason: skipped.reason.to_string(),
                };
                self.dropped.extend(entries.skipped.into_iter().map(dropped));
                entries.usable.into_iter().map(Arc::new).collect()
            }
        }
    }
}

impl From<Listing> for Listed {
    fn from(listing: Listing) -> Self {
        let dropped = |skipped: SkippedTool| Dropped {
            list: TOOLS,
            name: skipped.name,
            reason: skipped.reason.to_string(),
        };
        Self {
            offer: Offer {
                tools: listing.tools.into_iter().map(|listed| Arc::new(listed.tool)).collect(),
                ..Offer::default()
            },
            dropped: listing.skipped.into_iter().map(dropped).collect(),
            unread: Vec::new(),
        }
    }
}

fn bad(method: &'static str, why: String) -> ConnectorError {
    PeerError::from(Fault::Result { method, why }).into()
}
