//! From the arguments of a call to the record that policies look at.
//!
//! Works on the text the client sent and reads numbers digit by digit, so that nothing is
//! rounded on the way to a decision. A value that does not have the type the schema promised
//! is an [`Unfit`], never a guess.

use std::{borrow::Cow, fmt};

use cedar_policy::RestrictedExpression as Value;
use serde::{
    Deserializer, de,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    mention::Attributes,
    shape::{Record, Shape},
};

/// Why an argument cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the argument `{path}` cannot be judged by a policy: {why}")]
pub(super) struct Unfit {
    /// Where it is, as in `order.amount`.
    path: String,
    /// What is wrong with it.
    why: &'static str,
}

const NOT_AN_OBJECT: &str = "it must be an object";
const MISSING: &str = "it is required";

/// The `context.input` record: those declared members that `wanted` names.
pub(super) fn input(text: &str, shape: &Record, wanted: &Attributes) -> Result<Value, Unfit> {
    record(text, shape, "", wanted)
}

fn record(text: &str, shape: &Record, path: &str, wanted: &Attributes) -> Result<Value, Unfit> {
    let unfit = |why| Unfit { path: shown(path), why };
    let mut pairs = Vec::new();
    let reader = Members(|name: Cow<'_, str>, raw: &RawValue| {
        let declared = shape.members.get(name.as_ref()).filter(|_| wanted.has(&name));
        let Some(member) = declared else { return Ok(()) };
        if member.nullable && raw.get() == "null" {
            return Ok(());
        }
        let value = value(raw.get(), &member.shape, &|| join(path, &name))?;
        pairs.push((name.into_owned(), value));
        Ok(())
    });
    let mut json = serde_json::Deserializer::from_str(text);
    reader.deserialize(&mut json).map_err(|_| unfit(NOT_AN_OBJECT))??;
    for (name, member) in &shape.members {
        let here = || pairs.iter().any(|(there, _)| there.as_str() == name.as_ref());
        if member.required && wanted.has(name) && !here() {
            return Err(Unfit { path: join(path, name), why: MISSING });
        }
    }
    Value::new_record(pairs).map_err(|_| unfit("a name appears in it twice"))
}

fn value(text: &str, shape: &Shape, path: &dyn Fn() -> String) -> Result<Value, Unfit> {
    let unfit = |why| Unfit { path: path(), why };
    match shape {
        Shape::Bool => match text {
            "true" => Ok(Value::new_bool(true)),
            "false" => Ok(Value::new_bool(false)),
            _ => Err(unfit("it must be `true` or `false`")),
        },
        Shape::Text => match serde_json::from_str(text) {
            Ok(content) => Ok(Value::new_string(content)),
            Err(_) => Err(unfit("it must be a text")),
        },
        Shape::Long => match scaled(text, 0) {
            Ok(number) => Ok(Value::new_long(number)),
            Err(why) => Err(unfit(why)),
        },
        Shape::Decimal => match scaled(text, FRACTION_DIGITS) {
            Ok(number) => Ok(Value::new_decimal(decimal(number))),
            Err(why) => Err(unfit(why)),
        },
        Shape::Set(item) => {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|_| unfit("it must be a list"))?;
            let at = |(n, raw): (usize, &&RawValue)| {
                value(raw.get(), item, &|| format!("{}[{n}]", path()))
            };
            let items: Result<Vec<Value>, Unfit> = items.iter().enumerate().map(at).collect();
            items.map(Value::new_set)
        }
        Shape::Record(shape) => record(text, shape, &path(), &Attributes::All),
    }
}

/// Cedar's decimals have this many fraction digits.
const FRACTION_DIGITS: u32 = 4;

/// The number in `text` times ten to the power of `digits`, exactly.
fn scaled(text: &str, digits: u32) -> Result<i64, &'static str> {
    const TOO_BIG: &str = "the number is too large";
    let (negative, body) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (body.get(..at), body.get(at + 1..)),
        None => (Some(body), None),
    };
    let mantissa = mantissa.filter(|m| m.starts_with(|c: char| c.is_ascii_digit()));
    let mantissa = mantissa.ok_or("it must be a number")?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = whole.bytes().chain(fraction.bytes());
    let zeros = all.clone().rev().take_while(|b| *b == b'0').count();
    let kept = whole.len() + fraction.len() - zeros;
    if kept == 0 {
        return Ok(0);
    }
    let exponent = exponent.map_or(Ok(0), |e| e.trim_start_matches('+').parse::<i64>());
    let exponent = exponent.map_err(|_| TOO_BIG)?;
    let mut number = 0_i64;
    for byte in all.take(kept) {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        let grown = number.checked_mul(10);
        let grown =
            grown.and_then(|n| if negative { n.checked_sub(digit) } else { n.checked_add(digit) });
        number = grown.ok_or(TOO_BIG)?;
    }
    let power = exponent
        .checked_add(i64::from(digits))
        .and_then(|p| p.checked_sub(i64::try_from(fraction.len()).ok()?))
        .and_then(|p| p.checked_add(i64::try_from(zeros).ok()?));
    let power = power.ok_or(TOO_BIG)?;
    if power < 0 {
        return Err(if digits == 0 {
            "it must be a whole number"
        } else {
            "it has more than four digits after the point"
        });
    }
    let factor = u32::try_from(power).ok().and_then(|p| 10_i64.checked_pow(p));
    factor.and_then(|factor| number.checked_mul(factor)).ok_or(TOO_BIG)
}

fn decimal(scaled: i64) -> String {
    let (whole, fraction) = (scaled.unsigned_abs() / 10_000, scaled.unsigned_abs() % 10_000);
    let sign = if scaled < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction:04}")
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(80).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn shown(path: &str) -> String {
    if path.is_empty() { "arguments".into() } else { path.into() }
}

/// Hands each member of an object to a function, without building the object. The outer
/// error says that there is no object, the inner one is the function's.
struct Members<F>(F);

impl<'de, F, E> DeserializeSeed<'de> for Members<F>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), E>,
{
    type Value = Result<(), E>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F, E> Visitor<'de> for Members<F>
where
    F: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), E>,
{
    type Value = Result<(), E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut result = Ok(());
        while let Some(Name(name)) = map.next_key()? {
            let raw: &RawValue = map.next_value()?;
            if result.is_ok() {
                result = (self.0)(name, raw);
            }
        }
        Ok(result)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> de::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests;
