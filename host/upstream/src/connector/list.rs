//! Reading the whole list of tools, page by page, within caps.

use http::{HeaderName, HeaderValue};
use std::sync::Arc;

use tidegate_model::{Answer, ConnectorId, Offer};
use tidegate_wire::{
    client::{Member, Outgoing, Peer, PeerError, peer::Fault},
    json::Raw,
    mcp::{code, method::Method, peek::ErrorObject, tools::Listing},
};

use super::ConnectorError;

/// What a connector offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// What can be used, in the order of the upstream.
    pub offer: Offer,
    /// Entries that were left out, each with its reason.
    pub dropped: Vec<Dropped>,
}

/// An entry of a list that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name, where it has a usable one.
    pub name: Option<String>,
    /// Why, in a few words.
    pub reason: String,
}

/// The most pages of one list.
const PAGES: usize = 1_000;
/// The most entries of one list, good and bad together.
const TOOLS: usize = 10_000;
/// The most bytes of one list, all pages together.
const BYTES: usize = 64 << 20;

const METHOD: &str = Method::ListTools.name();

/// Asks `peer` for all pages.
pub(super) async fn read(
    peer: &Peer,
    connector: &ConnectorId,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<Listed, ConnectorError> {
    let mut listing = Listing::new(connector.clone());
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    for _ in 0..PAGES {
        let params = cursor.as_deref().map(|cursor| ("cursor", Member::Text(cursor)));
        let outgoing =
            Outgoing { method: METHOD, params: params.as_slice(), headers, ..Outgoing::default() };
        let page = match peer.request(&outgoing).await? {
            Answer::Result(page) => page,
            Answer::Error(error) => match ErrorObject::read(Raw::from(&error)) {
                // A server without tools need not know the method.
                Some(error) if error.code == code::METHOD_NOT_FOUND && cursor.is_none() => {
                    return Ok(Listed::default());
                }
                error => {
                    let message = error.map(|error| error.message.into_owned()).unwrap_or_default();
                    return Err(PeerError::Refused { method: METHOD, message }.into());
                }
            },
        };
        bytes += page.len();
        let next = listing.add_page(&page).map_err(|error| bad_list(error.to_string()))?;
        if bytes > BYTES {
            return Err(ConnectorError::TooManyTools("more than 64 MiB"));
        }
        if listing.tools.len() + listing.skipped.len() > TOOLS {
            return Err(ConnectorError::TooManyTools("more than 10,000 tools"));
        }
        match next {
            None => return Ok(Listed::from(listing)),
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(bad_list("the cursor does not move on".to_owned()));
            }
            next => cursor = next,
        }
    }
    Err(ConnectorError::TooManyTools("more than 1,000 pages"))
}

impl From<Listing> for Listed {
    fn from(listing: Listing) -> Self {
        let dropped = |skipped: tidegate_wire::mcp::tools::SkippedTool| Dropped {
            name: skipped.name,
            reason: skipped.reason.to_string(),
        };
        Self {
            offer: Offer {
                tools: listing.tools.into_iter().map(|listed| Arc::new(listed.tool)).collect(),
                ..Offer::default()
            },
            dropped: listing.skipped.into_iter().map(dropped).collect(),
        }
    }
}

fn bad_list(why: String) -> ConnectorError {
    PeerError::from(Fault::Result { method: METHOD, why }).into()
}
