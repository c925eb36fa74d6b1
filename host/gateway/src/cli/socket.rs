//! Asking a running gateway through its admin socket.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tidegate_model::OrgId;
use tokio::net::UnixStream;

use crate::http::admin::{Failure, SOCKET};

/// The admin socket of a gateway, for requests about one organisation.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// The gateway's data directory.
    pub(super) data: PathBuf,
    /// The organisation.
    pub(super) org: OrgId,
}

/// Sends one request and reads its JSON answer.
pub(super) async fn ask<T: DeserializeOwned>(
    Door { data, org }: &Door,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<T> {
    let socket = data.join(SOCKET);
    let stream = UnixStream::connect(&socket).await.with_context(|| {
        format!("no gateway is running with the data directory `{}`; start it, or name another with --data", data.display())
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(if *org == OrgId::default_org() { path.to_owned() } else { format!("/o/{org}{path}") })
        .header("host", "tidegate")
        .header("content-type", "application/json")
        // Otherwise both sides would wait for a next request that never comes.
        .header("connection", "close")
        .body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, text))
    };
    let driver = async {
        // Ends with the answer; its error is the answer's.
        let _ = connection.await;
    };
    let ((status, text), ()) = tokio::try_join!(answer, async {
        driver.await;
        Ok(())
    })?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&text)
            .context("the gateway's answer cannot be read; are both of the same version?");
    }
    match serde_json::from_slice::<Failure>(&text) {
        Ok(failure) => bail!("{}", failure.error),
        Err(_) => Err(anyhow!("the gateway answered with HTTP status {status}")),
    }
}
