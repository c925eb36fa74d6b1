//! From the URL of a gateway to the endpoints of its authorization server, by following links.
//!
//! The admin API says where its metadata is (RFC 9728), that names the authorization server,
//! and its own metadata (RFC 8414) the endpoints. Each has to name what it was found by, and
//! all of it is at one origin, so that no answer leads a sign-in somewhere else.

use anyhow::{Context, bail};
use http::{HeaderMap, Method, StatusCode, header};
use oauth2::{AuthUrl, DeviceAuthorizationUrl, TokenUrl};
use serde::Deserialize;

use super::super::web::{Web, origin};

/// The metadata of the API.
#[derive(Deserialize)]
struct Protected {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
}

/// The metadata of the authorization server, as far as it is of use here.
#[derive(Debug, Deserialize)]
pub(super) struct Server {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: AuthUrl,
    pub(super) token_endpoint: TokenUrl,
    #[serde(default)]
    pub(super) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
    #[serde(default)]
    pub(super) revocation_endpoint: Option<String>,
    /// What tokens are asked for: the admin API.
    #[serde(skip)]
    pub(super) resource: String,
}

/// Finds the authorization server of the gateway at `url`.
pub(super) async fn find(web: &Web, url: &str) -> anyhow::Result<Server> {
    let base = url.trim_end_matches('/');
    let home = origin(base)?;
    let api = format!("{base}/api/v1");
    let answer = web.send(Method::GET, &format!("{api}/me"), HeaderMap::new(), Vec::new()).await;
    let answer = answer.with_context(|| format!("no gateway can be reached at {base}"))?;
    let challenge = answer.headers.get(header::WWW_AUTHENTICATE);
    let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let metadata = parameter(challenge, "resource_metadata");
    let (StatusCode::UNAUTHORIZED, Some(metadata)) = (answer.status, metadata) else {
        bail!("there is no Tidegate gateway at {base}: it does not say how to sign in");
    };
    let same = |what: &str, link: &str| -> anyhow::Result<()> {
        if origin(link)? == home {
            return Ok(());
        }
        bail!(
            "the gateway at {base} says that its {what} is at `{link}`: name it by the URL that \
             it has itself, as in `tidegate login {}`",
            origin(link)?
        )
    };
    same("metadata", metadata)?;
    let protected: Protected = web.document(metadata).await?;
    if protected.resource != api {
        bail!("the gateway at {base} calls its API `{}`; name it by that URL", protected.resource);
    }
    let issuer = protected.authorization_servers.first();
    let issuer =
        issuer.with_context(|| format!("the gateway at {base} names nobody who signs in"))?;
    same("authorization server", issuer)?;
    let path = issuer.get(home.len()..).unwrap_or_default();
    let found = format!("{home}/.well-known/oauth-authorization-server{path}");
    let mut server: Server = web.document(&found).await?;
    if server.issuer != *issuer {
        bail!("the metadata at `{found}` is that of another authorization server");
    }
    let device = server.device_authorization_endpoint.as_ref().map(|url| url.as_str());
    let endpoints = [Some(server.authorization_endpoint.as_str()), Some(&server.token_endpoint)];
    let more = [device, server.revocation_endpoint.as_deref()];
    for endpoint in endpoints.into_iter().chain(more).flatten() {
        same("endpoint", endpoint)?;
    }
    server.resource = protected.resource;
    Ok(server)
}

/// A parameter of a challenge, between quotes.
fn parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}=\"");
    let at = challenge.find(&start)?;
    let rest = challenge.get(at + start.len()..)?;
    rest.split('"').next().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let challenge = "Bearer resource_metadata=\"http://x/y\", scope=\"admin\"";
        assert_eq!(parameter(challenge, "resource_metadata"), Some("http://x/y"));
        assert_eq!(parameter(challenge, "scope"), Some("admin"));
        assert_eq!(parameter("Bearer", "resource_metadata"), None);
        assert_eq!(parameter("Bearer resource_metadata=\"\"", "resource_metadata"), None);
    }
}
