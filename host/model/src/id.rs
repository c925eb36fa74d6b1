//! Identifiers: cheap to clone, ordered, checked when they are made.
//!
//! Slugs name what an administrator writes down (organisation, connector, virtual MCP,
//! plugin). A tool name is the upstream's own word and is never rewritten. Nothing here
//! knows whether the named thing exists.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a name was refused; the text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {kind}: {rule}")]
pub struct BadName {
    /// The refused text, cut to 80 characters.
    pub name: String,
    /// What the name was meant to be.
    pub kind: &'static str,
    /// What a valid one looks like.
    pub rule: &'static str,
}

const SLUG_RULE: &str =
    "use 1 to 63 characters from `a-z`, `0-9` and `-`, starting with a letter or digit";
const USER_RULE: &str = "use 1 to 256 characters without control characters or spaces";
const TOOL_RULE: &str = "use 1 to 256 characters without control characters";

fn is_slug(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.bytes().next().is_some_and(|b| b != b'-')
}

fn is_user(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= 256
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn is_tool(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $rule:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and wraps it.
            pub fn new(text: &str) -> Result<Self, BadName> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(BadName { name: text.chars().take(80).collect(), kind: $kind, rule: $rule })
                }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// An organisation; `default` on an install that serves only one.
    OrgId, "organisation", is_slug, SLUG_RULE;
    /// A virtual MCP server, as it stands in its URL.
    VmcpId, "virtual MCP name", is_slug, SLUG_RULE;
    /// A connector.
    ConnectorId, "connector name", is_slug, SLUG_RULE;
    /// A plugin.
    PluginId, "plugin name", is_slug, SLUG_RULE;
    /// The public part of an API key.
    KeyId, "key id", is_slug, SLUG_RULE;
    /// A person or agent, as the organisation names them (mostly an e-mail address).
    UserId, "user", is_user, USER_RULE;
    /// A tool's original name, in the upstream's own words.
    ToolName, "tool name", is_tool, TOOL_RULE;
    /// A prompt's original name, in the upstream's own words.
    PromptName, "prompt name", is_tool, TOOL_RULE;
}

impl OrgId {
    /// The organisation of an install that never named one.
    pub fn default_org() -> Self {
        Self("default".into())
    }
}

/// One operation, from the first byte to its audit row: 128 bits, of which the first 48 are
/// the millisecond it began, so that ids sort by time (the layout of RFC 9562 version 7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId([u8; 16]);

impl CallId {
    /// Builds an id from the time and ten random bytes.
    pub fn new(at: crate::Timestamp, random: [u8; 10]) -> Self {
        let millis = at.as_millis().to_be_bytes();
        let mut id = [0_u8; 16];
        for (to, from) in id.iter_mut().zip(millis.iter().skip(2).chain(random.iter())) {
            *to = *from;
        }
        if let Some(version) = id.get_mut(6) {
            *version = (*version & 0x0f) | 0x70;
        }
        if let Some(variant) = id.get_mut(8) {
            *variant = (*variant & 0x3f) | 0x80;
        }
        Self(id)
    }

    /// The millisecond it began.
    pub fn began(&self) -> crate::Timestamp {
        crate::Timestamp::from_millis(
            self.0.iter().take(6).fold(0, |millis, byte| millis << 8 | u64::from(*byte)),
        )
    }

    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0_u8; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0x0f]) {
                *digit = HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName {
            name: text.chars().take(80).collect(),
            kind: "call id",
            rule: "use 32 hexadecimal digits",
        };
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A revision of one organisation's configuration; grows by one with every change.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct RevisionId(pub u64);

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked() {
        for good in ["a", "crm", "sales-2", "0x", &"a".repeat(63)] {
            assert!(ConnectorId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a_b", "a b", "é", "a/b", &"a".repeat(64)] {
            assert!(ConnectorId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tool_names_keep_any_printable_text() {
        for good in ["get-sum", "$filter", "ünïcode ok", "a/b"] {
            assert_eq!(ToolName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "a\u{0}b"] {
            assert!(ToolName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn call_ids_sort_by_time_and_round_trip() {
        let early = CallId::new(crate::Timestamp::from_millis(1_000), [0xff; 10]);
        let late = CallId::new(crate::Timestamp::from_millis(1_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.began(), crate::Timestamp::from_millis(1_001));
        assert_eq!(early.to_string().parse::<CallId>().unwrap(), early);
        assert!("+123".parse::<CallId>().is_err());
    }
}
