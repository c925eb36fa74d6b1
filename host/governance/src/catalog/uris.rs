//! Resource URIs as one virtual MCP publishes them.
//!
//! With one connector and identity naming a URI stays what it is. Else it carries its
//! connector: `mcp+crm:file:///a` for `file:///a` of `crm`, and `ui://crm/a` for `ui://a`,
//! which must stay `ui://` (MCP Apps, SEP-1865). The original follows whole, so that a
//! template (RFC 6570) expands to what its own expansion would be published as. Where URIs
//! stand in results and definitions is for [`rewrite`](Rewrite).

mod rewrite;

use std::{borrow::Cow, collections::HashSet};

use tidegate_model::{ConnectorId, ResourceRef, VirtualMcp};

pub use rewrite::Rewrite;

const UI: &str = "ui://";
const PREFIX: &str = "mcp+";

/// The longest URI of a connector in bytes, in lists and as clients ask for it. Clients have
/// URIs kept for them, and servers told of them.
const LONGEST: usize = 8 * 1024;

/// The mapping of one virtual MCP, both ways: total, and no two resources meet in one URI.
#[derive(Debug)]
pub struct Uris {
    naming: Naming,
}

#[derive(Debug)]
enum Naming {
    /// Everything belongs to this connector.
    Identity(ConnectorId),
    /// These are the connectors.
    Prefixed(HashSet<ConnectorId>),
}

impl Uris {
    /// The mapping for this virtual MCP.
    pub fn new(vmcp: &VirtualMcp) -> Self {
        let naming = match vmcp.connectors.as_slice() {
            [only] if vmcp.identity => Naming::Identity(only.clone()),
            all => Naming::Prefixed(all.iter().cloned().collect()),
        };
        Self { naming }
    }

    /// Whether URIs stay as they are.
    pub fn is_identity(&self) -> bool {
        matches!(self.naming, Naming::Identity(_))
    }

    /// The resource, or the template, that is published as this text. Whether there is one is
    /// for its connector to say: results link to resources that no list has. Never one of
    /// more than 8 KiB, or with control characters.
    pub fn locate(&self, published: &str) -> Option<ResourceRef> {
        let found = self.whose(published)?;
        let fits = found.uri.len() <= LONGEST && !found.uri.chars().any(char::is_control);
        fits.then_some(found)
    }

    fn whose(&self, published: &str) -> Option<ResourceRef> {
        // What is put in front is shorter than this; nothing longer is copied.
        if published.len() > 2 * LONGEST {
            return None;
        }
        let connectors = match &self.naming {
            Naming::Identity(connector) => {
                return Some(ResourceRef { connector: connector.clone(), uri: published.into() });
            }
            Naming::Prefixed(connectors) => connectors,
        };
        let (connector, uri) = if let Some(rest) = published.strip_prefix(UI) {
            let (connector, rest) = rest.split_once('/')?;
            (connector, format!("{UI}{rest}").into())
        } else {
            let (connector, uri) = published.strip_prefix(PREFIX)?.split_once(':')?;
            (connector, uri.into())
        };
        let connector = connectors.get(connector)?.clone();
        Some(ResourceRef { connector, uri })
    }

    /// The URI under which a connector's resource is published.
    pub fn publish<'a>(&self, connector: &ConnectorId, uri: &'a str) -> Cow<'a, str> {
        if self.is_identity() {
            return Cow::Borrowed(uri);
        }
        Cow::Owned(match uri.strip_prefix(UI) {
            Some(rest) => format!("{UI}{connector}/{rest}"),
            None => format!("{PREFIX}{connector}:{uri}"),
        })
    }

    /// The text under which a connector's template is published.
    pub fn publish_template<'a>(&self, connector: &ConnectorId, template: &'a str) -> Cow<'a, str> {
        // What is put in front holds no expression, and an expansion keeps it in front.
        self.publish(connector, template)
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
