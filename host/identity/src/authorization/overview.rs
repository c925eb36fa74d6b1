//! What people granted: shown to them and to administrators, and ended.
//!
//! Whoever asks has been let in by policy. Ending a grant is on record before it is answered,
//! and in force in this process then; in others as soon as they see the record.

use model::UserId;
use tidegate_model as model;

use super::{
    AuthorizationServer,
    consent::{self, Consent},
    ended,
    error::AuthorizationError,
    grant::{Grant, GrantId},
};

impl AuthorizationServer {
    /// The grants of a user, the one used last first.
    pub async fn grants_of(&self, user: &UserId) -> Result<Vec<Grant>, AuthorizationError> {
        self.grants.of(user).await
    }

    /// At most `limit` grants of everybody, in the order of their ids, after `after`.
    pub async fn grants(
        &self,
        after: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<Grant>, AuthorizationError> {
        self.grants.list(after, limit).await
    }

    /// One grant, while it lasts.
    pub async fn grant(&self, id: GrantId) -> Result<Option<Grant>, AuthorizationError> {
        self.grants.one(id).await
    }

    /// Ends a grant with all its tokens, at once. Whether there was one.
    pub async fn revoke_grant(&self, id: GrantId) -> Result<bool, AuthorizationError> {
        Ok(self.grants.revoke(id).await?.is_some())
    }

    /// Ends all grants of a user and forgets what they agreed to; how many there were. Codes that
    /// nobody has redeemed yet end through
    /// [`sign_out_everywhere`](crate::directory::Directory::sign_out_everywhere), which belongs
    /// before this wherever somebody is to be put out.
    pub async fn revoke_user(&self, user: &UserId) -> Result<usize, AuthorizationError> {
        let ids = self.grants.ids_of(user).await?;
        let count = self.revoke_all(ids).await?;
        consent::forget_all(&self.rows, user).await?;
        Ok(count)
    }

    /// Ends all grants that were given to a client; how many there were. Reads all grants.
    pub async fn revoke_client(&self, client: &str) -> Result<usize, AuthorizationError> {
        let ids = self.grants.matching(|row| row.client == client).await?;
        self.revoke_all(ids).await
    }

    /// Ends what a user granted in this browser session, and what they gave in it that nobody
    /// has redeemed yet; how many grants there were.
    pub async fn revoke_session(
        &self,
        user: &UserId,
        session: &str,
    ) -> Result<usize, AuthorizationError> {
        // First, so that whatever becomes a grant meanwhile is found below.
        let note = ended::note(self.ground.issuer.org(), session, self.ground.clock.now());
        self.rows.commit(vec![note]).await?;
        let mut count = 0;
        for id in self.grants.ids_of(user).await? {
            let found = self.grants.read(id).await?;
            if found.is_some_and(|(row, _)| row.session.as_deref() == Some(session)) {
                count += usize::from(self.grants.revoke(id).await?.is_some());
            }
        }
        Ok(count)
    }

    async fn revoke_all(&self, ids: Vec<GrantId>) -> Result<usize, AuthorizationError> {
        let mut count = 0;
        for id in ids {
            count += usize::from(self.grants.revoke(id).await?.is_some());
        }
        Ok(count)
    }

    /// What a user agreed to and is not asked again.
    pub async fn consents_of(&self, user: &UserId) -> Result<Vec<Consent>, AuthorizationError> {
        consent::of(&self.rows, user).await
    }

    /// Forgets all that a user agreed to. Grants stay.
    pub async fn forget_consents(&self, user: &UserId) -> Result<(), AuthorizationError> {
        consent::forget_all(&self.rows, user).await
    }
}
