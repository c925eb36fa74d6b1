//! One operation of the document: what it takes, from where in a request, and what it gives.

use serde_json::{Map, Value};

use crate::document::{Document, Place};

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Form,
    Simple,
    Label,
    Matrix,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// As JSON text: the parameter has a `content` instead of a `schema`.
    Json,
}

/// A parameter.
#[derive(Debug)]
pub(crate) struct Parameter<'d> {
    /// Its name in the request.
    pub(crate) name: &'d str,
    /// Its name among the tool's arguments.
    pub(crate) argument: String,
    pub(crate) target: Target,
    pub(crate) style: Style,
    pub(crate) explode: bool,
    pub(crate) allow_reserved: bool,
    pub(crate) required: bool,
    pub(crate) description: Option<&'d str>,
    pub(crate) schema: Option<&'d Value>,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Form,
    Text,
}

impl Encoding {
    fn writes(self, media_type: &str) -> bool {
        match self {
            Self::Json => is_json(media_type),
            Self::Form => essence(media_type) == "application/x-www-form-urlencoded",
            Self::Text => essence(media_type).starts_with("text/"),
        }
    }
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Body<'d> {
    pub(crate) argument: &'static str,
    pub(crate) media_type: &'d str,
    pub(crate) encoding: Encoding,
    pub(crate) required: bool,
    pub(crate) description: Option<&'d str>,
    pub(crate) schema: Option<&'d Value>,
}

/// An operation that can be a tool.
#[derive(Debug)]
pub(crate) struct Operation<'d> {
    pub(crate) place: Place<'d>,
    pub(crate) parameters: Vec<Parameter<'d>>,
    pub(crate) body: Option<Body<'d>>,
}

impl<'d> Operation<'d> {
    /// Reads what stands at `place`; the error says why it cannot be a tool.
    pub(crate) fn read(document: &'d Document, place: Place<'d>) -> Result<Self, String> {
        let mut parameters = parameters(document, place)?;
        // What the specification says to ignore: it is said elsewhere.
        let elsewhere = ["accept", "content-type", "authorization"];
        parameters.retain(|one| {
            one.target != Target::Header
                || !elsewhere.contains(&one.name.to_ascii_lowercase().as_str())
        });
        name_arguments(&mut parameters);
        let taken = parameters.iter().any(|one| one.argument == "body");
        let body = body(document, place.operation, if taken { "request_body" } else { "body" })?;
        Ok(Self { place, parameters, body })
    }

    /// A text of the operation.
    pub(crate) fn text(&self, name: &str) -> Option<&'d str> {
        self.place.operation.get(name).and_then(Value::as_str)
    }

    /// The schema of the answer, where every success is one JSON body of it.
    pub(crate) fn answer(&self, document: &'d Document) -> Option<&'d Value> {
        let responses = self.place.operation.get("responses")?.as_object()?;
        let mut successes = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let (_, first) = successes.next()?;
        let schema = |response: &'d Value| {
            let content = document.resolve(response).ok()?.get("content")?.as_object()?;
            let (_, media) = content.iter().find(|(name, _)| is_json(name))?;
            media.get("schema")
        };
        let first = schema(first)?;
        // A second kind of success would not fit the first one's schema.
        successes.all(|(_, other)| schema(other) == Some(first)).then_some(first)
    }

    /// The alternatives of what must be sent along to be let in.
    pub(crate) fn security(&self, document: &'d Document) -> &'d [Value] {
        let own = self.place.operation.get("security");
        own.or_else(|| document.security()).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn parameters<'d>(document: &'d Document, place: Place<'d>) -> Result<Vec<Parameter<'d>>, String> {
    let mut all: Vec<Parameter<'_>> = Vec::new();
    for of in [place.item, place.operation] {
        let list = of.get("parameters").and_then(Value::as_array);
        for one in list.into_iter().flatten() {
            let one = parameter(document.resolve(one)?)?;
            // The operation's own word goes before the path's.
            all.retain(|other| other.name != one.name || other.target != one.target);
            all.push(one);
        }
    }
    Ok(all)
}

fn parameter(value: &Value) -> Result<Parameter<'_>, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let name = text("name").ok_or("a parameter has no name")?;
    let target = match text("in") {
        Some("path") => Target::Path,
        Some("query") => Target::Query,
        Some("header") => Target::Header,
        Some("cookie") => Target::Cookie,
        _ => return Err(format!("parameter `{name}` is in no known place")),
    };
    let content = value.get("content").and_then(Value::as_object).and_then(|all| all.iter().next());
    let style = match (content, text("style")) {
        (Some((media, _)), _) if is_json(media) => Style::Json,
        (Some((media, _)), _) => return Err(format!("parameter `{name}` is {media}")),
        (None, Some("form")) => Style::Form,
        (None, Some("simple")) => Style::Simple,
        (None, Some("label")) => Style::Label,
        (None, Some("matrix")) => Style::Matrix,
        (None, Some("spaceDelimited")) => Style::SpaceDelimited,
        (None, Some("pipeDelimited")) => Style::PipeDelimited,
        (None, Some("deepObject")) => Style::DeepObject,
        (None, Some(other)) => return Err(format!("parameter `{name}` has the style {other}")),
        (None, None) if matches!(target, Target::Path | Target::Header) => Style::Simple,
        (None, None) => Style::Form,
    };
    Ok(Parameter {
        name,
        argument: name.to_owned(),
        target,
        style,
        explode: flag("explode").unwrap_or(style == Style::Form),
        allow_reserved: flag("allowReserved").unwrap_or(false),
        required: target == Target::Path || flag("required").unwrap_or(false),
        description: text("description"),
        schema: match content {
            Some((_, media)) => media.get("schema"),
            None => value.get("schema"),
        },
    })
}

/// A name that stands in two places is told apart by its place.
fn name_arguments(parameters: &mut [Parameter<'_>]) {
    let names: Vec<&str> = parameters.iter().map(|one| one.name).collect();
    for (place, one) in parameters.iter_mut().enumerate() {
        if names.iter().take(place).any(|name| *name == one.name) {
            let target = format!("{:?}", one.target).to_lowercase();
            one.argument = format!("{}_{target}", one.name);
        }
    }
}

fn body<'d>(
    document: &'d Document,
    operation: &'d Map<String, Value>,
    argument: &'static str,
) -> Result<Option<Body<'d>>, String> {
    let Some(body) = operation.get("requestBody") else { return Ok(None) };
    let body = document.resolve(body)?;
    let content =
        body.get("content").and_then(Value::as_object).ok_or("its body has no content")?;
    for encoding in [Encoding::Json, Encoding::Form, Encoding::Text] {
        if let Some((media_type, media)) = content.iter().find(|(name, _)| encoding.writes(name)) {
            return Ok(Some(Body {
                argument,
                media_type,
                encoding,
                required: body.get("required").and_then(Value::as_bool).unwrap_or(false),
                description: body.get("description").and_then(Value::as_str),
                schema: media.get("schema"),
            }));
        }
    }
    let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
    Err(format!("its body is {}", kinds.join(" or ")))
}

/// A media type without its parameters.
pub(crate) fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a media type is JSON.
pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence == "application/json" || essence.ends_with("+json")
}
