//! Where commands keep what a sign-in gave them.
//!
//! `tidegate/credentials.json` in the person's own settings folder, readable by them alone and
//! replaced as a whole. It holds tokens, so nothing here can be printed.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::config::user;

/// The version of the file's form.
const VERSION: u32 = 1;

/// What is known of one gateway, or one organisation of it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The API that the tokens are for.
    pub(super) resource: String,
    pub(super) token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revocation_endpoint: Option<String>,
    pub(super) access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    /// When the access token stops working, in milliseconds since 1970.
    pub(super) expires: u64,
}

/// The whole file.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Credentials {
    v: u32,
    /// The issuer that was signed in to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) current: Option<String>,
    /// By issuer.
    #[serde(default)]
    pub(super) gateways: BTreeMap<String, Saved>,
}

impl Credentials {
    /// What is kept; nothing where there is no file.
    pub(super) fn load() -> anyhow::Result<Self> {
        let path = path()?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
            }
        };
        let about = fs::symlink_metadata(&path)?;
        if about.mode() & 0o077 != 0 || about.uid() != rustix::process::geteuid().as_raw() {
            bail!("others have rights on `{}`: run `chmod 600` on it", path.display());
        }
        let read: Self = serde_json::from_slice(&text).with_context(|| {
            format!("`{}` cannot be read: remove it and sign in again", path.display())
        })?;
        if read.v > VERSION {
            bail!("`{}` was written by a newer version of tidegate", path.display());
        }
        Ok(read)
    }

    /// Writes the file beside the old one and puts it in its place.
    pub(super) fn store(&mut self) -> anyhow::Result<()> {
        self.v = VERSION;
        let path = path()?;
        self.write(&path).with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Two commands at once each write a file of their own.
        let beside = folder.join(format!(".credentials.{}", std::process::id()));
        let _ = fs::remove_file(&beside);
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let mut file = opened?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        Ok(())
    }

    /// The gateway that somebody named, or the one that was signed in to last.
    pub(super) fn of(&self, gateway: Option<&str>) -> Option<(String, Saved)> {
        let name = gateway.map(|url| url.trim_end_matches('/').to_owned());
        let name = name.or_else(|| self.current.clone())?;
        let saved = self.gateways.get(&name)?.clone();
        Some((name, saved))
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let folder = user::settings_folder()
        .context("there is no place for credentials: set HOME or XDG_CONFIG_HOME")?;
    Ok(folder.join("tidegate/credentials.json"))
}
