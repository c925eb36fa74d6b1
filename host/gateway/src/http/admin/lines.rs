//! `/api/v1/plugins/lines`: what plugins wrote into their logs.

use serde::{Deserialize, Serialize};
use tidegate_model::{PluginId, RefusalCode};
use tidegate_wasm::Line;
use utoipa::ToSchema;

use super::{
    asked::Asked,
    failed::Failed,
    route::{Body, Done},
};

/// The body of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedLines)]
pub(crate) struct Wanted {
    /// The plugin.
    #[schema(value_type = String)]
    pub(crate) plugin: PluginId,
}

/// What one binding wrote last.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Lines {
    /// First bytes of the component's hash, in hexadecimal.
    pub(crate) version: String,
    /// `interceptor` or `customizer`.
    pub(crate) kind: String,
    /// Oldest first.
    pub(crate) lines: Vec<Spoken>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Spoken {
    /// Its number, from 1 since the binding was made.
    pub(crate) number: u64,
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    /// `debug`, `info`, `warn` or `error`.
    pub(crate) level: String,
    /// The call that it was written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) call: Option<String>,
    /// The text.
    pub(crate) text: String,
}

impl From<Line> for Spoken {
    fn from(line: Line) -> Self {
        Self {
            number: line.number,
            at: line.at.as_millis(),
            level: line.level.name().to_owned(),
            call: line.call,
            text: line.text,
        }
    }
}

/// The lines of all versions that run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllLines(Vec<Lines>);

/// The lines of a plugin that is bound now.
pub(super) async fn read(
    asked: &Asked,
    Body(wanted): Body<Wanted>,
) -> Result<Done<AllLines>, Failed> {
    let bound = asked.control.org.assembly.bindings.lines(&wanted.plugin).ok_or_else(|| {
        let words = format!(
            "no version of the plugin `{}` runs; `tidegate plugin list` shows those that do",
            wanted.plugin
        );
        Failed::new(http::StatusCode::NOT_FOUND, RefusalCode::InvalidRequest, words)
    })?;
    let of = |(version, kind, lines): (String, &str, Vec<Line>)| Lines {
        version,
        kind: kind.to_owned(),
        lines: lines.into_iter().map(Spoken::from).collect(),
    };
    let all = AllLines(bound.into_iter().map(of).collect());
    Ok(Done::noted(all, wanted.plugin.to_string()))
}
