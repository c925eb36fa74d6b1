//! Reading everybody, and what others change.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use model::UserId;
use tidegate_model as model;
use tidegate_store::{Change, Event, Table};

use super::{Directory, DirectoryError, row};

/// How long we wait before reading again what could not be read.
const PAUSE: Duration = Duration::from_secs(1);

impl Directory {
    /// Takes over what other processes change, until the store is closed. One caller drives
    /// it for as long as the directory is used.
    pub async fn follow(self: Arc<Self>) {
        let since = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut changes, mut is_behind) = match since {
            Some(changes) => (changes, false),
            None => (self.ground.store.watch(), true),
        };
        loop {
            while is_behind {
                match self.read_all().await {
                    Ok(()) => is_behind = false,
                    Err(error) => {
                        tracing::error!(%error, "the directory cannot be read; trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
            match changes.next().await {
                None => return,
                Some(Event::Missed) => is_behind = true,
                Some(Event::Changed(change)) => {
                    if let Err(error) = self.heed(&change).await {
                        tracing::error!(%error, "a change of the directory cannot be read");
                        is_behind = true;
                    }
                }
            }
        }
    }

    /// Takes over one change; an error means that everything is to be read again.
    async fn heed(&self, change: &Change) -> Result<(), DirectoryError> {
        if change.table != Table::User || change.org != *self.org() {
            return Ok(());
        }
        if let Some(id) = row::user_of(&change.key) {
            let known = self.read().user_version(&id);
            // Mostly it is what went through this value.
            if change.version.is_some() && change.version == known {
                return Ok(());
            }
            self.reread(&id).await
        } else if let Some(id) = row::group_of(&change.key) {
            let known = self.group(&id).map(|known| known.version);
            if change.version.is_some() && change.version == known {
                return Ok(());
            }
            self.reread_group(&id).await
        } else {
            Ok(())
        }
    }

    /// Reads one user again.
    pub(super) async fn reread(&self, id: &UserId) -> Result<(), DirectoryError> {
        let known = self.read().user_version(id);
        let found = row::user(self.ground.store.as_ref(), self.org(), id).await?;
        let mut index = self.write();
        match found {
            Some((user, version)) => index.put_user(user, version),
            // Unless they were made meanwhile.
            None if index.user_version(id) == known => {
                index.remove_user(id, known.unwrap_or_default());
            }
            None => {}
        }
        Ok(())
    }

    /// Reads everybody. A record that cannot be read is nobody: it is logged, and its id stays
    /// taken.
    pub(super) async fn read_all(&self) -> Result<(), DirectoryError> {
        let store = self.ground.store.as_ref();
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let rows = row::page(store, self.org(), row::USERS, after).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for found in rows {
                let Some(id) = row::user_of(&found.key) else { continue };
                match row::whole_user(store, self.org(), &id, found.record).await {
                    Ok((user, version)) => self.write().put_user(user, version),
                    Err(DirectoryError::NoUser(_)) => continue,
                    Err(DirectoryError::Bad(error)) => {
                        tracing::error!(user.id = %id, error, "a user cannot be read");
                    }
                    Err(error) => return Err(error),
                }
                seen.insert(id);
            }
        }
        let known: Vec<UserId> = self.read().users.keys().cloned().collect();
        for id in known.iter().filter(|id| !seen.contains(*id)) {
            self.reread(id).await?;
        }
        self.read_groups().await
    }

    async fn read_groups(&self) -> Result<(), DirectoryError> {
        let store = self.ground.store.as_ref();
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let rows = row::page(store, self.org(), row::GROUPS, after).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for found in rows {
                let Some(id) = row::group_of(&found.key) else { continue };
                match row::group(store, self.org(), &id).await {
                    Ok(Some(group)) => self.write().put_group(group),
                    Ok(None) => continue,
                    Err(DirectoryError::Bad(error)) => {
                        tracing::error!(group.id = %id, error, "a group cannot be read");
                    }
                    Err(error) => return Err(error),
                }
                seen.insert(id);
            }
        }
        let known: Vec<String> = self.read().groups.keys().cloned().collect();
        for id in known.iter().filter(|id| !seen.contains(*id)) {
            self.reread_group(id).await?;
        }
        Ok(())
    }
}
