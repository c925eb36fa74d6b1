//! The conformance fixture: an MCP server of both eras that offers, under the exact names,
//! everything the official conformance suite calls.
//!
//! Owns the command line, the listener and the ready line. The protocol is the official
//! Rust SDK's; what stands behind each name is in `tools`, `asking`, `tasks` and `content`.
//! Knows nothing of the gateway: the suite must pass here first, then through it.

use std::{convert::Infallible, io::Write, net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use http_body_util::{BodyStream, StreamBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    cut::Cut,
    handler::{Era, Fixture, Shared},
};

mod asking;
mod content;
mod cut;
mod handler;
mod listing;
mod scripts;
mod tasks;
mod tools;

/// How soon a client should come back to a stream that was closed on it.
const RETRY: Duration = Duration::from_millis(50);

/// Serves the conformance fixture until the process is ended.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The protocol revisions to speak
    #[arg(long, value_enum, default_value = "both")]
    era: Era,
}

type Endpoint = StreamableHttpService<Fixture, LocalSessionManager>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listener = TcpListener::bind(arguments.listen).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    writeln!(std::io::stdout(), "{}", json!({ "event": "ready", "url": url }))?;
    serve(&listener, endpoint(arguments.era)).await
}

fn endpoint(era: Era) -> Endpoint {
    let shared = Arc::new(Shared::new(era));
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    let config = StreamableHttpServerConfig::default().with_sse_retry(Some(RETRY));
    StreamableHttpService::new(
        move || Ok(Fixture::new(Arc::clone(&shared))),
        Arc::new(sessions),
        config,
    )
}

async fn serve(listener: &TcpListener, endpoint: Endpoint) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let endpoint = endpoint.clone();
        let answer = service_fn(move |request| answer(endpoint.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
    }
}

/// One request; its body ends early when the handler says so through the [`Cut`].
async fn answer(
    endpoint: Endpoint,
    mut request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = bytes::Bytes, Error = Infallible>>, Infallible> {
    let cut = Cut::default();
    request.extensions_mut().insert(cut.clone());
    let (parts, body) = endpoint.handle(request).await.into_parts();
    let body = StreamBody::new(futures_util::StreamExt::take_until(
        BodyStream::new(body),
        Box::pin(async move { cut.made().await }),
    ));
    Ok(Response::from_parts(parts, body))
}
