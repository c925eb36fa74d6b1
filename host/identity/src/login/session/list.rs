//! Sessions by whom and what they belong to: listed, and ended together.

use model::UserId;
use tidegate_model as model;
use tidegate_store::{Scan, StoreError};

use super::{SESSIONS, Session, SessionId, Sessions, row, row::By};
use crate::directory::Link;

/// How many are ended at a time.
const STEP: usize = 500;

impl Sessions {
    /// The sessions of somebody, the newest first; also those that only wait for their end.
    pub async fn of_user(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = Vec::new();
        for id in self.found(&By::User(user), SESSIONS * 2).await? {
            if let Some((row, _)) = self.read(&id).await? {
                sessions.push(row.into_session(id));
            }
        }
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created));
        Ok(sessions)
    }

    /// Ends a session, with the codes and devices that were let in with it and are not redeemed
    /// yet; the session that it was, if there was one. Whoever ends it revokes what was granted
    /// in it, where that is to end as well.
    pub async fn end(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let Some((row, _)) = self.read(id).await? else { return Ok(None) };
        let (org, now) = (self.ground.issuer.org(), self.ground.clock.now());
        self.ground.store.commit(row.end(org, id, now)).await?;
        Ok(Some(row.into_session(id.clone())))
    }

    /// Ends all sessions of somebody, and says which.
    pub async fn end_user(&self, user: &UserId) -> Result<Vec<Session>, StoreError> {
        self.end_all(&By::User(user)).await
    }

    /// Ends all sessions of whoever this is at a provider, and says which.
    pub async fn end_subject(&self, link: &Link) -> Result<Vec<Session>, StoreError> {
        self.end_all(&By::Subject(link)).await
    }

    /// Ends the sessions that came from one session at the provider that `at` is of, whoever
    /// that is there, and says which.
    pub async fn end_sid(&self, at: &Link, sid: &str) -> Result<Vec<Session>, StoreError> {
        self.end_all(&By::Sid { at, sid }).await
    }

    /// Ends those sessions of whoever this is of which the provider named no session of its own.
    pub(in crate::login) async fn end_unnamed(
        &self,
        link: &Link,
    ) -> Result<Vec<Session>, StoreError> {
        let mut ended = Vec::new();
        for id in self.found(&By::Subject(link), STEP).await? {
            if self.read(&id).await?.is_some_and(|(row, _)| row.sid.is_none()) {
                ended.extend(self.end(&id).await?);
            }
        }
        Ok(ended)
    }

    async fn end_all(&self, by: &By<'_>) -> Result<Vec<Session>, StoreError> {
        let mut ended = Vec::new();
        loop {
            let found = self.found(by, STEP).await?;
            let before = ended.len();
            for id in &found {
                ended.extend(self.end(id).await?);
            }
            // What could not be read is not ended again and again.
            if found.len() < STEP || ended.len() == before {
                return Ok(ended);
            }
        }
    }

    /// Sees to it that somebody can have one more session: the oldest make room.
    pub(super) async fn make_room(&self, user: &UserId) -> Result<(), StoreError> {
        let found = self.found(&By::User(user), SESSIONS * 2).await?;
        let beyond = (found.len() + 1).saturating_sub(SESSIONS);
        // Their names sort by when they began.
        for id in found.iter().take(beyond) {
            self.end(id).await?;
        }
        Ok(())
    }

    async fn found(&self, by: &By<'_>, limit: usize) -> Result<Vec<SessionId>, StoreError> {
        let prefix = by.prefix();
        let scan = Scan { prefix: prefix.clone(), limit, ..self.scan() };
        let rows = self.ground.store.scan(scan).await?;
        let name = |key: &[u8]| {
            let text = std::str::from_utf8(key.strip_prefix(prefix.as_slice())?).ok()?;
            SessionId::parse(text)
        };
        Ok(rows.iter().filter_map(|row| name(&row.key)).collect())
    }

    fn scan(&self) -> Scan {
        Scan::all(row::TABLE, self.ground.issuer.org())
    }
}
