//! Identity of one organisation, assembled: who there is, who they are in a browser, what
//! clients may do for them.
//!
//! Owns how these parts stand together and what keeps them up to date. The rules are those of
//! crate `identity`; what a page looks like is `http`'s.

pub(crate) mod challenge;
mod question;
pub(crate) mod trail;

use std::{sync::Arc, time::Duration};

use tidegate_identity::{
    Caller, Ground, Issuer, Resource, Settings, SignIn,
    authorization::{AuthorizationError, AuthorizationServer},
    directory::{Directory, DirectoryError},
    login::{Providers, Sessions, bootstrap::Welcome},
    method::{
        self,
        stored_key::{StoredKeyError, StoredKeys},
    },
};
use tidegate_model::{OrgId, Timestamp};
use tidegate_store::{Changes, Event, Table};
use tokio_util::sync::CancellationToken;

use crate::{gateway::Gateway, notices::Notice, revision::Revision};
use challenge::Challenge;

/// What every API key begins with; anything else that is presented is an access token.
pub(crate) const KEY: &str = "tg_";
/// How long after a change open streams are looked at again: memory follows the store within
/// this, and many changes at once cost one look.
const SETTLES: Duration = Duration::from_millis(100);

/// Why identity could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The public URL is none that tokens can name.
    #[error(transparent)]
    Url(#[from] tidegate_identity::issuer::BadPublicUrl),
    /// The directory cannot be read.
    #[error("the directory of users cannot be read")]
    Directory(#[from] DirectoryError),
    /// The stored API keys cannot be read.
    #[error("the stored API keys cannot be read")]
    Keys(#[from] StoredKeyError),
    /// The authorization server cannot be opened.
    #[error("the authorization server cannot be opened")]
    Server(#[from] AuthorizationError),
}

/// Everything that an organisation knows of people, agents and clients.
#[derive(Debug)]
pub(crate) struct Identity {
    /// What it all stands on.
    pub(crate) ground: Ground,
    /// Who there is.
    pub(crate) directory: Arc<Directory>,
    /// API keys that were made while the gateway ran.
    pub(crate) keys: Arc<StoredKeys>,
    /// Clients, grants, codes and tokens.
    pub(crate) server: Arc<AuthorizationServer>,
    /// Browsers in which somebody is signed in.
    pub(crate) browsers: Sessions,
    /// The organisation's identity providers.
    pub(crate) providers: Providers,
    /// Links to a first password.
    pub(crate) welcome: Welcome,
}

impl Identity {
    /// Opens all of it, and keeps it up to date until `ended`.
    pub(crate) async fn open(
        gateway: &Arc<Gateway>,
        org: &OrgId,
        settings: &Arc<Settings>,
        ended: &CancellationToken,
    ) -> Result<Arc<Self>, IdentityError> {
        let ground = Ground {
            issuer: Issuer::new(&gateway.url, org.clone())?,
            store: gateway.foundation.records.shared_store(),
            clock: Arc::clone(&gateway.clock),
            egress: Arc::clone(&gateway.foundation.egress),
        };
        let directory = Directory::open(&ground, settings).await?;
        let identity = Arc::new(Self {
            keys: StoredKeys::open(&ground).await?,
            server: AuthorizationServer::open(
                ground.clone(),
                Arc::clone(&directory),
                Arc::clone(settings),
            )
            .await?,
            browsers: Sessions::new(ground.clone(), Arc::clone(&directory)),
            providers: Providers::new(ground.clone()),
            welcome: Welcome::new(ground.clone(), Arc::clone(&directory)),
            directory,
            ground,
        });
        // Nobody listens yet who would have to look again at what opening has written.
        let changes = identity.ground.store.watch();
        let attending = Arc::clone(&identity).attend(Arc::clone(gateway), changes);
        tokio::spawn(ended.clone().run_until_cancelled_owned(attending));
        Ok(identity)
    }

    /// Takes over what has changed in the configuration.
    pub(crate) fn settings_changed(&self, settings: &Arc<Settings>) {
        self.directory.settings_changed(settings);
        self.server.settings_changed(Arc::clone(settings));
    }

    /// The caller behind a presented credential, for one resource of this organisation.
    pub(crate) fn authenticate(
        &self,
        revision: &Revision,
        credential: &str,
        resource: &Resource,
    ) -> Option<Caller> {
        if credential.starts_with(KEY) {
            let now = self.ground.clock.now();
            let org = self.ground.issuer.org();
            let found = self.known(revision, now, |known| known.key(org, credential));
            return found
                .inspect_err(|refused| tracing::debug!(%refused, "a key was refused"))
                .ok();
        }
        let found = self.server.tokens().authenticate(credential, resource);
        found.inspect_err(|refused| tracing::debug!(%refused, "an access token was refused")).ok()
    }

    /// The caller of an open stream as they are known now, and when their credential ends.
    pub(crate) fn renew(
        &self,
        revision: &Revision,
        caller: &Caller,
        now: Timestamp,
    ) -> Option<(Caller, Option<Timestamp>)> {
        match caller.sign_in() {
            SignIn::Token => self.server.tokens().renew(caller, now).ok(),
            _ => self.known(revision, now, |known| known.renew(caller)),
        }
    }

    fn known<T>(
        &self,
        revision: &Revision,
        now: Timestamp,
        ask: impl FnOnce(method::Known<'_>) -> T,
    ) -> T {
        ask(method::Known {
            files: &revision.keys,
            stored: &self.keys,
            directory: &self.directory,
            tokens: self.server.tokens(),
            now,
        })
    }

    /// Follows the store, and has open streams looked at again after changes that may end
    /// them.
    async fn attend(self: Arc<Self>, gateway: Arc<Gateway>, changes: Changes) {
        let (directory, keys) = (Arc::clone(&self.directory), Arc::clone(&self.keys));
        let server = Arc::clone(&self.server);
        tokio::join!(
            directory.follow(),
            keys.follow(),
            server.follow(),
            look_again(&gateway, self.ground.issuer.org(), changes),
        );
    }
}

/// Tells open streams to look whether their caller may still be told anything; many changes
/// at once are one.
async fn look_again(gateway: &Gateway, org: &OrgId, mut changes: Changes) {
    while let Some(event) = changes.next().await {
        if !may_end_streams(&event, org) {
            continue;
        }
        let settled = tokio::time::sleep(SETTLES);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => break,
                more = changes.next() => if more.is_none() { return },
            }
        }
        gateway.with_notices(org, |notices| notices.tell(Notice::Revised([].into())));
    }
}

/// Whether a change may end somebody's right to a stream: of a user or group, a key that is
/// gone, a grant that was revoked. A use that is written down is none.
fn may_end_streams(event: &Event, org: &OrgId) -> bool {
    let Event::Changed(change) = event else { return true };
    change.org == *org
        && match change.table {
            Table::User => true,
            Table::Client => change.version.is_none(),
            Table::Grant => change.key.starts_with(b"revoked\0"),
            _ => false,
        }
}

impl Gateway {
    /// The challenges for a resource of an organisation, whether it exists or not.
    pub(crate) fn challenge(&self, org: &OrgId, resource: &Resource) -> Option<Challenge> {
        let issuer = Issuer::new(&self.url, org.clone()).ok()?;
        Some(Challenge::new(&issuer, resource))
    }

    /// An organisation's identity; `None` for one that does not exist or is out of service.
    pub(crate) fn identity(&self, org: &str) -> Option<Arc<Identity>> {
        self.organisation(org)?.identity()
    }

    /// The caller of an open stream as they are known now, and when their credential ends.
    pub(crate) fn renew(
        &self,
        revision: &Revision,
        caller: &Caller,
        now: Timestamp,
    ) -> Option<(Caller, Option<Timestamp>)> {
        self.identity(caller.org().as_str())?.renew(revision, caller, now)
    }
}
