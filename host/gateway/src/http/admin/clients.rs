//! `/api/v1/clients`: the programs that people connect with.

use serde::{Deserialize, Serialize};
use tidegate_identity::authorization::client::{
    COMMAND_LINE, Client, ClientError, ClientId, ClientKind, RegisteredEntry,
};
use utoipa::ToSchema;

use super::{
    asked::{Asked, Paging, quoted},
    failed::Failed,
    moment::Moment,
    route::{Done, Query},
};

/// Clients that are looked at in one step.
const STEP: usize = 200;

/// A client. Its name is its own word, unless `kind` is `settings` or `built-in`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientInfo {
    pub(crate) id: String,
    /// Where it is written down: `settings`, `registered` (by itself), `document` (at the URL
    /// that is its id) or `built-in`.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Where its answers may go.
    pub(crate) redirect_uris: Vec<String>,
    /// How it proves who it is.
    pub(crate) authentication: String,
    /// Its ways to a token.
    pub(crate) grant_types: Vec<String>,
    /// Who it is when it acts for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// Virtual MCPs it may get tokens for; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) vmcps: Vec<String>,
    /// When it registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Moment>,
    /// When it was used last, to the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<Moment>,
    /// When it is forgotten if nobody uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Moment>,
}

/// Some clients.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientPage {
    /// Those of the settings and the built-in one first, then those that registered. Clients
    /// that are known by a document are not kept; grants name them.
    pub(crate) clients: Vec<ClientInfo>,
    /// What to ask for as `after` to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A client that was removed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClientRemoved {
    pub(crate) removed: String,
    /// How many grants ended with it.
    pub(crate) grants: usize,
}

impl ClientInfo {
    fn of(client: &Client) -> Self {
        Self {
            id: client.id.to_string(),
            kind: client.kind.name().to_owned(),
            name: client.name.clone(),
            redirect_uris: client.redirect_uris.iter().map(|uri| uri.as_str().into()).collect(),
            authentication: client.authentication.name().to_owned(),
            grant_types: client.grant_types.iter().map(|it| it.name().to_owned()).collect(),
            agent: client.agent.as_ref().map(|agent| agent.user.to_string()),
            vmcps: client.vmcps.iter().map(ToString::to_string).collect(),
            created: None,
            last_used: None,
            expires: None,
        }
    }

    fn of_entry(entry: &RegisteredEntry) -> Self {
        Self {
            created: Some(entry.created.into()),
            last_used: entry.used.map(Moment::from),
            expires: entry.expires.map(Moment::from),
            ..Self::of(&entry.client)
        }
    }

    fn begins(&self, wanted: &str) -> bool {
        self.id.to_lowercase().starts_with(wanted) || self.name.to_lowercase().starts_with(wanted)
    }
}

pub(super) async fn list(
    asked: &Asked,
    Query(paging): Query<Paging>,
) -> Result<Done<ClientPage>, Failed> {
    let (wanted, limit) = (paging.wanted(), paging.limit());
    let after = paging.after.as_deref().map(client_id).transpose()?;
    let mut clients = Vec::new();
    if after.is_none() {
        // There are as many as somebody has written down.
        let written = asked.revision.settings.clients.keys().map(String::as_str);
        for id in written.chain([COMMAND_LINE]) {
            clients.extend(found(asked, id).await?.filter(|client| client.begins(&wanted)));
        }
    }
    let (mut after, mut next) = (after, None);
    let registry = asked.identity.server.clients();
    'all: loop {
        let some = registry.registered(after.as_ref(), STEP).await?;
        let Some(last) = some.last() else { break };
        after = Some(last.client.id.clone());
        for client in some.iter().map(ClientInfo::of_entry) {
            if !client.begins(&wanted) {
                continue;
            }
            if clients.len() >= limit {
                next = clients.last().map(|client: &ClientInfo| client.id.clone());
                break 'all;
            }
            clients.push(client);
        }
    }
    Ok(Done::of(ClientPage { clients, next }))
}

fn client_id(text: &str) -> Result<ClientId, Failed> {
    ClientId::new(text).map_err(|error| Failed::bad_request(&error.to_string()))
}

/// A client that is written down somewhere, without asking anybody else for it.
async fn found(asked: &Asked, id: &str) -> Result<Option<ClientInfo>, Failed> {
    let server = &asked.identity.server;
    match server.clients().find(&asked.revision.settings, id).await {
        Ok(client) => Ok(Some(ClientInfo::of(&client))),
        // The notices of the configuration say what is wrong with it.
        Err(ClientError::Unknown | ClientError::Unusable(_)) => Ok(None),
        Err(ClientError::Store(error)) => Err(error.into()),
    }
}

fn missing(id: &str) -> Failed {
    Failed::missing(format!("there is no client {} that is kept here", quoted(Some(id))))
}

pub(super) async fn show(asked: &Asked, (): ()) -> Result<Done<ClientInfo>, Failed> {
    let id = client_id(asked.parameter("client")?)?;
    if id.as_str().starts_with("https://") {
        return Err(missing(id.as_str()));
    }
    let client = found(asked, id.as_str()).await?.ok_or_else(|| missing(id.as_str()))?;
    Ok(Done::of(client))
}

pub(super) async fn remove(asked: &Asked, (): ()) -> Result<Done<ClientRemoved>, Failed> {
    let id = client_id(asked.parameter("client")?)?;
    let server = &asked.identity.server;
    let is_written = asked.revision.settings.clients.contains_key(id.as_str());
    if is_written || id.as_str() == COMMAND_LINE {
        let kind = if is_written { ClientKind::Settings } else { ClientKind::BuiltIn };
        return Err(Failed::conflict(format!(
            "the client `{id}` is not registered by itself ({}): change identity.toml, or end its \
             grants",
            kind.name()
        )));
    }
    let info = found(asked, id.as_str()).await?.ok_or_else(|| missing(id.as_str()))?;
    if !server.clients().remove(&id).await? {
        return Err(missing(id.as_str()));
    }
    let grants = server.revoke_client(id.as_str()).await?;
    let note =
        format!("client `{id}` removed, {}; {grants} grants ended", quoted(Some(&info.name)));
    Ok(Done::noted(ClientRemoved { removed: id.to_string(), grants }, note))
}
