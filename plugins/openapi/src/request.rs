//! A call as an HTTP request.
//!
//! What an argument may change is its own place in the request and nothing else: a path keeps
//! its segments, a header its line.

use outgoing::Request;
use serde_json::{Map, Value};
use tidegate_plugin::{
    Failure,
    host::{self, CredentialError},
};

use crate::{
    operation::{Body, Encoding, Operation, Parameter, Target},
    settings::Settings,
    style::{Escape, escaped, inline, pairs, plain},
};

const ACCEPT: &str = "application/json, */*;q=0.5";

/// The request that a call of `operation` comes to.
pub(crate) fn request(
    settings: &Settings,
    operation: &Operation<'_>,
    arguments: &Map<String, Value>,
) -> Result<Request, Failure> {
    let mut parts = Parts { path: operation.place.path.to_owned(), ..Parts::default() };
    parts.headers.push(("accept".to_owned(), ACCEPT.to_owned()));
    for (name, value) in &settings.headers {
        parts.headers.push((name.to_ascii_lowercase(), value.clone()));
    }
    check_names(operation, arguments)?;
    for parameter in &operation.parameters {
        match arguments.get(&parameter.argument) {
            Some(value) => parts.put(parameter, value)?,
            None if parameter.required => return Err(missing(&parameter.argument)),
            None => {}
        }
    }
    if parts.path.contains(['{', '}']) {
        return Err(Failure::Failed("The path has a place that no parameter fills.".to_owned()));
    }
    if climbs(&parts.path) {
        return Err(Failure::InvalidArguments(
            "a part of the path would be `.` or `..`".to_owned(),
        ));
    }
    let body = match &operation.body {
        Some(body) => parts.body(body, arguments.get(body.argument))?,
        None => None,
    };
    parts.authorize(settings, operation)?;
    Ok(parts.finish(settings, operation, body))
}

/// Whether a part of the path is `.` or `..`, which would leave the place that the document
/// names. Servers that undo escapes before they split see more parts, with slashes either way.
fn climbs(path: &str) -> bool {
    let mut read = path.to_ascii_lowercase();
    // A value is escaped once, and may hold escapes itself.
    let escapes = [("%25", "%"), ("%25", "%"), ("%2e", "."), ("%2f", "/"), ("%5c", "/")];
    // Some servers cut a part at its semicolon.
    for (escape, stands_for) in escapes.into_iter().chain([("%3b", ";"), ("\\", "/")]) {
        read = read.replace(escape, stands_for);
    }
    read.split('/').any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

fn check_names(operation: &Operation<'_>, arguments: &Map<String, Value>) -> Result<(), Failure> {
    let known = |name: &String| {
        operation.parameters.iter().any(|one| one.argument == *name)
            || operation.body.as_ref().is_some_and(|body| body.argument == name)
    };
    match arguments.keys().find(|name| !known(name)) {
        Some(name) => Err(Failure::InvalidArguments(format!("there is no argument `{name}`"))),
        None => Ok(()),
    }
}

fn missing(name: &str) -> Failure {
    Failure::InvalidArguments(format!("`{name}` is missing"))
}

/// What a request is put together from.
#[derive(Default)]
struct Parts {
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
}

impl Parts {
    fn put(&mut self, parameter: &Parameter<'_>, value: &Value) -> Result<(), Failure> {
        let wrong =
            |text: &str| Failure::InvalidArguments(format!("`{}` {text}", parameter.argument));
        match parameter.target {
            Target::Path => {
                let text = inline(parameter, value, Escape::Strict);
                if plain(value).is_empty() {
                    return Err(wrong("must not be empty"));
                }
                self.path = self.path.replace(&format!("{{{}}}", parameter.name), &text);
            }
            Target::Query => self.query.extend(pairs(parameter, value)),
            Target::Header => {
                let text = inline(parameter, value, Escape::None);
                if text.chars().any(char::is_control) {
                    return Err(wrong("must not hold line ends or other control characters"));
                }
                self.headers.push((parameter.name.to_ascii_lowercase(), text));
            }
            Target::Cookie => self.cookies.extend(pairs(parameter, value)),
        }
        Ok(())
    }

    fn body(&mut self, body: &Body<'_>, value: Option<&Value>) -> Result<Option<Vec<u8>>, Failure> {
        let Some(value) = value else {
            return if body.required { Err(missing(body.argument)) } else { Ok(None) };
        };
        let text = match body.encoding {
            Encoding::Json => value.to_string(),
            Encoding::Form => form(value).ok_or_else(|| {
                Failure::InvalidArguments(format!("`{}` must be an object", body.argument))
            })?,
            Encoding::Text => plain(value),
        };
        self.headers.push(("content-type".to_owned(), body.media_type.to_owned()));
        Ok(Some(text.into_bytes()))
    }

    /// Adds what lets the request in: handles, which the host exchanges for secrets.
    fn authorize(&mut self, settings: &Settings, operation: &Operation<'_>) -> Result<(), Failure> {
        let alternatives = operation.security(&settings.document);
        let schemes = |one: &Value| -> Vec<String> {
            one.as_object().into_iter().flat_map(Map::keys).cloned().collect()
        };
        let mapped =
            |names: &Vec<String>| names.iter().all(|name| settings.auth.contains_key(name));
        let all: Vec<Vec<String>> = alternatives.iter().map(schemes).collect();
        // Whoever has a credential uses it, even where it could go without.
        let chosen = all.iter().find(|names| !names.is_empty() && mapped(names));
        let Some(names) = chosen.or_else(|| all.iter().find(|names| names.is_empty())) else {
            if all.is_empty() {
                return Ok(());
            }
            let asked: Vec<String> = all.iter().map(|names| names.join(" and ")).collect();
            return Err(Failure::Failed(format!(
                "This needs a credential for {}. Tell your administrator to name one under `auth`.",
                asked.join(" or ")
            )));
        };
        names.iter().try_for_each(|name| self.attach(settings, name))
    }

    fn attach(&mut self, settings: &Settings, scheme: &str) -> Result<(), Failure> {
        let credential = settings.auth.get(scheme).map_or("", String::as_str);
        let handle = host::credential_handle(credential).map_err(|error| {
            let why = match error {
                CredentialError::Unknown => "is not given to this connector",
                CredentialError::Unavailable => "cannot be had now",
            };
            Failure::Failed(format!(
                "The credential `{credential}` {why}. Tell your administrator."
            ))
        })?;
        let definition = settings.document.security_scheme(scheme);
        let text = |name: &str| {
            definition.and_then(|one| one.get(name)).and_then(Value::as_str).unwrap_or_default()
        };
        let (kind, place, name) = (text("type"), text("in"), text("name"));
        match (kind, place) {
            ("apiKey", "header") => self.headers.push((name.to_ascii_lowercase(), handle)),
            ("apiKey", "query") => self.query.push((escaped(name, Escape::Strict), handle)),
            ("apiKey", "cookie") => self.cookies.push((escaped(name, Escape::Strict), handle)),
            // The secret is what stands behind `Basic`: base64 of `user:password`.
            ("http", _) if text("scheme").eq_ignore_ascii_case("basic") => {
                self.authorization(&format!("Basic {handle}"));
            }
            ("http", _) if !text("scheme").eq_ignore_ascii_case("bearer") => {
                let other = text("scheme");
                return Err(Failure::Failed(format!("The scheme `{other}` is not supported.")));
            }
            ("http" | "oauth2" | "openIdConnect", _) => {
                self.authorization(&format!("Bearer {handle}"));
            }
            _ => return Err(Failure::Failed(format!("`{scheme}` is of an unknown kind."))),
        }
        Ok(())
    }

    fn authorization(&mut self, value: &str) {
        self.headers.push(("authorization".to_owned(), value.to_owned()));
    }

    fn finish(
        mut self,
        settings: &Settings,
        operation: &Operation<'_>,
        body: Option<Vec<u8>>,
    ) -> Request {
        let join = |pairs: &[(String, String)], between: &str| {
            pairs
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(between)
        };
        if !self.cookies.is_empty() {
            self.headers.push(("cookie".to_owned(), join(&self.cookies, "; ")));
        }
        let mut url = format!("{}{}", settings.server, self.path);
        if !self.query.is_empty() {
            url.push('?');
            url.push_str(&join(&self.query, "&"));
        }
        Request {
            method: operation.place.method.to_uppercase(),
            url,
            headers: self.headers,
            body,
            most: settings.most,
            time_out: settings.time_out,
            within: None,
        }
    }
}

/// An object as a form; lists repeat their name, what is nested is JSON.
fn form(value: &Value) -> Option<String> {
    let mut pairs = Vec::new();
    for (name, value) in value.as_object()? {
        let name = escaped(name, Escape::Strict);
        let mut push = |value: &Value| {
            pairs.push(format!("{name}={}", escaped(&plain(value), Escape::Strict)));
        };
        match value {
            Value::Array(all) => all.iter().for_each(&mut push),
            one => push(one),
        }
    }
    Some(pairs.join("&"))
}
