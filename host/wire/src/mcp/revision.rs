//! The revisions of the protocol, and what each allows.

use std::{fmt, str::FromStr};

/// A published revision; later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// `2024-11-05`: stdio, and HTTP with a separate SSE endpoint.
    V2024_11_05,
    /// `2025-03-26`: Streamable HTTP, batching.
    V2025_03_26,
    /// `2025-06-18`: structured output, the version header; no batching.
    V2025_06_18,
    /// `2025-11-25`: icons, tasks, SSE polling.
    V2025_11_25,
    /// `2026-07-28`: stateless.
    V2026_07_28,
}

/// Whether a peer opens with `initialize` or says everything in each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// `initialize`, sessions, requests in both directions.
    Legacy,
    /// Metadata in each request, no session.
    Modern,
}

/// A protocol version that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a known protocol version; use one of 2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28"
)]
pub struct UnknownRevision(pub String);

impl Revision {
    /// Every revision, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The newest revision of the legacy era: what `initialize` is answered with when the
    /// client asks for one we do not know.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;

    /// The newest revision of all.
    pub const LATEST: Self = Self::V2026_07_28;

    /// What a legacy HTTP request without a version header speaks.
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// The revision called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.name() == name)
    }

    /// Its date, as on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Its era.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }

    /// Whether it knows the Streamable HTTP transport.
    pub fn has_streamable_http(self) -> bool {
        self >= Self::V2025_03_26
    }

    /// Whether arrays of messages are allowed: in one revision only.
    pub fn has_batching(self) -> bool {
        self == Self::V2025_03_26
    }

    /// Whether tools have annotations, and progress a message.
    pub fn has_annotations(self) -> bool {
        self >= Self::V2025_03_26
    }

    /// Whether HTTP requests carry `MCP-Protocol-Version`.
    pub fn has_version_header(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether tools have `outputSchema` and results `structuredContent`.
    pub fn has_structured_output(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether servers may ask for user input.
    pub fn has_elicitation(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Whether an SSE stream starts with an empty event that carries an id (SEP-1699).
    pub fn has_priming_event(self) -> bool {
        self == Self::V2025_11_25
    }

    /// Whether requests are mirrored in `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*`.
    pub fn has_mirrored_headers(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// Whether every result says its `resultType`, and lists say how long they keep.
    pub fn has_result_type(self) -> bool {
        self >= Self::V2026_07_28
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Revision {
    type Err = UnknownRevision;
    fn from_str(text: &str) -> Result<Self, UnknownRevision> {
        Self::parse(text).ok_or_else(|| UnknownRevision(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_order_is_by_date() {
        for pair in Revision::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].name() < pair[1].name());
        }
        for revision in Revision::ALL {
            assert_eq!(revision.name().parse::<Revision>().unwrap(), revision);
            assert_eq!(revision.era() == Era::Modern, revision == Revision::LATEST);
        }
        for bad in ["", "2025-11-26", "2025-11-25 ", "DRAFT-2026", "9999-99-99"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
    }

    #[test]
    fn features_per_revision() {
        type Feature = fn(Revision) -> bool;
        let table: [(&str, Feature, [bool; 5]); 7] = [
            ("streamable http", Revision::has_streamable_http, [false, true, true, true, true]),
            ("batching", Revision::has_batching, [false, true, false, false, false]),
            ("annotations", Revision::has_annotations, [false, true, true, true, true]),
            (
                "structured output",
                Revision::has_structured_output,
                [false, false, true, true, true],
            ),
            ("priming event", Revision::has_priming_event, [false, false, false, true, false]),
            (
                "mirrored headers",
                Revision::has_mirrored_headers,
                [false, false, false, false, true],
            ),
            ("result type", Revision::has_result_type, [false, false, false, false, true]),
        ];
        for (feature, has, expected) in table {
            assert_eq!(Revision::ALL.map(has), expected, "{feature}");
        }
    }
}
