//! `tidegate plugin keygen` and `sign`: keys for components, and signatures beside them.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use sha2::{Digest, Sha256};
use tidegate_model::Secret;

use super::folder;
use crate::{
    cli::say,
    config::directory,
    signature::{PrivateKey, digest_text},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Keygen {
    /// The file for the private key; the public one gets `.pub` at its end.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Sign {
    /// The component; the signature is written beside it, with `.sig` at its end.
    file: PathBuf,
    /// The private key, as `keygen` wrote it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn keygen(keygen: &Keygen) -> anyhow::Result<ExitCode> {
    let key = PrivateKey::generate()?;
    create(&keygen.file, 0o600, key.text().expose())?;
    let mut public = keygen.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    create(&public, 0o644, &format!("{}\n", key.public()))?;
    say(&format!("wrote `{}` and `{}`", keygen.file.display(), public.display()));
    say(&format!("for gateway.toml:\n\n[plugins.keys]\nNAME = \"{}\"", key.public()));
    Ok(ExitCode::SUCCESS)
}

fn create(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.with_context(|| {
        format!("cannot make `{}`; an old key is never written over", path.display())
    })?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write `{}`", path.display()))
}

pub(super) fn sign(sign: &Sign) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&sign.key).map(Secret::new);
    let text = text.with_context(|| format!("cannot read the key `{}`", sign.key.display()))?;
    let key = PrivateKey::parse(text.expose())
        .with_context(|| format!("cannot use `{}`", sign.key.display()))?;
    let bytes =
        fs::read(&sign.file).with_context(|| format!("cannot read `{}`", sign.file.display()))?;
    let digest = digest_text(&Sha256::digest(&bytes).into());
    let beside = directory::signature(&sign.file);
    folder::write(&beside, format!("{}\n", key.sign(&digest)).as_bytes())
        .with_context(|| format!("cannot write `{}`", beside.display()))?;
    say(&format!("signed {digest}; the signature is in `{}`", beside.display()));
    Ok(ExitCode::SUCCESS)
}
