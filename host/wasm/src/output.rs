//! What guests return, checked as strictly as what clients and upstreams send.

use bytes::Bytes;
use tidegate_model::Json;
use tidegate_wire::json::{self, Limits as JsonLimits};

use crate::{Failure, Trap, hook::Prepared};

/// What a text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any JSON value.
    Any,
    /// A JSON object.
    Object,
}

/// Accepts `text` if it is exactly one JSON value of this shape within the binding's limits.
pub(crate) fn json(prepared: &Prepared, text: String, shape: Shape) -> Result<Json, Failure> {
    let fail = |trap| prepared.fault(trap);
    let bytes = Bytes::from(text);
    if bytes.len() > prepared.limits.output {
        return Err(fail(Trap::OutputTooLarge(prepared.limits.output)));
    }
    let limits = JsonLimits { bytes: prepared.limits.output, ..JsonLimits::RESPONSE };
    let json = json::checked(bytes, &limits)
        .map_err(|violation| fail(Trap::BadOutput(violation.to_string())))?;
    if shape == Shape::Object && !json.as_str().trim_start().starts_with('{') {
        return Err(fail(Trap::BadOutput("the json is no object".into())));
    }
    Ok(json)
}
