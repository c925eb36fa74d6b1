//! The network on the stand: a server on loopback that answers as it was recorded.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tidegate_wasm::capabilities::http::Hosts;
use tidegate_wire::client::egress::Origin;
use tokio::{net::TcpListener, task::JoinHandle};

use super::file::Exchange;

/// Bytes of a request that are kept.
const BODY: usize = 8 << 20;

/// A request as it came.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Where it was meant to go.
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// Whether the case has an exchange for it.
    #[serde(skip)]
    pub(crate) known: bool,
}

impl Asked {
    /// Whether it is the request of this method and URL.
    pub(super) fn is(&self, method: &str, url: &str) -> bool {
        self.method == method && normal(url).is_ok_and(|url| url == self.url)
    }
}

#[derive(Debug, Default)]
struct Book {
    waiting: Vec<Exchange>,
    asked: Vec<Asked>,
}

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Web {
    pub(super) address: SocketAddr,
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    pub(super) async fn start(exchanges: &[Exchange]) -> anyhow::Result<Self> {
        for exchange in exchanges {
            normal(&exchange.request.url)?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let book = Book { waiting: exchanges.to_vec(), asked: Vec::new() };
        let book = Arc::new(Mutex::new(book));
        let task = tokio::spawn(serve(listener, Arc::clone(&book)));
        Ok(Self { address, book, task })
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        lock(&self.book).asked.clone()
    }
}

/// The hosts that the exchanges name.
pub(super) fn hosts(exchanges: &[Exchange]) -> anyhow::Result<Hosts> {
    let authority = |exchange: &Exchange| {
        let url: http::Uri = exchange.request.url.parse().ok()?;
        Some(url.authority()?.to_string())
    };
    let named: Option<Vec<String>> = exchanges.iter().map(authority).collect();
    Hosts::parse(named.context("`http`: a `url` is none")?).context("`http`")
}

/// A URL in the one form in which URLs are compared.
fn normal(url: &str) -> anyhow::Result<String> {
    let (origin, path) = Origin::split(url).with_context(|| format!("`{url}` is no URL"))?;
    Ok(format!("{origin}{path}"))
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, book: Arc<Mutex<Book>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let book = Arc::clone(&book);
        let service = service_fn(move |request| answer(request, Arc::clone(&book)));
        tokio::spawn(async move {
            // A connection that breaks is what some cases want.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The recorded answer; the error breaks the connection.
async fn answer(
    request: Request<Incoming>,
    book: Arc<Mutex<Book>>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let origin = parts.headers.get("tidegate-origin").map(text).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = Limited::new(body, BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let headers = parts.headers.iter().filter(|(name, _)| *name != "tidegate-origin");
    let asked = Asked {
        method: parts.method.to_string(),
        url: format!("{origin}{path}"),
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        known: false,
    };
    let exchange = found(asked, &book);
    let recorded = exchange.and_then(|exchange| exchange.response);
    let recorded = recorded.ok_or_else(|| io::Error::other("nothing is recorded"))?;
    let mut response = Response::builder().status(recorded.status);
    for (name, value) in &recorded.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(recorded.body.into())).map_err(io::Error::other)
}

/// The first exchange that waits for this request; each answers once.
fn found(mut asked: Asked, book: &Mutex<Book>) -> Option<Exchange> {
    let mut book = lock(book);
    let fits = |one: &Exchange| asked.is(&one.request.method, &one.request.url);
    let place = book.waiting.iter().position(fits);
    asked.known = place.is_some();
    book.asked.push(asked);
    place.map(|place| book.waiting.remove(place))
}
