//! Clients that are written down by people: in the settings, and in this file.

use super::{
    ApplicationType, Client, ClientAgent, ClientAuthentication, ClientId, ClientKeys, ClientKind,
    GrantType, SecretHash,
};
use crate::{
    authorization::{
        jwks::PublicKeys,
        redirect::{Place, RedirectUri},
    },
    settings::RegisteredClient,
};

/// Where the answers to the command line go; any port.
const COMMAND_LINE_REDIRECTS: [&str; 3] =
    ["http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"];

/// The `tidegate` command line: public, on the person's machine or with a device code.
pub(super) fn command_line(id: ClientId) -> Client {
    let redirects = COMMAND_LINE_REDIRECTS.iter().filter_map(|uri| RedirectUri::parse(uri).ok());
    Client {
        id,
        kind: ClientKind::BuiltIn,
        name: "Tidegate command line".to_owned(),
        redirect_uris: redirects.collect(),
        application_type: ApplicationType::Native,
        authentication: ClientAuthentication::None,
        grant_types: vec![
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::DeviceCode,
        ],
        uri: None,
        agent: None,
        vmcps: Vec::new(),
    }
}

/// A client of the settings, or what is wrong with its entry.
pub(super) fn of_settings(id: ClientId, entry: &RegisteredClient) -> Result<Client, String> {
    let redirect_uris = entry.redirect_uris.iter().map(|uri| RedirectUri::parse(uri));
    let redirect_uris: Vec<_> = redirect_uris.collect::<Result<_, _>>().map_err(|bad| {
        format!("one of the redirect URIs of `{id}` in the settings is not taken: {bad}")
    })?;
    let authentication = match (&entry.jwks, entry.secret) {
        (Some(jwks), _) => {
            let keys = PublicKeys::handed_over(jwks.as_bytes());
            let keys = keys.map_err(|bad| format!("the keys of `{id}` in the settings: {bad}"))?;
            ClientAuthentication::PrivateKey(ClientKeys::Here(keys))
        }
        (None, Some(hash)) => ClientAuthentication::Secret(SecretHash::from_bytes(hash)),
        (None, None) => ClientAuthentication::None,
    };
    let is_public = matches!(authentication, ClientAuthentication::None);
    let is_local = redirect_uris.iter().any(|uri| uri.place() != Place::Web);
    let mut grant_types = Vec::new();
    if !redirect_uris.is_empty() {
        grant_types.push(GrantType::AuthorizationCode);
    }
    if !redirect_uris.is_empty() || entry.device_codes {
        grant_types.push(GrantType::RefreshToken);
    }
    if !is_public {
        grant_types.extend([GrantType::JwtBearer, GrantType::TokenExchange]);
    }
    let agent = entry.agent.clone().filter(|_| !is_public).map(|user| ClientAgent {
        user,
        groups: entry.groups.clone(),
        roles: entry.roles.clone(),
    });
    if entry.device_codes {
        grant_types.push(GrantType::DeviceCode);
    }
    if agent.is_some() {
        grant_types.push(GrantType::ClientCredentials);
    }
    let name = if entry.name.is_empty() { id.to_string() } else { entry.name.clone() };
    Ok(Client {
        id,
        kind: ClientKind::Settings,
        name,
        redirect_uris,
        application_type: if is_local { ApplicationType::Native } else { ApplicationType::Web },
        authentication,
        grant_types,
        uri: None,
        agent,
        vmcps: entry.vmcps.clone(),
    })
}
