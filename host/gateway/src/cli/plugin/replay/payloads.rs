//! Where recorded payloads can be opened: by the gateway that runs on the data directory, or
//! from its files while none does.
//!
//! Either way only somebody who can read the root key gets to see them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use http::Method;
use tidegate_governance::audit::Row;
use tidegate_model::{OrgId, SystemClock};
use tidegate_store::{EmbeddedStore, SledOptions, Store, keys};

use crate::{
    cli::socket::{self, Door},
    config::ProcessConfig,
    http::admin::{Kept, SOCKET, WantedPayloads},
    serve::{AUDIT_DIR, PAYLOAD_DIR, STORE_DIR},
};

/// Payloads that are fetched at once.
pub(super) const AT_ONCE: usize = 50;

/// A gateway's data directory and root key, and one of its organisations.
#[derive(Debug)]
pub(super) struct Place {
    org: OrgId,
    data: PathBuf,
    key: PathBuf,
}

/// What opens payloads.
pub(super) enum Payloads {
    /// The gateway that runs there.
    Gateway(Door),
    /// The files, with the keys that the store had.
    Files(tidegate_store::payload::Payloads, OrgId),
}

/// Finds the place, and whether this user may open what lies there.
pub(super) fn place(
    data: Option<&Path>,
    gateway: Option<&Path>,
    org: OrgId,
) -> anyhow::Result<Place> {
    let config = match data {
        Some(data) => ProcessConfig { data: data.to_owned(), ..ProcessConfig::default() },
        None => ProcessConfig::read(gateway.unwrap_or(Path::new(".")))
            .map_err(|problem| anyhow::anyhow!("{problem}"))?,
    };
    let Some(key) = config.root_key() else {
        bail!(
            "what calls carried is shown without a gateway only where the root key is in a file; \
             here it is `{}`: start the gateway, and do this again",
            config.keys.provider
        )
    };
    let place = Place { key, data: config.data, org };
    if !place.audit().is_dir() {
        bail!(
            "there is no audit log in `{}`; name the gateway's directory with --gateway, or its \
             data directory with --data",
            place.audit().display()
        );
    }
    File::open(&place.key).with_context(|| {
        format!(
            "what calls carried is shown only to who can read the root key, and `{}` cannot be \
             read; run this as the gateway's user, or name the directory with gateway.toml with \
             --gateway",
            place.key.display()
        )
    })?;
    Ok(place)
}

impl Place {
    /// The log's folder.
    pub(super) fn audit(&self) -> PathBuf {
        self.data.join(AUDIT_DIR)
    }
}

impl Payloads {
    pub(super) async fn open(place: &Place) -> anyhow::Result<Self> {
        let socket = place.data.join(SOCKET);
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            let door = Door { data: place.data.clone(), org: place.org.clone() };
            return Ok(Self::Gateway(door));
        }
        let provider = keys::provider(&format!("file:{}", place.key.display()))?;
        let dir = place.data.join(STORE_DIR);
        if !dir.is_dir() {
            bail!("there is no store in `{}`, which has the keys to payloads", dir.display());
        }
        let options = SledOptions::new(dir);
        let opening = tokio::task::spawn_blocking(move || {
            EmbeddedStore::sled(options, provider, Arc::new(SystemClock))
        });
        let opened = opening.await?.context("the keys to payloads cannot be had");
        // The store itself is let go: a gateway that starts meanwhile needs it.
        let ring = Arc::clone(opened?.keyring());
        let dir = place.data.join(PAYLOAD_DIR);
        let payloads = tidegate_store::payload::Payloads::open(dir, ring)?;
        Ok(Self::Files(payloads, place.org.clone()))
    }

    /// The payloads of these rows, in their order; none for a row that has none.
    pub(super) async fn of(&self, rows: &[(u64, Row)]) -> anyhow::Result<Vec<Option<Kept>>> {
        let wanted: Vec<String> = rows.iter().filter_map(|(_, row)| row.payload.clone()).collect();
        let kept: Vec<Kept> = match self {
            _ if wanted.is_empty() => Vec::new(),
            Self::Gateway(door) => {
                let body = serde_json::to_vec(&WantedPayloads { payloads: wanted })?;
                socket::ask(door, Method::POST, "/api/v1/audit/payloads", body).await?
            }
            Self::Files(payloads, org) => {
                wanted.iter().map(|reference| Kept::open(payloads, org, reference)).collect()
            }
        };
        let mut kept = kept.into_iter();
        Ok(rows.iter().map(|(_, row)| row.payload.as_ref().and_then(|_| kept.next())).collect())
    }
}
