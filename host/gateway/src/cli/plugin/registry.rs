//! Pulling a component from an OCI registry: one manifest, one layer, both held to their
//! digests.
//!
//! The part of the distribution specification that a pull needs, spoken through the egress
//! guard like everything that leaves the process. Knows nothing of plugins: it gives bytes,
//! the digest they are pinned by, and the signature in the manifest's annotations.

mod challenge;
mod manifest;
mod reference;
mod session;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use tidegate_model::Secret;
use tidegate_wire::client::egress::Egress;

use super::source::LARGEST;
use crate::{config::reference::Reference as SecretPlace, signature::digest_text};
use manifest::Manifest;
pub(super) use reference::Reference;
use session::Session;

/// Longest a whole pull may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Largest manifest.
const MANIFEST: usize = 4 << 20;

/// How a registry is reached.
#[derive(Debug, Default, Args)]
pub(super) struct Access {
    /// Where `user:password` for the registry is: env:NAME or file:PATH.
    #[arg(long, value_name = "PLACE")]
    registry_auth: Option<String>,
    /// The registry may be on this machine or in a private network.
    #[arg(long)]
    allow_private: bool,
    /// Speak plain HTTP with it, which only such addresses permit.
    #[arg(long, requires = "allow_private")]
    plain_http: bool,
}

impl Access {
    /// `user:password`, where a place for it is named. Somebody who writes the secret itself
    /// is told so without seeing it again.
    fn credential(&self) -> anyhow::Result<Option<Secret>> {
        let place = self.registry_auth.clone().map(SecretPlace::try_from).transpose();
        let place = place.context("--registry-auth cannot be used")?;
        Ok(place.map(|place| place.resolve()).transpose()?)
    }
}

/// What was pulled.
#[derive(Debug)]
pub(super) struct Pulled {
    /// The component.
    pub(super) component: Bytes,
    /// The digest of the manifest that named it.
    pub(super) manifest: String,
    /// The signature in the manifest's annotations.
    pub(super) signature: Option<String>,
}

/// Pulls the component that `reference` leads to.
pub(super) async fn pull(
    reference: &Reference,
    access: &Access,
    egress: &Arc<Egress>,
) -> anyhow::Result<Pulled> {
    let pulling = async {
        let mut session = Session::open(reference, access, egress)?;
        let (manifest, digest) = fetch_manifest(&mut session, reference).await?;
        let layer = manifest.component()?;
        let size = usize::try_from(layer.size).unwrap_or(usize::MAX);
        if size > LARGEST {
            bail!("the component is larger than {} MiB", LARGEST >> 20);
        }
        let path = format!("/v2/{}/blobs/{}", reference.repository(), layer.digest);
        let reply = session.get(&path, &[]).await?;
        if reply.status != StatusCode::OK {
            bail!("the registry answers with status {} for the component", reply.status);
        }
        let mut body = reply.body;
        let (mut bytes, mut hash) = (Vec::with_capacity(size), Sha256::new());
        while let Some(piece) = body.next().await? {
            if bytes.len() + piece.len() > size {
                bail!("the component is larger than its manifest says");
            }
            hash.update(&piece);
            bytes.extend_from_slice(&piece);
        }
        let found = text(hash);
        if found != layer.digest {
            bail!("the component has the hash `{found}`, and its manifest says `{}`", layer.digest);
        }
        let signature = manifest.signature().map(str::to_owned);
        Ok(Pulled { component: bytes.into(), manifest: digest, signature })
    };
    tokio::time::timeout(PATIENCE, pulling)
        .await
        .context("the registry took longer than ten minutes")?
}

async fn fetch_manifest(
    session: &mut Session,
    reference: &Reference,
) -> anyhow::Result<(Manifest, String)> {
    let path = format!("/v2/{}/manifests/{}", reference.repository(), reference.version());
    let accept = (header::ACCEPT, HeaderValue::from_static(manifest::ACCEPT));
    let reply = session.get(&path, &[accept]).await?;
    match reply.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => bail!("the registry has no `{reference}`"),
        status => bail!("the registry answers with status {status} for the manifest"),
    }
    let told = reply.headers.get("docker-content-digest").cloned();
    let bytes = reply.body.collect(MANIFEST).await?;
    let digest = text(Sha256::new_with_prefix(&bytes));
    let told = told.as_ref().and_then(|told| told.to_str().ok());
    let wanted = told.filter(|told| told.starts_with("sha256:")).into_iter();
    for wanted in wanted.chain(reference.digest()) {
        if wanted != digest {
            bail!("the manifest has the hash `{digest}`, and it should be `{wanted}`");
        }
    }
    Ok((Manifest::read(&bytes)?, digest))
}

fn text(hash: Sha256) -> String {
    digest_text(&hash.finalize().into())
}
