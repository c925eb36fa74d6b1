//! One request of a guest: judged by the binding's hosts, completed, sent through the guard.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};
use http_body_util::BodyExt;
use tidegate_wire::client::egress::{Destination, EgressError, Origin, StreamRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::{
    Care, HttpReach,
    body::{BODIES, Budget, Outbound, Pump},
    errors,
};
use crate::{
    capabilities::{
        credential::{
            Keyring,
            mask::{Mask, MaskedStream},
        },
        log::Voice,
    },
    lines::LogLevel,
    state::State,
};

/// Requests that one instance may have under way.
const UNDER_WAY: usize = 8;
/// Bytes of path and query; the same bound as for any URL.
const PATH: usize = 8 << 10;
/// Bytes that a guest may write at once. Two such pieces may wait for a server.
const PIECE: usize = 64 << 10;

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Where a request was meant to go that a stand-in gets; no guest can set it.
const ORIGIN: HeaderName = HeaderName::from_static("tidegate-origin");

type Ending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answered = Result<(http::Response<WasiBody>, Ending), Error>;

/// What one instance sends with.
pub(super) struct Outgoing {
    voice: Arc<Voice>,
    /// The call that the instance serves, with the trace it belongs to.
    call: Option<String>,
    trace_parent: Option<HeaderValue>,
    reach: Option<Arc<HttpReach>>,
    pub(super) keyring: Keyring,
    places: Arc<Semaphore>,
    sent: Budget,
    received: Budget,
}

/// A request that may go out.
struct Ready {
    destination: Destination,
    request: StreamRequest,
    options: Option<RequestOptions>,
    received: Budget,
    mask: Option<Mask>,
    place: OwnedSemaphorePermit,
    /// For the line in the log when the guard refuses.
    voice: Arc<Voice>,
    call: Option<String>,
}

impl Outgoing {
    pub(super) fn new(state: &State) -> Self {
        Self {
            voice: Arc::clone(&state.voice),
            call: state.call.clone(),
            trace_parent: state.trace_parent.as_deref().and_then(|text| text.parse().ok()),
            reach: state.reach.http.clone(),
            keyring: Keyring::new(&state.reach.credentials),
            places: Arc::new(Semaphore::new(UNDER_WAY)),
            sent: Budget::new(BODIES),
            received: Budget::new(BODIES),
        }
    }

    /// Takes over whose call it is: an instance may be made before there is one.
    pub(super) fn serves(&mut self, state: &State) {
        if self.call.is_none() {
            self.call.clone_from(&state.call);
            self.trace_parent = state.trace_parent.as_deref().and_then(|text| text.parse().ok());
        }
    }

    fn judge(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Ready, Error> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Error::ConnectionLimitReached)?;
        let (parts, body) = request.into_parts();
        let (method, mut headers) = (parts.method, parts.headers);
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let (origin, mut path) = target(&parts.uri)?;
        let Some(reach) = self.reach.as_ref().filter(|reach| reach.hosts.allows(&origin)) else {
            let text = format!("asked for `{origin}`, which is none of its hosts");
            return Err(self.denied(&text));
        };
        let carries = self
            .keyring
            .exchange(&origin, &method, &mut headers, &mut path)
            .map_err(|why| self.denied(&format!("its request to `{origin}` is refused: {why}")))?;
        let care = if carries && !origin.is_tls() { Care::Local } else { Care::Usual };
        let destination = reach
            .destination(&origin, care)
            .map_err(|error| told(&self.voice, self.call.as_deref(), &error))?;
        let mask = self.keyring.mask();
        complete(&mut headers, self.trace_parent.as_ref(), mask.is_some());
        if reach.stand_in.is_some()
            && let Ok(text) = HeaderValue::try_from(origin.to_string())
        {
            headers.insert(ORIGIN, text);
        }
        let body = Outbound::new(body, self.sent.clone(), self.keyring.beginning());
        let request = StreamRequest {
            method,
            path,
            headers,
            body: body.boxed_unsync(),
            connect_timeout: options.and_then(|options| options.connect_timeout),
            head_timeout: options.and_then(|options| options.first_byte_timeout),
        };
        let received = self.received.clone();
        let (voice, call) = (Arc::clone(&self.voice), self.call.clone());
        Ok(Ready { destination, request, options, received, mask, place, voice, call })
    }

    /// Writes the reason down for the administrator; the guest gets the code.
    fn denied(&self, why: &str) -> Error {
        self.voice.say(self.call.as_deref(), LogLevel::Warn, why);
        Error::HttpRequestDenied
    }
}

/// An error of the guard; what the administrator can do something about is written down.
fn told(voice: &Voice, call: Option<&str>, error: &EgressError) -> Error {
    if matches!(error, EgressError::Forbidden { .. } | EgressError::Plain(_)) {
        voice.say(call, LogLevel::Warn, &error.to_string());
    }
    errors::code(error)
}

/// Adds what is the host's to add.
fn complete(headers: &mut HeaderMap, trace_parent: Option<&HeaderValue>, is_masked: bool) {
    if let Some(trace_parent) = trace_parent
        && !headers.contains_key(TRACE_PARENT)
    {
        headers.insert(TRACE_PARENT, trace_parent.clone());
    }
    if is_masked {
        // A compressed copy of a secret would not be found.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}

/// Origin, path and query.
fn target(uri: &http::Uri) -> Result<(Origin, PathAndQuery), Error> {
    let invalid = || Error::HttpRequestUriInvalid;
    let scheme = uri.scheme_str().ok_or_else(invalid)?;
    let authority = uri.authority().ok_or_else(invalid)?;
    let (origin, root) =
        Origin::split(&format!("{scheme}://{authority}/")).map_err(|_| invalid())?;
    let path = uri.path_and_query().cloned().unwrap_or(root);
    if path.as_str().len() > PATH {
        return Err(Error::HttpRequestUriTooLong);
    }
    let path = match path.as_str() {
        text if text.starts_with('/') => path,
        text if text.starts_with('?') || text.is_empty() => {
            format!("/{text}").parse().map_err(|_| invalid())?
        }
        _ => return Err(invalid()),
    };
    Ok((origin, path))
}

impl Ready {
    async fn send(self) -> Answered {
        let Self { destination, request, options, received, mask, place, voice, call } = self;
        let reply = destination
            .stream(request)
            .await
            .map_err(|error| told(&voice, call.as_deref(), &error))?;
        let mut headers = reply.headers;
        if let Some(mask) = &mask {
            if let Some(coding) = coded(&headers) {
                return Err(Error::HttpResponseContentCoding(Some(coding)));
            }
            mask.headers(&mut headers);
        }
        let between = options.and_then(|options| options.between_bytes_timeout);
        let mask = mask.map(MaskedStream::new);
        let (pump, body) = Pump::new(reply.body, received, mask, between, place);
        let mut response = http::Response::new(body.boxed_unsync());
        *response.status_mut() = reply.status;
        *response.headers_mut() = headers;
        let ending: Ending = Box::new(async {
            pump.run().await;
            Ok(())
        });
        Ok((response, ending))
    }
}

/// How a body is encoded, where it is.
fn coded(headers: &HeaderMap) -> Option<String> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    let mut codings = codings.iter().map(|coding| String::from_utf8_lossy(coding.as_bytes()));
    codings.find(|coding| !coding.eq_ignore_ascii_case("identity")).map(Into::into)
}

/// Headers that are the connection's or the gateway's.
fn is_forbidden(name: &HeaderName) -> bool {
    const FORBIDDEN: [&str; 9] = [
        "connection",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.as_str();
    FORBIDDEN.contains(&name) || name.starts_with("proxy-") || name.starts_with("tidegate-")
}

impl WasiHttpHooks for Outgoing {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Ending,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        let ready = self.judge(request, options);
        Box::new(async move { ready?.send().await })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_to_add_is_added() {
        let ours = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad-01");
        let theirs = HeaderValue::from_static("theirs");
        let mut headers = HeaderMap::new();
        complete(&mut headers, None, false);
        assert!(headers.is_empty());
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        complete(&mut headers, Some(&ours), true);
        assert_eq!((&headers[TRACE_PARENT], headers.len()), (&ours, 2));
        assert_eq!(headers[header::ACCEPT_ENCODING], "identity");
        headers.insert(TRACE_PARENT, theirs.clone());
        complete(&mut headers, Some(&ours), false);
        assert_eq!(headers[TRACE_PARENT], theirs, "the guest's own is kept");
    }

    #[test]
    fn targets_are_read_strictly() {
        for (uri, expected) in [
            ("https://a.org", Some("https://a.org/")),
            ("https://a.org?x=1", Some("https://a.org/?x=1")),
            ("http://A.org:8080/p/../q?x#f", Some("http://a.org:8080/p/../q?x")),
            ("https://u@a.org/", None),
            ("/only/a/path", None),
        ] {
            let found = target(&uri.parse().unwrap());
            let found = found.map(|(origin, path)| format!("{origin}{path}"));
            assert_eq!(found.ok().as_deref(), expected, "{uri}");
        }
    }
}
