//! Which component of which registry: `host[:port]/repository[:tag|@sha256:digest]`.

use std::fmt;

use anyhow::bail;

use crate::config::plugin::is_digest;

/// What an artifact is called that has neither tag nor digest.
const LATEST: &str = "latest";

/// A component in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::plugin) struct Reference {
    host: String,
    repository: String,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    Tag(String),
    Digest(String),
}

impl Reference {
    /// Reads it as it stands after `oci://`.
    pub(in crate::cli::plugin) fn parse(text: &str) -> anyhow::Result<Self> {
        let bad = "write it like `oci://registry.example.com/team/name:tag`";
        let Some((host, rest)) = text.split_once('/') else {
            bail!("`oci://{text}` names no repository; {bad}");
        };
        let (repository, version) = if let Some((repository, digest)) = rest.split_once('@') {
            if !is_digest(digest) {
                bail!("`{digest}` is no digest: `sha256:` and 64 hexadecimal digits");
            }
            // A tag beside a digest says nothing more.
            let repository = repository.split_once(':').map_or(repository, |(name, _)| name);
            (repository, Version::Digest(digest.to_owned()))
        } else if let Some((repository, tag)) = rest.split_once(':') {
            if !is_tag(tag) {
                bail!("`{tag}` is no tag; {bad}");
            }
            (repository, Version::Tag(tag.to_owned()))
        } else {
            (rest, Version::Tag(LATEST.to_owned()))
        };
        if !is_repository(repository) {
            bail!("`{repository}` is no repository; {bad}");
        }
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), version })
    }

    /// Host and port of the registry; whether it is one is found out by dialling.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The repository.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag or the digest.
    pub(super) fn version(&self) -> &str {
        match &self.version {
            Version::Tag(text) | Version::Digest(text) => text,
        }
    }

    /// The digest that the manifest must have, where it is pinned.
    pub(super) fn digest(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest(digest) => Some(digest),
        }
    }

    /// The last part of the repository.
    pub(in crate::cli::plugin) fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The same component by the digest of its manifest.
    pub(in crate::cli::plugin) fn pinned(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.host, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.digest().is_some() { '@' } else { ':' };
        write!(f, "{}/{}{mark}{}", self.host, self.repository, self.version())
    }
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['.', '-'])
}

fn is_repository(text: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_part = |part: &str| {
        part.bytes().all(inner) && edge(part.bytes().next()) && edge(part.bytes().next_back())
    };
    text.len() <= 255 && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_tag_or_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, repository, version, whole) in [
            ("r.example/a", "a", "latest", "r.example/a:latest"),
            ("r.example:5000/a/b-c:1.0", "a/b-c", "1.0", "r.example:5000/a/b-c:1.0"),
            (&format!("r/a@{digest}"), "a", digest.as_str(), &format!("r/a@{digest}")),
            (&format!("r/a:1@{digest}"), "a", digest.as_str(), &format!("r/a@{digest}")),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.repository(), reference.version()), (repository, version));
            assert_eq!(reference.to_string(), whole);
            assert_eq!(reference.digest().is_some(), text.contains('@'));
        }
        let reference = Reference::parse("r.example/a/b:1").unwrap();
        assert_eq!(reference.pinned("sha256:1"), "r.example/a/b@sha256:1");
        assert_eq!(reference.name(), "b");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in
            ["", "host", "host/", "host/A", "host/a:", "host/a:-x", "host/a@sha256:1", "host/../a"]
        {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
