//! The manifest of an artifact: which layer is the component.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::config::plugin::is_digest;

/// What is asked for.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";
/// Where the detached signature of the component is.
const SIGNATURE: &str = "dev.tidegate.signature";
/// Media types of a layer that is a component. A config blob says nothing that the component
/// does not say itself, so none is fetched.
const COMPONENT: [&str; 2] =
    ["application/wasm", "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"];

/// The parts of a manifest that a pull needs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// One layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    media_type: String,
    /// The digest of its bytes.
    pub(super) digest: String,
    /// How many there are.
    pub(super) size: u64,
}

impl Manifest {
    /// Reads a manifest.
    pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let manifest: Self =
            serde_json::from_slice(bytes).context("the registry's manifest cannot be read")?;
        if manifest.schema_version != 2 {
            bail!("the manifest has version {}, 2 is known", manifest.schema_version);
        }
        if manifest.manifests.is_some() {
            bail!("there are several artifacts behind it; name one by its digest");
        }
        Ok(manifest)
    }

    /// The one layer that is a component.
    pub(super) fn component(&self) -> anyhow::Result<&Layer> {
        let is_component = |layer: &&Layer| COMPONENT.contains(&layer.media_type.as_str());
        let mut components = self.layers.iter().filter(is_component);
        match (components.next(), components.next()) {
            (Some(layer), None) if is_digest(&layer.digest) => Ok(layer),
            (Some(layer), None) => bail!("`{}` is no digest that is known here", layer.digest),
            (None, _) => bail!("it holds no layer of type `{}`; is it a component?", COMPONENT[0]),
            (Some(_), Some(_)) => bail!("it holds several components, and one is expected"),
        }
    }

    /// The signature in its annotations.
    pub(super) fn signature(&self) -> Option<&str> {
        self.annotations.get(SIGNATURE).map(|text| text.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &str) -> anyhow::Result<Manifest> {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{ACCEPT}","config":{{}},"layers":[{layers}],
            "annotations":{{"dev.tidegate.signature":"c2ln\n"}}}}"#
        );
        Manifest::read(text.as_bytes())
    }

    fn layer(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":7}}"#, "0a".repeat(32))
    }

    #[test]
    fn one_layer_is_the_component() {
        for kind in COMPONENT {
            let layers = format!("{},{}", layer("text/plain"), layer(kind));
            let manifest = manifest(&layers).unwrap();
            assert_eq!(manifest.component().unwrap().size, 7);
            assert_eq!(manifest.signature(), Some("c2ln"));
        }
    }

    #[test]
    fn anything_else_is_a_sentence() {
        let two = format!("{},{}", layer(COMPONENT[0]), layer(COMPONENT[1]));
        let odd = layer(COMPONENT[0]).replace("sha256", "sha512");
        for (layers, words) in [
            (String::new(), "no layer"),
            (layer("text/plain"), "no layer"),
            (two, "several components"),
            (odd, "no digest"),
        ] {
            let error = manifest(&layers).unwrap().component().unwrap_err();
            assert!(error.to_string().contains(words), "{layers}: {error}");
        }
        for (text, words) in [
            ("{\"schemaVersion\":1}", "version 1"),
            ("{\"schemaVersion\":2,\"manifests\":[]}", "several artifacts"),
            ("[]", "cannot be read"),
            ("", "cannot be read"),
        ] {
            let error = Manifest::read(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }
}
