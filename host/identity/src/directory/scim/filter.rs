//! Filters and paths (RFC 7644, sections 3.4.2.2 and 3.5.2), as text and as what they mean.
//!
//! Knows the grammar, and no attribute: what an attribute's values are is asked of whoever has
//! them. Values are compared as texts; names of attributes are in lower case.

use super::error::ScimError;

/// The longest filter or path, in bytes.
const LONGEST: usize = 1_024;
/// How deep parentheses may stand in one another.
const DEEPEST: usize = 8;
/// What stands before attributes of users and groups where they are named in full.
const PREFIXES: [&str; 2] =
    ["urn:ietf:params:scim:schemas:core:2.0:user", "urn:ietf:params:scim:schemas:core:2.0:group"];

/// Where something is in a user or group: `name.givenName`, `emails[type eq "work"].value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// The attribute, in lower case; with its URN where that is an extension's.
    pub(super) attribute: String,
    /// Which of its values.
    pub(super) filter: Option<Box<Filter>>,
    /// Which part of them, in lower case.
    pub(super) sub: Option<String>,
}

/// How a value is compared with what a filter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    Begins,
    Ends,
    Present,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// One comparison; `null` and what needs no text compare with none.
    Test(Path, Operator, Option<String>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

impl Path {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<Self, ScimError> {
        let bad = || ScimError::path(format!("`{}` is no path", shortened(text)));
        let mut parser = Parser::new(text).ok_or_else(bad)?;
        let path = parser.path().map_err(|_| bad())?;
        if parser.rest.trim().is_empty() { Ok(path) } else { Err(bad()) }
    }

    /// Attribute and part, for comparing.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (&self.attribute, self.sub.as_deref())
    }
}

impl Filter {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<Self, ScimError> {
        let mut parser = Parser::new(text)
            .ok_or_else(|| ScimError::filter(format!("a filter has at most {LONGEST} bytes")))?;
        let filter = parser.or()?;
        if parser.rest.trim().is_empty() { Ok(filter) } else { Err(parser.bad("its end")) }
    }

    /// Whether it holds, given the values that are at a path.
    pub(super) fn holds(&self, values: &impl Fn(&Path) -> Vec<String>) -> bool {
        match self {
            Self::And(one, other) => one.holds(values) && other.holds(values),
            Self::Or(one, other) => one.holds(values) || other.holds(values),
            Self::Not(other) => !other.holds(values),
            Self::Test(path, operator, wanted) => {
                let found = values(path);
                let Some(wanted) = wanted else {
                    let is_there = found.iter().any(|value| !value.is_empty());
                    return is_there == matches!(operator, Operator::Present | Operator::NotEqual);
                };
                // What an identifier of somebody else's is differs by case; nothing else does.
                let is_exact = path.attribute == "externalid";
                let fold = |text: &str| {
                    if is_exact { text.to_owned() } else { text.to_lowercase() }
                };
                let wanted = fold(wanted);
                let any = |test: fn(&str, &str) -> bool| {
                    found.iter().any(|value| test(&fold(value), &wanted))
                };
                match operator {
                    Operator::Equal => any(|value, wanted| value == wanted),
                    Operator::NotEqual => !any(|value, wanted| value == wanted),
                    Operator::Contains => any(|value, wanted| value.contains(wanted)),
                    Operator::Begins => any(|value, wanted| value.starts_with(wanted)),
                    Operator::Ends => any(|value, wanted| value.ends_with(wanted)),
                    Operator::Present => true,
                }
            }
        }
    }

    /// The text that an attribute must equal wherever this holds.
    pub(super) fn must_equal(&self, names: (&str, Option<&str>)) -> Option<&str> {
        match self {
            Self::And(one, other) => one.must_equal(names).or_else(|| other.must_equal(names)),
            Self::Test(path, Operator::Equal, Some(text)) if path.names() == names => Some(text),
            Self::Test(..) | Self::Or(..) | Self::Not(_) => None,
        }
    }

    /// The first path in it that is not as it should be.
    pub(super) fn find_path(&self, is_wrong: &impl Fn(&Path) -> bool) -> Option<&Path> {
        match self {
            Self::And(one, other) | Self::Or(one, other) => {
                one.find_path(is_wrong).or_else(|| other.find_path(is_wrong))
            }
            Self::Not(other) => other.find_path(is_wrong),
            Self::Test(path, ..) => is_wrong(path).then_some(path),
        }
    }
}

/// The beginning of a text, for a sentence.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Option<Self> {
        (text.len() <= LONGEST).then_some(Self { rest: text, depth: 0 })
    }

    fn bad(&self, expected: &str) -> ScimError {
        let at = self.rest.trim_start();
        let place =
            if at.is_empty() { "at its end".to_owned() } else { format!("at `{}`", shortened(at)) };
        ScimError::filter(format!("the filter cannot be read {place}: {expected} is expected"))
    }

    fn or(&mut self) -> Result<Filter, ScimError> {
        let mut filter = self.and()?;
        while self.word("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.and()?));
        }
        Ok(filter)
    }

    fn and(&mut self) -> Result<Filter, ScimError> {
        let mut filter = self.one()?;
        while self.word("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, ScimError> {
        if self.symbol('(') {
            return self.inner(')');
        }
        let before = self.rest;
        if self.word("not") {
            if self.symbol('(') {
                return Ok(Filter::Not(Box::new(self.inner(')')?)));
            }
            self.rest = before;
        }
        let path = self.path()?;
        let operators = [
            ("eq", Operator::Equal),
            ("ne", Operator::NotEqual),
            ("co", Operator::Contains),
            ("sw", Operator::Begins),
            ("ew", Operator::Ends),
            ("pr", Operator::Present),
        ];
        let found = operators.into_iter().find(|(word, _)| self.word(word));
        let Some((_, operator)) = found else {
            return Err(self.bad("eq, ne, co, sw, ew or pr"));
        };
        let wanted = match operator {
            Operator::Present => None,
            _ => self.literal(operator)?,
        };
        Ok(Filter::Test(path, operator, wanted))
    }

    /// What stands up to a closing sign, after its opening one.
    fn inner(&mut self, end: char) -> Result<Filter, ScimError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ScimError::filter("the filter has too many parentheses in one another"));
        }
        let filter = self.or()?;
        self.depth -= 1;
        if self.symbol(end) { Ok(filter) } else { Err(self.bad(&format!("`{end}`"))) }
    }

    fn path(&mut self) -> Result<Path, ScimError> {
        let name = self.name();
        let (attribute, mut sub) = attribute(name);
        if attribute.is_empty() {
            return Err(self.bad("an attribute"));
        }
        let mut filter = None;
        if self.rest.starts_with('[') && self.symbol('[') {
            if sub.is_some() || self.depth > 0 {
                return Err(self.bad("no bracket"));
            }
            filter = Some(Box::new(self.inner(']')?));
            if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                let name = self.name();
                if name.is_empty() || name.contains([':', '.']) {
                    return Err(self.bad("a part of the attribute"));
                }
                sub = Some(name.to_ascii_lowercase());
            }
        }
        Ok(Path { attribute, filter, sub })
    }

    /// The name at which we are; empty where there is none.
    fn name(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let is_part =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-' | '$');
        let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        self.rest = rest;
        name
    }

    fn literal(&mut self, operator: Operator) -> Result<Option<String>, ScimError> {
        if let Some(word) = ["true", "false"].into_iter().find(|word| self.word(word)) {
            return Ok(Some(word.to_owned()));
        }
        if matches!(operator, Operator::Equal | Operator::NotEqual) && self.word("null") {
            return Ok(None);
        }
        let mut texts = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let Some(Ok(text)) = texts.next() else {
            return Err(self.bad("a text in double quotes, true, false or null"));
        };
        let (_, rest) = self.rest.split_at_checked(texts.byte_offset()).unwrap_or_default();
        self.rest = rest;
        Ok(Some(text))
    }

    /// Takes a word, in any case, where it stands for itself.
    fn word(&mut self, word: &str) -> bool {
        let text = self.rest.trim_start();
        let Some((head, rest)) = text.split_at_checked(word.len()) else { return false };
        let ends = rest.chars().next().is_none_or(|c| matches!(c, ' ' | '(' | ')' | ']' | '"'));
        if !head.eq_ignore_ascii_case(word) || !ends {
            return false;
        }
        self.rest = rest;
        true
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(symbol) else { return false };
        self.rest = rest;
        true
    }
}

/// Attribute and part of a name, in lower case, without what stands before those of users and
/// groups. An extension's name stays whole: there is nothing of it here.
fn attribute(name: &str) -> (String, Option<String>) {
    let name = name.to_ascii_lowercase();
    let plain = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)?.strip_prefix(':'));
    let plain = plain.unwrap_or(&name);
    if plain.starts_with("urn:") {
        return (plain.to_owned(), None);
    }
    match plain.split_once('.') {
        Some((attribute, sub)) => (attribute.to_owned(), Some(sub.to_owned())),
        None => (plain.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(path: &Path) -> Vec<String> {
        match path.names() {
            ("username", None) => vec!["ann@example.com".into()],
            ("externalid", None) => vec!["Ext-1".into()],
            ("active", None) => vec!["true".into()],
            ("emails", Some("value")) => vec!["a@example.com".into(), "b@example.com".into()],
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_filter_holds_or_does_not() {
        let urn = "urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ann@example.com\"";
        for (text, expected) in [
            (r#"userName eq "Ann@Example.com""#, true),
            (r#"USERNAME EQ "bob""#, false),
            (urn, true),
            (r#"externalId eq "Ext-1""#, true),
            (r#"externalId eq "ext-1""#, false),
            ("active eq true", true),
            (r#"active eq "True""#, true),
            ("active eq false", false),
            (r#"emails.value eq "b@example.com" and active eq true"#, true),
            (r#"emails.value eq "b@example.com" and active eq false"#, false),
            (r#"userName eq "bob" or active eq true and externalId pr"#, true),
            (r#"(userName eq "bob" or active eq true) and title pr"#, false),
            (r#"not (userName eq "bob")"#, true),
            (r#"userName ne "bob""#, true),
            (r#"userName sw "ANN" and userName ew ".com" and userName co "@""#, true),
            ("title eq null", true),
            ("userName eq null", false),
            ("title pr", false),
            (r#"userName eq "a\"b""#, false),
        ] {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(filter.holds(&values), expected, "{text}");
        }
    }

    #[test]
    fn what_must_hold_is_found_only_where_it_must() {
        let name = ("username", None);
        for (text, expected) in [
            (r#"userName eq "x""#, Some("x")),
            (r#"active eq true and userName eq "x""#, Some("x")),
            (r#"active eq true or userName eq "x""#, None),
            (r#"not (userName eq "x")"#, None),
            (r#"userName sw "x""#, None),
        ] {
            assert_eq!(Filter::parse(text).unwrap().must_equal(name), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}a pr{}", "(".repeat(9), ")".repeat(9));
        let long = format!("userName eq \"{}\"", "x".repeat(1_024));
        for text in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName eq x",
            "userName is \"x\"",
            "userName eq \"x",
            "userName eq \"x\" and",
            "userName eq \"x\" \"y\"",
            "(a pr",
            "a pr)",
            "a gt 5",
            "eq \"x\"",
            "userName eq [1]",
            "userName eq {}",
            "userName sw null",
            "a[b pr",
            "a[b[c pr]]",
            "a.b[c pr]",
            "é pr",
            "not a pr or",
            &deep,
            &long,
        ] {
            let refused = Filter::parse(text).unwrap_err();
            assert_eq!(refused.kind, Some("invalidFilter"), "{text}");
            assert!(refused.detail.len() < 300, "{refused}");
        }
    }

    #[test]
    fn a_path_is_read_whole_or_not_at_all() {
        let path = Path::parse(r#"emails[type eq "work" and primary eq true].value"#).unwrap();
        assert_eq!(path.names(), ("emails", Some("value")));
        assert!(path.filter.is_some());
        let whole = "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName";
        assert_eq!(Path::parse(whole).unwrap().names(), ("name", Some("familyname")));
        let other = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
        assert_eq!(Path::parse(other).unwrap().names().1, None);
        for text in ["", "a b", "members[", "members[value eq]", "a[b pr]c", "a[b pr].", "]", "\0"]
        {
            assert_eq!(Path::parse(text).unwrap_err().kind, Some("invalidPath"), "{text}");
        }
    }
}
