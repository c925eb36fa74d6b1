//! The `[egress]` table: whom the gateway trusts when it connects to others.
//!
//! Owns the step from files of certificates to the way out. Knows nothing of destinations.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_wire::client::egress::{Egress, Resolver, Roots};

use super::Problem;

/// The `[egress]` table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Files with certificate authorities (PEM, one or more in each) that are trusted beside
    /// the public ones, on every connection that the gateway opens: `file:PATH`. Read at start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<RootFile>,
}

/// `file:PATH`, where certificates are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RootFile(PathBuf);

impl TryFrom<String> for RootFile {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("certificates are given as `file:PATH`, a PEM file"),
        }
    }
}

impl From<RootFile> for String {
    fn from(file: RootFile) -> Self {
        format!("file:{}", file.0.display())
    }
}

impl EgressConfig {
    /// The way out with these roots. A file that cannot be used is a fault, never left out:
    /// whoever named it relies on it.
    pub fn open(&self) -> Result<Arc<Egress>, Problem> {
        let mut roots = Roots::default();
        for RootFile(path) in &self.roots {
            let pem = fs::read(path).map_err(|error| {
                Problem::of(path, format!("cannot be read: {error}"))
                    .with_help("correct `egress.roots` in gateway.toml")
            })?;
            roots.add(&pem).map_err(|error| {
                Problem::of(path, error.to_string())
                    .with_help("`egress.roots` takes certificates of authorities in PEM form")
            })?;
        }
        let file = Path::new("gateway.toml");
        Egress::trusting(Resolver::System, roots)
            .map_err(|error| Problem::of(file, error.to_string()))
    }

    /// Makes relative file paths absolute.
    pub(super) fn rooted(&mut self, base: &Path) {
        self.roots.iter_mut().for_each(|file| file.0 = base.join(&file.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(files: &[&Path]) -> EgressConfig {
        EgressConfig { roots: files.iter().map(|path| RootFile((*path).to_owned())).collect() }
    }

    #[test]
    fn only_files_are_named() {
        let good: EgressConfig = toml::from_str("roots = [\"file:ca.pem\"]").unwrap();
        assert_eq!(toml::to_string(&good).unwrap(), "roots = [\"file:ca.pem\"]\n");
        for bad in ["ca.pem", "env:CA", "file:", ""] {
            let text = format!("roots = [\"{bad}\"]");
            let error = toml::from_str::<EgressConfig>(&text).unwrap_err();
            assert!(error.to_string().contains("file:PATH"), "{bad}: {error}");
        }
    }

    #[test]
    fn every_file_must_be_usable_and_a_fault_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let ca = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["other.test".to_owned()]).unwrap();
        fs::write(at("two.pem"), ca.cert.pem() + &other.cert.pem()).unwrap();
        fs::write(at("key.pem"), ca.signing_key.serialize_pem()).unwrap();
        let cut = ca.cert.pem().replace("-----END CERTIFICATE-----", "");
        fs::write(at("cut.pem"), ca.cert.pem() + &cut).unwrap();
        assert!(naming(&[]).open().is_ok());
        assert!(naming(&[&at("two.pem"), &at("two.pem")]).open().is_ok());
        for (name, says) in
            [("none.pem", "cannot be read"), ("key.pem", "no certificate"), ("cut.pem", "")]
        {
            let problem = naming(&[&at("two.pem"), &at(name)]).open().unwrap_err().to_string();
            assert!(problem.contains(name) && problem.contains(says), "{problem}");
            assert!(problem.contains("egress.roots"), "{problem}");
            assert!(!problem.contains("PRIVATE"), "{problem}");
        }
    }
}
