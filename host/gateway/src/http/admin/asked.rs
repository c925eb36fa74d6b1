//! One request as a handler sees it: who asks, in which organisation, about what.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::Uri;
use serde::{Deserialize, Serialize};
use tidegate_governance::policy::{AdminAction, RequestContext};
use tidegate_identity::{
    Caller, SignIn,
    directory::{Directory, Person},
};
use tidegate_model::{Timestamp, UserId};
use utoipa::IntoParams;

use super::failed::Failed;
use crate::{
    control::{Control, organisations::Organisations},
    identity::Identity,
    revision::Revision,
};

/// Entries of one page where nothing else is asked for, and at most.
const PAGE: usize = 100;
const MOST: usize = 1_000;
/// Names that a note lists before it counts.
const NAMED: usize = 40;

/// An authenticated request whose caller may ask it.
pub(super) struct Asked {
    /// All organisations.
    pub(super) organisations: Arc<Organisations>,
    /// The one that the request named.
    pub(super) control: Arc<Control>,
    /// Its revision, the same for the whole request.
    pub(super) revision: Arc<Revision>,
    /// Who there is in it.
    pub(super) identity: Arc<Identity>,
    /// Who asks.
    pub(super) caller: Caller,
    /// When they were judged.
    pub(super) at: Timestamp,
    /// From where they ask.
    pub(super) source: Option<IpAddr>,
    /// What stands at the places of the path.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// `next` of the page before.
    pub(super) after: Option<String>,
    /// How many entries at most: 1 to 1000, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// What ids, names or addresses begin with, in any case.
    pub(super) prefix: Option<String>,
}

impl Paging {
    pub(super) fn limit(&self) -> usize {
        limit(self.limit)
    }

    /// The prefix in lower case; every text begins with the empty one.
    pub(super) fn wanted(&self) -> String {
        self.prefix.as_deref().unwrap_or_default().to_lowercase()
    }
}

/// How many entries a page has.
pub(super) fn limit(wanted: Option<usize>) -> usize {
    wanted.unwrap_or(PAGE).clamp(1, MOST)
}

impl Asked {
    /// What stands in the path at `{name}`.
    pub(super) fn parameter(&self, name: &str) -> Result<&str, Failed> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(Failed::unready)
    }

    /// The user at `{user}` of the path.
    pub(super) fn user(&self) -> Result<Arc<Person>, Failed> {
        let text = self.parameter("user")?;
        let id = user_id(text)?;
        let missing = || Failed::missing(format!("there is no user `{id}`"));
        self.directory().user(&id).ok_or_else(missing)
    }

    /// The caller's name in its one spelling; that in a file may have another.
    pub(super) fn own_id(&self) -> Result<UserId, Failed> {
        user_id(self.caller.user().as_str())
    }

    pub(super) fn directory(&self) -> &Arc<Directory> {
        &self.identity.directory
    }

    /// Asks policies whether the caller may do this as well.
    pub(super) fn also(&self, action: AdminAction) -> Result<(), Failed> {
        let context = self.circumstances();
        let decided = self.revision.policies.authorize_admin(&self.caller, action, &context);
        match decided {
            Ok(_) => Ok(()),
            Err(denial) => Err(Failed::denied(&format!("{} ({action})", denial.reason))),
        }
    }

    pub(super) fn circumstances(&self) -> RequestContext<'_> {
        RequestContext {
            at: self.at,
            source: self.source,
            client: self.caller.client(),
            facts: None,
        }
    }

    /// Whether the caller came through the socket of the data directory.
    pub(super) fn is_local(&self) -> bool {
        self.caller.sign_in() == SignIn::AdminSocket
    }
}

/// The name of a user as somebody wrote it, in its one spelling.
pub(super) fn user_id(text: &str) -> Result<UserId, Failed> {
    UserId::new(&text.to_lowercase()).map_err(|error| Failed::bad_request(&error.to_string()))
}

/// A list for a note: the first names, and how many more there are.
pub(super) fn listed<T: Serialize>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let first: Vec<T> = names.by_ref().take(NAMED).collect();
    let text = serde_json::to_string(&first).unwrap_or_default();
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// A text for a note.
pub(super) fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| serde_json::Value::from(text).to_string())
}
