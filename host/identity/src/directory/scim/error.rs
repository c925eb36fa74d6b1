//! How SCIM says no (RFC 7644, section 3.12).

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    authorization::AuthorizationError, directory::DirectoryError,
    method::stored_key::StoredKeyError,
};

/// Why a SCIM request came to nothing. The detail is for whoever runs the organisation's
/// directory, and holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error's name in SCIM (`scimType`), where it has one.
    pub kind: Option<&'static str>,
    /// What is wrong and what to do.
    pub detail: String,
}

impl ScimError {
    /// Any status, without a name.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: None, detail: detail.into() }
    }

    fn bad(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: Some(kind), detail: detail.into() }
    }

    /// The body is not what SCIM has here.
    pub(super) fn syntax(detail: impl Into<String>) -> Self {
        Self::bad("invalidSyntax", detail)
    }

    /// An attribute's value cannot be taken.
    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::bad("invalidValue", detail)
    }

    /// A filter that we cannot read or do not know.
    pub(super) fn filter(detail: impl Into<String>) -> Self {
        Self::bad("invalidFilter", detail)
    }

    /// A path of a patch that leads nowhere.
    pub(super) fn path(detail: impl Into<String>) -> Self {
        Self::bad("invalidPath", detail)
    }

    /// Something that does not change, or not from here.
    pub(super) fn mutability(detail: impl Into<String>) -> Self {
        Self::bad("mutability", detail)
    }

    /// More than is taken at once.
    pub(super) fn too_many(detail: impl Into<String>) -> Self {
        Self::bad("tooMany", detail)
    }

    /// Nobody and nothing of this id.
    pub(super) fn missing(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} `{}`", id.escape_debug()))
    }

    /// The record is another by now.
    pub(super) fn changed() -> Self {
        let words = "it was changed meanwhile: read it again";
        Self::new(StatusCode::PRECONDITION_FAILED, words)
    }

    /// Something of ours failed; the cause goes to the log.
    pub(super) fn failed(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a SCIM request failed");
        let words = "the gateway could not do this at the moment: try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    /// The body that says so.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_u16().to_string(),
            "detail": self.detail,
        });
        if let (Some(kind), Some(object)) = (self.kind, body.as_object_mut()) {
            object.insert("scimType".to_owned(), kind.into());
        }
        body
    }
}

impl From<DirectoryError> for ScimError {
    fn from(error: DirectoryError) -> Self {
        match &error {
            DirectoryError::NoUser(id) => Self::missing("user", id.as_str()),
            DirectoryError::NoGroup(id) => Self::missing("group", id),
            DirectoryError::Taken { .. } => Self {
                status: StatusCode::CONFLICT,
                kind: Some("uniqueness"),
                detail: error.to_string(),
            },
            DirectoryError::LastOwner(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            DirectoryError::Bad(words) => Self::value(words.clone()),
            DirectoryError::Busy(_)
            | DirectoryError::Newer(_)
            | DirectoryError::Random
            | DirectoryError::Store(_) => Self::failed(&error),
        }
    }
}

impl From<tidegate_store::StoreError> for ScimError {
    fn from(error: tidegate_store::StoreError) -> Self {
        Self::failed(&error)
    }
}

impl From<AuthorizationError> for ScimError {
    fn from(error: AuthorizationError) -> Self {
        Self::failed(&error)
    }
}

impl From<StoredKeyError> for ScimError {
    fn from(error: StoredKeyError) -> Self {
        Self::failed(&error)
    }
}
