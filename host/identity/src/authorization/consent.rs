//! Consents: what somebody agreed to and need not be asked again.
//!
//! Rows of table `grant`, `"consent" ‖ 0 ‖ SHA-256 of the user ‖ 0 ‖ SHA-256 of client, redirect
//! URI and resource`; the value names the scopes. They end after a year. Where any program on
//! the person's machine could pose as the client, nothing is remembered (RFC 8252 section 8.6);
//! where a client of its own registration is there, it is for one port.

use std::time::Duration;

use model::{Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};

use super::{
    error::AuthorizationError,
    grant::GrantRow,
    redirect::Place,
    request::AuthorizationRequest,
    rows::{Rows, value},
    spelling,
};
use crate::{Resource, Scopes};

const PREFIX: &[u8] = b"consent\0";
const WHAT: &str = "consent";
const KEPT: Duration = Duration::from_secs(365 * 86_400);

/// What somebody agreed to, for whoever lists it. Texts are what clients wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Who agreed.
    pub user: UserId,
    /// The client, by its id.
    pub client: String,
    /// Where answers go, to the letter: on the person's own machine with the port.
    pub redirect_uri: String,
    /// To what.
    #[serde(with = "spelling::resource")]
    pub resource: Resource,
    /// The rights.
    #[serde(with = "spelling::scopes")]
    pub scopes: Scopes,
    /// When.
    pub at: Timestamp,
}

fn prefix_of(user: &UserId) -> Vec<u8> {
    [PREFIX, &spelling::digest(&[user.as_str().as_bytes()]), b"\0"].concat()
}

fn key(user: &UserId, client: &str, redirect_uri: &str, resource: &Resource) -> Vec<u8> {
    let resource = spelling::resource::text(resource);
    let rest = spelling::digest(&[client.as_bytes(), redirect_uri.as_bytes(), resource.as_bytes()]);
    [prefix_of(user).as_slice(), &rest].concat()
}

fn key_for(user: &UserId, request: &AuthorizationRequest) -> Vec<u8> {
    key(user, &request.client_id, &request.redirect_uri.to_string(), &request.resource)
}

/// Whether agreeing to this request may count for the next one like it. The id of a client
/// that registered itself is made for it alone, and what was agreed to counts at the very
/// address that answers went to, port included; one that is known by its document, or built
/// in, can be played by any program on the machine that answers go to.
pub(crate) fn can_be_remembered(request: &AuthorizationRequest) -> bool {
    request.redirect_uri.place() == Place::Web || request.is_known_to_itself_only
}

/// Whether this user agreed to all of that already.
pub(crate) async fn is_given(
    rows: &Rows,
    user: &UserId,
    request: &AuthorizationRequest,
) -> Result<bool, AuthorizationError> {
    if !can_be_remembered(request) {
        return Ok(false);
    }
    let found = rows.read::<Consent>(Table::Grant, &key_for(user, request), WHAT).await?;
    Ok(found.is_some_and(|(consent, _)| {
        consent.user == *user
            && consent.client == request.client_id
            && consent.resource == request.resource
            && consent.scopes.covers(request.scopes)
    }))
}

/// The step that remembers what was agreed to.
pub(crate) fn remember(
    rows: &Rows,
    user: &UserId,
    request: &AuthorizationRequest,
    scopes: Scopes,
) -> Result<Op, AuthorizationError> {
    let at = rows.clock.now();
    let consent = Consent {
        user: user.clone(),
        client: request.client_id.clone(),
        redirect_uri: request.redirect_uri.to_string(),
        resource: request.resource.clone(),
        scopes,
        at,
    };
    let key = key_for(user, request);
    rows.put((Table::Grant, key), &consent, Some(at.after(KEPT)), Expect::Any)
}

/// The step that forgets what a grant was agreed to with.
pub(crate) fn forget(rows: &Rows, grant: &GrantRow) -> Option<Op> {
    let key = key(&grant.user, &grant.client, grant.redirect_uri.as_deref()?, &grant.resource);
    Some(rows.delete(Table::Grant, key, Expect::Any))
}

/// All consents of a user.
pub(crate) async fn of(rows: &Rows, user: &UserId) -> Result<Vec<Consent>, AuthorizationError> {
    let mut consents = Vec::new();
    rows.each(Table::Grant, &prefix_of(user), |row| {
        consents.extend(value::<Consent>(&row.record, WHAT).ok());
    })
    .await?;
    Ok(consents)
}

/// Forgets all consents of a user.
pub(crate) async fn forget_all(rows: &Rows, user: &UserId) -> Result<(), AuthorizationError> {
    let mut keys = Vec::new();
    rows.each(Table::Grant, &prefix_of(user), |row| keys.push(row.key.clone())).await?;
    for some in keys.chunks(500) {
        let delete = |key: &Vec<u8>| rows.delete(Table::Grant, key.clone(), Expect::Any);
        rows.commit(some.iter().map(delete).collect()).await?;
    }
    Ok(())
}
