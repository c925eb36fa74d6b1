//! Which process in a machine a request is for, and what the bridge is told of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use tidegate_model::Json;
use tidegate_wire::{
    bridge::{CHILD, CLIENT, ENV},
    client::Affinity,
    json::{Raw, write_string},
    mcp::peek::ErrorObject,
};
use zeroize::Zeroizing;

use crate::credential::{Material, Owner};

/// Where the bridge ends children.
pub(super) const CHILDREN: &str = "/children";

/// A process of somebody's own.
#[derive(Debug)]
pub(super) struct Child {
    key: [u8; 32],
    env: HeaderValue,
}

impl Child {
    /// The process for a credential in the environment, or for a client that has one of its
    /// own (`own`, with the number of what it keeps); none where everybody's serves. No two
    /// owners, versions or clients share a key.
    pub(super) fn of(
        owner: &Owner,
        material: Option<&Material>,
        own: Option<(Affinity, u64)>,
    ) -> Option<Self> {
        let material = material.filter(|held| !held.env.is_empty());
        if material.is_none() && own.is_none() {
            return None;
        }
        let mut hash = Sha256::new_with_prefix("tidegate child 1");
        if let Some(held) = material {
            let owner = format!("{owner:?}");
            hash.update([1]);
            hash.update((owner.len() as u64).to_le_bytes());
            hash.update(owner);
            hash.update(held.version.to_le_bytes());
            for (name, value) in &held.env {
                hash.update(Sha256::digest(name));
                hash.update(Sha256::digest(value.expose()));
            }
        }
        if let Some((Affinity(client), number)) = own {
            hash.update([2]);
            hash.update(client.to_le_bytes());
            hash.update(number.to_le_bytes());
        }
        let mut env = Zeroizing::new(Vec::with_capacity(4096));
        env.push(b'{');
        for (number, (name, value)) in material.into_iter().flat_map(|held| &held.env).enumerate() {
            if number > 0 {
                env.push(b',');
            }
            write_string(&mut env, name);
            env.push(b':');
            write_string(&mut env, value.expose());
        }
        env.push(b'}');
        let encoded = Zeroizing::new(STANDARD.encode(&*env));
        let mut env = HeaderValue::from_str(&encoded).ok()?;
        env.set_sensitive(true);
        Some(Self { key: hash.finalize().into(), env })
    }

    /// A name for whoever has this process, where a call names nobody.
    pub(super) fn affinity(&self) -> Affinity {
        let mut half = [0; 16];
        half.iter_mut().zip(self.key).for_each(|(to, from)| *to = from);
        Affinity(u128::from_le_bytes(half))
    }

    /// What the bridge is told.
    pub(super) fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        [(CHILD, hex(&self.key)), (ENV, self.env.clone())]
    }
}

/// Whose request it is.
pub(super) fn client(Affinity(client): Affinity) -> (HeaderName, HeaderValue) {
    (CLIENT, hex(&client.to_be_bytes()))
}

/// The words of an error of the bridge.
pub(super) fn sentence(error: &Json) -> Option<String> {
    let peek = ErrorObject::read(Raw::from(error))?;
    Some(peek.message.chars().take(500).collect())
}

fn hex(bytes: &[u8]) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let text: Vec<u8> =
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_model::{Secret, UserId};

    use super::*;

    fn material(version: u64, value: &str) -> Material {
        let env = BTreeMap::from([("TOKEN".to_owned(), Secret::new(value.to_owned()))]);
        Material { env, version, ..Material::default() }
    }

    #[test]
    fn nobody_shares_a_process_who_should_not() {
        let user = |name: &str| Owner::User(UserId::new(name).unwrap());
        let (one, other) = (user("a@example.com"), user("b@example.com"));
        let (first, second) = (material(1, "s1"), material(2, "s1"));
        let changed = material(1, "s2");
        let all = [
            Child::of(&one, Some(&first), None),
            Child::of(&other, Some(&first), None),
            Child::of(&one, Some(&second), None),
            Child::of(&one, Some(&changed), None),
            Child::of(&one, Some(&first), Some((Affinity(1), 1))),
            Child::of(&one, Some(&first), Some((Affinity(2), 1))),
            Child::of(&one, Some(&first), Some((Affinity(1), 2))),
            Child::of(&one, None, Some((Affinity(1), 1))),
        ];
        let keys: std::collections::BTreeSet<_> =
            all.iter().map(|child| child.as_ref().unwrap().key).collect();
        assert_eq!(keys.len(), all.len());
        let again = Child::of(&one, Some(&first), None).unwrap();
        assert_eq!(Some(again.key), all[0].as_ref().map(|child| child.key));
        assert!(Child::of(&one, None, None).is_none());
        let [(_, key), (_, env)] = again.headers();
        assert_eq!(key.to_str().unwrap().len(), 64);
        assert_eq!(STANDARD.decode(env.as_bytes()).unwrap(), br#"{"TOKEN":"s1"}"#);
        assert!(env.is_sensitive() && !format!("{again:?}").contains("eyJ"));
    }
}
