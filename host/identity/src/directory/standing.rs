//! Whether somebody is still as they were known to this process: for commits that must not go
//! through for a person whom another process has just put out.

use model::UserId;
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};

use super::{Directory, DirectoryError, Person, row};

impl Directory {
    /// The step that holds only while nobody has changed this person, in whichever process.
    pub(crate) fn unchanged(&self, person: &Person) -> Op {
        let (org, key) = (self.org().clone(), row::user_key(&person.user.id));
        Op::Check(Table::User, org, key, Expect::Version(person.version))
    }

    /// Reads somebody from the store, whatever the feed has brought so far; whether they are
    /// another version now.
    pub(crate) async fn has_changed(
        &self,
        id: &UserId,
        version: u64,
    ) -> Result<bool, DirectoryError> {
        self.reread(id).await?;
        Ok(self.read().user_version(id) != Some(version))
    }
}
