//! A moment in requests and answers: RFC 3339, in UTC, to the millisecond.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use tidegate_model::Timestamp;
use utoipa::ToSchema;

/// A moment, such as `2027-12-31T12:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || D::Error::custom("a moment is written like `2027-12-31T12:00:00Z`");
        let at: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        let millis = u64::try_from(at.as_millisecond()).map_err(|_| bad())?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let at = Moment(Timestamp::from_millis(1_800_000_000_123));
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2027-01-15T08:00:00.123Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), at);
        for bad in ["\"\"", "\"soon\"", "\"1960-01-01T00:00:00Z\"", "5", "\"2027-12-31\""] {
            assert!(serde_json::from_str::<Moment>(bad).is_err(), "{bad}");
        }
    }
}
