//! `tidegate schema`: the JSON Schemas of the configuration files, for editors.

use std::process::ExitCode;

use clap::ValueEnum;

use super::say;
use crate::{
    config::{
        connector::ConnectorConfig, identity::IdentityConfig, key::KeyConfig, plugin::PluginConfig,
        process::ProcessConfig, vmcp::VmcpConfig,
    },
    http::admin,
};

/// A kind of configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaFile {
    /// `gateway.toml`
    Gateway,
    /// `connectors/*.toml`
    Connector,
    /// `vmcps/*.toml`
    Vmcp,
    /// `plugins/*.toml`
    Plugin,
    /// `keys/*.toml`
    Key,
    /// `identity.toml`
    Identity,
    /// The admin API (OpenAPI).
    Openapi,
}

/// The schema of a kind of file, as pretty JSON with a final line break.
pub(super) fn text(file: SchemaFile) -> anyhow::Result<String> {
    let schema = match file {
        SchemaFile::Gateway => schemars::schema_for!(ProcessConfig),
        SchemaFile::Connector => schemars::schema_for!(ConnectorConfig),
        SchemaFile::Vmcp => schemars::schema_for!(VmcpConfig),
        SchemaFile::Plugin => schemars::schema_for!(PluginConfig),
        SchemaFile::Key => schemars::schema_for!(KeyConfig),
        SchemaFile::Identity => schemars::schema_for!(IdentityConfig),
        SchemaFile::Openapi => return Ok(admin::document().trim_end().to_owned()),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}

pub(super) fn run(file: SchemaFile) -> anyhow::Result<ExitCode> {
    say(&text(file)?);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_in_schemas_are_the_generated_ones() {
        for (file, name) in [
            (SchemaFile::Gateway, "gateway"),
            (SchemaFile::Connector, "connector"),
            (SchemaFile::Vmcp, "vmcp"),
            (SchemaFile::Plugin, "plugin"),
            (SchemaFile::Key, "key"),
            (SchemaFile::Identity, "identity"),
        ] {
            let path = format!("{}/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let kept = std::fs::read_to_string(&path).unwrap_or_default();
            let made = text(file).unwrap();
            assert_eq!(
                kept.trim_end(),
                made,
                "run `tidegate schema {name} > host/gateway/schemas/{name}.json`"
            );
        }
    }
}
