//! SQL that only reads.
//!
//! Owns the rules over tokens: one statement, of a kind that reads, without any word that
//! writes, calling known functions only. What cannot be told for certain is refused. How a
//! text becomes tokens is in [`token`], which functions are known in [`functions`], which names
//! are those of common tables in [`tables`].

use token::{Kind, Token, tokens};

pub(crate) use token::Dialect;

mod functions;
mod tables;
mod token;

/// What a statement may begin with.
const READS: &[&str] =
    &["DESC", "DESCRIBE", "EXPLAIN", "SELECT", "SHOW", "TABLE", "VALUES", "WITH"];

/// Words that write, lock, run something, or change the session, wherever they stand.
const WRITES: &[&str] = &[
    "ALTER",
    "ANALYSE",
    "ANALYZE",
    "ATTACH",
    "BACKUP",
    "BEGIN",
    "BULK",
    "CALL",
    "CHECKPOINT",
    "CLUSTER",
    "COMMIT",
    "COPY",
    "CREATE",
    "DBCC",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DENY",
    "DETACH",
    "DISCARD",
    "DO",
    "DROP",
    "DUMPFILE",
    "EXEC",
    "EXECUTE",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "IMPORT",
    "INSERT",
    "INSTALL",
    "INTO",
    "KILL",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "NOTIFY",
    "OPTIMIZE",
    "OUTFILE",
    "PRAGMA",
    "PREPARE",
    "PURGE",
    "REASSIGN",
    "RECONFIGURE",
    "REFRESH",
    "REINDEX",
    "RENAME",
    "REPAIR",
    "REPLACE",
    "RESET",
    "RESTORE",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "SETUSER",
    "SHARE",
    "SHUTDOWN",
    "TRUNCATE",
    "UNLISTEN",
    "UNLOCK",
    "UPDATE",
    "UPDATETEXT",
    "UPSERT",
    "USE",
    "VACUUM",
    "WAITFOR",
    "WRITETEXT",
];

/// Words that a bracket may follow without being called.
const NOT_CALLED: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CROSS",
    "CUBE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FETCH",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATERIALIZED",
    "MINUS",
    "NATURAL",
    "NEXT",
    "NOT",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RETURNING",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SELECT",
    "SETS",
    "SIMILAR",
    "SOME",
    "TABLE",
    "THEN",
    "TOP",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

/// Whether `text` only reads; `more` are functions that may be called besides the known ones.
/// The error says what must change.
pub(crate) fn only_reads(text: &str, dialect: Dialect, more: &[String]) -> Result<(), String> {
    let tokens =
        tokens(text, dialect).map_err(|why| format!("must be SQL that can be judged: {why}"))?;
    let tokens = without_end(&tokens);
    if tokens.iter().any(|token| token.is(";")) {
        return Err("must be one SQL statement only".to_owned());
    }
    let start = tokens.iter().position(|token| !token.is("(")).unwrap_or(0);
    let first = tokens.get(start).map(Token::upper).unwrap_or_default();
    if !tokens.get(start).is_some_and(Token::is_word)
        || READS.binary_search(&first.as_str()).is_err()
    {
        return Err("must be an SQL statement that only reads, such as SELECT".to_owned());
    }
    let explains = matches!(first.as_str(), "EXPLAIN" | "DESC" | "DESCRIBE");
    let tables = tables::names(tokens);
    for (place, token) in tokens.iter().enumerate() {
        let around = Around { tokens, place };
        if token.is_word() {
            word(token, &around, explains)?;
        }
        // `WITH name (a, b) AS (SELECT …)` calls nothing.
        if token.is_name() && around.next_is("(") && !tables.contains(&place) {
            call(token, &around, more)?;
        }
    }
    Ok(())
}

/// The tokens without a semicolon at the end.
fn without_end<'a, 't>(tokens: &'a [Token<'t>]) -> &'a [Token<'t>] {
    let end = tokens.iter().rposition(|token| !token.is(";")).map_or(0, |last| last + 1);
    tokens.get(..end).unwrap_or_default()
}

struct Around<'a, 't> {
    tokens: &'a [Token<'t>],
    place: usize,
}

impl<'t> Around<'_, 't> {
    fn next_is(&self, text: &str) -> bool {
        self.tokens.get(self.place + 1).is_some_and(|token| token.is(text))
    }

    fn before(&self, steps: usize) -> Option<&Token<'t>> {
        self.place.checked_sub(steps).and_then(|place| self.tokens.get(place))
    }

    fn is_before(&self, text: &str) -> bool {
        self.before(1).is_some_and(|token| token.is_word() && token.upper() == text)
    }
}

/// Refuses a word that writes, unless it is a name or a function here.
fn word(token: &Token<'_>, around: &Around<'_, '_>, explains: bool) -> Result<(), String> {
    let upper = token.upper();
    if WRITES.binary_search(&upper.as_str()).is_err() {
        return Ok(());
    }
    let harmless = match upper.as_str() {
        // A column: `t.update`.
        _ if around.before(1).is_some_and(|token| token.is(".")) => true,
        "ANALYZE" | "ANALYSE" => explains,
        // The function, not the statement.
        "REPLACE" => around.next_is("("),
        "SET" => around.is_before("CHARACTER"),
        _ => false,
    };
    if harmless {
        return Ok(());
    }
    Err(format!("must only read: `{upper}` is not allowed (quote it where it is a name)"))
}

/// Refuses what may be a call of a function that is not known.
fn call(token: &Token<'_>, around: &Around<'_, '_>, more: &[String]) -> Result<(), String> {
    let qualified = around.before(1).is_some_and(|token| token.is("."));
    let upper = token.upper();
    if !qualified && token.is_word() && NOT_CALLED.binary_search(&upper.as_str()).is_ok() {
        return Ok(());
    }
    // `FROM (…) AS t (a, b)`: the name of columns, not of a function.
    if around.is_before("AS") {
        return Ok(());
    }
    let schema = if qualified { around.before(2).map(Token::plain) } else { None };
    let name = token.plain();
    let full = match &schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name.clone(),
    };
    if more.iter().any(|known| known.eq_ignore_ascii_case(&full)) {
        return Ok(());
    }
    // A quoted name is another function where its letters differ in case.
    let own = token.is_word() || token.plain() == token.plain().to_ascii_lowercase();
    let lower = name.to_ascii_lowercase();
    let ours = schema.is_none_or(|schema| schema.eq_ignore_ascii_case("pg_catalog"));
    // With three parts the first is unknown here.
    let deep = qualified && around.before(3).is_some_and(|token| token.is("."));
    if own && ours && !deep && functions::KNOWN.binary_search(&lower.as_str()).is_ok() {
        return Ok(());
    }
    Err(format!("must only call known functions: `{full}` is not one"))
}

impl Token<'_> {
    fn is(&self, text: &str) -> bool {
        self.kind == Kind::Sign && self.text == text
    }

    fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }

    /// A word, or a quoted name.
    fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }

    /// The word in capitals; empty where it is none.
    fn upper(&self) -> String {
        if self.is_word() { self.text.to_ascii_uppercase() } else { String::new() }
    }

    /// The name without its quotes.
    fn plain(&self) -> String {
        match self.kind {
            Kind::Quoted => {
                let end = self.text.len().saturating_sub(1);
                self.text.get(1..end).unwrap_or_default().to_owned()
            }
            _ => self.text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
