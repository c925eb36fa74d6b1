//! `wasi:http` in the few steps that the tests need, none of which hides an error.

use wasip2::{
    http::{
        outgoing_handler,
        types::{
            Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
            OutgoingRequest, Scheme,
        },
    },
    io::{
        poll,
        streams::{InputStream, OutputStream, StreamError},
    },
};

use crate::Seen;

/// A request, and what becomes of it.
pub(crate) struct Exchange {
    request: Option<OutgoingRequest>,
    answer: Option<FutureIncomingResponse>,
}

/// A request's body while it is written.
pub(crate) struct Written {
    stream: OutputStream,
    body: OutgoingBody,
}

/// An answer that is read piece by piece.
pub(crate) struct Streamed {
    stream: InputStream,
    _body: IncomingBody,
    response: IncomingResponse,
}

fn shown(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl Exchange {
    pub(crate) fn new(
        method: &Method,
        scheme: &Scheme,
        authority: &str,
        path: &str,
        headers: &[(String, Vec<u8>)],
    ) -> Result<Self, String> {
        let request = OutgoingRequest::new(Fields::from_list(headers).map_err(shown)?);
        request.set_method(method).map_err(|()| "method")?;
        request.set_scheme(Some(scheme)).map_err(|()| "scheme")?;
        request.set_authority(Some(authority)).map_err(|()| "authority")?;
        request.set_path_with_query(Some(path)).map_err(|()| "path")?;
        Ok(Self { request: Some(request), answer: None })
    }

    /// A GET that is on its way.
    pub(crate) fn get(authority: &str, path: &str) -> Result<Self, String> {
        let mut exchange = Self::new(&Method::Get, &Scheme::Http, authority, path, &[])?;
        exchange.send()?;
        Ok(exchange)
    }

    /// The body; before [`Exchange::send`].
    pub(crate) fn write(&self) -> Result<Written, String> {
        let request = self.request.as_ref().ok_or("it is on its way")?;
        let body = request.body().map_err(|()| "body")?;
        let stream = body.write().map_err(|()| "stream")?;
        Ok(Written { stream, body })
    }

    pub(crate) fn send(&mut self) -> Result<(), String> {
        let request = self.request.take().ok_or("it is on its way")?;
        self.answer = Some(outgoing_handler::handle(request, None).map_err(shown)?);
        Ok(())
    }

    /// Waits for the head.
    pub(crate) fn begin(self) -> Result<Streamed, String> {
        let answer = self.answer.ok_or("it was not sent")?;
        answer.subscribe().block();
        let response = answer.get().ok_or("not ready")?.map_err(|()| "taken")?.map_err(shown)?;
        let body = response.consume().map_err(|()| "consumed")?;
        let stream = body.stream().map_err(|()| "streamed")?;
        Ok(Streamed { stream, _body: body, response })
    }

    /// The whole answer.
    pub(crate) fn answer(self) -> Result<Seen, String> {
        let mut streamed = self.begin()?;
        let mut body = Vec::new();
        while let Some(piece) = streamed.piece()? {
            body.extend(piece);
        }
        let headers = streamed.response.headers().entries().into_iter();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Seen {
            status: streamed.response.status(),
            headers: headers.map(|(name, value)| (name, text(value))).collect(),
            body: text(body),
        })
    }
}

impl Written {
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(4096));
            self.stream.blocking_write_and_flush(now).map_err(shown)?;
            bytes = later;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), String> {
        drop(self.stream);
        OutgoingBody::finish(self.body, None).map_err(shown)
    }
}

impl Streamed {
    /// What has come; `None` at the end.
    pub(crate) fn piece(&mut self) -> Result<Option<Vec<u8>>, String> {
        match self.stream.blocking_read(64 << 10) {
            Ok(piece) => Ok(Some(piece)),
            Err(StreamError::Closed) => Ok(None),
            Err(StreamError::LastOperationFailed(error)) => {
                match wasip2::http::types::http_error_code(&error) {
                    Some(code) => Err(shown(code)),
                    None => Err(error.to_debug_string()),
                }
            }
        }
    }
}

/// Waits until `count` of the exchanges have ended, and tells how.
pub(crate) fn ended(begun: Vec<Exchange>, count: usize) -> Vec<String> {
    let mut waiting: Vec<_> = begun.into_iter().filter_map(|exchange| exchange.answer).collect();
    let mut ended = Vec::new();
    while ended.len() < count && !waiting.is_empty() {
        let pollables: Vec<_> = waiting.iter().map(FutureIncomingResponse::subscribe).collect();
        let ready = poll::poll(&pollables.iter().collect::<Vec<_>>());
        drop(pollables);
        for at in ready.into_iter().rev() {
            let answer = waiting.remove(at as usize);
            ended.push(match answer.get() {
                Some(Ok(Ok(response))) => response.status().to_string(),
                Some(Ok(Err(code))) => shown(code),
                other => shown(other.is_some()),
            });
        }
    }
    ended
}
