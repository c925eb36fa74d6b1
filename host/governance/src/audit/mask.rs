//! Masks a payload before it is kept.
//!
//! Values of members whose names speak of secrets, and texts that look like credentials, are
//! replaced; the shape stays, so that a row can still be understood. What a plugin masks for
//! the client is a matter of its own: this is what reaches the disk.

use serde_json::Value;
use tidegate_model::Json;

/// What stands in place of a masked value.
pub const MASKED: &str = "***";

/// Words that mark a member as secret, in lower case without separators.
const SECRET_NAMES: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "privatekey",
    "accesskey",
    "sessionid",
    "otp",
];

/// How texts begin that are credentials wherever they stand.
const SECRET_PREFIXES: [&str; 12] = [
    "sk-",
    "ghp_",
    "gho_",
    "github_pat_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "tg_",
    "eyJ",
    "Bearer ",
    "-----BEGIN",
];

/// The payload of a call as JSON text of at most `limit` bytes; a longer one is cut and says so.
pub fn payload(arguments: &Json, result: &Json, limit: usize) -> Vec<u8> {
    let part = |json: &Json| {
        let mut tree = json.read::<Value>().unwrap_or(Value::Null);
        mask(&mut tree);
        tree
    };
    let whole =
        serde_json::json!({"arguments": part(arguments), "result": part(result)}).to_string();
    if whole.len() <= limit {
        return whole.into_bytes();
    }
    let mut end = limit.min(whole.len());
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    let cut = whole.get(..end).unwrap_or_default();
    serde_json::json!({"cut": cut, "bytes": whole.len()}).to_string().into_bytes()
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if is_secret_name(name) { hide(value) } else { mask(value) }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask),
        Value::String(text) => mask_text(text),
        _ => {}
    }
}

/// Hides every value below, keeping the shape.
fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(hide),
        Value::Array(elements) => elements.iter_mut().for_each(hide),
        Value::Null => {}
        other => *other = MASKED.into(),
    }
}

fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.iter().any(|word| plain.contains(word))
}

/// Masks each word of a text that begins like a credential and is long enough to be one; a
/// text that is JSON itself (as in a tool's text content) is masked as such.
fn mask_text(text: &mut String) {
    if text.starts_with(['{', '['])
        && let Ok(mut tree) = serde_json::from_str::<Value>(text)
    {
        mask(&mut tree);
        *text = tree.to_string();
        return;
    }
    if text.starts_with("-----BEGIN") {
        MASKED.clone_into(text);
        return;
    }
    if SECRET_PREFIXES.iter().any(|prefix| text.contains(prefix)) {
        let words = text.split(' ').map(|word| {
            let bare = word.trim_start_matches(['"', '\'', '(', '=', ':']);
            let secret =
                bare.len() >= 16 && SECRET_PREFIXES.iter().any(|prefix| bare.starts_with(prefix));
            if secret { MASKED } else { word }
        });
        let masked = words.collect::<Vec<_>>().join(" ");
        *text = masked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(arguments: &str) -> Value {
        let json = Json::parse(arguments.to_owned()).unwrap();
        let text = String::from_utf8(payload(&json, &Json::null(), 10_000)).unwrap();
        let tree: Value = serde_json::from_str(&text).unwrap();
        tree["arguments"].clone()
    }

    #[test]
    fn secrets_are_masked_by_name_and_by_look() {
        for (given, kept) in [
            (r#"{"q":"acme"}"#, r#"{"q":"acme"}"#),
            (r#"{"api_key":"x","Password":7}"#, r#"{"Password":"***","api_key":"***"}"#),
            (
                r#"{"credentials":{"user":"a","n":[1]}}"#,
                r#"{"credentials":{"n":["***"],"user":"***"}}"#,
            ),
            (r#"{"t":"use sk-abcdefghijklmnop now"}"#, r#"{"t":"use *** now"}"#),
            (r#"{"t":"{\"token\":\"x\"}"}"#, r#"{"t":"{\"token\":\"***\"}"}"#),
            (r#"{"t":"sk-8 is short"}"#, r#"{"t":"sk-8 is short"}"#),
        ] {
            let kept: Value = serde_json::from_str(kept).unwrap();
            assert_eq!(masked(given), kept, "{given}");
        }
    }

    #[test]
    fn long_payloads_are_cut_and_say_so() {
        let long = Json::parse(format!(r#"{{"q":"{}"}}"#, "é".repeat(500))).unwrap();
        let text = payload(&long, &Json::null(), 100);
        let tree: Value = serde_json::from_slice(&text).unwrap();
        assert!(tree["cut"].as_str().unwrap().len() <= 100);
        assert!(tree["bytes"].as_u64().unwrap() > 1_000);
    }
}
