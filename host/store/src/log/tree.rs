//! The RFC 6962 Merkle tree over all leaves, kept as its compact range.
//!
//! Holds one hash per set bit of the size, so memory grows with the logarithm of the log.
//! Gives the root at any moment; knows nothing of files.

use sha2::{Digest, Sha256};

use super::frame::Hash;

/// Roots of the perfect subtrees of a growing tree, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    nodes: Vec<Hash>,
}

impl Tree {
    /// A tree put together from a stored compact range; `None` if the numbers disagree.
    pub(crate) fn from_parts(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// Number of leaves.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The compact range.
    pub(crate) fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = join(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root hash; of the empty tree, the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return Sha256::digest(b"").into() };
        nodes.fold(*last, |right, left| join(left, &right))
    }
}

fn join(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}
