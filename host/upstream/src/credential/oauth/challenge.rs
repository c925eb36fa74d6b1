//! What a `WWW-Authenticate` field says of Bearer tokens (RFC 6750, RFC 9728).

/// The parameters that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Where the protected resource describes itself.
    pub(crate) resource_metadata: Option<String>,
    /// The rights that are needed.
    pub(crate) scopes: Vec<String>,
    /// The error code.
    pub(crate) error: Option<String>,
}

/// Most rights that are taken from a challenge.
const SCOPES: usize = 64;

impl Challenge {
    /// The Bearer challenge among these field values.
    pub(crate) fn read<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        values.into_iter().find_map(Self::one)
    }

    fn one(value: &str) -> Option<Self> {
        let at = find_scheme(value)?;
        let mut rest = value.get(at..)?.trim_start();
        let mut all = Self::default();
        while let Some((name, value, after)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => all.resource_metadata = Some(value),
                "scope" => {
                    let scopes = value.split_ascii_whitespace().take(SCOPES);
                    all.scopes = scopes.map(str::to_owned).collect();
                }
                "error" => all.error = Some(value),
                _ => {}
            }
            rest = after;
        }
        Some(all)
    }
}

/// Where the parameters of the scheme `Bearer` begin.
fn find_scheme(value: &str) -> Option<usize> {
    const NAME: &str = "bearer";
    let lower = unquoted(value);
    let mut from = 0;
    while let Some(found) = lower.get(from..)?.find(NAME) {
        let (begin, end) = (from + found, from + found + NAME.len());
        let before = lower.get(..begin)?.trim_end();
        let starts = before.is_empty() || before.ends_with(',');
        let ends = lower.get(end..)?.chars().next().is_none_or(|c| c == ' ' || c == ',');
        if starts && ends {
            return Some(end);
        }
        from = end;
    }
    None
}

/// The same text in lower case, with what stands in quotes made unreadable, byte for byte.
fn unquoted(value: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let mask = |c: char| {
        let is_inside = quoted && (escaped || c != '"');
        let is_quote = !escaped && c == '"';
        escaped = quoted && !escaped && c == '\\';
        quoted ^= is_quote;
        match is_inside {
            true => "_".repeat(c.len_utf8()),
            false => c.to_ascii_lowercase().to_string(),
        }
    };
    value.chars().map(mask).collect()
}

/// One `name=value` or `name="value"`, and what comes after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    // A space within is the next scheme.
    if name.is_empty() || name.contains([' ', ',', '"']) {
        return None;
    }
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        return Some((name, rest.get(..end)?.to_owned(), rest.get(end..)?));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_whatever_stands_around_them() {
        let metadata = "https://mcp.example/.well-known/oauth-protected-resource";
        for (value, resource, scopes, error) in [
            ("Bearer", None, "", None),
            ("bearer realm=\"x\"", None, "", None),
            (&format!("Bearer resource_metadata=\"{metadata}\""), Some(metadata), "", None),
            (
                &format!(
                    "Basic realm=\"a, Bearer b\", Bearer error=\"insufficient_scope\", scope=\"a b:c\", resource_metadata={metadata}"
                ),
                Some(metadata),
                "a b:c",
                Some("insufficient_scope"),
            ),
            ("Bearer error=invalid_token,scope=\"\\a\"", None, "a", Some("invalid_token")),
            ("Bearer scope=\"open", None, "", None),
        ] {
            let read = Challenge::read([value]).expect(value);
            assert_eq!(read.resource_metadata.as_deref(), resource, "{value}");
            assert_eq!(read.scopes.join(" "), scopes, "{value}");
            assert_eq!(read.error.as_deref(), error, "{value}");
        }
        for value in ["", "Basic realm=x", "NotBearer x=y", "DPoP algs=\"bearer\""] {
            assert_eq!(Challenge::read([value]), None, "{value}");
        }
        assert!(Challenge::read(["Basic realm=x", "Bearer"]).is_some());
    }
}
