//! What one value has to be. Each kind of check knows one type: a value of another is refused.

use regex_lite::RegexBuilder;
use serde::Deserialize;
use serde_json::{Number, Value};

mod path;
mod sql;
mod url;

/// Bytes that one compiled pattern may take.
const LARGEST_PATTERN: usize = 64 << 10;

/// The checks of one argument; all that are given have to pass.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Check {
    /// Whether it must be there.
    pub(crate) required: bool,
    /// All of the text must match this.
    pattern: Option<String>,
    /// No part of the text may match this.
    not_pattern: Option<String>,
    /// One of these values.
    one_of: Option<Vec<Value>>,
    min: Option<Number>,
    max: Option<Number>,
    /// In characters.
    min_length: Option<usize>,
    max_length: Option<usize>,
    /// Elements of an array.
    max_items: Option<usize>,
    /// A path below one of these folders.
    under: Option<Vec<String>>,
    /// A URL to one of these hosts.
    hosts: Option<Vec<String>>,
    /// With `hosts`: these schemes.
    schemes: Vec<String>,
    /// With `hosts`: private addresses as well.
    allow_private: bool,
    /// SQL that only reads.
    sql: Option<Sql>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Sql {
    dialect: sql::Dialect,
    functions: Vec<String>,
}

impl Check {
    /// Whether the value passes; the error ends a sentence that began with its name.
    pub(crate) fn judge(&self, value: &Value) -> Result<(), String> {
        if let Some(allowed) = &self.one_of
            && !allowed.contains(value)
        {
            let shown: Vec<String> = allowed.iter().map(Value::to_string).collect();
            return Err(format!("must be one of {}", shown.join(", ")));
        }
        self.numbers(value)?;
        if let Some(most) = self.max_items {
            let items = value.as_array().ok_or("must be a list")?;
            if items.len() > most {
                return Err(format!("must have at most {most} elements"));
            }
        }
        if self.of_texts() { self.texts(value.as_str().ok_or("must be a text")?) } else { Ok(()) }
    }

    fn numbers(&self, value: &Value) -> Result<(), String> {
        if self.min.is_none() && self.max.is_none() {
            return Ok(());
        }
        let number = value.as_number().ok_or("must be a number")?;
        if let Some(min) = &self.min
            && !at_most(min, number)
        {
            return Err(format!("must be at least {min}"));
        }
        if let Some(max) = &self.max
            && !at_most(number, max)
        {
            return Err(format!("must be at most {max}"));
        }
        Ok(())
    }

    fn of_texts(&self) -> bool {
        self.pattern.is_some()
            || self.not_pattern.is_some()
            || self.min_length.is_some()
            || self.max_length.is_some()
            || self.under.is_some()
            || self.hosts.is_some()
            || self.sql.is_some()
    }

    fn texts(&self, text: &str) -> Result<(), String> {
        let length = text.chars().count();
        if let Some(least) = self.min_length.filter(|least| length < *least) {
            return Err(format!("must have at least {least} characters"));
        }
        if let Some(most) = self.max_length.filter(|most| length > *most) {
            return Err(format!("must have at most {most} characters"));
        }
        if let Some(pattern) = &self.pattern
            && !matches(&format!("^(?:{pattern})$"), text)?
        {
            return Err(format!("must match `{pattern}`"));
        }
        if let Some(pattern) = &self.not_pattern
            && matches(pattern, text)?
        {
            return Err(format!("must not match `{pattern}`"));
        }
        if let Some(folders) = &self.under {
            path::below(text, folders).map_err(|why| format!("{why} {}", folders.join(" or ")))?;
        }
        if let Some(hosts) = &self.hosts {
            let allowed =
                url::Allowed { hosts, schemes: &self.schemes, private: self.allow_private };
            url::leads_to(text, &allowed)?;
        }
        match &self.sql {
            Some(sql) => sql::only_reads(text, sql.dialect, &sql.functions),
            None => Ok(()),
        }
    }
}

fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| format!("cannot be judged, its pattern is wrong: {error}"))?;
    Ok(regex.is_match(text))
}

/// Whether one number is not above the other. Whole numbers are compared as such: `f64` would
/// take large neighbours for equal.
fn at_most(one: &Number, other: &Number) -> bool {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one <= other,
        // What is no number compares as false, and is refused.
        _ => one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one <= other),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}
