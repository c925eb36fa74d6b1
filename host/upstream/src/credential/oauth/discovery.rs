//! Which authorization server a connector trusts, and where its endpoints are.
//!
//! Protected-resource metadata (RFC 9728) from the challenge, else from the well-known places;
//! then the server's own (RFC 8414, OpenID Connect discovery), whose `issuer` must be the very
//! text that it was looked for under. Where a server knows neither, what the revision
//! 2025-03-26 said: the server at the connector's own origin, with default paths. Nothing that
//! a document says leads to another origin than the issuer's, unless an administrator has
//! named that origin.

use serde::{Deserialize, Serialize};
use tidegate_wire::client::egress::Origin;

use super::{
    challenge::Challenge,
    reach::{Reach, ReachError},
};

/// What an administrator has said of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The issuer, where it shall not be found out.
    pub issuer: Option<String>,
    /// Origins beside the issuer's where its endpoints may be.
    pub endpoints: Vec<String>,
}

/// An authorization server, as far as a client has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub issuer: String,
    /// Where people agree.
    pub authorization_endpoint: String,
    /// Where tokens are issued.
    pub token_endpoint: String,
    /// Where clients register themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Where tokens are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// The rights it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// How clients may prove themselves to the token endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether it names itself in answers (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client may be a URL of its metadata.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
    /// How codes may be bound to who asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<String>,
}

/// What was found out of a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whom to ask.
    pub server: Server,
    /// What tokens are to be for (RFC 8707).
    pub resource: String,
    /// The rights that the connector's own description names.
    pub scopes: Vec<String>,
}

/// Why no authorization server was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// One could not be asked, or gave no document.
    #[error("{0}")]
    Reach(String),
    /// It describes another resource.
    #[error("the metadata of `{url}` is about `{resource}`, which is not it")]
    OtherResource {
        /// The connector's URL.
        url: String,
        /// What its metadata says.
        resource: String,
    },
    /// The connector trusts other servers than the administrator has named.
    #[error("`{url}` trusts `{found}`, and the connector's `issuer` is `{named}`")]
    OtherIssuer {
        /// The connector's URL.
        url: String,
        /// What it trusts.
        found: String,
        /// What is configured.
        named: String,
    },
    /// A server that calls itself something else.
    #[error("the server at `{wanted}` calls itself `{found}`: it is not asked for anything")]
    Impostor {
        /// Where it was looked for.
        wanted: String,
        /// What it calls itself.
        found: String,
    },
    /// No metadata.
    #[error("`{0}` has no authorization server metadata: is it the issuer?")]
    NoMetadata(String),
    /// Codes could be stolen.
    #[error("`{0}` does not support PKCE with S256, without which no code is asked for")]
    NoPkce(String),
    /// An endpoint that is somewhere else.
    #[error(
        "`{issuer}` has its `{what}` at `{origin}`: name that origin in `endpoints` if it belongs to it"
    )]
    Elsewhere {
        /// The server.
        issuer: String,
        /// Which endpoint.
        what: &'static str,
        /// Where it is.
        origin: String,
    },
}

impl From<ReachError> for DiscoveryError {
    fn from(error: ReachError) -> Self {
        Self::Reach(error.to_string())
    }
}

#[derive(Debug, Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// Finds out whom to ask for tokens for the connector at `url`.
pub(crate) async fn discover(
    reach: &Reach,
    url: &str,
    named: &Named,
) -> Result<Found, DiscoveryError> {
    let origin = reach.check(url)?;
    let challenge = reach.knock(url).await?.challenges;
    let challenge = Challenge::read(challenge.iter().map(String::as_str)).unwrap_or_default();
    let Some(metadata) = resource_metadata(reach, url, &origin, &challenge).await? else {
        let issuer = named.issuer.clone().unwrap_or_else(|| origin.to_string());
        let server = match (find_server(reach, &issuer, named).await?, &named.issuer) {
            (Some(server), _) => server,
            (None, Some(issuer)) => return Err(DiscoveryError::NoMetadata(issuer.clone())),
            (None, None) => by_default(&origin),
        };
        return Ok(Found { server, resource: plain(url), scopes: challenge.scopes });
    };
    if !covers(&metadata.resource, url) {
        let (url, resource) = (url.to_owned(), cut(&metadata.resource));
        return Err(DiscoveryError::OtherResource { url, resource });
    }
    let issuer = match &named.issuer {
        None => metadata.authorization_servers.first().cloned(),
        Some(named) if metadata.authorization_servers.contains(named) => Some(named.clone()),
        Some(named) => {
            let (url, named) = (url.to_owned(), named.clone());
            let found = cut(&metadata.authorization_servers.join(", "));
            return Err(DiscoveryError::OtherIssuer { url, found, named });
        }
    };
    let issuer = issuer.unwrap_or_else(|| origin.to_string());
    let server = find_server(reach, &issuer, named).await?;
    let server = server.ok_or_else(|| DiscoveryError::NoMetadata(cut(&issuer)))?;
    let scopes = match challenge.scopes.is_empty() {
        true => metadata.scopes_supported,
        false => challenge.scopes,
    };
    Ok(Found { server, resource: metadata.resource, scopes })
}

async fn resource_metadata(
    reach: &Reach,
    url: &str,
    origin: &Origin,
    challenge: &Challenge,
) -> Result<Option<ResourceMetadata>, DiscoveryError> {
    if let Some(place) = &challenge.resource_metadata {
        // It was named, so it has to be there.
        let found = reach.document(place).await?;
        return found
            .map(Some)
            .ok_or_else(|| DiscoveryError::Reach(format!("`{}` is not there", cut(place))));
    }
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let path = path_of(url);
    if !path.is_empty() {
        let found = reach.document(&format!("{origin}{WELL_KNOWN}{path}")).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(reach.document(&format!("{origin}{WELL_KNOWN}")).await?)
}

/// The server that calls itself `issuer`, where it describes itself.
async fn find_server(
    reach: &Reach,
    issuer: &str,
    named: &Named,
) -> Result<Option<Server>, DiscoveryError> {
    let origin = reach.check(issuer)?;
    let path = path_of(issuer);
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    for place in places {
        let Some(server) = reach.document::<Server>(&place).await? else { continue };
        if server.issuer != issuer {
            let (wanted, found) = (issuer.to_owned(), cut(&server.issuer));
            return Err(DiscoveryError::Impostor { wanted, found });
        }
        check(reach, &server, &origin, named)?;
        return Ok(Some(server));
    }
    Ok(None)
}

fn check(
    reach: &Reach,
    server: &Server,
    origin: &Origin,
    named: &Named,
) -> Result<(), DiscoveryError> {
    if !server.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(DiscoveryError::NoPkce(server.issuer.clone()));
    }
    let endpoints = [
        ("authorization_endpoint", Some(&server.authorization_endpoint)),
        ("token_endpoint", Some(&server.token_endpoint)),
        ("registration_endpoint", server.registration_endpoint.as_ref()),
        ("revocation_endpoint", server.revocation_endpoint.as_ref()),
    ];
    for (what, url) in endpoints {
        let Some(url) = url else { continue };
        let at = reach.check(url)?;
        if at != *origin && !named.endpoints.contains(&at.to_string()) {
            let (issuer, origin) = (server.issuer.clone(), at.to_string());
            return Err(DiscoveryError::Elsewhere { issuer, what, origin });
        }
    }
    Ok(())
}

/// What the revision 2025-03-26 says of a server that does not describe itself.
fn by_default(origin: &Origin) -> Server {
    Server {
        issuer: origin.to_string(),
        authorization_endpoint: format!("{origin}/authorize"),
        token_endpoint: format!("{origin}/token"),
        registration_endpoint: Some(format!("{origin}/register")),
        revocation_endpoint: None,
        scopes_supported: Vec::new(),
        token_endpoint_auth_methods_supported: Vec::new(),
        authorization_response_iss_parameter_supported: false,
        client_id_metadata_document_supported: false,
        code_challenge_methods_supported: vec!["S256".to_owned()],
    }
}

/// The path of a URL, without the query and without a slash at its end.
fn path_of(url: &str) -> &str {
    let after = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = after.find('/').and_then(|at| after.get(at..)).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/')
}

/// A URL without query and fragment.
fn plain(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// Whether a token for `resource` is one for `url`: the same origin, and the path of the one
/// leads to that of the other.
fn covers(resource: &str, url: &str) -> bool {
    let (Ok((one, _)), Ok((other, _))) = (Origin::split(resource), Origin::split(url)) else {
        return false;
    };
    if one != other || resource.contains(['#', '?']) {
        return false;
    }
    let (above, below) = (path_of(resource), path_of(url));
    below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Text of another in a sentence: short, printable.
pub(crate) fn cut(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_covers_what_is_below_it() {
        for (resource, url, expected) in [
            ("https://a.example", "https://a.example/mcp", true),
            ("https://a.example/", "https://a.example/mcp?x=1", true),
            ("https://a.example/mcp", "https://a.example/mcp", true),
            ("https://a.example/mcp", "https://a.example/mcp/", true),
            ("https://A.example/mcp", "https://a.example:443/mcp/x", true),
            ("https://a.example/mcp", "https://a.example/mcp2", false),
            ("https://a.example/mcp/x", "https://a.example/mcp", false),
            ("https://b.example/mcp", "https://a.example/mcp", false),
            ("http://a.example/mcp", "https://a.example/mcp", false),
            ("https://a.example:8443/mcp", "https://a.example/mcp", false),
            ("https://a.example/mcp#x", "https://a.example/mcp", false),
            ("nonsense", "https://a.example/mcp", false),
        ] {
            assert_eq!(covers(resource, url), expected, "{resource} {url}");
        }
    }
}
