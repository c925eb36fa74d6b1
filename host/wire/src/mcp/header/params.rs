//! `x-mcp-header`: arguments that a tool wants mirrored as `Mcp-Param-*`.
//!
//! Compiled once per tool from its input schema. An annotation counts only where plain
//! `properties` lead to it; anywhere else, or on anything but a string, integer or boolean,
//! it makes the tool unusable over HTTP, and the tool is dropped.

mod number;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{HeaderMismatch, PARAM_PREFIX, decode, encode, single};
use crate::json::{Kind, Raw};

/// Schemas nested deeper than this are not searched; nobody could have checked them.
const DEPTH: usize = 64;

/// More mirrored arguments than this would not fit the headers of a request.
const MOST: usize = 64;

/// The mirrored parameters of one tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderParams(Box<[Param]>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Param {
    header: HeaderName,
    path: Box<[Box<str>]>,
}

/// Why the annotations of an input schema cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnotation {
    /// It stands where no argument is.
    #[error("`x-mcp-header` must stand on a property that only `properties` lead to")]
    Unreachable,
    /// It is no header name.
    #[error("`x-mcp-header` must be an http token, not `{0}`")]
    NotAToken(String),
    /// Two properties want the same header.
    #[error("`x-mcp-header` `{0}` stands on two properties")]
    Duplicate(String),
    /// More than would fit the headers of a request.
    #[error("`x-mcp-header` stands on more than 64 properties")]
    TooMany,
    /// The property has no type that fits a header.
    #[error("`x-mcp-header` `{0}` needs a property of type string, integer or boolean")]
    Type(String),
}

impl HeaderParams {
    /// Reads the annotations of a tool's input schema.
    pub fn compile(input_schema: Raw<'_>) -> Result<Self, BadAnnotation> {
        // Most tools have none, and the text knows.
        if memchr::memmem::find(input_schema.as_str().as_bytes(), b"-mcp-").is_none()
            && !input_schema.as_str().contains("\\u")
        {
            return Ok(Self::default());
        }
        let mut found = Vec::new();
        walk(input_schema, Some(&mut Vec::new()), &mut found, DEPTH)?;
        Ok(Self(found.into()))
    }

    /// Whether the tool mirrors nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The headers for these arguments; null and missing ones have none.
    pub fn headers(
        &self,
        arguments: Option<Raw<'_>>,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.0.iter().filter_map(move |param| {
            let value = param.find(arguments)?;
            let value = match value.kind() {
                Kind::String => encode(&value.string()?),
                Kind::Number | Kind::Bool => encode(value.as_str()),
                Kind::Object | Kind::Array | Kind::Null => return None,
            };
            Some((param.header.clone(), value))
        })
    }

    /// Whether the headers of a request agree with its arguments; headers of the same kind
    /// that this tool does not know are left alone.
    pub fn agree(
        &self,
        headers: &HeaderMap,
        arguments: Option<Raw<'_>>,
    ) -> Result<(), HeaderMismatch> {
        self.0.iter().try_for_each(|param| param.agree(headers, param.find(arguments)))
    }
}

impl Param {
    fn find<'a>(&self, arguments: Option<Raw<'a>>) -> Option<Raw<'a>> {
        self.path
            .iter()
            .try_fold(arguments?, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    fn agree(&self, headers: &HeaderMap, body: Option<Raw<'_>>) -> Result<(), HeaderMismatch> {
        let name = || self.header.clone();
        let (found, body) = match (single(headers, &self.header)?, body) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(HeaderMismatch::Missing(name())),
            (Some(_), None) => return Err(HeaderMismatch::Unexpected(name())),
            (Some(found), Some(body)) => (found, body),
        };
        let found = decode(found).ok_or_else(|| HeaderMismatch::Malformed(name()))?;
        let is_same = match body.kind() {
            Kind::String => body.string().is_some_and(|text| text == found),
            Kind::Number => number::is_same(body.as_str(), &found),
            Kind::Bool => body.as_str() == found,
            Kind::Object | Kind::Array | Kind::Null => false,
        };
        if is_same { Ok(()) } else { Err(HeaderMismatch::Disagrees(name())) }
    }
}

/// Searches one schema; `path` is how arguments lead to it, none where they do not.
fn walk<'a>(
    schema: Raw<'a>,
    mut path: Option<&mut Vec<String>>,
    found: &mut Vec<Param>,
    depth: usize,
) -> Result<(), BadAnnotation> {
    if depth == 0 {
        return Err(BadAnnotation::Unreachable);
    }
    for element in schema.elements() {
        walk(element, None, found, depth - 1)?;
    }
    for member in schema.members() {
        match &*member.key {
            "x-mcp-header" => match path.as_deref() {
                Some(path) if !path.is_empty() => annotate(member.value, schema, path, found)?,
                _ => return Err(BadAnnotation::Unreachable),
            },
            "properties" => {
                for property in member.value.members() {
                    match path.as_deref_mut() {
                        Some(path) => {
                            path.push(property.key.into_owned());
                            walk(property.value, Some(path), found, depth - 1)?;
                            path.pop();
                        }
                        None => walk(property.value, None, found, depth - 1)?,
                    }
                }
            }
            // Maps from names of the author's choice to schemas.
            "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                for named in member.value.members() {
                    walk(named.value, None, found, depth - 1)?;
                }
            }
            // Data, no schemas.
            "default" | "const" | "enum" | "examples" => {}
            _ => walk(member.value, None, found, depth - 1)?,
        }
    }
    Ok(())
}

fn annotate(
    value: Raw<'_>,
    schema: Raw<'_>,
    path: &[String],
    found: &mut Vec<Param>,
) -> Result<(), BadAnnotation> {
    let shown = || value.as_str().chars().take(80).collect::<String>();
    let text = value.string().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| BadAnnotation::NotAToken(shown()))?;
    let header = HeaderName::from_bytes(format!("{PARAM_PREFIX}{text}").as_bytes())
        .map_err(|_| BadAnnotation::NotAToken(shown()))?;
    if found.len() >= MOST {
        return Err(BadAnnotation::TooMany);
    }
    if found.iter().any(|other| other.header == header) {
        return Err(BadAnnotation::Duplicate(shown()));
    }
    match schema.get("type").and_then(Raw::string).as_deref() {
        Some("string" | "integer" | "boolean") => {}
        _ => return Err(BadAnnotation::Type(shown())),
    }
    let path = path.iter().map(|key| key.as_str().into()).collect();
    found.push(Param { header, path });
    Ok(())
}
