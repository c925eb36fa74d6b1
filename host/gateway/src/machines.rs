//! What runs the machines of hosted connectors in this process.
//!
//! Says in one line, at the start and in status, what keeps them from the rest of the
//! computer. Knows no connector.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_upstream::machine::{Backend, Local, LocalSettings};
use tidegate_wire::sandbox::Mechanisms;

/// Machines as processes of this computer, which see neither the data directory nor `config`,
/// the directory with the configuration. Tries the mechanisms out, so it waits for a moment.
pub(crate) fn local(
    data: &Path,
    config: Option<&PathBuf>,
    environment: &BTreeMap<String, String>,
) -> Arc<dyn Backend> {
    let path = environment.get("PATH").map_or("", String::as_str);
    let exe = std::env::current_exe().unwrap_or_default();
    let mut settings = LocalSettings::beside(&exe, data, Mechanisms::detect(path));
    // Whoever holds the data directory is alone: what is there is of a process that was killed,
    // and its machines ended with it.
    if let Err(error) = std::fs::remove_dir_all(&settings.run)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "what an earlier process left of its machines cannot be removed");
    }
    settings.hidden.extend(config.cloned());
    let machines = Local::new(settings);
    tracing::info!(sandbox = machines.protection(), "hosted connectors run in machines");
    Arc::new(machines)
}
