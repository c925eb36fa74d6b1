//! Provisioning by the organisation's own directory: SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! Owns what requests mean and what is answered, in SCIM's words; the records are the
//! directory's. A user's id is their `userName`, in lower case; agents are not seen. Whoever
//! is made inactive loses sessions and grants at once, and their keys rest. Serves no HTTP,
//! and who may ask is `method::provisioning`'s to say.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use model::{Timestamp, UserId};
use serde_json::{Map, Value, json};
use tidegate_model as model;
use tidegate_wire::json::{self, Limits};

mod discovery;
mod error;
mod filter;
mod form;
mod groups;
mod patch;
mod query;
#[cfg(test)]
mod tests;
mod users;

pub use error::ScimError;

use super::Directory;
use crate::{
    Issuer, Settings, authorization::AuthorizationServer, login::Sessions,
    method::stored_key::StoredKeys,
};
use query::Query;

/// Largest body of a request, in bytes.
pub const MAX_BODY: usize = 1 << 20;
/// The media type of requests and answers.
pub const MEDIA_TYPE: &str = "application/scim+json";

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// An organisation's directory as its provisioning sees it, and what ends with a user.
#[derive(Debug, Clone, Copy)]
pub struct Scim<'a> {
    /// By which URLs the organisation is known.
    pub issuer: &'a Issuer,
    /// Which roles there are.
    pub settings: &'a Settings,
    /// Who there is.
    pub directory: &'a Directory,
    /// The keys that the gateway made.
    pub keys: &'a StoredKeys,
    /// Grants.
    pub server: &'a AuthorizationServer,
    /// Browser sessions.
    pub browsers: &'a Sessions,
    /// Whom a key in a file names. Such a key would be good again if nobody knew its holder, so
    /// they stay, inactive, when they are deleted.
    pub key_holders: &'a BTreeSet<UserId>,
}

/// A request as it came, to an endpoint behind `/scim/v2/`.
#[derive(Debug, Clone, Copy)]
pub struct ScimRequest<'a> {
    /// How it was asked.
    pub method: &'a Method,
    /// What follows `/scim/v2/`, decoded.
    pub path: &'a str,
    /// The decoded pairs of the query.
    pub query: &'a [(String, String)],
    /// Which version is to be changed (`If-Match`).
    pub if_match: Option<&'a str>,
    /// Which version is known (`If-None-Match`).
    pub if_none_match: Option<&'a str>,
    /// The body; empty where there is none.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, where there is one.
    pub body: Option<Value>,
    /// Where the resource is.
    pub location: Option<String>,
    version: Option<u64>,
    /// What was changed, before and after, for the record.
    pub note: Option<String>,
}

impl Answer {
    fn of(body: Value) -> Self {
        let (status, body) = (StatusCode::OK, Some(body));
        Self { status, body, location: None, version: None, note: None }
    }

    fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, ..Self::of(Value::Null) }
    }

    fn list(total: usize, skip: usize, page: Vec<Value>) -> Self {
        Self::of(json!({
            "schemas": [LIST],
            "totalResults": total,
            "startIndex": skip.saturating_add(1),
            "itemsPerPage": page.len(),
            "Resources": page,
        }))
    }

    /// The entity tag of the resource.
    pub fn etag(&self) -> Option<String> {
        self.version.map(etag)
    }
}

impl ScimRequest<'_> {
    /// What the request would change, as the record calls it; `None` where it changes nothing.
    pub fn action(&self) -> Option<&'static str> {
        let (kind, _) = self.parts();
        let actions = match kind {
            "Users" => ["scim:user_create", "scim:user_update", "scim:user_delete"],
            "Groups" => ["scim:group_create", "scim:group_update", "scim:group_delete"],
            _ => return None,
        };
        let [create, update, delete] = actions;
        match *self.method {
            Method::POST => Some(create),
            Method::PUT | Method::PATCH => Some(update),
            Method::DELETE => Some(delete),
            _ => None,
        }
    }

    /// The endpoint and the id behind it.
    fn parts(&self) -> (&str, Option<&str>) {
        match self.path.split_once('/') {
            Some((kind, "")) => (kind, None),
            Some((kind, id)) => (kind, Some(id)),
            None => (self.path, None),
        }
    }

    /// The body as an object.
    fn object(&self) -> Result<Map<String, Value>, ScimError> {
        let limits = Limits { bytes: MAX_BODY, depth: 16, ..Limits::REQUEST };
        json::check(self.body, &limits).map_err(|error| {
            ScimError::syntax(format!("the body is no JSON that is taken here: {error}"))
        })?;
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(ScimError::syntax("the body is a JSON object")),
        }
    }
}

impl Scim<'_> {
    /// Carries out a request.
    pub async fn answer(&self, request: &ScimRequest<'_>) -> Result<Answer, ScimError> {
        let query = Query::read(request.query)?;
        let answer = match request.parts() {
            ("Users", None) => match *request.method {
                Method::GET => self.list_users(&query),
                Method::POST => self.add_user(request.object()?, &query).await,
                _ => Err(no_method()),
            },
            ("Groups", None) => match *request.method {
                Method::GET => self.list_groups(&query),
                Method::POST => self.add_group(request.object()?, &query).await,
                _ => Err(no_method()),
            },
            ("Users", Some(id)) => self.one_user(id, request, &query).await,
            ("Groups", Some(id)) => self.one_group(id, request, &query).await,
            (kind, id) => self.about(request.method, kind, id),
        }?;
        let known = request.if_none_match.filter(|_| *request.method == Method::GET);
        if known.zip(answer.etag()).is_some_and(|(known, now)| names(known, &now)) {
            return Ok(Answer { status: StatusCode::NOT_MODIFIED, body: None, ..answer });
        }
        Ok(answer)
    }

    async fn one_user(
        &self,
        id: &str,
        request: &ScimRequest<'_>,
        query: &Query,
    ) -> Result<Answer, ScimError> {
        let how = (query, request.if_match);
        match *request.method {
            Method::GET => Ok(self.user(&*self.person(id)?, query)),
            Method::PUT => self.replace_user(id, request.object()?, how).await,
            Method::PATCH => self.patch_user(id, request.object()?, how).await,
            Method::DELETE => self.remove_user(id, request.if_match).await,
            _ => Err(no_method()),
        }
    }

    async fn one_group(
        &self,
        id: &str,
        request: &ScimRequest<'_>,
        query: &Query,
    ) -> Result<Answer, ScimError> {
        let how = (query, request.if_match);
        match *request.method {
            Method::GET => self.group(id, query),
            Method::PUT => self.replace_group(id, request.object()?, how).await,
            Method::PATCH => self.patch_group(id, request.object()?, how).await,
            Method::DELETE => self.remove_group(id, request.if_match).await,
            _ => Err(no_method()),
        }
    }

    /// What tells of the service itself.
    fn about(&self, method: &Method, kind: &str, id: Option<&str>) -> Result<Answer, ScimError> {
        let base = self.issuer.endpoint("/scim/v2");
        let nothing = || ScimError::new(StatusCode::NOT_FOUND, "there is nothing here");
        let all = match (kind, id) {
            ("Bulk", None) => {
                let words = "requests in bulk are not taken: send them one by one";
                return Err(ScimError::new(StatusCode::NOT_IMPLEMENTED, words));
            }
            ("ServiceProviderConfig", None) => vec![discovery::provider(&base)],
            ("ResourceTypes", _) => discovery::resource_types(&base),
            ("Schemas", _) => discovery::schemas(&base),
            _ => return Err(nothing()),
        };
        if *method != Method::GET {
            return Err(no_method());
        }
        match id {
            Some(id) => {
                let found = all.into_iter().find(|one| one.get("id").is_some_and(|it| it == id));
                found.map(Answer::of).ok_or_else(nothing)
            }
            None if kind == "ServiceProviderConfig" => {
                all.into_iter().next().map(Answer::of).ok_or_else(nothing)
            }
            None => Ok(Answer::list(all.len(), 0, all)),
        }
    }

    /// The URL of a resource.
    fn location(&self, kind: &str, id: &str) -> String {
        let base = self.issuer.endpoint("/scim/v2");
        let Ok(mut url) = url::Url::parse(&base) else { return base };
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([kind, id]);
        }
        url.into()
    }

    fn meta(
        &self,
        kind: &str,
        (path, id): (&str, &str),
        created: Timestamp,
        version: u64,
    ) -> Value {
        json!({
            "resourceType": kind,
            "created": moment(created),
            "location": self.location(path, id),
            "version": etag(version),
        })
    }
}

fn no_method() -> ScimError {
    let words = "this cannot be done here: see ServiceProviderConfig";
    ScimError::new(StatusCode::METHOD_NOT_ALLOWED, words)
}

fn moment(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// Whether a list of entity tags names this one. Ours are weak, and compared as such.
fn names(list: &str, tag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.split(',').any(|one| one.trim() == "*" || plain(one) == plain(tag))
}

/// Refuses where the record is not the expected one.
fn expect(expected: Option<&str>, version: u64) -> Result<(), ScimError> {
    if expected.is_some_and(|list| !names(list, &etag(version))) {
        return Err(ScimError::changed());
    }
    Ok(())
}
