//! An OpenAPI 3.0 or 3.1 document: its parts by reference, its operations, its server.
//!
//! Only references within the document are followed. Knows nothing of tools or requests.

use serde_json::{Map, Value};

/// So many references may lead from one to the next.
const LONGEST_CHAIN: usize = 16;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The document.
#[derive(Debug)]
pub(crate) struct Document {
    root: Value,
}

/// One operation and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'d> {
    pub(crate) path: &'d str,
    /// In lower case.
    pub(crate) method: &'static str,
    pub(crate) item: &'d Map<String, Value>,
    pub(crate) operation: &'d Map<String, Value>,
}

impl Document {
    /// Takes the document as an object or as its JSON text.
    pub(crate) fn read(given: Value) -> Result<Self, String> {
        let root = match given {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| format!("`document` is no JSON (YAML is not read): {error}"))?,
            other => other,
        };
        let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
        if !version.starts_with("3.") {
            return Err(
                "`document` is no OpenAPI 3 document: it has no `openapi` of 3.x".to_owned()
            );
        }
        Ok(Self { root })
    }

    /// A text of the `info` object.
    pub(crate) fn info(&self, name: &str) -> Option<&str> {
        self.root.get("info")?.get(name)?.as_str()
    }

    /// The security that holds where an operation names none.
    pub(crate) fn security(&self) -> Option<&Value> {
        self.root.get("security")
    }

    /// The definition of a security scheme.
    pub(crate) fn security_scheme(&self, name: &str) -> Option<&Value> {
        let scheme = self.root.get("components")?.get("securitySchemes")?.get(name)?;
        self.resolve(scheme).ok()
    }

    /// The first server, with the defaults of its variables.
    pub(crate) fn server(&self) -> Option<String> {
        let server = self.root.get("servers")?.get(0)?;
        let mut url = server.get("url")?.as_str()?.to_owned();
        let variables = server.get("variables").and_then(Value::as_object);
        for (name, variable) in variables.into_iter().flatten() {
            let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), default);
        }
        Some(url)
    }

    /// Every operation, by path and method.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Place<'_>> {
        let paths = self.root.get("paths").and_then(Value::as_object).into_iter().flatten();
        paths.flat_map(move |(path, item)| {
            let item = self.resolve(item).ok().and_then(Value::as_object);
            item.into_iter().flat_map(move |item| {
                METHODS.into_iter().filter_map(move |method| {
                    let operation = item.get(method)?.as_object()?;
                    Some(Place { path, method, item, operation })
                })
            })
        })
    }

    /// What `value` refers to, or itself.
    pub(crate) fn resolve<'d>(&'d self, value: &'d Value) -> Result<&'d Value, String> {
        let mut value = value;
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Ok(value);
            };
            value = self.at(reference)?;
        }
        Err("a reference leads in circles".to_owned())
    }

    /// What stands at a reference.
    pub(crate) fn at(&self, reference: &str) -> Result<&Value, String> {
        let pointer = reference
            .strip_prefix('#')
            .ok_or_else(|| format!("`{reference}` leads out of the document"))?;
        self.root
            .pointer(&decoded(pointer))
            .ok_or_else(|| format!("`{reference}` leads to nothing"))
    }
}

/// A fragment without its percent-escapes.
fn decoded(fragment: &str) -> String {
    let mut out = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let digit = |byte: &u8| (*byte as char).to_digit(16).and_then(|it| u8::try_from(it).ok());
        if *byte == b'%'
            && let [high, low, after @ ..] = after
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
