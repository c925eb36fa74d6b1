//! What a registry asks for before it answers: `WWW-Authenticate`.

/// How to prove who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With user and password in each request.
    Basic,
    /// With a token that is fetched elsewhere.
    Bearer {
        /// Where.
        realm: String,
        /// For which service, and for what.
        parameters: Vec<(String, String)>,
    },
}

impl Challenge {
    /// Reads the value of one header; `None` where it is neither of the two.
    pub(super) fn read(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let mut parameters = Vec::new();
        for (name, value) in pairs(rest) {
            match name.as_str() {
                "realm" => realm = Some(value),
                "service" | "scope" => parameters.push((name, value)),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm?, parameters })
    }
}

/// The `name="value"` pairs of a challenge; commas may stand within quotes.
fn pairs(mut text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(',').unwrap_or((rest, "")),
        };
        pairs.push((name, value.trim().to_owned()));
        text = after;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_and_others_are_not() {
        let bearer = |realm: &str, parameters: &[(&str, &str)]| Challenge::Bearer {
            realm: realm.to_owned(),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        for (text, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull,push\"",
                Some(bearer(
                    "https://a/t",
                    &[("service", "s"), ("scope", "repository:a:pull,push")],
                )),
            ),
            ("bearer Realm=https://a , error=\"x\"", Some(bearer("https://a", &[]))),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::read(text), expected, "{text}");
        }
    }
}
