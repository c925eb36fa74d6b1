//! A web browser without a screen and without scripts.
//!
//! Owns what a browser adds to HTTP: cookies, redirects, forms, and the headers that say where
//! a request comes from. It keeps to `SameSite`, to `form-action` and to the referrer policy as
//! Chromium does, so that a page which works here works there. Knows nothing of the gateway.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header::HeaderMap};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use url::Url;

pub(crate) use self::{html::Form, jar::Cookie};
use self::{jar::Jar, origin::Step};
use super::patiently;

mod html;
mod jar;
mod origin;

/// More redirects in a row are a loop.
const REDIRECTS: usize = 20;

/// Somebody's browser.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    jar: Mutex<Jar>,
    trusted: Vec<CertificateDer<'static>>,
    stops: Vec<String>,
    requests: AtomicUsize,
}

/// What is in the window.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// What the address bar says.
    pub(crate) url: Url,
    /// The status it came with; `None` where the browser was sent to a place that it
    /// [stops at](Browser::stop_at), which was not asked for anything.
    pub(crate) status: Option<StatusCode>,
    /// The headers it came with.
    pub(crate) headers: HeaderMap,
    /// The text of it.
    pub(crate) body: String,
}

/// Something to ask for.
struct Navigation {
    method: Method,
    url: Url,
    body: Option<String>,
}

impl Browser {
    /// A new one, without any cookies.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes a server's certificate for good.
    pub(crate) fn trust(mut self, certificate: CertificateDer<'static>) -> Self {
        self.trusted.push(certificate);
        self
    }

    /// Does not ask for URLs that begin with this: it is where a client waits for an answer.
    pub(crate) fn stop_at(mut self, prefix: &str) -> Self {
        self.stops.push(prefix.to_owned());
        self
    }

    /// The cookies of a host.
    pub(crate) fn cookies(&self, host: &str) -> Vec<Cookie> {
        self.jar.lock().unwrap().of(host)
    }

    /// Puts a cookie there, as somebody else's browser or an attacker may have it.
    pub(crate) fn plant(&self, cookie: Cookie) {
        self.jar.lock().unwrap().put(cookie);
    }

    /// Forgets all cookies.
    pub(crate) fn clear(&self) {
        *self.jar.lock().unwrap() = Jar::default();
    }

    /// How many requests it has sent.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Types a URL, and follows wherever that leads.
    pub(crate) async fn open(&self, url: &str) -> Page {
        self.navigate(Navigation::to(url), None).await
    }

    /// Types a URL, and stays where the first answer is.
    pub(crate) async fn look(&self, url: &str) -> Page {
        let url = url.parse().unwrap_or_else(|error| panic!("`{url}`: {error}"));
        let mut step = Step::typed(&url);
        self.exchange(&Navigation { method: Method::GET, url, body: None }, &mut step).await
    }

    /// Sends a form of a page, and follows wherever that leads.
    pub(crate) async fn submit(&self, page: &Page, form: &Form) -> Page {
        let mut url = page.url.join(&form.action).unwrap();
        let fields = form.encoded();
        if form.method == Method::GET {
            url.set_query(Some(&fields));
            return self.navigate(Navigation::to(url.as_str()), Some(page)).await;
        }
        self.navigate(Navigation { method: Method::POST, url, body: Some(fields) }, Some(page))
            .await
    }

    async fn navigate(&self, mut next: Navigation, from: Option<&Page>) -> Page {
        let mut from = from.cloned();
        let start = |from: &Option<Page>, url: &Url| {
            from.as_ref().map_or_else(|| Step::typed(url), |page| page.step(url))
        };
        let mut step = start(&from, &next.url);
        let mut is_form = next.method == Method::POST;
        for _ in 0..REDIRECTS {
            if is_form && let Some(page) = &from {
                page.allows_form(&next.url);
            }
            if self.stops.iter().any(|stop| next.url.as_str().starts_with(stop)) {
                let (headers, body) = (HeaderMap::new(), String::new());
                return Page { url: next.url, status: None, headers, body };
            }
            let page = self.exchange(&next, &mut step).await;
            if let Some(location) = page.location() {
                let keeps = matches!(page.status(), 307 | 308);
                let (method, body) =
                    if keeps { (next.method, next.body) } else { (Method::GET, None) };
                next = Navigation { method, url: location, body };
            } else if let Some(url) = page.refresh() {
                next = Navigation { method: Method::GET, url, body: None };
                from = Some(page);
                step = start(&from, &next.url);
                is_form = false;
            } else {
                return page;
            }
        }
        panic!("redirected {REDIRECTS} times, at last to {}", next.url);
    }

    async fn exchange(&self, next: &Navigation, step: &mut Step) -> Page {
        step.to(&next.url);
        let body = next.body.clone().unwrap_or_default();
        let mut request = Request::builder().method(&next.method).uri(target(&next.url));
        let headers = request.headers_mut().unwrap();
        let mut set = |name: &'static str, value: &str| {
            headers.insert(name, value.parse().unwrap());
        };
        set("host", &authority(&next.url));
        set("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        set("accept-language", "en-GB,en;q=0.9");
        set("user-agent", "Mozilla/5.0 (X11; Linux x86_64) tidegate-tests");
        set("upgrade-insecure-requests", "1");
        for (name, value) in step.headers(&next.method) {
            set(name, &value);
        }
        if next.body.is_some() {
            set("content-type", "application/x-www-form-urlencoded");
        }
        let is_safe = next.method == Method::GET;
        let cookies = self.jar.lock().unwrap().header(&next.url, step.site(), is_safe);
        if let Some(cookies) = cookies {
            set("cookie", &cookies);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (status, headers, body) =
            patiently(next.url.as_str(), self.send(&next.url, request)).await;
        let mut jar = self.jar.lock().unwrap();
        for line in headers.get_all("set-cookie") {
            jar.set(&next.url, line.to_str().unwrap());
        }
        Page { url: next.url.clone(), status: Some(status), headers, body }
    }

    async fn send(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> (StatusCode, HeaderMap, String) {
        let host = url.host_str().unwrap();
        let port = url.port_or_known_default().unwrap();
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        let stream = stream.unwrap_or_else(|error| panic!("{url}: {error}"));
        let response = if url.scheme() == "https" {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).unwrap();
            let stream = self.tls().connect(name, stream).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (parts, body) = response.unwrap_or_else(|error| panic!("{url}: {error}")).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    fn tls(&self) -> tokio_rustls::TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in &self.trusted {
            roots.add(certificate.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(client).into()
    }
}

impl Navigation {
    fn to(url: &str) -> Self {
        let url = url.parse().unwrap_or_else(|error| panic!("`{url}`: {error}"));
        Self { method: Method::GET, url, body: None }
    }
}

impl Page {
    /// Its status; fails the test where the browser stopped before it asked.
    pub(crate) fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| panic!("{} was not asked for", self.url)).as_u16()
    }

    /// The value of a header, empty where it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it redirects to.
    pub(crate) fn location(&self) -> Option<Url> {
        let is_redirect = self.status.is_some_and(|status| status.is_redirection());
        let location = self.headers.get("location").filter(|_| is_redirect)?;
        Some(self.url.join(location.to_str().unwrap()).unwrap())
    }

    /// Where it goes on to by itself.
    pub(crate) fn refresh(&self) -> Option<Url> {
        let target = html::refresh(&self.body)?;
        Some(self.url.join(&target).unwrap_or_else(|error| panic!("`{target}`: {error}")))
    }

    /// A parameter in its URL, once decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.url.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// What people can read on it.
    pub(crate) fn text(&self) -> String {
        html::text(&self.body)
    }

    /// Its forms, in their order.
    pub(crate) fn forms(&self) -> Vec<Form> {
        html::forms(&self.body)
    }

    /// The form with a button that says this, as that button sends it.
    pub(crate) fn form(&self, button: &str) -> Form {
        let found = self.forms().into_iter().find_map(|form| form.pressed(button));
        found.unwrap_or_else(|| panic!("no button `{button}` on {}:\n{}", self.url, self.body))
    }

    /// The first of a page's directives of this name in its policy (`Content-Security-Policy`).
    pub(crate) fn policy(&self, directive: &str) -> Option<Vec<String>> {
        let all = self.headers.get_all("content-security-policy").iter();
        all.flat_map(|line| line.to_str().unwrap().split(';')).find_map(|part| {
            let mut words = part.split_ascii_whitespace();
            (words.next()? == directive).then(|| words.map(str::to_owned).collect())
        })
    }

    fn step(&self, next: &Url) -> Step {
        Step::from(&self.url, self.header("referrer-policy"), next)
    }

    /// Fails the test where the page's policy keeps its forms from being sent there.
    fn allows_form(&self, target: &Url) {
        let Some(sources) = self.policy("form-action") else { return };
        let allowed = sources.iter().any(|source| origin::matches(source, &self.url, target));
        assert!(allowed, "{} may not send a form to {target}: {sources:?}", self.url);
    }
}

/// What stands in the request line.
fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
