//! Ids that are good for one use.
//!
//! Owns their rows in the store's table `token`: `"spent" ‖ 0 ‖ SHA-256 of kind, owner and id`,
//! each ending with what it was the id of. Knows no token.

use model::Timestamp;
use sha2::{Digest, Sha256};
use tidegate_model as model;
use tidegate_store::{Batch, Expect, Op, Put, StoreError, Table};

use crate::Ground;

/// Uses up the id `id` that `owner` gave to something of the kind `kind`, good until `until`;
/// `false` when it was used before, on whichever process.
pub async fn spend(
    ground: &Ground,
    kind: &str,
    (owner, id): (&str, &str),
    until: Timestamp,
) -> Result<bool, StoreError> {
    let mut hash = Sha256::new();
    for part in [kind, owner, id] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let put = Op::Put(Put {
        table: Table::Token,
        org: ground.issuer.org().clone(),
        key: [b"spent\0", hash.finalize().as_slice()].concat(),
        value: Vec::new(),
        schema: 0,
        expires: Some(until),
        expect: Expect::Absent,
    });
    match ground.store.commit(Batch::new().with(put)).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
