//! How an admin route fails: a status, a code, a sentence.
//!
//! Owns what errors of the parts below look like to an administrator. Where a sentence may
//! hold what somebody sent, it is shown as text.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_identity::{
    authorization::AuthorizationError, directory::DirectoryError,
    method::stored_key::StoredKeyError,
};
use tidegate_model::{Refusal, RefusalCode};
use tidegate_store::StoreError;
use utoipa::ToSchema;

use crate::{call::refusal, control::Control};

/// What any admin route says when it fails.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Failure {
    /// One sentence or more, for people.
    pub(crate) error: String,
    /// A stable code.
    pub(crate) code: String,
}

/// How a route fails.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) status: StatusCode,
    pub(super) failure: Failure,
    pub(super) refusal: RefusalCode,
}

impl Failed {
    pub(super) fn new(status: StatusCode, refusal: RefusalCode, error: String) -> Self {
        Self { status, failure: Failure { error, code: refusal.name().to_owned() }, refusal }
    }

    pub(super) fn bad_request(error: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, RefusalCode::InvalidRequest, error.to_owned())
    }

    /// What was asked for is not there.
    pub(super) fn missing(error: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, RefusalCode::NotFound, error)
    }

    /// It does not go together with what is there.
    pub(super) fn conflict(error: String) -> Self {
        Self::new(StatusCode::CONFLICT, RefusalCode::InvalidRequest, error)
    }

    pub(super) fn denied(reason: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, RefusalCode::PolicyDenied, reason.to_owned())
    }

    pub(super) fn too_often() -> Self {
        let words = "too many requests; wait a moment".to_owned();
        Self::new(StatusCode::TOO_MANY_REQUESTS, RefusalCode::InvalidRequest, words)
    }

    pub(super) fn unready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            RefusalCode::Draining,
            "the gateway has no configuration yet".to_owned(),
        )
    }

    pub(super) fn no_organisation(org: &str) -> Self {
        let words = format!(
            "there is no organisation `{org}` here; `tidegate status` shows those that there are, \
             and a folder `orgs/NAME` in the configuration directory adds one"
        );
        Self::new(StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, words)
    }

    pub(super) fn out_of_service(control: &Control) -> Self {
        let mut words = format!("the organisation `{}` is out of service", control.org.id);
        for problem in control.problems() {
            words.push_str(&format!("\n{problem}"));
        }
        Self::new(StatusCode::SERVICE_UNAVAILABLE, RefusalCode::Draining, words)
    }

    pub(super) fn from_refusal(refused: &Refusal) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, refused.code, refusal::sentence(refused))
    }

    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "an admin request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            RefusalCode::Internal,
            "the gateway failed".to_owned(),
        )
    }
}

impl From<DirectoryError> for Failed {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NoUser(_) | DirectoryError::NoGroup(_) => {
                Self::missing(error.to_string())
            }
            DirectoryError::Taken { .. }
            | DirectoryError::LastOwner(_)
            | DirectoryError::Busy(_) => Self::conflict(error.to_string()),
            DirectoryError::Bad(_) => Self::bad_request(&error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

impl From<StoredKeyError> for Failed {
    fn from(error: StoredKeyError) -> Self {
        match error {
            StoredKeyError::Unknown(_) => Self::missing(error.to_string()),
            StoredKeyError::Taken(_) | StoredKeyError::TooMany(_) => {
                Self::conflict(error.to_string())
            }
            StoredKeyError::NoUser(_) | StoredKeyError::Expired => {
                Self::bad_request(&error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<AuthorizationError> for Failed {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::Busy => Self::conflict(error.to_string()),
            _ => Self::internal(&error),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}
