//! Sends requests in every way the host must be ready for, and tells everything it sees. For
//! the host's tests.
//!
//! `@name@` in a header, a path or a body becomes the handle of the credential `name`.

mod http;

use serde::{Deserialize, Serialize};
use tidegate_plugin::{
    Connector, Context, Description, Failure,
    connector::{arguments, structured},
    host,
};
use wasip2::http::types::{Fields, Method, Scheme};

use http::{Exchange, Written};

struct Sample;

#[derive(Deserialize)]
#[serde(default)]
struct Fetch {
    method: String,
    scheme: String,
    authority: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            scheme: "http".into(),
            authority: String::new(),
            path: "/".into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Place {
    authority: String,
}

#[derive(Deserialize)]
struct Many {
    authority: String,
    count: usize,
    /// How many of them end while the others go on.
    refused: usize,
}

#[derive(Deserialize)]
struct Headers {
    count: usize,
    size: usize,
}

#[derive(Serialize)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Handles in place of `@name@`.
fn with_handles(text: &str) -> Result<String, String> {
    let mut whole = String::new();
    for (at, part) in text.split('@').enumerate() {
        if at % 2 == 0 {
            whole.push_str(part);
        } else {
            let handle = host::credential_handle(part).map_err(|error| format!("{error:?}"))?;
            whole.push_str(&handle);
        }
    }
    Ok(whole)
}

fn fetch(fetch: &Fetch) -> Result<Seen, String> {
    let headers = fetch
        .headers
        .iter()
        .map(|(name, value)| Ok((with_handles(name)?, with_handles(value)?.into_bytes())));
    let headers = headers.collect::<Result<Vec<_>, String>>()?;
    let method = match fetch.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match fetch.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let mut exchange =
        Exchange::new(&method, &scheme, &fetch.authority, &with_handles(&fetch.path)?, &headers)?;
    let body = with_handles(&fetch.body)?;
    if !body.is_empty() {
        let written = exchange.write()?;
        exchange.send()?;
        // A host that refuses the body closes it; the answer says why.
        let _ = written.write(body.as_bytes());
        let _ = written.finish();
    } else {
        exchange.send()?;
    }
    exchange.answer()
}

/// Takes the first piece, tells the server about it, and only then takes the rest.
fn relay(place: &Place) -> Result<String, String> {
    let get = |path: &str| Exchange::get(&place.authority, path);
    let mut streamed = get("/stream")?.begin()?;
    let first = streamed.piece()?.unwrap_or_default();
    let told = get(&format!("/seen?{}", String::from_utf8_lossy(&first)))?.answer()?;
    let mut whole = first;
    while let Some(piece) = streamed.piece()? {
        whole.extend(piece);
    }
    Ok(format!("{} {}", told.status, String::from_utf8_lossy(&whole)))
}

/// Writes a piece, waits until the server has it, and only then writes the rest.
fn upload(place: &Place) -> Result<Seen, String> {
    let mut exchange =
        Exchange::new(&Method::Post, &Scheme::Http, &place.authority, "/upload", &[])?;
    let written: Written = exchange.write()?;
    exchange.send()?;
    written.write(b"first")?;
    Exchange::get(&place.authority, "/seen?first")?.answer()?;
    written.write(b"second")?;
    written.finish()?;
    exchange.answer()
}

/// Begins a number of requests at once and tells how those ended that do not go on.
fn many(many: &Many) -> Result<Vec<String>, String> {
    let begun: Vec<_> = (0..many.count)
        .map(|_| Exchange::get(&many.authority, "/hang"))
        .collect::<Result<_, _>>()?;
    Ok(http::ended(begun, many.refused))
}

/// Puts headers together; tells how many were taken before one was refused.
fn headers(headers: &Headers) -> Result<usize, String> {
    let fields = Fields::new();
    for at in 0..headers.count {
        fields
            .append(&format!("x-{at}"), &vec![b'x'; headers.size])
            .map_err(|error| format!("{at}: {error:?}"))?;
    }
    Ok(headers.count)
}

/// The number of header values that could be read.
fn calls_without_end() -> usize {
    let fields = Fields::new();
    (0..u32::MAX).filter(|_| fields.has("x")).count()
}

impl Connector for Sample {
    fn configure(_config: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn describe(&self) -> Description {
        Description { title: "HTTP sample".into(), version: "0.1.0".into(), instructions: None }
    }

    fn call(&self, context: &Context, given: &str) -> Result<String, Failure> {
        let failed = Failure::Failed;
        match context.target.as_str() {
            "fetch" => structured(&fetch(&arguments(given)?).map_err(failed)?),
            "relay" => structured(&relay(&arguments(given)?).map_err(failed)?),
            "upload" => structured(&upload(&arguments(given)?).map_err(failed)?),
            "many" => structured(&many(&arguments(given)?).map_err(failed)?),
            "headers" => structured(&headers(&arguments(given)?).map_err(failed)?),
            "calls" => structured(&calls_without_end()),
            _ => Err(Failure::Unknown),
        }
    }
}

tidegate_plugin::export!(connector Sample);
