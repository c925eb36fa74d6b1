//! What a bridge says: one line when it is ready, and its log.

use serde::Deserialize;
use tidegate_model::Secret;
use tidegate_wire::json::write_string;
use zeroize::Zeroizing;

use crate::machine::Voice;

/// The target of lines that the bridge hands on from the program's standard error.
const OF_SERVER: &str = "tidegate::connector::stderr";

#[derive(Deserialize)]
struct Ready {
    event: String,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    level: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    message: String,
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// Whether a line of standard output says that requests are taken.
pub(super) fn is_ready(line: &[u8]) -> bool {
    serde_json::from_slice::<Ready>(line).is_ok_and(|ready| ready.event == "ready")
}

/// Who says a line of standard error, what, and whether it is a warning.
pub(super) fn read(line: &[u8]) -> (Voice, String, bool) {
    let Ok(line) = serde_json::from_slice::<Line>(line) else {
        // Said before there was a log: by bubblewrap, or by a bridge that cannot start.
        return (Voice::Machine, String::from_utf8_lossy(line).into_owned(), true);
    };
    let plain = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    let mut text = line.message;
    if line.target == OF_SERVER {
        return (Voice::Server, text, false);
    }
    for (name, value) in line.fields.iter().filter(|(name, _)| *name != "timestamp") {
        text.push_str(&format!(" {name}={}", plain(value)));
    }
    (Voice::Machine, text, matches!(line.level.as_str(), "WARN" | "ERROR"))
}

/// The line that hands a machine its key and its environment.
pub(super) fn opening<'a>(
    key: &Secret,
    env: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
    line.extend_from_slice(b"{\"key\":");
    write_string(&mut line, key.expose());
    line.extend_from_slice(b",\"env\":{");
    for (number, (name, value)) in env.into_iter().enumerate() {
        if number > 0 {
            line.push(b',');
        }
        write_string(&mut line, name);
        line.push(b':');
        write_string(&mut line, value);
    }
    line.extend_from_slice(b"}}\n");
    line
}

/// The line that hands a machine a further key.
pub(super) fn further(key: &Secret) -> Zeroizing<Vec<u8>> {
    let mut line = Zeroizing::new(Vec::with_capacity(128));
    line.extend_from_slice(b"{\"key\":");
    write_string(&mut line, key.expose());
    line.extend_from_slice(b"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert!(is_ready(br#"{"event":"ready","listen":"unix:/x"}"#));
        for other in ["", "ready", r#"{"event":"gone"}"#, "[]"] {
            assert!(!is_ready(other.as_bytes()), "{other}");
        }
        let server = br#"{"timestamp":"t","level":"INFO","message":"hi","connector":"c","target":"tidegate::connector::stderr"}"#;
        assert_eq!(read(server), (Voice::Server, "hi".to_owned(), false));
        let own = br#"{"timestamp":"t","level":"WARN","message":"odd","lines":3,"target":"x"}"#;
        assert_eq!(read(own), (Voice::Machine, "odd lines=3".to_owned(), true));
        let raw = b"bwrap: no";
        assert_eq!(read(raw), (Voice::Machine, "bwrap: no".to_owned(), true));
    }

    #[test]
    fn what_goes_in_is_one_line_of_json() {
        let key = Secret::new("a.b".to_owned());
        let line = opening(&key, [("A", "1\n\"2"), ("B", "")]);
        let text = std::str::from_utf8(&line).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(value, serde_json::json!({"key": "a.b", "env": {"A": "1\n\"2", "B": ""}}));
        let value: serde_json::Value = serde_json::from_slice(&further(&key)).unwrap();
        assert_eq!(value, serde_json::json!({"key": "a.b"}));
    }
}
