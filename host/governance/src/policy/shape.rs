//! From a tool's JSON Schema to what Cedar can hold.
//!
//! Total: every document yields a [`Record`]. What Cedar has no type for is left out, so that
//! no policy can mention it; whether a value really has the mapped type is checked again when
//! a call is judged (`value`), so a loose mapping can refuse but never mislead. Knows nothing
//! of Cedar's own types; `schema` writes those down.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// The type of one value, as far as policies are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// `Bool`.
    Bool,
    /// `Long`: a whole number of 64 bits.
    Long,
    /// `decimal`: a number with up to four fraction digits.
    Decimal,
    /// `String`.
    Text,
    /// `Set<…>`: order and repeats are not seen.
    Set(Box<Shape>),
    /// A record of the declared members.
    Record(Record),
}

/// The declared members of an object that Cedar can hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// By name.
    pub(super) members: BTreeMap<Arc<str>, Member>,
}

/// One declared member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its type.
    pub(super) shape: Shape,
    /// Whether every valid object has it, with a value other than `null`.
    pub(super) required: bool,
    /// Whether it may be `null`, which counts as not being there.
    pub(super) nullable: bool,
}

impl Member {
    fn both(self, other: Self) -> Option<Self> {
        let nullable = self.nullable && other.nullable;
        let required = self.required || other.required;
        Some(Self { shape: meet(self.shape, other.shape)?, required, nullable })
    }

    fn either(self, other: Self) -> Option<Self> {
        let nullable = self.nullable || other.nullable;
        let required = self.required && other.required;
        Some(Self { shape: join(self.shape, other.shape)?, required, nullable })
    }
}

impl Record {
    /// The record for a tool's whole input schema.
    pub(super) fn of_input(schema: &str) -> Self {
        let Ok(root) = serde_json::from_str::<Value>(schema) else { return Self::default() };
        let mut reader = Reader { root: &root, left: NODES };
        match reader.read(&root, 0).shape {
            Some(Shape::Record(record)) => record,
            _ => Self::default(),
        }
    }

    /// Only the members that `keep` asks for.
    pub(super) fn project(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = self.members.iter().filter(|(name, _)| keep(name));
        Self { members: kept.map(|(name, member)| (Arc::clone(name), member.clone())).collect() }
    }
}

/// How deep a document is followed, and how many schemas of it are looked at; what lies
/// beyond is left out. `$ref` makes small documents describe enormous ones.
const DEPTH: usize = 16;
const NODES: usize = 4_096;

/// What one schema says.
#[derive(Debug, Clone, Default)]
struct Read {
    /// The type of its values other than `null`, where Cedar has one.
    shape: Option<Shape>,
    /// Whether `null` is a valid value.
    nullable: bool,
    /// Whether the schema says nothing about the type.
    silent: bool,
}

impl Read {
    fn of(shape: Shape) -> Self {
        Self { shape: Some(shape), ..Self::default() }
    }

    fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    fn null() -> Self {
        Self { nullable: true, ..Self::default() }
    }

    /// Values that fit both.
    fn both(self, other: Self) -> Self {
        if self.silent {
            return other;
        }
        if other.silent {
            return self;
        }
        let nullable = self.nullable && other.nullable;
        let shape = match (self.shape, other.shape) {
            (Some(a), Some(b)) => meet(a, b),
            _ => None,
        };
        Self { shape, nullable, silent: false }
    }

    /// Values that fit either.
    fn either(self, other: Self) -> Self {
        if self.silent || other.silent {
            return Self::silent();
        }
        let nullable = self.nullable || other.nullable;
        let shape = match (self.is_null(), other.is_null()) {
            (true, _) => other.shape,
            (_, true) => self.shape,
            _ => self.shape.zip(other.shape).and_then(|(a, b)| join(a, b)),
        };
        Self { shape, nullable, silent: false }
    }

    /// Whether `null` is the only value.
    fn is_null(&self) -> bool {
        self.nullable && self.shape.is_none()
    }
}

fn meet(a: Shape, b: Shape) -> Option<Shape> {
    match (a, b) {
        (Shape::Long, Shape::Decimal) | (Shape::Decimal, Shape::Long) => Some(Shape::Long),
        (Shape::Set(a), Shape::Set(b)) => meet(*a, *b).map(|item| Shape::Set(Box::new(item))),
        (Shape::Record(mut a), Shape::Record(b)) => {
            for (name, theirs) in b.members {
                let ours = a.members.remove(&name);
                let both = match ours {
                    None => Some(theirs),
                    Some(ours) => ours.both(theirs),
                };
                a.members.extend(both.map(|member| (name, member)));
            }
            Some(Shape::Record(a))
        }
        (a, b) => (a == b).then_some(a),
    }
}

fn join(a: Shape, b: Shape) -> Option<Shape> {
    match (a, b) {
        (Shape::Long, Shape::Decimal) | (Shape::Decimal, Shape::Long) => Some(Shape::Decimal),
        (Shape::Set(a), Shape::Set(b)) => join(*a, *b).map(|item| Shape::Set(Box::new(item))),
        (Shape::Record(a), Shape::Record(mut b)) => {
            let mut members = BTreeMap::new();
            for (name, ours) in a.members {
                let member = match b.members.remove(&name) {
                    None => Some(Member { required: false, ..ours }),
                    Some(theirs) => ours.either(theirs),
                };
                members.extend(member.map(|member| (name, member)));
            }
            let rest = b.members.into_iter();
            members.extend(rest.map(|(name, m)| (name, Member { required: false, ..m })));
            Some(Shape::Record(Record { members }))
        }
        (a, b) => (a == b).then_some(a),
    }
}

struct Reader<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self, schema: &'a Value, depth: usize) -> Read {
        let Value::Object(map) = schema else { return Read::silent() };
        if depth >= DEPTH || self.left == 0 {
            return Read::default();
        }
        self.left -= 1;
        let mut read = self.own_type(map, depth);
        if let Some(values) = map.get("enum").and_then(Value::as_array) {
            let kinds = values.iter().map(Self::of_value).reduce(Read::either);
            read = read.both(kinds.unwrap_or_default());
        }
        if let Some(value) = map.get("const") {
            read = read.both(Self::of_value(value));
        }
        if let Some(target) = map.get("$ref").and_then(Value::as_str) {
            let there = self.resolve(target).map(|schema| self.read(schema, depth + 1));
            read = read.both(there.unwrap_or_default());
        }
        for part in array(map, "allOf") {
            read = read.both(self.read(part, depth + 1));
        }
        for word in ["anyOf", "oneOf"] {
            let kinds: Vec<Read> =
                array(map, word).map(|part| self.read(part, depth + 1)).collect();
            if let Some(any) = kinds.into_iter().reduce(Read::either) {
                read = read.both(any);
            }
        }
        read.nullable |= map.get("nullable") == Some(&Value::Bool(true)) && !read.silent;
        read
    }

    /// What `type`, or failing that the keywords of one type, say.
    fn own_type(&mut self, map: &'a serde_json::Map<String, Value>, depth: usize) -> Read {
        match map.get("type") {
            Some(Value::String(name)) => self.named(name, map, depth),
            Some(Value::Array(names)) => {
                let kinds = names.iter().filter_map(Value::as_str);
                let kinds: Vec<Read> = kinds.map(|name| self.named(name, map, depth)).collect();
                kinds.into_iter().reduce(Read::either).unwrap_or_default()
            }
            _ if map.contains_key("properties") => self.named("object", map, depth),
            _ if map.contains_key("items") => self.named("array", map, depth),
            _ => Read::silent(),
        }
    }

    fn named(&mut self, name: &str, map: &'a serde_json::Map<String, Value>, depth: usize) -> Read {
        match name {
            "boolean" => Read::of(Shape::Bool),
            "integer" => Read::of(Shape::Long),
            "number" => Read::of(Shape::Decimal),
            "string" => Read::of(Shape::Text),
            "null" => Read::null(),
            "array" => match self.items(map, depth) {
                Some(item) => Read::of(Shape::Set(Box::new(item))),
                None => Read::default(),
            },
            "object" => Read::of(Shape::Record(self.properties(map, depth))),
            _ => Read::default(),
        }
    }

    /// The one type that all items of an array have.
    fn items(&mut self, map: &'a serde_json::Map<String, Value>, depth: usize) -> Option<Shape> {
        let listed = |word| map.get(word).and_then(Value::as_array).into_iter().flatten();
        let first: Vec<&Value> = listed("prefixItems").chain(listed("items")).collect();
        let rest = match map.get("items").or_else(|| map.get("additionalItems")) {
            Some(schema @ Value::Object(_)) => Some(schema),
            _ => None,
        };
        let all = first.into_iter().chain(rest);
        let kinds: Vec<Read> = all.map(|schema| self.read(schema, depth + 1)).collect();
        let item = kinds.into_iter().reduce(Read::either)?;
        if item.nullable { None } else { item.shape }
    }

    fn properties(&mut self, map: &'a serde_json::Map<String, Value>, depth: usize) -> Record {
        let mut record = Record::default();
        let required: Vec<&str> = array(map, "required").filter_map(Value::as_str).collect();
        let Some(Value::Object(properties)) = map.get("properties") else { return record };
        for (name, schema) in properties {
            let read = self.read(schema, depth + 1);
            let Some(shape) = read.shape else { continue };
            let required = required.contains(&name.as_str()) && !read.nullable;
            let nullable = read.nullable;
            record.members.insert(name.as_str().into(), Member { shape, required, nullable });
        }
        record
    }

    fn of_value(value: &Value) -> Read {
        match value {
            Value::Null => Read::null(),
            Value::Bool(_) => Read::of(Shape::Bool),
            Value::Number(n) if n.is_i64() => Read::of(Shape::Long),
            Value::Number(_) => Read::of(Shape::Decimal),
            Value::String(_) => Read::of(Shape::Text),
            Value::Array(_) | Value::Object(_) => Read::silent(),
        }
    }

    /// A reference inside the same document; others are not followed.
    fn resolve(&self, target: &str) -> Option<&'a Value> {
        let pointer = target.strip_prefix('#')?;
        if pointer.contains('%') {
            return None;
        }
        self.root.pointer(pointer)
    }
}

fn array<'a>(
    map: &'a serde_json::Map<String, Value>,
    word: &str,
) -> impl Iterator<Item = &'a Value> {
    map.get(word).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests;
