//! Where a component is installed from: a file, a folder that was built, a registry.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidegate_wire::client::egress::Egress;

use super::registry::{self, Access, Reference};
use crate::{config::directory, signature::digest_text};

/// The folder of installed components, beside the plugin files.
pub(super) const COMPONENTS: &str = "components";
/// Largest component that is installed.
pub(super) const LARGEST: usize = 64 << 20;
/// Where builds leave a component, in a folder made from a template.
const BUILT: [&str; 4] =
    ["", "dist", "target/wasm32-wasip2/release", "target/wasm32-unknown-unknown/release"];

/// A component as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The file.
    pub(super) bytes: Bytes,
    /// Its detached signature, where there is one.
    pub(super) signature: Option<String>,
    /// Where it came from, pinned where that is possible.
    pub(super) source: String,
    /// The name that it would have.
    pub(super) name: String,
}

impl Found {
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        digest_text(&Sha256::digest(&self.bytes).into())
    }
}

/// Fetches a component from where a person said it is.
pub(super) async fn find(
    source: &str,
    access: &Access,
    egress: &Arc<Egress>,
) -> anyhow::Result<Found> {
    if let Some(reference) = source.strip_prefix("oci://") {
        let reference = Reference::parse(reference)?;
        let pulled = registry::pull(&reference, access, egress).await;
        let pulled = pulled.with_context(|| format!("cannot pull `{source}`"))?;
        return Ok(Found {
            bytes: pulled.component,
            signature: pulled.signature,
            source: format!("oci://{}", reference.pinned(&pulled.manifest)),
            name: reference.name().to_owned(),
        });
    }
    if let Some((scheme, _)) = source.split_once("://") {
        bail!("`{scheme}://` is no source; use a file, a folder or `oci://host/repository`");
    }
    let path = Path::new(source);
    let file = if path.is_dir() { built(path)? } else { path.to_owned() };
    read(&file)
}

fn read(file: &Path) -> anyhow::Result<Found> {
    let about = fs::metadata(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    if about.len() > LARGEST as u64 {
        bail!("`{}` is larger than {} MiB", file.display(), LARGEST >> 20);
    }
    let bytes = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let signature = fs::read_to_string(directory::signature(file)).ok();
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let whole = std::path::absolute(file)?;
    Ok(Found {
        bytes: bytes.into(),
        signature: signature.map(|text| text.trim().to_owned()),
        source: format!("file://{}", whole.display()),
        name: stem.replace('_', "-").to_ascii_lowercase(),
    })
}

/// The one component in a folder, where builds leave it.
fn built(folder: &Path) -> anyhow::Result<PathBuf> {
    for place in BUILT {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder.join(place)).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "wasm") && path.is_file() {
                found.push(path);
            }
        }
        found.sort();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one.clone()),
            [one, other, ..] => {
                return Err(anyhow!(
                    "there are several components, `{}` and `{}`; name one",
                    one.display(),
                    other.display()
                ));
            }
        }
    }
    bail!("there is no component in `{}`; build it first, or name the file", folder.display())
}

#[cfg(test)]
mod tests {
    use tidegate_wire::client::egress::Resolver;

    use super::*;

    #[tokio::test]
    async fn a_folder_holds_one_component_where_builds_leave_it() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::default();
        let egress = Egress::new(Resolver::System, None).unwrap();
        let text = dir.path().to_str().unwrap();
        let none = find(text, &access, &egress).await.unwrap_err();
        assert!(none.to_string().contains("build it first"), "{none}");
        let out = dir.path().join("target/wasm32-wasip2/release");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("my_plugin.wasm"), "x").unwrap();
        fs::write(out.join("my_plugin.d"), "y").unwrap();
        let found = find(text, &access, &egress).await.unwrap();
        assert_eq!((found.name.as_str(), found.bytes.as_ref()), ("my-plugin", b"x".as_slice()));
        assert!(found.source.starts_with("file:///") && found.signature.is_none());
        fs::write(out.join("my_plugin.wasm.sig"), "c2ln\n").unwrap();
        assert_eq!(find(text, &access, &egress).await.unwrap().signature.as_deref(), Some("c2ln"));
        fs::write(out.join("other.wasm"), "x").unwrap();
        let two = find(text, &access, &egress).await.unwrap_err();
        assert!(two.to_string().contains("name one"), "{two}");
        for bad in ["https://example.com/x.wasm", "no-such-file.wasm", "oci://"] {
            assert!(find(bad, &access, &egress).await.is_err(), "{bad}");
        }
    }
}
