//! SQL as tokens, for a known dialect or for none.
//!
//! Databases disagree on where a string or a comment ends, and that is how a statement hides
//! inside one. Where the dialect is not known, a text on which they disagree is an error.

use serde::Deserialize;

/// Whose rules hold.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    /// Not known: only what all of them read alike.
    #[default]
    Any,
    /// PostgreSQL and its relatives, with `standard_conforming_strings` on.
    Postgres,
    /// MySQL and MariaDB, without `ANSI_QUOTES` or `NO_BACKSLASH_ESCAPES`.
    Mysql,
    /// SQLite.
    Sqlite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key word or a name without quotes.
    Word,
    /// A name in quotes. In double quotes it may be a string as well.
    Quoted,
    /// A string or a number.
    Value,
    /// Any other character, alone.
    Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
}

impl Token<'_> {
    /// Whether it is a text in single quotes.
    fn is_string(&self) -> bool {
        self.kind == Kind::Value && self.text.starts_with('\'')
    }
}

type Doubt = &'static str;

/// Whether a rule holds in a dialect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Yes,
    No,
    Unclear,
}

impl Dialect {
    fn backslash_escapes(self) -> Rule {
        self.rule(Self::Mysql)
    }

    fn dollar_quotes(self) -> Rule {
        self.rule(Self::Postgres)
    }

    fn nested_comments(self) -> Rule {
        self.rule(Self::Postgres)
    }

    fn hash_comments(self) -> Rule {
        self.rule(Self::Mysql)
    }

    /// Whether `--` begins a comment only before a blank.
    fn dashes_need_blank(self) -> Rule {
        self.rule(Self::Mysql)
    }

    /// Whether a lone carriage return ends a line.
    fn return_ends_line(self) -> Rule {
        self.rule(Self::Postgres)
    }

    /// Whether `[` begins a quoted name (as SQL Server and SQLite have it).
    fn bracket_quotes(self) -> Rule {
        self.rule(Self::Sqlite)
    }

    fn rule(self, of: Self) -> Rule {
        match self {
            Self::Any => Rule::Unclear,
            known if known == of => Rule::Yes,
            _ => Rule::No,
        }
    }
}

/// Everything but blanks and comments; the error says what makes it doubtful.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, Doubt> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, dialect };
    let mut tokens = Vec::new();
    while let Some(byte) = reader.peek(0) {
        let start = reader.at;
        let kind = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                reader.at += 1;
                continue;
            }
            0..=0x1f | 0x7f => return Err("it holds control characters"),
            b'-' if reader.peek(1) == Some(b'-') && reader.dashes()? => continue,
            b'#' if reader.hash()? => continue,
            b'/' if reader.peek(1) == Some(b'*') => {
                reader.comment()?;
                continue;
            }
            b'\'' => {
                // PostgreSQL joins strings with a line end between, by the rules of the first.
                if tokens.last().is_some_and(Token::is_string) {
                    return Err("a string follows a string");
                }
                // `E'…'` has escapes where plain strings have none.
                let before = |prefix| follows(tokens.last(), prefix, text, start);
                // Oracle's own quotes end elsewhere.
                if dialect == Dialect::Any && (before("q") || before("nq")) {
                    return Err("`q'` quotes a string in some databases");
                }
                let escapes = before("e");
                reader.quoted(b'\'', escapes)?
            }
            b'"' => reader.quoted(b'"', false).map(|_| Kind::Quoted)?,
            b'`' => reader.quoted(b'`', false).map(|_| Kind::Quoted)?,
            b'[' => reader.bracket()?,
            b'$' => reader.dollar()?,
            b'\\' => return Err("a backslash stands outside a string"),
            _ if byte.is_ascii_digit() => reader.number()?,
            _ if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => reader.word()?,
            _ => {
                reader.at += 1;
                Kind::Sign
            }
        };
        tokens.push(Token { kind, text: text.get(start..reader.at).ok_or("it is cut")? });
    }
    Ok(tokens)
}

/// Whether what is at `start` follows the word `prefix` without a blank.
fn follows(last: Option<&Token<'_>>, prefix: &str, text: &str, start: usize) -> bool {
    last.is_some_and(|last| last.kind == Kind::Word && last.text.eq_ignore_ascii_case(prefix))
        && text.get(..start).is_some_and(|before| !before.ends_with([' ', '\t', '\n', '\r', '/']))
}

struct Reader<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    dialect: Dialect,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn line(&mut self) -> Result<(), Doubt> {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            match byte {
                b'\n' => break,
                b'\r' if self.peek(0) != Some(b'\n') => match self.dialect.return_ends_line() {
                    Rule::Yes => break,
                    Rule::No => {}
                    Rule::Unclear => return Err("a comment holds a lone carriage return"),
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes over `-- comment`; `false` where the dashes are two minus signs.
    fn dashes(&mut self) -> Result<bool, Doubt> {
        let blank = self.peek(2).is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        if !blank {
            match self.dialect.dashes_need_blank() {
                Rule::Yes => return Ok(false),
                Rule::No => {}
                Rule::Unclear => return Err("`--` is not followed by a blank"),
            }
        }
        self.line().map(|()| true)
    }

    fn hash(&mut self) -> Result<bool, Doubt> {
        match self.dialect.hash_comments() {
            Rule::Yes => self.line().map(|()| true),
            Rule::No => Ok(false),
            Rule::Unclear => Err("`#` begins a comment in some databases"),
        }
    }

    fn comment(&mut self) -> Result<(), Doubt> {
        // MySQL and MariaDB run what stands in these.
        if matches!((self.peek(2), self.peek(3)), (Some(b'!'), _) | (Some(b'M'), Some(b'!'))) {
            return Err("a comment may hold a statement");
        }
        self.at += 2;
        let mut depth = 1_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'*', Some(b'/')) => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    match self.dialect.nested_comments() {
                        Rule::Yes => depth += 1,
                        Rule::No => self.at -= 1,
                        Rule::Unclear => return Err("a comment stands in a comment"),
                    }
                }
                _ => self.at += 1,
            }
        }
        Err("a comment does not end")
    }

    /// A string or a quoted name. A doubled quote stands for itself.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Result<Kind, Doubt> {
        let rule = match self.dialect.backslash_escapes() {
            _ if quote == b'`' => Rule::No,
            Rule::No if escapes && self.dialect == Dialect::Postgres => Rule::Yes,
            rule => rule,
        };
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\\' && rule != Rule::No {
                match (rule, self.peek(0)) {
                    // Two of them are one pair for everybody: neither escapes the quote.
                    (Rule::Unclear, Some(b'\\')) | (Rule::Yes, Some(_)) => self.at += 1,
                    (Rule::Unclear, Some(next)) if next == quote => {
                        return Err("a backslash stands before a quote");
                    }
                    _ => {}
                }
            } else if byte == quote {
                if self.peek(0) != Some(quote) {
                    return Ok(Kind::Value);
                }
                self.at += 1;
            }
        }
        Err("a quote does not end")
    }

    fn bracket(&mut self) -> Result<Kind, Doubt> {
        let rule = self.dialect.bracket_quotes();
        if rule == Rule::No {
            self.at += 1;
            return Ok(Kind::Sign);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let inside = rest.split_once(']').ok_or("a bracket does not end")?.0;
        if rule == Rule::Yes {
            self.at += inside.len() + 1;
            return Ok(Kind::Quoted);
        }
        let plain = |one: char| !matches!(one, '\'' | '"' | '`' | '$' | '#' | '-' | '/');
        if !inside.chars().all(plain) {
            return Err("a bracket holds quotes or comments");
        }
        self.at += 1;
        Ok(Kind::Sign)
    }

    /// A dollar-quoted string, or a parameter such as `$1` or `$name`.
    fn dollar(&mut self) -> Result<Kind, Doubt> {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        let tag = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
            .count();
        if rest.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.digits(|byte| byte.is_ascii_digit());
            return self.ends_value();
        }
        if rest.as_bytes().get(tag) != Some(&b'$') {
            self.at += 1 + tag;
            // A parameter in some databases, the name of a function in others.
            return Ok(Kind::Word);
        }
        match self.dialect.dollar_quotes() {
            Rule::Yes => {}
            Rule::No => return Err("`$` stands where no value begins"),
            Rule::Unclear => return Err("`$` quotes a string in some databases"),
        }
        let opening = self.text.get(self.at..self.at + tag + 2).ok_or("it is cut")?;
        let body = self.text.get(self.at + opening.len()..).ok_or("it is cut")?;
        let end = body.find(opening).ok_or("a dollar quote does not end")?;
        self.at += opening.len() + end + opening.len();
        Ok(Kind::Value)
    }

    /// Digits with a fraction and an exponent, or `0x…`. Nothing may be glued to it: databases
    /// that end the number there would read a word that is not seen here.
    fn number(&mut self) -> Result<Kind, Doubt> {
        let digit = |byte: u8| byte.is_ascii_digit();
        if self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X')) {
            self.at += 2;
            if self.digits(|byte| byte.is_ascii_hexdigit()) == 0 {
                return Err("a number has no digits");
            }
            return self.ends_value();
        }
        self.digits(digit);
        if self.peek(0) == Some(b'.') {
            self.at += 1;
            self.digits(digit);
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            self.at += 1 + usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.digits(digit) == 0 {
                return Err("an exponent has no digits");
            }
        }
        self.ends_value()
    }

    /// Passes over what fits; returns how much it was.
    fn digits(&mut self, fits: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek(0).is_some_and(&fits) {
            self.at += 1;
        }
        self.at - start
    }

    /// A number or parameter ends here.
    fn ends_value(&self) -> Result<Kind, Doubt> {
        match self.peek(0) {
            Some(b'_' | b'$' | b'.' | 0x80..) => Err("something is glued to a number"),
            Some(byte) if byte.is_ascii_alphanumeric() => Err("something is glued to a number"),
            _ => Ok(Kind::Value),
        }
    }

    fn word(&mut self) -> Result<Kind, Doubt> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for one in rest.chars() {
            let joins = one.is_ascii_alphanumeric() || one == '_' || one == '$';
            if !joins && one.is_ascii() {
                break;
            }
            // Some databases take other blanks for blanks, others for letters.
            if !one.is_ascii() && !one.is_alphanumeric() {
                return Err("it holds signs that are not ASCII outside a string");
            }
            self.at += one.len_utf8();
        }
        Ok(Kind::Word)
    }
}
