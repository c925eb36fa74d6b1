//! `wasi:http` behind [`send`].

use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    http::{
        outgoing_handler::handle,
        types::{
            ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
            RequestOptions, Scheme,
        },
    },
    io::{
        poll::{Pollable, poll},
        streams::StreamError,
    },
};

use crate::{Error, Request, Response, parts};

/// The host takes no more at once.
const PIECE: usize = 4096;
const READ: u64 = 64 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let outgoing = prepare(request)?;
    let body = outgoing.body().map_err(|()| failed("no body"))?;
    let options = request.time_out.map(options).transpose()?;
    let within = request.within.map(Within::begin);
    let coming = handle(outgoing, options).map_err(|code| error(&code))?;
    // Whoever answers before all was sent has a reason, and it stands in the answer.
    let sent = write(&body, request.body.as_deref().unwrap_or_default(), within.as_ref())?;
    if sent {
        let _ = OutgoingBody::finish(body, None);
    }
    wait(&coming.subscribe(), within.as_ref())?;
    let response = coming.get().ok_or_else(|| failed("no answer"))?;
    let response = response.map_err(|()| failed("answered twice"))?.map_err(|code| error(&code))?;
    read(&response, request.most, within.as_ref())
}

/// The time that the whole exchange has.
struct Within(Pollable);

impl Within {
    fn begin(milliseconds: u32) -> Self {
        Self(subscribe_duration(u64::from(milliseconds) * 1_000_000))
    }
}

/// Waits until `ready`, or until the time is over.
fn wait(ready: &Pollable, within: Option<&Within>) -> Result<(), Error> {
    let Some(Within(end)) = within else {
        ready.block();
        return Ok(());
    };
    // The end goes first: whoever has always one more byte to read must not go on for ever.
    if poll(&[end, ready]).contains(&0) { Err(Error::TimedOut) } else { Ok(()) }
}

fn prepare(request: &Request) -> Result<OutgoingRequest, Error> {
    let (scheme, authority, path) = parts(&request.url).ok_or(Error::Url)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(Error::Url),
    };
    let headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let fields = Fields::from_list(&headers).map_err(|error| failed(&format!("{error:?}")))?;
    let outgoing = OutgoingRequest::new(fields);
    // A path without a slash in front of its query would be none.
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    outgoing
        .set_method(&method(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)))
        .map_err(|()| Error::Url)?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(milliseconds: u32) -> Result<RequestOptions, Error> {
    let options = RequestOptions::new();
    let nanoseconds = Some(u64::from(milliseconds) * 1_000_000);
    options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds))
        .map_err(|()| failed("no time-outs"))?;
    Ok(options)
}

/// Whether all of it went out.
fn write(body: &OutgoingBody, bytes: &[u8], within: Option<&Within>) -> Result<bool, Error> {
    let Ok(stream) = body.write() else { return Ok(false) };
    let writable = || loop {
        match stream.check_write() {
            Ok(0) => wait(&stream.subscribe(), within)?,
            Ok(room) => return Ok(Some(usize::try_from(room).unwrap_or(PIECE).min(PIECE))),
            Err(_) => return Ok(None),
        }
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(room) = writable()? else { return Ok(false) };
        let (piece, more) = rest.split_at(room.min(rest.len()));
        if stream.write(piece).is_err() {
            return Ok(false);
        }
        rest = more;
    }
    if stream.flush().is_err() {
        return Ok(false);
    }
    Ok(writable()?.is_some())
}

fn read(
    incoming: &IncomingResponse,
    most: usize,
    within: Option<&Within>,
) -> Result<Response, Error> {
    let headers = incoming
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| {
            (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned())
        })
        .collect();
    let mut response = Response { status: incoming.status(), headers, body: Vec::new() };
    let body = incoming.consume().map_err(|()| failed("no body"))?;
    let stream = body.stream().map_err(|()| failed("no body"))?;
    loop {
        wait(&stream.subscribe(), within)?;
        match stream.read(READ) {
            Ok(piece) if response.body.len() + piece.len() > most => return Err(Error::TooLarge),
            Ok(piece) => response.body.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(response),
            Err(StreamError::LastOperationFailed(_)) => {
                return Err(failed("the answer broke off"));
            }
        }
    }
}

fn failed(why: &str) -> Error {
    Error::Failed(why.to_owned())
}

fn error(code: &ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied,
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::DnsTimeout
        | ErrorCode::HttpResponseTimeout => Error::TimedOut,
        other => Error::Failed(format!("{other:?}")),
    }
}
