//! The configuration: the document, what of it becomes tools, and who pays with which
//! credential.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_plugin::glob;

use crate::document::Document;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    document: Value,
    server: Option<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    auth: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "yes")]
    output_schemas: bool,
    #[serde(default = "usual_most")]
    max_response_kib: usize,
    time_out_ms: Option<u32>,
}

fn yes() -> bool {
    true
}

fn usual_most() -> usize {
    1024
}

/// All of it, read and checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) document: Document,
    /// Without a slash at the end.
    pub(crate) server: String,
    /// Credentials by security scheme.
    pub(crate) auth: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) output_schemas: bool,
    /// Bytes of an answer.
    pub(crate) most: usize,
    pub(crate) time_out: Option<u32>,
    include: Vec<String>,
    exclude: Vec<String>,
    tags: Vec<String>,
}

impl Settings {
    pub(crate) fn read(config: &str) -> Result<Self, String> {
        let written: Written =
            serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))?;
        let document = Document::read(written.document)?;
        if let Some(name) =
            written.auth.keys().find(|name| document.security_scheme(name).is_none())
        {
            return Err(format!(
                "`auth` names `{name}`, which is no security scheme of the document"
            ));
        }
        let server = written.server.or_else(|| document.server()).unwrap_or_default();
        let scheme = server.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https"))
            || server.contains(['?', '#', '{', ' '])
        {
            return Err(format!("`{server}` is no server: set `server` to where the service is"));
        }
        Ok(Self {
            document,
            server: server.trim_end_matches('/').to_owned(),
            auth: written.auth,
            headers: written.headers,
            output_schemas: written.output_schemas,
            most: written.max_response_kib.saturating_mul(1024),
            time_out: written.time_out_ms,
            include: written.include,
            exclude: written.exclude,
            tags: written.tags,
        })
    }

    /// Whether the operation of this name and these tags is to be a tool.
    pub(crate) fn wants(&self, name: &str, tags: &[&str]) -> bool {
        (self.include.is_empty() || glob::any(&self.include, name))
            && !glob::any(&self.exclude, name)
            && (self.tags.is_empty() || tags.iter().any(|tag| glob::any(&self.tags, tag)))
    }
}
