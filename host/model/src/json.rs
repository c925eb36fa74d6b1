//! JSON as text: the bytes of one value, shared and never rebuilt.
//!
//! What a client, an upstream or a guest wrote travels through the gateway as the bytes it
//! wrote. A [`Json`] is a cheap view of a larger buffer; it owns no tree and checks nothing
//! by itself beyond UTF-8. The strict pass that makes outside bytes worthy of it lives in
//! `wire::json`.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The text of exactly one JSON value.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(ByteString);

impl Json {
    /// Wraps bytes that a strict pass has accepted as one JSON value.
    ///
    /// The caller vouches for that; only UTF-8 is looked at here, and bytes that are not
    /// UTF-8 become `null`, so that no view of this type can be anything but text.
    pub fn from_checked(bytes: Bytes) -> Self {
        ByteString::try_from(bytes).map_or_else(|_| Self::null(), Self)
    }

    /// Checks that `text` is one JSON value (without the stricter rules of the wire).
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let bytes: Bytes = text.into();
        let raw: &RawValue = serde_json::from_slice(&bytes)?;
        let inner = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self::from_checked(inner))
    }

    /// Serialises a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(text.into()))
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self(ByteString::from_static("null"))
    }

    /// The value `{}`.
    pub fn empty_object() -> Self {
        Self(ByteString::from_static("{}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as shared bytes.
    pub fn bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// The part of this text that `inner`, borrowed from [`Json::as_str`], covers, without a copy.
    pub fn slice(&self, inner: &RawValue) -> Self {
        Self(self.0.slice_ref(inner.get()))
    }

    /// Reads the text into a type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all; never so for a JSON value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Json {
    /// Shows the size only: the text may hold what must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue =
            serde_json::from_str(self.as_str()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(String::from(Box::<str>::from(raw)).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_byte_for_byte() {
        let text = r#"{"b": 1.0, "a":  12345678901234567890123}"#;
        let json = Json::parse(text).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
        assert_eq!(format!("{json:?}"), "Json(41 bytes)");
    }

    #[test]
    fn bytes_that_are_no_text_become_null() {
        assert_eq!(Json::from_checked(Bytes::from_static(b"\xff")).as_str(), "null");
        assert!(Json::parse("{} {}").is_err());
    }
}
