//! What a person should know of a component before it runs: what it looks at, what it asks
//! for, what it can be told.

use serde_json::Value;
use tidegate_wasm::{Capability, Component, Exports};

/// Columns that a line of a schema's summary may have.
const COLUMNS: usize = 100;

/// What granting it means, in one sentence.
pub(super) const fn meaning(capability: Capability) -> &'static str {
    match capability {
        Capability::Clock => "sees the time of day",
        Capability::Credential => {
            "uses the secrets of `[credentials.NAME]` in requests and signatures, without seeing them"
        }
        Capability::Facts => "reads and adds facts about the session, which policies can use",
        Capability::Http => "sends requests to the hosts of `[http]`",
        Capability::Log => "writes lines into the gateway's log",
        Capability::Random => "draws random bytes",
        Capability::State => "keeps values between calls, up to the quota of `[state]`",
    }
}

/// The interfaces of a component, as people read them.
pub(super) fn exports(exports: Exports) -> String {
    let names: Vec<&str> = exports.iter().map(|interface| interface.name()).collect();
    names.join(", ")
}

/// Everything there is to say of a component, line by line; `granted` decides which of its
/// capabilities are marked.
pub(super) fn lines(component: &Component, granted: &[Capability]) -> Vec<String> {
    let mut lines = vec![
        format!("hash      {}", component.hash_text()),
        format!("size      {}", size(component.size())),
        format!("contract  {}", component.version()),
        format!("exports   {}", exports(component.exports())),
    ];
    let needs = component.capabilities();
    if needs.is_empty() {
        lines.push("needs     nothing".to_owned());
    }
    for (place, capability) in needs.iter().enumerate() {
        let label = if place == 0 { "needs" } else { "" };
        let state = if granted.contains(capability) { "" } else { " (not granted)" };
        lines.push(format!("{label:<10}{:<11}{}{state}", capability.name(), meaning(*capability)));
    }
    let settings = component.config_schema().and_then(|schema| schema.read::<Value>().ok());
    let settings = settings.map(|schema| schema_lines(&schema)).unwrap_or_default();
    if settings.is_empty() {
        lines.push("config    none".to_owned());
    }
    for (place, line) in settings.iter().enumerate() {
        let label = if place == 0 { "config" } else { "" };
        lines.push(format!("{label:<10}{line}"));
    }
    lines
}

/// One line for each property of a schema: name, type, whether it must be there, description.
fn schema_lines(schema: &Value) -> Vec<String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let line = |(name, property): (&String, &Value)| {
        let kind = property.get("type").and_then(Value::as_str).unwrap_or("any");
        let must = if required.contains(&name.as_str()) { ", required" } else { "" };
        let described = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let text = format!("{} ({kind}{must}) {described}", name.escape_debug());
        // What a component says of itself must not reach beyond its line.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.trim_end().chars().take(COLUMNS).collect()
    };
    properties.iter().map(line).collect()
}

/// A number of bytes for people.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_told_in_a_line_each() {
        let schema = serde_json::json!({
            "properties": {
                "mode": { "type": "string", "description": "what\nto do" },
                "limit": { "type": "integer" },
                "x": { "description": "y".repeat(200) },
            },
            "required": ["mode"],
        });
        let lines = schema_lines(&schema);
        // Whether objects keep their order is a matter of how serde_json was built.
        for line in ["limit (integer)", "mode (string, required) what to do"] {
            assert!(lines.iter().any(|told| told == line), "{lines:?}");
        }
        let longest = lines.iter().map(|line| line.chars().count()).max();
        assert_eq!((lines.len(), longest), (3, Some(COLUMNS)));
        assert!(schema_lines(&serde_json::json!(true)).is_empty());
    }

    #[test]
    fn sizes_are_for_people() {
        let sizes = [500, 18_432, 12 << 20].map(size);
        assert_eq!(sizes, ["500 bytes", "18 KiB", "12 MiB"]);
    }
}
