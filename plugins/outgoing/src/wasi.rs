//! `wasi:http` behind [`send`].

use wasip2::{
    http::{
        outgoing_handler::handle,
        types::{
            ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
            RequestOptions, Scheme,
        },
    },
    io::streams::StreamError,
};

use crate::{Error, Request, Response, parts};

/// The host takes no more at once.
const PIECE: usize = 4096;
const READ: u64 = 64 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let outgoing = prepare(request)?;
    let body = outgoing.body().map_err(|()| failed("no body"))?;
    let options = request.time_out.map(options).transpose()?;
    let coming = handle(outgoing, options).map_err(|code| error(&code))?;
    // Whoever answers before all was sent has a reason, and it stands in the answer.
    let sent = write(&body, request.body.as_deref().unwrap_or_default());
    if sent {
        let _ = OutgoingBody::finish(body, None);
    }
    coming.subscribe().block();
    let response = coming.get().ok_or_else(|| failed("no answer"))?;
    let response = response.map_err(|()| failed("answered twice"))?.map_err(|code| error(&code))?;
    read(&response, request.most)
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
fn write(body: &OutgoingBody, bytes: &[u8]) -> bool {
    let Ok(stream) = body.write() else { return false };
    bytes.chunks(PIECE).all(|piece| stream.blocking_write_and_flush(piece).is_ok())
}

fn read(incoming: &IncomingResponse, most: usize) -> Result<Response, Error> {
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
        match stream.blocking_read(READ) {
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
